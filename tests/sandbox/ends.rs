//! Whatever ends a run, nothing of it is left: no process, no mount, no file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::processes::{Process, descendants, within};
use crate::support::sandboxed::{Run, Subject};

/// A second, and one more for a machine that has other work.
const SOON: Duration = Duration::from_secs(2);

/// Leaves a process of a session of its own behind that hears no signal but the last one, and waits.
const WAITS: &str = r#"
    fn main() {
        let daemon = "trap '' HUP INT TERM; while :; do sleep 1; done";
        std::process::Command::new("setsid").args(["sh", "-c", daemon]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_mins(1));
    }
"#;

/// A run whose build script is at work.
struct Running {
    subject: Subject,
    child: Child,
    temp: tempfile::TempDir,
    mounts: String,
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

impl Running {
    fn start(name: &'static str) -> Self {
        let subject = Subject::new(name).build_script(WAITS);
        let (temp, mounts) = (tempfile::tempdir().unwrap(), mounts());
        let mut command = subject.command();
        command.env("TMPDIR", temp.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let running = Self { subject, child, temp, mounts };
        let begun = within(Duration::from_mins(1), || running.is_at_work());
        assert!(begun, "the build script never came to its daemon: {:#?}", running.processes());
        running
    }

    fn is_at_work(&self) -> bool {
        self.processes().iter().any(|process| process.command.starts_with("sh -c trap"))
    }

    fn processes(&self) -> Vec<Process> {
        descendants(self.child.id())
    }

    /// The process whose command line begins so.
    fn find(&self, words: &str) -> Process {
        let all = self.processes();
        all.iter()
            .find(|process| process.command.contains(words))
            .unwrap_or_else(|| panic!("{words} in {all:#?}"))
            .clone()
    }

    /// Sends a signal to one process, and holds that all the others end.
    fn end(&self, target: i32, signal: Signal) {
        let processes = self.processes();
        assert!(processes.len() >= 6, "launch, init, seal, cargo, shim, the script: {processes:#?}");
        kill(Pid::from_raw(target), signal).unwrap();
        let mut left = processes.clone();
        let gone = within(SOON, || {
            left.retain(Process::lives);
            left.is_empty()
        });
        assert!(gone, "left behind: {left:#?}");
    }

    /// Waits for the program, and looks at what it left on the host.
    fn finish(self) -> (Subject, std::process::Output, Duration) {
        let Self { subject, child, temp, mounts: before } = self;
        let start = Instant::now();
        let output = child.wait_with_output().unwrap();
        let took = start.elapsed();
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "temporary files are left");
        assert_eq!(mounts(), before, "mounts are left");
        (subject, output, took)
    }
}

/// Folders of runs in the subject's cache.
fn run_folders(subject: &Subject) -> Vec<String> {
    let runs = subject.cache_dir().join("sandbox-check/runs");
    let names =
        fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name != "door").collect()
}

fn notes(run: &Run) -> Vec<&str> {
    run.of("note").filter_map(|note| note["code"].as_str()).collect()
}

#[test]
fn nothing_outlives_a_killed_program_and_the_next_run_removes_its_folder() {
    let running = Running::start("killed-program");
    running.end(i32::try_from(running.child.id()).unwrap(), Signal::SIGKILL);
    let (subject, output, _) = running.finish();
    assert!(!output.status.success());
    assert!(!run_folders(&subject).is_empty(), "a killed program can remove nothing");
    let honest = subject.file("build.rs", "fn main() {}");
    let run = honest.run();
    assert_eq!(run.report["verdict"], "pass", "{}", run.report);
    assert_eq!(run_folders(&honest), Vec::<String>::new());
}

#[test]
fn nothing_outlives_a_killed_supervisor_and_the_program_says_so() {
    let running = Running::start("killed-supervisor");
    let supervisor = running.find("__launch");
    running.end(supervisor.pid, Signal::SIGKILL);
    let (subject, output, took) = running.finish();
    assert!(took < SOON, "{took:?}");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["error"].is_object() && report["verdict"].as_str() != Some("pass"), "{report}");
    assert_eq!(run_folders(&subject), Vec::<String>::new());
}

#[test]
fn what_was_seen_until_the_supervisor_was_killed_is_told_and_replays_as_incomplete() {
    let running = Running::start("killed-supervisor");
    running.end(running.find("__launch").pid, Signal::SIGKILL);
    let (subject, output, _) = running.finish();
    let mut report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["evidence"]["integrity"], "killed", "{report}");
    assert_eq!(report["completeness"]["reasons"][0]["code"], "killed", "{report}");
    let findings = report["packages"][0]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["code"] == "unexpected-exec"), "{findings:#?}");
    // Repeats are known from the counters, which were kept.
    assert!(report["evidence"]["coalesced"].as_u64() > Some(0), "{}", report["evidence"]);

    let path = report["evidence"]["path"].as_str().unwrap().to_owned();
    assert_eq!(subject.evidence(), [PathBuf::from(&path)]);
    assert!(Path::new(&format!("{path}.counters")).is_file());
    let mut replay = std::process::Command::new(crate::support::sandboxed::PROGRAM);
    let again = replay.args(["replay", "--format=json", &path]).output().unwrap();
    assert_eq!(again.status.code(), Some(11), "{}", String::from_utf8_lossy(&again.stderr));
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    // That the program failed is the run's to tell.
    report.as_object_mut().unwrap().remove("error");
    assert_eq!(again, report);
}

#[test]
fn nothing_outlives_a_killed_cargo_and_the_run_does_not_pass() {
    let running = Running::start("killed-cargo");
    let cargo = running.find("cargo check");
    running.end(cargo.pid, Signal::SIGKILL);
    let (subject, output, took) = running.finish();
    assert!(took < SOON, "{took:?}");
    let run = subject.read(&output);
    assert_ne!(run.report["verdict"], "pass");
    assert_eq!(run.report["completeness"]["status"], "incomplete", "{}", run.report["completeness"]);
    assert!(run.of("totals").next().is_some(), "the log is closed");
    assert_eq!(run_folders(&subject), Vec::<String>::new());
}

#[test]
fn an_interrupted_run_ends_at_once_with_its_report() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let running = Running::start("interrupted");
        let program = Pid::from_raw(i32::try_from(running.child.id()).unwrap());
        running.end(program.as_raw(), signal);
        let (subject, output, took) = running.finish();
        assert!(took < SOON, "{signal}: {took:?}");
        assert_eq!(output.status.code(), Some(code), "{signal}");
        let run = subject.read(&output);
        assert_ne!(run.report["verdict"], "pass", "{signal}");
        assert!(notes(&run).contains(&"killed"), "{signal}: {:?}", notes(&run));
        assert!(run.of("totals").next().is_some(), "{signal}: the log is closed");
        assert_eq!(run_folders(&subject), Vec::<String>::new(), "{signal}");
    }
}

#[test]
fn what_a_build_script_leaves_running_is_ended_and_counted() {
    let leaves = WAITS.replace("from_mins(1)", "from_secs(0)");
    assert_ne!(leaves, WAITS);
    let run = Subject::new("leaves-daemon").build_script(&leaves).run();
    let unit = run.unit("run-build-script", "leaves-daemon");
    let end = run.end_of(unit);
    assert!(end["left_running"].as_u64() >= Some(1), "{end}");
    assert!(end["left_detached"].as_u64() >= Some(1), "{end}");
}

#[test]
fn two_runs_side_by_side_do_not_disturb_each_other() {
    let reads = |which: &str| {
        format!("fn main() {{ for _ in 0..300 {{ did(\"which-{which}\", File::open(\"/home/dev/.ssh/{which}\")); }} }}")
    };
    let one = Subject::new("side-one").build_script(&reads("one"));
    let two = Subject::new("side-two").build_script(&reads("two"));
    let start = |subject: &Subject| {
        let mut command = subject.command();
        command.env("XDG_CACHE_HOME", one.cache_dir()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let (first, second) = (start(&one), start(&two));
    let first = one.read(&first.wait_with_output().unwrap());
    let second = two.read(&second.wait_with_output().unwrap());
    for (run, own, other) in [(&first, "one", "two"), (&second, "two", "one")] {
        assert_eq!(run.report["completeness"]["status"], "complete", "{}", run.report["completeness"]);
        assert_eq!(run.value(&format!("which-{own}")), libc::ENOENT.to_string());
        assert!(!run.told().contains_key(&format!("which-{other}")), "evidence of another run");
    }
    assert_eq!(run_folders(&one), Vec::<String>::new());
}
