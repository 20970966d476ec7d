//! The loop: one `poll` over the listeners and an `epoll` of all else, which is shims, cargo's output and our parent.
//!
//! The listeners are not in the `epoll`, since the kernel's hint to wake us on the caller's CPU
//! ([`Listener::wake_synchronously`](crate::sys::seccomp::Listener::wake_synchronously)) gets lost there
//! (`ep_poll_callback` in `fs/eventpoll.c`, `pollwake` in `fs/select.c`): with two CPUs, half of all calls then wait
//! 30 µs longer.
//!
//! What is pending on a listener is received before any of it is handled: a received call no longer returns EINTR to
//! its caller. Whether more is pending is asked when another thread calls than the last time.

mod drivers;
mod limits;
mod outputs;
mod shims;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use self::drivers::Libraries;
use self::outputs::Cargo;
use self::shims::Shim;
use super::admit::Admission;
use super::caller::Proc;
use super::limits::Watch;
use super::unwind::Walker;
use super::zones::Zones;
use super::{Sandboxed, SupervisorError};
use crate::evidence::line::{Line, Note, note};
use crate::evidence::store::Store;
use crate::evidence::writer::EvidenceWriter;
use crate::ids::{PackageId, UnitId};
use crate::sandbox::channel::{Event, Order, Parent};
use crate::sandbox::filter::{Makers, to_bytes, unit_filter};
use crate::sandbox::limits::Limit;
use crate::sandbox::spec::SandboxSpec;

type Result<T> = std::result::Result<T, SupervisorError>;

/// What a ready descriptor is. Packed into the 64 bits that `epoll` keeps for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Handoff,
    Stdout,
    Stderr,
    Child,
    Parent,
    Resolver(u32),
    Channel(u32),
    Driver(u32),
}

impl Source {
    fn pack(self) -> u64 {
        let (tag, number) = match self {
            Self::Handoff => (0, 0),
            Self::Stdout => (1, 0),
            Self::Stderr => (2, 0),
            Self::Child => (3, 0),
            Self::Parent => (4, 0),
            Self::Resolver(n) => (5, n),
            Self::Channel(n) => (6, n),
            Self::Driver(n) => (7, n),
        };
        tag << 32 | u64::from(number)
    }

    fn unpack(word: u64) -> Option<Self> {
        let number = u32::try_from(word & 0xffff_ffff).ok()?;
        Some(match word >> 32 {
            0 => Self::Handoff,
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::Child,
            4 => Self::Parent,
            5 => Self::Resolver(number),
            6 => Self::Channel(number),
            7 => Self::Driver(number),
            _ => return None,
        })
    }
}

/// What there is to do.
struct Ready {
    /// Something in the `epoll`.
    others: bool,
    /// By unit number.
    listeners: Vec<(u32, PollFlags)>,
}

/// The state of one run.
pub(super) struct EventLoop<'a> {
    spec: SandboxSpec,
    parent: &'a mut Parent,
    epoll: Epoll,
    evidence: Option<EvidenceWriter>,
    procfs: Arc<Proc>,
    limits: Watch,
    zones: Arc<Zones>,
    walker: Walker,
    admission: Admission,
    /// For units that compile, and for all others.
    filters: (Vec<u8>, Vec<u8>),
    start: Instant,
    deadline: Instant,
    /// By unit number; a shim is here until its channel and its listener are closed.
    shims: BTreeMap<u32, Shim>,
    next: u32,
    handoff: OwnedFd,
    cargo: Cargo,
    life: Option<OwnedFd>,
    go: Option<File>,
    resolver: Vec<UdpSocket>,
    read_only_views: Vec<String>,
    /// Packages of compiled units by the name of the unit, to hold against cargo's messages.
    announced: HashMap<String, PackageId>,
    libraries: Libraries,
    /// What cargo found finished, by identity.
    fresh: HashSet<String>,
    asked: Vec<Vec<u8>>,
    store: Store,
    /// Units that did not end well: to them belong cargo's words about the failure.
    failed: Vec<Failed>,
}

/// A unit that did not end well.
#[derive(Debug)]
struct Failed {
    unit: UnitId,
    package: PackageId,
    name: String,
    runs_script: bool,
}

impl<'a> EventLoop<'a> {
    pub(super) fn new(sandboxed: Sandboxed, parent: &'a mut Parent) -> Result<Self> {
        let Sandboxed {
            spec,
            outer_proc,
            read_only_views,
            resolver,
            life,
            handoff,
            stdout,
            stderr,
            go,
            child,
            evidence,
            counters,
            captured,
        } = sandboxed;
        let watch = |step| move |error: nix::errno::Errno| SupervisorError::Watch { step, source: error.into() };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(watch("make an epoll instance"))?;
        let cargo = Cargo::new(child, stdout, stderr)?;
        let procfs = Arc::new(Proc::new(outer_proc));
        let zones = Arc::new(Zones::new(spec.header.layout.clone(), spec.reads.clone()));
        let filter = |makers| to_bytes(&unit_filter(spec.trace, makers));
        let this = Self {
            walker: Walker::new(Arc::clone(&procfs), Arc::clone(&zones)),
            zones,
            admission: Admission::new(&spec),
            filters: (filter(Makers::Notified), filter(Makers::Allowed)),
            evidence: Some(
                EvidenceWriter::new(
                    evidence,
                    &counters,
                    spec.limits.attempts_per_class,
                    spec.limits.of(Limit::Evidence),
                )
                .map_err(SupervisorError::Evidence)?,
            ),
            procfs,
            limits: Watch::new(&spec),
            start: Instant::now(),
            deadline: Instant::now() + Duration::from_secs(spec.limits.of(Limit::Time)),
            shims: BTreeMap::new(),
            next: 0,
            handoff,
            cargo,
            life: Some(life),
            go: Some(File::from(go)),
            resolver,
            read_only_views,
            announced: HashMap::new(),
            libraries: Libraries::new(&spec),
            fresh: HashSet::new(),
            asked: Vec::new(),
            store: Store::new(captured),
            failed: Vec::new(),
            spec,
            parent,
            epoll,
        };
        this.watch_all()?;
        Ok(this)
    }

    /// Everything that is there from the beginning.
    fn watch_all(&self) -> Result<()> {
        self.watch(&self.handoff, Source::Handoff)?;
        self.watch(&*self.parent, Source::Parent)?;
        for (source, fd) in [
            (Source::Stdout, self.cargo.stdout.as_ref().map(File::as_fd)),
            (Source::Stderr, self.cargo.stderr.as_ref().map(File::as_fd)),
            (Source::Child, self.cargo.process.as_ref().map(OwnedFd::as_fd)),
        ] {
            if let Some(fd) = fd {
                self.watch(fd, source)?;
            }
        }
        (0..).zip(&self.resolver).try_for_each(|(at, socket)| self.watch(socket, Source::Resolver(at)))
    }

    /// Runs until cargo and all units have ended, then closes the log.
    pub(super) fn run(mut self) -> Result<()> {
        while !self.cargo.is_over() || !self.shims.is_empty() {
            let Ready { others, listeners } = self.wait()?;
            for (number, flags) in listeners {
                self.read_listener(number, flags)?;
            }
            if others {
                self.serve_others()?;
            }
            self.look_at_limits()?;
            self.look_at_drivers()?;
            self.drive_early()?;
        }
        self.close()
    }

    /// Waits for the next event, or until a limit or a driver wants to be looked at.
    fn wait(&self) -> Result<Ready> {
        let listeners = self.shims.iter().filter_map(|(number, shim)| Some((*number, shim.listener()?)));
        let (numbers, listeners): (Vec<u32>, Vec<_>) = listeners.unzip();
        let all = std::iter::once(self.epoll.0.as_fd()).chain(listeners);
        let mut all: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut all, self.time_left()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(SupervisorError::Watch { step: "wait for events", source: errno.into() }),
        }
        let mut flags = all.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let others = flags.next().is_some_and(|flags| !flags.is_empty());
        let listeners = numbers.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect();
        Ok(Ready { others, listeners })
    }

    fn serve_others(&mut self) -> Result<()> {
        let mut ready = [EpollEvent::empty(); 64];
        let count = match self.epoll.wait(&mut ready, EpollTimeout::ZERO) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(SupervisorError::Watch { step: "wait for events", source: errno.into() }),
        };
        let sources = ready.iter().take(count).filter_map(|event| Source::unpack(event.data()));
        sources.into_iter().try_for_each(|source| self.serve(source))
    }

    fn time_left(&self) -> PollTimeout {
        if self.life.is_none() {
            // Everything inside is dying; the kernel tells.
            return PollTimeout::NONE;
        }
        let next = self.limits.next().into_iter().chain(self.next_driver()).fold(self.deadline, Instant::min);
        let left = next.saturating_duration_since(Instant::now()).min(Duration::from_mins(1));
        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::NONE)
    }

    fn serve(&mut self, source: Source) -> Result<()> {
        match source {
            Source::Handoff => self.answer_knock(),
            Source::Stdout => self.read_stdout(),
            Source::Stderr => {
                self.read_stderr();
                Ok(())
            }
            Source::Child => self.cargo_ended(),
            Source::Parent => self.obey(),
            Source::Resolver(at) => self.resolve(at),
            Source::Channel(number) => self.read_channel(number),
            Source::Driver(number) => self.read_driver(number),
        }
    }

    fn obey(&mut self) -> Result<()> {
        match self.parent.order() {
            Ok(Order::Mapped) => Ok(()),
            Ok(Order::Stop) => {
                self.note(note::KILLED, None, None, "the run was stopped")?;
                self.unwatch_parent()?;
                self.stop();
                Ok(())
            }
            Err(_) => {
                // Whoever started us is gone.
                self.unwatch_parent()?;
                self.note(note::KILLED, None, None, "the process that started the run ended")?;
                self.stop();
                Ok(())
            }
        }
    }

    /// Ends everything inside: the init ends when its pipe does, and its namespace with it.
    fn stop(&mut self) {
        self.life = None;
    }

    fn close(mut self) -> Result<()> {
        self.note_undriven()?;
        self.write_last_words()?;
        if let Some(evidence) = self.evidence.take() {
            evidence.close().map_err(SupervisorError::Evidence)?;
        }
        self.parent.tell(&Event::Closed);
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        self.evidence.as_mut().map_or(Ok(()), |evidence| evidence.write(line)).map_err(SupervisorError::Evidence)
    }

    fn note(&mut self, code: &str, package: Option<PackageId>, unit: Option<UnitId>, text: &str) -> Result<()> {
        self.write(&Line::Note(Note { code: code.to_owned(), package, unit, text: text.to_owned(), limit: None }))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn watch(&self, fd: impl std::os::fd::AsFd, source: Source) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, source.pack());
        self.epoll
            .add(fd, event)
            .map_err(|errno| SupervisorError::Watch { step: "watch a descriptor", source: errno.into() })
    }

    fn unwatch(&self, fd: impl std::os::fd::AsFd) -> Result<()> {
        self.epoll
            .delete(fd)
            .map_err(|errno| SupervisorError::Watch { step: "let go of a descriptor", source: errno.into() })
    }

    fn unwatch_parent(&self) -> Result<()> {
        self.unwatch(&*self.parent)
    }
}
