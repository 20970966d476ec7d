//! `process-interference`: a process beyond the unit was to be stopped or entered.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::Attempt;
use crate::evidence::line::{Kind, Object, Outcome};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "process-interference",
    severity: "high; signal 0, which only asks whether a process is there, low",
    attack: &["T1055", "T1055.008", "T1489", "T1622"],
    meaning: "Code that runs at build time tried to signal, trace or enter a process that is not part of its unit: \
              the compiler, cargo, or whoever watches.",
    honest: "None that we know. Signals to one's own children and threads do not count.",
    action: "Treat it as an attempt to change the build or to blind the watcher.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some(found) = interference(tried.attempt) else { continue };
        let says = format!("{} tried to {}", actor(tried), found.what);
        let draft = Draft::new(cx, tried, CODE.name, found.severity)
            .map(|draft| draft.about(found.subject, found.object).says(says).attack(found.attack));
        push(out, draft);
    }
}

/// `ptrace(2)`: the only request that is about the caller itself.
const PTRACE_TRACEME: u64 = 0;

/// What a call would do to others.
struct Interference {
    severity: Severity,
    subject: String,
    object: serde_json::Value,
    /// After "tried to".
    what: String,
    attack: &'static [&'static str],
}

fn interference(attempt: &Attempt) -> Option<Interference> {
    let syscall = attempt.syscall.as_str();
    match (attempt.kind, &attempt.object) {
        (Kind::ProcSignal, Object::Signal { signal, target, .. }) => {
            // What was let through stays inside the unit's own PID namespace. 1 is the init that is ours,
            // -1 is everybody.
            let is_refused = matches!(attempt.outcome, Outcome::Denied | Outcome::Killed);
            let whom = match target {
                -1 => "every process",
                1 => "the process that started it",
                _ if is_refused => "another process",
                _ => return None,
            };
            // The number of another process differs from run to run, so it is no part of the subject.
            let subject = format!("signal {signal} to {whom}");
            Some(Interference {
                severity: if *signal == 0 { Severity::Low } else { Severity::High },
                what: match signal {
                    0 => format!("ask by signal 0 whether {whom} is there"),
                    _ => format!("send {}{subject}", name(*signal)),
                },
                subject,
                object: json!({"signal": signal, "target": target, "call": syscall}),
                attack: &["T1489"],
            })
        }
        // std asks once whether it may use descriptors of processes.
        (Kind::ProcInspect, _) if syscall == "pidfd_open" => None,
        (Kind::ProcSignal | Kind::ProcInspect, object) => {
            let names = match object {
                Object::Operation { names, .. } => names.as_slice(),
                _ => &[],
            };
            let subject = [&[syscall.to_owned()], names].concat().join(" ");
            let (what, attack): (_, &[_]) = match syscall {
                // What a test for watchers does: a process has one tracer at most.
                "ptrace" if attempt.args.first() == Some(&PTRACE_TRACEME) => ("be traced by its parent", &["T1622"]),
                "ptrace" => ("trace another process", &["T1055.008"]),
                "process_vm_readv" => ("read the memory of another process", &["T1055"]),
                "process_vm_writev" => ("write into the memory of another process", &["T1055"]),
                "pidfd_getfd" => ("take a descriptor from another process", &["T1055"]),
                "fcntl" => ("have signals sent when a descriptor is ready", &["T1489"]),
                _ => ("reach into another process", &["T1055"]),
            };
            Some(Interference {
                // The process that gets the signals can only be one of the unit's.
                severity: if attempt.kind == Kind::ProcSignal { Severity::Low } else { Severity::High },
                what: format!("{what} by {subject}"),
                subject,
                object: json!({"call": syscall, "names": names}),
                attack,
            })
        }
        _ => None,
    }
}

/// The names of signals that are sent to harm, with a space; empty for others.
fn name(signal: i64) -> &'static str {
    match signal {
        1 => "SIGHUP, ",
        2 => "SIGINT, ",
        6 => "SIGABRT, ",
        9 => "SIGKILL, ",
        15 => "SIGTERM, ",
        18 => "SIGCONT, ",
        19 => "SIGSTOP, ",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Kind;
    use crate::judge::codes::testing::script;

    #[test]
    fn tracing_and_signals_beyond_the_unit_are_findings() {
        assert_eq!(
            script(|u| u.operation(Kind::ProcInspect, "ptrace", &["PTRACE_ATTACH"])),
            ["process-interference high ptrace PTRACE_ATTACH"]
        );
        assert_eq!(script(|u| u.signal(9, 4711).denied(1)), ["process-interference high signal 9 to another process"]);
        assert_eq!(
            script(|u| u.signal(19, 1).signal(9, -1)),
            [
                "process-interference high signal 19 to the process that started it",
                "process-interference high signal 9 to every process",
            ]
        );
        assert_eq!(
            script(|u| u.operation(Kind::ProcSignal, "fcntl", &["F_SETOWN"]).denied(1)),
            ["process-interference low fcntl F_SETOWN"]
        );
    }

    #[test]
    fn whoever_asks_whether_its_parent_lives_stops_nobody() {
        assert_eq!(script(|u| u.signal(0, 1)), ["process-interference low signal 0 to the process that started it"]);
    }

    #[test]
    fn signals_to_own_children_and_stds_probe_are_nothing() {
        assert!(
            script(|u| u.signal(15, 42).signal(10, 7).operation(Kind::ProcInspect, "pidfd_open", &[]).denied(38))
                .is_empty()
        );
    }
}
