//! Program starts: which file, with which arguments.

use std::collections::VecDeque;

use nix::errno::Errno;

use super::{Caller, Decoded};
use crate::evidence::Bytes;
use crate::evidence::line::{ArgState, Object, PathObject, ProgramFile};
use crate::sandbox::table::Named;
use crate::supervisor::caller::{self, word64};
use crate::supervisor::links;
use crate::supervisor::open::{self, Unreadable};

/// The path is that of the file behind links, where there is one, so that a link named like a
/// compiler is not taken for one.
pub(super) fn decode(
    caller: Caller<'_>,
    dir: Option<u8>,
    path: u8,
    argv: u8,
    flags: Option<Named>,
) -> Result<Decoded, Unreadable> {
    let (tid, procfs, dirfd) = (caller.tid(), caller.procfs, caller.descriptor(dir));
    let mut program = PathObject { flags: caller.flags(flags), ..caller.path(dir, path)? };
    let found = links::object_of(tid, dirfd, &program.path.0, procfs);
    let file = match &found {
        Ok(object) => open::program_file(object, procfs),
        Err(Errno::ENOENT) => ProgramFile::Absent,
        Err(_) => ProgramFile::Unknown,
    };
    let found = found.ok();
    if let Some(real) = found.as_ref().and_then(|object| procfs.own_descriptor(object)) {
        program.resolved = Bytes::from(real.as_path());
    }
    let Arguments { argv, argc, bytes, whole } = read_arguments(tid, caller.register(argv))?;
    let cwd = procfs.base(tid, None).map(|cwd| Bytes::from(cwd.as_path())).unwrap_or_default();
    let state = if whole { ArgState::Snapshot } else { ArgState::Partial };
    let object = Object::Program { program, argv, argc, argv_bytes: bytes, cwd, file };
    Ok(Decoded { program: found, ..Decoded::new(object, state) })
}

/// An argument vector, as far as the caps go.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    /// What is kept: the first arguments, the last of them perhaps not to its end.
    argv: Vec<Bytes>,
    /// How many there are.
    argc: u64,
    /// Their size with the zero bytes at their ends.
    bytes: u64,
    /// True if all is kept.
    whole: bool,
}

/// Reads pointers and strings a page at a time: a vector of megabytes must not cost the supervisor a
/// call for each argument. Sizes are measured beyond what is kept.
fn read_arguments(tid: i32, vector: u64) -> Result<Arguments, Unreadable> {
    /// Bytes of all arguments that are kept.
    const KEPT: u64 = 64 * 1024;
    /// The kernel refuses more than a quarter of the stack's limit, and more than 6 MiB (`_STK_LIM / 4 * 3`) in any
    /// case; execve(2) fails beyond, so that nothing larger needs to be measured.
    const MEASURED: u64 = 6 << 20;
    let mut read = Arguments { argv: Vec::new(), argc: 0, bytes: 0, whole: true };
    let mut memory = Pages::new(tid);
    let mut at = vector;
    // A null vector is an empty one (execve(2), notes). The kernel counts the pointers, too.
    while at != 0 && read.bytes + 8 * read.argc < MEASURED {
        let pointer = memory.pointer(at)?;
        if pointer == 0 {
            return Ok(read);
        }
        at = at.wrapping_add(8);
        read.argc += 1;
        let room = KEPT.saturating_sub(read.bytes);
        let (text, length) = memory.string(pointer, room, MEASURED)?;
        read.whole &= room > 0 && u64::try_from(text.len()) == Ok(length);
        if room > 0 {
            read.argv.push(Bytes(text));
        }
        read.bytes += length + 1;
    }
    read.whole &= at == 0;
    Ok(read)
}

/// Pages of the caller's memory that were read: arguments lie side by side, but not in their order.
struct Pages {
    tid: i32,
    /// By the address of the page, the one that was read last at the end.
    known: VecDeque<(u64, Vec<u8>)>,
}

impl Pages {
    const PAGE: u64 = 4096;
    /// As many as an ordinary command line lies in.
    const MOST: usize = 32;

    fn new(tid: i32) -> Self {
        Self { tid, known: VecDeque::new() }
    }

    /// What is there from `at` to the end of its page, at least one byte.
    fn rest(&mut self, at: u64) -> Result<&[u8], Unreadable> {
        let page = at - at % Self::PAGE;
        if !self.known.iter().any(|(known, _)| *known == page) {
            let length = usize::try_from(Self::PAGE).unwrap_or_default();
            let bytes = caller::read_memory(self.tid, page, length)?;
            if self.known.len() >= Self::MOST {
                self.known.pop_front();
            }
            self.known.push_back((page, bytes));
        }
        let bytes = self.known.iter().find(|(known, _)| *known == page).map_or(&[][..], |(_, bytes)| bytes);
        let skip = usize::try_from(at - page).map_err(|_| Unreadable::Memory)?;
        bytes.get(skip..).filter(|rest| !rest.is_empty()).ok_or(Unreadable::Memory)
    }

    /// A pointer, which may lie across two pages.
    fn pointer(&mut self, at: u64) -> Result<u64, Unreadable> {
        if let Some(pointer) = word64(self.rest(at)?, 0) {
            return Ok(pointer);
        }
        word64(&caller::read_memory(self.tid, at, 8)?, 0).ok_or(Unreadable::Memory)
    }

    /// The first `room` bytes of a string, and its length, measured up to `most` bytes.
    fn string(&mut self, at: u64, room: u64, most: u64) -> Result<(Vec<u8>, u64), Unreadable> {
        let mut kept = Vec::new();
        let mut length = 0;
        while length < most {
            let rest = self.rest(at.checked_add(length).ok_or(Unreadable::Memory)?)?;
            let end = rest.iter().position(|byte| *byte == 0);
            let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let wanted = usize::try_from(room.saturating_sub(length)).unwrap_or(usize::MAX).min(piece.len());
            kept.extend_from_slice(piece.get(..wanted).unwrap_or_default());
            length += u64::try_from(piece.len()).unwrap_or_default();
            if end.is_some() {
                break;
            }
        }
        Ok((kept, length))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn read(arguments: &[&[u8]]) -> Arguments {
        let strings: Vec<_> = arguments.iter().map(|text| CString::new(*text).unwrap()).collect();
        let mut vector: Vec<usize> = strings.iter().map(|text| text.as_ptr().addr()).collect();
        vector.push(0);
        let me = std::process::id().cast_signed();
        read_arguments(me, u64::try_from(vector.as_ptr().addr()).unwrap()).unwrap()
    }

    #[test]
    fn all_arguments_are_read_and_a_null_vector_is_an_empty_one() {
        let found = read(&[b"cc", b"", b"-o"]);
        assert_eq!(found.argv, [Bytes::from("cc"), Bytes::from(""), Bytes::from("-o")]);
        assert_eq!((found.argc, found.bytes, found.whole), (3, 7, true));
        let none = read_arguments(std::process::id().cast_signed(), 0).unwrap();
        assert_eq!((none.argc, none.whole), (0, true));
    }

    #[test]
    fn what_is_longer_than_the_cap_is_measured_and_not_kept() {
        let long = vec![b'x'; 100 * 1024];
        let found = read(&[b"sh", &long, b"after"]);
        assert_eq!((found.argc, found.bytes, found.whole), (3, 3 + 102_401 + 6, false));
        assert_eq!(found.argv.len(), 2);
        assert_eq!(found.argv[1].0.len(), 64 * 1024 - 3);
    }

    #[test]
    fn many_arguments_are_counted() {
        let many: Vec<&[u8]> = vec![b"x"; 300_000];
        let found = read(&many);
        assert_eq!((found.argc, found.bytes, found.whole), (300_000, 600_000, false));
        assert_eq!(found.argv.len(), 32 * 1024);
    }

    #[test]
    fn arguments_are_read_in_whatever_order_they_lie_and_pointers_across_two_pages() {
        let mut memory = vec![0_u8; 3 * 4096];
        let first = memory.as_ptr().addr();
        let page = first.next_multiple_of(4096) - first;
        let vector = page + 4096 - 12;
        let strings = [(page + 5000, "cc"), (page + 10, "-o"), (page + 5100, "x")];
        for (at, (place, text)) in (vector..).step_by(8).zip(strings) {
            memory[place..][..text.len()].copy_from_slice(text.as_bytes());
            memory[at..][..8].copy_from_slice(&(first + place).to_le_bytes());
        }
        let me = std::process::id().cast_signed();
        let found = read_arguments(me, u64::try_from(first + vector).unwrap()).unwrap();
        assert_eq!(found.argv, strings.map(|(_, text)| Bytes::from(text)));
    }

    #[test]
    fn a_vector_that_cannot_be_read_is_unreadable() {
        read_arguments(std::process::id().cast_signed(), 8).unwrap_err();
    }
}
