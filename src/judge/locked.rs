//! Of a lock file: which packages did not run, and why.
//!
//! cargo goes on after a failure and builds whatever it can. So a package that
//! was not built and needs none that failed is one that nothing asked for; one
//! that needs such a package is not known to be either, and is missing.

use super::completeness::Reason;
use super::context::Context;
use super::coverage::has_units;
use super::failures::Failures;
use crate::evidence::line::{LockRecord, LockedPackage, Package};
use crate::ids::PackageId;

/// A package of a lock file that was not exercised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexercised {
    /// Which.
    pub package: PackageId,
    /// In one word: that of [`LeftOutWhy`](crate::evidence::line::LeftOutWhy), `not-needed`, `dependency-failed` or `run-ended`.
    pub why: &'static str,
    /// For people, complete.
    pub text: String,
    /// True if it was meant to run.
    pub is_gap: bool,
}

/// All that were not exercised, in the order of the file. Packages that have nothing to run are none.
pub(super) fn unexercised(cx: &Context<'_>) -> Vec<Unexercised> {
    let Some(record) = &cx.log.header.lock else { return Vec::new() };
    let failed = Failures::of(cx);
    record.packages.iter().filter_map(|locked| one(cx, locked, &failed)).collect()
}

/// True for a package that was meant to take part: something of it ran, or it is a gap.
pub(super) fn takes_part(cx: &Context<'_>, record: &LockRecord, package: &Package, failed: &Failures<'_>) -> bool {
    let gap = || one(cx, record.package(&package.id)?, failed).filter(|found| found.is_gap);
    has_units(cx, &package.id) || gap().is_some()
}

fn one(cx: &Context<'_>, locked: &LockedPackage, failed: &Failures<'_>) -> Option<Unexercised> {
    let found = |why, text, is_gap| Some(Unexercised { package: locked.id.clone(), why, text, is_gap });
    if let Some(left_out) = &locked.left_out {
        return found(left_out.why.as_str(), left_out.text.clone(), left_out.why.is_a_gap());
    }
    let package = cx.package(&locked.id)?;
    if !(package.build_script || package.proc_macro.is_some()) || has_units(cx, &locked.id) {
        let (id, how) = failed.needed_by(&locked.id).filter(|_| !failed.is_compiled(cx, &locked.id))?;
        return found("dependency-failed", format!("its code was not compiled: it needs {id}, {how}"), true);
    }
    if let Some((id, how)) = failed.needed_by(&locked.id) {
        return found("dependency-failed", format!("it needs {id}, {how}"), true);
    }
    if !failed.reached_the_end {
        return found("run-ended", "the run ended before it was its turn".to_owned(), true);
    }
    let text = "nothing that was built needs it: a feature that is off would, or tests, examples and benchmarks";
    found("not-needed", text.to_owned(), false)
}

/// The gaps, as reasons why a run is not complete.
pub(super) fn reasons(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    for found in unexercised(cx).into_iter().filter(|found| found.is_gap) {
        reasons.push(Reason {
            code: "unit-not-run",
            package: Some(found.package.to_string()),
            unit: None,
            text: found.text,
            log_tail: None,
            missing: Vec::new(),
            decision: None,
        });
    }
}

/// True for the failure of what stands in for a package that is missing: the reason is another one.
pub(super) fn is_stand_in(cx: &Context<'_>, package: Option<&PackageId>) -> bool {
    let locked = cx.log.header.lock.as_ref().zip(package).and_then(|(record, id)| record.package(id));
    let left_out = locked.and_then(|locked| locked.left_out.as_ref());
    left_out.is_some_and(|left_out| left_out.why.is_a_gap())
}

/// Leaves out what is on packages that a report limited to changes does not tell of.
pub(super) fn limit(record: &LockRecord, reasons: &mut Vec<Reason>) {
    let hidden: std::collections::BTreeSet<String> =
        record.packages.iter().filter(|locked| !record.tells(&locked.id)).map(|locked| locked.id.to_string()).collect();
    reasons.retain(|reason| reason.package.as_ref().is_none_or(|package| !hidden.contains(package)));
}

#[cfg(test)]
mod tests {
    use crate::evidence::EvidenceLog;
    use crate::evidence::line::{Change, Depth, LeftOut, LeftOutWhy, Line, LockRecord, Note, UnitKind, note};
    use crate::evidence::testing::{LogBuilder, lock};
    use crate::judge::{Judgement, judge};
    use crate::policy::Policy;

    fn judged(log: &EvidenceLog) -> Judgement {
        judge(log, &Policy::shipped())
    }

    fn brief(judgement: &Judgement) -> Vec<(String, &'static str, bool)> {
        let all = judgement.unexercised.iter();
        all.map(|found| (found.package.to_string(), found.why, found.is_gap)).collect()
    }

    /// `subject` has a script and may fail; `needs-it` needs it, `alone` does not, neither of them ran.
    fn log(fails: bool, exit: Option<&str>, change: impl FnOnce(&mut LockRecord)) -> EvidenceLog {
        let mut record = lock(&[("subject@1.0.0", &[]), ("needs-it@2.0.0", &[0]), ("alone@2.0.0", &[])]);
        change(&mut record);
        let builder = LogBuilder::new().dependency("needs-it", true).dependency("alone", true);
        let builder = builder.header(|header| {
            header.lock = Some(Box::new(record));
            header.packages[0].subject = false;
        });
        let builder = builder.build_script("u", |u| if fails { u.failed("no") } else { u });
        match exit {
            Some(text) => builder.note(note::CARGO_EXIT, text).log(),
            None => builder.log(),
        }
    }

    #[test]
    fn what_needs_a_failed_package_is_missing_and_the_rest_was_not_asked_for() {
        let judgement = judged(&log(true, Some("exit status: 101"), |_| {}));
        let expected = [("needs-it@2.0.0", "dependency-failed", true), ("alone@2.0.0", "not-needed", false)];
        assert_eq!(brief(&judgement), expected.map(|(id, why, gap)| (id.to_owned(), why, gap)));
        let of: Vec<_> =
            judgement.completeness.reasons.iter().map(|reason| (reason.code, reason.package.as_deref())).collect();
        assert_eq!(of, [("build-failed", Some("subject@1.0.0")), ("unit-not-run", Some("needs-it@2.0.0"))]);
        // A package that is not asked for counts nowhere.
        assert_eq!(judgement.coverage.build_scripts.found, 2);
        assert!(judged(&log(false, Some("exit status: 0"), |_| {})).completeness.is_complete());
    }

    #[test]
    fn code_that_was_not_compiled_for_a_failure_below_it_is_missing_whatever_else_ran() {
        let plain = |depth: Depth, fails: bool, is_compiled: bool| {
            let mut record = lock(&[("subject@1.0.0", &[]), ("plain@2.0.0", &[0])]);
            record.packages[1].left_out = None;
            let builder = LogBuilder::new().dependency("plain", false).header(|header| {
                header.lock = Some(Box::new(record));
                header.packages[0].subject = false;
                header.depth = depth;
            });
            let builder = builder.build_script("u", |u| if fails { u.failed("no") } else { u });
            let plain = Some("plain@2.0.0".parse().unwrap());
            let builder =
                if is_compiled { builder.unit(UnitKind::Compile, plain, "/rustc", Vec::new(), |u| u) } else { builder };
            let exit = if fails { "exit status: 101" } else { "exit status: 0" };
            brief(&judged(&builder.note(note::CARGO_EXIT, exit).log()))
        };
        assert_eq!(plain(Depth::Check, true, false), [("plain@2.0.0".to_owned(), "dependency-failed", true)]);
        assert_eq!(plain(Depth::Check, true, true), []);
        assert_eq!(plain(Depth::Check, false, false), []);
        assert_eq!(plain(Depth::Build, true, false), [], "this depth compiles no such code");
    }

    #[test]
    fn a_run_that_was_broken_off_says_nothing_of_what_was_not_asked_for() {
        for exit in [None, Some("signal: 9 (SIGKILL)"), Some("exit status: 101")] {
            let judgement = judged(&log(false, exit, |_| {}));
            assert!(brief(&judgement).iter().all(|(_, why, gap)| *why == "run-ended" && *gap), "{exit:?}");
            assert!(!judgement.completeness.is_complete(), "{exit:?}");
        }
    }

    #[test]
    fn a_package_that_could_not_be_had_is_missing_with_what_needs_it() {
        for (why, is_gap) in [(LeftOutWhy::Unavailable, true), (LeftOutWhy::Refused, true), (LeftOutWhy::Own, false)] {
            let judgement = judged(&log(false, Some("exit status: 0"), |record| {
                record.packages[2].left_out = Some(LeftOut { why, text: "said".to_owned() });
                record.packages[1].needs = vec![2];
            }));
            let found = brief(&judgement);
            assert_eq!(found[1], ("alone@2.0.0".to_owned(), why.as_str(), is_gap));
            assert_eq!(found[0].1, if is_gap { "dependency-failed" } else { "not-needed" });
            assert_eq!(judgement.completeness.is_complete(), !is_gap);
        }
    }

    #[test]
    fn with_since_only_what_changed_is_told_and_counts() {
        let limited = |changed: usize| {
            judged(&log(true, Some("exit status: 101"), |record| {
                record.since = Some("main".to_owned());
                record.packages[changed].change = Some(Change::Added);
            }))
        };
        let other = limited(2);
        assert!(other.completeness.is_complete(), "{:?}", other.completeness.reasons);
        assert!(other.packages.iter().all(|package| package.id.name != "subject"));
        assert!(!limited(0).completeness.is_complete());
    }

    #[test]
    fn a_unit_that_was_built_before_is_missing_unless_the_run_that_built_it_is_known() {
        let of = |earlier: Option<u32>, text: &str| {
            let mut log = log(false, Some("exit status: 0"), |_| {});
            log.header
                .earlier
                .push(crate::evidence::line::EarlierRun { started: 1, sha256: crate::ids::Sha256Digest([1; 32]) });
            let mut identity = String::new();
            for line in &mut log.lines {
                if let Line::UnitStart(start) = line {
                    start.earlier = earlier;
                    identity = start.identity();
                }
            }
            let text = if text.is_empty() { identity } else { text.to_owned() };
            let package = Some("subject@1.0.0".parse().unwrap());
            let code = note::UNIT_FRESH.to_owned();
            log.lines.push(Line::Note(Note { code, package, unit: None, text, limit: None }));
            judged(&log).completeness.reasons.iter().map(|reason| reason.code).collect::<Vec<_>>()
        };
        assert!(of(Some(0), "").is_empty());
        assert_eq!(of(None, ""), ["evidence-lost"]);
        assert_eq!(of(Some(0), "another-0011223344556677"), ["evidence-lost"]);
    }
}
