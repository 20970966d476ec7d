//! Brings `.crate` files here, several at a time, and unpacks what has the right checksum.

use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use sha2::{Digest as _, Sha256};

use super::archive::{Reason, Refusal};
use super::error::{AcquireError, ErrorClass};
use super::facts::Found;
use super::http::HttpError;
use super::progress::Progress;
use super::registry::{Registry, read_bounded};
use super::release::Release;
use super::settings::Limits;
use super::sources::Source;
use super::unnamed::Unnamed;
use super::{archive, local, promise, vendored};
use crate::acquire::manifest::Manifest;
use crate::ids::{PackageId, Sha256Digest};

/// Up to this size, files are held in memory side by side; larger ones one at a time.
const SMALL: u64 = 16 * 1024 * 1024;

/// Where `.crate` files are kept between runs, each under its checksum.
#[derive(Debug)]
pub(crate) struct Store<'a> {
    folder: PathBuf,
    /// Where unfinished files lie; removed with the run.
    scratch: &'a Path,
    limits: &'a Limits,
    /// Whoever holds a large file in memory.
    turn: Mutex<()>,
    /// Something failed: nobody begins anything more.
    stopped: AtomicBool,
}

impl<'a> Store<'a> {
    pub(crate) fn new(cache: &Path, scratch: &'a Path, limits: &'a Limits) -> Result<Self, AcquireError> {
        let folder = cache.join("crates");
        fs::create_dir_all(&folder).map_err(AcquireError::file("create", &folder))?;
        Ok(Self { folder, scratch, limits, turn: Mutex::new(()), stopped: AtomicBool::new(false) })
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

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The `.crate` file with exactly this checksum: cargo's copy, ours, or a fresh one. None if it is no longer wanted.
    fn fetch(&self, wanted: &Wanted<'_>) -> Result<Option<Packed<'_>>, AcquireError> {
        let old = |bytes| Some(Packed { bytes, fresh: false, _turn: None });
        for path in [wanted.registry.cached_crate(&wanted.id), self.place(wanted.checksum)] {
            // A file that cannot be read or has other contents is as good as none.
            if let Ok(Some(bytes)) = read_bounded(&path, self.limits.crate_bytes)
                && digest(&bytes) == wanted.checksum
            {
                return Ok(old(bytes));
            }
        }
        if let Source::LocalRegistry(_) = wanted.registry.source {
            return Ok(old(self.read_local_registry(wanted)?));
        }
        let limit = self.limits.crate_bytes;
        let mut turn = None;
        let download = |limit| wanted.registry.download(&wanted.id, wanted.checksum, limit, &self.stopped);
        let mut bytes = download(limit.min(SMALL));
        if limit > SMALL && matches!(bytes, Err(AcquireError::Http(HttpError::TooLarge { .. }))) {
            turn = Some(lock(&self.turn));
            if self.is_stopped() {
                return Ok(None);
            }
            bytes = download(limit);
        }
        let bytes = bytes.map_err(|error| match error {
            AcquireError::Http(HttpError::TooLarge { limit, .. }) => wanted.refused(Reason::TooLarge { limit }),
            other => other,
        })?;
        wanted.check(&bytes, "the downloaded file against the index")?;
        Ok(Some(Packed { bytes, fresh: true, _turn: turn }))
    }

    fn read_local_registry(&self, wanted: &Wanted<'_>) -> Result<Vec<u8>, AcquireError> {
        let path = wanted.registry.cached_crate(&wanted.id);
        let missing = || AcquireError::OfflineMissing { missing: vec![path.display().to_string()] };
        let bytes = read_bounded(&path, self.limits.crate_bytes)?.ok_or_else(missing)?;
        wanted.check(&bytes, "the file of the local registry against its index")?;
        Ok(bytes)
    }

    /// Lays a file beside the cache; it is in there once the run knows that nothing of it was refused.
    fn lay_by(&self, bytes: &[u8], checksum: Sha256Digest) -> Result<Fresh, AcquireError> {
        let mut file =
            tempfile::NamedTempFile::new_in(self.scratch).map_err(AcquireError::file("write", self.scratch))?;
        file.write_all(bytes).map_err(AcquireError::file("write", file.path()))?;
        Ok(Fresh { file: file.into_temp_path(), place: self.place(checksum) })
    }
}

/// A `.crate` file in memory.
struct Packed<'a> {
    bytes: Vec<u8>,
    /// It came over the network.
    fresh: bool,
    _turn: Option<MutexGuard<'a, ()>>,
}

/// A verified file that is not in the cache yet. Gone when dropped.
#[derive(Debug)]
struct Fresh {
    file: tempfile::TempPath,
    place: PathBuf,
}

impl Fresh {
    /// A reader sees the whole file or none.
    fn keep(self) -> Result<(), AcquireError> {
        let place = self.place;
        self.file.persist(&place).map_err(|error| AcquireError::file("write", &place)(error.error))?;
        Ok(())
    }
}

/// One package to bring here.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// As its registry knows it.
    pub(crate) id: PackageId,
    /// As the run knows it.
    pub(crate) called: PackageId,
    /// Where it is to lie.
    pub(crate) dir: PathBuf,
    pub(crate) checksum: Sha256Digest,
    pub(crate) registry: &'a Registry<'a>,
    /// Where a lock file says that it comes from.
    pub(crate) source: &'a str,
    /// What the index said about it.
    pub(crate) release: &'a Release,
}

impl Wanted<'_> {
    fn refused(&self, reason: Reason) -> AcquireError {
        AcquireError::UnsafeArchive { package: Box::new(self.id.clone()), refusal: Refusal::whole(reason) }
    }

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
    /// As the run knows it.
    pub(crate) id: PackageId,
    /// Its folder, below the one that was named.
    pub(crate) dir: PathBuf,
    pub(crate) checksum: Sha256Digest,
    pub(crate) manifest: Manifest,
    pub(crate) found: Vec<Found>,
    /// What its manifest leaves out of what its index says.
    pub(crate) unnamed: Option<Unnamed>,
    fresh: Option<Fresh>,
}

/// Fetches and unpacks all of them to their folders below `to`; stops at the first that fails.
///
/// Of a registry that gave one file that was refused, nothing is kept.
pub(crate) fn place_all(
    wanted: Vec<Wanted<'_>>,
    to: &Path,
    store: &Store<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Placed>, AcquireError> {
    let (mut placed, failed) = place_some(wanted, to, store, progress, &|_| false)?;
    let mut failed: Vec<_> = failed.into_iter().map(|(_, error)| error).collect();
    // Several may have failed at once: what says most about the subject comes first.
    failed.sort_by_key(|error| match error {
        AcquireError::UnsafeArchive { .. } => 0,
        AcquireError::ChecksumMismatch { .. } => 1,
        _ => 2,
    });
    if let Some(first) = failed.into_iter().next() {
        return Err(first);
    }
    placed.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(placed)
}

/// What came of several packages: those in place, and the failures by package, in the order in which they came.
pub(crate) type Outcomes = (Vec<Placed>, Vec<(PackageId, AcquireError)>);

/// Fetches and unpacks what can be had; stops at a failure after which `goes_on` says not to. The failures by package.
///
/// Of a registry that gave one file that was refused, nothing is kept.
pub(crate) fn place_some(
    wanted: Vec<Wanted<'_>>,
    to: &Path,
    store: &Store<'_>,
    progress: &dyn Progress,
    goes_on: &(dyn Fn(&AcquireError) -> bool + Sync),
) -> Result<Outcomes, AcquireError> {
    progress.packages(wanted.len());
    let threads = store.limits.threads.clamp(1, wanted.len().max(1));
    let queue = Mutex::new(VecDeque::from(wanted));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !store.is_stopped() {
                    let Some(next) = lock(&queue).pop_front() else { break };
                    progress.fetching(&next.called);
                    let outcome = place(&next, to, store);
                    match &outcome {
                        Err(error) if !goes_on(error) => store.stopped.store(true, Ordering::Relaxed),
                        Ok(_) | Err(_) => progress.placed(&next.called),
                    }
                    lock(&done).extend(outcome.map_err(|error| (next.called.clone(), error)).transpose());
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (mut placed, mut failed) = (Vec::new(), Vec::new());
    for outcome in done {
        match outcome {
            Ok(package) => placed.push(package),
            Err(failure) => failed.push(failure),
        }
    }
    if failed.iter().all(|(_, error)| error.class() != ErrorClass::Refused) {
        for fresh in placed.iter_mut().filter_map(|package| package.fresh.take()) {
            fresh.keep()?;
        }
    }
    placed.sort_by(|one, other| one.id.cmp(&other.id));
    Ok((placed, failed))
}

/// A thread that panicked leaves the data whole: each access is one push or one pop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A refused package leaves no folder: something else may have to stand there in its place.
fn place(wanted: &Wanted<'_>, to: &Path, store: &Store<'_>) -> Result<Option<Placed>, AcquireError> {
    let folder = to.join(&wanted.dir);
    place_in(&folder, wanted, store).inspect_err(|_| drop(fs::remove_dir_all(&folder)))
}

fn place_in(folder: &Path, wanted: &Wanted<'_>, store: &Store<'_>) -> Result<Option<Placed>, AcquireError> {
    let (id, dir, checksum) = (wanted.called.clone(), wanted.dir.clone(), wanted.checksum);
    if let Source::Directory(root) = &wanted.registry.source {
        let found = vendored::place(root, &wanted.id, folder, store.limits)?.found;
        let manifest = local::read_unpacked(folder, &wanted.id)?;
        // Of a folder cargo goes by the manifest.
        return Ok(Some(Placed { id, dir, checksum, manifest, found, unnamed: None, fresh: None }));
    }
    let Some(packed) = store.fetch(wanted)? else { return Ok(None) };
    let found = archive::unpack(&packed.bytes, &wanted.id, wanted.checksum, folder, store.limits)?;
    let manifest = local::read_unpacked(folder, &wanted.id)?;
    if let Some(what) = promise::broken(wanted.release, &manifest) {
        return Err(wanted.refused(Reason::OtherThanPromised { what }));
    }
    // A refused archive leaves no file, not even itself.
    let fresh = if packed.fresh { Some(store.lay_by(&packed.bytes, checksum)?) } else { None };
    let unnamed = Unnamed::of(wanted.release, &manifest, wanted.source);
    Ok(Some(Placed { id, dir, checksum, manifest, found, unnamed, fresh }))
}

fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}
