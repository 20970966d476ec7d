//! The listener of a seccomp filter: receive, check, answer (`seccomp_unotify(2)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use super::{answer, number};

/// What the kernel tells about one blocked call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The kernel's cookie for it.
    pub id: u64,
    /// The caller's thread id in the listener's PID namespace; 0 if it is not visible there.
    pub tid: i32,
    /// The system call's number, in the table of `arch`.
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The raw registers.
    pub args: [u64; 6],
}

/// The descriptor that reports the calls of one unit.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl From<OwnedFd> for Listener {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// The next notification; `None` if its caller is gone already (ENOENT) or we were interrupted.
    /// Blocks when there is none; ask `poll(2)` first.
    ///
    /// # Errors
    /// What `SECCOMP_IOCTL_NOTIF_RECV` answers otherwise.
    pub fn receive(&self) -> io::Result<Option<Notification>> {
        // SAFETY: the structure is plain data, and the kernel wants it zeroed.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one `struct seccomp_notif` to a local that outlives the call.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) };
        match answer(libc::c_long::from(done)) {
            Ok(_) => Ok(Some(Notification {
                id: raw.id,
                tid: raw.pid.cast_signed(),
                number: raw.data.nr.cast_unsigned(),
                arch: raw.data.arch,
                args: raw.data.args,
            })),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// True while the call still waits: what was read from its caller before is the caller's.
    pub fn is_valid(&self, id: u64) -> bool {
        // SAFETY: the kernel reads one u64 from a local.
        unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
    }

    /// Lets the kernel go on with the call. False if the caller was gone.
    ///
    /// # Errors
    /// What `SECCOMP_IOCTL_NOTIF_SEND` answers but for ENOENT.
    pub fn answer_continue(&self, id: u64) -> io::Result<bool> {
        self.send(libc::seccomp_notif_resp { id, val: 0, error: 0, flags: SECCOMP_USER_NOTIF_FLAG_CONTINUE })
    }

    /// Answers with an errno (positive). False if the caller was gone.
    ///
    /// # Errors
    /// What `SECCOMP_IOCTL_NOTIF_SEND` answers but for ENOENT.
    pub fn answer_errno(&self, id: u64, errno: i32) -> io::Result<bool> {
        self.send(libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 })
    }

    /// Answers success with 0. False if the caller was gone.
    ///
    /// # Errors
    /// What `SECCOMP_IOCTL_NOTIF_SEND` answers but for ENOENT.
    pub fn answer_success(&self, id: u64) -> io::Result<bool> {
        self.send(libc::seccomp_notif_resp { id, val: 0, error: 0, flags: 0 })
    }

    /// Puts a descriptor into the caller's table and answers with its number, in one step
    /// (`SECCOMP_ADDFD_FLAG_SEND`, Linux 5.14).
    ///
    /// # Errors
    /// EMFILE when the caller's table is full; ENOENT when the caller is gone.
    pub fn answer_descriptor(&self, id: u64, fd: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<RawFd> {
        let add = libc::seccomp_notif_addfd {
            id,
            flags: SECCOMP_ADDFD_FLAG_SEND,
            srcfd: fd.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 },
        };
        // SAFETY: the kernel reads one `struct seccomp_notif_addfd` from a local.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const add) };
        number(libc::c_long::from(done))
    }

    /// Wakes the supervisor on the caller's CPU (Linux 6.6), which saves most of a round trip, if it waits in `poll(2)`
    /// itself: `epoll` forgets the hint.
    /// An older kernel is as correct without.
    pub fn wake_synchronously(&self) {
        // SAFETY: takes a value, no pointer.
        let _ = unsafe {
            libc::ioctl(self.0.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
        };
    }

    fn send(&self, response: libc::seccomp_notif_resp) -> io::Result<bool> {
        // SAFETY: the kernel reads one `struct seccomp_notif_resp` from a local.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
        match answer(libc::c_long::from(done)) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE` in the width of its field; `libc` has it in another one.
const SECCOMP_USER_NOTIF_FLAG_CONTINUE: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND` in the width of its field; `libc` has it in another one.
const SECCOMP_ADDFD_FLAG_SEND: u32 = 2;
/// `SECCOMP_IOW(4, __u64)` of `linux/seccomp.h`.
const SECCOMP_IOCTL_NOTIF_SET_FLAGS: libc::c_ulong = 0x4008_2104;
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`.
const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: libc::c_ulong = 1;
