//! Holds what an index said about a release against the manifest in its archive.
//!
//! Cargo chooses packages and features by the index, and a build here reads the
//! manifests. Where the two differ, what would be examined is not what others
//! build: another dependency, another feature. So the archive is refused.
//! Development dependencies play no part, and neither does how a thing is
//! written: `1` is `^1`, and an optional dependency is a feature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use semver::VersionReq;
use serde::Deserialize;
use tame_index::krate::DependencyKind;

use super::dependency::Dependency;
use super::manifest::Manifest;
use super::release::{Release, feature_names};
use super::sources::is_default;

/// One dependency as both sides can tell of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    alias: String,
    package: String,
    requirement: String,
    build: bool,
    target: Option<String>,
    optional: bool,
    default_features: bool,
    features: BTreeSet<String>,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.build { "build dependency" } else { "dependency" };
        let optional = if self.optional { "optional " } else { "" };
        write!(f, "the {optional}{kind} `{} = {}`", self.alias, self.requirement)?;
        if self.alias != self.package {
            write!(f, " on `{}`", self.package)?;
        }
        if let Some(target) = &self.target {
            write!(f, " for `{target}`")?;
        }
        if !self.default_features {
            write!(f, " without default features")?;
        }
        if !self.features.is_empty() {
            let features: Vec<_> = self.features.iter().map(String::as_str).collect();
            write!(f, " with {}", features.join(", "))?;
        }
        Ok(())
    }
}

/// What differs, in words; nothing if the manifest keeps what each line of the index promised.
pub(crate) fn broken(release: &Release, manifest: &Manifest) -> Option<String> {
    std::iter::once(release).chain(&release.others).find_map(|line| {
        needs_differ(line, manifest)
            .or_else(|| features_differ(line, manifest))
            .or_else(|| links_differ(line, manifest))
            .or_else(|| registries_differ(line, manifest))
    })
}

fn needs_differ(release: &Release, manifest: &Manifest) -> Option<String> {
    let dependencies = release.index.deps.iter().filter(|dep| dep.kind != DependencyKind::Dev);
    let promised: BTreeSet<Need> = dependencies
        .map(|dep| Need {
            alias: dep.name.to_string(),
            package: dep.crate_name().to_owned(),
            requirement: requirement(&dep.req),
            build: dep.kind == DependencyKind::Build,
            target: dep.target().map(platform),
            optional: dep.optional,
            default_features: dep.default_features,
            features: words(dep.features()),
        })
        .collect();
    let kept: BTreeSet<Need> = manifest.dependencies.iter().map(need).collect();
    let said = |need: &Need| format!("the index has {need}, its Cargo.toml has not");
    let unsaid = |need: &Need| format!("its Cargo.toml has {need}, the index has not");
    promised.difference(&kept).next().map(said).or_else(|| kept.difference(&promised).next().map(unsaid))
}

fn need(dependency: &Dependency) -> Need {
    Need {
        alias: dependency.alias.clone(),
        package: package(dependency).to_owned(),
        requirement: requirement(dependency.requirement.as_deref().unwrap_or("*")),
        build: dependency.build,
        target: dependency.target.as_deref().map(platform),
        optional: dependency.optional,
        default_features: dependency.default_features,
        features: words(&dependency.features),
    }
}

fn package(dependency: &Dependency) -> &str {
    dependency.package.as_ref().unwrap_or(&dependency.alias)
}

/// A requirement in one spelling; one that nobody can read stays as it is.
fn requirement(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "*".to_owned();
    }
    VersionReq::parse(text).map_or_else(|_| text.to_owned(), |requirement| requirement.to_string())
}

/// A platform in one spelling.
fn platform(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    plain.replace(",)", ")")
}

/// Very old lines hold empty words.
fn words(words: &[String]) -> BTreeSet<String> {
    words.iter().filter(|word| !word.is_empty()).cloned().collect()
}

/// All features with what each turns on, those among them that optional dependencies are.
fn features<'a>(
    table: &BTreeMap<String, Vec<String>>,
    optional: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, BTreeSet<String>> {
    let of = |name: &String| match table.get(name) {
        Some(turns_on) => words(turns_on),
        None => BTreeSet::from([format!("dep:{name}")]),
    };
    feature_names(table, optional).into_iter().map(|name| (name.clone(), of(&name))).collect()
}

fn features_differ(release: &Release, manifest: &Manifest) -> Option<String> {
    let optional = release.index.deps.iter().filter(|dep| dep.optional && dep.kind != DependencyKind::Dev);
    let promised = features(&release.features(), optional.map(|dep| dep.name.as_str()));
    let optional = manifest.dependencies.iter().filter(|dependency| dependency.optional);
    let kept = features(&manifest.features, optional.map(|dependency| dependency.alias.as_str()));
    let name = promised.keys().chain(kept.keys()).find(|name| promised.get(*name) != kept.get(*name))?;
    Some(format!("the index and its Cargo.toml do not say the same of the feature `{name}`"))
}

/// Lines of old releases do not tell of libraries.
fn links_differ(release: &Release, manifest: &Manifest) -> Option<String> {
    let promised = release.index.links()?;
    let kept = manifest.links.as_deref();
    (kept != Some(promised)).then(|| format!("the index says that it links `{promised}`, its Cargo.toml does not"))
}

/// What `IndexVersion` leaves out of a line.
#[derive(Deserialize)]
struct Line {
    deps: Vec<LineDep>,
}

#[derive(Deserialize)]
struct LineDep {
    name: String,
    kind: Option<String>,
    registry: Option<String>,
}

/// Dependencies for which the index names no registry, and so means its own, and the manifest names none either: by what
/// the manifest calls them.
pub(crate) fn from_own_registry(release: &Release, manifest: &Manifest) -> BTreeSet<String> {
    let own = registries(release).into_iter().filter(|dep| dep.registry.is_none()).map(|dep| dep.name);
    let is_unnamed =
        |name: &String| manifest.dependencies.iter().any(|kept| kept.alias == *name && kept.registry.is_none());
    own.filter(is_unnamed).collect()
}

/// What the index says of registries, development dependencies left out. A line that says nothing of them has none.
fn registries(release: &Release) -> Vec<LineDep> {
    let mut deps = serde_json::from_slice(&release.line).map_or_else(|_| Vec::new(), |line: Line| line.deps);
    deps.retain(|dep| dep.kind.as_deref() != Some("dev"));
    deps
}

/// Where the index names another registry for a dependency, the manifest must name it too.
fn registries_differ(release: &Release, manifest: &Manifest) -> Option<String> {
    let deps = registries(release);
    deps.iter().filter_map(|dep| Some((dep, dep.registry.as_deref()?))).find_map(|(dep, promised)| {
        let mut named = manifest.dependencies.iter().filter(|dependency| dependency.alias == dep.name);
        let kept = named.all(|dependency| match dependency.registry.as_deref() {
            None => is_default(promised),
            Some(registry) => plain(registry) == plain(promised) || is_default(registry) && is_default(promised),
        });
        (!kept).then(|| format!("the index takes `{}` from {promised}, its Cargo.toml does not", dep.name))
    })
}

fn plain(registry: &str) -> &str {
    registry.trim_start_matches("registry+").trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `deps` and `more` are members of the index's line, `manifest` is what follows `[package]`.
    fn said(deps: &str, more: &str, manifest: &str) -> Option<String> {
        let line = format!(
            r#"{{"name":"a","vers":"1.0.0","deps":[{deps}],"cksum":"{}","yanked":false{more}}}"#,
            "0".repeat(64)
        );
        let release = Release::parse(line.as_bytes()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[package]\nname = 'a'\nversion = '1.0.0'\n{manifest}");
        std::fs::write(folder.path().join("Cargo.toml"), text).unwrap();
        broken(&release, &Manifest::read(folder.path(), None).unwrap())
    }

    fn dep(name: &str, req: &str, more: &str) -> String {
        format!(
            r#"{{"name":"{name}","req":"{req}","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"{more}}}"#
        )
    }

    #[test]
    fn another_spelling_of_the_same_is_no_difference() {
        for (deps, more, manifest) in [
            (dep("b", "^1", ""), r#","features":{}"#, "[dependencies]\nb = '1'"),
            (dep("b", ">=1, <2", ""), r#","features":{}"#, "[dependencies]\nb = '>= 1,<2'"),
            (dep("b", "*", ""), r#","features":{}"#, "[dependencies]\nb = { path = '../b' }"),
            (dep("b", "*", ""), r#","features":{"x":[""]}"#, "[dependencies]\nb = ''\n[features]\nx = []"),
            (
                dep("b", "^1", r#","package":"c""#),
                r#","features":{}"#,
                "[dependencies]\nb = { version = '1', package = 'c' }",
            ),
            (
                dep("b", "^1", "").replace("null", r#""cfg(all(unix, not(target_os = \"l\")))""#),
                r#","features":{}"#,
                "[target.'cfg( all(unix,not(target_os=\"l\"),) )'.dependencies]\nb = '1'",
            ),
            (
                dep("b", "^1", "").replace("false", "true"),
                r#","features":{},"features2":{"b":["dep:b"]},"v":2"#,
                "[dependencies]\nb = { version = '1', optional = true }",
            ),
            (dep("b", "^1", "").replace("normal", "dev"), r#","features":{}"#, "[dev-dependencies]\nc = '1'"),
            (String::new(), r#","features":{}"#, "links = 'z'"),
        ] {
            assert_eq!(said(&deps, more, manifest), None, "{deps} {manifest}");
        }
    }

    #[test]
    fn every_difference_that_a_build_can_feel_is_told() {
        let plain = dep("b", "^1", "");
        let none = r#","features":{}"#;
        for (deps, more, manifest, words) in [
            (plain.clone(), none, "", "the index has the dependency `b = ^1`"),
            (String::new(), none, "[dependencies]\nb = '1'", "its Cargo.toml has the dependency `b = ^1`"),
            (plain.clone(), none, "[dependencies]\nb = '2'", "`b = ^1`"),
            (plain.clone(), none, "[build-dependencies]\nb = '1'", "the dependency `b"),
            (plain.clone(), none, "[dependencies]\nb = { version = '1', package = 'evil' }", "`b = ^1`"),
            (plain.clone(), none, "[dependencies]\nb = { version = '1', optional = true }", "`b = ^1`"),
            (plain.clone(), none, "[dependencies]\nb = { version = '1', features = ['f'] }", "`b = ^1`"),
            (plain.clone(), none, "[dependencies]\nb = { version = '1', default-features = false }", "`b = ^1`"),
            (plain.clone(), none, "[target.'cfg(windows)'.dependencies]\nb = '1'", "`b = ^1`"),
            (String::new(), r#","features":{"x":["y"],"y":[]}"#, "[features]\nx = []\ny = []", "the feature `x`"),
            (String::new(), none, "[features]\ndefault = []", "the feature `default`"),
            (String::new(), r#","features":{},"links":"z""#, "links = 'y'", "links `z`"),
            (dep("b", "^1", r#","registry":"sparse+http://e.example/""#), none, "[dependencies]\nb = '1'", "e.example"),
        ] {
            let said = said(&deps, more, manifest).unwrap_or_default();
            assert!(said.contains(words), "{said:?}: {deps} {manifest}");
        }
    }

    #[test]
    fn each_of_two_lines_for_one_version_counts() {
        let line = |deps: &str| {
            let text = String::from_utf8(super::super::release::tests::line("a", "1.0.0", "")).unwrap();
            Release::parse(text.replace("\"deps\":[]", &format!("\"deps\":[{deps}]")).as_bytes()).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "[package]\nname = 'a'\nversion = '1.0.0'").unwrap();
        let manifest = Manifest::read(folder.path(), None).unwrap();
        let release = Release::among(&[line(&dep("evil", "1", "")), line("")], "a", "1.0.0").unwrap().unwrap();
        assert!(broken(&release, &manifest).unwrap().contains("evil"));
    }
}
