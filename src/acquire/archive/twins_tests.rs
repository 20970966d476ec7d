//! Archives that nobody thought of: whatever the bytes are, all or nothing, and nothing elsewhere.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::ids::PackageId;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Names that are nearly those of an honest archive.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"x-1.0.0".to_vec()),
        Just(b"..".to_vec()),
        Just(b".".to_vec()),
        Just(b"src".to_vec()),
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 1..6),
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| {
        let mut name = parts.join(&b'/');
        name.truncate(100);
        name
    })
}

/// Name, type, mode, what a link leads to, contents.
type Entry = (Vec<u8>, u8, u32, Vec<u8>, Vec<u8>);

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![4 => Just(b'0'), 2 => Just(b'5'), 1 => Just(b'x'), 1 => Just(b'L'), 3 => any::<u8>()];
    (name(), kind, any::<u32>(), name(), prop::collection::vec(any::<u8>(), 0..40))
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, mode, link, contents) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(*kind));
        header.set_size(u64::try_from(contents.len()).unwrap());
        header.set_mode(*mode);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        builder.append(&header, contents.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Everything below a folder, relative to it, with its permission bits.
fn below(root: &Path) -> Vec<(std::path::PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            assert!(meta.is_dir() || meta.is_file(), "{} is neither", entry.path().display());
            if meta.is_dir() {
                folders.push(entry.path());
            }
            found.push((entry.path().strip_prefix(root).unwrap().to_owned(), meta.permissions().mode()));
        }
    }
    found
}

/// Unpacks to a folder beside a file that must stay, and looks at what is there.
fn check(packed: &[u8]) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("stays"), "as it is").unwrap();
    let to = root.path().join("to");
    let limits = Limits::default();
    let outcome = unpack(packed, &PackageId::new("x", "1.0.0"), Sha256Digest([7; 32]), &to, &limits);
    assert_eq!(fs::read(root.path().join("stays")).unwrap(), b"as it is");
    for (path, mode) in below(root.path()) {
        assert!(path == Path::new("stays") || path.starts_with("to"), "{} lies elsewhere", path.display());
        assert_eq!(mode & 0o7022, 0, "{} {mode:o}", path.display());
    }
    assert!(outcome.is_ok() == to.exists(), "half an archive: {outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_archive_makes_a_file_elsewhere_and_no_archive_is_half_unpacked(
        entries in prop::collection::vec(entry(), 0..6),
        honest in any::<bool>(),
    ) {
        let mut all = Vec::new();
        if honest {
            all.push((b"x-1.0.0/Cargo.toml".to_vec(), b'0', 0o644, Vec::new(), b"[package]".to_vec()));
        }
        all.extend(entries);
        check(&gzip(&tar(&all)));
    }

    #[test]
    fn no_damage_to_an_archive_does(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let honest = [(b"x-1.0.0/Cargo.toml".to_vec(), b'0', 0o644, Vec::new(), b"[package]".to_vec())];
        let mut plain = tar(&honest);
        let place = at.index(plain.len());
        plain[place] = byte;
        check(&gzip(&plain));
        plain.truncate(cut.index(plain.len()));
        check(&gzip(&plain));
        check(&plain);
    }
}
