//! The only module that calls the kernel without a safe wrapper in between.
//!
//! The charter: `unsafe` stands here and nowhere else in `src/`; each block does
//! one thing and states the fact that makes it sound; each function is safe to
//! call with any value of its types. Where `nix` has a safe wrapper, callers
//! use that and there is nothing here. (`bare/` belongs to the static shim.)

pub mod capabilities;
pub mod counters;
pub mod descriptors;
pub mod keyring;
pub mod landlock;
pub mod memory;
pub mod metadata;
pub mod network;
pub mod process;
pub mod registers;
pub mod seccomp;

use std::io;

/// A descriptor or a process id that a raw system call made; the kernel's are ints.
fn number(result: libc::c_long) -> io::Result<i32> {
    i32::try_from(answer(result)?).map_err(io::Error::other)
}

/// The answer of a raw system call as `io::Result`.
fn answer(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
