//! What the archive's manifest depends on and what features it has, against what cargo makes of the author's.
//!
//! Cargo, when it packs, puts the values of the workspace in, takes `path`, `git` and what belongs to it out, writes the
//! name of a registry as its address, and leaves out dev-dependencies without a version, with the features that name
//! them. It adds nothing: whatever else differs was not made by it.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// The tables of dependencies, each in every spelling that cargo reads, by what one of it is called.
const KINDS: [(&str, [&str; 2]); 3] = [
    ("dependency", ["dependencies", "dependencies"]),
    ("build-dependency", ["build-dependencies", "build_dependencies"]),
    ("dev-dependency", ["dev-dependencies", "dev_dependencies"]),
];
/// What cargo takes out of a dependency.
const TAKEN_OUT: [&str; 6] = ["path", "git", "branch", "tag", "rev", "base"];

/// Where a dependency stands: its kind, its platforms without blanks, and the name that the code has for it.
type Place<'a> = (&'static str, String, &'a str);

/// What the made manifest has that the author's does not explain: which key, and a text.
pub(super) fn differences(made: &Table, written: &Table) -> Vec<(String, String)> {
    let (of_made, of_written) = (dependencies(made), dependencies(written));
    let shared = written.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let mut found = Vec::new();
    for (place, dependency) in &of_made {
        let (kind, platforms, name) = place;
        let of = if platforms.is_empty() { String::new() } else { format!(" for {platforms}") };
        let Some(authors) = of_written.get(place) else {
            let text = format!("its Cargo.toml has the {kind} {name}{of}, and the author's Cargo.toml.orig does not");
            found.push((format!("{kind} {name}"), text));
            continue;
        };
        for what in unlike(dependency, &Authors::of(authors, shared.and_then(|all| all.get(*name)))) {
            let text = format!(
                "{what} of the {kind} {name}{of} in its Cargo.toml is not that of the author's Cargo.toml.orig"
            );
            found.push((format!("{kind} {name}: {what}"), text));
        }
    }
    let known = features(written);
    for (name, parts) in features(made) {
        if !known.get(name).is_some_and(|known| parts.is_subset(known)) {
            let text =
                format!("the feature {name} of its Cargo.toml turns on what the author's Cargo.toml.orig does not");
            found.push((format!("feature {name}"), text));
        }
    }
    found
}

/// A dependency of the author's manifest, and what it takes from the workspace.
struct Authors<'a> {
    own: &'a Value,
    /// What the manifest's own workspace has of it.
    shared: Option<&'a Value>,
    inherits: bool,
}

impl<'a> Authors<'a> {
    fn of(own: &'a Value, shared: Option<&'a Value>) -> Self {
        let inherits = own.get("workspace").and_then(Value::as_bool) == Some(true);
        Self { own, shared: shared.filter(|_| inherits), inherits }
    }

    /// Where the package, its version and its source stand; none where that is a manifest that the archive does not have.
    fn source(&self) -> Option<&'a Value> {
        if self.inherits { self.shared } else { Some(self.own) }
    }
}

/// What of a dependency cargo did not make of the author's.
fn unlike(made: &Value, authors: &Authors<'_>) -> Vec<&'static str> {
    let mut found = Vec::new();
    if TAKEN_OUT.iter().any(|key| made.get(*key).is_some()) || !is_same_registry(made, authors) {
        found.push("source");
    }
    if let Some(source) = authors.source() {
        if text(made, "package") != text(source, "package") {
            found.push("package");
        }
        if version(made) != version(source) {
            found.push("version");
        }
        let all: BTreeSet<&str> = parts(source.get("features")).chain(parts(authors.own.get("features"))).collect();
        if !parts(made.get("features")).all(|feature| all.contains(feature)) {
            found.push("features");
        }
    }
    // How the two combine under inheritance depends on the edition.
    if !authors.inherits
        && flag(made, ["default-features", "default_features"], true)
            != flag(authors.own, ["default-features", "default_features"], true)
    {
        found.push("default-features");
    }
    if flag(made, ["optional"; 2], false) != flag(authors.own, ["optional"; 2], false) {
        found.push("optional");
    }
    if ["artifact", "lib", "target"].iter().any(|key| {
        made.get(*key).is_some()
            && made.get(*key) != authors.own.get(*key)
            && authors.source().is_none_or(|source| made.get(*key) != source.get(*key))
    }) {
        found.push("artifact");
    }
    found
}

/// A registry that the author's manifest calls by a name has an address that only his configuration knows.
fn is_same_registry(made: &Value, authors: &Authors<'_>) -> bool {
    let Some(source) = authors.source() else { return text(made, "registry").is_none() };
    let named = text(source, "registry").filter(|name| *name != "crates-io");
    match (text(made, "registry"), text(made, "registry-index")) {
        (Some(name), _) => text(source, "registry") == Some(name),
        (None, Some(address)) => text(source, "registry").is_some() || text(source, "registry-index") == Some(address),
        (None, None) => named.is_none() && text(source, "registry-index").is_none(),
    }
}

fn dependencies(manifest: &Table) -> BTreeMap<Place<'_>, &Value> {
    let mut found = BTreeMap::new();
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let targets = targets.filter_map(|(name, target)| Some((name.as_str(), target.as_table()?)));
    for (platforms, tables) in std::iter::once(("", manifest)).chain(targets) {
        let platforms: String = platforms.split_whitespace().collect();
        for (kind, spellings) in KINDS {
            for table in spellings.iter().filter_map(|spelling| tables.get(*spelling)?.as_table()) {
                found.extend(table.iter().map(|(name, value)| ((kind, platforms.clone(), name.as_str()), value)));
            }
        }
    }
    found
}

fn features(manifest: &Table) -> BTreeMap<&str, BTreeSet<&str>> {
    let all = manifest.get("features").and_then(Value::as_table).into_iter().flatten();
    all.map(|(name, value)| (name.as_str(), parts(Some(value)).collect())).collect()
}

fn parts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn text<'a>(dependency: &'a Value, key: &str) -> Option<&'a str> {
    dependency.get(key)?.as_str()
}

fn version(dependency: &Value) -> Option<&str> {
    dependency.as_str().or_else(|| text(dependency, "version")).map(str::trim)
}

fn flag(dependency: &Value, spellings: [&str; 2], usual: bool) -> bool {
    spellings.iter().find_map(|key| dependency.get(*key)?.as_bool()).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(made: &str, written: &str) -> Vec<String> {
        let read = |text: &str| text.parse::<Table>().unwrap();
        differences(&read(made), &read(written)).into_iter().map(|(which, _)| which).collect()
    }

    #[test]
    fn what_cargo_makes_of_dependencies_is_no_difference() {
        for (made, written) in [
            ("[dependencies.x]\nversion = '1'", "[dependencies]\nx = '1'"),
            ("[dependencies.x]\nversion = '1'", "[dependencies]\nx = { version = '1', path = '../x' }"),
            ("[dependencies.x]\nversion = '1'", "[dependencies]\nx = { version = '1', git = 'g', rev = 'r' }"),
            ("[dependencies.x]\nversion = '1'\npackage = 'y'", "[dependencies]\nx.workspace = true"),
            (
                "[dependencies.x]\nversion = '1'\npackage = 'y'\nfeatures = ['b', 'a']",
                "[dependencies]\nx = { workspace = true, features = ['a'] }\n\
                 [workspace.dependencies]\nx = { version = '1', package = 'y', path = 'y', features = ['b'] }",
            ),
            (
                "[dependencies.x]\nversion = '1'\nregistry-index = 'https://i.invalid'",
                "[dependencies]\nx = { version = '1', registry = 'r' }",
            ),
            ("[build-dependencies.x]\nversion = '1'", "[build_dependencies]\nx = '1'"),
            ("[target.'cfg(unix)'.dependencies.x]\nversion = '1'", "[target.'cfg( unix )'.dependencies]\nx = '1'"),
            ("[dependencies]", "[dev-dependencies]\nx = { path = '../x' }\n[features]\nf = ['x/a']"),
            ("[features]\nf = []", "[dev-dependencies]\nx = { path = '../x' }\n[features]\nf = ['x/a']"),
        ] {
            assert_eq!(found(made, written), Vec::<String>::new(), "{made}");
        }
    }

    #[test]
    fn a_dependency_of_the_same_name_on_something_else_is_a_difference() {
        let written = "[dependencies]\nx = { version = '1', optional = true }";
        for (more, what) in [
            ("package = 'y'", "package"),
            ("registry-index = 'https://i.invalid'", "source"),
            ("registry = 'r'", "source"),
            ("git = 'https://i.invalid'", "source"),
            ("path = 'y'", "source"),
            ("features = ['f']", "features"),
            ("default-features = false", "default-features"),
            ("artifact = 'bin'", "artifact"),
        ] {
            let made = format!("[dependencies.x]\nversion = '1'\noptional = true\n{more}");
            assert_eq!(found(&made, written), [format!("dependency x: {what}")]);
        }
        let same = "[dependencies.x]\nversion = '1'\noptional = true";
        assert_eq!(found(same, written), Vec::<String>::new());
        assert_eq!(found("[dependencies]\nx = '1'", written), ["dependency x: optional"]);
        assert_eq!(found("[dependencies.x]\nversion = '=1.0.7'\noptional = true", written), ["dependency x: version"]);
        let private = "[dependencies]\nx = { version = '1', registry = 'r' }";
        assert_eq!(
            found("[dependencies]\nx = '1'", private),
            ["dependency x: source"],
            "a public one for a private one"
        );
    }

    #[test]
    fn a_dependency_of_another_kind_or_for_other_platforms_is_a_difference() {
        let written =
            "[dependencies]\nx = '1'\n[dev-dependencies]\ny = '1'\n[target.'cfg(windows)'.dependencies]\nz = '1'";
        assert_eq!(found("[build-dependencies]\nx = '1'", written), ["build-dependency x"]);
        assert_eq!(found("[dependencies]\ny = '1'", written), ["dependency y"]);
        assert_eq!(found("[dependencies]\nz = '1'", written), ["dependency z"]);
        assert_eq!(found("[target.'cfg(unix)'.dependencies]\nz = '1'", written), ["dependency z"]);
    }

    #[test]
    fn what_a_workspace_gives_is_held_against_it_where_it_is_known() {
        let written = "[dependencies]\nx.workspace = true\n[workspace.dependencies]\nx = '1'";
        assert_eq!(found("[dependencies]\nx = '2'", written), ["dependency x: version"]);
        let elsewhere = "[dependencies]\nx.workspace = true";
        assert_eq!(found("[dependencies]\nx = { version = '2', path = 'y' }", elsewhere), ["dependency x: source"]);
        assert_eq!(
            found("[dependencies]\nx = { version = '2', optional = true }", elsewhere),
            ["dependency x: optional"]
        );
    }

    #[test]
    fn a_feature_that_turns_on_more_is_a_difference() {
        let written = "[features]\ndefault = ['a']\na = []";
        assert_eq!(found(written, written), Vec::<String>::new());
        assert_eq!(found("[features]\ndefault = ['a', 'dep:x']", written), ["feature default"]);
        assert_eq!(found("[features]\nb = []", written), ["feature b"]);
    }
}
