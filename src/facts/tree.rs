//! Reads an unpacked archive of ours, as far as it is compared.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::Table;

/// So much of a file tells what it is.
const BEGINNING: u64 = 8 * 1024;
/// Manifests are read up to this size.
const MANIFEST: u64 = 8 * 1024 * 1024;

/// An unpacked archive.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) manifest: Table,
    /// `Cargo.toml.orig`: the manifest as its author wrote it, if there is one that can be read.
    pub(super) written: Option<Table>,
    pub(super) files: BTreeMap<String, Kind>,
    /// `.cargo_vcs_info.json`, if there is one that can be read.
    pub(super) vcs: Option<serde_json::Value>,
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, or a picture or font that build code has no use for.
    Plain,
    /// A program, a library or an object file.
    Program,
    /// Anything else with NUL bytes.
    Binary,
}

/// Reads a folder. Archives have no links, and `unpack` has bounded everything.
pub(super) fn read(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                tree.files.insert(path.to_string_lossy().into_owned(), kind_of(&beginning(&entry.path(), BEGINNING)?));
            }
        }
    }
    // Ours, not the archive's.
    tree.files.remove(".cargo-checksum.json");
    let text = beginning(&root.join("Cargo.toml"), MANIFEST)?;
    tree.manifest = String::from_utf8_lossy(&text).parse().map_err(|_| io::Error::other("its manifest is no TOML"))?;
    let written = beginning(&root.join("Cargo.toml.orig"), MANIFEST).ok();
    tree.written = written.and_then(|text| String::from_utf8_lossy(&text).parse().ok());
    let vcs = beginning(&root.join(".cargo_vcs_info.json"), BEGINNING).ok();
    tree.vcs = vcs.and_then(|text| serde_json::from_slice(&text).ok());
    Ok(tree)
}

fn beginning(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn kind_of(bytes: &[u8]) -> Kind {
    const PROGRAMS: [&[u8]; 8] = [
        b"\x7fELF",
        b"MZ",
        b"!<arch>\n",
        b"\0asm",
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
    ];
    const PICTURES: [&[u8]; 9] =
        [b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"\0\0\x01\0", b"\0\x01\0\0", b"wOF", b"OTTO", b"%PDF"];
    let begins = |all: &[&[u8]]| all.iter().any(|magic| bytes.starts_with(magic));
    let has_nul = bytes.contains(&0);
    if begins(&PROGRAMS) && has_nul {
        Kind::Program
    } else if has_nul && !begins(&PICTURES) {
        Kind::Binary
    } else {
        Kind::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_what_each_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("Cargo.toml", b"[package]\nname = \"a\"\n");
        write("src/lib.rs", b"MZ is how a text may begin");
        write("a/tool", b"\x7fELF\x02\0");
        write("a/logo.png", b"\x89PNG\0\0");
        write("a/blob", b"x\0y");
        write(".cargo_vcs_info.json", b"{\"git\":{\"sha1\":\"0\",\"dirty\":true}}");
        let tree = read(folder.path()).unwrap();
        assert_eq!(tree.files["a/tool"], Kind::Program);
        assert_eq!(tree.files["a/blob"], Kind::Binary);
        assert_eq!((tree.files["a/logo.png"], tree.files["src/lib.rs"]), (Kind::Plain, Kind::Plain));
        assert!(tree.manifest.contains_key("package") && tree.vcs.is_some());
        read(&folder.path().join("a")).unwrap_err();
    }
}
