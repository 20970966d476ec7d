//! Packages of one name and version from several sources in one lock file.

use super::*;

const READS: &str =
    "fn main() { let _ = std::fs::read(format!(\"{}/.ssh/id_ed25519\", std::env::var(\"HOME\").unwrap())); }";

/// `twin 1.0.0` of the default registry, of another one, of a repository and of a folder. That of the repository and its
/// reading script are the only thing to be found.
fn four(other: &Registry) -> Ground {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("twin", "1.0.0").file("build.rs", BUILDS));
    other.publish(&Package::new("twin", "1.0.0").file("build.rs", BUILDS).file("src/other.rs", ""));
    other.publish(&Package::new("beside", "1.0.0").file("build.rs", BUILDS));
    let twin = "[package]\nname = 'twin'\nversion = '1.0.0'\nedition = '2021'\n";
    ground.file("repo/Cargo.toml", twin).file("repo/src/lib.rs", "").file("repo/build.rs", READS);
    let url = ground.repository("repo");
    ground.registry.configure_more(&format!("[registries.mine]\nindex = '{}'\n", other.index_url()));
    ground
        .file("ws/Cargo.toml", "[workspace]\nmembers = ['app', 'one', 'two', 'three']\nresolver = '2'\n")
        .file("ws/twin/Cargo.toml", twin)
        .file("ws/twin/src/lib.rs", "")
        .file("ws/twin/build.rs", BUILDS);
    for (name, needs) in [
        ("app", "one = { path = '../one' }\ntwo = { path = '../two' }\nthree = { path = '../three' }\ntwin = '1'\n"),
        ("one", "twin = { version = '1', registry = 'mine' }\nbeside = { version = '1', registry = 'mine' }\n"),
        ("two", &format!("twin = {{ git = '{url}' }}\n")),
        ("three", "twin = { path = '../twin' }\n"),
    ] {
        ground.file(&format!("ws/{name}/Cargo.toml"), &member(name, &format!("[dependencies]\n{needs}")));
        ground.file(&format!("ws/{name}/src/lib.rs"), "");
    }
    ground.locked();
    ground
}

/// By the member that needs it: what a twin is called.
fn twins(report: &Value) -> std::collections::BTreeMap<String, String> {
    let all = report["packages"].as_array().unwrap().iter();
    let twins = all.filter(|package| package["id"].as_str().unwrap().starts_with("twin@1.0.0"));
    let needed_by = |package: &Value| {
        let path = package["path"].as_array().unwrap();
        path.iter().rev().nth(1).map_or("nobody", |id| id.as_str().unwrap()).to_owned()
    };
    twins.map(|package| (needed_by(package), package["id"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn packages_of_one_name_and_version_are_each_built_and_judged_by_their_source() {
    let other = Registry::start();
    let ground = four(&other);
    for depth in ["build", "check"] {
        let (report, exit) = ground.report(&["ws", "--depth", depth, "--fresh"]);
        assert_eq!((exit, &report["verdict"]), (10, &Value::from("fail")), "{depth}: {report:#}");
        assert_eq!(report["completeness"]["status"], "complete", "{report:#}");
        assert_eq!(report["coverage"]["build_scripts"]["run"], 5, "{depth}");
        let twins = twins(&report);
        assert_eq!(twins.len(), 4, "{twins:#?}");
        let of = |member: &str| package(&report, &twins[member]).unwrap();
        assert_eq!((&*twins["app@0.1.0"], &*twins["three@0.1.0"]), ("twin@1.0.0", "twin@1.0.0~folder"));
        assert!(twins["one@0.1.0"].starts_with("twin@1.0.0~registry-"), "{twins:#?}");
        assert!(twins["two@0.1.0"].starts_with("twin@1.0.0~git-"), "{twins:#?}");
        assert_eq!(of("two@0.1.0")["findings"][0]["code"], "credential-read");
        for member in ["app@0.1.0", "one@0.1.0", "three@0.1.0"] {
            assert_eq!(of(member)["verdict"], "pass", "{member}: {report:#}");
            let ran = |unit: &&Value| unit["kind"] == "run-build-script";
            assert_eq!(of(member)["units"].as_array().unwrap().iter().filter(ran).count(), 1, "{member}");
        }
        let remarks = report["lock"]["remarks"].to_string();
        assert!(twins.values().skip(1).all(|id| remarks.contains(id.as_str())), "{remarks}");
    }
}

#[test]
fn a_decision_is_proposed_for_the_one_that_is_named_with_its_mark() {
    let other = Registry::start();
    let ground = four(&other);
    let (report, _) = ground.report(&["ws"]);
    let reading = &twins(&report)["two@0.1.0"];
    let propose = |word: &str| ground.home.run(["ignore", "add", word, "--reason", "Ours.", "--expires", "90d"]);
    let output = propose(reading);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("+source = \"git\""), "{}", stdout(&output));
    // That of the default registry has no mark.
    assert_eq!(code(&propose("twin@1.0.0")), 3);
    let output = propose("twin");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).replace("\n  ", " ").contains(reading), "{}", stderr(&output));
}

#[test]
fn without_the_workspace_they_are_told_apart_too() {
    let other = Registry::start();
    let ground = four(&other);
    fs::create_dir(ground.home.path().join("bare")).unwrap();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    let (report, exit) = ground.report(&["bare"]);
    assert_eq!((exit, &report["verdict"]), (10, &Value::from("fail")), "{report:#}");
    let found = |package: &&Value| !package["findings"].as_array().unwrap().is_empty();
    let found: Vec<_> = report["packages"].as_array().unwrap().iter().filter(found).collect();
    assert_eq!(found.len(), 1);
    assert!(found[0]["id"].as_str().unwrap().starts_with("twin@1.0.0~git-"), "{report:#}");
    assert_eq!(report["coverage"]["build_scripts"]["run"], 4, "{report:#}");
}

#[test]
fn two_repositories_of_one_name_make_only_the_later_incomplete_where_no_workspace_tells_them_apart() {
    let ground = Ground::new();
    let twin = "[package]\nname = 'twin'\nversion = '1.0.0'\nedition = '2021'\n";
    let mut needs = Vec::new();
    for repo in ["repo-a", "repo-b"] {
        ground.file(&format!("{repo}/Cargo.toml"), twin).file(&format!("{repo}/src/lib.rs"), "");
        ground.file(&format!("{repo}/build.rs"), BUILDS);
        let url = ground.repository(repo);
        needs.push(format!("{} = {{ package = 'twin', git = '{url}' }}\n", &repo[5..]));
    }
    ground.workspace();
    let needs = format!("[dependencies]\ninner = {{ path = '../inner' }}\n{}", needs.concat());
    ground.file("ws/app/Cargo.toml", &member("app", &needs)).locked();
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{report:#}");
    assert_eq!(report["coverage"]["build_scripts"]["run"], 4);
    fs::create_dir(ground.home.path().join("bare")).unwrap();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    let (report, exit) = ground.report(&["bare"]);
    assert_eq!((exit, &report["verdict"]), (5, &Value::from("inconclusive")), "{report:#}");
    let gaps: Vec<_> = report["completeness"]["reasons"].as_array().unwrap().iter().collect();
    assert_eq!(gaps.len(), 1, "{gaps:#?}");
    assert!(gaps[0]["package"].as_str().unwrap().starts_with("twin@1.0.0~git-"), "{gaps:#?}");
    assert_eq!(report["coverage"]["build_scripts"]["run"], 3, "the other one, leafy and windowsy");
}
