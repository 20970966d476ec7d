//! Whole runs in the sandbox: reports, where they go, and what becomes of the evidence.

use super::*;

const STATE: &str = ".local/state/sandbox-check/evidence";

/// A package with this build script.
pub(crate) fn package(home: &Home, name: &str, build: &str) -> PathBuf {
    let dir = home.path().join(name);
    fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[workspace]\n");
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/lib.rs"), "").unwrap();
    fs::write(dir.join("build.rs"), build).unwrap();
    dir
}

fn target(dir: &Path) -> [&OsStr; 2] {
    [OsStr::new("--offline"), dir.as_os_str()]
}

#[test]
fn an_honest_package_passes_and_its_evidence_goes() {
    let home = Home::new();
    let dir = package(&home, "honest", "fn main() {}");
    let file = home.path().join("report.json");
    let mut args = vec![OsStr::new("--output").to_owned(), format!("json={}", file.display()).into()];
    args.extend(target(&dir).map(OsStr::to_owned));
    let output = home.run(&args);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).starts_with("PASS  honest 1.0.0\n"), "people get their report on standard output");
    assert_eq!(stderr(&output), "", "no terminal, no progress");
    let value = json(&Output { stdout: fs::read(&file).unwrap(), ..output });
    assert_eq!(value["verdict"], "pass");
    assert_eq!(value["completeness"]["status"], "complete");
    assert_eq!(value["enforcement"]["status"], "full");
    assert_eq!(value["evidence"]["integrity"], "complete");
    assert_eq!(value["evidence"]["path"], Value::Null);
    assert_eq!(value["coverage"]["build_scripts"], serde_json::json!({"found": 1, "run": 1}));
    let files = home.files();
    assert!(!files.iter().any(|file| file.contains(".jsonl") || file.contains("/run-")), "{files:?}");
    assert!(!dir.join("target").exists() && !dir.join("Cargo.lock").exists(), "the package's folder was written to");
}

#[test]
fn evidence_is_kept_where_it_was_asked_for_whatever_the_verdict() {
    let home = Home::new();
    let dir = package(&home, "honest", "fn main() {}");
    let kept = home.path().join("deep/evidence");
    let mut args = vec![OsStr::new("--format=json"), OsStr::new("--evidence"), kept.as_os_str()];
    args.extend(target(&dir));
    let output = home.run(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let value = json(&output);
    let path = PathBuf::from(value["evidence"]["path"].as_str().unwrap());
    assert_eq!(path.parent(), Some(kept.as_path()));
    let text = fs::read_to_string(&path).unwrap();
    let kind = |line: &str| serde_json::from_str::<Value>(line).unwrap()["line"].clone();
    assert_eq!(text.lines().next().map(kind), Some("header".into()));
    assert_eq!(text.lines().last().map(kind), Some("totals".into()));
    assert!(!home.path().join(STATE).exists());
}

#[test]
fn the_evidence_of_a_finding_is_kept_and_fail_on_moves_the_threshold() {
    let home = Home::new();
    let dir = package(&home, "curious", "fn main() { let _ = std::fs::read(\"/home/dev/.ssh/id_ed25519\"); }");
    let mut args = vec![OsStr::new("--format=json"), OsStr::new("--fail-on=critical")];
    args.extend(target(&dir));
    let output = home.run(&args);
    let value = json(&output);
    assert_eq!((code(&output), &value["verdict"]), (0, &"fail".into()), "the verdict does not follow the threshold");
    args.remove(1);
    let output = home.run(&args);
    let value = json(&output);
    assert_eq!((code(&output), &value["verdict"]), (10, &"fail".into()));
    let path = value["evidence"]["path"].as_str().unwrap();
    assert!(Path::new(path).starts_with(home.path().join(STATE)), "{path}");
    assert_eq!(home.files().iter().filter(|file| file.starts_with(STATE)).count(), 2, "one of each run");
}

/// Names that a terminal or a careless report would obey.
#[test]
fn whatever_a_package_calls_its_files_is_safe_to_print() {
    let home = Home::new();
    let build = r#"fn main() {
        println!("cargo::warning=\u{1b}[2J\u{1b}]0;pwned\u{7}");
        for name in ["\u{1b}[2J\u{1b}[1;1HPASS  evil 1.0.0", "a\nPASS  evil 1.0.0", "\u{202e}sr.bil", "\u{9b}31m", "a\rPASS"] {
            let _ = std::fs::read(format!("/home/dev/.ssh/{name}"));
            let _ = std::fs::write(format!("/home/dev/{name}"), "x");
            let _ = std::process::Command::new(format!("/tmp/{name}")).spawn();
        }
    }"#;
    let dir = package(&home, "loud", build);
    let file = home.path().join("report.json");
    let mut args = vec![OsStr::new("--output").to_owned(), format!("json={}", file.display()).into()];
    args.extend(target(&dir).map(OsStr::to_owned));
    let output = home.run(&args);
    let human = stdout(&output);
    assert_eq!(code(&output), 10, "{human}{}", stderr(&output));
    assert!(human.contains("credential-read"), "{human}");
    let machine = fs::read_to_string(&file).unwrap();
    for text in [&human, &stderr(&output), &machine] {
        for bad in ['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}', '\r'] {
            assert!(!text.contains(bad), "{text:?}");
        }
        assert!(!text.lines().skip(1).any(|line| line.starts_with("PASS")), "a verdict was forged: {text}");
    }
    let value: Value = serde_json::from_str(&machine).unwrap();
    let raw = ['\u{1b}', '\u{202e}', '\n'];
    for finding in value["packages"][0]["findings"].as_array().unwrap() {
        let subject = finding["subject"].as_str().unwrap();
        assert!(!subject.contains(raw), "a program that prints {subject:?} would be obeyed");
    }
}

#[test]
fn a_package_that_does_not_build_is_inconclusive_and_says_why() {
    let home = Home::new();
    let dir = package(&home, "broken", "fn main() { panic!(\"no such thing\"); }");
    let mut args = vec![OsStr::new("--format=json")];
    args.extend(target(&dir));
    let output = home.run(&args);
    assert_eq!(code(&output), 5, "{}{}", stdout(&output), stderr(&output));
    let value = json(&output);
    assert_eq!((&value["verdict"], &value["completeness"]["status"]), (&"inconclusive".into(), &"incomplete".into()));
    assert_eq!(value["completeness"]["reasons"][0]["code"], "build-failed");
}

/// The build script would not even compile.
#[test]
fn a_plan_is_printed_and_nothing_runs() {
    let home = Home::new();
    let dir = package(&home, "planned", "this is not Rust");
    let mut args = vec![OsStr::new("--print-plan")];
    args.extend(target(&dir));
    let output = home.run(&args);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["header"]["target"]["name"], "planned");
    assert!(plan["cargo"]["args"].as_array().unwrap().contains(&"--offline".into()));
    assert!(plan["mounts"].as_array().unwrap().len() > 20);
    let files = home.files();
    assert!(files.iter().all(|file| file.starts_with("planned/") || file.ends_with("runs/door")), "{files:?}");
}

#[test]
fn verbose_runs_tell_their_stages_on_standard_error_only() {
    let home = Home::new();
    let dir = package(&home, "planned", "fn main() {}");
    let mut args = vec![OsStr::new("-v"), OsStr::new("--print-plan")];
    args.extend(target(&dir));
    let output = home.run(&args);
    assert!(stderr(&output).contains("acquired the sources"), "{}", stderr(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap();
}

#[test]
fn without_the_sandboxs_user_nothing_runs_and_the_exit_code_is_4() {
    let home = Home::new();
    let marker = home.path().join("ran");
    let build = format!("fn main() {{ let _ = std::fs::write({marker:?}, \"\"); }}");
    let dir = package(&home, "honest", &build);
    // A user namespace with one user has no second one for the sandbox.
    let mut narrow = home.command("unshare");
    narrow.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_sandbox-check"), "--format=json"]).args(target(&dir));
    let output = narrow.output().unwrap();
    assert_eq!(code(&output), 4, "{}{}", stdout(&output), stderr(&output));
    let error = &json(&output)["error"];
    assert_eq!(error["code"], "no-sandbox");
    assert!(error["message"].as_str().unwrap().contains("user-namespace"), "{error}");
    assert!(error["hint"].is_string());
    assert!(!marker.exists());
}
