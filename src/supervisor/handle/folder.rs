//! Calls of build scripts on folders to whose surroundings they have no right, answered on their behalf.

use std::io;

use nix::fcntl::AtFlags;
use syscalls::Sysno;

use super::{Handler, Record};
use crate::evidence::line::{ArgState, Object, Outcome};
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
    /// The answer to such a call; none for any other.
    pub(super) fn on_folder(
        &mut self,
        unit: &mut Unit,
        notification: &Notification,
        row: Row,
        decoded: &Decoded,
    ) -> io::Result<Option<Reply>> {
        let (Some(act), Object::Path(path)) = (act_of(notification), &decoded.object) else { return Ok(None) };
        let folder = path.resolved.as_path();
        let renewed = super::out_dir::renewed(unit, act, folder);
        let Some(answer) = renewed.or_else(|| self.lent_folder(unit, act, folder)) else { return Ok(None) };
        let (errno, object) = (answer.err(), decoded.object.clone());
        let record = Record { kind: row.kind, outcome: Outcome::Emulated, errno, state: ArgState::Exact, object };
        self.record(unit, notification, record)?;
        Ok(Some(errno.map_or(Reply::Success, Reply::Errno)))
    }
}

fn act_of(notification: &Notification) -> Option<Act> {
    match usize::try_from(notification.number).ok().and_then(Sysno::new)? {
        Sysno::rmdir => Some(Act::Remove),
        Sysno::unlinkat if int(notification.args[2]) & AtFlags::AT_REMOVEDIR.bits() != 0 => Some(Act::Remove),
        Sysno::mkdir | Sysno::mkdirat => Some(Act::Make),
        _ => None,
    }
}
