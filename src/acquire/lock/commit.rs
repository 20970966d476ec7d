//! A file as it was at a commit of the user's own repository.

use std::path::{Component, Path, PathBuf};
use std::process::Output;

use super::git::git;
use crate::evidence::Bytes;

/// More than any file has that is read so.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The text that a file had at a commit; none if it was not there. `git cat-file` runs no filter, hook or program of the
/// repository's.
///
/// It is looked for by its way from `folder`, which says whose commit it is, in the commit alone: links and repositories
/// that lie on the way in the working tree lead nowhere else.
///
/// # Errors
/// When there is no such commit, or git cannot say, in words.
pub fn text_of_commit(commit: &str, folder: &Path, file: &Path) -> Result<Option<String>, String> {
    if !may_be_commit(commit) {
        return Err("there is no such file, and no commit is called so".to_owned());
    }
    // Without a slash at its end, which would name what lies in it.
    let way: PathBuf = file.components().filter(|part| *part != Component::CurDir).collect();
    let name = match way.to_str() {
        Some("") | None => return Err("the file has no name that git could be asked for".to_owned()),
        Some(text) if way.is_absolute() => text.to_owned(),
        Some(text) => format!("./{text}"),
    };
    let ask = |args: &[&str]| -> Result<Output, String> {
        git(folder).args(args).output().map_err(|error| format!("cannot start git: {error}"))
    };
    let known = ask(&["cat-file", "-e", &format!("{commit}^{{commit}}")])?;
    if !known.status.success() {
        let said = String::from_utf8_lossy(&known.stderr);
        return Err(format!("git knows no such commit: {}", said.lines().next().unwrap_or_default()));
    }
    let listed = ask(&["ls-tree", "-z", "--long", commit, "--", &name])?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr);
        return Err(format!("git cannot list this commit: {}", said.lines().next().unwrap_or_default()));
    }
    match listed.stdout.get(..7) {
        None => return Ok(None),
        Some(b"100644 " | b"100755 " | b"100664 ") => {}
        Some(_) => return Err(format!("{name} is not a regular file in this commit")),
    }
    // `MODE TYPE OBJECT SIZE<TAB>PATH`
    let line = String::from_utf8_lossy(&listed.stdout);
    let mut words = line.split_whitespace().skip(2);
    let (object, size) = (words.next().unwrap_or_default(), words.next().and_then(|size| size.parse::<u64>().ok()));
    if size.is_none_or(|size| size > FILE_BYTES) {
        return Err(format!("{name} of this commit is too large"));
    }
    let read = ask(&["cat-file", "blob", object])?;
    if !read.status.success() {
        return Err(format!("git cannot read {name} of this commit"));
    }
    String::from_utf8(read.stdout).map(Some).map_err(|_| format!("{name} of this commit is not UTF-8"))
}

/// The folder of the working tree that a folder is in, if it is in one.
pub(super) fn working_tree(folder: &Path) -> Option<PathBuf> {
    let told = git(folder).args(["rev-parse", "--show-toplevel"]).output().ok()?;
    let path = told.stdout.strip_suffix(b"\n").filter(|_| told.status.success())?;
    Some(Bytes(path.to_owned()).as_path().to_owned())
}

/// Whether git knows a commit by this name, in the repository that a folder is of.
pub(super) fn is_commit(word: &str, folder: &Path) -> bool {
    let known = || git(folder).args(["cat-file", "-e", &format!("{word}^{{commit}}")]).output();
    may_be_commit(word) && known().is_ok_and(|output| output.status.success())
}

/// No option, and no way to say anything but a commit.
fn may_be_commit(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./@~^".contains(c);
    !word.starts_with('-') && !word.is_empty() && word.chars().all(is_plain)
}
