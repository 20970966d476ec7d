//! Every row that the attacker has a payload for: met, recorded, without an effect; and its control outside.

use std::collections::BTreeSet;

use crate::attack::{Attack, control};
use crate::machine::Machine;
use crate::table::{self, Probe};

/// What each probe of a group met and left, and that nothing was seen of it.
fn holds(file: &'static str) {
    let probes: Vec<Probe> = table::rows(file).into_iter().filter(Probe::is_run).collect();
    let attack = Attack::run(&probes.iter().map(|probe| probe.id.clone()).collect::<Vec<_>>());
    let wrong: Vec<_> = probes.iter().flat_map(|probe| judge(&attack, probe)).collect();
    assert!(attack.effects.is_empty(), "seen on the machine: {:?}", attack.effects);
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), attack.told(&probes));
    insta::with_settings!({ snapshot_path => "records", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(file, attack.told(&probes));
    });
}

/// What is not as its row says.
pub fn judge(attack: &Attack, probe: &Probe) -> Vec<String> {
    let mut wrong = Vec::new();
    let met = attack.met.get(&probe.id).map_or("nothing", String::as_str);
    let wanted = probe.meets.as_deref().unwrap_or_default();
    if !wanted.split('|').any(|wanted| wanted.trim() == met) {
        wrong.push(format!("{}: met {met}, not {wanted}", probe.id));
    }
    let records = attack.records(&probe.id);
    let wanted = probe.record.as_deref().unwrap_or("none");
    let fits = |wanted: &str| match wanted.split_once(' ') {
        Some((kind, outcome)) => records.iter().any(|record| record.kind == kind && record.outcome == outcome),
        None => records.is_empty(),
    };
    if !wanted.split('|').any(|wanted| fits(wanted.trim())) {
        let found: Vec<_> = records.iter().map(|record| record.line.as_str()).collect();
        wrong.push(format!("{}: no record {wanted} in {found:#?}", probe.id));
    }
    wrong
}

/// Outside the same thing works: what the row says, and the effect is seen by the same oracle.
fn controls(file: &'static str) {
    let mut machine = Machine::new();
    let mut wrong = Vec::new();
    for probe in table::rows(file).iter().filter(|probe| probe.is_run()) {
        let row = probe.control.as_deref().unwrap_or_default();
        if row.starts_with("none: ") {
            continue;
        }
        let (wanted, in_namespaces) = match row.split_once(" in namespaces") {
            Some((wanted, _)) => (wanted, true),
            None => (row, false),
        };
        let (met, effects) = control(&mut machine, &probe.id, in_namespaces);
        if !wanted.split('|').any(|wanted| wanted.trim() == met) {
            wrong.push(format!("{}: outside it met {met}, not {wanted}", probe.id));
        }
        let expected: BTreeSet<_> = probe.effect.into_iter().collect();
        if effects != expected {
            wrong.push(format!("{}: outside {effects:?} was seen, not {expected:?}", probe.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

macro_rules! groups {
    ($($group:ident)*) => { $(
        mod $group {
            #[test]
            fn nothing_gets_through_and_nothing_is_lost() {
                super::holds(stringify!($group));
            }

            #[test]
            fn outside_the_same_works() {
                super::controls(stringify!($group));
            }
        }
    )* };
}

groups! { files network processes kernel ipc resources supervisor units }
