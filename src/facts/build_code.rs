//! Which files of an archive take part in what runs at build time, by what they are called and what names them.
//!
//! Read as text and on the generous side: a file that a build script names may be read by it, compiled or run. What it
//! finds by listing folders is not seen.

use std::collections::BTreeSet;

use super::archive::build_script;
use super::manifest::is_macro;
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
    let mut open: Vec<&str> = all().filter(|path| Some(*path) == script.as_deref()).collect();
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

/// What a source names.
struct Words<'a> {
    modules: BTreeSet<&'a str>,
    files: BTreeSet<&'a str>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let words: Vec<&str> = text.split(|c| !is_of_word(c)).filter(|word| !word.is_empty()).collect();
        let modules =
            words.windows(2).filter(|pair| pair.first() == Some(&"mod")).filter_map(|pair| pair.last().copied());
        let files = text.split(|c: char| !is_of_word(c) && !"-.+".contains(c)).filter(|word| !word.is_empty());
        Self { modules: modules.collect(), files: files.collect() }
    }

    /// True if the path is a module's that is named, or its last part stands in the text.
    fn name(&self, path: &str) -> bool {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let module = match file {
            "mod.rs" => folder.rsplit('/').next(),
            file => file.strip_suffix(".rs"),
        };
        self.files.contains(file) || module.is_some_and(|module| self.modules.contains(module))
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
