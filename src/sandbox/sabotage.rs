//! Turns single layers off, so that the confinement suite can show that its probes fail without them, and closes a
//! listener early, so that it can show that this is noticed.
//!
//! Only the feature `sabotage` has this; it is for `scripts/sabotage` and no build that anybody uses. Without the feature
//! nothing is off, and no name of this file is in the program (tests/confinement/sabotage.rs looks).

use crate::sys::capabilities::Capability;

/// What can be turned off. A layer that is off does nothing, and the others stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    /// The private root: a folder of the machine is in it, writable.
    PrivateRoot,
    /// Both Landlock domains: they grant everything.
    Landlock,
    /// Filter U: it asks about opens only, by which payloads tell what they met.
    Filter,
    /// Filter K.
    CargoFilter,
    /// The sandbox's PID namespace: processes and `/proc` are the machine's, and what is left behind stays.
    OuterPidNamespace,
    /// Resource limits of each process.
    Limits,
    /// The network namespace: it is the machine's.
    NetworkNamespace,
    /// IPC namespaces, the sandbox's and the units'.
    IpcNamespace,
    /// The bound on user namespaces.
    NoNamespaces,
    /// The new session keyring.
    Keyring,
    /// What the supervisor asks before it changes metadata.
    OnBehalf,
    /// Refusals with a layer behind them: the answer is to go on.
    Refusals,
    /// Records, but for those by which payloads tell.
    Records,
}

/// The variable that names what is off, with commas between.
#[cfg(feature = "sabotage")]
pub const VARIABLE: &str = "SANDBOX_CHECK_SABOTAGE";

/// The variable that names the folder of the machine for [`Off::PrivateRoot`].
#[cfg(feature = "sabotage")]
pub const FOLDER: &str = "SANDBOX_CHECK_SABOTAGE_FOLDER";

/// True if it is off.
#[cfg(not(feature = "sabotage"))]
pub const fn is_off(_: Off) -> bool {
    false
}

/// True if it is off.
#[cfg(feature = "sabotage")]
pub fn is_off(off: Off) -> bool {
    let name = match off {
        Off::PrivateRoot => "private-root",
        Off::Landlock => "landlock",
        Off::Filter => "filter",
        Off::CargoFilter => "cargo-filter",
        Off::OuterPidNamespace => "outer-pid-namespace",
        Off::Limits => "limits",
        Off::NetworkNamespace => "network-namespace",
        Off::IpcNamespace => "ipc-namespace",
        Off::NoNamespaces => "no-namespaces",
        Off::Keyring => "keyring",
        Off::OnBehalf => "on-behalf",
        Off::Refusals => "refusals",
        Off::Records => "records",
    };
    std::env::var(VARIABLE).is_ok_and(|names| names.split(',').any(|found| found == name))
}

/// True if anything is off: then the self-test's word does not end the run.
#[cfg(not(feature = "sabotage"))]
pub const fn is_on() -> bool {
    false
}

/// True if anything is off: then the self-test's word does not end the run.
#[cfg(feature = "sabotage")]
pub fn is_on() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// A capability that units are to have: `capability-N`.
#[cfg(not(feature = "sabotage"))]
pub const fn capability() -> Option<Capability> {
    None
}

/// A capability that units are to have: `capability-N`.
#[cfg(feature = "sabotage")]
pub fn capability() -> Option<Capability> {
    let names = std::env::var(VARIABLE).ok()?;
    names.split(',').find_map(|name| name.strip_prefix("capability-")?.parse().ok()).map(Capability)
}

/// After so many calls of a build script its listener is closed, while the supervisor lives on: `listener-after-N`.
#[cfg(not(feature = "sabotage"))]
pub const fn calls_until_listener_closes() -> Option<u64> {
    None
}

/// After so many calls of a build script its listener is closed, while the supervisor lives on: `listener-after-N`.
#[cfg(feature = "sabotage")]
pub fn calls_until_listener_closes() -> Option<u64> {
    let names = std::env::var(VARIABLE).ok()?;
    names.split(',').find_map(|name| name.strip_prefix("listener-after-")?.parse().ok())
}

/// What those that are started by us have to be told.
#[cfg(not(feature = "sabotage"))]
pub const fn variables() -> [(&'static str, String); 0] {
    []
}

/// What those that are started by us have to be told.
#[cfg(feature = "sabotage")]
pub fn variables() -> impl Iterator<Item = (&'static str, String)> {
    [VARIABLE, FOLDER].into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)))
}

/// The folder of the machine that is let in.
#[cfg(feature = "sabotage")]
pub fn folder() -> Option<std::path::PathBuf> {
    is_off(Off::PrivateRoot).then(|| std::env::var_os(FOLDER).map(Into::into)).flatten()
}

/// The folder of the machine that is let in.
#[cfg(not(feature = "sabotage"))]
pub const fn folder() -> Option<std::path::PathBuf> {
    None
}
