//! Tells a judgement to people and to programs.
//!
//! [`Report`] is a function of log, policy and the place of the evidence. The
//! renderers write it to whatever they are given and do nothing else. Text that
//! a package chose is escaped before it stands in a report, once more in each
//! medium where that medium obeys more than control characters.

mod decided;
mod explain;
mod files;
mod found;
mod human;
mod in_toto;
mod json;
mod junit;
mod lock;
mod markdown;
mod ndjson;
mod sarif;
mod together;

pub use decided::{Notice, ReportDecision, ReportDecisions, ReportEntry};
pub use explain::{ExplainError, explain, explain_all};
pub use found::{ReportArtifact, ReportBaseline, ReportFinding, Resolved};
pub use human::{HumanOptions, human, human_error, human_warning};
pub use in_toto::{NoSubject, in_toto};
pub use json::{SCHEMA, json, json_error};
pub use junit::junit;
pub use lock::{NotExercised, ReportLock, ReportLocked};
pub use markdown::markdown;
pub use ndjson::ndjson;
pub use sarif::sarif;
pub use together::{Sum, Together};

use std::cmp::Reverse;

use serde::Serialize;

use crate::decisions::Decisions;
use crate::evidence::fact::Asked;
use crate::evidence::line::{
    Integrity, LayerStatus, Line, LockRecord, PackageSource, PolicyRecord, Target, Tool, Toolchain, UnitKind,
    UnitOutcome, note,
};
use crate::evidence::time::rfc3339;
use crate::evidence::{Bytes, EvidenceLog};
use crate::ids::{PackageId, Sha256Digest};
use crate::judge::{
    Agreement, BaselineState, Completeness, Coverage, FactSource, Finding, JudgedPackage, JudgedUnit, Judgement,
    Verdict, judge_decided,
};
use crate::policy::{Policy, Severity};

/// A judged run, ready to be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    format: &'static str,
    version: u32,
    /// The program that judges, which may be newer than the one that recorded.
    pub tool: Tool,
    /// What the user asked for.
    pub target: Target,
    /// Of the run.
    pub verdict: Verdict,
    /// Beside it, always.
    pub completeness: Completeness,
    /// Which layers held.
    pub enforcement: Enforcement,
    /// What was exercised.
    pub coverage: Coverage,
    /// Nothing was built, and nothing was to be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub facts_only: bool,
    /// Which policy it was judged under.
    pub policy: String,
    /// Of its text, for statements.
    #[serde(skip)]
    policy_sha256: Sha256Digest,
    /// When the run began, for statements.
    #[serde(skip)]
    started: u64,
    /// Which files were tried, for statements.
    #[serde(skip)]
    files: files::FileAccess,
    /// Present when that is not the policy that the run was made under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejudged: Option<Rejudged>,
    /// Present when nothing was built, because an earlier run had the same inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
    /// What the packages were built with.
    pub toolchain: Toolchain,
    /// What the user let in.
    pub given: Vec<String>,
    /// The subject first.
    pub packages: Vec<ReportPackage>,
    /// Present for a lock file: every package of it, and how it was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<ReportLock>,
    /// Where the evidence lies and whether it is whole.
    pub evidence: ReportEvidence,
    /// Present where a file of decisions was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisions: Option<ReportDecisions>,
    /// Present with further lock files: the sums of all, each package once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// The reports on further lock files of the same call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Report>,
    /// Present when the exit code says more than the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ReportError>,
}

/// Two policies: that of the run, and that of the judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejudged {
    /// Which policy the run was made under.
    pub recorded: PolicyRecord,
    /// Which policy it was judged under.
    pub judged: PolicyRecord,
}

/// The run whose evidence answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reused {
    /// When it began, as RFC 3339 has it.
    pub recorded: String,
}

impl Reused {
    /// The run of this evidence.
    pub fn of(log: &EvidenceLog) -> Self {
        Self { recorded: rfc3339(log.header.started) }
    }
}

/// Which layers held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enforcement {
    /// In one word.
    pub status: EnforcementStatus,
    /// One by one.
    pub layers: Vec<ReportLayer>,
}

impl Enforcement {
    fn of(log: &EvidenceLog) -> Self {
        let layers = log.header.layers.iter();
        let layers: Vec<_> =
            layers.map(|l| ReportLayer { name: safe(&l.name), status: l.status, detail: safe(&l.detail) }).collect();
        let status = if layers.is_empty() {
            EnforcementStatus::None
        } else if layers.iter().all(|layer| layer.status == LayerStatus::Full) {
            EnforcementStatus::Full
        } else {
            EnforcementStatus::Degraded
        };
        Self { status, layers }
    }
}

/// All layers in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcementStatus {
    /// All were in full force.
    Full,
    /// At least one was waived or missing.
    Degraded,
    /// Nothing ran, so none was needed.
    None,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportLayer {
    /// `landlock`, `seccomp`, …
    pub name: String,
    /// What held.
    pub status: LayerStatus,
    /// For people.
    pub detail: String,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportPackage {
    /// `name@version`.
    pub id: String,
    /// Of a lock file: the way from a package that nobody needs to this one, both included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
    /// Where its source came from.
    pub source: PackageSource,
    /// Of its `.crate` file.
    pub checksum: Option<Sha256Digest>,
    /// Of this package alone.
    pub verdict: Verdict,
    /// What ran of it.
    pub units: Vec<ReportUnit>,
    /// The worst first.
    pub findings: Vec<ReportFinding>,
    /// What was captured of its units, in order.
    pub artifacts: Vec<ReportArtifact>,
    /// Where its macros tried something else in their driver than in the consumer; null where they did not run in both.
    pub agreement: Option<Agreement>,
    /// What an earlier run saw of the version that the lock file had before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<ReportBaseline>,
}

/// One unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportUnit {
    /// As `u0`.
    pub id: String,
    /// What kind of work it was.
    pub kind: UnitKind,
    /// How it ended; null if it did not.
    pub outcome: Option<UnitOutcome>,
    /// Wall time; null if it did not end.
    pub duration_ms: Option<u64>,
    /// When the earlier run began that it was taken from, as RFC 3339 has it; absent if it ran in this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
}

/// Where the evidence lies and whether it is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportEvidence {
    /// Null when it was not kept.
    pub path: Option<String>,
    /// Of the whole file; null when it was not read from one.
    pub sha256: Option<Sha256Digest>,
    /// Calls that were notified.
    pub received: u64,
    /// Attempts with a line of their own.
    pub recorded: u64,
    /// Repeats.
    pub coalesced: u64,
    /// Dull reads, counted only.
    pub counted: u64,
    /// Lost beyond a quota.
    pub dropped: u64,
    /// In one word.
    pub integrity: Integrity,
}

/// Why the program ended with another code than the verdict's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportError {
    /// The name of the exit code, or of the finding when the sources were refused.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// What to do; null when nothing is known.
    pub hint: Option<String>,
}

impl Report {
    /// Judges a log and puts the result into the order in which it is told.
    /// `evidence_path` is where a reader finds the file.
    ///
    /// [`Self::reused`] is for the caller to set; everything else is the same when the evidence is replayed.
    pub fn new(log: &EvidenceLog, policy: &Policy, evidence_path: Option<&str>) -> Self {
        Self::decided(log, policy, &Decisions::none(), evidence_path)
    }

    /// The same under what people have decided.
    pub fn decided(log: &EvidenceLog, policy: &Policy, decisions: &Decisions, evidence_path: Option<&str>) -> Self {
        let judgement = judge_decided(log, policy, decisions);
        let hidden = judgement.packages.iter().flat_map(|package| &package.findings).filter(|f| f.is_hidden()).count();
        let decisions = ReportDecisions::of(decisions, &judgement.fates, hidden);
        Self { decisions, ..Self::of(log, policy, judgement, evidence_path) }
    }

    fn of(log: &EvidenceLog, policy: &Policy, judgement: Judgement, evidence_path: Option<&str>) -> Self {
        let header = &log.header;
        let lock = ReportLock::of(log, &judgement);
        let files = files::FileAccess::of(log, &judgement);
        let packages = in_order(judgement.packages, header.lock.as_deref());
        let packages = packages.into_iter().map(|package| {
            let path = header.lock.as_ref().and_then(|record| path_to(record, &package.id));
            ReportPackage::of(package, path, evidence_path)
        });
        let totals = &log.totals;
        Self {
            format: json::FORMAT,
            version: json::VERSION,
            tool: Tool::this(),
            target: Target {
                name: safe(&header.target.name),
                version: safe(&header.target.version),
                ..header.target.clone()
            },
            verdict: judgement.verdict,
            completeness: completeness(judgement.completeness),
            enforcement: Enforcement::of(log),
            coverage: judgement.coverage,
            facts_only: judgement.facts_only,
            policy: safe(&policy.name),
            policy_sha256: policy.record().sha256,
            started: header.started,
            files,
            rejudged: rejudged(header.policy.as_ref(), &policy.record()),
            reused: None,
            toolchain: Toolchain {
                cargo: safe(&header.toolchain.cargo),
                rustc: safe(&header.toolchain.rustc),
                host: safe(&header.toolchain.host),
            },
            given: header.given.iter().map(|given| safe(given)).collect(),
            packages: packages.collect(),
            lock,
            decisions: None,
            together: None,
            further: Vec::new(),
            evidence: ReportEvidence {
                path: evidence_path.map(safe),
                sha256: log.sha256,
                received: totals.received,
                recorded: totals.recorded,
                coalesced: totals.coalesced,
                counted: totals.counted,
                dropped: totals.dropped,
                integrity: totals.integrity,
            },
            error: refusal(log).or_else(|| lock::unavailable(log)),
        }
    }

    /// The worst finding that counts, for the exit code.
    pub fn worst(&self) -> Option<Severity> {
        self.counting().map(|finding| finding.severity).max()
    }

    /// The findings that nobody has hidden.
    fn counting(&self) -> impl Iterator<Item = &ReportFinding> {
        self.packages.iter().flat_map(|package| &package.findings).filter(|finding| !finding.is_hidden())
    }

    /// How many of the findings that count are new since the last run of a lock file, where one is known.
    fn news(&self) -> Option<String> {
        self.lock.as_ref()?.last_run.as_ref()?;
        let count = |state| {
            let of_state = self.counting().filter(|finding| finding.baseline == state).count();
            u64::try_from(of_state).unwrap_or(u64::MAX)
        };
        let (new, unknown) = (count(Some(BaselineState::New)), count(None));
        let said = match new {
            0 => "nothing is new since the last run".to_owned(),
            1 => "1 finding is new since the last run".to_owned(),
            _ => format!("{new} findings are new since the last run"),
        };
        Some(if unknown == 0 { said } else { format!("{said}; of {unknown} it is not known") })
    }

    /// True if nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.completeness.is_complete()
    }

    /// True if nothing is missing that nobody has accepted.
    pub fn is_settled(&self) -> bool {
        self.completeness.is_settled()
    }

    /// True if a registry did not give all packages of a lock file: trying again may help.
    pub fn is_temporary(&self) -> bool {
        self.lock.is_some() && self.error.as_ref().is_some_and(|error| error.code == lock::UNAVAILABLE)
    }

    /// The sources of facts that a verdict leans on and that were not asked in full.
    fn unasked(&self) -> impl Iterator<Item = &FactSource> {
        let sources = self.coverage.facts.iter();
        sources.filter(|source| source.status != Asked::Checked && source.changes())
    }
}

impl ReportPackage {
    fn of(package: JudgedPackage, path: Option<Vec<String>>, evidence_path: Option<&str>) -> Self {
        let unit = |unit: &JudgedUnit| ReportUnit {
            id: unit.id.to_string(),
            kind: unit.kind,
            outcome: unit.outcome,
            duration_ms: unit.duration_ms,
            recorded: unit.earlier.map(rfc3339),
        };
        Self {
            id: safe(&package.id.to_string()),
            path,
            source: package.source,
            checksum: package.checksum,
            verdict: package.verdict,
            units: package.units.iter().map(unit).collect(),
            findings: package.findings.into_iter().map(Into::into).collect(),
            artifacts: package.artifacts.iter().map(|a| ReportArtifact::new(a, evidence_path)).collect(),
            agreement: package.agreement,
            baseline: package.baseline.map(Into::into),
        }
    }
}

/// The packages that are told of, of a lock file the worst first and within a severity as cargo orders them.
fn in_order(mut packages: Vec<JudgedPackage>, lock: Option<&LockRecord>) -> Vec<JudgedPackage> {
    if lock.is_some() {
        packages.retain(|package| package.source != PackageSource::Consumer || !package.findings.is_empty());
        let counts = |finding: &&Finding| !finding.is_hidden();
        packages.sort_by_key(|package| {
            Reverse(package.findings.iter().filter(counts).map(|finding| finding.severity).max())
        });
    }
    packages
}

/// The way to a package of a lock file.
fn path_to(record: &LockRecord, id: &PackageId) -> Option<Vec<String>> {
    let package = record.package(id)?;
    Some(package.via.iter().chain([id]).map(|id| safe(&id.to_string())).collect())
}

/// Whether a source was asked, in words.
fn word(status: Asked) -> &'static str {
    match status {
        Asked::Checked => "checked",
        Asked::Partial => "in part",
        Asked::NotChecked => "not checked",
    }
}

/// Evidence may come from anywhere when it is replayed, so no text of it is taken as it is.
fn safe(text: &str) -> String {
    Bytes::from(text).to_string()
}

fn completeness(mut judged: Completeness) -> Completeness {
    for reason in &mut judged.reasons {
        reason.package = reason.package.take().map(|package| safe(&package));
        reason.text = safe(&reason.text);
        if let Some(decided) = &mut reason.decision {
            decided.place = safe(&decided.place);
            decided.reason = safe(&decided.reason);
        }
    }
    judged
}

/// Both policies, where the log names another one than it is judged by.
fn rejudged(recorded: Option<&PolicyRecord>, judged: &PolicyRecord) -> Option<Rejudged> {
    let plain = |policy: &PolicyRecord| PolicyRecord { name: safe(&policy.name), sha256: policy.sha256 };
    recorded
        .filter(|recorded| *recorded != judged)
        .map(|recorded| Rejudged { recorded: plain(recorded), judged: plain(judged) })
}

/// The facts that refuse sources.
const REFUSALS: [&str; 2] = ["unsafe-archive", "checksum-mismatch"];

/// Why there was no run, where the sources were refused.
fn refusal(log: &EvidenceLog) -> Option<ReportError> {
    let hint = log.lines.iter().find_map(|line| match line {
        Line::Note(said) if said.code == note::REFUSED => Some(safe(&said.text)),
        _ => None,
    })?;
    log.lines.iter().find_map(|line| match line {
        Line::Fact(fact) if REFUSALS.contains(&fact.code.as_str()) => Some(ReportError {
            code: fact.code.clone(),
            message: safe(&fact.text),
            hint: Some(hint.clone()).filter(|hint| !hint.is_empty()),
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
