//! `--format in-toto`: a statement about the archive that ran, which a replay makes again.

use super::server::{Package, Registry, digest};
use super::*;

#[test]
fn a_statement_names_the_archive_the_program_and_the_evidence() {
    let (home, registry) = (Home::new(), Registry::start());
    let subject = Package::new("subject", "1.0.0").file("build.rs", "fn main() {}");
    registry.publish(&subject);
    let file = home.path().join("statement.json");
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    command.env("CARGO_HOME", registry.home()).args(["subject@1.0.0", "--format=json", "--output"]);
    let output = command.arg(format!("in-toto={}", file.display())).output().unwrap();
    let report = json(&output);
    assert_eq!(code(&output), 0, "{report:#}");
    let text = fs::read(&file).unwrap();
    let value: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["predicateType"], "https://in-toto.io/attestation/runtime-trace/v0.1");
    let hex = |of: &Value| format!("sha256:{}", of["digest"]["sha256"].as_str().unwrap());
    assert_eq!(hex(&value["subject"][0]), digest(&subject.pack()).to_string());
    let predicate = &value["predicate"];
    let program = fs::read(env!("CARGO_BIN_EXE_sandbox-check")).unwrap();
    assert_eq!(hex(&predicate["monitor"]["tracePolicy"]["program"]), digest(&program).to_string());
    assert_eq!(
        hex(&predicate["monitorLog"]["sandboxCheckEvidence"][0]),
        report["evidence"]["sha256"].as_str().unwrap()
    );
    let evidence = report["evidence"]["path"].as_str().unwrap();
    assert_eq!(home.run(["replay", "--format=in-toto", evidence]).stdout, text);
}

#[test]
fn a_folder_has_nothing_that_a_statement_could_be_about() {
    let home = Home::new();
    let dir = runs::package(&home, "honest", "fn main() {}");
    let before = home.files();
    let output = home.run([OsStr::new("--offline"), OsStr::new("--format=in-toto"), dir.as_os_str()]);
    assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{}", stderr(&output));
    assert_eq!(home.files(), before, "nothing ran");
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/evidence-v1/reads-ssh-key.jsonl");
    let replayed = home.run([OsStr::new("replay"), OsStr::new("--format=in-toto"), recorded.as_os_str()]);
    assert_eq!((code(&replayed), stdout(&replayed).as_str()), (2, ""), "{}", stderr(&replayed));
}

#[test]
fn of_a_release_that_has_nothing_to_run_that_is_stated() {
    let (home, registry) = (Home::new(), Registry::start());
    let plain = Package::new("plain", "1.0.0");
    registry.publish(&plain);
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    let output = command.env("CARGO_HOME", registry.home()).args(["plain@1.0.0", "--format=in-toto"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hex = format!("sha256:{}", value["subject"][0]["digest"]["sha256"].as_str().unwrap());
    assert_eq!(hex, digest(&plain.pack()).to_string());
}

#[test]
fn a_statement_without_a_subject_costs_nobody_the_other_reports() {
    let home = Home::new();
    let [statement, other] = ["statement.json", "report.json"].map(|name| home.path().join(name));
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/evidence-v1/reads-ssh-key.jsonl");
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    command.arg("replay").arg("--output").arg(format!("in-toto={}", statement.display()));
    let output = command.arg("--output").arg(format!("json={}", other.display())).arg(recorded).output().unwrap();
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("statement.json") && said.contains("a folder has no archive"), "{said}");
    let value: Value = serde_json::from_slice(&fs::read(&other).unwrap()).unwrap();
    assert_eq!(value["verdict"], "fail", "{value:#}");
    assert!(stdout(&output).contains("FAIL"), "{}", stdout(&output));
}
