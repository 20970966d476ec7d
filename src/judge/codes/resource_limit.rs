//! `resource-limit`: a limit was hit.

use serde_json::json;

use super::Code;
use crate::evidence::line::{Line, note};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "resource-limit",
    severity: "medium",
    attack: &["T1499"],
    meaning: "A unit hit a limit of time, memory, processes, disk or output and was stopped. What it would have done \
              afterwards is unknown.",
    honest: "Large native builds on small machines.",
    action: "Run again with a higher limit, for example --timeout. A limit that is hit again is worth a look.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for line in &cx.log.lines {
        let Line::Note(hit) = line else { continue };
        if hit.code != note::LIMIT_HIT {
            continue;
        }
        let of_unit = hit.unit.and_then(|unit| cx.units.0.get(&unit)).and_then(|unit| unit.package.as_ref());
        let Some(package) = hit.package.as_ref().or(of_unit).or(cx.subject()) else { continue };
        let mut draft = Draft::of_package(package, CODE.name, Severity::Medium)
            .about(hit.text.as_str(), json!({"limit": hit.text}))
            .says(format!("a limit was hit: {}", crate::evidence::Bytes::from(hit.text.as_str())))
            .attack(CODE.attack);
        draft.unit = hit.unit;
        out.push(draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::note;
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;

    #[test]
    fn a_limit_is_a_finding_and_another_note_is_not() {
        let log = LogBuilder::new().build_script("u", |u| u).note(note::LIMIT_HIT, "wall clock of 600 s").log();
        assert_eq!(found(&log), ["resource-limit medium wall clock of 600 s"]);
        let log = LogBuilder::new().build_script("u", |u| u).note(note::CARGO_EXIT, "exit status: 0").log();
        assert!(found(&log).is_empty());
    }
}
