//! Hostile `.crate` files, given as paths: refused as a whole, and nothing is written.

use std::path::{Path, PathBuf};

use super::*;

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trick {
    /// `..` in a name.
    Climbs,
    /// A name that begins at the root.
    Absolute,
    /// A symbolic link.
    Symlink,
    /// A hard link.
    Hardlink,
    /// A device node.
    Device,
    /// A FIFO.
    Fifo,
    /// Two entries of one name.
    Twice,
    /// A name outside the package's folder.
    Elsewhere,
    /// A setuid bit.
    Setuid,
    /// A name with escape sequences.
    Controls,
}

const TRICKS: [Trick; 10] = [
    Trick::Climbs,
    Trick::Absolute,
    Trick::Symlink,
    Trick::Hardlink,
    Trick::Device,
    Trick::Fifo,
    Trick::Twice,
    Trick::Elsewhere,
    Trick::Setuid,
    Trick::Controls,
];

/// Writes an archive with the trick to `dir`.
pub(crate) fn hostile(dir: &Path, trick: Trick) -> PathBuf {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, contents: &str| {
        let mut header = tar::Header::new_gnu();
        // The safe setter would refuse what we want.
        let field = &mut header.as_gnu_mut().unwrap().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_size(u64::try_from(contents.len()).unwrap());
        header.set_cksum();
        builder.append(&header, contents.as_bytes()).unwrap();
    };
    let file = tar::EntryType::Regular;
    add("hostile-1.0.0/Cargo.toml", file, 0o644, "[package]\nname = \"hostile\"\nversion = \"1.0.0\"\n");
    add("hostile-1.0.0/src/lib.rs", file, 0o644, "");
    match trick {
        Trick::Climbs => add("hostile-1.0.0/../../escaped", file, 0o644, "x"),
        Trick::Absolute => add("/tmp/escaped-from-hostile", file, 0o644, "x"),
        Trick::Symlink => add("hostile-1.0.0/link", tar::EntryType::Symlink, 0o777, ""),
        Trick::Hardlink => add("hostile-1.0.0/link", tar::EntryType::Link, 0o644, ""),
        Trick::Device => add("hostile-1.0.0/null", tar::EntryType::Char, 0o666, ""),
        Trick::Fifo => add("hostile-1.0.0/fifo", tar::EntryType::Fifo, 0o666, ""),
        Trick::Twice => add("hostile-1.0.0/src/lib.rs", file, 0o644, "fn other() {}"),
        Trick::Elsewhere => add("other-1.0.0/src/lib.rs", file, 0o644, "x"),
        Trick::Setuid => add("hostile-1.0.0/run", file, 0o4755, "x"),
        Trick::Controls => add("hostile-1.0.0/\u{1b}]0;pwned\u{7}\n\u{202e}sr", file, 0o644, "x"),
    }
    let path = dir.join(format!("{trick:?}.crate"));
    fs::write(&path, builder.into_inner().unwrap().finish().unwrap()).unwrap();
    path
}

#[test]
fn a_hostile_archive_ends_with_10_and_leaves_no_file() {
    for trick in TRICKS {
        let home = Home::new();
        let archive = hostile(home.path(), trick);
        let output = home.run([OsStr::new("--format=json"), archive.as_os_str()]);
        assert_eq!(code(&output), 10, "{trick:?}: {}{}", stdout(&output), stderr(&output));
        let value = json(&output);
        assert_eq!(
            (&value["verdict"], &value["error"]["code"]),
            (&"fail".into(), &"unsafe-archive".into()),
            "{trick:?}"
        );
        let findings = value["packages"][0]["findings"].as_array().unwrap();
        assert!(
            findings.iter().any(|finding| finding["code"] == "unsafe-archive" && finding["severity"] == "critical"),
            "{trick:?}: {findings:?}"
        );
        // Beside the archive itself: the lock by which runs take turns, and the evidence.
        let own = archive.file_name().unwrap().to_str().unwrap().to_owned();
        let evidence = Path::new(value["evidence"]["path"].as_str().unwrap()).strip_prefix(home.path()).unwrap();
        let evidence = evidence.to_str().unwrap().to_owned();
        assert!(evidence.starts_with(".local/state/sandbox-check/evidence/"), "{evidence}");
        assert_eq!(home.files(), [".cache/sandbox-check/runs/door".to_owned(), evidence, own], "{trick:?}");
        assert!(!Path::new("/tmp/escaped-from-hostile").exists());
    }
}

#[test]
fn the_evidence_of_a_refused_archive_gives_the_same_report_again() {
    for trick in [Trick::Climbs, Trick::Controls] {
        let home = Home::new();
        let archive = hostile(home.path(), trick);
        let told = format!("human={}", home.path().join("told.txt").display());
        let run = home.run([OsStr::new("--format=json"), OsStr::new("--output"), told.as_ref(), archive.as_os_str()]);
        fs::remove_file(archive).unwrap();
        let value = json(&run);
        let evidence = value["evidence"]["path"].as_str().unwrap();
        assert!(value["error"]["hint"].is_string() && value["evidence"]["sha256"].is_string(), "{value}");
        let again = home.run(["replay", "--format=json", evidence]);
        assert_eq!((code(&again), stdout(&again)), (10, stdout(&run)), "{}", stderr(&again));
        let again = home.run(["replay", evidence]);
        assert_eq!(stdout(&again), fs::read_to_string(home.path().join("told.txt")).unwrap());
    }
}

#[test]
fn a_hostile_archive_is_told_of_in_words_that_are_safe_to_print() {
    let home = Home::new();
    let output = home.run([hostile(home.path(), Trick::Controls)]);
    assert_eq!(code(&output), 10);
    let text = stdout(&output) + &stderr(&output);
    assert!(text.starts_with("FAIL"), "{text}");
    assert!(text.contains("unsafe-archive"), "{text}");
    for bad in ['\u{1b}', '\u{7}', '\u{202e}'] {
        assert!(!text.contains(bad), "{text:?}");
    }
}

#[test]
fn what_is_no_archive_at_all_is_refused_too() {
    let home = Home::new();
    let path = home.path().join("noise.crate");
    fs::write(&path, b"\x1f\x8b\x08\x00 this is not gzip").unwrap();
    let output = home.run([OsStr::new("--format=json"), path.as_os_str()]);
    assert_eq!(code(&output), 10, "{}{}", stdout(&output), stderr(&output));
    assert_eq!(json(&output)["error"]["code"], "unsafe-archive");
}
