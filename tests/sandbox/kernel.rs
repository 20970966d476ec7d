//! Namespaces, other processes, filters, and kernel facilities that no build needs.

use std::sync::LazyLock;

use libc::{EFAULT, ENAMETOOLONG, ENOENT, ENOSYS, EOPNOTSUPP, EPERM};

use crate::support::sandboxed::{Attempt, Run, Subject};

static RUN: LazyLock<Run> =
    LazyLock::new(|| Subject::new("tries-kernel").build_script(include_str!("payloads/kernel.rs")).run());

/// The payload met this errno, and there is one record of the call, decided from registers, that says the same.
#[track_caller]
fn refused(name: &str, errno: i32, kind: &str, call: &str, fits: impl Fn(&Attempt) -> bool) -> Attempt {
    refused_as("exact", name, errno, kind, call, fits)
}

/// As [`refused`], of a call with arguments in memory.
#[track_caller]
fn refused_as(state: &str, name: &str, errno: i32, kind: &str, call: &str, fits: impl Fn(&Attempt) -> bool) -> Attempt {
    RUN.met(name, errno);
    let unit = RUN.unit("run-build-script", "tries-kernel");
    let attempt = RUN.the(kind, name, |attempt| attempt.unit == unit && attempt.call == call && fits(attempt));
    assert_eq!(attempt.came_of(), ("denied", Some(i64::from(errno)), state), "{name}");
    attempt
}

fn any(_: &Attempt) -> bool {
    true
}

/// The names of an operation's flags.
fn named(names: &'static [&'static str]) -> impl Fn(&Attempt) -> bool {
    move |attempt| attempt.object["names"] == serde_json::json!(names)
}

#[test]
fn a_unit_cannot_make_or_join_namespaces() {
    refused("unshare-user", EPERM, "ns.create", "unshare", named(&["CLONE_NEWUSER"]));
    refused("unshare-mounts", EPERM, "ns.create", "unshare", named(&["CLONE_NEWNS"]));
    refused("unshare-noise", EPERM, "ns.create", "unshare", named(&["CLONE_NEWUTS"]));
    refused("clone-pid", EPERM, "ns.create", "clone", named(&["CLONE_NEWPID"]));
    refused("clone-user-pid", EPERM, "ns.create", "clone", named(&["CLONE_NEWUSER", "CLONE_NEWPID"]));
    refused("setns", EPERM, "ns.create", "setns", any);
}

/// The arguments of `clone3` lie in memory; every libc falls back when it is not there.
#[test]
fn clone3_does_not_exist_and_is_not_recorded() {
    RUN.met("clone3", ENOSYS);
    assert!(RUN.of("attempt").all(|line| line["syscall"] != "clone3"));
}

#[test]
fn a_unit_cannot_mount_or_change_its_root() {
    let tried = |name: &str, call: &str| refused_as("snapshot", name, EPERM, "fs.mount", call, any).object;
    let out = RUN.value("out-dir");
    let mount = tried("mount", "mount");
    assert_eq!(mount["texts"], serde_json::json!(["none", "tmpfs"]));
    assert_eq!((&mount["paths"][0]["path"], &mount["names"]), (&out.clone().into(), &serde_json::json!(["MS_NOSUID"])));
    assert_eq!(tried("umount", "umount2")["names"], serde_json::json!(["MNT_DETACH"]));
    assert_eq!(tried("chroot", "chroot")["paths"][0]["path"], out);
    assert_eq!(tried("pivot-root", "pivot_root")["paths"].as_array().unwrap().len(), 2);
    assert_eq!(tried("open-tree", "open_tree")["paths"][0]["path"], "/");
    assert_eq!(tried("fsopen", "fsopen")["texts"], serde_json::json!(["tmpfs"]));
}

#[test]
fn a_unit_cannot_hide_from_the_supervisor() {
    refused("seccomp-filter", EPERM, "blind", "seccomp", any);
    refused("prctl-seccomp", EPERM, "blind", "prctl", named(&["PR_SET_SECCOMP"]));
    refused("dumpable", EPERM, "blind", "prctl", named(&["PR_SET_DUMPABLE 0"]));
    refused("memfd-secret", EPERM, "blind", "memfd_secret", any);
    refused("userfaultfd", EPERM, "blind", "userfaultfd", any);
}

#[test]
fn a_unit_cannot_look_into_processes() {
    refused("ptrace-seize", EPERM, "proc.inspect", "ptrace", |attempt| attempt.registers[0] == 0x4206);
    for (name, call) in [
        ("read-memory", "process_vm_readv"),
        ("write-memory", "process_vm_writev"),
        ("kcmp", "kcmp"),
        ("pidfd-getfd", "pidfd_getfd"),
    ] {
        refused(name, EPERM, "proc.inspect", call, any);
    }
    RUN.met("ptrace-traceme", EPERM);
}

#[test]
fn kernel_facilities_that_no_build_needs_are_not_there() {
    for (name, errno, call) in [
        ("io-uring-setup", ENOSYS, "io_uring_setup"),
        ("io-uring-enter", ENOSYS, "io_uring_enter"),
        ("io-uring-register", ENOSYS, "io_uring_register"),
        ("bpf", EPERM, "bpf"),
        ("perf", EPERM, "perf_event_open"),
        ("keyctl", EPERM, "keyctl"),
        ("open-by-handle", EPERM, "open_by_handle_at"),
        ("personality", EPERM, "personality"),
        ("reboot", EPERM, "reboot"),
        ("unknown-number", ENOSYS, "#1000"),
    ] {
        refused(name, errno, "kernel.surface", call, any);
    }
    let key = refused_as("snapshot", "add-key", EPERM, "kernel.surface", "add_key", any);
    assert_eq!(key.object["texts"], serde_json::json!(["user", "x"]));
    RUN.met("handle", EOPNOTSUPP);
}

#[test]
fn a_terminal_cannot_be_typed_into_whatever_the_upper_half_of_the_register() {
    RUN.met("tiocsti", EPERM);
    RUN.met("tiocsti-noise", EPERM);
    // Two calls that differ by noise only are one record with its count.
    refused("tiocsti", EPERM, "kernel.surface", "ioctl", named(&["TIOCSTI"]));
}

#[test]
fn calls_by_other_tables_are_recorded_and_do_not_exist() {
    let x32 = refused("x32", ENOSYS, "abi.foreign", "#1073741863", any);
    assert_eq!(x32.object["type"], "none");
    refused("foreign", ENOSYS, "abi.foreign", "#20 (architecture 0x40000003)", any);
}

#[test]
fn a_unit_cannot_have_signals_sent_by_descriptors() {
    refused("set-owner", EPERM, "proc.signal", "fcntl", named(&["F_SETOWN"]));
}

#[test]
fn what_cannot_be_read_is_refused_and_recorded_as_such() {
    for (name, kind, call) in [
        ("open-nowhere", "fs.open", "open"),
        ("chmod-nowhere", "fs.meta", "chmod"),
        ("rename-nowhere", "fs.link", "rename"),
        ("exec-nowhere", "exec", "execve"),
        ("connect-nowhere", "net.connect", "connect"),
    ] {
        RUN.met(name, EFAULT);
        let attempt = RUN.the(kind, name, |attempt| {
            attempt.call == call && attempt.state == "unreadable" && attempt.errno == Some(14)
        });
        assert_eq!(attempt.outcome, "denied", "{name}");
    }
    RUN.met("open-too-long", ENAMETOOLONG);
    RUN.met("open-at-the-edge", ENOENT);
    RUN.the("fs.open", "a path that ends with its page", |attempt| attempt.path == "/at-the-edge");
}
