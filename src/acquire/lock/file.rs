//! A `Cargo.lock` as it lies there: its packages, their lines, who needs whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use cargo_lock::{Lockfile, Package};
use serde::Deserialize;
use toml::Spanned;

use super::super::error::AcquireError;
use super::super::identity::Identities;
use super::super::needed::{self, Key};
use super::super::registry::read_bounded;
use super::super::sources::is_default;
use crate::evidence::line::{LockedPackage, LockedSource};
use crate::ids::PackageId;

/// The largest lock files of real projects have a few megabytes.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// A lock file.
#[derive(Debug)]
pub(crate) struct LockFile {
    /// As it lies there.
    pub(crate) text: String,
    /// The same, read; the packages in the order of the file.
    pub(crate) lock: Lockfile,
    /// What each is called.
    pub(crate) identities: Identities,
    /// By package: the line of its `[[package]]`.
    lines: BTreeMap<Key, u64>,
}

impl LockFile {
    /// Reads a file of version 1 to 4.
    pub(crate) fn read(path: &Path) -> Result<Self, AcquireError> {
        let wrong = |reason: String| AcquireError::NoLockFile { path: path.to_owned(), reason };
        let bytes = match read_bounded(path, FILE_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(wrong("there is no such regular file of a size that lock files have".to_owned())),
            Err(AcquireError::File { source, .. }) => return Err(wrong(source.to_string())),
            Err(other) => return Err(other),
        };
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        Self::parse(text).map_err(wrong)
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: String) -> Result<Self, String> {
        let mut lock: Lockfile =
            text.parse().map_err(|error: cargo_lock::Error| format!("it is no lock file: {error}"))?;
        if lock.packages.is_empty() {
            return Err("it locks no package".to_owned());
        }
        let lines = lines(&text);
        let line = |package: &Package| lines.get(&needed::key(package)).copied().unwrap_or(u64::MAX);
        lock.packages.sort_by_key(line);
        lead_to_folders(&text, &mut lock);
        let identities = Identities::of(lock.packages.iter().map(needed::key));
        Ok(Self { text, lock, identities, lines })
    }

    /// What a package of it is called.
    pub(crate) fn id_of(&self, package: &Package) -> PackageId {
        self.identities.id(&needed::key(package))
    }

    /// The positions of the packages that each package needs.
    fn needs(&self) -> Vec<Vec<usize>> {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, package) in self.lock.packages.iter().enumerate() {
            by_name.entry(package.name.as_str()).or_default().push(at);
        }
        let target = |edge: &cargo_lock::Dependency| {
            let named = by_name.get(edge.name.as_str())?;
            named
                .iter()
                .copied()
                .find(|at| self.lock.packages.get(*at).is_some_and(|package| needed::leads_to(edge, package)))
        };
        self.lock.packages.iter().map(|package| package.dependencies.iter().filter_map(target).collect()).collect()
    }

    /// Every package with its line and the shortest way to it from one that nobody needs.
    pub(crate) fn packages(&self) -> Vec<LockedPackage> {
        let needs = self.needs();
        let from = ways(&needs, &self.lock.packages);
        let id = |at: usize| self.lock.packages.get(at).map(|package| self.id_of(package));
        let way = |at: usize| {
            let mut way = Vec::new();
            let mut here = at;
            while let Some(Some(before)) = from.get(here).copied() {
                way.extend(id(before));
                here = before;
            }
            way.reverse();
            way
        };
        let one = |(at, package): (usize, &Package)| LockedPackage {
            id: self.id_of(package),
            source: source_of(package),
            line: self.lines.get(&needed::key(package)).copied().unwrap_or(1),
            via: way(at),
            needs: needs.get(at).into_iter().flatten().filter_map(|at| u64::try_from(*at).ok()).collect(),
            left_out: None,
            change: None,
        };
        self.lock.packages.iter().enumerate().map(one).collect()
    }
}

/// A dependency without a source is one on a folder where packages of several sources have its name and version, and
/// the reader of lock files takes the first of them.
fn lead_to_folders(text: &str, lock: &mut Lockfile) {
    let mut folders: BTreeSet<(String, String)> = BTreeSet::new();
    let mut others = folders.clone();
    for package in &lock.packages {
        let of = if package.source.is_none() { &mut folders } else { &mut others };
        of.insert((package.name.to_string(), package.version.to_string()));
    }
    folders.retain(|named| others.contains(named));
    let Some(table) = text.parse::<toml::Table>().ok().filter(|_| !folders.is_empty()) else { return };
    let mut written: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    for package in table.get("package").and_then(toml::Value::as_array).into_iter().flatten() {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let (Some(name), Some(version)) = (text("name"), text("version")) else { continue };
        let list = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        let list = list.filter_map(|edge| edge.as_str().map(str::to_owned)).collect();
        written.insert((name, version, text("source")), list);
    }
    for package in &mut lock.packages {
        let Some(list) = written.get(&needed::key(package)) else { continue };
        for (edge, text) in package.dependencies.iter_mut().zip(list) {
            let named = (edge.name.to_string(), edge.version.to_string());
            if *text == format!("{} {}", named.0, named.1) && folders.contains(&named) {
                edge.source = None;
            }
        }
    }
}

/// Where the file says that a package comes from.
pub(crate) fn source_of(package: &Package) -> LockedSource {
    match &package.source {
        None => LockedSource::Path,
        Some(source) if source.is_git() => LockedSource::Git,
        Some(source) if is_default(&source.to_string()) => LockedSource::Registry,
        Some(_) => LockedSource::OtherRegistry,
    }
}

/// By package: the one before it on the shortest way from one that nobody needs.
fn ways(needs: &[Vec<usize>], packages: &[Package]) -> Vec<Option<usize>> {
    let mut is_needed = vec![false; needs.len()];
    for at in needs.iter().flatten() {
        if let Some(is_needed) = is_needed.get_mut(*at) {
            *is_needed = true;
        }
    }
    let mut seen = vec![false; needs.len()];
    let mut from = vec![None; needs.len()];
    // Packages that need each other in a circle, as tests may, have no such beginning: folders first, then any.
    let free = (0..needs.len()).filter(|at| is_needed.get(*at) == Some(&false));
    let folders = (0..needs.len()).filter(|at| packages.get(*at).is_some_and(|package| package.source.is_none()));
    let mut open: VecDeque<usize> = free.collect();
    for at in &open {
        if let Some(seen) = seen.get_mut(*at) {
            *seen = true;
        }
    }
    for next in folders.chain(0..needs.len()) {
        while let Some(here) = open.pop_front() {
            for at in needs.get(here).into_iter().flatten() {
                if let (Some(seen), Some(from)) = (seen.get_mut(*at), from.get_mut(*at))
                    && !*seen
                {
                    *seen = true;
                    *from = Some(here);
                    open.push_back(*at);
                }
            }
        }
        if let Some(seen) = seen.get_mut(next).filter(|seen| !**seen) {
            *seen = true;
            open.push_back(next);
        }
    }
    from
}

/// Where each package begins, however the file is laid out.
fn lines(text: &str) -> BTreeMap<Key, u64> {
    #[derive(Deserialize)]
    struct Places {
        package: Vec<Spanned<Named>>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
        version: String,
        source: Option<String>,
    }
    let packages = toml::from_str::<Places>(text).map(|places| places.package).unwrap_or_default();
    let (mut lines, mut line, mut seen) = (BTreeMap::new(), 1_u64, 0);
    for package in packages {
        let begun = package.span().start;
        // In the order of the file.
        let between = text.get(seen..begun).map_or(0, |between| between.matches('\n').count());
        line += u64::try_from(between).unwrap_or_default();
        seen = begun;
        let Named { name, version, source } = package.into_inner();
        lines.insert((name, version, source), line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> LockFile {
        LockFile::parse(text.to_owned()).unwrap()
    }

    fn texts() -> [String; 4] {
        let registry = format!("registry+{}", tame_index::CRATES_IO_INDEX);
        let sum = "a".repeat(64);
        let packages = |dependency: &str, checksum: &str| {
            format!(
                "[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"{dependency}\",\n]\n\n\
                 [[package]]\nname = \"leaf\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\n{checksum}"
            )
        };
        let own = format!("checksum = \"{sum}\"\n");
        let long = format!("leaf 1.0.0 ({registry})");
        [
            format!("{}\n[metadata]\n\"checksum leaf 1.0.0 ({registry})\" = \"{sum}\"\n", packages(&long, "")),
            packages("leaf", &own),
            format!("version = 3\n\n{}", packages("leaf", &own)),
            format!("version = 4\n\n{}", packages("leaf", &own)),
        ]
    }

    #[test]
    fn all_versions_of_the_format_say_the_same() {
        for (version, text) in (1..).zip(texts()) {
            let file = parse(&text);
            let packages = file.packages();
            let brief: Vec<_> = packages.iter().map(|package| (package.id.to_string(), package.source)).collect();
            let expected = [("app@0.1.0", LockedSource::Path), ("leaf@1.0.0", LockedSource::Registry)];
            assert_eq!(brief, expected.map(|(id, source)| (id.to_owned(), source)), "version {version}");
            assert_eq!(packages[1].via, [PackageId::new("app", "0.1.0")], "version {version}");
            assert_eq!(packages[0].needs, [1], "version {version}");
            assert!(file.lock.packages[1].checksum.is_some(), "version {version}");
            let line = text.lines().nth(usize::try_from(packages[1].line).unwrap() - 1);
            assert_eq!(line, Some("[[package]]"), "version {version}");
            assert!(packages[0].line < packages[1].line);
        }
    }

    #[test]
    fn the_way_to_a_package_is_the_shortest_from_one_that_nobody_needs() {
        let package = |name: &str, needs: &[&str]| {
            let needs: Vec<_> = needs.iter().map(|name| format!("\"{name}\"")).collect();
            format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\ndependencies = [{}]\n", needs.join(", "))
        };
        let text = [
            "version = 4\n".to_owned(),
            package("app", &["one", "deep"]),
            package("deep", &["deeper"]),
            package("deeper", &["leaf"]),
            package("leaf", &[]),
            package("one", &["leaf"]),
            // A circle that nobody needs from outside.
            package("ring", &["ring-too"]),
            package("ring-too", &["ring"]),
        ];
        let packages = parse(&text.concat()).packages();
        let way = |name: &str| {
            let found = packages.iter().find(|package| package.id.name == name).unwrap();
            found.via.iter().map(|id| id.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(way("leaf"), ["app", "one"]);
        assert_eq!(way("deeper"), ["app", "deep"]);
        assert_eq!(way("ring-too"), ["ring"]);
        assert!(way("app").is_empty() && way("ring").is_empty());
    }

    /// A person may have edited it: cargo reads all of these.
    #[test]
    fn the_line_of_a_package_is_the_one_where_it_begins_however_it_is_written() {
        let text = "\u{feff}# [[package]]\r\nversion = 4\r\n[[package]]\r\nname = 'one'\r\nversion = \"1.0.0\" # first\r\n\r\n\
                    # two\r\n  [[ package ]]  # here\r\nversion = \"1.0.0\"\r\nname = \"two\"\r\n[[\"package\"]]\r\n\
                    name = \"three\"\r\nversion = \"1.0.0\"\r\n";
        let lines: Vec<_> = parse(text).packages().into_iter().map(|package| (package.id.name, package.line)).collect();
        assert_eq!(lines, [("one".to_owned(), 3), ("two".to_owned(), 8), ("three".to_owned(), 11)]);
        let inline = parse(
            "version = 4\npackage = [\n  {name = \"a\", version = \"1.0.0\"},\n  {name = \"b\", version = \"1.0.0\"},\n]\n",
        );
        assert_eq!(inline.packages().iter().map(|package| package.line).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn a_file_without_packages_or_sense_is_none() {
        for text in ["", "version = 4\n", "[[package]]\nname = 1\n", "no toml"] {
            LockFile::parse(text.to_owned()).unwrap_err();
        }
    }
}
