//! Keeps the folder of evidence within bounds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{ENTRIES, is_evidence, is_of_us};

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Seconds since a run.
    pub age: u64,
    /// Bytes of all runs.
    pub bytes: u64,
    /// Seconds for which nothing goes for want of room: somebody is about to read it.
    pub young: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        const HOUR: u64 = 60 * 60;
        Self { age: 30 * 24 * HOUR, bytes: 1 << 30, young: HOUR }
    }
}

/// All that is kept of one run.
#[derive(Default)]
pub(super) struct Run {
    pub(super) parts: Vec<PathBuf>,
    pub(super) bytes: u64,
    /// Of its newest part.
    pub(super) age: u64,
}

/// All runs of which a folder holds something of ours, by name.
pub(super) fn runs(folder: &Path, now: u64) -> BTreeMap<Vec<u8>, Run> {
    let mut runs: BTreeMap<Vec<u8>, Run> = BTreeMap::new();
    for (path, meta, age) in entries(folder, now).filter(|(path, ..)| is_evidence(path)) {
        let bytes = if meta.is_dir() { entries(&path, now).map(|(_, meta, _)| meta.len()).sum() } else { meta.len() };
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let log = name.windows(6).position(|part| part == b".jsonl").and_then(|at| name.get(..at));
        let run = runs.entry(log.unwrap_or(name).to_vec()).or_default();
        run.age = if run.parts.is_empty() { age } else { run.age.min(age) };
        run.bytes += bytes;
        run.parts.push(path);
    }
    runs
}

/// Removes what is too old, and the oldest of what is too much. What is not ours stays, whatever it is called.
pub fn sweep(folder: &Path, now: u64, bounds: Bounds) {
    let runs = runs(folder, now);
    let mut total: u64 = runs.values().map(|run| run.bytes).sum();
    let mut oldest: Vec<_> = runs.into_values().collect();
    oldest.sort_by_key(|run| std::cmp::Reverse(run.age));
    for run in oldest {
        if run.age > bounds.age || (total > bounds.bytes && run.age > bounds.young) {
            total -= run.bytes;
            run.parts.iter().for_each(|part| remove(part));
        }
    }
    // Evidence that is gone is missed by nobody: the entry that named it is as old.
    for (path, meta, age) in entries(&folder.join(ENTRIES), now) {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let is_left = name.starts_with(b".new-") && age > bounds.young;
        let is_old = name.ends_with(b".json") && age > bounds.age;
        if meta.is_file() && (is_left || is_old) {
            remove(&path);
        }
    }
}

/// What of a folder is ours, with its age.
pub(super) fn entries(folder: &Path, now: u64) -> impl Iterator<Item = (PathBuf, fs::Metadata, u64)> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(move |entry| {
        let meta = entry.metadata().ok().filter(is_of_us)?;
        let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some((entry.path(), meta, now.saturating_sub(changed)))
    })
}

pub(super) fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
}
