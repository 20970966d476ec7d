//! System calls without a C library, for the static shim.
//!
//! The shim holds capabilities while an attacker may own its environment. A
//! program that has no loader, no C library and no allocator tunables obeys no
//! environment variable, so there is nothing to sanitise. Everything unsafe of
//! it is in this folder; `src/shim/` is safe code.
//!
//! Numbers and structures are those of x86-64 Linux (`arch/x86/entry/syscalls/syscall_64.tbl`).

pub mod calls;
pub mod runtime;
mod sockets;
