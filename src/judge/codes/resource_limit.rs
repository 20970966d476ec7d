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
    meaning: "A limit was hit: of time, CPU time, memory, processes, disk, files, output or evidence. For time, memory \
              and processes the unit was ended; what it would have done afterwards is unknown. The object names the \
              limit and its bound.",
    honest: "Large native builds on small machines.",
    action: "Run again with a higher limit: --timeout SECONDS or --limit NAME=VALUE (docs/limits.md). A limit that is \
             hit again is worth a look.",
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
        // Evidence that names no limit is from before limits had names.
        let (name, bound) = hit.limit.as_ref().map_or((&hit.text, None), |limit| (&limit.name, Some(limit.bound)));
        let mut draft = Draft::of_package(package, CODE.name, Severity::Medium)
            .about(name.as_str(), json!({"limit": name, "bound": bound}))
            .says(format!("a limit was hit: {}", crate::evidence::Bytes::from(hit.text.as_str())))
            .attack(CODE.attack);
        draft.unit = hit.unit;
        out.push(draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{HitLimit, Line, Note, note};
    use crate::evidence::testing::LogBuilder;
    use crate::ids::UnitId;
    use crate::judge::codes::testing::found;

    #[test]
    fn a_limit_is_a_finding_and_another_note_is_not() {
        let log = LogBuilder::new().build_script("u", |u| u).note(note::LIMIT_HIT, "wall clock of 600 s").log();
        assert_eq!(found(&log), ["resource-limit medium wall clock of 600 s"]);
        let named = Line::Note(Note {
            code: note::LIMIT_HIT.to_owned(),
            package: None,
            unit: Some(UnitId(1)),
            text: "the unit's processes used 5 s of CPU time".to_owned(),
            limit: Some(HitLimit { name: "cpu".to_owned(), bound: 5 }),
        });
        let log = LogBuilder::new().build_script("u", |u| u).line(named).log();
        assert_eq!(found(&log), ["resource-limit medium cpu"]);
        let log = LogBuilder::new().build_script("u", |u| u).note(note::CARGO_EXIT, "exit status: 0").log();
        assert!(found(&log).is_empty());
    }
}
