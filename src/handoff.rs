//! Datagrams with one descriptor between the supervisor and a shim.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

use crate::shim::protocol::LIMIT;

/// A received datagram.
#[derive(Debug)]
pub struct Datagram {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The descriptor that came with it.
    pub fd: Option<OwnedFd>,
}

/// Receives one datagram; `None` when no one can send any more.
///
/// # Errors
/// What `recvmsg(2)` answers.
pub fn receive(socket: impl AsFd) -> io::Result<Option<Datagram>> {
    let mut bytes = vec![0; LIMIT];
    let mut control = nix::cmsg_space!(i32);
    let (length, fd) = {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<UnixAddr>(
            socket.as_fd().as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        let mut fd = None;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = part {
                fd = fds.into_iter().next().map(crate::sys::descriptors::adopt);
            }
        }
        (message.bytes, fd)
    };
    if length == 0 && fd.is_none() {
        return Ok(None);
    }
    bytes.truncate(length);
    Ok(Some(Datagram { bytes, fd }))
}

/// Sends one datagram.
///
/// # Errors
/// What `sendmsg(2)` answers; EPIPE when the other side is gone.
pub fn send(socket: impl AsFd, bytes: &[u8], fd: Option<&OwnedFd>) -> io::Result<()> {
    let fds: Vec<i32> = fd.map(AsRawFd::as_raw_fd).into_iter().collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    sendmsg::<UnixAddr>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}
