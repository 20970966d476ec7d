//! Finds fixtures and reads what is expected of them.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of this module")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a helper that fails ends its test")]

pub mod processes;
pub mod report;
pub mod sandboxed;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One fixture folder.
pub struct Fixture {
    /// The folder's name, which is the package's name.
    pub name: String,
    pub dir: PathBuf,
    pub honest: bool,
    pub expected: Expected,
}

/// The contents of `expected.toml`; the fixtures' README describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub trick: String,
    pub verdict: String,
    pub completeness: Option<String>,
    pub twin: Option<String>,
    pub args: Option<Vec<String>>,
    #[serde(default, rename = "finding")]
    pub findings: Vec<ExpectedFinding>,
    #[serde(default, rename = "reason")]
    pub reasons: Vec<ExpectedReason>,
    #[serde(default)]
    pub allow: Allow,
}

/// Why the run is not complete, word for word.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedReason {
    pub code: String,
    pub text: String,
    /// What was missing, as `program cmake`.
    #[serde(default)]
    pub missing: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFinding {
    pub code: String,
    pub severity: String,
    pub unit: Option<String>,
    pub package: Option<String>,
    pub subject: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    pub codes: Vec<String>,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Every fixture, sorted by folder.
pub fn fixtures() -> Result<Vec<Fixture>, String> {
    let mut found = Vec::new();
    for (kind, honest) in [("malicious-crates", false), ("honest-crates", true)] {
        for dir in folders(&root().join(kind))? {
            let path = dir.join("expected.toml");
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let expected = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push(Fixture { name, dir, honest, expected });
        }
    }
    Ok(found)
}

/// The folders directly below `dir`, sorted.
pub fn folders(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}
