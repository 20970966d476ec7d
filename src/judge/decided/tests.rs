use crate::decisions::{Day, Decisions, Text, parse};
use crate::evidence::EvidenceLog;
use crate::evidence::Kind;
use crate::evidence::fact::{Advisory, KNOWN_MALICIOUS};
use crate::evidence::line::{Fact, Line};
use crate::evidence::testing::{LogBuilder, UnitBuilder, lock, subject};
use crate::judge::{Effect, Fate, Judgement, Verdict, judge_decided, known_code};
use crate::policy::{Policy, Severity};

const TODAY: &str = "2026-06-15";

fn decisions(text: &str) -> Decisions {
    let mut entries = Vec::new();
    let text = Text { file: "f.toml", text, codes: known_code, may_have_settings: false, may_extend: false };
    parse(text, &mut entries).unwrap();
    Decisions { entries, today: Day::parse(TODAY).unwrap(), ..Decisions::none() }
}

fn entry(kind: &str, code: &str, object: &str, more: &str) -> String {
    let more = if more.contains("expires") { more.to_owned() } else { format!("{more}\nexpires = 2026-12-31") };
    let more = if more.contains("version") { more } else { format!("{more}\nversion = \"1.0.0\"") };
    format!("[[{kind}]]\npackage = \"subject\"\ncode = \"{code}\"\nobject = {object:?}\nreason = \"Known.\"\n{more}\n")
}

fn judged(log: &EvidenceLog, text: &str) -> Judgement {
    judge_decided(log, &Policy::shipped(), &decisions(text))
}

fn asks(names: &[&str]) -> EvidenceLog {
    let ask = |u: UnitBuilder| names.iter().fold(u, |u, name| u.dns(name));
    LogBuilder::new().build_script("u", ask).log()
}

/// Each finding as `subject severity effect`, with a `-` for one that is hidden.
fn brief(judgement: &Judgement) -> Vec<String> {
    let all = judgement.packages.iter().flat_map(|package| &package.findings);
    all.map(|finding| {
        let effect = finding.decision.as_ref().map(|decided| format!(" {:?}", decided.effect)).unwrap_or_default();
        let hidden = if finding.is_hidden() { "-" } else { "" };
        format!("{hidden}{} {}{effect}", finding.subject, finding.severity)
    })
    .collect()
}

#[test]
fn an_ignore_hides_its_object_and_no_other_of_the_same_code() {
    let text = entry("ignore", "dns-query", "a.invalid", "");
    let one = judged(&asks(&["a.invalid"]), &text);
    assert_eq!((one.verdict, one.packages[0].verdict), (Verdict::Pass, Verdict::Pass));
    assert_eq!(brief(&one), ["-a.invalid medium Applied"]);
    assert_eq!(one.fates, [Fate::Applied]);
    let both = judged(&asks(&["a.invalid", "aa.invalid"]), &text);
    assert_eq!(both.verdict, Verdict::Review);
    assert_eq!(brief(&both), ["-a.invalid medium Applied", "aa.invalid medium"]);
}

#[test]
fn another_version_package_source_code_or_object_is_not_hidden() {
    let log = asks(&["a.invalid"]);
    for other in [
        entry("ignore", "dns-query", "a.invalid", "version = \"1.0.1\""),
        entry("ignore", "dns-query", "a.invalid", "version = \"^2\""),
        entry("ignore", "dns-query", "a.invalid", "source = \"git\""),
        entry("ignore", "dns-query", "a.invalid", "").replace("\"subject\"", "\"subjects\""),
        entry("ignore", "network-connect", "a.invalid", ""),
        entry("ignore", "dns-query", "*", ""),
        entry("ignore", "dns-query", "A.invalid", ""),
        entry("ignore", "dns-query", "", "").replace("object = \"\"", "object = \" \""),
    ] {
        let judgement = judged(&log, &other);
        assert_eq!(brief(&judgement), ["a.invalid medium"], "{other}");
        assert_eq!(judgement.verdict, Verdict::Review);
    }
    assert_eq!(judged(&log, &entry("ignore", "dns-query", "a.invalid", "version = \"^1\"")).verdict, Verdict::Pass);
}

#[test]
fn an_object_may_be_named_in_the_form_that_stays() {
    let of = |path: &str| {
        let log =
            LogBuilder::new().build_script("u", |u| u.exec(crate::evidence::line::ProgramFile::Script, &[path], &[]));
        judged(&log.log(), &entry("ignore", "exec-dropped-file", "/tmp/u#/setup", "")).verdict
    };
    assert_eq!(of("/tmp/u2/setup"), of("/tmp/u17/setup"));
    assert_eq!((of("/tmp/u2/setup"), of("/tmp/u2/other")), (Verdict::Pass, Verdict::Fail));
}

#[test]
fn an_entry_ends_with_its_day_and_the_finding_returns() {
    for (expires, verdict, effect, fate) in [
        ("2026-06-16", Verdict::Pass, Effect::Applied, Fate::Applied),
        ("2026-06-15", Verdict::Review, Effect::Expired, Fate::Expired),
        ("2020-01-01", Verdict::Review, Effect::Expired, Fate::Expired),
    ] {
        for kind in ["ignore", "expect"] {
            let judgement =
                judged(&asks(&["a.invalid"]), &entry(kind, "dns-query", "a.invalid", &format!("expires = {expires}")));
            let finding = &judgement.packages[0].findings[0];
            assert_eq!((judgement.verdict, finding.decision.as_ref().unwrap().effect), (verdict, effect), "{expires}");
            assert_eq!(judgement.fates, [fate]);
        }
    }
}

#[test]
fn an_entry_that_counts_outranks_one_that_is_over() {
    let text = entry("ignore", "dns-query", "a.invalid", "expires = 2020-01-01")
        + &entry("ignore", "dns-query", "a.invalid", "version = \"^1\"");
    let judgement = judged(&asks(&["a.invalid"]), &text);
    assert_eq!((judgement.verdict, judgement.fates), (Verdict::Pass, vec![Fate::Expired, Fate::Applied]));
}

#[test]
fn what_is_declared_is_low_and_counts_in_a_chain() {
    let text = entry("expect", "dns-query", "a.invalid", "");
    let alone = judged(&asks(&["a.invalid"]), &text);
    assert_eq!(brief(&alone), ["a.invalid low Applied"]);
    assert_eq!(alone.packages[0].findings[0].object["expected"]["severity"], "medium");
    assert!(alone.packages[0].findings[0].summary.contains("declared by you: Known."));
    let with_key = LogBuilder::new().build_script("u", |u| u.dns("a.invalid").open("/home/dev/.ssh/id_ed25519")).log();
    let judgement = judged(&with_key, &text);
    assert!(brief(&judgement).contains(&"a.invalid high Outweighed".to_owned()), "{:?}", brief(&judgement));
    assert_eq!((judgement.verdict, judgement.fates), (Verdict::Fail, vec![Fate::Outweighed]));
}

#[test]
fn a_hidden_finding_still_takes_part_in_a_chain() {
    let log = LogBuilder::new().build_script("u", |u| u.dns("a.invalid").open("/home/dev/.ssh/id_ed25519")).log();
    let judgement = judged(&log, &entry("ignore", "credential-read", "~/.ssh/id_ed25519", ""));
    assert!(brief(&judgement).contains(&"a.invalid high".to_owned()), "{:?}", brief(&judgement));
    assert_eq!(judgement.verdict, Verdict::Fail);
}

#[test]
fn what_is_worse_than_was_decided_about_counts() {
    let log = LogBuilder::new().build_script("u", |u| u.open("/home/dev/.ssh/id_ed25519")).log();
    let of = |severity: &str| judged(&log, &entry("ignore", "credential-read", "~/.ssh/id_ed25519", severity));
    assert_eq!((of("severity = \"high\"").verdict, of("").verdict), (Verdict::Pass, Verdict::Pass));
    let milder = of("severity = \"medium\"");
    assert_eq!((milder.verdict, milder.fates), (Verdict::Fail, vec![Fate::Outweighed]));
}

#[test]
fn a_critical_finding_and_a_malicious_package_are_never_accepted() {
    // `blinding` may be low, so an entry can name it.
    let log = LogBuilder::new().build_script("u", |u| u.operation(Kind::Blind, "prctl", &["PR_SET_DUMPABLE"])).log();
    let plain = judged(&log, "");
    let found = plain.packages[0].findings.iter().find(|finding| finding.severity == Severity::Critical);
    let finding = found.unwrap().clone();
    for kind in ["ignore", "expect"] {
        let judgement = judged(&log, &entry(kind, finding.code, &finding.subject, ""));
        assert_eq!((judgement.verdict, &judgement.fates[..]), (Verdict::Fail, &[Fate::Refused][..]));
        assert_eq!(judgement.worst(), Some(Severity::Critical));
    }
    for code in ["known-malicious", "persistence-write", "artifact-tamper", "unsafe-archive", "checksum-mismatch"] {
        let text = entry("ignore", code, "x", "");
        let text = Text { file: "f", text: &text, codes: known_code, may_have_settings: false, may_extend: false };
        let error = parse(text, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("cannot be accepted") && error.starts_with("f:"), "{error}");
    }
    let advisory = Advisory { id: "X-1".to_owned(), ..Advisory::default() };
    let log = LogBuilder::new()
        .line(Line::Fact(Fact::new(KNOWN_MALICIOUS, &subject(), "X-1: bad").with(&advisory)))
        .build_script("u", |u| u.dns("a.invalid"))
        .log();
    let judgement = judged(&log, &entry("ignore", "dns-query", "a.invalid", ""));
    assert_eq!(judgement.verdict, Verdict::Fail);
}

#[test]
fn what_stands_for_many_cannot_be_hidden() {
    let log = LogBuilder::new().build_script("u", |mut u| {
        for port in 1..=60 {
            u = u.connect("192.0.2.1", port);
        }
        u
    });
    let judgement = judged(&log.log(), &entry("ignore", "network-connect", "20 more", ""));
    assert!(brief(&judgement).iter().any(|finding| finding.starts_with("20 more")));
    assert_eq!((judgement.verdict, judgement.fates), (Verdict::Fail, vec![Fate::Unused]));
}

#[test]
fn an_entry_is_unused_only_where_all_was_seen() {
    let text = entry("ignore", "dns-query", "gone.invalid", "");
    assert_eq!(judged(&asks(&[]), &text).fates, [Fate::Unused]);
    let failed = LogBuilder::new().build_script("u", |u| u.failed("no")).log();
    assert_eq!(judged(&failed, &text).fates, [Fate::Unseen]);
    let elsewhere = text.replace("\"subject\"", "\"other\"");
    assert_eq!(judged(&asks(&[]), &elsewhere).fates, [Fate::NotAsked]);
    let all = |since: Option<&str>| {
        let mut record = lock(&[("subject@1.0.0", &[])]);
        record.since = since.map(str::to_owned);
        let log =
            LogBuilder::new().header(|header| header.lock = Some(Box::new(record))).build_script("u", |u| u).log();
        judged(&log, &elsewhere).fates
    };
    assert_eq!((all(None), all(Some("main"))), (vec![Fate::Unused], vec![Fate::NotAsked]));
}

#[test]
fn a_reason_that_is_accepted_leaves_a_run_incomplete_and_lets_it_pass() {
    let log = LogBuilder::new().build_script("u", |u| u.failed("no")).log();
    let text = "[[ignore]]\npackage = \"subject\"\nversion = \"1.0.0\"\ncode = \"build-failed\"\nreason = \"Known.\"\nexpires = ";
    let judgement = judged(&log, &format!("{text}2026-12-31\n"));
    assert_eq!((judgement.verdict, judgement.completeness.is_complete()), (Verdict::Pass, false));
    assert_eq!(judgement.fates, [Fate::Applied]);
    let over = judged(&log, &format!("{text}2026-01-01\n"));
    assert_eq!((over.verdict, over.fates), (Verdict::Inconclusive, vec![Fate::Expired]));
    let other = text.replace("1.0.0", "1.0.1");
    assert_eq!(judged(&log, &format!("{other}2026-12-31\n")).verdict, Verdict::Inconclusive);
}
