//! What the indexes say about the packages of a lock file, asked several at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use cargo_lock::Package;
use serde_json::json;

use super::super::error::{AcquireError, ErrorClass};
use super::super::locked::check_lock;
use super::super::needed::{self, Key};
use super::super::registry::Registry;
use super::super::release::{Release, Wanted};
use super::super::sources::is_default;
use super::super::stage::NO_CHECKSUM;
use crate::ids::Sha256Digest;

/// What came of the questions.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// By package: its line.
    pub(super) releases: BTreeMap<Key, Release>,
    /// Packages about which nothing could be learned, or nothing good.
    pub(super) failed: Vec<(Key, AcquireError)>,
}

/// All locked versions of one name in one source.
struct Question<'a> {
    registry: &'a Registry<'a>,
    packages: Vec<&'a Package>,
}

/// Asks about all packages that come from `registries`.
///
/// # Errors
/// What makes the rest pointless, such as a disk that cannot be read.
pub(super) fn ask<'a>(
    packages: &'a [Package],
    registries: &'a BTreeMap<String, Registry<'a>>,
    threads: usize,
) -> Result<Answers, AcquireError> {
    let mut questions: BTreeMap<(String, &str), Question<'a>> = BTreeMap::new();
    for package in packages {
        let Some(source) = package.source.as_ref().map(ToString::to_string) else { continue };
        let Some(registry) = registries.get(&source) else { continue };
        let question = questions.entry((source, package.name.as_str()));
        question.or_insert_with(|| Question { registry, packages: Vec::new() }).packages.push(package);
    }
    let threads = threads.clamp(1, questions.len().max(1));
    let queue = Mutex::new(questions.into_values().collect::<VecDeque<_>>());
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(question) = next else { break };
                    let answered = question.answer();
                    answers.lock().unwrap_or_else(PoisonError::into_inner).extend(answered);
                }
            });
        }
    });
    let mut all = Answers::default();
    for (key, answer) in answers.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match answer {
            Ok(release) => drop(all.releases.insert(key, release)),
            Err(error) if is_of_one_package(&error) => all.failed.push((key, error)),
            Err(error) => return Err(error),
        }
    }
    all.failed.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

/// True for what says something about one package and leaves the others as they are.
pub(super) fn is_of_one_package(error: &AcquireError) -> bool {
    matches!(error.class(), ErrorClass::Refused | ErrorClass::Temporary | ErrorClass::NotFound)
}

impl Question<'_> {
    fn answer(&self) -> Vec<(Key, Result<Release, AcquireError>)> {
        let Some(name) = self.packages.first().map(|package| package.name.as_str()) else { return Vec::new() };
        // What this machine knows is enough where it says what the lock file says.
        let wanted: Vec<_> = self.packages.iter().map(|package| package.version.to_string()).collect();
        let known = self.registry.known_lines(name, Wanted::Versions(&wanted)).ok().flatten().unwrap_or_default();
        let of_known: Vec<_> =
            self.packages.iter().map(|package| (needed::key(package), one(&known, package))).collect();
        if of_known.iter().all(|(_, answer)| matches!(answer, Ok(Some(_)))) {
            let found = |answer: Result<Option<Release>, _>| answer.transpose();
            return of_known.into_iter().filter_map(|(key, answer)| Some((key, found(answer)?))).collect();
        }
        match self.registry.lines(name, Wanted::Versions(&wanted)) {
            Ok(versions) => {
                let versions = versions.unwrap_or_default();
                let unknown = |package: &Package| AcquireError::UnknownVersion {
                    name: package.name.to_string(),
                    requirement: package.version.to_string(),
                    nearest: Vec::new(),
                    yanked: Vec::new(),
                };
                let answer = |package: &&Package| one(&versions, package)?.ok_or_else(|| unknown(package));
                self.packages.iter().map(|package| (needed::key(package), answer(package))).collect()
            }
            Err(error) => {
                // One failure, told of each.
                let mut rest = self.packages.iter().map(|package| needed::key(package));
                let first = rest.next().map(|key| (key, Err(error)));
                let text = "its index entry could not be had".to_owned();
                let again = |key| (key, Err(AcquireError::ResolveNetwork { message: text.clone() }));
                first.into_iter().chain(rest.map(again)).collect()
            }
        }
    }
}

fn one(versions: &[Release], package: &Package) -> Result<Option<Release>, AcquireError> {
    let release = Release::among(versions, package.name.as_str(), &package.version.to_string())?;
    if let Some(release) = &release {
        check_lock(package, release)?;
    }
    Ok(release)
}

/// A line for a package about which the index said nothing: its needs by the lock file, and the features that others
/// ask of it. It lets cargo read the rest of the graph; nothing is built of it.
pub(super) fn made_up(package: &Package, releases: &BTreeMap<Key, Release>) -> Option<Release> {
    let name = package.name.as_str();
    let mut features: BTreeSet<String> = BTreeSet::new();
    for release in releases.values() {
        for dep in release.index.deps.iter().filter(|dep| dep.crate_name() == name) {
            features.extend(dep.features.iter().map(ToString::to_string));
            let prefixes = [format!("{}/", dep.name), format!("{}?/", dep.name)];
            let items = release.features().into_values().flatten();
            features.extend(items.filter_map(|item| {
                prefixes.iter().find_map(|prefix| item.strip_prefix(prefix.as_str()).map(str::to_owned))
            }));
        }
    }
    let dep = |(at, edge): (usize, &cargo_lock::Dependency)| {
        let registry = edge.source.as_ref().map(ToString::to_string).filter(|source| !is_default(source));
        json!({
            "name": format!("dep{at}"), "package": edge.name.as_str(), "req": format!("={}", plain(&edge.version)),
            "features": [], "optional": false, "default_features": false, "target": null, "kind": "normal",
            "registry": registry,
        })
    };
    let checksum =
        package.checksum.as_ref().and_then(cargo_lock::Checksum::as_sha256).map_or(NO_CHECKSUM, Sha256Digest);
    let none: Vec<String> = Vec::new();
    let line = json!({
        "name": name, "vers": package.version.to_string(), "cksum": checksum.hex(), "yanked": false, "v": 2,
        "deps": package.dependencies.iter().enumerate().map(dep).collect::<Vec<_>>(),
        "features": features.into_iter().map(|feature| (feature, none.clone())).collect::<BTreeMap<_, _>>(),
    });
    Release::parse(line.to_string().as_bytes())
}

/// Build metadata has no meaning in a requirement.
fn plain(version: &semver::Version) -> String {
    semver::Version { build: semver::BuildMetadata::EMPTY, ..version.clone() }.to_string()
}
