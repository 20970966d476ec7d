//! The report for programs: one JSON object, versioned, described by a schema.

use std::io::{self, Write};

use serde::Serialize;

use super::{Report, ReportError, safe, this_tool};
use crate::evidence::line::Tool;

pub(super) const FORMAT: &str = "sandbox-check-report";
pub(super) const VERSION: u32 = 1;

/// The JSON Schema of what [`json`] and [`json_error`] write.
pub const SCHEMA: &str = include_str!("../../docs/report.schema.json");

/// Writes a report as one JSON object and a line end.
pub fn json(report: &Report, writer: &mut impl Write) -> io::Result<()> {
    object(report, writer)
}

#[derive(Serialize)]
struct OnlyError<'e> {
    format: &'static str,
    version: u32,
    tool: Tool,
    error: &'e ReportError,
}

/// Writes the object of a run that came to no judgement.
pub fn json_error(error: &ReportError, writer: &mut impl Write) -> io::Result<()> {
    // A message may quote what a stranger wrote. It may have lines.
    let plain = |text: &str| text.split('\n').map(safe).collect::<Vec<_>>().join("\n");
    let error = ReportError {
        code: error.code.clone(),
        message: plain(&error.message),
        hint: error.hint.as_deref().map(plain),
    };
    object(&OnlyError { format: FORMAT, version: VERSION, tool: this_tool(), error: &error }, writer)
}

fn object(value: &impl Serialize, writer: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *writer, &value)?;
    writer.write_all(b"\n")
}
