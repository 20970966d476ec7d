//! The wall clock jumps in the middle of a run: nothing ends early or late, nothing is lost, and nothing passes by it.
//!
//! The program's clock is a preloaded one that the test moves. The launch helper, which becomes the supervisor, starts
//! without any variable, so its clock cannot be moved by one; nothing in it, in the shim or in the sandbox reads a wall
//! clock at all, which tests/architecture.rs holds.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::processes::{descendants, within};
use crate::support::sandboxed::{Run, Subject};

const DAY: i64 = 24 * 60 * 60;

/// Reads a decoy before and after it has slept.
const SLEEPS: &str = r#"
    fn main() {
        let _ = File::open("/home/dev/.ssh/id_ed25519");
        tell("before", 1);
        std::process::Command::new("sleep").arg("SECONDS").status().unwrap();
        tell("after", 1);
        let _ = File::open("/home/dev/.aws/credentials");
    }
"#;

/// A clock that can be moved.
struct Clock {
    folder: tempfile::TempDir,
    file: File,
}

impl Clock {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Another user's program reads it, too.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox/payloads/clock.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(folder.path().join("clock.so")).arg(source);
        assert!(compiler.status().unwrap().success(), "cc is needed, as for every crate that has C");
        fs::write(folder.path().join("ahead"), [0; 4096]).unwrap();
        let file = File::options().write(true).open(folder.path().join("ahead")).unwrap();
        Self { folder, file }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// So many seconds before or behind the machine's.
    fn is_ahead(&self, seconds: i64) {
        self.file.write_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// Runs a build script that sleeps for so many seconds; the clock jumps so far when it has begun.
    fn run(&self, name: &'static str, seconds: u64, jumps: &[i64], more: &[&str]) -> (Run, Duration) {
        let subject = Subject::new(name).build_script(&SLEEPS.replace("SECONDS", &seconds.to_string()));
        let mut command = subject.command();
        command.args(more).env("LD_PRELOAD", self.at("clock.so")).env("CLOCK_FILE", self.at("ahead"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let sleeps = || descendants(child.id()).iter().any(|process| process.command.starts_with("sleep "));
        assert!(within(Duration::from_mins(2), sleeps), "the build script never came to its sleep");
        let begun = Instant::now();
        for ahead in jumps {
            self.is_ahead(*ahead);
            std::thread::sleep(Duration::from_millis(300));
        }
        let output = child.wait_with_output().unwrap();
        let took = begun.elapsed();
        (subject.read(&output), took)
    }
}

/// What a run says of itself, but for times.
fn outcome(run: &Run) -> (Option<i32>, String, String, Vec<String>) {
    let codes = run.findings().into_iter().map(|(code, object)| format!("{code} {object}")).collect();
    (run.status.code(), run.report["verdict"].to_string(), run.report["completeness"].to_string(), codes)
}

#[test]
fn a_jump_of_the_wall_clock_ends_nothing_early_and_loses_nothing() {
    let clock = Clock::new();
    let (still, _) = clock.run("clock-stands", 2, &[], &[]);
    assert_eq!(still.report["completeness"]["status"], "complete", "{}", still.report);
    // Years ahead, before 1970, and to and fro.
    for jumps in [&[40 * 365 * DAY][..], &[-80 * 365 * DAY], &[DAY, -DAY, 400 * DAY, 0]] {
        clock.is_ahead(0);
        let (run, took) = clock.run("clock-stands", 2, jumps, &["--timeout", "60"]);
        assert_eq!(outcome(&run), outcome(&still), "{jumps:?}");
        assert!(took > Duration::from_secs(1), "{jumps:?}: it ended early, after {took:?}");
        assert_eq!((run.value("before"), run.value("after")), ("1".to_owned(), "1".to_owned()), "{jumps:?}");
        let times: Vec<u64> = run.of("attempt").map(|attempt| attempt["t"].as_u64().unwrap()).collect();
        assert!(times.is_sorted() && times.len() > 3, "{jumps:?}: {times:?}");
        let unit = run.unit("run-build-script", "clock-stands");
        assert!(run.end_of(unit)["errno"].is_null(), "{jumps:?}");
    }
}

#[test]
fn a_jump_of_the_wall_clock_gives_nobody_more_time() {
    let clock = Clock::new();
    let (run, took) = clock.run("clock-turns-back", 60, &[-30 * DAY], &["--limit", "unit-time=4"]);
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_ne!(run.report["verdict"], "pass");
    assert_ne!(run.report["completeness"]["status"], "complete", "{}", run.report["completeness"]);
    assert_eq!(run.value("before"), "1", "the record from before the jump");
    assert!(!run.told().contains_key("after"));
}

/// The control: the preloaded clock is the one that the program reads.
#[test]
fn the_clock_of_these_tests_is_the_programs() {
    let clock = Clock::new();
    clock.is_ahead(1000 * DAY);
    let (run, _) = clock.run("clock-ahead", 1, &[], &[]);
    let header = run.of("header").next().unwrap();
    let started = header["started"].as_u64().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(started > now + 900 * 24 * 60 * 60, "{started} at {now}");
}
