//! Entering a Landlock domain by a ruleset that another stage made (`landlock_restrict_self(2)`).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::answer;

/// Puts the calling thread, and only it, into the domain of the ruleset.
///
/// # Errors
/// What the call answers: EPERM without no-new-privs, E2BIG at the sixteenth nested domain.
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and flags, no pointers.
    answer(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })?;
    Ok(())
}

/// The Landlock ABI that the kernel has; 0 for none.
pub fn abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: with this flag the call takes a null pointer and size 0 and only answers a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    u32::try_from(version).unwrap_or(0)
}
