//! The stage for a lock file: from the request to verified sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_lock::{Lockfile, Package};

use super::super::archive::make_folders;
use super::super::download::{self, Placed, Store};
use super::super::error::{AcquireError, ErrorClass};
use super::super::facts::SKIPPED_FILE;
use super::super::identity::Identities;
use super::super::local::LocalPackage;
use super::super::locked::{self, LockedSources};
use super::super::needed::{self, Key};
use super::super::registry::Registry;
use super::super::resolve::{Resolution, resolve};
use super::super::sources::Source;
use super::super::stage::{NO_CHECKSUM, Parts, Stage, Work, lock_error};
use super::super::{Previous, Replaced, Reputation, Resolved, SourcePackage, offline};
use super::asked::{self, Asked};
use super::file::LockFile;
use super::git::GitSource;
use super::{LockRequest, LockUser, Locked, Pin, index, pinned, vendor};
use crate::evidence::line::{Fact, LeftOut, LeftOutWhy, LockRecord, PackageSource};
use crate::ids::{PackageId, Sha256Digest};

/// What a stand-in for a package that is missing says when it is compiled.
const MISSING: &str = "compile_error!(\"the source of this package could not be had, or was refused\");\n";

/// A package that could not be had or was refused.
pub(super) struct Failure {
    pub(super) key: Key,
    pub(super) error: AcquireError,
}

impl Failure {
    fn left_out(&self) -> LeftOut {
        let why = match self.error.class() {
            ErrorClass::Refused => LeftOutWhy::Refused,
            ErrorClass::Temporary => LeftOutWhy::Unavailable,
            _ => LeftOutWhy::Unsupported,
        };
        LeftOut { why, text: self.error.to_string() }
    }
}

/// Packages of repositories.
#[derive(Default)]
struct Repositories {
    packages: Vec<(Key, LocalPackage)>,
    sources: BTreeSet<GitSource>,
    replaced: Vec<Replaced>,
    failures: Vec<Failure>,
}

impl Repositories {
    /// What cargo is told of a repository, once.
    fn replace(&mut self, source: GitSource, key: &Key, identities: &Identities) {
        if self.sources.insert(source.clone()) {
            let says = [("git", source.url)].into_iter().chain(source.reference).collect();
            let folder = key.2.as_deref().and_then(|source| identities.folder(source)).map(str::to_owned);
            self.replaced.push(Replaced { key: format!("verified-git-{}", self.replaced.len()), says, folder });
        }
    }
}

impl Stage<'_> {
    /// Brings all that a lock file names, unless `known` has an answer.
    pub(in crate::acquire) fn lock<T>(
        &self,
        request: &LockRequest,
        known: impl FnOnce(&Resolved) -> Option<T>,
    ) -> Result<Work<T>, AcquireError> {
        let asked = self.ask(request)?;
        match known(&asked.resolved(self)) {
            Some(known) => Ok(Work::Known(known)),
            None => Ok(Work::Done(Box::new(self.bring(asked)?))),
        }
    }

    fn bring(&self, asked: Asked<'_>) -> Result<Parts, AcquireError> {
        let Asked { file, mut record, own, registries, default, mut releases, mut failures, .. } = asked;
        let local = self.run.join("local");
        make_folders(&local, Path::new("")).map_err(AcquireError::file("create", &local))?;
        let (locals, is_as_resolved) = match &own {
            None => (Vec::new(), true),
            Some(own) => {
                self.progress.step("copying the workspace");
                own.bring(&local, &file.text, &self.settings.limits)?
            }
        };
        let own = own.map(|own| own.workspace);
        let Repositories { packages: mut of_git, replaced: repositories, failures: of_repositories, .. } =
            self.repositories(&file, own.is_some(), &local)?;
        failures.extend(of_repositories);
        for local in &locals {
            let key = (local.manifest.name.clone(), local.manifest.version.clone(), None);
            releases.extend(local.manifest.as_release(NO_CHECKSUM).map(|release| (key, release)));
        }
        for (key, package) in &of_git {
            releases.extend(package.manifest.as_release(NO_CHECKSUM).map(|release| (key.clone(), release)));
        }
        let needed = needed::on_host_from(asked::roots(&file, &record), &file.lock, &releases, &self.settings.host)?;
        leave_out_other_platforms(&mut record, &file, &needed, &self.settings.host);
        let store = Store::new(&self.settings.cache_dir, self.run, &self.settings.limits)?;
        let (text, user, pinned) = if let Some(workspace) = &own {
            (file.text.clone(), LockUser::Workspace(workspace.dir()), None)
        } else {
            failures.extend(repositories_apart(&file, &mut of_git));
            let gone = gone(&failures);
            let apart = with_what_needs(&file, gone.clone());
            failures.extend(apart.difference(&gone).filter(|key| key.2.is_some()).map(|key| without(&file, key)));
            let here = needed.difference(&apart).cloned().collect();
            let pins = pinned::pins(&file, &releases, &here, &of_git_dirs(&of_git));
            let (pins, text, lock) = self.pin(pins, &file, &mut record, &default, &store)?;
            (text, LockUser::Generated(pins), Some(lock))
        };
        let lock = pinned.as_ref().unwrap_or(&file.lock);
        // What the generated project does not need is not there.
        releases.retain(|key, _| lock.packages.iter().any(|package| needed::key(package) == *key));
        let sources = LockedSources::new(lock, &registries, &releases, &needed, &file.identities);
        let (placed, broken) = self.fetch(&sources, &store, &mut failures)?;
        let mut facts: Vec<Fact> = failures.iter().filter_map(|failure| failure.error.fact()).collect();
        leave_out_failures(&mut record, &file, &failures, &needed);
        let key = |local: &LocalPackage| (local.manifest.name.clone(), local.manifest.version.clone(), None);
        let locals = locals.into_iter().map(|local| (key(&local), local)).chain(of_git).collect();
        let mut packages = self.lock_packages(&file, locals, placed, &mut facts);
        packages.extend(broken);
        let (own, registry_dir) = (asked.request.own.clone(), default.folder());
        let locked =
            Locked { record, user, variables: own.variables, flags: own.flags, repositories, survey: asked.survey };
        Ok(Parts {
            target: asked.target,
            packages,
            lock: text,
            subject: None,
            locked: Some(Box::new(locked)),
            registry_dir,
            replaced_sources: file.identities.replaced(registries.keys()),
            facts,
            // The survey has both.
            index: Vec::new(),
            previous: Previous::missing("it is no release of a registry"),
            reputation: Reputation::missing("it is no release of a registry"),
            changed: !is_as_resolved,
        })
    }

    /// Checks out what comes from git. For a workspace, each package goes among the verified sources, as cargo wants it
    /// there; without one, the generated project names the folders.
    fn repositories(&self, file: &LockFile, is_workspace: bool, local: &Path) -> Result<Repositories, AcquireError> {
        let mut all = Repositories::default();
        let mut folders: BTreeMap<GitSource, Option<std::path::PathBuf>> = BTreeMap::new();
        for package in &file.lock.packages {
            let Some(source) = GitSource::of(package) else { continue };
            let key = needed::key(package);
            let source = match source {
                Ok(source) => source,
                Err(error) => {
                    all.failures.push(Failure { key, error });
                    continue;
                }
            };
            let number = folders.len();
            if !folders.contains_key(&source) {
                self.progress.step(&format!("checking out {}", source.url));
                let parent = if is_workspace { self.run.join("git") } else { local.to_owned() };
                let parent_is_there = make_folders(&parent, Path::new(""));
                parent_is_there.map_err(AcquireError::file("create", &parent))?;
                let to = parent.join(format!("git-{number}"));
                match source.check_out(&to, self.settings, self.offline) {
                    Ok(_) => drop(folders.insert(source.clone(), Some(to))),
                    Err(error) if index::is_of_one_package(&error) => {
                        all.failures.push(Failure { key: key.clone(), error });
                        folders.insert(source.clone(), None);
                    }
                    Err(error) => return Err(error),
                }
            }
            let Some(Some(folder)) = folders.get(&source) else { continue };
            let id = PackageId::new(&key.0, &key.1);
            let Some(found) = vendor::find(folder, &id) else {
                let (url, reason) = (source.url.clone(), "the commit has no such package".to_owned());
                all.failures.push(Failure { key, error: AcquireError::Git { url, reason, temporary: false } });
                continue;
            };
            let (dir, told) = if is_workspace {
                file.identities.make_folders(self.run)?;
                let dir = file.identities.place(&key);
                let told = found.vendor(&self.run.join(&dir), &self.settings.limits)?;
                (dir, told)
            } else {
                (Path::new("local").join(found.folder.strip_prefix(local).unwrap_or(&found.folder)), Vec::new())
            };
            let package =
                LocalPackage { manifest: found.manifest, dir, source: PackageSource::Git, checksum: None, found: told };
            all.replace(source, &key, &file.identities);
            all.packages.push((key, package));
        }
        Ok(all)
    }

    /// Fetches and unpacks what can be had; the others get stand-ins that do not compile.
    fn fetch(
        &self,
        sources: &LockedSources<'_>,
        store: &Store<'_>,
        failures: &mut Vec<Failure>,
    ) -> Result<(Vec<Placed>, Vec<SourcePackage>), AcquireError> {
        let broken: BTreeSet<_> = failures.iter().map(|failure| sources.identities.id(&failure.key)).collect();
        let mut wanted = sources.prepare(self.run)?;
        wanted.retain(|wanted| !broken.contains(&wanted.called));
        if self.offline {
            locked::check_present(&wanted, store)?;
        }
        let (placed, mut failed) =
            download::place_some(wanted, self.run, store, self.progress, &index::is_of_one_package)?;
        failed.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (id, error) in failed {
            let mut keys = sources.releases.keys();
            let key = keys.find(|key| key.2.is_some() && sources.identities.id(key) == id);
            failures.extend(key.cloned().map(|key| Failure { key, error }));
        }
        let mut broken = Vec::new();
        for failure in failures.iter().filter(|failure| sources.needed.contains(&failure.key)) {
            if let Some(release) = sources.releases.get(&failure.key) {
                sources.stand_in(&failure.key, release, self.run, MISSING)?;
                let (id, dir) = (sources.identities.id(&failure.key), sources.identities.place(&failure.key));
                broken.push(SourcePackage::missing(id, dir, release.checksum()));
            }
        }
        Ok((placed, broken))
    }

    /// Lets cargo bring the generated project in line with the lock file: features that are off need less.
    fn pin(
        &self,
        mut pins: Vec<Pin>,
        file: &LockFile,
        record: &mut LockRecord,
        default: &Registry<'_>,
        store: &Store<'_>,
    ) -> Result<(Vec<Pin>, String, Lockfile), AcquireError> {
        self.progress.step("waiting for cargo, which reads the lock file");
        for folder in ["consumer", "consumer-without-defaults"] {
            let folder = self.run.join(folder);
            pinned::write(&folder, &pins, file)?;
            let mut config = Vec::new();
            if self.offline && matches!(default.source, Source::Sparse(_)) {
                let mut start = offline::Start::default();
                for pin in &pins {
                    start.ask(&pin.id.name, []);
                }
                config = offline::registry(&folder.join("offline"), default, store, start)?;
            }
            let resolution = Resolution { folder: &folder, locked: true, offline: self.offline, config };
            let text = resolve(&resolution, self.settings)?;
            let lock: Lockfile = text.parse().map_err(|error: cargo_lock::Error| lock_error(error.to_string()))?;
            let is_locked = |package: &Package| {
                package.source.is_none()
                    || file.lock.packages.iter().any(|known| needed::key(known) == needed::key(package))
            };
            if lock.packages.iter().all(is_locked) {
                return Ok((pins, text, lock));
            }
            let said = "with their default features, the packages need some that are not locked: all default features \
                        are off";
            record.remarks.push(said.to_owned());
            for pin in &mut pins {
                pin.default_features = false;
            }
        }
        Err(lock_error("cargo needs packages that the file does not lock".to_owned()))
    }

    /// All packages whose sources are in place, with their facts.
    fn lock_packages(
        &self,
        file: &LockFile,
        locals: Vec<(Key, LocalPackage)>,
        placed: Vec<Placed>,
        facts: &mut Vec<Fact>,
    ) -> Vec<SourcePackage> {
        let mut packages = Vec::new();
        for (key, local) in locals {
            let id = file.identities.id(&key);
            // What the workspace sets for itself stands in the record.
            let is_own = local.source == PackageSource::Directory;
            let told = local.found.into_iter().filter(|found| !is_own || found.code == SKIPPED_FILE);
            facts.extend(told.map(|found| found.of(&id)));
            let dir = if is_own { Path::new("local").join(&local.dir) } else { local.dir };
            packages.push(SourcePackage::new(id, local.source, local.checksum, dir, &local.manifest, false));
        }
        for package in placed {
            facts.extend(package.found.iter().cloned().map(|found| found.of(&package.id)));
            packages.push(SourcePackage::placed(package, false));
        }
        self.list_macros(&mut packages);
        packages
    }
}

/// Says of each package that only other platforms need that it was left out for that.
fn leave_out_other_platforms(record: &mut LockRecord, file: &LockFile, needed: &BTreeSet<Key>, host: &str) {
    for (package, locked) in record.packages.iter_mut().zip(&file.lock.packages) {
        if package.left_out.is_none() && !needed.contains(&needed::key(locked)) {
            let text = format!("only builds for other platforms than {host} need it");
            package.left_out = Some(LeftOut { why: LeftOutWhy::OtherPlatform, text });
        }
    }
}

/// Says of each package that is needed and could not be had why it was left out.
fn leave_out_failures(record: &mut LockRecord, file: &LockFile, failures: &[Failure], needed: &BTreeSet<Key>) {
    for failure in failures.iter().filter(|failure| needed.contains(&failure.key)) {
        let id = file.identities.id(&failure.key);
        if let Some(package) = record.packages.iter_mut().find(|package| package.id == id) {
            package.left_out = Some(failure.left_out());
        }
    }
}

/// The folders of packages from git that the generated project names.
fn of_git_dirs(packages: &[(Key, LocalPackage)]) -> BTreeMap<Key, std::path::PathBuf> {
    packages.iter().map(|(key, package)| (key.clone(), package.dir.clone())).collect()
}

/// A generated project names folders, and cargo takes two of one name and version for one: the later of two repositories,
/// and what needs it, cannot be built there.
fn repositories_apart(file: &LockFile, of_git: &mut Vec<(Key, LocalPackage)>) -> Vec<Failure> {
    let mut seen = BTreeSet::new();
    let twins = of_git.iter().map(|(key, _)| key).filter(|key| !seen.insert((key.0.clone(), key.1.clone())));
    let dropped = with_what_needs(file, twins.cloned().collect());
    let refused = of_git.extract_if(.., |(key, _)| dropped.contains(key)).map(|(key, _)| {
        let what = format!(
            "{} without its workspace, since another repository has its name and version",
            file.identities.id(&key)
        );
        apart(key, what)
    });
    refused.collect()
}

/// What the index does not have, or not any more. Cargo chooses by the index what a generated project needs: these
/// packages and what needs one of them cannot be built there, and the rest can.
fn gone(failures: &[Failure]) -> BTreeSet<Key> {
    let is_gone = |failure: &&Failure| matches!(failure.error, AcquireError::UnknownVersion { .. });
    failures.iter().filter(is_gone).map(|failure| failure.key.clone()).collect()
}

/// What needs a release that is gone.
fn without(file: &LockFile, key: &Key) -> Failure {
    apart(key.clone(), format!("{} without a release that the registry does not have", file.identities.id(key)))
}

/// What only a workspace can build.
fn apart(key: Key, what: String) -> Failure {
    let instead = "check the lock file beside its workspace".to_owned();
    Failure { key, error: AcquireError::Unsupported { what, instead } }
}

/// These packages and all that need one of them.
fn with_what_needs(file: &LockFile, mut dropped: BTreeSet<Key>) -> BTreeSet<Key> {
    let is_dropped = |edge: &cargo_lock::Dependency, dropped: &BTreeSet<Key>| {
        let mut targets = file.lock.packages.iter().filter(|package| needed::leads_to(edge, package));
        targets.any(|package| dropped.contains(&needed::key(package)))
    };
    let needs =
        |package: &Package, dropped: &BTreeSet<Key>| package.dependencies.iter().any(|edge| is_dropped(edge, dropped));
    loop {
        let more = file.lock.packages.iter().filter(|package| needs(package, &dropped)).map(needed::key);
        let more: Vec<Key> = more.filter(|key| !dropped.contains(key)).collect();
        if more.is_empty() {
            break;
        }
        dropped.extend(more);
    }
    dropped
}

impl SourcePackage {
    /// A package without its source.
    fn missing(id: PackageId, dir: PathBuf, checksum: Sha256Digest) -> Self {
        let (source, checksum) = (PackageSource::Registry, Some(checksum));
        let (subject, build_script, proc_macro, lib_name, unnamed) = (false, false, None, None, None);
        Self { id, source, checksum, dir, subject, build_script, proc_macro, lib_name, unnamed }
    }
}
