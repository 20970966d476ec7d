//! `mass-delete`: many files of the user were to be removed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Code;
use crate::evidence::line::Kind;
use crate::judge::access::{Zone, changes, zone};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::Draft;
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

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    let mut removed: BTreeMap<_, (&Tried<'_>, BTreeSet<&[u8]>, Vec<u64>)> = BTreeMap::new();
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::FsRemove) {
        let foreign = |change| matches!(zone(cx, tried, change), Zone::Outside | Zone::Foreign | Zone::Startup(..));
        if changes(tried).iter().any(foreign) {
            let entry = removed.entry(tried.unit.id()).or_insert_with(|| (tried, BTreeSet::new(), Vec::new()));
            if entry.1.insert(&tried.path) {
                entry.2.push(tried.attempt.seq);
            }
        }
    }
    for (tried, paths, attempts) in removed.into_values() {
        if paths.len() < cx.policy.sweeps().removals {
            continue;
        }
        let draft = Draft::new(cx, tried, CODE.name, Severity::High).map(|mut draft| {
            draft.count = u64::try_from(paths.len()).unwrap_or(u64::MAX);
            draft.attempts = attempts;
            draft
                .about("files outside its own folders", json!({"paths": paths.len()}))
                .says(format!("the unit tried to remove {} different files outside its own folders", paths.len()))
                .attack(CODE.attack)
        });
        out.extend(draft);
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
        assert!(found.contains(&"mass-delete high files outside its own folders".to_owned()), "{found:?}");
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
