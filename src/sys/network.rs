//! The loopback interface of a new network namespace (netdevice(7)).

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::answer;

/// Turns `lo` on in the caller's network namespace.
///
/// # Errors
/// What `socket(2)` and `SIOCSIFFLAGS` answer: EPERM without `CAP_NET_ADMIN` over the namespace.
pub fn loopback_up() -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: `struct ifreq` is plain data, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    // SAFETY: the request outlives the call, which reads a `struct ifreq` from it.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    answer(libc::c_long::from(done))?;
    Ok(())
}
