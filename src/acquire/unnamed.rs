//! Archives of another registry whose manifests leave out where their dependencies come from.
//!
//! An index that names no registry for a dependency means its own; a manifest that names none means the default one. The
//! two differ where a registry serves what the default one has, byte by byte. Cargo goes by the index there, but not where
//! it takes packages from a folder, as a build here does. So the registry is named in the manifest that is built, once
//! all comparisons with the archive are done.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::error::AcquireError;
use super::manifest::{Manifest, read_table};
use super::promise;
use super::release::Release;
use super::sources::is_default;

/// Dependencies of one package that come from its own registry and whose manifest does not say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unnamed {
    /// The address of the index, as a manifest names it.
    registry: String,
    /// By what the package calls them.
    dependencies: BTreeSet<String>,
}

impl Unnamed {
    /// What is left out in the manifest of a release that comes from `source`, as a lock file writes it.
    pub(crate) fn of(release: &Release, manifest: &Manifest, source: &str) -> Option<Self> {
        if is_default(source) {
            return None;
        }
        let dependencies = promise::from_own_registry(release, manifest);
        let registry = source.trim_start_matches("registry+").to_owned();
        (!dependencies.is_empty()).then_some(Self { registry, dependencies })
    }

    /// Names the registry in the manifest of the package in this folder.
    ///
    /// # Errors
    /// When the manifest cannot be read or written.
    pub(crate) fn name(&self, folder: &Path) -> Result<(), AcquireError> {
        let mut manifest = read_table(folder)?;
        self.name_in(&mut manifest);
        if let Some(Value::Table(targets)) = manifest.get_mut("target") {
            targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()).for_each(|target| self.name_in(target));
        }
        let path = folder.join("Cargo.toml");
        fs::write(&path, manifest.to_string()).map_err(AcquireError::file("write", &path))
    }

    fn name_in(&self, table: &mut Table) {
        for key in ["dependencies", "build-dependencies", "build_dependencies"] {
            let Some(Value::Table(dependencies)) = table.get_mut(key) else { continue };
            for (_, value) in dependencies.iter_mut().filter(|(alias, _)| self.dependencies.contains(*alias)) {
                if let Value::String(version) = value {
                    *value = Value::Table(Table::from_iter([("version".to_owned(), Value::String(version.clone()))]));
                }
                if let Value::Table(dependency) = value {
                    dependency.insert("registry-index".to_owned(), Value::String(self.registry.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"name":"a","vers":"1.0.0","cksum":"0000000000000000000000000000000000000000000000000000000000000000",
        "yanked":false,"features":{},"deps":[DEPS]}"#;

    fn release(deps: &[(&str, &str, &str)]) -> Release {
        let dep = |(name, kind, registry): &(&str, &str, &str)| {
            format!(
                r#"{{"name":"{name}","req":"^1","features":[],"optional":false,"default_features":true,"target":null,
                   "kind":"{kind}","registry":{registry}}}"#
            )
        };
        let deps: Vec<_> = deps.iter().map(dep).collect();
        Release::parse(LINE.replace("DEPS", &deps.join(",")).as_bytes()).unwrap()
    }

    #[test]
    fn a_registry_is_named_where_the_index_means_its_own_and_the_manifest_none() {
        let default = format!("\"{}\"", tame_index::CRATES_IO_INDEX);
        let release = release(&[
            ("short", "normal", "null"),
            ("long", "build", "null"),
            ("other", "normal", &default),
            ("named", "normal", "null"),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let text = "[package]\nname = 'a'\nversion = '1.0.0'\nedition = '2021'\n[dependencies]\nshort = '1'\nother = '1'\n\
                    named = { version = '1', registry-index = 'sparse+http://r.example/' }\n\
                    [target.'cfg(unix)'.build-dependencies.long]\nversion = '1'\n";
        fs::write(folder.path().join("Cargo.toml"), text).unwrap();
        let manifest = Manifest::read(folder.path(), None).unwrap();
        assert_eq!(Unnamed::of(&release, &manifest, &format!("registry+{}", tame_index::CRATES_IO_INDEX)), None);
        let unnamed = Unnamed::of(&release, &manifest, "sparse+http://r.example/").unwrap();
        assert_eq!(unnamed.dependencies, ["long", "short"].map(str::to_owned).into());
        unnamed.name(folder.path()).unwrap();
        let named = Manifest::read(folder.path(), None).unwrap();
        let registry_of = |alias: &str| {
            let mut all = named.dependencies.iter();
            all.find(|dependency| dependency.alias == alias).unwrap().registry.clone()
        };
        for alias in ["short", "long", "named"] {
            assert_eq!(registry_of(alias).as_deref(), Some("sparse+http://r.example/"), "{alias}");
        }
        assert_eq!(registry_of("other"), None);
        assert_eq!(Unnamed::of(&release, &named, "sparse+http://r.example/"), None);
    }
}
