//! What can go wrong on the way to verified sources, and what a person can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::archive::Refusal;
use super::facts;
use crate::evidence::bytes::Bytes;
use crate::evidence::line::Fact;
use crate::evidence::time;
use crate::ids::{PackageId, Sha256Digest};

/// What a failed acquisition means for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Wrong arguments or configuration: exit 2.
    Usage,
    /// No such name, version or file, or not there offline: exit 3.
    NotFound,
    /// A refused archive or checksum: exit 10.
    Refused,
    /// The registry did not answer, or not as a registry does: exit 75.
    Temporary,
    /// Anything else: exit 1.
    Internal,
}

/// A name that was perhaps meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The name.
    pub name: String,
    /// When its first release was published, where the registry says.
    pub since: Option<u64>,
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        self.since.map_or(Ok(()), |since| write!(f, " (since {})", time::date(since)))
    }
}

/// Why there are no verified sources.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The target or an option makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The user's cargo configuration cannot be used.
    #[error(transparent)]
    Config(#[from] super::config::ConfigError),
    /// No package of this name.
    #[error("no package named `{name}` in {registry}")]
    UnknownName {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        registry: String,
        /// Names that look like it.
        nearest: Vec<Near>,
    },
    /// The package has no such version.
    #[error("`{name}` has no version that matches `{requirement}`")]
    UnknownVersion {
        /// The package.
        name: String,
        /// What was asked for.
        requirement: String,
        /// The nearest versions, best first.
        nearest: Vec<String>,
        /// Versions that match and were withdrawn.
        yanked: Vec<String>,
    },
    /// A file or folder that the user named is not there, or is not what it should be.
    #[error("{}: {reason}", path.display())]
    NoSuchTarget {
        /// What was named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What the user named is no lock file.
    #[error("{}: {reason}", path.display())]
    NoLockFile {
        /// What was named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something is not on this machine, and the network may not be used.
    #[error("offline, and not on this machine: {}", missing.join(", "))]
    OfflineMissing {
        /// What is missing.
        missing: Vec<String>,
    },
    /// A server did not give what it should.
    #[error(transparent)]
    Http(#[from] super::http::HttpError),
    /// Cargo could not choose versions.
    #[error("cargo could not choose versions: {message}")]
    Resolve {
        /// The end of what cargo printed.
        message: String,
    },
    /// Cargo said that it could not reach the registry.
    #[error("cargo could not reach the registry: {message}")]
    ResolveNetwork {
        /// The end of what cargo printed.
        message: String,
    },
    /// Cargo did not end in time.
    #[error("cargo did not choose versions within {seconds} s")]
    ResolveTime {
        /// The limit.
        seconds: u64,
    },
    /// Cargo could not be started.
    #[error("cannot start `{}`", program.display())]
    NoCargo {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock file cannot be used.
    #[error("the resolution cannot be used: {reason}")]
    Lock {
        /// Why.
        reason: String,
    },
    /// A registry says one thing to cargo and another one to us.
    #[error("{registry} contradicts itself: {what}")]
    Contradiction {
        /// Which one.
        registry: String,
        /// What about.
        what: String,
    },
    /// Cargo took more memory than an honest index can make it take.
    #[error("cargo took more than {limit} bytes of memory to choose versions: an answer of the registry has no end")]
    ResolveMemory {
        /// The limit.
        limit: u64,
    },
    /// The bytes are not those that the registry promised.
    #[error("{package}: checksum mismatch: expected {expected}, found {found} ({origin})")]
    ChecksumMismatch {
        /// The package.
        package: Box<PackageId>,
        /// What the index or the lock file says.
        expected: Sha256Digest,
        /// What there was.
        found: Sha256Digest,
        /// Which two were compared.
        origin: String,
    },
    /// An archive that is not safe to unpack; nothing of it was kept.
    #[error("{package}: archive refused: {refusal}")]
    UnsafeArchive {
        /// The package.
        package: Box<PackageId>,
        /// The entry and the reason.
        refusal: Refusal,
    },
    /// A manifest that cannot be read.
    #[error("{}: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A git repository that could not be used.
    #[error("the repository {url}: {reason}")]
    Git {
        /// Its URL.
        url: String,
        /// What is wrong, or what git said.
        reason: String,
        /// Whether trying again may help.
        temporary: bool,
    },
    /// Something that this program does not support yet.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// The verb.
        doing: &'static str,
        /// The object.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AcquireError {
    /// What the error means for the exit code.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Usage { .. } | Self::Config(_) | Self::Unsupported { .. } | Self::NoCargo { .. } => ErrorClass::Usage,
            Self::UnknownName { .. }
            | Self::UnknownVersion { .. }
            | Self::NoSuchTarget { .. }
            | Self::NoLockFile { .. }
            | Self::OfflineMissing { .. }
            | Self::Resolve { .. }
            | Self::Git { temporary: false, .. }
            | Self::Manifest { .. } => ErrorClass::NotFound,
            Self::Http(error) => error.class(),
            Self::Git { .. }
            | Self::ResolveNetwork { .. }
            | Self::ResolveTime { .. }
            | Self::ResolveMemory { .. }
            | Self::Contradiction { .. } => ErrorClass::Temporary,
            Self::ChecksumMismatch { .. } | Self::UnsafeArchive { .. } => ErrorClass::Refused,
            Self::Lock { .. } | Self::File { .. } => ErrorClass::Internal,
        }
    }

    /// A stable kebab-case name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsafeArchive { .. } => facts::UNSAFE_ARCHIVE,
            Self::ChecksumMismatch { .. } => facts::CHECKSUM_MISMATCH,
            other => match other.class() {
                ErrorClass::Usage => "usage",
                ErrorClass::NotFound => "not-found",
                ErrorClass::Refused => "refused",
                ErrorClass::Temporary => "temporary",
                ErrorClass::Internal => "internal",
            },
        }
    }

    /// The fact that a refused archive or checksum leaves behind.
    pub fn fact(&self) -> Option<Fact> {
        let (package, path) = match self {
            Self::UnsafeArchive { package, refusal } => {
                (&**package, refusal.entry.as_ref().map(|name| Bytes(name.clone())))
            }
            Self::ChecksumMismatch { package, .. } => (&**package, None),
            _ => return None,
        };
        Some(Fact { path, ..Fact::new(self.code(), package, self.to_string()) })
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } => hint.clone(),
            Self::Config(error) => Some(error.hint()),
            Self::UnknownName { nearest, .. } => {
                let shown: Vec<_> = nearest.iter().map(ToString::to_string).collect();
                (!shown.is_empty()).then(|| format!("did you mean {}?", shown.join(", ")))
            }
            Self::UnknownVersion { yanked, .. } if !yanked.is_empty() => {
                Some(format!("every version that matches was yanked; name one exactly to examine it: {}", list(yanked)))
            }
            Self::UnknownVersion { nearest, .. } => {
                (!nearest.is_empty()).then(|| format!("the nearest versions are {}", list(nearest)))
            }
            Self::NoSuchTarget { .. } => {
                Some("a folder with a Cargo.toml, a `.crate` file or `name@version` can be examined".to_owned())
            }
            Self::NoLockFile { .. } => Some("name a Cargo.lock, or a folder that has one".to_owned()),
            Self::OfflineMissing { .. } => Some(
                "run once with the network: without `--offline`, `CARGO_NET_OFFLINE` and `net.offline` of cargo's \
                 configuration"
                    .to_owned(),
            ),
            Self::Http(error) => error.hint(),
            Self::Git { .. } => Some("git, with nobody to ask, must be able to fetch it".to_owned()),
            Self::ResolveNetwork { .. } | Self::ResolveTime { .. } => {
                Some("check the connection and the proxy, then try again".to_owned())
            }
            Self::ResolveMemory { .. } | Self::Contradiction { .. } => Some(
                "nothing was kept; the registry or a mirror of it is broken or lies: check `[source]` of cargo's \
                 configuration, then try again"
                    .to_owned(),
            ),
            Self::NoCargo { .. } => Some("install a Rust toolchain, or name one with `--toolchain`".to_owned()),
            Self::ChecksumMismatch { .. } => Some(
                "nothing was kept; a mirror or a proxy may have changed the file: compare with another network"
                    .to_owned(),
            ),
            Self::UnsafeArchive { .. } => Some("nothing was kept; do not unpack it with other tools".to_owned()),
            Self::Unsupported { instead, .. } => Some(instead.clone()),
            Self::Resolve { .. } => Some(
                "nobody can build it so: name another version, or look at what the registry says about the package"
                    .to_owned(),
            ),
            Self::File { doing, source, .. } => instead(doing, source.kind()).map(str::to_owned),
            Self::Lock { .. } | Self::Manifest { .. } => None,
        }
    }

    /// A failed file operation.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

/// What to do about a file that cannot be read, and a folder that takes none.
fn instead(doing: &str, kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind::{NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match kind {
        PermissionDenied if doing == "read" => Some("make it readable for this user"),
        NotADirectory if doing == "create" => {
            Some("what lies in the way is no folder: set XDG_CACHE_HOME to one that can be used")
        }
        PermissionDenied | ReadOnlyFilesystem => {
            Some("make it usable for this user, or set XDG_CACHE_HOME, or CARGO_HOME for what cargo keeps")
        }
        StorageFull | QuotaExceeded => Some("make room there, or set XDG_CACHE_HOME to a folder with more of it"),
        _ => None,
    }
}

fn list(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_folder_that_cannot_be_used_it_is_said_which_variable_names_another() {
        use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let hint = |kind: io::ErrorKind| AcquireError::file("create", Path::new("/cache"))(kind.into()).hint();
        for kind in [NotADirectory, PermissionDenied, ReadOnlyFilesystem, StorageFull] {
            assert!(hint(kind).is_some_and(|hint| hint.contains("XDG_CACHE_HOME")), "{kind:?}");
        }
        assert_eq!(hint(io::ErrorKind::NotFound), None);
        // What is read may be the user's own.
        let unreadable = AcquireError::file("read", Path::new("/own"))(io::ErrorKind::PermissionDenied.into());
        assert_eq!(unreadable.hint().as_deref(), Some("make it readable for this user"));
    }
}
