//! Brings `.crate` files here, several at a time, and unpacks what has the right checksum.

use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};

use super::error::AcquireError;
use super::facts::Found;
use super::progress::Progress;
use super::registry::{Registry, read_bounded};
use super::settings::Limits;
use super::sources::Source;
use super::{archive, local, vendored};
use crate::acquire::manifest::Manifest;
use crate::ids::{PackageId, Sha256Digest};

/// Where `.crate` files are kept between runs, each under its checksum.
#[derive(Debug)]
pub(crate) struct Store<'a> {
    folder: PathBuf,
    /// Where unfinished files lie; removed with the run.
    scratch: &'a Path,
    limits: &'a Limits,
}

impl<'a> Store<'a> {
    pub(crate) fn new(cache: &Path, scratch: &'a Path, limits: &'a Limits) -> Result<Self, AcquireError> {
        let folder = cache.join("crates");
        fs::create_dir_all(&folder).map_err(AcquireError::file("create", &folder))?;
        Ok(Self { folder, scratch, limits })
    }

    fn place(&self, checksum: Sha256Digest) -> PathBuf {
        self.folder.join(format!("{}.crate", checksum.hex()))
    }

    /// True if a `.crate` file is here. Its contents are compared when it is used.
    pub(crate) fn has(&self, registry: &Registry<'_>, id: &PackageId, checksum: Sha256Digest) -> bool {
        matches!(registry.source, Source::Directory(_))
            || registry.cached_crate(id).is_file()
            || self.place(checksum).is_file()
    }

    /// The `.crate` file with exactly this checksum: cargo's copy, ours, or a fresh one (then true).
    fn fetch(&self, wanted: &Wanted<'_>) -> Result<(Vec<u8>, bool), AcquireError> {
        let ours = self.place(wanted.checksum);
        for path in [wanted.registry.cached_crate(&wanted.id), ours.clone()] {
            // A file that cannot be read or has other contents is as good as none.
            if let Ok(Some(bytes)) = read_bounded(&path, self.limits.crate_bytes)
                && digest(&bytes) == wanted.checksum
            {
                return Ok((bytes, false));
            }
        }
        if let Source::LocalRegistry(_) = wanted.registry.source {
            return Ok((self.read_local_registry(wanted)?, false));
        }
        let bytes = wanted.registry.download(&wanted.id, wanted.checksum)?;
        wanted.check(&bytes, "the downloaded file against the index")?;
        Ok((bytes, true))
    }

    fn read_local_registry(&self, wanted: &Wanted<'_>) -> Result<Vec<u8>, AcquireError> {
        let path = wanted.registry.cached_crate(&wanted.id);
        let missing = || AcquireError::OfflineMissing { missing: vec![path.display().to_string()] };
        let bytes = read_bounded(&path, self.limits.crate_bytes)?.ok_or_else(missing)?;
        wanted.check(&bytes, "the file of the local registry against its index")?;
        Ok(bytes)
    }

    /// A reader sees the whole file or none.
    fn keep(&self, bytes: &[u8], place: &Path) -> Result<(), AcquireError> {
        let mut file =
            tempfile::NamedTempFile::new_in(self.scratch).map_err(AcquireError::file("write", self.scratch))?;
        file.write_all(bytes).map_err(AcquireError::file("write", file.path()))?;
        file.persist(place).map_err(|error| AcquireError::file("write", place)(error.error))?;
        Ok(())
    }
}

/// One package to bring here.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) id: PackageId,
    pub(crate) checksum: Sha256Digest,
    pub(crate) registry: &'a Registry<'a>,
}

impl Wanted<'_> {
    fn check(&self, bytes: &[u8], origin: &str) -> Result<(), AcquireError> {
        let found = digest(bytes);
        if found == self.checksum {
            return Ok(());
        }
        let (package, expected, origin) = (Box::new(self.id.clone()), self.checksum, origin.to_owned());
        Err(AcquireError::ChecksumMismatch { package, expected, found, origin })
    }
}

/// A package whose source lies in its folder.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) id: PackageId,
    pub(crate) checksum: Sha256Digest,
    pub(crate) manifest: Manifest,
    pub(crate) found: Vec<Found>,
}

/// Fetches and unpacks all of them to `to/NAME-VERSION`; stops at the first that fails.
pub(crate) fn place_all(
    wanted: Vec<Wanted<'_>>,
    to: &Path,
    store: &Store<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Placed>, AcquireError> {
    progress.packages(wanted.len());
    let threads = store.limits.threads.clamp(1, wanted.len().max(1));
    let queue = Mutex::new(VecDeque::from(wanted));
    let done = Mutex::new(Vec::new());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let Some(next) = lock(&queue).pop_front() else { break };
                    let outcome = place(&next, to, store);
                    match &outcome {
                        Ok(_) => progress.placed(&next.id),
                        Err(_) => stop.store(true, Ordering::Relaxed),
                    }
                    lock(&done).push(outcome);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Several may have failed at once: what says most about the subject comes first.
    let (placed, mut failed): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    failed.sort_by_key(|outcome| match outcome {
        Err(AcquireError::UnsafeArchive { .. }) => 0,
        Err(AcquireError::ChecksumMismatch { .. }) => 1,
        _ => 2,
    });
    let mut placed = failed.into_iter().chain(placed).collect::<Result<Vec<Placed>, _>>()?;
    placed.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(placed)
}

/// A thread that panicked leaves the data whole: each access is one push or one pop.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn place(wanted: &Wanted<'_>, to: &Path, store: &Store<'_>) -> Result<Placed, AcquireError> {
    let folder = to.join(format!("{}-{}", wanted.id.name, wanted.id.version));
    let found = if let Source::Directory(root) = &wanted.registry.source {
        vendored::place(root, &wanted.id, &folder, store.limits)?.found
    } else {
        let (packed, fresh) = store.fetch(wanted)?;
        let found = archive::unpack(&packed, &wanted.id, wanted.checksum, &folder, store.limits)?;
        // A refused archive leaves no file, not even itself.
        if fresh {
            store.keep(&packed, &store.place(wanted.checksum))?;
        }
        found
    };
    let manifest = local::read_unpacked(&folder, &wanted.id)?;
    Ok(Placed { id: wanted.id.clone(), checksum: wanted.checksum, manifest, found })
}

fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}
