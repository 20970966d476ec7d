//! How much lies in folders: who filled them up.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

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

/// Weighs folders with all that is below. Links are not followed. What cannot be read counts for nothing.
pub(super) fn weigh(folders: &[PathBuf]) -> Weight {
    /// `st_blocks` counts in these, whatever the file system (stat(2)).
    const BLOCK: u64 = 512;
    let mut weight = Weight::default();
    let mut left = folders.to_vec();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            weight.names += 1;
            weight.bytes = weight.bytes.saturating_add(found.blocks().saturating_mul(BLOCK));
            if found.is_dir() {
                left.push(entry.path());
            }
            if weight.names >= MOST {
                return weight;
            }
        }
    }
    weight
}

#[cfg(test)]
mod tests {
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
