//! What the user typed, as a value.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use semver::{Version, VersionReq};
use tame_index::KrateName;

use super::error::AcquireError;
use super::lock::LockRequest;

/// The platform that is built on and for.
pub const HOST: &str = "x86_64-unknown-linux-gnu";

/// What to examine.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A release of a registry.
    Release {
        /// As typed; hyphens and underscores are not yet told apart.
        name: String,
        /// Which of its versions.
        version: Requirement,
    },
    /// A folder with a `Cargo.toml`.
    Directory(PathBuf),
    /// A `.crate` file.
    Archive(PathBuf),
    /// Every package of a lock file.
    Lock(Box<LockRequest>),
}

impl Request {
    /// The user's own folders whose code is examined, without links.
    pub fn folders(&self) -> Vec<PathBuf> {
        let named = match self {
            Self::Release { .. } | Self::Archive(_) => None,
            Self::Directory(folder) => Some(folder.clone()),
            Self::Lock(lock) => lock.workspace.clone().or_else(|| lock.file.parent().map(PathBuf::from)),
        };
        let Some(folder) = named.and_then(|folder| std::fs::canonicalize(folder).ok()) else { return Vec::new() };
        // Who wrote a package wrote the rest of its repository, too.
        let repository = folder.ancestors().find(|above| above.join(".git").exists()).map(PathBuf::from);
        std::iter::once(folder).chain(repository).collect()
    }
}

/// Which version of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The newest that is not yanked.
    Newest,
    /// This one, yanked or not.
    Exact(Version),
    /// The newest that matches and is not yanked.
    Matching(VersionReq),
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("latest"),
            Self::Exact(version) => version.fmt(f),
            Self::Matching(requirement) => requirement.fmt(f),
        }
    }
}

impl FromStr for Request {
    type Err = AcquireError;

    fn from_str(word: &str) -> Result<Self, AcquireError> {
        // No name and no version holds a slash, so a path with an `@` in it is still a path.
        let path = word.contains('/') || word == "." || word == "..";
        match word.split_once('@') {
            Some((name, version)) if !path => {
                Ok(Self::Release { name: checked(name)?, version: requirement(word, version)? })
            }
            _ if std::path::Path::new(word).extension().is_some_and(|extension| extension == "crate") => {
                Ok(Self::Archive(PathBuf::from(word)))
            }
            _ if path => Ok(Self::Directory(PathBuf::from(word))),
            _ => Ok(Self::Release { name: checked(word)?, version: Requirement::Newest }),
        }
    }
}

/// Refuses what no registry can hold, before any path or URL is made of it.
fn checked(name: &str) -> Result<String, AcquireError> {
    match KrateName::try_from(name) {
        Ok(_) if name.len() <= 64 => Ok(name.to_owned()),
        _ => Err(AcquireError::Usage {
            message: format!("{name:?} is not a package name"),
            hint: Some(
                "names have up to 64 ASCII letters, digits, `-` and `_`; write `./name` for a folder".to_owned(),
            ),
        }),
    }
}

fn requirement(word: &str, version: &str) -> Result<Requirement, AcquireError> {
    if version == "latest" {
        return Ok(Requirement::Newest);
    }
    if let Ok(exact) = Version::parse(version) {
        return Ok(Requirement::Exact(exact));
    }
    version.parse().map(Requirement::Matching).map_err(|error| AcquireError::Usage {
        message: format!("{word:?} names no version: {error}"),
        hint: Some("write `name@1.2.3`, `name@1` or `name@latest`".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::ErrorClass;

    fn release(word: &str) -> (String, Requirement) {
        match word.parse().unwrap() {
            Request::Release { name, version } => (name, version),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_version_is_meant_exactly() {
        let expected = Requirement::Exact(Version::new(1, 0, 228));
        assert_eq!(release("serde_derive@1.0.228"), ("serde_derive".to_owned(), expected));
    }

    #[test]
    fn a_partial_version_is_a_caret_requirement() {
        let (_, version) = release("serde@1");
        let Requirement::Matching(requirement) = version else { panic!("{version:?}") };
        assert!(requirement.matches(&Version::new(1, 9, 9)));
        assert!(!requirement.matches(&Version::new(2, 0, 0)));
    }

    #[test]
    fn a_bare_name_and_latest_mean_the_newest() {
        assert_eq!(release("serde").1, Requirement::Newest);
        assert_eq!(release("serde@latest").1, Requirement::Newest);
    }

    #[test]
    fn a_word_with_a_slash_is_a_folder() {
        assert_eq!("./serde".parse::<Request>().unwrap(), Request::Directory("./serde".into()));
        assert_eq!("a/b@1".parse::<Request>().unwrap(), Request::Directory("a/b@1".into()));
        assert_eq!(".".parse::<Request>().unwrap(), Request::Directory(".".into()));
    }

    #[test]
    fn a_word_that_ends_in_crate_is_an_archive() {
        assert_eq!("x-1.0.0.crate".parse::<Request>().unwrap(), Request::Archive("x-1.0.0.crate".into()));
        assert_eq!("/tmp/x.crate".parse::<Request>().unwrap(), Request::Archive("/tmp/x.crate".into()));
    }

    #[test]
    fn names_that_no_registry_can_hold_are_usage_errors() {
        for word in ["", "@1", "..%2f@1", "a b", "é", "a@", "a@one", &"a".repeat(65)] {
            assert_eq!(word.parse::<Request>().unwrap_err().class(), ErrorClass::Usage, "{word:?}");
        }
    }
}
