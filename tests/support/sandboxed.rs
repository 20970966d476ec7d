//! Builds a small crate in the sandbox with the built program, and reads what came of it.
//!
//! A payload tells what it saw by opening `/probe/NAME=VALUE`: there is no such
//! file, and the record of the open brings the text out of any unit. The
//! functions for that stand in `tests/sandbox/payloads/prelude.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::processes::{descendants, peak_memory};

/// What payloads in Rust begin with.
pub const PRELUDE: &str = include_str!("../sandbox/payloads/prelude.rs");

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sandbox-check");

/// The program, started so that SIGINT and SIGTERM are not ignored: a shell's background process ignores the first.
pub fn program() -> Command {
    program_at(Path::new(PROGRAM))
}

/// As [`program`], another build of it.
pub fn program_at(path: &Path) -> Command {
    if !ignores_signals() {
        return Command::new(path);
    }
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM").arg(path);
    command
}

/// What we ignore, our children ignore.
fn ignores_signals() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let bit = |signal: i32| 1_u64 << (signal - 1);
    u64::from_str_radix(ignored, 16).unwrap() & (bit(libc::SIGINT) | bit(libc::SIGTERM)) != 0
}

/// A crate in a folder of its own.
pub struct Subject {
    name: &'static str,
    folder: TempDir,
}

impl Subject {
    /// A package with an empty library.
    pub fn new(name: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("sandbox-check-test-").tempdir().unwrap();
        let manifest = format!("[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
        Self { name, folder }.file("Cargo.toml", &manifest).file("src/lib.rs", "")
    }

    /// A build script: the prelude and this.
    pub fn build_script(self, source: &str) -> Self {
        self.file("build.rs", &format!("{PRELUDE}\n{source}"))
    }

    /// Adds lines to the manifest.
    pub fn manifest(self, lines: &str) -> Self {
        let text = fs::read_to_string(self.dir().join("Cargo.toml")).unwrap();
        self.file("Cargo.toml", &format!("{text}\n{lines}\n"))
    }

    /// A further file.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// The program with this crate as its target, and with folders of its own for cache, state and evidence.
    pub fn command(&self) -> Command {
        let mut command = program();
        self.arguments(&mut command);
        command
    }

    /// Adds to a command what [`Self::command`] runs the program with.
    pub fn arguments(&self, command: &mut Command) {
        command
            .args(["--depth", "check", "--format", "json", "--offline", "--evidence"])
            .arg(self.evidence_dir())
            .arg(Path::new(".").join(self.name))
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", self.cache_dir())
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .env("XDG_STATE_HOME", self.folder.path().join("state"));
    }

    pub fn cache_dir(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub fn evidence_dir(&self) -> PathBuf {
        self.folder.path().join("evidence")
    }

    /// The logs that were kept.
    pub fn evidence(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.evidence_dir()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect()
    }

    /// What cargo tells of it where nobody confines it: the control.
    pub fn plain(&self) -> String {
        let mut cargo = Command::new("cargo");
        cargo
            .args(["check", "--offline", "--target-dir"])
            .arg(self.folder.path().join("plain"))
            .current_dir(self.dir());
        String::from_utf8(cargo.output().unwrap().stderr).unwrap()
    }

    /// Runs it to its end.
    pub fn run(&self) -> Run {
        self.read(&self.command().output().unwrap())
    }

    /// Runs it to its end, and tells the most memory that the supervisor had, in KiB.
    pub fn run_watched(&self, command: &mut Command) -> (Run, u64) {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The pipes must not fill up: the report is read by a thread of its own.
        let mut stdout = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let (mut supervisor, mut peak) = (None, 0);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            supervisor = supervisor
                .or_else(|| descendants(child.id()).into_iter().find(|process| process.command.contains("__launch")));
            peak = supervisor.as_ref().and_then(|process| peak_memory(process.pid)).unwrap_or(0).max(peak);
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut stderr = Vec::new();
        child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        let stdout = reader.join().unwrap().unwrap();
        assert!(peak > 0, "nobody saw the supervisor");
        (self.read(&Output { status, stdout, stderr }), peak)
    }

    /// Reads the report and the evidence of a run that has ended.
    pub fn read(&self, output: &Output) -> Run {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("no report ({error}), {}: {}\n{stderr}", output.status, String::from_utf8_lossy(&output.stdout))
        });
        let mut lines = Vec::new();
        for path in self.evidence() {
            let text = fs::read_to_string(path).unwrap();
            lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        Run { status: output.status, report, lines, stderr }
    }
}

/// What came of a run.
pub struct Run {
    pub status: ExitStatus,
    pub report: Value,
    /// The evidence.
    pub lines: Vec<Value>,
    pub stderr: String,
}

impl Run {
    /// The lines of evidence of one sort.
    pub fn of<'a>(&'a self, sort: &'a str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.lines.iter().filter(move |line| line["line"] == sort)
    }

    /// The attempts of one kind, but for what payloads tell and our own self-test.
    pub fn attempts(&self, kind: &str) -> Vec<Attempt> {
        let unit_zero = |attempt: &Attempt| attempt.unit == 0;
        let attempts = self.of("attempt").filter(|line| line["kind"] == kind).map(Attempt::read);
        attempts.filter(|attempt| !attempt.path.starts_with("/probe/") && !unit_zero(attempt)).collect()
    }

    /// All that payloads told, by name.
    pub fn told(&self) -> BTreeMap<String, String> {
        let attempts = self.of("attempt").map(Attempt::read);
        let told = attempts.filter_map(|attempt| {
            let (name, value) = attempt.path.strip_prefix("/probe/")?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        told.collect()
    }

    /// What a payload told under a name.
    pub fn value(&self, name: &str) -> String {
        let told = self.told();
        told.get(name).cloned().unwrap_or_else(|| {
            let notes: Vec<_> = self.of("note").chain(self.of("unit-end")).map(Value::to_string).collect();
            panic!("{name} was not told; told: {told:#?}\n{}\n{}", notes.join("\n"), self.output())
        })
    }

    /// Holds what a payload met against what it should have met.
    #[track_caller]
    pub fn met(&self, name: &str, errno: i32) {
        assert_eq!(self.value(name), errno.to_string(), "{name}");
    }

    /// What cargo and the compiler printed.
    pub fn output(&self) -> String {
        self.of("output").map(|line| text(&line["tail"])).collect::<Vec<_>>().join("\n")
    }

    /// The number of the unit of this kind, of this package.
    #[track_caller]
    pub fn unit(&self, kind: &str, package: &str) -> u64 {
        let package = format!("{package}@0.1.0");
        let mut found = self.of("unit-start").filter(|line| line["kind"] == kind && line["package"] == *package);
        found.next().unwrap_or_else(|| panic!("no {kind} of {package}\n{}", self.output()))["unit"].as_u64().unwrap()
    }

    /// The line of a unit's end.
    #[track_caller]
    pub fn end_of(&self, unit: u64) -> &Value {
        self.of("unit-end").find(|line| line["unit"] == unit).unwrap()
    }

    /// The one attempt of a kind that fits.
    #[track_caller]
    pub fn the(&self, kind: &str, what: &str, fits: impl Fn(&Attempt) -> bool) -> Attempt {
        let all = self.attempts(kind);
        let mut found: Vec<_> = all.iter().filter(|attempt| fits(attempt)).cloned().collect();
        assert!(found.len() == 1, "{} records of {kind} for {what} among {all:#?}", found.len());
        found.remove(0)
    }

    /// The codes of all findings, with what each is about.
    pub fn findings(&self) -> Vec<(String, String)> {
        let packages = self.report["packages"].as_array().cloned().unwrap_or_default();
        let findings = packages.iter().flat_map(|package| package["findings"].as_array().cloned().unwrap_or_default());
        findings.map(|finding| (text(&finding["code"]), text(&finding["subject"]))).collect()
    }
}

/// The parts of a recorded attempt that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub unit: u64,
    pub package: String,
    pub kind: String,
    pub call: String,
    pub outcome: String,
    pub errno: Option<i64>,
    pub state: String,
    /// The caller's bytes.
    pub path: String,
    pub resolved: String,
    pub exe: String,
    pub registers: Vec<u64>,
    /// The whole object.
    pub object: Value,
}

impl Attempt {
    fn read(line: &Value) -> Self {
        let object = &line["object"];
        let path = if object["type"] == "program" { &object["program"] } else { object };
        Self {
            unit: line["unit"].as_u64().unwrap(),
            package: text(&line["package"]),
            kind: text(&line["kind"]),
            call: text(&line["syscall"]),
            outcome: text(&line["outcome"]),
            errno: line["errno"].as_i64(),
            state: text(&line["arg_state"]),
            path: text(&path["path"]),
            resolved: text(&path["resolved"]),
            exe: text(&line["exe"]),
            registers: line["args"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect(),
            object: object.clone(),
        }
    }

    /// What came of it, in one tuple.
    pub fn came_of(&self) -> (&str, Option<i64>, &str) {
        (&self.outcome, self.errno, &self.state)
    }
}

/// Text as evidence keeps it: a string, or base 64 of other bytes.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let base64 = map.get("b64").and_then(Value::as_str).unwrap_or_default();
            let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    }
}

/// Leaves a test that cannot run here, saying why. Where `SANDBOX_CHECK_MUST_RUN=1`, that is a failure.
#[macro_export]
macro_rules! require {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            let why = format!($($why)+);
            assert!(std::env::var("SANDBOX_CHECK_MUST_RUN").map_or(true, |value| value != "1"), "must run, but {why}");
            eprintln!("skipped: {why}");
            return;
        }
    };
}
