//! The stage itself: request → subject → versions → files → unpacked sources.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cargo_lock::Lockfile;

use super::config::CargoConfig;
use super::download::{self, Placed, Store};
use super::error::AcquireError;
use super::facts::{Found, YANKED};
use super::http::{Client, Transport};
use super::identity::Identities;
use super::index_cache;
use super::local::{self, LocalPackage};
use super::locked::LockedSources;
use super::needed;
use super::progress::Progress;
use super::registry::Registry;
use super::release::{DEFAULT_FEATURE, Release};
use super::resolve::{Resolution, missing_name, resolve};
use super::resolved::{self, Resolved};
use super::runs;
use super::settings::AcquireSettings;
use super::sources::Source;
use super::target::{Request, Requirement};
use super::{
    Acquired, Entry, Locked, Previous, Replaced, Reputation, SourcePackage, SubjectDependency, SubjectOrigin, Survey,
    choose, consumer, library, locked, offline, previous, reputation,
};
use crate::evidence::line::{Fact, PackageSource, Target, TargetKind};
use crate::ids::{PackageId, Sha256Digest};

/// A checksum for index lines that are never held against a file.
pub(super) const NO_CHECKSUM: Sha256Digest = Sha256Digest([0; 32]);

/// What came of a request.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The sources are here.
    Acquired(Box<Acquired>),
    /// The caller knew enough once the versions were chosen.
    Known(T),
}

/// Brings verified sources of the request and of all that its build can reach.
///
/// Nothing of the subject's runs. On failure nothing is left but downloaded
/// `.crate` files with the right checksum.
pub fn acquire(
    request: &Request,
    settings: &AcquireSettings,
    progress: &dyn Progress,
) -> Result<Acquired, AcquireError> {
    match acquire_unless(request, settings, progress, |_| None::<Infallible>)? {
        Outcome::Acquired(acquired) => Ok(*acquired),
        Outcome::Known(never) => match never {},
    }
}

/// The same, unless `known` has an answer once the versions are chosen. Then nothing is fetched or unpacked.
pub fn acquire_unless<T>(
    request: &Request,
    settings: &AcquireSettings,
    progress: &dyn Progress,
    known: impl FnOnce(&Resolved) -> Option<T>,
) -> Result<Outcome<T>, AcquireError> {
    let outcome = acquire_in_new_run(request, settings, progress, known);
    runs::stay_if_abandoned();
    progress.finished();
    outcome
}

fn acquire_in_new_run<T>(
    request: &Request,
    settings: &AcquireSettings,
    progress: &dyn Progress,
    known: impl FnOnce(&Resolved) -> Option<T>,
) -> Result<Outcome<T>, AcquireError> {
    let (sources, guard) = runs::begin(&settings.cache_dir)?;
    let mut config = CargoConfig::of_cargo(&settings.cargo_home, &settings.environment)?;
    if let Request::Lock(lock) = request {
        config.add_foreign(&lock.own.sources);
    }
    let stage = Stage::new(settings, &config, sources.path(), progress)?;
    tracing::debug!(run = %stage.run.display(), offline = stage.offline, "acquiring");
    let work = match request {
        Request::Lock(lock) => stage.lock(lock, known)?,
        _ => stage.work(request, known)?,
    };
    index_cache::keep(stage.run, &settings.cache_dir);
    let parts = match work {
        Work::Known(known) => return Ok(Outcome::Known(known)),
        Work::Done(parts) => *parts,
    };
    let is_published = |package: &SourcePackage| package.source == PackageSource::Registry;
    let registries = if parts.packages.iter().all(is_published) { Vec::new() } else { config.registries() };
    Ok(Outcome::Acquired(Box::new(Acquired {
        target: parts.target,
        packages: parts.packages,
        lock: parts.lock,
        subject: parts.subject,
        locked: parts.locked,
        registry_dir: parts.registry_dir,
        replaced_sources: parts.replaced_sources,
        registries,
        facts: parts.facts,
        wrappers: config.wrappers(),
        index: parts.index,
        offline: stage.offline,
        previous: parts.previous,
        reputation: parts.reputation,
        changed: parts.changed,
        sources,
        guard,
    })))
}

pub(super) enum Work<T> {
    Done(Box<Parts>),
    Known(T),
}

/// The packages of a lock file against the index of their registry. Nothing is resolved, fetched or unpacked.
pub fn survey(path: &Path, settings: &AcquireSettings, progress: &dyn Progress) -> Result<Survey, AcquireError> {
    let lock = super::survey::read(path)?;
    let (sources, _guard) = runs::begin(&settings.cache_dir)?;
    let config = CargoConfig::of_cargo(&settings.cargo_home, &settings.environment)?;
    let stage = Stage::new(settings, &config, sources.path(), progress)?;
    let outcome = super::survey::survey(
        &lock,
        &stage.registry(tame_index::CRATES_IO_INDEX)?,
        settings.limits.questions,
        progress,
    );
    if outcome.is_ok() {
        index_cache::keep(stage.run, &settings.cache_dir);
    }
    runs::stay_if_abandoned();
    progress.finished();
    outcome
}

pub(super) struct Stage<'a> {
    pub(super) settings: &'a AcquireSettings,
    pub(super) config: &'a CargoConfig,
    /// None when offline.
    pub(super) transport: Option<Transport>,
    deadline: Instant,
    pub(super) offline: bool,
    pub(super) run: &'a Path,
    pub(super) progress: &'a dyn Progress,
}

/// The subject, before versions of its dependencies are chosen.
struct Subject {
    target: Target,
    dependency: SubjectDependency,
    locals: Vec<LocalPackage>,
    /// A registry release.
    release: Option<Release>,
    /// All releases of its name.
    releases: Vec<Release>,
}

impl Subject {
    /// From where a resolution sets out. Of a local package all features count.
    fn start(&self) -> offline::Start {
        let mut start = offline::Start::default();
        for local in &self.locals {
            for dependency in &local.manifest.dependencies {
                start.ask(dependency.package.as_ref().unwrap_or(&dependency.alias), []);
            }
            if let Some(release) = local.manifest.as_release(NO_CHECKSUM) {
                start.follow(&release, &release.feature_names().into_iter().collect());
            }
        }
        if let Some(release) = &self.release {
            start.ask(&release.id.name, self.dependency.features.iter().map(String::as_str));
        }
        start
    }
}

pub(super) struct Parts {
    pub(super) target: Target,
    pub(super) packages: Vec<SourcePackage>,
    pub(super) lock: String,
    pub(super) subject: Option<SubjectDependency>,
    pub(super) locked: Option<Box<Locked>>,
    pub(super) registry_dir: String,
    pub(super) replaced_sources: Vec<Replaced>,
    pub(super) facts: Vec<Fact>,
    pub(super) index: Vec<Entry>,
    pub(super) previous: Previous,
    pub(super) reputation: Reputation,
    pub(super) changed: bool,
}

impl<'a> Stage<'a> {
    fn new(
        settings: &'a AcquireSettings,
        config: &'a CargoConfig,
        run: &'a Path,
        progress: &'a dyn Progress,
    ) -> Result<Self, AcquireError> {
        let offline = settings.offline || config.offline();
        let transport = if offline { None } else { Some(config.transport()?) };
        let deadline = Instant::now() + settings.limits.total;
        Ok(Self { settings, config, transport, deadline, offline, run, progress })
    }
}

impl Stage<'_> {
    fn work<T>(&self, request: &Request, known: impl FnOnce(&Resolved) -> Option<T>) -> Result<Work<T>, AcquireError> {
        let default = self.registry(tame_index::CRATES_IO_INDEX)?;
        let store = Store::new(&self.settings.cache_dir, self.run, &self.settings.limits)?;
        self.progress.step(&format!("asking {}", default.describe()));
        let subject = self.subject(request, &default, &store)?;
        // A folder that needs nothing of a registry's asks none.
        if subject.locals.iter().any(LocalPackage::needs_a_registry) {
            default.open()?;
        }
        self.progress.step(&format!("waiting for cargo, which asks {}", default.describe()));
        let text = self.resolve(&subject, &default, &store)?;
        let lock: Lockfile = text.parse().map_err(|error: cargo_lock::Error| lock_error(error.to_string()))?;
        let mut registries = BTreeMap::new();
        for source in lock.packages.iter().filter_map(|package| package.source.as_ref()) {
            let source = source.to_string();
            if !registries.contains_key(&source) {
                registries.insert(source.clone(), self.registry(&source)?);
            }
        }
        let (releases, histories) = locked::releases(&lock, &registries, &subject.locals, subject.release.as_ref())?;
        let needed = needed::on_host(&lock, &releases, &self.settings.host, &subject.dependency)?;
        let registry_dir = default.folder();
        let resolved = resolved::Parts {
            target: &subject.target,
            subject: &subject.dependency,
            release: subject.release.as_ref(),
            lock: &text,
            registry_dir: &registry_dir,
            registries: &registries,
            releases: &releases,
            needed: &needed,
            histories: &histories,
            offline: self.offline,
        };
        let resolved = resolved.resolved();
        if let Some(known) = known(&resolved) {
            return Ok(Work::Known(known));
        }
        let identities = Identities::of(lock.packages.iter().map(needed::key));
        let sources = LockedSources::new(&lock, &registries, &releases, &needed, &identities);
        let (packages, facts) = self.bring_packages(&subject, &sources, &store)?;
        let (previous, reputation) = self.beside(&subject, &default, &store);
        let replaced_sources = identities.replaced(registries.keys());
        let Subject { target, dependency: subject, .. } = subject;
        let index = resolved.index;
        Ok(Work::Done(Box::new(Parts {
            target,
            packages,
            lock: text,
            subject: Some(subject),
            locked: None,
            registry_dir,
            replaced_sources,
            facts,
            index,
            previous,
            reputation,
            changed: false,
        })))
    }

    /// Fetches and unpacks what is needed: all packages in place, with their facts.
    fn bring_packages(
        &self,
        subject: &Subject,
        sources: &LockedSources<'_>,
        store: &Store<'_>,
    ) -> Result<(Vec<SourcePackage>, Vec<Fact>), AcquireError> {
        let mut wanted = sources.prepare(self.run)?;
        if self.settings.only_subject {
            wanted.retain(|wanted| subject.release.as_ref().is_some_and(|release| release.id == wanted.id));
        }
        if self.offline {
            locked::check_present(&wanted, store)?;
        }
        let placed = download::place_all(wanted, self.run, store, self.progress)?;
        let mut facts = Vec::new();
        let mut packages = packages(subject, placed, &mut facts);
        if !packages.iter().any(|package| package.subject) {
            return Err(lock_error("the subject is not in it".to_owned()));
        }
        for package in packages.iter_mut().filter(|package| package.subject) {
            let dir = self.run.join(&package.dir);
            facts.extend(library::add(package, &dir)?);
        }
        self.list_macros(&mut packages);
        Ok((packages, facts))
    }

    /// Reads from their sources which macros the macro libraries among them export.
    pub(super) fn list_macros(&self, packages: &mut [SourcePackage]) {
        for package in packages {
            if let Some(macros) = &mut package.proc_macro {
                *macros = crate::plan::macros::scan(&self.run.join(&package.dir));
            }
        }
    }

    /// What the subject is compared with, and what is said of it.
    fn beside(&self, subject: &Subject, default: &Registry<'_>, store: &Store<'_>) -> (Previous, Reputation) {
        self.progress.step("comparing with the release before");
        let previous = match &subject.release {
            Some(release) => previous::fetch(default, release, &subject.releases, store, self.run, self.offline),
            None => Previous::missing("it is no release of a registry"),
        };
        (previous, self.reputation(subject, default))
    }

    /// A few questions, and no failure of it is one of the run's.
    fn reputation(&self, subject: &Subject, default: &Registry<'_>) -> Reputation {
        let (Some(release), Some(transport)) = (&subject.release, &self.transport) else {
            let reason = if self.offline { "offline" } else { "it is no release of a registry" };
            return Reputation::missing(reason);
        };
        let limits = reputation::bounds(&self.settings.limits);
        match Client::new(transport, &limits, self.deadline, &default.describe()) {
            Ok(client) => reputation::ask(default, &client, release, &self.settings.cache_dir),
            Err(error) => Reputation::missing(error.to_string()),
        }
    }

    pub(super) fn registry(&self, source: &str) -> Result<Registry<'_>, AcquireError> {
        if source.starts_with("git+") {
            return Err(AcquireError::Unsupported {
                what: format!("the source {source}"),
                instead: "use packages of a registry".to_owned(),
            });
        }
        let settings = self.settings;
        let source = self.config.source_of(source)?;
        let client = match (&source, &self.transport) {
            (Source::Sparse(url), Some(transport)) => {
                let home = url.trim_start_matches("sparse+");
                Some(Client::new(transport, &settings.limits, self.deadline, home)?)
            }
            _ => None,
        };
        Ok(Registry::new(
            source,
            self.config,
            client,
            &settings.cargo_home,
            (&settings.cache_dir, self.run),
            &settings.limits,
        ))
    }

    fn subject(&self, request: &Request, default: &Registry<'_>, store: &Store<'_>) -> Result<Subject, AcquireError> {
        let limits = &self.settings.limits;
        let local = self.run.join("local");
        match request {
            Request::Release { name, version } => self.released(name, version, default, store),
            Request::Directory(path) => self.local(local::directory(path, &local, limits)?, TargetKind::Directory),
            Request::Archive(path) => self.local(vec![local::archive(path, &local, limits)?], TargetKind::Archive),
            Request::Lock(_) => Err(lock_error("a lock file has no subject".to_owned())),
        }
    }

    fn released(
        &self,
        name: &str,
        version: &Requirement,
        registry: &Registry<'_>,
        store: &Store<'_>,
    ) -> Result<Subject, AcquireError> {
        registry.open()?;
        let releases = match choose::find(registry, name) {
            // Offline, an unknown name says only that this machine has not met it.
            Err(AcquireError::UnknownName { .. }) if self.offline && matches!(registry.source, Source::Sparse(_)) => {
                return Err(AcquireError::OfflineMissing { missing: vec![format!("the index entry of `{name}`")] });
            }
            other => other?,
        };
        let here = |release: &Release| !self.offline || store.has(registry, &release.id, release.checksum());
        let chosen = &choose::choose(&releases, version, here)?.id;
        let release = Release::among(&releases, &chosen.name, &chosen.version)?;
        let release = release.ok_or_else(|| lock_error(format!("{chosen} is gone")))?;
        let origin = SubjectOrigin::Registry { version: release.id.version.clone() };
        Ok(Subject {
            target: target(TargetKind::Release, &release.id, Some(release.checksum())),
            dependency: self.dependency(&release.id, origin, Some(&release))?,
            locals: Vec::new(),
            release: Some(release),
            releases,
        })
    }

    fn local(&self, locals: Vec<LocalPackage>, kind: TargetKind) -> Result<Subject, AcquireError> {
        let first = locals.first().ok_or_else(|| lock_error("no package was copied".to_owned()))?;
        let id = first.manifest.id();
        let origin = SubjectOrigin::Local { dir: first.dir.clone() };
        let dependency = self.dependency(&id, origin, first.manifest.as_release(NO_CHECKSUM).as_ref())?;
        Ok(Subject {
            target: target(kind, &id, first.checksum),
            dependency,
            locals,
            release: None,
            releases: Vec::new(),
        })
    }

    fn dependency(
        &self,
        id: &PackageId,
        origin: SubjectOrigin,
        release: Option<&Release>,
    ) -> Result<SubjectDependency, AcquireError> {
        let settings = self.settings;
        let known = release.map(Release::feature_names).unwrap_or_default();
        // `package/feature` and `dep?/feature` are for cargo to judge.
        let unknown = |name: &&String| !name.contains('/') && !known.contains(name);
        if let Some(name) = settings.features.iter().find(unknown) {
            let hint =
                if known.is_empty() { "it has no features".to_owned() } else { format!("it has {}", known.join(", ")) };
            return Err(AcquireError::Usage { message: format!("{id} has no feature {name:?}"), hint: Some(hint) });
        }
        let features = if settings.all_features { known } else { settings.features.clone() };
        // It is a matter of its own.
        let features: Vec<String> = features.into_iter().filter(|name| name != DEFAULT_FEATURE).collect();
        let default_features = settings.all_features || !settings.no_default_features;
        let asked = features.iter().map(String::as_str).chain(default_features.then_some(DEFAULT_FEATURE));
        let features_off = release.map(|release| release.features_off(asked)).unwrap_or_default();
        Ok(SubjectDependency { name: id.name.clone(), origin, features, default_features, features_off })
    }

    fn resolve(&self, subject: &Subject, default: &Registry<'_>, store: &Store<'_>) -> Result<String, AcquireError> {
        let folder = self.run.join("consumer");
        consumer::write(&folder, &subject.dependency)?;
        let yanked = subject.release.as_ref().filter(|release| release.index.yanked);
        if let Some(release) = yanked {
            consumer::write_lock(&folder, &release.id.name, &release.id.version, release.checksum())?;
        }
        let mut config = Vec::new();
        if self.offline && matches!(default.source, Source::Sparse(_)) {
            config = offline::registry(&self.run.join("offline"), default, store, subject.start())?;
        }
        let resolution = Resolution { folder: &folder, locked: yanked.is_some(), offline: self.offline, config };
        resolve(&resolution, self.settings).map_err(|error| match &error {
            // To cargo, an answer that it cannot read is none. Asked by us, the registry may show what it is.
            AcquireError::Resolve { message } => {
                let asked = missing_name(message).map(|name| default.versions(name));
                asked.and_then(Result::err).unwrap_or(error)
            }
            _ => error,
        })
    }
}

pub(super) fn lock_error(reason: String) -> AcquireError {
    AcquireError::Lock { reason }
}

fn target(kind: TargetKind, id: &PackageId, checksum: Option<Sha256Digest>) -> Target {
    Target { kind, name: id.name.clone(), version: id.version.clone(), checksum }
}

/// All packages with their facts, the subject first.
fn packages(subject: &Subject, placed: Vec<Placed>, facts: &mut Vec<Fact>) -> Vec<SourcePackage> {
    let mut packages = Vec::new();
    let mut tell = |id: &PackageId, found: &[Found]| facts.extend(found.iter().cloned().map(|found| found.of(id)));
    for (index, local) in subject.locals.iter().enumerate() {
        let id = local.manifest.id();
        tell(&id, &local.found);
        let dir = PathBuf::from("local").join(&local.dir);
        packages.push(SourcePackage::new(id, local.source, local.checksum, dir, &local.manifest, index == 0));
    }
    for package in placed {
        let is_subject = subject.release.as_ref().is_some_and(|release| release.id == package.id);
        if is_subject && subject.release.as_ref().is_some_and(|release| release.index.yanked) {
            let text = format!("version {} was yanked", package.id.version);
            tell(&package.id, &[Found { code: YANKED, text, path: None }]);
        }
        tell(&package.id, &package.found);
        packages.push(SourcePackage::placed(package, is_subject));
    }
    packages.sort_by_key(|package| !package.subject);
    packages
}
