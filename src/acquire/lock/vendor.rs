//! A package of a git repository as cargo takes it from a folder of sources: alone, with a manifest that inherits
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::super::copy;
use super::super::dependency::inherits;
use super::super::error::AcquireError;
use super::super::facts::Found;
use super::super::local::workspace_of;
use super::super::manifest::{Manifest, read_table, section};
use super::super::settings::Limits;
use crate::ids::PackageId;

/// Folders of a repository that are looked into.
const FOLDERS: usize = 20_000;

/// A package of a repository that lies in a folder.
#[derive(Debug)]
pub(super) struct InRepository {
    /// Its folder.
    pub(super) folder: PathBuf,
    /// What it says.
    pub(super) manifest: Manifest,
    table: Table,
    workspace: Option<Table>,
}

/// The package of this name and version below a folder.
pub(super) fn find(root: &Path, id: &PackageId) -> Option<InRepository> {
    let (mut open, mut looked) = (vec![root.to_owned()], 0);
    while let Some(folder) = open.pop() {
        looked += 1;
        if looked > FOLDERS {
            return None;
        }
        if let Some(found) = read(&folder).filter(|found| found.manifest.id() == *id) {
            return Some(found);
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        open.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    None
}

fn read(folder: &Path) -> Option<InRepository> {
    let table = read_table(folder).ok()?;
    let workspace =
        if inherits(&Value::Table(table.clone())) { Some(workspace_of(folder, &table).ok()?.1) } else { None };
    let manifest = Manifest::parse(folder, &table, workspace.as_ref()).ok()?;
    Some(InRepository { folder: folder.to_owned(), manifest, table, workspace })
}

impl InRepository {
    /// Copies it to the new folder `to`, as `cargo vendor` would.
    pub(super) fn vendor(&self, to: &Path, limits: &Limits) -> Result<Vec<Found>, AcquireError> {
        let found = copy::tree(&self.folder, to, limits)?.found;
        let put = |name: &str, text: String| {
            let path = to.join(name);
            fs::write(&path, text).map_err(AcquireError::file("write", &path))
        };
        put("Cargo.toml", alone(self.table.clone(), self.workspace.as_ref()).to_string())?;
        put(".cargo-checksum.json", "{\"files\":{},\"package\":null}".to_owned())?;
        Ok(found)
    }
}

/// A manifest with what it inherits in its place.
fn alone(mut table: Table, workspace: Option<&Table>) -> Table {
    for key in ["workspace", "patch", "replace", "profile", "dev-dependencies", "dev_dependencies"] {
        table.remove(key);
    }
    let of_workspace = |key: &str| workspace.and_then(|workspace| section(workspace, key));
    if let Some(Value::Table(package)) = table.get_mut("package") {
        let shared = of_workspace("package");
        package.remove("workspace");
        let inherited: Vec<String> =
            package.iter().filter(|(_, value)| is_inherited(value)).map(|(key, _)| key.clone()).collect();
        for key in inherited {
            package.remove(&key);
            // These name files that lie elsewhere.
            let value = shared.and_then(|shared| shared.get(&key)).filter(|_| key != "readme" && key != "license-file");
            package.extend(value.cloned().map(|value| (key, value)));
        }
    }
    if table.get("lints").is_some_and(is_inherited) {
        table.remove("lints");
    }
    let shared = of_workspace("dependencies");
    inline(&mut table, shared);
    if let Some(Value::Table(targets)) = table.get_mut("target") {
        for target in targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()) {
            target.remove("dev-dependencies");
            inline(target, shared);
        }
    }
    table
}

fn inline(table: &mut Table, shared: Option<&Table>) {
    for key in ["dependencies", "build-dependencies", "build_dependencies"] {
        let Some(Value::Table(dependencies)) = table.get_mut(key) else { continue };
        for (alias, value) in dependencies.iter_mut().filter(|(_, value)| is_inherited(value)) {
            let base = match shared.and_then(|shared| shared.get(alias)) {
                Some(Value::Table(base)) => base.clone(),
                Some(version) => Table::from_iter([("version".to_owned(), version.clone())]),
                None => continue,
            };
            *value = Value::Table(joined(base, value.as_table().cloned().unwrap_or_default()));
        }
    }
}

/// The workspace's words and the package's own.
fn joined(mut base: Table, own: Table) -> Table {
    let features = |table: &Table| table.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut all = features(&base);
    all.extend(features(&own));
    base.insert("features".to_owned(), Value::Array(all));
    for (key, value) in own {
        match key.as_str() {
            "workspace" | "features" => {}
            // A package can turn them on again, not off.
            "default-features" | "default_features" if value.as_bool() == Some(false) => {}
            _ => drop(base.insert(key, value)),
        }
    }
    base
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_stands_alone() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace]\nmembers = ['a']\n[workspace.package]\nversion = '1.2.3'\nreadme = 'README.md'\n\
             [workspace.dependencies]\nserde = { version = '1', default-features = false, features = ['x'] }\nplain = '2'\n",
        );
        write(
            "a/Cargo.toml",
            "[package]\nname = 'a'\nversion.workspace = true\nreadme.workspace = true\n[lints]\nworkspace = true\n\
             [dependencies]\nserde = { workspace = true, features = ['y'], optional = true }\nb = { path = '../b' }\n\
             [target.'cfg(unix)'.build-dependencies]\nplain.workspace = true\n[dev-dependencies]\nt = '1'\n",
        );
        write("a/src/lib.rs", "");
        let found = find(root.path(), &PackageId::new("a", "1.2.3")).unwrap();
        let to = root.path().join("to");
        found.vendor(&to, &Limits::default()).unwrap();
        let table = read_table(&to).unwrap();
        assert_eq!(table["package"]["version"].as_str(), Some("1.2.3"));
        assert!(
            table["package"].get("readme").is_none()
                && table.get("lints").is_none()
                && table.get("dev-dependencies").is_none()
        );
        let serde = &table["dependencies"]["serde"];
        assert_eq!(serde["features"].as_array().unwrap().len(), 2);
        assert_eq!((serde["optional"].as_bool(), serde["default-features"].as_bool()), (Some(true), Some(false)));
        assert_eq!(table["target"]["cfg(unix)"]["build-dependencies"]["plain"]["version"].as_str(), Some("2"));
        Manifest::read(&to, None).unwrap();
    }
}
