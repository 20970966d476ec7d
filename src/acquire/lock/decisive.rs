//! What a lock file's run is made of, as one digest, before any source of it is here.
//!
//! Packages of registries and of git repositories are held by the checksums and commits of the lock file. What
//! comes from the workspace is held by its bytes: of everything that is copied, and by name of what is left out.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::copy::{Leave, Met, open_plain, walk};
use super::super::error::AcquireError;
use super::super::local::LocalPackage;
use super::super::manifest::read_table;
use super::super::release::Release;
use super::super::settings::Limits;
use super::LockRequest;
use super::workspace::Workspace;
use crate::ids::Sha256Digest;

/// All that decides, in a form with one spelling.
#[derive(Serialize)]
pub(super) struct Decisive<'a> {
    lock: &'a str,
    deps_only: bool,
    /// What comes from the workspace; none for a bare file.
    workspace: Option<Sha256Digest>,
    variables: &'a [(String, String, bool)],
    flags: &'a [(String, Vec<String>)],
    registries: &'a [(String, String)],
    registry_dir: &'a str,
    host: &'a str,
    /// The lines of the index: archives are held against them, and stand-ins are made of them.
    lines: Vec<Sha256Digest>,
}

/// What does not stand in the request.
pub(super) struct Beside<'a> {
    pub(super) lock: &'a str,
    pub(super) workspace: Option<Sha256Digest>,
    pub(super) registries: &'a [(String, String)],
    pub(super) registry_dir: &'a str,
    pub(super) host: &'a str,
}

impl<'a> Decisive<'a> {
    pub(super) fn new(
        request: &'a LockRequest,
        beside: &Beside<'a>,
        releases: impl Iterator<Item = &'a Release>,
    ) -> Self {
        let all = releases.flat_map(|release| std::iter::once(release).chain(&release.others));
        Self {
            lock: beside.lock,
            deps_only: request.deps_only,
            workspace: beside.workspace,
            variables: &request.own.variables,
            flags: &request.own.flags,
            registries: beside.registries,
            registry_dir: beside.registry_dir,
            host: beside.host,
            lines: all.map(|release| without_yank(&release.line)).collect(),
        }
    }

    pub(super) fn digest(&self) -> Option<Sha256Digest> {
        let text = serde_json::to_vec(self).ok()?;
        Some(Sha256Digest(Sha256::digest(text).into()))
    }
}

/// A line of an index without whether the release is yanked: that is a fact of the day, and a locked release is built
/// all the same.
fn without_yank(line: &[u8]) -> Sha256Digest {
    let plain = serde_json::from_slice::<Value>(line).ok().and_then(|mut value| {
        value.as_object_mut()?.remove("yanked");
        serde_json::to_vec(&value).ok()
    });
    Sha256Digest(Sha256::digest(plain.as_deref().unwrap_or(line)).into())
}

/// The workspace beside a lock file, and what takes part of it.
pub(super) struct Own {
    pub(super) workspace: Workspace,
    part: Part,
}

enum Part {
    /// All of it.
    Sources(Contents),
    /// Its manifests, by place.
    StandIns(Vec<(PathBuf, String)>),
}

impl Own {
    /// Reads the workspace of a folder.
    pub(super) fn read(folder: &Path, deps_only: bool, limits: &Limits) -> Result<Self, AcquireError> {
        let workspace = Workspace::read(folder)?;
        let part = if deps_only {
            Part::StandIns(workspace.stand_ins()?)
        } else {
            Part::Sources(Contents::of(&workspace, limits)?)
        };
        Ok(Self { workspace, part })
    }

    /// Of what takes part.
    pub(super) fn digest(&self) -> Sha256Digest {
        match &self.part {
            Part::Sources(contents) => contents.digest(),
            Part::StandIns(stand_ins) => of_stand_ins(stand_ins),
        }
    }

    /// Brings it below `local`; false with it if that is not what the digest is of.
    pub(super) fn bring(
        &self,
        local: &Path,
        lock: &str,
        limits: &Limits,
    ) -> Result<(Vec<LocalPackage>, bool), AcquireError> {
        match &self.part {
            Part::Sources(contents) => {
                let packages = self.workspace.copy(local, limits)?;
                let is_copied = contents.is_copied(&self.workspace, local, limits)?;
                self.workspace.load_macros(local)?;
                Ok((packages, is_copied))
            }
            Part::StandIns(stand_ins) => Ok((self.workspace.stand_in(local, lock, stand_ins)?, true)),
        }
    }
}

/// A workspace's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contents {
    /// Of what is copied.
    copied: Sha256Digest,
    /// Of the names of links and the like, which are told of and not copied.
    left_out: Sha256Digest,
}

impl Contents {
    /// Of a workspace where it lies.
    fn of(workspace: &Workspace, limits: &Limits) -> Result<Self, AcquireError> {
        contents(workspace, limits, Path::to_owned)
    }

    /// True if the copy below `local` has these contents: somebody may have written while it was made.
    fn is_copied(&self, workspace: &Workspace, local: &Path, limits: &Limits) -> Result<bool, AcquireError> {
        let copy = contents(workspace, limits, |folder| local.join(workspace.place_of(folder)))?;
        Ok(copy.copied == self.copied)
    }

    fn digest(&self) -> Sha256Digest {
        let mut digest = Sha256::new();
        digest.update(self.copied.0);
        digest.update(self.left_out.0);
        Sha256Digest(digest.finalize().into())
    }
}

fn contents(
    workspace: &Workspace,
    limits: &Limits,
    place: impl Fn(&Path) -> PathBuf,
) -> Result<Contents, AcquireError> {
    let (mut copied, mut left_out) = (Sha256::new(), Sha256::new());
    let (trees, manifests) = workspace.trees();
    for folder in trees {
        let from = place(folder);
        enter(&mut copied, b"tree", &workspace.place_of(folder));
        walk(&from, limits, Leave::WhatIsNoSource, workspace.links(), |met, left| match met {
            Met::Folder(path) => {
                enter(&mut copied, b"folder", path);
                Ok(0)
            }
            Met::File(path, source) => file(source, path, left, &mut copied, &mut left_out),
            Met::Other(path, is_link) => {
                enter(&mut left_out, if is_link { b"link" } else { b"other" }, path);
                Ok(0)
            }
        })?;
    }
    for folder in manifests {
        enter(&mut copied, b"manifest", &workspace.place_of(folder));
        text(&mut copied, read_table(&place(folder))?.to_string().as_bytes());
    }
    Ok(Contents { copied: Sha256Digest(copied.finalize().into()), left_out: Sha256Digest(left_out.finalize().into()) })
}

fn file(at: &Path, path: &Path, left: u64, copied: &mut Sha256, left_out: &mut Sha256) -> Result<u64, AcquireError> {
    let Some((mut file, is_executable)) = open_plain(at)? else {
        enter(left_out, b"other", path);
        return Ok(0);
    };
    let (mut contents, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; 64 * 1024]);
    while bytes <= left {
        let count = file.read(&mut buffer).map_err(AcquireError::file("read", at))?;
        if count == 0 {
            break;
        }
        contents.update(buffer.get(..count).unwrap_or_default());
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    enter(copied, if is_executable { b"program" } else { b"file" }, path);
    copied.update(contents.finalize());
    Ok(bytes)
}

/// Says what comes next, so that no two trees are spelled alike.
fn enter(digest: &mut Sha256, kind: &[u8], path: &Path) {
    text(digest, kind);
    text(digest, path.as_os_str().as_encoded_bytes());
}

fn text(digest: &mut Sha256, text: &[u8]) {
    digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
    digest.update(text);
}

/// Of stand-ins for a workspace: what is written of each.
fn of_stand_ins(stand_ins: &[(PathBuf, String)]) -> Sha256Digest {
    let mut digest = Sha256::new();
    for (dir, manifest) in stand_ins {
        enter(&mut digest, b"stand-in", dir);
        text(&mut digest, manifest.as_bytes());
    }
    Sha256Digest(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn every_byte_name_and_right_of_what_is_copied_decides_and_what_is_left_out_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("ws");
        let at = |name: &str| root.join(name);
        for (name, text) in
            [("Cargo.toml", "[package]\nname = 'a'\nversion = '0.1.0'\n"), ("src/lib.rs", ""), ("b", "1")]
        {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), text).unwrap();
        }
        let limits = Limits::default();
        let now = || Contents::of(&Workspace::read(&root).unwrap(), &limits).unwrap();
        let first = now();
        for (name, text) in [("target/x", "1"), (".git/x", "1"), (".env", "1"), ("node_modules/x", "1")] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), text).unwrap();
        }
        assert_eq!(now(), first);
        let mut all = vec![first.digest()];
        let mut differs = |what: &str| {
            let digest = now().digest();
            assert!(!all.contains(&digest), "{what}");
            all.push(digest);
        };
        fs::write(at("b"), "2").unwrap();
        differs("a byte");
        fs::rename(at("b"), at("c")).unwrap();
        differs("a name");
        fs::set_permissions(at("c"), fs::Permissions::from_mode(0o755)).unwrap();
        differs("a right");
        fs::create_dir(at("empty")).unwrap();
        differs("a folder");
        symlink("c", at("d")).unwrap();
        differs("a link, which is told of");
        let (workspace, local) = (Workspace::read(&root).unwrap(), folder.path().join("local"));
        fs::create_dir(&local).unwrap();
        workspace.copy(&local, &limits).unwrap();
        assert!(now().is_copied(&workspace, &local, &limits).unwrap());
        fs::write(at("c"), "3").unwrap();
        assert!(!now().is_copied(&workspace, &local, &limits).unwrap());
    }

    #[test]
    fn a_yank_is_no_other_line_and_a_dependency_is() {
        let line = |yanked: bool, deps: &str| {
            without_yank(format!(r#"{{"name":"a","deps":[{deps}],"yanked":{yanked}}}"#).as_bytes())
        };
        assert_eq!(line(false, ""), line(true, ""));
        assert_ne!(line(false, ""), line(false, "1"));
    }
}
