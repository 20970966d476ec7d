//! Capability sets of the calling thread (capabilities(7), capset(2)).

use std::io;

use super::answer;

/// A capability by its number in `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability(pub u8);

impl Capability {
    /// `CAP_SETPCAP`: to empty the bounding set of a unit.
    pub const SET_PCAP: Self = Self(8);
    /// `CAP_SYS_PTRACE`: to read the memory of callers.
    pub const SYS_PTRACE: Self = Self(19);
    /// `CAP_SYS_ADMIN`: to make the namespaces of a unit.
    pub const SYS_ADMIN: Self = Self(21);
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two records for 64 capabilities.
const VERSION_3: u32 = 0x2008_0522;

/// Keeps just these as permitted and effective, and as inheritable too if `inheritable`.
/// With an empty list the thread has no capability and cannot get one back.
///
/// # Errors
/// What `capset(2)` answers: EPERM if one of them is not permitted now.
pub fn keep_only(capabilities: &[Capability], inheritable: bool) -> io::Result<()> {
    let of_word = |word: u8| {
        let own = capabilities.iter().filter(|capability| capability.0 / 32 == word);
        let bits = own.fold(0_u32, |bits, capability| bits | 1 << (capability.0 % 32));
        Data { effective: bits, permitted: bits, inheritable: if inheritable { bits } else { 0 } }
    };
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [of_word(0), of_word(1)];
    // SAFETY: header and data have the layout of version 3 and outlive the call, which only reads them.
    answer(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// Puts a permitted and inheritable capability into the ambient set, so that it survives `execve`.
///
/// # Errors
/// What `prctl(2)` answers: EPERM if it is not both permitted and inheritable.
pub fn raise_ambient(capability: Capability) -> io::Result<()> {
    // SAFETY: PR_CAP_AMBIENT takes plain values.
    let done = unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, libc::c_ulong::from(capability.0), 0, 0)
    };
    answer(libc::c_long::from(done))?;
    Ok(())
}
