//! The rows themselves: all numbers, no duplicate, every named test there, nothing skipped in silence.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::attack::attacker;
use crate::table::{self, GROUPS, OF_OUR_OWN, Probe};

fn rows() -> Vec<Probe> {
    table::all().into_iter().flat_map(|(_, rows)| rows).collect()
}

#[test]
fn every_number_of_the_specification_has_a_row() {
    assert_eq!(table::missing(), Vec::<String>::new());
    assert_eq!(GROUPS.iter().map(|(.., count)| count).sum::<u32>(), 233);
    let groups: BTreeSet<_> = GROUPS.iter().map(|(group, ..)| *group).chain(OF_OUR_OWN.iter().copied()).collect();
    let mut seen = BTreeSet::new();
    for probe in rows() {
        assert!(groups.contains(probe.group()), "{}: no such group", probe.id);
        assert!(seen.insert(probe.id.clone()), "{} twice", probe.id);
    }
}

#[test]
fn every_row_is_run_held_by_a_test_or_says_why_not() {
    for probe in rows() {
        let ways = [probe.is_run(), !probe.held_by.is_empty(), probe.not_tried.is_some()];
        assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{}: {ways:?}", probe.id);
        assert!(!probe.layers.is_empty(), "{}: nothing stops it", probe.id);
        assert!(!probe.is_run() || probe.control.is_some() && probe.record.is_some(), "{}", probe.id);
        assert!(probe.is_run() || probe.effect.is_none() && probe.record.is_none(), "{}", probe.id);
        let why = probe.control.as_deref().and_then(|control| control.strip_prefix("none: "));
        for reason in [why, probe.not_tried.as_deref(), probe.gap.as_deref()].into_iter().flatten() {
            assert!(reason.split_whitespace().count() >= 3, "{}: says only {reason:?}", probe.id);
        }
        // What meets no error is a gap, but where only the oracle tells.
        let passes = probe.meets.as_deref() == Some("0");
        assert!(!passes || probe.gap.is_some() || probe.effect.is_some(), "{} passes without a word", probe.id);
    }
}

/// The only rows that nothing tries. Each run says why.
const NOT_TRIED: [&str; 0] = [];

#[test]
fn what_is_not_tried_is_known_by_name_and_said() {
    let rows = rows();
    let skipped: Vec<_> =
        rows.iter().filter_map(|probe| Some((probe.id.as_str(), probe.not_tried.as_deref()?))).collect();
    for (id, why) in &skipped {
        eprintln!("not tried: {id}: {why}");
    }
    assert_eq!(skipped.iter().map(|(id, _)| *id).collect::<Vec<_>>(), NOT_TRIED);
}

#[test]
fn every_test_that_a_row_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for probe in rows() {
        for test in &probe.held_by {
            let (file, name) = test.split_once(": ").unwrap_or_else(|| panic!("{}: {test}", probe.id));
            let text =
                fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{}: {test}: {error}", probe.id));
            let at = text.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{}: no test {test}", probe.id));
            // Its attributes stand on the lines before it.
            let before = text[..at].lines().rev().take(4).collect::<String>();
            let is_test = before.contains("#[test]") || text[..at].contains("proptest!");
            assert!(is_test && !before.contains("#[ignore"), "{}: {test} is no test", probe.id);
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}

#[test]
fn every_payload_has_a_row_and_every_row_that_is_run_a_payload() {
    let source = attacker();
    for probe in rows().iter().filter(|probe| probe.is_run()) {
        assert!(source.contains(&format!("{:?}", probe.id)), "{}: no payload", probe.id);
    }
    let run: BTreeSet<_> = rows().into_iter().filter(Probe::is_run).map(|probe| probe.id).collect();
    let prefixes: Vec<_> = GROUPS.iter().map(|(group, ..)| format!("{group}-")).chain(["UNIT/".to_owned()]).collect();
    for word in source.split('"').filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))) {
        assert!(run.contains(word), "{word} has no row");
    }
}
