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
