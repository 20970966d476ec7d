//! Shims and their units: a knock, a unit that is admitted and starts, its
//! notifications, its end.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::poll::PollFlags;

use super::drivers::Driving;
use super::{EventLoop, Failed, Result, Source};
use crate::evidence::Bytes;
use crate::evidence::line::{Depth, Directive, Line, UnitEnd, UnitKind, UnitOutcome, UnitStart, note};
use crate::handoff::{self, Datagram};
use crate::ids::UnitId;
use crate::sandbox::channel::Event;
use crate::sandbox::filter::{COMPILE_FILTER_FLAGS, UNIT_FILTER_FLAGS};
use crate::sandbox::limits::Limit;
use crate::sandbox::seal::COMPILERS_RESERVE;
use crate::sandbox::{ruleset, sabotage};
use crate::shim::protocol::{
    BOOTSTRAP, DRIVER_INPUT, DRIVER_OUTPUT, End, GO, KNOCK, LISTENER, OUTPUT_FULL, Plan, Reply, Request, Role,
};
use crate::supervisor::admit::{AdmitError, Admitted};
use crate::supervisor::capture::Capturer;
use crate::supervisor::handle::Handler;
use crate::supervisor::limits::Act;
use crate::supervisor::opener::Opener;
use crate::supervisor::units::Unit;
use crate::supervisor::unwind::Origin;
use crate::supervisor::{SupervisorError, self_test};
use crate::sys::landlock;

/// How a shim reported the end of its unit.
#[derive(Debug)]
enum Ended {
    Told(End),
    /// The shim died first.
    Silent,
}

/// A shim that knocked, and the unit that it got.
#[derive(Debug)]
pub(super) struct Shim {
    channel: Option<OwnedFd>,
    pub(super) unit: Option<Unit>,
    ended: Option<Ended>,
    /// For a unit in which macros are driven.
    pub(super) driving: Option<Driving>,
}

impl Shim {
    /// Where the calls of its unit arrive, until the last of its processes has ended.
    pub(super) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.unit.as_ref()?.listener.as_ref().map(AsFd::as_fd)
    }
}

impl EventLoop<'_> {
    /// A shim brings its channel.
    pub(super) fn answer_knock(&mut self) -> Result<()> {
        match handoff::receive(&self.handoff) {
            Ok(Some(Datagram { bytes, fd: Some(channel) })) if bytes == KNOCK => {
                let number = self.next;
                self.next += 1;
                self.watch(&channel, Source::Channel(number))?;
                self.shims.insert(number, Shim { channel: Some(channel), unit: None, ended: None, driving: None });
                Ok(())
            }
            // Only cargo and the shims hold the other end; when all are gone it is silent.
            Ok(None) => self.unwatch(&self.handoff),
            _ => Ok(()),
        }
    }

    pub(super) fn read_channel(&mut self, number: u32) -> Result<()> {
        let Some(channel) = self.shims.get(&number).and_then(|shim| shim.channel.as_ref()) else { return Ok(()) };
        if let Ok(Some(datagram)) = handoff::receive(channel) {
            return self.obey_shim(number, datagram);
        }
        self.unwatch(channel)?;
        if let Some(shim) = self.shims.get_mut(&number) {
            shim.channel = None;
            shim.ended.get_or_insert(Ended::Silent);
        }
        self.finish_unit(number)
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
        if datagram.bytes == DRIVER_INPUT || datagram.bytes == DRIVER_OUTPUT {
            return self.take_pipe(number, datagram.fd, datagram.bytes == DRIVER_INPUT);
        }
        if datagram.bytes == OUTPUT_FULL {
            return self.hit(Limit::Output, Some(number), Act::Tell);
        }
        if let Some(value) = datagram.bytes.strip_prefix(BOOTSTRAP) {
            return self.refused_bootstrap(number, value);
        }
        if let (Some(end), Some(shim)) = (End::decode(&datagram.bytes), self.shims.get_mut(&number)) {
            shim.ended.get_or_insert(Ended::Told(end));
        }
        Ok(())
    }

    /// cargo does not tell what a script said that failed.
    fn refused_bootstrap(&mut self, number: u32, value: &[u8]) -> Result<()> {
        let package = self.shims.get(&number).and_then(|shim| shim.unit.as_ref()).and_then(|unit| unit.package.clone());
        let Some(package) = package else { return Ok(()) };
        let value = Bytes([b"RUSTC_BOOTSTRAP=", value].concat());
        self.write(&Line::Directive(Directive { package, kind: "env".to_owned(), value }))
    }

    fn admit(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        match Request::decode(bytes) {
            Some(Request { role: Role::Driver, .. }) => self.admit_driver(number),
            Some(Request { role: Role::EarlyDriver, .. }) => self.admit_early_driver(number),
            Some(request) => {
                let admitted = self.admission.admit(UnitId(number), &request);
                self.answer_admitted(number, admitted)
            }
            None => self.refuse(number, "the request makes no sense".to_owned()),
        }
    }

    /// The unit as it was admitted, or why it is none.
    pub(super) fn answer_admitted(
        &mut self,
        number: u32,
        admitted: std::result::Result<Admitted, AdmitError>,
    ) -> Result<()> {
        let ready = admitted.map_err(|error| crate::error_chain(&error)).and_then(|mut admitted| {
            admitted.reads.extend(self.spec.reads.iter().cloned());
            let domain = ruleset::unit(&self.spec.header.layout, &admitted.places, &admitted.reads);
            domain.map(|domain| (admitted, domain)).map_err(|error| crate::error_chain(&error))
        });
        let (admitted, domain) = match ready {
            Ok(ready) => ready,
            Err(why) => return self.refuse(number, why),
        };
        let unit = Unit::new(UnitId(number), &admitted, domain);
        self.answer(number, &Reply::Plan(self.plan_for(&admitted)), unit.ruleset.as_ref());
        if let Some(shim) = self.shims.get_mut(&number) {
            shim.unit = Some(unit);
        }
        Ok(())
    }

    fn refuse(&mut self, number: u32, why: String) -> Result<()> {
        self.note(note::UNIT_REFUSED, None, None, &why)?;
        self.answer(number, &Reply::Refused(why.into_bytes()), None);
        Ok(())
    }

    /// What the shim of an admitted unit is to do.
    fn plan_for(&self, admitted: &Admitted) -> Plan {
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let program = match admitted.kind {
            UnitKind::SelfTest => self.spec.shim(),
            UnitKind::DriveMacros => self.spec.driver.clone().unwrap_or_default(),
            _ => self.spec.rustc.clone(),
        };
        let (compiling, running) = &self.filters;
        let processes = self.spec.limits.of(Limit::Processes);
        let (filter, filter_flags, processes) = match admitted.kind {
            UnitKind::RunBuildScript | UnitKind::DriveMacros | UnitKind::SelfTest => {
                (running, UNIT_FILTER_FLAGS, processes)
            }
            _ => (compiling, COMPILE_FILTER_FLAGS, processes.saturating_add(COMPILERS_RESERVE)),
        };
        Plan {
            program: program.into_bytes(),
            private_out: admitted.private_out.as_deref().map(bytes).unwrap_or_default(),
            tmp: bytes(&admitted.tmp),
            filter: filter.clone(),
            filter_flags,
            output_limit: self.spec.limits.of(Limit::Output),
            processes,
            refuses_bootstrap: self.spec.refuses_bootstrap,
        }
    }

    /// A shim that is gone is noticed by the end of its channel.
    pub(super) fn answer(&self, number: u32, reply: &Reply, ruleset: Option<&OwnedFd>) {
        if let Some(channel) = self.shims.get(&number).and_then(|shim| shim.channel.as_ref()) {
            let _ = handoff::send(channel, &reply.encode(), ruleset);
        }
    }

    /// The listener is here: from now on nothing of the unit goes unseen.
    fn start_unit(&mut self, number: u32, fd: OwnedFd) -> Result<()> {
        let t = self.now();
        let Some(shim) = self.shims.get_mut(&number) else { return Ok(()) };
        let (Some(unit), Some(channel)) = (&mut shim.unit, &shim.channel) else { return Ok(()) };
        let listener = crate::sys::seccomp::Listener::from(fd);
        listener.wake_synchronously();
        unit.listener = Some(listener);
        unit.may_call = true;
        unit.opener = unit.ruleset.take().and_then(|ruleset| Opener::start(ruleset).ok());
        let start = UnitStart {
            unit: unit.id,
            t,
            kind: unit.kind,
            package: unit.package.clone(),
            name: unit.name.clone(),
            places: unit.places.iter().map(|place| Bytes::from(place.as_path())).collect(),
            earlier: None,
        };
        let text = unit.describe();
        if let Some(package) = &unit.package {
            if matches!(unit.kind, UnitKind::CompileProcMacro) {
                self.libraries.packages.insert(unit.name.clone(), package.clone());
            }
            if !matches!(unit.kind, UnitKind::RunBuildScript | UnitKind::DriveMacros) {
                self.announced.insert(unit.name.clone(), package.clone());
            }
        }
        // Recorded before its first instruction; then it may go.
        if let Some(evidence) = &mut self.evidence {
            evidence.write(&Line::UnitStart(start)).map_err(SupervisorError::Evidence)?;
        }
        let _ = handoff::send(channel, GO, None);
        self.note_started();
        self.parent.tell(&Event::UnitStarted { text });
        self.greet(number)
    }

    pub(super) fn read_listener(&mut self, number: u32, flags: PollFlags) -> Result<()> {
        let Self { shims, evidence, procfs, limits, zones, start, asked, spec, store, walker, libraries, .. } = self;
        let Some(unit) = shims.get_mut(&number).and_then(|shim| shim.unit.as_mut()) else { return Ok(()) };
        let (Some(listener), Some(evidence)) = (&unit.listener, evidence.as_mut()) else { return Ok(()) };
        if flags.contains(PollFlags::POLLNVAL) {
            let source = std::io::Error::from(nix::errno::Errno::EBADF);
            return Err(SupervisorError::Watch { step: "wait for the calls of a unit", source });
        }
        if !flags.contains(PollFlags::POLLIN) {
            if flags.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
                unit.may_call = false;
                unit.listener = None;
                unit.opener = None;
                return self.finish_unit(number);
            }
            return Ok(());
        }
        let mut pending = VecDeque::new();
        loop {
            // Where the same thread calls again and again, another one seldom waits beside it, and the next look at all
            // listeners finds it as well.
            let mut is_alone = false;
            match listener.receive() {
                Ok(Some(notification)) => {
                    is_alone = std::mem::replace(&mut unit.last_heard, notification.tid) == notification.tid;
                    pending.push_back(notification);
                }
                Ok(None) => {}
                Err(source) => return Err(SupervisorError::Watch { step: "receive a notification", source }),
            }
            if is_alone || pending.len() >= 1024 || !is_readable(listener.as_fd()) {
                break;
            }
        }
        if let Some(first) = pending.front() {
            limits.begin(number, first.tid, &unit.places, procfs);
        }
        let (start, trace, macros) = (*start, spec.trace, &libraries.packages);
        let (origin, read) = (Origin::default(), None);
        let mut handler = Handler { evidence, procfs, zones, start, trace, asked, store, walker, macros, origin, read };
        for notification in pending {
            handler.handle(unit, &notification).map_err(SupervisorError::Evidence)?;
            unit.calls = unit.calls.saturating_add(1);
        }
        if unit.kind == UnitKind::RunBuildScript
            && sabotage::calls_until_listener_closes().is_some_and(|most| unit.calls >= most)
        {
            unit.listener = None;
        }
        self.note_limits_of(number)?;
        self.note_loaded_macros(number)
    }

    fn note_loaded_macros(&mut self, number: u32) -> Result<()> {
        let Some(unit) = self.shims.get_mut(&number).and_then(|shim| shim.unit.as_mut()) else { return Ok(()) };
        let id = unit.id;
        let told = std::mem::replace(&mut unit.libraries_told, unit.libraries.len());
        let new: Vec<_> = unit.libraries.iter().skip(told).map(|name| name.to_string_lossy().into_owned()).collect();
        for library in new {
            let name = library.strip_prefix("lib").and_then(|name| name.strip_suffix(".so")).unwrap_or(&library);
            if let Some(package) = self.libraries.packages.get(name).cloned() {
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
        self.note_unheard(number)?;
        let has_told = self.shims.get(&number).is_some_and(|shim| matches!(shim.ended, Some(Ended::Told(_))));
        self.forget_driver(number);
        self.end_driving(number, has_told)?;
        let (outcome, code, end) = match self.shims.get_mut(&number).and_then(|shim| shim.ended.take()) {
            Some(Ended::Told(end)) => {
                let (outcome, code) = outcome_of(end.status);
                (outcome, code, end)
            }
            _ => (UnitOutcome::Killed, None, silent()),
        };
        let (outcome, code) = self.ended_by_limit(number, outcome, code)?;
        let Some(Shim { unit: Some(mut unit), .. }) = self.shims.remove(&number) else { return Ok(()) };
        self.settle(&mut unit)?;
        if let Some(evidence) = &mut self.evidence {
            let mut capturer = Capturer { evidence, store: &mut self.store, procfs: &self.procfs };
            capturer.dropped(&mut unit).map_err(SupervisorError::Evidence)?;
        }
        let line = UnitEnd {
            unit: unit.id,
            t: self.now(),
            outcome,
            code,
            duration_ms: u64::try_from(unit.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            left_running: end.left,
            left_detached: end.detached,
            refused_outputs: end.refused.into_iter().map(Bytes).collect(),
            missing_outputs: end.missing.into_iter().map(Bytes).collect(),
            forged_messages: end.forged,
        };
        if let Some(evidence) = &mut self.evidence {
            evidence.write(&Line::UnitEnd(line)).map_err(SupervisorError::Evidence)?;
            evidence.forget(unit.id);
        }
        if let Some(package) = unit.package.as_ref().filter(|_| is_last(unit.kind, self.spec.header.depth)) {
            self.parent.tell(&Event::Finished { package: package.to_string() });
        }
        if let Some(package) = unit.package.as_ref().filter(|_| unit.kind == UnitKind::CompileProcMacro)
            && outcome == UnitOutcome::Ok
        {
            self.queue(&unit.name, package);
        }
        let finished = if outcome == UnitOutcome::Ok { unit.finished() } else { None };
        if outcome != UnitOutcome::Ok
            && unit.kind != UnitKind::DriveMacros
            && let Some(package) = unit.package
        {
            let runs_script = unit.kind == UnitKind::RunBuildScript;
            self.failed.push(Failed { unit: unit.id, package, name: unit.name, runs_script });
        }
        self.parent.tell(&Event::UnitEnded { finished });
        if unit.kind == UnitKind::SelfTest { self.judge_self_test(outcome) } else { Ok(()) }
    }

    /// Calls after the end of a listener meet ENOSYS and leave no record, and a unit may get to a good end without them.
    fn note_unheard(&mut self, number: u32) -> Result<()> {
        let unit = self.shims.get(&number).and_then(|shim| shim.unit.as_ref()).filter(|unit| unit.may_call);
        let Some(unit) = unit else { return Ok(()) };
        let (id, package) = (unit.id, unit.package.clone());
        let text = format!("its listener was closed after {} calls, before its processes had ended", unit.calls);
        self.note(note::EVIDENCE_LOST, package, Some(id), &text)
    }

    /// Records what was broken off in a unit that is gone.
    fn settle(&mut self, unit: &mut Unit) -> Result<()> {
        let Self { evidence, procfs, zones, start, asked, spec, store, walker, libraries, .. } = self;
        let Some(evidence) = evidence.as_mut() else { return Ok(()) };
        let (start, trace, macros) = (*start, spec.trace, &libraries.packages);
        let (origin, read) = (Origin::default(), None);
        let mut handler = Handler { evidence, procfs, zones, start, trace, asked, store, walker, macros, origin, read };
        handler.settle(unit).map_err(SupervisorError::Evidence)
    }

    /// The layers as proven, the header, and the word for cargo to start.
    fn judge_self_test(&mut self, ended: UnitOutcome) -> Result<()> {
        self.read_stdout()?;
        let details = HashMap::from([
            ("landlock", format!("ABI {}", landlock::abi())),
            ("user-namespace", format!("uid {}, no further ones", self.spec.identity.uid)),
            ("mount-namespace", self.views()),
            ("seccomp", "two filters, one listener for each unit".to_owned()),
        ]);
        let layers = match self_test::judge(&self.cargo.self_test, ended, &details) {
            Ok(layers) => layers,
            Err(failure) if sabotage::is_on() => {
                self.note("sabotaged", None, None, &failure.text)?;
                Vec::new()
            }
            Err(failure) => {
                // Whoever was in the way has said so before his end.
                self.read_stderr();
                let said = self.cargo.stderr_tail.take();
                let said = said.map_or(String::new(), |tail| format!(": {}", tail.to_string().trim()));
                return Err(SupervisorError::Layer { layer: failure.layer, text: failure.text + &said });
            }
        };
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
        let outputs = self.spec.hands_outputs_over && self.hand_over_outputs();
        self.parent.tell(&Event::Started { outputs });
        Ok(())
    }

    fn views(&self) -> String {
        if self.read_only_views.is_empty() {
            "private root".to_owned()
        } else {
            "private root, sources read-only".to_owned()
        }
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollTimeout, poll};
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && fds
            .iter()
            .any(|fd| fd.any().unwrap_or(false) && fd.revents().is_some_and(|flags| flags.contains(PollFlags::POLLIN)))
}

/// True for the unit that is the last one of most packages: what of it runs at build time, else its library.
fn is_last(kind: UnitKind, depth: Depth) -> bool {
    match depth {
        Depth::Build => matches!(kind, UnitKind::RunBuildScript | UnitKind::DriveMacros),
        Depth::Check => matches!(kind, UnitKind::Compile | UnitKind::CompileProcMacro),
    }
}

/// What is known of the end of a unit whose shim died first.
fn silent() -> End {
    End { status: 0, left: 0, detached: 0, forged: 0, missing: Vec::new(), refused: Vec::new() }
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
