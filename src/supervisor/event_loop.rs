//! The loop: one `epoll` over shims, listeners, cargo's output and our parent.
//!
//! All that is pending on a listener is received before any of it is handled:
//! a received call no longer returns EINTR to its caller.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::admit::Admission;
use super::caller::Proc;
use super::cargo::{self, Lines, Message, Tail};
use super::handle::Handler;
use super::opener::Opener;
use super::units::Unit;
use super::zones::Zones;
use super::{Sandboxed, SupervisorError, dns, self_test};
use crate::evidence::Bytes;
use crate::evidence::line::{Line, Note, Output, UnitEnd, UnitKind, UnitOutcome, UnitStart, note};
use crate::evidence::writer::EvidenceWriter;
use crate::handoff::{self, Datagram};
use crate::ids::{PackageId, UnitId};
use crate::sandbox::channel::{Event, Order, Parent};
use crate::sandbox::filter::{UNIT_FILTER_FLAGS, to_bytes, unit_filter};
use crate::sandbox::ruleset;
use crate::sandbox::spec::SandboxSpec;
use crate::shim::protocol::{End, GO, KNOCK, LISTENER, Plan, Reply, Request};
use crate::sys::landlock;
use crate::sys::process::pidfd;

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
    Listener(u32),
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
            Self::Listener(n) => (7, n),
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
            7 => Self::Listener(number),
            _ => return None,
        })
    }
}

/// How a shim reported the end of its unit.
#[derive(Debug)]
enum Ended {
    Told(End),
    /// The shim died first.
    Silent,
}

/// A shim that knocked, and the unit that it got.
#[derive(Debug)]
struct Shim {
    channel: Option<OwnedFd>,
    unit: Option<Unit>,
    ended: Option<Ended>,
}

/// The state of one run.
pub(super) struct EventLoop<'a> {
    spec: SandboxSpec,
    parent: &'a mut Parent,
    epoll: Epoll,
    evidence: Option<EvidenceWriter>,
    procfs: Proc,
    zones: Zones,
    admission: Admission,
    filter: Vec<u8>,
    start: Instant,
    deadline: Instant,
    /// By unit number; a shim is here until its channel and its listener are closed.
    shims: BTreeMap<u32, Shim>,
    next: u32,
    handoff: OwnedFd,
    stdout: Option<File>,
    stderr: Option<File>,
    child: Option<OwnedFd>,
    life: Option<OwnedFd>,
    go: Option<File>,
    resolver: Vec<UdpSocket>,
    read_only_views: Vec<String>,
    self_test_output: String,
    lines: Lines,
    stderr_tail: Tail,
    /// By package and crate name.
    diagnostics: HashMap<(PackageId, String), Tail>,
    /// Packages of compiled units by the name of the unit, to hold against cargo's messages.
    announced: HashMap<String, PackageId>,
    /// Packages of macro libraries by the unit's name.
    macro_units: HashMap<String, PackageId>,
    asked: Vec<Vec<u8>>,
    /// Units that did not end well: to them belong cargo's words about the failure.
    failed: Vec<Failed>,
}

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
        } = sandboxed;
        let watch = |step| move |error: nix::errno::Errno| SupervisorError::Watch { step, source: error.into() };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(watch("make an epoll instance"))?;
        let child = pidfd(child).map_err(|source| SupervisorError::Watch { step: "watch cargo", source })?;
        for pipe in [&stdout, &stderr] {
            fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(watch("read cargo's output"))?;
        }
        let this = Self {
            zones: Zones::new(spec.header.layout.clone(), spec.reads.clone()),
            admission: Admission::new(&spec.header),
            filter: to_bytes(&unit_filter()?),
            evidence: Some(
                EvidenceWriter::new(evidence, &counters, spec.limits.attempts_per_class)
                    .map_err(SupervisorError::Evidence)?,
            ),
            procfs: Proc::new(outer_proc),
            start: Instant::now(),
            deadline: Instant::now() + Duration::from_secs(spec.limits.wall_clock_s),
            shims: BTreeMap::new(),
            next: 0,
            handoff,
            stdout: Some(File::from(stdout)),
            stderr: Some(File::from(stderr)),
            child: Some(child),
            life: Some(life),
            go: Some(File::from(go)),
            resolver,
            read_only_views,
            self_test_output: String::new(),
            lines: Lines::default(),
            stderr_tail: Tail::default(),
            diagnostics: HashMap::new(),
            announced: HashMap::new(),
            macro_units: HashMap::new(),
            asked: Vec::new(),
            failed: Vec::new(),
            spec,
            parent,
            epoll,
        };
        this.watch(&this.handoff, Source::Handoff)?;
        this.watch(&*this.parent, Source::Parent)?;
        for (source, fd) in [
            (Source::Stdout, this.stdout.as_ref().map(File::as_fd)),
            (Source::Stderr, this.stderr.as_ref().map(File::as_fd)),
            (Source::Child, this.child.as_ref().map(OwnedFd::as_fd)),
        ] {
            if let Some(fd) = fd {
                this.watch(fd, source)?;
            }
        }
        for (at, socket) in (0..).zip(&this.resolver) {
            this.watch(socket, Source::Resolver(at))?;
        }
        Ok(this)
    }

    /// Runs until cargo and all units have ended, then closes the log.
    pub(super) fn run(mut self) -> Result<()> {
        let mut ready = [EpollEvent::empty(); 64];
        while self.child.is_some() || !self.shims.is_empty() || self.stdout.is_some() || self.stderr.is_some() {
            let timeout = self.time_left();
            let count = match self.epoll.wait(&mut ready, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(SupervisorError::Watch { step: "wait for events", source: errno.into() }),
            };
            for event in ready.iter().take(count) {
                if let Some(source) = Source::unpack(event.data()) {
                    self.serve(source, event.events())?;
                }
            }
            if Instant::now() >= self.deadline && self.life.is_some() {
                let text = format!("the build did not end within {} s", self.spec.limits.wall_clock_s);
                self.note(note::LIMIT_HIT, None, None, &text)?;
                self.stop();
            }
        }
        self.close()
    }

    fn time_left(&self) -> EpollTimeout {
        if self.life.is_none() {
            // Everything inside is dying; the kernel tells.
            return EpollTimeout::NONE;
        }
        let left = self.deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(60));
        EpollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(EpollTimeout::NONE)
    }

    fn serve(&mut self, source: Source, flags: EpollFlags) -> Result<()> {
        match source {
            Source::Handoff => self.answer_knock(),
            Source::Stdout => self.read_stdout(),
            Source::Stderr => self.read_stderr(),
            Source::Child => self.cargo_ended(),
            Source::Parent => self.obey(),
            Source::Resolver(at) => self.resolve(at),
            Source::Channel(number) => self.read_channel(number),
            Source::Listener(number) => self.read_listener(number, flags),
        }
    }

    /// A shim brings its channel.
    fn answer_knock(&mut self) -> Result<()> {
        match handoff::receive(&self.handoff) {
            Ok(Some(Datagram { bytes, fd: Some(channel) })) if bytes == KNOCK => {
                let number = self.next;
                self.next += 1;
                self.watch(&channel, Source::Channel(number))?;
                self.shims.insert(number, Shim { channel: Some(channel), unit: None, ended: None });
                Ok(())
            }
            // Only cargo and the shims hold the other end; when all are gone it is silent.
            Ok(None) => self.unwatch(&self.handoff),
            _ => Ok(()),
        }
    }

    fn read_channel(&mut self, number: u32) -> Result<()> {
        let Some(channel) = self.shims.get(&number).and_then(|shim| shim.channel.as_ref()) else { return Ok(()) };
        match handoff::receive(channel) {
            Ok(Some(datagram)) => self.obey_shim(number, datagram),
            _ => {
                self.unwatch(channel)?;
                if let Some(shim) = self.shims.get_mut(&number) {
                    shim.channel = None;
                    shim.ended.get_or_insert(Ended::Silent);
                }
                self.finish_unit(number)
            }
        }
    }

    fn obey_shim(&mut self, number: u32, datagram: Datagram) -> Result<()> {
        let has_unit = self.shims.get(&number).is_some_and(|shim| shim.unit.is_some());
        if !has_unit {
            return self.admit(number, &datagram.bytes);
        }
        if datagram.bytes == LISTENER {
            return match datagram.fd {
                Some(fd) => self.start_unit(number, fd),
                None => Ok(()),
            };
        }
        if let (Some(end), Some(shim)) = (End::decode(&datagram.bytes), self.shims.get_mut(&number)) {
            shim.ended.get_or_insert(Ended::Told(end));
        }
        Ok(())
    }

    fn admit(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        let id = UnitId(number);
        let admitted = match Request::decode(bytes) {
            Some(request) => self.admission.admit(id, &request).map_err(|error| crate::error_chain(&error)),
            None => Err("the request makes no sense".to_owned()),
        };
        let ready = admitted.and_then(|mut admitted| {
            admitted.reads.extend(self.spec.reads.iter().cloned());
            let domain = ruleset::unit(&self.spec.header.layout, &admitted.places, &admitted.reads);
            domain.map(|domain| (admitted, domain)).map_err(|error| crate::error_chain(&error))
        });
        let (reply, unit) = match ready {
            Ok((admitted, domain)) => {
                let bytes = |path: &std::path::Path| std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
                let program =
                    if admitted.kind == UnitKind::SelfTest { self.spec.shim() } else { self.spec.rustc.clone() };
                let plan = Plan {
                    program: program.into_bytes(),
                    private_out: admitted.private_out.as_deref().map(bytes).unwrap_or_default(),
                    tmp: bytes(&admitted.tmp),
                    filter: self.filter.clone(),
                    filter_flags: UNIT_FILTER_FLAGS,
                };
                (Reply::Plan(plan), Some(Unit::new(id, &admitted, domain)))
            }
            Err(why) => {
                self.note(note::UNIT_REFUSED, None, None, &why)?;
                (Reply::Refused(why.into_bytes()), None)
            }
        };
        let Some(shim) = self.shims.get_mut(&number) else { return Ok(()) };
        let ruleset = unit.as_ref().and_then(|unit| unit.ruleset.as_ref());
        if let Some(channel) = &shim.channel {
            // A shim that is gone is noticed by the end of its channel.
            let _ = handoff::send(channel, &reply.encode(), ruleset);
        }
        shim.unit = unit;
        Ok(())
    }

    /// The listener is here: from now on nothing of the unit goes unseen.
    fn start_unit(&mut self, number: u32, fd: OwnedFd) -> Result<()> {
        self.watch(&fd, Source::Listener(number))?;
        let t = self.now();
        let Some(shim) = self.shims.get_mut(&number) else { return Ok(()) };
        let (Some(unit), Some(channel)) = (&mut shim.unit, &shim.channel) else { return Ok(()) };
        let listener = crate::sys::seccomp::Listener::from(fd);
        listener.wake_synchronously();
        unit.listener = Some(listener);
        unit.opener = unit.ruleset.take().and_then(|ruleset| Opener::start(ruleset).ok());
        let start = UnitStart {
            unit: unit.id,
            t,
            kind: unit.kind,
            package: unit.package.clone(),
            name: unit.name.clone(),
            places: unit.places.iter().map(|place| Bytes::from(place.as_path())).collect(),
        };
        let text = unit.describe();
        if let Some(package) = &unit.package {
            if matches!(unit.kind, UnitKind::CompileProcMacro) {
                self.macro_units.insert(unit.name.clone(), package.clone());
            }
            if unit.kind != UnitKind::RunBuildScript {
                self.announced.insert(unit.name.clone(), package.clone());
            }
        }
        // Recorded before its first instruction; then it may go.
        if let Some(evidence) = &mut self.evidence {
            evidence.write(&Line::UnitStart(start)).map_err(SupervisorError::Evidence)?;
        }
        let _ = handoff::send(channel, GO, None);
        self.parent.tell(&Event::UnitStarted { text });
        Ok(())
    }

    fn read_listener(&mut self, number: u32, flags: EpollFlags) -> Result<()> {
        let Self { shims, evidence, procfs, zones, start, asked, .. } = self;
        let Some(unit) = shims.get_mut(&number).and_then(|shim| shim.unit.as_mut()) else { return Ok(()) };
        let (Some(listener), Some(evidence)) = (&unit.listener, evidence.as_mut()) else { return Ok(()) };
        if !flags.contains(EpollFlags::EPOLLIN) {
            if flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                let gone = self.epoll.delete(listener);
                unit.listener = None;
                unit.opener = None;
                gone.map_err(|errno| SupervisorError::Watch { step: "let go of a listener", source: errno.into() })?;
                return self.finish_unit(number);
            }
            return Ok(());
        }
        let mut pending = VecDeque::new();
        loop {
            match listener.receive() {
                Ok(Some(notification)) => pending.push_back(notification),
                Ok(None) => {}
                Err(source) => return Err(SupervisorError::Watch { step: "receive a notification", source }),
            }
            if pending.len() >= 1024 || !is_readable(listener.as_fd()) {
                break;
            }
        }
        let mut handler = Handler { evidence, procfs, zones, start: *start, asked };
        for notification in pending {
            handler.handle(unit, &notification).map_err(SupervisorError::Evidence)?;
        }
        self.note_loaded_macros(number)
    }

    fn note_loaded_macros(&mut self, number: u32) -> Result<()> {
        let Some(unit) = self.shims.get_mut(&number).and_then(|shim| shim.unit.as_mut()) else { return Ok(()) };
        let id = unit.id;
        let new: Vec<_> =
            unit.libraries.iter().skip(unit.libraries_told).map(|name| name.to_string_lossy().into_owned()).collect();
        unit.libraries_told = unit.libraries.len();
        for library in new {
            let name = library.strip_prefix("lib").and_then(|name| name.strip_suffix(".so")).unwrap_or(&library);
            if let Some(package) = self.macro_units.get(name).cloned() {
                self.note(note::MACRO_LOADED, Some(package), Some(id), &library)?;
            }
        }
        Ok(())
    }

    /// When both the shim and the listener are done, the unit is.
    fn finish_unit(&mut self, number: u32) -> Result<()> {
        let Some(shim) = self.shims.get(&number) else { return Ok(()) };
        let listens = shim.unit.as_ref().is_some_and(|unit| unit.listener.is_some());
        if shim.channel.is_some() || listens {
            return Ok(());
        }
        let Some(Shim { unit: Some(unit), ended, .. }) = self.shims.remove(&number) else { return Ok(()) };
        let (outcome, code, end) = match ended {
            Some(Ended::Told(end)) => {
                let (outcome, code) = outcome_of(end.status);
                (outcome, code, end)
            }
            _ => (UnitOutcome::Killed, None, End { status: 0, left: 0, detached: 0, refused: Vec::new() }),
        };
        let line = UnitEnd {
            unit: unit.id,
            t: self.now(),
            outcome,
            code,
            duration_ms: u64::try_from(unit.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            left_running: end.left,
            left_detached: end.detached,
            refused_outputs: end.refused.into_iter().map(Bytes).collect(),
        };
        if let Some(evidence) = &mut self.evidence {
            evidence.write(&Line::UnitEnd(line)).map_err(SupervisorError::Evidence)?;
            evidence.forget(unit.id);
        }
        if outcome != UnitOutcome::Ok
            && let Some(package) = unit.package
        {
            let runs_script = unit.kind == UnitKind::RunBuildScript;
            self.failed.push(Failed { unit: unit.id, package, name: unit.name, runs_script });
        }
        self.parent.tell(&Event::UnitEnded);
        if unit.kind == UnitKind::SelfTest { self.judge_self_test() } else { Ok(()) }
    }

    /// The layers as proven, the header, and the word for cargo to start.
    fn judge_self_test(&mut self) -> Result<()> {
        self.read_stdout()?;
        let details = HashMap::from([
            ("landlock", format!("ABI {}", landlock::abi())),
            ("user-namespace", format!("uid {}, no further ones", self.spec.identity.uid)),
            ("mount-namespace", self.views()),
            ("seccomp", "two filters, one listener for each unit".to_owned()),
        ]);
        let layers = self_test::judge(&self.self_test_output, &details)
            .map_err(|failure| SupervisorError::Layer { layer: failure.layer, text: failure.text })?;
        let mut header = self.spec.header.clone();
        header.layers = layers;
        if let Some(evidence) = &mut self.evidence {
            evidence.open(header).map_err(SupervisorError::Evidence)?;
            for fact in &self.spec.facts {
                evidence.write(&Line::Fact(fact.clone())).map_err(SupervisorError::Evidence)?;
            }
        }
        if let Some(mut go) = self.go.take() {
            go.write_all(b"g").map_err(|source| SupervisorError::Watch { step: "start cargo", source })?;
        }
        self.parent.tell(&Event::Started);
        Ok(())
    }

    fn views(&self) -> String {
        if self.read_only_views.is_empty() {
            "private root".to_owned()
        } else {
            "private root, sources read-only".to_owned()
        }
    }

    fn read_stdout(&mut self) -> Result<()> {
        let Some(bytes) = drain(&mut self.stdout) else { return Ok(()) };
        if self.stdout.is_none() && bytes.is_empty() {
            return Ok(());
        }
        if self.go.is_some() {
            self.self_test_output.push_str(&String::from_utf8_lossy(&bytes));
            return Ok(());
        }
        let mut messages = Vec::new();
        self.lines.push(&bytes, |line| messages.extend(cargo::read(line)));
        messages.into_iter().try_for_each(|message| self.take_message(message))
    }

    fn take_message(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Directives(package, directives, out_dir) => {
                let link_arguments = cargo::link_arguments(&package, &out_dir);
                for directive in directives.into_iter().chain(link_arguments) {
                    self.write(&Line::Directive(directive))?;
                }
                Ok(())
            }
            Message::Diagnostic(package, crate_name, text) => {
                self.diagnostics.entry((package, crate_name)).or_default().push(text.as_bytes());
                Ok(())
            }
            Message::Artifact(package, files) => {
                for file in files {
                    let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
                    let name = stem.strip_prefix("lib").unwrap_or(stem);
                    if let Some(announced) = self.announced.get(name)
                        && *announced != package
                    {
                        let text = format!("{name} was announced as {announced}; cargo says it is {package}");
                        self.note(note::ATTRIBUTION_MISMATCH, Some(package.clone()), None, &text)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn read_stderr(&mut self) -> Result<()> {
        if let Some(bytes) = drain(&mut self.stderr) {
            self.stderr_tail.push(&bytes);
        }
        Ok(())
    }

    /// cargo is gone: whatever still lives inside is ended.
    fn cargo_ended(&mut self) -> Result<()> {
        if let Some(child) = self.child.take() {
            self.unwatch(&child)?;
        }
        if self.go.is_some() {
            let mut text = format!(
                "cargo was never started: {}",
                String::from_utf8_lossy(self.self_test_output.as_bytes()).trim()
            );
            let _ = self.read_stderr();
            if let Some(tail) = self.stderr_tail.take() {
                text = tail.to_string();
            }
            return Err(SupervisorError::Layer { layer: "seccomp", text });
        }
        let status = nix::sys::wait::wait();
        let text = match status {
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => code.to_string(),
            other => format!("{other:?}"),
        };
        self.note(note::CARGO_EXIT, None, None, &text)?;
        self.stop();
        Ok(())
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

    /// A query that no unit was seen to send, for example by `write` on a connected socket.
    fn resolve(&mut self, at: u32) -> Result<()> {
        let questions =
            usize::try_from(at).ok().and_then(|at| self.resolver.get(at)).map(dns::answer).unwrap_or_default();
        for (name, qtype) in questions {
            if let Some(at) = self.asked.iter().position(|asked| *asked == name) {
                self.asked.swap_remove(at);
                continue;
            }
            let text = format!("{qtype} {}", Bytes(name));
            self.note(note::UNSEEN_QUERY, None, None, &text)?;
        }
        Ok(())
    }

    fn close(mut self) -> Result<()> {
        self.write_last_words()?;
        match self.evidence.take() {
            Some(evidence) => evidence.close().map_err(SupervisorError::Evidence),
            None => Ok(()),
        }
    }

    /// What compilers and cargo said of units that failed, then the end of all that cargo said.
    fn write_last_words(&mut self) -> Result<()> {
        let mut outputs = Vec::new();
        for ((package, crate_name), mut tail) in std::mem::take(&mut self.diagnostics) {
            let of_crate = |failed: &&Failed| {
                failed.package == package
                    && failed.name.strip_prefix(&crate_name).is_some_and(|rest| rest.starts_with('-'))
            };
            let unit = self.failed.iter().find(of_crate).map(|failed| failed.unit);
            if let Some(tail) = tail.take() {
                outputs.push(Output { unit, package: Some(package), stream: "diagnostic".to_owned(), tail });
            }
        }
        outputs.sort_by_key(|output| output.unit);
        let stderr = self.stderr_tail.take().unwrap_or_default();
        for (package, text) in cargo::failed_scripts(&stderr.0) {
            let unit = self
                .failed
                .iter()
                .find(|failed| failed.runs_script && failed.package == package)
                .map(|failed| failed.unit);
            outputs.push(Output { unit, package: Some(package), stream: "stderr".to_owned(), tail: Bytes(text) });
        }
        if !stderr.0.is_empty() {
            outputs.push(Output { unit: None, package: None, stream: "stderr".to_owned(), tail: stderr });
        }
        outputs.into_iter().try_for_each(|output| self.write(&Line::Output(output)))
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        self.evidence.as_mut().map_or(Ok(()), |evidence| evidence.write(line)).map_err(SupervisorError::Evidence)
    }

    fn note(&mut self, code: &str, package: Option<PackageId>, unit: Option<UnitId>, text: &str) -> Result<()> {
        self.write(&Line::Note(Note { code: code.to_owned(), package, unit, text: text.to_owned() }))
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

/// Reads what is there; closes the stream at its end.
fn drain(stream: &mut Option<File>) -> Option<Vec<u8>> {
    const AT_ONCE: usize = 256 * 1024;
    let file = stream.as_mut()?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while bytes.len() < AT_ONCE {
        match file.read(&mut buffer) {
            Ok(0) => {
                *stream = None;
                break;
            }
            Ok(n) => bytes.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    Some(bytes)
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && fds
            .iter()
            .any(|fd| fd.any().unwrap_or(false) && fd.revents().is_some_and(|flags| flags.contains(PollFlags::POLLIN)))
}

/// A wait status (wait(2)) as an outcome.
fn outcome_of(status: i32) -> (UnitOutcome, Option<i32>) {
    let signal = status & 0x7f;
    if signal != 0 {
        return (UnitOutcome::Signalled, Some(signal));
    }
    match (status >> 8) & 0xff {
        0 => (UnitOutcome::Ok, Some(0)),
        code => (UnitOutcome::Failed, Some(code)),
    }
}
