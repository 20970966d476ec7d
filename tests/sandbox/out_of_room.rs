//! Out of room at any write: the build stops with a word, and what was kept never passes for whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use sandbox_check::judge::Verdict;
use serde_json::Value;

use super::kills::{Run, empty, hold_log, kept, subject};
use crate::support::sandboxed::{PROGRAM, Subject};

/// Runs the program with its cache in a folder of this many KiB, in a mount namespace of its own.
fn with_room(subject: &Subject, kib: u64) -> Output {
    with_room_in(&subject.cache_dir(), subject, kib)
}

/// The same with another folder.
fn with_room_in(folder: &Path, subject: &Subject, kib: u64) -> Output {
    empty(&subject.evidence_dir());
    empty(&subject.cache_dir());
    // An ordinary user is root in a namespace of his own for the mount, and himself again in another one.
    let (id, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    let (as_root, again) = if id.is_root() {
        (Vec::new(), String::new())
    } else {
        (vec!["--user", "--map-root-user"], format!("unshare --user --map-user={id} --map-group={group} "))
    };
    let script = format!("mount -t tmpfs -o size=${{2}}k none \"$1\" || exit 99; shift 2; exec {again}\"$@\"");
    let mut command = Command::new("unshare");
    command.args(as_root).args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    command.arg(folder).arg(kib.to_string()).arg(PROGRAM);
    subject.arguments(&mut command);
    let context = format!("{kib} KiB");
    Run::spawn(command).finish(Duration::from_mins(1), &context)
}

/// So many sizes of a file system between too small for anything and large enough.
const STEPS: u64 = 16;

/// A subject whose evidence has hundreds of lines.
fn with_much_evidence() -> Subject {
    let flood = r#"
        fn main() {
            for at in 0..300 { let _ = File::open(format!("/home/dev/.ssh/key-{at}")); }
            tell("end", 1);
        }
    "#;
    subject().file("build.rs", &format!("{}\n{flood}", crate::support::sandboxed::PRELUDE))
}

#[test]
fn a_disk_that_is_full_at_whatever_write_stops_the_build_and_says_so() {
    let subject = with_much_evidence();
    // Between no room for the counters of the evidence and room for everything.
    let (mut low, mut high) = (8 * 1024, 16 * 1024);
    assert_eq!(with_room(&subject, high).status.code(), Some(10));
    while high - low > 8 {
        let middle = u64::midpoint(low, high);
        let fits = with_room(&subject, middle).status.code() == Some(10);
        *(if fits { &mut high } else { &mut low }) = middle;
    }
    let evidence = fs::metadata(kept_whole(&subject, high)).unwrap().len() / 1024;
    let (mut cut, mut early) = (0, 0);
    // From before the header to the totals.
    for step in 0..STEPS {
        let kib = high - 4 - (evidence + 64) * step / STEPS;
        let context = format!("{kib} KiB of {high}");
        let output = with_room(&subject, kib);
        if output.status.code() == Some(10) {
            // The line of the totals fitted after all.
            hold_log(&subject, &context);
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{context}: {}", String::from_utf8_lossy(&output.stdout));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let said = report["error"].to_string();
        assert!(said.contains("No space left on device"), "{context}: {said}");
        match hold_log(&subject, &context) {
            Some(verdict) => {
                cut += 1;
                assert_ne!(verdict, Verdict::Pass, "{context}");
                assert!(said.contains("write evidence") && said.contains("make room"), "{context}: {said}");
                assert!(said.contains("the evidence until then is in"), "{context}: {said}");
            }
            None => early += 1,
        }
    }
    assert!(cut > 5 && early > 0, "cut {cut} times in the middle, {early} times before the header");
}

fn kept_whole(subject: &Subject, kib: u64) -> PathBuf {
    assert_eq!(with_room(subject, kib + 64).status.code(), Some(10));
    kept(subject).remove(0)
}

/// The run is over and judged, and only its evidence finds no room any more.
#[test]
fn a_disk_that_is_full_when_the_evidence_is_to_be_kept_costs_the_evidence_and_not_the_report() {
    let subject = with_much_evidence();
    fs::create_dir_all(subject.evidence_dir()).unwrap();
    assert_eq!(with_room_in(&subject.evidence_dir(), &subject, 16 * 1024).status.code(), Some(10), "the control");
    let output = with_room_in(&subject.evidence_dir(), &subject, 16);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = report["error"].to_string();
    assert!(said.contains("failed to keep the evidence in") && said.contains("No space left on device"), "{said}");
    assert!(said.contains("the report is of evidence that is gone"), "{said}");
    assert_eq!((&report["verdict"], &report["evidence"]["path"]), (&Value::from("fail"), &Value::Null));
    assert!(!report["packages"][0]["findings"].as_array().unwrap().is_empty(), "{report:#}");
}

/// The same as an ordinary user meets it: by a limit of the size of files, whose signal must not kill silently.
#[test]
fn evidence_beyond_the_size_that_a_file_may_have_stops_the_build_and_says_so() {
    let flood = r#"
        fn main() {
            let long = "x".repeat(200);
            for at in 0..30_000 { let _ = File::open(format!("/home/dev/.ssh/{long}-{at}")); }
            tell("end", 1);
        }
    "#;
    let subject = subject().file("build.rs", &format!("{}\n{flood}", crate::support::sandboxed::PRELUDE));
    empty(&subject.evidence_dir());
    let mut command = Command::new("sh");
    // In blocks of 512 bytes: 9 MiB.
    command.args(["-c", "ulimit -f 18432; exec \"$@\"", "sh", PROGRAM]);
    subject.arguments(&mut command);
    let output = Run::spawn(command).finish(Duration::from_mins(2), "9 MiB");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = report["error"].to_string();
    assert!(said.contains("write evidence") && said.contains("File too large"), "{said}");
    let verdict = hold_log(&subject, "9 MiB");
    assert!(verdict.is_some_and(|verdict| verdict != Verdict::Pass), "{verdict:?}");
}
