//! Archives that nobody thought of: whatever the bytes are, all or nothing, and nothing elsewhere.

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use crate::acquire::fuzzing::{gzip, packed_archive as check};

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
