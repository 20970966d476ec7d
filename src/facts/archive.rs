//! What an archive has that the one before it had not, and what packing does not explain.

use std::collections::BTreeSet;

use toml::Value;

use super::manifest;
use super::tree::{Kind, Tree};
use crate::evidence::fact::{Change, Fact, ODD_ARCHIVE, RELEASE_CHANGE};
use crate::ids::PackageId;

/// The most files of one sort that are named; one more says how many there are.
pub(super) const MOST: usize = 20;

/// What is new since the release before.
pub(super) fn changes(package: &PackageId, new: &Tree, old: &Tree, since: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut tell = |what: &str, which: &str, text: String| {
        let change = Change { what: what.to_owned(), which: which.to_owned(), since: Some(since.to_owned()) };
        facts.push(Fact::new(RELEASE_CHANGE, package, format!("{text}; {since} had none")).with(&change));
    };
    if let (Some(script), None) = (build_script(new), build_script(old)) {
        tell("build-script", &script, format!("it has a build script, {script}"));
    }
    if manifest::is_macro(&new.manifest) && !manifest::is_macro(&old.manifest) {
        tell("proc-macro", "lib", "its library is a proc macro".to_owned());
    }
    let known = manifest::needed(&old.manifest);
    for name in manifest::needed(&new.manifest).difference(&known) {
        tell("dependency", name, format!("it depends on {name}"));
    }
    for (kind, what, word) in [(Kind::Program, "program-file", "program"), (Kind::Binary, "binary-file", "binary file")]
    {
        let added: Vec<&String> = files(new, kind).filter(|path| old.files.get(*path) != Some(&kind)).collect();
        for path in added.iter().take(MOST) {
            tell(what, path, format!("it ships the {word} {path}"));
        }
        if added.len() > MOST {
            let more = format!("{} more", added.len() - MOST);
            tell(what, &more, format!("it ships {more} {word}s"));
        }
    }
    if let (Some(links), None) = (text(new, "links"), text(old, "links")) {
        tell("links", links, format!("it links the native library {links}"));
    }
    facts.extend(differences(package, new, old, since));
    facts
}

/// What is no longer as it was.
fn differences(package: &PackageId, new: &Tree, old: &Tree, since: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut tell = |what: &str, which: &str, text: String| {
        let change = Change { what: what.to_owned(), which: which.to_owned(), since: Some(since.to_owned()) };
        facts.push(Fact::new(RELEASE_CHANGE, package, text).with(&change));
    };
    for (key, what) in [("license", "licence"), ("repository", "repository"), ("links", "links")] {
        match (text(old, key), text(new, key)) {
            (Some(before), Some(now))
                if key == "links" && unversioned(before, since) == unversioned(now, &package.version) => {}
            (Some(before), None) => tell(what, before, format!("its {what} is gone; in {since} it was {before}")),
            (Some(before), Some(now)) if before != now => {
                tell(what, now, format!("its {what} is {now}; in {since} it was {before}"));
            }
            _ => {}
        }
    }
    if old.vcs.is_some() && new.vcs.is_none() {
        tell("vcs-info", ".cargo_vcs_info.json", format!("it does not say which commit it is of; {since} did"));
    }
    if old.files.contains_key("Cargo.toml.orig") && !new.files.contains_key("Cargo.toml.orig") {
        tell("packing", "Cargo.toml.orig", format!("it was not packed as cargo packs; {since} was"));
    }
    facts
}

/// The name of a library without the version of its package: some have it, so that two versions cannot be in one program.
fn unversioned(links: &str, version: &str) -> String {
    links.replace(&version.replace(['.', '-', '+'], "_"), "")
}

/// What cargo would not have packed, or packed with a word of warning.
pub(super) fn oddities(package: &PackageId, tree: &Tree) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut tell = |what: &str, which: &str, text: String| {
        let change = Change { what: what.to_owned(), which: which.to_owned(), since: None };
        facts.push(Fact::new(ODD_ARCHIVE, package, text).with(&change));
    };
    let git = git_of(tree);
    if git.and_then(|git| git.get("dirty")).and_then(serde_json::Value::as_bool) == Some(true) {
        tell("vcs-dirty", ".cargo_vcs_info.json", "it was packed with changes that no commit has".to_owned());
    }
    let says_file = tree.files.contains_key(".cargo_vcs_info.json");
    if says_file && (commit(tree).is_none() || path_in_vcs(tree).is_none()) {
        tell("vcs-odd", ".cargo_vcs_info.json", "what it says about its commit is not what cargo writes".to_owned());
    }
    if commit(tree).is_some() && path_in_vcs(tree) == Some("") && manifest::is_only_a_member(tree) {
        let text = "it says that it lies at the root of its repository, and its manifest takes values of a workspace \
                    further up";
        tell("vcs-path", ".cargo_vcs_info.json", text.to_owned());
    }
    if commit(tree).is_some() && self::text(tree, "repository").is_none() {
        let text = "it names its commit, and no repository where that could be looked up";
        tell("no-repository", ".cargo_vcs_info.json", text.to_owned());
    }
    for (which, text) in manifest::differences(tree).into_iter().take(MOST) {
        tell("manifest-differs", &which, text);
    }
    // Cargo leaves out packages in packages, and what git keeps for itself.
    let nested: BTreeSet<&str> = tree.files.keys().filter_map(|path| path.strip_suffix("/Cargo.toml")).collect();
    for folder in nested.iter().take(MOST) {
        tell("nested-package", folder, format!("it ships the package {folder}/, which cargo leaves out"));
    }
    if let Some(path) = tree.files.keys().find(|path| path.split('/').any(|part| part == ".git")) {
        tell("git-folder", path, format!("it ships {path}, which cargo leaves out"));
    }
    facts
}

fn git_of(tree: &Tree) -> Option<&serde_json::Value> {
    tree.vcs.as_ref()?.get("git")
}

/// The commit that an archive is of, as it says itself.
pub(super) fn commit(tree: &Tree) -> Option<String> {
    let name = git_of(tree)?.get("sha1")?.as_str()?;
    let is_commit = [40, 64].contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| name.to_ascii_lowercase())
}

/// The folder of the package in the commit, empty for its root; none for what is no such folder.
pub(super) fn path_in_vcs(tree: &Tree) -> Option<&str> {
    let Some(path) = tree.vcs.as_ref()?.get("path_in_vcs") else { return Some("") };
    let is_plain = |part: &str| !["", ".", ".."].contains(&part);
    path.as_str().filter(|path| path.is_empty() || path.split('/').all(is_plain))
}

fn files(tree: &Tree, kind: Kind) -> impl Iterator<Item = &String> {
    tree.files.iter().filter(move |(_, is)| **is == kind).map(|(path, _)| path)
}

pub(super) fn text<'a>(tree: &'a Tree, key: &str) -> Option<&'a str> {
    manifest::package(&tree.manifest, key)?.as_str()
}

pub(super) fn build_script(tree: &Tree) -> Option<String> {
    match manifest::package(&tree.manifest, "build") {
        Some(Value::Boolean(false)) => None,
        Some(Value::String(path)) => Some(path.clone()),
        _ => tree.files.contains_key("build.rs").then(|| "build.rs".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(manifest: &str, files: &[(&str, Kind)]) -> Tree {
        let files = files.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect();
        Tree { manifest: format!("[package]\nname = \"a\"\n{manifest}").parse().unwrap(), files, ..Tree::default() }
    }

    fn words(facts: &[Fact]) -> Vec<String> {
        facts.iter().map(|fact| fact.read::<Change>().map(|c| format!("{} {}", c.what, c.which)).unwrap()).collect()
    }

    fn between(new: &Tree, old: &Tree) -> Vec<String> {
        words(&changes(&PackageId::new("a", "1.0.1"), new, old, "1.0.0"))
    }

    #[test]
    fn each_new_way_to_run_code_at_build_time_is_told() {
        let old = tree("", &[("src/lib.rs", Kind::Plain)]);
        let new = tree(
            "links = \"z\"\n[lib]\nproc-macro = true\n[dependencies]\nx = '1'\n[target.'cfg(unix)'.build-dependencies]\ny = { package = 'z', version = '1' }",
            &[("build.rs", Kind::Plain), ("bin/tool", Kind::Program), ("blob", Kind::Binary)],
        );
        let expected = [
            "build-script build.rs",
            "proc-macro lib",
            "dependency x",
            "dependency z",
            "program-file bin/tool",
            "binary-file blob",
            "links z",
        ];
        assert_eq!(between(&new, &old), expected);
        assert_eq!(between(&new, &new), Vec::<String>::new());
        assert_eq!(between(&old, &new), ["links z"]);
    }

    #[test]
    fn a_library_that_is_called_by_the_version_is_no_other_one() {
        let of = |links: &str| tree(&format!("links = '{links}'"), &[]);
        assert_eq!(between(&of("core_1_0_1_"), &of("core_1_0_0_")), Vec::<String>::new());
        assert_eq!(between(&of("core_1_0_2"), &of("core_1_0_0")), ["links core_1_0_2"]);
    }

    #[test]
    fn a_switched_off_build_script_is_none() {
        let old = tree("build = false", &[("build.rs", Kind::Plain)]);
        assert_eq!(between(&old, &tree("", &[])), Vec::<String>::new());
        assert_eq!(between(&tree("build = 'b.rs'", &[]), &old), ["build-script b.rs"]);
    }

    #[test]
    fn a_licence_that_changes_and_a_repository_that_vanishes_are_told() {
        let old = tree("license = 'MIT'\nrepository = 'https://x.invalid'", &[]);
        assert_eq!(
            between(&tree("license = 'GPL-3.0'", &[]), &old),
            ["licence GPL-3.0", "repository https://x.invalid"]
        );
    }

    #[test]
    fn an_archive_that_lost_its_commit_or_its_packing_is_told() {
        let old = Tree {
            vcs: Some(serde_json::json!({"git": {"sha1": "0".repeat(40)}})),
            ..tree("", &[("Cargo.toml.orig", Kind::Plain)])
        };
        assert_eq!(between(&tree("", &[]), &old), ["vcs-info .cargo_vcs_info.json", "packing Cargo.toml.orig"]);
    }

    #[test]
    fn what_cargo_leaves_out_and_what_no_commit_has_is_odd() {
        let odd = |tree: &Tree| words(&oddities(&PackageId::new("a", "1.0.1"), tree));
        let of = |manifest: &str, vcs: serde_json::Value| Tree {
            vcs: Some(vcs),
            written: Some(tree(manifest, &[]).manifest),
            ..tree(manifest, &[(".cargo_vcs_info.json", Kind::Plain)])
        };
        let commit = serde_json::json!({"sha1": "a".repeat(40)});
        let url = "repository = 'https://x.invalid'";
        let fine = of(url, serde_json::json!({"git": commit, "path_in_vcs": "crates/a"}));
        assert_eq!((odd(&fine), path_in_vcs(&fine)), (Vec::new(), Some("crates/a")));
        let dirty = of(url, serde_json::json!({"git": {"sha1": "x", "dirty": true}}));
        assert_eq!(odd(&dirty), ["vcs-dirty .cargo_vcs_info.json", "vcs-odd .cargo_vcs_info.json"]);
        for path in ["../a", "/a", "a//b", "."] {
            let outside = of(url, serde_json::json!({"git": commit, "path_in_vcs": path}));
            assert_eq!(odd(&outside), ["vcs-odd .cargo_vcs_info.json"], "{path}");
        }
        assert_eq!(odd(&of("", serde_json::json!({"git": commit}))), ["no-repository .cargo_vcs_info.json"]);
        let nested =
            tree("", &[("Cargo.toml", Kind::Plain), ("x/Cargo.toml", Kind::Plain), (".git/config", Kind::Plain)]);
        assert_eq!(odd(&nested), ["nested-package x", "git-folder .git/config"]);
    }

    #[test]
    fn a_member_of_a_workspace_does_not_lie_at_the_root_of_its_repository() {
        let of = |path: &str, written: &str| {
            let tree = Tree {
                vcs: Some(serde_json::json!({"git": {"sha1": "a".repeat(40)}, "path_in_vcs": path})),
                written: Some(written.parse().unwrap()),
                ..tree("repository = 'https://x.invalid'", &[(".cargo_vcs_info.json", Kind::Plain)])
            };
            words(&oddities(&PackageId::new("a", "1.0.1"), &tree))
        };
        let member = "[package]\nname = 'a'\nversion.workspace = true";
        assert_eq!(of("", member), ["vcs-path .cargo_vcs_info.json"]);
        assert_eq!(of("a", member), Vec::<String>::new());
        assert_eq!(of("", &format!("{member}\n[workspace]")), Vec::<String>::new());
    }

    #[test]
    fn many_new_files_are_named_up_to_a_bound() {
        let names: Vec<String> = (0..30).map(|number| format!("{number:02}")).collect();
        let files: Vec<(&str, Kind)> = names.iter().map(|name| (name.as_str(), Kind::Program)).collect();
        let told = between(&tree("", &files), &tree("", &[]));
        assert_eq!((told.len(), told.last().map(String::as_str)), (21, Some("program-file 10 more")));
    }
}
