//! What decides the sources of a build, known before any of them is here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::locked::{self, Histories};
use super::needed::Key;
use super::registry::Registry;
use super::release::Release;
use super::{Entry, SubjectDependency, Survey};
use crate::evidence::line::{LockRecord, Target, TargetKind};
use crate::ids::{PackageId, Sha256Digest};

/// A request with all versions chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What was asked for, made exact.
    pub target: Target,
    /// The packages of registries whose sources the build can reach, by the checksums of their `.crate` files.
    pub packages: BTreeMap<PackageId, Sha256Digest>,
    /// The same for requests that lead to the same sources and the same use of them. None where sources come from a
    /// folder, which no checksum holds.
    pub digest: Option<Sha256Digest>,
    /// What the index says about each package of the lock file that comes from a registry, and about its other
    /// releases. It decides no build.
    pub index: Vec<Entry>,
    /// True if no registry was asked, so that the index is what this machine has of it.
    pub offline: bool,
    /// Present for a lock file.
    pub lock: Option<Box<ResolvedLock>>,
}

/// A lock file, before any of its sources is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedLock {
    /// What is known of it from the file and the command line.
    pub record: LockRecord,
    /// What the default registry says today of its packages.
    pub survey: Survey,
}

/// What a resolution is made of, beside the lock file.
pub(super) struct Parts<'a> {
    pub(super) target: &'a Target,
    pub(super) subject: &'a SubjectDependency,
    /// The subject, if it is a release.
    pub(super) release: Option<&'a Release>,
    pub(super) lock: &'a str,
    pub(super) registry_dir: &'a str,
    pub(super) registries: &'a BTreeMap<String, Registry<'a>>,
    pub(super) releases: &'a BTreeMap<Key, Release>,
    pub(super) needed: &'a BTreeSet<Key>,
    /// All releases of each name.
    pub(super) histories: &'a Histories,
    /// No registry was asked.
    pub(super) offline: bool,
}

/// All of it that decides, in a form with one spelling.
#[derive(Serialize)]
struct Decisive<'a> {
    target: &'a Target,
    features: &'a [String],
    default_features: bool,
    /// A yanked release is evidence by itself.
    yanked: bool,
    lock: &'a str,
    registry_dir: &'a str,
    /// The lines of the index: archives are held against them, and stand-ins are made of them.
    lines: Vec<Sha256Digest>,
}

impl Parts<'_> {
    pub(super) fn resolved(&self) -> Resolved {
        let of_registries = self.needed.iter().filter(|key| key.2.is_some());
        let packages = of_registries.filter_map(|key| self.releases.get(key));
        Resolved {
            target: self.target.clone(),
            packages: packages.map(|release| (release.id.clone(), release.checksum())).collect(),
            digest: if self.is_held_by_checksums() { self.digest() } else { None },
            offline: self.offline,
            lock: None,
            index: locked::entries(self.releases, self.histories, self.registries, self.needed),
        }
    }

    fn is_held_by_checksums(&self) -> bool {
        self.target.kind != TargetKind::Directory
            && self.target.checksum.is_some()
            && !self.registries.values().any(Registry::is_folder)
    }

    fn digest(&self) -> Option<Sha256Digest> {
        let lines = |release: &Release| {
            let all = std::iter::once(&release.line).chain(release.others.iter().map(|other| &other.line));
            all.map(|line| Sha256Digest(Sha256::digest(line).into())).collect::<Vec<_>>()
        };
        let decisive = Decisive {
            target: self.target,
            features: &self.subject.features,
            default_features: self.subject.default_features,
            yanked: self.release.is_some_and(|release| release.index.yanked),
            lock: self.lock,
            registry_dir: self.registry_dir,
            lines: self.releases.values().flat_map(lines).collect(),
        };
        let text = serde_json::to_vec(&decisive).ok()?;
        Some(Sha256Digest(Sha256::digest(text).into()))
    }
}
