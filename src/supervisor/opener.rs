//! A unit's opener: a thread in the unit's own Landlock domain, without any
//! capability, that opens what the unit asks to open.
//!
//! The supervisor has wider rights than any unit. If it opened files itself, a
//! unit could reach its neighbours through it (three escapes were measured);
//! this thread can reach what the unit can, and no more.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

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
    answers: Receiver<Result<OwnedFd, Errno>>,
}

impl Opener {
    /// Starts the thread. It enters the domain before its first job.
    pub(super) fn start(ruleset: OwnedFd) -> io::Result<Self> {
        const STACK: usize = 64 * 1024;
        let (jobs, next_job) = sync_channel::<Job>(1);
        let (answer, answers) = sync_channel(1);
        thread::Builder::new().name("opener".to_owned()).stack_size(STACK).spawn(move || {
            let ready = enter(&ruleset);
            while let Ok(job) = next_job.recv() {
                let opened = if ready.is_ok() { open_as_unit(&job) } else { Err(Errno::EACCES) };
                if answer.send(opened).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { jobs, answers })
    }

    /// Opens as the unit would. EACCES if the thread could not enter the domain or is gone.
    pub(super) fn open(&self, job: Job) -> Result<OwnedFd, Errno> {
        self.jobs.send(job).map_err(|_| Errno::EACCES)?;
        self.answers.recv().unwrap_or(Err(Errno::EACCES))
    }
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
