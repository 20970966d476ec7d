//! Runs the built program on every fixture, compares its report with `expected.toml`, and judges its evidence again.
//!
//! `SANDBOX_CHECK_ONLY=NAME` runs the fixtures whose name contains `NAME`. The
//! fixtures' README says how to add one; nothing here needs to change.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use support::report::{Report, differences};
use support::{Fixture, fixtures};

/// More at a time would only wait for each other.
const AT_A_TIME: usize = 2;

#[test]
fn every_fixture_gets_the_report_that_it_expects() {
    let only = std::env::var("SANDBOX_CHECK_ONLY").unwrap_or_default();
    let fixtures: Vec<_> = fixtures().unwrap().into_iter().filter(|fixture| fixture.name.contains(&only)).collect();
    assert!(!fixtures.is_empty(), "no fixture is called {only}");
    let count = fixtures.len();
    let queue = Mutex::new(fixtures.into_iter());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let Some(fixture) = queue.lock().unwrap().next() else { break };
                    let found = run(&fixture).map_or_else(|error| vec![error], |report| differences(&fixture, &report));
                    if !found.is_empty() {
                        failures.lock().unwrap().push(format!("{}\n    {}", fixture.name, found.join("\n    ")));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} of {count} fixtures differ:\n\n{}\n", failures.len(), failures.join("\n\n"));
}

/// The report on one fixture, or why there is none. Its evidence must give the same report again.
fn run(fixture: &Fixture) -> Result<Report, String> {
    let kept = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|error| error.to_string())?;
    let (told, again) = (kept.path().join("told.txt"), kept.path().join("again.json"));
    let mut run = on_fixture(fixture, "json")?;
    run.arg("--evidence").arg(kept.path()).arg("--output").arg(format!("human={}", told.display()));
    let ran = output(&mut run)?;
    let json: serde_json::Value = serde_json::from_slice(&ran.stdout).map_err(|error| no_report(&ran, &error))?;
    accounts_for_all(&json)?;

    let evidence = json.pointer("/evidence/path").and_then(|path| path.as_str()).ok_or("no evidence was kept")?;
    let mut replay = program();
    replay.args(["replay", evidence, "--output"]).arg(format!("json={}", again.display()));
    let replayed = output(&mut replay)?;
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    for (form, one, other) in [("human", read(&told)?, replayed.stdout), ("json", ran.stdout, read(&again)?)] {
        if one != other {
            return Err(format!("replay tells something else ({form}):\n{}", String::from_utf8_lossy(&other)));
        }
    }
    if ran.status.code() != replayed.status.code() {
        return Err(format!("the run ended with {}, its replay with {}", ran.status, replayed.status));
    }
    serde_json::from_value(json).map_err(|error| error.to_string())
}

/// The program with one fixture as its target.
fn on_fixture(fixture: &Fixture, format: &str) -> Result<Command, String> {
    let default = ["--env".to_owned(), "SANDBOX_CHECK_FIXTURE=1".to_owned()];
    let arguments = fixture.expected.args.as_deref().unwrap_or(&default);
    let dir = fixture.dir.strip_prefix(env!("CARGO_MANIFEST_DIR")).map_err(|error| error.to_string())?;
    let mut command = program();
    command.args(["--format", format, "--offline", "--depth", "check"]).args(arguments).arg(Path::new(".").join(dir));
    Ok(command)
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-check"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // The fixtures act on this variable; it reaches them through `--env` only.
        .env_remove("SANDBOX_CHECK_FIXTURE")
        // Nor does anything that their user gives to builds.
        .env("XDG_CONFIG_HOME", env!("CARGO_TARGET_TMPDIR"))
        // Nothing of a test's lies among the evidence of its user.
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

fn output(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("could not start the program: {error}"))
}

fn no_report(output: &Output, error: &serde_json::Error) -> String {
    let tail = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<_> = tail.lines().rev().take(8).collect();
    let tail: Vec<_> = tail.into_iter().rev().collect();
    format!("{}, and no report ({error}); the last it said:\n      {}", output.status, tail.join("\n      "))
}

/// `received = recorded + coalesced + counted + dropped`.
fn accounts_for_all(report: &serde_json::Value) -> Result<(), String> {
    let number = |name: &str| report.pointer(&format!("/evidence/{name}")).and_then(serde_json::Value::as_u64);
    let received = number("received").unwrap_or(0);
    let told: u64 = ["recorded", "coalesced", "counted", "dropped"].into_iter().filter_map(number).sum();
    if received == told && received > 0 { Ok(()) } else { Err(format!("{received} calls, {told} accounted for")) }
}

/// The comparison itself, on reports written by hand.
#[test]
fn a_report_is_compared_in_all_its_parts() {
    let fixtures = fixtures().unwrap();
    let fixture = fixtures.iter().find(|fixture| fixture.name == "reads-ssh-key").unwrap();
    let report = |verdict: &str, code: &str, severity: &str, unit: &str, subject: &str| -> Report {
        serde_json::from_value(serde_json::json!({
            "verdict": verdict,
            "completeness": {"status": "complete", "reasons": []},
            "packages": [{
                "id": "reads-ssh-key@0.1.0",
                "units": [{"id": "u1", "kind": "compile-build-script"}, {"id": "u2", "kind": "run-build-script"}],
                "findings": [{"code": code, "severity": severity, "unit": unit, "subject": subject}],
            }],
        }))
        .unwrap()
    };
    let key = "~/.ssh/id_ed25519";
    let good = report("fail", "credential-read", "high", "u2", key);
    assert_eq!(differences(fixture, &good), Vec::<String>::new());
    for wrong in [
        report("pass", "credential-read", "high", "u2", key),
        report("fail", "credential-read", "medium", "u2", key),
        report("fail", "credential-read", "high", "u1", key),
        report("fail", "credential-read", "high", "u2", "~/.ssh/id_rsa"),
    ] {
        assert_eq!(differences(fixture, &wrong).len(), 1, "{wrong:?}");
    }
    let other = report("fail", "dns-query", "medium", "u2", "a.invalid");
    assert_eq!(differences(fixture, &other).len(), 2, "one is missing and one is not expected");
    let harmless = report("fail", "source-write", "low", "u2", "src/lib.rs");
    assert_eq!(differences(fixture, &harmless).len(), 1, "what is low is ignored");
}

/// Control characters, bidirectional text and ends of lines that a package chose would change what a reader sees.
#[test]
fn nothing_that_a_package_chose_reaches_an_output_raw() {
    let fixtures = fixtures().unwrap();
    for name in ["escapes-the-terminal", "forges-lines"] {
        let fixture = fixtures.iter().find(|fixture| fixture.name == name).unwrap();
        for format in ["human", "json"] {
            let output = output(&mut on_fixture(fixture, format).unwrap()).unwrap();
            for bytes in [&output.stdout, &output.stderr] {
                let text = String::from_utf8(bytes.clone()).unwrap();
                let raw: Vec<_> = text.chars().filter(|c| is_raw(*c)).collect();
                assert!(raw.is_empty(), "{name}, {format}: {raw:?} in\n{text:?}");
                let ours = |line: &&str| line.starts_with("verdict:") || line.starts_with("PASS  ");
                assert!(text.lines().filter(ours).count() <= 1, "{name}, {format}: {text}");
            }
        }
    }
}

fn is_raw(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
}
