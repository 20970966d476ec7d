//! The same as an ordinary user, who has no capability and cannot read root's home.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};

use nix::sched::CloneFlags;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde_json::Value;

use crate::require;
use crate::support::sandboxed::{PROGRAM, Run, Subject};

/// Nobody in particular.
const USER: u32 = 1001;

fn sysroot() -> String {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// Runs the program as the user, with the toolchain and the program at places that everybody can read,
/// in a mount namespace of its own.
fn run_as_user(subject: &Subject) -> Output {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["toolchain", "home"] {
        fs::create_dir(at(folder)).unwrap();
    }
    fs::write(at("sandbox-check"), "").unwrap();
    give(Path::new(&at("home")));
    let folder = subject.dir().parent().unwrap().to_owned();
    give(&folder);

    let script = "mount --bind \"$1\" \"$2/toolchain\" && mount --bind \"$3\" \"$2/sandbox-check\" || exit 99
        place=$2; user=$4; shift 4
        exec setpriv --reuid=$user --regid=$user --clear-groups --bounding-set=-all --no-new-privs \
            env -i HOME=$place/home PATH=$place/toolchain/bin:/usr/bin:/bin $place/sandbox-check \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.args([sysroot(), place.path().display().to_string(), PROGRAM.to_owned(), USER.to_string()]);
    subject.arguments(&mut command);
    command.output().unwrap()
}

fn run_or_skip(subject: &Subject) -> Option<Run> {
    if !is_root() {
        // Then all other tests ran as an ordinary user.
        return Some(subject.run());
    }
    if !runs("setpriv", &["--version"]) || !runs("unshare", &["--mount", "true"]) {
        return None;
    }
    Some(subject.read(&run_as_user(subject)))
}

#[test]
fn an_honest_crate_passes_with_every_layer() {
    let build = r#"fn main() {
        fs::write(format!("{}/made.rs", out_dir()), "pub const MADE: u32 = 1;").unwrap();
        tell("uid", fs::read_to_string("/proc/self/status").unwrap().lines().find(|line| line.starts_with("Uid:")).unwrap().split_whitespace().nth(1).unwrap());
    }"#;
    // Without what payloads tell, it is honest.
    let honest = Subject::new("honest").build_script(
        &build
            .replace("tell(", "drop::<(&str, String)>((")
            .replace(".unwrap());\n    }", ".unwrap().to_owned()));\n    }"),
    );
    let run = run_or_skip(&honest);
    require!(run.is_some(), "setpriv and unshare are needed to become another user");
    let run = run.unwrap();
    assert_eq!(run.report["verdict"], "pass", "{}\n{}", run.report, run.stderr);
    assert_eq!(run.report["completeness"]["status"], "complete");
    assert_eq!(run.report["enforcement"]["status"], "full", "{}", run.report["enforcement"]);
    assert!(run.status.success(), "{}", run.status);
}

#[test]
fn the_guarantees_are_those_of_root() {
    let payloads = [include_str!("payloads/kernel.rs"), include_str!("payloads/decoys.rs")];
    let subjects = [Subject::new("tries-kernel"), Subject::new("wants-keys")];
    for (subject, payload) in subjects.into_iter().zip(payloads) {
        let subject = subject.build_script(payload);
        let run = run_or_skip(&subject);
        require!(run.is_some(), "setpriv and unshare are needed to become another user");
        let run = run.unwrap();
        let met = |name: &str, errno: i32| run.met(name, errno);
        if run.told().contains_key("io-uring-setup") {
            for name in ["unshare-user", "clone-pid", "mount", "chroot", "ptrace-seize", "seccomp-filter", "keyctl"] {
                met(name, libc::EPERM);
            }
            for name in ["io-uring-setup", "foreign"] {
                met(name, libc::ENOSYS);
            }
        } else {
            met("by-name", 0);
            met("by-fd-path", 0);
            met("map-by-loader", libc::EACCES);
            met("rename-to-own", libc::EXDEV);
        }
    }
}

/// What `AppArmor` makes of namespaces for ordinary users on ubuntu-24.04: a user namespace can be made, but no
/// capability in it counts, so no other namespace comes with it and nothing can be mounted.
fn emulated_apparmor() -> BpfProgram {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    let asks_for = |flag: CloneFlags| {
        let bit = u64::from(flag.bits().cast_unsigned());
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bit), bit).unwrap();
        SeccompRule::new(vec![condition]).unwrap()
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        [libc::SYS_mount, libc::SYS_pivot_root, libc::SYS_sethostname, libc::SYS_move_mount, libc::SYS_open_tree]
            .into_iter()
            .map(|number| (number, Vec::new()))
            .collect();
    for number in [libc::SYS_unshare, libc::SYS_clone] {
        rules.insert(number, namespaces.iter().map(asks_for).collect());
    }
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, TargetArch::x86_64).unwrap();
    filter.try_into().unwrap()
}

#[test]
fn where_apparmor_forbids_namespaces_nothing_is_built_and_the_way_out_is_named() {
    let subject = Subject::new("not-built").build_script("fn main() { tell(\"ran\", 1); }");
    let mut command = subject.command();
    // The filter is this thread's and its children's.
    let restricted = std::thread::spawn(move || {
        seccompiler::apply_filter(&emulated_apparmor()).unwrap();
        let alone = Command::new("unshare").args(["--user", "true"]).status().unwrap();
        let with_mounts = Command::new("unshare").args(["--user", "--mount", "true"]).output().unwrap();
        (command.output().unwrap(), alone, with_mounts)
    });
    let (output, alone, with_mounts) = restricted.join().unwrap();
    assert!(alone.success(), "a user namespace can be made: {alone}");
    assert!(String::from_utf8_lossy(&with_mounts.stderr).contains("Operation not permitted"), "{with_mounts:?}");

    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["error"]["code"], &report["verdict"]), (&"no-sandbox".into(), &Value::Null), "{report}");
    let error = report["error"].to_string();
    assert!(error.contains("user-namespace") && error.contains("apparmor_restrict_unprivileged_userns=0"), "{error}");
    let logs = subject.evidence();
    assert!(logs.iter().all(|log| !fs::read_to_string(log).unwrap().contains("unit-start")), "nothing was built");

    let free = subject.run();
    assert_eq!(free.value("ran"), "1");
}
