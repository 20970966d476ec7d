//! From what the user named to a verified, unpacked source tree.
//!
//! The story: [`Request`] → resolve (cargo, in a package of ours) → [`Resolved`] → download →
//! verify → unpack, all or nothing → [`Acquired`]. Nothing of the subject's
//! runs here, and cargo never runs inside a folder of the subject's.

mod advisories;
mod archive;
mod choose;
mod clone;
mod config;
mod consumer;
mod copy;
mod dependency;
mod download;
mod embedded;
mod entry;
mod error;
pub mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod guard;
mod http;
mod identity;
mod index_cache;
mod library;
mod local;
mod lock;
mod locked;
mod manifest;
mod needed;
mod offline;
mod past;
mod previous;
mod progress;
mod promise;
mod registry;
mod release;
mod reputation;
mod resolve;
mod resolved;
mod runs;
mod settings;
mod shared;
mod sources;
mod stage;
mod standin;
mod survey;
mod target;
mod unnamed;
mod vendored;

use std::path::PathBuf;

pub use self::advisories::{Kept, advisories};
pub use self::archive::{Reason, Refusal};
pub use self::clone::{CommitFiles, Item, LocalClone, Past, blob_name};
pub use self::config::ConfigError;
use self::download::Placed;
pub use self::entry::{Entry, EntryVersion};
pub use self::error::{AcquireError, ErrorClass, Near};
pub use self::http::HttpError;
pub(crate) use self::identity::is_called;
pub use self::lock::{
    GitSource, LockRequest, LockUser, Locked, OwnSettings, Pin, Since, locate as locate_lock, small_text,
    text_of_commit,
};
pub use self::previous::Previous;
pub use self::progress::{Bar, Progress, Silent};
pub use self::reputation::Reputation;
pub use self::resolved::{Resolved, ResolvedLock};
#[cfg(test)]
pub(crate) use self::runs::begin as begin_run;
pub use self::runs::{RunGuard, abandon, give_sources, remove_sources};
pub use self::settings::{AcquireSettings, Environment, Limits};
pub use self::shared::shared_text;
pub use self::stage::{Outcome, acquire, acquire_unless, survey};
pub use self::survey::Survey;
pub use self::target::{HOST, Request, Requirement};
pub use self::unnamed::Unnamed;
use crate::evidence::line::{Fact, MacroName, PackageSource, Target};
use crate::ids::{PackageId, Sha256Digest};

/// Names that people use: one a line, the day of the list in a comment.
pub const POPULAR: &str = include_str!("popular-crates.txt");

/// Verified sources of a subject and of everything that its build can reach.
#[derive(Debug)]
pub struct Acquired {
    /// What was asked for, made exact.
    pub target: Target,
    /// The packages whose sources are in place, the subject first.
    pub packages: Vec<SourcePackage>,
    /// The text of the `Cargo.lock` of the resolution. Its root package is [`crate::plan::CONSUMER_NAME`].
    pub lock: String,
    /// How the consumer names the subject; none for a lock file.
    pub subject: Option<SubjectDependency>,
    /// How the packages of a lock file are built; none for one package.
    pub locked: Option<Box<Locked>>,
    /// The folder name that cargo uses for this registry below `registry/src`.
    pub registry_dir: String,
    /// Sources that must be replaced by a folder of verified sources.
    pub replaced_sources: Vec<Replaced>,
    /// Registries by name, with their indexes, where manifests may name them: one that was published names none.
    pub registries: Vec<(String, String)>,
    /// What was seen on the way.
    pub facts: Vec<Fact>,
    /// Settings of the user's that put a program around rustc, by name. Inside, ours stands there.
    pub wrappers: Vec<String>,
    /// What the index says about each package of the lock file that came from a registry.
    pub index: Vec<Entry>,
    /// True if no registry was asked, so that the index is what this machine has of it.
    pub offline: bool,
    /// The release before the subject.
    pub previous: Previous,
    /// What the registry's web interface says about the subject.
    pub reputation: Reputation,
    /// True if a workspace was written while it was copied, so that these are not the sources that were resolved.
    pub changed: bool,
    /// Holds `registry/NAME-VERSION/` for every registry package (a cargo directory source, as each
    /// `registry/from-MARK/` is where packages of several sources have one name and version; packages of
    /// other platforms are stand-ins with a manifest only) and `local/…` for path sources. Removed on drop.
    pub sources: tempfile::TempDir,
    /// Keeps other runs from removing `sources`; the last field, so that it is dropped last.
    pub guard: RunGuard,
}

/// A source that a folder of verified sources stands in for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Replaced {
    /// The key of its `[source.KEY]`: `crates-io`, or one of ours.
    pub key: String,
    /// What the table says of it: `registry` with its URL, or `git` with its own and `branch`, `tag` or `rev`. Nothing for
    /// `crates-io`.
    pub says: Vec<(&'static str, String)>,
    /// The folder below that of the verified sources, where a source has one for itself.
    pub folder: Option<String>,
}

impl Acquired {
    /// The absolute path of a package's source folder.
    pub fn dir_of(&self, package: &SourcePackage) -> PathBuf {
        self.sources.path().join(&package.dir)
    }

    /// Names registries in the manifests that leave them out, after which the sources are no longer those of the archives.
    ///
    /// # Errors
    /// When a manifest cannot be written.
    pub fn name_registries(&self) -> Result<(), AcquireError> {
        for package in &self.packages {
            if let Some(unnamed) = &package.unnamed {
                unnamed.name(&self.dir_of(package))?;
            }
        }
        Ok(())
    }

    /// For each package the positions of those that it needs, for one package with what it depends on. The record of a
    /// lock file has its own.
    pub fn needs(&self) -> Vec<Vec<u64>> {
        let ids: Vec<_> = self.packages.iter().map(|package| &package.id).collect();
        if self.locked.is_some() { Vec::new() } else { needed::edges(&self.lock, &ids) }
    }
}

/// How the consumer's manifest names the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectDependency {
    /// The package's name as the registry or its manifest spells it.
    pub name: String,
    /// Registry releases: the exact version. Path sources: the folder below `local/`.
    pub origin: SubjectOrigin,
    /// Features to turn on.
    pub features: Vec<String>,
    /// Whether `default` is on.
    pub default_features: bool,
    /// Those that nothing of this turns on.
    pub features_off: Vec<String>,
}

/// Where the subject lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectOrigin {
    /// In the directory source.
    Registry {
        /// The exact version.
        version: String,
    },
    /// Below `local/`.
    Local {
        /// Path relative to `local/`.
        dir: PathBuf,
    },
}

/// One package whose source is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePackage {
    /// Name and version.
    pub id: PackageId,
    /// Where it came from.
    pub source: PackageSource,
    /// Of its `.crate` file.
    pub checksum: Option<Sha256Digest>,
    /// Its folder relative to [`Acquired::sources`]: `registry/NAME-VERSION` or `local/…`.
    pub dir: PathBuf,
    /// True for what the user asked about.
    pub subject: bool,
    /// True if it has a build script.
    pub build_script: bool,
    /// The macros that its library exports, if it is a proc-macro package.
    pub proc_macro: Option<Vec<MacroName>>,
    /// The name of its library target as Rust code writes it (`serde_derive`), if it has one.
    pub lib_name: Option<String>,
    /// What its manifest leaves out about where its dependencies come from.
    pub unnamed: Option<Unnamed>,
}

impl SourcePackage {
    fn new(
        id: PackageId,
        source: PackageSource,
        checksum: Option<Sha256Digest>,
        dir: PathBuf,
        manifest: &manifest::Manifest,
        subject: bool,
    ) -> Self {
        Self {
            id,
            source,
            checksum,
            dir,
            subject,
            build_script: manifest.build_script,
            // The names are filled in once all sources are in place.
            proc_macro: manifest.proc_macro.then(Vec::new),
            lib_name: manifest.lib_name.clone(),
            unnamed: None,
        }
    }

    /// A release whose source lies in its folder.
    fn placed(placed: Placed, subject: bool) -> Self {
        let (source, checksum) = (PackageSource::Registry, Some(placed.checksum));
        let package = Self::new(placed.id, source, checksum, placed.dir, &placed.manifest, subject);
        Self { unnamed: placed.unnamed, ..package }
    }
}
