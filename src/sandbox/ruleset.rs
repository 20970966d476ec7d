//! The Landlock rulesets: D1 for everything inside, Du for one unit.
//!
//! A domain denies what no rule grants, and rules grant for a whole hierarchy.
//! Hence the layout of the private root: whatever units must not share lies
//! in folders of its own, and the decoy home holds nothing else.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, Scope,
};

use super::sabotage::{Off, is_off};
use crate::evidence::line::Layout;

/// The oldest ABI that we run with: it has scopes for signals and abstract sockets.
pub const REQUIRED_ABI: ABI = ABI::V6;

/// An error that occurred while making a ruleset.
#[derive(Debug, thiserror::Error)]
pub enum RulesetError {
    /// The kernel has less than [`REQUIRED_ABI`], or refused a rule.
    #[error("make a Landlock ruleset")]
    Ruleset(#[from] landlock::RulesetError),
    /// A folder that a rule needs cannot be opened.
    #[error("open {} for a Landlock rule", .path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: landlock::PathFdError,
    },
    /// The kernel gave no descriptor.
    #[error("get the ruleset's descriptor")]
    NoDescriptor,
}

/// Reading and running.
fn read_access() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute
}

/// Everything that the crate knows.
fn all_access() -> BitFlags<AccessFs> {
    AccessFs::from_all(ABI::V9)
}

/// The rights on a device node.
fn device_access() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev
}

/// Everything but reading: a decoy is handed over by the supervisor only.
fn blind_write_access() -> BitFlags<AccessFs> {
    let devices = AccessFs::MakeChar | AccessFs::MakeBlock;
    all_access() & !(AccessFs::ReadFile | AccessFs::ReadDir | devices)
}

/// D1, for the supervisor, cargo and all units: the private root, no more. `outer_proc` is the `/proc`
/// of the outer PID namespace, `captured` the host's folder for captured bytes; only the supervisor has
/// descriptors of the two.
///
/// # Errors
/// When the kernel has less than ABI 6 or a folder is missing.
pub fn outer(layout: &Layout, outer_proc: impl AsFd, captured: impl AsFd) -> Result<OwnedFd, RulesetError> {
    if is_off(Off::Landlock) {
        return everything();
    }
    let mut ruleset = create()?;
    ruleset = beneath(ruleset, Path::new("/"), read_access())?;
    for path in writable_of_all(layout) {
        ruleset = beneath(ruleset, Path::new(path), all_access())?;
    }
    ruleset = devices(ruleset)?;
    ruleset = ruleset.add_rule(PathBeneath::new(outer_proc, read_access() & !AccessFs::Execute))?;
    // To make files, write and name them; not to read or run what was captured.
    let keeping = AccessFs::MakeReg | AccessFs::WriteFile | AccessFs::RemoveFile;
    ruleset = ruleset.add_rule(PathBeneath::new(captured, keeping))?;
    finish(ruleset)
}

/// Du, for one unit and its opener thread: what a build reads, and the unit's own `places`.
/// `reads` are folders that only units of its kind read.
///
/// # Errors
/// When a folder is missing, or what the kernel answers.
pub fn unit(layout: &Layout, places: &[PathBuf], reads: &[PathBuf]) -> Result<OwnedFd, RulesetError> {
    if is_off(Off::Landlock) {
        return everything();
    }
    let mut ruleset = create()?;
    let shared = [layout.toolchain.as_str(), &layout.registry_src, &layout.target_dir, &layout.tool, "/proc", "/etc"];
    for path in SYSTEM.iter().copied().chain(shared) {
        if Path::new(path).exists() {
            ruleset = beneath(ruleset, Path::new(path), read_access())?;
        }
    }
    for path in reads {
        ruleset = beneath(ruleset, path, read_access())?;
    }
    ruleset = devices(ruleset)?;
    ruleset = beneath(ruleset, Path::new(&layout.home), blind_write_access())?;
    for place in places {
        ruleset = beneath(ruleset, place, all_access())?;
    }
    finish(ruleset)
}

/// Folders of the host's system that are mounted read-only under their own names.
pub const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"];
/// Device nodes.
pub const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

fn writable_of_all(layout: &Layout) -> [&str; 6] {
    [&layout.home, &layout.target_dir, &layout.tmp, &layout.registry_src, &layout.local_src, &layout.consumer]
}

fn create() -> Result<RulesetCreated, landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED_ABI))?
        .handle_access(AccessNet::from_all(REQUIRED_ABI))?
        .scope(Scope::from_all(REQUIRED_ABI))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all_access())?
        .handle_access(AccessNet::from_all(ABI::V9))?
        .scope(Scope::from_all(ABI::V9))?
        .create()
}

/// A domain that denies nothing. A move to another folder is denied by every domain that does not grant it.
fn everything() -> Result<OwnedFd, RulesetError> {
    let ruleset = Ruleset::default().handle_access(AccessFs::Refer)?.create()?;
    finish(beneath(ruleset, Path::new("/"), AccessFs::Refer.into())?)
}

fn beneath(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let fd = PathFd::new(path).map_err(|source| RulesetError::Open { path: path.to_owned(), source })?;
    // A rule on a file may hold file rights only.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V9) };
    Ok(ruleset.add_rule(PathBeneath::new(fd, access))?)
}

fn devices(mut ruleset: RulesetCreated) -> Result<RulesetCreated, RulesetError> {
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        if path.exists() {
            ruleset = beneath(ruleset, &path, device_access())?;
        }
    }
    Ok(ruleset)
}

fn finish(ruleset: RulesetCreated) -> Result<OwnedFd, RulesetError> {
    Option::<OwnedFd>::from(ruleset).ok_or(RulesetError::NoDescriptor)
}
