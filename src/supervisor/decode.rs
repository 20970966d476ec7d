//! From registers and memory to a typed object, for every call but opens and
//! metadata.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::caller::{self, PATH_CAP, Proc, int, uint};
use super::open::{self, Unreadable};
use super::{links, sockets};
use crate::evidence::Bytes;
use crate::evidence::line::{ArgState, Object, PathObject, ProgramFile};
use crate::sandbox::table::Args;
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
    fn new(object: Object, state: ArgState) -> Self {
        Self { object, state, messages: Vec::new(), program: None }
    }
}

/// Decodes a call.
pub(super) fn decode(notification: &Notification, args: Args, procfs: &Proc) -> Result<Decoded, Unreadable> {
    let register = |at: u8| notification.args.get(usize::from(at)).copied().unwrap_or_default();
    let dirfd = |at: Option<u8>| at.map(|at| int(register(at)));
    let tid = notification.tid;
    let path = |dir: Option<u8>, at: u8| read_path(tid, dirfd(dir), register(at), procfs);
    let snapshot = |object| Ok(Decoded::new(object, ArgState::Snapshot));
    let exact = |object| Ok(Decoded::new(object, ArgState::Exact));
    let unreadable = |_: std::io::Error| Unreadable::Memory;
    match args {
        Args::Path(dir, at) => snapshot(Object::Path(path(dir, at)?)),
        Args::Paths(from_dir, from, to_dir, to) => {
            snapshot(Object::Paths { from: path(from_dir, from)?, to: path(to_dir, to)? })
        }
        Args::Symlink(contents, dir, at) => {
            let (text, _) = caller::read_string(tid, register(contents), PATH_CAP).map_err(unreadable)?;
            let to = path(dir, at)?;
            let parent = to.resolved.as_path().parent().unwrap_or(Path::new("/")).to_owned();
            let target = caller::normal(&parent.join(std::ffi::OsStr::from_bytes(&text)));
            let from = PathObject { path: Bytes(text), resolved: Bytes::from(target.as_path()), flags: Vec::new() };
            snapshot(Object::Paths { from, to })
        }
        Args::Program(dir, at, list) => program(notification, dirfd(dir), register(at), register(list), procfs),
        Args::Socket => exact(sockets::socket_object(notification)),
        Args::Address => {
            let address = sockets::read_address(tid, register(1), register(2)).map_err(unreadable)?;
            snapshot(Object::Address(address))
        }
        Args::SendTo => Ok(sent(vec![sockets::read_sendto(notification).map_err(unreadable)?])),
        Args::SendMessage => Ok(sent(sockets::read_sendmsg(notification).map_err(unreadable)?)),
        Args::SendMessages => Ok(sent(sockets::read_sendmmsg(notification).map_err(unreadable)?)),
        Args::Signal(target, signal) => {
            exact(Object::Signal { signal: i64::from(int(register(signal))), target: i64::from(int(register(target))) })
        }
        Args::Operation(at) => {
            exact(Object::Operation { names: vec![operation_name(notification, uint(register(at)))] })
        }
        Args::CloneFlags(at) => exact(Object::Operation { names: namespace_names(uint(register(at))) }),
        Args::Registers | Args::Open(..) | Args::OpenHow | Args::Metadata(_) => {
            exact(Object::Operation { names: Vec::new() })
        }
    }
}

/// A path argument, with the absolute path that it means by text.
fn read_path(tid: i32, dirfd: Option<i32>, address: u64, procfs: &Proc) -> Result<PathObject, Unreadable> {
    let (path, whole) = caller::read_string(tid, address, PATH_CAP).map_err(|_| Unreadable::Memory)?;
    if !whole {
        return Err(Unreadable::TooLong);
    }
    let resolved = procfs.resolve(tid, dirfd, Path::new(std::ffi::OsStr::from_bytes(&path)));
    Ok(PathObject { path: Bytes(path), resolved: Bytes::from(resolved.as_path()), flags: Vec::new() })
}

/// A program start. The path is that of the file behind links, where there is one, so that a link
/// named like a compiler is not taken for one.
fn program(
    notification: &Notification,
    dirfd: Option<i32>,
    path: u64,
    argv: u64,
    procfs: &Proc,
) -> Result<Decoded, Unreadable> {
    let tid = notification.tid;
    let mut program = read_path(tid, dirfd, path, procfs)?;
    let found = links::object_of(tid, dirfd, &program.path.0, procfs);
    let file = match &found {
        Ok(object) => open::program_file(object, procfs),
        Err(nix::errno::Errno::ENOENT) => ProgramFile::Absent,
        Err(_) => ProgramFile::Unknown,
    };
    let found = found.ok();
    if let Some(real) = found.as_ref().and_then(|object| procfs.own_descriptor(object)) {
        program.resolved = Bytes::from(real.as_path());
    }
    let Arguments { argv, argc, whole } = read_arguments(tid, argv)?;
    let state = if whole { ArgState::Snapshot } else { ArgState::Partial };
    Ok(Decoded { program: found, ..Decoded::new(Object::Program { program, file, argv, argc }, state) })
}

/// An argument vector, as far as the caps go.
struct Arguments {
    argv: Vec<Bytes>,
    argc: u64,
    whole: bool,
}

/// Reads the pointers a page at a time: a vector of a megabyte must not cost the supervisor a call for each.
fn read_arguments(tid: i32, vector: u64) -> Result<Arguments, Unreadable> {
    /// Bytes of all arguments that are kept.
    const BYTES_CAP: usize = 64 * 1024;
    /// The kernel's own bound is a quarter of the stack's limit; the exact count beyond this tells nothing.
    const COUNT_CAP: u64 = 1 << 20;
    const PAGE: u64 = 4096;
    let unreadable = |_: std::io::Error| Unreadable::Memory;
    let mut read = Arguments { argv: Vec::new(), argc: 0, whole: true };
    let mut room = BYTES_CAP;
    let mut at = vector;
    while at != 0 && read.argc < COUNT_CAP {
        // At least one pointer, also where it lies across two pages.
        let to_page_end = usize::try_from(PAGE - at % PAGE).unwrap_or(8).max(8);
        let block = caller::read_memory(tid, at, to_page_end / 8 * 8).map_err(unreadable)?;
        if block.len() < 8 {
            return Err(Unreadable::Memory);
        }
        for pointer in block.chunks_exact(8).filter_map(|word| caller::word64(word, 0)) {
            if pointer == 0 || read.argc == COUNT_CAP {
                return Ok(read);
            }
            read.argc += 1;
            if room == 0 {
                read.whole = false;
                continue;
            }
            let (text, ended) = caller::read_string(tid, pointer, room).map_err(unreadable)?;
            read.whole &= ended;
            room = if ended { room.saturating_sub(text.len() + 1) } else { 0 };
            read.argv.push(Bytes(text));
        }
        at = at.wrapping_add(u64::try_from(block.len()).unwrap_or(8) / 8 * 8);
    }
    Ok(read)
}

fn sent(messages: Vec<sockets::Message>) -> Decoded {
    let object = messages.iter().find_map(|message| message.to.clone()).map_or(Object::None, Object::Address);
    Decoded { messages, ..Decoded::new(object, ArgState::Snapshot) }
}

/// Names of `prctl`, `ioctl` and `fcntl` operations that are notified.
fn operation_name(notification: &Notification, operation: u32) -> String {
    let argument = notification.args[1];
    let name = match operation {
        4 => return format!("PR_SET_DUMPABLE {argument}"),
        22 => "PR_SET_SECCOMP",
        35 => "PR_SET_MM",
        0x5961_6d61 => "PR_SET_PTRACER",
        0x5412 => "TIOCSTI",
        0x541c => "TIOCLINUX",
        0x5423 => "TIOCSETD",
        8 => "F_SETOWN",
        10 => "F_SETSIG",
        15 => "F_SETOWN_EX",
        1026 => "F_NOTIFY",
        other => return format!("{other:#x}"),
    };
    name.to_owned()
}

fn namespace_names(flags: u32) -> Vec<String> {
    const NAMES: [(u32, &str); 7] = [
        (0x0002_0000, "CLONE_NEWNS"),
        (0x0200_0000, "CLONE_NEWCGROUP"),
        (0x0400_0000, "CLONE_NEWUTS"),
        (0x0800_0000, "CLONE_NEWIPC"),
        (0x1000_0000, "CLONE_NEWUSER"),
        (0x2000_0000, "CLONE_NEWPID"),
        (0x4000_0000, "CLONE_NEWNET"),
    ];
    NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).to_owned()).collect()
}
