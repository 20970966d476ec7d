//! Reads `evidence.jsonl` back.

use super::line::{Header, Line, Totals};

/// A whole log in memory, as judging needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceLog {
    /// The first line.
    pub header: Header,
    /// Everything between header and totals, in order, counts filled in.
    pub lines: Vec<Line>,
    /// The closing line; for a log that was cut off, what could be counted,
    /// with [`super::line::Integrity::Killed`].
    pub totals: Totals,
}
