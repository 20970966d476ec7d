//! Packages from git, and runs that take long, are broken off or hit a limit.

use super::*;

#[test]
fn a_package_of_a_git_repository_is_built_with_and_without_the_workspace() {
    let ground = Ground::new();
    let sign = ground.home.path().join("sign");
    ground
        .file("repo/Cargo.toml", "[workspace]\nmembers = ['gitty', 'sibling']\n[workspace.package]\nversion = '3.0.0'\nedition = '2021'\n[workspace.dependencies]\nleafy = '1'\n")
        .file(
            "repo/gitty/Cargo.toml",
            "[package]\nname = 'gitty'\nversion.workspace = true\nedition.workspace = true\n[dependencies]\nleafy.workspace = true\nsibling = { path = '../sibling' }\n",
        )
        .file("repo/gitty/src/lib.rs", "")
        .file("repo/gitty/build.rs", BUILDS)
        .file("repo/sibling/Cargo.toml", "[package]\nname = 'sibling'\nversion.workspace = true\n[lib]\nproc-macro = true\n")
        .file(
            "repo/sibling/src/lib.rs",
            "extern crate proc_macro;\n#[proc_macro]\npub fn nothing(_: proc_macro::TokenStream) -> proc_macro::TokenStream { Default::default() }\n",
        )
        .file("repo/.gitattributes", "* filter=evil\n");
    let git = |args: &[&str]| {
        let mut git = ground.home.command("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(args);
        let output = git.current_dir(ground.home.path().join("repo")).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    git(&["init", "-q", "-b", "main", "."]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    let url = format!("file://{}", ground.home.path().join("repo").display());
    ground.workspace().file(
        "ws/app/Cargo.toml",
        &member(
            "app",
            &format!("[dependencies]\ninner = {{ path = '../inner' }}\ngitty = {{ git = '{url}', branch = 'main' }}\n"),
        ),
    );
    ground.locked();
    let evil = format!("touch {}", sign.display());
    for key in ["filter.evil.smudge", "core.fsmonitor", "uploadpack.packObjectsHook"] {
        git(&["config", key, &evil]);
    }
    fs::create_dir(ground.home.path().join("bare")).unwrap();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    // Where cargo has the commit, nothing is fetched; here it is.
    fs::remove_dir_all(ground.registry.home().join("git")).unwrap();
    for (place, scripts) in [("ws", 3), ("bare", 3)] {
        let (report, exit) = ground.report(&[place]);
        assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{place}: {report:#}");
        assert_eq!(report["lock"]["sources"]["git"], 2, "{place}");
        assert_eq!(report["coverage"]["build_scripts"]["run"], scripts, "{place}");
        assert_eq!(report["coverage"]["macro_libraries"]["loaded"], 1, "{place}");
        assert_eq!(package(&report, "gitty@3.0.0").unwrap()["source"], "git", "{place}");
    }
    assert!(!sign.exists(), "a program of the repository's choice ran");
    // What has gone takes nothing else along.
    fs::rename(ground.home.path().join("repo"), ground.home.path().join("gone")).unwrap();
    fs::remove_dir_all(ground.home.path().join(".cache/sandbox-check/git")).unwrap();
    let (report, exit) = ground.report(&["bare", "--fresh"]);
    assert_eq!((exit, &report["error"]["code"]), (75, &Value::from("temporary")), "{report:#}");
    assert!(report["coverage"]["build_scripts"]["run"].as_u64().unwrap() >= 1);
}

#[test]
fn without_a_terminal_a_line_tells_how_far_it_is_unless_it_is_to_be_quiet() {
    let ground = Ground::new();
    let slow = "fn main() { std::thread::sleep(std::time::Duration::from_secs(11)) }";
    ground.workspace().file("ws/app/build.rs", slow).locked();
    let output = ground.run(&["ws", "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.starts_with("ws/Cargo.lock: ") && said.contains(" of at most 2 packages done, 1 unit running"),
        "{said}"
    );
    let output = ground.run(&["ws", "--quiet", "--format", "json"]);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}

#[test]
fn a_signal_ends_it_with_what_was_seen_until_then() {
    let ground = Ground::new();
    let sign = "fn main() { std::thread::sleep(std::time::Duration::from_secs(60)) }";
    // The package's script waits for the other one's library.
    let needs = "[dependencies]\ninner = { path = '../inner' }\n[build-dependencies]\nleafy = '1'\n";
    ground.workspace().file("ws/app/Cargo.toml", &member("app", needs)).file("ws/app/build.rs", sign).locked();
    let output = ground.interrupted(&["ws", "--format=json", "--evidence", "kept", "-j1"], "/build/app-");
    let report = json(&output);
    assert_eq!(code(&output), 130, "{report:#}{}", stderr(&output));
    assert_eq!(report["completeness"]["status"], "incomplete");
    let reasons = report["completeness"]["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason["code"] == "killed"), "{reasons:#?}");
    let leafy = package(&report, "leafy@1.0.0").unwrap();
    assert!(leafy["units"].as_array().unwrap().iter().any(|unit| unit["outcome"] == "ok"), "{leafy}");
    assert_eq!(report["lock"]["packages"].as_array().unwrap().len(), 5);
}

#[test]
fn a_package_that_hangs_or_floods_leaves_the_others() {
    let ground = Ground::new();
    let hangs = "fn main() { std::thread::sleep(std::time::Duration::from_secs(600)) }";
    let floods = "fn main() { loop { println!(\"{}\", \"x\".repeat(1000)); } }";
    ground.registry.publish(&Package::new("hanging", "1.0.0").file("build.rs", hangs));
    ground.registry.publish(&Package::new("flooding", "1.0.0").file("build.rs", floods));
    let talks = "fn main() { for _ in 0..2_000 { eprintln!(\"{}\", \"y\".repeat(100)); } panic!(\"no libfoo\") }";
    ground.registry.publish(&Package::new("talking", "1.0.0").file("build.rs", talks));
    ground.workspace().file(
        "ws/app/Cargo.toml",
        &member("app", "[dependencies]\ninner = { path = '../inner' }\nhanging = '1'\nflooding = '1'\ntalking = '1'\n"),
    );
    ground.locked();
    let (report, exit) = ground.report(&["ws", "--limit", "unit-time=8", "--limit", "output=1M"]);
    let reasons = report["completeness"]["reasons"].as_array().unwrap();
    for (id, said) in [("hanging@1.0.0", "SIGKILL"), ("flooding@1.0.0", "xxx"), ("talking@1.0.0", "no libfoo")] {
        let of_package: Vec<_> = reasons.iter().filter(|reason| reason["package"] == id).collect();
        let [reason] = of_package.as_slice() else { panic!("{id}: {exit} {reasons:#?}") };
        assert!(reason["log_tail"].to_string().contains(said), "{id}: {exit} {reasons:#?}");
        let text = "the build script was stopped: the unit did not end within 8 s (--limit unit-time=… gives more)";
        let is_stopped = reason["text"] == text;
        assert_eq!(is_stopped, id != "talking@1.0.0", "{reason:#}");
    }
    assert_eq!(package(&report, "leafy@1.0.0").unwrap()["verdict"], "pass", "{report:#}");
    assert_eq!(package(&report, "app@0.1.0").unwrap()["verdict"], "pass", "{report:#}");
}

#[test]
fn a_macro_that_never_ends_costs_its_user_and_what_needs_that_and_no_other() {
    let ground = Ground::new();
    let endless = "extern crate proc_macro;\n#[proc_macro]\npub fn forever(_: proc_macro::TokenStream) -> proc_macro::TokenStream { loop { std::hint::spin_loop() } }\n";
    ground.registry.publish(
        &Package::new("endless", "1.0.0")
            .manifest("[lib]\nproc-macro = true\npath = 'src/macros.rs'\n")
            .file("src/macros.rs", endless),
    );
    ground.workspace();
    for (name, more, library) in [
        ("app", "[dependencies]\ninner = { path = '../inner' }\nendless = '1'\n", "endless::forever!();"),
        ("above", "[dependencies]\napp = { path = '../app' }\n", ""),
        ("beside", "[dependencies]\nleafy = '1'\n", ""),
    ] {
        ground.file(&format!("ws/{name}/Cargo.toml"), &member(name, more));
        ground.file(&format!("ws/{name}/src/lib.rs"), library).file(&format!("ws/{name}/build.rs"), BUILDS);
    }
    ground.file("ws/Cargo.toml", "[workspace]\nmembers = ['app', 'above', 'beside']\nresolver = '2'\n").locked();
    // Only this depth expands it.
    let (report, _) = ground.report(&["ws", "--depth", "check", "--limit", "unit-time=10", "--timeout", "200"]);
    let reasons = report["completeness"]["reasons"].as_array().unwrap();
    let why = |id: &str| {
        let of_package = reasons.iter().filter(|reason| reason["package"] == id);
        of_package.map(|reason| reason["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(why("app@0.1.0").contains(&"limit-hit".to_owned()), "{reasons:#?}");
    assert_eq!(why("above@0.1.0"), ["unit-not-run"], "{reasons:#?}");
    assert_eq!(
        not_exercised(&report),
        [pair("above@0.1.0", "dependency-failed"), pair("windowsy@1.0.0", "other-platform")]
    );
    let caused = reasons
        .iter()
        .any(|reason| reason["package"] == "app@0.1.0" && reason["text"].as_str().unwrap().contains("endless@1.0.0"));
    assert!(caused, "what held it is not named: {reasons:#?}");
    // Driven alone it never ends either, so that it got no further input.
    assert_eq!(why("endless@1.0.0"), ["undriven"]);
    for id in ["leafy@1.0.0", "beside@0.1.0", "inner@0.1.0"] {
        assert_eq!(package(&report, id).unwrap()["verdict"], "pass", "{id}: {report:#}");
        assert_eq!(why(id), Vec::<String>::new());
    }
    assert!(!reasons.iter().any(|reason| reason["code"] == "timeout"), "{reasons:#?}");
}
