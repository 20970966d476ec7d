//! What a start runs, beyond what it names: the script that an interpreter is given, the program that
//! a script's first line or a program's header names. The kernel starts those without a call of
//! their own.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::sys::stat::fstat;

use super::caller::{PATH_CAP, Proc, word32, word64};
use super::capture::{FILE, read};
use super::units::Unit;
use super::zones::{Zone, Zones};
use super::{links, open};
use crate::evidence::Bytes;
use crate::evidence::line::{Captured, Object, ProgramFile};

/// Arguments of an interpreter that are looked at.
const ARGUMENTS: usize = 8;
/// A script may name a script: as often as the kernel follows, and once more.
const NESTED: usize = 6;

/// A file that is about to run.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) what: Captured,
    pub(super) path: PathBuf,
    pub(super) object: OwnedFd,
}

/// What a start runs, but for what came with the system, the toolchain, the user's gifts or the archive.
pub(super) fn started(
    object: &Object,
    program: Option<OwnedFd>,
    (tid, unit): (i32, &Unit),
    zones: &Zones,
    procfs: &Proc,
) -> Vec<Start> {
    let Object::Program { program: named, file, argv, .. } = object else { return Vec::new() };
    let look = Look { tid, unit, zones, procfs };
    let mut found: Vec<_> = look.given(&[&named.path, &named.resolved], argv).into_iter().collect();
    let mut next = program.map(|program| (*file, program));
    for _ in 0..NESTED {
        let Some((file, object)) = next.take() else { break };
        // What came with the system names nothing of a unit's.
        let Some(start) = look.start(file, object) else { break };
        match file {
            ProgramFile::Script => {
                let words = first_line(&start.object, procfs);
                next = words.first().and_then(|program| look.program(program));
                found.extend(words.first().and_then(|program| look.given(&[program], &words)));
            }
            ProgramFile::Elf => {
                next = loader_of(&start.object, procfs).and_then(|loader| look.program(&Bytes(loader)));
            }
            ProgramFile::Other | ProgramFile::Absent | ProgramFile::Unknown => {}
        }
        found.push(start);
    }
    found.retain(|start| !is_of_the_archive(start, zones, procfs));
    found
}

/// Who looks, and where.
struct Look<'a> {
    tid: i32,
    unit: &'a Unit,
    zones: &'a Zones,
    procfs: &'a Proc,
}

impl Look<'_> {
    /// A file that was found, unless it lies where nothing inside can write or cannot be read without an effect.
    fn start(&self, file: ProgramFile, object: OwnedFd) -> Option<Start> {
        let path = self.procfs.own_descriptor(&object)?;
        let zone = self.zones.of(&path, self.unit.kind, &self.unit.places);
        if matches!(zone, Zone::Fixed(_)) || self.zones.is_our_tool(&path) || !open::is_plain_file(&object) {
            return None;
        }
        let what = if file == ProgramFile::Script { Captured::Script } else { Captured::Program };
        Some(Start { what, path, object })
    }

    fn program(&self, path: &Bytes) -> Option<(ProgramFile, OwnedFd)> {
        let object = links::object_of(self.tid, None, &path.0, self.procfs).ok()?;
        Some((open::program_file(&object, self.procfs), object))
    }

    /// The file that a program runs because it is given it: a shell or an interpreter the first argument that is no
    /// option and names a file, the dynamic linker the first program.
    fn given(&self, called: &[&Bytes], argv: &[Bytes]) -> Option<Start> {
        let runs = called.iter().find_map(|name| runs_what_it_is_given(name.as_path()))?;
        let named = argv.iter().skip(1).filter(|argument| !argument.0.starts_with(b"-") && !argument.0.is_empty());
        let mut files = named
            .take(ARGUMENTS)
            .filter_map(|argument| self.program(argument))
            .filter(|(_, object)| open::is_plain_file(object));
        match runs {
            Runs::Text(letters) if has_text(argv, letters) => None,
            Runs::Text(_) => {
                let (file, object) = files.next()?;
                self.start(if file == ProgramFile::Elf { file } else { ProgramFile::Script }, object)
            }
            Runs::Program => {
                files.filter(|(file, _)| *file == ProgramFile::Elf).find_map(|(file, object)| self.start(file, object))
            }
        }
    }
}

/// What a program runs that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    /// A file, unless one of these options brings a text.
    Text(&'static [u8]),
    Program,
}

/// True if one of the options before anything else is a text: letters may stand together.
fn has_text(argv: &[Bytes], letters: &[u8]) -> bool {
    const MOST_LETTERS: usize = 5;
    let options = argv.iter().skip(1).map_while(|argument| argument.0.strip_prefix(b"-"));
    let mut options =
        options.filter(|option| option.len() <= MOST_LETTERS && option.iter().all(u8::is_ascii_alphabetic));
    // Behind some letters stands a name: perl's modules and folders.
    options.any(|option| {
        !option.starts_with(b"M") && !option.starts_with(b"I") && option.iter().any(|b| letters.contains(b))
    })
}

/// By the name without its version: `python3.11` is `python`.
fn runs_what_it_is_given(program: &Path) -> Option<Runs> {
    /// With the letters of the options that take a text instead of a file.
    const INTERPRETERS: &[(&[&[u8]], &[u8])] = &[
        (&[b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"mksh", b"busybox", b"python", b"pypy"], b"c"),
        (&[b"perl"], b"eE"),
        (&[b"ruby", b"lua", b"luajit"], b"e"),
        (&[b"node", b"nodejs"], b"ep"),
        (&[b"php"], b"r"),
        (&[b"tclsh"], b""),
    ];
    let name = program.file_name().map(std::ffi::OsStr::as_bytes).unwrap_or_default();
    let end = name.iter().rposition(|byte| !(byte.is_ascii_digit() || *byte == b'.' || *byte == b'-'));
    let name = end.and_then(|end| name.get(..=end)).unwrap_or_default();
    if let Some((_, letters)) = INTERPRETERS.iter().find(|(names, _)| names.contains(&name)) {
        return Some(Runs::Text(letters));
    }
    let is_linker = name.starts_with(b"ld-") && name.ends_with(b".so") || name == b"ld.so";
    is_linker.then_some(Runs::Program)
}

/// The program that a script's first line names, and the argument behind it, as the kernel takes them.
fn first_line(script: &OwnedFd, procfs: &Proc) -> Vec<Bytes> {
    /// Bytes of a file that the kernel looks at (`BINPRM_BUF_SIZE`).
    const LOOKED_AT: u64 = 256;
    let mut first = Vec::new();
    let read = read(script, procfs).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut first));
    if read.is_ok() { words(&first) } else { Vec::new() }
}

fn words(first: &[u8]) -> Vec<Bytes> {
    let line = first.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| matches!(byte, b'\n' | 0)).next());
    // To the kernel a carriage return is a part of the name.
    let line = trim(line.unwrap_or_default());
    let end = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
    let (program, argument) = line.split_at(end);
    [program, trim(argument)].into_iter().filter(|word| !word.is_empty()).map(Bytes::from).collect()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(*byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// The program that the kernel starts for a dynamically linked one (`PT_INTERP` of elf(5), 64 bits).
fn loader_of(program: &OwnedFd, procfs: &Proc) -> Option<Vec<u8>> {
    loader_named_in(&read(program, procfs).ok()?)
}

fn loader_named_in(file: &File) -> Option<Vec<u8>> {
    const HEADER: usize = 64;
    const SEGMENT: usize = 56;
    const INTERPRETER: u32 = 3;
    /// The kernel takes no more segments than fit a page, and no longer path.
    const SEGMENTS: u64 = 4096 / 56;
    let at = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    };
    let header = at(0, HEADER)?;
    let (offset, count) = (word64(&header, 32)?, u64::from(word32(&header, 56)? & 0xffff));
    let segments = at(offset, SEGMENT * usize::try_from(count.min(SEGMENTS)).ok()?)?;
    let segment = segments.chunks_exact(SEGMENT).find(|segment| word32(segment, 0) == Some(INTERPRETER))?;
    let length = usize::try_from(word64(segment, 32)?).ok().filter(|length| *length <= PATH_CAP)?;
    let path = at(word64(segment, 8)?, length)?;
    path.split(|byte| *byte == 0).next().filter(|path| !path.is_empty()).map(<[u8]>::to_vec)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_and_the_dynamic_linker_are_known_by_their_names_without_versions() {
        for name in ["/bin/sh", "/usr/bin/python3.11", "/usr/bin/perl5.36", "lua5.4", "node"] {
            assert!(matches!(runs_what_it_is_given(Path::new(name)), Some(Runs::Text(_))), "{name}");
        }
        for name in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-2.31.so", "/lib/ld-musl-x86_64.so.1", "ld.so"] {
            assert_eq!(runs_what_it_is_given(Path::new(name)), Some(Runs::Program), "{name}");
        }
        for name in ["/usr/bin/cc", "/usr/bin/ssh", "/usr/bin/pythonic", "/usr/bin/ld", "/", "3.11"] {
            assert_eq!(runs_what_it_is_given(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn a_text_among_the_arguments_is_no_file() {
        let is_text = |argv: &[&str]| {
            let argv: Vec<_> = argv.iter().map(|argument| Bytes::from(*argument)).collect();
            let Some(Runs::Text(letters)) = runs_what_it_is_given(argv[0].as_path()) else { panic!("{argv:?}") };
            has_text(&argv, letters)
        };
        for argv in
            [&["sh", "-c", "x"][..], &["bash", "-e", "-lc", "x"], &["python3", "-c", "x"], &["perl", "-we", "x"]]
        {
            assert!(is_text(argv), "{argv:?}");
        }
        for argv in [
            &["sh", "-e", "x"][..],
            &["sh", "x", "-c"],
            &["python3", "-E", "x"],
            &["perl", "-c", "x"],
            &["perl", "-Mre", "x"],
        ] {
            assert!(!is_text(argv), "{argv:?}");
        }
    }

    #[test]
    fn a_scripts_first_line_is_read_as_the_kernel_reads_it() {
        let expected: [(&[u8], &[&str]); 7] = [
            (b"#!/bin/sh\nx", &["/bin/sh"]),
            (b"#! \t/bin/sh  -e x \n", &["/bin/sh", "-e x"]),
            (b"#!x", &["x"]),
            (b"#!/bin/sh\r\nx", &["/bin/sh\r"]),
            (b"#!\x0c/bin/sh\0 x\n", &["\x0c/bin/sh"]),
            (b"#!\n/bin/sh", &[]),
            (b"/bin/sh", &[]),
        ];
        for (text, words_of_it) in expected {
            assert_eq!(words(text), words_of_it.iter().map(|word| Bytes::from(*word)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_dynamic_linker_of_a_program_is_the_one_in_its_header() {
        let loader = loader_named_in(&File::open("/bin/true").unwrap()).unwrap();
        assert!(loader.starts_with(b"/lib"), "{}", Bytes(loader));
        assert_eq!(loader_named_in(&File::open("/proc/self/maps").unwrap()), None);
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
