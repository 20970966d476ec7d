//! Callers that want to be lost: nothing of them is, or the totals say how much, and the supervisor stays small.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::require;
use crate::support::sandboxed::{Attempt, PROGRAM, Run, Subject};

/// What the supervisor may use, in KiB.
const MOST_MEMORY: u64 = 64 * 1024;

/// Runs one hostile caller, and holds what must hold of each: all that was received is accounted for.
fn run(what: &str, more: &[&str]) -> Run {
    let subject = Subject::new("hostile").build_script(include_str!("payloads/hostile.rs"));
    let mut command = subject.command();
    command.arg("--env").arg(format!("HOSTILE={what}")).args(more);
    let (run, peak) = subject.run_watched(&mut command);
    assert!(peak < MOST_MEMORY, "{what}: the supervisor had {peak} KiB");
    let totals = totals(&run);
    let number = |name: &str| totals[name].as_u64().unwrap();
    let told = ["recorded", "coalesced", "counted", "dropped"].map(number);
    assert_eq!(number("received"), told.iter().sum::<u64>(), "{what}: {told:?}");
    assert_eq!(number("recorded"), u64::try_from(run.of("attempt").count()).unwrap(), "{what}");
    let integrity = if number("dropped") == 0 { "complete" } else { "lossy" };
    assert_eq!(totals["integrity"], integrity, "{what}");
    run
}

fn totals(run: &Run) -> Value {
    run.of("totals").next().unwrap().clone()
}

/// How often the attempts that fit were made, repeats counted.
fn times(run: &Run, fits: impl Fn(&Value) -> bool) -> u64 {
    let totals = totals(run);
    let count = |line: &Value| totals["counts"][line["seq"].to_string()].as_u64().unwrap_or(1);
    run.of("attempt").filter(|line| fits(line)).map(count).sum()
}

fn path_of(line: &Value) -> &str {
    line["object"]["path"].as_str().unwrap_or_default()
}

/// The different paths below a folder.
fn distinct<'r>(run: &'r Run, folder: &'r str) -> BTreeSet<&'r str> {
    run.of("attempt").map(path_of).filter(|path| path.starts_with(folder)).collect()
}

fn is_complete(run: &Run) {
    assert_eq!(run.report["completeness"]["status"], "complete", "{}", run.report["completeness"]);
}

#[test]
fn who_dies_in_the_middle_of_a_call_takes_nothing_else_along() {
    let run = run("death", &[]);
    assert_eq!(run.value("rounds"), "200");
    assert!(distinct(&run, "/dying/").len() > 50, "{}", distinct(&run, "/dying/").len());
    is_complete(&run);
}

#[test]
fn a_storm_of_signals_neither_repeats_nor_hides_a_call() {
    let run = run("storm", &[]);
    assert_eq!((run.value("made").as_str(), run.value("made-unseen").as_str()), ("3000", "0"));
    assert!(run.value("storms").parse::<u64>().unwrap() > 100, "there was no storm");
    let recorded = run.attempts("fs.write").into_iter().filter(|attempt| attempt.path.contains("/storm-"));
    let made: BTreeSet<_> = recorded.map(|attempt| attempt.path).collect();
    assert_eq!(made.len(), 3000);
    is_complete(&run);
}

#[test]
fn a_hundred_thousand_calls_are_counted_to_the_last() {
    let run = run("calls", &[]);
    assert_eq!(times(&run, |line| path_of(line) == "/asked-for/all-the-time"), 100_000);
    is_complete(&run);
}

#[test]
fn thousands_of_threads_that_wait_at_once_are_all_answered() {
    waits_with(3000, &[]);
}

#[test]
fn twenty_thousand_threads_that_wait_at_once_hide_no_key() {
    waits_with(20_000, &["--limit", "processes=32768"]);
}

/// So many threads make one call at once, and one of these reads a key.
fn waits_with(threads: usize, more: &[&str]) {
    let setting = format!("HOSTILE_THREADS={threads}");
    let run = run("threads", &[more, &["--env", &setting]].concat());
    assert_eq!(run.value("threads"), threads.to_string(), "{:?}", run.told());
    assert_eq!(distinct(&run, "/waiting/").len(), threads - 1);
    let key = run.the("fs.open", "the key", |attempt| attempt.resolved.ends_with(".ssh/id_ed25519"));
    assert_eq!(key.came_of(), ("emulated", None, "exact"));
    let found = run.findings();
    assert!(
        found.iter().any(|(code, subject)| code == "credential-read" && subject.ends_with("id_ed25519")),
        "{found:?}"
    );
    is_complete(&run);
}

/// In a PID namespace of its own that has few numbers: each is used again after some hundred processes.
#[test]
fn a_process_number_that_is_used_again_means_the_new_process() {
    let kernel = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    require!(version >= (6, 14), "before Linux 6.14 the bound on process numbers is the whole machine's");
    let subject = Subject::new("hostile").build_script(include_str!("payloads/hostile.rs"));
    let (id, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    let again =
        if id.is_root() { String::new() } else { format!("unshare --user --map-user={id} --map-group={group} ") };
    let mut command = std::process::Command::new("unshare");
    if !id.is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = format!("echo 600 > /proc/sys/kernel/pid_max || exit 99; exec {again}\"$@\"");
    command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script, "sh", PROGRAM]);
    subject.arguments(&mut command);
    command.args(["--env", "HOSTILE=reused"]);
    let run = subject.read(&command.output().unwrap());
    assert!(run.value("failed").parse::<u32>().unwrap() > 300, "{}", run.value("failed"));
    let ours = |line: &&Value| path_of(line) == "/reused/a";
    let shells: BTreeSet<_> = run.of("attempt").filter(ours).map(|line| line["exe"].to_string()).collect();
    assert!(shells.len() == 1 && shells.iter().all(|exe| exe.contains("sh\"")), "{shells:?}");
    assert_eq!(times(&run, |line| path_of(line) == "/reused/a"), 1500);
    // The number of a child whose start failed says nothing about the subshell that has it now.
    let changed: Vec<_> = run.of("attempt").filter(|line| line["arg_state"] == "changed").collect();
    assert!(changed.is_empty(), "{changed:#?}");
    is_complete(&run);
}

#[test]
fn the_longest_path_is_recorded_whole_and_the_longest_arguments_by_their_size() {
    let run = run("long", &[]);
    run.met("longest", libc::ENOENT);
    run.met("too-long", libc::ENAMETOOLONG);
    let longest = run.the("fs.open", "the longest path", |attempt| {
        attempt.path.starts_with("/long/") && attempt.state == "snapshot"
    });
    assert_eq!(longest.path.len(), 4095);
    assert_eq!(run.value("long-argv"), "0");
    let start = run.the("exec", "the long start", |attempt| attempt.path == "/bin/true");
    assert_eq!(start.object["argc"], 15);
    assert_eq!(start.object["argv_bytes"], 10 + 14 * 128 * 1024);
    assert_eq!(start.state, "partial");
    is_complete(&run);
}

#[test]
fn arguments_that_change_while_the_call_waits_are_recorded_both_times() {
    // On a machine with other work the thread that changes the path may never run while a call waits.
    let mut tries = (0..5).map(|_| run("swapped", &[]));
    let is_caught = |run: &Run| {
        let changed = |kind: &str| run.attempts(kind).iter().any(|attempt| attempt.state == "changed");
        changed("fs.link") && changed("exec")
    };
    let caught = tries.find(is_caught);
    let run =
        caught.unwrap_or_else(|| panic!("five times 400 renames behind a path that changes, and none was caught"));
    // The oracle: the file was put there, and a record names it.
    if run.value("planted") == "1" {
        let named = |attempt: &Attempt| attempt.object["to"]["resolved"].as_str() == Some("/home/dev/.profile-swapped");
        assert!(run.attempts("fs.link").iter().any(named));
    }
    assert!(run.value("ran").parse::<u32>().unwrap() > 100, "hardly a start succeeded");
    let own = |attempt: &Attempt| attempt.resolved.ends_with("/own-program");
    assert!(run.attempts("exec").iter().any(own), "the program behind the changing path stands nowhere");
    let codes: BTreeSet<_> = run.findings().into_iter().map(|(code, _)| code).collect();
    assert!(codes.contains("blinding") && codes.contains("exec-dropped-file"), "{codes:?}");
}

#[test]
fn the_program_behind_a_scripts_first_line_is_recorded() {
    let run = run("interpreter", &[]);
    assert_eq!(run.value("interpreted"), "0");
    let found = run.the("exec", "the interpreter", |attempt| attempt.resolved.ends_with("/interpreter"));
    assert_eq!((found.state.as_str(), found.outcome.as_str()), ("exact", "allowed"));
    let dropped = run
        .findings()
        .into_iter()
        .any(|(code, subject)| code == "exec-dropped-file" && subject.ends_with("/interpreter"));
    assert!(dropped, "{:?}", run.findings());
}

#[test]
fn children_that_share_memory_or_live_for_one_call_are_told_apart() {
    let run = run("children", &[]);
    assert_eq!(distinct(&run, "/vforked/").len(), 100);
    assert_eq!(distinct(&run, "/short-lived/").len(), 2000);
    let of_children = run.attempts("fs.open").into_iter().filter(|attempt| attempt.path.starts_with("/short-lived/"));
    for attempt in of_children {
        assert!(attempt.exe.ends_with("build-script-build"), "{attempt:#?}");
    }
    is_complete(&run);
}

#[test]
fn a_program_that_nobody_may_read_hides_nothing() {
    let run = run("unreadable", &[]);
    assert_eq!(run.value("unreadable"), "0");
    let by = |attempt: &Attempt| attempt.exe.ends_with("/unreadable");
    let key = run.the("fs.open", "the key", |attempt| attempt.resolved.ends_with(".ssh/id_ed25519") && by(attempt));
    assert_eq!(key.came_of(), ("emulated", None, "exact"));
    run.the("fs.open", "another path", |attempt| attempt.path == "/asked/by-the-unreadable" && by(attempt));
}

#[test]
fn no_name_breaks_a_line_of_evidence_or_a_report() {
    let run = run("names", &[]);
    // The evidence was read line by line by then. Its bytes are those of the names.
    let names: Vec<_> =
        run.attempts("fs.write").into_iter().filter(|attempt| attempt.path.starts_with("/home/dev/evil-")).collect();
    assert_eq!(names.len(), 6, "{names:#?}");
    assert!(names.iter().any(|attempt| attempt.path.contains("new\nline")));
    let is_plain =
        |text: &str| text.chars().all(|c| c == '\n' || (!c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c)));
    let report = run.report.to_string();
    assert!(is_plain(&report.replace("\\n", "")), "{report}");
    assert!(is_plain(&run.stderr), "{}", run.stderr);
}
