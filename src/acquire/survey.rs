//! The packages of somebody's lock file, and what the index says about them. Nothing is resolved, fetched or unpacked.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use cargo_lock::{Lockfile, Package};

use super::choose;
use super::entry::Entry;
use super::error::{AcquireError, ErrorClass, Near};
use super::locked::check_lock;
use super::past::Past;
use super::progress::Progress;
use super::registry::{Registry, read_bounded};
use super::release::Wanted;
use super::sources::is_default;
use crate::ids::{PackageId, Sha256Digest};

/// The largest honest lock files have a few megabytes.
const LOCK: u64 = 64 * 1024 * 1024;

/// A lock file against its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The package whose lock file it is, as far as that can be told.
    pub subject: PackageId,
    /// Packages of the default registry, with their history.
    pub index: Vec<Entry>,
    /// Packages that the registry does not have, with the nearest names.
    pub unknown: Vec<(PackageId, Vec<Near>)>,
    /// How many packages come from elsewhere. An address that a lock file names is asked nothing.
    pub elsewhere: usize,
    /// Why the registry did not answer, so that the index is what this machine has of it.
    pub silent: Option<String>,
}

impl Survey {
    /// That of a registry which gave no answer.
    pub(super) fn silent(lock: &Lockfile, error: &AcquireError) -> Self {
        let subject = subject(lock).unwrap_or_else(|| PackageId::new("Cargo.lock", ""));
        Self { subject, index: Vec::new(), unknown: Vec::new(), elsewhere: 0, silent: Some(error.to_string()) }
    }
}

/// The package whose lock file it is, as far as that can be told.
fn subject(lock: &Lockfile) -> Option<PackageId> {
    let own = lock.packages.iter().find(|package| package.source.is_none());
    own.or(lock.packages.first()).map(id)
}

/// Reads a lock file.
pub(super) fn read(path: &Path) -> Result<Lockfile, AcquireError> {
    let wrong = |reason: String| AcquireError::NoLockFile { path: path.to_owned(), reason };
    let bytes = read_bounded(path, LOCK)?.ok_or_else(|| wrong("there is no such file".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text".to_owned()))?;
    let lock: Lockfile =
        text.parse().map_err(|error: cargo_lock::Error| wrong(format!("it is no lock file: {error}")))?;
    if lock.packages.is_empty() { Err(wrong("it locks no package".to_owned())) } else { Ok(lock) }
}

/// Asks the registry about each package: what this machine has of its index may be of yesterday, and yanks are not in it.
pub(super) fn survey(
    lock: &Lockfile,
    registry: &Registry<'_>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Survey, AcquireError> {
    let source = |package: &&Package| package.source.as_ref().map(ToString::to_string);
    let is_ours = |package: &&Package| source(package).is_some_and(|source| is_default(&source));
    let ours: Vec<&Package> = lock.packages.iter().filter(is_ours).collect();
    let Some(subject) = subject(lock) else {
        return Err(AcquireError::Lock { reason: "it locks no package".to_owned() });
    };
    progress.step(&format!("asking {}", registry.describe()));
    let crew = Crew { registry, silent: OnceLock::new(), near: Mutex::default() };
    let queue = Mutex::new(VecDeque::from(ours.clone()));
    let done = Mutex::new(Vec::new());
    let next = || locked(&queue).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, ours.len().max(1)) {
            scope.spawn(|| {
                while let Some(package) = next() {
                    let outcome = crew.ask(package);
                    let failed = outcome.is_err();
                    locked(&done).push((id(package), outcome));
                    if failed {
                        locked(&queue).clear();
                    }
                }
            });
        }
    });
    let elsewhere = lock.packages.iter().filter(|package| package.source.is_some()).count() - ours.len();
    let mut survey = Survey { subject, index: Vec::new(), unknown: Vec::new(), elsewhere, silent: None };
    for (id, outcome) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match outcome? {
            Some(entry) => survey.index.push(entry),
            None => survey.unknown.push((id.clone(), crew.nearest(&id.name))),
        }
    }
    survey.index.sort_by(|one, other| one.id.cmp(&other.id));
    survey.unknown.sort_by(|one, other| one.0.cmp(&other.0));
    survey.silent = crew.silent.into_inner().or_else(|| crew.registry.is_stale().then(|| "offline".to_owned()));
    Ok(survey)
}

fn id(package: &Package) -> PackageId {
    PackageId::new(package.name.as_str(), package.version.to_string())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a registry says about a name.
enum Answer {
    /// It cannot be asked, or does not answer.
    None,
    /// It has no such name.
    Absent,
    /// All releases.
    Here(Vec<Past>),
}

/// Those who ask.
struct Crew<'a> {
    registry: &'a Registry<'a>,
    /// Why the registry does not answer. Nobody asks it again then.
    silent: OnceLock<String>,
    /// Names with their ages, as far as they were needed.
    near: Mutex<BTreeMap<String, Near>>,
}

impl Crew<'_> {
    /// None if the registry has no such name. Without an answer, what this machine does not have is not known to be
    /// absent.
    fn ask(&self, package: &Package) -> Result<Option<Entry>, AcquireError> {
        let (name, version) = (package.name.as_str(), package.version.to_string());
        let in_full = Wanted::Versions(std::slice::from_ref(&version));
        let history = match self.answer(name, in_full)? {
            Answer::None => self.registry.known_lines(name, in_full)?.unwrap_or_default(),
            Answer::Here(history) => history,
            Answer::Absent => return Ok(None),
        };
        if let Some(found) = &Past::release(&history, name, &version)? {
            check_lock(package, found)?;
        }
        let checksum = package.checksum.as_ref().and_then(cargo_lock::Checksum::as_sha256).map(Sha256Digest);
        Ok(Some(Entry { id: id(package), checksum, needed: true, versions: Past::versions(&history) }))
    }

    fn answer(&self, name: &str, in_full: Wanted<'_>) -> Result<Answer, AcquireError> {
        if self.registry.is_stale() || self.silent.get().is_some() {
            return Ok(Answer::None);
        }
        match self.registry.current_lines(name, in_full) {
            Ok(Some(history)) => Ok(Answer::Here(history)),
            Ok(None) => Ok(Answer::Absent),
            Err(error) if error.class() == ErrorClass::Temporary => {
                let _ = self.silent.set(error.to_string());
                Ok(Answer::None)
            }
            Err(error) => Err(error),
        }
    }

    fn nearest(&self, name: &str) -> Vec<Near> {
        let dated = |name: String| {
            let known = locked(&self.near).get(&name).cloned();
            known.unwrap_or_else(|| {
                let near = choose::dated(self.registry, name);
                locked(&self.near).insert(near.name.clone(), near.clone());
                near
            })
        };
        choose::nearest(name).into_iter().map(dated).collect()
    }
}
