//! One JSON object a line: each finding, then the run.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use super::json::{escaped, further_parts};
use super::{Report, ReportFinding};

#[derive(Serialize)]
struct FindingLine<'r> {
    kind: &'static str,
    package: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'r [String]>,
    #[serde(flatten)]
    finding: &'r ReportFinding,
}

/// Writes a line for each finding, and a last one of the kind `run`, without which the file is not whole.
pub fn ndjson(report: &Report, writer: &mut impl Write) -> io::Result<()> {
    for package in &report.packages {
        for finding in &package.findings {
            let path = package.path.as_deref();
            line(&FindingLine { kind: "finding", package: &package.id, path, finding }, writer)?;
        }
    }
    let mut run = json!({
        "kind": "run",
        "version": super::json::VERSION,
        "tool": report.tool,
        "target": report.target,
        "verdict": report.verdict,
        "completeness": report.completeness,
        "facts": report.coverage.facts,
        "error": report.error,
    });
    if let Some(map) = run.as_object_mut() {
        map.extend(further_parts(report));
    }
    line(&run, writer)?;
    report.further.iter().try_for_each(|further| ndjson(further, writer))
}

fn line(value: &impl Serialize, writer: &mut impl Write) -> io::Result<()> {
    writer.write_all(escaped(&serde_json::to_string(value)?).as_bytes())?;
    writer.write_all(b"\n")
}
