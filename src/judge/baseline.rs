//! What is new since the version before, or since the last run of a lock file: findings held against those of an earlier run,
//! which stand in the evidence.

use serde::Serialize;

use super::JudgedPackage;
use super::completeness::Completeness;
use super::context::Context;
use super::known::facts;
use crate::evidence::fact::{BASELINE, Baseline, BaselineFinding, Fact};
use crate::evidence::line::{Change, LastPackage, LastRun, LockRecord};
use crate::ids::PackageId;
use crate::policy::Severity;

/// How a finding stands to those of the version before, or of the last run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineState {
    /// It was not there, or was milder.
    New,
    /// It was there, as bad or worse.
    Unchanged,
}

/// Marks the findings that an earlier run can be asked about, and says what is found no longer.
pub(super) fn compare(cx: &Context<'_>, completeness: &Completeness, packages: &mut [JudgedPackage]) {
    let Some(record) = cx.log.header.lock.as_deref() else { return };
    match &record.last {
        _ if record.since.is_some() => with_versions(cx, record, completeness, packages),
        Some(last) => with_last(cx, record, last, completeness, packages),
        None => {}
    }
}

/// Of packages that were added, or that an earlier run saw in another version.
fn with_versions(cx: &Context<'_>, record: &LockRecord, completeness: &Completeness, packages: &mut [JudgedPackage]) {
    for package in packages {
        if record.package(&package.id).is_some_and(|locked| locked.change == Some(Change::Added)) {
            for finding in &mut package.findings {
                finding.baseline = Some(BaselineState::New);
            }
            continue;
        }
        let known = facts(cx, BASELINE).find(|fact| fact.package == package.id).and_then(Fact::read::<Baseline>);
        let Some(mut known) = known else { continue };
        for finding in &mut package.findings {
            let was = known.findings.iter().find(|was| was.fingerprint == finding.fingerprint);
            let is_old = was.is_some_and(|was| severity(was) >= Some(finding.severity));
            finding.baseline = Some(if is_old { BaselineState::Unchanged } else { BaselineState::New });
        }
        // What was not seen may still be tried.
        let is_seen = completeness.is_complete_for(&package.id);
        known
            .findings
            .retain(|was| is_seen && package.findings.iter().all(|finding| finding.fingerprint != was.fingerprint));
        package.baseline = Some(known);
    }
}

/// Of all packages: with the last run of the same file, under the decisions of its day.
fn with_last(
    cx: &Context<'_>,
    record: &LockRecord,
    last: &LastRun,
    completeness: &Completeness,
    packages: &mut [JudgedPackage],
) {
    // Where a source did not answer one of the two times, nobody knows what has come or gone.
    let same_facts = last.asked == super::coverage::asked(cx);
    for package in packages {
        let Some(was) = before(record, last, &package.id) else {
            for finding in &mut package.findings {
                finding.baseline = Some(BaselineState::New);
            }
            continue;
        };
        for finding in &mut package.findings {
            let is_known = if finding.unit.is_some() { !was.is_partial } else { same_facts };
            let old = was.findings.iter().find(|was| was.fingerprint == finding.fingerprint);
            finding.baseline = match old {
                // What was hidden and is no longer is new to who reads.
                Some(old) if severity(old) >= Some(finding.severity) && (!old.hidden || finding.is_hidden()) => {
                    Some(BaselineState::Unchanged)
                }
                None if !is_known => None,
                _ => Some(BaselineState::New),
            };
        }
        let is_seen = completeness.is_complete_for(&package.id);
        let is_gone = |was: &&BaselineFinding| {
            let is_found = package.findings.iter().any(|finding| finding.fingerprint == was.fingerprint);
            is_seen && !is_found && !was.hidden && (same_facts || !was.is_fact)
        };
        let findings: Vec<_> = was.findings.iter().filter(is_gone).cloned().collect();
        if !findings.is_empty() {
            let version = was.id.version.clone();
            package.baseline = Some(Baseline { version, recorded: last.recorded, evidence: None, findings });
        }
    }
}

/// A package as the last run saw it: in the same version, else in one that is gone, else in another one.
fn before<'a>(record: &LockRecord, last: &'a LastRun, id: &PackageId) -> Option<&'a LastPackage> {
    let of_name = last.packages.iter().filter(|was| was.id.name == id.name && was.id.mark() == id.mark());
    of_name.max_by_key(|was| {
        (was.id == *id, record.package(&was.id).is_none(), was.id.version.parse::<semver::Version>().ok())
    })
}

fn severity(was: &BaselineFinding) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.as_str() == was.severity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::fact::Asked;
    use crate::evidence::line::Line;
    use crate::evidence::testing::{LogBuilder, UnitBuilder, lock, subject};
    use crate::judge::{Judgement, judge};
    use crate::policy::Policy;

    fn was(judgement: &Judgement) -> Vec<BaselineFinding> {
        let all = judgement.packages[0].findings.iter();
        all.map(|finding| BaselineFinding {
            code: finding.code.to_owned(),
            severity: finding.severity.to_string(),
            fingerprint: finding.fingerprint.clone(),
            subject: finding.subject.clone(),
            ..BaselineFinding::default()
        })
        .collect()
    }

    fn judged(
        change: Option<Change>,
        known: Option<&[BaselineFinding]>,
        tell: impl FnOnce(UnitBuilder) -> UnitBuilder,
    ) -> Judgement {
        let mut record = lock(&[("subject@1.0.0", &[])]);
        record.since = change.is_some().then(|| "main".to_owned());
        record.packages[0].change = change;
        let mut log = LogBuilder::new().header(|header| header.lock = Some(Box::new(record)));
        if let Some(findings) = known {
            let data = Baseline { version: "0.9.0".to_owned(), findings: findings.to_vec(), ..Baseline::default() };
            log = log.line(Line::Fact(Fact::new(BASELINE, &subject(), "x").with(&data)));
        }
        judge(&log.build_script("u", tell).log(), &Policy::shipped())
    }

    fn states(judgement: &Judgement) -> (Vec<(String, Option<BaselineState>)>, Vec<String>) {
        let package = &judgement.packages[0];
        let gone = package.baseline.iter().flat_map(|known| &known.findings).map(|was| was.subject.clone()).collect();
        (package.findings.iter().map(|finding| (finding.subject.clone(), finding.baseline)).collect(), gone)
    }

    fn changed() -> Change {
        Change::Changed { from: vec!["0.9.0".to_owned()] }
    }

    #[test]
    fn new_unchanged_and_resolved_findings_are_told_apart() {
        let before = was(&judged(None, None, |u| u.dns("stays.invalid").dns("goes.invalid")));
        let after = judged(Some(changed()), Some(&before), |u| u.dns("stays.invalid").dns("comes.invalid"));
        let (found, gone) = states(&after);
        assert_eq!(
            found,
            [
                ("stays.invalid".to_owned(), Some(BaselineState::Unchanged)),
                ("comes.invalid".to_owned(), Some(BaselineState::New))
            ]
        );
        assert_eq!(gone, ["goes.invalid"]);
    }

    #[test]
    fn what_is_worse_than_before_is_new() {
        let before = was(&judged(None, None, |u| u.dns("x.invalid")));
        let after = judged(Some(changed()), Some(&before), |u| u.dns("x.invalid").open("/home/dev/.ssh/id_ed25519"));
        assert!(states(&after).0.iter().all(|(_, state)| *state == Some(BaselineState::New)), "{:?}", states(&after));
    }

    #[test]
    fn nothing_is_resolved_that_was_not_seen() {
        let before = was(&judged(None, None, |u| u.dns("x.invalid")));
        let failed = judged(Some(changed()), Some(&before), |u| u.failed("no"));
        assert_eq!(states(&failed).1, Vec::<String>::new());
        assert_eq!(states(&judged(Some(changed()), Some(&before), |u| u)).1, ["x.invalid"]);
    }

    #[test]
    fn what_is_added_is_new_and_without_evidence_of_before_nothing_is_said() {
        let of = |change| states(&judged(change, None, |u| u.dns("x.invalid"))).0[0].1;
        assert_eq!((of(Some(Change::Added)), of(Some(changed())), of(None)), (Some(BaselineState::New), None, None));
    }

    /// The states of a package that asks for some names, today's findings, after a last run that found others of it.
    fn since_the_last(
        was: &[BaselineFinding],
        change: impl FnOnce(&mut LastRun),
        names: &[&str],
    ) -> (Vec<(String, Option<BaselineState>)>, Vec<String>) {
        let seen = LastPackage { id: subject(), is_partial: false, findings: was.to_vec() };
        let mut last = LastRun { packages: vec![seen], ..LastRun::default() };
        change(&mut last);
        let mut record = lock(&[("subject@1.0.0", &[])]);
        record.last = Some(last);
        let log = LogBuilder::new().header(|header| header.lock = Some(Box::new(record)));
        let log = log.build_script("u", |u| names.iter().fold(u, |u, name| u.dns(name)));
        states(&judge(&log.log(), &Policy::shipped()))
    }

    #[test]
    fn since_the_last_run_what_was_not_there_is_new_and_what_is_gone_is_resolved() {
        let was = was(&judged(None, None, |u| u.dns("stays.invalid").dns("goes.invalid")));
        let told = |state: &[(&str, Option<BaselineState>)]| {
            state.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect::<Vec<_>>()
        };
        let (new, old) = (Some(BaselineState::New), Some(BaselineState::Unchanged));
        let both = ["stays.invalid", "comes.invalid"];
        let (found, gone) = since_the_last(&was, |_| (), &both);
        assert_eq!((found, gone), (told(&[(both[0], old), (both[1], new)]), vec!["goes.invalid".to_owned()]));
        // A version before, where this one was not there.
        let other = |last: &mut LastRun| last.packages[0].id.version = "0.9.0".to_owned();
        assert_eq!(since_the_last(&was, other, &both).0, told(&[(both[0], old), (both[1], new)]));
        let added = |last: &mut LastRun| last.packages.clear();
        assert_eq!(since_the_last(&was, added, &both).0, told(&[(both[0], new), (both[1], new)]));
        let partial = |last: &mut LastRun| last.packages[0].is_partial = true;
        assert_eq!(since_the_last(&was, partial, &both).0, told(&[(both[0], old), (both[1], None)]));
        // Whoever reads did not see what was hidden.
        let hidden = |last: &mut LastRun| last.packages[0].findings.iter_mut().for_each(|was| was.hidden = true);
        assert_eq!(since_the_last(&was, hidden, &both[..1]), (told(&[(both[0], new)]), Vec::new()));
        // What no source could say today is not known to be gone.
        let unasked = |last: &mut LastRun| {
            last.asked.insert("advisories".to_owned(), Asked::Checked);
            last.packages[0].findings.iter_mut().for_each(|was| was.is_fact = true);
        };
        assert_eq!(since_the_last(&was, unasked, &[]).1, Vec::<String>::new());
    }
}
