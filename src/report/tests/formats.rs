//! Snapshots of the formats for other programs, and what each medium obeys held against hostile text.

use sha2::Digest as _;

use super::*;
use crate::evidence::bytes::is_printable;
use crate::evidence::testing::lock;
use crate::judge::codes;
use crate::report::sarif::{LIMITS, Limits, within};

fn written(write: impl Fn(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut text = Vec::new();
    write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn as_sarif(log: &EvidenceLog) -> String {
    written(|out| sarif(&report(log), out))
}

fn as_junit(log: &EvidenceLog) -> String {
    written(|out| junit(&report(log), Severity::Medium, out))
}

fn as_markdown(log: &EvidenceLog) -> String {
    written(|out| markdown(&report(log), out))
}

fn as_ndjson(log: &EvidenceLog) -> String {
    written(|out| ndjson(&report(log), out))
}

#[test]
fn a_fail_reads_well_in_every_format() {
    insta::assert_snapshot!("junit_fail", as_junit(&fail()));
    insta::assert_snapshot!("markdown_fail", as_markdown(&fail()));
    insta::assert_snapshot!("ndjson_fail", as_ndjson(&fail()));
}

#[test]
fn hostile_names_cannot_speak_to_the_reader_of_any_format() {
    insta::assert_snapshot!("junit_hostile", as_junit(&hostile()));
    insta::assert_snapshot!("markdown_hostile", as_markdown(&hostile()));
    insta::assert_snapshot!("ndjson_hostile", as_ndjson(&hostile()));
    let mut log: serde_json::Value = serde_json::from_str(&as_sarif(&hostile())).unwrap();
    // The rules are the codes, which have a page of their own.
    log["runs"][0]["tool"]["driver"].as_object_mut().unwrap().remove("rules");
    insta::assert_snapshot!("sarif_hostile", serde_json::to_string_pretty(&log).unwrap());
}

#[test]
fn known_facts_and_sources_that_were_not_asked_stand_in_every_format() {
    insta::assert_snapshot!("junit_known", as_junit(&known()));
    insta::assert_snapshot!("markdown_known", as_markdown(&known()));
    insta::assert_snapshot!("ndjson_known", as_ndjson(&known()));
    let log: serde_json::Value = serde_json::from_str(&as_sarif(&known())).unwrap();
    let run = &log["runs"][0];
    let told = serde_json::json!({
        "results": run["results"].as_array().unwrap().iter().map(|r| [&r["ruleId"], &r["level"], &r["message"]["text"]]).collect::<Vec<_>>(),
        "notifications": run["invocations"][0]["toolExecutionNotifications"],
    });
    insta::assert_snapshot!("sarif_known", serde_json::to_string_pretty(&told).unwrap());
}

#[test]
fn no_format_has_a_control_character() {
    for (name, log) in logs() {
        for text in [as_sarif(&log), as_junit(&log), as_markdown(&log), as_ndjson(&log)] {
            assert!(text.chars().all(|c| c == '\n' || is_printable(c)), "{name}: {text:?}");
        }
    }
}

/// Names that mean something in HTML.
const MARKUP: [&str; 6] = [
    "<script>alert(1)</script>",
    "</textarea></code></system-out>]]><b>",
    "\"><img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "`` <i> ` </i> ![](https://evil.invalid/x)",
    "&lt;u&gt;<!-- <![CDATA[",
];

fn markup() -> EvidenceLog {
    let script = LogBuilder::new().build_script("u", |u| {
        MARKUP.iter().fold(u, |u, name| {
            u.write(format!("{HOME}/{name}").as_str())
                .run(&["/bin/sh", "-c", name])
                .captured(Captured::Script, &format!("/tmp/{name}"), b"payload")
                .failed(name)
        })
    });
    script.log()
}

/// What stands outside of code spans, as `CommonMark` has them: a run of backticks ends at the next one of its length.
fn outside_of_spans(line: &str) -> String {
    let (mut outside, mut rest) = (String::new(), line);
    while let Some(at) = rest.find('`') {
        let (before, from) = rest.split_at(at);
        outside.push_str(before);
        let run = from.len() - from.trim_start_matches('`').len();
        let is_end = |at: &usize| from[*at..].starts_with(&from[..run]) && !from[*at + run..].starts_with('`');
        let ends =
            (run..from.len()).filter(|at| from.is_char_boundary(*at) && !from[..*at].ends_with('`')).find(is_end);
        rest = &from[ends.unwrap_or_else(|| panic!("a span without an end: {line:?}")) + run..];
    }
    outside + rest
}

#[test]
fn no_name_is_a_tag_where_a_format_is_shown_as_a_page() {
    for log in [markup(), hostile(), fail()] {
        for line in as_markdown(&log).lines() {
            let outside = outside_of_spans(line);
            let obeyed = ["<", "&", "javascript:", "](", "!["];
            assert!(!obeyed.iter().any(|text| outside.contains(text)), "{line:?}");
        }
        // Between tags of our own everything is escaped.
        for tag in as_junit(&log).split('<').skip(1) {
            let name = tag.trim_start_matches(['/', '?']).split([' ', '>', '/']).next().unwrap();
            let own = [
                "xml",
                "testsuites",
                "testsuite",
                "testcase",
                "failure",
                "error",
                "system-out",
                "properties",
                "property",
            ];
            assert!(own.contains(&name), "<{tag}");
        }
    }
    let shown = as_markdown(&markup());
    assert!(MARKUP.iter().any(|name| shown.contains(name)), "nothing was there to be shown: {shown}");
}

#[test]
fn the_message_of_an_error_cannot_speak_to_the_reader_of_any_format() {
    let mut report = report(&pass());
    let message = "a\nb `<b>\x1b[2J\u{202e}]]>".to_owned();
    report.error = Some(ReportError { code: "internal".to_owned(), message, hint: None });
    for text in [
        written(|out| sarif(&report, out)),
        written(|out| junit(&report, Severity::Medium, out)),
        written(|out| markdown(&report, out)),
        written(|out| ndjson(&report, out)),
    ] {
        assert!(text.chars().all(|c| c == '\n' || is_printable(c)), "{text:?}");
    }
    assert!(written(|out| markdown(&report, out)).contains("`` a\\x0ab `<b>\\x1b[2J\\u{202e}]]> ``"));
}

/// The standard's schema.
pub(super) fn sarif_schema() -> jsonschema::Validator {
    let schema = include_str!("../../../tests/data/sarif-2.1.0/schema.json");
    let mut schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    // Its pattern for a language, which no log of ours names, is no regular expression: a bracket has no partner.
    for of in ["run", "toolComponent"] {
        let language = schema["definitions"][of]["properties"]["language"].as_object_mut().unwrap();
        assert!(language.remove("pattern").is_some());
    }
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn every_sarif_log_fits_the_standards_schema() {
    let validator = sarif_schema();
    for (name, log) in logs() {
        let value: serde_json::Value = serde_json::from_str(&as_sarif(&log)).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    let mut bad: serde_json::Value = serde_json::from_str(&as_sarif(&fail())).unwrap();
    bad["runs"][0]["results"][0]["level"] = "malware".into();
    assert!(!validator.is_valid(&bad));
}

#[test]
fn every_finding_is_a_sarif_result_with_its_rule_and_fingerprint() {
    for (name, log) in logs() {
        let value: serde_json::Value = serde_json::from_str(&as_sarif(&log)).unwrap();
        let run = &value["runs"][0];
        let results = run["results"].as_array().unwrap();
        let report = report(&log);
        let mut expected: Vec<_> =
            report.packages.iter().flat_map(|p| &p.findings).map(|f| (f.code, f.fingerprint.as_str())).collect();
        let mut found: Vec<_> = results
            .iter()
            .map(|result| {
                let at = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
                let rule = &run["tool"]["driver"]["rules"][at]["id"];
                assert_eq!(*rule, result["ruleId"], "{name}");
                (rule.as_str().unwrap(), result["partialFingerprints"]["sandboxCheck/v1"].as_str().unwrap())
            })
            .collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_sarif_message_holds_neither_link_nor_placeholder() {
    let log = LogBuilder::new().build_script("u", |u| u.open(format!("{HOME}/.ssh/[x](y){{0}}").as_str())).log();
    let value: serde_json::Value = serde_json::from_str(&as_sarif(&log)).unwrap();
    let text = value["runs"][0]["results"][0]["message"]["text"].as_str().unwrap();
    assert!(text.contains("\\[x\\](y){{0}}"), "{text}");
}

#[test]
fn sarif_keeps_the_worst_5000_results_and_says_how_many_it_left_out() {
    let mut report = report(&fail());
    let mut mild = report.packages[0].findings[0].clone();
    mild.severity = Severity::Info;
    let worst = report.worst().unwrap();
    let had: usize = report.packages.iter().map(|package| package.findings.len()).sum();
    report.packages[0].findings.splice(0..0, vec![mild; 5_000]);
    let value: serde_json::Value = serde_json::from_str(&written(|out| sarif(&report, out))).unwrap();
    let run = &value["runs"][0];
    assert_eq!(run["results"].as_array().unwrap().len(), 5_000);
    assert_eq!(run["results"][0]["properties"]["severity"], worst.as_str());
    let said = run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap().last().unwrap();
    assert_eq!(said["descriptor"]["id"], "results-left-out");
    assert!(said["message"]["text"].as_str().unwrap().starts_with(&format!("{had} milder")), "{said}");
}

/// As a lock file's report among several.
fn of_lock(name: &str, reads: &str) -> Report {
    let log = LogBuilder::new().header(|header| {
        header.lock = Some(Box::new(lock(&[("subject@1.0.0", &[])])));
        (header.target.name, header.target.version) = (name.to_owned(), String::new());
    });
    report(&log.build_script("u", |u| u.open(reads)).log())
}

#[test]
fn sarif_keeps_the_worst_20_runs_and_names_the_others() {
    let mut report = of_lock("0/Cargo.lock", "/usr/include/x.h");
    report.further = (1..24).map(|at| of_lock(&format!("{at}/Cargo.lock"), "/usr/include/x.h")).collect();
    report.further.push(of_lock("24/Cargo.lock", &format!("{HOME}/.ssh/id_ed25519")));
    let value: serde_json::Value = serde_json::from_str(&written(|out| sarif(&report, out))).unwrap();
    let runs = value["runs"].as_array().unwrap();
    let verdicts: Vec<_> = runs.iter().map(|run| run["properties"]["verdict"].as_str().unwrap()).collect();
    assert_eq!((runs.len(), verdicts.last()), (20, Some(&"fail")));
    let said = runs[0]["invocations"][0]["toolExecutionNotifications"].as_array().unwrap().last().unwrap();
    assert_eq!(said["descriptor"]["id"], "runs-left-out");
    let text = said["message"]["text"].as_str().unwrap();
    assert!(text.starts_with("5 milder runs") && text.contains("19/Cargo.lock, 20/Cargo.lock"), "{text}");
    assert!(sarif_schema().is_valid(&value));
    // Results of one take no place of another's.
    let mut categories: Vec<_> = runs.iter().map(|run| run["automationDetails"]["id"].as_str().unwrap()).collect();
    assert!(categories.iter().all(|id| id.starts_with("sandbox-check/") && id.ends_with("/Cargo.lock/")));
    categories.dedup();
    assert_eq!(categories.len(), 20);
}

#[test]
fn sarif_keeps_as_many_of_the_worst_results_as_an_upload_may_weigh() {
    use std::io::Write as _;
    let weight = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap().len()
    };
    let mut report = report(&fail());
    let worst = report.worst().unwrap();
    let mild = report.packages[0].findings[0].clone();
    let others = (0..3_000_u64).map(|at| {
        let digest = sha2::Sha256::digest(at.to_le_bytes());
        ReportFinding { severity: Severity::Info, fingerprint: Sha256Digest(digest.into()).hex(), ..mild.clone() }
    });
    report.packages[0].findings.splice(0..0, others);
    let written_within = |bytes| written(|out| within(&report, Limits { bytes, ..LIMITS }, out));
    let (all, some) = (written_within(LIMITS.bytes), written_within(60_000));
    assert!(weight(&all) > 60_000 && weight(&some) <= 60_000, "{} {}", weight(&all), weight(&some));
    let value: serde_json::Value = serde_json::from_str(&some).unwrap();
    let results = value["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() > 100, "{}", results.len());
    assert_eq!(results[0]["properties"]["severity"], worst.as_str());
    let said = value["runs"][0]["invocations"][0]["toolExecutionNotifications"].as_array().unwrap().last().unwrap();
    assert_eq!(said["descriptor"]["id"], "results-left-out");
    // Where nothing fits, a log without results is better than none.
    let none: serde_json::Value = serde_json::from_str(&written_within(1)).unwrap();
    assert_eq!(none["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn rules_and_their_tags_are_as_many_as_an_upload_may_have_and_a_result_has_one_location() {
    let value: serde_json::Value = serde_json::from_str(&as_sarif(&fail())).unwrap();
    let run = &value["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert!(rules.len() <= 25_000 && run["tool"].get("extensions").is_none());
    for rule in rules {
        let attack = codes::ALL.iter().find(|code| rule["id"] == code.name).unwrap().attack.len();
        // None is lost.
        assert_eq!(rule["properties"]["tags"].as_array().unwrap().len(), 2 + attack, "{rule}");
        assert!(2 + attack <= 10, "{rule}");
    }
    for result in run["results"].as_array().unwrap() {
        assert_eq!(result["locations"].as_array().unwrap().len(), 1);
        assert!(result.get("codeFlows").is_none());
    }
}

#[test]
fn a_test_case_fails_by_findings_that_count_and_an_incomplete_run_is_an_error() {
    let mild = written(|out| junit(&report(&review()), Severity::Critical, out));
    assert!(mild.contains("failures=\"0\"") && !mild.contains("<failure"), "{mild}");
    assert!(as_junit(&review()).contains("<failure"));
    assert!(as_junit(&pass()).contains("failures=\"0\" errors=\"0\""), "{}", as_junit(&pass()));
    assert!(as_junit(&inconclusive()).contains("<error type=\"incomplete\""), "{}", as_junit(&inconclusive()));
}

#[test]
fn ndjson_is_a_line_for_each_finding_and_one_for_the_run() {
    for (name, log) in logs() {
        let text = as_ndjson(&log);
        let kinds: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
            .collect();
        let findings: usize = report(&log).packages.iter().map(|package| package.findings.len()).sum();
        assert_eq!(kinds.len(), findings + 1, "{name}");
        assert_eq!(kinds.last().unwrap(), "run", "{name}");
        assert!(kinds.iter().take(findings).all(|kind| kind == "finding"), "{name}");
    }
}
