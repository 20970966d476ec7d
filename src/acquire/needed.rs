//! Which packages of a lock file a build on the host can reach.

use std::collections::{BTreeMap, BTreeSet};

use cargo_lock::{Dependency, Lockfile, Package, SourceId};
use cfg_expr::targets::get_builtin_target_by_triple;
use cfg_expr::{Expression, Predicate};
use semver::VersionReq;
use tame_index::krate::DependencyKind;

use super::error::AcquireError;
use super::identity::Identities;
use super::release::Release;
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

/// Walks from the consumer along normal and build dependencies whose platform may be the host.
///
/// Which features are on is not asked: the result may be too large, never too small.
pub(crate) fn on_host(
    lock: &Lockfile,
    releases: &BTreeMap<Key, Release>,
    host: &str,
) -> Result<BTreeSet<Key>, AcquireError> {
    let mut keys = lock.packages.iter().map(key);
    let root = keys.find(|(name, _, source)| name == CONSUMER_NAME && source.is_none());
    let root = root.ok_or_else(|| AcquireError::Lock { reason: "it has no consumer".to_owned() })?;
    on_host_from(vec![root], lock, releases, host)
}

/// The same, from these packages.
pub(crate) fn on_host_from(
    roots: Vec<Key>,
    lock: &Lockfile,
    releases: &BTreeMap<Key, Release>,
    host: &str,
) -> Result<BTreeSet<Key>, AcquireError> {
    let packages: BTreeMap<Key, &Package> = lock.packages.iter().map(|package| (key(package), package)).collect();
    let mut needed = BTreeSet::new();
    let mut todo = roots;
    while let Some(next) = todo.pop() {
        if !needed.insert(next.clone()) {
            continue;
        }
        let Some(package) = packages.get(&next) else { continue };
        for edge in &package.dependencies {
            let target = lock.packages.iter().find(|package| leads_to(edge, package));
            let target = target.ok_or_else(|| AcquireError::Lock { reason: format!("it has no {}", edge.name) })?;
            if releases.get(&next).is_none_or(|release| uses(release, target, host)) {
                todo.push(key(target));
            }
        }
    }
    Ok(needed)
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

/// True if any dependency that leads to `target` may hold on the host.
fn uses(release: &Release, target: &Package, host: &str) -> bool {
    let mut known = false;
    for dep in release.index.deps.iter() {
        let matches = dep.crate_name() == target.name.as_str()
            && dep.req.parse::<VersionReq>().is_ok_and(|req| req.matches(&target.version));
        if !matches || dep.kind == DependencyKind::Dev {
            continue;
        }
        known = true;
        if dep.target.as_ref().is_none_or(|platform| may_hold(platform.as_str(), host)) {
            return true;
        }
    }
    // An edge that the index does not explain is followed.
    !known
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
        let needed = on_host(&lock, &releases, HOST).unwrap();
        let names: Vec<_> = needed.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(names, ["a", CONSUMER_NAME, "unixy"]);
    }
}
