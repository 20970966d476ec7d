//! The outputs of one package's units, in one file, with the digest of all that is in it.
//!
//! `units/KEY.pack` in the folder of evidence: a line with the digest of the rest, a line that says what it is, and a
//! stream. A pack is written under another name first. Nothing in it is believed before all of it was hashed.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{AT_ONCE, Finished};
use crate::evidence::known;
use crate::ids::{PackageId, Sha256Digest};

/// The folder of packs in that of evidence.
const PACKS: &str = "units";
const FORMAT: &str = "sandbox-check-units";
const VERSION: u32 = 2;
/// No package has so many units.
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    format: String,
    version: u32,
    sha256: Sha256Digest,
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
    file: BufReader<File>,
    digest: Sha256Digest,
    /// The hash until where the stream begins.
    hash: Sha256,
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
        let file = match File::options().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() || meta.uid() != nix::unistd::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
            return Err(PackError::Foreign(path));
        }
        let mut file = BufReader::new(file);
        let mut line = |digest: &mut Sha256| {
            let mut line = Vec::new();
            file.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(failed)?;
            digest.update(&line);
            Ok::<_, PackError>(line)
        };
        let title: Title = serde_json::from_slice(&line(&mut Sha256::new())?).map_err(|_| damaged())?;
        let mut hash = Sha256::new();
        let index: Index = serde_json::from_slice(&line(&mut hash)?).map_err(|_| damaged())?;
        if title.format != FORMAT || title.version != VERSION || index.key != key {
            return Err(damaged());
        }
        Ok(Some(Self { path: path.clone(), file, digest: title.sha256, hash, index }))
    }

    /// Copies the stream, hashing what is copied, and gives what the pack says of it.
    ///
    /// # Errors
    /// When that is not what was kept. What was written until then must not be used.
    pub fn copy(mut self, to: &mut impl Write) -> Result<Index, PackError> {
        let failed = |source| PackError::Read { path: self.path.clone(), source };
        let mut buffer = vec![0; AT_ONCE];
        loop {
            let count = self.file.read(&mut buffer).map_err(failed)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            self.hash.update(bytes);
            to.write_all(bytes).map_err(failed)?;
        }
        if Sha256Digest(self.hash.finalize().into()) == self.digest {
            Ok(self.index)
        } else {
            Err(PackError::Damaged(self.path))
        }
    }
}

/// Writes a pack, in the place of what was there. `stream` writes its stream.
///
/// # Errors
/// When it cannot be written.
pub fn put(folder: &Path, index: &Index, stream: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let packs = folder.join(PACKS);
    known::make(&packs)?;
    let file = tempfile::Builder::new().prefix(".new-").tempfile_in(&packs)?;
    // The digest has one length, so the title can be written twice.
    let title = |sha256| serde_json::to_vec(&Title { format: FORMAT.to_owned(), version: VERSION, sha256 });
    let to = io::BufWriter::with_capacity(AT_ONCE, file.reopen()?);
    let mut hashing = Hashing { to, digest: Sha256::new() };
    hashing.to.write_all(&title(Sha256Digest([0; 32]))?)?;
    hashing.to.write_all(b"\n")?;
    serde_json::to_writer(&mut hashing, index)?;
    hashing.write_all(b"\n")?;
    stream(&mut hashing)?;
    let Hashing { mut to, digest } = hashing;
    to.flush()?;
    to.seek(SeekFrom::Start(0))?;
    to.write_all(&title(Sha256Digest(digest.finalize().into()))?)?;
    to.flush()?;
    drop(to);
    file.persist(path_of(folder, index.key))?;
    Ok(())
}

/// Removes the pack with this key.
pub fn remove(folder: &Path, key: Sha256Digest) {
    let _ = fs::remove_file(path_of(folder, key));
}

/// All packs of a folder that are ours: their place, size and age in seconds, the oldest first.
pub fn all(folder: &Path, now: u64) -> Vec<(PathBuf, u64, u64)> {
    let one = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let is_ours = meta.is_file() && meta.uid() == nix::unistd::geteuid().as_raw();
        is_ours.then(|| (entry.path(), meta.len(), now.saturating_sub(changed)))
    };
    let mut all: Vec<_> = fs::read_dir(folder.join(PACKS)).into_iter().flatten().flatten().filter_map(one).collect();
    all.sort_by_key(|(_, _, age)| std::cmp::Reverse(*age));
    all
}

/// Removes packs that are too old, and the oldest of what is too much.
pub fn sweep(folder: &Path, now: u64, age: u64, bytes: u64) {
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
    digest: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        put(folder.path(), &index, |to| to.write_all(b"the stream")).unwrap();
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
            put(folder.path(), &index(key), |to| to.write_all(&[7; 100])).unwrap();
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
    fn what_changes_while_it_is_copied_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let index = index(1);
        put(folder.path(), &index, |to| to.write_all(&vec![7; 1 << 20])).unwrap();
        let pack = Pack::open(folder.path(), index.key).unwrap().unwrap();
        let path = path_of(folder.path(), index.key);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() = 8;
        fs::write(&path, bytes).unwrap();
        pack.copy(&mut io::sink()).unwrap_err();
    }
}
