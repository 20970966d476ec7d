//! Finds the macros that a proc-macro package exports, by reading its source.
//!
//! The source is the subject's, so nothing here trusts it: no links are
//! followed, sizes and counts are bounded, and each file is lexed in a thread
//! of its own, so that a fault of the lexer costs one file and not the run.
//! Of macros that `macro_rules!` generates there are candidates (`generated`).

mod generated;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::thread;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree, token_stream};

use crate::evidence::line::{MacroKind, MacroName};

const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;
const MAX_TOTAL_BYTES: u64 = 32 * 1024 * 1024;
const MAX_FILES: usize = 2_000;
const MAX_ENTRIES: usize = 20_000;
const MAX_FOLDER_DEPTH: usize = 24;
const MAX_NESTING: usize = 200;
const MAX_MACROS: usize = 1_000;
/// The lexer keeps its own stack on the heap; this is for a version that does not.
const LEXER_STACK_BYTES: usize = 64 * 1024 * 1024;

/// The macros that the proc-macro package in `dir` exports, sorted, each once.
///
/// Reads the `.rs` files below `src/`, or beside the manifest where there is no
/// `src/`. What cannot be read or lexed is left out.
pub fn scan(dir: &Path) -> Vec<MacroName> {
    let mut macros = BTreeSet::new();
    let mut budget = MAX_TOTAL_BYTES;
    for path in source_files(dir) {
        let Some(text) = read_bounded(&path, budget) else { continue };
        budget = budget.saturating_sub(u64::try_from(text.len()).unwrap_or(u64::MAX));
        macros.extend(scan_text_apart(text));
    }
    macros.into_iter().take(MAX_MACROS).collect()
}

/// Regular `.rs` files, in the order of their names; links are not followed.
fn source_files(dir: &Path) -> Vec<PathBuf> {
    let src = dir.join("src");
    let has_src = fs::symlink_metadata(&src).is_ok_and(|meta| meta.is_dir());
    let mut files = Vec::new();
    let mut seen = 0;
    let mut folders = vec![(if has_src { src } else { dir.to_path_buf() }, 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut entries: Vec<_> =
            entries.take(MAX_ENTRIES.saturating_sub(seen)).flatten().map(|entry| (entry.path(), entry)).collect();
        seen += entries.len();
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        for (path, entry) in entries {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && has_src && depth < MAX_FOLDER_DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
                if files.len() == MAX_FILES {
                    return files;
                }
                files.push(path);
            }
        }
    }
    files
}

fn read_bounded(path: &Path, budget: u64) -> Option<String> {
    // NONBLOCK: a FIFO that took the file's place must not hold us.
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > MAX_FILE_BYTES.min(budget) {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if u64::try_from(bytes.len()).ok()? > MAX_FILE_BYTES {
        return None;
    }
    String::from_utf8(bytes).ok()
}

/// Lexes in a thread of its own: a panic inside the lexer ends that thread only.
fn scan_text_apart(text: String) -> Vec<MacroName> {
    thread::Builder::new()
        .name("macro-scan".to_owned())
        .stack_size(LEXER_STACK_BYTES)
        .spawn(move || scan_text(&text))
        .ok()
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default()
}

/// The macros that one file exports; none if it does not lex or nests too deeply.
fn scan_text(text: &str) -> Vec<MacroName> {
    let Ok(stream) = TokenStream::from_str(text) else { return Vec::new() };
    let mut found = Vec::new();
    let whole = stream.clone();
    // An explicit stack: how deep the groups nest is the author's choice.
    let mut open = vec![Level::new(stream)];
    while let Some(level) = open.last_mut() {
        let Some(token) = level.tokens.next() else {
            open.pop();
            continue;
        };
        let inner = level.step(token, &mut found);
        if let Some(inner) = inner {
            if open.len() == MAX_NESTING {
                return Vec::new();
            }
            open.push(Level::new(inner));
        }
    }
    found.extend(generated::candidates(whole));
    found
}

/// What an attribute said that the next function is.
#[derive(Clone, Debug)]
enum Exports {
    Function,
    Attribute,
    Derive(String),
}

/// One token sequence and how much of `#[proc_macro] pub fn name` was just read.
struct Level {
    tokens: token_stream::IntoIter,
    after_hash: bool,
    after_fn: bool,
    pending: Option<Exports>,
}

impl Level {
    fn new(stream: TokenStream) -> Self {
        Self { tokens: stream.into_iter(), after_hash: false, after_fn: false, pending: None }
    }

    /// Takes in one token; returns the group to look into, if it is one.
    fn step(&mut self, token: TokenTree, found: &mut Vec<MacroName>) -> Option<TokenStream> {
        let after_hash = std::mem::take(&mut self.after_hash);
        let after_fn = std::mem::take(&mut self.after_fn);
        match token {
            TokenTree::Punct(punct) => match punct.as_char() {
                '#' => self.after_hash = true,
                // `#!` opens an inner attribute, which says nothing about a function.
                '!' => {}
                _ => self.pending = None,
            },
            TokenTree::Ident(ident) if after_fn => self.name(&ident, found),
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "fn" => self.after_fn = true,
                "pub" | "unsafe" | "extern" | "const" | "async" => {}
                _ => self.pending = None,
            },
            TokenTree::Group(group) if after_hash && group.delimiter() == Delimiter::Bracket => {
                if let Some(exports) = attribute(group.stream()) {
                    self.pending = Some(exports);
                }
            }
            TokenTree::Group(group) => {
                // `pub(crate)` stands between an attribute and its function.
                if group.delimiter() != Delimiter::Parenthesis {
                    self.pending = None;
                }
                return Some(group.stream());
            }
            // The `"C"` of `extern "C" fn`.
            TokenTree::Literal(_) => {}
        }
        None
    }

    fn name(&mut self, function: &Ident, found: &mut Vec<MacroName>) {
        let (name, kind) = match self.pending.take() {
            Some(Exports::Function) => (function.to_string(), MacroKind::Function),
            Some(Exports::Attribute) => (function.to_string(), MacroKind::Attribute),
            Some(Exports::Derive(name)) => (name, MacroKind::Derive),
            None => return,
        };
        if found.len() < MAX_MACROS {
            found.push(MacroName { name, kind });
        }
    }
}

/// Reads the inside of `#[…]`, looking through `cfg_attr`, which may nest.
fn attribute(stream: TokenStream) -> Option<Exports> {
    let mut stream = stream;
    for _ in 0..MAX_NESTING {
        let mut tokens = stream.into_iter();
        match path_end(&mut tokens)?.to_string().as_str() {
            "proc_macro" => return Some(Exports::Function),
            "proc_macro_attribute" => return Some(Exports::Attribute),
            "proc_macro_derive" => {
                let Some(TokenTree::Group(group)) = tokens.next() else { return None };
                let Some(TokenTree::Ident(name)) = group.stream().into_iter().next() else { return None };
                return Some(Exports::Derive(name.to_string()));
            }
            "cfg_attr" => {
                let Some(TokenTree::Group(group)) = tokens.next() else { return None };
                stream = after_first_comma(group.stream());
            }
            _ => return None,
        }
    }
    None
}

/// The last name of a path such as `::core::prelude::v1::proc_macro`.
fn path_end(tokens: &mut token_stream::IntoIter) -> Option<Ident> {
    loop {
        match tokens.next()? {
            TokenTree::Punct(punct) if punct.as_char() == ':' => {}
            TokenTree::Ident(ident) => {
                // A name with `::` after it is not the last one.
                if !matches!(tokens.clone().next(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':') {
                    return Some(ident);
                }
            }
            _ => return None,
        }
    }
}

fn after_first_comma(stream: TokenStream) -> TokenStream {
    stream
        .into_iter()
        .skip_while(|token| !matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','))
        .skip(1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        scan_text_apart(text.to_owned()).into_iter().map(|found| format!("{:?} {}", found.kind, found.name)).collect()
    }

    #[test]
    fn the_three_kinds_are_found_wherever_they_stand() {
        let text = r##"
            #![no_std]
            //! Words about #[proc_macro] in a comment count for nothing.
            /// Documented.
            #[proc_macro]
            #[doc(hidden)]
            pub fn make(input: TokenStream) -> TokenStream { input }
            mod inner {
                #[allow(dead_code)]
                #[proc_macro_attribute]
                pub extern "C" fn route(a: TokenStream, b: TokenStream) -> TokenStream { b }
            }
            #[proc_macro_derive(Order, attributes(order, line))]
            pub fn derive_order(input: TokenStream) -> TokenStream { input }
            #[cfg_attr(feature = "x", ::core::prelude::v1::proc_macro_derive(Late))]
            pub(crate) fn derive_late(input: TokenStream) -> TokenStream { input }
            const TEXT: &str = "#[proc_macro] pub fn not_this() {}";
        "##;
        assert_eq!(names(text), ["Function make", "Attribute route", "Derive Order", "Derive Late"]);
    }

    #[test]
    fn an_attribute_belongs_to_the_next_item_only() {
        assert_eq!(names("#[proc_macro] struct No; pub fn not_this() {}"), Vec::<String>::new());
        assert_eq!(names("macro_rules! m { ($n:ident) => { #[proc_macro] pub fn $n() {} } }"), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_does_not_lex_is_skipped() {
        assert_eq!(names("#[proc_macro] pub fn open( {"), Vec::<String>::new());
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_counts() {
        for (open, close) in [("(", ")"), ("{", "}"), ("#[a(", ")]")] {
            let half = 500_000 / open.len();
            let text = format!("#[proc_macro] pub fn f() {{}} {}{}", open.repeat(half), close.repeat(half));
            assert_eq!(names(&text), names(if open == "#[a(" { "#[proc_macro] pub fn f() {}" } else { "" }));
        }
        let comments = format!("{}{}", "/*".repeat(400_000), "*/".repeat(400_000));
        assert_eq!(names(&comments), Vec::<String>::new());
    }

    #[test]
    fn links_and_oversized_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("src/deep")).unwrap();
        fs::write(dir.path().join("src/deep/one.rs"), "#[proc_macro] pub fn one() {}").unwrap();
        fs::write(dir.path().join("outside.rs"), "#[proc_macro] pub fn outside() {}").unwrap();
        std::os::unix::fs::symlink(dir.path().join("outside.rs"), dir.path().join("src/link.rs")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("src/root")).unwrap();
        let big = format!("#[proc_macro] pub fn big() {{}}\n//{}", "x".repeat(2 * 1024 * 1024));
        fs::write(dir.path().join("src/big.rs"), big).unwrap();
        assert_eq!(scan(dir.path()), [MacroName { name: "one".to_owned(), kind: MacroKind::Function }]);
    }

    #[test]
    fn a_package_without_src_is_read_beside_its_manifest() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lib.rs"), "#[proc_macro_attribute] pub fn a() {}").unwrap();
        assert_eq!(scan(dir.path()), [MacroName { name: "a".to_owned(), kind: MacroKind::Attribute }]);
        assert_eq!(scan(&dir.path().join("absent")), []);
    }
}
