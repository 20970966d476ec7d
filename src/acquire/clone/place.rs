//! Where the parts of a clone lie, and what its files say, read without git or as text that git is handed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::super::lock::{git, small_text};
use super::objects::{bounded, is_name};

/// Folders and files below the folder of objects.
const ENTRIES: usize = 1_000_000;
/// Addresses that are taken over.
const REMOTES: usize = 8;

/// The parts of a clone.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder of objects.
    pub(super) objects: PathBuf,
    /// The commits whose parents are left out.
    pub(super) shallow: Vec<String>,
    /// The commit that is checked out, if that can be told.
    pub(super) head: Option<String>,
    /// The text of its configuration.
    config: String,
}

impl Place {
    /// Finds the parts in a clone with a working tree or in a bare one.
    pub(super) fn find(folder: &Path) -> Result<Self, String> {
        let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        // The user may name a link; what it holds may be none.
        let root = folder.canonicalize().map_err(|error| error.to_string())?;
        let (git, head) = match root.join(".git") {
            inner if is_folder(&inner) => (inner.clone(), inner),
            inner if inner.symlink_metadata().is_ok() => linked(&root, &inner).ok_or(
                "its .git is no folder, and no file that leads to a clone which has this folder as a working tree: name \
                 the clone itself, or a new one of a submodule's repository",
            )?,
            _ => (root.clone(), root),
        };
        let objects = git.join("objects");
        if !is_folder(&objects) || !head.join("HEAD").is_file() {
            return Err("it is no clone of a git repository".to_owned());
        }
        if objects.join("info/alternates").symlink_metadata().is_ok() {
            return Err("it borrows objects from another repository (objects/info/alternates): make a clone without \
                        --shared and --reference"
                .to_owned());
        }
        only_plain_files(&objects)?;
        let read = |name: &str| small_text(&git.join(name)).map_err(|error| error.to_string());
        let shallow = read("shallow")?.unwrap_or_default();
        let shallow: Vec<String> = shallow.lines().map(str::to_owned).collect();
        if !shallow.iter().all(|line| is_name(line)) {
            return Err("its file `shallow` names no commits".to_owned());
        }
        let head = small_text(&head.join("HEAD")).map_err(|error| error.to_string())?;
        let head = head.and_then(|text| commit_of(&git, text.trim()));
        Ok(Self { objects, shallow, head, config: read("config")?.unwrap_or_default() })
    }

    /// The addresses of its remotes. git reads the text from a pipe, and follows no `include` of it.
    pub(super) fn remotes(&self) -> Result<Vec<String>, String> {
        let bare = self.bare("")?;
        let mut command = git(bare.path());
        command.args(["config", "--file", "-", "--no-includes", "-z", "--get-regexp", r"^remote\..*\.url$"]);
        let text = bounded(command, |mut questions, mut answers| {
            // A git that stops reading has said what is wrong.
            let _ = questions.write_all(self.config.as_bytes());
            drop(questions);
            let mut text = String::new();
            std::io::Read::read_to_string(&mut answers, &mut text).map_err(|error| error.to_string())?;
            Ok(text)
        });
        // Nothing found is a failure for git, and one that cannot be read names no remote either.
        let text = text.map(|(text, _)| text)?;
        let values = text.split('\0').filter_map(|one| one.split_once('\n')).map(|(_, value)| value.to_owned());
        Ok(values.take(REMOTES).collect())
    }

    /// An empty repository of ours, of the kind that has such names, which knows where the clone's history is cut off.
    pub(super) fn bare(&self, name: &str) -> Result<tempfile::TempDir, String> {
        let make = || {
            let bare = tempfile::tempdir()?;
            fs::create_dir(bare.path().join("refs"))?;
            fs::create_dir(bare.path().join("objects"))?;
            fs::write(bare.path().join("HEAD"), "ref: refs/heads/none\n")?;
            let kind = if name.len() == 64 { "sha256" } else { "sha1" };
            let config = format!(
                "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = {kind}\n"
            );
            fs::write(bare.path().join("config"), config)?;
            if !self.shallow.is_empty() {
                fs::write(bare.path().join("shallow"), self.shallow.join("\n") + "\n")?;
            }
            Ok(bare)
        };
        make().map_err(|error: std::io::Error| format!("cannot make a folder to read it in: {error}"))
    }
}

/// The clone of a linked working tree, and the folder that the clone has for it. The file in the tree may name any folder, so
/// it counts only where the clone names the file in turn: who prepared the tree cannot make somebody else's clone do that.
fn linked(root: &Path, file: &Path) -> Option<(PathBuf, PathBuf)> {
    let of = |path: &Path| small_text(path).ok()?.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    let folder = root.join(of(file)?.strip_prefix("gitdir: ")?).canonicalize().ok()?;
    let clone = folder.parent().filter(|parent| parent.ends_with("worktrees"))?.parent()?;
    let is_of_clone = folder.join(of(&folder.join("commondir"))?).canonicalize().ok()? == clone;
    let named = folder.join(of(&folder.join("gitdir"))?);
    let is_named = named.ends_with(".git") && named.parent()?.canonicalize().ok()? == root;
    let clone = clone.to_owned();
    (is_of_clone && is_named).then_some((clone, folder))
}

/// Links could lead elsewhere, and a FIFO would be waited for.
fn only_plain_files(objects: &Path) -> Result<(), String> {
    let mut folders = vec![objects.to_owned()];
    let mut count = 0_usize;
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("its objects cannot be listed: {error}"))?;
        for entry in entries.flatten() {
            count += 1;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => {}
                _ => return Err(format!("objects/…/{} is no plain file", entry.file_name().display())),
            }
        }
        if count > ENTRIES {
            return Err(format!("it has more than {ENTRIES} files of objects: run `git gc` in it"));
        }
    }
    Ok(())
}

/// The commit that a text of `HEAD` means: a name, or a branch that is looked for in its file and in the packed ones.
fn commit_of(git: &Path, text: &str) -> Option<String> {
    let Some(branch) = text.strip_prefix("ref: ") else { return is_name(text).then(|| text.to_owned()) };
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    if !branch.starts_with("refs/") || !branch.split('/').all(is_plain) {
        return None;
    }
    let loose = small_text(&git.join(branch)).ok()?;
    let packed = || {
        let text = small_text(&git.join("packed-refs")).ok()??;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(_, name)| *name == branch).map(|(commit, _)| commit.to_owned())
    };
    loose.map(|text| text.trim().to_owned()).or_else(packed).filter(|name| is_name(name))
}
