//! RustSec's database of advisories as one archive: downloaded, kept for a day, told with its age.
//!
//! Nothing of it is unpacked: who reads it reads the archive. No failure here fails a run; it is told instead.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use super::config::CargoConfig;
use super::http::Client;
use super::reputation::{bounds, keep};
use super::settings::{AcquireSettings, Limits};
use super::sources::Source;
use crate::evidence::time::DAY;
use crate::ids::Sha256Digest;

/// Where RustSec's own archive is.
const HOME: &str = "https://github.com/RustSec/advisory-db/archive/refs/heads/main.tar.gz";
/// It has a few megabytes.
const ARCHIVE: u64 = 64 * 1024 * 1024;
/// Unpacked it has some ten.
const UNPACKED: u64 = 512 * 1024 * 1024;
/// How long one is used before a newer one is asked for.
const LASTS: u64 = DAY;
/// How long nobody asks again after a failure.
const PAUSE: u64 = 60 * 60;
/// The whole download takes no longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest reason that is kept.
const REASON: u64 = 4096;

/// A database that was downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The archive.
    pub path: PathBuf,
    /// When it was downloaded, in seconds since the Unix epoch.
    pub fetched: u64,
    /// Why there is no newer one, if one was due.
    pub overdue: Option<String>,
}

/// The database of the day, from `url` or from where RustSec has it.
///
/// Where cargo's configuration replaces the default registry, this machine is to ask that one and no other, so only an
/// address that the user named is asked.
///
/// # Errors
/// When there is none, in words.
pub fn advisories(settings: &AcquireSettings, url: Option<&str>, now: u64) -> Result<Kept, String> {
    let address = url.unwrap_or(HOME);
    let name = Sha256Digest(Sha256::digest(address).into()).hex();
    let folder = settings.cache_dir.join("advisories");
    let path = folder.join(format!("{}.tar.gz", name.get(..16).unwrap_or(&name)));
    let fetched = changed(&path);
    let is_due = |time: u64, lasts: u64| now.checked_sub(time).is_none_or(|age| age >= lasts);
    if let Some(fetched) = fetched.filter(|time| !is_due(*time, LASTS)) {
        return Ok(Kept { path, fetched, overdue: None });
    }
    let failed = path.with_extension("failed");
    let outcome = match changed(&failed) {
        Some(time) if !is_due(time, PAUSE) && !settings.offline => Err(said(&failed)),
        _ => download(settings, url.is_some(), address).and_then(|bytes| {
            let kept = keep(&folder, &path, &bytes);
            kept.map_err(|error| format!("it cannot be kept in {}: {error}", folder.display()))
        }),
    };
    let Err(reason) = outcome else { return Ok(Kept { path, fetched: now, overdue: None }) };
    if !settings.offline && changed(&failed).is_none_or(|time| is_due(time, PAUSE)) {
        let _ = keep(&folder, &failed, reason.as_bytes());
    }
    match fetched {
        Some(fetched) => Ok(Kept { path, fetched, overdue: Some(reason) }),
        None => Err(reason),
    }
}

fn download(settings: &AcquireSettings, is_named: bool, address: &str) -> Result<Vec<u8>, String> {
    let config =
        CargoConfig::of_cargo(&settings.cargo_home, &settings.environment).map_err(|error| error.to_string())?;
    if settings.offline || config.offline() {
        return Err("offline".to_owned());
    }
    let source = config.source_of(tame_index::CRATES_IO_INDEX).map_err(|error| error.to_string())?;
    if !is_named && source != Source::default() {
        return Err("cargo's configuration replaces the registry, so no other address is asked unless \
                    --advisory-url names it"
            .to_owned());
    }
    let transport = config.transport().map_err(|error| error.to_string())?;
    let limits = Limits { transfer: PATIENCE, ..bounds(&settings.limits) };
    let client = Client::new(&transport, &limits, Instant::now() + PATIENCE, address);
    let bytes = client.and_then(|client| client.get(address, None, ARCHIVE)).map_err(|error| error.to_string())?;
    if is_database(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("{address}: the answer is no .tar.gz archive of advisories"))
    }
}

/// True if it can be read to its end and has advisories. Whatever else is kept would answer for a day, in the place of one
/// that can be read.
fn is_database(bytes: &[u8]) -> bool {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(UNPACKED));
    let Ok(mut entries) = archive.entries() else { return false };
    let has_advisories = entries.try_fold(false, |found, entry| {
        let entry = entry.ok()?;
        // `advisory-db-main/crates/…`
        Some(found || entry.path().is_ok_and(|path| path.iter().nth(1).is_some_and(|folder| folder == "crates")))
    });
    has_advisories.unwrap_or_default()
}

fn changed(path: &Path) -> Option<u64> {
    let time = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.modified().ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn said(path: &Path) -> String {
    let bytes = super::registry::read_bounded(path, REASON).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
