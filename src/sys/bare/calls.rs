//! The system calls of the shim, as safe functions.
//!
//! Each returns the kernel's answer as `Result<usize, Errno>`. They are safe
//! because every pointer that they pass comes from a borrowed slice or a local
//! structure that outlives the call, with its true length.

use alloc::vec::Vec;
use core::arch::asm;

pub use super::sockets::{connect, receive, send, send_to};

/// A kernel error number, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// The kernel's answer.
pub type Answer<T = usize> = Result<T, Errno>;

/// Numbers of `syscall_64.tbl`.
pub mod nr {
    #![allow(missing_docs, reason = "the kernel's own names")]
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const OPEN: usize = 2;
    pub const CLOSE: usize = 3;
    pub const FSTAT: usize = 5;
    pub const LSTAT: usize = 6;
    pub const POLL: usize = 7;
    pub const MMAP: usize = 9;
    pub const MUNMAP: usize = 11;
    pub const DUP2: usize = 33;
    pub const GETPID: usize = 39;
    pub const SENDFILE: usize = 40;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const SENDTO: usize = 44;
    pub const SENDMSG: usize = 46;
    pub const RECVMSG: usize = 47;
    pub const SOCKETPAIR: usize = 53;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const EXIT_GROUP: usize = 231;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const GETCWD: usize = 79;
    pub const RENAME: usize = 82;
    pub const RMDIR: usize = 84;
    pub const LINK: usize = 86;
    pub const UNLINK: usize = 87;
    pub const PTRACE: usize = 101;
    pub const GETPPID: usize = 110;
    pub const GETSID: usize = 124;
    pub const CAPSET: usize = 126;
    pub const PRCTL: usize = 157;
    pub const SETRLIMIT: usize = 160;
    pub const GETDENTS64: usize = 217;
    pub const KEYCTL: usize = 250;
    pub const READLINK: usize = 89;
    pub const MKDIR: usize = 83;
    pub const UNSHARE: usize = 272;
    pub const PIPE2: usize = 293;
    pub const SECCOMP: usize = 317;
    pub const IO_URING_SETUP: usize = 425;
    pub const CLOSE_RANGE: usize = 436;
    pub const LANDLOCK_RESTRICT_SELF: usize = 446;
}

/// One call with up to six registers.
///
/// # Safety
/// Pointers among `args` must be valid for what the call does with them.
pub(super) unsafe fn raw(number: usize, args: [usize; 6]) -> Answer {
    let answer: isize;
    // SAFETY: the register convention of x86-64 (syscall(2)); the kernel clobbers rcx and r11 only. What
    // the call does with pointers is the caller's contract.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
             in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if (-4095..0).contains(&answer) { Err(Errno(-answer as i32)) } else { Ok(answer as usize) }
}

/// A call whose registers are plain values. Not for calls that take pointers:
/// with a null pointer the kernel answers EFAULT and nothing happens.
pub fn plain(number: usize, args: [usize; 6]) -> Answer {
    debug_assert!(number != nr::MUNMAP);
    // SAFETY: every caller passes values, or null where the call wants a pointer.
    unsafe { raw(number, args) }
}

/// A byte string with the terminating zero that the kernel wants.
pub fn c_string(text: &[u8]) -> Vec<u8> {
    let mut owned = Vec::with_capacity(text.len() + 1);
    owned.extend_from_slice(text.split(|byte| *byte == 0).next().unwrap_or_default());
    owned.push(0);
    owned
}

fn with_path(number: usize, path: &[u8], b: usize, c: usize) -> Answer {
    let path = c_string(path);
    // SAFETY: `path` is zero-terminated and outlives the call; b and c are values.
    unsafe { raw(number, [path.as_ptr() as usize, b, c, 0, 0, 0]) }
}

fn with_paths(number: usize, from: &[u8], to: &[u8]) -> Answer {
    let (from, to) = (c_string(from), c_string(to));
    // SAFETY: both are zero-terminated and outlive the call.
    unsafe { raw(number, [from.as_ptr() as usize, to.as_ptr() as usize, 0, 0, 0, 0]) }
}

/// Ends the process with all its threads.
pub fn exit(code: i32) -> ! {
    loop {
        let _ = plain(nr::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]);
    }
}

/// Zeroed private memory of at least `size` bytes; 0 when there is none.
pub fn map_memory(size: usize) -> usize {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    plain(nr::MMAP, [0, size, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]).unwrap_or(0)
}

/// Gives back what [`map_memory`] gave.
pub fn unmap_memory(at: usize, size: usize) {
    // SAFETY: only the allocator calls this, with a mapping of its own that nothing uses any more.
    let _ = unsafe { raw(nr::MUNMAP, [at, size, 0, 0, 0, 0]) };
}

/// `open(2)`.
pub fn open(path: &[u8], flags: usize, mode: usize) -> Answer {
    with_path(nr::OPEN, path, flags, mode)
}

/// `close(2)`; the number is gone whatever it answers.
pub fn close(fd: usize) {
    let _ = plain(nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
}

/// `read(2)` into a slice.
pub fn read(fd: usize, into: &mut [u8]) -> Answer {
    // SAFETY: the slice is writable for its length.
    unsafe { raw(nr::READ, [fd, into.as_mut_ptr() as usize, into.len(), 0, 0, 0]) }
}

/// `write(2)` until all is written or it fails.
pub fn write_all(fd: usize, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the slice is readable for its length.
        match unsafe { raw(nr::WRITE, [fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) } {
            Ok(0) => return false,
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno(EINTR)) => {}
            Err(_) => return false,
        }
    }
    true
}

/// `EINTR`.
pub const EINTR: i32 = 4;

/// `rename(2)`.
pub fn rename(from: &[u8], to: &[u8]) -> Answer {
    with_paths(nr::RENAME, from, to)
}

/// `link(2)`.
pub fn link(from: &[u8], to: &[u8]) -> Answer {
    with_paths(nr::LINK, from, to)
}

/// `unlink(2)`.
pub fn unlink(path: &[u8]) -> Answer {
    with_path(nr::UNLINK, path, 0, 0)
}

/// `rmdir(2)`.
pub fn rmdir(path: &[u8]) -> Answer {
    with_path(nr::RMDIR, path, 0, 0)
}

/// `mkdir(2)`.
pub fn mkdir(path: &[u8], mode: usize) -> Answer {
    with_path(nr::MKDIR, path, mode, 0)
}

/// `readlink(2)`; links longer than 4,096 bytes are cut.
pub fn readlink(path: &[u8]) -> Answer<Vec<u8>> {
    let path = c_string(path);
    let mut target = alloc::vec![0_u8; 4096];
    // SAFETY: `path` is zero-terminated, `target` writable for its length; both outlive the call.
    let n =
        unsafe { raw(nr::READLINK, [path.as_ptr() as usize, target.as_mut_ptr() as usize, target.len(), 0, 0, 0]) }?;
    target.truncate(n);
    Ok(target)
}

/// `getcwd(2)`; empty when it has none.
pub fn working_directory() -> Vec<u8> {
    let mut path = alloc::vec![0_u8; 4096];
    // SAFETY: the buffer is writable for its length.
    let n = unsafe { raw(nr::GETCWD, [path.as_mut_ptr() as usize, path.len(), 0, 0, 0, 0]) }.unwrap_or(1);
    path.truncate(n.saturating_sub(1));
    path
}

/// What the shim wants to know of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Links, devices.
    Other,
}

/// `struct stat` of x86-64 is 144 bytes; `st_mode` is the `u32` at 24.
fn file_type(stat: &[u64; 18]) -> FileType {
    match stat[3] as u32 & 0o170_000 {
        0o100_000 => FileType::Regular,
        0o040_000 => FileType::Directory,
        0o010_000 => FileType::Fifo,
        0o140_000 => FileType::Socket,
        _ => FileType::Other,
    }
}

/// `lstat(2)`: does not follow a link.
pub fn file_type_of(path: &[u8]) -> Answer<FileType> {
    let mut stat = [0_u64; 18];
    let path = c_string(path);
    // SAFETY: `path` is zero-terminated, `stat` has the size of `struct stat`; both outlive the call.
    unsafe { raw(nr::LSTAT, [path.as_ptr() as usize, stat.as_mut_ptr() as usize, 0, 0, 0, 0]) }?;
    Ok(file_type(&stat))
}

/// `fstat(2)`.
pub fn file_type_of_fd(fd: usize) -> Answer<FileType> {
    let mut stat = [0_u64; 18];
    // SAFETY: `stat` has the size of `struct stat` and outlives the call.
    unsafe { raw(nr::FSTAT, [fd, stat.as_mut_ptr() as usize, 0, 0, 0, 0]) }?;
    Ok(file_type(&stat))
}

/// The names in a directory, without `.` and `..`.
pub fn list(path: &[u8]) -> Answer<Vec<Vec<u8>>> {
    let fd = open(path, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)?;
    let mut names = Vec::new();
    let mut buffer = alloc::vec![0_u8; 32 * 1024];
    loop {
        // SAFETY: the buffer is writable for its length.
        let n = unsafe { raw(nr::GETDENTS64, [fd, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) };
        let Ok(n @ 1..) = n else { break };
        let mut rest = buffer.get(..n).unwrap_or_default();
        // struct linux_dirent64: u64 ino, u64 off, u16 reclen, u8 type, name with a zero byte.
        while let Some(length) = rest.get(16..18).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]]))) {
            let name = rest.get(19..length).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    close(fd);
    Ok(names)
}

/// `O_DIRECTORY`.
pub const O_DIRECTORY: usize = 0o200_000;
/// `O_NOFOLLOW`.
pub const O_NOFOLLOW: usize = 0o400_000;
/// `O_CLOEXEC`.
pub const O_CLOEXEC: usize = 0o2_000_000;
/// `O_WRONLY`.
pub const O_WRONLY: usize = 1;
/// `O_RDWR`.
pub const O_RDWR: usize = 2;
/// `O_CREAT`.
pub const O_CREAT: usize = 0o100;
/// `O_EXCL`.
pub const O_EXCL: usize = 0o200;

/// A pipe, closed on exec: read end, write end.
pub fn pipe() -> Answer<(usize, usize)> {
    let mut ends = [0_i32; 2];
    // SAFETY: `ends` holds the two numbers and outlives the call.
    unsafe { raw(nr::PIPE2, [ends.as_mut_ptr() as usize, O_CLOEXEC, 0, 0, 0, 0]) }?;
    Ok((ends[0] as usize, ends[1] as usize))
}

/// A pair of connected `SOCK_SEQPACKET` sockets, closed on exec.
pub fn channel() -> Answer<(usize, usize)> {
    const AF_UNIX: usize = 1;
    const SEQPACKET_CLOEXEC: usize = 5 | O_CLOEXEC;
    let mut ends = [0_i32; 2];
    // SAFETY: `ends` holds the two numbers and outlives the call.
    unsafe { raw(nr::SOCKETPAIR, [AF_UNIX, SEQPACKET_CLOEXEC, 0, ends.as_mut_ptr() as usize, 0, 0]) }?;
    Ok((ends[0] as usize, ends[1] as usize))
}

/// `dup2(2)`.
pub fn dup2(from: usize, to: usize) -> Answer {
    plain(nr::DUP2, [from, to, 0, 0, 0, 0])
}

/// Closes all descriptors from `first` to `last` in a table of our own.
pub fn close_range(first: usize, last: usize) -> Answer {
    const UNSHARE: usize = 2;
    plain(nr::CLOSE_RANGE, [first, last, UNSHARE, 0, 0, 0])
}

/// `SIGCHLD`.
pub const SIGCHLD: usize = 17;
/// `SIGKILL`.
pub const SIGKILL: usize = 9;
/// A new PID namespace for the child.
pub const CLONE_NEWPID: usize = 0x2000_0000;
/// A new IPC namespace for the child: no shared memory or queues with other units.
pub const CLONE_NEWIPC: usize = 0x0800_0000;
/// A descriptor table in common with the child.
pub const CLONE_FILES: usize = 0x400;
/// The child gets the caller's parent.
pub const CLONE_PARENT: usize = 0x8000;

/// A child with a copy of our memory, as fork(2) makes it; 0 in the child.
pub fn clone_process(flags: usize) -> Answer {
    debug_assert!(flags & 0x100 == 0, "CLONE_VM would share the stack");
    plain(nr::CLONE, [flags, 0, 0, 0, 0, 0])
}

/// `execve(2)`; returns only the error.
pub fn exec(program: &[u8], args: &[Vec<u8>], env: &[Vec<u8>]) -> Errno {
    let program = c_string(program);
    let args: Vec<Vec<u8>> = args.iter().map(|arg| c_string(arg)).collect();
    let env: Vec<Vec<u8>> = env.iter().map(|entry| c_string(entry)).collect();
    let pointers = |list: &[Vec<u8>]| -> Vec<usize> {
        list.iter().map(|entry| entry.as_ptr() as usize).chain(core::iter::once(0)).collect()
    };
    let (argv, envp) = (pointers(&args), pointers(&env));
    // SAFETY: all strings are zero-terminated, both lists end with null, everything outlives the call.
    let answer = unsafe {
        raw(nr::EXECVE, [program.as_ptr() as usize, argv.as_ptr() as usize, envp.as_ptr() as usize, 0, 0, 0])
    };
    answer.err().unwrap_or(Errno(0))
}

/// Waits for a child (`usize::MAX` for any): its id and wait status.
pub fn wait(child: usize) -> Answer<(usize, i32)> {
    let mut status = 0_i32;
    loop {
        // SAFETY: `status` is writable and outlives the call.
        match unsafe { raw(nr::WAIT4, [child, &raw mut status as usize, 0, 0, 0, 0]) } {
            Err(Errno(EINTR)) => {}
            Err(errno) => return Err(errno),
            // SAFETY: the kernel wrote the local integer.
            Ok(id) => return Ok((id, unsafe { core::ptr::read_volatile(&raw const status) })),
        }
    }
}

/// As [`wait`] for any child, but at once: the id is 0 when none has ended yet.
pub fn wait_without_blocking() -> Answer {
    const WNOHANG: usize = 1;
    plain(nr::WAIT4, [usize::MAX, 0, WNOHANG, 0, 0, 0])
}

/// Sleeps: poll(2) of nothing.
pub fn sleep(milliseconds: usize) {
    let _ = plain(nr::POLL, [0, 0, milliseconds, 0, 0, 0]);
}

/// Waits until a descriptor has something to read or has lost its writers: which of them.
pub fn wait_readable(fds: &[usize]) -> Answer<Vec<bool>> {
    const POLLIN: u64 = 1;
    // `struct pollfd`: the number in the lower half, then `events` and `revents` of 16 bits each.
    let mut polled: Vec<u64> = fds.iter().map(|fd| *fd as u64 & 0xffff_ffff | POLLIN << 32).collect();
    // SAFETY: `polled` holds as many structures as we say and outlives the call.
    unsafe { raw(nr::POLL, [polled.as_mut_ptr() as usize, polled.len(), usize::MAX, 0, 0, 0]) }?;
    Ok(polled.iter().map(|one| one >> 48 != 0).collect())
}

/// `kill(2)`.
pub fn kill(pid: usize, signal: usize) -> Answer {
    plain(nr::KILL, [pid, signal, 0, 0, 0, 0])
}

/// Clears the ambient set, empties the bounding set, drops every capability, and
/// makes the process readable again (a change of credentials clears dumpable).
/// One may be kept, over `execve`, too; nothing but a test does.
pub fn drop_capabilities(kept: Option<usize>) -> Answer {
    const PR_SET_DUMPABLE: usize = 4;
    const PR_CAPBSET_DROP: usize = 24;
    const PR_CAP_AMBIENT: usize = 47;
    const PR_CAP_AMBIENT_RAISE: usize = 2;
    const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
    plain(nr::PRCTL, [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0])?;
    // The kernel answers EINVAL beyond its last capability.
    for capability in 0..64 {
        if kept != Some(capability) && plain(nr::PRCTL, [PR_CAPBSET_DROP, capability, 0, 0, 0, 0]).is_err() {
            break;
        }
    }
    // _LINUX_CAPABILITY_VERSION_3, pid 0; two records of effective, permitted, inheritable (capset(2)).
    let header = [0x2008_0522_u32, 0];
    let bits = kept.map_or(0, |capability| 1_u64 << capability);
    let [low, high] = [bits as u32, (bits >> 32) as u32];
    let sets = [low, low, low, high, high, high];
    // SAFETY: both arrays have the layout that version 3 asks for and outlive the call.
    unsafe { raw(nr::CAPSET, [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0, 0]) }?;
    if let Some(capability) = kept {
        plain(nr::PRCTL, [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0, 0])?;
    }
    plain(nr::PRCTL, [PR_SET_DUMPABLE, 1, 0, 0, 0, 0])
}

/// Nobody of the caller's own rights may look into it any more: its `/proc` folder and its descriptors
/// are closed to what it starts. The next `execve` takes this back.
pub fn hide() -> Answer {
    const PR_SET_DUMPABLE: usize = 4;
    plain(nr::PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0])
}

/// The caller dies when its parent does.
pub fn die_with_parent() -> Answer {
    const PR_SET_PDEATHSIG: usize = 1;
    plain(nr::PRCTL, [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0])
}

/// Enters the Landlock domain of a ruleset.
pub fn restrict_self(ruleset: usize) -> Answer {
    plain(nr::LANDLOCK_RESTRICT_SELF, [ruleset, 0, 0, 0, 0, 0])
}

/// Installs a filter with a listener; `program` is an array of `struct sock_filter`.
pub fn install_filter(program: &[u8], flags: usize) -> Answer {
    const SET_MODE_FILTER: usize = 1;
    let fprog = [program.len() / 8, program.as_ptr() as usize];
    // SAFETY: `struct sock_fprog` is a u16 length (little endian, padded) and a pointer; the kernel copies
    // the program and keeps no pointer to it.
    unsafe { raw(nr::SECCOMP, [SET_MODE_FILTER, flags, fprog.as_ptr() as usize, 0, 0, 0]) }
}

/// No core file of this process.
pub fn no_core_file() {
    const RLIMIT_CORE: usize = 4;
    let _ = limit(RLIMIT_CORE, 0);
}

/// This process starts no other while its user has so many in the user namespace. A bound above the hard one of
/// now changes nothing.
pub fn limit_processes(bound: u64) -> Answer {
    const RLIMIT_NPROC: usize = 6;
    const EPERM: i32 = 1;
    match limit(RLIMIT_NPROC, bound as usize) {
        Err(Errno(EPERM)) => Ok(0),
        answer => answer,
    }
}

fn limit(resource: usize, bound: usize) -> Answer {
    let both = [bound; 2];
    // SAFETY: `both` has the layout of `struct rlimit` and outlives the call.
    unsafe { raw(nr::SETRLIMIT, [resource, both.as_ptr() as usize, 0, 0, 0, 0]) }
}

/// `getpid` by the 32-bit table (`int 0x80`, number 20): the answer in eax.
pub fn foreign_getpid() -> Answer {
    let answer: i32;
    // SAFETY: the 32-bit getpid takes no arguments and touches no memory; rbx is not used.
    unsafe {
        asm!("int 0x80", inlateout("eax") 20 => answer, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _, options(nostack));
    }
    if answer < 0 { Err(Errno(-answer)) } else { Ok(answer as usize) }
}
