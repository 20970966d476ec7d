//! A log by its path, with the counters that lie beside it.
//!
//! The path may be a stranger's: only a regular file is read, no link is
//! followed to it, and nothing waits for the other end of a pipe.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::log::{EvidenceLog, ReadLogError};

/// A log's name with this at its end is the name of its counters.
pub const COUNTERS: &str = ".counters";

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// There is none.
    #[error("find evidence: there is no file {}", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("read evidence from {}: it is {what}, not a file", .path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The system does not let us.
    #[error("open the evidence {}", .path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it cannot be trusted or understood.
    #[error("read {}", .path.display())]
    Log {
        /// The path.
        path: PathBuf,
        /// Where and why.
        source: ReadLogError,
    },
}

/// A log and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// What was read.
    pub log: EvidenceLog,
    /// Absolute, and without links in it.
    pub path: PathBuf,
}

/// Opens the log at a path. If it was cut off, and its counters lie beside it, the counts come from there.
pub fn open(path: &Path) -> Result<Opened, OpenLogError> {
    let file = regular(path)?;
    let mut log = read(file, path)?;
    if log.is_cut_off()
        && let Some(counters) = counters_of(path, &log)?
    {
        log.count_by(&counters);
    }
    let path = fs::canonicalize(path).map_err(|source| OpenLogError::Open { path: path.to_owned(), source })?;
    Ok(Opened { log, path })
}

/// Reads an open log. The path is for its errors.
pub(super) fn read(file: File, path: &Path) -> Result<EvidenceLog, OpenLogError> {
    EvidenceLog::read(BufReader::new(file), None).map_err(|source| OpenLogError::Log { path: path.to_owned(), source })
}

/// The path of a log's counters.
pub fn counters_path(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(COUNTERS);
    PathBuf::from(name)
}

/// How many bytes of counters belong to the attempts of a log.
pub fn counters_length(log: &EvidenceLog) -> u64 {
    let last = log.attempts().last().map_or(0, |attempt| attempt.seq);
    // Those beyond have no counter of their own.
    let count = last.saturating_add(1).min(u64::try_from(super::writer::COUNTERS).unwrap_or(u64::MAX));
    count.saturating_mul(8)
}

/// Eight bytes for each `seq`, from 0, the lowest first.
fn counters_of(path: &Path, log: &EvidenceLog) -> Result<Option<Vec<u64>>, OpenLogError> {
    let path = counters_path(path);
    let file = match regular(&path) {
        Ok(file) => file,
        Err(OpenLogError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(counters_length(log))
        .read_to_end(&mut bytes)
        .map_err(|source| OpenLogError::Open { path: path.clone(), source })?;
    let (counters, _) = bytes.as_chunks();
    Ok(Some(counters.iter().copied().map(u64::from_le_bytes).collect()))
}

/// Opens a regular file that is no link.
pub(super) fn regular(path: &Path) -> Result<File, OpenLogError> {
    let no_file = |what| OpenLogError::NoFile { path: path.to_owned(), what };
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => OpenLogError::Missing(path.to_owned()),
        Some(libc::ELOOP) => no_file("a symbolic link"),
        Some(libc::ENXIO) => no_file("a socket or a pipe"),
        _ => OpenLogError::Open { path: path.to_owned(), source },
    };
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    match kind {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(no_file("a directory")),
        kind if kind.is_fifo() => Err(no_file("a pipe")),
        _ => Err(no_file("a device")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::{LogBuilder, text_of};

    fn write(folder: &Path, cut: bool) -> PathBuf {
        let mut text = text_of(&LogBuilder::new().build_script("u", |u| u.dns("a.invalid").dns("b.invalid")).lines());
        if cut {
            text.truncate(text.trim_end().rfind('\n').unwrap() + 1);
        }
        let path = folder.join("log.jsonl");
        fs::write(&path, text).unwrap();
        let counters: Vec<u8> = [0_u64, 5, 1, 9].into_iter().flat_map(u64::to_le_bytes).collect();
        fs::write(counters_path(&path), counters).unwrap();
        path
    }

    #[test]
    fn a_log_that_was_cut_off_finds_its_counters_and_a_whole_one_does_not_look() {
        let folder = tempfile::tempdir().unwrap();
        for (cut, counts) in [(true, [5, 1]), (false, [1, 1])] {
            let opened = open(&write(folder.path(), cut)).unwrap();
            assert_eq!(opened.log.attempts().map(|attempt| attempt.count).collect::<Vec<_>>(), counts);
        }
        fs::remove_file(counters_path(&write(folder.path(), true))).unwrap();
        let opened = open(&folder.path().join("log.jsonl")).unwrap();
        assert_eq!(opened.log.attempts().map(|attempt| attempt.count).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn the_path_of_a_log_is_absolute_and_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), false);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert_eq!(open(&link.join("./log.jsonl")).unwrap().path, fs::canonicalize(path).unwrap());
    }

    #[test]
    fn what_is_no_file_is_named_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let path = write(folder.path(), false);
        std::os::unix::fs::symlink(&path, at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let named = |path: &Path| match open(path).unwrap_err() {
            OpenLogError::NoFile { what, .. } => what,
            other => panic!("{other}"),
        };
        assert_eq!(named(&at("link")), "a symbolic link");
        assert_eq!(named(&at("fifo")), "a pipe");
        assert_eq!(named(&at("socket")), "a socket or a pipe");
        assert_eq!(named(folder.path()), "a directory");
        assert_eq!(named(Path::new("/dev/zero")), "a device");
        assert!(matches!(open(&at("nothing")).unwrap_err(), OpenLogError::Missing(_)));
        assert!(matches!(open(&path.join("below")).unwrap_err(), OpenLogError::Missing(_)));
        // The counters are held to the same.
        write(folder.path(), true);
        fs::remove_file(counters_path(&path)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", counters_path(&path)).unwrap();
        assert_eq!(named(&path), "a symbolic link");
    }
}
