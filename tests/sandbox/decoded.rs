//! Every argument of a notified call stands in its record, by name where it has one.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::support::sandboxed::{Attempt, Run, Subject};

fn subject() -> Subject {
    Subject::new("calls-all").build_script(include_str!("payloads/decoded.rs"))
}

static RUN: LazyLock<Run> = LazyLock::new(|| subject().run());

/// The one call of this unit that fits.
#[track_caller]
fn the(kind: &str, what: &str, fits: impl Fn(&Attempt) -> bool) -> Value {
    let unit = RUN.unit("run-build-script", "calls-all");
    RUN.the(kind, what, |attempt| attempt.unit == unit && fits(attempt)).object
}

fn by_call(call: &'static str) -> impl Fn(&Attempt) -> bool {
    move |attempt| attempt.call == call
}

#[test]
fn a_relative_path_says_where_it_starts() {
    let out = RUN.value("out-dir");
    for name in ["make-relative", "make-at"] {
        RUN.met(name, 0);
    }
    let cwd = the("fs.write", "mkdir", |attempt| attempt.path == "made-from-cwd");
    assert_eq!(cwd["base"], json!({"path": format!("{out}/from-here")}));
    assert_eq!(cwd["resolved"], format!("{out}/from-here/made-from-cwd"));
    let dirfd = the("fs.write", "mkdirat", |attempt| attempt.path == "made-from-dirfd");
    assert_eq!(dirfd["base"]["path"], format!("{out}/from-here/below"));
    assert!(dirfd["base"]["dirfd"].as_i64() > Some(2), "{dirfd}");
    assert_eq!(dirfd["resolved"], format!("{out}/from-here/below/made-from-dirfd"));
    let absolute = the("fs.write", "an absolute path", |attempt| attempt.path == format!("{out}/from-here/below"));
    assert_eq!(absolute["base"], Value::Null);
}

#[test]
fn both_paths_and_the_flags_of_a_call_stand_in_its_record() {
    let out = RUN.value("out-dir");
    for name in ["rename-flags", "remove-dir", "make-fifo", "link-follow"] {
        RUN.met(name, 0);
    }
    let renamed = the("fs.link", "a rename", |attempt| attempt.object["to"]["path"] == "renamed");
    assert_eq!(renamed["from"]["resolved"], format!("{out}/from-here/made-from-cwd"));
    assert_eq!(renamed["to"]["resolved"], format!("{out}/from-here/below/renamed"));
    assert_eq!(renamed["to"]["flags"], json!(["RENAME_NOREPLACE"]));
    let exchanged = the("fs.link", "an exchange", |attempt| attempt.object["to"]["path"] == "nowhere");
    assert_eq!(exchanged["to"]["flags"], json!(["RENAME_EXCHANGE", "0x100"]), "a flag without a name is a number");
    let opened = the("fs.open", "openat2", |attempt| attempt.path == "/not-there");
    assert_eq!(opened["flags"], json!(["O_RDONLY", "RESOLVE_BENEATH", "RESOLVE_NO_SYMLINKS"]));
    let removed = the("fs.remove", "rmdir", |attempt| attempt.path == "made-from-dirfd");
    assert_eq!(removed["flags"], json!(["AT_REMOVEDIR"]));
    assert_eq!(the("fs.write", "mknod", by_call("mknod"))["flags"], json!(["S_IFIFO"]));
    assert_eq!(the("fs.link", "linkat", by_call("linkat"))["to"]["flags"], json!(["AT_SYMLINK_FOLLOW"]));
}

#[test]
fn each_message_of_a_list_is_recorded_however_long_the_list_is() {
    RUN.met("many-messages", 0);
    let sends = RUN.attempts("net.send");
    let to = |port: u16| sends.iter().filter(|send| send.object["to"]["port"] == port).collect::<Vec<_>>();
    assert_eq!(to(4200).len(), 1, "identical messages are one record");
    let [last] = to(4239)[..] else { panic!("the fortieth message: {sends:#?}") };
    assert_eq!((&last.object["length"], &last.object["flags"]), (&json!(5), &json!(["MSG_NOSIGNAL"])));
    let counted = RUN.of("totals").next().unwrap()["counts"].clone();
    let seq = RUN.of("attempt").find(|line| line["object"]["to"]["port"] == 4200).unwrap()["seq"].clone();
    assert_eq!(counted[seq.to_string()], 39);
}

#[test]
fn a_question_in_many_pieces_is_read_as_one() {
    RUN.met("question-in-pieces", 0);
    let questions: Vec<_> = RUN.attempts("dns.query").iter().map(|asked| asked.object["name"].clone()).collect();
    assert!(questions.contains(&json!("in-pieces.invalid")), "{questions:?}");
}

#[test]
fn sockets_and_addresses_of_other_families_are_spelled_out() {
    let flags = |attempt: &Attempt| attempt.object["flags"] == json!(["MSG_DONTWAIT", "MSG_NOSIGNAL"]);
    assert_eq!(the("net.send", "send flags", flags)["length"], 10);
    let socket = the("net.socket", "flags", |attempt| {
        attempt.object["family"] == "AF_UNIX" && attempt.object["flags"].is_array()
    });
    assert_eq!(socket["flags"], json!(["SOCK_NONBLOCK", "SOCK_CLOEXEC"]));
    let netlink = the("net.bind", "netlink", |attempt| attempt.object["family"] == "AF_NETLINK");
    assert_eq!(netlink["text"], "port 7 groups 1");
    assert_eq!(netlink["raw"]["b64"], "EAAAAAcAAAABAAAA");
    let listens = the("net.listen", "listen", by_call("listen"));
    assert_eq!(listens["family"], "AF_UNIX", "a listen is about the address that was bound: {listens}");
}

#[test]
fn a_signal_says_whom_it_is_for() {
    let found = |recipient: &'static str, target: i64| {
        let fits =
            move |attempt: &Attempt| attempt.object["recipient"] == recipient && attempt.object["target"] == target;
        the("proc.signal", recipient, fits)["name"].clone()
    };
    assert_eq!(found("own-group", 0), "SIGUSR1");
    assert_eq!(found("everyone", -1), "0x0", "no signal, a question whether there is anybody");
    assert_eq!(found("init", 1), "0x0");
    assert_eq!(found("group", -4242), "0x0");
    assert_eq!(found("process", 4243), "SIGTERM");
    assert_eq!(found("thread", 4244), "SIGUSR2");
    let child: i64 = RUN.value("child").parse().unwrap();
    assert_eq!(found("process", child), "SIGKILL", "by the process that the descriptor stands for");
    RUN.met("itself", 0);
    assert!(RUN.attempts("proc.signal").iter().all(|attempt| attempt.object["recipient"] != "itself"));
}

#[test]
fn a_program_start_says_how_much_it_was_given_and_from_where() {
    let started = the("exec", "/bin/true", |attempt| attempt.path == "/bin/true");
    assert_eq!((&started["argc"], &started["argv_bytes"]), (&json!(4), &json!(10 + 6 + 100_001 + 5)));
    assert_eq!(started["cwd"], RUN.value("out-dir"));
    let kept: usize = started["argv"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().len() + 1).sum();
    assert!(kept <= 64 * 1024 + 1, "{kept}");
    let exec = RUN.attempts("exec").into_iter().find(|attempt| attempt.path == "/bin/true").unwrap();
    assert_eq!(exec.state, "partial", "what is cut is said to be");
    let at = the("exec", "execveat", by_call("execveat"));
    assert_eq!(at["program"]["flags"], json!(["AT_SYMLINK_NOFOLLOW"]));
    assert_eq!(at["file"], "absent");
}

#[test]
fn operations_have_names() {
    assert_eq!(the("blind", "prctl", by_call("prctl"))["names"], json!(["PR_SET_PTRACER"]));
    let fcntl = the("proc.signal", "fcntl", by_call("fcntl"));
    assert_eq!(fcntl["names"], json!(["F_SETSIG"]));
    assert_eq!(fcntl["descriptors"].as_array().unwrap().len(), 1, "{fcntl}");
}

#[test]
fn questions_about_paths_are_recorded_when_they_are_asked_for_and_only_then() {
    assert_eq!(RUN.attempts("fs.probe"), []);
    let subject = subject();
    let mut command = subject.command();
    command.args(["--trace", "probes"]);
    let run = subject.read(&command.output().unwrap());
    let unit = run.unit("run-build-script", "calls-all");
    let probes: Vec<_> = run.attempts("fs.probe").into_iter().filter(|probe| probe.unit == unit).collect();
    let asked = |path: &str| probes.iter().any(|probe| probe.path == path);
    for path in ["/home/dev/.ssh/id_rsa", "/home/dev/.bashrc", "/nowhere-at-all"] {
        assert!(asked(path), "{path} in {probes:#?}");
    }
    assert!(!asked("/usr/bin"), "what is dull to read is dull to ask for");
    let findings = run.findings();
    assert!(findings.contains(&("credential-probe".to_owned(), "~/.ssh/id_rsa".to_owned())), "{findings:?}");
    assert!(run.report["given"].as_array().unwrap().contains(&json!("trace probes")), "{}", run.report["given"]);
}
