//! SARIF 2.1.0, for code scanning.
//!
//! A message may hold links (`[text](target)`) and placeholders (`{0}`), so text that a package chose has its
//! brackets and braces escaped as the standard says.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::json::{further_parts, object};
use super::{Report, ReportFinding, ReportPackage, word};
use crate::judge::codes::{self, Code};
use crate::policy::Severity;

/// What GitHub takes of one file, and shows of it. More runs or bytes, and it takes none; of more results it shows none.
pub(super) const LIMITS: Limits = Limits { runs: 20, results: 5_000, bytes: 10_000_000 };
/// The file that a result points at: a release has none in the reader's repository.
const PLACE: &str = "Cargo.toml";

/// Bounds of an upload.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Of one file.
    pub(super) runs: usize,
    /// Of one run.
    pub(super) results: usize,
    /// Of one file, compressed.
    pub(super) bytes: usize,
}

/// Writes a report as one SARIF log, with a run for each lock file, within what an upload may have.
pub fn sarif(report: &Report, writer: &mut impl Write) -> io::Result<()> {
    within(report, LIMITS, writer)
}

/// The same within others.
pub(super) fn within(report: &Report, limits: Limits, writer: &mut impl Write) -> io::Result<()> {
    let (reports, left_out) = worst(report, limits.runs);
    let mut most = limits.results;
    loop {
        let mut runs: Vec<_> = reports.iter().map(|report| run(report, most)).collect();
        if let (Some(text), Some(first)) = (&left_out, runs.first_mut()) {
            note(first, said("runs-left-out", "warning", text));
        }
        let mut text = Vec::new();
        let log =
            json!({ "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": runs });
        object(&log, &mut text)?;
        let size = compressed(&text, limits.bytes)?;
        if size <= limits.bytes || most == 0 {
            return writer.write_all(&text);
        }
        // As many as would fit if all were as large, and a tenth less.
        let longest = reports.iter().map(|report| findings(report).count()).max().unwrap_or_default().min(most);
        most = (longest.saturating_mul(limits.bytes) / size * 9 / 10).min(most.saturating_sub(1));
    }
}

/// So many reports at most: the worst, in their order; and in words, which are not among them.
fn worst(report: &Report, most: usize) -> (Vec<&Report>, Option<String>) {
    const NAMED: usize = 10;
    let mut all: Vec<_> = std::iter::once(report).chain(&report.further).enumerate().collect();
    all.sort_by_key(|(_, report)| Reverse((report.verdict, report.worst())));
    let mut left_out = all.split_off(most.min(all.len()));
    all.sort_by_key(|(at, _)| *at);
    left_out.sort_by_key(|(at, _)| *at);
    let names: Vec<_> = left_out.iter().take(NAMED).map(|(_, report)| report.target.label()).collect();
    let more = if left_out.len() > NAMED { ", …" } else { "" };
    let text = format!("{} milder runs are only in other formats: {}{more}", left_out.len(), names.join(", "));
    (all.into_iter().map(|(_, report)| report).collect(), (!left_out.is_empty()).then_some(text))
}

/// How large an upload would be. What is not larger as it is need not be compressed.
fn compressed(text: &[u8], enough: usize) -> io::Result<usize> {
    if text.len() <= enough {
        return Ok(text.len());
    }
    let mut packed = GzEncoder::new(Count(0), Compression::default());
    packed.write_all(text)?;
    Ok(packed.finish()?.0)
}

/// Takes bytes and keeps their number.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn findings(report: &Report) -> impl Iterator<Item = (&ReportPackage, &ReportFinding)> {
    report.packages.iter().flat_map(|package| package.findings.iter().map(move |finding| (package, finding)))
}

fn run(report: &Report, most: usize) -> Value {
    let mut results: Vec<_> = findings(report).collect();
    // Stable: the report's order stays within a severity. What is hidden comes last.
    results.sort_by_key(|(_, finding)| (finding.is_hidden(), Reverse(finding.severity)));
    let gone: Vec<_> = resolved(report).collect();
    let left_out = (results.len() + gone.len()).saturating_sub(most);
    results.truncate(most);
    let mut properties = json!({
        "verdict": report.verdict,
        "completeness": report.completeness.status,
        "policy": report.policy,
    });
    if let Some(map) = properties.as_object_mut() {
        map.extend(further_parts(report));
    }
    json!({
        "tool": { "driver": {
            "name": report.tool.name,
            "version": report.tool.version,
            "rules": codes::ALL.iter().map(rule).collect::<Vec<_>>(),
        }},
        "automationDetails": { "id": format!("sandbox-check/{}", target(report)) },
        "columnKind": "unicodeCodePoints",
        "invocations": [{
            "executionSuccessful": report.error.is_none() && report.is_settled(),
            "toolExecutionNotifications": notifications(report, left_out),
        }],
        "results": results
            .into_iter()
            .map(|(package, finding)| result(report, package, finding))
            .chain(gone)
            .take(most)
            .collect::<Vec<_>>(),
        "properties": properties,
    })
}

/// One more word about a run.
fn note(run: &mut Value, notification: Value) {
    if let Some(Value::Array(said)) = run.pointer_mut("/invocations/0/toolExecutionNotifications") {
        said.push(notification);
    }
}

/// What stands before the last slash is the category: results of a later upload take the place of those of the same one,
/// and no two runs of a file may have the same.
fn target(report: &Report) -> String {
    if report.lock.is_some() {
        format!("{}/", report.target.label())
    } else {
        format!("{}/{}", report.target.name, report.target.version)
    }
}

fn rule(code: &Code) -> Value {
    let worst = worst_named(code.severity);
    let mut tags = vec!["security".to_owned(), "supply-chain".to_owned()];
    tags.extend(code.attack.iter().map(|technique| format!("attack/{technique}")));
    // GitHub takes 20 and shows no more than this.
    tags.truncate(10);
    json!({
        "id": code.name,
        "shortDescription": { "text": message(code.meaning.split_inclusive(". ").next().unwrap_or(code.meaning).trim_end()) },
        "fullDescription": { "text": message(code.meaning) },
        "help": { "text": message(&format!(
            "What it means: {}\n\nHonest causes: {}\n\nWhat to do: {}\n\nSeverity: {}",
            code.meaning, code.honest, code.action, code.severity
        )) },
        "defaultConfiguration": { "level": level(worst) },
        "properties": { "tags": tags, "security-severity": score(worst) },
    })
}

/// The worst severity that a code's documentation names.
fn worst_named(text: &str) -> Severity {
    let named = |severity: &Severity| text.split(|c: char| !c.is_alphabetic()).any(|word| word == severity.as_str());
    Severity::ALL.into_iter().rev().find(named).unwrap_or(Severity::Info)
}

/// In the bands that GitHub makes words of.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// Of a lock file the package's own lines in it, else the manifest.
fn place(report: &Report, package: &ReportPackage) -> (String, u64) {
    let locked = report.lock.as_ref().and_then(|lock| Some((lock, lock.package(&package.id)?)));
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    match locked {
        None => (PLACE.to_owned(), 1),
        Some((lock, package)) => (percent(lock.path.trim_start_matches('/').as_bytes(), is_path), package.line),
    }
}

fn result(report: &Report, package: &ReportPackage, finding: &ReportFinding) -> Value {
    let (place, line) = place(report, package);
    let mut told = json!({
        "ruleId": finding.code,
        "ruleIndex": codes::ALL.iter().position(|code| code.name == finding.code).map_or(json!(-1), |at| json!(at)),
        "level": level(finding.severity),
        "message": { "text": message(&format!("{}: {}", package.id, finding.summary)) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": place, "uriBaseId": "%SRCROOT%" },
                "region": { "startLine": line },
            },
            "logicalLocations": [{ "name": package.id, "fullyQualifiedName": purl(&package.id), "kind": "module" }],
        }],
        "partialFingerprints": { "sandboxCheck/v1": finding.fingerprint },
        "properties": {
            "severity": finding.severity,
            "security-severity": score(finding.severity),
            "package": package.id,
            "unit": finding.unit,
            "subject": finding.subject,
            "object": finding.object,
            "attack": finding.attack,
            "attempts": finding.attempts,
            "count": finding.count,
        },
    });
    if let (Some(state), Some(map)) = (finding.baseline, told.as_object_mut()) {
        map.insert("baselineState".to_owned(), json!(state));
    }
    if let (Some(decision), Some(map)) = (&finding.decision, told.as_object_mut()) {
        if decision.hides() {
            let why = format!("{} ({}, until {})", decision.reason, decision.place, decision.expires);
            map.insert(
                "suppressions".to_owned(),
                json!([{
                    "kind": "external", "status": "accepted", "justification": why,
                    "properties": decision,
                }]),
            );
        }
        if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("decision".to_owned(), json!(decision));
        }
    }
    if let (Some(path), Some(properties)) = (&package.path, told.get_mut("properties").and_then(Value::as_object_mut)) {
        properties.insert("path".to_owned(), json!(path));
    }
    told
}

/// What was found of the version before and is no longer.
fn resolved(report: &Report) -> impl Iterator<Item = Value> {
    let all = report.packages.iter().filter_map(|package| Some((package, package.baseline.as_ref()?)));
    all.flat_map(move |(package, baseline)| {
        let (place, line) = place(report, package);
        baseline.resolved.iter().map(move |was| {
            let text = format!(
                "{}: {} {}, which was found in {}, is found no longer",
                package.id,
                was.code,
                was.subject,
                baseline.before(&package.id)
            );
            json!({
                "ruleId": was.code,
                "kind": "pass",
                "level": "none",
                "baselineState": "absent",
                // A viewer that knows no baseline shows none of these.
                "suppressions": [{ "kind": "external", "status": "accepted", "justification": "found no longer" }],
                "message": { "text": message(&text) },
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": place, "uriBaseId": "%SRCROOT%" },
                        "region": { "startLine": line },
                    },
                    "logicalLocations": [
                        { "name": package.id, "fullyQualifiedName": purl(&package.id), "kind": "module" }
                    ],
                }],
                "partialFingerprints": { "sandboxCheck/v1": was.fingerprint },
            })
        })
    })
}

fn said(id: &str, level: &str, text: &str) -> Value {
    json!({ "descriptor": { "id": id }, "level": level, "message": { "text": message(text) } })
}

fn notifications(report: &Report, left_out: usize) -> Vec<Value> {
    let mut all: Vec<_> = report
        .completeness
        .reasons
        .iter()
        .map(|reason| {
            let who = reason.package.as_ref().map_or(String::new(), |package| format!("{package}: "));
            let level = if reason.is_accepted() { "note" } else { "warning" };
            said(reason.code, level, &format!("not seen: {who}{}", reason.text))
        })
        .collect();
    for source in report.unasked() {
        let text = format!("known facts: {} {}: {}", source.source, word(source.status), source.detail);
        all.push(said("facts-not-checked", "note", &text));
    }
    for notice in report.notices() {
        all.push(said(notice.name, "warning", &notice.text));
    }
    if let Some(error) = &report.error {
        all.push(said(&error.code, "error", &error.message));
    }
    if left_out > 0 {
        all.push(said("results-left-out", "warning", &format!("{left_out} milder results are only in other formats")));
    }
    all
}

/// Plain text, as a message that is neither link nor placeholder.
fn message(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '[' | ']' => plain.extend(['\\', c]),
            '{' | '}' => plain.extend([c, c]),
            _ => plain.push(c),
        }
    }
    plain
}

/// `pkg:cargo/name@version`, with everything else as percent signs.
pub(super) fn purl(id: &str) -> String {
    format!("pkg:cargo/{}", percent(id.as_bytes(), |byte| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte)))
}

pub(super) fn percent(text: &[u8], is_plain: impl Fn(u8) -> bool) -> String {
    let mut all = String::with_capacity(text.len());
    for &byte in text {
        if is_plain(byte) {
            all.push(char::from(byte));
        } else {
            let _ = write!(all, "%{byte:02X}");
        }
    }
    all
}
