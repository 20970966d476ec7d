//! An in-toto Statement, version 1, with the predicate of a runtime trace: what ran of which archives, what it tried, and
//! the digest of the evidence. It is not signed; who signs it says that they believe this program.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::files::Used;
use super::json::object;
use super::sarif::{percent, purl};
use super::{Report, ReportFinding, ReportPackage};
use crate::evidence::line::{PackageSource, TargetKind};
use crate::evidence::time::rfc3339;
use crate::ids::Sha256Digest;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://in-toto.io/attestation/runtime-trace/v0.1";
/// What the monitor is called. The version changes when an old statement would mean something else.
const MONITOR: &str = "urn:sandbox-check:monitor:1";
/// What it watches.
const BUILD: &str = "urn:sandbox-check:build:1";
/// Where that runs: in no place that anybody else knows.
const HOST: &str = "urn:sandbox-check:sandbox";

/// Nothing that a statement could be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a statement is about archives with a digest, and none ran here")]
pub struct NoSubject;

impl Report {
    /// The archives that a statement is about: that of a release, or of a lock file each one of which something ran. Of a
    /// release nothing may have had to run, which is worth a statement if the run was complete.
    ///
    /// # Errors
    /// When there is none.
    pub fn subjects(&self) -> Result<Vec<(&str, Sha256Digest)>, NoSubject> {
        let mut all: Vec<(&str, Sha256Digest)> = Vec::new();
        for report in self.all() {
            let is_lock = report.target.kind == TargetKind::Lock;
            let wanted = if is_lock { report.packages.len() } else { 1 };
            let has_nothing_to_run = !is_lock && report.is_complete();
            let is_traced = |package: &&ReportPackage| !package.units.is_empty() || has_nothing_to_run;
            for package in report.packages.iter().take(wanted).filter(is_traced) {
                let is_archive = matches!(package.source, PackageSource::Registry | PackageSource::Archive);
                let digest = package.checksum.or(report.target.checksum.filter(|_| !is_lock)).filter(|_| is_archive);
                let subject = digest.map(|digest| (package.id.as_str(), digest));
                all.extend(subject.filter(|subject| !all.contains(subject)));
            }
        }
        if all.is_empty() { Err(NoSubject) } else { Ok(all) }
    }

    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.further)
    }
}

/// Writes a statement. `program` is the digest of the program that says so.
pub fn in_toto(report: &Report, program: Sha256Digest, writer: &mut impl Write) -> io::Result<()> {
    let subjects = report.subjects().map_err(io::Error::other)?;
    let subjects: Vec<_> =
        subjects.into_iter().map(|(id, sha256)| json!({ "name": purl(id), "digest": digest(sha256) })).collect();
    let evidence: Vec<_> = report.all().map(evidence).collect();
    let run = report.all().map(|report| report.evidence.sha256.map_or_else(String::new, |sha256| sha256.to_string()));
    let packages = || report.all().flat_map(|report| &report.packages);
    let statement = json!({
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "monitor": {
                "type": MONITOR,
                "configSource": { "name": report.policy, "digest": digest(report.policy_sha256) },
                "tracePolicy": {
                    "program": { "name": report.tool.name, "version": report.tool.version, "digest": digest(program) },
                    "depth": report.coverage.depth,
                    "enforcement": report.enforcement,
                    "given": report.given,
                },
            },
            "monitoredProcess": {
                "hostID": format!("{HOST}:{}", report.toolchain.host),
                "type": BUILD,
                "event": run.collect::<Vec<_>>().join(" "),
            },
            "monitorLog": {
                "process": packages().flat_map(processes).collect::<Vec<_>>(),
                "network": packages().flat_map(network).collect::<Vec<_>>(),
                "fileAccess": report.all().flat_map(|report| &report.files.told).map(file).collect::<Vec<_>>(),
                "sandboxCheckFileAccess": report.all().map(extent).collect::<Vec<_>>(),
                "sandboxCheckEvidence": evidence,
            },
            "metadata": { "buildStartedOn": rfc3339(report.started) },
            "sandboxCheckResult": report.all().map(result).collect::<Vec<_>>(),
        },
    });
    object(&statement, writer)
}

fn digest(sha256: Sha256Digest) -> Value {
    json!({ "sha256": sha256.hex() })
}

/// The whole log, by its digest.
fn evidence(report: &Report) -> Value {
    let log = &report.evidence;
    json!({
        "name": "evidence.jsonl",
        "mediaType": "application/jsonl",
        "digest": log.sha256.map(digest),
        "annotations": {
            "received": log.received, "recorded": log.recorded, "coalesced": log.coalesced, "counted": log.counted,
            "dropped": log.dropped, "integrity": log.integrity,
        },
    })
}

/// What ran of a package.
fn processes(package: &ReportPackage) -> impl Iterator<Item = Value> {
    package.units.iter().map(
        |unit| json!({ "package": purl(&package.id), "unit": unit.id, "kind": unit.kind, "outcome": unit.outcome }),
    )
}

/// Names that were asked for and addresses that were tried; there is no way out of the sandbox.
fn network(package: &ReportPackage) -> impl Iterator<Item = Value> {
    let of = |finding: &ReportFinding| {
        let text = |key: &str| finding.object.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut entry = Map::new();
        match finding.code {
            // What is no text stands in the subject, escaped.
            "dns-query" => {
                drop(entry.insert("hostname".to_owned(), json!(text("host").unwrap_or(finding.subject.clone()))));
            }
            "network-connect" => {
                entry.insert("ip".to_owned(), json!(text("address").unwrap_or(finding.subject.clone())));
                let port = finding.object.get("port").and_then(Value::as_u64).filter(|port| (1..=65535).contains(port));
                entry.extend(port.map(|port| ("port".to_owned(), json!(port))));
            }
            _ => return None,
        }
        entry.insert("invokingProcess".to_owned(), json!({ "package": purl(&package.id), "unit": finding.unit }));
        entry.insert("count".to_owned(), json!(finding.count));
        Some(Value::Object(entry))
    };
    package.findings.iter().filter_map(of)
}

/// A file that a unit tried to use, by its place inside the sandbox.
fn file(used: &Used) -> Value {
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut entry = json!({
        "name": used.path.to_string(),
        "uri": format!("file://{}", percent(&used.path.0, is_path)),
        "annotations": {
            "package": purl(&used.package.to_string()), "unit": used.unit.to_string(), "access": used.access,
            "outcome": used.outcome, "count": used.count,
        },
    });
    if let (Some(sha256), Some(map)) = (used.sha256, entry.as_object_mut()) {
        map.insert("digest".to_owned(), digest(sha256));
    }
    entry
}

/// How much of what was tried stands in the list.
fn extent(report: &Report) -> Value {
    json!({ "listed": report.files.told.len(), "leftOut": report.files.left_out, "counted": report.evidence.counted })
}

/// What it came to, findings by what identifies them.
fn result(report: &Report) -> Value {
    let findings = report.packages.iter().flat_map(|package| {
        package.findings.iter().map(|finding| {
            json!({
                "package": purl(&package.id), "code": finding.code, "severity": finding.severity,
                "fingerprint": finding.fingerprint, "hidden": finding.is_hidden(),
            })
        })
    });
    json!({
        "target": report.target.label(),
        "verdict": report.verdict,
        "completeness": report.completeness.status,
        "findings": findings.collect::<Vec<_>>(),
    })
}
