//! A build script that removes its `OUT_DIR` and makes it again, as some do to begin afresh.
//!
//! Its right to write there hangs at the folder that cargo made (a rule of Landlock's is on an inode), and what lies beside
//! that is cargo's. So the folder stays: an empty one counts as removed until it is made again.

use std::fs;
use std::io;

use nix::fcntl::AtFlags;
use syscalls::Sysno;

use super::{Handler, Record};
use crate::evidence::line::{ArgState, Object, Outcome, UnitKind};
use crate::sandbox::table::Row;
use crate::supervisor::caller::int;
use crate::supervisor::decode::Decoded;
use crate::supervisor::reply::Reply;
use crate::supervisor::units::Unit;
use crate::sys::seccomp::Notification;

/// What a call is about to do with a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Remove,
    Make,
}

impl Handler<'_> {
    /// The answer to a call on a folder that the unit has no right to and is answered for; none for any other call.
    pub(super) fn on_folder(
        &mut self,
        unit: &mut Unit,
        notification: &Notification,
        row: Row,
        decoded: &Decoded,
    ) -> io::Result<Option<Reply>> {
        let renewed = self.renews(unit, notification, row, decoded)?;
        if renewed.is_some() { Ok(renewed) } else { self.lends_folder(unit, notification, row, decoded) }
    }

    /// The answer to a call that removes the unit's own `OUT_DIR`, or makes it after that.
    fn renews(
        &mut self,
        unit: &mut Unit,
        notification: &Notification,
        row: Row,
        decoded: &Decoded,
    ) -> io::Result<Option<Reply>> {
        let (Some(act), Object::Path(path)) = (act_of(notification), &decoded.object) else { return Ok(None) };
        let out_dir = unit.places.first().filter(|_| unit.kind == UnitKind::RunBuildScript);
        let Some(out_dir) = out_dir.filter(|out_dir| *out_dir == path.resolved.as_path()) else { return Ok(None) };
        let answer = match (act, unit.has_removed_out_dir) {
            (Act::Remove, true) => Err(libc::ENOENT),
            (Act::Remove, false) => match fs::read_dir(out_dir).map(|mut entries| entries.next().is_none()) {
                Ok(true) => Ok(()),
                Ok(false) => Err(libc::ENOTEMPTY),
                Err(_) => return Ok(None),
            },
            (Act::Make, true) => Ok(()),
            (Act::Make, false) => return Ok(None),
        };
        if answer.is_ok() {
            unit.has_removed_out_dir = act == Act::Remove;
        }
        let (errno, object) = (answer.err(), decoded.object.clone());
        let record = Record { kind: row.kind, outcome: Outcome::Emulated, errno, state: ArgState::Exact, object };
        self.record(unit, notification, record)?;
        Ok(Some(errno.map_or(Reply::Success, Reply::Errno)))
    }
}

pub(super) fn act_of(notification: &Notification) -> Option<Act> {
    match usize::try_from(notification.number).ok().and_then(Sysno::new)? {
        Sysno::rmdir => Some(Act::Remove),
        Sysno::unlinkat if int(notification.args[2]) & AtFlags::AT_REMOVEDIR.bits() != 0 => Some(Act::Remove),
        Sysno::mkdir | Sysno::mkdirat => Some(Act::Make),
        _ => None,
    }
}
