//! `mass-delete`: many files of the user were to be removed.

use super::Code;
use crate::evidence::line::Kind;
use crate::judge::access::{Zone, changes, has_flag, zone};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::Draft;
use crate::judge::sweep::Sweeps;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "mass-delete",
    severity: "high",
    attack: &["T1485"],
    meaning: "One unit tried to remove or empty so many different files outside its own folders that it looks like a wiper.",
    honest: "None that we know; cleaning up in OUT_DIR, in TMPDIR or in the own source does not count.",
    action: "Do not build this package outside a sandbox.",
    rule,
};

/// What each unit removed or emptied outside of its own folders.
fn removals<'t, 'a>(cx: &'t Context<'a>) -> Sweeps<'t, 'a> {
    let mut sweeps = Sweeps::default();
    for tried in cx.tried.iter().filter(|tried| removes(cx, tried)) {
        let foreign = |change| !matches!(zone(cx, tried, change), Zone::Own | Zone::Source { .. } | Zone::Known(_));
        if changes(tried).iter().any(foreign) {
            sweeps.add(tried, &tried.path);
        }
    }
    sweeps
}

/// True for removals, and for calls that empty a file which is there.
fn removes(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let is_there = !has_flag(tried, "O_CREAT") || cx.decoy(&tried.path).is_some();
    let empties = tried.attempt.syscall.starts_with("truncate") || (has_flag(tried, "O_TRUNC") && is_there);
    tried.attempt.kind == Kind::FsRemove || (tried.attempt.kind == Kind::FsWrite && empties)
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
                .says(format!("the unit tried to remove or empty {many} different files outside its own folders"))
                .attack(CODE.attack),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Kind;
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
    fn who_empties_files_instead_of_removing_them_is_a_wiper_too() {
        let found = script(|mut u| {
            for i in 0..10 {
                u = u.path(Kind::FsWrite, "openat", format!("/home/dev/{i}").as_str(), &["O_WRONLY", "O_TRUNC"]);
            }
            u
        });
        assert_eq!(found[0], "mass-delete high files outside its own folders");
    }

    #[test]
    fn an_installer_that_makes_many_files_is_none() {
        let found = script(|mut u| {
            for i in 0..20 {
                u = u.write(format!("/home/dev/.espressif/{i}").as_str());
            }
            u
        });
        assert!(found.iter().all(|f| f.starts_with("write-outside medium")), "{found:?}");
    }

    #[test]
    fn cleaning_up_ones_own_folder_is_not() {
        assert!(
            script(|mut u| {
                for i in 0..500 {
                    u = u.remove(&format!("{OUT}/{i}"));
                }
                u
            })
            .is_empty()
        );
    }
}
