//! The consumer of a bare lock file: each package by name with the file's version.
//!
//! Which features the workspace turned on is not in a lock file. `default` is
//! asked for wherever all that it turns on is locked, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_lock::{Lockfile, Package, ResolveVersion};
use semver::VersionReq;
use tame_index::krate::DependencyKind;
use toml::{Table, Value};

use super::super::consumer::write_package;
use super::super::error::AcquireError;
use super::super::needed::{self, Key};
use super::super::release::Release;
use super::super::sources::is_default;
use super::file::LockFile;
use crate::ids::PackageId;
use crate::plan::CONSUMER_NAME;

/// A package that the consumer names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Name and version.
    pub id: PackageId,
    /// The index of its registry; none for the default one.
    pub index: Option<String>,
    /// Its folder below `local/`, if it comes from git.
    pub folder: Option<PathBuf>,
    /// Whether `default` is on.
    pub default_features: bool,
}

/// All packages of registries and repositories that the host needs; `folders` has the latter.
pub(super) fn pins(
    file: &LockFile,
    releases: &BTreeMap<Key, Release>,
    needed: &BTreeSet<Key>,
    folders: &BTreeMap<Key, PathBuf>,
) -> Vec<Pin> {
    let lock = &file.lock;
    let mut graph = Graph { lock, releases, on: BTreeSet::new() };
    let is_here = |package: &&Package| {
        let key = needed::key(package);
        let is_git = package.source.as_ref().is_some_and(cargo_lock::SourceId::is_git);
        needed.contains(&key) && package.source.is_some() && (!is_git || folders.contains_key(&key))
    };
    let pin = |package: &Package| {
        let folder = folders.get(&needed::key(package));
        let source = package.source.as_ref().filter(|_| folder.is_none()).map(ToString::to_string);
        let index = source.filter(|source| !is_default(source));
        Pin {
            id: file.id_of(package),
            index: index.map(|source| source.trim_start_matches("registry+").to_owned()),
            folder: folder.map(|folder| folder.strip_prefix("local").unwrap_or(folder).to_owned()),
            default_features: graph.turn_on(package),
        }
    };
    lock.packages.iter().filter(is_here).map(pin).collect()
}

/// Which features are on, as far as they were asked for here.
struct Graph<'a> {
    lock: &'a Lockfile,
    releases: &'a BTreeMap<Key, Release>,
    on: BTreeSet<(Key, String)>,
}

impl Graph<'_> {
    /// Turns `default` of a package on, unless it needs what is not locked.
    fn turn_on(&mut self, package: &Package) -> bool {
        let mut new = BTreeSet::new();
        let start = (needed::key(package), "default".to_owned());
        let holds = self.follow(vec![start], &mut new);
        if holds {
            self.on.extend(new);
        }
        holds
    }

    fn follow(&self, mut todo: Vec<(Key, String)>, new: &mut BTreeSet<(Key, String)>) -> bool {
        while let Some(next) = todo.pop() {
            if self.on.contains(&next) || !new.insert(next.clone()) {
                continue;
            }
            let (key, feature) = next;
            let Some(release) = self.releases.get(&key) else { continue };
            let Some(package) = self.lock.packages.iter().find(|package| needed::key(package) == key) else { continue };
            let Some(items) = release.features().remove(&feature) else {
                // An optional dependency is a feature of the same name.
                if !self.depend(release, package, &feature, None, &mut todo) {
                    return false;
                }
                continue;
            };
            for item in items {
                let holds = if let Some(alias) = item.strip_prefix("dep:") {
                    self.depend(release, package, alias, None, &mut todo)
                } else if let Some((alias, feature)) = item.split_once('/') {
                    // `alias?/feature` turns nothing on, and cargo locks it nevertheless.
                    self.depend(release, package, alias.trim_end_matches('?'), Some(feature), &mut todo)
                } else {
                    todo.push((key.clone(), item));
                    true
                };
                if !holds {
                    return false;
                }
            }
        }
        true
    }

    /// Follows a dependency by the name that the package has for it; false if it is not locked.
    fn depend(
        &self,
        release: &Release,
        package: &Package,
        alias: &str,
        feature: Option<&str>,
        todo: &mut Vec<(Key, String)>,
    ) -> bool {
        let of_name = release.index.deps.iter().filter(|dep| dep.name == alias && dep.kind != DependencyKind::Dev);
        for dep in of_name {
            let Ok(requirement) = dep.req.parse::<VersionReq>() else { return false };
            let mut edges = package.dependencies.iter();
            let edge = edges.find(|edge| edge.name.as_str() == dep.crate_name() && requirement.matches(&edge.version));
            let target =
                edge.and_then(|edge| self.lock.packages.iter().find(|package| needed::leads_to(edge, package)));
            let Some(target) = target else { return false };
            let asked = dep.features.iter().map(ToString::to_string);
            let asked = asked.chain(dep.default_features.then(|| "default".to_owned()));
            let asked = asked.chain(feature.map(str::to_owned));
            todo.extend(asked.map(|feature| (needed::key(target), feature)));
        }
        true
    }
}

/// Writes the consumer and its lock file to the new folder `folder`, for cargo to bring in line with each other.
pub(super) fn write(folder: &Path, pins: &[Pin], file: &LockFile) -> Result<(), AcquireError> {
    write_package(folder, &manifest(pins))?;
    let lock = folder.join("Cargo.lock");
    fs::write(&lock, locked(pins, file)?).map_err(AcquireError::file("write", &lock))
}

fn manifest(pins: &[Pin]) -> String {
    let dependency = |(number, pin): (usize, &Pin)| {
        // Build metadata has no meaning in a requirement.
        let version = pin.id.version.split('+').next().unwrap_or_default();
        let mut table = Table::from_iter([
            ("package".to_owned(), Value::String(pin.id.name.clone())),
            ("version".to_owned(), Value::String(format!("={version}"))),
            ("default-features".to_owned(), Value::Boolean(pin.default_features)),
        ]);
        let folder =
            pin.folder.as_ref().map(|folder| Path::new("../local").join(folder).to_string_lossy().into_owned());
        table.extend(folder.map(|folder| ("path".to_owned(), Value::String(folder))));
        table.extend(pin.index.clone().map(|index| ("registry-index".to_owned(), Value::String(index))));
        (key(number), Value::Table(table))
    };
    let text = |text: &str| Value::String(text.to_owned());
    let package = [("name", text(CONSUMER_NAME)), ("version", text("0.1.0")), ("edition", text("2021"))];
    let package = Table::from_iter(package.map(|(key, value)| (key.to_owned(), value)));
    let manifest = Table::from_iter([
        ("package".to_owned(), Value::Table(package)),
        ("workspace".to_owned(), Value::Table(Table::new())),
        ("dependencies".to_owned(), Value::Table(pins.iter().enumerate().map(dependency).collect())),
    ]);
    manifest.to_string()
}

/// The name that the consumer has for its package of this number.
pub(crate) fn key(number: usize) -> String {
    format!("locked_{number}")
}

/// The file's packages of registries, and the consumer that needs them.
fn locked(pins: &[Pin], file: &LockFile) -> Result<String, AcquireError> {
    let wrong = |error: cargo_lock::Error| AcquireError::Lock { reason: error.to_string() };
    let is_pinned = |package: &Package| pins.iter().any(|pin| pin.id == file.id_of(package));
    let is_in = |package: &&Package| {
        let is_git = package.source.as_ref().is_some_and(cargo_lock::SourceId::is_git);
        package.source.is_some() && (!is_git || is_pinned(package))
    };
    let all = file.lock.packages.iter().filter(is_in);
    let (mut packages, pinned): (Vec<Package>, Vec<bool>) =
        all.map(|package| (package.clone(), is_pinned(package))).unzip();
    let known: BTreeSet<_> = packages.iter().map(|package| (package.name.clone(), package.version.clone())).collect();
    let is_git = |source: Option<&cargo_lock::SourceId>| source.is_some_and(cargo_lock::SourceId::is_git);
    for package in &mut packages {
        // What comes from git lies in folders here.
        package.dependencies.retain(|edge| known.contains(&(edge.name.clone(), edge.version.clone())));
        for edge in package.dependencies.iter_mut().filter(|edge| is_git(edge.source.as_ref())) {
            edge.source = None;
        }
        if is_git(package.source.as_ref()) {
            (package.source, package.checksum) = (None, None);
        }
        package.replace = None;
    }
    let named = packages.iter().zip(pinned).filter(|(_, is_pinned)| *is_pinned).map(|(package, _)| package);
    let consumer = Package {
        name: CONSUMER_NAME.parse().map_err(wrong)?,
        version: semver::Version::new(0, 1, 0),
        source: None,
        checksum: None,
        dependencies: named.map(cargo_lock::Dependency::from).collect(),
        replace: None,
    };
    packages.push(consumer);
    packages.sort();
    let metadata = cargo_lock::Metadata::default();
    let patch = cargo_lock::Patch::default();
    let lock = Lockfile { version: ResolveVersion::V4, packages, root: None, metadata, patch };
    Ok(lock.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::super::release::tests::line;
    use super::*;

    fn release(name: &str, deps: &str, features: &str) -> Release {
        let text = String::from_utf8(line(name, "1.0.0", "")).unwrap();
        let text = text.replace("\"deps\":[]", &format!("\"deps\":[{deps}]"));
        Release::parse(text.replace("\"features\":{}", &format!("\"features\":{features}")).as_bytes()).unwrap()
    }

    fn dep(name: &str) -> String {
        format!(
            r#"{{"name":"{name}","req":"^1","features":["x"],"optional":true,"default_features":false,"target":null,"kind":"normal"}}"#
        )
    }

    #[test]
    fn default_is_on_where_all_that_it_turns_on_is_locked() {
        let source = format!("registry+{}", tame_index::CRATES_IO_INDEX);
        let package = |name: &str, deps: &str| {
            let sum = "0".repeat(64);
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\nchecksum = \"{sum}\"\ndependencies = [{deps}]\n"
            )
        };
        let lock = [
            "version = 4\n".to_owned(),
            package("fine", "\"leaf\""),
            package("leaf", ""),
            package("lean", ""),
            package("weak", ""),
        ];
        let file = LockFile::parse(lock.concat()).unwrap();
        let lock = &file.lock;
        let of = |name: &str| match name {
            "fine" | "lean" => release(name, &dep("leaf"), r#"{"default":["a"],"a":["dep:leaf"]}"#),
            "weak" => release(name, &dep("leaf"), r#"{"default":["leaf?/x"]}"#),
            _ => release(name, "", r#"{"x":[]}"#),
        };
        let releases: BTreeMap<Key, Release> =
            lock.packages.iter().map(|package| (needed::key(package), of(package.name.as_str()))).collect();
        let needed = releases.keys().cloned().collect();
        let pins = pins(&file, &releases, &needed, &BTreeMap::new());
        let on: Vec<_> = pins.iter().map(|pin| (pin.id.name.as_str(), pin.default_features)).collect();
        assert_eq!(on, [("fine", true), ("leaf", true), ("lean", false), ("weak", false)]);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &pins, &file).unwrap();
        let text = fs::read_to_string(folder.path().join("Cargo.lock")).unwrap();
        let written: Lockfile = text.parse().unwrap();
        assert_eq!(written.packages.len(), 5);
        let consumer = written.packages.iter().find(|package| package.name.as_str() == CONSUMER_NAME).unwrap();
        assert_eq!(consumer.dependencies.len(), 4);
    }
}
