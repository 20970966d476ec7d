//! A cache as one file, from one machine to another, with a code that only who has the key can make.
//!
//! A line that says what it is and has the code, then a stream of files. What comes in is copied to a private file while
//! the code is computed, and nothing of it is looked at before the two agree. Without a key only logs come in, to be read
//! and replayed: they answer for no run, and no unit is taken from them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::base::stream::{Entry, EntryKind, read_entry};
use crate::base::tree::Tree;
use crate::evidence::known;
use crate::ids::Sha256Digest;

const FORMAT: &str = "sandbox-check-cache-export";
const VERSION: u32 = 1;
/// Of the first line.
const LINE: u64 = 4096;
/// A key that is shorter can be guessed.
const KEY_BYTES: usize = 32;
/// The variable with the key.
const VARIABLE: &str = "SANDBOX_CHECK_CACHE_KEY";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    format: String,
    version: u32,
    /// HMAC-SHA-256 of all that follows; none without a key.
    hmac: Option<Sha256Digest>,
}

/// What came of an export.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    /// The new file.
    pub(super) file: PathBuf,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// True if it has a code: without one it answers for no run.
    pub(super) sealed: bool,
}

/// What came of an import.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Brought {
    /// Files that are here now.
    pub(super) files: u64,
    /// Those that were here before, and stayed.
    pub(super) known: u64,
    /// Those that were left where they were, for want of a key.
    pub(super) left_out: u64,
}

/// Why nothing was exported or imported.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassageError {
    /// No key that could be one.
    #[error("use the key: it must have at least {KEY_BYTES} bytes")]
    Key,
    /// It is no export.
    #[error("understand {}: it is no export of a cache", .0.display())]
    Format(PathBuf),
    /// Somebody else made it, or changed it.
    #[error("trust {}: it was not made with this key, or was changed since", .0.display())]
    Foreign(PathBuf),
    /// There is no place for the file.
    #[error("write {}: its folder is not there", .0.display())]
    NoFolder(PathBuf),
    /// The system does not let us.
    #[error("{what} {}", .path.display())]
    File {
        /// What was done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> PassageError {
    let path = path.to_owned();
    move |source| PassageError::File { what, path: path.clone(), source }
}

/// The key of a file, or else of the environment.
///
/// # Errors
/// When it cannot be read or is too short.
pub(super) fn key(file: Option<&Path>) -> Result<Option<Vec<u8>>, PassageError> {
    let key = match file {
        Some(file) => Some(fs::read(file).map_err(failed("read the key", file))?),
        None => std::env::var_os(VARIABLE).map(|value| value.as_encoded_bytes().to_vec()),
    };
    let key = key.map(|key| key.trim_ascii().to_vec());
    if key.as_ref().is_some_and(|key| key.len() < KEY_BYTES) { Err(PassageError::Key) } else { Ok(key) }
}

/// Passes bytes on, and computes the code of them.
struct Coding<W> {
    to: W,
    code: Option<Hmac<Sha256>>,
}

impl<W: Write> Coding<W> {
    fn new(to: W, key: Option<&[u8]>) -> Result<Self, PassageError> {
        let code = key.map(Hmac::<Sha256>::new_from_slice).transpose().map_err(|_| PassageError::Key)?;
        Ok(Self { to, code })
    }
}

impl<W: Write> Write for Coding<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        if let Some(code) = &mut self.code {
            code.update(bytes.get(..count).unwrap_or_default());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes all of a cache to a new file.
///
/// # Errors
/// When it cannot be written.
pub(super) fn export(dir: &Path, to: &Path, key: Option<&[u8]>) -> Result<Sent, PassageError> {
    let writes = failed("write", to);
    let title = |hmac| serde_json::to_vec(&Title { format: FORMAT.to_owned(), version: VERSION, hmac });
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(PassageError::NoFolder(to.to_owned()));
    }
    let file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(&writes)?;
    let put = || {
        let mut out = BufWriter::new(file.reopen()?);
        // A code has one length, so the title can be written twice.
        out.write_all(&title(key.map(|_| Sha256Digest([0; 32])))?)?;
        out.write_all(b"\n")?;
        let mut coding = Coding::new(out, key).map_err(io::Error::other)?;
        let parent = dir.parent().unwrap_or(Path::new("/"));
        let root = dir.file_name().and_then(OsStr::to_str).ok_or(io::ErrorKind::InvalidFilename)?;
        let is_left_out =
            |path: &str| path.strip_prefix(root).is_none_or(|path| place(path.trim_start_matches('/')).is_none());
        let tree = Tree::new(File::open(parent)?.into());
        for entry in tree.entries(&[root])?.iter().filter(|entry| !is_left_out(&entry.path)) {
            tree.write(entry, &mut coding)?;
        }
        let Coding { to: mut out, code } = coding;
        out.flush()?;
        let code = code.map(|code| Sha256Digest(code.finalize().into_bytes().into()));
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&title(code)?)?;
        out.flush()
    };
    put().map_err(&writes)?;
    let file = file.persist(to).map_err(|error| writes(error.error))?;
    let bytes = file.metadata().map_err(&writes)?.len();
    Ok(Sent { file: to.to_owned(), bytes, sealed: key.is_some() })
}

/// Brings what a file has into a cache. What is there stays.
///
/// # Errors
/// When it is no export, or not one that was made with the key.
pub(super) fn import(dir: &Path, from: &Path, key: Option<&[u8]>) -> Result<Brought, PassageError> {
    let reads = failed("read", from);
    let mut source = BufReader::new(File::open(from).map_err(&reads)?);
    let mut line = Vec::new();
    source.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(&reads)?;
    let title: Title = serde_json::from_slice(&line).map_err(|_| PassageError::Format(from.to_owned()))?;
    if title.format != FORMAT || title.version != VERSION {
        return Err(PassageError::Format(from.to_owned()));
    }
    known::make(dir).map_err(failed("make", dir))?;
    let copy = tempfile::tempfile_in(dir).map_err(failed("write below", dir))?;
    let mut coding = Coding::new(BufWriter::new(copy), key)?;
    io::copy(&mut source, &mut coding).map_err(&reads)?;
    let Coding { to, code } = coding;
    if let Some(code) = code {
        let said = title.hmac.unwrap_or(Sha256Digest([0; 32]));
        code.verify_slice(&said.0).map_err(|_| PassageError::Foreign(from.to_owned()))?;
    }
    let mut copy = to.into_inner().map_err(|error| failed("write below", dir)(error.into_error()))?;
    copy.seek(SeekFrom::Start(0)).map_err(failed("read below", dir))?;
    lay_out(dir, &mut BufReader::new(copy), key.is_some()).map_err(failed("fill", dir))
}

fn lay_out(dir: &Path, stream: &mut BufReader<File>, is_known: bool) -> io::Result<Brought> {
    let mut brought = Brought::default();
    // What leads to evidence comes when that is in place.
    let mut last = Vec::new();
    while let Some(entry) = read_entry(stream)? {
        let name = entry.path.split_once('/').map_or("", |(_, rest)| rest).to_owned();
        if entry.kind != EntryKind::File {
            continue;
        }
        let Some(place) = place(&name) else { return Err(io::ErrorKind::InvalidData.into()) };
        if place == Place::Answers {
            last.push((name, entry.clone(), stream.stream_position()?));
        } else {
            put(dir, &name, &entry, stream, &mut brought)?;
            continue;
        }
        stream.seek_relative(i64::try_from(entry.size).map_err(io::Error::other)?)?;
    }
    for (name, entry, at) in last {
        if is_known {
            stream.seek(SeekFrom::Start(at))?;
            put(dir, &name, &entry, stream, &mut brought)?;
        } else {
            brought.left_out += 1;
        }
    }
    Ok(brought)
}

fn put(dir: &Path, name: &str, entry: &Entry, from: &mut BufReader<File>, brought: &mut Brought) -> io::Result<()> {
    let to = dir.join(name);
    let folder = to.parent().unwrap_or(dir);
    known::make(folder)?;
    // Readable for its owner only.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    if io::copy(&mut from.by_ref().take(entry.size), &mut file)? != entry.size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Its age counts from when it was made.
    file.as_file().set_modified(UNIX_EPOCH + Duration::new(entry.mtime.0, entry.mtime.1))?;
    match file.persist_noclobber(&to) {
        Ok(_) => brought.files += 1,
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => brought.known += 1,
        Err(error) => return Err(error.error),
    }
    Ok(())
}

/// What a file of a cache is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be read and replayed.
    Evidence,
    /// So that it answers for runs, gives units to them, or says what was found of a version before.
    Answers,
}

/// What has this name; none for what is no part of a cache.
fn place(name: &str) -> Option<Place> {
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_log =
        |text: &str| text.strip_suffix(".jsonl").is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.'));
    match name.split_once('/') {
        // The folders themselves.
        None if ["", "known", "units", "baselines"].contains(&name) => Some(Place::Evidence),
        None => {
            let log = name.strip_suffix(".counters").or_else(|| name.strip_suffix(".captured")).unwrap_or(name);
            is_log(log).then_some(Place::Evidence)
        }
        Some(("known" | "baselines", entry)) => {
            entry.strip_suffix(".json").is_some_and(is_hex).then_some(Place::Answers)
        }
        Some(("units", pack)) => pack.strip_suffix(".pack").is_some_and(is_hex).then_some(Place::Answers),
        Some((folder, file)) => {
            let is_captured = folder.strip_suffix(".captured").is_some_and(is_log) && is_hex(file);
            is_captured.then_some(Place::Evidence)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_a_cache_come_in() {
        let hex = "a".repeat(64);
        for (name, expected) in [
            ("a-1.jsonl".to_owned(), Some(Place::Evidence)),
            ("a-1.jsonl.counters".to_owned(), Some(Place::Evidence)),
            (format!("a-1.jsonl.captured/{hex}"), Some(Place::Evidence)),
            (format!("known/{hex}.json"), Some(Place::Answers)),
            (format!("units/{hex}.pack"), Some(Place::Answers)),
            (format!("baselines/{hex}.json"), Some(Place::Answers)),
            ("baselines/x.json".to_owned(), None),
            (".bashrc".to_owned(), None),
            (".jsonl".to_owned(), None),
            ("a.txt".to_owned(), None),
            (format!("other/{hex}.json"), None),
            (format!("known/deeper/{hex}.json"), None),
            ("a-1.jsonl.captured/x".to_owned(), None),
        ] {
            assert_eq!(place(&name), expected, "{name}");
        }
    }
}
