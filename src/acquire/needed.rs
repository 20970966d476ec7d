//! Which packages of a lock file a build on the host can reach.

use std::collections::{BTreeMap, BTreeSet};

use cargo_lock::{Dependency, Lockfile, Package, SourceId};
use cfg_expr::targets::get_builtin_target_by_triple;
use cfg_expr::{Expression, Predicate};
use semver::VersionReq;
use tame_index::krate::{DependencyKind, IndexDependency};

use super::SubjectDependency;
use super::error::AcquireError;
use super::identity::Identities;
use super::release::{DEFAULT_FEATURE, Release};
use crate::ids::PackageId;
use crate::plan::CONSUMER_NAME;

/// A package of a lock file: name, version and source as the file writes them. No source: a path.
pub(crate) type Key = (String, String, Option<String>);

/// The key of a package.
pub(crate) fn key(package: &Package) -> Key {
    (package.name.as_str().to_owned(), package.version.to_string(), package.source.as_ref().map(ToString::to_string))
}

/// True if a dependency leads to this package. A list of dependencies names a repository without the commit.
pub(crate) fn leads_to(edge: &Dependency, package: &Package) -> bool {
    let plain = |source: &Option<SourceId>| {
        let text = source.as_ref().map(ToString::to_string)?;
        text.split('#').next().map(str::to_owned)
    };
    edge.matches(package) && plain(&edge.source) == plain(&package.source)
}

/// What a build of the subject on the host can need, by cargo's rules for features (The Cargo Book, "Features").
///
/// Features are unified over all kinds of dependencies and all platforms that may be the host, as no resolver of cargo's
/// does: the result may be too large, never too small.
pub(crate) fn on_host(
    lock: &Lockfile,
    releases: &BTreeMap<Key, Release>,
    host: &str,
    subject: &SubjectDependency,
) -> Result<BTreeSet<Key>, AcquireError> {
    let root = lock.packages.iter().find(|package| package.name.as_str() == CONSUMER_NAME && package.source.is_none());
    let root = root.ok_or_else(|| AcquireError::Lock { reason: "it has no consumer".to_owned() })?;
    let mut walk = Walk::new(lock, releases, host, false)?;
    walk.reached.insert(key(root));
    for package in walk.edges(root) {
        walk.need(package);
        let default = subject.default_features.then(|| DEFAULT_FEATURE.to_owned());
        for feature in subject.features.iter().cloned().chain(default) {
            walk.ask(package, feature);
        }
    }
    Ok(walk.finish())
}

/// What a build of these packages on the host can need, whatever features are on.
pub(crate) fn on_host_from(
    roots: Vec<Key>,
    lock: &Lockfile,
    releases: &BTreeMap<Key, Release>,
    host: &str,
) -> Result<BTreeSet<Key>, AcquireError> {
    let mut walk = Walk::new(lock, releases, host, true)?;
    for package in lock.packages.iter().filter(|package| roots.contains(&key(package))) {
        walk.need(package);
    }
    walk.reached.extend(roots);
    Ok(walk.finish())
}

/// In place of a feature: all of them, with all optional dependencies.
const ALL: &str = "*";

/// A walk along the edges of a lock file that may be taken on the host.
struct Walk<'a> {
    releases: &'a BTreeMap<Key, Release>,
    host: &'a str,
    /// Whether each package has all its features.
    has_all: bool,
    /// For each package those that it needs.
    edges: BTreeMap<Key, Vec<&'a Package>>,
    reached: BTreeSet<Key>,
    /// Of each package the features that are on.
    features: BTreeSet<(Key, String)>,
    /// Of each package the dependencies that are on, by the names it gives them.
    on: BTreeSet<(Key, String)>,
    /// Features to turn on in a dependency if that is on.
    if_on: BTreeMap<(Key, String), BTreeSet<String>>,
    todo: Vec<(&'a Package, String)>,
}

impl<'a> Walk<'a> {
    fn new(
        lock: &'a Lockfile,
        releases: &'a BTreeMap<Key, Release>,
        host: &'a str,
        has_all: bool,
    ) -> Result<Self, AcquireError> {
        let mut edges = BTreeMap::new();
        for package in &lock.packages {
            let target = |edge| lock.packages.iter().find(|package| leads_to(edge, package)).ok_or(edge);
            let targets: Result<Vec<_>, &Dependency> = package.dependencies.iter().map(target).collect();
            let missing = |edge: &Dependency| AcquireError::Lock { reason: format!("it has no {}", edge.name) };
            edges.insert(key(package), targets.map_err(missing)?);
        }
        Ok(Self {
            releases,
            host,
            has_all,
            edges,
            reached: BTreeSet::new(),
            features: BTreeSet::new(),
            on: BTreeSet::new(),
            if_on: BTreeMap::new(),
            todo: Vec::new(),
        })
    }

    fn finish(mut self) -> BTreeSet<Key> {
        while let Some((package, feature)) = self.todo.pop() {
            self.turn_on(package, &feature);
        }
        self.reached
    }

    fn edges(&self, package: &Package) -> Vec<&'a Package> {
        self.edges.get(&key(package)).cloned().unwrap_or_default()
    }

    /// The package itself, with what it needs whatever its features are.
    fn need(&mut self, package: &'a Package) {
        if !self.reached.insert(key(package)) {
            return;
        }
        if self.has_all {
            self.ask(package, ALL.to_owned());
        }
        let release = self.releases.get(&key(package));
        for dep in release.iter().flat_map(|release| dependencies(release)).filter(|dep| !dep.is_optional()) {
            self.depend(package, dep.name.as_str());
        }
        // An edge that the index does not explain is followed.
        let unknown =
            self.edges(package).into_iter().filter(|target| !release.is_some_and(|release| explains(release, target)));
        for target in unknown.collect::<Vec<_>>() {
            self.need(target);
            self.ask(target, ALL.to_owned());
        }
    }

    fn ask(&mut self, package: &'a Package, feature: String) {
        if self.features.insert((key(package), feature.clone())) {
            self.todo.push((package, feature));
        }
    }

    /// A feature, or what stands in the list of one: `feature`, `dep:name`, `name/feature`, `name?/feature`.
    fn turn_on(&mut self, package: &'a Package, feature: &str) {
        let Some(release) = self.releases.get(&key(package)) else { return };
        if let Some(name) = feature.strip_prefix("dep:") {
            return self.depend(package, name);
        }
        if let Some((name, of_dependency)) = feature.split_once('/') {
            let weak = name.strip_suffix('?');
            let at = (key(package), weak.unwrap_or(name).to_owned());
            self.if_on.entry(at.clone()).or_default().insert(of_dependency.to_owned());
            if weak.is_none() {
                self.ask(package, at.1.clone());
                self.depend(package, &at.1);
            }
            if self.on.contains(&at) {
                self.targets(package, &at.1).into_iter().for_each(|(_, to)| self.ask(to, of_dependency.to_owned()));
            }
            return;
        }
        for (name, list) in release.index.features() {
            if name == feature || feature == ALL {
                for entry in list {
                    self.ask(package, entry.clone());
                }
            }
        }
        // An optional dependency is a feature of its name.
        for dep in dependencies(release).filter(|dep| dep.name == feature || feature == ALL) {
            self.depend(package, dep.name.as_str());
        }
    }

    /// A dependency by the name that the package gives it, with what is asked of it.
    fn depend(&mut self, package: &'a Package, name: &str) {
        let at = (key(package), name.to_owned());
        if !self.on.insert(at.clone()) {
            return;
        }
        let asked = self.if_on.get(&at).cloned().unwrap_or_default();
        for (dep, target) in self.targets(package, name) {
            self.need(target);
            let default = dep.has_default_features().then(|| DEFAULT_FEATURE.to_owned());
            for feature in dep.features().iter().chain(&asked).cloned().chain(default) {
                self.ask(target, feature);
            }
        }
    }

    /// Where dependencies of this name may lead on the host.
    fn targets(&self, package: &Package, name: &str) -> Vec<(&'a IndexDependency, &'a Package)> {
        let Some(release) = self.releases.get(&key(package)) else { return Vec::new() };
        let edges = self.edges(package);
        let named = dependencies(release).filter(|dep| dep.name == name && may_be_here(dep, self.host));
        named.flat_map(|dep| edges.iter().filter(|to| leads(dep, to)).map(move |to| (dep, *to))).collect()
    }
}

/// What the index says that a package needs, but for its own tests.
fn dependencies(release: &Release) -> impl Iterator<Item = &IndexDependency> {
    release.index.dependencies().iter().filter(|dep| dep.kind != DependencyKind::Dev)
}

fn leads(dep: &IndexDependency, target: &Package) -> bool {
    let matches = |req: VersionReq| req.matches(&target.version);
    dep.crate_name() == target.name.as_str() && dep.req.parse().is_ok_and(matches)
}

fn explains(release: &Release, target: &Package) -> bool {
    dependencies(release).any(|dep| leads(dep, target))
}

fn may_be_here(dep: &IndexDependency, host: &str) -> bool {
    dep.target.as_ref().is_none_or(|platform| may_hold(platform.as_str(), host))
}

/// For each package the positions, among `ids`, of those that it needs by the lock file. Empty if that cannot be read.
pub(super) fn edges(lock: &str, ids: &[&PackageId]) -> Vec<Vec<u64>> {
    let Ok(lock) = lock.parse::<Lockfile>() else { return Vec::new() };
    let identities = Identities::of(lock.packages.iter().map(key));
    let by_id: BTreeMap<PackageId, &Package> =
        lock.packages.iter().map(|package| (identities.id(&key(package)), package)).collect();
    let at: BTreeMap<&PackageId, u64> = ids.iter().copied().zip(0..).collect();
    let target = |edge: &Dependency| {
        let package = lock.packages.iter().find(|package| leads_to(edge, package))?;
        at.get(&identities.id(&key(package))).copied()
    };
    let needs = |id: &&PackageId| {
        let package = by_id.get(*id).map(|package| package.dependencies.as_slice());
        package.unwrap_or_default().iter().filter_map(target).collect()
    };
    ids.iter().map(needs).collect()
}

/// False only if the platform is certainly not the host.
pub(super) fn may_hold(platform: &str, host: &str) -> bool {
    if !platform.trim_start().starts_with("cfg") {
        return platform == host;
    }
    let (Ok(expression), Some(target)) = (Expression::parse(platform), get_builtin_target_by_triple(host)) else {
        return true;
    };
    let holds: Option<bool> = expression.eval(|predicate| match predicate {
        Predicate::Target(wanted) => Some(wanted.matches(target)),
        _ => None,
    });
    holds.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::super::release::tests::line;
    use super::*;

    const HOST: &str = "x86_64-unknown-linux-gnu";

    #[test]
    fn only_what_is_certainly_another_platform_is_left_out() {
        for platform in [HOST, "cfg(unix)", "cfg(not(windows))", "cfg(any(windows, target_os = \"linux\"))"] {
            assert!(may_hold(platform, HOST), "{platform}");
        }
        for platform in [
            "x86_64-pc-windows-msvc",
            "cfg(windows)",
            "cfg(all(unix, target_os = \"macos\"))",
            "cfg(target_arch = \"wasm32\")",
        ] {
            assert!(!may_hold(platform, HOST), "{platform}");
        }
        for unknown in
            ["cfg(not(tokio_unstable))", "cfg(tokio_unstable)", "cfg(nonsense", "cfg(target_feature = \"avx\")"]
        {
            assert!(may_hold(unknown, HOST), "{unknown}");
        }
        assert!(!may_hold("cfg(all(windows, tokio_unstable))", HOST));
    }

    fn release_with(name: &str, deps: &str) -> Release {
        let text = String::from_utf8(line(name, "1.0.0", "")).unwrap();
        Release::parse(text.replace("\"deps\":[]", &format!("\"deps\":[{deps}]")).as_bytes()).unwrap()
    }

    fn dep(name: &str, target: &str, kind: &str) -> String {
        format!(
            r#"{{"name":"{name}","req":"^1","features":[],"optional":true,"default_features":true,"target":{target},"kind":"{kind}"}}"#
        )
    }

    #[test]
    fn packages_of_other_platforms_and_what_only_they_use_are_not_needed() {
        let source = format!("registry+{}", tame_index::CRATES_IO_INDEX);
        let package = |name: &str, deps: &str| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\ndependencies = [{deps}]\n"
            )
        };
        let lock = format!(
            "version = 4\n[[package]]\nname = \"{CONSUMER_NAME}\"\nversion = \"0.1.0\"\ndependencies = [\"a\"]\n{}{}{}{}",
            package("a", "\"unixy\", \"winny\""),
            package("unixy", ""),
            package("winny", "\"winner\""),
            package("winner", "")
        );
        let lock_text = lock;
        let lock: Lockfile = lock_text.parse().unwrap();
        let deps = format!("{},{}", dep("unixy", "\"cfg(unix)\"", "build"), dep("winny", "\"cfg(windows)\"", "normal"));
        let releases: BTreeMap<Key, Release> = [("a", deps.as_str()), ("unixy", ""), ("winny", ""), ("winner", "")]
            .into_iter()
            .map(|(name, deps)| ((name.to_owned(), "1.0.0".to_owned(), Some(source.clone())), release_with(name, deps)))
            .collect();
        let ids = [("winny", "1.0.0"), ("a", "1.0.0"), ("unixy", "1.0.0")]
            .map(|(name, version)| PackageId::new(name, version));
        let edges = edges(&lock_text, &ids.iter().collect::<Vec<_>>());
        assert_eq!(edges, [vec![], vec![2, 0], vec![]], "what is not among the packages has no edge");
        let root = lock.packages.iter().find(|package| package.name.as_str() == CONSUMER_NAME).map(key);
        let needed = on_host_from(root.into_iter().collect(), &lock, &releases, HOST).unwrap();
        let names: Vec<_> = needed.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(names, ["a", CONSUMER_NAME, "unixy"]);
    }

    /// What is needed of `a`, in which every dependency is optional and leads to a package of its name.
    fn needed_with(features: &[&str], default_features: bool) -> Vec<String> {
        let source = format!("registry+{}", tame_index::CRATES_IO_INDEX);
        let index = [
            (
                "a",
                "b c d",
                r#"{"default":["b"],"with-c":["dep:c"],"with-d":["d/more"],"weak":["d?/more"],"both":["weak","d"]}"#,
            ),
            ("b", "", "{}"),
            ("c", "", "{}"),
            ("d", "e f", r#"{"default":["e"],"more":["f"]}"#),
            ("e", "", "{}"),
            ("f", "", "{}"),
        ];
        let mut lock = format!(
            "version = 4\n[[package]]\nname = \"{CONSUMER_NAME}\"\nversion = \"0.1.0\"\ndependencies = [\"a\"]\n"
        );
        let mut releases = BTreeMap::new();
        for (name, needs, features) in index {
            let names: Vec<_> = needs.split_whitespace().map(|name| format!("{name:?}")).collect();
            let entry = format!(
                "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\ndependencies = [{}]\n",
                names.join(", ")
            );
            lock.push_str(&entry);
            let deps: Vec<_> = needs.split_whitespace().map(|name| dep(name, "null", "normal")).collect();
            let text = String::from_utf8(line(name, "1.0.0", "")).unwrap();
            let text = text.replace("\"deps\":[]", &format!("\"deps\":[{}]", deps.join(",")));
            let text = text.replace("\"features\":{}", &format!("\"features\":{features}"));
            assert!(text.contains(features), "{text}");
            let key = (name.to_owned(), "1.0.0".to_owned(), Some(source.clone()));
            releases.insert(key, Release::parse(text.as_bytes()).unwrap());
        }
        let subject = SubjectDependency {
            name: "a".to_owned(),
            origin: crate::acquire::SubjectOrigin::Registry { version: "1.0.0".to_owned() },
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            default_features,
            features_off: Vec::new(),
        };
        let needed = on_host(&lock.parse().unwrap(), &releases, HOST, &subject).unwrap();
        needed.into_iter().map(|(name, ..)| name).filter(|name| !["a", CONSUMER_NAME].contains(&&**name)).collect()
    }

    #[test]
    fn what_only_a_feature_that_is_off_uses_is_not_needed() {
        for (features, default, needed) in [
            (&[][..], true, &["b"][..]),
            (&[], false, &[]),
            (&["with-c"], false, &["c"]),
            (&["with-d"], false, &["d", "e", "f"]),
            // A weak dependency turns nothing on, and gives its feature to what another one has turned on.
            (&["weak"], false, &[]),
            (&["d"], false, &["d", "e"]),
            (&["weak", "d"], false, &["d", "e", "f"]),
            (&["both"], false, &["d", "e", "f"]),
            (&["d/more"], false, &["d", "e", "f"]),
            (&["c"], true, &["b", "c"]),
        ] {
            assert_eq!(needed_with(features, default), needed, "{features:?}");
        }
    }
}
