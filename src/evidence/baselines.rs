//! What was found of each version of a package, a few lines apiece: enough to compare the next version with, long after the
//! evidence is gone, and of runs that pass. And what the last run of a lock file found of all its packages.
//!
//! `baselines/HEX.json` in the folder of evidence, named by the digest of name and version or of what the run was of, so that no
//! name in it comes from a package. An entry is written under another name first, with its digest below it. What another user could
//! have written is not read, nor what has another digest.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::fact::Baseline;
use super::file::regular;
use super::known::make;
use super::line::{LastRun, Tool};
use super::time::DAY;
use crate::ids::{PackageId, Sha256Digest};

/// The folder in that of evidence.
const FOLDER: &str = "baselines";
const FORMAT: &str = "sandbox-check-baseline";
const LAST_FORMAT: &str = "sandbox-check-last-run";
const VERSION: u32 = 1;
/// An entry is a few lines; who finds more than this in a package needs no comparison.
const ENTRY_BYTES: u64 = 256 * 1024;
/// Of the last run of a lock file: one of a thousand packages has some forty thousand.
const LAST_BYTES: u64 = 4 << 20;
/// A new version may come a year after the last.
const AGE: u64 = 365 * DAY;
/// Of all entries: some ten thousand packages.
const BYTES: u64 = 64 << 20;

/// What judged: findings of another policy or program cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedBy {
    /// This program.
    pub tool: Tool,
    /// The policy, by its text.
    pub policy: Sha256Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    format: String,
    version: u32,
    package: PackageId,
    by: JudgedBy,
    found: Baseline,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastEntry {
    format: String,
    version: u32,
    /// What the run was of.
    run: String,
    by: JudgedBy,
    found: LastRun,
}

/// Keeps what was found of packages, in the place of what was kept of the same versions before.
///
/// # Errors
/// When they cannot be written.
pub fn put(folder: &Path, by: &JudgedBy, all: impl IntoIterator<Item = (PackageId, Baseline)>) -> io::Result<()> {
    let mut all = all.into_iter().peekable();
    if all.peek().is_none() {
        return Ok(());
    }
    let folder = folder.join(FOLDER);
    make(&folder)?;
    for (package, found) in all {
        let to = place(&folder, &package);
        let entry = Entry { format: FORMAT.to_owned(), version: VERSION, package, by: by.clone(), found };
        match write(&folder, &to, &entry, ENTRY_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {}
            written => written?,
        }
    }
    Ok(())
}

/// Keeps what a run found, in the place of what was kept of the last one. Where that found the same, its time stays.
///
/// # Errors
/// When it cannot be written, or has more than 4 MiB: then nothing is kept, not even what there was of the run before.
pub fn put_last(dir: &Path, by: &JudgedBy, run: &str, mut found: LastRun) -> io::Result<()> {
    if let Some(last) =
        find_last(dir, by, run).filter(|last| last.packages == found.packages && last.asked == found.asked)
    {
        found.recorded = last.recorded;
    }
    let folder = dir.join(FOLDER);
    make(&folder)?;
    let entry =
        LastEntry { format: LAST_FORMAT.to_owned(), version: VERSION, run: run.to_owned(), by: by.clone(), found };
    write(&folder, &named(&folder, run), &entry, LAST_BYTES)
}

/// What the last run found, if that is kept, is ours, and the same judged.
pub fn find_last(dir: &Path, by: &JudgedBy, run: &str) -> Option<LastRun> {
    let entry: LastEntry = read(&named(&dir.join(FOLDER), run), LAST_BYTES)?;
    let is_it = entry.format == LAST_FORMAT && entry.version == VERSION && entry.run == run && entry.by == *by;
    is_it.then_some(entry.found)
}

/// Puts an entry in the place of the one that was there, which is gone as well where the new one is too long.
fn write(folder: &Path, to: &Path, entry: &impl Serialize, most: u64) -> io::Result<()> {
    let text = sealed(serde_json::to_vec(entry)?);
    if u64::try_from(text.len()).is_ok_and(|length| length > most) {
        let _ = fs::remove_file(to);
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Readable for its owner only.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(&text)?;
    file.persist(to)?;
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path, most: u64) -> Option<T> {
    serde_json::from_slice(unsealed(&contents(path, most)?)?).ok()
}

/// What a file has that is ours and that nobody else can write.
fn contents(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = regular(path).ok()?;
    let meta = file.metadata().ok()?;
    if !is_of_us(&meta) || meta.mode() & 0o022 != 0 {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A text of one line, and its digest on the next: so that one that was cut off or edited is told from what was kept. It is
/// no seal against who may write here and means to deceive.
fn sealed(mut text: Vec<u8>) -> Vec<u8> {
    let digest = Sha256Digest(Sha256::digest(&text).into());
    text.extend(format!("\n{digest}\n").bytes());
    text
}

/// The text, if it has the digest that stands below it.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let lines = bytes.strip_suffix(b"\n")?;
    let (text, below) = lines.split_at_checked(lines.iter().rposition(|byte| *byte == b'\n')?)?;
    let digest: Sha256Digest = std::str::from_utf8(below).ok()?.trim_start().parse().ok()?;
    (digest == Sha256Digest(Sha256::digest(text).into())).then_some(text)
}

/// True where there is something of the last run that is not what was kept.
pub fn is_last_damaged(dir: &Path, run: &str) -> bool {
    let path = named(&dir.join(FOLDER), run);
    fs::symlink_metadata(&path).is_ok() && !is_whole(&path)
}

fn is_whole(path: &Path) -> bool {
    contents(path, LAST_BYTES).is_some_and(|bytes| unsealed(&bytes).is_some())
}

/// Entries of ours that are not what was kept, or that others can write: no run compares with them, and the next one with
/// the same package or lock file writes them anew.
pub fn damaged(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(FOLDER)).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.metadata().is_ok_and(|meta| is_of_us(&meta)));
    let is_entry = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut all: Vec<_> = ours.map(|entry| entry.path()).filter(|path| is_entry(path) && !is_whole(path)).collect();
    all.sort_unstable();
    all
}

/// What was found of a version, if that is kept, is ours, and the same judged.
pub fn find(folder: &Path, by: &JudgedBy, package: &PackageId) -> Option<Baseline> {
    let entry: Entry = read(&place(&folder.join(FOLDER), package), ENTRY_BYTES)?;
    let is_it = entry.format == FORMAT && entry.version == VERSION && entry.package == *package && entry.by == *by;
    (is_it && entry.found.version == package.version).then_some(entry.found)
}

/// Removes what is too old, and the oldest of what is too much.
pub fn sweep(folder: &Path, now: u64) {
    sweep_within(folder, now, AGE, BYTES);
}

fn sweep_within(folder: &Path, now: u64, oldest: u64, most: u64) {
    let entries = fs::read_dir(folder.join(FOLDER)).into_iter().flatten().flatten();
    let mut all: Vec<(u64, u64, PathBuf)> = entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(|meta| meta.is_file() && is_of_us(meta))?;
            let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
            Some((now.saturating_sub(changed), meta.len(), entry.path()))
        })
        .collect();
    all.sort_unstable();
    let mut total = 0;
    for (age, bytes, path) in all {
        total += bytes;
        if age > oldest || total > most {
            let _ = fs::remove_file(path);
        }
    }
}

fn place(folder: &Path, package: &PackageId) -> PathBuf {
    named(folder, &package.to_string())
}

fn named(folder: &Path, what: &str) -> PathBuf {
    let name = Sha256Digest(Sha256::digest(what).into());
    folder.join(format!("{}.json", name.hex()))
}

fn is_of_us(meta: &fs::Metadata) -> bool {
    meta.uid() == nix::unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    use super::super::fact::BaselineFinding;
    use super::super::line::LastPackage;
    use super::*;

    fn by(policy: u8) -> JudgedBy {
        JudgedBy { tool: Tool { name: "x".to_owned(), version: "1".to_owned() }, policy: Sha256Digest([policy; 32]) }
    }

    fn found(version: &str, subject: &str) -> (PackageId, Baseline) {
        let finding = BaselineFinding { subject: subject.to_owned(), ..BaselineFinding::default() };
        let data = Baseline { version: version.to_owned(), findings: vec![finding], ..Baseline::default() };
        (PackageId::new("a", version), data)
    }

    #[test]
    fn what_was_kept_is_found_by_who_judges_alike_and_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (found("1.0.0", "x"), found("2.0.0", "y"));
        put(folder.path(), &by(1), [one.clone(), two.clone()]).unwrap();
        let find = |by: &JudgedBy, id: &PackageId| find(folder.path(), by, id);
        assert_eq!((find(&by(1), &one.0), find(&by(1), &two.0)), (Some(one.1.clone()), Some(two.1)));
        assert_eq!((find(&by(2), &one.0), find(&by(1), &PackageId::new("a", "3.0.0"))), (None, None));
        // What is newer takes the place.
        let again = found("1.0.0", "z");
        put(folder.path(), &by(1), [again.clone()]).unwrap();
        assert_eq!(find(&by(1), &one.0), Some(again.1));
        let path = place(&folder.path().join(FOLDER), &one.0);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        assert_eq!(find(&by(1), &one.0), None);
        // One that stands under the name of another is not that one.
        fs::rename(place(&folder.path().join(FOLDER), &PackageId::new("a", "2.0.0")), &path).unwrap();
        assert_eq!(find(&by(1), &one.0), None);
    }

    #[test]
    fn what_is_old_and_the_oldest_of_too_much_goes() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut bytes = 0;
        for (version, age) in [("1.0.0", 400), ("2.0.0", 30), ("3.0.0", 2)] {
            let entry = found(version, "x");
            put(folder.path(), &by(1), [entry.clone()]).unwrap();
            let file = File::options().write(true).open(place(&folder.path().join(FOLDER), &entry.0)).unwrap();
            file.set_modified(now - Duration::from_secs(age * DAY)).unwrap();
            bytes = file.metadata().unwrap().len();
        }
        let left = || {
            let is_there = |version: &&str| find(folder.path(), &by(1), &PackageId::new("a", *version)).is_some();
            ["1.0.0", "2.0.0", "3.0.0"].into_iter().filter(is_there).collect::<Vec<_>>()
        };
        assert_eq!(left().len(), 3);
        sweep(folder.path(), seconds);
        assert_eq!(left(), ["2.0.0", "3.0.0"]);
        sweep_within(folder.path(), seconds, AGE, bytes);
        assert_eq!(left(), ["3.0.0"]);
    }

    #[test]
    fn more_than_anybody_reads_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let large = found("1.0.0", &"x".repeat(300 * 1024));
        put(folder.path(), &by(1), [large.clone()]).unwrap();
        assert_eq!(find(folder.path(), &by(1), &large.0), None);
    }

    #[test]
    fn of_a_run_with_many_findings_all_are_kept_and_of_one_with_too_many_nothing_older_stays() {
        let folder = tempfile::tempdir().unwrap();
        let run = |length: usize| {
            let (id, mut found) = found("1.0.0", "x");
            found.findings[0].subject = "x".repeat(length);
            let packages = vec![LastPackage { id, is_partial: false, findings: found.findings }];
            LastRun { packages, ..LastRun::default() }
        };
        let kept = || find_last(folder.path(), &by(1), "a run").map(|last| last.packages[0].findings[0].subject.len());
        put_last(folder.path(), &by(1), "a run", run(1 << 20)).unwrap();
        assert_eq!(kept(), Some(1 << 20));
        let error = put_last(folder.path(), &by(1), "a run", run(5 << 20)).unwrap_err();
        assert_eq!((error.kind(), kept()), (io::ErrorKind::FileTooLarge, None));
    }

    #[test]
    fn what_was_edited_or_cut_off_is_compared_with_nothing_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (id, first) = found("1.0.0", "subject");
        let packages = vec![LastPackage { id, is_partial: false, findings: first.findings }];
        let run = LastRun { packages, ..LastRun::default() };
        let path = named(&folder.path().join(FOLDER), "a run");
        let state = || (find_last(folder.path(), &by(1), "a run").is_some(), is_last_damaged(folder.path(), "a run"));
        assert_eq!((state(), damaged(folder.path())), ((false, false), vec![]));
        put_last(folder.path(), &by(1), "a run", run).unwrap();
        assert_eq!((state(), damaged(folder.path())), ((true, false), vec![]));
        let whole = fs::read_to_string(&path).unwrap();
        let without_digest = whole.lines().next().unwrap().to_owned();
        for other in
            [whole.replace("subject", "another"), without_digest, whole[..whole.len() / 2].to_owned(), String::new()]
        {
            fs::write(&path, &other).unwrap();
            assert_eq!((state(), damaged(folder.path())), ((false, true), vec![path.clone()]), "{other}");
        }
        fs::write(&path, whole).unwrap();
        assert_eq!((state(), damaged(folder.path())), ((true, false), vec![]));
    }
}
