//! What is new since the version before: findings held against those of an earlier run, which stand in the evidence.

use serde::Serialize;

use super::JudgedPackage;
use super::completeness::Completeness;
use super::context::Context;
use super::known::facts;
use crate::evidence::fact::{BASELINE, Baseline, BaselineFinding, Fact};
use crate::evidence::line::Change;
use crate::policy::Severity;

/// How a finding stands to those of the version before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaselineState {
    /// It was not there, or was milder.
    New,
    /// It was there, as bad or worse.
    Unchanged,
}

/// Marks the findings of packages that were added, or that an earlier run saw in another version, and says what is
/// found no longer.
pub(super) fn compare(cx: &Context<'_>, completeness: &Completeness, packages: &mut [JudgedPackage]) {
    let Some(record) = cx.log.header.lock.as_deref().filter(|record| record.since.is_some()) else { return };
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

fn severity(was: &BaselineFinding) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.as_str() == was.severity)
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
