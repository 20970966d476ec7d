//! Messages, with a descriptor or without one. Callers find them in [`super::calls`].

use alloc::vec::Vec;

use super::calls::{Answer, EINTR, Errno, nr, raw};

/// `struct iovec`, `struct msghdr` and one control message with one descriptor (cmsg(3)).
#[repr(C)]
struct Message {
    name: usize,
    name_len: usize,
    iov: *const IoVec,
    iov_len: usize,
    control: *const Control,
    control_len: usize,
    flags: usize,
}

#[repr(C)]
struct IoVec {
    base: usize,
    len: usize,
}

#[repr(C)]
struct Control {
    len: usize,
    level: i32,
    kind: i32,
    fd: i32,
    padding: i32,
}

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
/// CMSG_LEN(sizeof(int)).
const CONTROL_LEN: usize = 20;

/// Sends one message with at most one descriptor.
pub fn send(socket: usize, bytes: &[u8], fd: Option<usize>) -> Answer {
    const NO_SIGNAL: usize = 0x4000;
    let iov = IoVec { base: bytes.as_ptr() as usize, len: bytes.len() };
    let control = Control {
        len: CONTROL_LEN,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        fd: fd.unwrap_or_default() as i32,
        padding: 0,
    };
    let control_len = if fd.is_some() { size_of::<Control>() } else { 0 };
    let message = Message { name: 0, name_len: 0, iov: &iov, iov_len: 1, control: &control, control_len, flags: 0 };
    // SAFETY: the message and all that it points to are locals or borrowed and outlive the call.
    unsafe { raw(nr::SENDMSG, [socket, &raw const message as usize, NO_SIGNAL, 0, 0, 0]) }
}

/// Receives one message of at most `limit` bytes with at most one descriptor. `None` at the end.
pub fn receive(socket: usize, limit: usize) -> Answer<Option<(Vec<u8>, Option<usize>)>> {
    const CLOEXEC: usize = 0x4000_0000;
    let mut bytes = alloc::vec![0_u8; limit];
    let mut control = Control { len: 0, level: 0, kind: 0, fd: -1, padding: 0 };
    let n = loop {
        let iov = IoVec { base: bytes.as_mut_ptr() as usize, len: bytes.len() };
        let message = Message {
            name: 0,
            name_len: 0,
            iov: &iov,
            iov_len: 1,
            control: &raw const control,
            control_len: size_of::<Control>(),
            flags: 0,
        };
        // SAFETY: the message and all that it points to outlive the call; `control` and `bytes` are writable.
        match unsafe { raw(nr::RECVMSG, [socket, &raw const message as usize, CLOEXEC, 0, 0, 0]) } {
            Err(Errno(EINTR)) => {}
            other => break other?,
        }
    };
    // SAFETY: the kernel may have written to `control` behind the compiler's back; it is a local of plain integers.
    control = unsafe { core::ptr::read_volatile(&raw const control) };
    if n == 0 {
        return Ok(None);
    }
    bytes.truncate(n);
    let with_fd =
        control.len >= CONTROL_LEN && control.level == SOL_SOCKET && control.kind == SCM_RIGHTS && control.fd >= 0;
    Ok(Some((bytes, with_fd.then_some(control.fd as usize))))
}

/// `connect(2)` to an address of the caller's making.
pub fn connect(socket: usize, address: &[u8]) -> Answer {
    // SAFETY: the slice is readable for its length.
    unsafe { raw(nr::CONNECT, [socket, address.as_ptr() as usize, address.len(), 0, 0, 0]) }
}

/// `sendto(2)`.
pub fn send_to(socket: usize, bytes: &[u8], flags: usize, address: &[u8]) -> Answer {
    // SAFETY: both slices are readable for their lengths.
    unsafe {
        raw(nr::SENDTO, [socket, bytes.as_ptr() as usize, bytes.len(), flags, address.as_ptr() as usize, address.len()])
    }
}
