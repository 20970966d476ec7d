//! `blinding`: an attempt to hide from the supervisor.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{ArgState, Kind, Object};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "blinding",
    severity: "critical",
    attack: &["T1562.001"],
    meaning: "Code that runs at build time tried to hide from whoever watches: a filter of its own over ours, memory \
              that cannot be read, a process that cannot be inspected, arguments that change while they are looked at.",
    honest: "Programs that confine themselves, such as `file`; the policy knows them.",
    action: "Do not build this package outside a sandbox.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    changed(cx, out);
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::Blind) {
        let syscall = tried.attempt.syscall.as_str();
        let names = match &tried.attempt.object {
            Object::Operation { names, .. } => names.as_slice(),
            _ => &[],
        };
        let exception = cx.policy.exception(CODE.name, &tried.attempt.exe.0, syscall);
        let severity = exception.map_or(Severity::Critical, |rule| rule.severity);
        let subject = [&[syscall.to_owned()], names].concat().join(" ");
        let is_unreadable = tried.attempt.arg_state == ArgState::Unreadable;
        let says = if is_unreadable {
            format!("{} tried {subject} with arguments that cannot be read", actor(tried))
        } else {
            format!("{} tried to hide by {subject}", actor(tried))
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

#[cfg(test)]
mod tests {
    use crate::evidence::line::{ArgState, Kind};
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
    fn the_file_program_confines_itself() {
        let found = script(|u| u.by("/usr/bin/file").operation(Kind::Blind, "seccomp", &["SECCOMP_SET_MODE_FILTER"]));
        assert_eq!(found, ["blinding info seccomp SECCOMP_SET_MODE_FILTER"]);
    }
}
