//! The project's `Cargo.toml` and `Cargo.lock`.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::super::CONSUMER_NAME;
use super::super::persona::Persona;
use super::ConsumerError;
use crate::acquire::{Acquired, Pin, SourcePackage, SubjectOrigin, is_called};
use crate::evidence::line::PackageSource;
use crate::ids::PackageId;

/// The lock file of a project that depends on nothing.
pub(super) const ALONE: &str = "version = 4\n[[package]]\nname = \"orders-service\"\nversion = \"0.1.0\"\n";

/// Library names that would shadow something of the project's or of Rust's own.
const TAKEN_CRATE_NAMES: &[&str] = &["std", "core", "alloc", "proc_macro", "test", "orders_service"];

/// One entry of `[dependencies]`.
pub(super) struct Dependency {
    /// The package.
    pub id: PackageId,
    /// How the project's code names the library; none if there is none.
    pub crate_name: Option<String>,
    /// The key below `[dependencies]`.
    key: String,
    /// The inline table of the entry.
    value: Table,
}

/// The subject first, then every other macro library that the lock file knows.
pub(super) fn dependencies(
    acquired: &Acquired,
    subject: &SourcePackage,
    lock: &Lock,
    local: &str,
) -> Result<Vec<Dependency>, ConsumerError> {
    let mut found = vec![subject_dependency(acquired, subject, lock, local)?];
    let libraries = acquired
        .packages
        .iter()
        .filter(|package| package.proc_macro.is_some() && package.id != subject.id && lock.has(&package.id));
    for (number, package) in libraries.enumerate() {
        let mut value = Table::new();
        value.insert("package".to_owned(), Value::String(package.id.name.clone()));
        if package.source == PackageSource::Registry {
            pin(&mut value, &package.id, lock);
        } else {
            let below = package.dir.strip_prefix("local").unwrap_or(&package.dir);
            value.insert("path".to_owned(), Value::String(join(local, below)?));
        }
        value.insert("default-features".to_owned(), Value::Boolean(false));
        let key = format!("macro_lib_{number}");
        found.push(Dependency { id: package.id.clone(), crate_name: Some(key.clone()), key, value });
    }
    Ok(found)
}

/// Every package of a bare lock file. The project's code names the macro libraries only.
pub(super) fn pinned(
    pins: &[Pin],
    acquired: &Acquired,
    lock: &Lock,
    local: &str,
) -> Result<Vec<Dependency>, ConsumerError> {
    let of_pin = |(number, one): (usize, &Pin)| {
        let mut value = Table::from_iter([
            ("package".to_owned(), Value::String(one.id.name.clone())),
            ("default-features".to_owned(), Value::Boolean(one.default_features)),
        ]);
        match &one.folder {
            None => pin(&mut value, &one.id, lock),
            Some(folder) => drop(value.insert("path".to_owned(), Value::String(join(local, folder)?))),
        }
        let key = format!("locked_{number}");
        let is_macro = acquired.packages.iter().any(|package| package.id == one.id && package.proc_macro.is_some());
        Ok(Dependency { id: one.id.clone(), crate_name: is_macro.then(|| key.clone()), key, value })
    };
    pins.iter().enumerate().map(of_pin).collect()
}

fn subject_dependency(
    acquired: &Acquired,
    subject: &SourcePackage,
    lock: &Lock,
    local: &str,
) -> Result<Dependency, ConsumerError> {
    let wanted = acquired.subject.as_ref().ok_or(ConsumerError::FindSubject)?;
    let mut value = Table::new();
    match &wanted.origin {
        SubjectOrigin::Registry { version } => {
            pin(&mut value, &PackageId::new(wanted.name.clone(), version.clone()), lock);
        }
        SubjectOrigin::Local { dir } => {
            value.insert("path".to_owned(), Value::String(join(local, dir)?));
        }
    }
    if !wanted.features.is_empty() {
        let features = wanted.features.iter().cloned().map(Value::String).collect();
        value.insert("features".to_owned(), Value::Array(features));
    }
    if !wanted.default_features {
        value.insert("default-features".to_owned(), Value::Boolean(false));
    }
    let mut key = wanted.name.clone();
    let mut crate_name = subject.lib_name.clone().filter(|name| is_identifier(name));
    if crate_name.as_deref().is_some_and(|name| TAKEN_CRATE_NAMES.contains(&name)) {
        value.insert("package".to_owned(), Value::String(std::mem::replace(&mut key, "subject".to_owned())));
        crate_name = Some(key.clone());
    }
    Ok(Dependency { id: subject.id.clone(), crate_name, key, value })
}

/// The name comes from the subject's manifest and goes into code of ours.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// Exactly this version, from the registry that the lock file names.
fn pin(value: &mut Table, id: &PackageId, lock: &Lock) {
    // A requirement says nothing about build metadata.
    let version = id.version.split('+').next().unwrap_or_default();
    value.insert("version".to_owned(), Value::String(format!("={version}")));
    let source = lock.source(id).unwrap_or_default();
    let index = source.strip_prefix("registry+").unwrap_or(source);
    let default = [tame_index::CRATES_IO_INDEX, tame_index::CRATES_IO_HTTP_INDEX];
    if !index.is_empty() && !default.contains(&index) {
        value.insert("registry-index".to_owned(), Value::String(index.to_owned()));
    }
}

fn join(root: &str, below: &Path) -> Result<String, ConsumerError> {
    let below = below.to_str().ok_or_else(|| ConsumerError::FolderName(below.to_path_buf()))?;
    Ok(format!("{}/{below}", root.trim_end_matches('/')))
}

/// The text of `Cargo.toml`. `of_pins` is that of a bare lock file.
pub(super) fn manifest(lock: &Lock, dependencies: &[Dependency], persona: &Persona, of_pins: bool) -> String {
    let author = Value::String(format!("{} <{}>", persona.full_name, persona.email));
    let mut text = format!(
        "[package]\nname = \"{CONSUMER_NAME}\"\nversion = \"{}\"\nedition = \"2021\"\nauthors = [{author}]\npublish = \
         false\n\n[dependencies]\n",
        lock.root_version,
    );
    for Dependency { key, value, .. } in dependencies {
        let is_bare = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let key = if is_bare && !key.is_empty() { key.clone() } else { Value::String(key.clone()).to_string() };
        text += &[&key, " = ", &Value::Table(value.clone()).to_string(), "\n"].concat();
    }
    // Without this table cargo would look for a workspace in the folders above.
    text += "\n[workspace]\n";
    if of_pins {
        // Which features its owners turned on a lock file does not say. Some packages do not compile without one that only
        // what runs at build time asks for (tiny-keccak for const-random-macro): the old resolver turns it on for all.
        text += "resolver = \"1\"\n";
    }
    text
}

/// A lock file, as data.
pub(super) struct Lock {
    table: Table,
    packages: BTreeSet<(String, String, Option<String>)>,
    root_version: String,
}

impl Lock {
    pub(super) fn parse(text: &str) -> Result<Self, ConsumerError> {
        let table: Table = text.parse().map_err(|error| ConsumerError::ReadLock(Box::new(error)))?;
        let packages: BTreeSet<_> = entries(&table).filter_map(identity).collect();
        let root_version = packages
            .iter()
            .find(|(name, _, source)| name == CONSUMER_NAME && source.is_none())
            .map(|(_, version, _)| version.clone())
            .ok_or(ConsumerError::FindRoot)?;
        Ok(Self { table, packages, root_version })
    }

    fn has(&self, id: &PackageId) -> bool {
        self.packages.iter().any(|key| is_called(id, key))
    }

    fn source(&self, id: &PackageId) -> Option<&str> {
        self.packages.iter().find(|key| is_called(id, key)).and_then(|(_, _, source)| source.as_deref())
    }

    /// Makes these the project's own dependencies.
    pub(super) fn depend_on(&mut self, dependencies: &[Dependency]) {
        let names: BTreeSet<_> = dependencies.iter().map(|dependency| self.name_of(&dependency.id)).collect();
        let packages = self.table.get_mut("package").and_then(Value::as_array_mut);
        let root = packages.into_iter().flatten().filter_map(Value::as_table_mut).find(|package| {
            package.get("name").and_then(Value::as_str) == Some(CONSUMER_NAME) && !package.contains_key("source")
        });
        let Some(root) = root else { return };
        root.insert("dependencies".to_owned(), Value::Array(names.into_iter().map(Value::String).collect()));
    }

    /// As cargo names a package in a list of dependencies: no more than makes it clear.
    fn name_of(&self, id: &PackageId) -> String {
        let same_name = self.packages.iter().filter(|(name, ..)| *name == id.name);
        let same_version = same_name.clone().filter(|(_, version, _)| *version == id.version);
        match (same_name.count(), same_version.count(), self.source(id)) {
            (0 | 1, ..) => id.name.clone(),
            (_, 0 | 1, _) | (_, _, None) => format!("{} {}", id.name, id.version),
            (_, _, Some(source)) => format!("{} {} ({source})", id.name, id.version),
        }
    }

    pub(super) fn text(&self) -> String {
        let header = "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\n";
        format!("{header}{}", self.table)
    }
}

fn entries(table: &Table) -> impl Iterator<Item = &Table> {
    table.get("package").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn identity(package: &Table) -> Option<(String, String, Option<String>)> {
    let text = |key| package.get(key).and_then(Value::as_str).map(str::to_owned);
    Some((text("name")?, text("version")?, text("source")))
}
