//! Captures bytes for the evidence: what a unit runs, sends and drops.
//!
//! A file is captured through the object that was found when its start was decoded, before the
//! answer. Only regular files are read, without waiting, within bounds; what was captured never
//! gets back to a unit. What lies in folders that nothing inside can write is not captured, nor
//! is what the verified archive holds with the very same bytes.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use super::caller::Proc;
use super::open;
use super::started::Start;
use super::units::Unit;
use crate::evidence::Bytes;
use crate::evidence::line::{Address, Artifact, Captured, Line, Note, UnitKind, note};
use crate::evidence::store::{Bounds, Store, Stored};
use crate::evidence::writer::EvidenceWriter;
use crate::ids::Sha256Digest;

/// Bytes of one file that are hashed, and that are kept.
pub(super) const FILE: Bounds = Bounds { read: 64 << 20, keep: 16 << 20 };
/// Written paths of a unit that are looked at when it has ended.
const WRITTEN: usize = 512;

/// What one unit may still have captured of one sort.
#[derive(Debug)]
struct Room {
    lines: u32,
    files: u32,
    bytes: Bounds,
}

/// What was captured of one unit.
#[derive(Debug)]
pub(super) struct Captures {
    seen: HashSet<(Captured, Vec<u8>, Option<Sha256Digest>)>,
    programs: Room,
    messages: Room,
    dropped: Room,
    /// Files that it opened for writing or named outside of its own places, with the attempt.
    written: BTreeMap<PathBuf, Option<u64>>,
    told: HashSet<(&'static str, Captured)>,
}

impl Default for Captures {
    fn default() -> Self {
        let files = || Room { lines: 512, files: 64, bytes: Bounds { read: 512 << 20, keep: 64 << 20 } };
        Self {
            seen: HashSet::new(),
            programs: files(),
            messages: Room { lines: 256, files: 256, bytes: Bounds { read: 1 << 20, keep: 1 << 20 } },
            dropped: files(),
            written: BTreeMap::new(),
            told: HashSet::new(),
        }
    }
}

impl Captures {
    /// Remembers a file for the end of the unit.
    pub(super) fn wrote(&mut self, path: &Path, attempt: Option<u64>) {
        if self.written.len() < WRITTEN || self.written.contains_key(path) {
            self.written.insert(path.to_owned(), attempt);
        }
    }

    fn room(&mut self, what: Captured) -> &mut Room {
        match what {
            Captured::Program | Captured::Script => &mut self.programs,
            Captured::Sent => &mut self.messages,
            // Expansions are bounded where they are made.
            Captured::Dropped | Captured::Expansion => &mut self.dropped,
        }
    }
}

/// Opens a plain file for reading; a lease on it keeps nobody waiting.
pub(super) fn read(object: &OwnedFd, procfs: &Proc) -> io::Result<File> {
    procfs.reopen(object, OFlag::O_RDONLY).map(File::from).map_err(Into::into)
}

/// What capturing needs.
pub(super) struct Capturer<'a> {
    pub(super) evidence: &'a mut EvidenceWriter,
    pub(super) store: &'a mut Store,
    pub(super) procfs: &'a Proc,
}

impl Capturer<'_> {
    /// Captures files that are about to run. An error means that evidence cannot be written.
    pub(super) fn started(&mut self, unit: &mut Unit, starts: Vec<Start>) -> io::Result<()> {
        let attempt = self.evidence.last_seq();
        for Start { what, path, object } in starts {
            self.file(unit, (what, &path, attempt), &object)?;
        }
        Ok(())
    }

    /// Captures a message. `size` is what the caller wanted to send, of which `bytes` could be read.
    pub(super) fn sent(
        &mut self,
        unit: &mut Unit,
        attempt: Option<u64>,
        to: Option<&Address>,
        (bytes, size): (&[u8], u64),
    ) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        self.take(unit, (Captured::Sent, &destination(to), attempt), size, bytes)
    }

    /// When all of a unit is dead: the files that it wrote outside of its own places, as they lie there now.
    pub(super) fn dropped(&mut self, unit: &mut Unit) -> io::Result<()> {
        for (path, attempt) in std::mem::take(&mut unit.captures.written) {
            // Removed since, or something else by now: the attempt stands without it.
            let Ok(object) = open::without_links(&path) else { continue };
            if open::is_plain_file(&object) {
                self.file(unit, (Captured::Dropped, &path, attempt), &object)?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        unit: &mut Unit,
        (what, path, attempt): (Captured, &Path, Option<u64>),
        object: &OwnedFd,
    ) -> io::Result<()> {
        let size = fstat(object).ok().and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or(0);
        let path = path.as_os_str().as_bytes();
        match read(object, self.procfs) {
            Ok(file) => self.take(unit, (what, path, attempt), size, file),
            Err(error) => self.failed(unit, (what, path), &error),
        }
    }

    fn take(
        &mut self,
        unit: &mut Unit,
        (what, path, attempt): (Captured, &[u8], Option<u64>),
        size: u64,
        source: impl Read,
    ) -> io::Result<()> {
        if unit.kind == UnitKind::SelfTest {
            return Ok(());
        }
        let room = unit.captures.room(what);
        if room.lines == 0 {
            return self.tell(unit, (note::CAPTURE_BOUND, what), beyond(what).to_owned());
        }
        let keep = if room.files == 0 { 0 } else { FILE.keep.min(room.bytes.keep) };
        let bounds = Bounds { read: FILE.read.min(room.bytes.read), keep };
        let Stored { sha256, read, kept, is_new } = match self.store.take(source, bounds) {
            Ok(stored) => stored,
            Err(error) => return self.failed(unit, (what, path), &error),
        };
        room.bytes.read = room.bytes.read.saturating_sub(read);
        if is_new {
            room.bytes.keep = room.bytes.keep.saturating_sub(kept);
            room.files -= 1;
        }
        if !unit.captures.seen.insert((what, path.to_owned(), sha256)) {
            return Ok(());
        }
        unit.captures.room(what).lines -= 1;
        self.evidence.write(&Line::Artifact(Artifact {
            unit: unit.id,
            path: Bytes::from(path),
            sha256,
            size: size.max(read),
            what,
            attempt,
            kept,
            truncated: (sha256.is_some() && read < size) || (kept > 0 && kept < size),
        }))
    }

    fn failed(
        &mut self,
        unit: &mut Unit,
        (what, path): (Captured, &[u8]),
        error: &dyn std::error::Error,
    ) -> io::Result<()> {
        let text = format!("{} could not be captured: {}", Bytes::from(path), crate::error_chain(error));
        self.tell(unit, (note::CAPTURE_FAILED, what), text)
    }

    /// Once for each unit and sort: the first says why.
    fn tell(&mut self, unit: &mut Unit, (code, what): (&'static str, Captured), text: String) -> io::Result<()> {
        if !unit.captures.told.insert((code, what)) {
            return Ok(());
        }
        self.evidence.write(&Line::Note(Note {
            code: code.to_owned(),
            package: unit.package.clone(),
            unit: Some(unit.id),
            text,
            limit: None,
        }))
    }
}

fn beyond(what: Captured) -> &'static str {
    match what {
        Captured::Program | Captured::Script => "not every file that the unit ran is listed",
        Captured::Sent => "not every message that the unit sent is listed",
        Captured::Dropped => "not every file that the unit dropped is listed",
        Captured::Expansion => "not everything that the macros made is listed",
    }
}

/// The address as text; the bytes of the path of a unix socket.
fn destination(to: Option<&Address>) -> Vec<u8> {
    match to {
        Some(Address { ip: Some(ip), port: Some(port), .. }) => {
            std::net::SocketAddr::new(*ip, *port).to_string().into_bytes()
        }
        Some(Address { path: Some(path), .. }) => path.0.clone(),
        Some(Address { family, .. }) => family.clone().into_bytes(),
        None => Vec::new(),
    }
}
