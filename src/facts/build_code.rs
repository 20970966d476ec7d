//! Which files of an archive take part in what runs at build time, by what they are called and what names them.
//!
//! Read as text and on the generous side: a file that a build script names may be read by it, compiled or run, and so may
//! all that lies in a folder which it names, where it lists folders.

use std::collections::BTreeSet;

use super::archive::build_script;
use super::manifest::{is_macro, root};
use super::tree::Tree;

/// Folders whose sources belong to no library.
const ASIDE: [&str; 3] = ["tests/", "examples/", "benches/"];

/// The files that run at build time or that what runs then names. `read` gives the text of a file.
pub(super) fn files(tree: &Tree, read: impl Fn(&str) -> Option<String>) -> BTreeSet<&str> {
    let is_source = |path: &&str| is_rust(path) && !ASIDE.iter().any(|folder| path.starts_with(folder));
    let all = || tree.files.keys().map(String::as_str);
    let mut found: BTreeSet<&str> = BTreeSet::new();
    if is_macro(&tree.manifest) {
        found.extend(all().filter(is_source).filter(|path| path.contains('/')));
    }
    let script = build_script(tree);
    // A macro library may begin anywhere.
    let library = is_macro(&tree.manifest).then(|| root(&tree.manifest));
    let begins = |path: &&str| [&script, &library].into_iter().any(|first| first.as_deref() == Some(*path));
    let mut open: Vec<&str> = all().filter(begins).collect();
    while let Some(path) = open.pop() {
        found.insert(path);
        let Some(text) = read(path).filter(|_| is_rust(path)) else { continue };
        let words = Words::of(&text);
        open.extend(all().filter(|other| !found.contains(other) && words.name(other)));
    }
    found
}

fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|ending| ending == "rs")
}

/// What lists folders, in the standard library and in the libraries that build scripts take for it.
const LISTS: [&str; 5] = ["read_dir", "WalkDir", "walkdir", "glob", "include_dir"];

/// What a source names.
struct Words<'a> {
    modules: BTreeSet<&'a str>,
    files: BTreeSet<&'a str>,
    /// True if it lists folders.
    lists: bool,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let words: Vec<&str> = text.split(|c| !is_of_word(c)).filter(|word| !word.is_empty()).collect();
        let modules =
            words.windows(2).filter(|pair| pair.first() == Some(&"mod")).filter_map(|pair| pair.last().copied());
        let files = text.split(|c: char| !is_of_word(c) && !"-.+".contains(c)).filter(|word| !word.is_empty());
        let lists = words.iter().any(|word| LISTS.contains(word));
        Self { modules: modules.collect(), files: files.collect(), lists }
    }

    /// True if the path is a module's that is named, or its last part stands in the text.
    fn name(&self, path: &str) -> bool {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let module = match file {
            "mod.rs" => folder.rsplit('/').next(),
            file => file.strip_suffix(".rs"),
        };
        let is_listed = || self.lists && folder.split('/').any(|part| self.files.contains(part));
        self.files.contains(file) || is_listed() || module.is_some_and(|module| self.modules.contains(module))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Kind;
    use super::*;

    fn tree(manifest: &str, files: &[&str]) -> Tree {
        let files = files.iter().map(|path| ((*path).to_owned(), Kind::Plain)).collect();
        Tree { manifest: manifest.parse().unwrap(), files, ..Tree::default() }
    }

    #[test]
    fn a_build_script_its_modules_and_what_these_name_take_part() {
        let tree = tree(
            "[package]",
            &["build.rs", "build/mod.rs", "build/extra.rs", "c/x.c", "configure", "src/lib.rs", "src/extra/data.rs"],
        );
        let read = |path: &str| match path {
            "build.rs" => Some("mod build; fn main() { println!(\"cargo:rustc-link-lib=z\"); }".to_owned()),
            "build/mod.rs" => Some("mod extra; cc().file(root.join(\"c/x.c\"))".to_owned()),
            "build/extra.rs" => Some("Command::new(\"./configure\")".to_owned()),
            _ => None,
        };
        let found: Vec<_> = files(&tree, read).into_iter().collect();
        assert_eq!(found, ["build.rs", "build/extra.rs", "build/mod.rs", "c/x.c", "configure"]);
    }

    #[test]
    fn what_lies_in_a_folder_that_is_named_takes_part_where_folders_are_listed() {
        let all = ["build.rs", "native/a.S", "native/deep/b.proto", "other/c.c", "src/lib.rs"];
        let tree = tree("[package]", &all);
        let found = |script: &str| files(&tree, |path| (path == "build.rs").then(|| script.to_owned()));
        let listed = found("fn main() { for file in std::fs::read_dir(\"native\") { compile(file) } }");
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), ["build.rs", "native/a.S", "native/deep/b.proto"]);
        let named = found("fn main() { println!(\"cargo:rustc-link-search=native\") }");
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["build.rs"]);
    }

    #[test]
    fn a_macro_library_takes_part_wherever_it_begins_and_with_what_it_includes() {
        let all = ["macros.rs", "data/table.in", "data/other.in", "tests/t.rs"];
        let found = |manifest: &str| {
            let tree = tree(manifest, &all);
            let read = |path: &str| (path == "macros.rs").then(|| "include!(\"data/table.in\");".to_owned());
            files(&tree, read).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(found("[lib]\nproc-macro = true\npath = 'macros.rs'"), ["data/table.in", "macros.rs"]);
        assert!(found("[lib]\npath = 'macros.rs'").is_empty());
    }

    #[test]
    fn without_a_build_script_nothing_takes_part_but_the_sources_of_a_macro_library() {
        let all = ["src/lib.rs", "src/a/b.rs", "tests/t.rs", "README.md"];
        assert!(files(&tree("[package]", &all), |_| None).is_empty());
        let found: Vec<_> =
            files(&tree("[lib]\nproc-macro = true", &all), |_| None).into_iter().map(str::to_owned).collect();
        assert_eq!(found, ["src/a/b.rs", "src/lib.rs"]);
        let off = tree("[package]\nbuild = false", &["build.rs"]);
        assert!(files(&off, |_| Some(String::new())).is_empty());
    }
}
