//! What is read of manifests; and whether the one that cargo reads is what cargo makes of the one that the author wrote.
//!
//! `Cargo.toml` of an archive is written by cargo, `Cargo.toml.orig` is the author's. Who compares an archive with a
//! repository can only compare the second. So what makes code run at build time must be the same in both.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::archive::build_script;
use super::packed;
use super::tree::Tree;

/// The author's manifest in an archive.
const WRITTEN: &str = "Cargo.toml.orig";
/// The tables of dependencies that a build needs, in every spelling that cargo reads.
const NEEDED: &[&str] = &["dependencies", "build-dependencies", "build_dependencies"];
/// All of them.
const ALL: &[&str] =
    &["dependencies", "build-dependencies", "build_dependencies", "dev-dependencies", "dev_dependencies"];

/// What the manifest has that the author's does not explain: which key, and a text.
pub(super) fn differences(tree: &Tree) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut tell = |which: &str, text: &str| found.push((which.to_owned(), text.to_owned()));
    let Some(written) = &tree.written else {
        // Cargo packed the author's manifest before it began to name commits.
        if tree.files.contains_key(WRITTEN) {
            tell(WRITTEN, "its Cargo.toml.orig cannot be read, so that cargo made no Cargo.toml of it");
        } else if tree.vcs.is_some() {
            tell(WRITTEN, "it names its commit and has no Cargo.toml.orig, as no cargo packs");
        }
        return found;
    };
    if !is_script_of(tree, written) {
        let text = "its Cargo.toml has another build script than the author's Cargo.toml.orig, which may have none";
        tell("build-script", text);
    }
    if is_macro(&tree.manifest) && !is_macro(written) {
        tell("proc-macro", "its Cargo.toml makes the library a proc macro, and the author's Cargo.toml.orig does not");
    }
    if root(&tree.manifest) != root(written) {
        tell(
            "library",
            "the library of its Cargo.toml begins in another file than that of the author's Cargo.toml.orig",
        );
    }
    for key in ["name", "links"] {
        if package(&tree.manifest, key) != package(written, key) {
            tell(key, &format!("its Cargo.toml has another `{key}` than the author's Cargo.toml.orig"));
        }
    }
    found.extend(packed::differences(&tree.manifest, written));
    found
}

/// True if the build script that runs is the author's. What is not said is found by its usual name.
fn is_script_of(tree: &Tree, written: &Table) -> bool {
    const USUAL: &str = "build.rs";
    let authors = package(written, "build");
    if let Some(several @ Value::Array(_)) = package(&tree.manifest, "build") {
        return authors == Some(several);
    }
    let Some(script) = build_script(tree) else { return true };
    match authors {
        None | Some(Value::Boolean(true)) => plain(&script) == USUAL,
        Some(Value::String(path)) => plain(path) == plain(&script),
        Some(_) => false,
    }
}

/// The file that the library begins in.
pub(super) fn root(manifest: &Table) -> String {
    let path = manifest.get("lib").and_then(|lib| lib.get("path")).and_then(Value::as_str);
    plain(path.unwrap_or("src/lib.rs"))
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

/// The packages of normal and build dependencies.
pub(super) fn needed(manifest: &Table) -> BTreeSet<String> {
    let named =
        |(name, value): (&String, &Value)| value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned();
    tables(manifest, NEEDED).flatten().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::Kind;
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
        assert_eq!(found(made, "[package]"), ["build-script", "proc-macro", "build-dependency evil"]);
        assert_eq!(found("[package]\nbuild = 'build.rs'", "[package]\nbuild = false"), ["build-script"]);
        assert!(differences(&Tree { manifest: made.parse().unwrap(), ..Tree::default() }).is_empty());
    }

    #[test]
    fn another_file_under_the_usual_name_is_a_difference() {
        assert_eq!(found("[lib]\npath = 'tests/a.rs'", "[lib]"), ["library"]);
        assert_eq!(found("", "[lib]\npath = 'a.rs'"), ["library"]);
        assert_eq!(found("[lib]\npath = 'src/lib.rs'", ""), Vec::<String>::new());
        assert_eq!(found("[package]\nlinks = 'z'", "[package]"), ["links"]);
        assert_eq!(found("[package]\nbuild = ['a.rs', 'b.rs']", "[package]\nbuild = ['a.rs']"), ["build-script"]);
        assert_eq!(found("[package]\nbuild = ['a.rs']", "[package]\nbuild = ['a.rs']"), Vec::<String>::new());
        // A script that was switched off runs where the archive's manifest says nothing of it.
        let of = |files: &[&str]| Tree {
            files: files.iter().map(|path| ((*path).to_owned(), Kind::Plain)).collect(),
            ..tree("[package]", "[package]\nbuild = false")
        };
        assert_eq!(differences(&of(&["build.rs"])).len(), 1);
        assert_eq!(differences(&of(&[])), []);
    }

    #[test]
    fn an_authors_manifest_that_is_missing_or_no_toml_is_told_where_cargo_would_have_packed_it() {
        let of = |file: Option<&str>, vcs: Option<serde_json::Value>| {
            let files = file.into_iter().map(|path| (path.to_owned(), Kind::Plain)).collect();
            differences(&Tree { files, vcs, ..Tree::default() }).len()
        };
        assert_eq!(of(Some(WRITTEN), None), 1, "no TOML");
        assert_eq!(of(None, Some(serde_json::json!({}))), 1, "left out");
        assert_eq!(of(None, None), 0, "as cargo packed before 2016");
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
