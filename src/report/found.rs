//! What was found of a package: findings, and bytes that were captured.

use serde::Serialize;
use serde_json::Value;

use super::decided::ReportDecision;
use super::safe;
use crate::evidence::captured::SUFFIX;
use crate::evidence::fact::Baseline;
use crate::evidence::line::{Artifact, Captured};
use crate::evidence::time::rfc3339;
use crate::ids::Sha256Digest;
use crate::judge::{BaselineState, Finding};
use crate::policy::Severity;

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportFinding {
    /// See `sandbox-check explain`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The same for the same code, package name and subject, in every version and run.
    pub fingerprint: String,
    /// As `u0`; null for what is known without running anything.
    pub unit: Option<String>,
    /// What it is about, escaped.
    pub subject: String,
    /// The same for programs.
    pub object: Value,
    /// A sentence.
    pub summary: String,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// By number in the evidence.
    pub attempts: Vec<u64>,
    /// How often it was tried.
    pub count: u64,
    /// What a person has decided about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<ReportDecision>,
    /// How it stands to the findings of the version before, where these are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineState>,
}

impl ReportFinding {
    /// True for a finding that counts for nothing, because a person has hidden it.
    pub fn is_hidden(&self) -> bool {
        self.decision.as_ref().is_some_and(ReportDecision::hides)
    }
}

impl From<Finding> for ReportFinding {
    fn from(finding: Finding) -> Self {
        Self {
            code: finding.code,
            severity: finding.severity,
            fingerprint: finding.fingerprint,
            unit: finding.unit.map(|unit| unit.to_string()),
            subject: finding.subject,
            object: safe_value(finding.object),
            summary: safe(&finding.summary),
            attack: finding.attack,
            attempts: finding.attempts,
            count: finding.count,
            decision: finding.decision.as_ref().map(Into::into),
            baseline: finding.baseline,
        }
    }
}

/// What an earlier run saw of the version before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportBaseline {
    /// That version.
    pub version: String,
    /// When that run began, as RFC 3339 has it.
    pub recorded: String,
    /// The SHA-256 of its evidence.
    pub evidence: Option<Sha256Digest>,
    /// What was found then and is no longer.
    pub resolved: Vec<Resolved>,
}

impl ReportBaseline {
    /// Since when something is found no longer: a version before, or the last run.
    pub(super) fn before(&self, package: &str) -> String {
        let is_same = package.split(['@', '~']).nth(1) == Some(self.version.as_str());
        if is_same { "the last run".to_owned() } else { self.version.clone() }
    }
}

/// A finding of an earlier run that is found no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// Its code.
    pub code: String,
    /// How bad it was.
    pub severity: String,
    /// The same in every version and run.
    pub fingerprint: String,
    /// What it was about, escaped.
    pub subject: String,
}

impl From<Baseline> for ReportBaseline {
    fn from(known: Baseline) -> Self {
        let resolved = known.findings.into_iter().map(|was| Resolved {
            code: safe(&was.code),
            severity: safe(&was.severity),
            fingerprint: safe(&was.fingerprint),
            subject: safe(&was.subject),
        });
        Self {
            version: safe(&known.version),
            recorded: rfc3339(known.recorded),
            evidence: known.evidence,
            resolved: resolved.collect(),
        }
    }
}

/// Bytes that were captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportArtifact {
    /// Why.
    pub what: Captured,
    /// As `u0`.
    pub unit: String,
    /// Where the file lay, or where the message was to go, escaped.
    pub path: String,
    /// Of the contents; null beyond the bounds.
    pub sha256: Option<Sha256Digest>,
    /// In bytes.
    pub size: u64,
    /// How many bytes are kept.
    pub kept: u64,
    /// True if not all bytes were hashed, or only the first ones are kept.
    pub truncated: bool,
    /// The attempt that they belong to; null for messages on a connected socket.
    pub attempt: Option<u64>,
    /// The file that has them; null when there is none.
    pub file: Option<String>,
}

impl ReportArtifact {
    pub(super) fn new(artifact: &Artifact, evidence_path: Option<&str>) -> Self {
        let folder = evidence_path.filter(|_| artifact.kept > 0);
        let file = folder.zip(artifact.sha256).map(|(path, digest)| format!("{path}{SUFFIX}/{}", digest.hex()));
        Self {
            what: artifact.what,
            unit: artifact.unit.to_string(),
            path: artifact.path.to_string(),
            sha256: artifact.sha256,
            size: artifact.size,
            kept: artifact.kept,
            truncated: artifact.truncated,
            attempt: artifact.attempt,
            file,
        }
    }
}

/// The same as [`safe`] for all texts of a value.
fn safe_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(safe(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(safe_value).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, safe_value(value))).collect()),
        other => other,
    }
}
