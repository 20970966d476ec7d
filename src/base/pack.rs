//! The outputs of one package's units, in one file, with the digest of all that is in it.
//!
//! `units/KEY.pack` in the folder of evidence: a line of fixed length with the digest of the rest and the length of the
//! stream, the stream, and a line that says what it is. A pack is written under another name first, and its stream may be
//! written long before anybody knows that it is kept ([`Draft`]). Nothing in it is believed before all of it was hashed.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use super::{AT_ONCE, Finished};
use crate::evidence::known;
use crate::ids::{PackageId, Sha256Digest};

/// The folder of packs in that of evidence.
const PACKS: &str = "units";
/// How names of packs begin that are not finished.
const NEW: &str = ".new-";
const FORMAT: &str = "sandbox-check-units";
const VERSION: u32 = 3;
/// Bytes of the first line: blanks fill it up, so that it can be written last.
const TITLE: u64 = 192;
/// Bytes of the last line; no package has so many units.
const LINE: u64 = 4 << 20;

/// What a pack holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// All that decides these units.
    pub key: Sha256Digest,
    /// Whose units they are.
    pub package: PackageId,
    /// The name of the file with their evidence, in the folder of evidence.
    pub evidence: String,
    /// Of that file.
    pub sha256: Sha256Digest,
    /// Other packages whose units they were built with.
    pub needs: Vec<PackageId>,
    /// The units.
    pub units: Vec<Finished>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    format: String,
    version: u32,
    /// Of all that follows.
    sha256: Sha256Digest,
    /// Bytes of the stream.
    stream: u64,
}

impl Title {
    fn new(sha256: Sha256Digest, stream: u64) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, sha256, stream }
    }

    fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        while u64::try_from(line.len()).is_ok_and(|length| length < TITLE - 1) {
            line.push(b' ');
        }
        line.push(b'\n');
        Ok(line)
    }
}

/// Why a pack cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its bytes are not those that were written.
    #[error("trust {}: it is not what was kept", .0.display())]
    Damaged(PathBuf),
    /// Another user could have written it.
    #[error("trust {}: others may write it", .0.display())]
    Foreign(PathBuf),
    /// The system does not let us.
    #[error("read {}", .path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A pack whose bytes are not hashed yet.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    file: File,
    title: Title,
    /// The last line.
    line: Vec<u8>,
    /// What it holds, by its own word.
    pub index: Index,
}

/// Where the pack with this key lies.
pub fn path_of(folder: &Path, key: Sha256Digest) -> PathBuf {
    folder.join(PACKS).join(format!("{}.pack", key.hex()))
}

impl Pack {
    /// Opens the pack with a key, if there is one. What it says is not to be believed before [`Self::copy`].
    ///
    /// # Errors
    /// When something is there and cannot be used.
    pub fn open(folder: &Path, key: Sha256Digest) -> Result<Option<Self>, PackError> {
        let path = path_of(folder, key);
        let failed = |source| PackError::Read { path: path.clone(), source };
        let damaged = || PackError::Damaged(path.clone());
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let mut file = match File::options().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() || meta.uid() != nix::unistd::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
            return Err(PackError::Foreign(path));
        }
        let mut title = Vec::new();
        (&file).take(TITLE).read_to_end(&mut title).map_err(failed)?;
        let title: Title = serde_json::from_slice(&title).map_err(|_| damaged())?;
        let begin = title.stream.checked_add(TITLE).ok_or_else(damaged)?;
        if meta.len().checked_sub(begin).is_none_or(|length| length > LINE) {
            return Err(damaged());
        }
        let mut line = Vec::new();
        file.seek(SeekFrom::Start(begin)).and_then(|_| (&file).take(LINE).read_to_end(&mut line)).map_err(failed)?;
        let index: Index = serde_json::from_slice(&line).map_err(|_| damaged())?;
        if title.format != FORMAT || title.version != VERSION || index.key != key {
            return Err(damaged());
        }
        Ok(Some(Self { path: path.clone(), file, title, line, index }))
    }

    /// Copies the stream, hashing what is copied, and gives what the pack says of it.
    ///
    /// # Errors
    /// When that is not what was kept. What was written until then must not be used.
    pub fn copy(mut self, to: &mut impl Write) -> Result<Index, PackError> {
        let failed = |source| PackError::Read { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(TITLE)).map_err(failed)?;
        let mut stream = self.file.take(self.title.stream);
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; AT_ONCE]);
        loop {
            let count = stream.read(&mut buffer).map_err(failed)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hash.update(bytes);
            to.write_all(bytes).map_err(failed)?;
        }
        hash.update(&self.line);
        if Sha256Digest(hash.finalize().into()) == self.title.sha256 {
            Ok(self.index)
        } else {
            Err(PackError::Damaged(self.path))
        }
    }
}

/// A pack whose stream is written and that says nothing yet. It goes away with this if it is not finished.
#[derive(Debug)]
pub struct Draft {
    path: TempPath,
    hash: Sha256,
    /// Bytes of the stream.
    length: u64,
}

impl Draft {
    /// Begins a pack. `stream` writes its stream.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(folder: &Path, stream: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let packs = folder.join(PACKS);
        known::make(&packs)?;
        let (mut file, path) = tempfile::Builder::new().prefix(NEW).tempfile_in(&packs)?.into_parts();
        file.seek(SeekFrom::Start(TITLE))?;
        let to = io::BufWriter::with_capacity(AT_ONCE, file);
        let mut hashing = Hashing { to, hash: Sha256::new(), length: 0 };
        stream(&mut hashing)?;
        hashing.flush()?;
        Ok(Self { path, hash: hashing.hash, length: hashing.length })
    }

    /// Says what it holds, and puts it in the place of what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, folder: &Path, index: &Index) -> io::Result<()> {
        let mut line = serde_json::to_vec(index)?;
        line.push(b'\n');
        self.hash.update(&line);
        let mut file = File::options().write(true).open(&self.path)?;
        file.seek(SeekFrom::Start(TITLE + self.length))?;
        file.write_all(&line)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&Title::new(Sha256Digest(self.hash.finalize().into()), self.length).line()?)?;
        self.path.persist(path_of(folder, index.key))?;
        Ok(())
    }
}

/// Removes the pack with this key.
pub fn remove(folder: &Path, key: Sha256Digest) {
    let _ = fs::remove_file(path_of(folder, key));
}

/// All packs of a folder that are ours: their place, size and age in seconds, the oldest first.
pub fn all(folder: &Path, now: u64) -> Vec<(PathBuf, u64, u64)> {
    named(folder, now, |name| !name.starts_with(NEW))
}

/// Files of ours with names that are meant.
fn named(folder: &Path, now: u64, is_meant: impl Fn(&str) -> bool) -> Vec<(PathBuf, u64, u64)> {
    let one = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let is_ours = meta.is_file() && meta.uid() == nix::unistd::geteuid().as_raw();
        let is_meant = is_ours && entry.file_name().to_str().is_some_and(&is_meant);
        is_meant.then(|| (entry.path(), meta.len(), now.saturating_sub(changed)))
    };
    let mut all: Vec<_> = fs::read_dir(folder.join(PACKS)).into_iter().flatten().flatten().filter_map(one).collect();
    all.sort_by_key(|(_, _, age)| std::cmp::Reverse(*age));
    all
}

/// Removes packs that are too old, the oldest of what is too much, and what runs that were killed have begun.
pub fn sweep(folder: &Path, now: u64, age: u64, bytes: u64) {
    /// Seconds after which nobody writes any more what was begun.
    const DAY: u64 = 24 * 60 * 60;
    for (path, _, _) in named(folder, now, |name| name.starts_with(NEW)).into_iter().filter(|(_, _, age)| *age > DAY) {
        let _ = fs::remove_file(path);
    }
    let all = all(folder, now);
    let mut total: u64 = all.iter().map(|(_, size, _)| size).sum();
    for (path, size, old) in all {
        if old > age || total > bytes {
            total -= size;
            let _ = fs::remove_file(path);
        }
    }
}

/// True if all bytes of a pack are those that were kept.
///
/// # Errors
/// When they are not, or nobody can tell.
pub fn verify(path: &Path) -> Result<(), PackError> {
    let key = path.file_stem().and_then(|stem| stem.to_str()).and_then(|hex| hex.parse().ok());
    let folder = path.parent().and_then(Path::parent);
    let (Some(key), Some(folder)) = (key, folder) else { return Err(PackError::Damaged(path.to_owned())) };
    Pack::open(folder, key)?.map_or(Ok(()), |pack| pack.copy(&mut io::sink()).map(drop))
}

struct Hashing<W> {
    to: W,
    hash: Sha256,
    length: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.length += u64::try_from(count).unwrap_or_default();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, index: &Index, stream: &[u8]) {
        Draft::write(folder, |to| to.write_all(stream)).unwrap().finish(folder, index).unwrap();
    }

    fn index(key: u8) -> Index {
        Index {
            key: Sha256Digest([key; 32]),
            package: PackageId::new("a", "1.0.0"),
            evidence: "a.jsonl".to_owned(),
            sha256: Sha256Digest([9; 32]),
            needs: Vec::new(),
            units: Vec::new(),
        }
    }

    #[test]
    fn every_byte_of_a_pack_is_held_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let index = index(1);
        put(folder.path(), &index, b"the stream");
        let pack = Pack::open(folder.path(), index.key).unwrap().unwrap();
        let mut copy = Vec::new();
        let found = pack.copy(&mut copy).unwrap();
        assert_eq!((copy.as_slice(), &found), (&b"the stream"[..], &index));
        let copied = |key| Pack::open(folder.path(), key).and_then(|pack| pack.unwrap().copy(&mut io::sink()));
        let path = path_of(folder.path(), index.key);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(copied(index.key).is_err() && verify(&path).is_err(), "byte {at}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        copied(index.key).unwrap_err();
        fs::write(&path, &whole).unwrap();
        copied(index.key).unwrap();
        verify(&path).unwrap();
        // Under another name it is another's.
        fs::rename(&path, path_of(folder.path(), Sha256Digest([2; 32]))).unwrap();
        Pack::open(folder.path(), Sha256Digest([2; 32])).unwrap_err();
        assert!(Pack::open(folder.path(), Sha256Digest([3; 32])).unwrap().is_none());
    }

    #[test]
    fn what_is_old_or_too_much_goes_the_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        for key in 1..=3 {
            put(folder.path(), &index(key), &[7; 100]);
            let written = UNIX_EPOCH + std::time::Duration::from_secs(1000 + u64::from(key));
            let path = path_of(folder.path(), index(key).key);
            File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
        }
        let left = || all(folder.path(), 2000).into_iter().map(|(_, _, age)| age).collect::<Vec<_>>();
        assert_eq!(left(), [999, 998, 997]);
        sweep(folder.path(), 2000, 998, u64::MAX);
        assert_eq!(left(), [998, 997]);
        let size = all(folder.path(), 2000)[0].1;
        sweep(folder.path(), 2000, 2000, size);
        assert_eq!(left(), [997]);
    }

    #[test]
    fn what_a_killed_run_has_begun_is_no_pack_and_goes_after_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Draft::write(folder.path(), |to| to.write_all(&[7; 100])).unwrap().path.keep().unwrap();
        File::options().write(true).open(&begun).unwrap().set_modified(UNIX_EPOCH).unwrap();
        let day = 24 * 60 * 60;
        assert_eq!(all(folder.path(), day), []);
        sweep(folder.path(), day, 0, 0);
        assert!(begun.exists(), "its run may go on");
        sweep(folder.path(), day + 1, u64::MAX, u64::MAX);
        assert!(!begun.exists());
    }

    #[test]
    fn what_changes_while_it_is_copied_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let index = index(1);
        put(folder.path(), &index, &vec![7; 1 << 20]);
        let pack = Pack::open(folder.path(), index.key).unwrap().unwrap();
        let path = path_of(folder.path(), index.key);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.iter().rposition(|byte| *byte == 7).unwrap();
        bytes[last] = 8;
        fs::write(&path, bytes).unwrap();
        pack.copy(&mut io::sink()).unwrap_err();
    }
}
