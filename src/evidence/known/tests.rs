use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::evidence::EvidenceLog;
use crate::evidence::testing::{LogBuilder, text_of};

const KEY: Sha256Digest = Sha256Digest([7; 32]);

/// Keeps evidence of a run that asked for this name.
fn keep(folder: &Path, file: &str, name: &str) -> PathBuf {
    let path = folder.join(file);
    let text = text_of(&LogBuilder::new().build_script("u", |u| u.dns(name)).lines());
    let sha256 = EvidenceLog::read(text.as_bytes(), None).unwrap().sha256.unwrap();
    fs::write(&path, text).unwrap();
    put(&path, KEY, sha256).unwrap();
    path
}

fn age(path: &Path, seconds: u64) {
    File::open(path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

fn now() -> u64 {
    SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn what_was_kept_is_found_by_its_key_and_the_newest_answers() {
    let folder = tempfile::tempdir().unwrap();
    assert!(find(folder.path(), KEY).unwrap().is_none());
    keep(folder.path(), "a.jsonl", "a.invalid");
    let newest = keep(folder.path(), "b.jsonl", "b.invalid");
    assert_eq!(find(folder.path(), KEY).unwrap().unwrap().path, fs::canonicalize(&newest).unwrap());
    assert!(find(folder.path(), Sha256Digest([8; 32])).unwrap().is_none());
    fs::remove_file(newest).unwrap();
    assert!(find(folder.path(), KEY).unwrap().is_none(), "an entry without evidence is none");
}

#[test]
fn entries_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("deep/state");
    make(&state).unwrap();
    keep(&state, "a.jsonl", "a.invalid");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&state), mode(&state.join(ENTRIES)), mode(&entry_path(&state, KEY))), (0o700, 0o700, 0o600));
}

/// What somebody may do to the folder.
type Damage = fn(&Path, &Path);

#[test]
fn what_is_not_what_was_kept_is_an_error_and_can_be_removed() {
    let damages: [(&str, Damage); 8] = [
        ("a changed byte", |log, _| {
            let text = fs::read_to_string(log).unwrap().replace("a.invalid", "b.invalid");
            fs::write(log, text).unwrap();
        }),
        ("a cut", |log, _| {
            let text = fs::read_to_string(log).unwrap();
            fs::write(log, &text[..=text.trim_end().rfind('\n').unwrap()]).unwrap();
        }),
        ("other evidence, whole", |log, _| {
            let text = text_of(&LogBuilder::new().build_script("u", |u| u).lines());
            fs::write(log, text).unwrap();
        }),
        ("nothing in it", |log, _| fs::write(log, "").unwrap()),
        ("a link", |log, _| {
            fs::rename(log, log.with_extension("moved")).unwrap();
            symlink(log.with_extension("moved"), log).unwrap();
        }),
        ("half an entry", |_, entry| {
            let text = fs::read(entry).unwrap();
            fs::write(entry, &text[..text.len() / 2]).unwrap();
        }),
        ("an entry that leads outside", |_, entry| {
            let text = fs::read_to_string(entry).unwrap().replace("a.jsonl", "../a.jsonl");
            fs::write(entry, text).unwrap();
        }),
        ("an entry of another key", |_, entry| {
            let text = fs::read_to_string(entry).unwrap().replace("sha256:07", "sha256:08");
            fs::write(entry, text).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let log = keep(folder.path(), "a.jsonl", "a.invalid");
        damage(&log, &entry_path(folder.path(), KEY));
        find(folder.path(), KEY).expect_err(what);
        remove(folder.path(), KEY);
        assert!(find(folder.path(), KEY).unwrap().is_none(), "{what}");
    }
}

#[test]
fn what_others_may_write_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let log = keep(folder.path(), "a.jsonl", "a.invalid");
    for path in [entry_path(folder.path(), KEY), log] {
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(find(folder.path(), KEY), Err(KnownError::Foreign(_))), "{}", path.display());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        find(folder.path(), KEY).unwrap().unwrap();
    }
}

#[test]
fn readers_see_one_whole_entry_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), "first.jsonl", "a.invalid");
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let folder = folder.path();
            scope.spawn(move || {
                for turn in 0..30 {
                    keep(folder, &format!("{writer}-{turn}.jsonl"), &format!("{writer}.invalid"));
                }
            });
        }
        for _ in 0..200 {
            find(folder.path(), KEY).unwrap().unwrap();
        }
    });
    let left = fs::read_dir(folder.path().join(ENTRIES)).unwrap().count();
    assert_eq!(left, 1, "unfinished entries stayed");
}

#[test]
fn what_is_old_or_too_much_goes_and_what_is_not_ours_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bounds = Bounds { age: 1000, bytes: 10_000, young: 100 };
    let write = |name: &str, bytes: usize, seconds: u64| {
        fs::write(at(name), vec![b'x'; bytes]).unwrap();
        age(&at(name), seconds);
    };
    keep(folder.path(), "kept.jsonl", "a.invalid");
    write("old.jsonl", 1, 2000);
    write("old.jsonl.counters", 1, 2000);
    fs::create_dir(at("old.jsonl.captured")).unwrap();
    age(&at("old.jsonl.captured"), 2000);
    write("notes.txt", 50_000, 2000);
    write("older.jsonl", 6000, 900);
    fs::create_dir(at("older.jsonl.captured")).unwrap();
    fs::write(at("older.jsonl.captured").join("a".repeat(64)), "payload").unwrap();
    age(&at("older.jsonl.captured"), 900);
    write("newer.jsonl", 6000, 500);
    write("young.jsonl", 50_000, 50);
    sweep(folder.path(), now(), Bounds { bytes: 1 << 20, ..bounds });
    for gone in ["old.jsonl", "old.jsonl.counters", "old.jsonl.captured"] {
        assert!(!at(gone).exists(), "{gone} is old");
    }
    assert!(at("older.jsonl").exists());
    sweep(folder.path(), now(), Bounds { bytes: 60_000, ..bounds });
    assert!(!at("older.jsonl").exists() && !at("older.jsonl.captured").exists(), "the oldest goes first");
    assert!(at("newer.jsonl").exists());
    sweep(folder.path(), now(), bounds);
    assert!(!at("newer.jsonl").exists());
    for stays in ["young.jsonl", "notes.txt", "kept.jsonl"] {
        assert!(at(stays).exists(), "{stays}");
    }
    find(folder.path(), KEY).unwrap().unwrap();
    age(&entry_path(folder.path(), KEY), 2000);
    write("known/.new-dead", 1, 200);
    write("known/notes.txt", 1, 2000);
    sweep(folder.path(), now(), bounds);
    let left: Vec<_> = fs::read_dir(at(ENTRIES)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
}
