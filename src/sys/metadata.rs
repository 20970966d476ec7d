//! Changes of metadata on an object that is already open as `O_PATH`, never by name.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::answer;

/// A change of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Permission bits.
    Mode(u32),
    /// Owner and group; `u32::MAX` leaves one alone.
    Owner(u32, u32),
    /// Access and modification time as (seconds, nanoseconds); `None` is now, for both.
    Times(Option<[(i64, i64); 2]>),
}

/// Applies the change to the object itself (`AT_EMPTY_PATH`).
///
/// # Errors
/// What `fchmodat2(2)` (Linux 6.6), `fchownat(2)` or `utimensat(2)` answer.
pub fn apply(object: BorrowedFd<'_>, change: Change) -> io::Result<()> {
    let fd = object.as_raw_fd();
    let empty = c"".as_ptr();
    let done = match change {
        // SAFETY: an empty zero-terminated path and plain values.
        Change::Mode(mode) => unsafe { libc::syscall(libc::SYS_fchmodat2, fd, empty, mode, libc::AT_EMPTY_PATH) },
        // SAFETY: as above.
        Change::Owner(uid, gid) => unsafe {
            libc::syscall(libc::SYS_fchownat, fd, empty, uid, gid, libc::AT_EMPTY_PATH)
        },
        Change::Times(times) => {
            let times = times.map(|pair| pair.map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec }));
            let pointer = times.as_ref().map_or(std::ptr::null(), |pair| pair.as_ptr());
            // SAFETY: the path as above; the pointer is null or two `struct timespec` that outlive the call.
            unsafe { libc::syscall(libc::SYS_utimensat, fd, empty, pointer, libc::AT_EMPTY_PATH) }
        }
    };
    answer(done)?;
    Ok(())
}

/// Has the file system place new folders in this one far from each other, where it can: ext4's "top of a hierarchy"
/// (`EXT4_TOPDIR_FL`, `chattr +T`; `find_group_orlov` in the kernel's `fs/ext4/ialloc.c`).
///
/// # Errors
/// What `ioctl_iflags(2)` answers, for example where the file system has no such flags.
pub fn spread_folders(folder: BorrowedFd<'_>) -> io::Result<()> {
    const TOPDIR: libc::c_int = 0x0002_0000;
    let fd = folder.as_raw_fd();
    let mut flags: libc::c_int = 0;
    // SAFETY: the kernel writes one int to a place that is one, whatever the type in the request's name.
    answer(unsafe { libc::ioctl(fd, libc::FS_IOC_GETFLAGS, &raw mut flags) }.into())?;
    if flags & TOPDIR == 0 {
        flags |= TOPDIR;
        // SAFETY: the kernel reads one int from a place that is one.
        answer(unsafe { libc::ioctl(fd, libc::FS_IOC_SETFLAGS, &raw const flags) }.into())?;
    }
    Ok(())
}
