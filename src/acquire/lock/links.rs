//! Links of a commit: packages of a repository have the read-me file and the licence above them by links. One that leads
//! to a file of the same commit is written out as that file, so that no link is ever made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::super::archive::{make_folders, write_new};
use super::super::copy::open_plain;
use super::super::error::AcquireError;

/// Writes out the links (from each path to where it leads) below `to`, where the commit's files lie, as long as there is
/// room for so many bytes. Gives those that lead to no file of the commit.
pub(super) fn write_out(
    links: BTreeMap<PathBuf, PathBuf>,
    to: &Path,
    mut room: u64,
) -> Result<Vec<PathBuf>, AcquireError> {
    let mut open = links;
    // A link may lead to another one, which is a file when it was written out.
    loop {
        let mut left = BTreeMap::new();
        let before = open.len();
        for (link, target) in open {
            match file_behind(&link, &target, to) {
                Some(file) => room = copy(&file, &link, to, room)?,
                None => drop(left.insert(link, target)),
            }
        }
        if left.len() == before {
            return Ok(left.into_keys().collect());
        }
        open = left;
    }
}

/// The file that a link leads to. None of the folders on the way is a link, because there are none.
fn file_behind(link: &Path, target: &Path, to: &Path) -> Option<PathBuf> {
    let kind = |path: &Path| fs::symlink_metadata(to.join(path)).ok().map(|meta| meta.file_type());
    let mut at = link.parent()?.to_owned();
    let mut entered = false;
    for part in target.components() {
        match part {
            Component::Normal(name) => at.push(name),
            // A name that is no folder here may be a link to one.
            Component::ParentDir if entered && !kind(&at)?.is_dir() => return None,
            Component::ParentDir => at.pop().then_some(())?,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
        entered |= matches!(part, Component::Normal(_));
    }
    kind(&at)?.is_file().then_some(at)
}

/// Gives the room that is left.
fn copy(file: &Path, link: &Path, to: &Path, room: u64) -> Result<u64, AcquireError> {
    let (source, place) = (to.join(file), to.join(link));
    let folder = link.parent().unwrap_or(Path::new(""));
    make_folders(to, folder).map_err(AcquireError::file("create", &place))?;
    let Some((mut contents, is_program)) = open_plain(&source)? else { return Ok(room) };
    let bytes = contents.metadata().map_err(AcquireError::file("read", &source))?.len();
    let Some(left) = room.checked_sub(bytes) else {
        let reason = "what its links lead to is too large".to_owned();
        return Err(AcquireError::NoSuchTarget { path: link.to_owned(), reason });
    };
    write_new(&place, is_program, &mut contents).map_err(AcquireError::file("write", &place))?;
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> tempfile::TempDir {
        let to = tempfile::tempdir().unwrap();
        for file in ["README.md", "a/src/lib.rs", "b"] {
            fs::create_dir_all(to.path().join(file).parent().unwrap()).unwrap();
            fs::write(to.path().join(file), file).unwrap();
        }
        to
    }

    #[test]
    fn what_leads_to_a_file_of_the_commit_is_that_file_and_nothing_else_is_made() {
        let to = commit();
        let links = [
            ("a/README.md", "../README.md"),
            ("a/again", "README.md"),
            ("new/folder/lib.rs", "../../a/./src/lib.rs"),
            ("a/back", "src/../src/lib.rs"),
            ("a/host", "/etc/passwd"),
            ("a/above", "../../b"),
            ("a/folder", "src"),
            ("a/by-a-folder", "folder/../../b"),
            ("a/nothing", "nothing"),
            ("a/round", "circle"),
            ("a/circle", "round"),
        ];
        let links = links.into_iter().map(|(link, target)| (link.into(), target.into())).collect();
        let left = write_out(links, to.path(), 1000).unwrap();
        let named = ["a/above", "a/by-a-folder", "a/circle", "a/folder", "a/host", "a/nothing", "a/round"];
        assert_eq!(left, named.map(PathBuf::from));
        for (link, contents) in [
            ("a/README.md", "README.md"),
            ("a/again", "README.md"),
            ("new/folder/lib.rs", "a/src/lib.rs"),
            ("a/back", "a/src/lib.rs"),
        ] {
            assert!(fs::symlink_metadata(to.path().join(link)).unwrap().is_file(), "{link}");
            assert_eq!(fs::read_to_string(to.path().join(link)).unwrap(), contents, "{link}");
        }
        assert!(named.iter().all(|link| fs::symlink_metadata(to.path().join(link)).is_err()));
    }

    #[test]
    fn links_that_multiply_a_file_end_at_the_bound() {
        let to = commit();
        let links = (0..100).map(|at| (format!("link{at}").into(), "README.md".into())).collect();
        write_out(links, to.path(), 50).unwrap_err();
        assert!(fs::read_dir(to.path()).unwrap().count() < 10);
    }
}
