//! `mass-delete`: many files of the user were to be removed.

use super::Code;
use crate::evidence::line::Kind;
use crate::judge::access::{Zone, changes, zone};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::Draft;
use crate::judge::sweep::Sweeps;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "mass-delete",
    severity: "high",
    attack: &["T1485"],
    meaning: "One unit tried to remove so many different files outside its own folders that it looks like a wiper.",
    honest: "None that we know; cleaning up in OUT_DIR, in TMPDIR or in the own source does not count.",
    action: "Do not build this package outside a sandbox.",
    rule,
};

/// The removals outside of each unit's own folders.
fn removals<'t, 'a>(cx: &'t Context<'a>) -> Sweeps<'t, 'a> {
    let mut sweeps = Sweeps::default();
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::FsRemove) {
        let foreign = |change| matches!(zone(cx, tried, change), Zone::Outside | Zone::Foreign);
        if changes(tried).iter().any(foreign) {
            sweeps.add(tried, &tried.path);
        }
    }
    sweeps
}

/// True for removals that a finding of this code speaks of.
pub(super) fn tells_of<'t>(cx: &'t Context<'_>) -> impl Fn(&Tried<'_>) -> bool + use<'t> {
    let units = removals(cx).units(cx.policy.sweeps().removals);
    move |tried| tried.attempt.kind == Kind::FsRemove && units.contains(&tried.unit.id())
}

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    let sweeps = removals(cx);
    for (many, draft) in sweeps.drafts(cx, cx.policy.sweeps().removals, CODE.name, Severity::High) {
        let object = draft.object.clone();
        out.push(
            draft
                .about("files outside its own folders", object)
                .says(format!("the unit tried to remove {many} different files outside its own folders"))
                .attack(CODE.attack),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::OUT;
    use crate::judge::codes::testing::script;

    #[test]
    fn a_wiper_is_a_finding() {
        let found = script(|mut u| {
            for i in 0..10 {
                u = u.remove(&format!("/home/dev/{i}"));
            }
            u
        });
        assert_eq!(found, ["mass-delete high files outside its own folders"], "each file is not said again");
    }

    #[test]
    fn cleaning_up_ones_own_folder_is_not() {
        assert!(script(|mut u| {
            for i in 0..500 {
                u = u.remove(&format!("{OUT}/{i}"));
            }
            u
        })
        .is_empty());
    }
}
