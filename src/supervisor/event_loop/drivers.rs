//! Carries out the driving of macros: whose turn it is, pipes to the servers, deadlines, lines of evidence.
//!
//! A library is driven after cargo, or beside it where cargo leaves a CPU idle, as it does towards the end of many graphs.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::shims::Shim;
use super::{EventLoop, Result, Source};
use crate::evidence::Bytes;
use crate::evidence::line::{Artifact, Captured, Line, UnitKind, note};
use crate::evidence::store::Bounds;
use crate::ids::{PackageId, UnitId};
use crate::sandbox::spec::SandboxSpec;
use crate::shim::protocol::Reply;
use crate::supervisor::SupervisorError;
use crate::supervisor::drive::{Driver, Finished, Job, Loss, Next};

/// A server, and who talks to it.
#[derive(Debug)]
pub(super) struct Driving {
    driver: Driver,
    input: Option<File>,
    output: Option<File>,
}

impl Driving {
    pub(super) fn new(unit: UnitId, job: Job) -> Self {
        Self { driver: Driver::new(unit, job, Instant::now()), input: None, output: None }
    }
}

/// So long a CPU must have had nothing to do before a macro is driven beside cargo, which may just be about to start a unit.
const IDLE: Duration = Duration::from_millis(100);

/// The macro libraries of a run.
pub(super) struct Libraries {
    /// By the unit's name.
    pub(super) packages: HashMap<String, PackageId>,
    /// Those that wait for a driver, the next one last.
    waiting: Vec<Job>,
    /// Names of those that were ever put there.
    queued: HashSet<String>,
    /// Names of those that a driver has asked for their macros, whatever it got.
    asked: HashSet<String>,
    /// True once cargo has ended, after which there are no others.
    are_all: bool,
    /// The early driver's shim, while it waits for its turn.
    early: Option<u32>,
    /// Since when fewer units run than could.
    idle: Option<Instant>,
}

impl Libraries {
    /// Those of earlier runs, before there is another.
    pub(super) fn new(spec: &SandboxSpec) -> Self {
        let taken = spec.finished.iter().filter(|unit| unit.kind == UnitKind::CompileProcMacro);
        let packages = taken.map(|unit| (unit.identity.clone(), unit.package.clone())).collect();
        let (queued, asked) = (HashSet::new(), HashSet::new());
        Self { packages, waiting: Vec::new(), queued, asked, are_all: false, early: None, idle: None }
    }
}

impl EventLoop<'_> {
    /// True for a library that this run uses and has to drive.
    fn is_to_be_driven(&self, name: &str) -> bool {
        match self.spec.finished.iter().find(|unit| unit.identity == name) {
            // It may have been compiled again.
            Some(unit) if !self.announced.contains_key(name) => self.fresh.contains(name) && !unit.driven,
            _ => true,
        }
    }

    /// Libraries that are there and that no driver asked: what was to start the drivers has ended too early.
    pub(super) fn note_undriven(&mut self) -> Result<()> {
        if self.spec.driver.is_none() {
            return Ok(());
        }
        let deps = Path::new(&self.spec.header.layout.target_dir).join("debug/deps");
        let is_there = |name: &str| std::fs::symlink_metadata(deps.join(format!("lib{name}.so"))).is_ok();
        let is_open = |name: &str| !self.libraries.asked.contains(name) && self.is_to_be_driven(name);
        let left = self.libraries.packages.iter().filter(|(name, _)| is_open(name) && is_there(name));
        let mut left: Vec<_> = left.map(|(name, package)| (name.clone(), package.clone())).collect();
        let begun = self.libraries.waiting.iter().map(|job| (job.name.clone(), job.package.clone()));
        left.extend(begun);
        left.sort();
        left.dedup();
        left.into_iter().try_for_each(|(name, package)| {
            self.note(note::MACROS_UNLISTED, Some(package), None, &format!("nothing drove all of the library {name}"))
        })
    }

    /// A library that was just made can be driven from now on.
    pub(super) fn queue(&mut self, name: &str, package: &PackageId) {
        let layout = &self.spec.header.layout;
        let library = Path::new(&layout.target_dir).join(format!("debug/deps/lib{name}.so"));
        let is_there = std::fs::symlink_metadata(&library).is_ok_and(|meta| meta.is_file());
        if is_there && self.libraries.queued.insert(name.to_owned()) {
            let library = library.display().to_string();
            let job = Job::new(package.clone(), name.to_owned(), library, layout.consumer.clone());
            self.libraries.waiting.push(job);
        }
    }

    /// Cargo has ended: all libraries are there, also those of earlier runs, and nobody waits for a turn any more.
    fn queue_all(&mut self) {
        if std::mem::replace(&mut self.libraries.are_all, true) {
            return;
        }
        let all = self.libraries.packages.iter().filter(|(name, _)| self.is_to_be_driven(name));
        let all: Vec<_> = all.map(|(name, package)| (name.clone(), package.clone())).collect();
        for (name, package) in all {
            self.queue(&name, &package);
        }
        self.libraries.waiting.sort_by(|one, other| other.name.cmp(&one.name));
        if let Some(number) = self.libraries.early.take() {
            self.dismiss(number);
        }
    }

    /// The first shim that drives after cargo says by its question that cargo has ended.
    pub(super) fn admit_driver(&mut self, number: u32) -> Result<()> {
        self.queue_all();
        self.drive_next(number)
    }

    /// The shim that drives early waits for its turn. When cargo ended while it drove, it goes on like the others: they may
    /// have found nothing to do before it brought back what its macro spoiled.
    pub(super) fn admit_early_driver(&mut self, number: u32) -> Result<()> {
        if self.libraries.are_all {
            return self.drive_next(number);
        }
        self.libraries.early = Some(number);
        Ok(())
    }

    fn dismiss(&mut self, number: u32) {
        self.answer(number, &Reply::Refused(b"all are driven".to_vec()), None);
    }

    fn drive_next(&mut self, number: u32) -> Result<()> {
        let next = if self.life.is_some() { self.libraries.waiting.pop() } else { None };
        let Some(job) = next else {
            self.dismiss(number);
            return Ok(());
        };
        let id = UnitId(number);
        let admitted = self.admission.drive(id, &job.package, &job.name);
        if let Some(shim) = self.shims.get_mut(&number) {
            shim.driving = Some(Driving::new(id, job));
        }
        self.answer_admitted(number, admitted)
    }

    /// Drives a library beside cargo if there is one, and a CPU that has nothing else to do.
    pub(super) fn drive_early(&mut self) -> Result<()> {
        if self.libraries.early.is_none() || self.libraries.waiting.is_empty() || self.is_busy() {
            return Ok(());
        }
        let now = Instant::now();
        let since = *self.libraries.idle.get_or_insert(now);
        match self.libraries.early.take_if(|_| now.duration_since(since) >= IDLE) {
            Some(number) => self.drive_next(number),
            None => Ok(()),
        }
    }

    /// True while cargo has as many units run as it may.
    fn is_busy(&self) -> bool {
        let of_cargo = |shim: &&Shim| shim.unit.is_some() && shim.driving.is_none();
        self.shims.values().filter(of_cargo).count() >= self.spec.jobs
    }

    /// One more unit runs.
    pub(super) fn note_started(&mut self) {
        if self.is_busy() {
            self.libraries.idle = None;
        }
    }

    /// A shim is gone.
    pub(super) fn forget_driver(&mut self, number: u32) {
        self.libraries.early.take_if(|early| *early == number);
    }

    /// The shim brings an end of a pipe: the server's standard input or output.
    pub(super) fn take_pipe(&mut self, number: u32, fd: Option<OwnedFd>, is_input: bool) -> Result<()> {
        let Some(fd) = fd else { return Ok(()) };
        let waits =
            |errno: nix::errno::Errno| SupervisorError::Watch { step: "talk to a driver", source: errno.into() };
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(waits)?;
        if !is_input {
            self.watch(&fd, Source::Driver(number))?;
        }
        if let Some(driving) = self.shims.get_mut(&number).and_then(|shim| shim.driving.as_mut()) {
            let end = if is_input { &mut driving.input } else { &mut driving.output };
            *end = Some(File::from(fd));
        }
        Ok(())
    }

    /// The unit runs: the first question.
    pub(super) fn greet(&mut self, number: u32) -> Result<()> {
        if self.shims.get(&number).is_some_and(|shim| shim.driving.is_some()) {
            self.carry_on(number, Next::Send(Driver::greeting()))?;
        }
        Ok(())
    }

    pub(super) fn read_driver(&mut self, number: u32) -> Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let Some(driving) = self.shims.get_mut(&number).and_then(|shim| shim.driving.as_mut()) else { return Ok(()) };
        let Some(output) = &mut driving.output else { return Ok(()) };
        let next = match output.read(&mut buffer) {
            Ok(0) => None,
            Ok(length) => Some(driving.driver.take(buffer.get(..length).unwrap_or_default(), Instant::now())),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                Some(Next::Wait)
            }
            Err(_) => None,
        };
        match next {
            Some(next) => self.carry_on(number, next),
            None => self.lose_server(number, Loss::Died),
        }
    }

    /// Its output has ended, or it is useless.
    fn lose_server(&mut self, number: u32, loss: Loss) -> Result<()> {
        let Some(driving) = self.shims.get_mut(&number).and_then(|shim| shim.driving.as_mut()) else { return Ok(()) };
        let next = driving.driver.lose(loss);
        self.carry_on(number, next)
    }

    fn carry_on(&mut self, number: u32, next: Next) -> Result<()> {
        let Some(driving) = self.shims.get_mut(&number).and_then(|shim| shim.driving.as_mut()) else { return Ok(()) };
        match next {
            Next::Wait => {}
            Next::Send(request) => {
                // A request is smaller than a pipe, and there is never more than one: what does not fit was never read.
                if driving.input.as_mut().is_none_or(|input| input.write_all(&request).is_err()) {
                    return self.lose_server(number, Loss::Died);
                }
            }
            Next::Finish | Next::GiveUp => {
                driving.input = None;
                if let Some(output) = driving.output.take() {
                    self.unwatch(&output)?;
                }
                if next == Next::GiveUp {
                    self.limits.kill(number);
                }
            }
        }
        self.note_driven(number)
    }

    /// Writes what came of macros, and tells the unit what is in flight.
    fn note_driven(&mut self, number: u32) -> Result<()> {
        let Some(shim) = self.shims.get_mut(&number) else { return Ok(()) };
        let (Some(driving), Some(unit)) = (&mut shim.driving, &mut shim.unit) else { return Ok(()) };
        let id = unit.id;
        unit.doing = driving.driver.doing();
        let (finished, package) = (driving.driver.finished(), driving.driver.package().clone());
        if driving.driver.listed.is_some() || driving.driver.unlisted.is_some() {
            self.libraries.asked.insert(unit.name.clone());
        }
        if let Some(count) = driving.driver.listed.take() {
            self.note(note::MACROS_LISTED, Some(package), Some(id), &format!("{count} macros"))?;
        } else if let Some(why) = driving.driver.unlisted.take() {
            self.note(note::MACROS_UNLISTED, Some(package), Some(id), &why)?;
        }
        finished.into_iter().try_for_each(|finished| self.write_driven(id, finished))
    }

    fn write_driven(&mut self, unit: UnitId, finished: Finished) -> Result<()> {
        const OUTPUT: Bounds = Bounds { read: 64 << 10, keep: 64 << 10 };
        let Finished { line, output } = finished;
        let path = Bytes::from(line.name.as_str());
        self.write(&Line::Driven(line))?;
        if output.trim().is_empty() {
            return Ok(());
        }
        let Ok(stored) = self.store.take(output.as_bytes(), OUTPUT) else { return Ok(()) };
        self.write(&Line::Artifact(Artifact {
            unit,
            path,
            sha256: stored.sha256,
            size: u64::try_from(output.len()).unwrap_or(u64::MAX),
            what: Captured::Expansion,
            attempt: None,
            kept: stored.kept,
            truncated: false,
        }))
    }

    /// Gives up servers that are silent for too long.
    pub(super) fn look_at_drivers(&mut self) -> Result<()> {
        let now = Instant::now();
        let late: Vec<u32> = self
            .shims
            .iter()
            .filter(|(_, shim)| {
                shim.driving.as_ref().is_some_and(|d| d.driver.doing().is_some() && d.driver.deadline <= now)
            })
            .map(|(number, _)| *number)
            .collect();
        late.into_iter().try_for_each(|number| self.lose_server(number, Loss::TimedOut))
    }

    /// When the next answer is late, or a CPU was idle for long enough.
    pub(super) fn next_driver(&self) -> Option<Instant> {
        let Libraries { early, waiting, idle, .. } = &self.libraries;
        let turn = idle.filter(|_| early.is_some() && !waiting.is_empty()).map(|since| since + IDLE);
        let waiting = self.shims.values().filter_map(|shim| shim.driving.as_ref());
        let late = waiting.filter(|driving| driving.driver.doing().is_some()).map(|driving| driving.driver.deadline);
        late.chain(turn).min()
    }

    /// The unit has ended: what is left of its library goes to another one. A shim ends without a word only when
    /// somebody else ended it.
    pub(super) fn end_driving(&mut self, number: u32, has_told: bool) -> Result<()> {
        if !has_told
            && let Some(unit) =
                self.shims.get(&number).filter(|shim| shim.driving.is_some()).and_then(|s| s.unit.as_ref())
        {
            let (id, package) = (unit.id, unit.package.clone());
            self.note(note::MACROS_UNLISTED, package, Some(id), "its driver was ended, and not by a macro")?;
        }
        if let Some(driving) = self.shims.get_mut(&number).and_then(|shim| shim.driving.as_mut()) {
            driving.driver.lose(Loss::Died);
            if let Some(output) = driving.output.take() {
                self.unwatch(&output)?;
            }
            self.note_driven(number)?;
        }
        let Some(driving) = self.shims.get_mut(&number).and_then(|shim| shim.driving.take()) else { return Ok(()) };
        self.libraries.waiting.extend(driving.driver.into_rest());
        Ok(())
    }
}
