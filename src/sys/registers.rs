//! The registers of a thread that waits in a system call, by ptrace(2).

use std::io;

use super::answer;

/// What a stack is walked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The instruction pointer.
    pub ip: u64,
    /// The stack pointer.
    pub sp: u64,
    /// The frame pointer, or whatever else the program keeps in `rbp`.
    pub bp: u64,
}

/// Stops a thread, reads its registers and lets it go on. A call that it waits in is broken off and made again
/// by the kernel. Blocks until the thread stops or ends, and must be called by a thread that traces nothing else.
///
/// # Errors
/// When the thread may not be traced, or is gone.
pub fn interrupt(tid: i32) -> io::Result<Registers> {
    // SAFETY: takes values; no address of ours is named.
    answer(unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, 0_usize, 0_usize) })?;
    let stopped = stop(tid);
    let registers = stopped.as_ref().map_err(|error| io::Error::from(error.kind())).and_then(|_| read(tid));
    // A signal that it was about to get is not ours to keep. Of a thread that is gone there is nothing to let go of.
    let signal = usize::try_from(stopped.unwrap_or_default()).unwrap_or_default();
    // SAFETY: takes values; no address of ours is named.
    let _ = unsafe { libc::ptrace(libc::PTRACE_DETACH, tid, 0_usize, signal) };
    registers
}

/// Waits until the thread has stopped: the signal that it stopped for, 0 if for us.
fn stop(tid: i32) -> io::Result<i32> {
    // SAFETY: takes values; no address of ours is named.
    answer(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, tid, 0_usize, 0_usize) })?;
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes an int to a local that outlives the call.
        let waited = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) };
        match answer(libc::c_long::from(waited)) {
            Ok(_) if libc::WIFSTOPPED(status) => break,
            Ok(_) => return Err(io::ErrorKind::NotFound.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // Above the signal stands the event: a stop for us is one, and so is that of a whole process.
    Ok(if status >> 16 == 0 { libc::WSTOPSIG(status) } else { 0 })
}

fn read(tid: i32) -> io::Result<Registers> {
    // SAFETY: the structure is plain data, for which zeros are valid.
    let mut raw: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `struct user_regs_struct` to a local that outlives the call.
    answer(unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0_usize, &raw mut raw) })?;
    Ok(Registers { ip: raw.rip, sp: raw.rsp, bp: raw.rbp })
}
