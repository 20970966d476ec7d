//! Stands in for packages of other platforms: a manifest that resolves like the real one, and no code.
//!
//! An offline cargo reads the manifest of every locked package, whichever
//! platform it is for. The stand-in has the dependencies and features that the
//! index gives, so that the lock file stays as it is.

use std::collections::BTreeMap;
use std::path::Path;

use tame_index::krate::{DependencyKind, IndexDependency};
use toml::{Table, Value};

use super::archive::{make_folders, write_checksum_file, write_new};
use super::error::AcquireError;
use super::release::Release;
use crate::ids::Sha256Digest;

/// Writes the stand-in to the new folder `to`, with this source as its library. `registry_of` gives the
/// `registry-index` of a dependency by its package name, none for the default registry.
pub(crate) fn write(
    release: &Release,
    checksum: Sha256Digest,
    to: &Path,
    library: &str,
    registry_of: &dyn Fn(&str) -> Option<String>,
) -> Result<(), AcquireError> {
    let manifest = manifest(release, registry_of).to_string();
    let put = || {
        make_folders(to, Path::new("src"))?;
        write_new(&to.join("Cargo.toml"), false, &mut manifest.as_bytes())?;
        write_new(&to.join("src/lib.rs"), false, &mut library.as_bytes())?;
        write_checksum_file(to, checksum)
    };
    put().map_err(AcquireError::file("write", to))
}

fn manifest(release: &Release, registry_of: &dyn Fn(&str) -> Option<String>) -> Table {
    let package = Table::from_iter([
        ("name".to_owned(), text(&release.id.name)),
        ("version".to_owned(), text(&release.id.version)),
        ("edition".to_owned(), text("2021")),
        ("build".to_owned(), Value::Boolean(false)),
    ]);
    let mut manifest = Table::from_iter([("package".to_owned(), Value::Table(package))]);
    let mut targets: BTreeMap<&str, Table> = BTreeMap::new();
    for dep in deps(release) {
        let section = if dep.kind == DependencyKind::Build { "build-dependencies" } else { "dependencies" };
        let table = match &dep.target {
            Some(platform) => targets.entry(platform.as_str()).or_default(),
            None => &mut manifest,
        };
        let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = section {
            section.insert(dep.name.to_string(), dependency(dep, registry_of));
        }
    }
    if !targets.is_empty() {
        let targets = targets.into_iter().map(|(platform, table)| (platform.to_owned(), Value::Table(table)));
        manifest.insert("target".to_owned(), Value::Table(targets.collect()));
    }
    let has = |name: &str| deps(release).any(|dep| dep.name == name);
    let features = release.features().into_iter().map(|(name, mut turns_on)| {
        turns_on.retain(|item| of_dependency(item).is_none_or(has));
        (name, Value::Array(turns_on.into_iter().map(Value::String).collect()))
    });
    manifest.insert("features".to_owned(), Value::Table(features.collect()));
    manifest
}

/// Development dependencies play no part in the build of a dependency.
fn deps(release: &Release) -> impl Iterator<Item = &IndexDependency> {
    release.index.deps.iter().filter(|dep| dep.kind != DependencyKind::Dev)
}

/// The dependency that an item of a feature speaks of: `dep:NAME`, `NAME/FEATURE`, `NAME?/FEATURE`.
/// Where it is a development dependency, cargo wants to find it in the manifest.
fn of_dependency(item: &str) -> Option<&str> {
    match item.strip_prefix("dep:") {
        Some(name) => Some(name),
        None => item.split_once('/').map(|(name, _)| name.trim_end_matches('?')),
    }
}

fn dependency(dep: &IndexDependency, registry_of: &dyn Fn(&str) -> Option<String>) -> Value {
    let mut table = Table::from_iter([
        ("version".to_owned(), text(&dep.req)),
        ("default-features".to_owned(), Value::Boolean(dep.default_features)),
        ("optional".to_owned(), Value::Boolean(dep.optional)),
        ("features".to_owned(), Value::Array(dep.features().iter().map(|name| text(name)).collect())),
    ]);
    if let Some(package) = dep.package() {
        table.insert("package".to_owned(), text(package));
    }
    if let Some(registry) = registry_of(dep.crate_name()) {
        table.insert("registry-index".to_owned(), Value::String(registry));
    }
    Value::Table(table)
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Manifest;
    use super::*;

    #[test]
    fn a_stand_in_resolves_like_the_package_it_stands_for() {
        let dep = |more: &str| format!(r#"{{"features":["f"],"default_features":false,{more}}}"#);
        let deps = [
            dep(r#""name":"plain","req":"^1","optional":false,"target":null,"kind":"normal""#),
            dep(r#""name":"alias","req":"2","optional":true,"target":"cfg(windows)","kind":"normal","package":"real""#),
            dep(r#""name":"tool","req":"=3.0.0","optional":false,"target":null,"kind":"build""#),
            dep(r#""name":"test-only","req":"1","optional":false,"target":null,"kind":"dev""#),
        ];
        let line = format!(
            r#"{{"name":"winny","vers":"1.0.0","cksum":"{}","yanked":false,"deps":[{}],"v":2,"links":"win",
               "features":{{"default":["a"],"a":[]}},"features2":{{"b":["dep:alias","plain/f"],"t":["test-only/all","b"]}}}}"#,
            "0".repeat(64),
            deps.join(",")
        );
        let release = Release::parse(line.as_bytes()).unwrap();
        let root = tempfile::tempdir().unwrap();
        let to = root.path().join("winny-1.0.0");
        let checksum = Sha256Digest([9; 32]);
        write(&release, checksum, &to, "", &|name| (name == "real").then(|| "sparse+http://r.example/".to_owned()))
            .unwrap();
        let read = Manifest::read(&to, None).unwrap().as_release(checksum).unwrap();
        assert_eq!(read.id, release.id);
        let mut features = release.features();
        features.insert("t".to_owned(), vec!["b".to_owned()]);
        assert_eq!(read.features(), features, "what turns on a development dependency is left out");
        let mut expected: Vec<_> = release.index.deps.iter().filter(|dep| dep.kind != DependencyKind::Dev).collect();
        let mut found: Vec<_> = read.index.deps.iter().collect();
        expected.sort_by_key(|dep| dep.name.clone());
        found.sort_by_key(|dep| dep.name.clone());
        assert_eq!(found, expected);
        let text = std::fs::read_to_string(to.join("Cargo.toml")).unwrap();
        assert_eq!(text.matches("registry-index = \"sparse+http://r.example/\"").count(), 1, "{text}");
    }
}
