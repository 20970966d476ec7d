//! What is known of a lock file before any source of it is here.

use std::collections::BTreeMap;

use super::super::error::AcquireError;
use super::super::needed::{self, Key};
use super::super::registry::Registry;
use super::super::release::Release;
use super::super::stage::Stage;
use super::super::survey::{self, Survey};
use super::super::{Resolved, ResolvedLock};
use super::bring::Failure;
use super::decisive::{Beside, Decisive, Own};
use super::file::LockFile;
use super::{LockRequest, index};
use crate::evidence::line::{
    LeftOut, LeftOutWhy, LockConsumer, LockRecord, LockedPackage, LockedSource, Target, TargetKind,
};

/// The file, the workspace beside it, and what was said about its packages.
pub(super) struct Asked<'a> {
    pub(super) request: &'a LockRequest,
    pub(super) file: LockFile,
    pub(super) record: LockRecord,
    pub(super) target: Target,
    pub(super) own: Option<Own>,
    pub(super) registries: BTreeMap<String, Registry<'a>>,
    pub(super) default: Registry<'a>,
    pub(super) releases: BTreeMap<Key, Release>,
    pub(super) failures: Vec<Failure>,
    pub(super) survey: Survey,
}

impl Asked<'_> {
    /// All that decides, for whoever knows an earlier run.
    pub(super) fn resolved(&self, stage: &Stage<'_>) -> Resolved {
        let (registries, registry_dir) = (stage.config.registries(), self.default.folder());
        let beside = Beside {
            lock: &self.file.text,
            workspace: self.own.as_ref().map(Own::digest),
            registries: &registries,
            registry_dir: &registry_dir,
            host: &stage.settings.host,
        };
        let is_held = self.failures.is_empty() && !self.registries.values().any(Registry::is_folder);
        let decisive = Decisive::new(self.request, &beside, self.releases.values());
        let of_registries =
            self.releases.iter().map(|(key, release)| (self.file.identities.id(key), release.checksum()));
        Resolved {
            target: self.target.clone(),
            packages: of_registries.collect(),
            digest: decisive.digest().filter(|_| is_held),
            index: Vec::new(),
            offline: stage.offline,
            lock: Some(Box::new(ResolvedLock { record: self.record.clone(), survey: self.survey.clone() })),
        }
    }
}

impl Stage<'_> {
    /// Reads the file and what lies beside it, and asks the registries.
    pub(super) fn ask<'a>(&'a self, request: &'a LockRequest) -> Result<Asked<'a>, AcquireError> {
        let file = LockFile::read(&request.file)?;
        let record = record(request, &file);
        let own = match &request.workspace {
            Some(folder) => Some(Own::read(folder, request.deps_only, &self.settings.limits)?),
            None => None,
        };
        let registries = self.registries(&file)?;
        let default = self.registry(tame_index::CRATES_IO_INDEX)?;
        let mut failures = Vec::new();
        let releases = self.releases(&file, &registries, &mut failures)?;
        // Without an answer nothing is known of the day, which is said, and all else goes on.
        let survey = survey::survey(&file.lock, &default, self.settings.limits.questions, self.progress)
            .unwrap_or_else(|error| Survey::silent(&file.lock, &error));
        let target =
            Target { kind: TargetKind::Lock, name: request.shown.clone(), version: String::new(), checksum: None };
        Ok(Asked { request, file, record, target, own, registries, default, releases, failures, survey })
    }

    /// The registries of the file.
    fn registries(&self, file: &LockFile) -> Result<BTreeMap<String, Registry<'_>>, AcquireError> {
        let mut registries = BTreeMap::new();
        for source in file.lock.packages.iter().filter_map(|package| package.source.as_ref()) {
            let name = source.to_string();
            if !source.is_git() && !registries.contains_key(&name) {
                let registry = self.registry(&name)?;
                // How a registry wants to be used, once and before several ask at a time.
                registry.prepare();
                registries.insert(name, registry);
            }
        }
        Ok(registries)
    }

    /// What the indexes say. A package about which they say nothing gets a line that lets cargo read the rest.
    fn releases(
        &self,
        file: &LockFile,
        registries: &BTreeMap<String, Registry<'_>>,
        failures: &mut Vec<Failure>,
    ) -> Result<BTreeMap<Key, Release>, AcquireError> {
        self.progress.step(&format!("asking the index about {} packages", file.lock.packages.len()));
        let mut answers = index::ask(&file.lock.packages, registries, self.settings.limits.threads)?;
        let unknown = answers.failed.iter().filter(|(_, error)| matches!(error, AcquireError::UnknownVersion { .. }));
        let missing: Vec<String> = unknown.map(|(key, _)| file.identities.id(key).to_string()).collect();
        if self.offline && !missing.is_empty() {
            return Err(AcquireError::OfflineMissing { missing });
        }
        for (key, error) in std::mem::take(&mut answers.failed) {
            let package = file.lock.packages.iter().find(|package| needed::key(package) == key);
            let made_up = package.and_then(|package| index::made_up(package, &answers.releases));
            answers.releases.extend(made_up.map(|release| (key.clone(), release)));
            failures.push(Failure { key, error });
        }
        Ok(answers.releases)
    }
}

/// What is known from the file and the command line alone.
fn record(request: &LockRequest, file: &LockFile) -> LockRecord {
    let consumer = if request.workspace.is_some() { LockConsumer::Workspace } else { LockConsumer::Generated };
    let mut remarks = Vec::new();
    remarks.extend(file.identities.remarks());
    let mut packages = file.packages();
    let folders = match (consumer, request.deps_only) {
        (LockConsumer::Workspace, false) => None,
        (LockConsumer::Workspace, true) => {
            let text = "it is the workspace's own, and --deps-only leaves those out";
            Some(LeftOut { why: LeftOutWhy::Own, text: text.to_owned() })
        }
        (LockConsumer::Generated, _) => {
            let said = "no workspace lies beside the file: which features it turns on is not known, and each package is \
                        built with its default ones as far as what they need is locked";
            remarks.push(said.to_owned());
            let text = "it is a folder of the workspace's, and no workspace lies beside the file";
            Some(LeftOut { why: LeftOutWhy::NoSource, text: text.to_owned() })
        }
    };
    for package in packages.iter_mut().filter(|package| package.source == LockedSource::Path) {
        package.left_out.clone_from(&folders);
    }
    if let Some(since) = &request.since {
        since.mark(&file.lock, &mut packages);
    }
    LockRecord {
        path: request.shown.clone(),
        consumer,
        deps_only: request.deps_only,
        packages,
        taken: request.own.taken.clone(),
        ignored: request.own.ignored.clone(),
        remarks,
        since: request.since.as_ref().map(|since| since.label.clone()),
        last: None,
    }
}

/// From where the walk sets out: folders of a workspace; without one, what nobody else needs.
pub(super) fn roots(file: &LockFile, record: &LockRecord) -> Vec<Key> {
    let is_root = |package: &LockedPackage| match record.consumer {
        LockConsumer::Workspace => package.source == LockedSource::Path,
        LockConsumer::Generated => package.source == LockedSource::Path || package.via.is_empty(),
    };
    let all = file.lock.packages.iter().zip(&record.packages);
    all.filter(|(_, package)| is_root(package)).map(|(locked, _)| needed::key(locked)).collect()
}
