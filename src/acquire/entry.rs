//! What an index says about all releases of a package, for those who judge by it.

use std::sync::Arc;

use semver::Version;

use super::release::Release;
use crate::evidence::time::seconds;
use crate::ids::{PackageId, Sha256Digest};

/// A package of a lock file, with all that its index says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The release in the lock file.
    pub id: PackageId,
    /// Of its `.crate` file.
    pub checksum: Option<Sha256Digest>,
    /// True if a build on this machine can reach it.
    pub needed: bool,
    /// Every release, in no order; empty where the index of this machine does not have it.
    pub versions: Vec<EntryVersion>,
}

/// One release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryVersion {
    /// To compare.
    pub version: Version,
    /// Seconds since the Unix epoch, where the registry says.
    pub published: Option<u64>,
    /// Withdrawn.
    pub yanked: bool,
    /// The packages that it depends on, but for tests.
    pub dependencies: Arc<[String]>,
}

impl From<&Release> for EntryVersion {
    fn from(release: &Release) -> Self {
        let normal = release.index.deps.iter().filter(|dep| dep.kind() != tame_index::krate::DependencyKind::Dev);
        Self {
            version: release.version.clone(),
            published: release.index.pubtime.as_deref().and_then(seconds),
            yanked: release.index.yanked,
            dependencies: normal.map(|dep| dep.crate_name().to_owned()).collect(),
        }
    }
}

/// When the first release was published.
pub(crate) fn first(releases: &[Release]) -> Option<u64> {
    releases.iter().filter_map(|release| release.index.pubtime.as_deref().and_then(seconds)).min()
}
