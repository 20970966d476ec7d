//! One folder for each run, so that runs side by side do not disturb each other.
//!
//! `runs/NAME/` holds everything that a run makes; `runs/NAME.lock` is locked as
//! long as the run lives. The kernel drops that lock however the run ends, so
//! a folder whose lock is free is a dead run's and is removed by the next one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, lchown};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::error::AcquireError;
use crate::sys::metadata::spread_folders;

/// The folders of a run that hold packages.
const SOURCES: [&str; 2] = ["registry", "local"];

/// Removes the packages of a run. What cannot be removed goes with the rest of its folder.
pub fn remove_sources(run: &Path) {
    let _ = with_each_package(run, |package| {
        let _ = fs::remove_dir_all(package);
        Ok(())
    });
}

/// Gives the packages of a run to a user: what another one owns cannot be written through the private view.
///
/// # Errors
/// What `chown(2)` answers.
pub fn give_sources(run: &Path, uid: u32, gid: u32) -> io::Result<()> {
    for part in SOURCES.map(|part| run.join(part)).iter().filter(|part| part.is_dir()) {
        lchown(part, Some(uid), Some(gid))?;
    }
    with_each_package(run, |package| give(package, fs::symlink_metadata(package)?.is_dir(), uid, gid))
}

fn give(path: &Path, is_folder: bool, uid: u32, gid: u32) -> io::Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    if is_folder {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            give(&entry.path(), entry.file_type()?.is_dir(), uid, gid)?;
        }
    }
    Ok(())
}

/// Does something with the folder of each package of a run, until it fails for one.
///
/// Most of the time is spent waiting for the file system's journal, so several go at a time.
fn with_each_package(run: &Path, act: impl Fn(&Path) -> io::Result<()> + Sync) -> io::Result<()> {
    const AT_A_TIME: usize = 8;
    let parts = SOURCES.map(|part| run.join(part));
    let packages = parts.iter().filter_map(|part| fs::read_dir(part).ok()).flatten().flatten();
    let packages = Mutex::new(packages.map(|entry| entry.path()));
    let next = || packages.lock().ok()?.next();
    let one_by_one = || {
        while let Some(package) = next() {
            act(&package)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(one_by_one)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Keeps a run's folder from being taken for a dead run's.
#[derive(Debug)]
pub struct RunGuard {
    path: PathBuf,
    _lock: File,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        own().retain(|path| *path != self.path);
    }
}

/// The lock files of this process's runs.
static OWN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn own() -> MutexGuard<'static, Vec<PathBuf>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Set once the process is about to end.
static ABANDONED: AtomicBool = AtomicBool::new(false);

/// Does not return if the process is about to end: a failure that its end caused is nobody's business.
pub(crate) fn stay_if_abandoned() {
    while ABANDONED.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Removes the folders of this process's runs. For the moment before a signal ends it.
pub fn abandon() {
    const TRIES: usize = 5;
    ABANDONED.store(true, Ordering::SeqCst);
    for lock in own().drain(..) {
        let folder = lock.with_extension("");
        // Other threads may still be writing there: under another name they no longer find it.
        let gone = lock.with_extension("gone");
        let folder = if fs::rename(&folder, &gone).is_ok() { gone } else { folder };
        for _ in 0..TRIES {
            if fs::remove_dir_all(&folder).is_ok() {
                break;
            }
        }
        let _ = fs::remove_file(lock);
    }
}

/// Makes the folder of a new run and removes those of dead ones.
pub(crate) fn begin(cache: &Path) -> Result<(tempfile::TempDir, RunGuard), AcquireError> {
    let runs = std::path::absolute(cache).map_err(AcquireError::file("find", cache))?.join("runs");
    DirBuilder::new().recursive(true).mode(0o700).create(&runs).map_err(AcquireError::file("create", &runs))?;
    // Held while folders come and go: a folder without a lock file is then a dead run's, not a newborn's.
    let door = runs.join("door");
    let door_lock = open(&door)?;
    door_lock.lock().map_err(AcquireError::file("lock", &door))?;
    remove_dead(&runs);
    // ext4 looks at each inode that was freed in the last minutes again whenever it makes one nearby: beside the folder of a
    // run that ended just now, ten thousand files take three times as long. Other file systems have no such flag.
    let _ = File::open(&runs).and_then(|folder| spread_folders(folder.as_fd()));
    let folder =
        tempfile::Builder::new().prefix("run-").tempdir_in(&runs).map_err(AcquireError::file("create", &runs))?;
    let path = lock_of(folder.path());
    let lock = open(&path)?;
    lock.lock().map_err(AcquireError::file("lock", &path))?;
    own().push(path.clone());
    Ok((folder, RunGuard { path, _lock: lock }))
}

fn open(path: &Path) -> Result<File, AcquireError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(AcquireError::file("open", path))
}

fn lock_of(folder: &Path) -> PathBuf {
    folder.with_extension("lock")
}

/// What cannot be removed now is left to a later run.
fn remove_dead(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !entry.file_name().as_encoded_bytes().starts_with(b"run-") {
            continue;
        }
        let extension = path.extension().unwrap_or_default();
        if extension == "gone" {
            let _ = fs::remove_dir_all(&path);
        } else if extension == "lock" {
            if !path.with_extension("").exists() && is_free(&path) {
                let _ = fs::remove_file(&path);
            }
        } else if is_free(&lock_of(&path)) {
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(lock_of(&path));
        }
    }
}

fn is_free(lock: &Path) -> bool {
    match OpenOptions::new().read(true).open(lock) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_run_is_removed_and_a_living_one_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let (living, _guard) = begin(cache.path()).unwrap();
        let (dead, guard) = begin(cache.path()).unwrap();
        let dead = dead.keep();
        let lock = guard.path.clone();
        drop(guard);
        fs::write(&lock, "").unwrap();
        let newborn_without_lock = cache.path().join("runs/run-x");
        fs::create_dir(&newborn_without_lock).unwrap();
        let (_new, _new_guard) = begin(cache.path()).unwrap();
        assert!(living.path().exists());
        assert!(!dead.exists() && !lock.exists() && !newborn_without_lock.exists());
    }

    #[test]
    fn the_packages_of_a_run_are_removed_and_nothing_else() {
        let run = tempfile::tempdir().unwrap();
        for file in ["registry/a-1.0.0/src/lib.rs", "registry/b-1.0.0/lib.rs", "local/c/lib.rs", "run/spec.json"] {
            let file = run.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        remove_sources(run.path());
        let left = |part: &str| fs::read_dir(run.path().join(part)).unwrap().count();
        assert_eq!((left("registry"), left("local"), left("run")), (0, 0, 1));
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a skip says why")]
    fn runs_are_placed_far_from_each_other_where_the_file_system_can() {
        use nix::sys::statfs::{EXT4_SUPER_MAGIC, statfs};
        let cache = tempfile::tempdir().unwrap();
        if statfs(cache.path()).unwrap().filesystem_type() != EXT4_SUPER_MAGIC {
            eprintln!("skipped: {} is not on ext4", cache.path().display());
            return;
        }
        drop(begin(cache.path()).unwrap());
        let Ok(told) = std::process::Command::new("lsattr").arg("-d").arg(cache.path().join("runs")).output() else {
            eprintln!("skipped: there is no lsattr here");
            return;
        };
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.split(' ').next().unwrap().contains('T'), "{told}");
    }

    #[test]
    fn nothing_but_the_door_is_left_of_a_run_that_ended() {
        let cache = tempfile::tempdir().unwrap();
        drop(begin(cache.path()).unwrap());
        let left: Vec<_> = fs::read_dir(cache.path().join("runs")).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["door"]);
    }
}
