//! New processes, and what they inherit. For single-threaded callers only.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::unistd::Pid;

use super::{answer, number};

/// On which side of a fork the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The new process.
    Child,
    /// The old one, with the child's process id.
    Parent(Pid),
}

/// The proof that a process has one thread. It never leaves that thread, and whoever holds it
/// starts no other while it forks.
#[derive(Debug)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Counts the threads of the calling process.
    ///
    /// # Errors
    /// When there is a second one, or `/proc` cannot be read.
    pub fn prove() -> io::Result<Self> {
        match std::fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(PhantomData)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a process with threads must not fork")),
        }
    }
}

/// fork(2), optionally into new namespaces (`CLONE_NEW*` flags).
///
/// # Errors
/// What `clone(2)` answers.
pub fn fork(_: &SingleThreaded, namespaces: libc::c_int) -> io::Result<Side> {
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child has a copy of the memory, and the process has one thread, so no
    // lock is held by anyone who does not exist in the child.
    match number(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Pid::from_raw(pid))),
    }
}

/// Ends the calling process at once, without running anything that was registered for its exit.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes a value and does not return.
    unsafe { libc::_exit(code) }
}

/// Asks for short turns on the CPU for the calling thread and those that it starts: who wakes with a shorter turn than the
/// one that runs takes the CPU from it at once (Linux 6.12, `PREEMPT_SHORT` in `kernel/sched/features.h`), and gets no
/// more of it in the end. An older kernel ignores the wish.
///
/// # Errors
/// What `sched_getattr(2)` or `sched_setattr(2)` answers.
pub fn take_short_turns() -> io::Result<()> {
    /// The shortest that the kernel gives (`__setparam_fair` in `kernel/sched/syscalls.c`).
    const TURN_NS: u64 = 100_000;
    let size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0);
    // SAFETY: the structure is plain data, for which zeros are valid.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most `size` bytes to a local of that size.
    answer(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) })?;
    // The policy and the nice value stay as they are. Of policies with turns of their own this means something else.
    if !matches!(attributes.sched_policy.cast_signed(), libc::SCHED_OTHER | libc::SCHED_BATCH) {
        return Ok(());
    }
    attributes.sched_runtime = TURN_NS;
    // SAFETY: the kernel reads the structure, whose size it is told in the first field.
    answer(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// The calling thread runs only on a CPU that nobody else wants (`SCHED_IDLE`, sched(7)).
///
/// # Errors
/// What `sched_setscheduler(2)` answers.
pub fn run_when_idle() -> io::Result<()> {
    let attributes = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads a local structure.
    answer(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const attributes) }).map(drop)
}

/// Children of the caller are reaped by the kernel from now on.
///
/// # Errors
/// What `sigaction(2)` answers.
pub fn reap_children_automatically() -> io::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: ignoring a signal installs no handler, so nothing runs in signal context.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
    Ok(())
}

/// Sends SIGKILL to the very process that the descriptor was made for.
///
/// # Errors
/// What `pidfd_send_signal(2)` answers: ESRCH if it has ended.
pub fn kill_by_pidfd(pidfd: &OwnedFd) -> io::Result<()> {
    // SAFETY: takes values, and a null pointer where the kernel makes up what `kill(2)` would send.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, 0, 0) };
    number(done).map(drop)
}

/// True for the first thread of a process. No signal is sent.
pub fn leads_its_process(thread: Pid) -> bool {
    // SAFETY: takes values.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, thread.as_raw(), thread.as_raw(), 0) };
    // What we may not signal is there all the same.
    matches!(answer(sent).map_err(|error| error.raw_os_error()), Ok(_) | Err(Some(libc::EPERM)))
}

/// A write beyond the limit of a file's size is an error from now on, and no longer the caller's end.
///
/// # Errors
/// What `sigaction(2)` answers.
pub fn meet_file_size_limit_as_error() -> io::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: ignoring a signal installs no handler, so nothing runs in signal context.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    Ok(())
}

/// Takes [`meet_file_size_limit_as_error`] back, for a program that expects the kernel's default.
///
/// # Errors
/// What `sigaction(2)` answers.
pub fn meet_file_size_limit_as_signal() -> io::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action installs no handler, so nothing runs in signal context.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigDfl) }?;
    Ok(())
}

/// A descriptor that becomes readable when the process ends.
///
/// # Errors
/// What `pidfd_open(2)` answers: ESRCH if it has ended and was reaped.
pub fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes two values.
    let fd = number(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Another name, in this process, of a descriptor of that one.
///
/// # Errors
/// What `pidfd_open(2)` or `pidfd_getfd(2)` answers.
pub fn descriptor_of(pid: Pid, fd: i32) -> io::Result<OwnedFd> {
    let process = pidfd(pid)?;
    // SAFETY: takes numbers.
    let fd = number(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A process that is started so is killed when the thread that started it ends, whatever ends it.
pub fn die_with_the_caller(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let parent = nix::unistd::getpid();
    let die = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // The caller may have ended before the wish was known.
        if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing, so it may run between fork and exec
    // of a process that has threads.
    unsafe { command.pre_exec(die) };
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn short_turns_change_neither_policy_nor_nice_value_and_are_those_of_new_threads() {
        let ours = || {
            // SAFETY: the structure is plain data, for which zeros are valid.
            let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
            let size = size_of::<libc::sched_attr>();
            // SAFETY: the kernel writes at most `size` bytes to a local of that size.
            answer(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) }).unwrap();
            (attributes.sched_policy, attributes.sched_nice, attributes.sched_runtime)
        };
        let (before, after, below) = thread::spawn(move || {
            let before = ours();
            take_short_turns().unwrap();
            (before, ours(), thread::spawn(ours).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((before.0, before.1), (after.0, after.1));
        // Before Linux 6.12 there are no turns of one's own, and the kernel tells none.
        assert!(before.2 == 0 || after.2 < before.2, "{before:?} {after:?}");
        assert_eq!(below, after);
    }
}
