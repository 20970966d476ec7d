//! The target folder of a run, for whoever keeps outputs of it.
//!
//! It lies in another mount namespace, its names, links and rights are the build's, and while the run goes on they change.
//! Nothing in it is reached by a way that leads through a link or out of it (`RESOLVE_BENEATH`, `openat2(2)`).

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::AT_ONCE;
use super::stream::{Entry, EntryKind, write_entry};

/// Bytes that all files together may have.
const BYTES: u64 = 16 << 30;

/// Files with several names by device and inode: the name that came first.
type Names = HashMap<(u64, u64), String>;

/// A target folder.
#[derive(Debug)]
pub struct Tree(OwnedFd);

impl Tree {
    /// Takes the folder over. While it is open, its bytes are there.
    pub fn new(folder: OwnedFd) -> Self {
        Self(folder)
    }

    /// What lies below some of its folders, each folder before what is in it. A folder that cannot be read has a second
    /// entry, of the kind [`EntryKind::Other`].
    ///
    /// # Errors
    /// When there is too much of it.
    pub fn entries(&self, folders: &[&str]) -> io::Result<Vec<Entry>> {
        let (mut all, mut names) = (Vec::new(), Names::new());
        let (mut open, mut left) = (folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>(), BYTES);
        while let Some(folder) = open.pop() {
            let found = match self.read(&folder, &mut names) {
                Ok(found) => found,
                Err(Errno::ENOENT) => continue,
                Err(_) => vec![Entry::other(folder)],
            };
            for entry in found {
                if entry.kind == EntryKind::Folder {
                    open.push(entry.path.clone());
                }
                left = left.checked_sub(entry.size).ok_or(io::ErrorKind::FileTooLarge)?;
                all.push(entry);
            }
        }
        Ok(all)
    }

    /// Writes an entry with its bytes as [`stream`](super::stream) has them.
    ///
    /// # Errors
    /// When its bytes cannot be read or written, or are fewer than it says.
    pub fn write(&self, entry: &Entry, to: &mut impl Write) -> io::Result<()> {
        let file = if entry.kind == EntryKind::File { Some(self.open(&entry.path, OFlag::O_NONBLOCK)?) } else { None };
        let copy = |file, to: &mut _| {
            let at_once = usize::try_from(entry.size).map_or(AT_ONCE, |size| size.min(AT_ONCE));
            io::copy(&mut io::BufReader::with_capacity(at_once, File::from(file).take(entry.size)), to)
        };
        write_entry(entry, to, |to| file.map_or(Ok(0), |file| copy(file, to)))
    }

    fn read(&self, folder: &str, names: &mut Names) -> nix::Result<Vec<Entry>> {
        let mut dir = Dir::from_fd(self.open(folder, OFlag::O_DIRECTORY)?)?;
        let mut found =
            dir.iter().map(|entry| Ok(entry?.file_name().to_owned())).collect::<nix::Result<Vec<CString>>>()?;
        found.retain(|name| ![c".", c".."].contains(&name.as_c_str()));
        found.sort();
        let entry = |name: &CString| match fstatat(&dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(meta) => Some(entry_of(folder, name, &meta, names)),
            // Of a folder that others write, something may just have gone.
            Err(Errno::ENOENT) => None,
            Err(_) => Some(Entry::other(path_of(folder, name))),
        };
        Ok(found.iter().filter_map(entry).collect())
    }

    fn open(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        openat2(self.0.as_fd(), path, how)
    }
}

fn path_of(folder: &str, name: &CStr) -> String {
    format!("{folder}/{}", name.to_string_lossy())
}

/// What an entry of a folder says of itself.
fn entry_of(folder: &str, name: &CStr, meta: &FileStat, names: &mut Names) -> Entry {
    let path = path_of(folder, name);
    let mode = meta.st_mode & 0o7777;
    let mtime = (meta.st_mtime.try_into().unwrap_or_default(), meta.st_mtime_nsec.try_into().unwrap_or_default());
    let changed = (meta.st_ctime.try_into().unwrap_or_default(), meta.st_ctime_nsec.try_into().unwrap_or_default());
    let entry = Entry { mode, mtime, changed, ..Entry::other(path) };
    // What its owner may not read, we may not either where we are that user.
    if name.to_str().is_err() || mode & 0o7000 != 0 || mode & 0o400 == 0 {
        return entry;
    }
    match SFlag::from_bits_truncate(meta.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => Entry { kind: EntryKind::Folder, ..entry },
        SFlag::S_IFREG => {
            let inode = (meta.st_dev, meta.st_ino);
            if let Some(first) = names.get(&inode) {
                return Entry { kind: EntryKind::Same, same: Some(first.clone()), ..entry };
            }
            if meta.st_nlink > 1 {
                names.insert(inode, entry.path.clone());
            }
            Entry { kind: EntryKind::File, size: meta.st_size.try_into().unwrap_or_default(), ..entry }
        }
        _ => entry,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;
    use crate::base::stream::lay_out;

    fn tree(folder: &Path) -> Tree {
        Tree::new(File::open(folder).unwrap().into())
    }

    #[test]
    fn what_is_laid_out_is_what_lay_there_with_times_and_rights_and_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a/deep/empty")).unwrap();
        fs::create_dir(from.join("b")).unwrap();
        fs::write(from.join("a/deep/file"), "text").unwrap();
        fs::set_permissions(from.join("a/deep/file"), Permissions::from_mode(0o751)).unwrap();
        symlink("/etc/passwd", from.join("a/link")).unwrap();
        fs::write(from.join("b/outside"), "not asked for").unwrap();
        fs::hard_link(from.join("a/deep/file"), from.join("a/again")).unwrap();
        let tree = tree(&from);
        let mut bytes = Vec::new();
        for entry in tree.entries(&["a", "absent"]).unwrap() {
            tree.write(&entry, &mut bytes).unwrap();
        }
        fs::create_dir(&to).unwrap();
        lay_out(&mut bytes.as_slice(), &to).unwrap();
        let meta = |root: &Path, name: &str| fs::metadata(root.join(name)).unwrap();
        for name in ["a/deep", "a/deep/empty", "a/deep/file"] {
            let (one, other) = (meta(&from, name), meta(&to, name));
            assert_eq!(one.modified().unwrap(), other.modified().unwrap(), "{name}");
            assert_eq!(one.mode(), other.mode(), "{name}");
        }
        assert_eq!(fs::read(to.join("a/deep/file")).unwrap(), b"text");
        assert_eq!(meta(&to, "a/deep/file").ino(), meta(&to, "a/again").ino());
        assert_eq!(String::from_utf8_lossy(&bytes).matches("text").count(), 1, "its bytes are there once");
        assert!(fs::symlink_metadata(to.join("a/link")).is_err() && !to.join("b").exists());
        assert!(String::from_utf8_lossy(&bytes).contains(r#""path":"a/link","kind":"other""#));
    }

    #[test]
    fn no_way_leads_out_of_the_folder_or_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
        fs::create_dir_all(inside.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        symlink(&outside, inside.join("absolute")).unwrap();
        symlink("../outside", inside.join("relative")).unwrap();
        symlink("real", inside.join("within")).unwrap();
        let tree = tree(&inside);
        for way in ["absolute", "relative", "within", "../outside"] {
            let entries = tree.entries(&[way]).unwrap();
            assert_eq!(entries, [Entry::other(way.to_owned())], "{way}");
            let file = Entry { kind: EntryKind::File, size: 6, ..Entry::other(format!("{way}/secret")) };
            let mut bytes = Vec::new();
            tree.write(&file, &mut bytes).unwrap_err();
            assert!(bytes.is_empty(), "{way}");
        }
        // The control: the same bytes by a way that is one.
        fs::copy(outside.join("secret"), inside.join("real/secret")).unwrap();
        let [file] = <[Entry; 1]>::try_from(tree.entries(&["real"]).unwrap()).unwrap();
        let mut bytes = Vec::new();
        tree.write(&file, &mut bytes).unwrap();
        assert!(bytes.ends_with(b"\nsecret"));
    }

    #[test]
    fn what_cannot_be_kept_as_it_is_has_an_entry_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("plain", 0o644), ("unreadable", 0o044), ("powerful", 0o4755)] {
            fs::write(folder.path().join(name), "").unwrap();
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let entries = tree(folder.path()).entries(&["."]).unwrap();
        let kinds: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.kind)).collect();
        let expected = [
            ("./pipe", EntryKind::Other),
            ("./plain", EntryKind::File),
            ("./powerful", EntryKind::Other),
            ("./unreadable", EntryKind::Other),
        ];
        assert_eq!(kinds, expected);
    }
}
