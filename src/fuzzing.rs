//! What must hold of each reader of a stranger's bytes, as one function each: the fuzzer calls it with bytes of its own
//! (`fuzz/`), tests (`twins_tests.rs`) with values of proptest's, and the tests below with every input that is kept in `fuzz/corpus`.
//!
//! Only tests and `cargo fuzz`, which says so to the compiler, compile this: the program that people get has none of it.

#![expect(clippy::expect_used, reason = "what does not hold ends the test or the fuzzer")]

#[cfg(test)]
mod tests;

use std::io;

use crate::evidence::EvidenceLog;
use crate::evidence::line::Line;
use crate::ids::Sha256Digest;
use crate::policy::{Policy, Severity};
use crate::report::{self, HumanOptions, Report};

pub use crate::acquire::fuzzing::archive;
pub use crate::settings::fuzzing::{configuration, decisions};
pub use crate::supervisor::fuzzing::{address, arguments, dns, driver};

/// Evidence as a file, and as lines whose digests are right: whatever they say, each report can be written, and none
/// speaks to a terminal.
pub fn evidence(bytes: &[u8]) {
    if let Ok(log) = EvidenceLog::read(bytes, None) {
        told(&log);
    }
    let lines: Vec<Line> =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    for line in &lines {
        let text = serde_json::to_string(line).expect("a line can be written");
        assert!(!text.contains(char::is_control), "a control character gets through: {text:?}");
        let read: Line = serde_json::from_str(&text).expect("what was written is read");
        assert!(read == *line, "{line:?} is read as {read:?}");
    }
    if let Ok(log) = EvidenceLog::from_lines(lines) {
        told(&log);
    }
}

/// Judges a log and writes it in every form.
fn told(log: &EvidenceLog) {
    let policy = Policy::shipped();
    let report = Report::new(log, &policy, None);
    let written = |write: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
        let mut text = Vec::new();
        write(&mut text).expect("memory takes it");
        let text = String::from_utf8(text).expect("a report is text");
        let obeyed = text.chars().find(|c| c.is_control() && *c != '\n');
        assert!(obeyed.is_none(), "{obeyed:?} stands in a report");
        text
    };
    let json = written(&|out| report::json(&report, out));
    serde_json::from_str::<serde_json::Value>(&json).expect("the JSON report is JSON");
    let sarif = written(&|out| report::sarif(&report, out));
    serde_json::from_str::<serde_json::Value>(&sarif).expect("the SARIF log is JSON");
    for line in written(&|out| report::ndjson(&report, out)).lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
    }
    written(&|out| report::human(&report, HumanOptions { width: 80, color: false }, out));
    written(&|out| report::junit(&report, Severity::Medium, out));
    written(&|out| report::markdown(&report, out));
    if report.subjects().is_ok() {
        written(&|out| report::in_toto(&report, Sha256Digest([7; 32]), out));
    }
}

/// A policy: read, or refused by a sentence.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Policy::parse(text) {
        Ok(policy) => assert!(policy.record().name == policy.name, "a policy under another name"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without words"),
    }
}
