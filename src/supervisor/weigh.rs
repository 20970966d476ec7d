//! How much lies in folders: who filled them up.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::dir::Dir;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

/// Names that are looked at, at most, for each unit: whoever has more has the most.
const MOST: u64 = 1 << 18;

/// What lies below some folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Allocated bytes.
    pub(super) bytes: u64,
    /// Files, folders, links and all else that has a name.
    pub(super) names: u64,
}

/// Weighs folders with all that is below. Links are not followed. What cannot be read counts for nothing, nor what lies
/// deeper than anybody's build does.
pub(super) fn weigh(folders: &[PathBuf]) -> Weight {
    let mut weight = Weight::default();
    for folder in folders {
        if let Ok(folder) = openat(AT_FDCWD, folder.as_path(), FOLDER, Mode::empty()) {
            add(&folder, DEEPEST, &mut weight);
        }
    }
    weight
}

/// The folder itself, never one that a link leads to: units may put links anywhere below their places.
const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// One descriptor is held for each level.
const DEEPEST: u32 = 64;

fn add(folder: &OwnedFd, levels: u32, weight: &mut Weight) {
    /// `st_blocks` counts in these, whatever the file system (stat(2)).
    const BLOCK: u64 = 512;
    let Some(mut entries) = folder.try_clone().ok().and_then(|folder| Dir::from_fd(folder).ok()) else { return };
    let mut below = Vec::new();
    for entry in entries.iter().flatten() {
        let name: &CStr = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(found) = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        weight.names += 1;
        weight.bytes = weight.bytes.saturating_add(found.st_blocks.unsigned_abs().saturating_mul(BLOCK));
        if found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits() {
            below.push(name.to_owned());
        }
        if weight.names >= MOST {
            return;
        }
    }
    for name in below.into_iter().filter(|_| levels > 0) {
        if let Ok(inner) = openat(folder, name.as_c_str(), FOLDER, Mode::empty()) {
            add(&inner, levels - 1, weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_below_counts_and_what_a_link_leads_to_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        fs::create_dir_all(here.join("deep/er")).unwrap();
        fs::create_dir(&there).unwrap();
        fs::write(there.join("large"), vec![1; 1 << 20]).unwrap();
        fs::write(here.join("deep/er/small"), vec![1; 1 << 16]).unwrap();
        std::os::unix::fs::symlink(&there, here.join("link")).unwrap();
        let weight = weigh(&[here, dir.path().join("absent")]);
        assert_eq!(weight.names, 4, "deep, er, small, link");
        assert!((1 << 16..1 << 18).contains(&weight.bytes), "{weight:?}");
    }
}
