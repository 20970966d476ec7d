//! A whole lock file: every package of it, verified, and the project that builds them all.
//!
//! The story ([`bring`]): [`locate`] finds the file and what lies beside it → the indexes say what they know about each
//! package ([`asked`], [`index`]) → a digest of all that decides may find an earlier run ([`decisive`]) → the workspace is
//! copied ([`workspace`]), commits of git repositories are checked out ([`mod@git`]) → without a workspace, a consumer is
//! made up that names every package ([`pinned`]) → the archives are fetched and unpacked. A package whose archive was
//! refused or cannot be had gets a stand-in that does not compile, so that the others are built and what depends on it
//! is not.

mod asked;
mod bring;
mod commit;
mod decisive;
mod file;
mod git;
mod index;
mod links;
mod loads;
mod own;
mod pinned;
mod since;
mod vendor;
mod workspace;

use std::path::{Path, PathBuf};

use super::Replaced;
use super::error::AcquireError;
use super::survey::Survey;
use crate::evidence::line::LockRecord;
pub use commit::text_of_commit;
pub use git::GitSource;
pub(super) use git::git;
pub use own::{OwnSettings, text as small_text};
pub use pinned::Pin;
pub use since::Since;

/// A lock file that is to be examined.
#[derive(Clone, Debug, PartialEq)]
pub struct LockRequest {
    /// The file.
    pub file: PathBuf,
    /// The same by the way that the user named, links and all.
    named: PathBuf,
    /// The same for people: relative to where they stand.
    pub shown: String,
    /// The folder of the workspace that it belongs to, if one lies beside it.
    pub workspace: Option<PathBuf>,
    /// What the workspace asks of cargo and rustup.
    pub own: OwnSettings,
    /// Whether the workspace's own packages stay out.
    pub deps_only: bool,
    /// What the file is compared with.
    pub since: Option<Since>,
}

/// How the packages of a lock file are built.
#[derive(Clone, Debug)]
pub struct Locked {
    /// What evidence and report say of the file.
    pub record: LockRecord,
    /// What uses the packages.
    pub user: LockUser,
    /// Variables for the build: name, value, and whether the value counts from the workspace's folder.
    pub variables: Vec<(String, String, bool)>,
    /// Keys of cargo's configuration and the flags that they hold.
    pub flags: Vec<(String, Vec<String>)>,
    /// Repositories whose packages lie among the verified sources, where a workspace is the user.
    pub repositories: Vec<Replaced>,
    /// What the default registry says today of the packages of the file.
    pub survey: Survey,
}

/// What uses the packages of a lock file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockUser {
    /// The workspace in this folder below `local/`.
    Workspace(PathBuf),
    /// A generated project that names these.
    Generated(Vec<Pin>),
}

/// Finds a lock file: the one that is named, the one in a folder, or without a word the first one upward.
///
/// # Errors
/// When there is none, or when what lies beside it cannot be understood.
pub fn locate(word: Option<&Path>, deps_only: bool, host: &str) -> Result<LockRequest, AcquireError> {
    let here = std::env::current_dir().map_err(AcquireError::file("find", Path::new(".")))?;
    let none =
        |path: &Path, reason: &str| AcquireError::NoLockFile { path: path.to_owned(), reason: reason.to_owned() };
    let file = match word {
        Some(path) if path.is_dir() => path.join("Cargo.lock"),
        Some(path) => path.to_owned(),
        None => {
            let found = here.ancestors().map(|folder| folder.join("Cargo.lock")).find(|file| file.is_file());
            found.ok_or_else(|| none(&here, "there is no Cargo.lock here, nor in a folder above"))?
        }
    };
    let real = file.canonicalize().map_err(|error| none(&file, &error.to_string()))?;
    if !real.is_file() {
        return Err(none(&file, "it is not a regular file"));
    }
    let shown = shown(&real, &here).unwrap_or(&file).to_string_lossy().into_owned();
    let folder = real.parent().filter(|folder| folder.join("Cargo.toml").is_file()).map(Path::to_owned);
    let own = folder.as_deref().map(|folder| own::read(folder, host)).transpose()?.unwrap_or_default();
    Ok(LockRequest { named: here.join(&file), file: real, shown, workspace: folder, own, deps_only, since: None })
}

/// A lock file for people and for SARIF: from where the user stands, else from the repository that both are in, else from
/// the folder of a workspace that the user stands in.
fn shown<'a>(file: &'a Path, here: &Path) -> Option<&'a Path> {
    let inside = file.strip_prefix(here).ok();
    let common = || file.ancestors().skip(1).filter(|folder| here.starts_with(folder));
    let repository = || common().find(|folder| folder.join(".git").exists());
    let root = || repository().or_else(|| common().next().filter(|folder| Some(*folder) == file.parent()));
    inside.or_else(|| file.strip_prefix(root()?).ok())
}

impl LockRequest {
    /// Compares with another file, or with the same file at another commit.
    ///
    /// # Errors
    /// When there is neither.
    pub fn compare(&mut self, word: &str) -> Result<(), AcquireError> {
        self.since = Some(since::read(word, &self.named)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_above_is_named_from_the_repository_or_the_workspace() {
        let ground = tempfile::tempdir().unwrap();
        let at = |name: &str| ground.path().join(name);
        let named = |file: &str, here: &str| shown(&at(file), &at(here)).map(|shown| shown.display().to_string());
        std::fs::create_dir_all(at("repository/.git")).unwrap();
        assert_eq!(named("repository/ws/Cargo.lock", "repository/ws").as_deref(), Some("Cargo.lock"));
        assert_eq!(named("repository/ws/Cargo.lock", "repository/ws/member").as_deref(), Some("ws/Cargo.lock"));
        assert_eq!(named("repository/ws/Cargo.lock", "repository/other").as_deref(), Some("ws/Cargo.lock"));
        assert_eq!(named("ws/Cargo.lock", "ws/member/src").as_deref(), Some("Cargo.lock"));
        assert_eq!(named("ws/Cargo.lock", "other"), None);
    }
}
