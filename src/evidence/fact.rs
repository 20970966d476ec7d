//! What is known about a package without running it, and the shapes of what such a line carries.
//!
//! A fact says what is so, never how bad it is: thresholds belong to the policy, so that a replay under another one
//! judges anew. Times are seconds since the Unix epoch.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bytes::Bytes;
use crate::ids::{PackageId, Sha256Digest};

/// Whether a source of facts was asked. `data` is a [`Source`].
pub const SOURCE: &str = "facts-source";
/// What the index says about a release and those before it. `data` is a [`History`].
pub const HISTORY: &str = "index-history";
/// An advisory that covers the release. `data` is an [`Advisory`].
pub const ADVISORY: &str = "advisory";
/// The same, of one that calls the release malicious.
pub const KNOWN_MALICIOUS: &str = "known-malicious";
/// The name looks like a well-known one. `data` is a [`LookAlike`].
pub const LOOK_ALIKE_NAME: &str = "look-alike-name";
/// The registry knows no package of this name. `data` is an [`UnknownName`].
pub const UNKNOWN_NAME: &str = "unknown-name";
/// The release has something that the one before it had not. `data` is a [`Change`].
pub const RELEASE_CHANGE: &str = "release-change";
/// What the registry's web interface says. `data` is a [`Reputation`].
pub const REPUTATION: &str = "reputation";
/// Something about the archive that packing does not explain. `data` is a [`Change`].
pub const ODD_ARCHIVE: &str = "odd-archive";

/// What a clone of the repository says of the commit that an archive names. `data` is a [`Repository`].
pub const REPOSITORY: &str = "repository";

/// What an earlier run found of the version before. `data` is a [`Baseline`].
pub const BASELINE: &str = "baseline";

/// What is known about a package without running it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// A stable kebab-case name; where a finding has the same code, the fact causes it.
    pub code: String,
    /// The package.
    pub package: PackageId,
    /// For people, complete.
    pub text: String,
    /// The file in question, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Bytes>,
    /// The same for programs, in the shape that belongs to the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl Fact {
    /// A fact without a file and without data.
    pub fn new(code: &str, package: &PackageId, text: impl Into<String>) -> Self {
        Self { code: code.to_owned(), package: package.clone(), text: text.into(), path: None, data: None }
    }

    /// Adds what programs read.
    #[must_use]
    pub fn with(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_value(data).ok();
        self
    }

    /// The data in a shape; none where a file has another one.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(self.data.as_ref()?).ok()
    }
}

/// What an earlier run found of the version before, judged when this run began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The version that was there before.
    pub version: String,
    /// When the earlier run began.
    pub recorded: u64,
    /// The SHA-256 of its evidence.
    pub evidence: Option<Sha256Digest>,
    /// What was found.
    pub findings: Vec<BaselineFinding>,
}

/// A finding of an earlier run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineFinding {
    /// Its code.
    pub code: String,
    /// How bad it was.
    pub severity: String,
    /// What identifies it over versions.
    pub fingerprint: String,
    /// What it was about, escaped for a reader.
    pub subject: String,
    /// True if a person had hidden it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// True if it was known without running anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_fact: bool,
}

/// Whether a source of facts was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `advisories`, `names`, `index`, `archive`, `reputation`, `repository`.
    pub source: String,
    /// Whether it answered.
    pub status: Asked,
    /// The user asked for it by name, so that a run without it is not complete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The day on which the index was asked, as its first second. An earlier run that answers again has asked anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<u64>,
}

/// Whether a source was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// It answered for all packages.
    Checked,
    /// It answered for some, or not in full.
    Partial,
    /// Not at all.
    NotChecked,
}

/// What the index says about a release and those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When the release was published; absent where the registry does not say.
    pub published: Option<u64>,
    /// Withdrawn.
    #[serde(default)]
    pub yanked: bool,
    /// When the first release of the package was.
    pub first: Option<u64>,
    /// How many releases there are.
    pub releases: u64,
    /// The next lower version.
    pub previous: Option<String>,
    /// When anything of the package was last published before this release and those of the same two weeks, if there was
    /// anything.
    pub last_before: Option<u64>,
    /// The versions directly below it, or below those of the same two weeks, that were withdrawn, all in a row, the
    /// highest first.
    pub yanked_before: Vec<String>,
    /// Dependencies that the next lower version had not which is older than two weeks before it, if there is one.
    pub new_dependencies: Vec<NewDependency>,
}

/// A dependency that the version before had not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDependency {
    /// Its package.
    pub name: String,
    /// When its first release was published, as far as that is known here.
    pub first: Option<u64>,
}

/// An advisory that covers a release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisory {
    /// `RUSTSEC-…`, `MAL-…`.
    pub id: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its title.
    pub title: String,
    /// The day of the advisory.
    pub date: Option<String>,
    /// `unmaintained`, `unsound`, `notice`; absent for a vulnerability.
    pub informational: Option<String>,
    /// `none`, `low`, `medium`, `high`, `critical`, by its CVSS vector; absent without one.
    pub cvss: Option<String>,
    /// Requirements of versions in which it is mended.
    pub patched: Vec<String>,
    /// The functions that it is about, as far as it names them for this version.
    pub functions: Vec<String>,
    /// The only platforms that it is about; empty for all.
    pub platforms: Vec<String>,
}

/// A well-known name that another one looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAlike {
    /// The well-known name.
    pub like: String,
    /// How: `delimiter`, `order`, `one-letter`, `version`, `affix`.
    pub rule: String,
}

/// A name that the registry does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownName {
    /// The nearest names that it has.
    pub nearest: Vec<Nearest>,
}

/// A name that was perhaps meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearest {
    /// The name.
    pub name: String,
    /// When its first release was published, where the registry says.
    pub since: Option<u64>,
}

/// One difference or oddity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// A kebab-case word: `build-script`, `proc-macro`, `dependency`, `binary-file`, `links`, `licence`, …
    pub what: String,
    /// Which one.
    pub which: String,
    /// The version that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What the registry's web interface says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reputation {
    /// Of all releases, ever.
    pub downloads: Option<u64>,
    /// Of late, as the registry counts it.
    pub recent: Option<u64>,
    /// Where the source is said to be.
    pub repository: Option<String>,
    /// Who may publish releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<String>>,
    /// Who published the release.
    pub publisher: Option<String>,
    /// Whether it was published by the repository's own automation, without a token of a person's.
    pub trusted: Option<bool>,
}

/// What a clone of the repository says of the commit that an archive names, and of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The commit that the archive names.
    pub commit: Option<String>,
    /// The folder of the package in it.
    pub path: String,
    /// Whether the clone has the commit.
    pub known: bool,
    /// Whether one of the clone's remotes is what the manifest names; absent where one of the two is.
    pub matches: Option<bool>,
    /// How many files of the archive are as the commit has them, apart from line endings.
    pub equal: u64,
    /// Files that the commit has otherwise; the first of many.
    pub changed: Vec<String>,
    /// Files that the commit does not have; the first of many.
    pub added: Vec<String>,
    /// Files that only the commit has, as `exclude` makes them; the first of many.
    pub missing: Vec<String>,
    /// How many files nobody could compare: those of submodules, and of links that the clone lacks.
    pub uncompared: u64,
    /// How many commits the clone has.
    pub commits: Option<u64>,
    /// How many addresses of authors.
    pub contributors: Option<u64>,
    /// The time of its newest commit.
    pub last: Option<u64>,
    /// True if the clone has only the last commits.
    pub shallow: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_of_a_file_without_data_is_read_and_written_as_before() {
        let text = r#"{"code":"yanked","package":"a@1.0.0","text":"x"}"#;
        let fact: Fact = serde_json::from_str(text).unwrap();
        assert_eq!(fact.data, None);
        assert_eq!(serde_json::to_string(&fact).unwrap(), text);
        let history = History { published: Some(1), ..History::default() };
        assert_eq!(fact.clone().with(&history).read::<History>(), Some(history));
        assert_eq!(fact.with(&1).read::<History>(), None);
    }
}
