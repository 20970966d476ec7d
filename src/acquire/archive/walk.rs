//! Goes through an archive once and checks every entry before it is handed on.

use std::io::{self, Read};
use std::path::Path;

use tar::{Archive, EntryType};

use super::extension::{EXTENSION_BYTES, Pending, check_global};
use super::inflate::Inflating;
use super::names::{Names, Shape};
use super::refusal::{Reason, Refusal};

/// The size of a tar block.
const BLOCK: u64 = 512;

/// What to do with each entry that passed.
pub(super) trait Visitor {
    /// A folder below the top; the top folder itself has an empty path.
    fn folder(&mut self, path: &Path) -> io::Result<()>;
    /// A file with exactly the contents that `contents` gives.
    fn file(&mut self, path: &Path, executable: bool, contents: &mut dyn Read) -> io::Result<()>;
}

/// Bounds of one walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// A walk fails because of the archive, or because the visitor could not do its part.
#[derive(Debug)]
pub(super) enum WalkError {
    Refused(Refusal),
    Visitor(io::Error),
}

impl From<Refusal> for WalkError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Walks through all entries; gives the names for what they tell.
pub(super) fn walk(
    inflating: Inflating<'_>,
    top: Option<&str>,
    bounds: Bounds,
    visitor: &mut dyn Visitor,
) -> Result<Names, WalkError> {
    let stream = Stream { inner: inflating, read: 0, limit: bounds.bytes, exceeded: false };
    let mut archive = Archive::new(stream);
    let mut names = Names::below(top);
    let outcome = entries(&mut archive, bounds, &mut names, visitor);
    let stream = archive.into_inner();
    // What the reader calls an error is the limit if the limit was what stopped it.
    let over = || Refusal::whole(Reason::TooManyBytes { limit: bounds.bytes });
    match outcome {
        Err(WalkError::Refused(_)) if stream.exceeded => return Err(over().into()),
        Err(error) => return Err(error),
        Ok(end) => check_end(stream, end, over)?,
    }
    Ok(names)
}

/// Gives the position behind the last entry.
fn entries(
    archive: &mut Archive<Stream<'_>>,
    bounds: Bounds,
    names: &mut Names,
    visitor: &mut dyn Visitor,
) -> Result<u64, WalkError> {
    let mut pending = Pending::default();
    let (mut count, mut end) = (0_u64, 0_u64);
    for entry in archive.entries().map_err(malformed)?.raw(true) {
        let mut entry = entry.map_err(malformed)?;
        count += 1;
        if count > bounds.entries {
            return Err(Refusal::whole(Reason::TooManyEntries { limit: bounds.entries }).into());
        }
        let kind = entry.header().entry_type();
        let header_name = header_name(entry.header()).map_err(|reason| named(entry.header(), reason))?;
        let size = plain_size(entry.header()).map_err(|reason| Refusal::entry(&header_name, reason))?;
        end = entry.raw_file_position().saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
        if let EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName = kind {
            let data = extension(&mut entry, size).map_err(|reason| Refusal::entry(&header_name, reason))?;
            let outcome = match kind {
                EntryType::XHeader => pending.pax(&data),
                EntryType::GNULongName => pending.long_name(&data),
                _ => check_global(&data),
            };
            outcome.map_err(|reason| Refusal::entry(&header_name, reason))?;
            continue;
        }
        let name = match pending.take_name() {
            Ok(name) => name.unwrap_or(header_name),
            Err(reason) => return Err(Refusal::entry(&header_name, reason).into()),
        };
        one(&mut entry, kind, &name, size, names, visitor)?;
    }
    if !pending.is_empty() {
        let what = "an extended header without an entry";
        return Err(Refusal::whole(Reason::BadExtension { what }).into());
    }
    if count == 0 {
        return Err(Refusal::whole(Reason::Empty).into());
    }
    Ok(end)
}

fn one<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    kind: EntryType,
    name: &[u8],
    size: u64,
    names: &mut Names,
    visitor: &mut dyn Visitor,
) -> Result<(), WalkError> {
    let refuse = |reason| WalkError::Refused(Refusal::entry(name, reason));
    let shape = match kind {
        EntryType::Regular => Shape::File,
        EntryType::Directory => Shape::Folder,
        EntryType::Symlink => return Err(refuse(Reason::Link { kind: "symbolic" })),
        EntryType::Link | EntryType::GNULongLink => return Err(refuse(Reason::Link { kind: "hard" })),
        other => return Err(refuse(Reason::SpecialEntry { type_byte: other.as_byte() })),
    };
    let path = names.accept(name, shape).map_err(refuse)?;
    let mode = entry.header().mode().map_err(|error| refuse(Reason::Malformed { what: error.to_string() }))?;
    if mode & 0o6000 != 0 {
        return Err(refuse(Reason::SpecialMode { mode }));
    }
    match shape {
        Shape::Folder if size > 0 => Err(refuse(Reason::FolderWithData { size })),
        Shape::Folder => visitor.folder(&path).map_err(WalkError::Visitor),
        Shape::File => {
            let mut contents = Contents { entry, left: size, failed: None };
            let written = visitor.file(&path, mode & 0o111 != 0, &mut contents);
            match (contents.failed, contents.left, written) {
                (Some(failed), _, _) => Err(malformed(failed)),
                (None, 1.., Ok(())) => Err(refuse(Reason::Truncated { declared: size })),
                (None, _, written) => written.map_err(WalkError::Visitor),
            }
        }
    }
}

/// The contents of one file. Keeps apart what went wrong in the archive from what went wrong in the visitor.
struct Contents<'a, 'b, R: Read> {
    entry: &'a mut tar::Entry<'b, R>,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Contents<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.entry.read(buffer) {
            Ok(count) => {
                self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                Err(copy)
            }
        }
    }
}

fn malformed(error: impl std::fmt::Display) -> WalkError {
    WalkError::Refused(Refusal::whole(Reason::Malformed { what: error.to_string() }))
}

fn named(header: &tar::Header, reason: Reason) -> Refusal {
    Refusal::entry(&header.path_bytes(), reason)
}

/// The name as the header has it, which must end at its first NUL.
fn header_name(header: &tar::Header) -> Result<Vec<u8>, Reason> {
    let ended = |field: &[u8]| match field.iter().position(|byte| *byte == 0) {
        Some(end) => field.iter().skip(end).all(|byte| *byte == 0),
        None => true,
    };
    let prefix_ends = header.as_ustar().is_none_or(|ustar| ended(&ustar.prefix));
    if ended(&header.as_old().name) && prefix_ends {
        Ok(header.path_bytes().into_owned())
    } else {
        Err(Reason::NulInName)
    }
}

/// The size as octal digits. Base 256 is for files beyond 8 GiB and for tricks.
fn plain_size(header: &tar::Header) -> Result<u64, Reason> {
    let digits = header.as_old().size.iter().all(|byte| matches!(byte, b'0'..=b'7' | b' ' | 0));
    if !digits {
        return Err(Reason::BadSize);
    }
    header.entry_size().map_err(|_| Reason::BadSize)
}

fn extension<R: Read>(entry: &mut tar::Entry<'_, R>, size: u64) -> Result<Vec<u8>, Reason> {
    if size > EXTENSION_BYTES {
        return Err(Reason::BadExtension { what: "it is too large" });
    }
    let mut data = Vec::new();
    entry.read_to_end(&mut data).map_err(|error| Reason::Malformed { what: error.to_string() })?;
    if u64::try_from(data.len()) == Ok(size) { Ok(data) } else { Err(Reason::Truncated { declared: size }) }
}

/// Behind the last entry there must be one block of zeros at least, and nothing else.
fn check_end(mut stream: Stream<'_>, end: u64, over: impl Fn() -> Refusal) -> Result<(), WalkError> {
    if stream.read < end.saturating_add(BLOCK) {
        return Err(Refusal::whole(Reason::NoEnd).into());
    }
    let mut buffer = vec![0; 8192];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) if stream.exceeded => return Err(over().into()),
            Err(error) => return Err(malformed(error)),
        };
        if buffer.iter().take(count).any(|byte| *byte != 0) {
            return Err(Refusal::whole(Reason::TrailingData).into());
        }
    }
    // A second gzip member or anything else that another reader might use.
    if stream.inner.is_used_up() { Ok(()) } else { Err(Refusal::whole(Reason::TrailingData).into()) }
}

/// The unpacked stream, bounded and counted.
struct Stream<'a> {
    inner: Inflating<'a>,
    read: u64,
    limit: u64,
    exceeded: bool,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read = self.read.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if self.read > self.limit {
            self.exceeded = true;
            return Err(io::Error::other("the archive is too large when unpacked"));
        }
        Ok(count)
    }
}
