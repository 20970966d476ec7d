//! Killed or stopped at any step: nothing is left, and what was kept never passes for whole.
//!
//! Moments and victims are random; each test prints its seed, and `SANDBOX_CHECK_SEED=N` repeats it.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox_check::evidence::EvidenceLog;
use sandbox_check::evidence::line::{DrivenInputs, Integrity};
use sandbox_check::judge::Verdict;
use sandbox_check::policy::Policy;
use sandbox_check::report::Report;
use serde_json::Value;

use crate::support::processes::{Process, descendants, kill_at_birth, within};
use crate::support::sandboxed::{Subject, text};

/// How soon all is gone: a second, and two more for a machine that has other work.
const SOON: Duration = Duration::from_secs(3);

/// xorshift64.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()) | 1;
        let seed = std::env::var("SANDBOX_CHECK_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
        eprintln!("SANDBOX_CHECK_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }

    fn moment(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(longest.as_micros()).unwrap()))
    }
}

/// A build script that starts a program and takes its time, and a macro library.
pub(super) fn subject() -> Subject {
    let script = r#"
        fn main() {
            let _ = File::open("/home/dev/.ssh/id_ed25519");
            std::process::Command::new("sh").args(["-c", "sleep 0.1"]).status().unwrap();
            tell("end", 1);
        }
    "#;
    Subject::new("is-killed")
        .manifest("[lib]\nproc-macro = true")
        .file(
            "src/lib.rs",
            "#[proc_macro]\npub fn nothing(_: proc_macro::TokenStream) -> proc_macro::TokenStream { Default::default() }",
        )
        .build_script(script)
}

/// One run, and what it may not leave behind.
pub(super) struct Run {
    child: Child,
    start: Instant,
    temp: tempfile::TempDir,
    mounts: String,
    seen: BTreeSet<Process>,
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

pub(super) fn empty(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
}

pub(super) fn kept(subject: &Subject) -> Vec<PathBuf> {
    subject.evidence()
}

impl Run {
    fn start(subject: &Subject) -> Self {
        empty(&subject.evidence_dir());
        Self::spawn(subject.command())
    }

    pub(super) fn spawn(mut command: Command) -> Self {
        let (temp, mounts) = (tempfile::tempdir().unwrap(), mounts());
        command.env("TMPDIR", temp.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { child, start: Instant::now(), temp, mounts, seen: BTreeSet::new() }
    }

    /// Looks at all processes until this long after the start.
    fn watch(&mut self, until: Duration) -> Vec<Process> {
        loop {
            let now = descendants(self.child.id());
            self.seen.extend(now.iter().cloned());
            let left = until.saturating_sub(self.start.elapsed());
            if left.is_zero() {
                return now;
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }

    /// Looks without a pause until so many processes were seen, or the program ended: those of the last look.
    fn watch_for(&mut self, many: usize) -> Vec<Process> {
        loop {
            let now = descendants(self.child.id());
            let new: Vec<_> = now.into_iter().filter(|process| !self.seen.contains(process)).collect();
            self.seen.extend(new.iter().cloned());
            if self.seen.len() >= many || self.child.try_wait().unwrap().is_some() {
                return new;
            }
        }
    }

    /// Waits for the end of the program, which comes within the time, and holds that nothing is left.
    pub(super) fn finish(mut self, longest: Duration, context: &str) -> Output {
        let asked = Instant::now();
        let ended = within(longest, || {
            self.seen.extend(descendants(self.child.id()));
            self.child.try_wait().unwrap().is_some()
        });
        if !ended {
            self.child.kill().unwrap();
        }
        assert!(ended, "{context}: it goes on after {:?}: {:#?}", asked.elapsed(), self.seen);
        let mut left: Vec<Process> = self.seen.into_iter().collect();
        let gone = within(SOON, || {
            left.retain(Process::lives);
            left.is_empty()
        });
        assert!(gone, "{context}: left behind: {left:#?}");
        assert_eq!(fs::read_dir(self.temp.path()).unwrap().count(), 0, "{context}: temporary files are left");
        assert_eq!(mounts(), self.mounts, "{context}: mounts are left");
        self.child.wait_with_output().unwrap()
    }
}

/// The kept log, if there is one, reads back. A log that is not closed reads as killed; it passes only if
/// everything is in it.
pub(super) fn hold_log(subject: &Subject, context: &str) -> Option<Verdict> {
    let paths = kept(subject);
    assert!(paths.len() <= 1, "{context}: {paths:?}");
    let file = fs::File::open(paths.first()?).unwrap();
    let log = EvidenceLog::read(BufReader::new(file), None).unwrap_or_else(|error| panic!("{context}: {error}"));
    let verdict = Report::new(&log, &Policy::shipped(), None).verdict;
    let text = fs::read_to_string(&paths[0]).unwrap();
    let closed = text.lines().last().is_some_and(|line| line.contains("\"line\":\"totals\""));
    assert_eq!(log.totals.integrity == Integrity::Killed, !closed, "{context}: {:?}", log.totals.integrity);
    let report = Report::new(&log, &Policy::shipped(), None);
    assert!(report.is_complete() <= closed, "{context}: a log that was cut off is complete");
    if report.is_complete() {
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let is_driver = |end: &&Value| {
            let of = |line: &&Value| line["unit"] == end["unit"] && line["kind"] == "drive-macros";
            lines.iter().any(|line| of(&line))
        };
        // A driver whose server or init was killed goes on with another one, and tells of the input that was lost: below,
        // all are accounted for. It reads as `killed` where an answer was awaited: the server's output ends before its
        // shim can tell, and the supervisor then ends what is left of the unit. It reads as `signalled` where nothing was
        // left to ask, or where the unit had made no call yet, by which its init is known. A killed shim (`killed`) or
        // helper (`signalled`) leaves a note that makes the report incomplete. No exit status but 0 comes of a kill: a
        // shim that cannot make its unit says 125, and a server that fails by itself something else.
        let goes_on = |end: &&Value| {
            let by_a_kill = end["outcome"] == "killed" || end["outcome"] == "signalled" && end["code"] == libc::SIGKILL;
            is_driver(end) && by_a_kill
        };
        for driven in &report.coverage.macro_libraries.by_name {
            let DrivenInputs { clean, refused, panicked, died, timed_out, garbled, skipped } = driven.inputs;
            let inputs = clean + refused + panicked + died + timed_out + garbled + skipped;
            assert_eq!(inputs, 18, "{context}: complete, and not every input is accounted for");
        }
        let ends = lines.iter().filter(|line| line["line"] == "unit-end").filter(|end| !goes_on(end));
        let failed: Vec<_> = ends.filter(|end| end["outcome"] != "ok").collect();
        assert!(failed.is_empty(), "{context}: complete with a unit that failed: {failed:?}");
        let told = lines.iter().any(|line| self::text(&line["object"]["path"]) == "/probe/end=1");
        assert!(told, "{context}: complete without the end of the build script");
    }
    Some(verdict)
}

/// What a killed program leaves in its folder until the next run: a log that reads as killed, as soon as it has
/// a whole header.
fn hold_left_log(subject: &Subject, context: &str) {
    for folder in fs::read_dir(subject.cache_dir().join("sandbox-check/runs")).unwrap().flatten() {
        let Ok(text) = fs::read_to_string(folder.path().join("run/evidence.jsonl")) else { continue };
        let whole = text.lines().last().is_some_and(|line| line.contains("\"line\":\"totals\""));
        if whole || !text.contains('\n') {
            continue;
        }
        let log = EvidenceLog::read(text.as_bytes(), None).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(log.totals.integrity, Integrity::Killed, "{context}");
        let report = Report::new(&log, &Policy::shipped(), None);
        assert!(report.verdict != Verdict::Pass && !report.is_complete(), "{context}");
    }
}

/// How long a run takes that nobody disturbs. The verdict is known: the build script reads a key.
fn undisturbed(subject: &Subject) -> Duration {
    let run = Run::start(subject);
    let start = run.start;
    let output = run.finish(Duration::from_mins(1), "undisturbed");
    let took = start.elapsed();
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(hold_log(subject, "undisturbed"), Some(Verdict::Fail));
    took
}

/// Kills a process of a run. Nothing is left, and what is told and kept does not pass for whole.
fn hold_killed(subject: &Subject, run: Run, (victim, command): (i32, String), which: &str) {
    let program = i32::try_from(run.child.id()).unwrap();
    let context = format!("{which}: {command} killed after {:?}", run.start.elapsed());
    // It may have ended meanwhile.
    let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
    let output = run.finish(Duration::from_mins(1), &context);
    hold_log(subject, &context);
    if victim == program && output.status.code().is_none() {
        return hold_left_log(subject, &context);
    }
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{context}: {error}: {}", String::from_utf8_lossy(&output.stdout)));
    assert_ne!(report["verdict"], "pass", "{context}");
    let has_report = report["completeness"].is_object() || report["error"].is_object();
    assert!(has_report, "{context}: {report}");
}

/// The launch helper, the inits, the sealing processes, cargo, the shims and what they start: none is left out by chance.
#[test]
fn each_kind_of_process_that_a_run_starts_is_killed_as_soon_as_it_is_there() {
    let subject = subject();
    undisturbed(&subject);
    // The program without its folders and its first word, with the namespaces that it is in and who it is there.
    let kind = |process: &Process| {
        let words = process.command.split(' ').take(2).map(|word| word.rsplit('/').next().unwrap());
        let place = innermost(process).map(|(depth, number)| (depth, number.min(4)));
        (words.collect::<Vec<_>>().join(" "), place)
    };
    let (mut victims, mut at) = (BTreeSet::new(), 1);
    loop {
        let mut run = Run::start(&subject);
        let newest = loop {
            let newest = run.watch_for(at).pop();
            at = run.seen.len() + 1;
            if newest.as_ref().is_none_or(|process| victims.insert(kind(process))) {
                break newest;
            }
        };
        let Some(newest) = newest else {
            drop(run.finish(Duration::from_mins(1), "no further process"));
            break;
        };
        hold_killed(&subject, run, (newest.pid, newest.command), &format!("process {at}"));
    }
    // On a busy machine the newest of a look can be another one each time.
    for known in ["sandbox-check __launch", "cargo", "shim", "build-script-build"] {
        if victims.iter().any(|(victim, _)| victim.contains(known)) {
            continue;
        }
        let mut run = Run::start(&subject);
        let found = loop {
            let new = run.watch_for(run.seen.len() + 1);
            assert!(!new.is_empty(), "no {known} was seen in a run, and not among {victims:?}");
            if let Some(found) = new.into_iter().find(|process| kind(process).0.contains(known)) {
                break found;
            }
        };
        victims.insert(kind(&found));
        hold_killed(&subject, run, (found.pid, found.command), known);
    }
    eprintln!("{} were killed: {victims:?}", victims.len());
    assert!(victims.len() > 10, "{victims:?}");
    undisturbed(&subject);
}

/// What a run says whose self-test was killed: the process so many generations below the one that becomes the
/// supervisor, before its first instruction.
fn killed_in_the_self_test(generations: usize) -> String {
    let subject = subject();
    let is_supervisor = |process: &Process| process.command.contains("__launch");
    // A look may come too late.
    for _ in 0..50 {
        let run = Run::start(&subject);
        let supervisor = loop {
            if let Some(found) = descendants(run.child.id()).into_iter().find(is_supervisor) {
                break found.pid;
            }
        };
        let killed = kill_at_birth(supervisor, generations);
        let output = run.finish(Duration::from_mins(1), "killed in the self-test");
        if !killed {
            continue;
        }
        assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(subject.evidence().is_empty(), "evidence of a run that never began");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        return report["error"].to_string();
    }
    panic!("nothing was seen {generations} generations below the supervisor");
}

/// It is a child of the process that seals itself and becomes cargo, and has not knocked yet.
#[test]
fn a_self_test_that_is_killed_before_the_supervisor_knows_of_it_ends_the_run() {
    let said = killed_in_the_self_test(3);
    assert!(said.contains("run the self-test") && said.contains("signal: 9"), "{said}");
}

/// Who tells of it first is a matter of luck: the supervisor, or the process that waits for the self-test.
#[test]
fn a_self_test_whose_init_or_payload_is_killed_ends_the_run() {
    for generations in [4, 5] {
        let said = killed_in_the_self_test(generations);
        let by_the_supervisor = said.contains("the self-test was killed before its first probe");
        assert!(by_the_supervisor || said.contains("run the self-test") && said.contains("signal: 9"), "{said}");
    }
}

#[test]
fn whatever_process_is_killed_at_whatever_moment_nothing_is_left_and_nothing_passes_for_whole() {
    const RUNS: u64 = 60;
    let subject = subject();
    let took = undisturbed(&subject);
    let mut counted = Run::start(&subject);
    counted.watch_for(usize::MAX);
    let processes_of_a_run = counted.seen.len();
    drop(counted.finish(SOON, "counted"));
    let mut random = Random::new();
    for number in 0..RUNS {
        let moment = random.moment(took);
        let mut run = Run::start(&subject);
        let program = i32::try_from(run.child.id()).unwrap();
        // Every third time a process that has just begun: a shim, an init of a unit, a helper.
        let just_begun = number % 3 == 1;
        let many = usize::try_from(3 + random.below(u64::try_from(processes_of_a_run).unwrap())).unwrap();
        let processes = if just_begun { run.watch_for(many) } else { run.watch(moment) };
        // Every fifth time the program itself, else any process below it.
        let victim = if number % 5 == 0 || processes.is_empty() {
            (program, "the program".to_owned())
        } else {
            let at = usize::try_from(random.below(u64::try_from(processes.len()).unwrap())).unwrap();
            (processes[at].pid, processes[at].command.clone())
        };
        hold_killed(&subject, run, victim, &format!("run {number}"));
    }
    undisturbed(&subject);
    let runs = fs::read_dir(subject.cache_dir().join("sandbox-check/runs")).unwrap().flatten();
    let left: Vec<_> = runs.map(|entry| entry.file_name()).filter(|name| name != "door").collect();
    assert!(left.is_empty(), "the next run cleans up: {left:?}");
}

/// The number that a process has in its innermost PID namespace, and how many of those it is in.
fn innermost(process: &Process) -> Option<(usize, i32)> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).ok()?;
    let numbers: Vec<_> = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().collect();
    Some((numbers.len(), numbers.last()?.parse().ok()?))
}

/// The helper lives for an instant. A supervisor that is held again and again lets us see it wait for its word.
#[test]
fn a_killed_hand_off_helper_ends_its_unit_at_once() {
    /// Ours, the sandbox's, the unit's; in there the init is 1, the program 2, the helper 3.
    const HELPER: (usize, i32) = (3, 3);
    let subject = subject();
    let mut run = Run::start(&subject);
    let supervisor = loop {
        let found = descendants(run.child.id()).into_iter().find(|process| process.command.contains("__launch"));
        if let Some(found) = found {
            break Pid::from_raw(found.pid);
        }
        assert!(run.child.try_wait().unwrap().is_none(), "it never started the supervisor");
    };
    let is_helper = |process: &Process| process.command.contains("/shim ") && innermost(process) == Some(HELPER);
    let helper = loop {
        kill(supervisor, Signal::SIGSTOP).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let now = descendants(run.child.id());
        run.seen.extend(now.iter().cloned());
        // It may have ended by itself just before the supervisor stood still.
        let found =
            now.into_iter().find(is_helper).filter(|found| kill(Pid::from_raw(found.pid), Signal::SIGKILL).is_ok());
        kill(supervisor, Signal::SIGCONT).unwrap();
        if let Some(found) = found {
            break found;
        }
        assert!(run.child.try_wait().unwrap().is_none(), "no helper was seen in a whole run");
        std::thread::sleep(Duration::from_micros(500));
    };
    let context = format!("killed {helper:?}");
    let output = run.finish(Duration::from_secs(30), &context);
    hold_log(&subject, &context);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(report["completeness"]["status"], "complete", "{report}");
    assert_ne!(report["verdict"], "pass", "{report}");
}

#[test]
fn a_signal_at_whatever_moment_ends_the_run_with_a_word() {
    const RUNS: u64 = 32;
    let subject = subject();
    let took = undisturbed(&subject);
    let mut random = Random::new();
    for number in 0..RUNS {
        let (signal, code) = if number % 2 == 0 { (Signal::SIGINT, 130) } else { (Signal::SIGTERM, 143) };
        let moment = random.moment(took);
        let mut run = Run::start(&subject);
        let program = Pid::from_raw(i32::try_from(run.child.id()).unwrap());
        run.watch(moment);
        let again = number % 4 == 3;
        let context = format!("run {number}: {signal} after {moment:?}{}", if again { ", twice" } else { "" });
        let _ = kill(program, signal);
        if again {
            std::thread::sleep(random.moment(Duration::from_millis(50)));
            let _ = kill(program, signal);
        }
        let output = run.finish(SOON, &context);
        hold_log(&subject, &context);
        let ended = output.status.code();
        // Before the program watches for signals they end it, and after its last step they change nothing.
        assert!(ended == Some(code) || ended.is_none() || ended == Some(10), "{context}: {ended:?}");
        if again || ended.is_none() {
            continue;
        }
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{context}: {error}: {}", String::from_utf8_lossy(&output.stdout)));
        assert_ne!(report["verdict"], "pass", "{context}");
        assert!(report["completeness"].is_object() || report["error"]["code"].is_string(), "{context}: {report}");
    }
}
