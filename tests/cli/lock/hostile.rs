//! Settings of a workspace that lead elsewhere.

use super::*;

#[test]
fn a_setting_that_is_a_link_is_not_followed_and_the_error_says_what_to_do() {
    let ground = Ground::new();
    ground.workspace().locked();
    let secret = ground.home.path().join("secret");
    fs::write(&secret, "[env]\nSECRET = 'of-the-host'\n").unwrap();
    for place in [".cargo/config.toml", "rust-toolchain.toml"] {
        let link = ground.home.path().join("ws").join(place);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let output = ground.run(&["ws", "--format=json"]);
        let report = json(&output);
        let text = |key: &str| report["error"][key].as_str().unwrap().to_owned();
        assert_eq!(code(&output), 3, "{report:#}");
        assert!(text("message").contains(place) && text("hint").contains("plain, readable file"), "{report:#}");
        assert!(!stdout(&output).contains("of-the-host") && !stderr(&output).contains("of-the-host"));
        fs::remove_file(&link).unwrap();
    }
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "without them: {report:#}");
}

#[test]
fn a_patch_of_cargos_configuration_is_ignored_and_the_report_says_what_to_do() {
    let ground = Ground::new();
    let patch = "[patch.crates-io]\nleafy = { path = 'patched' }\n";
    ground
        .workspace()
        .file("ws/patched/Cargo.toml", "[package]\nname = 'leafy'\nversion = '1.0.0'\nedition = '2021'\n")
        .file("ws/patched/src/lib.rs", "")
        .file("ws/.cargo/config.toml", patch)
        .locked();
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (5, &Value::from("inconclusive")), "{report:#}");
    let said = ".cargo/config.toml: patch.crates-io.leafy.path: a patch counts in the workspace's Cargo.toml only; put it there";
    assert_eq!(report["lock"]["ignored"], serde_json::json!([said]));
    let reasons = report["completeness"]["reasons"].as_array().unwrap();
    let says = |reason: &&Value| reason["text"].as_str().unwrap().ends_with("may need it: put it into Cargo.toml");
    assert_eq!(reasons.iter().filter(says).count(), 1, "{reasons:#?}");
    // Which helps.
    fs::remove_dir_all(ground.home.path().join("ws/.cargo")).unwrap();
    let root = fs::read_to_string(ground.home.path().join("ws/Cargo.toml")).unwrap();
    ground.file("ws/Cargo.toml", &format!("{root}{patch}"));
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{report:#}");
}
