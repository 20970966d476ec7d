//! What was added or changed since another lock file.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use cargo_lock::{Lockfile, Package};

use super::super::error::AcquireError;
use super::commit::{is_commit, text_of_commit, working_tree};
use super::file::LockFile;
use crate::evidence::line::{Change, LockedPackage};

/// What a lock file is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    /// The file or the commit, as it was typed.
    pub(super) label: String,
    /// Its packages.
    lock: Lockfile,
}

impl Since {
    /// Marks what was not there, or not so.
    pub(super) fn mark(&self, lock: &Lockfile, packages: &mut [LockedPackage]) {
        let mut before: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
        for package in &self.lock.packages {
            before.entry(package.name.as_str()).or_default().push(package);
        }
        for (package, locked) in lock.packages.iter().zip(packages) {
            let known = before.get(package.name.as_str()).map_or(&[][..], Vec::as_slice);
            let is_same = |old: &&Package| {
                old.version == package.version && old.source == package.source && old.checksum == package.checksum
            };
            // A folder may have changed whatever the lock file says.
            locked.change = if known.is_empty() {
                Some(Change::Added)
            } else if !known.iter().any(is_same) {
                Some(Change::Changed { from: known.iter().map(|old| old.version.to_string()).collect() })
            } else {
                None
            };
        }
    }
}

/// Reads the lock file of a commit, or a file. What git knows as a commit is one: else a change that brings a file named
/// like its base would say itself what is new.
pub(super) fn read(word: &str, file: &Path) -> Result<Since, AcquireError> {
    let path = Path::new(word);
    let here = std::env::current_dir().map_err(AcquireError::file("find", Path::new(".")))?;
    let (folder, way) = asked(file, &here);
    let is_file = path.is_file() && !is_commit(word, &folder);
    let lock = if is_file { LockFile::read(path)?.lock } else { of_commit(word, &folder, &way)? };
    Ok(Since { label: word.to_owned(), lock })
}

/// Where git is asked for a lock file, and by which way: in the repository that the user stands in, if the file as it was
/// named lies in that. What lies there now, such as a submodule with commits of its own, may have come with a change.
fn asked(file: &Path, here: &Path) -> (PathBuf, PathBuf) {
    let mut named = PathBuf::new();
    for part in here.join(file).components() {
        match part {
            Component::ParentDir => drop(named.pop()),
            part => named.push(part),
        }
    }
    match (named.parent(), named.file_name()) {
        (Some(folder), Some(name)) if !working_tree(here).is_some_and(|tree| named.starts_with(tree)) => {
            (folder.to_owned(), name.into())
        }
        _ => (here.to_owned(), named),
    }
}

fn of_commit(word: &str, folder: &Path, way: &Path) -> Result<Lockfile, AcquireError> {
    let usage = |message: String| AcquireError::Usage {
        message,
        hint: Some("--since takes a lock file, or what git calls a commit: a branch, a tag, a hash".to_owned()),
    };
    let text = match text_of_commit(word, folder, way) {
        Ok(Some(text)) => text,
        Ok(None) => {
            let message = format!("--since {word}: this commit has no {}", way.display());
            let hint = "for one in a submodule, stand in that; without --since, all packages are told of".to_owned();
            return Err(AcquireError::Usage { message, hint: Some(hint) });
        }
        Err(reason) => return Err(usage(format!("--since {word}: {reason}"))),
    };
    // A commit from before there was a package is a lock file without one.
    match LockFile::parse(text) {
        Ok(file) => Ok(file.lock),
        Err(reason) => Err(usage(format!("--since {word}: its lock file cannot be used: {reason}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str, &str)]) -> LockFile {
        let source = format!("registry+{}", tame_index::CRATES_IO_INDEX);
        let one = |(name, version, sum): &(&str, &str, &str)| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
                sum.repeat(64)
            )
        };
        let all: Vec<_> = packages.iter().map(one).collect();
        LockFile::parse(format!("version = 4\n{}", all.concat())).unwrap()
    }

    #[test]
    fn added_changed_and_the_same_are_told_apart() {
        let old = lock(&[
            ("same", "1.0.0", "a"),
            ("new-version", "1.0.0", "a"),
            ("new-bytes", "1.0.0", "a"),
            ("gone", "1.0.0", "a"),
        ]);
        let new = lock(&[
            ("same", "1.0.0", "a"),
            ("new-version", "1.1.0", "a"),
            ("new-bytes", "1.0.0", "b"),
            ("added", "1.0.0", "a"),
        ]);
        let mut packages = new.packages();
        Since { label: "x".to_owned(), lock: old.lock }.mark(&new.lock, &mut packages);
        let told: Vec<_> = packages.iter().map(|package| (package.id.name.as_str(), package.change.clone())).collect();
        let changed = || Some(Change::Changed { from: vec!["1.0.0".to_owned()] });
        assert_eq!(
            told,
            [("same", None), ("new-version", changed()), ("new-bytes", changed()), ("added", Some(Change::Added))]
        );
    }

    #[test]
    fn what_is_no_name_of_a_commit_never_reaches_git() {
        for word in ["--output=/tmp/x", "-x", "a b", "$(x)", "a:b", ""] {
            read(word, Path::new("/tmp/Cargo.lock")).unwrap_err();
        }
    }
}
