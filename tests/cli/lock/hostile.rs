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
