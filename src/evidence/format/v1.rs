//! Version 1: a line is its JSON. Only the totals hold a digest of what stands before them.

use super::{Version, Wrong, v2};
use crate::evidence::line::Line;

/// Nothing beside the JSON.
pub(super) struct Plain;

impl Version for Plain {
    fn line(&mut self, bytes: &mut Vec<u8>) -> Result<Line, Wrong> {
        if v2::body_of(bytes).is_some() {
            return Err(Wrong::Damaged("it has a link of a chain, which version 1 has not"));
        }
        serde_json::from_slice(bytes).map_err(Wrong::Syntax)
    }
}
