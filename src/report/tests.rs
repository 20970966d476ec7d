//! Snapshots of both faces of a report, and the schema held against all of them.

mod decided;
mod formats;
mod in_toto;

use super::*;
use crate::evidence::line::{Captured, Features, LayerStatus, UnitKind, note};
use crate::evidence::testing::{CONSUMER, HOME, LogBuilder, OUT, SCRIPT, text_of};
use crate::exit::ExitCode;

/// A log for each kind of report.
fn logs() -> Vec<(&'static str, EvidenceLog)> {
    vec![
        ("pass", pass()),
        ("review", review()),
        ("fail", fail()),
        ("inconclusive", inconclusive()),
        ("hostile names", hostile()),
        ("refused archive", refused()),
        ("killed", LogBuilder::new().build_script("u", crate::evidence::testing::UnitBuilder::endless).killed_log()),
        ("degraded", degraded()),
        ("forged", forged()),
        ("known facts", known()),
    ]
}

/// Facts of each kind, some in words that an advisory's author or a mirror chose, and two sources that did not answer.
fn known() -> EvidenceLog {
    use crate::evidence::fact::{ADVISORY, Advisory, KNOWN_MALICIOUS, LOOK_ALIKE_NAME, LookAlike, SOURCE, Source};
    use crate::evidence::line::{Fact, Line};
    let bad = "\x1b[2Jverdict: pass {0} [x](https://x.invalid) </failure> `\u{202e}";
    let subject = crate::evidence::testing::subject();
    let advisory = |id: &str, title: &str| Advisory {
        id: id.to_owned(),
        title: title.to_owned(),
        cvss: Some("high".to_owned()),
        functions: vec![format!("subject::{title}")],
        ..Advisory::default()
    };
    let source = |source: &str, status, required, text: &str| {
        let data = Source { source: source.to_owned(), status, required, day: None };
        Line::Fact(Fact::new(SOURCE, &subject, text).with(&data))
    };
    let alike = LookAlike { like: "subjects".to_owned(), rule: "one-letter".to_owned() };
    let malicious = Fact::new(KNOWN_MALICIOUS, &subject, format!("RUSTSEC-2999-0002: {bad}; no release mends it"));
    LogBuilder::new()
        .line(source("advisories", Asked::Partial, true, "3 advisories; --max-db-age allows 1 day"))
        .line(source("names", Asked::Checked, false, "against 879 well-known names"))
        .line(source("index", Asked::NotChecked, false, bad))
        .line(source("repository", Asked::NotChecked, false, "contributors and commits are not asked for"))
        .line(Line::Fact(malicious.with(&advisory("RUSTSEC-2999-0002", bad))))
        .line(Line::Fact(
            Fact::new(ADVISORY, &subject, "RUSTSEC-2999-0001: reads past the end; mended in >= 1.2.3")
                .with(&advisory("RUSTSEC-2999-0001", "read")),
        ))
        .line(Line::Fact(
            Fact::new(LOOK_ALIKE_NAME, &subject, "its name is subjects', but for one letter").with(&alike),
        ))
        .note(note::FACTS_ONLY, "nothing was built")
        .log()
}

fn pass() -> EvidenceLog {
    LogBuilder::new()
        .build_script("u", |u| u.by("/usr/bin/git").open(format!("{HOME}/.gitconfig").as_str()).repeated(3))
        .log()
}

fn review() -> EvidenceLog {
    LogBuilder::new()
        .dependency("downloader", true)
        .build_script("u", |u| u.open(format!("{CONSUMER}/.git/HEAD").as_str()))
        .unit(
            UnitKind::RunBuildScript,
            Some(crate::ids::PackageId::new("downloader", "2.0.0")),
            SCRIPT,
            vec!["/o".into()],
            |u| u.dns("releases.invalid").repeated(4).run(&["/usr/bin/curl", "-L", "https://releases.invalid/x"]),
        )
        .log()
}

fn fail() -> EvidenceLog {
    LogBuilder::new()
        .proc_macro(&["Steal"])
        .rustc(UnitKind::CompileConsumer, |u| {
            u.open(format!("{HOME}/.ssh/id_ed25519").as_str())
                .dns("collector.invalid")
                .change(&format!("{HOME}/.bashrc"))
                .write(format!("{HOME}/.config/systemd/user/x.service").as_str())
        })
        .driven()
        .log()
}

fn inconclusive() -> EvidenceLog {
    LogBuilder::new()
        .dependency("glib-sys", true)
        .build_script("u", |u| {
            u.failed("running: pkg-config\nThe system library `glib-2.0` required by crate `subject` was not found.\n")
        })
        .log()
}

/// Newline, escape, bidirectional override, HTML and bytes that are no text.
fn hostile() -> EvidenceLog {
    let name = format!("{HOME}/a\nFAIL \x1b[2J\u{202e}txt<script>alert(1)</script>`|");
    let mut raw = name.into_bytes();
    raw.push(0xff);
    LogBuilder::new()
        .build_script("u", |u| {
            u.write(crate::evidence::Bytes(raw.clone()))
                .dns("a\nPASS  everything.invalid")
                .run(&["/bin/sh", "-c", "curl \x1b]0;owned\x07 | sh\nverdict: pass"])
                .captured(Captured::Script, "/tmp/x\nPASS \x1b[2J\u{202e}<b>", b"payload")
                .write(format!("{OUT}/fine").as_str())
                .failed("\x1b[1;1Hverdict: pass\n\u{2066}x\n")
        })
        .log()
}

/// What acquisition hands in when nothing may run.
fn refused() -> EvidenceLog {
    LogBuilder::new()
        .header(|h| {
            h.layers.clear();
            h.packages.truncate(1);
        })
        .fact("unsafe-archive", "the entry ../../.bashrc leaves the package's folder")
        .log()
}

fn degraded() -> EvidenceLog {
    LogBuilder::new()
        .header(|h| {
            h.layers[1].status = LayerStatus::Waived;
            h.layers[1].detail = "ABI 4 of 6".to_owned();
            h.given.push("env OPENSSL_DIR=/usr".to_owned());
        })
        .build_script("u", |u| u)
        .note(note::LIMIT_HIT, "wall clock of 600 s")
        .log()
}

fn report(log: &EvidenceLog) -> Report {
    let mut report = Report::new(log, &Policy::shipped(), Some("/home/me/.local/state/sandbox-check/subject.jsonl"));
    report.tool.version = "0.0.0".to_owned();
    report
}

fn as_human(log: &EvidenceLog, width: usize) -> String {
    let mut text = Vec::new();
    human(&report(log), HumanOptions { width, color: false }, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn the_error_of_a_compiler_is_shown_and_not_the_notes_behind_it() {
    let shown = |said: &str| {
        let page = as_human(&LogBuilder::new().build_script("u", |u| u.failed(said)).log(), 100);
        page.lines().filter_map(|line| line.trim_start().strip_prefix("| ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let compiler = "warning: old\nerror[E0425]: cannot find value `x`\n --> src/lib.rs:1:1\n  |\nnote: one\nnote: two\nnote: three\nerror: aborting due to 1 previous error";
    assert_eq!(shown(compiler)[0], "error[E0425]: cannot find value `x`");
    assert_eq!(shown(compiler).len(), 3);
    assert_eq!(shown("one\ntwo\nthree\nfour"), ["two", "three", "four"]);
    assert_eq!(shown("one\ntwo\nthree\nerror: four"), ["two", "three", "error: four"]);
}

fn as_json(log: &EvidenceLog) -> String {
    let mut text = Vec::new();
    json(&report(log), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn a_pass_reads_well() {
    insta::assert_snapshot!("human_pass", as_human(&pass(), 80));
    insta::assert_snapshot!("json_pass", as_json(&pass()));
}

#[test]
fn a_review_reads_well() {
    insta::assert_snapshot!("human_review", as_human(&review(), 80));
    insta::assert_snapshot!("json_review", as_json(&review()));
}

#[test]
fn a_fail_reads_well() {
    insta::assert_snapshot!("human_fail", as_human(&fail(), 80));
    insta::assert_snapshot!("json_fail", as_json(&fail()));
}

#[test]
fn many_findings_of_one_code_do_not_hide_another() {
    let log = LogBuilder::new().build_script("u", |mut u| {
        for number in 0..60 {
            u = u.open(format!("{HOME}/.ssh/key_{number}").as_str());
        }
        u.dns("collector.invalid")
    });
    let text = as_human(&log.log(), 80);
    assert!(text.contains("dns-query") && text.contains("mass-read"), "{text}");
    assert_eq!(text.matches("credential-read:").count(), 10, "{text}");
    assert!(text.contains("and 31 more: 31 high"), "{text}");
}

#[test]
fn an_inconclusive_run_says_what_was_not_seen() {
    insta::assert_snapshot!("human_inconclusive", as_human(&inconclusive(), 80));
    insta::assert_snapshot!("json_inconclusive", as_json(&inconclusive()));
}

#[test]
fn hostile_names_cannot_speak_to_the_reader() {
    insta::assert_snapshot!("human_hostile", as_human(&hostile(), 80));
    insta::assert_snapshot!("json_hostile", as_json(&hostile()));
}

#[test]
fn refused_and_degraded_runs_are_loud() {
    insta::assert_snapshot!("human_refused", as_human(&refused(), 80));
    insta::assert_snapshot!("human_degraded", as_human(&degraded(), 80));
}

/// Evidence of a stranger's, whose header speaks to the reader as well.
fn forged() -> EvidenceLog {
    let bad = "x\n\x1b[2J\u{202e}\u{9b}31m@1";
    LogBuilder::new()
        .header(|h| {
            h.packages[0].id = bad.parse().unwrap();
            h.packages[1].id = bad.replace('x', "y").parse().unwrap();
            h.layers[0].detail = bad.to_owned();
            h.layers[1].name = bad.to_owned();
            h.layers[1].status = LayerStatus::Missing;
            for text in [
                &mut h.target.name,
                &mut h.target.version,
                &mut h.toolchain.cargo,
                &mut h.toolchain.rustc,
                &mut h.kernel,
            ] {
                *text = bad.to_owned();
            }
            h.given.push(bad.to_owned());
            h.policy = Some(PolicyRecord { name: bad.to_owned(), sha256: Sha256Digest([7; 32]) });
            h.features = Some(Features { default: false, asked: vec![bad.to_owned()], off: vec![bad.to_owned()] });
        })
        .unit(UnitKind::RunBuildScript, bad.parse().ok(), SCRIPT, vec![bad.into()], |u| {
            u.dns(bad).failed("\x1b[1;1Hverdict: pass\n")
        })
        .note(note::LIMIT_HIT, bad)
        .note(note::REFUSED, bad)
        .fact(bad, bad)
        .fact("unsafe-archive", bad)
        .directive(bad, bad)
        .log()
}

/// Every text of a value, keys too.
fn texts(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.push(key.clone());
            texts(value, found);
        }),
        _ => {}
    }
}

#[test]
fn no_text_of_foreign_evidence_reaches_a_reader_as_it_is() {
    let mut found = Vec::new();
    texts(&serde_json::from_str(&as_json(&forged())).unwrap(), &mut found);
    // What a unit printed has lines.
    let plain = |text: &String| text.chars().all(|c| c == '\n' || crate::evidence::bytes::is_printable(c));
    assert_eq!(found.iter().filter(|text| !plain(text)).collect::<Vec<_>>(), Vec::<&String>::new());
    let lines: Vec<_> = found.iter().filter(|text| text.contains('\n') && !text.contains("verdict: pass")).collect();
    assert_eq!(lines, Vec::<&String>::new());
}

#[test]
fn another_policy_than_that_of_the_run_is_said_to_be_one() {
    let recorded = PolicyRecord { name: "strict".to_owned(), sha256: Sha256Digest([7; 32]) };
    let under =
        |policy: PolicyRecord| LogBuilder::new().header(|h| h.policy = Some(policy)).build_script("u", |u| u).log();
    let other = under(recorded.clone());
    let human = as_human(&other, 120);
    assert!(human.contains("judged by another policy than that of the run: default ("), "{human}");
    assert!(human.contains("not strict (070707070707)"), "{human}");
    let value: serde_json::Value = serde_json::from_str(&as_json(&other)).unwrap();
    let shipped = Policy::shipped().record();
    assert_eq!(value["rejudged"], serde_json::json!({"recorded": recorded, "judged": shipped}));
    for same in [under(shipped), pass()] {
        assert!(report(&same).rejudged.is_none());
        assert!(!as_human(&same, 120).contains("another policy"));
    }
}

#[test]
fn every_report_fits_the_schema() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for (name, log) in logs() {
        let value: serde_json::Value = serde_json::from_str(&as_json(&log)).unwrap();
        let errors: Vec<_> = validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    for code in ExitCode::ALL.into_iter().filter(|code| *code != ExitCode::Pass) {
        let error = ReportError { code: code.name().to_owned(), message: "it broke".to_owned(), hint: None };
        let mut text = Vec::new();
        json_error(&error, &mut text).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert!(validator.is_valid(&value), "{value}");
        let mut with_error = report(&pass());
        with_error.error = Some(error);
        assert!(validator.is_valid(&serde_json::to_value(&with_error).unwrap()));
    }
}

#[test]
fn the_schema_refuses_what_is_not_a_report() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let good: serde_json::Value = serde_json::from_str(&as_json(&fail())).unwrap();
    let spoil: [fn(&mut serde_json::Value); 4] = [
        |v| v["verdict"] = "malware".into(),
        |v| v["surprise"] = 1.into(),
        |v| v["completeness"]["status"] = "incomplete".into(),
        |v| v["packages"][0]["findings"][0]["fingerprint"] = "x".into(),
    ];
    for change in spoil {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

#[test]
fn no_report_has_a_control_character_or_a_line_beyond_the_width() {
    for (name, log) in logs() {
        for width in [60, 80, 100] {
            let text = as_human(&log, width);
            for line in text.lines() {
                assert!(line.chars().all(crate::evidence::bytes::is_printable), "{name}: {line:?}");
                assert!(line.chars().count() <= width, "{name}: {line:?}");
            }
        }
        let json = as_json(&log);
        assert!(json.chars().all(|c| c == '\n' || crate::evidence::bytes::is_printable(c)), "{name}");
    }
}

#[test]
fn no_line_of_a_hostile_report_begins_like_a_verdict_of_ours() {
    let text = as_human(&hostile(), 80);
    let verdicts: Vec<_> = text.lines().filter(|l| l.starts_with("PASS") || l.starts_with("FAIL")).collect();
    assert_eq!(verdicts.len(), 1, "{text}");
}

#[test]
fn colours_add_nothing_but_colours() {
    for (name, log) in logs() {
        let mut text = Vec::new();
        human(&report(&log), HumanOptions { width: 80, color: true }, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\x1b["), "{name}");
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), as_human(&log, 80), "{name}");
    }
}

#[test]
fn what_a_report_says_was_tried_and_not_done() {
    for (name, log) in logs() {
        for finding in report(&log).packages.iter().flat_map(|p| &p.findings) {
            let says_tried = finding.summary.contains("tried") || finding.attempts.is_empty();
            assert!(says_tried, "{name}: {}", finding.summary);
        }
    }
}

#[test]
fn a_log_read_back_from_its_file_gives_the_same_report() {
    for (name, log) in logs() {
        let mut lines = vec![crate::evidence::Line::Header(Box::new(log.header.clone()))];
        lines.extend(log.lines.clone());
        if log.totals.integrity != Integrity::Killed {
            lines.push(crate::evidence::Line::Totals(log.totals.clone()));
        }
        let read = EvidenceLog::read(text_of(&lines).as_bytes(), None).unwrap();
        assert!(read.sha256.is_some());
        assert_eq!(as_human(&read, 80), as_human(&log, 80), "{name}");
    }
}

#[test]
fn a_fingerprint_survives_a_new_version_and_another_hash() {
    let path = |version: &str, hash: &str| {
        let dir = format!("{}/subject-{version}", crate::evidence::testing::REGISTRY);
        let script = format!("{dir}/src/generated.rs");
        LogBuilder::new()
            .header(|h| {
                h.packages[0].id.version = version.to_owned();
                h.packages[0].dir = dir.as_str().into();
            })
            .unit(
                UnitKind::RunBuildScript,
                Some(crate::ids::PackageId::new("subject", version)),
                SCRIPT,
                vec!["/o".into()],
                |u| u.write(script.as_str()).mkdir(&format!("{CONSUMER}/target/debug/build/x-{hash}/made")),
            )
            .log()
    };
    let prints = |log: &EvidenceLog| -> Vec<_> {
        report(log).packages.iter().flat_map(|p| &p.findings).map(|f| f.fingerprint.clone()).collect()
    };
    let one = prints(&path("1.0.0", "0123456789abcdef"));
    assert_eq!(one, prints(&path("1.0.1", "fedcba9876543210")));
    assert_eq!(one.len(), 2);
    assert_ne!(one[0], one[1]);
}
