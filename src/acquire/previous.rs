//! The release before the subject, to compare with. Nothing of it is built, and no failure here fails a run.

use std::path::{Path, PathBuf};

use super::archive::make_folders;
use super::download::{self, Store, Wanted};
use super::progress::Silent;
use super::registry::Registry;
use super::release::Release;
use super::sources::Source;

/// The release before the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// There is none.
    None,
    /// It could not be had, or nobody asked for it.
    Missing {
        /// Why.
        reason: String,
    },
    /// Its source.
    Here {
        /// Its version.
        version: String,
        /// Below the folder of sources.
        dir: PathBuf,
    },
}

impl Previous {
    pub(super) fn missing(reason: impl Into<String>) -> Self {
        Self::Missing { reason: reason.into() }
    }
}

/// Brings the next lower version here, withdrawn or not: who plants a release may withdraw the honest ones.
pub(super) fn fetch(
    registry: &Registry<'_>,
    subject: &Release,
    releases: &[Release],
    store: &Store<'_>,
    run: &Path,
    offline: bool,
) -> Previous {
    if matches!(registry.source, Source::Directory(_)) {
        return Previous::missing("a vendored folder has no other releases");
    }
    let lower = releases.iter().filter(|release| release.version < subject.version);
    let usual = |release: &&Release| !subject.version.pre.is_empty() || release.version.pre.is_empty();
    let Some(release) = lower.filter(usual).max_by(|one, other| one.version.cmp(&other.version)) else {
        return Previous::None;
    };
    let (id, checksum) = (release.id.clone(), release.checksum());
    let dir = Path::new("previous").join(format!("{}-{}", id.name, id.version));
    let source = tame_index::CRATES_IO_INDEX;
    let wanted = Wanted { called: id.clone(), id, dir: dir.clone(), checksum, registry, source, release };
    if offline && !store.has(registry, &wanted.id, wanted.checksum) {
        return Previous::missing(format!("offline, and {} is not on this machine", wanted.id));
    }
    let to = run.join("previous");
    if let Err(error) = make_folders(&to, Path::new("")) {
        return Previous::missing(format!("cannot create {}: {error}", to.display()));
    }
    match download::place_all(vec![wanted], run, store, &Silent) {
        Ok(_) => Previous::Here { version: release.id.version.clone(), dir },
        Err(error) => Previous::missing(error.to_string()),
    }
}
