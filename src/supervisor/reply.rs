//! Answers notifications. The only file that tells the kernel anything.
//!
//! [`Continue`] cannot be made without naming the layer that bounds the call,
//! and [`Constant`] cannot be turned into anything but an errno.

use std::io;
use std::os::fd::OwnedFd;

use crate::sandbox::table::Layer;
use crate::sys::seccomp::Listener;

/// The kernel goes on; the layer bounds the worst that the arguments can be by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Continue(
    #[expect(dead_code, reason = "for the reader of the code: whoever continues has to name the layer")]
    pub(super)  Layer,
);

/// An errno decided from registers alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constant(pub(super) i32);

/// An answer, made after the attempt was recorded.
#[derive(Debug)]
pub(super) enum Reply {
    /// See [`Continue`].
    Continue(Continue),
    /// See [`Constant`].
    Constant(Constant),
    /// Refused or failed on behalf.
    Errno(i32),
    /// Done on behalf.
    Success,
    /// Opened on behalf.
    Descriptor {
        /// What the caller gets.
        fd: OwnedFd,
        /// As the caller asked.
        close_on_exec: bool,
    },
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was sent, or its caller is gone.
    Done,
    /// The caller had as many descriptors as it may have.
    TableFull,
}

impl Reply {
    /// Sends it. That the caller is gone is not an error. [`Sent::TableFull`] if the caller could not take a descriptor.
    pub(super) fn send(self, listener: &Listener, id: u64) -> io::Result<Sent> {
        match self {
            Self::Continue(Continue(_)) => listener.answer_continue(id).map(|_| Sent::Done),
            Self::Constant(Constant(errno)) | Self::Errno(errno) => {
                listener.answer_errno(id, errno).map(|_| Sent::Done)
            }
            Self::Success => listener.answer_success(id).map(|_| Sent::Done),
            Self::Descriptor { fd, close_on_exec } => {
                use std::os::fd::AsFd as _;
                match listener.answer_descriptor(id, fd.as_fd(), close_on_exec) {
                    Ok(_) => Ok(Sent::Done),
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Sent::Done),
                    // The caller's table is full: the kernel would have said so, too.
                    Err(error) => {
                        let errno = error.raw_os_error().unwrap_or(libc::EMFILE);
                        let sent = if errno == libc::EMFILE { Sent::TableFull } else { Sent::Done };
                        listener.answer_errno(id, errno).map(|_| sent)
                    }
                }
            }
        }
    }
}
