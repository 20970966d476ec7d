//! `--since` of a commit: whose commit it is.

use super::*;

/// A repository with a workspace in it, whose folder a change replaces by what has a newcomer and calls that old.
fn replaced(by: impl Fn(&Ground)) -> Ground {
    let ground = Ground::new();
    ground.workspace().locked().repository(".");
    ground.registry.publish(&Package::new("newcomer", "2.0.0").file("build.rs", BUILDS));
    fs::rename(ground.home.path().join("ws"), ground.home.path().join("other")).unwrap();
    ground.file("other/app/Cargo.toml", &member("app", "[dependencies]\nnewcomer = '2'\n")).locked_in("other");
    by(&ground);
    ground
}

fn is_told(ground: &Ground, word: &str) -> bool {
    let (report, exit) = ground.report(&[word, "--since", "main"]);
    assert_eq!(exit, 0, "{report:#}");
    package(&report, "newcomer@2.0.0").is_some()
}

#[test]
fn what_a_change_puts_at_the_place_of_a_lock_file_does_not_say_what_is_new() {
    // A submodule, with a branch of the base's name.
    let ground = replaced(|ground| {
        fs::rename(ground.home.path().join("other"), ground.home.path().join("ws")).unwrap();
        ground.repository("ws");
    });
    let whole = ground.home.path().join("ws/Cargo.lock");
    for word in ["ws", "./ws/../ws/Cargo.lock", whole.to_str().unwrap()] {
        assert!(is_told(&ground, word), "{word}");
    }
    // A link to a folder with one.
    let ground = replaced(|ground| {
        ground.repository("other");
        std::os::unix::fs::symlink("other", ground.home.path().join("ws")).unwrap();
    });
    assert!(is_told(&ground, "ws"));
}

#[test]
fn a_lock_file_elsewhere_is_asked_for_where_it_lies() {
    let ground = Ground::new();
    ground.workspace().locked().repository("ws");
    let (report, exit) = ground.report(&["ws", "--since", "main"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{report:#}");
    // Nor is that of another repository in this one's commits.
    let mut command = ground.command(&["--format=json", "../ws", "--since", "main"]);
    fs::create_dir(ground.home.path().join("beside")).unwrap();
    ground.file("beside/x", "").repository("beside");
    let output = command.current_dir(ground.home.path().join("beside")).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stdout(&output));
}
