//! The shim's part of `src/sandbox/sabotage.rs`: nothing without the feature of that name.

use alloc::vec::Vec;

/// True if a layer is turned off.
#[cfg(sabotage)]
pub(crate) fn is_off(env: &[Vec<u8>], layer: &[u8]) -> bool {
    let value = crate::unit::variable(env, b"SANDBOX_CHECK_SABOTAGE").unwrap_or_default();
    value.split(|byte| *byte == b',').any(|name| name == layer)
}

/// True if a layer is turned off.
#[cfg(not(sabotage))]
pub(crate) const fn is_off(_: &[Vec<u8>], _: &[u8]) -> bool {
    false
}

/// A capability that the unit keeps: `capability-N`.
#[cfg(sabotage)]
pub(crate) fn kept_capability(env: &[Vec<u8>]) -> Option<usize> {
    let value = crate::unit::variable(env, b"SANDBOX_CHECK_SABOTAGE").unwrap_or_default();
    let mut names = value.split(|byte| *byte == b',');
    let digits = names.find_map(|name| name.strip_prefix(b"capability-"))?;
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// A capability that the unit keeps.
#[cfg(not(sabotage))]
pub(crate) const fn kept_capability(_: &[Vec<u8>]) -> Option<usize> {
    None
}
