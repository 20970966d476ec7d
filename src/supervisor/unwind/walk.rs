//! One walk over a stack: from the call outwards, until a macro library or the end.

use std::time::Instant;

use framehop::x86_64::UnwindRegsX86_64;
use framehop::{FrameAddress, Unwinder as _};

use super::files::{Files, Owner};
use super::space::Space;
use super::{Hit, How, Walked};
use crate::supervisor::caller;
use crate::sys::registers::Registers;

/// Stands for a frame pointer that is not known. Nothing can be mapped there, and sums with it do not overflow.
const NO_FRAME_POINTER: u64 = 0x0100_dead_0000_0000;
/// How far from it an address still comes of it.
const NEAR: u64 = 1 << 31;
/// Frames of a stack; rustc's own have about fifty.
const MOST_FRAMES: usize = 2048;
/// Frames in a macro library that are looked at for the hint.
const MOST_NAMED: usize = 48;

/// A walk and what it could not do.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) walked: Walked,
    /// True if more would be known with the frame pointer.
    pub(super) wants_frame_pointer: bool,
}

/// From where to walk, and until when.
#[derive(Clone, Copy)]
pub(super) struct Start {
    pub(super) tid: i32,
    pub(super) ip: u64,
    pub(super) sp: u64,
    pub(super) bp: Option<u64>,
    pub(super) until: Instant,
    /// True if the hint is wanted.
    pub(super) named: bool,
}

impl Start {
    /// With all registers.
    pub(super) fn with(self, Registers { ip, sp, bp }: Registers) -> Self {
        Self { ip, sp, bp: Some(bp), ..self }
    }
}

/// Walks. `None` if the stack leads to where nothing is known to be mapped.
pub(super) fn walk(start: Start, space: &mut Space, files: &mut Files) -> Option<Done> {
    let mut stack =
        Stack { tid: start.tid, until: start.until, chunk: 0, bytes: Vec::new(), wants_frame_pointer: false };
    let mut walk = Walk {
        registers: UnwindRegsX86_64::new(start.ip, start.sp, start.bp.unwrap_or(NO_FRAME_POINTER)),
        address: FrameAddress::from_instruction_pointer(start.ip),
    };
    let walked = walk.outwards(start, &mut stack, space, files)?;
    Some(Done { walked, wants_frame_pointer: stack.wants_frame_pointer })
}

struct Walk {
    registers: UnwindRegsX86_64,
    address: FrameAddress,
}

/// How one step ended.
enum Step {
    Next,
    End,
    Lost(&'static str),
}

impl Walk {
    fn outwards(&mut self, start: Start, stack: &mut Stack, space: &mut Space, files: &mut Files) -> Option<Walked> {
        const FOREIGN: &str = "code of a file that is no macro library";
        let lost = |why| Some(Walked::Lost { sp: start.sp, why });
        // A shared object that somebody loaded. Below it may be who called it; without one it is nobody's.
        let mut is_foreign = false;
        for _ in 0..MOST_FRAMES {
            let at = self.address.address_for_lookup();
            let part = space.at(at)?;
            match &part.owner {
                Owner::Library(file) => {
                    let file = file.clone();
                    let symbol = if start.named { self.name(stack, space, files) } else { None };
                    let how = if is_foreign { How::Called } else { How::Stack };
                    return Some(Walked::Library(how, Hit { file, symbol }));
                }
                Owner::Other if part.mapping.path.as_os_str().is_empty() => return lost("code that is no file's"),
                Owner::Other => is_foreign = true,
                Owner::Fixed => {}
            }
            match self.step(stack, space, files) {
                Step::Next => {}
                Step::End | Step::Lost(_) if is_foreign => return lost(FOREIGN),
                Step::End => {
                    let base = self.registers.sp();
                    let is_first = space.is_first_stack(start.sp) && space.is_first_stack(base);
                    return Some(Walked::Through { sp: start.sp, base, is_first });
                }
                Step::Lost(why) => return lost(why),
            }
        }
        lost("a stack without an end")
    }

    fn step(&mut self, stack: &mut Stack, space: &mut Space, files: &mut Files) -> Step {
        if Instant::now() > stack.until {
            return Step::Lost("it took too long");
        }
        if !space.prepare(self.address.address_for_lookup(), files) {
            return Step::Lost("a file without an unwind table");
        }
        let mut read = |address| stack.word(address);
        match space.tables.unwind_frame(self.address, &mut self.registers, &mut space.cache, &mut read) {
            Ok(Some(address)) => match FrameAddress::from_return_address(address) {
                Some(address) => {
                    self.address = address;
                    Step::Next
                }
                None => Step::Lost("a return to nowhere"),
            },
            Ok(None) => Step::End,
            Err(_) if Instant::now() > stack.until => Step::Lost("it took too long"),
            Err(_) => Step::Lost("the stack could not be followed"),
        }
    }

    /// The first function of a package among the frames that lie in the same macro library.
    fn name(&mut self, stack: &mut Stack, space: &mut Space, files: &mut Files) -> Option<String> {
        let part = space.at(self.address.address_for_lookup())?;
        let (mapping, owner) = (part.mapping.clone(), part.owner.clone());
        let mut addresses = Vec::new();
        while addresses.len() < MOST_NAMED && mapping.contains(self.address.address_for_lookup()) {
            addresses.push(self.address.address_for_lookup());
            if !matches!(self.step(stack, space, files), Step::Next) {
                break;
            }
        }
        let symbol = files.symbol(&mapping, &owner, &addresses);
        if symbol.is_some() {
            // What lies further out does not matter.
            stack.wants_frame_pointer = false;
        }
        symbol
    }
}

/// The caller's stack, read in pieces.
struct Stack {
    tid: i32,
    until: Instant,
    chunk: u64,
    bytes: Vec<u8>,
    wants_frame_pointer: bool,
}

impl Stack {
    fn word(&mut self, address: u64) -> Result<u64, ()> {
        const CHUNK: u64 = 16 * 1024;
        if address.abs_diff(NO_FRAME_POINTER) < NEAR {
            self.wants_frame_pointer = true;
            return Err(());
        }
        if Instant::now() > self.until {
            return Err(());
        }
        let inside = |chunk: u64, bytes: &[u8]| {
            let at = usize::try_from(address.checked_sub(chunk)?).ok()?;
            caller::word64(bytes, at)
        };
        if let Some(word) = inside(self.chunk, &self.bytes) {
            return Ok(word);
        }
        let length = usize::try_from(CHUNK).map_err(|_| ())?;
        self.bytes = caller::read_memory(self.tid, address, length).map_err(|_| ())?;
        self.chunk = address;
        inside(self.chunk, &self.bytes).ok_or(())
    }
}
