//! Whole questions: what is told of them, and what is said of sources that were not asked.

use std::fs;

use crate::evidence::time::seconds;

use super::history::tests::{attack, entry};
use super::*;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/advisory-db")
}

fn settings() -> FactsSettings {
    FactsSettings { databases: vec![shipped()], now: seconds("2026-01-13").unwrap(), ..FactsSettings::default() }
}

fn told(ids: &[&str], index: &[Entry], settings: &FactsSettings) -> Vec<Fact> {
    let packages: Vec<PackageId> =
        ids.iter().filter_map(|id| id.split_once('@')).map(|(name, version)| PackageId::new(name, version)).collect();
    let question = Question::of(&packages[0], &packages, index);
    gather(&question, settings).unwrap()
}

fn of<'f>(facts: &'f [Fact], code: &str) -> Vec<&'f Fact> {
    facts.iter().filter(|fact| fact.code == code).collect()
}

fn source(facts: &[Fact], name: &str) -> (Source, String) {
    let mut found = of(facts, SOURCE).into_iter().filter_map(|fact| Some((fact.read::<Source>()?, fact.text.clone())));
    found.find(|(source, _)| source.source == name).unwrap()
}

#[test]
fn an_advisory_is_told_of_the_releases_that_it_covers_and_of_no_other() {
    let facts = told(&["subject@1.0.0", "smallcheck@1.1.0", "oldcheck@9.0.0", "evilcheck@0.1.0"], &[], &settings());
    let advisories: Vec<_> = of(&facts, ADVISORY).into_iter().map(|fact| fact.package.to_string()).collect();
    assert_eq!(advisories, ["smallcheck@1.1.0", "oldcheck@9.0.0"]);
    assert_eq!(of(&facts, KNOWN_MALICIOUS).len(), 1);
    assert!(of(&told(&["smallcheck@1.2.3"], &[], &settings()), ADVISORY).is_empty());
}

#[test]
fn two_records_about_the_same_are_one_and_the_worse_stays() {
    let folder = tempfile::tempdir().unwrap();
    let ecosystem = "crates-io".replace('-', ".");
    let record = format!(
        r#"{{"id":"MAL-2999-9","aliases":["RUSTSEC-2099-0001"],"affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"smallcheck"}}}}]}}"#
    );
    fs::write(folder.path().join("a.json"), record).unwrap();
    let both = FactsSettings { databases: vec![shipped(), folder.path().to_owned()], ..settings() };
    let facts = told(&["smallcheck@1.1.0"], &[], &both);
    assert_eq!((of(&facts, ADVISORY).len(), of(&facts, KNOWN_MALICIOUS).len()), (0, 1));
}

#[test]
fn two_matters_of_one_database_are_two_also_where_another_has_them_under_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("crates/smallcheck");
    fs::create_dir_all(&place).unwrap();
    let text = fs::read_to_string(shipped().join("crates/smallcheck/RUSTSEC-2099-0001.md")).unwrap();
    for id in ["RUSTSEC-2099-0001", "RUSTSEC-2099-0009"] {
        fs::write(place.join(format!("{id}.md")), text.replace("RUSTSEC-2099-0001", id)).unwrap();
    }
    let one = FactsSettings { databases: vec![folder.path().to_owned()], ..settings() };
    assert_eq!(of(&told(&["smallcheck@1.1.0"], &[], &one), ADVISORY).len(), 2);
}

#[test]
fn the_age_of_the_database_stands_in_the_report_and_an_old_one_is_not_enough() {
    let (asked, text) = source(&told(&["subject@1.0.0"], &[], &settings()), "advisories");
    assert_eq!((asked.status, asked.required), (Asked::Checked, false));
    assert_eq!(text, "3 advisories, the newest of 2026-01-03 (10 days)");
    let fine = FactsSettings { max_age: Some(10), ..settings() };
    assert!(!source(&told(&["subject@1.0.0"], &[], &fine), "advisories").0.required);
    let old = FactsSettings { max_age: Some(9), ..settings() };
    let (asked, text) = source(&told(&["subject@1.0.0"], &[], &old), "advisories");
    assert_eq!((asked.status, asked.required), (Asked::Partial, true));
    assert!(text.contains("--max-db-age allows 9 days"), "{text}");
}

#[test]
fn without_a_database_nothing_is_claimed_and_it_is_said_how_to_get_one() {
    let facts = told(&["evilcheck@0.1.0"], &[], &FactsSettings::default());
    assert!(of(&facts, KNOWN_MALICIOUS).is_empty());
    let (asked, text) = source(&facts, "advisories");
    assert_eq!(asked.status, Asked::NotChecked);
    assert!(text.contains("--advisory-db"), "{text}");
    let wanted = FactsSettings { max_age: Some(1), ..FactsSettings::default() };
    assert!(source(&told(&["evilcheck@0.1.0"], &[], &wanted), "advisories").0.required);
}

#[test]
fn a_database_that_the_user_named_must_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let empty = FactsSettings { databases: vec![folder.path().to_owned()], ..settings() };
    let subject = PackageId::new("subject", "1.0.0");
    let question = Question::of(&subject, &[], &[]);
    assert!(gather(&question, &empty).unwrap_err().to_string().contains("--advisory-db"));
    // The usual place is used where there is something, and only if nothing was named.
    let usual = FactsSettings { databases: Vec::new(), usual: Some(shipped()), ..settings() };
    assert_eq!(of(&told(&["evilcheck@0.1.0"], &[], &usual), KNOWN_MALICIOUS).len(), 1);
    // Nobody named an empty folder there, so nobody is wrong.
    let usual = FactsSettings { usual: Some(folder.path().to_owned()), ..usual };
    let (asked, text) = source(&told(&["evilcheck@0.1.0"], &[], &usual), "advisories");
    assert!(asked.status == Asked::NotChecked && text.contains("neither"), "{text}");
}

#[test]
fn each_source_says_whether_it_was_asked() {
    let facts = told(&["subject@1.0.0"], &[], &settings());
    for (name, status) in [
        ("advisories", Asked::Checked),
        ("names", Asked::Checked),
        ("index", Asked::NotChecked),
        ("archive", Asked::NotChecked),
        ("reputation", Asked::NotChecked),
        ("repository", Asked::NotChecked),
    ] {
        assert_eq!(source(&facts, name).0.status, status, "{name}");
    }
}

#[test]
fn the_index_is_partly_checked_where_it_tells_no_times() {
    let index = [entry("subject@1.0.0", &["1.0.0 - fine"])];
    assert_eq!(source(&told(&["subject@1.0.0"], &index, &settings()), "index").0.status, Asked::Partial);
    let all = attack();
    let facts = told(&["arrayish@0.3.10"], &all, &settings());
    assert_eq!(source(&facts, "index").0.status, Asked::Checked);
    assert_eq!(of(&facts, HISTORY).len(), 2);
}

#[test]
fn a_look_alike_is_told_once_for_its_name() {
    let facts = told(&["serd@1.0.0", "serd@1.0.1", "serde@1.0.0"], &[], &settings());
    let [fact] = of(&facts, LOOK_ALIKE_NAME)[..] else { panic!("{facts:?}") };
    assert_eq!(fact.text, "its name is serde's, but for one letter");
}
