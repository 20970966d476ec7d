//! Descriptors at fixed numbers, and the end of all others.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use super::answer;

/// Makes `number` another name of `fd` that survives `execve`. Whatever had the number is closed,
/// so the caller must not own a descriptor with it (the standard ones belong to nobody).
///
/// # Errors
/// What `dup2(2)` answers.
pub fn place(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: takes numbers; that nobody owns `number` is the caller's promise, and a double close is
    // then impossible.
    let done = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    answer(libc::c_long::from(done))?;
    Ok(())
}

/// Marks every descriptor from 3 on, but for `keep`, to be closed by the next `execve`.
///
/// # Errors
/// What `close_range(2)` answers (the flag is of Linux 5.11).
pub fn close_on_exec_all_but(keep: i32) -> io::Result<()> {
    let keep = libc::c_uint::try_from(keep).map_err(io::Error::other)?;
    for (first, last) in [(3, keep - 1), (keep + 1, libc::c_uint::MAX)] {
        // SAFETY: takes numbers and closes nothing now.
        answer(unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) })?;
    }
    Ok(())
}

/// Takes a descriptor that a message brought. The kernel made the number for this message, and the
/// message is read once.
pub fn adopt(received: RawFd) -> OwnedFd {
    // SAFETY: see above: nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(received) }
}
