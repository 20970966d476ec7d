//! `left-running`: processes outlived their unit.

use serde_json::json;

use super::Code;
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "left-running",
    severity: "medium; with a session of their own high",
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
        let severity = if end.left_detached > 0 { Severity::High } else { Severity::Medium };
        let count = end.left_running;
        let noun = if count == 1 { "process" } else { "processes" };
        let mut draft = Draft::of_package(package, CODE.name, severity)
            .about("processes", json!({"processes": count, "detached": end.left_detached}))
            .says(format!("{count} {noun} of the unit tried to live on after it had ended"))
            .attack(CODE.attack);
        draft.unit = Some(unit.id());
        draft.count = u64::from(count);
        out.push(draft);
    }
}

#[cfg(test)]
mod tests {
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
    fn a_unit_that_ends_whole_is_nothing() {
        assert!(script(|u| u.run(&["/usr/bin/make"])).is_empty());
    }
}
