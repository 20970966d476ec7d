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
use super::units::Unit;
use super::zones::{Zone, Zones};
use super::{links, open};
use crate::evidence::Bytes;
use crate::evidence::line::{Address, Artifact, Captured, Line, Note, Object, ProgramFile, UnitKind, note};
use crate::evidence::store::{Bounds, Store, Stored};
use crate::evidence::writer::EvidenceWriter;
use crate::ids::Sha256Digest;

/// Bytes of one file that are hashed, and that are kept.
const FILE: Bounds = Bounds { read: 64 << 20, keep: 16 << 20 };
/// Written paths of a unit that are looked at when it has ended.
const WRITTEN: usize = 512;
/// A script may name a script: as often as the kernel follows, and once more.
const NESTED: usize = 6;
/// Arguments of an interpreter that are looked at.
const ARGUMENTS: usize = 8;

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
    told: HashSet<&'static str>,
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
            Captured::Dropped => &mut self.dropped,
        }
    }
}

/// A file that is about to run.
#[derive(Debug)]
pub(super) struct Start {
    what: Captured,
    path: PathBuf,
    object: OwnedFd,
}

/// The program of a start and the script that it is given, but for what came with the system, the toolchain, the
/// user's gifts or the archive.
pub(super) fn started(
    object: &Object,
    program: Option<OwnedFd>,
    (tid, unit): (i32, &Unit),
    zones: &Zones,
    procfs: &Proc,
) -> Vec<Start> {
    let Object::Program { program: named, file, argv, .. } = object else { return Vec::new() };
    let is_interpreter = [&named.path, &named.resolved].into_iter().any(|path| is_interpreter(path.as_path()));
    let script = if is_interpreter { script_of(argv, tid, procfs) } else { None };
    let mut parts: Vec<_> = script.map(|script| (Captured::Script, script)).into_iter().collect();
    let mut next = program.map(|program| (*file, program));
    for _ in 0..NESTED {
        let Some((file, program)) = next.take() else { break };
        if file == ProgramFile::Script {
            next = interpreter_of(&program, tid, procfs);
            parts.push((Captured::Script, program));
        } else {
            parts.push((Captured::Program, program));
        }
    }
    let of_the_unit = |(what, object): (Captured, OwnedFd)| {
        let path = procfs.own_descriptor(&object)?;
        let is_fixed = zones.is_our_tool(&path) || matches!(zones.of(&path, unit.kind, &unit.places), Zone::Fixed(_));
        let start = Start { what, path, object };
        (!is_fixed && open::is_plain_file(&start.object) && !is_of_the_archive(&start, zones, procfs)).then_some(start)
    };
    parts.into_iter().filter_map(of_the_unit).collect()
}

/// What the kernel starts for a script: the program that its first line names.
fn interpreter_of(script: &OwnedFd, tid: i32, procfs: &Proc) -> Option<(ProgramFile, OwnedFd)> {
    /// Bytes of a file that the kernel looks at (`BINPRM_BUF_SIZE`).
    const LOOKED_AT: u64 = 256;
    let mut first = Vec::new();
    read(script, procfs).ok()?.take(LOOKED_AT).read_to_end(&mut first).ok()?;
    let program = named_in(&first)?;
    let object = links::object_of(tid, None, program, procfs).ok()?;
    Some((open::program_file(&object, procfs), object))
}

/// The path behind `#!`.
fn named_in(first: &[u8]) -> Option<&[u8]> {
    let line = first.strip_prefix(b"#!")?.split(|byte| *byte == b'\n' || *byte == 0).next()?;
    line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())
}

/// By the name without its version: `python3.11` is `python`.
fn is_interpreter(program: &Path) -> bool {
    const NAMES: &[&[u8]] = &[
        b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"mksh", b"busybox", b"python", b"pypy", b"perl", b"ruby",
        b"node", b"nodejs", b"php", b"lua", b"luajit", b"tclsh",
    ];
    let name = program.file_name().map(std::ffi::OsStr::as_bytes).unwrap_or_default();
    let end = name.iter().rposition(|byte| !(byte.is_ascii_digit() || *byte == b'.' || *byte == b'-'));
    NAMES.contains(&end.and_then(|end| name.get(..=end)).unwrap_or_default())
}

/// The first argument that is no option and names a file.
fn script_of(argv: &[Bytes], tid: i32, procfs: &Proc) -> Option<OwnedFd> {
    let named = argv.iter().skip(1).filter(|argument| !argument.0.starts_with(b"-") && !argument.0.is_empty());
    named
        .take(ARGUMENTS)
        .filter_map(|argument| links::object_of(tid, None, &argument.0, procfs).ok())
        .find(open::is_plain_file)
}

/// True if the read-only source of the package holds the very same bytes at the same place.
fn is_of_the_archive(start: &Start, zones: &Zones, procfs: &Proc) -> bool {
    let same = |original: PathBuf| {
        let original = open::without_links(&original).ok().filter(open::is_plain_file)?;
        let (one, other) = (fstat(&start.object).ok()?, fstat(&original).ok()?);
        let (one, other) = (u64::try_from(one.st_size).ok()?, u64::try_from(other.st_size).ok()?);
        if one != other || one > FILE.keep {
            return None;
        }
        let (mut one, mut other) = (read(&start.object, procfs).ok()?, read(&original, procfs).ok()?);
        is_same(&mut one, &mut other).ok()
    };
    zones.in_the_archive(&start.path).and_then(same).unwrap_or(false)
}

fn is_same(one: &mut impl Read, other: &mut impl Read) -> io::Result<bool> {
    const AT_ONCE: u64 = 64 * 1024;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut room = FILE.keep + 1;
    while room > 0 {
        left.clear();
        right.clear();
        one.by_ref().take(AT_ONCE).read_to_end(&mut left)?;
        other.by_ref().take(AT_ONCE).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
        room = room.saturating_sub(AT_ONCE);
    }
    Ok(false)
}

fn read(object: &OwnedFd, procfs: &Proc) -> io::Result<File> {
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
            Err(error) => self.failed(unit, path, &error),
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
            let text = format!("not each of the files that the unit {} is listed", verb(what));
            return self.tell(unit, note::CAPTURE_BOUND, text);
        }
        let keep = if room.files == 0 { 0 } else { FILE.keep.min(room.bytes.keep) };
        let bounds = Bounds { read: FILE.read.min(room.bytes.read), keep };
        let Stored { sha256, read, kept, is_new } = match self.store.take(source, bounds) {
            Ok(stored) => stored,
            Err(error) => return self.failed(unit, path, &error),
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

    fn failed(&mut self, unit: &mut Unit, path: &[u8], error: &dyn std::error::Error) -> io::Result<()> {
        let text = format!("{} could not be captured: {}", Bytes::from(path), crate::error_chain(error));
        self.tell(unit, note::CAPTURE_FAILED, text)
    }

    /// Once for each unit: the first says why.
    fn tell(&mut self, unit: &mut Unit, code: &'static str, text: String) -> io::Result<()> {
        if !unit.captures.told.insert(code) {
            return Ok(());
        }
        self.evidence.write(&Line::Note(Note {
            code: code.to_owned(),
            package: unit.package.clone(),
            unit: Some(unit.id),
            text,
        }))
    }
}

fn verb(what: Captured) -> &'static str {
    match what {
        Captured::Program | Captured::Script => "ran",
        Captured::Sent => "sent",
        Captured::Dropped => "dropped",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_known_by_their_names_without_versions() {
        for name in ["/bin/sh", "/usr/bin/python3.11", "/usr/bin/perl5.36", "lua5.4", "node"] {
            assert!(is_interpreter(Path::new(name)), "{name}");
        }
        for name in ["/usr/bin/cc", "/usr/bin/ssh", "/usr/bin/pythonic", "/", "3.11"] {
            assert!(!is_interpreter(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn the_program_of_a_script_is_read_as_the_kernel_reads_it() {
        for (text, program) in [
            (&b"#!/bin/sh\n"[..], Some(&b"/bin/sh"[..])),
            (b"#! \t/bin/sh -e\n", Some(b"/bin/sh")),
            (b"#!x", Some(b"x")),
            (b"#!\n/bin/sh", None),
            (b"/bin/sh", None),
        ] {
            assert_eq!(named_in(text), program);
        }
    }

    #[test]
    fn only_the_very_same_bytes_are_the_same() {
        let long = vec![1; 200_000];
        let mut other = long.clone();
        assert!(is_same(&mut &long[..], &mut &other[..]).unwrap());
        other[199_999] = 2;
        assert!(!is_same(&mut &long[..], &mut &other[..]).unwrap());
        assert!(!is_same(&mut &long[..], &mut &long[..199_999]).unwrap());
    }
}
