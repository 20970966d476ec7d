//! What the supervisor may know about the thread behind a notification: its
//! memory, and its `/proc` folder in the outer PID namespace.
//!
//! All of it is advisory but for bytes that the supervisor then acts on
//! itself: another thread can change them, and a process id can be reused.
//! [`crate::sys::seccomp::Listener::is_valid`] tells whether the caller still waited.

use std::ffi::CString;
use std::io::{self, IoSliceMut, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::held::{Held, Link};
use super::links;
use crate::sys::process::leads_its_process;

/// Bytes of a path, with its end: `PATH_MAX`.
pub(super) const PATH_CAP: usize = 4096;

/// The outer `/proc`, by descriptor: the path leads to another one inside.
#[derive(Debug)]
pub(super) struct Proc(OwnedFd, Held);

impl Proc {
    pub(super) fn new(outer_proc: OwnedFd) -> Self {
        Self(outer_proc, Held::default())
    }

    /// The target of a link below `/proc`.
    fn link(&self, path: &str) -> Option<PathBuf> {
        readlinkat(&self.0, path).ok().map(PathBuf::from)
    }

    /// The program that the thread runs.
    pub(super) fn exe(&self, tid: i32) -> Option<PathBuf> {
        self.1.read(&self.0, tid, Link::Exe)
    }

    /// Where a descriptor of the caller's leads; of a socket, a name that no other has at the time.
    pub(super) fn descriptor(&self, tid: i32, fd: i32) -> Option<PathBuf> {
        self.link(&format!("{tid}/fd/{fd}"))
    }

    /// Where a descriptor of our own leads: the object's path, by the kernel.
    pub(super) fn own_descriptor(&self, fd: impl AsFd) -> Option<PathBuf> {
        use std::os::fd::AsRawFd as _;
        self.link(&format!("self/fd/{}", fd.as_fd().as_raw_fd()))
    }

    /// The folder that a relative path of the caller's starts from, opened as `O_PATH`.
    pub(super) fn open_base(&self, tid: i32, dirfd: Option<i32>) -> Result<OwnedFd, Errno> {
        let path = base_link(tid, dirfd);
        openat(&self.0, path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// What a link in the folder of a process leads to, opened as `O_PATH`: `fd/5`, `exe`, `cwd`, `root`.
    pub(super) fn open_inside(&self, process: i32, link: &str) -> Result<OwnedFd, Errno> {
        let path = format!("{process}/{link}");
        openat(&self.0, path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// Opens the object behind an `O_PATH` descriptor of our own with other flags.
    pub(super) fn reopen(&self, object: impl AsFd, flags: OFlag) -> Result<OwnedFd, Errno> {
        self.make_in(object, flags, Mode::empty())
    }

    /// As [`Self::reopen`], with the mode of a file without a name that is made in a folder.
    pub(super) fn make_in(&self, object: impl AsFd, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
        use std::os::fd::AsRawFd as _;
        let path = format!("self/fd/{}", object.as_fd().as_raw_fd());
        openat(&self.0, path.as_str(), flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK, mode)
    }

    /// The folder and the path by which a descriptor of our own can be opened anew.
    pub(super) fn path_of_own(&self, object: impl AsFd) -> io::Result<(OwnedFd, CString)> {
        use std::os::fd::AsRawFd as _;
        let path = CString::new(format!("self/fd/{}", object.as_fd().as_raw_fd()))?;
        Ok((self.0.try_clone()?, path))
    }

    /// The folder that a relative path of the caller's starts from, by name; advisory.
    pub(super) fn base(&self, tid: i32, dirfd: Option<i32>) -> Option<PathBuf> {
        match dirfd {
            None | Some(libc::AT_FDCWD) => self.1.read(&self.0, tid, Link::Cwd),
            Some(fd) => self.descriptor(tid, fd),
        }
    }

    /// The absolute path that `path` means to the caller, by text: links are not followed.
    pub(super) fn resolve(&self, tid: i32, dirfd: Option<i32>, path: &Path) -> PathBuf {
        let base = if path.is_absolute() { None } else { self.base(tid, dirfd) };
        self.resolve_from(tid, base.as_deref(), path)
    }

    /// As [`Self::resolve`], from a folder that is known.
    pub(super) fn resolve_from(&self, tid: i32, base: Option<&Path>, path: &Path) -> PathBuf {
        let whole = match base {
            _ if path.is_absolute() => normal(path),
            Some(base) if path.as_os_str().is_empty() => base.to_owned(),
            Some(base) => normal(&base.join(path)),
            None => normal(&Path::new("?").join(path)),
        };
        links::own_way(&whole, |number| self.is_own(tid, number), |link| self.link(&format!("{tid}/{link}")))
            .unwrap_or(whole)
    }

    /// True if the caller's process has this number in one of its namespaces.
    fn is_own(&self, tid: i32, number: &str) -> bool {
        self.status(tid, "NStgid").is_some_and(|ids| ids.split_whitespace().any(|id| id == number))
    }

    /// The process that a descriptor of the caller's stands for, by its id in its own namespace (proc(5), `fdinfo`).
    pub(super) fn process_behind(&self, tid: i32, fd: i32) -> Option<i64> {
        self.field(&format!("{tid}/fdinfo/{fd}"), "NSpid")?.split_whitespace().last()?.parse().ok()
    }

    /// One line of `/proc/TID/status`.
    pub(super) fn status(&self, tid: i32, field: &str) -> Option<String> {
        self.field(&format!("{tid}/status"), field)
    }

    /// A whole file below `/proc`; `None` if it has more than `most` bytes.
    pub(super) fn contents(&self, file: &str, most: u64) -> Option<Vec<u8>> {
        /// Most are shorter. Without room the first reads would be of a few bytes each.
        const AT_ONCE: usize = 4096;
        let fd = openat(&self.0, file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::with_capacity(AT_ONCE);
        std::fs::File::from(fd).take(most + 1).read_to_end(&mut bytes).ok()?;
        u64::try_from(bytes.len()).is_ok_and(|length| length <= most).then_some(bytes)
    }

    /// When the process began, in the kernel's ticks (proc(5), `stat`): with its id, a name that no other has.
    pub(super) fn began(&self, process: i32) -> Option<u64> {
        super::sample::began(&self.contents(&format!("{process}/stat"), 4096)?)
    }

    /// One line `NAME: VALUE` of a file below `/proc`.
    fn field(&self, file: &str, field: &str) -> Option<String> {
        Status::of(&self.0, file)?.field(field).map(str::to_owned)
    }

    /// The caller's file mode creation mask.
    pub(super) fn umask(&self, tid: i32) -> u32 {
        self.status(tid, "Umask").and_then(|octal| u32::from_str_radix(&octal, 8).ok()).unwrap_or(0o077)
    }

    /// The caller's process id in this namespace.
    pub(super) fn process(&self, tid: i32) -> Option<i32> {
        // The kernel says it of a first thread at once; its status costs as much as ten other calls.
        if leads_its_process(Pid::from_raw(tid)) { Some(tid) } else { self.status(tid, "Tgid")?.parse().ok() }
    }

    /// The process that started it or that it was left to.
    pub(super) fn parent(&self, process: i32) -> Option<i32> {
        self.status(process, "PPid")?.parse().ok().filter(|parent| *parent > 0)
    }

    /// The caller's process id in its own, innermost namespace.
    pub(super) fn inner_process(&self, tid: i32) -> Option<i64> {
        innermost(&self.status(tid, "NStgid")?)
    }

    /// The caller's thread id in its own, innermost namespace.
    pub(super) fn inner_thread(&self, tid: i32) -> Option<i64> {
        innermost(&self.status(tid, "NSpid")?)
    }

    /// The programs of the caller and its ancestors, nearest first, up to the unit's own program.
    pub(super) fn lineage(&self, tid: i32) -> Vec<PathBuf> {
        self.ancestors(tid).map_while(|process| self.exe(process)).collect()
    }

    /// The caller or the ancestor that has this number in a PID namespace inside, up to the unit's own program.
    pub(super) fn ancestor(&self, tid: i32, number: u32) -> Option<i32> {
        let number = number.to_string();
        let is_named = |process: &i32| {
            // The first number is ours, which nothing inside knows.
            self.status(*process, "NStgid").is_some_and(|ids| ids.split_whitespace().skip(1).any(|id| id == number))
        };
        self.ancestors(tid).find(is_named)
    }

    /// The caller and its ancestors, up to the unit's own program.
    fn ancestors(&self, tid: i32) -> impl Iterator<Item = i32> {
        const DEEPEST: usize = 32;
        /// In the unit's PID namespace: the init is 1.
        const UNIT_PROGRAM: i64 = 2;
        let parent = |process: &i32| {
            let status = Status::of(&self.0, &format!("{process}/status"))?;
            if status.field("NStgid").and_then(innermost).is_none_or(|id| id <= UNIT_PROGRAM) {
                return None;
            }
            status.field("PPid")?.parse().ok().filter(|parent| *parent > 0)
        };
        std::iter::successors(Some(tid), parent).take(DEEPEST)
    }
}

/// The lines `NAME: VALUE` of a file below `/proc`.
struct Status(Vec<u8>);

impl Status {
    fn of(procfs: &OwnedFd, file: &str) -> Option<Self> {
        const LONGEST: usize = 16 * 1024;
        let fd = openat(procfs, file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut text = vec![0; LONGEST];
        // One read gives all of it: the kernel makes the text as a whole.
        let length = std::fs::File::from(fd).read(&mut text).ok()?;
        text.truncate(length);
        Some(Self(text))
    }

    fn field(&self, field: &str) -> Option<&str> {
        // The name of the process stands first, holds any bytes and no raw newline.
        let mut lines = self.0.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(field.as_bytes())?.strip_prefix(b":"))?;
        std::str::from_utf8(value).ok().map(str::trim)
    }
}

/// The last of a list of ids, outermost first: the one in the innermost namespace.
fn innermost(ids: &str) -> Option<i64> {
    ids.split_whitespace().last()?.parse().ok()
}

fn base_link(tid: i32, dirfd: Option<i32>) -> String {
    match dirfd {
        None | Some(libc::AT_FDCWD) => format!("{tid}/cwd"),
        Some(fd) => format!("{tid}/fd/{fd}"),
    }
}

/// `path` without `.`, `..`, and detours by `/proc/…/root`, by text alone.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::with_capacity(path.as_os_str().len() + 1);
    out.push("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
        if component.as_os_str() == "root" && is_proc_root(&out) {
            out = PathBuf::from("/");
        }
    }
    out
}

/// `/proc/self/root`, `/proc/N/root`, `/proc/N/task/M/root`.
fn is_proc_root(path: &Path) -> bool {
    let Ok(rest) = path.strip_prefix("/proc") else { return false };
    let names: Vec<_> = rest.iter().collect();
    names.len() == 2 || (names.len() == 4 && names.get(1).is_some_and(|name| *name == "task"))
}

/// Reads up to `length` bytes of the caller's memory. Shorter if it ends before; an error if the first byte
/// cannot be read.
pub(super) fn read_memory(tid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let base = usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut bytes = vec![0; length];
    if length == 0 {
        return Ok(bytes);
    }
    let read =
        process_vm_readv(Pid::from_raw(tid), &mut [IoSliceMut::new(&mut bytes)], &[RemoteIoVec { base, len: length }])?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The first `cap` bytes of several pieces together. An error if one of them cannot be read.
pub(super) fn read_pieces(tid: i32, pieces: &[(u64, u64)], cap: usize) -> io::Result<Vec<u8>> {
    let mut room = cap;
    let mut remote = Vec::new();
    for (address, length) in pieces {
        let base = usize::try_from(*address).map_err(|_| io::ErrorKind::InvalidInput)?;
        let len = usize::try_from(*length).unwrap_or(room).min(room);
        room -= len;
        if len > 0 {
            remote.push(RemoteIoVec { base, len });
        }
    }
    let mut bytes = vec![0; cap - room];
    if bytes.is_empty() {
        return Ok(bytes);
    }
    let read = process_vm_readv(Pid::from_raw(tid), &mut [IoSliceMut::new(&mut bytes)], &remote)?;
    if read == bytes.len() { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A zero-terminated string, and whether its end was found within `cap` bytes. Reads no further than to the end of
/// a page at a time, since the next one may not exist.
pub(super) fn read_string(tid: i32, address: u64, cap: usize) -> io::Result<(Vec<u8>, bool)> {
    const PAGE: u64 = 4096;
    /// Most paths end within it.
    const FIRST: usize = 256;
    let mut text = Vec::new();
    while text.len() < cap {
        let at =
            address.checked_add(u64::try_from(text.len()).unwrap_or(u64::MAX)).ok_or(io::ErrorKind::InvalidInput)?;
        let to_page_end = usize::try_from(PAGE - at % PAGE).unwrap_or(1);
        let most = if text.is_empty() { FIRST.min(cap) } else { cap - text.len() };
        let chunk = read_memory(tid, at, to_page_end.min(most))?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
            text.extend_from_slice(chunk.get(..end).unwrap_or_default());
            return Ok((text, true));
        }
        text.extend_from_slice(&chunk);
    }
    Ok((text, false))
}

/// A little-endian integer at an offset of a structure that was read.
pub(super) fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// As [`word64`], of four bytes.
pub(super) fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A register as the `int` that the kernel takes it for.
pub(super) fn int(register: u64) -> i32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// A register as the `unsigned int` that the kernel takes it for.
pub(super) fn uint(register: u64) -> u32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_dots_and_detours_by_proc() {
        for (path, expected) in [
            ("/a/./b/../c", "/a/c"),
            ("/../../etc", "/etc"),
            ("/proc/self/root/home/x", "/home/x"),
            ("/proc/12/task/13/root/home", "/home"),
            ("/proc/self/status", "/proc/self/status"),
            ("/root/x", "/root/x"),
        ] {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn a_process_whose_name_is_no_text_is_known_all_the_same() {
        let procfs = Proc::new(std::fs::File::open("/proc").unwrap().into());
        let known = std::thread::spawn(move || {
            std::fs::write("/proc/thread-self/comm", b"\xff) \n\xfe").unwrap();
            let tid = nix::unistd::gettid().as_raw();
            (procfs.process(tid), procfs.status(tid, "Umask").is_some(), procfs.began(tid).is_some())
        });
        let me = std::process::id().cast_signed();
        assert_eq!(known.join().unwrap(), (Some(me), true, true));
    }

    #[test]
    fn a_thread_belongs_to_its_process_whatever_it_is_called() {
        let proc_folder = std::fs::File::open("/proc").unwrap();
        let procfs = Proc::new(proc_folder.into());
        let me = std::process::id().cast_signed();
        let second = std::thread::spawn(move || {
            nix::sys::prctl::set_name(c"\xff\n").unwrap();
            let tid = nix::unistd::gettid().as_raw();
            (tid, procfs.process(tid), procfs.process(me), procfs.status(tid, "Umask"))
        });
        let (tid, of_second, of_first, umask) = second.join().unwrap();
        assert_ne!(tid, me);
        assert_eq!((of_second, of_first), (Some(me), Some(me)));
        assert!(umask.is_some());
    }

    #[test]
    fn a_string_of_our_own_is_read_to_its_end_and_no_further() {
        let text = c"/etc/hostname";
        let me = std::process::id().cast_signed();
        let address = u64::try_from(text.as_ptr().addr()).unwrap();
        assert_eq!(read_string(me, address, 4096).unwrap(), (b"/etc/hostname".to_vec(), true));
        assert_eq!(read_string(me, address, 4).unwrap(), (b"/etc".to_vec(), false));
        read_string(me, 8, 16).unwrap_err();
    }
}
