//! A build script that removes its `OUT_DIR` and makes it again, as some do to begin afresh.
//!
//! Its right to write there hangs at the folder that cargo made (a rule of Landlock's is on an inode), and what lies beside
//! that is cargo's. So the folder stays: an empty one counts as removed until it is made again.

use std::fs;
use std::path::Path;

use super::folder::Act;
use crate::evidence::line::UnitKind;
use crate::supervisor::units::Unit;

/// What comes of a call that removes the unit's own `OUT_DIR`, or makes it after that: nothing or an errno; none for any
/// other call.
pub(super) fn renewed(unit: &mut Unit, act: Act, folder: &Path) -> Option<Result<(), i32>> {
    let out_dir = unit.places.first().filter(|_| unit.kind == UnitKind::RunBuildScript)?;
    if out_dir != folder {
        return None;
    }
    let answer = match (act, unit.has_removed_out_dir) {
        (Act::Remove, true) => Err(libc::ENOENT),
        (Act::Remove, false) if fs::read_dir(folder).ok()?.next().is_none() => Ok(()),
        (Act::Remove, false) => Err(libc::ENOTEMPTY),
        (Act::Make, true) => Ok(()),
        (Act::Make, false) => return None,
    };
    if answer.is_ok() {
        unit.has_removed_out_dir = act == Act::Remove;
    }
    Some(answer)
}
