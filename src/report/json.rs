//! The report for programs: one JSON object, versioned, described by a schema.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, ReportError, safe};
use crate::evidence::bytes::is_printable;
use crate::evidence::line::Tool;

pub(super) const FORMAT: &str = "sandbox-check-report";
pub(super) const VERSION: u32 = 1;

/// The JSON Schema of what [`json()`] and [`json_error`] write.
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
    object(&OnlyError { format: FORMAT, version: VERSION, tool: Tool::this(), error: &error }, writer)
}

/// The parts of a report that not every one has, for objects that are made by hand.
pub(super) fn further_parts(report: &Report) -> impl Iterator<Item = (String, Value)> {
    let lock = report.lock.as_ref().map(|lock| ("lock".to_owned(), json!(lock)));
    let decisions = report.decisions.as_ref().map(|decisions| ("decisions".to_owned(), json!(decisions)));
    lock.into_iter().chain(decisions)
}

pub(super) fn object(value: &impl Serialize, writer: &mut impl Write) -> io::Result<()> {
    let mut safe = escaped(&serde_json::to_string_pretty(&value)?);
    safe.push('\n');
    writer.write_all(safe.as_bytes())
}

/// The same JSON, of printable characters and line ends only.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c == '\n' || is_printable(c) {
            safe.push(c);
        } else {
            // Only within strings: JSON's own characters are printable. Whoever prints the object prints no trick.
            safe.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_or_a_reader_would_obey_is_escaped_and_means_the_same() {
        let message = "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{e0041}\n\"\\ é".to_owned();
        let mut out = Vec::new();
        object(&[&message], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().all(|c| c == '\n' || is_printable(c)), "{text:?}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0], message.as_str());
    }
}
