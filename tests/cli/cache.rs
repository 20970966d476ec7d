//! `sandbox-check cache`: what is held of earlier runs.

use super::*;

/// A home in which one package was checked, and the evidence of that.
fn checked(dir: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let reads_key = "fn main() { let _ = std::fs::read(\"/home/dev/.ssh/id_ed25519\"); }";
    let folder = runs::package(&home, "curious", reads_key);
    let args = ["--offline", "--format=json", "--cache-dir", dir, folder.to_str().unwrap()];
    let output = home.run(args);
    assert_eq!(code(&output), 10, "{}", stderr(&output));
    let evidence = PathBuf::from(json(&output)["evidence"]["path"].as_str().unwrap());
    assert!(evidence.starts_with(fs::canonicalize(home.path().join(dir)).unwrap()), "{}", evidence.display());
    (home, evidence)
}

fn cache(home: &Home, args: &[&str]) -> (i32, Value) {
    let output = home.run([&["cache"], args, &["--cache-dir=kept", "--format=json"]].concat());
    (code(&output), serde_json::from_str(&stdout(&output)).unwrap())
}

#[test]
fn evidence_is_kept_where_that_is_asked_for_and_is_listed_and_verified() {
    let (home, evidence) = checked("kept");
    let (code, told) = cache(&home, &["verify"]);
    assert_eq!((code, told["runs"].as_array().unwrap().len()), (0, 1), "{told:#}");
    assert_eq!(fs::canonicalize(home.path().join(told["runs"][0]["evidence"].as_str().unwrap())).unwrap(), evidence);
    assert_eq!(told["runs"][0]["target"], "curious 1.0.0");
    let people = stdout(&home.run(["cache", "verify", "--cache-dir=kept"]));
    assert!(people.contains("curious 1.0.0") && people.ends_with("all of it is what was kept\n"), "{people}");
    let nowhere = home.run(["cache", "verify", "--cache-dir=nowhere"]);
    assert_eq!(super::code(&nowhere), 3);
}

#[test]
fn a_byte_that_was_changed_is_found_named_and_removed() {
    let (home, evidence) = checked("kept");
    let text = fs::read_to_string(&evidence).unwrap();
    fs::write(&evidence, text.replacen("id_ed25519", "id_ed25510", 1)).unwrap();
    let (code, told) = cache(&home, &["verify"]);
    let damage = told["runs"][0]["damage"].as_str().unwrap().to_owned();
    assert!(code == 10 && damage.contains("damaged or was edited"), "{code} {damage}");
    assert_eq!(cache(&home, &["gc", "--dry-run"]).0, 10);
    assert!(evidence.exists());
    let (code, told) = cache(&home, &["gc"]);
    assert_eq!((code, &told["runs"][0]["removed"]), (0, &Value::from("damaged")));
    assert!(!evidence.exists());
    assert_eq!(cache(&home, &["verify"]).0, 0);
}

#[test]
fn what_is_old_or_too_much_goes_and_the_rest_stays() {
    let (home, evidence) = checked("kept");
    for args in [&["gc"][..], &["gc", "--max-size=1"], &["gc", "--older-than=1"]] {
        assert_eq!((cache(&home, args).0, evidence.exists()), (0, true), "{args:?}");
    }
    let then = std::time::SystemTime::now() - std::time::Duration::from_hours(48);
    fs::File::open(&evidence).unwrap().set_modified(then).unwrap();
    let (_, told) = cache(&home, &["gc", "--older-than=3"]);
    assert_eq!(told["runs"][0]["removed"], Value::Null);
    let (_, told) = cache(&home, &["gc", "--older-than=1"]);
    assert_eq!((&told["runs"][0]["removed"], evidence.exists()), (&"old".into(), false));
    let (home, evidence) = checked("kept");
    assert_eq!((cache(&home, &["gc", "--max-size=0"]).0, evidence.exists()), (0, false));
}

#[test]
fn bytes_that_were_captured_are_held_against_their_names() {
    let home = Home::new();
    let script = "use std::os::unix::fs::PermissionsExt; fn main() { \
        let path = std::env::temp_dir().join(\"x\"); std::fs::write(&path, \"#!/bin/sh\\n\").unwrap(); \
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap(); \
        let _ = std::process::Command::new(&path).status(); }";
    let folder = runs::package(&home, "dropper", script);
    let output = home.run(["--offline", "--format=json", "--cache-dir=kept", folder.to_str().unwrap()]);
    let report = json(&output);
    let artifacts = report["packages"][0]["artifacts"].as_array().unwrap();
    let file = artifacts.iter().find_map(|artifact| artifact["file"].as_str()).expect("something was captured");
    assert_eq!(cache(&home, &["verify"]).0, 0);
    fs::write(file, "#!/bin/no\n").unwrap();
    let (code, told) = cache(&home, &["verify"]);
    assert!(code == 10 && told["runs"][0]["damage"].as_str().unwrap().contains("captured"), "{told:#}");
}

#[test]
fn an_entry_that_was_edited_is_named() {
    let (home, _) = checked("kept");
    let entry = home.path().join("kept/known").join(format!("{}.json", "a".repeat(64)));
    fs::create_dir_all(entry.parent().unwrap()).unwrap();
    fs::write(&entry, "{}").unwrap();
    let (code, told) = cache(&home, &["verify"]);
    assert_eq!((code, told["entries"].as_array().unwrap().len()), (10, 1), "{told:#}");
    assert_eq!(cache(&home, &["gc"]).0, 0);
    assert!(!entry.exists());
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A home with evidence that answers, and where that lies.
fn answering() -> (Home, PathBuf) {
    let home = Home::new();
    let file = home.path().join("alone-1.0.0.crate");
    fs::write(&file, super::server::Package::new("alone", "1.0.0").pack()).unwrap();
    assert!(!is_reused(&home, &file, "kept"));
    assert!(is_reused(&home, &file, "kept"));
    (home, file)
}

fn is_reused(home: &Home, file: &Path, dir: &str) -> bool {
    let output = home.run(["--offline", "--format=json", "--cache-dir", dir, file.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    json(&output).get("reused").is_some()
}

fn pass(home: &Home, args: &[&str], key: Option<&str>) -> Output {
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    if let Some(key) = key {
        command.env("SANDBOX_CHECK_CACHE_KEY", key);
    }
    command.arg("cache").args(args).output().unwrap()
}

#[test]
fn an_import_with_its_makers_key_answers_and_one_without_does_not() {
    let (home, file) = answering();
    assert_eq!(code(&pass(&home, &["export", "out", "--cache-dir=kept"], Some(KEY))), 0);
    let output = pass(&home, &["import", "out", "--cache-dir=other"], Some(KEY));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(is_reused(&home, &file, "other"));
    // What is there stays, and nothing doubles.
    let again = stdout(&pass(&home, &["import", "out", "--cache-dir=other"], Some(KEY)));
    assert!(again.starts_with("0 files came in"), "{again}");
    let output = pass(&home, &["import", "out", "--cache-dir=keyless"], None);
    assert!(code(&output) == 0 && stdout(&output).contains("left out"), "{}", stdout(&output));
    let logs = fs::read_dir(home.path().join("keyless")).unwrap().map(|entry| entry.unwrap().path());
    let log = logs.into_iter().find(|path| path.extension().is_some_and(|end| end == "jsonl")).unwrap();
    assert_eq!(code(&home.run(["replay", log.to_str().unwrap()])), 0);
    assert!(!is_reused(&home, &file, "keyless"));
}

#[test]
fn an_import_that_was_changed_or_has_another_key_brings_nothing() {
    let (home, _) = answering();
    assert_eq!(code(&pass(&home, &["export", "out", "--cache-dir=kept"], Some(KEY))), 0);
    assert_eq!(code(&pass(&home, &["export", "plain", "--cache-dir=kept"], None)), 0);
    let whole = fs::read(home.path().join("out")).unwrap();
    let change = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let other = format!("{KEY}!");
    for (name, bytes, key) in [
        ("another key", whole.clone(), other.as_str()),
        ("a byte at the end", change(whole.len() - 2), KEY),
        ("a byte in the middle", change(whole.len() / 2), KEY),
        ("cut", whole[..whole.len() - 9].to_vec(), KEY),
        ("no code", fs::read(home.path().join("plain")).unwrap(), KEY),
    ] {
        fs::write(home.path().join("changed"), bytes).unwrap();
        let output = pass(&home, &["import", "changed", "--cache-dir=other"], Some(key));
        assert_eq!(code(&output), 10, "{name}: {}", stderr(&output));
        assert_eq!(fs::read_dir(home.path().join("other")).unwrap().count(), 0, "{name}");
    }
    assert_eq!(code(&pass(&home, &["export", "out", "--cache-dir=kept"], Some("short"))), 2);
    assert_eq!(code(&pass(&home, &["import", "nowhere", "--cache-dir=other"], Some(KEY))), 3);
}
