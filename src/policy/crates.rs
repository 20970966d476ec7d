//! What single crates are known to try.

use std::fmt;

use semver::{Comparator, Op, Version, VersionReq};
use serde::Deserialize;
use toml::Spanned;

use super::pattern::glob_text;
use crate::evidence::line::UnitKind;
use crate::ids::PackageId;

/// What releases of one crate are known to try. Such a finding is low, and says why.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrateRule {
    /// The crate, as the registry spells it.
    pub name: String,
    /// The releases that were looked at, and those up to the bound.
    pub versions: Versions,
    /// The finding's code.
    pub code: String,
    /// The kinds of unit that try it; absent for what is found without running anything.
    #[serde(default)]
    pub units: Vec<UnitKind>,
    /// The whole subject of the finding; `*` stands for any text.
    pub subject: String,
    /// The whole summary of the finding, where the subject alone covers too much; `*` stands for any text.
    pub summary: Option<String>,
    /// The reason.
    pub why: Spanned<String>,
}

impl CrateRule {
    /// True if the rule is about this finding.
    pub fn covers(&self, finding: &Known<'_>) -> bool {
        self.name == finding.package.name
            && self.versions.contain(&finding.package.version)
            && self.code == finding.code
            && finding.unit.map_or(self.units.is_empty(), |kind| self.units.contains(&kind))
            && glob_text(&self.subject, finding.subject)
            && self.summary.as_ref().is_none_or(|pattern| glob_text(pattern, finding.summary.as_bytes()))
    }
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Whose finding it is.
    pub package: &'a PackageId,
    /// Its code.
    pub code: &'a str,
    /// The kind of its unit, if it has one.
    pub unit: Option<UnitKind>,
    /// Its subject.
    pub subject: &'a [u8],
    /// Its words.
    pub summary: &'a str,
}

/// Releases, with an upper bound: nobody knows what the releases after it will do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Versions(VersionReq);

impl Versions {
    /// True for a release that it names.
    pub fn contain(&self, version: &str) -> bool {
        version.parse::<Version>().is_ok_and(|version| self.0.matches(&version))
    }
}

impl TryFrom<String> for Versions {
    type Error = VersionsError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let requirement = text.parse::<VersionReq>().map_err(VersionsError::Syntax)?;
        let bounds = |part: &Comparator| !matches!(part.op, Op::Greater | Op::GreaterEq);
        if requirement.comparators.iter().any(bounds) { Ok(Self(requirement)) } else { Err(VersionsError::Unbounded) }
    }
}

/// Why a text names no versions.
#[derive(Debug)]
pub enum VersionsError {
    /// Not what cargo calls a requirement.
    Syntax(semver::Error),
    /// It covers releases that nobody has looked at, for ever.
    Unbounded,
}

impl fmt::Display for VersionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "not a requirement of versions: {error}"),
            Self::Unbounded => write!(f, "versions without an upper bound: later releases are not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_need_an_upper_bound() {
        for fine in ["1", "^1.2", "=1.2.3", ">=1, <2", "1.*", "~1.2"] {
            assert!(Versions::try_from(fine.to_owned()).is_ok(), "{fine}");
        }
        for wide in ["*", ">=1", ">1", ""] {
            assert!(Versions::try_from(wide.to_owned()).is_err(), "{wide}");
        }
    }
}
