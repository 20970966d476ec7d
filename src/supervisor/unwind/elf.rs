//! The few parts of an ELF file (elf(5), 64 bits) that a walk needs. Files may be hostile: every number is held
//! against a bound, and a part that does not fit is not there.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use crate::supervisor::caller::{word32, word64};

/// A part of a file that is loaded to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    address: u64,
    size: u64,
}

/// A named part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) address: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    /// For tables of symbols: the number of the section with their names.
    link: u32,
}

impl Section {
    pub(super) fn addresses(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.size)
    }

    /// Its bytes, if there are no more than `most`.
    pub(super) fn read(&self, file: &File, most: u64) -> Option<Vec<u8>> {
        let size = usize::try_from(self.size).ok().filter(|_| self.size <= most)?;
        read(file, self.offset, size)
    }
}

/// What a file says of itself.
#[derive(Debug, Default)]
pub(super) struct Elf {
    segments: Vec<Segment>,
    sections: Vec<(Vec<u8>, Section)>,
}

const PAGE: u64 = 4096;
/// More program headers than any linker makes; sections likewise.
const MOST_SEGMENTS: usize = 256;
const MOST_SECTIONS: usize = 4096;
/// Bytes of the table of section names.
const MOST_NAMES: u64 = 1 << 20;

impl Elf {
    /// Reads the headers. `None` for what is no such file.
    pub(super) fn read(file: &File) -> Option<Self> {
        const HEADER: usize = 64;
        const SEGMENT: usize = 56;
        const SECTION: usize = 64;
        let header = read(file, 0, HEADER)?;
        header.starts_with(b"\x7fELF\x02\x01").then_some(())?;
        let half = |at: usize| Some(usize::from(u16::from_le_bytes(header.get(at..at + 2)?.try_into().ok()?)));
        let (segments, sections) = (half(56)?, half(60)?);
        if segments > MOST_SEGMENTS || sections > MOST_SECTIONS {
            return None;
        }
        let table = read(file, word64(&header, 32)?, segments * SEGMENT)?;
        let segments = table.chunks_exact(SEGMENT).filter_map(segment).collect();
        // A file without sections can still be told where its code lies.
        let table = read(file, word64(&header, 40)?, sections * SECTION).unwrap_or_default();
        let all: Vec<_> = table.chunks_exact(SECTION).filter_map(section).collect();
        let names = all.get(half(62)?).map(|(_, section)| *section);
        let names = names.and_then(|names| names.read(file, MOST_NAMES)).unwrap_or_default();
        let with_name = |(at, section): (usize, Section)| {
            let name = names.get(at..).unwrap_or_default().split(|byte| *byte == 0).next();
            (name.unwrap_or_default().to_vec(), section)
        };
        Some(Self { segments, sections: all.into_iter().map(with_name).collect() })
    }

    /// By what the addresses of a file are moved that is mapped to be run from `offset` on to `start`.
    pub(super) fn moved_by(&self, start: u64, offset: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| {
            let first = segment.offset - segment.offset % PAGE;
            (first..segment.offset.saturating_add(segment.size)).contains(&offset)
        })?;
        let first = segment.offset - segment.offset % PAGE;
        let address = segment.address - segment.address % PAGE;
        start.checked_sub(address.checked_add(offset.checked_sub(first)?)?)
    }

    pub(super) fn section(&self, name: &str) -> Option<Section> {
        self.sections.iter().find(|(each, _)| each == name.as_bytes()).map(|(_, section)| *section)
    }

    /// A table of symbols and the section with their names.
    pub(super) fn symbols(&self) -> Option<(Section, Section)> {
        let table = self.section(".symtab").or_else(|| self.section(".dynsym"))?;
        let (_, names) = self.sections.get(usize::try_from(table.link).ok()?)?;
        Some((table, *names))
    }
}

/// A `PT_LOAD` with `PF_X`.
fn segment(raw: &[u8]) -> Option<Segment> {
    let is_code = word32(raw, 0)? == 1 && word32(raw, 4)? & 1 != 0;
    let (offset, address, size) = (word64(raw, 8)?, word64(raw, 16)?, word64(raw, 32)?);
    is_code.then_some(Segment { offset, address, size })
}

/// Where a section's name stands, and the section. One without bytes in the file has none.
fn section(raw: &[u8]) -> Option<(usize, Section)> {
    const NO_BITS: u32 = 8;
    let size = if word32(raw, 4)? == NO_BITS { 0 } else { word64(raw, 32)? };
    let section = Section { address: word64(raw, 16)?, offset: word64(raw, 24)?, size, link: word32(raw, 40)? };
    Some((usize::try_from(word32(raw, 0)?).ok()?, section))
}

pub(super) fn read(file: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn our_own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    fn elf_of(bytes: &[u8]) -> Option<Elf> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Elf::read(&file)
    }

    #[test]
    fn the_headers_of_a_program_are_read() {
        let file = File::open("/proc/self/exe").unwrap();
        let elf = Elf::read(&file).unwrap();
        assert!(elf.section(".eh_frame").unwrap().read(&file, 64 << 20).unwrap().len() > 1000);
        assert_eq!(elf.section(".eh_frame").unwrap().read(&file, 1000), None, "beyond the bound");
        assert!(elf.symbols().is_some());
        let code = elf.segments[0];
        let moved =
            elf.moved_by(0x5000_0000_0000 + code.address - code.address % PAGE, code.offset - code.offset % PAGE);
        assert_eq!(moved, Some(0x5000_0000_0000));
        assert_eq!(elf.moved_by(0x1000, 1 << 60), None);
    }

    #[test]
    fn a_file_with_any_bytes_in_its_headers_is_read_within_bounds() {
        let good = our_own();
        let head = good[..good.len().min(1 << 16)].to_vec();
        assert!(elf_of(&head).is_none_or(|elf| elf.section(".eh_frame").is_none()), "cut off");
        for at in 0..64 {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = head.clone();
                changed[at] = byte;
                if let Some(elf) = elf_of(&changed) {
                    let _ = (elf.moved_by(0, 0), elf.symbols());
                }
            }
        }
        assert!(elf_of(b"").is_none() && elf_of(b"\x7fELF\x01\x01").is_none() && elf_of(b"#!/bin/sh\n").is_none());
    }
}
