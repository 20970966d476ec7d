//! What is mapped in one process, with the unwind tables of it.

use framehop::x86_64::{CacheX86_64, UnwinderX86_64};
use framehop::{MustNotAllocateDuringUnwind, Unwinder as _};

use super::files::{Bytes, Files, Owner};
use super::maps::{self, Mapping, Maps};

/// Bytes of a map that are read.
const MOST: u64 = 4 << 20;

pub(super) type Tables = UnwinderX86_64<Bytes, MustNotAllocateDuringUnwind>;
pub(super) type Cache = CacheX86_64<MustNotAllocateDuringUnwind>;

/// A mapping that may be run, and whose it is.
pub(super) struct Part {
    pub(super) mapping: Mapping,
    pub(super) owner: Owner,
    /// True once its unwind table was asked for.
    is_known: bool,
    has_table: bool,
}

/// What is mapped in one process.
pub(super) struct Space {
    parts: Vec<Part>,
    stack: Option<Mapping>,
    pub(super) image: Option<(u64, u64)>,
    pub(super) tables: Tables,
    pub(super) cache: Cache,
}

impl Space {
    /// Reads the map of a process.
    pub(super) fn read(process: i32, files: &Files) -> Option<Self> {
        let text = files.procfs().contents(&format!("{process}/maps"), MOST)?;
        let Maps { executable, stack, image } = maps::parse(&text)?;
        let part =
            |mapping: Mapping| Part { owner: files.owner(&mapping.path), mapping, is_known: false, has_table: false };
        let parts = executable.into_iter().map(part).collect();
        Some(Self { parts, stack, image, tables: Tables::new(), cache: Cache::new_in() })
    }

    pub(super) fn has_library(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.owner, Owner::Library(_)))
    }

    /// True on the stack that the kernel made for the process.
    pub(super) fn is_first_stack(&self, address: u64) -> bool {
        self.stack.as_ref().is_some_and(|stack| stack.contains(address))
    }

    /// What lies at an address of code.
    pub(super) fn at(&self, address: u64) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.mapping.start <= address);
        self.parts.get(after.checked_sub(1)?).filter(|part| part.mapping.contains(address))
    }

    /// Sees to it that the unwind table for an address is there: false if there is none.
    pub(super) fn prepare(&mut self, address: u64, files: &mut Files) -> bool {
        let after = self.parts.partition_point(|part| part.mapping.start <= address);
        let Some(part) = after.checked_sub(1).and_then(|at| self.parts.get_mut(at)) else { return false };
        if !part.is_known {
            part.is_known = true;
            if let Some(module) = files.module(&part.mapping, &part.owner) {
                part.has_table = true;
                self.tables.add_module(module);
            }
        }
        part.has_table
    }
}
