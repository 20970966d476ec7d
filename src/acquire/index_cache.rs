//! Answers of indexes, kept between runs: what a machine without cargo's own copies would ask for each time anew.
//!
//! A file holds one answer: a line that names the format, a line with the header that asks whether it is still the
//! one (empty if the server gave none), and the answer itself. It is as good as the word of the registry that day;
//! archives are held against checksums all the same. Answers wait in the run's folder until all was acquired: of a
//! registry that was caught in a lie nothing is kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tame_index::KrateName;

use super::error::AcquireError;
use super::http::Revision;
use super::registry::read_bounded;
use super::release::{self, Line, Wanted};

const FORMAT: &str = "sandbox-check index 1";

/// What this machine knows of a name.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) revision: Option<Revision>,
    pub(super) lines: Vec<T>,
}

/// The answers of one registry.
#[derive(Debug)]
pub(super) struct IndexCache {
    kept: PathBuf,
    /// Those of this run.
    fresh: PathBuf,
    limit: u64,
}

const KEPT: &str = "index";
const FRESH: &str = "index-answers";

/// Keeps what the indexes answered in this run: all was acquired. What cannot be kept is asked for again.
pub(super) fn keep(run: &Path, cache: &Path) {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let (from, to) = (run.join(FRESH).join(&folder), cache.join(KEPT).join(&folder));
        for entry in fs::read_dir(&from).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(folder.join(entry.file_name()));
            } else if let Err(error) =
                fs::create_dir_all(&to).and_then(|()| fs::rename(entry.path(), to.join(entry.file_name())))
            {
                tracing::debug!(folder = %to.display(), %error, "the answer of an index is not kept");
            }
        }
    }
}

impl IndexCache {
    /// `folder` is the registry's name on disk, `limit` the largest answer in bytes.
    pub(super) fn new(cache: &Path, run: &Path, folder: &str, limit: u64) -> Self {
        Self { kept: cache.join(KEPT).join(folder), fresh: run.join(FRESH).join(folder), limit }
    }

    /// When it was kept; none if there is none.
    pub(super) fn written(&self, krate: KrateName<'_>) -> Option<SystemTime> {
        fs::metadata(self.kept.join(krate.relative_path(None))).and_then(|found| found.modified()).ok()
    }

    /// The answer of then; none if there is none, or what lies there is not one of ours.
    pub(super) fn read<T: Line>(&self, krate: KrateName<'_>, name: &str, wanted: Wanted<'_>) -> Option<Known<T>> {
        let place = self.kept.join(krate.relative_path(None));
        let bytes = read_bounded(&place, self.limit.saturating_add(4096)).ok()??;
        let rest = bytes.strip_prefix(FORMAT.as_bytes())?.strip_prefix(b"\n")?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (header, text) = (rest.get(..end)?, rest.get(end + 1..)?);
        let lines = release::entry(name, text, wanted).ok().filter(|lines: &Vec<T>| !lines.is_empty())?;
        let revision = std::str::from_utf8(header).ok().and_then(Revision::parse);
        Some(Known { revision, lines })
    }

    /// Holds an answer for [`keep`]. One that is kept already, as some servers send it each time, is kept since now.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn write(
        &self,
        krate: KrateName<'_>,
        revision: Option<&Revision>,
        text: &[u8],
    ) -> Result<(), AcquireError> {
        let header = revision.map(ToString::to_string).unwrap_or_default();
        let bytes = [FORMAT.as_bytes(), b"\n", header.as_bytes(), b"\n", text].concat();
        let kept = self.kept.join(krate.relative_path(None));
        // A thousand files that are made anew cost more than the answers.
        let is_kept =
            read_bounded(&kept, self.limit.saturating_add(4096)).is_ok_and(|old| old.as_deref() == Some(&bytes));
        if is_kept && File::open(&kept).and_then(|file| file.set_modified(SystemTime::now())).is_ok() {
            return Ok(());
        }
        let place = self.fresh.join(krate.relative_path(None));
        let folder = place.parent().unwrap_or(&self.fresh);
        fs::create_dir_all(folder).map_err(AcquireError::file("create", folder))?;
        fs::write(&place, bytes).map_err(AcquireError::file("write", &place))
    }
}

#[cfg(test)]
mod tests {
    use super::super::release::Release;
    use super::*;

    const LINE: &str = r#"{"name":"demo","vers":"1.0.0","deps":[],"cksum":"0000000000000000000000000000000000000000000000000000000000000000","features":{},"yanked":false}"#;

    fn krate() -> KrateName<'static> {
        KrateName::try_from("demo").unwrap()
    }

    #[test]
    fn an_answer_is_kept_when_all_is_acquired_with_the_header_that_asks_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, run) = (dir.path().join("cache"), dir.path().join("cache/runs/run-1"));
        let cache = IndexCache::new(&kept, &run, "registry-1", 1 << 20);
        let revision = Revision::etag("\"abc\"");
        cache.write(krate(), Some(&revision), LINE.as_bytes()).unwrap();
        assert!(cache.read::<Release>(krate(), "demo", Wanted::All).is_none(), "the run is not over");
        keep(&run, &kept);
        let known = cache.read::<Release>(krate(), "demo", Wanted::All).unwrap();
        assert_eq!((known.lines.len(), known.revision), (1, Some(revision)));
        cache.write(krate(), None, LINE.as_bytes()).unwrap();
        keep(&run, &kept);
        assert_eq!(cache.read::<Release>(krate(), "demo", Wanted::All).unwrap().revision, None);
    }

    #[test]
    fn an_answer_that_is_kept_already_is_not_written_again_and_counts_as_of_now() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, run) = (dir.path().join("cache"), dir.path().join("cache/runs/run-1"));
        let cache = IndexCache::new(&kept, &run, "registry-1", 1 << 20);
        let place = cache.kept.join(krate().relative_path(None));
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&place).unwrap());
        cache.write(krate(), None, LINE.as_bytes()).unwrap();
        keep(&run, &kept);
        File::open(&place).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let first = inode();
        cache.write(krate(), None, LINE.as_bytes()).unwrap();
        keep(&run, &kept);
        assert_eq!(inode(), first, "the same answer");
        assert!(cache.written(krate()).unwrap() > SystemTime::UNIX_EPOCH);
        cache.write(krate(), Some(&Revision::etag("\"abc\"")), LINE.as_bytes()).unwrap();
        keep(&run, &kept);
        assert_ne!(inode(), first, "another header");
    }

    #[test]
    fn what_is_not_an_answer_to_this_question_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let cache = IndexCache::new(dir.path(), &run, "registry-1", 1 << 20);
        cache.write(krate(), None, LINE.as_bytes()).unwrap();
        keep(&run, dir.path());
        let place = cache.kept.join(krate().relative_path(None));
        let whole = fs::read(&place).unwrap();
        for damaged in [&b""[..], b"sandbox-check index 2\n\n", &whole[..40], b"sandbox-check index 1\n\nnonsense"] {
            fs::write(&place, damaged).unwrap();
            assert!(cache.read::<Release>(krate(), "demo", Wanted::All).is_none(), "{damaged:?}");
        }
        let of_another = String::from_utf8(whole).unwrap().replace("demo", "other");
        fs::write(&place, of_another).unwrap();
        assert!(cache.read::<Release>(krate(), "demo", Wanted::All).is_none());
    }
}
