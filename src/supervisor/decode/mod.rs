//! From registers and memory to a typed object, for every call but opens and
//! metadata. The table says which register is what; this only reads it.

mod operation;
mod program;
mod signal;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::caller::{self, PATH_CAP, Proc, int, uint};
use super::open::Unreadable;
use super::{links, sockets};
use crate::evidence::Bytes;
use crate::evidence::line::{Address, ArgState, Base, Object, PathObject};
use crate::sandbox::table::names::{bit_names, value_name};
use crate::sandbox::table::{Args, Named};
use crate::sys::seccomp::Notification;

/// A decoded call.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) object: Object,
    pub(super) state: ArgState,
    /// For calls that send: what.
    pub(super) messages: Vec<sockets::Message>,
    /// For program starts: the file, without any right to it.
    pub(super) program: Option<OwnedFd>,
}

impl Decoded {
    /// What was decided from registers alone.
    pub(super) fn exact(object: Object) -> Self {
        Self::new(object, ArgState::Exact)
    }

    /// Nothing but the registers could be read.
    pub(super) fn unreadable() -> Self {
        Self::new(Object::None, ArgState::Unreadable)
    }

    fn new(object: Object, state: ArgState) -> Self {
        Self { object, state, messages: Vec::new(), program: None }
    }
}

/// What the decoders read from: the registers of a call, and what is known of its caller.
#[derive(Clone, Copy)]
struct Caller<'a> {
    notification: &'a Notification,
    procfs: &'a Proc,
}

impl Caller<'_> {
    fn tid(self) -> i32 {
        self.notification.tid
    }

    fn register(self, at: u8) -> u64 {
        self.notification.args.get(usize::from(at)).copied().unwrap_or_default()
    }

    fn descriptor(self, at: Option<u8>) -> Option<i32> {
        at.map(|at| int(self.register(at)))
    }

    /// The names of a register's value.
    fn names(self, register: Named) -> Vec<String> {
        match register {
            Named::Value(at, mask, names) => vec![value_name(uint(self.register(at)) & mask, names)],
            Named::Bits(at, mask, names) => bit_names(uint(self.register(at)) & mask, names),
        }
    }

    fn flags(self, register: Option<Named>) -> Vec<String> {
        register.map(|register| self.names(register)).unwrap_or_default()
    }

    /// A path argument, with the absolute path that it means by text.
    fn path(self, dir: Option<u8>, at: u8) -> Result<PathObject, Unreadable> {
        let (path, whole) = caller::read_string(self.tid(), self.register(at), PATH_CAP)?;
        if !whole {
            return Err(Unreadable::TooLong);
        }
        Ok(path_object(self.tid(), self.descriptor(dir), path, self.procfs))
    }
}

impl Caller<'_> {
    /// As [`Self::path`], of a name that is made, changed or removed: the folder is that of the object, whatever links
    /// lead to it.
    fn name(self, dir: Option<u8>, at: u8) -> Result<PathObject, Unreadable> {
        let mut object = self.path(dir, at)?;
        let path = object.path.0.as_slice();
        let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let path = path.get(..end).unwrap_or_default();
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return Ok(object) };
        let (folder, name) = path.split_at(slash + 1);
        if !matches!(name, b"." | b"..")
            && let Ok(folder) = links::object_of(self.tid(), self.descriptor(dir), folder, self.procfs)
            && let Some(folder) = self.procfs.own_descriptor(&folder)
        {
            object.resolved = Bytes::from(folder.join(as_path(name)).as_path());
        }
        Ok(object)
    }

    /// As [`Self::path`], of what all links lead to.
    fn target(self, at: u8) -> Result<PathObject, Unreadable> {
        let mut object = self.name(None, at)?;
        if let Ok(found) = links::object_of(self.tid(), None, &object.path.0, self.procfs)
            && let Some(real) = self.procfs.own_descriptor(&found)
        {
            object.resolved = Bytes::from(real.as_path());
        }
        Ok(object)
    }
}

/// A path of the caller's: its bytes, where it starts, and the absolute path that this means by text.
pub(super) fn path_object(tid: i32, dirfd: Option<i32>, path: Vec<u8>, procfs: &Proc) -> PathObject {
    let base = if path.starts_with(b"/") { None } else { procfs.base(tid, dirfd) };
    let resolved = procfs.resolve_from(tid, base.as_deref(), as_path(&path));
    let base = base.map(|folder| Base {
        dirfd: dirfd.filter(|dirfd| *dirfd != libc::AT_FDCWD),
        path: Bytes::from(folder.as_path()),
    });
    PathObject { path: Bytes(path), resolved: Bytes::from(resolved.as_path()), flags: Vec::new(), base }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Decodes a call.
pub(super) fn decode(notification: &Notification, args: Args, procfs: &Proc) -> Result<Decoded, Unreadable> {
    let caller = Caller { notification, procfs };
    let snapshot = |object| Ok(Decoded::new(object, ArgState::Snapshot));
    match args {
        Args::Path(dir, at, flags) => {
            snapshot(Object::Path(PathObject { flags: caller.flags(flags), ..caller.name(dir, at)? }))
        }
        Args::Target(at) => snapshot(Object::Path(caller.target(at)?)),
        Args::Paths(from_dir, from, to_dir, to, flags) => snapshot(Object::Paths {
            from: caller.name(from_dir, from)?,
            to: PathObject { flags: caller.flags(flags), ..caller.name(to_dir, to)? },
        }),
        Args::Symlink(contents, dir, at) => snapshot(symbolic_link(caller, contents, dir, at)?),
        Args::Program(dir, at, list, flags) => program::decode(caller, dir, at, list, flags),
        Args::Socket => Ok(Decoded::new(sockets::socket_object(notification), ArgState::Exact)),
        Args::Address => {
            let mut address = sockets::read_address(caller.tid(), caller.register(1), caller.register(2))?;
            caller.place(&mut address);
            snapshot(Object::Address(address))
        }
        Args::SendTo => Ok(caller.sent(sockets::read_sendto(notification)?)),
        Args::SendMessage => Ok(caller.sent(sockets::read_sendmsg(notification)?)),
        Args::SendMessages => Ok(caller.sent(sockets::read_sendmmsg(notification)?)),
        Args::Signal(recipient, number) => Ok(Decoded::new(signal::decode(caller, recipient, number), ArgState::Exact)),
        Args::Parts(parts) => Ok(operation::decode(caller, parts)),
        Args::Open(..) | Args::OpenHow | Args::Metadata(_) => Ok(Decoded::new(Object::None, ArgState::Exact)),
    }
}

/// The link's contents stand as the path that the link would lead to.
fn symbolic_link(caller: Caller<'_>, contents: u8, dir: Option<u8>, at: u8) -> Result<Object, Unreadable> {
    let (text, _) = caller::read_string(caller.tid(), caller.register(contents), PATH_CAP)?;
    let to = caller.name(dir, at)?;
    let folder = to.resolved.as_path().parent().unwrap_or(Path::new("/")).to_owned();
    let target = caller::normal(&folder.join(as_path(&text)));
    let from = PathObject { path: Bytes(text), resolved: Bytes::from(target.as_path()), ..PathObject::default() };
    Ok(Object::Paths { from, to })
}

impl Caller<'_> {
    /// Says where a unix socket lies that is named relative to the working directory.
    fn place(self, address: &mut Address) {
        let named = address.path.as_ref().filter(|path| path.0.first().is_some_and(|first| !b"/\0".contains(first)));
        if let Some(path) = named {
            let whole = self.procfs.resolve(self.tid(), None, as_path(&path.0));
            address.resolved = Some(Bytes::from(whole.as_path()));
        }
    }

    fn sent(self, mut messages: Vec<sockets::Message>) -> Decoded {
        for message in &mut messages {
            if let Some(address) = &mut message.to {
                self.place(address);
            }
        }
        let object = messages.iter().find_map(sockets::Message::object).unwrap_or(Object::None);
        Decoded { messages, ..Decoded::new(object, ArgState::Snapshot) }
    }
}
