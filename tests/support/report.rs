//! Compares a JSON report with what is expected of a fixture.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ExpectedFinding, ExpectedReason, Fixture};

/// The parts of the report that are compared. The whole of it has a schema of its own.
#[derive(Debug, Deserialize)]
pub struct Report {
    pub verdict: String,
    pub completeness: Completeness,
    pub packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub struct Completeness {
    pub status: String,
    pub reasons: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub id: String,
    pub units: Vec<Unit>,
    pub findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
pub struct Unit {
    pub id: serde_json::Value,
    pub kind: String,
}

#[derive(Debug, Deserialize)]
pub struct Finding {
    pub code: String,
    pub severity: String,
    #[serde(default)]
    pub unit: serde_json::Value,
    #[serde(default)]
    pub subject: String,
}

/// Everything in which the report is not as expected, in words.
pub fn differences(fixture: &Fixture, report: &Report) -> Vec<String> {
    let expected = &fixture.expected;
    let mut found = Vec::new();
    if report.verdict != expected.verdict {
        found.push(format!("verdict is {}, not {}", report.verdict, expected.verdict));
    }
    let completeness = expected.completeness.as_deref().or(fixture.honest.then_some("complete"));
    if completeness.is_some_and(|wanted| wanted != report.completeness.status) {
        found.push(format!("completeness is {}: {:?}", report.completeness.status, report.completeness.reasons));
    }
    if !expected.reasons.is_empty() {
        let told: Vec<_> = report.completeness.reasons.iter().map(reason).collect();
        if told != expected.reasons {
            found.push(format!("reasons are {told:?}, not {:?}", expected.reasons));
        }
    }
    // A finding may stand with one package and belong to a unit of another.
    let kinds: BTreeMap<String, &str> = report
        .packages
        .iter()
        .flat_map(|package| &package.units)
        .map(|unit| (unit.id.to_string(), &*unit.kind))
        .collect();
    let all: Vec<(&Package, &Finding)> = report
        .packages
        .iter()
        .flat_map(|package| package.findings.iter().map(move |finding| (package, finding)))
        .collect();
    for wanted in &expected.findings {
        if !all.iter().any(|(package, finding)| is_match(wanted, &fixture.name, package, finding, &kinds)) {
            found.push(format!("missing: {wanted:?}"));
        }
    }
    for (package, finding) in all {
        let known = expected.findings.iter().any(|wanted| wanted.code == finding.code)
            || expected.allow.codes.contains(&finding.code);
        if !known && !matches!(finding.severity.as_str(), "info" | "low") {
            found.push(format!("unexpected in {}: {finding:?}", package.id));
        }
    }
    found
}

fn reason(told: &serde_json::Value) -> ExpectedReason {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let missing = told["missing"].as_array().into_iter().flatten();
    ExpectedReason {
        code: text(&told["code"]),
        text: text(&told["text"]),
        missing: missing.map(|one| format!("{} {}", text(&one["kind"]), text(&one["name"]))).collect(),
    }
}

fn is_match(
    wanted: &ExpectedFinding,
    fixture: &str,
    package: &Package,
    finding: &Finding,
    kinds: &BTreeMap<String, &str>,
) -> bool {
    let name = package.id.rsplit_once('@').map_or(package.id.as_str(), |(name, _)| name);
    finding.code == wanted.code
        && finding.severity == wanted.severity
        && name == wanted.package.as_deref().unwrap_or(fixture)
        && wanted.unit.as_deref().is_none_or(|kind| kinds.get(&finding.unit.to_string()).copied() == Some(kind))
        && wanted.subject.as_deref().is_none_or(|part| finding.subject.contains(part))
}
