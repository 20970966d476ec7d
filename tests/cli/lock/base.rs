//! Finished units of earlier runs: only what is new is built, and the report is that of a run that built all.

use std::collections::BTreeSet;

use super::*;

const MACRO: &str = "extern crate proc_macro;\n#[proc_macro]\npub fn nothing(_: proc_macro::TokenStream) -> proc_macro::TokenStream { Default::default() }\n";
const DEPENDS: &str = "[dependencies]\ninner = { path = '../inner' }\nmacros = '1'\n";

impl Ground {
    /// A workspace that needs scripts, a macro library, and a package beside them.
    fn larger(&self) -> &Self {
        let macros = Package::new("macros", "1.0.0").manifest("[lib]\nproc-macro = true\npath = 'macros.rs'\n");
        let macros = macros.file("macros.rs", MACRO);
        self.registry.publish(&macros);
        self.registry.publish(&Package::new("extra", "1.0.0").file("build.rs", BUILDS));
        self.workspace().file("ws/app/Cargo.toml", &member("app", DEPENDS)).locked()
    }

    /// Changes the workspace's own code, so that the whole run is another one.
    fn change(&self) -> &Self {
        let before = fs::read_to_string(self.home.path().join("ws/app/src/lib.rs")).unwrap();
        self.file("ws/app/src/lib.rs", &format!("{before}// another line\n"))
    }

    /// The only release of its name, in the place of what was there.
    fn replace(&self, package: &Package) -> &Self {
        self.registry.put(&download_path(package.name, package.version), package.pack());
        self.registry.put(&index_path(package.name), package.line().into_bytes());
        self
    }

    fn packs(&self) -> Vec<PathBuf> {
        let folder = self.home.path().join(".local/state/sandbox-check/evidence/units");
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

/// The packages of which something ran in this very run.
fn ran(report: &Value) -> BTreeSet<String> {
    let packages = report["packages"].as_array().unwrap().iter();
    let ran = packages
        .filter(|package| package["units"].as_array().unwrap().iter().any(|unit| unit.get("recorded").is_none()));
    ran.map(|package| package["id"].as_str().unwrap().split('@').next().unwrap().to_owned()).collect()
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

/// A report without dates, numbers of units and where things lie.
fn timeless(report: &Value) -> Value {
    let mut report = report.clone();
    let whole = report.as_object_mut().unwrap();
    for key in ["evidence", "reused"] {
        whole.remove(key);
    }
    for package in whole["packages"].as_array_mut().unwrap() {
        let units = package["units"].as_array_mut().unwrap();
        for unit in units.iter_mut() {
            let unit = unit.as_object_mut().unwrap();
            unit.retain(|key, _| key == "kind" || key == "outcome");
        }
        units.sort_by_key(Value::to_string);
        for finding in package["findings"].as_array_mut().unwrap() {
            let finding = finding.as_object_mut().unwrap();
            finding.remove("unit");
            finding.remove("attempts");
        }
        for artifact in package["artifacts"].as_array_mut().unwrap() {
            let artifact = artifact.as_object_mut().unwrap();
            artifact.retain(|key, _| ["what", "path", "sha256", "size"].contains(&key.as_str()));
        }
    }
    report
}

/// What it said, in one line.
fn said(output: &Output) -> String {
    stderr(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pass(report: &Value) {
    let (verdict, status) = (&report["verdict"], &report["completeness"]["status"]);
    assert_eq!((verdict, status), (&"pass".into(), &"complete".into()), "{}", report["completeness"]);
}

#[test]
fn a_run_that_was_stopped_is_carried_on_to_the_report_of_one_that_was_not() {
    let ground = Ground::new();
    let slow = "fn main() { std::thread::sleep(std::time::Duration::from_secs(5)) }";
    let needs = "[build-dependencies]\nmacros = '1'\nmiddle = '1'\n";
    ground
        .larger()
        .file("ws/app/build.rs", slow)
        .file("ws/app/Cargo.toml", &member("app", &format!("{DEPENDS}{needs}")));
    ground.locked();
    let (whole, _) = ground.report(&["ws", "--cache-dir", "whole"]);
    pass(&whole);
    // Everything else is there when the script of the workspace's own begins.
    let stopped = ground.interrupted(&["ws", "--format=json", "-j1"], "/build/app-");
    let report = json(&stopped);
    assert_eq!(
        (code(&stopped), &report["completeness"]["status"]),
        (130, &"incomplete".into()),
        "{}",
        stderr(&stopped)
    );
    let (second, _) = ground.report(&["ws"]);
    pass(&second);
    // The library is driven now, and the members are built; nothing else runs.
    let units = |id: &str| package(&second, id).unwrap()["units"].as_array().unwrap().clone();
    for unit in ["leafy@1.0.0", "middle@1.0.0", "macros@1.0.0"].iter().flat_map(|id| units(id)) {
        assert_eq!(unit.get("recorded").is_some(), unit["kind"] != "drive-macros", "{unit}");
    }
    assert_eq!(
        ran(&second),
        names(&["app", "inner", "macros"]).into_iter().filter(|name| ran(&whole).contains(name)).collect()
    );
    assert_eq!(timeless(&second), timeless(&whole));
    let started = |report: &Value| {
        let evidence = fs::read_to_string(report["evidence"]["path"].as_str().unwrap()).unwrap();
        let all = evidence.lines().filter(|line| line.contains("\"line\":\"unit-start\"")).count();
        (
            all,
            evidence
                .lines()
                .filter(|line| line.contains("\"line\":\"unit-start\"") && !line.contains("\"earlier\":"))
                .count(),
        )
    };
    let ((all, of_run), (of_whole, _)) = (started(&second), started(&whole));
    assert!(all == of_whole && of_run < all, "{all} {of_run} {of_whole}");
    // It is one file like any other: it replays to the same, and answers.
    let replayed = json(&ground.home.run(["replay", "--format=json", second["evidence"]["path"].as_str().unwrap()]));
    assert_eq!(replayed, second);
    assert!(ground.report(&["ws"]).0["reused"].is_object());
}

#[test]
fn a_run_that_was_terminated_leaves_what_is_finished_and_nothing_of_what_was_not() {
    let ground = Ground::new();
    let slow = "fn main() { std::thread::sleep(std::time::Duration::from_secs(5)) }";
    let needs = "[dependencies]\ninner = { path = '../inner' }\n[build-dependencies]\nmiddle = '1'\n";
    ground.workspace().file("ws/app/build.rs", slow).file("ws/app/Cargo.toml", &member("app", needs)).locked();
    let ended = ground.ended_by(nix::sys::signal::Signal::SIGTERM, &["ws"], "/build/app-");
    assert_eq!(code(&ended), 143, "{}", stderr(&ended));
    let (second, _) = ground.report(&["ws"]);
    pass(&second);
    let is_taken = |id: &str, kind: &str| {
        let units = package(&second, id).unwrap()["units"].as_array().unwrap();
        units.iter().find(|unit| unit["kind"] == kind).unwrap().get("recorded").is_some()
    };
    // The one that was running begins anew; what it needed had come to its end.
    assert!(is_taken("leafy@1.0.0", "run-build-script") && !is_taken("app@0.1.0", "run-build-script"), "{second:#}");
}

#[test]
fn one_new_crate_costs_that_crate_and_the_workspaces_own() {
    let ground = Ground::new();
    let (first, _) = ground.larger().report(&["ws"]);
    pass(&first);
    assert!(ran(&first).is_superset(&names(&["leafy", "macros"])), "{:?}", ran(&first));
    ground.file("ws/app/Cargo.toml", &member("app", &format!("{DEPENDS}extra = '1'\n"))).locked();
    let (second, _) = ground.report(&["ws"]);
    pass(&second);
    let new: BTreeSet<_> = ran(&second).into_iter().filter(|name| !["app", "inner"].contains(&name.as_str())).collect();
    assert_eq!(new, names(&["extra"]));
    // People read it, too, and --fresh builds all.
    ground.change();
    let people = stdout(&ground.run(&["ws"]));
    assert!(people.contains("from earlier runs"), "{people}");
    ground.change();
    let (fresh, _) = ground.report(&["ws", "--fresh"]);
    assert!(ran(&fresh).is_superset(&names(&["leafy", "macros", "extra"])), "{:?}", ran(&fresh));
}

#[test]
fn a_reader_that_leaves_early_costs_neither_the_exit_code_nor_what_is_kept() {
    let ground = Ground::new();
    let asks = "fn main() { let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"x.invalid\", 80)); }";
    ground.registry.publish(&Package::new("asks", "1.0.0").file("build.rs", asks));
    ground.larger().file("ws/app/Cargo.toml", &member("app", &format!("{DEPENDS}asks = '1'\n"))).locked();
    for format in ["--format=human", "--format=json"] {
        let mut command = ground.command(&["ws", "--color=never", format]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (11, ""), "{format}");
    }
    let kept = ground.packs().len();
    ground.change();
    let (next, _) = ground.report(&["ws"]);
    let again: BTreeSet<_> = ran(&next).into_iter().filter(|name| !["app", "inner"].contains(&name.as_str())).collect();
    assert_eq!((kept, again), (2, names(&["asks"])), "{next:#}");
}

#[test]
fn what_was_written_while_the_build_went_on_is_taken_as_all_else() {
    let ground = Ground::new();
    let slow = "fn main() { std::thread::sleep(std::time::Duration::from_secs(6)) }";
    ground.larger().file("ws/app/build.rs", slow);
    // One job is one CPU: while the script sleeps, as many units run as may.
    for (jobs, expected) in [("-j2", true), ("-j1", false)] {
        let output = ground.run(&["ws", "--format=json", "--fresh", "--verbose", jobs]);
        pass(&json(&output));
        let said = said(&output);
        let ahead = said.split(" ahead=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        assert_eq!(ahead.map(|count| count >= 2), Some(expected), "{jobs}: {said}");
        assert!(ground.packs().iter().all(|path| path.extension().is_some_and(|it| it == "pack")), "{jobs}");
        let verified = ground.home.run(["cache", "verify"]);
        assert_eq!(code(&verified), 0, "{}", stdout(&verified));
        let (report, _) = ground.change().report(&["ws"]);
        pass(&report);
        let again = names(&["leafy", "middle", "macros"]).intersection(&ran(&report)).cloned().collect::<BTreeSet<_>>();
        assert_eq!(again, names(&[]), "{jobs}");
    }
}

#[test]
fn what_was_edited_is_told_removed_and_built_again() {
    let ground = Ground::new();
    pass(&ground.larger().report(&["ws"]).0);
    let packs = ground.packs();
    assert!(packs.len() >= 2, "{packs:?}");
    for pack in &packs {
        let mut bytes = fs::read(pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(pack, bytes).unwrap();
    }
    let verified = ground.home.run(["cache", "verify"]);
    assert_eq!((code(&verified), stdout(&verified).matches("damaged: ").count()), (10, packs.len()));
    let output = ground.change().run(&["ws", "--format=json"]);
    let report = json(&output);
    pass(&report);
    assert!(said(&output).contains("not what was kept"), "{}", stderr(&output));
    assert!(ran(&report).is_superset(&names(&["leafy", "macros"])), "{:?}", ran(&report));
    // What it built is taken from then on, and its evidence is held as well.
    let (report, _) = ground.change().report(&["ws"]);
    assert!(!ran(&report).contains("leafy"), "{:?}", ran(&report));
    for entry in fs::read_dir(ground.home.path().join(".local/state/sandbox-check/evidence")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = fs::read_to_string(&path).unwrap().replacen("leafy", "leafz", 1);
            fs::write(&path, text).unwrap();
        }
    }
    let output = ground.change().run(&["ws", "--format=json"]);
    let report = json(&output);
    pass(&report);
    assert!(said(&output).contains("damaged or was edited"), "{}", stderr(&output));
    assert!(ran(&report).contains("leafy"), "{:?}", ran(&report));
}

#[test]
fn a_package_with_another_checksum_runs_again_with_all_that_needs_it() {
    let ground = Ground::new();
    ground.replace(&Package::new("middle", "1.0.0").needs("leafy", "^1").file("build.rs", BUILDS));
    pass(&ground.larger().report(&["ws"]).0);
    let (before, _) = ground.change().report(&["ws"]);
    assert!(ran(&before).is_disjoint(&names(&["leafy", "middle", "macros"])), "{:?}", ran(&before));
    ground.replace(&Package::new("leafy", "1.0.0").file("build.rs", "fn main() { println!(); }"));
    fs::remove_file(ground.home.path().join("ws/Cargo.lock")).unwrap();
    let (after, _) = ground.locked().report(&["ws"]);
    pass(&after);
    assert!(ran(&after).is_superset(&names(&["leafy", "middle"])), "{:?}", ran(&after));
    assert!(!ran(&after).contains("macros"), "{:?}", ran(&after));
}

#[test]
fn a_package_on_which_something_was_found_is_never_taken_nor_what_needs_it() {
    let ground = Ground::new();
    let asks = "fn main() { let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"asks.invalid\", 1)); }";
    ground.replace(&Package::new("leafy", "1.0.0").file("build.rs", asks));
    ground.replace(&Package::new("middle", "1.0.0").needs("leafy", "^1").file("build.rs", BUILDS));
    ground.larger();
    for _ in 0..2 {
        let (report, code) = ground.change().report(&["ws"]);
        assert_eq!(code, 11, "{}", report["packages"]);
        assert!(ran(&report).is_superset(&names(&["leafy", "middle"])), "{:?}", ran(&report));
    }
    assert!(!ran(&ground.change().report(&["ws"]).0).contains("macros"));
}

#[test]
fn a_bare_lock_file_and_the_whole_depth_take_what_is_finished_too() {
    let ground = Ground::new();
    ground.larger();
    let bare = |ground: &Ground| {
        fs::create_dir_all(ground.home.path().join("bare")).unwrap();
        fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    };
    bare(&ground);
    let calls: [&[&str]; 2] = [&["bare"], &["ws", "--depth", "check"]];
    let first = calls.map(|args| ground.report(args).0);
    ground.file("ws/app/Cargo.toml", &member("app", &format!("{DEPENDS}extra = '1'\n"))).locked();
    bare(&ground);
    for (args, first) in calls.into_iter().zip(first) {
        let (second, _) = ground.report(args);
        pass(&first);
        pass(&second);
        let new: BTreeSet<_> = ran(&second).difference(&names(&["app", "inner"])).cloned().collect();
        assert_eq!(new, names(&["extra"]), "{args:?}");
        let was_there = |report: &Value| {
            let mut report = timeless(report);
            let packages = report["packages"].as_array_mut().unwrap();
            packages.retain(|package| {
                ["leafy@1.0.0", "macros@1.0.0", "middle@1.0.0"].contains(&package["id"].as_str().unwrap())
            });
            for package in packages.iter_mut() {
                package.as_object_mut().unwrap().remove("path");
            }
            packages.sort_by_key(|package| package["id"].to_string());
            report["packages"].clone()
        };
        assert_eq!(was_there(&second), was_there(&first), "{args:?}");
    }
}

#[test]
fn a_script_that_cargo_runs_each_time_runs_and_its_compilation_is_taken() {
    let ground = Ground::new();
    let always = "fn main() { println!(\"cargo::rerun-if-changed=/no/such/file\"); }";
    ground.replace(&Package::new("leafy", "1.0.0").file("build.rs", always));
    pass(&ground.larger().report(&["ws"]).0);
    let (second, _) = ground.change().report(&["ws"]);
    pass(&second);
    let units = package(&second, "leafy@1.0.0").unwrap()["units"].as_array().unwrap();
    let of = |kind: &str| units.iter().filter(|unit| unit["kind"] == kind).collect::<Vec<_>>();
    let (compiled, run) = (of("compile-build-script"), of("run-build-script"));
    assert_eq!((compiled.len(), run.len()), (1, 1), "{units:#?}");
    assert!(compiled[0].get("recorded").is_some() && run[0].get("recorded").is_none(), "{units:#?}");
}

#[test]
fn what_two_workspaces_of_one_run_share_is_built_once_and_counted_once() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("own-of-two", "1.0.0").file("build.rs", BUILDS));
    ground.workspace().locked();
    ground
        .file("two/Cargo.toml", &member("two", "[dependencies]\nmiddle = '1'\nown-of-two = '1'\n"))
        .file("two/src/lib.rs", "")
        .locked_in("two");
    let (report, exit) = ground.report(&["ws", "two", "--evidence", "kept"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{report:#}");
    let scripts = |report: &Value| report["coverage"]["build_scripts"]["run"].as_u64().unwrap();
    assert_eq!((scripts(&report), scripts(&report["further"][0])), (2, 2), "each file for itself");
    // leafy, app and own-of-two; windowsy is of another platform.
    let sum = |found: u64| serde_json::json!({"found": found, "run": found});
    let sums = serde_json::json!({
        "files": 2, "packages": 7, "shared": 2, "build_scripts": sum(3), "macro_libraries": sum(0)
    });
    assert_eq!(report["together"], sums);
    // What ran of leafy in the second file is what ran in the first: the same moments.
    let moments = |of: &str| {
        let kept = fs::read_dir(ground.home.path().join("kept")).unwrap().map(|entry| entry.unwrap().path());
        let is_of = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(of) && path.extension().is_some_and(|extension| extension == "jsonl")
        };
        let text = fs::read_to_string(kept.into_iter().find(is_of).unwrap()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let starts = lines.filter(|line| line["line"] == "unit-start" && line["package"] == "leafy@1.0.0");
        starts.map(|start| (start["name"].to_string(), start["t"].as_u64())).collect::<BTreeSet<_>>()
    };
    assert_eq!(moments("ws"), moments("two"));
    assert_eq!(moments("ws").len(), 2);
    // The same if earlier calls do not count.
    fs::remove_dir_all(ground.home.path().join("kept")).unwrap();
    let (report, exit) = ground.report(&["ws", "two", "--fresh", "--evidence", "kept"]);
    assert_eq!(exit, 0, "{report:#}");
    let units = package(&report, "leafy@1.0.0").unwrap()["units"].as_array().unwrap();
    assert!(units.iter().all(|unit| unit.get("recorded").is_none()), "{units:#?}");
    assert_eq!(moments("ws"), moments("two"));
    let human = stdout(&ground.run(&["ws", "two"]));
    assert!(human.contains("7 packages, 2 of them in several and told once"), "{human}");
}
