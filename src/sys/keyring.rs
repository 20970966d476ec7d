//! The session keyring (keyctl(2)).

use std::io;

use super::answer;

/// Leaves the caller's session keyring for a new, empty one, so that nothing of the host's is inherited.
///
/// # Errors
/// What `keyctl(2)` answers; ENOSYS where the kernel has no keyrings.
pub fn join_new_session() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_ulong = 1;
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring; nothing is read.
    answer(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) })?;
    Ok(())
}
