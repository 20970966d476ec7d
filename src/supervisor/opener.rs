//! A unit's opener: a thread in the unit's own Landlock domain, without any
//! capability, that opens what the unit asks to open.
//!
//! The supervisor has wider rights than any unit. If it opened files itself, a
//! unit could reach its neighbours through it (three escapes were measured);
//! this thread can reach what the unit can, and no more.
//!
//! Jobs and answers go by channels, but who waits does so on a pipe: the kernel's hint that the writer of a pipe is about
//! to wait itself is what a futex has not. It is a hint only, and an idle CPU is preferred to it (`select_idle_sibling` in
//! `kernel/sched/fair.c`), which has to leave its sleep first: half of such an open's time. So the thread may run on that
//! CPU alone on which the supervisor waits for it.

use std::cell::Cell;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::{CloneFlags, CpuSet, sched_getcpu, sched_setaffinity, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, gettid, pipe2};

use crate::sys::{capabilities, landlock};

/// One open to make.
#[derive(Debug)]
pub(super) struct Job {
    /// Where a relative path starts, as `O_PATH`.
    pub(super) base: Option<OwnedFd>,
    /// The caller's bytes.
    pub(super) path: CString,
    pub(super) flags: OFlag,
    pub(super) mode: Mode,
    /// All of it: without `RESOLVE_NO_MAGICLINKS` for a descriptor of our own only.
    pub(super) resolve: ResolveFlag,
    pub(super) umask: Mode,
}

/// The supervisor's end of an opener thread. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Opener {
    jobs: SyncSender<Job>,
    answers: Receiver<Answer>,
    /// A byte for each job.
    wake: File,
    /// A byte for each answer.
    woken: File,
    /// The thread's id, as soon as it runs.
    thread: Arc<OnceLock<Pid>>,
    /// The CPU that the thread may run on.
    cpu: Cell<Option<usize>>,
}

/// What came of a job, and the job, of which the caller may need more.
type Answer = (Result<OwnedFd, Errno>, Job);

impl Opener {
    /// Starts the thread. It enters the domain before its first job.
    pub(super) fn start(ruleset: OwnedFd) -> io::Result<Self> {
        const STACK: usize = 64 * 1024;
        let (jobs, next_job) = sync_channel::<Job>(1);
        let (answer, answers) = sync_channel::<Answer>(1);
        let (mut waits, wake) = pipe()?;
        let (woken, mut wakes) = pipe()?;
        let thread = Arc::new(OnceLock::new());
        let known = Arc::clone(&thread);
        thread::Builder::new().name("opener".to_owned()).stack_size(STACK).spawn(move || {
            let _ = known.set(gettid());
            let ready = enter(&ruleset);
            while waits.read_exact(&mut [0]).is_ok() {
                let Ok(job) = next_job.try_recv() else { break };
                let opened = if ready.is_ok() { open_as_unit(&job) } else { Err(Errno::EACCES) };
                if answer.send((opened, job)).is_err() || wakes.write_all(&[0]).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { jobs, answers, wake, woken, thread, cpu: Cell::new(None) })
    }

    /// Opens as the unit would. EACCES and no job if the thread is gone, EACCES if it could not enter the domain.
    pub(super) fn open(&self, job: Job) -> (Result<OwnedFd, Errno>, Option<Job>) {
        match self.ask(job) {
            Some((opened, job)) => (opened, Some(job)),
            None => (Err(Errno::EACCES), None),
        }
    }

    fn ask(&self, job: Job) -> Option<Answer> {
        self.jobs.send(job).ok()?;
        self.bring_here();
        (&self.wake).write_all(&[0]).ok()?;
        (&self.woken).read_exact(&mut [0]).ok()?;
        self.answers.try_recv().ok()
    }

    /// Lets the thread run on the CPU of the caller, which waits for it. Where that fails it runs anywhere.
    fn bring_here(&self) {
        let Ok(here) = sched_getcpu() else { return };
        if self.cpu.get() == Some(here) {
            return;
        }
        let mut cpus = CpuSet::new();
        if let Some(thread) = self.thread.get()
            && cpus.set(here).and_then(|()| sched_setaffinity(*thread, &cpus)).is_ok()
        {
            self.cpu.set(Some(here));
        }
    }
}

fn pipe() -> io::Result<(File, File)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((File::from(reader), File::from(writer)))
}

/// A umask and a working directory of its own, no capability, the unit's domain.
fn enter(ruleset: &OwnedFd) -> io::Result<()> {
    unshare(CloneFlags::CLONE_FS)?;
    capabilities::keep_only(&[], false)?;
    landlock::restrict_self(ruleset.as_fd())
}

fn open_as_unit(job: &Job) -> Result<OwnedFd, Errno> {
    umask(job.umask);
    let how = OpenHow::new()
        .flags(job.flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | OFlag::O_NONBLOCK)
        .mode(job.mode)
        .resolve(job.resolve);
    match &job.base {
        Some(base) => openat2(base, job.path.as_c_str(), how),
        None => openat2(AT_FDCWD, job.path.as_c_str(), how),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_without_its_domain_opens_nothing() {
        let no_ruleset = File::open("/dev/null").unwrap();
        let thread = Opener::start(no_ruleset.into()).unwrap();
        for path in [c"/dev/null", c"/"] {
            let (flags, mode, resolve) = (OFlag::O_RDONLY, Mode::empty(), ResolveFlag::empty());
            let job = Job { base: None, path: path.to_owned(), flags, mode, resolve, umask: Mode::empty() };
            let (opened, job) = thread.open(job);
            assert_eq!(opened.unwrap_err(), Errno::EACCES);
            assert_eq!(job.unwrap().path.as_c_str(), path);
        }
    }
}
