//! Hostile archives: each refusal by its exact reason, and nothing left behind.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::*;

const SUM: Sha256Digest = Sha256Digest([7; 32]);

fn id() -> PackageId {
    PackageId::new("x", "1.0.0")
}

/// A header with a raw name, as no honest builder would let us write it.
fn header(name: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    header
}

fn file(name: &[u8], contents: &[u8]) -> (Header, Vec<u8>) {
    (header(name, EntryType::Regular, u64::try_from(contents.len()).unwrap()), contents.to_vec())
}

fn special(name: &[u8], kind: EntryType) -> (Header, Vec<u8>) {
    (header(name, kind, 0), Vec::new())
}

fn tar(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, contents) in entries {
        builder.append(header, contents.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn good() -> Vec<(Header, Vec<u8>)> {
    vec![file(b"x-1.0.0/Cargo.toml", b"[package]"), file(b"x-1.0.0/src/lib.rs", b"// code")]
}

/// Unpacks below a new folder; gives the outcome and every path that is there afterwards.
fn run(packed: &[u8], limits: &Limits) -> (Result<Vec<Found>, AcquireError>, Vec<PathBuf>) {
    let root = tempfile::tempdir().unwrap();
    let outcome = unpack(packed, &id(), SUM, &root.path().join("registry-x"), limits);
    let mut left = Vec::new();
    let mut folders = vec![root.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            left.push(path.strip_prefix(root.path()).unwrap().to_owned());
        }
    }
    left.sort();
    (outcome, left)
}

fn refusal_within(packed: &[u8], limits: &Limits) -> Refusal {
    let (outcome, left) = run(packed, limits);
    assert_eq!(left, Vec::<PathBuf>::new(), "files were left behind");
    match outcome {
        Err(AcquireError::UnsafeArchive { package, refusal }) => {
            assert_eq!(*package, id());
            refusal
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn refusal(packed: &[u8]) -> Refusal {
    refusal_within(packed, &Limits::default())
}

/// The refusal of an archive whose first entries are good and whose last ones are these.
fn reason(bad: impl IntoIterator<Item = (Header, Vec<u8>)>) -> Reason {
    refusal(&gzip(&tar(&good().into_iter().chain(bad).collect::<Vec<_>>()))).reason
}

fn outside() -> Reason {
    Reason::Outside { expected: "x-1.0.0".to_owned() }
}

#[test]
fn an_honest_archive_is_unpacked_whole() {
    let mut tool = file(b"x-1.0.0/tool.sh", b"#!/bin/sh");
    tool.0.set_mode(0o775);
    tool.0.set_cksum();
    let entries: Vec<_> = good().into_iter().chain([tool, special(b"x-1.0.0/empty/", EntryType::Directory)]).collect();
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("x-1.0.0");
    assert_eq!(unpack(&gzip(&tar(&entries)), &id(), SUM, &to, &Limits::default()).unwrap(), []);
    let mode = |path: &str| fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(fs::read(to.join("src/lib.rs")).unwrap(), b"// code");
    assert_eq!(
        (mode(""), mode("src"), mode("empty"), mode("src/lib.rs"), mode("tool.sh")),
        (0o755, 0o755, 0o755, 0o644, 0o755)
    );
    let sums = fs::read_to_string(to.join(".cargo-checksum.json")).unwrap();
    assert_eq!(sums, format!("{{\"files\":{{}},\"package\":\"{}\"}}", "07".repeat(32)));
}

#[test]
fn a_checksum_file_of_the_archive_s_own_is_not_taken() {
    let own = file(b"x-1.0.0/.cargo-checksum.json", b"{\"files\":{},\"package\":\"evil\"}");
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("x-1.0.0");
    unpack(&gzip(&tar(&[own])), &id(), SUM, &to, &Limits::default()).unwrap();
    assert!(!fs::read_to_string(to.join(".cargo-checksum.json")).unwrap().contains("evil"));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    assert_eq!(reason([file(b"../x", b"")]), Reason::ParentDir);
    assert_eq!(reason([file(b"x-1.0.0/../../x", b"")]), Reason::ParentDir);
    assert_eq!(reason([file(b"/etc/x", b"")]), Reason::Absolute);
    assert_eq!(reason([file(b"y-1.0.0/x", b"")]), outside());
    assert_eq!(reason([file(b"x-1.0.0", b"")]), outside());
    assert_eq!(reason([file(b"x-1.0.0/a/", b"")]), Reason::OddName);
    assert_eq!(reason([file(b"", b"")]), Reason::OddName);
}

#[test]
fn the_refused_entry_is_named() {
    let refusal = refusal(&gzip(&tar(&[file(b"x-1.0.0/\x1b[2J", b"")])));
    assert_eq!(refusal.entry, Some(b"x-1.0.0/\x1b[2J".to_vec()));
    assert_eq!(refusal.to_string(), "entry \"x-1.0.0/\\x1b[2J\": the name has a control character");
}

#[test]
fn links_are_refused() {
    let mut symlink = special(b"x-1.0.0/.cargo-ok", EntryType::Symlink);
    symlink.0.set_link_name("/etc/passwd").unwrap();
    symlink.0.set_cksum();
    assert_eq!(reason([symlink]), Reason::Link { kind: "symbolic" });
    let mut own = special(b"x-1.0.0/l", EntryType::Link);
    own.0.set_link_name("x-1.0.0/src/lib.rs").unwrap();
    own.0.set_cksum();
    assert_eq!(reason([own]), Reason::Link { kind: "hard" });
}

#[test]
fn devices_fifos_and_all_other_types_are_refused() {
    for kind in *b"34679MSVZ\xff" {
        let entry = special(b"x-1.0.0/s", EntryType::new(kind));
        assert_eq!(reason([entry]), Reason::SpecialEntry { type_byte: kind }, "{kind:#x}");
    }
}

#[test]
fn the_same_name_twice_is_refused() {
    assert_eq!(reason([file(b"x-1.0.0/Cargo.toml", b"")]), Reason::Duplicate);
    assert_eq!(reason([special(b"x-1.0.0/Cargo.toml/", EntryType::Directory)]), Reason::FileAndFolder);
    assert_eq!(reason([file(b"x-1.0.0/src", b"")]), Reason::FileAndFolder);
    assert_eq!(reason([file(b"x-1.0.0/Cargo.toml/a", b"")]), Reason::FileAndFolder);
}

#[test]
fn setuid_and_setgid_are_refused() {
    for mode in [0o4755, 0o2755, 0o6777] {
        let mut entry = file(b"x-1.0.0/s", b"");
        entry.0.set_mode(mode);
        entry.0.set_cksum();
        assert_eq!(reason([entry]), Reason::SpecialMode { mode });
    }
}

#[test]
fn bytes_behind_a_nul_in_a_name_are_refused() {
    assert_eq!(reason([file(b"x-1.0.0/a\0b", b"")]), Reason::NulInName);
}

fn pax(records: &[u8]) -> (Header, Vec<u8>) {
    (header(b"PaxHeaders/x", EntryType::XHeader, u64::try_from(records.len()).unwrap()), records.to_vec())
}

fn long(name: &[u8]) -> (Header, Vec<u8>) {
    (header(b"././@LongLink", EntryType::GNULongName, u64::try_from(name.len()).unwrap()), name.to_vec())
}

#[test]
fn a_long_name_is_taken_from_either_kind_of_header_and_checked() {
    let name = format!("x-1.0.0/{}", "d/".repeat(80));
    let record = |name: &str| format!("{} path={name}a\n", name.len() + 11).into_bytes();
    let entries =
        [long(format!("{name}g\0").as_bytes()), file(b"x-1.0.0/d", b""), pax(&record(&name)), file(b"x-1.0.0/e", b"")];
    let (outcome, left) = run(&gzip(&tar(&entries)), &Limits::default());
    outcome.unwrap();
    let inner = Path::new("registry-x").join("d/".repeat(80));
    assert!(left.contains(&inner.join("a")) && left.contains(&inner.join("g")), "{left:?}");
    assert_eq!(reason([long(b"x-1.0.0/../y\0"), file(b"x-1.0.0/a", b"")]), Reason::ParentDir);
    assert_eq!(reason([long(b"x-1.0.0/a\0b\0"), file(b"x-1.0.0/a", b"")]), Reason::NulInName);
    assert_eq!(
        reason([pax(b"18 path=x-1.0.0/..\n"), file(b"x-1.0.0/a", b"")]),
        Reason::BadExtension { what: "a record that is not `LENGTH KEY=VALUE`" }
    );
    assert_eq!(reason([pax(b"19 path=x-1.0.0/..\n"), file(b"x-1.0.0/a", b"")]), Reason::ParentDir);
}

#[test]
fn pax_records_that_lie_about_size_or_kind_are_refused() {
    let over = |key: &str| Reason::PaxOverride { key: key.to_owned() };
    assert_eq!(reason([pax(b"12 size=512\n"), file(b"x-1.0.0/a", b"")]), over("size"));
    assert_eq!(reason([pax(b"14 linkpath=a\n"), file(b"x-1.0.0/a", b"")]), over("linkpath"));
    assert_eq!(reason([pax(b"22 GNU.sparse.major=1\n"), file(b"x-1.0.0/a", b"")]), over("GNU.sparse.major"));
}

#[test]
fn extended_headers_in_excess_are_refused() {
    let bad = |what| Reason::BadExtension { what };
    let mtime = || pax(b"11 mtime=1\n");
    assert_eq!(reason([mtime(), mtime(), file(b"x-1.0.0/a", b"")]), bad("two PAX headers for one entry"));
    assert_eq!(
        reason([long(b"x-1.0.0/a"), long(b"x-1.0.0/b"), file(b"x-1.0.0/a", b"")]),
        bad("two long names for one entry")
    );
    assert_eq!(reason([mtime()]), bad("an extended header without an entry"));
    assert_eq!(reason([pax(&vec![b'a'; 70_000]), file(b"x-1.0.0/a", b"")]), bad("it is too large"));
    let mut link = special(b"x-1.0.0/k", EntryType::GNULongLink);
    link.0.set_cksum();
    assert_eq!(reason([link]), Reason::Link { kind: "hard" });
}

#[test]
fn sizes_that_are_no_plain_numbers_are_refused() {
    let with_size = |field: [u8; 12]| {
        let mut entry = file(b"x-1.0.0/a", b"");
        entry.0.as_old_mut().size = field;
        entry.0.set_cksum();
        reason([entry])
    };
    assert_eq!(with_size(*b"\x80\0\0\0\0\0\0\0\0\0\0\x01"), Reason::BadSize);
    // The reader below us stumbles over these first.
    for field in [[0xff; 12], *b"-0000000001\0", *b"9999999999 \0"] {
        assert!(matches!(with_size(field), Reason::Malformed { .. }), "{field:?}");
    }
}

#[test]
fn a_size_beyond_what_is_there_is_refused_before_anything_is_reserved() {
    let lie = (header(b"x-1.0.0/a", EntryType::Regular, 8 * 1024 * 1024 * 1024 - 1), b"short".to_vec());
    let reason = refusal(&gzip(&tar(&[lie]))).reason;
    assert_eq!(reason, Reason::Truncated { declared: 8 * 1024 * 1024 * 1024 - 1 });
}

#[test]
fn a_folder_with_contents_is_refused() {
    let folder = (header(b"x-1.0.0/d/", EntryType::Directory, 4), b"data".to_vec());
    assert_eq!(reason([folder]), Reason::FolderWithData { size: 4 });
}

#[test]
fn too_many_entries_are_refused() {
    let entries: Vec<_> = (0..20).map(|n| file(format!("x-1.0.0/{n}").as_bytes(), b"")).collect();
    let limits = Limits { entries: 10, ..Limits::default() };
    assert_eq!(refusal_within(&gzip(&tar(&entries)), &limits).reason, Reason::TooManyEntries { limit: 10 });
}

#[test]
fn a_bomb_is_refused_at_the_larger_of_both_bounds() {
    let packed = gzip(&tar(&[file(b"x-1.0.0/zeros", &vec![0; 4_000_000])]));
    let twenty_times = u64::try_from(packed.len()).unwrap() * 20;
    assert!(twenty_times < 4_000_000);
    let limits = Limits { unpacked_bytes: 10, ..Limits::default() };
    assert_eq!(refusal_within(&packed, &limits).reason, Reason::TooManyBytes { limit: twenty_times });
    let limits = Limits { unpacked_bytes: 1_000_000, ..Limits::default() };
    assert_eq!(refusal_within(&packed, &limits).reason, Reason::TooManyBytes { limit: 1_000_000 });
    // Zeros behind the end count too.
    let mut tail = tar(&good());
    tail.extend(vec![0; 4_000_000]);
    assert_eq!(refusal_within(&gzip(&tail), &limits).reason, Reason::TooManyBytes { limit: 1_000_000 });
    run(&packed, &Limits::default()).0.unwrap();
}

#[test]
fn data_behind_the_end_is_refused() {
    let plain = tar(&good());
    let two = [plain.clone(), plain.clone()].concat();
    assert_eq!(refusal(&gzip(&two)).reason, Reason::TrailingData);
    let two_members = [gzip(&plain), gzip(&plain)].concat();
    assert_eq!(refusal(&two_members).reason, Reason::TrailingData);
    let garbage = [gzip(&plain), b"x".to_vec()].concat();
    assert_eq!(refusal(&garbage).reason, Reason::TrailingData);
}

#[test]
fn a_missing_end_is_refused() {
    let plain = tar(&good());
    let cut = &plain[..plain.len() - 1024];
    assert_eq!(refusal(&gzip(cut)).reason, Reason::NoEnd);
    assert!(matches!(refusal(&gzip(&cut[..cut.len() - 100])).reason, Reason::Malformed { .. }));
    assert_eq!(refusal(&gzip(&[0; 1024])).reason, Reason::Empty);
}

#[test]
fn a_name_that_no_file_system_takes_leaves_nothing() {
    let named = |length: usize| {
        let name = [b"x-1.0.0/", "n".repeat(length).as_bytes(), b"\0"].concat();
        let long = (header(b"././@LongLink", EntryType::GNULongName, u64::try_from(name.len()).unwrap()), name);
        gzip(&tar(&good().into_iter().chain([long, file(b"x", b"")]).collect::<Vec<_>>()))
    };
    let (outcome, left) = run(&named(256), &Limits::default());
    assert!(outcome.is_err() && left.is_empty(), "{outcome:?} {left:?}");
    // The control: the longest that there is.
    let (outcome, left) = run(&named(255), &Limits::default());
    assert!(outcome.is_ok() && left.len() == 6, "{outcome:?} {left:?}");
}

/// The program and what it builds for are Linux only, and a name with a colon is a name there.
#[test]
fn a_name_that_only_windows_reserves_is_a_name() {
    let names: [&[u8]; 3] = [b"x-1.0.0/CON", b"x-1.0.0/aux.rs", b"x-1.0.0/src/a:b"];
    let entries = good().into_iter().chain(names.map(|name| file(name, b"")));
    let (outcome, left) = run(&gzip(&tar(&entries.collect::<Vec<_>>())), &Limits::default());
    assert!(outcome.is_ok(), "{outcome:?}");
    for name in ["CON", "aux.rs", "src/a:b"] {
        assert!(left.contains(&Path::new("registry-x").join(name)), "{name} in {left:?}");
    }
}

#[test]
fn a_damaged_archive_is_refused() {
    let packed = gzip(&tar(&good()));
    assert!(matches!(refusal(b"not gzip at all").reason, Reason::Malformed { .. }));
    assert!(matches!(refusal(&packed[..packed.len() - 9]).reason, Reason::Malformed { .. }));
    let mut wrong_crc = packed.clone();
    let place = wrong_crc.len() - 8;
    wrong_crc[place] ^= 1;
    assert!(matches!(refusal(&wrong_crc).reason, Reason::Malformed { .. }));
    let mut entry = file(b"x-1.0.0/a", b"");
    entry.0.as_old_mut().cksum = *b"0000000\0";
    assert!(matches!(reason([entry]), Reason::Malformed { .. }));
}

#[test]
fn names_that_differ_by_case_only_and_settings_are_told() {
    let entries = [
        file(b"x-1.0.0/README", b""),
        file(b"x-1.0.0/readme", b""),
        file(b"x-1.0.0/.cargo/config.toml", b"[build]\nrustc-wrapper = 'evil'"),
    ];
    let (outcome, left) = run(&gzip(&tar(&entries)), &Limits::default());
    let found = outcome.unwrap();
    let codes: Vec<_> = found.iter().map(|found| found.code).collect();
    assert_eq!(codes, ["embedded-cargo-config", "case-collision"]);
    assert!(found[0].text.contains("names a program (build.rustc-wrapper)"), "{}", found[0].text);
    assert!(left.contains(&PathBuf::from("registry-x/.cargo/config.toml")));
}

#[test]
fn names_that_are_not_utf_8_are_kept_as_bytes() {
    let (outcome, left) = run(&gzip(&tar(&[file(b"x-1.0.0/\xe9", b"")])), &Limits::default());
    outcome.unwrap();
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xe9");
    assert!(left.contains(&Path::new("registry-x").join(name)), "{left:?}");
}

#[test]
fn nothing_is_written_through_a_folder_that_is_already_there() {
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("x-1.0.0");
    fs::create_dir(&to).unwrap();
    std::os::unix::fs::symlink("/dev/full", to.join("Cargo.toml")).unwrap();
    let error = unpack(&gzip(&tar(&good())), &id(), SUM, &to, &Limits::default()).unwrap_err();
    assert!(matches!(error, AcquireError::File { .. }), "{error:?}");
}
