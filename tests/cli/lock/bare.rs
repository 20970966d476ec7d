//! Lock files without the workspace that they belong to.

use super::*;

#[test]
fn a_bare_lock_file_is_built_with_default_features() {
    let ground = Ground::new();
    ground.workspace().locked();
    fs::create_dir(ground.home.path().join("bare")).unwrap();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    let (report, code) = ground.report(&["bare/Cargo.lock"]);
    assert_eq!((code, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
    assert_eq!(report["lock"]["consumer"], "generated");
    assert!(report["lock"]["remarks"][0].as_str().unwrap().contains("is not known"), "{}", report["lock"]["remarks"]);
    // Which of them only another platform needs is not in the file: all are built.
    assert_eq!(report["coverage"]["build_scripts"]["run"], 2);
    assert_eq!(not_exercised(&report), [pair("app@0.1.0", "no-source"), pair("inner@0.1.0", "no-source")]);
}

/// As it is after an attack: the release is gone, and stays in lock files.

#[test]
fn a_bare_lock_file_turns_on_for_all_what_only_macros_ask_for() {
    let ground = Ground::new();
    let script = "#[cfg(not(feature = \"shake\"))]\ncompile_error!(\"choose one\");\nfn main() {}\n";
    let choosy = Package::new("choosy", "1.0.0").manifest("[features]\nshake = []\n").file("build.rs", script);
    ground.registry.publish(&Package { features: r#"{"shake":[]}"#, ..choosy });
    let asks = "[lib]\nproc-macro = true\n[dependencies.choosy]\nversion = \"1\"\nfeatures = [\"shake\"]\n";
    let mut asks = Package::new("asks", "1.0.0").manifest(asks);
    asks.deps.push(
        r#"{"name":"choosy","req":"^1","features":["shake"],"optional":false,"default_features":true,"target":null,"kind":"normal"}"#
            .to_owned(),
    );
    ground.registry.publish(&asks);
    ground.file("ws/Cargo.toml", &member("member", "[dependencies]\nasks = '1'\n")).file("ws/src/lib.rs", "");
    ground.locked();
    ground.file("bare/Cargo.lock", &fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap());
    for place in ["ws", "bare"] {
        let (report, exit) = ground.report(&[place]);
        assert_eq!((exit, &report["completeness"]["status"]), (0, &Value::from("complete")), "{place}: {report:#}");
        assert_eq!(report["coverage"]["build_scripts"]["run"], 1, "{place}: {report:#}");
    }
}
