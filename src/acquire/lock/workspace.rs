//! The workspace beside a lock file: its packages, and a private copy of it below `local/`.
//!
//! Manifests are read as data, and nothing of the workspace's runs here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::super::archive::{make_folders, write_new};
use super::super::copy::{self, Leave};
use super::super::dependency::{self, PathSource, inherits};
use super::super::error::AcquireError;
use super::super::facts::Found;
use super::super::local::{LocalPackage, common, normal, relative, workspace_of};
use super::super::manifest::{Manifest, read_table, section};
use super::super::settings::Limits;
use crate::evidence::line::PackageSource;

/// More packages than any workspace has.
const PACKAGES: usize = 5000;
/// More folders than the patterns of any workspace lead to.
const FOLDERS: usize = 50_000;

/// A workspace, read.
#[derive(Debug)]
pub(super) struct Workspace {
    /// Its folder.
    root: PathBuf,
    /// The manifest of its folder.
    table: Table,
    /// By folder: the members, and what they name by path.
    packages: BTreeMap<PathBuf, Manifest>,
    /// Roots of other workspaces that a package inherits from.
    roots: BTreeSet<PathBuf>,
    /// Links to folders, on the way to packages.
    links: BTreeSet<PathBuf>,
}

impl Workspace {
    /// Reads the workspace whose root is `root`, an absolute path without links.
    pub(super) fn read(root: &Path) -> Result<Self, AcquireError> {
        let table = read_table(root)?;
        let workspace = section(&table, "workspace").cloned().unwrap_or_default();
        let mut todo: Vec<PathBuf> = members(root, &workspace)?;
        if section(&table, "package").or_else(|| section(&table, "project")).is_some() {
            todo.push(root.to_owned());
        }
        todo.extend(patches(root, &table)?);
        let mut found = Self {
            root: root.to_owned(),
            table,
            packages: BTreeMap::new(),
            roots: BTreeSet::new(),
            links: BTreeSet::new(),
        };
        while let Some(folder) = todo.pop() {
            if found.packages.contains_key(&folder) {
                continue;
            }
            if found.packages.len() >= PACKAGES {
                let reason = format!("it has more than {PACKAGES} packages");
                return Err(AcquireError::NoSuchTarget { path: root.to_owned(), reason });
            }
            todo.extend(found.add(&folder)?);
        }
        Ok(found)
    }

    /// Adds the package of a folder; gives the folders that it names.
    fn add(&mut self, folder: &Path) -> Result<Vec<PathBuf>, AcquireError> {
        self.find_links(folder)?;
        let table = read_table(folder)?;
        let inherited = if inherits(&Value::Table(table.clone())) {
            let own = section(&self.table, "workspace").filter(|_| folder.starts_with(&self.root));
            let is_named = section(&table, "package").and_then(|package| package.get("workspace")).is_some();
            Some(match own.filter(|_| !is_named) {
                Some(workspace) => (self.root.clone(), workspace.clone()),
                None => workspace_of(folder, &table)?,
            })
        } else {
            None
        };
        let workspace = inherited.as_ref().map(|(_, workspace)| workspace);
        let manifest = Manifest::parse(folder, &table, workspace)?;
        let wrong = |reason| AcquireError::Manifest { path: folder.join("Cargo.toml"), reason };
        let of_tests = dependency::of_tests(&table, workspace).map_err(wrong)?;
        let mut named = Vec::new();
        for dependency in manifest.dependencies.iter().chain(&of_tests) {
            match (&dependency.path, &inherited) {
                (Some(PathSource::Package(path)), _) => named.push(normal(folder, path)?),
                (Some(PathSource::Workspace(path)), Some((root, _))) => named.push(normal(root, path)?),
                (None, _) | (Some(PathSource::Workspace(_)), None) => {}
            }
        }
        self.roots.extend(inherited.map(|(root, _)| root).filter(|root| !root.starts_with(&self.root)));
        self.packages.insert(folder.to_owned(), manifest);
        Ok(named)
    }

    /// Finds the links on the way to a folder of the workspace. One may lead to another folder of it, as for cargo. One that
    /// leads elsewhere would have files copied that no manifest names.
    fn find_links(&mut self, folder: &Path) -> Result<(), AcquireError> {
        let Ok(way) = folder.strip_prefix(&self.root) else { return Ok(()) };
        let mut here = self.root.clone();
        for name in way {
            here.push(name);
            if !fs::symlink_metadata(&here).is_ok_and(|meta| meta.is_symlink()) {
                continue;
            }
            if here.is_dir() && copy::copied_at(&self.root, &here, Leave::WhatIsNoSource).is_none() {
                let link = relative(&here, &self.root);
                return Err(AcquireError::Unsupported {
                    what: format!(
                        "a package behind `{}`, a link that leads out of the workspace's sources",
                        link.display()
                    ),
                    instead:
                        "put the folder in the place of the link, or name it by its own path, relative to the manifest"
                            .to_owned(),
                });
            }
            self.links.insert(here.clone());
        }
        Ok(())
    }

    /// Links to folders of the workspace: what they lead to is copied to their places.
    pub(super) fn links(&self) -> &BTreeSet<PathBuf> {
        &self.links
    }

    /// The deepest folder that holds all that is copied.
    fn base(&self) -> PathBuf {
        let outside = self.packages.keys().filter(|folder| !folder.starts_with(&self.root));
        let outside = outside.map(|folder| folder.parent().unwrap_or(folder));
        common(
            std::iter::once(self.root.parent().unwrap_or(&self.root))
                .chain(outside)
                .chain(self.roots.iter().map(PathBuf::as_path)),
        )
    }

    /// The folder of the workspace, relative to `local/`.
    pub(super) fn dir(&self) -> PathBuf {
        relative(&self.root, &self.base())
    }

    /// The same for any folder of it.
    pub(super) fn place_of(&self, folder: &Path) -> PathBuf {
        relative(folder, &self.base())
    }

    /// Its packages that are macro libraries: the folder, and what code calls the library.
    pub(super) fn macro_libraries(&self) -> impl Iterator<Item = (&Path, &str)> {
        let libraries = self.packages.iter().filter(|(_, manifest)| manifest.proc_macro);
        libraries.filter_map(|(folder, manifest)| Some((folder.as_path(), manifest.lib_name.as_deref()?)))
    }

    /// The folders that are copied, none within another, and those of which the manifest is.
    pub(super) fn trees(&self) -> (Vec<&PathBuf>, Vec<&PathBuf>) {
        let mut trees: Vec<&PathBuf> = Vec::new();
        for folder in std::iter::once(&self.root).chain(self.packages.keys()) {
            if !trees.iter().any(|done| folder.starts_with(done)) {
                trees.push(folder);
            }
        }
        let manifests = self.roots.iter().filter(|root| !trees.iter().any(|done| root.starts_with(done))).collect();
        (trees, manifests)
    }

    /// Copies all of it below `local`.
    pub(super) fn copy(&self, local: &Path, limits: &Limits) -> Result<Vec<LocalPackage>, AcquireError> {
        let base = self.base();
        let (trees, manifests) = self.trees();
        let mut found: BTreeMap<PathBuf, Vec<Found>> = BTreeMap::new();
        for folder in trees {
            let dir = relative(folder, &base);
            make_folders(local, &dir).map_err(AcquireError::file("create", &local.join(&dir)))?;
            let copied = copy::tree_but(folder, &local.join(&dir), limits, Leave::WhatIsNoSource, &self.links)?;
            found.insert(folder.clone(), copied.found);
        }
        for root in manifests {
            let (text, dir) = (read_table(root)?.to_string(), relative(root, &base));
            let to = local.join(&dir);
            let put = || {
                make_folders(local, &dir)?;
                write_new(&to.join("Cargo.toml"), false, &mut text.as_bytes())
            };
            put().map_err(AcquireError::file("write", &to))?;
        }
        Ok(self.locals(&base, |folder| found.remove(folder).unwrap_or_default()))
    }

    /// Stand-ins for all of it, by place: the manifests, with build scripts and libraries of our own that do nothing. So
    /// their dependencies are built with the real features, and no code of the workspace's.
    pub(super) fn stand_ins(&self) -> Result<Vec<(PathBuf, String)>, AcquireError> {
        let base = self.base();
        let roots = std::iter::once(&self.root).chain(&self.roots);
        let roots = roots.filter(|root| !self.packages.contains_key(*root)).map(|root| (root, read_table(root)));
        let packages = self.packages.iter();
        let packages =
            packages.map(|(folder, manifest)| (folder, read_table(folder).map(|table| without_code(table, manifest))));
        roots.chain(packages).map(|(folder, table)| Ok((relative(folder, &base), table?.to_string()))).collect()
    }

    /// Writes the stand-ins.
    pub(super) fn stand_in(
        &self,
        local: &Path,
        lock: &str,
        stand_ins: &[(PathBuf, String)],
    ) -> Result<Vec<LocalPackage>, AcquireError> {
        let base = self.base();
        let is_package = |dir: &Path| self.packages.keys().any(|folder| relative(folder, &base) == dir);
        for (dir, table) in stand_ins {
            let to = local.join(dir);
            let put = || {
                make_folders(local, dir)?;
                write_new(&to.join("Cargo.toml"), false, &mut table.as_bytes())?;
                if !is_package(dir) {
                    return Ok(());
                }
                write_new(&to.join(STAND_IN_LIBRARY), false, &mut std::io::empty())?;
                write_new(&to.join(STAND_IN_SCRIPT), false, &mut b"fn main() {}\n".as_slice())
            };
            put().map_err(AcquireError::file("write", &to))?;
        }
        let place = local.join(relative(&self.root, &base)).join("Cargo.lock");
        write_new(&place, false, &mut lock.as_bytes()).map_err(AcquireError::file("write", &place))?;
        let mut locals = self.locals(&base, |_| Vec::new());
        for local in &mut locals {
            // Nothing of theirs runs.
            (local.manifest.build_script, local.manifest.proc_macro) = (false, false);
        }
        Ok(locals)
    }

    fn locals(&self, base: &Path, mut found: impl FnMut(&Path) -> Vec<Found>) -> Vec<LocalPackage> {
        let local = |(folder, manifest): (&PathBuf, &Manifest)| LocalPackage {
            manifest: manifest.clone(),
            dir: relative(folder, base),
            source: PackageSource::Directory,
            checksum: None,
            found: found(folder),
        };
        self.packages.iter().map(local).collect()
    }
}

const STAND_IN_LIBRARY: &str = "sandbox-check-library.rs";
const STAND_IN_SCRIPT: &str = "sandbox-check-build.rs";

/// A manifest with other sources: one library and, where there was one, one build script, both ours.
fn without_code(mut table: Table, manifest: &Manifest) -> Table {
    for targets in ["bin", "example", "test", "bench"] {
        table.remove(targets);
    }
    let old = table.remove("lib");
    let mut lib = Table::from_iter([("path".to_owned(), Value::String(STAND_IN_LIBRARY.to_owned()))]);
    let name = old.as_ref().and_then(|lib| lib.get("name")).cloned();
    lib.extend(name.map(|name| ("name".to_owned(), name)));
    if manifest.proc_macro {
        lib.insert("proc-macro".to_owned(), Value::Boolean(true));
    }
    table.insert("lib".to_owned(), Value::Table(lib));
    if let Some(package) = ["package", "project"].into_iter().find(|key| table.contains_key(*key))
        && let Some(Value::Table(package)) = table.get_mut(package)
    {
        for key in ["autobins", "autoexamples", "autotests", "autobenches", "autolib"] {
            package.insert(key.to_owned(), Value::Boolean(false));
        }
        for key in ["default-run", "readme", "license-file", "include", "exclude"] {
            package.remove(key);
        }
        let build =
            if manifest.build_script { Value::String(STAND_IN_SCRIPT.to_owned()) } else { Value::Boolean(false) };
        package.insert("build".to_owned(), build);
    }
    table
}

/// The folders that `members` of a workspace leads to.
fn members(root: &Path, workspace: &Table) -> Result<Vec<PathBuf>, AcquireError> {
    let texts = |key: &str| {
        let values = workspace.get(key).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let excluded: Vec<PathBuf> = texts("exclude").iter().map(|path| normal(root, path)).collect::<Result<_, _>>()?;
    let (mut folders, mut looked) = (Vec::new(), 0);
    let patterns = texts("members");
    // What cargo takes for named, even within a folder that is excluded: whatever lies below it.
    let named: Vec<PathBuf> = patterns.iter().filter_map(|pattern| normal(root, pattern).ok()).collect();
    for pattern in patterns {
        let mut found = vec![root.to_owned()];
        let is_pattern = pattern.contains(['*', '?', '[']);
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            found = if part == "**" {
                below(&found, &mut looked)?
            } else if part.contains(['*', '?', '[']) {
                matching(&found, part, true, &mut looked)?
            } else {
                found.iter().map(|folder| normal(folder, part)).collect::<Result<_, _>>()?
            };
        }
        // What a pattern leads to without a manifest is no member; what is named without one is cargo's to complain of.
        found.retain(|folder| !is_pattern || fs::symlink_metadata(folder.join("Cargo.toml")).is_ok());
        folders.extend(found);
    }
    let is_below = |folder: &Path, all: &[PathBuf]| all.iter().any(|one| folder.starts_with(one));
    folders.retain(|folder| is_below(folder, &named) || !is_below(folder, &excluded));
    Ok(folders)
}

/// The folders in some folders whose names fit a pattern; links to folders count as such where `follow` says so.
fn matching(folders: &[PathBuf], part: &str, follow: bool, looked: &mut usize) -> Result<Vec<PathBuf>, AcquireError> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            *looked += 1;
            if *looked > FOLDERS {
                let reason = format!("its members are patterns that lead to more than {FOLDERS} folders");
                return Err(AcquireError::NoSuchTarget { path: folder.clone(), reason });
            }
            let name = entry.file_name();
            let fits = name.to_str().is_some_and(|name| fits(part.as_bytes(), name.as_bytes()));
            if fits && (entry.file_type().is_ok_and(|kind| kind.is_dir()) || (follow && entry.path().is_dir())) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// The folders and all below them.
fn below(folders: &[PathBuf], looked: &mut usize) -> Result<Vec<PathBuf>, AcquireError> {
    let (mut all, mut open) = (folders.to_vec(), folders.to_vec());
    while !open.is_empty() {
        open = matching(&open, "*", false, looked)?;
        open.retain(|folder| !folder.ends_with("target") && !folder.ends_with(".git"));
        all.extend(open.iter().cloned());
    }
    Ok(all)
}

/// True if a name fits a pattern with `*`, `?` and `[…]`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((b'*', pattern_rest)), _) => {
            fits(pattern_rest, name) || name.split_first().is_some_and(|(_, rest)| fits(pattern, rest))
        }
        (Some((b'?', pattern)), Some((_, name))) => fits(pattern, name),
        (Some((b'[', rest)), Some((first, name))) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (set, after) = rest.split_at(end);
            let (negated, set) = match set.split_first() {
                Some((b'!', set)) => (true, set),
                _ => (false, set),
            };
            let has = set.contains(first)
                || set.windows(3).any(|range| matches!(range, [low, b'-', high] if (low..=high).contains(&first)));
            has != negated && fits(after.get(1..).unwrap_or_default(), name)
        }
        (Some((byte, pattern)), Some((first, name))) => byte == first && fits(pattern, name),
        (Some(_), None) => false,
    }
}

/// Folders that `[patch]` and `[replace]` of the root name.
fn patches(root: &Path, table: &Table) -> Result<Vec<PathBuf>, AcquireError> {
    let of_patch = section(table, "patch").into_iter().flatten().filter_map(|(_, value)| value.as_table());
    let entries = of_patch.chain(section(table, "replace")).flatten();
    let paths = entries.filter_map(|(_, value)| value.get("path").and_then(Value::as_str));
    paths.map(|path| normal(root, path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn package(name: &str, more: &str) -> String {
        format!("[package]\nname = '{name}'\nversion = '0.1.0'\nedition = '2021'\n{more}")
    }

    #[test]
    fn members_are_found_by_name_pattern_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("ws");
        write(
            &root,
            &[
                (
                    "Cargo.toml",
                    "[workspace]\nmembers = ['app', 'crates/*', 'crates/no/named']\nexclude = ['crates/no']\n[patch.crates-io]\nz = { path = 'patched' }",
                ),
                (
                    "app/Cargo.toml",
                    &package(
                        "app",
                        "[dependencies]\ndeep = { path = '../deep' }\n[dev-dependencies]\nt = { path = '../../t' }",
                    ),
                ),
                ("app/src/lib.rs", ""),
                ("app/.env", "SECRET=1"),
                ("crates/one/Cargo.toml", &package("one", "")),
                ("crates/no/Cargo.toml", &package("no", "")),
                ("crates/no/named/Cargo.toml", &package("named", "")),
                ("crates/empty/x", ""),
                ("deep/Cargo.toml", &package("deep", "")),
                ("deep/build.rs", ""),
                ("patched/Cargo.toml", &package("z", "")),
                ("target/CACHEDIR.TAG", ""),
                ("odd-target/CACHEDIR.TAG", ""),
                (".git/config", ""),
            ],
        );
        write(folder.path(), &[("t/Cargo.toml", &package("t", ""))]);
        let workspace = Workspace::read(&root).unwrap();
        let local = folder.path().join("local");
        fs::create_dir(&local).unwrap();
        let locals = workspace.copy(&local, &Limits::default()).unwrap();
        let mut names: Vec<_> = locals.iter().map(|local| local.manifest.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["app", "deep", "named", "one", "t", "z"]);
        assert_eq!(workspace.dir(), Path::new("ws"));
        assert!(local.join("ws/app/src/lib.rs").is_file() && local.join("t/Cargo.toml").is_file());
        for absent in ["ws/target", "ws/odd-target", "ws/.git", "ws/app/.env"] {
            assert!(!local.join(absent).exists(), "{absent}");
        }
        assert!(locals.iter().any(|local| local.manifest.name == "deep" && local.manifest.build_script));
    }

    #[test]
    fn stand_ins_have_no_code_of_the_workspaces() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("ws");
        let more =
            "[lib]\nproc-macro = true\npath = 'evil.rs'\n[[bin]]\nname = 'x'\npath = 'x.rs'\n[dependencies]\nsyn = '2'";
        write(
            &root,
            &[("Cargo.toml", &package("app", more)), ("build.rs", "evil"), ("evil.rs", "evil"), ("x.rs", "evil")],
        );
        let local = folder.path().join("local");
        fs::create_dir(&local).unwrap();
        let workspace = Workspace::read(&root).unwrap();
        let stand_ins = workspace.stand_ins().unwrap();
        let locals = workspace.stand_in(&local, "version = 4\n", &stand_ins).unwrap();
        assert!(!locals[0].manifest.build_script && !locals[0].manifest.proc_macro);
        let table = read_table(&local.join("ws")).unwrap();
        assert_eq!(table["lib"]["path"].as_str(), Some(STAND_IN_LIBRARY));
        assert_eq!(table["lib"]["proc-macro"].as_bool(), Some(true));
        assert_eq!(table["package"]["build"].as_str(), Some(STAND_IN_SCRIPT));
        assert!(table["dependencies"]["syn"].as_str().is_some() && table.get("bin").is_none());
        assert!(!local.join("ws/build.rs").exists() && !local.join("ws/evil.rs").exists());
    }

    #[test]
    fn patterns_mean_what_they_mean_to_cargo() {
        for (pattern, name, expected) in [
            ("*", "x", true),
            ("a*", "abc", true),
            ("*-sys", "z-sys", true),
            ("*-sys", "sys", false),
            ("a?c", "abc", true),
            ("[ab]x", "bx", true),
            ("[!ab]x", "bx", false),
            ("[a-c]x", "bx", true),
            ("abc", "ab", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
