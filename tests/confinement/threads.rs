//! Whose a call is does not depend on which thread makes it.

use std::fs;
use std::sync::LazyLock;

use crate::support::sandboxed::{Run, Subject};
use crate::table;

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let script = fs::read_to_string(table::folder().join("threads_payload.rs")).unwrap();
    Subject::new("has-threads").build_script(&script).run()
});

#[test]
fn calls_of_a_process_whose_first_thread_has_ended_are_recorded() {
    RUN.met("leaderless-ended", 0);
    let opened = RUN.the("fs.open", "the file", |attempt| attempt.path == "/opened/without-a-leader");
    assert!(opened.exe.ends_with("build-script-build"), "{opened:#?}");
    let sent = RUN.attempts("net.socket").into_iter().find(|attempt| attempt.object["kind"] == "SOCK_SEQPACKET");
    assert!(sent.is_some(), "the socket");
    let key = RUN.the("fs.open", "the key", |attempt| attempt.resolved.ends_with("/.ssh/id_ed25519"));
    assert_eq!(key.came_of(), ("emulated", None, "exact"));
    let written = RUN.the("fs.write", "the note", |attempt| attempt.path.ends_with("/note-of-the-leaderless"));
    assert_eq!(written.came_of(), ("emulated", None, "exact"));
}

#[test]
fn a_start_by_another_thread_than_the_first_is_recorded_with_its_program() {
    RUN.met("start-ended", 0);
    let start = RUN.the("exec", "the start", |attempt| attempt.path == "/bin/true" && attempt.call == "execve");
    assert!(start.exe.ends_with("build-script-build"), "{start:#?}");
    assert_eq!(start.outcome, "allowed");
    let changed: Vec<_> = RUN.of("attempt").filter(|line| line["arg_state"] == "changed").collect();
    assert!(changed.is_empty(), "{changed:#?}");
}
