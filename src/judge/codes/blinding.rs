//! `blinding`: an attempt to hide from the supervisor.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{ArgState, Attempt, Kind, Object, Outcome};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "blinding",
    severity: "critical; a call whose arguments cannot be read, which is refused, low",
    attack: &["T1562.001"],
    meaning: "Code that runs at build time tried to hide from whoever watches: a filter of its own over ours, memory \
              that cannot be read, a process that cannot be inspected, arguments that change while they are looked at.",
    honest: "Programs that confine themselves, such as `file`; the policy knows them. Configure scripts that pass bad \
              pointers and names that are too long, to see what the kernel says.",
    action: "Do not build this package outside a sandbox.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    changed(cx, out);
    for tried in &cx.tried {
        // Of a caller that died while its call waited nothing can be read, and nothing of the call came about.
        let is_gone = tried.attempt.outcome == Outcome::Unknown;
        let is_unreadable = tried.attempt.arg_state == ArgState::Unreadable && !is_gone;
        if (tried.attempt.kind != Kind::Blind && !is_unreadable) || hides_nothing(tried.attempt) {
            continue;
        }
        let syscall = tried.attempt.syscall.as_str();
        let names = match &tried.attempt.object {
            Object::Operation { names, .. } => names.as_slice(),
            _ => &[],
        };
        // Memory can no longer be hidden, so what cannot be read is most often an address of nothing.
        let worst = if tried.attempt.kind == Kind::Blind { Severity::Critical } else { Severity::Low };
        let exception = cx.policy.exception(CODE.name, &tried.attempt.exe.0, syscall);
        let severity = exception.map_or(worst, |rule| rule.severity);
        let subject = [&[syscall.to_owned()], names].concat().join(" ");
        let says = if is_unreadable {
            format!("{} tried {subject} with arguments that cannot be read; it was refused", actor(tried))
        } else {
            format!("{} tried to {} ({subject})", actor(tried), what(syscall, names))
        };
        let draft = Draft::new(cx, tried, CODE.name, severity)
            .map(|draft| draft.about(subject, json!({"call": syscall, "names": names})).says(says).attack(CODE.attack));
        push(out, draft);
    }
}

/// Arguments that were others by the time of our answer. No honest program changes them in another thread.
fn changed(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| t.attempt.arg_state == ArgState::Changed) {
        let syscall = tried.attempt.syscall.as_str();
        let says = format!("{} changed the arguments of {syscall} while the call was looked at", actor(tried));
        let draft = Draft::new(cx, tried, CODE.name, Severity::Critical).map(|draft| {
            draft
                .about(format!("{syscall} with changing arguments"), json!({"call": syscall}))
                .says(says)
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

/// What a call would do, after "tried to".
fn what(syscall: &str, names: &[String]) -> &'static str {
    let operation = names.first().map(String::as_str).unwrap_or_default();
    match syscall {
        "seccomp" => "put a filter of its own over its calls",
        "prctl" if operation.starts_with("PR_SET_SECCOMP") => "put a filter of its own over its calls",
        "prctl" if operation.starts_with("PR_SET_DUMPABLE") => "keep others from looking into it",
        "prctl" if operation.starts_with("PR_SET_PTRACER") => "choose who may look into it",
        "prctl" if operation.starts_with("PR_SET_MM") => "change what is told about its memory",
        "memfd_secret" => "get memory that nobody else can read",
        "userfaultfd" => "hold up whoever reads its memory",
        _ => "hide from whoever watches",
    }
}

/// True for questions about filters and for the wish to be seen.
fn hides_nothing(attempt: &Attempt) -> bool {
    const GET_ACTION_AVAIL: u64 = 2;
    const GET_NOTIF_SIZES: u64 = 3;
    let [operation, value, ..] = attempt.args;
    match attempt.syscall.as_str() {
        // The kernel takes both for 32-bit numbers.
        "seccomp" => matches!(operation & 0xffff_ffff, GET_ACTION_AVAIL | GET_NOTIF_SIZES),
        "prctl" => operation & 0xffff_ffff == 4 && value == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{ArgState, Attempt, Kind, Object, Outcome};
    use crate::evidence::testing::OUT;
    use crate::judge::codes::testing::script;

    #[test]
    fn an_own_filter_is_critical() {
        assert_eq!(
            script(|u| u.operation(Kind::Blind, "prctl", &["PR_SET_DUMPABLE"])),
            ["blinding critical prctl PR_SET_DUMPABLE"]
        );
    }

    #[test]
    fn arguments_that_change_while_they_are_looked_at_are_critical() {
        let found = script(|u| u.link("rename", OUT, "/home/dev/.x").with(|a| a.arg_state = ArgState::Changed));
        assert!(found.contains(&"blinding critical rename with changing arguments".to_owned()), "{found:?}");
    }

    #[test]
    fn arguments_that_cannot_be_read_are_said() {
        let unreadable = |a: &mut Attempt| (a.arg_state, a.object) = (ArgState::Unreadable, Object::None);
        assert_eq!(script(|u| u.open("/x").denied(14).with(unreadable)), ["blinding low openat"]);
        assert!(script(|u| u.open("/x").denied(14)).is_empty());
    }

    #[test]
    fn a_caller_that_died_while_its_call_waited_hid_nothing() {
        let gone = |a: &mut Attempt| {
            (a.arg_state, a.object, a.outcome) = (ArgState::Unreadable, Object::None, Outcome::Unknown);
        };
        assert!(script(|u| u.open("/x").denied(14).with(gone)).is_empty());
    }

    #[test]
    fn to_ask_about_filters_and_to_be_seen_is_nothing() {
        let call = |syscall: &str, args: [u64; 2]| {
            script(|u| u.operation(Kind::Blind, syscall, &[]).denied(1).with(|a| a.args[..2].copy_from_slice(&args)))
        };
        assert!(
            call("seccomp", [2, 0]).is_empty()
                && call("seccomp", [3, 0]).is_empty()
                && call("prctl", [4, 1]).is_empty()
        );
        assert_eq!(call("seccomp", [1, 0]), ["blinding critical seccomp"]);
        assert_eq!(call("prctl", [4, 0]), ["blinding critical prctl"]);
    }

    #[test]
    fn the_file_program_confines_itself() {
        let found = script(|u| u.by("/usr/bin/file").operation(Kind::Blind, "seccomp", &["SECCOMP_SET_MODE_FILTER"]));
        assert_eq!(found, ["blinding info seccomp SECCOMP_SET_MODE_FILTER"]);
    }
}
