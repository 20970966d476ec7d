//! Unpacks `.crate` files that an attacker made: all of it or nothing.
//!
//! `tar`'s own `unpack` is never used. The archive is walked twice: once to
//! check everything while nothing is written, then again, with the same checks,
//! to write. Files are created anew in folders that this walk made itself, so
//! no link can be followed.

mod extension;
mod inflate;
mod names;
mod refusal;
mod walk;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use self::inflate::{Inflating, inflate};
pub use self::refusal::{Reason, Refusal};
use self::walk::{Bounds, Visitor, WalkError, walk};
use super::embedded;
use super::error::AcquireError;
use super::facts::{CASE_COLLISION, Found};
use super::settings::Limits;
use crate::evidence::bytes::Bytes;
use crate::ids::{PackageId, Sha256Digest};

/// cargo's own note in a directory source; never taken from an archive.
const CHECKSUM_FILE: &str = ".cargo-checksum.json";

/// Unpacks `packed` to the new folder `to`. Everything in it must lie below `NAME-VERSION/` of `package`.
///
/// The caller has compared the checksum of exactly these bytes.
pub(crate) fn unpack(
    packed: &[u8],
    package: &PackageId,
    checksum: Sha256Digest,
    to: &Path,
    limits: &Limits,
) -> Result<Vec<Found>, AcquireError> {
    let top = format!("{}-{}", package.name, package.version);
    let bounds = bounds(packed, limits);
    let refused = |error: WalkError| match error {
        WalkError::Refused(refusal) => AcquireError::UnsafeArchive { package: Box::new(package.clone()), refusal },
        WalkError::Visitor(source) => AcquireError::File { doing: "unpack to", path: to.to_owned(), source },
    };
    let held = inflate(packed);
    let stream = || Inflating::new(packed, held.as_deref());
    let names = walk(stream(), Some(&top), bounds, &mut Scan).map_err(refused)?;
    let mut writer = Writer { root: to, made: BTreeSet::new(), found: Vec::new() };
    let written = writer.make_folder(Path::new("")).map_err(WalkError::Visitor);
    let written = written.and_then(|()| walk(stream(), Some(&top), bounds, &mut writer).map(|_| ()));
    let written = written.and_then(|()| writer.checksum_file(checksum).map_err(WalkError::Visitor));
    if let Err(error) = written {
        // The first walk passed, so this is the disk. What was written is of no use to anyone.
        let _ = fs::remove_dir_all(to);
        return Err(refused(error));
    }
    let mut found = writer.found;
    found.extend(names.collisions.into_iter().map(|(first, second)| Found {
        code: CASE_COLLISION,
        text: format!("`{}` and `{}` differ by case only", Bytes(first), Bytes(second.clone())),
        path: Some(second),
    }));
    Ok(found)
}

/// The name of the single folder at the top of an archive whose package is not known yet.
pub(crate) fn top_folder(packed: &[u8], limits: &Limits) -> Result<String, Refusal> {
    match walk(Inflating::new(packed, None), None, bounds(packed, limits), &mut Scan) {
        Ok(names) => names.top().map(str::to_owned).ok_or_else(|| Refusal::whole(Reason::Empty)),
        Err(WalkError::Refused(refusal)) => Err(refusal),
        Err(WalkError::Visitor(error)) => Err(Refusal::whole(Reason::Malformed { what: error.to_string() })),
    }
}

fn bounds(packed: &[u8], limits: &Limits) -> Bounds {
    let packed = u64::try_from(packed.len()).unwrap_or(u64::MAX);
    Bounds { entries: limits.entries, bytes: limits.unpacked_bytes.max(packed.saturating_mul(20)) }
}

/// Reads everything and keeps nothing.
struct Scan;

impl Visitor for Scan {
    fn folder(&mut self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, _path: &Path, _executable: bool, contents: &mut dyn Read) -> io::Result<()> {
        io::copy(contents, &mut io::sink()).map(|_| ())
    }
}

/// Writes what the walk found good.
struct Writer<'a> {
    root: &'a Path,
    /// Folders that are there already; most files have the same few.
    made: BTreeSet<PathBuf>,
    found: Vec<Found>,
}

impl Writer<'_> {
    fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        if !self.made.contains(path) {
            make_folders(self.root, path)?;
            self.made.insert(path.to_owned());
        }
        Ok(())
    }

    fn checksum_file(&self, checksum: Sha256Digest) -> io::Result<()> {
        write_checksum_file(self.root, checksum)
    }
}

impl Visitor for Writer<'_> {
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        self.make_folder(path)
    }

    fn file(&mut self, path: &Path, executable: bool, contents: &mut dyn Read) -> io::Result<()> {
        if path == Path::new(CHECKSUM_FILE) {
            return io::copy(contents, &mut io::sink()).map(|_| ());
        }
        self.make_folder(path.parent().unwrap_or(Path::new("")))?;
        let place = self.root.join(path);
        if !embedded::is_setting(path) {
            return write_new(&place, executable, contents);
        }
        // Small files: the rest of a large one is written behind what is looked at.
        let mut text = Vec::new();
        Read::take(&mut *contents, embedded::READ).read_to_end(&mut text)?;
        write_new(&place, executable, &mut text.as_slice().chain(contents))?;
        self.found.push(embedded::look(path, &text));
        Ok(())
    }
}

/// Makes a folder and its parents below `root`, all 0755.
pub(crate) fn make_folders(root: &Path, path: &Path) -> io::Result<()> {
    let mut place = PathBuf::from(root);
    let parts = std::iter::once(None).chain(path.components().map(Some));
    for part in parts {
        if let Some(part) = part {
            place.push(part);
        }
        match DirBuilder::new().mode(0o755).create(&place) {
            // The mode again, since the umask was applied.
            Ok(()) => fs::set_permissions(&place, Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Creates a file that is not there yet, 0644 or 0755 whatever the umask is.
pub(crate) fn write_new(place: &Path, executable: bool, contents: &mut dyn Read) -> io::Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    // O_EXCL creates nothing through a link.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(place)?;
    io::copy(contents, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.flush()
}

/// Writes what makes a folder a package of a directory source.
pub(crate) fn write_checksum_file(root: &Path, checksum: Sha256Digest) -> io::Result<()> {
    let text = format!("{{\"files\":{{}},\"package\":\"{}\"}}", checksum.hex());
    write_new(&root.join(CHECKSUM_FILE), false, &mut text.as_bytes())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twins_tests;
