//! What must hold of an archive, whatever its bytes are: all or nothing, and nothing elsewhere.

#![expect(clippy::expect_used, reason = "what does not hold ends the test or the fuzzer")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::archive::{top_folder, unpack};
use super::settings::Limits;
use crate::ids::{PackageId, Sha256Digest};

/// Bytes as they came, and as what an archive's compression holds: no fuzzer finds its way through a compression.
pub fn archive(bytes: &[u8]) {
    packed_archive(bytes);
    packed_archive(&gzip(bytes));
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Unpacks to a folder beside a file that must stay, and looks at what is there.
pub(super) fn packed_archive(packed: &[u8]) {
    let root = tempfile::tempdir().expect("a folder to unpack in");
    fs::write(root.path().join("stays"), "as it is").expect("a file beside it");
    let to = root.path().join("to");
    let limits = Limits { entries: 1000, unpacked_bytes: 1 << 20, ..Limits::default() };
    let outcome = unpack(packed, &PackageId::new("x", "1.0.0"), Sha256Digest([7; 32]), &to, &limits);
    assert_eq!(fs::read(root.path().join("stays")).ok().as_deref(), Some(&b"as it is"[..]), "a file beside it changed");
    for (path, mode) in below(root.path()) {
        assert!(path == Path::new("stays") || path.starts_with("to"), "{} lies elsewhere", path.display());
        assert_eq!(mode & 0o7022, 0, "{} {mode:o}", path.display());
    }
    assert!(outcome.is_ok() == to.exists(), "half an archive: {outcome:?}");
    // A name that becomes a path.
    if let Ok(top) = top_folder(packed, &limits) {
        assert!(!top.is_empty() && top != ".." && top != "." && !top.contains(['/', '\0']), "{top:?}");
    }
}

/// Everything below a folder, relative to it, with its permission bits.
fn below(root: &Path) -> Vec<(PathBuf, u32)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder is listed").flatten() {
            let meta = fs::symlink_metadata(entry.path()).expect("what is listed is there");
            assert!(meta.is_dir() || meta.is_file(), "{} is neither", entry.path().display());
            if meta.is_dir() {
                folders.push(entry.path());
            }
            let path = entry.path().strip_prefix(root).expect("it lies below").to_owned();
            found.push((path, meta.permissions().mode()));
        }
    }
    found
}
