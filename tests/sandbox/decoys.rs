//! No decoy is read without an exact record, whatever way leads to it.

use std::sync::LazyLock;

use libc::{EACCES, EXDEV};
use serde_json::Value;

use crate::support::sandboxed::{Attempt, Run, Subject};

const KEY: &str = "/home/dev/.ssh/id_ed25519";

static RUN: LazyLock<Run> =
    LazyLock::new(|| Subject::new("wants-keys").build_script(include_str!("payloads/decoys.rs")).run());

/// How often a record stands for.
fn count(attempt: &Value) -> u64 {
    let totals = RUN.of("totals").next().unwrap();
    let seq = attempt["seq"].to_string();
    totals["counts"][&seq].as_u64().unwrap_or(1)
}

fn exact(path: impl Fn(&str) -> bool) -> u64 {
    let lines = RUN.of("attempt").filter(|line| line["arg_state"] == "exact" && line["outcome"] == "emulated");
    let of_key =
        lines.filter(|line| line["object"]["resolved"] == KEY && path(line["object"]["path"].as_str().unwrap()));
    of_key.map(count).sum()
}

#[test]
fn a_decoy_is_read_and_recorded_exactly() {
    RUN.met("by-name", 0);
    assert_eq!(RUN.value("is-a-key"), "true");
    let unit = RUN.unit("run-build-script", "wants-keys");
    for (name, path) in [
        ("by-symlink", "to-key"),
        ("by-folder", ".ssh/id_ed25519"),
        ("by-working-folder", "id_ed25519"),
        ("by-fd-path", "/.ssh/id_ed25519"),
        ("by-reopening", ""),
        ("by-dev-fd", ""),
        ("by-cwd-link", "/proc/self/cwd/id_ed25519"),
    ] {
        RUN.met(name, 0);
        assert_eq!(RUN.value(&format!("{name}-key")), "true", "{name}");
        let by = match name {
            "by-fd-path" | "by-reopening" => "/proc/self/fd/",
            "by-dev-fd" => "/dev/fd/",
            _ => "",
        };
        let is_read = |attempt: &Attempt| {
            let is_way = attempt.path.starts_with(by) && attempt.path.ends_with(path);
            is_way && attempt.state == "exact" && attempt.resolved == KEY
        };
        let reads = RUN.attempts("fs.open").into_iter().filter(is_read);
        assert!(reads.clone().count() > 0, "{name}");
        assert!(reads.into_iter().all(|attempt| attempt.unit == unit && attempt.outcome == "emulated"));
    }
    RUN.met("for-writing", 0);
    assert_eq!(RUN.value("for-writing-key"), "true");
    let written = RUN.the("fs.write", "the key", |attempt| attempt.resolved == KEY);
    assert_eq!(written.came_of(), ("emulated", None, "exact"));
    let findings = RUN.findings();
    assert!(findings.contains(&("credential-read".to_owned(), "~/.ssh/id_ed25519".to_owned())), "{findings:?}");
}

#[test]
fn a_decoy_is_no_program() {
    RUN.met("map-by-loader", EACCES);
}

#[test]
fn a_decoy_does_not_leave_its_home() {
    RUN.met("hard-link-to-own", EXDEV);
    RUN.met("rename-to-own", EXDEV);
}

#[test]
fn a_credential_under_another_name_is_still_a_finding() {
    RUN.met("hard-link-in-home", 0);
    RUN.met("linked-read", 0);
    let findings = RUN.findings();
    assert!(findings.iter().any(|(_, subject)| subject.contains(".aws/credentials")), "{findings:?}");
    RUN.met("moved-folder", 0);
    RUN.met("moved-read", 0);
    assert!(findings.iter().any(|(_, subject)| subject.contains(".kube")), "{findings:?}");
}

/// The contents of decoys are made anew for each run.
#[test]
fn two_runs_do_not_see_the_same_key() {
    let reads = format!("fn main() {{ tell(\"token\", &fs::read_to_string({KEY:?}).unwrap()[250..266]); }}");
    let again = Subject::new("wants-keys").build_script(&reads).run();
    assert_ne!(RUN.value("token"), again.value("token"));
}

#[test]
fn no_race_of_paths_reads_a_decoy_without_an_exact_record() {
    let counts =
        |name: &str| -> Vec<u64> { RUN.value(name).split(' ').map(|number| number.parse().unwrap()).collect() };
    let (bytes, link) = (counts("raced-bytes"), counts("raced-link"));
    for raced in [&bytes, &link] {
        assert_eq!(raced.iter().sum::<u64>(), 3000);
        assert!(raced[0] > 0, "the race never came to the key: {raced:?}");
        assert!(raced[1] > 0, "the race never came to the own file: {raced:?}");
    }
    // The padded path begins with slashes, the link has a name of its own.
    let by_bytes = exact(|path| path.starts_with("//"));
    let by_link = exact(|path| path.ends_with("/raced"));
    assert!(by_bytes >= bytes[0], "{} reads of the key, {by_bytes} records", bytes[0]);
    assert!(by_link >= link[0], "{} reads of the key, {by_link} records", link[0]);
}
