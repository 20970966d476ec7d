use super::*;
use crate::evidence::EvidenceLog;
use crate::evidence::line::{DrivenInputs, HitLimit, MacroKind, UnitEnd};
use crate::evidence::testing::{LogBuilder, subject};
use crate::judge::{Verdict, judge};
use crate::policy::Policy;

fn reasons(log: &EvidenceLog) -> Vec<&'static str> {
    let judgement = judge(log, &Policy::shipped());
    assert_eq!(judgement.completeness.is_complete(), judgement.completeness.reasons.is_empty());
    assert_ne!(judgement.verdict == Verdict::Pass, !judgement.completeness.is_complete());
    judgement.completeness.reasons.iter().map(|r| r.code).collect()
}

#[test]
fn a_self_test_that_was_ended_proves_nothing() {
    let ended = |outcome| {
        let log = LogBuilder::new()
            .build_script("u", |u| u)
            .rustc(UnitKind::SelfTest, |u| u.end(|end| end.outcome = outcome));
        judge(&log.log(), &Policy::shipped()).completeness
    };
    assert!(ended(UnitOutcome::Ok).is_complete());
    assert_eq!(ended(UnitOutcome::Killed).reasons[0].code, "killed");
}

#[test]
fn a_compiler_that_ended_well_without_its_outputs_is_a_reason_in_the_consumer_too() {
    let end = |end: &mut UnitEnd| {
        end.outcome = UnitOutcome::Failed;
        end.code = Some(1);
        end.missing_outputs = vec!["libx-1.rmeta".into()];
    };
    for kind in [UnitKind::Compile, UnitKind::CompileConsumer] {
        let log = LogBuilder::new().driven().rustc(kind, |u| u.end(end)).log();
        let reasons = judge(&log, &Policy::shipped()).completeness.reasons;
        let is_there = |reason: &Reason| reason.code == "build-failed" && reason.text.contains("libx-1.rmeta");
        assert!(reasons.iter().any(is_there), "{reasons:?}");
    }
}

#[test]
fn a_whole_run_is_complete() {
    assert!(reasons(&LogBuilder::new().build_script("u", |u| u).log()).is_empty());
    assert!(reasons(&LogBuilder::new().proc_macro(&["D"]).driven().log()).is_empty());
}

#[test]
fn a_failure_after_a_lookup_is_the_networks() {
    let log = LogBuilder::new().build_script("u", |u| u.dns("x.invalid").failed("cannot find -lssl")).log();
    assert_eq!(judge(&log, &Policy::shipped()).completeness.reasons[0].code, "network-denied");
    let log = LogBuilder::new().build_script("u", |u| u.dns("x.invalid")).log();
    assert!(judge(&log, &Policy::shipped()).completeness.is_complete());
}

#[test]
fn what_did_not_run_was_not_seen() {
    assert_eq!(reasons(&LogBuilder::new().log()), ["unit-not-run"]);
    assert_eq!(reasons(&LogBuilder::new().proc_macro(&["D"]).log()), ["undriven"]);
    let unseen = LogBuilder::new().proc_macro(&[]).driven().rustc(UnitKind::CompileConsumer, |u| u).log();
    assert_eq!(reasons(&unseen), ["undriven"], "a library in whose source no macro was found");
}

/// `subject` fails; `above` needs it, `beside` is in the lock file for a feature that is off. Neither of them ran.
fn beside_a_failure(exit: &str, needs: Vec<Vec<u64>>) -> Vec<(String, String)> {
    let log = LogBuilder::new()
        .dependency("above", true)
        .dependency("beside", true)
        .header(|header| header.needs = needs)
        .build_script("u", |u| u.failed("no"))
        .note(note::CARGO_EXIT, exit)
        .log();
    let reasons = judge(&log, &Policy::shipped()).completeness.reasons.into_iter();
    reasons
        .filter(|reason| reason.code == "unit-not-run")
        .map(|reason| (reason.package.unwrap_or_default(), reason.text))
        .collect()
}

#[test]
fn what_nothing_asked_for_is_not_missing_beside_a_failure() {
    // The subject, the consumer, `above`, `beside`.
    let needs = || vec![vec![3], vec![], vec![0], vec![]];
    let above =
        ("above@2.0.0".to_owned(), "its build script did not run: it needs subject@1.0.0, which failed".to_owned());
    assert_eq!(beside_a_failure("exit status: 101", needs()), [above]);
    assert_eq!(beside_a_failure("signal: 9 (SIGKILL)", needs()).len(), 2, "cargo did not start all that it could");
    assert_eq!(beside_a_failure("exit status: 101", Vec::new()).len(), 2, "evidence that has no graph");
}

#[test]
fn a_macro_that_takes_its_answers_away_was_not_seen_and_one_that_panics_was() {
    let driven = |inputs| {
        let line = Driven {
            unit: UnitId(1),
            package: subject(),
            name: "D".to_owned(),
            kind: MacroKind::Derive,
            inputs,
            makes: Vec::new(),
        };
        reasons(&LogBuilder::new().proc_macro(&["D"]).driven().line(Line::Driven(line)).log())
    };
    let all = DrivenInputs::default();
    assert_eq!(driven(DrivenInputs { died: 3, skipped: 7, ..all }), ["undriven"]);
    assert_eq!(driven(DrivenInputs { garbled: 3, skipped: 7, ..all }), ["undriven"]);
    assert_eq!(driven(DrivenInputs { timed_out: 1, skipped: 9, ..all }), ["undriven"]);
    assert!(driven(DrivenInputs { clean: 9, timed_out: 1, ..all }).is_empty(), "the last input");
    assert!(driven(DrivenInputs { panicked: 9, died: 1, ..all }).is_empty());
}

#[test]
fn a_consumer_that_does_not_compile_is_coverage_and_no_more() {
    let log =
        LogBuilder::new().proc_macro(&["D"]).driven().rustc(UnitKind::CompileConsumer, |u| u.failed("error")).log();
    assert!(reasons(&log).is_empty());
}

#[test]
fn lost_evidence_and_killed_runs_are_incomplete() {
    let killed = LogBuilder::new().build_script("u", crate::evidence::testing::UnitBuilder::endless).killed_log();
    assert_eq!(reasons(&killed), ["killed", "killed", "unit-not-run"]);
    let mut lossy = LogBuilder::new().build_script("u", |u| u).log();
    lossy.totals.received = 7;
    assert_eq!(reasons(&lossy), ["evidence-lost"]);
    for (code, expected) in [
        (note::LIMIT_HIT, "limit-hit"),
        (note::EVIDENCE_LOST, "evidence-lost"),
        (note::ATTRIBUTION_MISMATCH, "evidence-lost"),
        (note::KILLED, "killed"),
    ] {
        let log = LogBuilder::new().build_script("u", |u| u).note(code, "said").log();
        let codes: Vec<_> = judge(&log, &Policy::shipped()).completeness.reasons.iter().map(|r| r.code).collect();
        assert_eq!(codes, [expected]);
    }
}

#[test]
fn attempts_without_a_unit_are_lost_evidence() {
    let mut log = LogBuilder::new().build_script("u", |u| u.open("/etc/passwd")).log();
    for line in &mut log.lines {
        if let Line::Attempt(attempt) = line {
            attempt.unit = UnitId(77);
        }
    }
    assert_eq!(reasons(&log), ["evidence-lost"]);
}

#[test]
fn a_compilation_that_was_stopped_names_the_macros_that_may_have_held_it() {
    let stopped = |loads: bool| {
        let log = LogBuilder::new().rustc(UnitKind::Compile, |u| u.end(|end| end.outcome = UnitOutcome::Killed));
        let mut log = log.log();
        let unit = log.lines.iter().find_map(|line| if let Line::UnitEnd(end) = line { Some(end.unit) } else { None });
        let (package, code) = (Some("held@1.0.0".parse().unwrap()), note::MACRO_LOADED.to_owned());
        log.lines.extend(loads.then_some(Line::Note(Note { code, package, unit, text: String::new(), limit: None })));
        let reasons = judge(&log, &Policy::shipped()).completeness.reasons;
        reasons.into_iter().find(|reason| reason.code == "limit-hit").unwrap().text
    };
    assert_eq!(stopped(true), "the compilation was stopped with the run; it ran macros of held@1.0.0");
    assert_eq!(stopped(false), "the compilation was stopped with the run");
}

#[test]
fn a_unit_that_a_limit_ended_has_that_limit_as_its_one_reason() {
    let told = |outcome, limits: &[&str]| {
        let script =
            LogBuilder::new().build_script("u", |u| u.end(|end| (end.outcome, end.code) = (outcome, Some(25))));
        let mut log = script.log();
        let unit =
            log.lines.iter().rev().find_map(|line| if let Line::UnitEnd(end) = line { Some(end.unit) } else { None });
        log.lines.extend(limits.iter().map(|name| {
            Line::Note(Note {
                code: note::LIMIT_HIT.to_owned(),
                package: None,
                unit,
                text: format!("too much {name}"),
                limit: Some(HitLimit { name: (*name).to_owned(), bound: 1 }),
            })
        }));
        let reasons = judge(&log, &Policy::shipped()).completeness.reasons;
        reasons.into_iter().map(|reason| (reason.code, reason.text)).collect::<Vec<_>>()
    };
    let one = |text: &str| vec![("limit-hit", text.to_owned())];
    let stopped = one("the build script was stopped: too much unit-time (--limit unit-time=… gives more)");
    assert_eq!(told(UnitOutcome::Killed, &["unit-time"]), stopped);
    assert_eq!(told(UnitOutcome::Killed, &["output", "unit-time"]), stopped, "a flood until its time was over");
    let by_kernel = one("the build script was ended by signal 25: too much file-size (--limit file-size=… gives more)");
    assert_eq!(told(UnitOutcome::Signalled, &["file-size"]), by_kernel);
    // What is about the whole run stays, and so does what did not end it.
    assert_eq!(told(UnitOutcome::Killed, &["evidence", "cpu"]).len(), 2);
    assert_eq!(told(UnitOutcome::Ok, &["output"]), one("too much output"));
    assert_eq!(told(UnitOutcome::Failed, &["output"]).len(), 2);
}

#[test]
fn a_waived_layer_is_said_once() {
    let log = LogBuilder::new()
        .header(|h| h.layers[1].status = LayerStatus::Waived)
        .build_script("u", |u| u)
        .note(note::LAYER_WAIVED, "landlock")
        .log();
    assert_eq!(reasons(&log), ["layer-waived"]);
}

#[test]
fn cargos_own_failure_counts_when_no_unit_failed() {
    let log = LogBuilder::new().build_script("u", |u| u).note(note::CARGO_EXIT, "exit status: 101").log();
    assert_eq!(reasons(&log), ["build-failed"]);
    let log = LogBuilder::new().build_script("u", |u| u).note(note::CARGO_EXIT, "exit status: 0").log();
    assert!(reasons(&log).is_empty());
}

#[test]
fn an_error_that_a_script_told_cargo_is_its_packages() {
    let of = |said: &str| {
        let tail = format!("   Compiling subject v1.0.0\n{said}\nerror: build script logged errors\n");
        let log = LogBuilder::new().build_script("u", |u| u).note(note::CARGO_EXIT, "exit status: 101");
        judge(&log.said(&tail).log(), &Policy::shipped()).completeness.reasons
    };
    let told = of("error: subject@1.0.0: choose a \x1bbackend");
    assert_eq!((told.len(), told[0].code, told[0].package.is_some()), (1, "build-failed", true));
    assert_eq!(told[0].text, "its build script told cargo of an error: choose a \\x1bbackend");
    for other in ["error: stranger@1.0.0: x", "warning: subject@1.0.0: x", "error: no matching package"] {
        let told = of(other);
        assert_eq!((told.len(), told[0].package.is_some()), (1, false), "{other}");
    }
}

#[test]
fn a_tail_is_escaped_line_by_line() {
    let log = LogBuilder::new().build_script("u", |u| u.failed("one\n\x1b[2Jtwo\n")).log();
    let judgement = judge(&log, &Policy::shipped());
    assert_eq!(judgement.completeness.reasons[0].log_tail.as_deref(), Some("one\n\\x1b[2Jtwo"));
}
