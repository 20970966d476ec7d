//! Files and folders one after the other: a line of JSON for each, and the bytes of files behind it.
//!
//! Times are kept to the nanosecond, since cargo compares them. A file with two names has its bytes once. What is neither
//! a file nor a folder has a line and no more, so that a reader knows that something is missing.

use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The longest line of a writer of ours.
const LINE: u64 = 16 * 1024;

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
    /// When anything about it changed last, by the kernel's own word, in seconds and nanoseconds; of no use in a stream.
    #[serde(skip)]
    pub changed: (u64, u32),
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

impl Entry {
    /// One of which nothing is known but its path.
    pub fn other(path: String) -> Self {
        Self { path, kind: EntryKind::Other, mode: 0, mtime: (0, 0), size: 0, changed: (0, 0), same: None }
    }
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

    fn entry(path: &str, kind: EntryKind, same: Option<&str>) -> Entry {
        let same = same.map(str::to_owned);
        Entry { path: path.to_owned(), kind, mode: 0o644, mtime: (1, 0), size: 0, changed: (0, 0), same }
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
