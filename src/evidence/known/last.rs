//! The last evidence of a package, whatever was examined then.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{KnownError, is_ours};
use crate::evidence::file::{OpenLogError, Opened, open, regular};
use crate::evidence::line::{Line, note};

/// The longest first line that is looked into.
const HEADER: u64 = 16 << 20;

/// The newest evidence of a build in a folder that has a package of this name, and of this version if one is named. What is not
/// ours and what cannot be read is none; an answer is whole and verified.
///
/// # Errors
/// When the newest one is damaged.
pub fn last_of(folder: &Path, name: &str, version: Option<&str>) -> Result<Option<Opened>, KnownError> {
    let mut logs: Vec<(SystemTime, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .filter_map(|path| Some((fs::symlink_metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    logs.sort_by(|one, other| other.cmp(one));
    for (_, path) in logs.into_iter().filter(|(_, path)| has_package(path, name, version)) {
        let opened = open(&path)?;
        // Where nothing was built, nobody has seen what the package tries.
        let is_build = |line: &Line| !matches!(line, Line::Note(said) if said.code == note::FACTS_ONLY);
        if opened.log.lines.iter().all(is_build) {
            return Ok(Some(opened));
        }
    }
    Ok(None)
}

/// Looks at the header alone.
fn has_package(path: &Path, name: &str, version: Option<&str>) -> bool {
    let header = || -> Result<serde_json::Value, OpenLogError> {
        let file: File = regular(path)?;
        let mut line = Vec::new();
        let is_ours = is_ours(&file, path).is_ok();
        let read = BufReader::new(file.take(HEADER)).read_until(b'\n', &mut line).is_ok();
        Ok(serde_json::from_slice(&line).ok().filter(|_| is_ours && read).unwrap_or_default())
    };
    let header = header().unwrap_or_default();
    let packages = header.get("packages").and_then(serde_json::Value::as_array);
    packages
        .into_iter()
        .flatten()
        .filter_map(|package| package.get("id")?.as_str()?.rsplit_once('@'))
        .any(|(known, found)| known == name && version.is_none_or(|version| version == found))
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
