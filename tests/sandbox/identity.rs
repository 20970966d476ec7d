//! What a unit is and has: no right, no descriptor, nothing of the host's.

use std::fs;
use std::sync::LazyLock;

use libc::{EACCES, ENOENT, EPERM, EROFS, ESRCH, ETXTBSY};

use crate::support::sandboxed::{PRELUDE, Run, Subject};

/// The run, with files of the host that anybody can read and a variable of the host.
static RUN: LazyLock<Run> = LazyLock::new(|| {
    let folder = tempfile::Builder::new().prefix("sandbox-check-host-").tempdir_in("/tmp").unwrap();
    let file = folder.path().join("marker");
    fs::write(&file, "host-marker").unwrap();
    let subject = Subject::new("looks-around")
        .manifest("[dependencies]\nneighbour = { path = \"neighbour\" }")
        .build_script(include_str!("payloads/identity.rs"))
        .file(
            "neighbour/Cargo.toml",
            "[package]\nname = \"neighbour\"\nversion = \"0.1.0\"\nedition = \"2021\"\nlinks = \"neighbour\"\n",
        )
        .file("neighbour/src/lib.rs", "")
        .file("neighbour/build.rs", &format!("{PRELUDE}\n{}", include_str!("payloads/neighbour.rs")));
    let mut command = subject.command();
    command.args(["--env", &format!("HOST_FILE={}", file.display())]);
    command.args(["--env", &format!("HOST_HOME={}", std::env::var("HOME").unwrap())]);
    command.args(["--env", &format!("HOST_PID={}", std::process::id())]);
    command.env("OF_THE_HOST", "host-marker").env("AWS_REGION", "host-marker").env("RUSTFLAGS", "--cfg=host-marker");
    subject.read(&command.output().unwrap())
});

#[test]
fn a_unit_has_no_capability_and_both_filters() {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(RUN.value(set), "0000000000000000", "{set}");
    }
    assert_eq!(RUN.value("NoNewPrivs"), "1");
    assert_eq!(RUN.value("Seccomp_filters"), "2");
    assert!(!RUN.value("Uid").split(' ').any(|uid| uid == "0"), "{}", RUN.value("Uid"));
    // Root drops its groups; an ordinary user keeps those that he had, and none is root's.
    let groups = RUN.value("Groups");
    assert!(!groups.split(' ').any(|gid| gid == "0"), "{groups}");
    assert!(!nix::unistd::geteuid().is_root() || groups.is_empty(), "{groups}");
    assert_eq!(RUN.value("pid"), "2", "of a namespace of its own");
}

#[test]
fn a_unit_has_the_standard_descriptors_and_the_jobserver() {
    let told = RUN.value("fds");
    let fds: Vec<_> = told.split(';').map(|fd| fd.split_once(':').unwrap()).collect();
    let numbers: Vec<_> = fds.iter().take(3).map(|(number, _)| *number).collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    assert_eq!(fds.len(), 5, "{fds:?}");
    assert!(fds[3..].iter().all(|(_, kind)| kind.starts_with("pipe:")), "{fds:?}");
    assert_eq!(fds[3].1, fds[4].1, "two ends of one pipe");
}

#[test]
fn the_environment_has_nothing_of_the_hosts() {
    assert_eq!(RUN.value("marker"), "false");
    let names = RUN.value("environment");
    let has = |name: &str| names.split(' ').any(|found| found == name);
    assert!(has("OUT_DIR") && has("HOME"), "{names}");
    for ours in ["OF_THE_HOST", "RUSTC_WRAPPER", "RUSTC_BOOTSTRAP", "CARGO_BUILD_RUSTC_WRAPPER", "RUSTFLAGS"] {
        assert!(!has(ours), "{ours} in {names}");
    }
}

#[test]
fn files_of_the_host_are_not_there() {
    for name in [
        "shadow",
        "root-home",
        "root-profile",
        "host-file",
        "dev-mem",
        "dev-kmsg",
        "dev-fuse",
        "dev-kvm",
        "dev-ptmx",
        "machine-id",
        "cgroup",
    ] {
        RUN.met(name, ENOENT);
        let path = RUN.attempts("fs.open");
        assert!(!path.is_empty());
    }
    if std::env::var("HOME").is_ok_and(|home| home != "/home/dev") {
        RUN.met("host-home", ENOENT);
    }
    let hidden = RUN.value("environ-of-init").parse::<i32>().unwrap();
    assert!([ENOENT, EACCES, EPERM].contains(&hidden), "{hidden}");
    RUN.the("fs.open", "/etc/shadow", |attempt| attempt.path == "/etc/shadow");
}

#[test]
fn settings_of_the_kernel_and_programs_of_the_system_cannot_be_written() {
    for name in ["core-pattern", "sysrq", "user-namespaces", "oom", "own-memory"] {
        let errno = RUN.value(&format!("write-{name}")).parse::<i32>().unwrap();
        assert!([EACCES, EPERM, ENOENT].contains(&errno), "{name}: {errno}");
    }
    RUN.met("write-etc", EACCES);
    // While another unit's shim runs, the kernel says so before it asks for rights.
    let errno = RUN.value("write-shim").parse::<i32>().unwrap();
    assert!([EACCES, ETXTBSY].contains(&errno), "shim: {errno}");
    for name in ["write-bin", "write-toolchain"] {
        RUN.met(name, EROFS);
    }
    RUN.the("fs.write", "core_pattern", |attempt| attempt.path == "/proc/sys/kernel/core_pattern");
}

#[test]
fn no_other_process_can_be_named() {
    assert_eq!(RUN.value("others-alive"), "0");
    RUN.met("signal-host", ESRCH);
    assert_eq!(RUN.value("processes-seen"), "1", "the unit's own program");
    assert_eq!(RUN.value("memories-opened"), "0");
    assert_eq!(RUN.value("memories-opened-by-link"), "0");
}

#[test]
fn shared_memory_of_one_unit_is_not_another_ones() {
    RUN.met("neighbour-segment", 0);
    RUN.met("neighbour-segment-again", 0);
    RUN.met("segment", ENOENT);
}
