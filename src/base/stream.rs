//! Files and folders one after the other: a line of JSON for each, and the bytes of files behind it.
//!
//! Times are kept to the nanosecond, since cargo compares them. A file with two names has its bytes once. What is neither
//! a file nor a folder has a line and no more, so that a reader knows that something is missing.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The longest line of a writer of ours.
const LINE: u64 = 16 * 1024;
/// Bytes that one stream may have.
const BYTES: u64 = 16 << 30;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Relative to the target folder.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Seconds and nanoseconds since the Unix epoch.
    pub mtime: (u64, u32),
    /// How many bytes follow.
    pub size: u64,
    /// Of another name for a file: the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same: Option<String>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// Another name for a file that came before.
    Same,
    /// A link, something else, or something that could not be read or named.
    Other,
}

/// Files with several names by device and inode: the name that came first.
type Names = HashMap<(u64, u64), String>;

/// Writes all that lies below some folders of `root`, but for what is to be left out. No link is followed.
///
/// # Errors
/// When it cannot be written, or a file changed under our hands.
pub fn write_tree(
    root: &Path,
    folders: &[&str],
    is_left_out: impl Fn(&str) -> bool,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut names = Names::new();
    let (mut open, mut left) = (folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>(), BYTES);
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
        let mut entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for found in entries {
            let path = format!("{folder}/{}", found.file_name().to_string_lossy());
            if is_left_out(&path) {
                continue;
            }
            let (entry, file) = entry_of(&found, &path, &mut names)?;
            if entry.kind == EntryKind::Folder {
                open.push(path);
            }
            left = left.checked_sub(entry.size).ok_or(io::ErrorKind::FileTooLarge)?;
            write_entry(&entry, to, |to| file.map_or(Ok(0), |file| io::copy(&mut file.take(entry.size), to)))?;
        }
    }
    Ok(())
}

/// What lies at a path, with the file that is to be copied.
fn entry_of(found: &fs::DirEntry, path: &str, names: &mut Names) -> io::Result<(Entry, Option<File>)> {
    let meta = found.metadata()?;
    let since = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut entry = Entry {
        path: path.to_owned(),
        kind: EntryKind::Other,
        mode: meta.mode() & 0o7777,
        mtime: (since.as_secs(), since.subsec_nanos()),
        size: 0,
        same: None,
    };
    let is_plain = found.file_name().to_str().is_some() && entry.mode & 0o7000 == 0;
    if is_plain && meta.is_dir() {
        entry.kind = EntryKind::Folder;
    }
    if !is_plain || !meta.is_file() {
        return Ok((entry, None));
    }
    let inode = (meta.dev(), meta.ino());
    if let Some(first) = names.get(&inode) {
        (entry.kind, entry.same) = (EntryKind::Same, Some(first.clone()));
        return Ok((entry, None));
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(found.path()).ok();
    if file.is_some() {
        if meta.nlink() > 1 {
            names.insert(inode, path.to_owned());
        }
        (entry.kind, entry.size) = (EntryKind::File, meta.len());
    }
    Ok((entry, file))
}

/// Writes one entry with its bytes, which `copy` writes and counts.
///
/// # Errors
/// When there are fewer bytes than it says.
pub fn write_entry<W: Write>(
    entry: &Entry,
    to: &mut W,
    copy: impl FnOnce(&mut W) -> io::Result<u64>,
) -> io::Result<()> {
    serde_json::to_writer(&mut *to, entry)?;
    to.write_all(b"\n")?;
    if copy(to)? == entry.size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The next entry, whose bytes come next.
///
/// # Errors
/// When the stream is none of ours.
pub fn read_entry(from: &mut impl BufRead) -> io::Result<Option<Entry>> {
    let mut line = Vec::new();
    from.by_ref().take(LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let entry: Entry = serde_json::from_slice(&line)?;
    let is_inside =
        |path: &str| !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let names = [Some(&entry.path), entry.same.as_ref()];
    let is_good = names.into_iter().flatten().all(|path| is_inside(path)) && entry.mode & !0o777 == 0;
    if is_good && entry.same.is_some() == (entry.kind == EntryKind::Same) || entry.kind == EntryKind::Other {
        Ok(Some(entry))
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Makes all of it below `root`, an empty folder that nobody else can write yet.
///
/// # Errors
/// When something cannot be made.
pub fn lay_out(from: &mut impl BufRead, root: &Path) -> io::Result<()> {
    let mut folders = Vec::new();
    while let Some(entry) = read_entry(from)? {
        let at = root.join(&entry.path);
        match entry.kind {
            EntryKind::Other => {}
            EntryKind::Folder => {
                make_folders(&at)?;
                folders.push((at, entry));
            }
            EntryKind::Same => {
                at.parent().map_or(Ok(()), make_folders)?;
                fs::hard_link(root.join(entry.same.as_deref().unwrap_or_default()), &at)?;
            }
            EntryKind::File => {
                at.parent().map_or(Ok(()), make_folders)?;
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at)?;
                if io::copy(&mut from.by_ref().take(entry.size), &mut file)? != entry.size {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                finish(&file, &entry)?;
            }
        }
    }
    // What is made in a folder changes its time.
    for (at, entry) in folders.iter().rev() {
        finish(&File::open(at)?, entry)?;
    }
    Ok(())
}

fn make_folders(at: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(at)
}

fn finish(file: &File, entry: &Entry) -> io::Result<()> {
    let time: SystemTime = UNIX_EPOCH + Duration::new(entry.mtime.0, entry.mtime.1);
    file.set_permissions(Permissions::from_mode(entry.mode))?;
    file.set_times(FileTimes::new().set_modified(time).set_accessed(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_out_is_what_was_written_with_times_and_rights_and_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("a/deep/empty")).unwrap();
        fs::create_dir(from.join("b")).unwrap();
        fs::write(from.join("a/deep/file"), "text").unwrap();
        fs::set_permissions(from.join("a/deep/file"), Permissions::from_mode(0o751)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("a/link")).unwrap();
        fs::write(from.join("a/secret"), "left out").unwrap();
        fs::write(from.join("b/outside"), "not asked for").unwrap();
        fs::hard_link(from.join("a/deep/file"), from.join("a/again")).unwrap();
        let mut bytes = Vec::new();
        write_tree(&from, &["a", "absent"], |path| path == "a/secret", &mut bytes).unwrap();
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
        assert!(!to.join("a/secret").exists());
        assert!(String::from_utf8_lossy(&bytes).contains(r#""path":"a/link","kind":"other""#));
    }

    fn entry(path: &str, kind: EntryKind, same: Option<&str>) -> Entry {
        let same = same.map(str::to_owned);
        Entry { path: path.to_owned(), kind, mode: 0o644, mtime: (1, 0), size: 0, same }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["../x", "/x", "a/../../x", ""] {
            let file = entry(path, EntryKind::File, None);
            let same = entry("name", EntryKind::Same, Some(path));
            for lines in [vec![file], vec![entry("x", EntryKind::File, None), same]] {
                let lines: Vec<_> = lines.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
                let folder = tempfile::tempdir().unwrap();
                let error = lay_out(&mut lines.concat().as_bytes(), folder.path()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            }
        }
    }
}
