//! What was found of a package: findings, and bytes that were captured.

use serde::Serialize;
use serde_json::Value;

use super::decided::ReportDecision;
use super::safe;
use crate::evidence::captured::SUFFIX;
use crate::evidence::line::{Artifact, Captured};
use crate::ids::Sha256Digest;
use crate::judge::Finding;
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
