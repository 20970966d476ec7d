//! How much is built, and what cargo's switch for it lets through.

use std::process::Command;

use crate::support::sandboxed::{Run, Subject, text};

/// A script that tells what it and its compiler saw of the variable that unlocks cargo.
const ASKS: &str = r#"
fn main() {
    tell("script", std::env::var("RUSTC_BOOTSTRAP").unwrap_or_else(|_| "absent".into()));
    tell("rustc", option_env!("RUSTC_BOOTSTRAP").unwrap_or("absent"));
}
"#;

fn run(subject: &Subject, depth: &str) -> Run {
    subject.read(&subject.command().args(["--depth", depth]).output().unwrap())
}

fn kinds(run: &Run) -> Vec<String> {
    let mut kinds: Vec<_> = run.of("unit-start").map(|line| text(&line["kind"])).filter(|k| k != "self-test").collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[test]
fn depth_build_compiles_only_what_executes_at_build_time() {
    let built = run(&Subject::new("deep").build_script(ASKS), "build");
    assert_eq!(kinds(&built), ["compile-build-script", "run-build-script"]);
    assert_eq!(built.report["verdict"], "pass", "{}", built.report);
    assert_eq!(built.report["coverage"]["depth"], "build");

    let checked = run(&Subject::new("deep").build_script(ASKS), "check");
    assert_eq!(kinds(&checked), ["compile", "compile-build-script", "compile-consumer", "run-build-script"]);
    assert_eq!(checked.report["coverage"]["depth"], "check");
}

#[test]
fn what_unlocks_cargo_reaches_no_build_script_and_no_compiler() {
    let run = run(&Subject::new("locked").build_script(ASKS), "build");
    assert_eq!((run.value("script"), run.value("rustc")), ("absent".to_owned(), "absent".to_owned()));
}

#[test]
fn a_script_that_unlocks_its_compiler_fails_as_it_does_under_a_stable_cargo() {
    let script = r#"fn main() { println!("  cargo:rustc-env=RUSTC_BOOTSTRAP=unlocks"); }"#;
    for depth in ["build", "check"] {
        let subject = Subject::new("unlocks").build_script(script);
        let run = run(&subject, depth);
        let unit = run.unit("run-build-script", "unlocks");
        assert_eq!(run.end_of(unit)["outcome"], "failed", "{depth}: {}", run.output());
        assert!(run.output().contains("cannot set `RUSTC_BOOTSTRAP=unlocks`"), "{depth}: {}", run.output());
        let found = run.findings();
        assert_eq!(found, [("suspicious-directive".to_owned(), "env RUSTC_BOOTSTRAP".to_owned())], "{depth}");
    }
    // The control: cargo itself, with the same script.
    let subject = Subject::new("unlocks").build_script(script);
    let plain = Command::new("cargo")
        .args(["check", "--offline"])
        .env_remove("RUSTC_BOOTSTRAP")
        .current_dir(subject.dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&plain.stderr);
    assert!(!plain.status.success() && said.contains("RUSTC_BOOTSTRAP=unlocks"), "{said}");
}
