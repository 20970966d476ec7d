//! What a package's `Cargo.toml` says, read as data: no cargo runs where it lies.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use toml::{Table, Value};

use super::dependency::{self, Dependency};
use super::error::AcquireError;
use super::release::Release;
use crate::ids::{PackageId, Sha256Digest};

/// Manifests are small; the largest published ones have a few hundred kilobytes.
const MANIFEST_BYTES: u64 = 8 * 1024 * 1024;

/// A manifest, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) build_script: bool,
    pub(crate) proc_macro: bool,
    /// As Rust code writes it; none if there is no library.
    pub(crate) lib_name: Option<String>,
    /// Normal and build dependencies.
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    /// The native library that only one package of a build may link.
    pub(crate) links: Option<String>,
    /// Sections that have an effect in a workspace's root only, which this package is not here.
    pub(crate) ignored: Vec<&'static str>,
}

impl Manifest {
    /// Reads the manifest in `folder`. `workspace` is the table `[workspace]` that it may inherit from.
    pub(crate) fn read(folder: &Path, workspace: Option<&Table>) -> Result<Self, AcquireError> {
        Self::parse(folder, &read_table(folder)?, workspace)
    }

    /// Makes sense of a manifest's table.
    pub(crate) fn parse(folder: &Path, table: &Table, workspace: Option<&Table>) -> Result<Self, AcquireError> {
        let wrong =
            |reason: &str| AcquireError::Manifest { path: folder.join("Cargo.toml"), reason: reason.to_owned() };
        let package = section(table, "package").or_else(|| section(table, "project"));
        let package = package.ok_or_else(|| wrong("it describes no package"))?;
        let name = package.get("name").and_then(Value::as_str).ok_or_else(|| wrong("the package has no name"))?;
        let inherited = || workspace.and_then(|workspace| section(workspace, "package"));
        let version = match package.get("version") {
            None => "0.0.0",
            Some(Value::String(version)) => version,
            Some(_) => inherited()
                .and_then(|package| package.get("version"))
                .and_then(Value::as_str)
                .ok_or_else(|| wrong("the version is not a text and not inherited"))?,
        };
        if semver::Version::parse(version).is_err() || tame_index::KrateName::try_from(name).is_err() {
            return Err(wrong("name or version is not one that a registry would take"));
        }
        let lib = section(table, "lib");
        let ignored = ["patch", "replace"].into_iter().filter(|key| table.contains_key(*key)).collect();
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            build_script: has_build_script(folder, package),
            proc_macro: lib.is_some_and(is_proc_macro),
            lib_name: lib_name(folder, package, lib, name),
            dependencies: dependency::of(table, workspace).map_err(|reason| wrong(&reason))?,
            features: features(table),
            links: package.get("links").and_then(Value::as_str).map(str::to_owned),
            ignored,
        })
    }

    pub(crate) fn id(&self) -> PackageId {
        PackageId::new(&self.name, &self.version)
    }

    /// The line that an index would have for it.
    pub(crate) fn as_release(&self, checksum: Sha256Digest) -> Option<Release> {
        let deps: Vec<_> = self.dependencies.iter().map(Dependency::as_index).collect();
        let line = serde_json::json!({
            "name": self.name, "vers": self.version, "deps": deps, "cksum": checksum.hex(),
            "features": {}, "features2": self.features, "yanked": false, "v": 2,
        });
        Release::parse(line.to_string().as_bytes())
    }
}

/// Reads `Cargo.toml` of a folder without following a link and without waiting for a FIFO.
pub(crate) fn read_table(folder: &Path) -> Result<Table, AcquireError> {
    let path = folder.join("Cargo.toml");
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(&path).map_err(AcquireError::file("read", &path))?;
    let wrong = |reason: String| AcquireError::Manifest { path: path.clone(), reason };
    let meta = file.metadata().map_err(AcquireError::file("read", &path))?;
    if !meta.is_file() {
        return Err(wrong("it is not a regular file".to_owned()));
    }
    let mut text = String::new();
    file.take(MANIFEST_BYTES + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MANIFEST_BYTES {
        return Err(wrong(format!("it is larger than {MANIFEST_BYTES} bytes")));
    }
    text.parse().map_err(|error: toml::de::Error| wrong(error.message().to_owned()))
}

pub(crate) fn section<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    table.get(key).and_then(Value::as_table)
}

fn has_build_script(folder: &Path, package: &Table) -> bool {
    match package.get("build") {
        Some(Value::Boolean(false)) => false,
        Some(Value::Array(scripts)) => !scripts.is_empty(),
        Some(Value::String(_)) => true,
        _ => is_file(&folder.join("build.rs")),
    }
}

fn is_proc_macro(lib: &Table) -> bool {
    let flag = |key| lib.get(key).and_then(Value::as_bool).unwrap_or(false);
    let listed = |key| {
        let types = lib.get(key).and_then(Value::as_array);
        types.is_some_and(|types| types.iter().any(|kind| kind.as_str() == Some("proc-macro")))
    };
    flag("proc-macro") || flag("proc_macro") || listed("crate-type") || listed("crate_type")
}

fn lib_name(folder: &Path, package: &Table, lib: Option<&Table>, name: &str) -> Option<String> {
    let automatic = package.get("autolib").and_then(Value::as_bool).unwrap_or(true);
    let there = lib.is_some() || automatic && is_file(&folder.join("src/lib.rs"));
    let named = lib.and_then(|lib| lib.get("name")).and_then(Value::as_str);
    there.then(|| named.unwrap_or(name).replace('-', "_"))
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

fn features(table: &Table) -> BTreeMap<String, Vec<String>> {
    let mut features = BTreeMap::new();
    for (name, turns_on) in section(table, "features").into_iter().flatten() {
        let words = turns_on.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        features.insert(name.clone(), words.collect());
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(manifest: &str, files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
        for file in files {
            fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    fn read(manifest: &str, files: &[&str]) -> Manifest {
        Manifest::read(folder(manifest, files).path(), None).unwrap()
    }

    const PACKAGE: &str = "[package]\nname = \"a-b\"\nversion = \"1.0.0\"\n";

    #[test]
    fn a_build_script_is_found_by_name_or_by_its_place() {
        assert!(read(PACKAGE, &["build.rs"]).build_script);
        assert!(read(&format!("{PACKAGE}build = 'x/y.rs'"), &[]).build_script);
        assert!(!read(&format!("{PACKAGE}build = false"), &["build.rs"]).build_script);
        assert!(!read(PACKAGE, &[]).build_script);
    }

    #[test]
    fn a_proc_macro_library_is_found_in_all_spellings() {
        for lib in ["proc-macro = true", "proc_macro = true", "crate-type = ['proc-macro']"] {
            assert!(read(&format!("{PACKAGE}[lib]\n{lib}"), &[]).proc_macro, "{lib}");
        }
        assert!(!read(PACKAGE, &["src/lib.rs"]).proc_macro);
    }

    #[test]
    fn a_library_is_called_as_code_writes_it() {
        assert_eq!(read(PACKAGE, &["src/lib.rs"]).lib_name.as_deref(), Some("a_b"));
        assert_eq!(read(&format!("{PACKAGE}[lib]\nname = 'c'"), &[]).lib_name.as_deref(), Some("c"));
        assert_eq!(read(PACKAGE, &["src/main.rs"]).lib_name, None);
    }

    #[test]
    fn a_version_is_inherited_from_the_workspace() {
        let folder = folder("[package]\nname = 'a'\nversion.workspace = true", &[]);
        let workspace: Table = "[package]\nversion = '3.2.1'".parse().unwrap();
        assert_eq!(Manifest::read(folder.path(), Some(&workspace)).unwrap().version, "3.2.1");
        Manifest::read(folder.path(), None).unwrap_err();
    }

    #[test]
    fn a_manifest_that_is_a_link_or_a_fifo_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Cargo.toml");
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(matches!(read_table(folder.path()), Err(AcquireError::File { .. })));
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(read_table(folder.path()), Err(AcquireError::Manifest { .. })));
    }

    #[test]
    fn a_manifest_becomes_the_line_of_an_index() {
        let manifest = read(
            &format!("{PACKAGE}[features]\nx = ['dep:c']\n[dependencies]\nc = {{ version = '1', optional = true }}"),
            &[],
        );
        let release = manifest.as_release(Sha256Digest([1; 32])).unwrap();
        assert_eq!(release.id, PackageId::new("a-b", "1.0.0"));
        assert_eq!(release.feature_names(), ["x"]);
        assert_eq!(release.index.deps.first().map(|dep| dep.req.as_str()), Some("1"));
    }
}
