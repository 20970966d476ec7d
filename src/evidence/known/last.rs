//! The last evidence of a package, whatever was examined then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{KnownError, is_ours};
use crate::evidence::EvidenceLog;
use crate::evidence::file::{Opened, open, regular};
use crate::evidence::line::{Line, note};

/// The longest first line that is looked into.
const HEADER: u64 = 16 << 20;

/// The evidence of a folder, the newest first, with the packages that each has.
#[derive(Debug)]
pub struct Shelf(Vec<(PathBuf, BTreeSet<String>)>);

impl Shelf {
    /// Looks at the header of each. What is not ours and what cannot be read is none.
    pub fn new(folder: &Path) -> Self {
        let mut logs: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .filter_map(|path| Some((fs::symlink_metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        logs.sort_by(|one, other| other.cmp(one));
        Self(
            logs.into_iter()
                .filter_map(|(_, path)| Some((packages(&path)?, path)))
                .map(|(ids, path)| (path, ids))
                .collect(),
        )
    }

    /// Where evidence lies that has a package of this name, and of this version if one is named, with its mark or without;
    /// the newest first.
    pub fn with<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> impl Iterator<Item = &'a Path> {
        let is_version = move |found: &str| {
            version.is_none_or(|version| {
                version == found || found.split_once('~').is_some_and(|(plain, _)| version == plain)
            })
        };
        let is_it =
            move |id: &String| id.rsplit_once('@').is_some_and(|(known, found)| known == name && is_version(found));
        self.0.iter().filter(move |(_, ids)| ids.iter().any(is_it)).map(|(path, _)| path.as_path())
    }
}

/// The newest evidence of a build in a folder that has a package of this name, and of this version if one is named. It
/// is whole and verified.
///
/// # Errors
/// When the newest one is damaged.
pub fn last_of(folder: &Path, name: &str, version: Option<&str>) -> Result<Option<Opened>, KnownError> {
    for path in Shelf::new(folder).with(name, version) {
        let opened = open(path)?;
        if is_build(&opened.log) {
            return Ok(Some(opened));
        }
    }
    Ok(None)
}

/// Where nothing was built, nobody has seen what a package tries.
pub fn is_build(log: &EvidenceLog) -> bool {
    log.lines.iter().all(|line| !matches!(line, Line::Note(said) if said.code == note::FACTS_ONLY))
}

/// The packages of the header, of a file of ours.
fn packages(path: &Path) -> Option<BTreeSet<String>> {
    let file: File = regular(path).ok()?;
    is_ours(&file, path).ok()?;
    let mut line = Vec::new();
    BufReader::new(file.take(HEADER)).read_until(b'\n', &mut line).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&line).ok()?;
    let packages = header.get("packages")?.as_array()?.iter();
    Some(packages.filter_map(|package| Some(package.get("id")?.as_str()?.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::{LogBuilder, text_of};

    #[test]
    fn the_newest_of_a_build_answers_and_a_stranger_s_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: &[Line], age: u64| {
            let path = folder.path().join(name);
            fs::write(&path, text_of(lines)).unwrap();
            let time = SystemTime::now() - std::time::Duration::from_secs(age);
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            path
        };
        let build =
            |name: &str| LogBuilder::new().dependency(name, false).build_script("u", |u| u.dns("x.invalid")).lines();
        write("old.jsonl", &build("a"), 300);
        let new = write("new.jsonl", &build("a"), 200);
        write("other.jsonl", &build("b"), 100);
        write("facts.jsonl", &LogBuilder::new().dependency("a", false).note(note::FACTS_ONLY, "x").lines(), 50);
        let of = |name: &str, version: Option<&str>| {
            last_of(folder.path(), name, version).unwrap().map(|opened| opened.path.file_name().unwrap().to_owned())
        };
        assert_eq!(of("a", None).unwrap(), "new.jsonl");
        assert_eq!(of("a", Some("2.0.0")).unwrap(), "new.jsonl");
        assert_eq!((of("a", Some("2.0.1")), of("c", None)), (None, None));
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(of("a", None).unwrap(), "old.jsonl");
    }
}
