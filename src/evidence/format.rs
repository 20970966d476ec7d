//! The versions of the format: one file each. The newest is written, all are read.
//!
//! A version says what stands in a line beside the values of
//! [`line`](super::line), and turns its bytes into one. A new one is a file
//! here and a line in [`reader`].

mod v1;
mod v2;

use serde::Deserialize;

use super::line::{FORMAT, Line};
use super::log::ReadLogError;

pub(super) use v2::Chain;

/// What a line is in one version of the format.
pub(super) trait Version {
    /// Reads the next line, which has no line end. The buffer may be changed.
    fn line(&mut self, bytes: &mut Vec<u8>) -> Result<Line, Wrong>;
}

/// What is wrong with a line.
#[derive(Debug)]
pub(super) enum Wrong {
    /// Its bytes are not those that were written.
    Damaged(&'static str),
    /// They are, or could be, and say nothing that is known.
    Syntax(serde_json::Error),
}

/// The reader of a version, if this program knows it.
pub(super) fn reader(version: u32) -> Option<Box<dyn Version>> {
    match version {
        1 => Some(Box::new(v1::Plain)),
        2 => Some(Box::new(Chain::default())),
        _ => None,
    }
}

/// What a header says of itself, whatever else is in it.
#[derive(Deserialize)]
struct Claim {
    line: String,
    format: String,
    version: u32,
}

/// The reader for a file with this first line.
pub(super) fn begin(first: &[u8]) -> Result<Box<dyn Version>, ReadLogError> {
    let claim = serde_json::from_slice::<Claim>(first);
    if let Ok(claim) = &claim
        && claim.line == "header"
        && claim.format == FORMAT
        && let Some(reader) = reader(claim.version)
    {
        return Ok(reader);
    }
    // Version and format may be what was changed.
    if v2::is_broken_beginning(first) {
        return Err(ReadLogError::Damaged { line: 1, what: v2::BROKEN.to_owned() });
    }
    match claim {
        Ok(Claim { line, format, version }) if line == "header" => Err(ReadLogError::Format { format, version }),
        Err(error) if !error.is_data() => Err(ReadLogError::syntax(1, &error)),
        _ => Err(ReadLogError::NoHeader),
    }
}
