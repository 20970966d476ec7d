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
