//! What a unit sees of the world: a committed list, without what differs from machine to machine.

use std::fmt::Write as _;
use std::fs;

use crate::support::sandboxed::{Run, Subject};
use crate::table;

fn look() -> Run {
    let script = fs::read_to_string(table::folder().join("view_payload.rs")).unwrap();
    let subject = Subject::new("looks").build_script(&script);
    let mut command = subject.command();
    command.env("OF_THE_HOST", "x").env("HTTPS_PROXY", "http://proxy.invalid").env("A_TOKEN", "x");
    command.env("SSH_AUTH_SOCK", "/x").env("LD_PRELOAD", "").env("MAKEFLAGS", "-j3");
    subject.read(&command.output().unwrap())
}

/// One list for each part of the world, in the order of their names.
#[test]
fn a_unit_sees_what_is_listed_and_no_more() {
    let run = look();
    let mut text = String::new();
    for (name, value) in run.told() {
        let Some((part, _)) = name.split_once('#') else { continue };
        let lines: Vec<_> = value.split('|').collect();
        if !text.contains(&format!("== {part}\n")) {
            writeln!(text, "== {part}").unwrap();
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
    }
    assert!(text.lines().count() > 100, "{text}\n{}", run.output());
    insta::with_settings!({ snapshot_path => "records", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("view", text);
    });
}

#[test]
fn a_script_that_does_nothing_leaves_no_attempt_and_two_runs_leave_the_same() {
    let quiet = || Subject::new("does-nothing").file("build.rs", "fn main() {}").run();
    let runs = [quiet(), quiet()];
    let attempts = |run: &Run| {
        let unit = run.unit("run-build-script", "does-nothing");
        let own = run.of("attempt").filter(|line| line["unit"] == unit);
        own.map(|line| format!("{} {}", line["kind"], line["object"])).collect::<Vec<_>>()
    };
    // Before main, the standard library of Rust asks where its stack lies.
    assert_eq!(attempts(&runs[0]).len(), 1, "{:#?}", attempts(&runs[0]));
    assert!(attempts(&runs[0])[0].contains("/proc/self/maps"));
    let kinds = |run: &Run| {
        let mut all: Vec<_> = run.of("attempt").map(|line| format!("{} {}", line["kind"], line["syscall"])).collect();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(kinds(&runs[0]), kinds(&runs[1]));
}
