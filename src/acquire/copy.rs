//! Copies a folder that the user named, taking along nothing but plain files and folders, and for a link to a file of the
//! same folder what that has: many packages of a workspace have the read-me file and the licence above them so.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::archive::{make_folders, write_new};
use super::embedded;
use super::error::AcquireError;
use super::facts::{Found, SKIPPED_FILE};
use super::settings::Limits;
use crate::evidence::bytes::Bytes;

/// More of a kind are counted, not listed.
const LISTED: usize = 32;

/// What a copy took along.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    /// Relative paths of all files.
    pub(crate) files: BTreeSet<PathBuf>,
    /// What is worth telling.
    pub(crate) found: Vec<Found>,
}

/// What is not copied, beside version control and build outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Nothing more.
    Nothing,
    /// Secrets of whoever works there, folders that programs fill, and what people have decided: code that is examined
    /// need not know what is passed over, and a decision is no reason to build again.
    WhatIsNoSource,
}

impl Leave {
    /// True for version control, build outputs, and what else is left.
    fn leaves(self, here: &Path, name: &OsStr) -> bool {
        let is_output = name == "target" && here.join("Cargo.toml").exists();
        name == ".git" || is_output || self.leaves_more(here, name)
    }

    fn leaves_more(self, here: &Path, name: &OsStr) -> bool {
        let is_env = name == ".env" || name.as_bytes().starts_with(b".env.");
        let is_filled = [".hg", ".svn", ".jj", "node_modules", ".venv", ".direnv"].iter().any(|known| name == *known);
        let is_decision = name == "sandbox-check.toml";
        self == Self::WhatIsNoSource
            && (is_env || is_filled || is_decision || here.join(name).join("CACHEDIR.TAG").exists())
    }
}

/// Copies `from` to the new folder `to`, without version control and build outputs.
pub(crate) fn tree(from: &Path, to: &Path, limits: &Limits) -> Result<Copied, AcquireError> {
    tree_but(from, to, limits, Leave::Nothing, &BTreeSet::new())
}

/// The same, without more, and with what lies behind the links to folders that are named.
pub(crate) fn tree_but(
    from: &Path,
    to: &Path,
    limits: &Limits,
    leave: Leave,
    follow: &BTreeSet<PathBuf>,
) -> Result<Copied, AcquireError> {
    let mut copied = Copied::default();
    let mut skipped = 0_usize;
    make_folders(to, Path::new("")).map_err(AcquireError::file("create", to))?;
    walk(from, limits, leave, follow, |met, left| match met {
        Met::Folder(path) => {
            make_folders(to, path).map_err(AcquireError::file("create", &to.join(path)))?;
            Ok(0)
        }
        Met::File(path, source) => {
            let bytes = one(source, to, path, left, &mut copied)?;
            copied.files.insert(path.to_owned());
            Ok(bytes)
        }
        Met::Other(path, is_link) => {
            skipped += 1;
            if skipped <= LISTED {
                copied.found.push(skip(path, is_link));
            }
            Ok(0)
        }
    })?;
    Ok(copied)
}

/// What lies in a folder, by its path in it.
pub(crate) enum Met<'a> {
    /// A folder.
    Folder(&'a Path),
    /// A file, and where its contents lie: that of a link, at the file that it leads to.
    File(&'a Path, &'a Path),
    /// Anything else, which is not copied; true for a link.
    Other(&'a Path, bool),
}

/// Goes through all that is copied of a folder, in one order; of links to folders, through those that are in `follow`.
/// `visit` is told how many bytes may still come, and gives the number of those that did.
pub(crate) fn walk(
    from: &Path,
    limits: &Limits,
    leave: Leave,
    follow: &BTreeSet<PathBuf>,
    mut visit: impl FnMut(Met<'_>, u64) -> Result<u64, AcquireError>,
) -> Result<(), AcquireError> {
    let root = fs::canonicalize(from).map_err(AcquireError::file("look at", from))?;
    let own: Vec<_> = limits.not_copied.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let here = from.join(&folder);
        let mut entries: Vec<_> = fs::read_dir(&here)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(AcquireError::file("list", &here))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let path = folder.join(&name);
            if leave.leaves(&here, &name) || own.contains(&root.join(&path)) {
                continue;
            }
            let kind = entry.file_type().map_err(AcquireError::file("look at", &entry.path()))?;
            let is_folder = kind.is_dir() || (kind.is_symlink() && follow.contains(&entry.path()));
            let source = if kind.is_symlink() { linked(&root, &entry.path(), leave) } else { Some(entry.path()) };
            match source.filter(|_| kind.is_file() || (kind.is_symlink() && !is_folder)) {
                Some(source) => {
                    let left = limits.copied_bytes.saturating_sub(bytes);
                    bytes = bytes.saturating_add(visit(Met::File(&path, &source), left)?);
                    files += 1;
                }
                None if is_folder => {
                    visit(Met::Folder(&path), 0)?;
                    folders.push(path);
                }
                None => drop(visit(Met::Other(&path, kind.is_symlink()), 0)?),
            }
            if files > limits.copied_files || bytes > limits.copied_bytes {
                let reason = format!("it has more than {} files or {} bytes", limits.copied_files, limits.copied_bytes);
                return Err(AcquireError::NoSuchTarget { path: from.to_owned(), reason });
            }
        }
    }
    Ok(())
}

/// Where a link leads to, if that is a file below `root` that is copied itself.
fn linked(root: &Path, link: &Path, leave: Leave) -> Option<PathBuf> {
    let target = copied_at(root, link, leave)?;
    fs::symlink_metadata(&target).is_ok_and(|meta| meta.is_file()).then_some(target)
}

/// Where a path leads to, links and all, if that is below `root`, a path without links, and copied itself.
pub(crate) fn copied_at(root: &Path, path: &Path, leave: Leave) -> Option<PathBuf> {
    let target = fs::canonicalize(path).ok()?;
    let mut here = root.to_owned();
    for name in target.strip_prefix(root).ok()? {
        if leave.leaves(&here, name) {
            return None;
        }
        here.push(name);
    }
    Some(target)
}

/// Opens a file to take its contents along; none if it is not one any more.
pub(crate) fn open_plain(path: &Path) -> Result<Option<(fs::File, bool)>, AcquireError> {
    let mut options = OpenOptions::new();
    // What was a file a moment ago may be a link or a FIFO now.
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).map_err(AcquireError::file("read", path))?;
    let meta = file.metadata().map_err(AcquireError::file("read", path))?;
    Ok(meta.is_file().then(|| (file, meta.permissions().mode() & 0o111 != 0)))
}

/// Gives the number of copied bytes, at most one more than are left.
fn one(source: &Path, to: &Path, path: &Path, left: u64, copied: &mut Copied) -> Result<u64, AcquireError> {
    let target = to.join(path);
    let Some((file, executable)) = open_plain(source)? else {
        copied.found.push(skip(path, false));
        return Ok(0);
    };
    let mut contents = file.take(left.saturating_add(1));
    write_new(&target, executable, &mut contents).map_err(AcquireError::file("write", &target))?;
    if embedded::is_setting(path) {
        let text = fs::read(&target).map_err(AcquireError::file("read", &target))?;
        let limit = usize::try_from(embedded::READ).unwrap_or(usize::MAX);
        copied.found.push(embedded::look(path, text.get(..limit).unwrap_or(&text)));
    }
    Ok(left.saturating_add(1).saturating_sub(contents.limit()))
}

fn skip(path: &Path, link: bool) -> Found {
    let kind = if link { "a symbolic link" } else { "neither a file nor a folder" };
    let bytes = path.as_os_str().as_bytes().to_vec();
    let text = format!("`{}` is {kind} and was left out", Bytes(bytes.clone()));
    Found { code: SKIPPED_FILE, text, path: Some(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_are_copied_and_everything_else_is_told() {
        let from = tempfile::tempdir().unwrap();
        let root = from.path();
        for file in ["Cargo.toml", "src/lib.rs", "src/target/x", "target/debug/y", ".git/config", ".cargo/config.toml"]
        {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "x = 1").unwrap();
        }
        fs::set_permissions(root.join("src/lib.rs"), fs::Permissions::from_mode(0o4777)).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", root.join("link")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let to = tempfile::tempdir().unwrap();
        let to = to.path().join("copy");
        let copied = tree(root, &to, &Limits::default()).unwrap();
        let files: Vec<_> = copied.files.iter().map(|file| file.to_str().unwrap()).collect();
        assert_eq!(files, [".cargo/config.toml", "Cargo.toml", "src/lib.rs", "src/target/x"]);
        assert_eq!(fs::metadata(to.join("src/lib.rs")).unwrap().permissions().mode() & 0o7777, 0o755);
        assert!(fs::symlink_metadata(to.join("link")).is_err() && fs::symlink_metadata(to.join("fifo")).is_err());
        let mut codes: Vec<_> = copied.found.iter().map(|found| found.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["embedded-cargo-config", SKIPPED_FILE, SKIPPED_FILE]);
    }

    #[test]
    fn of_links_those_to_a_file_that_is_copied_itself_are_taken_along_as_what_they_lead_to() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("key"), "a key").unwrap();
        let from = tempfile::tempdir().unwrap();
        let root = from.path();
        for file in ["Cargo.toml", "README.md", "a/Cargo.toml", "a/src/lib.rs", "target/x", ".git/config", ".env", "b"]
        {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), file).unwrap();
        }
        let above = outside.path().join("key");
        for (link, leads_to) in [
            ("a/README.md", "../README.md"),
            ("a/by-a-link", "README.md"),
            ("a/whole", root.join("b").to_str().unwrap()),
            ("a/key", above.to_str().unwrap()),
            ("a/folder", "src"),
            ("a/nothing", "../nothing"),
            ("a/round", "round"),
            ("a/config", "../.git/config"),
            ("a/output", "../target/x"),
            ("a/secret", "../.env"),
        ] {
            std::os::unix::fs::symlink(leads_to, root.join(link)).unwrap();
        }
        let to = tempfile::tempdir().unwrap();
        let to = to.path().join("copy");
        let copied = tree_but(root, &to, &Limits::default(), Leave::WhatIsNoSource, &BTreeSet::new()).unwrap();
        let files: Vec<_> = copied.files.iter().map(|file| file.to_str().unwrap()).collect();
        let plain = ["Cargo.toml", "README.md", "a/Cargo.toml"];
        assert_eq!(files, [&plain[..], &["a/README.md", "a/by-a-link", "a/src/lib.rs", "a/whole", "b"]].concat());
        for (link, contents) in [("a/README.md", "README.md"), ("a/by-a-link", "README.md"), ("a/whole", "b")] {
            assert!(fs::symlink_metadata(to.join(link)).unwrap().is_file(), "{link}");
            assert_eq!(fs::read_to_string(to.join(link)).unwrap(), contents, "{link}");
        }
        let told: BTreeSet<_> = copied.found.iter().filter_map(|found| found.path.clone()).collect();
        let left_out = ["a/config", "a/folder", "a/key", "a/nothing", "a/output", "a/round", "a/secret"];
        assert_eq!(told.iter().map(|path| std::str::from_utf8(path).unwrap()).collect::<Vec<_>>(), left_out);
    }

    #[test]
    fn what_is_our_own_is_no_part_of_a_folder_and_a_copy_does_not_hold_itself() {
        let from = tempfile::tempdir().unwrap();
        let root = from.path();
        for file in ["Cargo.toml", "cache/other/x", "cache/sandbox-check/runs/run/x", "report.json", "a/report.json"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let not_copied = ["cache/sandbox-check", "report.json", "not/there"].map(|own| root.join(own)).to_vec();
        let limits = Limits { not_copied, ..Limits::default() };
        for leave in [Leave::Nothing, Leave::WhatIsNoSource] {
            let to = root.join(format!("cache/sandbox-check/runs/{leave:?}"));
            let copied = tree_but(root, &to, &limits, leave, &BTreeSet::new()).unwrap();
            let files: Vec<_> = copied.files.iter().map(|file| file.to_str().unwrap()).collect();
            assert_eq!(files, ["Cargo.toml", "a/report.json", "cache/other/x"]);
        }
    }

    #[test]
    fn a_folder_beyond_the_limits_is_not_copied() {
        let from = tempfile::tempdir().unwrap();
        fs::write(from.path().join("a"), vec![0; 100]).unwrap();
        let to = tempfile::tempdir().unwrap();
        let limits = Limits { copied_bytes: 50, ..Limits::default() };
        let error = tree(from.path(), &to.path().join("copy"), &limits).unwrap_err();
        assert!(error.to_string().contains("50 bytes"), "{error}");
    }
}
