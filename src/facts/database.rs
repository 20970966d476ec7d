//! Reads databases of advisories from this machine: a checkout of RustSec's, or OSV records.
//!
//! All that these files say is data. Of RustSec's only the files of the packages in question are read whole: RustSec's own
//! `Database` would parse them all for each question. Its collection `rust` is about the toolchain, whose parts have names
//! and versions of their own: a package called `cargo` or `std` is not what it means.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::advisory::{Record, osv, rustsec};
use crate::ids::plain_name;

/// The largest honest advisories have some tens of kilobytes.
const FILE: u64 = 4 * 1024 * 1024;
/// The beginning of an advisory, in which its date stands.
const BEGINNING: u64 = 1024;
/// So many files are looked at; RustSec has about 1300.
const FILES: usize = 60_000;
/// Unpacked bytes of an archive; RustSec's has some ten megabytes.
const ARCHIVE: u64 = 512 * 1024 * 1024;
/// Folders in folders.
const DEPTH: usize = 6;

/// What was found in one database.
#[derive(Debug, Default)]
pub(super) struct Database {
    /// Advisories about the packages in question.
    pub(super) records: Vec<Record>,
    /// How many advisories there are.
    pub(super) advisories: usize,
    /// The day of the newest advisory of all.
    pub(super) newest: Option<String>,
    /// Advisories about the packages in question that cannot be read, and why.
    pub(super) broken: Vec<String>,
}

/// Reads what a database says about these packages, whose names are in their plain spelling.
pub(super) fn read(path: &Path, names: &BTreeSet<String>) -> Result<Database, String> {
    let failed = |error: io::Error| format!("it cannot be read: {error}");
    fs::metadata(path).map_err(failed)?;
    let crates = path.join("crates");
    let database = if is_archive(path) {
        read_archive(path, names).map_err(failed)?
    } else if crates.is_dir() {
        read_rustsec(&crates, names).map_err(failed)?
    } else {
        read_osv(path, names).map_err(failed)?
    };
    if database.advisories == 0 {
        return Err("it has neither advisories of RustSec (crates/*/*.md) nor OSV records".to_owned());
    }
    Ok(database)
}

fn read_rustsec(crates: &Path, names: &BTreeSet<String>) -> io::Result<Database> {
    let mut database = Database::default();
    for path in files(crates, "md")? {
        database.add(&path, names, || bounded(&path, FILE), || beginning(&path).ok());
    }
    Ok(database)
}

fn is_archive(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    (name.ends_with(b".tar.gz") || name.ends_with(b".tgz")) && path.is_file()
}

/// The same out of an archive: nothing is written, and only what the bounds allow is read.
fn read_archive(path: &Path, names: &BTreeSet<String>) -> io::Result<Database> {
    let mut database = Database::default();
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(path)?).take(ARCHIVE));
    for (count, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        if count > FILES {
            return Err(io::Error::other(format!("it has more than {FILES} files")));
        }
        let place = entry.path()?.into_owned();
        let parts: Vec<&OsStr> = place.iter().collect();
        // `advisory-db-main/crates/NAME/ID.md`
        let is_advisory = matches!(parts.as_slice(), [_, crates, _, file]
            if *crates == "crates" && Path::new(file).extension().is_some_and(|is| is == "md"));
        if !is_advisory || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        (&mut entry).take(FILE + 1).read_to_end(&mut bytes)?;
        let text = if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE) {
            Err(format!("more than {FILE} bytes"))
        } else {
            String::from_utf8(bytes).map_err(|error| error.to_string())
        };
        let start = text.as_deref().ok().map(|text| text.chars().take(1024).collect());
        database.add(&place, names, || text, || start);
    }
    Ok(database)
}

impl Database {
    /// Counts an advisory of RustSec, and reads it whole if it is about one of the packages.
    fn add(
        &mut self,
        path: &Path,
        names: &BTreeSet<String>,
        whole: impl FnOnce() -> Result<String, String>,
        start: impl FnOnce() -> Option<String>,
    ) {
        self.advisories += 1;
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        if folder.is_some_and(|folder| names.contains(&plain_name(folder))) {
            match whole().and_then(|text| rustsec(&text)) {
                Ok(record) => self.records.push(record),
                Err(why) => self.broken.push(format!("{}: {why}", path.display())),
            }
        }
        // A file without a date makes a database no newer.
        let date = start().and_then(|text| date(&text));
        self.newest = self.newest.take().max(date);
    }
}

fn read_osv(path: &Path, names: &BTreeSet<String>) -> io::Result<Database> {
    let mut database = Database::default();
    let paths = if path.is_dir() { files(path, "json")? } else { vec![path.to_owned()] };
    for path in paths {
        match bounded(&path, FILE).and_then(|text| osv(&text)) {
            Ok(records) => {
                database.advisories += 1;
                let newest = records.iter().filter_map(|record| record.advisory.date.clone()).max();
                database.newest = database.newest.take().max(newest);
                database.records.extend(records.into_iter().filter(|record| names.contains(&record.package)));
            }
            // Nobody knows what it is about.
            Err(why) => database.broken.push(format!("{}: {why}", path.display())),
        }
    }
    Ok(database)
}

/// All files with this ending below a folder, sorted. Links are not followed.
fn files(root: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEPTH {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file() && entry.path().extension().is_some_and(|is| is == ending) {
                found.push(entry.path());
            }
            if found.len() + folders.len() > FILES {
                return Err(io::Error::other(format!("it has more than {FILES} files; name a smaller folder")));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn bounded(path: &Path, limit: u64) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    if u64::try_from(text.len()).is_ok_and(|length| length > limit) {
        return Err(format!("more than {limit} bytes"));
    }
    Ok(text)
}

fn beginning(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BEGINNING).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The day in the line `date = "2026-08-20"`.
fn date(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("date = \""))?;
    let day = line.split('"').next()?;
    crate::evidence::time::seconds(day).map(|_| day.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/advisory-db")
    }

    fn said(path: &Path, names: &[&str]) -> Database {
        read(path, &names.iter().map(|name| plain_name(name)).collect()).unwrap()
    }

    #[test]
    fn only_the_advisories_of_the_packages_in_question_are_taken() {
        let database = said(&shipped(), &["evilcheck", "elsewhere"]);
        let ids: Vec<_> = database.records.iter().map(|record| record.advisory.id.as_str()).collect();
        assert_eq!((ids, database.advisories), (vec!["RUSTSEC-2099-0002"], 3));
    }

    #[test]
    fn the_newest_advisory_of_all_tells_how_old_a_database_is() {
        assert_eq!(said(&shipped(), &[]).newest.as_deref(), Some("2026-01-03"));
    }

    #[test]
    fn an_advisory_that_cannot_be_read_is_named_and_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("crates/a");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("RUSTSEC-1.md"), "```toml\nnot toml").unwrap();
        fs::copy(shipped().join("crates/evilcheck/RUSTSEC-2099-0002.md"), place.join("RUSTSEC-2.md")).unwrap();
        let database = said(folder.path(), &["a"]);
        assert_eq!((database.records.len(), database.broken.len()), (1, 1));
        assert!(database.broken[0].contains("RUSTSEC-1.md"), "{:?}", database.broken);
        assert!(said(folder.path(), &["b"]).broken.is_empty());
    }

    #[test]
    fn osv_records_are_read_from_a_file_or_a_folder() {
        let ecosystem = "crates-io".replace('-', ".");
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("x")).unwrap();
        let text = format!(
            r#"{{"id":"MAL-2999-1","published":"2026-02-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"{ecosystem}","name":"evilcheck"}}}}]}}"#
        );
        let file = folder.path().join("x/MAL-2999-1.json");
        fs::write(&file, text).unwrap();
        for path in [folder.path(), &file] {
            let database = said(path, &["evilcheck"]);
            assert_eq!((database.records.len(), database.newest.as_deref()), (1, Some("2026-02-01")));
        }
    }

    #[test]
    fn a_name_in_another_spelling_is_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let ecosystem = "crates-io".replace('-', ".");
        let package = format!(r#"{{"ecosystem":"{ecosystem}","name":"Evil_check"}}"#);
        let file = folder.path().join("MAL-2999-1.json");
        fs::write(&file, format!(r#"{{"id":"MAL-2999-1","affected":[{{"package":{package}}}]}}"#)).unwrap();
        let place = folder.path().join("db/crates/evil_check");
        fs::create_dir_all(&place).unwrap();
        let shipped = fs::read_to_string(shipped().join("crates/evilcheck/RUSTSEC-2099-0002.md")).unwrap();
        fs::write(place.join("RUSTSEC-2099-0002.md"), shipped.replace("\"evilcheck\"", "\"evil_check\"")).unwrap();
        for path in [file, folder.path().join("db")] {
            let records = said(&path, &["evil-check"]).records;
            assert!(matches!(records.as_slice(), [record] if record.covers("evil-check", &"1.0.0".parse().unwrap())));
        }
    }

    #[test]
    fn an_archive_of_a_checkout_says_what_the_checkout_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("main.tar.gz");
        let packed = |top: &str| {
            let file = File::create(&path).unwrap();
            let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
            tar.append_dir_all(top, shipped()).unwrap();
            tar.into_inner().unwrap().finish().unwrap();
        };
        packed("advisory-db-main");
        let (archive, checkout) = (said(&path, &["evilcheck"]), said(&shipped(), &["evilcheck"]));
        assert_eq!((archive.advisories, &archive.newest), (checkout.advisories, &checkout.newest));
        assert_eq!(archive.records[0].advisory, checkout.records[0].advisory);
        assert_eq!(archive.records.len(), 1);
        // Another archive has none, and what is none is said to be.
        packed("some/where/else");
        read(&path, &BTreeSet::new()).unwrap_err();
        fs::write(&path, b"\x1f\x8b no archive").unwrap();
        read(&path, &BTreeSet::new()).unwrap_err();
    }

    #[test]
    fn a_folder_without_advisories_is_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path(), &BTreeSet::new()).unwrap_err();
        assert!(error.contains("neither"), "{error}");
        let error = read(&folder.path().join("absent"), &BTreeSet::new()).unwrap_err();
        assert!(error.starts_with("it cannot be read: ") && !error.contains("neither"), "{error}");
    }
}
