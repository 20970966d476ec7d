//! What is read of manifests; and whether the one that cargo reads is what cargo makes of the one that the author wrote.
//!
//! `Cargo.toml` of an archive is written by cargo, `Cargo.toml.orig` is the author's. Who compares an archive with a
//! repository can only compare the second. So what makes code run at build time must be the same in both.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::tree::Tree;

/// The tables of dependencies that a build needs, in every spelling that cargo reads.
const NEEDED: &[&str] = &["dependencies", "build-dependencies", "build_dependencies"];
/// All of them.
const ALL: &[&str] =
    &["dependencies", "build-dependencies", "build_dependencies", "dev-dependencies", "dev_dependencies"];

/// What the manifest has that the author's does not explain: which key, and a text.
pub(super) fn differences(tree: &Tree) -> Vec<(String, String)> {
    let Some(written) = &tree.written else { return Vec::new() };
    let mut found = Vec::new();
    let known = names(written);
    for name in names(&tree.manifest).difference(&known) {
        found.push((
            format!("dependency {name}"),
            format!("its Cargo.toml depends on {name}, and the author's Cargo.toml.orig does not"),
        ));
    }
    if let Some(script) = package(&tree.manifest, "build").and_then(Value::as_str) {
        let is_usual = match package(written, "build") {
            None => script == "build.rs",
            Some(Value::String(path)) => plain(path) == plain(script),
            // Of several, cargo writes down all or none.
            Some(value) => value.as_bool() == Some(true) && script == "build.rs",
        };
        if !is_usual {
            found.push((
                "build-script".to_owned(),
                format!(
                    "its Cargo.toml has the build script {script}, and the author's Cargo.toml.orig has another or none"
                ),
            ));
        }
    }
    if is_macro(&tree.manifest) && !is_macro(written) {
        let text = "its Cargo.toml makes the library a proc macro, and the author's Cargo.toml.orig does not";
        found.push(("proc-macro".to_owned(), text.to_owned()));
    }
    found
}

/// True for a package that takes values of a workspace and is none itself.
pub(super) fn is_only_a_member(tree: &Tree) -> bool {
    let Some(written) = &tree.written else { return false };
    let inherits = |value: &Value| value.get("workspace").and_then(Value::as_bool) == Some(true);
    let own = written.get("package").and_then(Value::as_table).into_iter().flatten();
    let needed = tables(written, ALL).flat_map(|table| table.iter());
    !written.contains_key("workspace") && own.chain(needed).any(|(_, value)| inherits(value))
}

/// A value of the manifest's `[package]`.
pub(super) fn package<'a>(manifest: &'a Table, key: &str) -> Option<&'a Value> {
    manifest.get("package").or_else(|| manifest.get("project"))?.get(key)
}

/// True if the library is a proc macro.
pub(super) fn is_macro(manifest: &Table) -> bool {
    let lib = manifest.get("lib");
    let says = |key: &str| lib.and_then(|lib| lib.get(key)).and_then(Value::as_bool) == Some(true);
    says("proc-macro") || says("proc_macro")
}

fn plain(path: &str) -> String {
    path.replace('\\', "/").trim_start_matches("./").to_owned()
}

/// These tables for all platforms.
fn tables<'a>(manifest: &'a Table, sections: &'static [&str]) -> impl Iterator<Item = &'a Table> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let all = std::iter::once(manifest).chain(targets.filter_map(|(_, target)| target.as_table()));
    all.flat_map(|table| sections.iter().filter_map(|section| table.get(*section)?.as_table()))
}

/// The names by which a manifest knows its dependencies.
fn names(manifest: &Table) -> BTreeSet<&String> {
    tables(manifest, ALL).flat_map(|table| table.keys()).collect()
}

/// The packages of normal and build dependencies.
pub(super) fn needed(manifest: &Table) -> BTreeSet<String> {
    let named =
        |(name, value): (&String, &Value)| value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned();
    tables(manifest, NEEDED).flatten().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(made: &str, written: &str) -> Tree {
        Tree { manifest: made.parse().unwrap(), written: Some(written.parse().unwrap()), ..Tree::default() }
    }

    fn found(made: &str, written: &str) -> Vec<String> {
        differences(&tree(made, written)).into_iter().map(|(which, _)| which).collect()
    }

    #[test]
    fn what_cargo_makes_of_a_manifest_is_no_difference() {
        let written = "[package]\nname = 'a'\nversion.workspace = true\n[dependencies]\nx.workspace = true\n\
                       y = { path = '../y' }\n[dev_dependencies]\nz = '1'\n[target.'cfg(unix)'.dependencies]\nu = '1'";
        let made = "[package]\nname = 'a'\nversion = '1.0.0'\nbuild = 'build.rs'\n[dependencies.x]\nversion = '1'\n\
                    package = 'other'\n[dev-dependencies.z]\nversion = '1'\n[target.'cfg(unix)'.dependencies.u]\nversion = '1'";
        assert_eq!(found(made, written), Vec::<String>::new());
        assert_eq!(found("[package]\nbuild = 'a/b.rs'", "[package]\nbuild = './a/b.rs'"), Vec::<String>::new());
        assert_eq!(found("[package]\nbuild = false", "[package]\nbuild = 'b.rs'"), Vec::<String>::new());
    }

    #[test]
    fn what_runs_at_build_time_and_what_the_author_did_not_write_is_a_difference() {
        let made = "[package]\nbuild = 'tests/data.rs'\n[lib]\nproc-macro = true\n[build-dependencies]\nevil = '1'";
        assert_eq!(found(made, "[package]\nname = 'a'"), ["dependency evil", "build-script", "proc-macro"]);
        assert_eq!(found("[package]\nbuild = 'build.rs'", "[package]\nbuild = false"), ["build-script"]);
        assert!(differences(&Tree { manifest: made.parse().unwrap(), ..Tree::default() }).is_empty());
    }

    #[test]
    fn a_member_takes_values_and_a_root_gives_them() {
        let is_member = |written: &str| is_only_a_member(&tree("", written));
        assert!(is_member("[package]\nversion.workspace = true"));
        assert!(is_member("[package]\n[dependencies]\nx = { workspace = true }"));
        assert!(!is_member("[package]\nversion.workspace = true\n[workspace]"));
        assert!(!is_member("[package]\nversion = '1.0.0'"));
    }
}
