//! Finds the evidence of an earlier run by what decided that run.
//!
//! The folder holds evidence under names for people, and `known/KEY.json` for
//! runs that need not be made again: the name of the file and its SHA-256. An
//! entry is written when its evidence is in place, under another name first, so
//! that a reader sees all of it or nothing. Nothing in it is believed: whoever
//! looks up reads the evidence, and a file that is not the one that was kept is
//! said so. `docs/reuse.md` has the rules.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::captured;
use super::file::{self, COUNTERS, OpenLogError, Opened, regular};
use crate::ids::Sha256Digest;

mod held;
mod last;
mod sweep;

pub use held::{BadEntry, Damage, Held, Holdings, holdings, is_folder};
pub use last::{Shelf, is_build, last_of};
pub use sweep::{Bounds, sweep};

/// The folder of entries in that of evidence.
const ENTRIES: &str = "known";
const FORMAT: &str = "sandbox-check-known";
const VERSION: u32 = 1;
/// An entry is a few lines.
const ENTRY_BYTES: u64 = 64 * 1024;

/// Which evidence answers for a key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    format: String,
    version: u32,
    key: Sha256Digest,
    /// The name of the file in the folder.
    evidence: String,
    sha256: Sha256Digest,
}

/// Why what is there cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// The entry is not one that we wrote.
    #[error("understand {}", .0.display())]
    Entry(PathBuf),
    /// Another user could have written it.
    #[error("trust {}: others may write it", .0.display())]
    Foreign(PathBuf),
    /// The evidence is not the file that was kept.
    #[error("trust {}: it is not the file that was kept", .0.display())]
    Other(PathBuf),
    /// The evidence is damaged.
    #[error(transparent)]
    Evidence(#[from] OpenLogError),
    /// The system does not let us.
    #[error("read {}", .path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the folder, readable for its owner only.
pub fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The whole evidence of the run with this key, if there is one. Its links and its digest are those that were kept.
///
/// # Errors
/// When something is there and cannot be used.
pub fn find(folder: &Path, key: Sha256Digest) -> Result<Option<Opened>, KnownError> {
    let at = entry_path(folder, key);
    let Some(entry) = entry(&at, key)? else { return Ok(None) };
    read(folder, &entry.evidence, entry.sha256)
}

/// The whole evidence with this name and digest, if it is there.
///
/// # Errors
/// When something else is there.
pub fn read(folder: &Path, name: &str, sha256: Sha256Digest) -> Result<Option<Opened>, KnownError> {
    let path = folder.join(name);
    if !is_file_name(name) {
        return Err(KnownError::Other(path));
    }
    let file = match regular(&path) {
        Ok(file) => file,
        // It was old, or somebody needed the room.
        Err(OpenLogError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    is_ours(&file, &path)?;
    let log = file::read(file, &path)?;
    if log.sha256 != Some(sha256) || log.is_cut_off() {
        return Err(KnownError::Other(path));
    }
    let path = fs::canonicalize(&path).map_err(|source| KnownError::Read { path, source })?;
    Ok(Some(Opened { log, path }))
}

fn entry(at: &Path, key: Sha256Digest) -> Result<Option<Entry>, KnownError> {
    let file = match regular(at) {
        Ok(file) => file,
        Err(OpenLogError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    is_ours(&file, at)?;
    let mut text = Vec::new();
    let read = file.take(ENTRY_BYTES).read_to_end(&mut text);
    read.map_err(|source| KnownError::Read { path: at.to_owned(), source })?;
    let entry: Entry = serde_json::from_slice(&text).map_err(|_| KnownError::Entry(at.to_owned()))?;
    if entry.format != FORMAT || entry.version != VERSION || entry.key != key || !is_file_name(&entry.evidence) {
        return Err(KnownError::Entry(at.to_owned()));
    }
    Ok(Some(entry))
}

fn is_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| *file == *name)
}

/// A stranger's evidence must not answer for us.
fn is_ours(file: &File, path: &Path) -> Result<(), KnownError> {
    let meta = file.metadata().map_err(|source| KnownError::Read { path: path.to_owned(), source })?;
    let is_ours = meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    if is_ours { Ok(()) } else { Err(KnownError::Foreign(path.to_owned())) }
}

/// Lets kept evidence answer for a key from now on, in the place of what did before.
///
/// # Errors
/// When the entry cannot be written.
pub fn put(evidence: &Path, key: Sha256Digest, sha256: Sha256Digest) -> io::Result<()> {
    let (Some(folder), Some(name)) = (evidence.parent(), evidence.file_name().and_then(|name| name.to_str())) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let entry = Entry { format: FORMAT.to_owned(), version: VERSION, key, evidence: name.to_owned(), sha256 };
    let entries = folder.join(ENTRIES);
    make(&entries)?;
    // Readable for its owner only.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&entries)?;
    serde_json::to_writer_pretty(&mut file, &entry)?;
    file.write_all(b"\n")?;
    file.persist(entry_path(folder, key))?;
    Ok(())
}

/// Removes an entry and the evidence that it names, as far as they are ours.
pub fn remove(folder: &Path, key: Sha256Digest) {
    let at = entry_path(folder, key);
    if let Ok(Some(entry)) = entry(&at, key) {
        remove_evidence(&folder.join(entry.evidence));
    }
    if fs::symlink_metadata(&at).is_ok_and(|meta| is_of_us(&meta)) {
        let _ = fs::remove_file(at);
    }
}

fn remove_evidence(path: &Path) {
    let is_log = path.extension().is_some_and(|extension| extension == "jsonl");
    if is_log && fs::symlink_metadata(path).is_ok_and(|meta| is_of_us(&meta)) {
        let _ = fs::remove_file(path);
        let _ = fs::remove_file(super::file::counters_path(path));
        let _ = fs::remove_dir_all(captured::folder_of(path));
    }
}

fn is_of_us(meta: &fs::Metadata) -> bool {
    meta.uid() == nix::unistd::geteuid().as_raw()
}

fn entry_path(folder: &Path, key: Sha256Digest) -> PathBuf {
    folder.join(ENTRIES).join(format!("{}.json", key.hex()))
}

/// True for the name of what we keep: a log, or what lies beside one.
fn is_evidence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".jsonl") || name.ends_with(format!(".jsonl{COUNTERS}").as_bytes()) || captured::is_folder(path)
}

#[cfg(test)]
mod tests;
