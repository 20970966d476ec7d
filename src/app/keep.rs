//! Evidence that outlives its run.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::tell::{Teller, warn};
use crate::evidence::EvidenceLog;
use crate::evidence::file::{counters_length, counters_path};
use crate::evidence::{captured, known};
use crate::ids::Sha256Digest;
use crate::judge::Verdict;
use crate::settings::Settings;

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

/// What later runs want of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Later {
    /// It answers for those with this key.
    pub(super) key: Option<Sha256Digest>,
    /// They may take units from it.
    pub(super) is_base: bool,
}

/// Where it lies now.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// For people and `replay`.
    pub(super) shown: Option<PathBuf>,
    /// In our own folder.
    pub(super) own: Option<PathBuf>,
}

/// Keeps a log if it is to be kept, and with it what was captured and the counters of one that was cut off.
///
/// # Errors
/// When it cannot be kept where it was asked for. Our own directory is a convenience: it gets a warning.
pub(super) fn keep(
    mut left: Left<'_>,
    settings: &Settings,
    verdict: Verdict,
    later: Later,
    teller: &Teller,
) -> Result<Kept, String> {
    let asked = keep_asked(&mut left, settings)?;
    let wanted = later.key.is_some() || later.is_base || (asked.is_none() && verdict != Verdict::Pass);
    if !wanted {
        return Ok(Kept { shown: asked, own: None });
    }
    let dir = &settings.known;
    let kept = known::make(dir).and_then(|()| lay(&mut left, dir, settings.now)).and_then(|path| {
        if let (Some(key), Some(sha256)) = (later.key, left.log.sha256) {
            known::put(&path, key, sha256)?;
        }
        Ok(path)
    });
    match kept {
        Ok(path) => Ok(Kept { shown: asked.or_else(|| Some(path.clone())), own: Some(path) }),
        Err(error) => {
            warn(&format!("the evidence is not kept in {}: {error}", dir.display()), teller);
            Ok(Kept { shown: asked, own: None })
        }
    }
}

/// Copies a log to the directory that was asked for, if one was.
///
/// # Errors
/// When it cannot be kept there.
pub(super) fn keep_asked(left: &mut Left<'_>, settings: &Settings) -> Result<Option<PathBuf>, String> {
    let Some(dir) = &settings.evidence else { return Ok(None) };
    let kept = fs::create_dir_all(dir).and_then(|()| lay(left, dir, settings.now));
    kept.map(Some).map_err(|error| format!("failed to keep the evidence in {}: {error}", dir.display()))
}

/// The path, as `replay` will name it.
fn lay(left: &mut Left<'_>, dir: &Path, now: u64) -> io::Result<PathBuf> {
    let target = &left.log.header.target;
    let name = target.label().replace(' ', "-");
    // The end of a path says more than its beginning, and names of files are bounded.
    let skip = name.chars().count().saturating_sub(150);
    let name: String = name.chars().skip(skip).collect();
    let name = format!("{name}-{now}-{}.jsonl", std::process::id());
    let path = dir.join(plain(&name));
    left.file.rewind()?;
    copy(&mut left.file, &path)?;
    if let Some(counters) = left.counters.as_mut().filter(|_| left.log.is_cut_off()) {
        counters.rewind()?;
        copy(&mut counters.take(counters_length(left.log)), &counters_path(&path))?;
    }
    if let Some(folder) = left.captured {
        captured::keep(folder, &path)?;
    }
    fs::canonicalize(&path)
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
