//! Evidence that outlives its run.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::evidence::EvidenceLog;
use crate::evidence::captured;
use crate::evidence::file::{counters_length, counters_path};
use crate::judge::Verdict;
use crate::settings::{EvidencePlace, Settings};

/// What a run left.
pub(super) struct Left<'a> {
    /// The log.
    pub(super) file: File,
    /// The same, read.
    pub(super) log: &'a EvidenceLog,
    /// Of a log that was cut off.
    pub(super) counters: Option<File>,
    /// The folder of captured bytes.
    pub(super) captured: Option<&'a Path>,
}

/// Copies a log to where evidence is kept, if it is to be kept, and with it what was captured and the counters of one
/// that was cut off. Old evidence goes.
pub(super) fn keep(
    Left { mut file, log, counters, captured }: Left<'_>,
    settings: &Settings,
    verdict: Verdict,
) -> Result<Option<PathBuf>, String> {
    let (dir, wanted) = match &settings.evidence {
        EvidencePlace::Asked(dir) => (dir, true),
        EvidencePlace::State(dir) => (dir, verdict != Verdict::Pass),
    };
    if matches!(settings.evidence, EvidencePlace::State(_)) {
        remove_old(dir, settings.now);
    }
    if !wanted {
        return Ok(None);
    }
    let target = &log.header.target;
    let name = format!("{}-{}-{}-{}.jsonl", target.name, target.version, settings.now, std::process::id());
    let path = dir.join(plain(&name));
    let kept = fs::create_dir_all(dir).and_then(|()| {
        file.rewind()?;
        copy(&mut file, &path)?;
        if let Some(counters) = counters.filter(|_| log.is_cut_off()) {
            copy(&mut counters.take(counters_length(log)), &counters_path(&path))?;
        }
        if let Some(folder) = captured {
            captured::keep(folder, &path)?;
        }
        // As `replay` will name it.
        fs::canonicalize(&path)
    });
    kept.map(Some).map_err(|error| format!("failed to keep the evidence in {}: {error}", dir.display()))
}

fn copy(from: &mut impl io::Read, to: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(from, &mut file).map(drop)
}

/// An archive chooses its name itself.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

fn remove_old(dir: &Path, now: u64) {
    const KEPT_S: u64 = 30 * 24 * 60 * 60;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|meta| meta.modified()).ok();
        let age = changed
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
            .map(|since| now.saturating_sub(since.as_secs()));
        let is_ours = entry.path().extension().is_some_and(|extension| extension == "jsonl" || extension == "counters");
        if age.is_none_or(|age| age <= KEPT_S) {
            continue;
        }
        if is_ours {
            let _ = fs::remove_file(entry.path());
        } else if captured::is_folder(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
