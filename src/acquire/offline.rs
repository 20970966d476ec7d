//! A registry made of what is on this machine, for a cargo that may not use the network.
//!
//! Cargo's own offline mode knows only the `.crate` files in its own cache, not
//! those in ours. So it gets a local registry whose index lists, of each name,
//! the versions whose `.crate` file is here; names of which none is here keep
//! all versions, for packages of other platforms need no file.
//!
//! A name is in it if cargo can come to it: by dependencies that are always
//! needed, and by optional ones that a feature may turn on which somebody asks
//! for. That is a fraction of all names that the index connects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tame_index::KrateName;
use tame_index::krate::DependencyKind;

use super::download::Store;
use super::error::AcquireError;
use super::registry::Registry;
use super::release::Release;
use super::sources::DEFAULT;

/// From where cargo sets out.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Names, and which features of them are asked for.
    asked: BTreeMap<String, BTreeSet<String>>,
    /// Names that are to be looked at, again when more is asked of them.
    todo: Vec<String>,
}

impl Start {
    /// Somebody needs a package with these features. `default` is always among them.
    pub(crate) fn ask<'f>(&mut self, name: &str, features: impl IntoIterator<Item = &'f str>) {
        let is_new = !self.asked.contains_key(name);
        let asked = self.asked.entry(name.to_owned()).or_default();
        let before = asked.len();
        asked.extend(features.into_iter().map(str::to_owned));
        if is_new || asked.len() > before {
            self.todo.push(name.to_owned());
        }
    }

    /// Asks for what a release needs when it may have these features.
    pub(crate) fn follow(&mut self, release: &Release, features: &BTreeSet<String>) {
        let turned = Turned::on(&release.features(), features);
        for dep in release.index.deps.iter().filter(|dep| dep.kind != DependencyKind::Dev) {
            if dep.optional && !turned.optional.contains(dep.name.as_str()) {
                continue;
            }
            let further = turned.of_others.iter().filter(|(alias, _)| *alias == dep.name.as_str());
            let further = further.map(|(_, feature)| feature.as_str());
            self.ask(dep.crate_name(), dep.features.iter().map(AsRef::as_ref).chain(further));
        }
    }
}

/// What features turn on: rather too much than too little.
#[derive(Debug, Default)]
struct Turned {
    /// Optional dependencies, as the manifest calls them.
    optional: BTreeSet<String>,
    /// Features of dependencies.
    of_others: BTreeSet<(String, String)>,
}

impl Turned {
    fn on(table: &BTreeMap<String, Vec<String>>, features: &BTreeSet<String>) -> Self {
        let mut turned = Self::default();
        let mut seen: BTreeSet<String> = features.iter().cloned().chain(["default".to_owned()]).collect();
        let mut todo: Vec<String> = seen.iter().cloned().collect();
        while let Some(word) = todo.pop() {
            let mut meet = |next: &str| {
                if seen.insert(next.to_owned()) {
                    todo.push(next.to_owned());
                }
            };
            if let Some(alias) = word.strip_prefix("dep:") {
                turned.optional.insert(alias.to_owned());
            } else if let Some((alias, feature)) = word.split_once('/') {
                let name = alias.trim_end_matches('?');
                turned.of_others.insert((name.to_owned(), feature.to_owned()));
                // To cargo's resolver a weak dependency is one: the lock file lists it (rust-lang/cargo#10801).
                turned.optional.insert(name.to_owned());
                if !alias.ends_with('?') {
                    meet(alias);
                }
            } else {
                // An optional dependency is a feature of the same name.
                turned.optional.insert(word.clone());
                table.get(&word).into_iter().flatten().for_each(|next| meet(next));
            }
        }
        turned
    }
}

/// Makes the registry in the new folder `to`; gives the `--config` values that make cargo use it.
pub(crate) fn registry(
    to: &Path,
    registry: &Registry<'_>,
    store: &Store<'_>,
    mut start: Start,
) -> Result<Vec<String>, AcquireError> {
    let index = to.join("index");
    fs::create_dir_all(&index).map_err(AcquireError::file("create", &index))?;
    let mut known: BTreeMap<String, Vec<Release>> = BTreeMap::new();
    while let Some(name) = start.todo.pop() {
        if !known.contains_key(&name) {
            known.insert(name.clone(), usable(&name, registry, store)?);
        }
        let features = start.asked.get(&name).cloned().unwrap_or_default();
        for release in known.get(&name).into_iter().flatten() {
            start.follow(release, &features);
        }
    }
    for (name, releases) in known.iter().filter(|(_, releases)| !releases.is_empty()) {
        let Ok(krate) = KrateName::try_from(name.as_str()) else { continue };
        let lines: Vec<u8> = releases.iter().flat_map(|release| release.line.iter().copied().chain([b'\n'])).collect();
        let path = index.join(krate.relative_path(None));
        let folder = path.parent().unwrap_or(&index);
        fs::create_dir_all(folder).map_err(AcquireError::file("create", folder))?;
        fs::write(&path, lines).map_err(AcquireError::file("write", &path))?;
    }
    let path = toml::Value::String(to.to_string_lossy().into_owned());
    Ok(vec![
        format!("source.{DEFAULT}.replace-with=\"sandbox-check-offline\""),
        format!("source.sandbox-check-offline.local-registry={path}"),
    ])
}

/// The versions that an offline cargo may choose from.
fn usable(name: &str, registry: &Registry<'_>, store: &Store<'_>) -> Result<Vec<Release>, AcquireError> {
    let mut releases = registry.known_versions(name)?.unwrap_or_default();
    let here = |release: &Release| store.has(registry, &release.id, release.checksum());
    if releases.iter().any(here) {
        releases.retain(here);
    }
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::super::release::tests::line;
    use super::*;

    fn dep(name: &str, more: &str) -> String {
        format!(
            r#"{{"name":"{name}","req":"1","default_features":true,"target":null,"kind":"normal","features":[]{more}}}"#
        )
    }

    /// What a release with these features and dependencies asks for.
    fn asked(table: &str, deps: &[String], features: &[&str]) -> Vec<(String, Vec<String>)> {
        let text = String::from_utf8(line("a", "1.0.0", "")).unwrap();
        let text = text.replace("\"deps\":[]", &format!("\"deps\":[{}]", deps.join(",")));
        let release = Release::parse(text.replace("\"features\":{}", &format!("\"features\":{table}")).as_bytes());
        let mut start = Start::default();
        start.follow(&release.unwrap(), &features.iter().map(|&feature| feature.to_owned()).collect());
        start.asked.into_iter().map(|(name, features)| (name, features.into_iter().collect())).collect()
    }

    fn names(table: &str, deps: &[String], features: &[&str]) -> Vec<String> {
        asked(table, deps, features).into_iter().map(|(name, _)| name).collect()
    }

    fn optional(name: &str) -> String {
        dep(name, r#","optional":true"#)
    }

    #[test]
    fn an_optional_dependency_is_followed_when_a_feature_may_turn_it_on() {
        let deps = [dep("always", r#","optional":false"#), optional("one"), optional("two"), optional("three")];
        assert_eq!(names("{}", &deps, &[]), ["always"]);
        assert_eq!(names("{}", &deps, &["one"]), ["always", "one"]);
        assert_eq!(names(r#"{"default":["x"],"x":["dep:two"]}"#, &deps, &[]), ["always", "two"]);
        assert_eq!(names(r#"{"x":["three/y"]}"#, &deps, &["x"]), ["always", "three"]);
        assert_eq!(names(r#"{"x":["three?/y"]}"#, &deps, &["x"]), ["always", "three"]);
        assert_eq!(names(r#"{"x":["y"],"y":["x","two"]}"#, &deps, &["x"]), ["always", "two"]);
    }

    #[test]
    fn features_of_dependencies_are_asked_for_by_their_real_names() {
        let renamed = dep("alias", r#","optional":true,"package":"real""#).replace("[]", r#"["own"]"#);
        let found = asked(r#"{"x":["dep:alias","alias?/more"]}"#, &[renamed], &["x"]);
        assert_eq!(found, [("real".to_owned(), vec!["more".to_owned(), "own".to_owned()])]);
    }

    #[test]
    fn what_only_tests_need_is_not_followed() {
        let dev = dep("tested", r#","optional":false"#).replace("normal", "dev");
        assert!(names("{}", &[dev], &[]).is_empty());
    }

    #[test]
    fn a_name_is_looked_at_again_when_more_is_asked_of_it() {
        let mut start = Start::default();
        start.ask("a", ["x"]);
        start.ask("a", ["x"]);
        assert_eq!(start.todo, ["a"]);
        start.ask("a", ["y"]);
        assert_eq!(start.todo, ["a", "a"]);
    }
}
