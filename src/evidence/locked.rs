//! What is known of a lock file whose packages are examined: part of the header.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fact::{Asked, BaselineFinding};
use crate::ids::PackageId;

/// A lock file, and how its packages are built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// The file, relative to where the user stood.
    pub path: String,
    /// What uses the packages.
    pub consumer: LockConsumer,
    /// True if the workspace's own packages were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deps_only: bool,
    /// Every package, in the order of the file.
    pub packages: Vec<LockedPackage>,
    /// Settings of the workspace's that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<String>,
    /// Settings of the workspace's that were not obeyed, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// What a reader must know about how faithful the build is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What the file was compared with, if the report is on what was added or changed only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What the last run of the same file found, if the report is on all of it and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRun>,
}

/// What a run of a lock file found, under the decisions of its day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// When a run began that found this; those that found the same later left it.
    pub recorded: u64,
    /// Which sources of facts had answered, and whether in full.
    pub asked: BTreeMap<String, Asked>,
    /// Every package that the run told of.
    pub packages: Vec<LastPackage>,
}

/// What a run found of one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPackage {
    /// Name and version.
    pub id: PackageId,
    /// True if not all of it was seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// What was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<BaselineFinding>,
}

impl LockRecord {
    /// A package by name and version.
    pub fn package(&self, id: &PackageId) -> Option<&LockedPackage> {
        self.packages.iter().find(|package| package.id == *id)
    }

    /// True if the report is on this package: all are, or it was added or changed. A folder may have changed whatever
    /// the file says.
    pub fn tells(&self, id: &PackageId) -> bool {
        let is_new = |package: &LockedPackage| package.change.is_some() || package.source == LockedSource::Path;
        self.since.is_none() || self.package(id).is_none_or(is_new)
    }

    /// The packages that a package needs, by the file.
    pub fn needs<'a>(&'a self, package: &'a LockedPackage) -> impl Iterator<Item = &'a LockedPackage> {
        package.needs.iter().filter_map(|at| self.packages.get(usize::try_from(*at).ok()?))
    }
}

/// What uses the packages of a lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockConsumer {
    /// A private copy of the workspace beside the file, with its real features.
    Workspace,
    /// A generated project that names each package with the file's version.
    Generated,
}

/// One package of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Name and version.
    pub id: PackageId,
    /// Where the file says that it comes from.
    pub source: LockedSource,
    /// The line of its `[[package]]`, from 1.
    pub line: u64,
    /// From a package that nobody needs, such as a member of the workspace, to one that needs this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<PackageId>,
    /// Positions of the packages that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<u64>,
    /// Why it takes no part, if that is known before anything runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// What became of it since the file that this one was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// The kinds of sources that a lock file tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockedSource {
    /// The default registry.
    Registry,
    /// Another registry.
    OtherRegistry,
    /// A commit of a git repository.
    Git,
    /// A folder: a member of the workspace, or what one names by path.
    Path,
}

/// Why a package takes no part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// In one word.
    pub why: LeftOutWhy,
    /// For people, complete.
    pub text: String,
}

/// Why a package takes no part, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutWhy {
    /// Only builds for other platforms need it.
    OtherPlatform,
    /// A folder that does not lie beside a bare lock file.
    NoSource,
    /// One of the workspace's own, and these are not wanted.
    Own,
    /// Its archive was refused.
    Refused,
    /// The registry did not give it.
    Unavailable,
    /// A source that this program cannot use.
    Unsupported,
}

impl LeftOutWhy {
    /// The word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherPlatform => "other-platform",
            Self::NoSource => "no-source",
            Self::Own => "own",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
        }
    }

    /// True where a person should know that something was meant to run and did not.
    pub fn is_a_gap(self) -> bool {
        !matches!(self, Self::OtherPlatform | Self::NoSource | Self::Own)
    }
}

/// What became of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// No package of this name was there.
    Added,
    /// It was there with other versions, or with the same version and another checksum or source.
    Changed {
        /// The versions that were there.
        from: Vec<String>,
    },
}
