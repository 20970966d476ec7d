//! Folders and `.crate` files that the user named, and the folders that they depend on.
//!
//! All of it is copied below `local/` with the same positions to each other.
//! Manifests are read as data; no configuration of the folders' own counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use super::archive::{self, Reason, Refusal, make_folders};
use super::copy;
use super::dependency::{PathSource, inherits};
use super::error::AcquireError;
use super::facts::{Found, IGNORED_SETTING};
use super::manifest::{Manifest, read_table, section};
use super::registry::read_bounded;
use super::settings::Limits;
use crate::evidence::line::PackageSource;
use crate::ids::{PackageId, Sha256Digest};

/// More packages than any workspace has.
const PACKAGES: usize = 2000;

/// A package whose source was copied below `local/`.
#[derive(Debug)]
pub(crate) struct LocalPackage {
    pub(crate) manifest: Manifest,
    /// Relative to `local/`.
    pub(crate) dir: PathBuf,
    pub(crate) source: PackageSource,
    pub(crate) checksum: Option<Sha256Digest>,
    pub(crate) found: Vec<Found>,
}

impl LocalPackage {
    /// True if it depends on packages of the default registry.
    pub(crate) fn needs_a_registry(&self) -> bool {
        let mut dependencies = self.manifest.dependencies.iter();
        dependencies.any(|dependency| dependency.path.is_none() && dependency.registry.is_none())
    }
}

/// Brings a folder and all folders that it depends on below `local`; the named one comes first.
pub(crate) fn directory(target: &Path, local: &Path, limits: &Limits) -> Result<Vec<LocalPackage>, AcquireError> {
    let no_target = |reason: &str| AcquireError::NoSuchTarget { path: target.to_owned(), reason: reason.to_owned() };
    let folder = fs::canonicalize(target).map_err(|error| no_target(&error.to_string()))?;
    if !folder.is_dir() {
        let is_lock = target.ends_with("Cargo.lock");
        let reason =
            if is_lock { "it is a lock file: `sandbox-check lock` checks those" } else { "it is not a folder" };
        return Err(no_target(reason));
    }
    if fs::symlink_metadata(folder.join("Cargo.toml")).is_err() {
        return Err(no_target("it has no Cargo.toml"));
    }
    let graph = Graph::read(folder)?;
    let base = graph.base();
    let mut packages = Vec::new();
    let mut copied: Vec<PathBuf> = Vec::new();
    for folder in graph.packages.keys() {
        let dir = relative(folder, &base);
        let found = if copied.iter().any(|done| folder.starts_with(done)) {
            // It lies inside a package that is there already.
            Vec::new()
        } else {
            make_folders(local, &dir).map_err(AcquireError::file("create", &local.join(&dir)))?;
            copied.push(folder.clone());
            copy::tree(folder, &local.join(&dir), limits)?.found
        };
        let Some(manifest) = graph.packages.get(folder).cloned() else { continue };
        let found = found.into_iter().chain(ignored(&manifest)).collect();
        packages.push(LocalPackage { manifest, dir, source: PackageSource::Directory, checksum: None, found });
    }
    for root in &graph.roots {
        if !copied.iter().any(|done| root.starts_with(done)) {
            let dir = relative(root, &base);
            make_folders(local, &dir).map_err(AcquireError::file("create", &local.join(&dir)))?;
            let text = read_table(root)?.to_string();
            let place = local.join(&dir).join("Cargo.toml");
            archive::write_new(&place, false, &mut text.as_bytes()).map_err(AcquireError::file("write", &place))?;
        }
    }
    let subject = relative(&graph.subject, &base);
    packages.sort_by_key(|package| package.dir != subject);
    Ok(packages)
}

/// Unpacks a `.crate` file below `local`.
pub(crate) fn archive(target: &Path, local: &Path, limits: &Limits) -> Result<LocalPackage, AcquireError> {
    let no_target = |reason: &str| AcquireError::NoSuchTarget { path: target.to_owned(), reason: reason.to_owned() };
    let packed = match fs::metadata(target) {
        Err(error) => return Err(no_target(&error.to_string())),
        Ok(meta) if meta.is_dir() => return Err(no_target("it is a folder; write a slash behind its name")),
        Ok(_) => read_bounded(target, limits.crate_bytes)?.ok_or_else(|| no_target("it is not a regular file"))?,
    };
    let checksum = Sha256Digest(Sha256::digest(&packed).into());
    // Until the archive tells its name, it is known by the file's.
    let file = target.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let unknown = split(&file).unwrap_or_else(|| PackageId::new(file.clone(), "0.0.0"));
    let refused = |package: PackageId, refusal| AcquireError::UnsafeArchive { package: Box::new(package), refusal };
    let top = archive::top_folder(&packed, limits).map_err(|refusal| refused(unknown.clone(), refusal))?;
    let Some(id) = split(&top) else {
        let expected = "NAME-VERSION".to_owned();
        return Err(refused(unknown, Refusal { entry: Some(top.into_bytes()), reason: Reason::Outside { expected } }));
    };
    make_folders(local, Path::new("")).map_err(AcquireError::file("create", local))?;
    let dir = PathBuf::from(&top);
    let found = archive::unpack(&packed, &id, checksum, &local.join(&dir), limits)?;
    let manifest = read_unpacked(&local.join(&dir), &id)?;
    for dependency in &manifest.dependencies {
        if let Some(PathSource::Package(folder) | PathSource::Workspace(folder)) = &dependency.path {
            let reason = Reason::PathDependency { folder: folder.clone() };
            return Err(refused(id, Refusal::whole(reason)));
        }
    }
    no_git(&manifest)?;
    let found = found.into_iter().chain(ignored(&manifest)).collect();
    Ok(LocalPackage { manifest, dir, source: PackageSource::Archive, checksum: Some(checksum), found })
}

/// The manifest of an unpacked archive, which must be that of the package.
pub(crate) fn read_unpacked(folder: &Path, id: &PackageId) -> Result<Manifest, AcquireError> {
    let refused = |what: String| AcquireError::UnsafeArchive {
        package: Box::new(id.clone()),
        refusal: Refusal::whole(Reason::OtherPackage { what }),
    };
    let manifest = Manifest::read(folder, None).map_err(|error| match error {
        AcquireError::Manifest { reason, .. } => refused(reason),
        AcquireError::File { source, .. } => refused(source.to_string()),
        other => other,
    })?;
    if manifest.id() == *id { Ok(manifest) } else { Err(refused(format!("it says {}", manifest.id()))) }
}

/// Splits `NAME-VERSION` before the first part that reads as a version.
fn split(top: &str) -> Option<PackageId> {
    top.match_indices('-').find_map(|(at, _)| {
        let (name, version) = (top.get(..at)?, top.get(at + 1..)?);
        semver::Version::parse(version).ok()?;
        tame_index::KrateName::try_from(name).ok()?;
        Some(PackageId::new(name, version))
    })
}

fn ignored(manifest: &Manifest) -> Option<Found> {
    let text = format!("[{}] of its Cargo.toml has no effect here", manifest.ignored.join("] and ["));
    (!manifest.ignored.is_empty()).then_some(Found { code: IGNORED_SETTING, text, path: None })
}

fn no_git(manifest: &Manifest) -> Result<(), AcquireError> {
    match manifest.dependencies.iter().find(|dependency| dependency.git.is_some()) {
        None => Ok(()),
        Some(dependency) => Err(AcquireError::Unsupported {
            what: format!("the git dependency `{}` of `{}`", dependency.alias, manifest.name),
            instead: "use a published version or a folder of it".to_owned(),
        }),
    }
}

/// The packages that a folder reaches by paths.
struct Graph {
    subject: PathBuf,
    packages: BTreeMap<PathBuf, Manifest>,
    /// Roots of workspaces that a package inherits from.
    roots: BTreeSet<PathBuf>,
}

impl Graph {
    fn read(subject: PathBuf) -> Result<Self, AcquireError> {
        let mut graph = Self { subject: subject.clone(), packages: BTreeMap::new(), roots: BTreeSet::new() };
        let mut todo = vec![subject];
        while let Some(folder) = todo.pop() {
            if graph.packages.contains_key(&folder) {
                continue;
            }
            if graph.packages.len() >= PACKAGES {
                let reason = format!("it depends on more than {PACKAGES} folders");
                return Err(AcquireError::NoSuchTarget { path: graph.subject, reason });
            }
            let table = read_table(&folder)?;
            let root = if inherits(&Value::Table(table.clone())) { Some(workspace_of(&folder, &table)?) } else { None };
            let workspace = root.as_ref().map(|(_, workspace)| workspace);
            let manifest = Manifest::parse(&folder, &table, workspace)?;
            no_git(&manifest)?;
            for dependency in &manifest.dependencies {
                let next = match (&dependency.path, &root) {
                    (Some(PathSource::Package(path)), _) => normal(&folder, path)?,
                    (Some(PathSource::Workspace(path)), Some((root, _))) => normal(root, path)?,
                    (None, _) | (Some(PathSource::Workspace(_)), None) => continue,
                };
                todo.push(next);
            }
            graph.roots.extend(root.map(|(root, _)| root));
            graph.packages.insert(folder, manifest);
        }
        Ok(graph)
    }

    /// The deepest folder that holds all the folders to copy.
    fn base(&self) -> PathBuf {
        let parents = self.packages.keys().map(|folder| folder.parent().unwrap_or(folder));
        common(parents.chain(self.roots.iter().map(PathBuf::as_path)))
    }
}

/// The deepest folder that holds all of these.
pub(super) fn common<'a>(mut folders: impl Iterator<Item = &'a Path>) -> PathBuf {
    let first = folders.next().unwrap_or(Path::new("/")).to_owned();
    folders.fold(first, |base, folder| {
        base.components().zip(folder.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

pub(super) fn relative(folder: &Path, base: &Path) -> PathBuf {
    folder.strip_prefix(base).unwrap_or(folder).components().filter(|part| *part != Component::RootDir).collect()
}

/// The root of the workspace that a package inherits from, by cargo's rules: named, or the first one upward.
pub(super) fn workspace_of(folder: &Path, table: &Table) -> Result<(PathBuf, Table), AcquireError> {
    let root = |folder: &Path| {
        let table = read_table(folder).ok()?;
        Some((folder.to_owned(), section(&table, "workspace")?.clone()))
    };
    let named = section(table, "package").and_then(|package| package.get("workspace")).and_then(Value::as_str);
    let found = match named {
        Some(path) => root(&normal(folder, path)?),
        None => folder.ancestors().find_map(root),
    };
    found.ok_or_else(|| AcquireError::Manifest {
        path: folder.join("Cargo.toml"),
        reason: "it inherits from a workspace that is not there".to_owned(),
    })
}

/// Joins a relative path by text alone, so that positions stay as the manifest means them.
pub(super) fn normal(folder: &Path, path: &str) -> Result<PathBuf, AcquireError> {
    let mut place = folder.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => place.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                place.pop();
            }
            Component::RootDir | Component::Prefix(_) => {
                return Err(AcquireError::Unsupported {
                    what: format!("the absolute path {path:?} in {}", folder.join("Cargo.toml").display()),
                    instead: "write it relative to the manifest".to_owned(),
                });
            }
        }
    }
    Ok(place)
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
