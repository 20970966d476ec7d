//! The packages of a lock file: what the index says about them, and which are to be fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_lock::Lockfile;

use super::download::{Store, Wanted};
use super::entry::Entry;
use super::error::AcquireError;
use super::identity::Identities;
use super::local::LocalPackage;
use super::needed::{self, Key};
use super::past::Past;
use super::registry::Registry;
use super::release::{self, Release};
use super::sources::{Source, is_default};
use super::stage::{NO_CHECKSUM, lock_error};
use super::standin;
use crate::ids::Sha256Digest;
use crate::plan::CONSUMER_NAME;

/// All releases of each package, by its source and its name.
pub(crate) type Histories = BTreeMap<(String, String), Vec<Past>>;

/// What the index says about each locked package, held against the lock file, and about all its other releases.
pub(crate) fn releases(
    lock: &Lockfile,
    registries: &BTreeMap<String, Registry<'_>>,
    locals: &[LocalPackage],
    subject: Option<&Release>,
) -> Result<(BTreeMap<Key, Release>, Histories), AcquireError> {
    let mut releases = BTreeMap::new();
    let mut entries = Histories::new();
    let mut locked: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in &lock.packages {
        locked.entry(package.name.as_str()).or_default().push(package.version.to_string());
    }
    for package in &lock.packages {
        let key = needed::key(package);
        let (name, version, source) = key.clone();
        let Some(source) = source else {
            let local = locals.iter().find(|local| local.manifest.name == name && local.manifest.version == version);
            match local.and_then(|local| local.manifest.as_release(NO_CHECKSUM)) {
                Some(release) => drop(releases.insert(key, release)),
                None if name == CONSUMER_NAME => {}
                None => {
                    return Err(lock_error(format!("{name} has no source: is it patched by cargo's configuration?")));
                }
            }
            continue;
        };
        let registry = registries.get(&source).ok_or_else(|| lock_error(format!("{name} has an odd source")))?;
        let from_default = is_default(&source);
        let entry = entries.entry((source, name.clone())).or_default();
        let in_full = release::Wanted::Versions(locked.get(name.as_str()).map_or(&[], Vec::as_slice));
        if entry.is_empty() {
            *entry = registry.known_lines(&name, in_full)?.unwrap_or_default();
        }
        let mut release = Past::release(entry, &name, &version)?;
        if release.is_none() {
            *entry = registry.lines(&name, in_full)?.unwrap_or_default();
            release = Past::release(entry, &name, &version)?;
        }
        let mut release = release.ok_or_else(|| AcquireError::Contradiction {
            registry: registry.describe(),
            what: format!("cargo was told of {name} {version}, and we are not"),
        })?;
        check_lock(package, &release)?;
        // The index was asked twice: for the choice of a version, and by cargo.
        if let Some(first) = subject.filter(|first| from_default && first.id == release.id) {
            release.hold_against(first)?;
        }
        releases.insert(key, release);
    }
    Ok((releases, entries))
}

/// The index and the lock file must agree, wherever the two come from.
pub(crate) fn check_lock(package: &cargo_lock::Package, release: &Release) -> Result<(), AcquireError> {
    let expected = release.checksum();
    match package.checksum.as_ref().map(cargo_lock::Checksum::as_sha256) {
        Some(Some(found)) if Sha256Digest(found) == expected => Ok(()),
        Some(Some(found)) => Err(AcquireError::ChecksumMismatch {
            package: Box::new(release.id.clone()),
            expected,
            found: Sha256Digest(found),
            origin: "the lock file against the index".to_owned(),
        }),
        _ => Err(lock_error(format!("{} has no checksum", release.id))),
    }
}

/// What the index says about all of them. Cargo has just asked for each.
pub(crate) fn entries(
    releases: &BTreeMap<Key, Release>,
    histories: &Histories,
    registries: &BTreeMap<String, Registry<'_>>,
    needed: &BTreeSet<Key>,
) -> Vec<Entry> {
    let known = |(key, release): (&Key, &Release)| {
        let source = key.2.as_ref()?;
        // A vendored folder is no index.
        let is_index = !matches!(registries.get(source)?.source, Source::Directory(_));
        let history = histories.get(&(source.clone(), release.id.name.clone())).filter(|_| is_index);
        Some(Entry {
            id: release.id.clone(),
            checksum: Some(release.checksum()),
            needed: needed.contains(key),
            versions: Past::versions(history.into_iter().flatten()),
        })
    };
    releases.iter().filter_map(known).collect()
}

/// Where the packages of a lock file come from: the file with what is known about each.
#[derive(Debug)]
pub(crate) struct LockedSources<'a> {
    pub(crate) lock: &'a Lockfile,
    pub(crate) registries: &'a BTreeMap<String, Registry<'a>>,
    pub(crate) releases: &'a BTreeMap<Key, Release>,
    pub(crate) needed: &'a BTreeSet<Key>,
    pub(crate) identities: &'a Identities,
}

impl<'a> LockedSources<'a> {
    pub(crate) fn new(
        lock: &'a Lockfile,
        registries: &'a BTreeMap<String, Registry<'a>>,
        releases: &'a BTreeMap<Key, Release>,
        needed: &'a BTreeSet<Key>,
        identities: &'a Identities,
    ) -> Self {
        Self { lock, registries, releases, needed, identities }
    }

    /// Makes the folders of sources below that of the run, with the stand-ins; gives the packages that are still to be
    /// fetched.
    pub(crate) fn prepare(&self, run: &Path) -> Result<Vec<Wanted<'a>>, AcquireError> {
        self.identities.make_folders(run)?;
        let mut wanted = Vec::new();
        for (key, release) in self.releases {
            let Some(source) = &key.2 else { continue };
            let Some(registry) = self.registries.get(source) else { continue };
            if self.needed.contains(key) || matches!(registry.source, Source::Directory(_)) {
                let (called, dir) = (self.identities.id(key), self.identities.place(key));
                let (id, checksum) = (release.id.clone(), release.checksum());
                wanted.push(Wanted { id, called, dir, checksum, registry, source, release });
            } else {
                self.stand_in(key, release, run, "")?;
            }
        }
        Ok(wanted)
    }

    /// Writes a manifest that resolves like the package's, with this source as its library.
    pub(crate) fn stand_in(&self, key: &Key, release: &Release, run: &Path, library: &str) -> Result<(), AcquireError> {
        let package = self.lock.packages.iter().find(|package| needed::key(package) == *key);
        let registry_of = |name: &str| {
            let edge = package?.dependencies.iter().find(|edge| edge.name.as_str() == name)?;
            let source = edge.source.as_ref()?.to_string();
            (!is_default(&source)).then(|| source.trim_start_matches("registry+").to_owned())
        };
        let folder = run.join(self.identities.place(key));
        standin::write(release, release.checksum(), &folder, library, &registry_of)
    }
}

/// Names everything that an offline run lacks, not only the first of it.
pub(crate) fn check_present(wanted: &[Wanted<'_>], store: &Store<'_>) -> Result<(), AcquireError> {
    let missing = wanted.iter().filter(|wanted| !store.has(wanted.registry, &wanted.id, wanted.checksum));
    let missing: Vec<String> = missing.map(|wanted| wanted.called.to_string()).collect();
    if missing.is_empty() { Ok(()) } else { Err(AcquireError::OfflineMissing { missing }) }
}

#[cfg(test)]
mod tests {
    use super::super::release::tests::release;
    use super::*;
    use crate::acquire::ErrorClass;

    #[test]
    fn a_lock_file_that_disagrees_with_the_index_is_refused() {
        let entry = |checksum: &str| {
            let source = tame_index::CRATES_IO_INDEX;
            let text = format!(
                "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+{source}\"\n{checksum}"
            );
            let lock: Lockfile = text.parse().unwrap();
            check_lock(&lock.packages[0], &release("a", "1.0.0", false))
        };
        entry(&format!("checksum = \"{}\"", "0".repeat(64))).unwrap();
        let other = entry(&format!("checksum = \"{}\"", "1".repeat(64))).unwrap_err();
        assert_eq!((other.class(), other.code()), (ErrorClass::Refused, "checksum-mismatch"));
        assert_eq!(entry("").unwrap_err().class(), ErrorClass::Internal);
    }
}
