//! Evidence and policy in, findings and a verdict out.
//!
//! Pure: no files, clocks or environment. The algorithm is described in
//! `docs/verdicts.md`; the entry point is [`judge`].

mod access;
mod agreement;
mod baseline;
mod chains;
pub mod codes;
mod completeness;
mod context;
mod coverage;
mod decided;
mod diagnosis;
mod expected;
mod failures;
mod finding;
mod known;
mod library;
mod locked;
mod missing;
mod paths;
mod shell;
mod sweep;
mod units;
mod verdict;

#[cfg(test)]
mod honest;

use std::collections::BTreeMap;

pub use agreement::{Agreement, Difference, Place};
pub use baseline::BaselineState;
pub use completeness::{Completeness, Reason, Status};
pub use coverage::{BuildScripts, Coverage, FactSource, MacroCoverage, MacroLibraries, Part};
pub use decided::{Decided, Effect, Fate, known_code};
pub use finding::Finding;
pub use locked::Unexercised;
pub use missing::{Missing, MissingKind, looked_for};
pub use verdict::Verdict;

pub use crate::policy::Severity;

use crate::decisions::Decisions;
use crate::evidence::EvidenceLog;
use crate::evidence::fact::Baseline;
use crate::evidence::line::{Artifact, Line, PackageSource, UnitKind, UnitOutcome};
use crate::ids::{PackageId, Sha256Digest, UnitId};
use crate::policy::Policy;
use context::Context;
use decided::Book;
use units::Units;

/// What a log comes to under a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Of the whole run.
    pub verdict: Verdict,
    /// Whether everything happened that should have happened.
    pub completeness: Completeness,
    /// What was exercised.
    pub coverage: Coverage,
    /// Nothing was built, and nothing was to be.
    pub facts_only: bool,
    /// Every package, the subject first, then by name.
    pub packages: Vec<JudgedPackage>,
    /// Of a lock file: the packages that were not exercised, and why.
    pub unexercised: Vec<Unexercised>,
    /// What became of each decision, in their order.
    pub fates: Vec<Fate>,
}

impl Judgement {
    /// The worst finding that counts, if there is one.
    pub fn worst(&self) -> Option<Severity> {
        worst(self.packages.iter().flat_map(|package| &package.findings))
    }
}

/// What a log comes to for one package.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedPackage {
    /// Name and version.
    pub id: PackageId,
    /// Where its source came from.
    pub source: PackageSource,
    /// Of its `.crate` file.
    pub checksum: Option<Sha256Digest>,
    /// True for what the user asked about.
    pub subject: bool,
    /// Of this package alone.
    pub verdict: Verdict,
    /// What ran of it, in the order of start.
    pub units: Vec<JudgedUnit>,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// What was captured of its units, in order.
    pub artifacts: Vec<Artifact>,
    /// Where its macros tried something else in their driver than in the consumer; none where they did not run in both.
    pub agreement: Option<Agreement>,
    /// What an earlier run saw of the version before; its findings are those that are found no longer.
    pub baseline: Option<Baseline>,
}

/// A unit, for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgedUnit {
    /// Its number.
    pub id: UnitId,
    /// What kind of work it was.
    pub kind: UnitKind,
    /// How it ended, if it did.
    pub outcome: Option<UnitOutcome>,
    /// Wall time.
    pub duration_ms: Option<u64>,
    /// When the earlier run began that it was taken from.
    pub earlier: Option<u64>,
}

/// Judges a log as if nobody had decided anything.
pub fn judge(log: &EvidenceLog, policy: &Policy) -> Judgement {
    judge_decided(log, policy, &Decisions::none())
}

/// Judges a log under what people have decided.
pub fn judge_decided(log: &EvidenceLog, policy: &Policy, decisions: &Decisions) -> Judgement {
    let units = Units::new(log);
    let cx = Context::new(log, policy, &units);
    let mut book = Book::new(decisions);
    let mut drafts = Vec::new();
    for code in codes::ALL {
        (code.rule)(&cx, &mut drafts);
    }
    expected::lower(&cx, &book, &mut drafts);
    chains::raise(&cx, &mut drafts);
    known::raise(&cx, &mut drafts);
    let mut findings = finding::group(&cx, drafts);
    let mut completeness = completeness::of(&cx);
    // What is not told of is nothing that a decision could be about.
    if let Some(record) = &log.header.lock {
        findings.retain(|finding| record.tells(&finding.package));
    }
    book.mark(&cx, &mut findings);
    book.accept(&cx, &mut completeness);
    let mut packages = packages(&cx, findings, &completeness);
    if let Some(record) = &log.header.lock {
        packages.retain(|package| record.tells(&package.id));
    }
    baseline::compare(&cx, &completeness, &mut packages);
    let worst = worst(packages.iter().flat_map(|package| &package.findings));
    let facts_only = completeness::is_facts_only(&cx);
    Judgement {
        verdict: Verdict::of(worst, completeness.is_settled()),
        coverage: coverage::of(&cx),
        facts_only,
        fates: book.fates(&cx, &completeness, facts_only),
        completeness,
        packages,
        unexercised: locked::unexercised(&cx),
    }
}

/// The worst of those that count.
fn worst<'f>(findings: impl Iterator<Item = &'f Finding>) -> Option<Severity> {
    findings.filter(|finding| !finding.is_hidden()).map(|finding| finding.severity).max()
}

fn packages(cx: &Context<'_>, findings: Vec<Finding>, completeness: &Completeness) -> Vec<JudgedPackage> {
    let mut all: BTreeMap<PackageId, JudgedPackage> = BTreeMap::new();
    let empty = |id: &PackageId| {
        let known = cx.package(id);
        JudgedPackage {
            id: id.clone(),
            source: known.map_or(PackageSource::Registry, |p| p.source),
            checksum: known.and_then(|p| p.checksum),
            subject: known.is_some_and(|p| p.subject),
            verdict: Verdict::Pass,
            units: Vec::new(),
            findings: Vec::new(),
            artifacts: Vec::new(),
            agreement: None,
            baseline: None,
        }
    };
    for package in &cx.log.header.packages {
        all.insert(package.id.clone(), empty(&package.id));
    }
    for unit in cx.units.0.values() {
        let Some(id) = unit.package.as_ref().or(cx.subject()) else { continue };
        all.entry(id.clone()).or_insert_with(|| empty(id)).units.push(JudgedUnit {
            id: unit.id(),
            kind: unit.kind(),
            outcome: unit.end.map(|end| end.outcome),
            duration_ms: unit.end.map(|end| end.duration_ms),
            earlier: unit.start.earlier.map(|at| cx.log.header.earlier_run(at).map_or(0, |run| run.started)),
        });
    }
    for line in &cx.log.lines {
        let Line::Artifact(artifact) = line else { continue };
        let unit = cx.units.0.get(&artifact.unit);
        let Some(id) = unit.and_then(|unit| unit.package.as_ref()).or(cx.subject()) else { continue };
        all.entry(id.clone()).or_insert_with(|| empty(id)).artifacts.push(artifact.clone());
    }
    for finding in findings {
        let id = finding.package.clone();
        all.entry(id.clone()).or_insert_with(|| empty(&id)).findings.push(finding);
    }
    for package in all.values_mut() {
        let worst = worst(package.findings.iter());
        package.agreement = agreement::of(cx, &package.id, &package.findings);
        package.verdict = Verdict::of(worst, completeness.is_settled_for(&package.id));
    }
    // What runs in the consumer is the subject's, so the consumer itself has nothing to tell.
    all.retain(|_, package| {
        package.source != PackageSource::Consumer || !package.units.is_empty() || !package.findings.is_empty()
    });
    let mut packages: Vec<_> = all.into_values().collect();
    packages.sort_by_key(|package| !package.subject);
    packages
}
