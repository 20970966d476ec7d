//! Looks at all that a folder of evidence holds, and says what of it is not what was kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::sweep::{Run, entries, runs};
use super::{ENTRIES, KnownError, entry, is_ours};
use crate::evidence::baselines;
use crate::evidence::captured;
use crate::evidence::file::{open, regular};
use crate::evidence::line::{Line, Target};
use crate::evidence::log::EvidenceLog;
use crate::ids::Sha256Digest;

/// Why something is not what was kept.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// Parts of a run without its log.
    #[error("there is no log to it")]
    NoLog,
    /// The log or what leads to it cannot be used.
    #[error("cannot {0}")]
    Unusable(#[from] KnownError),
    /// Captured bytes are others, or are gone.
    #[error("{} has not the bytes that were captured", .0.display())]
    Captured(PathBuf),
    /// What is kept for comparisons has another digest, or others can write it.
    #[error("it is not what was kept to compare with")]
    Baseline,
}

/// All that is held of one run.
#[derive(Debug)]
pub struct Held {
    /// The log, or what is left of a run without one.
    pub path: PathBuf,
    /// Of all parts.
    pub bytes: u64,
    /// Seconds since it was written.
    pub age: u64,
    /// What was examined, where the log can be read.
    pub target: Option<Target>,
    /// True if it answers for later runs with the same inputs.
    pub answers: bool,
    /// Why it is not what was kept.
    pub damage: Option<Damage>,
    parts: Vec<PathBuf>,
}

impl Held {
    /// Removes all of it.
    pub fn remove(&self) {
        self.parts.iter().for_each(|part| super::sweep::remove(part));
    }
}

/// An entry that cannot be used.
#[derive(Debug)]
pub struct BadEntry {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub damage: Damage,
}

impl BadEntry {
    /// Removes it.
    pub fn remove(&self) {
        super::sweep::remove(&self.path);
    }
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Holdings {
    /// The oldest first.
    pub runs: Vec<Held>,
    /// Entries that lead to nothing that could answer.
    pub entries: Vec<BadEntry>,
}

/// Reads all of a folder: each link and digest of each log, the bytes beside it, each entry, and what is kept to compare
/// with. What belongs to another user is not looked at: it answers for nobody.
pub fn holdings(folder: &Path, now: u64) -> Holdings {
    let mut found = Holdings::default();
    let mut answering: BTreeMap<PathBuf, Sha256Digest> = BTreeMap::new();
    for (path, meta, _) in entries(&folder.join(ENTRIES), now) {
        let key = path.file_stem().and_then(|stem| stem.to_str()).and_then(|hex| format!("sha256:{hex}").parse().ok());
        let is_entry = path.extension().is_some_and(|extension| extension == "json");
        let Some(key) = key.filter(|_| is_entry && meta.is_file()) else { continue };
        match entry(&path, key) {
            Ok(Some(entry)) => {
                answering.insert(folder.join(entry.evidence), entry.sha256);
            }
            Ok(None) => {}
            Err(error) => found.entries.push(BadEntry { path, damage: error.into() }),
        }
    }
    let damaged = baselines::damaged(folder).into_iter();
    found.entries.extend(damaged.map(|path| BadEntry { path, damage: Damage::Baseline }));
    found.runs = runs(folder, now).into_values().map(|run| look(run, &answering)).collect();
    found.runs.sort_by_key(|held| std::cmp::Reverse(held.age));
    found
}

fn look(run: Run, answering: &BTreeMap<PathBuf, Sha256Digest>) -> Held {
    let log = run.parts.iter().find(|part| part.extension().is_some_and(|extension| extension == "jsonl"));
    let path = log.or(run.parts.first()).cloned().unwrap_or_default();
    let mut held =
        Held { bytes: run.bytes, age: run.age, target: None, answers: false, damage: None, parts: run.parts, path };
    let (target, damage) = match examine(&held.path, answering.get(&held.path)) {
        Ok(target) => (Some(target), None),
        Err(damage) => (None, Some(damage)),
    };
    held.answers = damage.is_none() && answering.contains_key(&held.path);
    (held.target, held.damage) = (target, damage);
    held
}

/// Reads a log with all that lies beside it.
fn examine(path: &Path, kept: Option<&Sha256Digest>) -> Result<Target, Damage> {
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return Err(Damage::NoLog);
    }
    let file = regular(path).map_err(KnownError::from)?;
    is_ours(&file, path)?;
    let log = open(path).map_err(KnownError::from)?.log;
    if kept.is_some_and(|kept| log.sha256 != Some(*kept) || log.is_cut_off()) {
        return Err(KnownError::Other(path.to_owned()).into());
    }
    beside(path, &log)?;
    Ok(log.header.target)
}

/// Holds captured bytes against the digests that the log names them by.
fn beside(path: &Path, log: &EvidenceLog) -> Result<(), Damage> {
    let folder = captured::folder_of(path);
    let mut seen = BTreeMap::new();
    for line in &log.lines {
        let Line::Artifact(artifact) = line else { continue };
        let Some(digest) = artifact.sha256.filter(|_| artifact.kept > 0) else { continue };
        // Of what was not kept whole only the length is known.
        let is_whole = !artifact.truncated && artifact.kept == artifact.size;
        let known = seen.entry(digest).or_insert((artifact.kept, is_whole));
        *known = (known.0.max(artifact.kept), known.1 || is_whole);
    }
    for (digest, (kept, is_whole)) in seen {
        let at = folder.join(digest.hex());
        let (mut length, mut hash) = (0_u64, Sha256::new());
        let mut file = regular(&at).map_err(|_| Damage::Captured(at.clone()))?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = file.read(&mut buffer).map_err(|_| Damage::Captured(at.clone()))?;
            if count == 0 {
                break;
            }
            length = length.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            hash.update(buffer.get(..count).unwrap_or_default());
        }
        if length < kept || is_whole && Sha256Digest(hash.finalize().into()) != digest {
            return Err(Damage::Captured(at));
        }
    }
    Ok(())
}

/// True if there is such a folder.
pub fn is_folder(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir())
}
