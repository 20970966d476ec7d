//! A lock file that was checked before: its evidence answers, as long as nothing that decides is other.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const DATABASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/advisory-db");

impl Ground {
    /// True if the answer is that of an earlier run. Both are whole.
    fn is_reused(&self, args: &[&str]) -> bool {
        let (report, code) = self.report(args);
        assert_eq!((code, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
        report.get("reused").is_some()
    }
}

/// A report without the word that it is of an earlier run.
fn plain(mut report: Value) -> Value {
    report.as_object_mut().unwrap().remove("reused");
    report
}

#[test]
fn an_unchanged_lock_file_is_answered_by_the_report_of_the_first_run() {
    let ground = Ground::new();
    ground.workspace().locked();
    let (first, _) = ground.report(&["ws"]);
    assert_eq!((&first["verdict"], first.get("reused")), (&"pass".into(), None), "{}", first["completeness"]);
    let fetched = ground.registry.count(&download_path("leafy", "1.0.0"));
    let (second, code) = ground.report(&["ws"]);
    assert!(second["reused"]["recorded"].as_str().unwrap().starts_with("20"));
    // It knows a run before it, and its evidence says so.
    assert!(second["lock"]["last_run"].is_string(), "{second:#}");
    let timeless = |report: &Value| {
        let mut report = plain(report.clone());
        report["lock"]["last_run"] = Value::Null;
        report["evidence"]["path"] = Value::Null;
        report["evidence"]["sha256"] = Value::Null;
        for package in report["packages"].as_array_mut().unwrap() {
            for finding in package["findings"].as_array_mut().unwrap() {
                finding.as_object_mut().unwrap().remove("baseline");
            }
        }
        report
    };
    assert_eq!((code, timeless(&second)), (0, timeless(&first)));
    let (third, _) = ground.report(&["ws"]);
    assert_eq!(third, second, "the same evidence answers");
    assert_eq!(ground.registry.count(&download_path("leafy", "1.0.0")), fetched);
    let people = stdout(&ground.run(&["ws"]));
    assert!(people.contains("from evidence of ") && people.contains("--fresh builds"), "{people}");
    assert!(!ground.is_reused(&["ws", "--fresh"]));
    assert!(ground.is_reused(&["ws"]));
}

/// What it is called, and what it does to a workspace.
type Change<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn whatever_the_workspace_is_made_of_decides() {
    let ground = Ground::new();
    ground.workspace().file("ws/data.txt", "one").locked();
    assert!(!ground.is_reused(&["ws"]));
    let changes: [Change<'_>; 6] = [
        ("a byte of a member", &|ws| fs::write(ws.join("app/src/lib.rs"), "// other\n").unwrap()),
        ("a byte of a folder that a member names", &|ws| fs::write(ws.join("inner/src/lib.rs"), "// other\n").unwrap()),
        ("a file beside the members", &|ws| fs::write(ws.join("data.txt"), "two").unwrap()),
        ("a right", &|ws| fs::set_permissions(ws.join("data.txt"), fs::Permissions::from_mode(0o755)).unwrap()),
        ("a setting that counts", &|ws| {
            fs::create_dir(ws.join(".cargo")).unwrap();
            fs::write(ws.join(".cargo/config.toml"), "[env]\nHELLO = 'world'\n").unwrap();
        }),
        ("a link", &|ws| std::os::unix::fs::symlink("data.txt", ws.join("link")).unwrap()),
    ];
    let ws = ground.home.path().join("ws");
    for (what, change) in changes {
        change(&ws);
        assert!(!ground.is_reused(&["ws"]), "{what}");
        assert!(ground.is_reused(&["ws"]), "{what}");
    }
    // What is not copied decides nothing.
    ground.file("ws/.env", "A=1").file("ws/target/CACHEDIR.TAG", "").file("ws/target/x", "").file("ws/.git/x", "");
    assert!(ground.is_reused(&["ws"]));
    // The dependencies alone are another run, in which only manifests count.
    assert!(!ground.is_reused(&["ws", "--deps-only"]));
    ground.file("ws/app/src/lib.rs", "// another\n");
    assert!(ground.is_reused(&["ws", "--deps-only"]));
    assert!(!ground.is_reused(&["ws"]));
    ground.file(
        "ws/app/Cargo.toml",
        &member("app", "[dependencies]\ninner = { path = '../inner' }\n[features]\nmore = []\n"),
    );
    assert!(!ground.is_reused(&["ws", "--deps-only"]));
}

#[test]
fn what_is_kept_within_the_workspace_is_no_part_of_it() {
    let ground = Ground::new();
    ground.workspace().locked();
    let run = |args: &[&str], at: &str| {
        let kept = ["--cache-dir=AT/kept", "--evidence=AT/evidence", "--output=json=AT/report.json", "--format=json"];
        let kept = kept.map(|arg| arg.replace("AT", at));
        let mut command = ground.home.command(env!("CARGO_BIN_EXE_sandbox-check"));
        command.env("CARGO_HOME", ground.registry.home()).env("XDG_CACHE_HOME", ground.home.path().join(at));
        let output = command.args(args).args(kept).output().unwrap();
        assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
        json(&output)
    };
    let nights: Vec<_> = (0..3).map(|_| run(&["lock", "ws"], "ws").get("reused").is_some()).collect();
    assert_eq!(nights, [false, true, true]);
    // A folder that holds the cache is not copied into itself.
    for _ in 0..2 {
        run(&["ws/inner/"], "ws/inner");
    }
}

#[test]
fn a_bare_lock_file_and_several_of_them_are_answered_too() {
    let ground = Ground::new();
    ground.workspace().locked();
    fs::create_dir(ground.home.path().join("bare")).unwrap();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    assert!(!ground.is_reused(&["bare"]));
    assert!(ground.is_reused(&["bare"]));
    let (both, _) = ground.report(&["bare", "ws"]);
    assert!(both["reused"].is_object() && both["further"][0].get("reused").is_none(), "{both:#}");
    let (both, _) = ground.report(&["bare", "ws"]);
    assert!(both["reused"].is_object() && both["further"][0]["reused"].is_object(), "{both:#}");
    assert_eq!(both["further"][0]["target"]["name"], "ws/Cargo.lock");
}

#[test]
fn advisories_and_yanks_of_the_day_are_told_without_a_build() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("smallcheck", "1.0.0").needs("leafy", "^1"));
    ground
        .file("ws/Cargo.toml", "[workspace]\nmembers = ['app']\nresolver = '2'\n")
        .file("ws/app/Cargo.toml", &member("app", "[dependencies]\nsmallcheck = '1'\n"))
        .file("ws/app/src/lib.rs", "")
        .locked();
    assert!(!ground.is_reused(&["ws"]));
    let yanked = Package::new("leafy", "1.0.0").file("build.rs", BUILDS).yanked();
    ground.registry.put(&index_path("leafy"), yanked.line().into_bytes());
    let (report, code) = ground.report(&["ws", "--advisory-db", DATABASE]);
    assert!(report["reused"].is_object(), "{report:#}");
    let codes = |id: &str| package(&report, id).unwrap()["findings"][0]["code"].clone();
    assert_eq!((codes("smallcheck@1.0.0"), codes("leafy@1.0.0")), ("advisory".into(), "yanked".into()));
    assert_eq!(code, 10);
    // The evidence that answered is what the report names, and replays to the same.
    let evidence = report["evidence"]["path"].as_str().unwrap();
    let replayed = json(&ground.home.run(["replay", "--format=json", evidence]));
    assert_eq!(plain(report.clone()), replayed);
}

#[test]
fn what_it_is_compared_with_is_of_the_day_and_a_report_on_changes_answers_for_no_more() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("broken", "1.0.0").file("build.rs", "fn main() { panic!() }"));
    ground.workspace().locked();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("old.lock")).unwrap();
    assert!(!ground.is_reused(&["ws"]));
    let (report, _) = ground.report(&["ws", "--since", "old.lock"]);
    assert!(report["reused"].is_object() && report["lock"]["since"] == "old.lock", "{report:#}");
    assert!(package(&report, "leafy@1.0.0").is_none() && package(&report, "app@0.1.0").is_some());
    assert!(package(&ground.report(&["ws"]).0, "leafy@1.0.0").is_some());
    // Now one fails that was there before: the report on changes is complete, and the run is not.
    ground.file("ws/inner/Cargo.toml", &member("inner", "[dependencies]\nmiddle = '1'\nbroken = '1'\n")).locked();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("old.lock")).unwrap();
    let limited = ["ws", "--since", "old.lock", "--deps-only"];
    assert_eq!(ground.report(&limited).0["completeness"]["status"], "complete");
    let (report, _) = ground.report(&["ws", "--deps-only"]);
    assert_eq!((report.get("reused"), &report["completeness"]["status"]), (None, &"incomplete".into()));
}

/// A build script that looks a name up, and a workspace that needs it.
fn looks_up(ground: &Ground, version: &'static str, name: &str) {
    let asks = format!("fn main() {{ let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"{name}.invalid\", 80)); }}");
    ground.registry.publish(&Package::new("asks", version).file("build.rs", &asks));
    ground.file("ws/Cargo.toml", &member("app", "[dependencies]\nasks = '1'\n")).file("ws/src/lib.rs", "");
    let _ = fs::remove_file(ground.home.path().join("ws/Cargo.lock"));
    ground.locked();
}

#[test]
fn what_people_decide_and_when_it_ends_counts_in_an_answer_too() {
    let ground = Ground::new();
    looks_up(&ground, "1.0.0", "model");
    let report = |is_reused: bool| {
        let mut command = ground.command(&["--format=json"]);
        let output = command.current_dir(ground.home.path().join("ws")).output().unwrap();
        let report = json(&output);
        assert_eq!(report["reused"].is_object(), is_reused, "{report:#}");
        (code(&output), report["decisions"]["entries"][0]["fate"].clone())
    };
    let decide = |expires: &str| {
        let entry = format!(
            "[[ignore]]\npackage = \"asks\"\nversion = \"1.0.0\"\ncode = \"dns-query\"\nobject = \"model.invalid\"\n\
             reason = \"It asks for its model.\"\nexpires = \"{expires}\"\n"
        );
        ground.file("ws/sandbox-check.toml", &entry);
    };
    assert_eq!(report(false), (11, Value::Null));
    decide("2999-01-01");
    assert_eq!(report(true), (0, "applied".into()));
    decide("2020-01-01");
    assert_eq!(report(true), (11, "expired".into()));
    fs::remove_file(ground.home.path().join("ws/sandbox-check.toml")).unwrap();
    assert_eq!(report(true), (11, Value::Null));
}

#[test]
fn an_answer_compares_behaviour_with_that_of_the_version_before() {
    let ground = Ground::new();
    looks_up(&ground, "1.0.0", "goes");
    let (before, _) = ground.report(&["ws"]);
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("old.lock")).unwrap();
    looks_up(&ground, "1.1.0", "comes");
    let (plain, _) = ground.report(&["ws"]);
    let asks = |report: &Value| package(report, "asks@1.1.0").unwrap().clone();
    // Without a word, the last run is what is compared with.
    assert_eq!(asks(&plain)["baseline"]["resolved"][0]["subject"], "goes.invalid");
    let since = ["ws", "--since", "old.lock"];
    for (args, state) in [(&since[..], "new"), (&since[..1], "unchanged"), (&since[..], "new")] {
        let (report, code) = ground.report(args);
        assert!(code == 11 && report["reused"].is_object(), "{report:#}");
        let states: Vec<_> =
            asks(&report)["findings"].as_array().unwrap().iter().map(|f| f.get("baseline").cloned()).collect();
        assert!(states.contains(&Some(state.into())), "{states:?}");
        let evidence = asks(&report)["baseline"]["evidence"].clone();
        assert_eq!(evidence, if state == "new" { before["evidence"]["sha256"].clone() } else { Value::Null });
    }
}
