//! Reports under what people have decided, in every form.

use super::formats::sarif_schema;
use super::*;
use crate::decisions::{Day, DecisionFile, Text, parse};
use crate::judge::known_code;

const BAD: &str = "x\\n\\u001b[2J\\u202e `[a](b) {0} </failure>";

/// One entry for each fate, with words that speak to the reader.
fn decided(log: &EvidenceLog) -> Report {
    let entry = |kind: &str, code: &str, object: &str, expires: &str| {
        format!(
            "[[{kind}]]\npackage = \"subject\"\nversion = \"1.0.0\"\ncode = \"{code}\"\nobject = \"{object}\"\nreason = \"{BAD}\"\n\
             expires = {expires}\n"
        )
    };
    let text = entry("ignore", "write-outside", "x", "2027-01-01")
        + &entry("ignore", "dns-query", "a.invalid", "2026-06-20")
        + &entry("ignore", "dns-query", "b.invalid", "2026-01-01")
        + &entry("expect", "dns-query", "c.invalid", "2026-12-01")
        + &entry("ignore", "dns-query", BAD, "2027-01-01");
    let mut entries = Vec::new();
    let text = Text { file: "a b.toml", text: &text, codes: known_code, may_have_settings: false, may_extend: false };
    parse(text, &mut entries).unwrap();
    let decisions = Decisions {
        files: vec![DecisionFile { path: "a\u{1b}.toml".to_owned(), sha256: Sha256Digest([1; 32]) }],
        base: Some("main\u{202e}".to_owned()),
        proposed: entries.clone(),
        entries,
        today: Day::parse("2026-06-15").unwrap(),
    };
    Report::decided(log, &Policy::shipped(), &decisions, None)
}

fn log() -> EvidenceLog {
    LogBuilder::new().build_script("u", |u| u.dns("a.invalid").dns("b.invalid").dns("c.invalid").dns("d.invalid")).log()
}

fn written(write: impl Fn(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn every_form_says_what_was_decided_and_fits_its_schema() {
    let report = decided(&log());
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let value: serde_json::Value = serde_json::from_str(&written(|out| json(&report, out))).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let fates: Vec<_> =
        value["decisions"]["entries"].as_array().unwrap().iter().map(|entry| entry["fate"].clone()).collect();
    assert_eq!(fates, ["unused", "applied", "expired", "applied", "unused"]);

    let sarif: serde_json::Value = serde_json::from_str(&written(|out| sarif(&report, out))).unwrap();
    let errors: Vec<_> = sarif_schema().iter_errors(&sarif).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let suppressed: Vec<_> = results
        .iter()
        .map(|result| (result["properties"]["subject"].as_str().unwrap(), result.get("suppressions").is_some()))
        .collect();
    assert_eq!(suppressed, [("b.invalid", false), ("d.invalid", false), ("c.invalid", false), ("a.invalid", true)]);
    let said = sarif["runs"][0]["invocations"][0]["toolExecutionNotifications"].to_string();
    for name in ["unused-ignore", "expired-ignore", "expiring-ignore", "proposed-ignore"] {
        assert!(said.contains(name), "{name}: {said}");
    }

    let markdown = written(|out| markdown(&report, out));
    assert!(markdown.contains("Hidden findings: 1.") && markdown.contains("**expired-ignore**"), "{markdown}");
    let junit = written(|out| junit(&report, Severity::Medium, out));
    assert!(junit.contains("b.invalid") && !junit.contains("a.invalid"), "{junit}");
    let ndjson = written(|out| ndjson(&report, out));
    assert!(ndjson.lines().last().unwrap().contains("\"hidden\":1"));
    let human = written(|out| human(&report, HumanOptions::default(), out));
    assert!(human.contains("1 finding hidden") && human.starts_with("REVIEW"), "{human}");
    for text in [markdown, ndjson, human, junit] {
        assert!(text.chars().all(|c| c == '\n' || crate::evidence::bytes::is_printable(c)), "{text:?}");
    }
}

#[test]
fn an_entry_that_one_of_several_lock_files_uses_is_used() {
    let names = |report: &Report| report.notices().into_iter().filter(|notice| notice.name == "unused-ignore").count();
    let nothing = LogBuilder::new().build_script("u", |u| u).log();
    let (one, other) = (decided(&nothing), decided(&log()));
    assert_eq!((names(&one), names(&other)), (5, 2));
    let together = |reports: &[&Report]| Report::together(reports.iter().copied().cloned().collect()).unwrap();
    for all in [together(&[&one, &other]), together(&[&other, &one])] {
        assert_eq!(names(&all), 2);
        assert!(all.notices().iter().any(|notice| notice.name == "expired-ignore"));
    }
}

#[test]
fn a_reason_that_was_accepted_is_told_with_what_was_decided() {
    let log = LogBuilder::new().build_script("u", |u| u.failed("no")).log();
    let text = format!(
        "[[ignore]]\npackage = \"subject\"\nversion = \"1.0.0\"\ncode = \"build-failed\"\nreason = \"{BAD}\"\nexpires = 2099-01-01\n"
    );
    let mut entries = Vec::new();
    let text = Text { file: "f.toml", text: &text, codes: known_code, may_have_settings: false, may_extend: false };
    parse(text, &mut entries).unwrap();
    let file = DecisionFile { path: "f.toml".to_owned(), sha256: Sha256Digest([1; 32]) };
    let decisions = Decisions { files: vec![file], entries, ..Decisions::none() };
    let report = Report::decided(&log, &Policy::shipped(), &decisions, None);
    let value = serde_json::to_value(&report).unwrap();
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    assert!(jsonschema::draft202012::new(&schema).unwrap().is_valid(&value), "{value:#}");
    assert_eq!((&value["verdict"], &value["completeness"]["status"]), (&"pass".into(), &"incomplete".into()));
    assert_eq!(value["completeness"]["reasons"][0]["decision"]["effect"], "applied");
    let human = written(|out| human(&report, HumanOptions::default(), out));
    assert!(
        human.contains("1 package not inspected in full, as you accepted") && human.contains("The run is incomplete"),
        "{human}"
    );
    assert!(!written(|out| junit(&report, Severity::Medium, out)).contains("<error"));
}

#[test]
fn where_nobody_decided_anything_no_form_has_a_word_of_it() {
    let report = Report::new(&log(), &Policy::shipped(), None);
    let all =
        [written(|out| json(&report, out)), written(|out| sarif(&report, out)), written(|out| markdown(&report, out))];
    assert!(all.iter().all(|text| !text.to_lowercase().contains("decision")), "{all:?}");
}
