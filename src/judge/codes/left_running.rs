//! `left-running`: processes outlived their unit.

use serde_json::json;

use super::Code;
use crate::evidence::line::Kind;
use crate::ids::UnitId;
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "left-running",
    severity: "medium; with a session of their own, or started by a process whose parent was gone (a double fork), high",
    attack: &["T1564.011"],
    meaning: "When the unit's own program had ended, others that it had started were still alive. They were killed. \
              On a real machine they would have gone on after the build.",
    honest: "Compiler caches and agents that start a server on first use.",
    action: "Find out which program stayed: the last starts of the unit in the evidence name it.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for unit in cx.units.0.values() {
        let Some((end, package)) = unit.end.zip(unit.package.as_ref().or(cx.subject())) else { continue };
        if end.left_running == 0 {
            continue;
        }
        let is_orphaned = starts_without_parent(cx, unit.id());
        let severity = if end.left_detached > 0 || is_orphaned { Severity::High } else { Severity::Medium };
        let count = end.left_running;
        let noun = if count == 1 { "process" } else { "processes" };
        let how = match (end.left_detached > 0, is_orphaned) {
            (true, _) => ", in a session of its own",
            (false, true) => ", after a process without a parent had started a program (a double fork)",
            (false, false) => "",
        };
        let mut draft = Draft::of_package(package, CODE.name, severity)
            .about("processes", json!({"processes": count, "detached": end.left_detached, "orphaned": is_orphaned}))
            .says(format!("{count} {noun} of the unit tried to live on after it had ended{how}"))
            .attack(CODE.attack);
        draft.unit = Some(unit.id());
        draft.count = u64::from(count);
        out.push(draft);
    }
}

/// True if a process whose parent had ended, while the unit's program still ran or after it, started a program. Its
/// ancestors then end in the unit's init, which is our shim, and not in the unit's program.
fn starts_without_parent(cx: &Context<'_>, unit: UnitId) -> bool {
    let starts = cx.tried.iter().filter(|t| t.unit.id() == unit && t.attempt.kind == Kind::Exec && !t.is_first);
    starts
        .filter(|t| t.attempt.lineage.len() > 1)
        .any(|t| t.attempt.lineage.last().is_some_and(|exe| cx.is_shim(&exe.0)))
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::ProgramFile;
    use crate::evidence::testing::{SCRIPT, SHIM};
    use crate::judge::codes::testing::script;

    #[test]
    fn what_stays_is_medium_and_what_detached_itself_high() {
        assert_eq!(script(|u| u.end(|e| e.left_running = 2)), ["left-running medium processes"]);
        let found = script(|u| {
            u.end(|e| {
                e.left_running = 1;
                e.left_detached = 1;
            })
        });
        assert_eq!(found, ["left-running high processes"]);
    }

    #[test]
    fn a_double_fork_is_seen_where_the_orphan_starts_a_program() {
        let left = |ancestor: &str| {
            script(|u| u.exec(ProgramFile::Elf, &["/usr/bin/sleep", "20"], &[ancestor]).end(|e| e.left_running = 1))
        };
        assert_eq!(left(SHIM), ["left-running high processes"]);
        assert_eq!(left(SCRIPT), ["left-running medium processes"]);
        assert!(script(|u| u.exec(ProgramFile::Elf, &["/usr/bin/sleep", "0"], &[SHIM])).is_empty());
    }

    #[test]
    fn a_unit_that_ends_whole_is_nothing() {
        assert!(script(|u| u.run(&["/usr/bin/make"])).is_empty());
    }
}
