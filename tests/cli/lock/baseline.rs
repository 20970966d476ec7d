//! `--since` with evidence of the version before: what is new, what stays, what is found no longer.

use super::*;

fn asks(names: &[&str]) -> String {
    let one = |name: &&str| format!("let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"{name}.invalid\", 80));");
    format!("fn main() {{ {} }}", names.iter().map(one).collect::<String>())
}

#[test]
fn behaviour_is_compared_with_that_of_the_version_before() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("asks", "1.0.0").file("build.rs", &asks(&["stays", "goes"])));
    ground.registry.publish(&Package::new("added", "1.0.0").file("build.rs", &asks(&["added"])));
    let manifest = |more: &str| member("app", &format!("[dependencies]\nasks = '1'\n{more}"));
    ground.file("ws/Cargo.toml", &manifest("")).file("ws/src/lib.rs", "").locked();
    let (before, code) = ground.report(&["ws"]);
    assert_eq!(code, 11, "{before:#}");
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("old.lock")).unwrap();

    ground.registry.publish(&Package::new("asks", "1.1.0").file("build.rs", &asks(&["stays", "comes"])));
    fs::remove_file(ground.home.path().join("ws/Cargo.lock")).unwrap();
    ground.file("ws/Cargo.toml", &manifest("added = '1'\n")).locked();
    let sarif = format!("sarif={}", ground.home.path().join("a.sarif").display());
    let (after, code) = ground.report(&["ws", "--since", "old.lock", "--output", &sarif]);
    assert_eq!(code, 11, "{after:#}");
    let states = |id: &str| -> Vec<(String, String)> {
        let findings = package(&after, id).unwrap()["findings"].as_array().unwrap();
        let found = findings.iter().filter(|finding| finding["code"] == "dns-query");
        found.map(|f| pair(f["subject"].as_str().unwrap(), f["baseline"].as_str().unwrap())).collect()
    };
    assert_eq!(states("asks@1.1.0"), [pair("stays.invalid", "unchanged"), pair("comes.invalid", "new")]);
    assert_eq!(states("added@1.0.0"), [pair("added.invalid", "new")]);
    let baseline = &package(&after, "asks@1.1.0").unwrap()["baseline"];
    assert_eq!((&baseline["version"], &baseline["evidence"]), (&"1.0.0".into(), &before["evidence"]["sha256"]));
    let resolved: Vec<_> =
        baseline["resolved"].as_array().unwrap().iter().map(|was| was["subject"].as_str().unwrap()).collect();
    assert!(resolved.contains(&"goes.invalid") && !resolved.contains(&"stays.invalid"), "{resolved:?}");

    let sarif: Value = serde_json::from_slice(&fs::read(ground.home.path().join("a.sarif")).unwrap()).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let state = |subject: &str| {
        results.iter().find(|r| r["message"]["text"].as_str().unwrap().contains(subject)).unwrap()["baselineState"]
            .clone()
    };
    assert_eq!(
        (state("stays.invalid"), state("comes.invalid"), state("goes.invalid")),
        ("unchanged".into(), "new".into(), "absent".into())
    );

    // The comparison stands in the evidence, so that a second person sees the same.
    let evidence = after["evidence"]["path"].as_str().unwrap();
    let again = json(&ground.home.run(["replay", "--format=json", evidence]));
    assert_eq!(again, after);
    let human = stdout(&ground.home.run(["replay", evidence]));
    assert!(human.contains("dns-query (new)") && human.contains("resolved since 1.0.0:"), "{human}");
    let markdown = stdout(&ground.home.run(["replay", "--format=markdown", evidence]));
    assert!(
        markdown.contains("dns-query (unchanged)") && markdown.contains("- resolved since ` 1.0.0 `"),
        "{markdown}"
    );
}

#[test]
fn without_evidence_of_the_version_before_nothing_is_called_new() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("asks", "1.0.0").file("build.rs", &asks(&["stays"])));
    ground.file("ws/Cargo.toml", &member("app", "[dependencies]\nasks = '1'\n")).file("ws/src/lib.rs", "").locked();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("old.lock")).unwrap();
    ground.registry.publish(&Package::new("asks", "1.1.0").file("build.rs", &asks(&["stays"])));
    fs::remove_file(ground.home.path().join("ws/Cargo.lock")).unwrap();
    ground.locked();
    let (report, _) = ground.report(&["ws", "--since", "old.lock"]);
    let asks = package(&report, "asks@1.1.0").unwrap();
    assert_eq!((asks.get("baseline"), asks["findings"][0].get("baseline")), (None, None), "{asks:#}");
}

fn writes(names: &[&str]) -> String {
    let one = |name: &&str| format!("std::fs::write(\"{name}\", \"\").unwrap();");
    format!("fn main() {{ {} }}", names.iter().map(one).collect::<String>())
}

/// What each finding of `writes@1.1.0` is to those of 1.0.0, whose run passed, once `forget` has had the folder of evidence.
fn after_a_pass(forget: impl Fn(&Path)) -> (Vec<(String, Option<String>)>, Value) {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("writes", "1.0.0").file("build.rs", &writes(&["stays", "goes"])));
    ground.file("ws/Cargo.toml", &member("app", "[dependencies]\nwrites = '1'\n")).file("ws/src/lib.rs", "").locked();
    let (before, code) = ground.report(&["ws"]);
    assert_eq!((code, &before["verdict"]), (0, &"pass".into()), "{before:#}");
    forget(&ground.home.path().join(".local/state/sandbox-check/evidence"));
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("old.lock")).unwrap();
    ground.registry.publish(&Package::new("writes", "1.1.0").file("build.rs", &writes(&["stays", "comes"])));
    fs::remove_file(ground.home.path().join("ws/Cargo.lock")).unwrap();
    ground.locked();
    let (after, _) = ground.report(&["ws", "--since", "old.lock"]);
    let writes = package(&after, "writes@1.1.0").unwrap();
    let findings = writes["findings"].as_array().unwrap();
    let states = findings.iter().map(|finding| {
        let subject = finding["subject"].as_str().unwrap().rsplit('/').next().unwrap();
        (subject.to_owned(), finding["baseline"].as_str().map(str::to_owned))
    });
    (states.collect(), writes["baseline"]["resolved"].clone())
}

/// All but what was found.
fn forget_evidence(folder: &Path) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.file_name().unwrap() != "baselines" {
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        }
    }
}

#[test]
fn a_run_that_passes_leaves_enough_to_compare_with() {
    let (states, resolved) = after_a_pass(forget_evidence);
    let state = |name: &str, state: &str| (name.to_owned(), Some(state.to_owned()));
    assert_eq!(states, [state("stays", "unchanged"), state("comes", "new")]);
    let resolved: Vec<_> = resolved.as_array().unwrap().iter().map(|was| was["subject"].as_str().unwrap()).collect();
    assert!(resolved.len() == 1 && resolved[0].ends_with("goes"), "{resolved:?}");
    // It is that which is compared with.
    let (states, resolved) = after_a_pass(|folder| {
        forget_evidence(folder);
        fs::remove_dir_all(folder.join("baselines")).unwrap();
    });
    assert!(states.iter().all(|(_, state)| state.is_none()) && resolved.is_null(), "{states:?} {resolved}");
}

#[test]
fn what_was_found_travels_with_a_key_only() {
    let after = |import: &[&str]| {
        after_a_pass(|folder| {
            let home = Home::new();
            fs::write(home.path().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
            let place = ["--cache-dir", folder.to_str().unwrap()];
            let exported = home.run([&["cache", "export", "kept", "--key-file", "key"], &place[..]].concat());
            assert_eq!(code(&exported), 0, "{}", stderr(&exported));
            let said = stdout(&exported);
            assert!(said.starts_with("kept holds the cache, ") && said.ends_with("for who has the key\n"), "{said}");
            fs::remove_dir_all(folder).unwrap();
            let imported = home.run([&["cache", "import", "kept"], import, &place[..]].concat());
            assert_eq!(code(&imported), 0, "{}", stderr(&imported));
            forget_evidence(folder);
        })
    };
    let (states, _) = after(&["--key-file", "key"]);
    assert_eq!(states[0], ("stays".to_owned(), Some("unchanged".to_owned())));
    let (states, _) = after(&[]);
    assert!(states.len() == 2 && states.iter().all(|(_, state)| state.is_none()), "{states:?}");
}
