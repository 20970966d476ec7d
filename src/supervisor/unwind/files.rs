//! The files that are mapped to be run: what may be believed of each, and its unwind table.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use framehop::{ExplicitModuleSectionInfo, Module};
use gimli::{
    BaseAddresses, CallFrameInstruction, CieOrFde, CommonInformationEntry, EhFrame, Encoding, EndianSlice,
    LittleEndian, Operation, UnwindExpression, UnwindSection as _,
};

use super::elf::Elf;
use super::maps::Mapping;
use super::symbols;
use crate::evidence::line::UnitKind;
use crate::supervisor::caller::Proc;
use crate::supervisor::zones::{Zone, Zones};
use crate::supervisor::{capture, open};

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The system's, the toolchain's or the user's gift: nothing inside can write it.
    Fixed,
    /// A macro library where cargo published it, by its name there.
    Library(String),
    /// Anything else, also memory without a file.
    Other,
}

/// A file of which the headers were read.
#[derive(Debug)]
pub(super) struct Code {
    file: File,
    elf: Elf,
    /// True if nothing inside can have made its bytes.
    is_fixed: bool,
}

/// What tells one state of a file from another.
type Identity = (u64, u64, u64, i64, i64, i64, i64);

/// All that were met.
#[derive(Debug)]
pub(super) struct Files {
    procfs: Arc<Proc>,
    zones: Arc<Zones>,
    known: HashMap<Identity, Option<Rc<Code>>>,
    /// Unwind tables of fixed files, which are the same in every process.
    tables: HashMap<Identity, Sections>,
    /// Bytes of unwind tables of macro libraries that were read since the last [`Self::forget`].
    pub(super) read: u64,
}

/// Files that are kept open.
const MOST_FILES: usize = 256;
/// Bytes of an unwind table: of rustc's own libraries, and of a macro library.
const MOST_FIXED: u64 = 64 << 20;
const MOST_OTHER: u64 = 4 << 20;

pub(super) type Bytes = Arc<[u8]>;
type Sections = ExplicitModuleSectionInfo<Bytes>;

impl Files {
    pub(super) fn new(procfs: Arc<Proc>, zones: Arc<Zones>) -> Self {
        Self { procfs, zones, known: HashMap::new(), tables: HashMap::new(), read: 0 }
    }

    pub(super) fn procfs(&self) -> &Proc {
        &self.procfs
    }

    /// Lets go of everything that macro libraries made us hold.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.read = 0;
    }

    pub(super) fn owner(&self, path: &Path) -> Owner {
        if self.zones.is_published_library(path)
            && let Some(name) = path.file_name()
        {
            return Owner::Library(name.to_string_lossy().into_owned());
        }
        let is_fixed = path.is_absolute() && matches!(self.zones.of(path, UnitKind::Compile, &[]), Zone::Fixed(_));
        if is_fixed { Owner::Fixed } else { Owner::Other }
    }

    /// The file behind a mapping, if it still lies at its path and can be read.
    pub(super) fn code(&mut self, mapping: &Mapping, owner: &Owner) -> Option<(Identity, Rc<Code>)> {
        let object = open::without_links(&mapping.path).ok().filter(open::is_plain_file)?;
        let file = capture::read(&object, &self.procfs).ok()?;
        let meta = file.metadata().ok()?;
        let is_fixed = *owner == Owner::Fixed;
        // Some file systems number a file in maps otherwise; where nobody can write that does not matter.
        if !is_fixed && meta.ino() != mapping.inode {
            return None;
        }
        let identity =
            (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        if self.known.len() >= MOST_FILES {
            self.known.clear();
        }
        let read = || Elf::read(&file).map(|elf| (file, elf)).map(|(file, elf)| Rc::new(Code { file, elf, is_fixed }));
        let code = self.known.entry(identity).or_insert_with(read).clone()?;
        Some((identity, code))
    }

    /// The unwind table of a mapping. `None` if there is none that can be used.
    pub(super) fn module(&mut self, mapping: &Mapping, owner: &Owner) -> Option<Module<Bytes>> {
        let (identity, code) = self.code(mapping, owner)?;
        let moved = code.elf.moved_by(mapping.start, mapping.offset)?;
        let sections = match self.tables.get(&identity) {
            Some(sections) => sections.clone(),
            None if code.is_fixed => {
                let sections = code.sections(MOST_FIXED)?;
                self.tables.insert(identity, sections.clone());
                sections
            }
            None => {
                let sections = code.sections(MOST_OTHER).filter(is_harmless)?;
                self.read += sections.eh_frame.as_ref().map_or(0, |bytes| bytes.len().try_into().unwrap_or(u64::MAX));
                sections
            }
        };
        Some(Module::new(String::new(), mapping.start..mapping.end, moved, sections))
    }

    /// The name of the first function of a package at these addresses, the nearest first.
    pub(super) fn symbol(&mut self, mapping: &Mapping, owner: &Owner, addresses: &[u64]) -> Option<String> {
        let (_, code) = self.code(mapping, owner)?;
        let moved = code.elf.moved_by(mapping.start, mapping.offset)?;
        let addresses: Vec<u64> = addresses.iter().filter_map(|address| address.checked_sub(moved)).collect();
        symbols::first_own(&code.file, &code.elf, &addresses)
    }
}

impl Code {
    /// The sections that framehop reads. Of a file that may be hostile, not the index: it would lead to entries
    /// that nobody looked through.
    fn sections(&self, most: u64) -> Option<Sections> {
        let bytes = |name| Some(Bytes::from(self.elf.section(name)?.read(&self.file, most)?));
        let addresses = |name| self.elf.section(name).map(|section| section.addresses());
        Some(ExplicitModuleSectionInfo {
            text_svma: addresses(".text"),
            got_svma: addresses(".got"),
            eh_frame_svma: addresses(".eh_frame"),
            eh_frame: Some(bytes(".eh_frame")?),
            eh_frame_hdr_svma: addresses(".eh_frame_hdr"),
            eh_frame_hdr: if self.is_fixed { bytes(".eh_frame_hdr") } else { None },
            ..ExplicitModuleSectionInfo::default()
        })
    }
}

/// Entries of an unwind table that are longer than any compiler writes.
const LONGEST_COMMON: usize = 4096;
const LONGEST_ENTRY: usize = 64 * 1024;
type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// True for an unwind table of which each entry is short and no expression jumps: then a frame takes a time that the
/// length of its entry bounds.
fn is_harmless(sections: &Sections) -> bool {
    let Some(bytes) = &sections.eh_frame else { return false };
    let start = |range: &Option<std::ops::Range<u64>>| range.as_ref().map(|range| range.start).unwrap_or_default();
    let bases = BaseAddresses::default()
        .set_eh_frame(start(&sections.eh_frame_svma))
        .set_eh_frame_hdr(start(&sections.eh_frame_hdr_svma))
        .set_text(start(&sections.text_svma))
        .set_got(start(&sections.got_svma));
    let mut table = EhFrame::from(EndianSlice::new(bytes, LittleEndian));
    table.set_address_size(8);
    look_through(&table, &bases).is_some()
}

fn look_through(table: &EhFrame<Slice<'_>>, bases: &BaseAddresses) -> Option<()> {
    let mut known = HashSet::new();
    let mut entries = table.entries(bases);
    while let Some(entry) = entries.next().ok()? {
        let entry = match entry {
            CieOrFde::Cie(common) => {
                is_short(&common).then_some(())?;
                continue;
            }
            CieOrFde::Fde(entry) => entry.parse(EhFrame::cie_from_offset).ok()?,
        };
        let common = entry.cie();
        is_short(common).then_some(())?;
        if entry.entry_len() > LONGEST_ENTRY {
            return None;
        }
        let encoding = common.encoding();
        if known.insert(common.offset()) {
            let mut instructions = common.instructions(table, bases);
            while let Some(instruction) = instructions.next().ok()? {
                is_straight(&instruction, table, encoding)?;
            }
        }
        let mut instructions = entry.instructions(table, bases);
        while let Some(instruction) = instructions.next().ok()? {
            is_straight(&instruction, table, encoding)?;
        }
    }
    Some(())
}

fn is_short(common: &CommonInformationEntry<Slice<'_>>) -> bool {
    common.entry_len() <= LONGEST_COMMON
}

/// `None` for an expression that jumps.
fn is_straight(
    instruction: &CallFrameInstruction<usize>,
    table: &EhFrame<Slice<'_>>,
    encoding: Encoding,
) -> Option<()> {
    let expression: &UnwindExpression<usize> = match instruction {
        CallFrameInstruction::DefCfaExpression { expression }
        | CallFrameInstruction::Expression { expression, .. }
        | CallFrameInstruction::ValExpression { expression, .. } => expression,
        _ => return Some(()),
    };
    let mut operations = expression.get(table).ok()?.operations(encoding);
    while let Some(operation) = operations.next().ok()? {
        if matches!(operation, Operation::Bra { .. } | Operation::Skip { .. }) {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with one common entry and one entry with these instructions.
    fn table(instructions: &[u8]) -> Sections {
        let entry = |id: u32, body: &[u8]| {
            let mut bytes = Vec::new();
            let padded = (4 + body.len()).next_multiple_of(8);
            bytes.extend_from_slice(&u32::try_from(padded).unwrap().to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
            bytes.extend_from_slice(body);
            bytes.resize(4 + padded, 0);
            bytes
        };
        // Version 1, no augmentation, code 1, data -8, return address in register 16.
        let common = entry(0, &[1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1]);
        let back = u32::try_from(common.len() + 4).unwrap();
        let body = [&0x1000_u64.to_le_bytes()[..], &0x100_u64.to_le_bytes(), instructions].concat();
        let bytes = [common, entry(back, &body)].concat();
        ExplicitModuleSectionInfo {
            eh_frame_svma: Some(0..u64::try_from(bytes.len()).unwrap()),
            eh_frame: Some(Bytes::from(bytes)),
            ..ExplicitModuleSectionInfo::default()
        }
    }

    #[test]
    fn an_unwind_table_with_an_expression_that_jumps_is_not_used() {
        assert!(is_harmless(&table(&[0x0e, 16])));
        assert!(is_harmless(&table(&[0x0f, 2, 0x77, 8])), "rsp and 8");
        assert!(!is_harmless(&table(&[0x0f, 3, 0x2f, 0xfd, 0xff])), "jumps to itself");
        assert!(!is_harmless(&table(&[0x10, 6, 5, 0x31, 0x28, 0xfc, 0xff, 0])), "jumps back while 1");
    }

    #[test]
    fn an_unwind_table_with_an_endless_entry_or_rubbish_is_not_used() {
        assert!(!is_harmless(&table(&vec![0; LONGEST_ENTRY])));
        let mut cut = table(&[0x0e, 16]);
        let bytes = cut.eh_frame.take().unwrap();
        cut.eh_frame = Some(Bytes::from(&bytes[..bytes.len() - 8]));
        assert!(!is_harmless(&cut));
        assert!(!is_harmless(&ExplicitModuleSectionInfo::default()));
    }
}
