//! Lock files of every version that cargo has written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

/// The same file as cargo wrote it in this version; every name in it occurs once.
fn of_version(text: &str, version: u32) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("version = 4"));
    if version > 1 {
        let head = if version == 3 { "version = 3\n".to_owned() } else { String::new() };
        return head + &lines.collect::<Vec<_>>().join("\n") + "\n";
    }
    let table: toml::Table = text.parse().unwrap();
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let packages = table["package"].as_array().unwrap();
    let long = |package: &toml::Value| {
        let source = text(package, "source").map(|source| format!(" ({source})")).unwrap_or_default();
        format!("{} {}{source}", text(package, "name").unwrap(), text(package, "version").unwrap())
    };
    let by_name: BTreeMap<_, _> =
        packages.iter().map(|package| (text(package, "name").unwrap(), long(package))).collect();
    let (mut all, mut sums) = (String::new(), String::from("[metadata]\n"));
    for package in packages {
        all.push_str("[[package]]\n");
        for key in ["name", "version", "source"] {
            if let Some(value) = text(package, key) {
                writeln!(all, "{key} = \"{value}\"").unwrap();
            }
        }
        let needs = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        let needs: Vec<_> = needs.map(|edge| format!(" \"{}\",\n", by_name[edge.as_str().unwrap()])).collect();
        if !needs.is_empty() {
            write!(all, "dependencies = [\n{}]\n", needs.concat()).unwrap();
        }
        all.push('\n');
        if let Some(sum) = text(package, "checksum") {
            writeln!(sums, "\"checksum {}\" = \"{sum}\"", long(package)).unwrap();
        }
    }
    all + &sums
}

#[test]
fn a_lock_file_of_any_version_is_built_with_and_without_its_workspace() {
    let ground = Ground::new();
    ground.workspace().locked();
    let newest = fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap();
    assert!(newest.contains("version = 4"), "{newest}");
    for version in 1..=3 {
        let text = of_version(&newest, version);
        assert_ne!(text, newest);
        ground.file("ws/Cargo.lock", &text).file("bare/Cargo.lock", &text);
        for place in ["ws", "bare"] {
            let (report, exit) = ground.report(&[place, "--fresh"]);
            assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{version} {place}: {report:#}");
            assert_eq!(report["coverage"]["build_scripts"]["run"], 2, "{version} {place}");
        }
        assert_eq!(fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap(), text, "it is not written");
    }
}

#[test]
fn a_malicious_folder_three_levels_down_is_found_with_its_path_whatever_the_depth_and_the_file() {
    let ground = Ground::new();
    ground.workspace().fixture("reads-ssh-key", "ws/deps/a/deps/b/deps/c");
    for (dir, name, needs) in [
        ("ws/deps/a", "level-a", "level-b = { path = 'deps/b' }\n"),
        ("ws/deps/a/deps/b", "level-b", "reads-ssh-key = { path = 'deps/c' }\n"),
    ] {
        ground.file(&format!("{dir}/Cargo.toml"), &member(name, &format!("[dependencies]\n{needs}")));
        ground.file(&format!("{dir}/src/lib.rs"), "");
    }
    let needs = "[dependencies]\nmiddle = '1'\nlevel-a = { path = '../deps/a' }\n";
    ground.file("ws/inner/Cargo.toml", &member("inner", needs)).locked();
    for depth in ["build", "check"] {
        let (report, exit) = ground.report(&["ws", "--depth", depth, "--env", "SANDBOX_CHECK_FIXTURE=1"]);
        assert_eq!((exit, &report["verdict"]), (10, &Value::from("fail")), "{report:#}");
        let first = &report["packages"][0];
        let path: Vec<_> = first["path"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let names: Vec<_> = path.iter().map(|id| id.split('@').next().unwrap()).collect();
        assert_eq!(names, ["app", "inner", "level-a", "level-b", "reads-ssh-key"]);
        assert_eq!(first["findings"][0]["code"], "credential-read");
        let found = |package: &&Value| !package["findings"].as_array().unwrap().is_empty();
        let others = report["packages"].as_array().unwrap().iter().skip(1).filter(found);
        assert!(others.clone().all(|package| package["verdict"] == "pass"), "{report:#}");
    }
}
