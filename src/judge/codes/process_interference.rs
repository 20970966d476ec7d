//! `process-interference`: a process beyond the unit was to be stopped or entered.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{Kind, Object, Outcome};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "process-interference",
    severity: "high",
    attack: &["T1055"],
    meaning: "Code that runs at build time tried to signal, trace or enter a process that is not part of its unit: \
              the compiler, cargo, or whoever watches.",
    honest: "None that we know. Signals to one's own children and threads do not count.",
    action: "Treat it as an attempt to change the build or to blind the watcher.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some((subject, object)) = interference(tried) else { continue };
        let says = format!("{} tried to interfere with another process by {}", actor(tried), tried.attempt.syscall);
        let draft = Draft::new(cx, tried, CODE.name, Severity::High)
            .map(|draft| draft.about(subject, object).says(says).attack(CODE.attack));
        push(out, draft);
    }
}

fn interference(tried: &Tried<'_>) -> Option<(String, serde_json::Value)> {
    let attempt = tried.attempt;
    let syscall = attempt.syscall.as_str();
    match (attempt.kind, &attempt.object) {
        (Kind::ProcSignal, Object::Signal { signal, target, .. }) => {
            // What was let through stays inside the unit's own PID namespace. 1 is the init that is ours,
            // -1 is everybody.
            let is_refused = matches!(attempt.outcome, Outcome::Denied | Outcome::Killed);
            let is_beyond = is_refused || matches!(target, 1 | -1);
            is_beyond.then(|| (format!("signal {signal}"), json!({"signal": signal, "target": target, "call": syscall})))
        }
        // std asks once whether it may use descriptors of processes.
        (Kind::ProcInspect, _) if syscall == "pidfd_open" => None,
        (Kind::ProcInspect, Object::Operation { names, .. }) => {
            Some((format!("{syscall} {}", names.join(" ")).trim_end().to_owned(), json!({"call": syscall, "names": names})))
        }
        (Kind::ProcInspect, _) => Some((syscall.to_owned(), json!({"call": syscall}))),
        _ => None,
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
        assert_eq!(script(|u| u.signal(9, 4711).denied(1)), ["process-interference high signal 9"]);
        assert_eq!(script(|u| u.signal(19, 1)), ["process-interference high signal 19"]);
    }

    #[test]
    fn signals_to_own_children_and_stds_probe_are_nothing() {
        assert!(
            script(|u| u.signal(15, 42).signal(10, 7).operation(Kind::ProcInspect, "pidfd_open", &[]).denied(38)).is_empty()
        );
    }
}
