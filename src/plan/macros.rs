//! Finds the macros that a proc-macro library exports, by reading its source.

use std::path::Path;

use crate::evidence::line::MacroName;

/// The macros of the package in `dir`. None are found yet.
pub fn scan(_dir: &Path) -> Vec<MacroName> {
    Vec::new()
}
