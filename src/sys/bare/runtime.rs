//! Entry point, memory and panics of a program without a C library.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, global_asm};
use core::cell::Cell;
use core::ffi::CStr;

use super::calls;

// The kernel enters with the argument block at the stack pointer (System V
// ABI for x86-64, section 3.4.1) and no return address.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {enter}", "ud2", enter = sym enter);

/// What the kernel passed to the program.
pub struct Start {
    /// The arguments, the program's name first.
    pub args: Vec<Vec<u8>>,
    /// The environment as `NAME=VALUE`.
    pub env: Vec<Vec<u8>>,
}

unsafe extern "C" fn enter(block: *const usize) -> ! {
    // SAFETY: `block` is the kernel's argument block: a count, that many string pointers, a null
    // pointer, the environment's string pointers, a null pointer. Nothing writes to it.
    let start = unsafe { read_block(block) };
    calls::exit(crate::run(start))
}

unsafe fn read_block(block: *const usize) -> Start {
    // SAFETY: the caller passes the kernel's argument block, whose lists end with null pointers.
    unsafe {
        let argc = *block;
        let mut pointers = block.add(1).cast::<*const core::ffi::c_char>();
        let mut take = |limit: usize| {
            let mut list = Vec::new();
            while !(*pointers).is_null() && list.len() < limit {
                list.push(CStr::from_ptr(*pointers).to_bytes().to_vec());
                pointers = pointers.add(1);
            }
            pointers = pointers.add(1);
            list
        };
        Start { args: take(argc), env: take(usize::MAX) }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    calls::write_all(2, b"sandbox-check shim: internal error\n");
    calls::exit(125)
}

/// Hands out memory from mapped chunks and never takes small pieces back: the shim lives for one
/// unit. Pieces of a chunk's size and more have a mapping of their own, which is given back.
struct Bump {
    next: Cell<usize>,
    end: Cell<usize>,
}

const CHUNK: usize = 1 << 20;

// SAFETY: the shim never has a second thread.
unsafe impl Sync for Bump {}

// SAFETY: each piece lies in a private mapping of at least its size that was never handed out
// before, at a multiple of its alignment (a page for big ones, rounded up for small ones).
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= CHUNK {
            return calls::map_memory(layout.size()) as *mut u8;
        }
        let mut at = self.next.get().next_multiple_of(layout.align());
        if at + layout.size() > self.end.get() {
            let chunk = calls::map_memory(CHUNK);
            if chunk == 0 {
                return core::ptr::null_mut();
            }
            self.end.set(chunk + CHUNK);
            at = chunk.next_multiple_of(layout.align());
        }
        self.next.set(at + layout.size());
        at as *mut u8
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if layout.size() >= CHUNK {
            calls::unmap_memory(at as usize, layout.size());
        }
    }
}

#[global_allocator]
static MEMORY: Bump = Bump { next: Cell::new(0), end: Cell::new(0) };

// The compiler calls these four by name; a C library would have them.

// SAFETY: the C standard's contract for `memcpy`; `rep movsb` copies rcx bytes from rsi to rdi.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller vouches for n readable and n writable bytes that do not overlap.
    unsafe {
        asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
    }
    to
}

// SAFETY: the C standard's contract for `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: `to` does not lie inside the source, so a forward copy reads each byte before it is overwritten.
        return unsafe { memcpy(to, from, n) };
    }
    // SAFETY: the caller vouches for the bytes; the direction flag is set for a backward copy and cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") n => _, inout("rdi") to.add(n).wrapping_sub(1) => _, inout("rsi") from.add(n).wrapping_sub(1) => _, options(nostack));
    }
    to
}

// SAFETY: the C standard's contract for `memset`; `rep stosb` writes al to rcx bytes at rdi.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller vouches for n writable bytes.
    unsafe {
        asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8, options(nostack, preserves_flags));
    }
    to
}

// SAFETY: the C standard's contract for `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    let mut i = 0;
    while i < n {
        // SAFETY: i < n, and the caller vouches for n readable bytes at both. Volatile, so that the
        // compiler does not turn this loop into a call of itself.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
        i += 1;
    }
    0
}

// SAFETY: as `memcmp`, which decides more than is asked.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(a, b, n) }
}

// SAFETY: the C standard's contract for `strlen`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the caller vouches for a terminating zero byte; volatile for the reason given in `memcmp`.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}

// The library of collections was compiled for unwinding and names these two. With `panic=abort`
// nothing ever unwinds.

// SAFETY: never called; ends the program if it were.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    calls::exit(125)
}

// SAFETY: never called; ends the program if it were.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    calls::exit(125)
}
