//! Where captured bytes are kept while a run goes on: one folder, each file
//! named by the SHA-256 of what was captured.
//!
//! No name in the folder comes from a package. The supervisor has the folder
//! by descriptor only, and nothing inside the sandbox has a way to it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;

use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use sha2::{Digest as _, Sha256};

use crate::ids::Sha256Digest;

/// Bytes that one run keeps.
pub const RUN_KEPT: u64 = 256 << 20;
/// Files that one run keeps.
pub const RUN_FILES: usize = 4096;
/// Bytes that one run reads to hash them.
pub const RUN_READ: u64 = 2 << 30;

/// The only writer of the folder.
#[derive(Debug)]
pub struct Store {
    folder: OwnedFd,
    /// How many bytes are kept, by what they are named.
    kept: HashMap<Sha256Digest, u64>,
    left: Bounds,
    /// Copies that were begun; each has a name of its own until its digest is known.
    begun: u64,
}

/// How many bytes of something may be read, and how many of them kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Hashed.
    pub read: u64,
    /// Kept.
    pub keep: u64,
}

/// What came of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Of the bytes that were read; none if none might be.
    pub sha256: Option<Sha256Digest>,
    /// How many were read.
    pub read: u64,
    /// How many of them lie in the folder.
    pub kept: u64,
    /// True if they were not there before.
    pub is_new: bool,
}

/// Why something was not captured.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bytes could not be read.
    #[error("read it")]
    Read(#[source] io::Error),
    /// The folder could not take them.
    #[error("keep it")]
    Write(#[source] io::Error),
}

/// A copy whose digest is not known yet.
struct Copy {
    name: String,
    file: File,
    length: u64,
}

impl Store {
    /// Takes an empty folder.
    pub fn new(folder: OwnedFd) -> Self {
        Self { folder, kept: HashMap::new(), left: Bounds { read: RUN_READ, keep: RUN_KEPT }, begun: 0 }
    }

    /// Hashes what can be read of `source`, and keeps the first bytes, both within `bounds` and within
    /// those of the run.
    ///
    /// # Errors
    /// When the source cannot be read or the folder cannot take the bytes. Nothing is kept then.
    pub fn take(&mut self, source: impl Read, bounds: Bounds) -> Result<Stored, StoreError> {
        let room = if self.kept.len() < RUN_FILES { self.left.keep } else { 0 };
        let bounds = Bounds { read: bounds.read.min(self.left.read), keep: bounds.keep.min(room) };
        if bounds.read == 0 {
            return Ok(Stored { sha256: None, read: 0, kept: 0, is_new: false });
        }
        let mut copy = None;
        let taken = self.copy(source, bounds, &mut copy);
        let (digest, read) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.discard(copy);
                return Err(error);
            }
        };
        self.left.read = self.left.read.saturating_sub(read);
        let known = self.kept.get(&digest).copied().unwrap_or(0);
        let kept = copy.as_ref().map_or(0, |copy| copy.length);
        let stored = |kept, is_new| Stored { sha256: Some(digest), read, kept, is_new };
        if kept <= known {
            self.discard(copy);
            return Ok(stored(known, false));
        }
        if let Some(Copy { name, .. }) = copy {
            renameat(&self.folder, name.as_str(), &self.folder, digest.hex().as_str())
                .map_err(|errno| StoreError::Write(errno.into()))?;
        }
        self.left.keep = self.left.keep.saturating_sub(kept);
        self.kept.insert(digest, kept);
        Ok(stored(kept, true))
    }

    fn copy(
        &mut self,
        mut source: impl Read,
        bounds: Bounds,
        copy: &mut Option<Copy>,
    ) -> Result<(Sha256Digest, u64), StoreError> {
        const AT_ONCE: u64 = 64 * 1024;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; size(AT_ONCE.min(bounds.read))];
        let mut read = 0;
        while read < bounds.read {
            let wanted = size((bounds.read - read).min(AT_ONCE));
            let count = match source.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::Read(error)),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            digest.update(bytes);
            let room = bounds.keep.saturating_sub(read);
            if room > 0 {
                let begun = match copy {
                    Some(begun) => begun,
                    None => copy.insert(self.begin().map_err(StoreError::Write)?),
                };
                let first = bytes.get(..size(room).min(count)).unwrap_or_default();
                begun.file.write_all(first).map_err(StoreError::Write)?;
                begun.length += length(first.len());
            }
            read += length(count);
        }
        Ok((Sha256Digest(digest.finalize().into()), read))
    }

    /// A new file of ours: nobody else's, no link, never to be run.
    fn begin(&mut self) -> io::Result<Copy> {
        self.begun += 1;
        let name = format!("partial-{}", self.begun);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.folder, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(Copy { name, file: File::from(file), length: 0 })
    }

    fn discard(&self, copy: Option<Copy>) {
        if let Some(Copy { name, .. }) = copy {
            // What stays behind goes with the run's folder; only named files are kept.
            let _ = unlinkat(&self.folder, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ALL: Bounds = Bounds { read: 1 << 20, keep: 1 << 20 };

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(File::open(folder.path()).unwrap().into());
        (folder, store)
    }

    fn digest(bytes: &[u8]) -> Sha256Digest {
        Sha256Digest(Sha256::digest(bytes).into())
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn bytes_lie_under_their_digest_and_cannot_be_run() {
        let (folder, mut store) = store();
        let stored = store.take(&b"payload"[..], ALL).unwrap();
        assert_eq!(stored, Stored { sha256: Some(digest(b"payload")), read: 7, kept: 7, is_new: true });
        assert_eq!(names(&folder), [digest(b"payload").hex()]);
        let path = folder.path().join(digest(b"payload").hex());
        assert_eq!(fs::read(&path).unwrap(), b"payload");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn the_same_bytes_are_kept_once() {
        let (folder, mut store) = store();
        store.take(&b"payload"[..], ALL).unwrap();
        let again = store.take(&b"payload"[..], ALL).unwrap();
        assert_eq!((again.kept, again.is_new), (7, false));
        let without_room = store.take(&b"payload"[..], Bounds { read: 1 << 20, keep: 0 }).unwrap();
        assert_eq!(without_room.kept, 7);
        assert_eq!(names(&folder).len(), 1);
    }

    #[test]
    fn beyond_its_bounds_only_the_first_bytes_are_hashed_and_kept() {
        let (folder, mut store) = store();
        let long = vec![7; 200_000];
        let stored = store.take(&long[..], Bounds { read: 150_000, keep: 100_000 }).unwrap();
        assert_eq!((stored.sha256, stored.read, stored.kept), (Some(digest(&long[..150_000])), 150_000, 100_000));
        let kept = fs::read(folder.path().join(digest(&long[..150_000]).hex())).unwrap();
        assert_eq!(kept, long[..100_000]);
        let unread = store.take(&b"x"[..], Bounds { read: 0, keep: 1 }).unwrap();
        assert_eq!(unread, Stored { sha256: None, read: 0, kept: 0, is_new: false });
    }

    #[test]
    fn what_a_run_keeps_is_bounded() {
        let (folder, mut store) = store();
        store.left = Bounds { read: 12, keep: 5 };
        assert_eq!(store.take(&b"0123456789"[..], ALL).unwrap().kept, 5);
        let next = store.take(&b"abcdef"[..], ALL).unwrap();
        assert_eq!((next.read, next.kept), (2, 0));
        assert_eq!(store.take(&b"ghi"[..], ALL).unwrap().sha256, None);
        assert_eq!(names(&folder).len(), 1);
    }

    #[test]
    fn what_breaks_off_leaves_nothing() {
        struct Broken(u8);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 > 2 { Err(io::ErrorKind::Other.into()) } else { Ok(buffer.len()) }
            }
        }
        let (folder, mut store) = store();
        assert!(matches!(store.take(Broken(0), ALL), Err(StoreError::Read(_))));
        assert!(names(&folder).is_empty());
    }
}
