//! What people have decided about findings: read strictly, matched narrowly, and for a time only.
//!
//! Pure: who reads files and who knows the day hands both in ([`parse`] reads a text). A decision is about one finding of
//! one package's versions: its code and its object. [`crate::judge`] applies it; `docs/decisions-file.md` has the rules.

mod day;
mod edit;
mod file;
mod versions;

pub use day::Day;
pub use edit::{EditError, add};
pub use file::{DecisionError, KnownCode, Text, has_decisions, parse};
pub use versions::DecidedVersions;

use std::fmt;

use serde::Serialize;

use crate::evidence::line::PackageSource;
use crate::ids::{PackageId, Sha256Digest};
use crate::policy::Severity;

/// So many days before its end a decision is warned of.
pub const WARNED_DAYS: u32 = 14;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A known finding: it is hidden.
    Ignore,
    /// Declared behaviour: it is low.
    Expect,
}

impl Kind {
    /// As the table is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Expect => "expect",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was decided.
    pub kind: Kind,
    /// The package, as its source spells it.
    pub package: String,
    /// Its versions.
    pub version: DecidedVersions,
    /// Where it comes from: a folder may call itself whatever it likes.
    pub source: PackageSource,
    /// The code of the finding, or of the reason why a run is incomplete.
    pub code: String,
    /// The subject of the finding; none for a reason.
    pub object: Option<String>,
    /// The worst severity that it is about.
    pub severity: Severity,
    /// Why.
    pub reason: String,
    /// From this day on it does not hold.
    pub expires: Day,
    /// Where it stands: the file as people know it.
    pub file: String,
    /// And the line.
    pub line: u64,
}

impl Entry {
    /// True if the decision is about this package.
    pub fn is_about(&self, package: &PackageId, source: PackageSource) -> bool {
        self.package == package.name && self.source == source && self.version.contain(&package.version)
    }

    /// True if it is about this finding, whose subject may have a form that is the same in every version and run.
    pub fn names(&self, code: &str, subject: &str, stable: &str) -> bool {
        self.code == code && self.object.as_deref().is_some_and(|object| object == subject || object == stable)
    }

    /// True until its end.
    pub fn holds(&self, today: Day) -> bool {
        today < self.expires
    }

    /// `FILE:LINE`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// Whether both say the same, wherever they stand.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { file: String::new(), line: 0, ..self.clone() } == Self { file: String::new(), line: 0, ..other.clone() }
    }

    /// Whether both are about the same findings.
    fn matches_the_same(&self, other: &Self) -> bool {
        let key = |entry: &Self| {
            (
                entry.kind,
                entry.package.clone(),
                entry.version.to_string(),
                entry.source,
                entry.code.clone(),
                entry.object.clone(),
            )
        };
        key(self) == key(other)
    }
}

/// A file that decisions came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionFile {
    /// As people know it.
    pub path: String,
    /// Of its text.
    pub sha256: Sha256Digest,
}

/// All that was decided, and the day on which it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Where they come from; none where there is no file.
    pub files: Vec<DecisionFile>,
    /// The commit that they were read from, if they were.
    pub base: Option<String>,
    /// What counts.
    pub entries: Vec<Entry>,
    /// What the working tree would add, which does not count.
    pub proposed: Vec<Entry>,
    /// The day.
    pub today: Day,
}

impl Decisions {
    /// Nobody decided anything.
    pub fn none() -> Self {
        Self { files: Vec::new(), base: None, entries: Vec::new(), proposed: Vec::new(), today: Day::FIRST }
    }

    /// True where nobody decided anything and there is no word to say about it.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.base.is_none() && self.proposed.is_empty()
    }
}
