//! Opens on behalf: who opens what, and with whose rights.
//!
//! | what | who opens | record |
//! |---|---|---|
//! | for reading, a decoy | the supervisor, after it saw which object it is | exact |
//! | for reading, anything else | the caller itself (continued) | counted or snapshot |
//! | for writing | the unit's opener thread, in the unit's domain | exact |
//! | for writing, a decoy that exists | the supervisor, when the unit's domain lacks only the reading | exact |
//! | procfs, sysfs, devices, FIFOs | the caller itself (continued) | snapshot |
//! | a descriptor by its name below `/proc/self` | as what it is open on | as that |
//!
//! Nothing else in the supervisor opens a path of a caller's.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};

use super::caller::{self, PATH_CAP, Proc};
use super::links::{self, Detour};
use super::opener::{Job, Opener};
use super::zones::{DEVICE, OWN_DESCRIPTOR, Zone, Zones};
use crate::evidence::line::{ProgramFile, UnitKind};
use crate::sandbox::table::Args;
use crate::sys::seccomp::Notification;

/// A decoded open call.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) dirfd: Option<i32>,
    pub(super) path: Vec<u8>,
    pub(super) flags: OFlag,
    mode: Mode,
    resolve: ResolveFlag,
    /// The absolute path that it means to the caller, by text.
    pub(super) by_text: PathBuf,
}

/// Why a call cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The memory cannot be read, by us or at all.
    Memory,
    /// There is no end within `PATH_MAX`: the kernel refuses it, too.
    TooLong,
    /// A structure of a size that we do not know.
    Size,
    /// A structure with bits that we do not know, or that contradict each other.
    Bits,
}

/// What came of a call.
#[derive(Debug)]
pub(super) enum Opened {
    /// Dull: counted by zone, continued.
    Counted(&'static str),
    /// Continued as a snapshot.
    Continued,
    /// Opened by us.
    Done(OwnedFd),
    /// Tried by us, without success.
    Failed(Errno),
}

/// What is needed to know of the unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit<'a> {
    pub(super) kind: UnitKind,
    pub(super) places: &'a [PathBuf],
    pub(super) opener: &'a Opener,
    /// The caller's file mode creation mask, as far as the call needs it.
    pub(super) umask: Mode,
}

impl OpenCall {
    /// Reads the arguments of an open call from registers and memory.
    pub(super) fn read(notification: &Notification, args: Args, procfs: &Proc) -> Result<Self, Unreadable> {
        let register = |at: u8| notification.args.get(usize::from(at)).copied().unwrap_or_default();
        let tid = notification.tid;
        let (dirfd, path, flags, mode, resolve) = if let Args::Open(dirfd, path, flags, mode) = args {
            let creat = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
            let flags = flags.map_or(creat, |at| caller::int(register(at)));
            (dirfd.map(|at| caller::int(register(at))), register(path), flags, caller::uint(register(mode)), 0)
        } else {
            const OPEN_HOW: usize = 24;
            if register(3) != 24 {
                return Err(Unreadable::Size);
            }
            let how = caller::read_memory(tid, register(2), OPEN_HOW).map_err(|_| Unreadable::Memory)?;
            let word = |at| caller::word64(&how, at).ok_or(Unreadable::Memory);
            let (flags, mode, resolve) = (word(0)?, word(8)?, word(16)?);
            if !is_valid_how(flags, mode, resolve) {
                return Err(Unreadable::Bits);
            }
            (Some(caller::int(register(0))), register(1), caller::int(flags), caller::uint(mode), resolve)
        };
        let (path, whole) = caller::read_string(tid, path, PATH_CAP).map_err(|_| Unreadable::Memory)?;
        if !whole {
            return Err(Unreadable::TooLong);
        }
        let mut flags = OFlag::from_bits_truncate(flags);
        // Beside O_PATH open(2) ignores what would read, write or make.
        if flags.contains(OFlag::O_PATH) && args != Args::OpenHow {
            flags &= OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        }
        // Mode bits without a file to make are ignored by open(2) and refused by openat2(2).
        let mode = if makes(flags) { Mode::from_bits_truncate(mode & 0o7777) } else { Mode::empty() };
        let resolve = ResolveFlag::from_bits_truncate(resolve);
        let by_text = procfs.resolve(tid, dirfd, as_path(path_from_base(&path, resolve)));
        Ok(Self { dirfd, path, flags, mode, resolve, by_text })
    }

    /// True for a path that starts from a folder of the caller's.
    fn is_relative(&self) -> bool {
        !path_from_base(&self.path, self.resolve).starts_with(b"/")
    }

    /// True if walking the path passes no other names than those of [`Self::by_text`].
    fn is_plain(&self) -> bool {
        self.resolve.is_empty() && !as_path(&self.path).iter().any(|name| name == "..")
    }

    /// True if the call can make a file.
    pub(super) fn makes(&self) -> bool {
        makes(self.flags)
    }

    /// True if the call makes what it names where that is not there yet.
    pub(super) fn makes_by_name(&self) -> bool {
        self.flags.contains(OFlag::O_CREAT) && !self.flags.contains(OFlag::O_TMPFILE) && self.is_plain()
    }

    /// The same call for what lies at an absolute path.
    pub(super) fn of(&self, path: &Path) -> Self {
        let Self { flags, mode, resolve, .. } = *self;
        Self { dirfd: None, path: path.as_os_str().as_bytes().to_vec(), flags, mode, resolve, by_text: path.to_owned() }
    }

    /// True if the call can change anything.
    pub(super) fn writes(&self) -> bool {
        self.flags.intersects(OFlag::O_WRONLY | OFlag::O_RDWR | OFlag::O_TRUNC) || makes(self.flags)
    }

    /// The names of the flags.
    pub(super) fn flag_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if !self.flags.intersects(OFlag::O_WRONLY | OFlag::O_RDWR | OFlag::O_PATH) {
            names.push("O_RDONLY".to_owned());
        }
        names.extend(
            self.flags
                .iter_names()
                .map(|(name, _)| name)
                .filter(|name| !matches!(*name, "O_RDONLY" | "O_LARGEFILE" | "O_NDELAY" | "O_RSYNC" | "O_FSYNC"))
                .map(str::to_owned),
        );
        names.extend(self.resolve.iter_names().map(|(name, _)| name.to_owned()));
        names
    }
}

/// A path as it is to be joined to the directory. With `RESOLVE_IN_ROOT` that is the root of absolute paths, too.
fn path_from_base(path: &[u8], resolve: ResolveFlag) -> &[u8] {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    let skipped = if resolve.contains(ResolveFlag::RESOLVE_IN_ROOT) { slashes } else { 0 };
    path.get(skipped..).unwrap_or_default()
}

/// openat2(2) refuses what open(2) ignores.
fn is_valid_how(flags: u64, mode: u64, resolve: u64) -> bool {
    /// Of 32-bit callers; here every file may be large, and libc's name for it is nothing.
    const O_LARGEFILE: u64 = 0o100_000;
    let Ok(flags) = u32::try_from(flags & !O_LARGEFILE).map(u32::cast_signed) else { return false };
    let Some(flags) = OFlag::from_bits(flags) else { return false };
    mode <= 0o7777 && (mode == 0 || makes(flags)) && ResolveFlag::from_bits(resolve).is_some()
}

fn makes(flags: OFlag) -> bool {
    flags.contains(OFlag::O_CREAT) || flags.contains(OFlag::O_TMPFILE)
}

/// Carries out the table at the top. Returns what came of it and the path of the object, or, where
/// there is none, the path by text.
pub(super) fn open(call: &OpenCall, tid: i32, unit: Unit<'_>, zones: &Zones, procfs: &Proc) -> (Opened, PathBuf) {
    Open { call, tid, unit, zones, procfs }.carry_out()
}

/// One call, and what is needed to carry it out.
#[derive(Clone, Copy)]
struct Open<'a> {
    call: &'a OpenCall,
    tid: i32,
    unit: Unit<'a>,
    zones: &'a Zones,
    procfs: &'a Proc,
}

/// Where the walk begins, and the path from there.
struct Way {
    /// As `O_PATH`; none for the root.
    base: Option<OwnedFd>,
    path: CString,
    /// The absolute path, by text.
    by_text: PathBuf,
}

/// A link on the way may lead to another object for us than for the caller.
struct Loop(PathBuf);

type Tried = Result<(Opened, PathBuf), Loop>;

impl Open<'_> {
    fn carry_out(self) -> (Opened, PathBuf) {
        let Self { call, tid, procfs, .. } = self;
        let by_text = call.by_text.clone();
        match self.zone(&by_text) {
            Zone::Kernel => return (Opened::Continued, by_text),
            Zone::Fixed(name) if !call.writes() || name == DEVICE || name == OWN_DESCRIPTOR => {
                return (Opened::Counted(name), by_text);
            }
            // Nothing on the way is a link: what is there is what the text says, and no folder needs to be opened.
            Zone::Dull(name) if !call.writes() && call.is_plain() && !leads_by_link(&by_text) => {
                return (Opened::Counted(name), by_text);
            }
            _ => {}
        }
        if links::may_be_detour(&call.path) {
            return self.by_detour(by_text);
        }
        let Ok(path) = CString::new(call.path.clone()) else { return (Opened::Continued, by_text) };
        let base = if call.is_relative() { procfs.open_base(tid, call.dirfd).ok() } else { None };
        if base.is_none() && call.is_relative() {
            // A bad directory descriptor: the kernel says so.
            return (Opened::Continued, by_text);
        }
        self.walk(Way { base, path, by_text }).unwrap_or_else(|Loop(by_text)| self.by_detour(by_text))
    }

    fn zone(self, path: &Path) -> Zone {
        self.zones.of(path, self.unit.kind, self.unit.places)
    }

    fn walk(self, way: Way) -> Tried {
        if self.call.writes() { self.for_writing(way) } else { self.for_reading(way) }
    }

    /// By a way through the folder of a process: what a link there leads to, or what lies below that.
    fn by_detour(self, by_text: PathBuf) -> (Opened, PathBuf) {
        let Self { call, tid, procfs, .. } = self;
        // What openat2 forbids on the way it forbids here, and a bad descriptor is the kernel's to tell.
        let detour = call.resolve.is_empty().then(|| links::detour(tid, call.dirfd, &call.path, procfs)).flatten();
        let Some(Ok(Detour { base, rest })) = detour else { return (Opened::Continued, by_text) };
        let Some(real) = procfs.own_descriptor(&base) else { return (Opened::Continued, by_text) };
        if rest.is_empty() {
            return self.descriptor(&base, real);
        }
        let by_text = caller::normal(&real.join(as_path(&rest)));
        let Ok(path) = CString::new(rest) else { return (Opened::Continued, by_text) };
        self.walk(Way { base: Some(base), path, by_text }).unwrap_or_else(|Loop(by_text)| (Opened::Continued, by_text))
    }

    /// Opens anew what is open already, by another name for its descriptor.
    fn descriptor(self, object: &OwnedFd, real: PathBuf) -> (Opened, PathBuf) {
        let call = self.call;
        // The name is a link, it is there, and no folder can be made by open(2): the kernel refuses all three.
        let refused = [OFlag::O_NOFOLLOW, OFlag::O_CREAT | OFlag::O_EXCL, OFlag::O_CREAT | OFlag::O_DIRECTORY];
        if refused.into_iter().any(|flags| call.flags.contains(flags)) {
            return (Opened::Continued, real);
        }
        let is_memory = real.as_os_str().as_bytes().starts_with(b"/memfd:");
        if !real.is_absolute() || is_memory || belongs_to_caller(object) {
            return (Opened::Counted(OWN_DESCRIPTOR), real);
        }
        if !call.writes() {
            return self.seen(object, real);
        }
        let Ok((base, path)) = self.procfs.path_of_own(object) else { return (Opened::Failed(Errno::EACCES), real) };
        let flags = call.flags & !OFlag::O_CREAT;
        let (mode, umask, resolve) = (Mode::empty(), Mode::empty(), ResolveFlag::empty());
        match self.unit.opener.open(Job { base: Some(base), path, flags, mode, resolve, umask }).0 {
            Ok(fd) => (finish(call, fd), real),
            Err(Errno::EACCES) if real.starts_with(self.zones.home()) => (self.hand_over(object), real),
            Err(errno) => (Opened::Failed(errno), real),
        }
    }

    fn for_reading(self, Way { base, path, by_text }: Way) -> Tried {
        let call = self.call;
        let look = |flags, resolve| look(&path, base.as_ref(), flags, resolve);
        let found = look(OFlag::empty(), ResolveFlag::RESOLVE_NO_SYMLINKS);
        let has_link = matches!(found, Err(Errno::ELOOP));
        if let Zone::Dull(name) = self.zone(&by_text)
            && !has_link
        {
            return Ok((Opened::Counted(name), by_text));
        }
        // Without a link on the way the caller's flags lead to the same.
        let found = if has_link || !call.resolve.is_empty() {
            look(call.flags & OFlag::O_NOFOLLOW, call.resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS)
        } else {
            found
        };
        match found {
            Ok(object) => Ok(match self.procfs.own_descriptor(&object) {
                Some(real) => self.seen(&object, real),
                None => (Opened::Continued, by_text),
            }),
            Err(Errno::ELOOP) => Err(Loop(by_text)),
            Err(Errno::ENOENT) if has_link => Err(Loop(by_text)),
            Err(Errno::ENOENT) if self.zones.is_library_search(&by_text) => {
                Ok((Opened::Counted("library-search"), by_text))
            }
            Err(_) => Ok((Opened::Continued, by_text)),
        }
    }

    /// Opens for reading an object that was seen.
    fn seen(self, object: &OwnedFd, real: PathBuf) -> (Opened, PathBuf) {
        if !self.zones.is_decoy(&real) {
            return match self.zone(&real) {
                Zone::Fixed(name) | Zone::Dull(name) => (Opened::Counted(name), real),
                _ => (Opened::Continued, real),
            };
        }
        if self.call.flags.contains(OFlag::O_PATH) {
            return (Opened::Continued, real);
        }
        (self.hand_over(object), real)
    }

    /// Opens, as the supervisor, an object that was seen to be a decoy.
    fn hand_over(self, object: &OwnedFd) -> Opened {
        let flags = self.call.flags & !(OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW);
        // Of O_TMPFILE the object is the folder, and what is opened is new.
        match self.procfs.make_in(object, flags, self.call.mode & !self.unit.umask) {
            Ok(fd) => finish(self.call, fd),
            Err(errno) => Opened::Failed(errno),
        }
    }

    fn for_writing(self, Way { base, path, by_text }: Way) -> Tried {
        let Self { call, procfs, .. } = self;
        let job = Job {
            base,
            path,
            flags: call.flags,
            mode: call.mode,
            resolve: call.resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS,
            umask: self.unit.umask,
        };
        let (opened, job) = self.unit.opener.open(job);
        let Some(Job { base, path, .. }) = job else { return Ok((Opened::Failed(Errno::EACCES), by_text)) };
        Ok(match opened {
            Ok(fd) => {
                let real = procfs.own_descriptor(&fd).unwrap_or(by_text);
                if belongs_to_caller(&fd) { (Opened::Continued, real) } else { (finish(call, fd), real) }
            }
            Err(Errno::ELOOP) => return Err(Loop(by_text)),
            Err(Errno::ENOENT) if has_link(&path, base.as_ref()) => return Err(Loop(by_text)),
            // A FIFO that nobody reads.
            Err(Errno::ENXIO) => (Opened::Continued, by_text),
            Err(Errno::EACCES) => {
                let follow = call.flags & OFlag::O_NOFOLLOW;
                let object = look(&path, base.as_ref(), follow, ResolveFlag::RESOLVE_NO_MAGICLINKS);
                let real = object.as_ref().ok().and_then(|object| procfs.own_descriptor(object));
                match (object, real) {
                    (Ok(object), Some(real)) if real.starts_with(self.zones.home()) => (self.hand_over(&object), real),
                    (_, real) => (Opened::Failed(Errno::EACCES), real.unwrap_or(by_text)),
                }
            }
            Err(errno) => (Opened::Failed(errno), by_text),
        })
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// True if a link is part of the path. `/proc/self` is not there for us, so that a link to it leads nowhere.
fn has_link(path: &CString, base: Option<&OwnedFd>) -> bool {
    matches!(look(path, base, OFlag::empty(), ResolveFlag::RESOLVE_NO_SYMLINKS), Err(Errno::ELOOP))
}

/// The object that a path leads to, without any right to it.
fn look(path: &CString, base: Option<&OwnedFd>, flags: OFlag, resolve: ResolveFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
    match base {
        Some(base) => openat2(base, path.as_c_str(), how),
        None => openat2(AT_FDCWD, path.as_c_str(), how),
    }
}

/// As [`look`], following links but no magic ones: for metadata on behalf, and to name programs.
pub(super) fn object(path: &[u8], base: Option<&OwnedFd>, follow: bool) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let flags = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    look(&path, base, flags, ResolveFlag::RESOLVE_NO_MAGICLINKS)
}

/// True if a link is part of an absolute path, or if nobody can tell.
fn leads_by_link(path: &Path) -> bool {
    !matches!(without_links(path), Ok(_) | Err(Errno::ENOENT))
}

/// The object that lies at an absolute path, which no link may be part of.
pub(super) fn without_links(path: &Path) -> Result<OwnedFd, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    look(&path, None, OFlag::empty(), ResolveFlag::RESOLVE_NO_SYMLINKS)
}

/// True for a file that can be read without waiting and without an effect: no device, FIFO or part of procfs.
pub(super) fn is_plain_file(object: &OwnedFd) -> bool {
    let is_regular =
        fstat(object).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG);
    is_regular && fstatfs(object).is_ok_and(|fs| ![PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&fs.filesystem_type()))
}

/// What a file to run is, by its first bytes.
pub(super) fn program_file(object: &OwnedFd, procfs: &Proc) -> ProgramFile {
    let mut first = [0; 4];
    let read = is_plain_file(object)
        .then(|| procfs.reopen(object, OFlag::O_RDONLY).ok())
        .flatten()
        .map(|fd| io::Read::read(&mut std::fs::File::from(fd), &mut first));
    match (read, &first) {
        (Some(Ok(4)), b"\x7fELF") => ProgramFile::Elf,
        (Some(Ok(2..)), [b'#', b'!', ..]) => ProgramFile::Script,
        (Some(Ok(_)), _) => ProgramFile::Other,
        _ => ProgramFile::Unknown,
    }
}

/// procfs, devices and FIFOs mean what they mean to the one who opens them.
fn belongs_to_caller(fd: &OwnedFd) -> bool {
    let special = |mode| {
        let kind = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
        [SFlag::S_IFCHR, SFlag::S_IFBLK, SFlag::S_IFIFO].contains(&kind)
    };
    fstat(fd).is_ok_and(|stat| special(stat.st_mode))
        || fstatfs(fd).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC)
}

/// Takes back the flag that kept us from waiting.
fn finish(call: &OpenCall, fd: OwnedFd) -> Opened {
    if !call.flags.contains(OFlag::O_NONBLOCK) {
        let status = call.flags & (OFlag::O_APPEND | OFlag::O_NOATIME | OFlag::O_DIRECT | OFlag::O_ASYNC);
        if fcntl(fd.as_fd(), FcntlArg::F_SETFL(status)).is_err() {
            return Opened::Failed(Errno::EACCES);
        }
    }
    Opened::Done(fd)
}

impl From<io::Error> for Unreadable {
    fn from(_: io::Error) -> Self {
        Self::Memory
    }
}

impl From<Unreadable> for io::Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::from_raw_os_error(unreadable.errno())
    }
}

impl Unreadable {
    /// What the caller is answered.
    pub(super) fn errno(self) -> i32 {
        match self {
            Self::Memory => libc::EFAULT,
            Self::TooLong => libc::ENAMETOOLONG,
            Self::Size => libc::E2BIG,
            Self::Bits => libc::EINVAL,
        }
    }
}
