//! Two units at the same time: each does to the other what it can.

use std::fs;

use libc::{EACCES, ECONNREFUSED, ENOENT, EPERM, ESRCH};

use crate::support::sandboxed::{PRELUDE, Subject};
use crate::table;

#[test]
fn two_units_at_once_cannot_signal_open_or_reach_each_other() {
    let script = fs::read_to_string(table::folder().join("together_payload.rs")).unwrap();
    let script = format!("{PRELUDE}\n{script}");
    let manifest = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    let mut subject = Subject::new("together")
        .manifest("[dependencies]\nleft = { path = \"../left\" }\nright = { path = \"../right\" }");
    for name in ["left", "right"] {
        subject = subject
            .file(&format!("../{name}/Cargo.toml"), &manifest(name))
            .file(&format!("../{name}/src/lib.rs"), "")
            .file(&format!("../{name}/build.rs"), &script);
    }
    let mut command = subject.command();
    let run = subject.read(&command.args(["--jobs", "2"]).output().unwrap());
    for name in ["left", "right"] {
        let met = |what: &str, wanted: &[i32]| {
            let value = run.value(&format!("{name}-{what}"));
            let wanted: Vec<_> = wanted.iter().map(i32::to_string).collect();
            assert!(wanted.contains(&value), "{name} {what}: {value}, not {wanted:?}");
        };
        // The control: both ran at the same time, and each saw the other's files.
        met("meeting", &[0]);
        met("reads-out", &[0]);
        met("writes-out", &[EACCES]);
        met("makes-in-out", &[EACCES]);
        met("tmp", &[EACCES]);
        met("tmp-write", &[EACCES]);
        met("signal", &[ESRCH]);
        met("trace", &[EPERM]);
        met("memory", &[ENOENT, EACCES]);
        met("abstract", &[EPERM, ECONNREFUSED]);
        met("segment", &[ENOENT]);
        met("tcp", &[EACCES]);
        // Known gaps: a socket in a folder, a lock, and UDP on the sandbox's own loopback. Two packages that both want to
        // can talk; what each does stays its own.
        met("named", &[0]);
        met("lock", &[0]);
        met("datagram", &[0]);
    }
}
