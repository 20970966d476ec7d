//! A file as it was at a commit of the user's own repository.

use std::path::Path;
use std::process::Output;

use super::git::git;

/// More than any file has that is read so.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The text that a file had at a commit; none if it was not there. `git cat-file` runs no filter, hook or program of the
/// repository's.
///
/// # Errors
/// When there is no such commit, or git cannot say, in words.
pub fn text_of_commit(commit: &str, file: &Path) -> Result<Option<String>, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./@~^".contains(c);
    if commit.starts_with('-') || commit.is_empty() || !commit.chars().all(is_plain) {
        return Err("there is no such file, and no commit is called so".to_owned());
    }
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        return Err("the file lies in no folder".to_owned());
    };
    let ask = |args: &[&str]| -> Result<Output, String> {
        git(folder).args(args).output().map_err(|error| format!("cannot start git: {error}"))
    };
    let known = ask(&["cat-file", "-e", &format!("{commit}^{{commit}}")])?;
    if !known.status.success() {
        let said = String::from_utf8_lossy(&known.stderr);
        return Err(format!("git knows no such commit: {}", said.lines().next().unwrap_or_default()));
    }
    let listed = ask(&["ls-tree", "-z", "--long", commit, "--", &format!("./{name}")])?;
    if !listed.status.success() {
        return Err("git cannot list the files of this commit".to_owned());
    }
    match listed.stdout.get(..7) {
        None => return Ok(None),
        Some(b"100644 " | b"100755 " | b"100664 ") => {}
        Some(_) => return Err(format!("{name} is not a regular file in this commit")),
    }
    // `MODE TYPE OBJECT SIZE<TAB>PATH`
    let line = String::from_utf8_lossy(&listed.stdout);
    let size = line.split_whitespace().nth(3).and_then(|size| size.parse::<u64>().ok());
    if size.is_none_or(|size| size > FILE_BYTES) {
        return Err(format!("{name} of this commit is too large"));
    }
    let read = ask(&["cat-file", "blob", &format!("{commit}:./{name}")])?;
    if !read.status.success() {
        return Err(format!("git cannot read {name} of this commit"));
    }
    String::from_utf8(read.stdout).map(Some).map_err(|_| format!("{name} of this commit is not UTF-8"))
}
