//! A way through `/proc/self` or a link is told by where it leads, and what is done there is done on behalf.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::support::sandboxed::{Attempt, Run, Subject};

static RUN: LazyLock<Run> =
    LazyLock::new(|| Subject::new("takes-detours").build_script(include_str!("payloads/detours.rs")).run());

/// What the records of the build script say of a path, by kind.
#[track_caller]
fn record(kind: &str, resolved: &str) -> Attempt {
    let unit = RUN.unit("run-build-script", "takes-detours");
    let all = RUN.attempts(kind);
    let mut found = all.iter().filter(|attempt| {
        let to = attempt.object["to"]["resolved"].as_str();
        attempt.unit == unit && to.unwrap_or(&attempt.resolved) == resolved
    });
    found.next().unwrap_or_else(|| panic!("no {kind} of {resolved} in {all:#?}")).clone()
}

fn codes_of(subject: &str) -> BTreeSet<String> {
    RUN.findings().into_iter().filter(|(_, found)| found == subject).map(|(code, _)| code).collect()
}

#[test]
fn a_write_by_a_descriptors_name_is_recorded_exactly_as_a_write_to_the_file() {
    for (name, path) in [
        ("by-descriptor", ".bashrc"),
        ("below-descriptor", ".profile"),
        ("by-dev-fd", ".zshrc"),
        ("by-number", ".zshrc"),
        ("by-link", ".bashrc"),
    ] {
        RUN.met(name, 0);
        let write = record("fs.write", &format!("/home/dev/{path}"));
        assert_eq!((write.outcome.as_str(), write.state.as_str()), ("emulated", "exact"), "{name}: {write:#?}");
        let found = codes_of(&format!("~/{path}"));
        assert!(found.contains("persistence-write"), "{path}: {found:?}");
    }
}

#[test]
fn a_secret_by_way_of_the_working_directory_or_a_link_is_a_secret() {
    for (name, key) in [("by-cwd", "id_rsa"), ("by-cwd-relative", "id_ed25519"), ("read-by-link", "id_ecdsa")] {
        RUN.met(name, if key == "id_ecdsa" { libc::ENOENT } else { 0 });
        if key != "id_ecdsa" {
            let read = record("fs.open", &format!("/home/dev/.ssh/{key}"));
            assert_eq!((read.outcome.as_str(), read.state.as_str()), ("emulated", "exact"), "{name}: {read:#?}");
        }
        let found = codes_of(&format!("~/.ssh/{key}"));
        assert!(found.contains("credential-read"), "{key}: {found:?} in {:?}", RUN.findings());
    }
    RUN.met("by-cwd-write", 0);
    record("fs.write", "/home/dev/.gitconfig");
}

#[test]
fn names_below_a_link_are_those_of_the_folder_that_it_leads_to() {
    for name in ["rename", "remove"] {
        RUN.met(name, 0);
    }
    record("fs.link", "/home/dev/.bash_login");
    assert!(codes_of("~/.bash_login").contains("persistence-write"), "{:?}", RUN.findings());
    record("fs.remove", "/home/dev/.npmrc");
    record("fs.write", "/home/dev/.netrc");
}

#[test]
fn honest_uses_of_the_same_names_work_and_are_no_finding() {
    for name in ["stdout", "stderr", "own-exe", "list", "piped", "own-again", "publish", "own-mode", "memory"] {
        RUN.met(name, 0);
    }
    // By its own number a process is not found in the folder of all: the number is that of the unit.
    assert_ne!(RUN.value("own-maps"), "0");
    let about: Vec<_> = RUN.findings().into_iter().filter(|(_, subject)| !subject.starts_with("~/")).collect();
    assert_eq!(about, [], "findings on what is the unit's own");
}
