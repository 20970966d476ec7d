//! Changes of mode, owner and times on behalf.
//!
//! Landlock does not govern metadata, and all units have one uid, so a unit
//! could take the mode from a neighbour's output. Therefore the supervisor
//! opens the object, looks where it lies, and changes that object itself if it is
//! the unit's own or of the decoy home; any other change is refused.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::caller::{self, PATH_CAP, Proc, int, uint};
use super::links;
use super::open::{self, Unreadable};
use crate::sandbox::table::Metadata;
use crate::sys::metadata::{Change, apply};
use crate::sys::seccomp::Notification;

/// A decoded metadata call.
#[derive(Debug)]
pub(super) struct MetadataCall {
    pub(super) dirfd: Option<i32>,
    /// Absent when the call is on a descriptor.
    pub(super) path: Option<Vec<u8>>,
    follow: bool,
    change: Change,
}

impl MetadataCall {
    /// Reads the arguments from registers and memory.
    pub(super) fn read(notification: &Notification, which: Metadata) -> Result<Self, Unreadable> {
        let [first, second, third, fourth, fifth, _] = notification.args;
        let tid = notification.tid;
        let no_follow = |flags: u64| int(flags) & libc::AT_SYMLINK_NOFOLLOW == 0;
        let (dirfd, path, follow, change) = match which {
            Metadata::Chmod => (None, Some(first), true, Change::Mode(uint(second))),
            Metadata::Fchmod => (Some(first), None, true, Change::Mode(uint(second))),
            Metadata::Fchmodat => (Some(first), Some(second), true, Change::Mode(uint(third))),
            Metadata::Fchmodat2 => (Some(first), Some(second), no_follow(fourth), Change::Mode(uint(third))),
            Metadata::Chown => (None, Some(first), true, Change::Owner(uint(second), uint(third))),
            Metadata::Lchown => (None, Some(first), false, Change::Owner(uint(second), uint(third))),
            Metadata::Fchown => (Some(first), None, true, Change::Owner(uint(second), uint(third))),
            Metadata::Fchownat => {
                (Some(first), Some(second), no_follow(fifth), Change::Owner(uint(third), uint(fourth)))
            }
            Metadata::Utime => (None, Some(first), true, Change::Times(times(tid, second, Unit::Seconds)?)),
            Metadata::Utimes => (None, Some(first), true, Change::Times(times(tid, second, Unit::Microseconds)?)),
            Metadata::Futimesat => {
                (Some(first), Some(second), true, Change::Times(times(tid, third, Unit::Microseconds)?))
            }
            Metadata::Utimensat => (
                Some(first),
                (second != 0).then_some(second),
                no_follow(fourth),
                Change::Times(times(tid, third, Unit::Nanoseconds)?),
            ),
        };
        let path = match path {
            None => None,
            Some(address) => {
                let (text, whole) = caller::read_string(tid, address, PATH_CAP).map_err(|_| Unreadable::Memory)?;
                if !whole {
                    return Err(Unreadable::TooLong);
                }
                // With AT_EMPTY_PATH the call is on the descriptor.
                (!text.is_empty() || dirfd.is_none()).then_some(text)
            }
        };
        Ok(Self { dirfd: dirfd.map(int), path, follow, change })
    }

    /// What changes, for people.
    pub(super) fn describe(&self) -> String {
        match self.change {
            Change::Mode(mode) => format!("mode {:04o}", mode & 0o7777),
            Change::Owner(uid, gid) => format!("owner {uid}:{gid}"),
            Change::Times(_) => "times".to_owned(),
        }
    }
}

/// Does it if `allowed` says so of the object's path. Returns that path, or the path by text where
/// there is no object.
pub(super) fn change(
    call: &MetadataCall,
    tid: i32,
    procfs: &Proc,
    allowed: impl Fn(&Path) -> bool,
) -> (Result<(), Errno>, PathBuf) {
    let path = call.path.as_deref().unwrap_or_default();
    let by_text = procfs.resolve(tid, call.dirfd, Path::new(std::ffi::OsStr::from_bytes(path)));
    let object = match find(call, tid, procfs) {
        Ok(object) => object,
        Err(errno) => return (Err(errno), by_text),
    };
    let real = procfs.own_descriptor(&object).unwrap_or(by_text);
    if !allowed(&real) {
        return (Err(Errno::EACCES), real);
    }
    let done =
        apply(object.as_fd(), call.change).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
    (done, real)
}

fn find(call: &MetadataCall, tid: i32, procfs: &Proc) -> Result<OwnedFd, Errno> {
    match &call.path {
        None => procfs.open_base(tid, call.dirfd),
        Some(path) if path.is_empty() => Err(Errno::ENOENT),
        Some(path) if call.follow => links::object_of(tid, call.dirfd, path, procfs),
        Some(path) if path.starts_with(b"/") => open::object(path, None, call.follow),
        Some(path) => open::object(path, Some(&procfs.open_base(tid, call.dirfd)?), call.follow),
    }
}

/// The units in which the different calls give fractions of a second.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Microseconds,
    Nanoseconds,
}

/// Two times at an address; none for a null pointer, which means now.
fn times(tid: i32, address: u64, unit: Unit) -> Result<Option<[(i64, i64); 2]>, Unreadable> {
    if address == 0 {
        return Ok(None);
    }
    let bytes = if matches!(unit, Unit::Seconds) { 16 } else { 32 };
    let raw = caller::read_memory(tid, address, bytes).map_err(|_| Unreadable::Memory)?;
    let word = |at: usize| caller::word64(&raw, at).map(u64::cast_signed).ok_or(Unreadable::Memory);
    Ok(Some(match unit {
        Unit::Seconds => [(word(0)?, 0), (word(8)?, 0)],
        Unit::Microseconds => [(word(0)?, word(8)?.saturating_mul(1000)), (word(16)?, word(24)?.saturating_mul(1000))],
        Unit::Nanoseconds => [(word(0)?, word(8)?), (word(16)?, word(24)?)],
    }))
}
