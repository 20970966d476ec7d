//! One notification: decode, act, record, answer. In this order, always.

mod folder;
mod lent;
mod network;
mod origin;
mod out_dir;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::stat::Mode;
use syscalls::Sysno;

use super::caller::Proc;
use super::capture::Capturer;
use super::decode::{self, Decoded};
use super::metadata::{self, MetadataCall};
use super::open::{self, OpenCall, Opened, Unreadable};
use super::reply::{Constant, Continue, Reply, Sent};
use super::started::{self, Start};
use super::units::Unit;
use super::unwind::{Origin, Walker};
use super::zones::{Zone, Zones};
use crate::evidence::Bytes;
use crate::evidence::line::{
    ArgState, Attempt, Captured, Kind, Object, Outcome, PathObject, ProgramFile, Recipient, UnitKind, Via,
};
use crate::evidence::store::Store;
use crate::evidence::writer::EvidenceWriter;
use crate::ids::PackageId;
use crate::sandbox::sabotage::{Off, is_off};
use crate::sandbox::table::{self, Answer, Args, Class, Layer, Metadata, Row, Trace};
use crate::sys::seccomp::Notification;

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
/// Set in the numbers of the x32 table.
const X32_BIT: u32 = 0x4000_0000;

/// What handling needs, and no more.
pub(super) struct Handler<'a> {
    pub(super) evidence: &'a mut EvidenceWriter,
    pub(super) procfs: &'a Proc,
    pub(super) zones: &'a Zones,
    pub(super) start: Instant,
    /// What is notified beyond the table.
    pub(super) trace: Trace,
    /// Names that a unit was seen to ask the stub for.
    pub(super) asked: &'a mut Vec<Vec<u8>>,
    pub(super) store: &'a mut Store,
    pub(super) walker: &'a mut Walker,
    /// Packages of macro libraries by the unit's name.
    pub(super) macros: &'a HashMap<String, PackageId>,
    /// Whose the call is that is being handled.
    pub(super) origin: Origin,
    /// Its arguments, if it opens something and they were read to find out whose it is. They are read once.
    pub(super) read: Option<OpenCall>,
}

/// What is recorded of a call beside its registers.
struct Record {
    kind: Kind,
    outcome: Outcome,
    errno: Option<i32>,
    state: ArgState,
    object: Object,
}

impl Handler<'_> {
    /// Handles one notification. An error means that evidence cannot be written.
    pub(super) fn handle(&mut self, unit: &mut Unit, notification: &Notification) -> io::Result<()> {
        self.read = None;
        let Some(origin) = self.attribute(unit, notification)? else { return Ok(()) };
        self.origin = origin;
        self.check_start(unit, notification)?;
        self.evidence.received();
        let reply = self.decide(unit, notification)?;
        let Some(listener) = &unit.listener else { return Ok(()) };
        // Whatever goes wrong with one answer is the caller's end, not ours.
        if matches!(reply.send(listener, notification.id), Ok(Sent::TableFull)) {
            unit.met.no_descriptor = true;
        }
        Ok(())
    }

    fn decide(&mut self, unit: &mut Unit, notification: &Notification) -> io::Result<Reply> {
        if notification.arch != X86_64 || notification.number & X32_BIT != 0 {
            return self.constant(unit, notification, Kind::AbiForeign, libc::ENOSYS, Object::None);
        }
        if origin::is_creation(notification) {
            return Ok(self.created());
        }
        let class = table::class_with(notification.number, self.trace);
        let Some(Class::Notified(row) | Class::Unless(_, row)) = class else {
            // Not in the table: newer than it, or nothing at all.
            return self.constant(unit, notification, Kind::KernelSurface, libc::ENOSYS, Object::None);
        };
        match (row.answer, row.args) {
            (Answer::OpenOnBehalf, args) => self.open(unit, notification, args),
            (Answer::MetadataOnBehalf, Args::Metadata(which)) => self.metadata(unit, notification, which),
            (Answer::SocketByFamily, _) => self.socket(unit, notification, row),
            _ => self.other(unit, notification, row),
        }
    }

    /// Everything that is only decoded, recorded and passed on or refused.
    fn other(&mut self, unit: &mut Unit, notification: &Notification, row: Row) -> io::Result<Reply> {
        let decoded = match decode::decode(notification, row.args, self.procfs) {
            Ok(decoded) => decoded,
            // The answer of a constant does not depend on memory, readable or not.
            Err(_) if matches!(row.answer, Answer::Constant(_)) => Decoded::unreadable(),
            Err(unreadable) => return self.unreadable(unit, notification, row.kind, unreadable),
        };
        match row.answer {
            Answer::Constant(errno) => {
                self.refuse(unit, notification, row.kind, errno, decoded)?;
                Ok(Reply::Constant(Constant(errno)))
            }
            Answer::Refuse(errno, layer) => {
                self.refuse(unit, notification, row.kind, errno, decoded)?;
                let goes_on = is_off(Off::Refusals);
                Ok(if goes_on { Reply::Continue(Continue(layer)) } else { Reply::Errno(errno) })
            }
            Answer::Continue(layer) => {
                if let Some(reply) = self.on_folder(unit, notification, row, &decoded)? {
                    return Ok(reply);
                }
                let (first, state) = (decoded.object.clone(), decoded.state);
                let reply = self.pass_on(unit, notification, row, decoded, layer)?;
                if state != ArgState::Exact {
                    self.look_again(unit, notification, row, &first)?;
                }
                Ok(reply)
            }
            Answer::OpenOnBehalf | Answer::MetadataOnBehalf | Answer::SocketByFamily => Ok(Reply::Errno(libc::EPERM)),
        }
    }

    /// The kernel reads arguments in memory anew after our answer. Whoever changes them while the call waits is
    /// likely to be caught here, and both readings stand in the evidence.
    fn look_again(&mut self, unit: &Unit, notification: &Notification, row: Row, first: &Object) -> io::Result<()> {
        let now = decode::decode(notification, row.args, self.procfs).map_or(Object::None, |decoded| decoded.object);
        let still_waits = unit.listener.as_ref().is_some_and(|listener| listener.is_valid(notification.id));
        if now == *first || !still_waits {
            return Ok(());
        }
        self.evidence.received();
        self.record_allowed(unit, notification, row.kind, ArgState::Changed, now)
    }

    /// A process that runs another program than the one whose start was recorded.
    fn check_start(&mut self, unit: &mut Unit, notification: &Notification) -> io::Result<()> {
        let Unit { kind, places, expected, .. } = unit;
        let is_system = |path: &Path| matches!(self.zones.of(path, *kind, places), Zone::Fixed(_));
        let Some(found) = expected.check(notification.tid, self.procfs, is_system) else { return Ok(()) };
        self.evidence.received();
        let record = Record {
            kind: Kind::Exec,
            outcome: Outcome::Allowed,
            errno: None,
            state: found.state,
            object: found.object(),
        };
        let mut attempt = self.attempt(unit, notification, record);
        attempt.exe = Bytes::from(found.before.as_path());
        "execve".clone_into(&mut attempt.syscall);
        self.file(unit, attempt)?;
        if matches!(self.zones.of(&found.program, unit.kind, &unit.places), Zone::Fixed(_)) {
            return Ok(());
        }
        let object = self.procfs.open_inside(notification.tid, "exe").ok();
        let start = |object| Start { what: Captured::Program, path: found.program, object };
        self.capturer().started(unit, object.map(start).into_iter().collect())
    }

    fn pass_on(
        &mut self,
        unit: &mut Unit,
        notification: &Notification,
        row: Row,
        decoded: Decoded,
        layer: Layer,
    ) -> io::Result<Reply> {
        let reply = Reply::Continue(Continue(layer));
        match row.kind {
            // The shim starts the unit's own program.
            Kind::Exec if !std::mem::replace(&mut unit.runs, true) => self.evidence.count("unit-program"),
            Kind::ProcSignal if signals_itself(&decoded.object) => self.evidence.count("own-signal"),
            Kind::FsProbe => self.probe(unit, notification, decoded)?,
            // Of metadata only the mask is the caller's own business.
            Kind::FsMeta => {
                unit.umask.sets();
                self.evidence.count("own-mask");
            }
            Kind::NetConnect => self.connects(unit, notification, decoded)?,
            Kind::NetSend => self.sends(unit, notification, decoded)?,
            Kind::NetBind | Kind::NetListen => self.listens(unit, notification, row.kind, decoded)?,
            Kind::Exec => {
                let before = self.procfs.exe(notification.tid).unwrap_or_default();
                let process = self.procfs.process(notification.tid).unwrap_or(0);
                unit.expected.expect(process, before, &decoded.object, self.procfs);
                let who = (notification.tid, &*unit);
                let starts = started::started(&decoded.object, decoded.program, who, self.zones, self.procfs);
                self.record_allowed(unit, notification, row.kind, decoded.state, decoded.object)?;
                self.capturer().started(unit, starts)?;
            }
            kind if self.is_dull(unit, kind, &decoded.object) => self.evidence.count("own"),
            kind => {
                let named = match &decoded.object {
                    Object::Paths { to, .. } => Some(to.resolved.as_path().to_owned()),
                    _ => None,
                };
                self.record_allowed(unit, notification, kind, decoded.state, decoded.object)?;
                if let Some(path) = named {
                    self.wrote(unit, &path);
                }
            }
        }
        Ok(reply)
    }

    fn capturer(&mut self) -> Capturer<'_> {
        Capturer { evidence: self.evidence, store: self.store, procfs: self.procfs }
    }

    /// Remembers what was written outside of the unit's private folders, to be captured when it has ended.
    fn wrote(&self, unit: &mut Unit, path: &Path) {
        if !self.is_private(unit, path) {
            unit.captures.wrote(path, self.evidence.last_seq());
        }
    }

    /// rustc changes names within its own output folder; what a build script does in `OUT_DIR` is recorded.
    fn is_dull(&self, unit: &Unit, kind: Kind, object: &Object) -> bool {
        if unit.kind == UnitKind::RunBuildScript {
            return false;
        }
        let own = |path: &PathObject| self.is_private(unit, path.resolved.as_path());
        match (kind, object) {
            (Kind::FsWrite | Kind::FsRemove, Object::Path(path)) => own(path),
            (Kind::FsLink, Object::Paths { from, to }) => own(from) && own(to),
            _ => false,
        }
    }

    /// True in the folders that are the unit's alone: outputs, `OUT_DIR`, `TMPDIR`.
    fn is_private(&self, unit: &Unit, path: &Path) -> bool {
        unit.places.iter().any(|place| path.starts_with(place)) && !self.zones.is_source(path)
    }

    /// A question about a path: counted where a read would be dull.
    fn probe(&mut self, unit: &Unit, notification: &Notification, decoded: Decoded) -> io::Result<()> {
        let Object::Path(path) = &decoded.object else { return Ok(()) };
        if path.path.0.is_empty() {
            self.evidence.count("own-descriptor");
            return Ok(());
        }
        match self.zones.of(path.resolved.as_path(), unit.kind, &unit.places) {
            Zone::Fixed(zone) | Zone::Dull(zone) => self.evidence.count(zone),
            Zone::Kernel => self.evidence.count("kernel"),
            Zone::Decoy | Zone::Other => {
                self.record_allowed(unit, notification, Kind::FsProbe, decoded.state, decoded.object)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, unit: &mut Unit, notification: &Notification, args: Args) -> io::Result<Reply> {
        let read = self.read.take().map_or_else(|| OpenCall::read(notification, args, self.procfs), Ok);
        let call = match read {
            Ok(call) => call,
            Err(unreadable) => return self.unreadable(unit, notification, Kind::FsOpen, unreadable),
        };
        let umask = if call.makes() { unit.umask.of(|| self.procfs.umask(notification.tid)) } else { 0 };
        let open = |unit: &Unit, call: &OpenCall| {
            // The thread could not be started. Nothing is opened, and that is recorded, too.
            let Some(opener) = &unit.opener else { return (Opened::Failed(Errno::EACCES), call.by_text.clone()) };
            let umask = Mode::from_bits_truncate(umask);
            let this_unit = open::Unit { kind: unit.kind, places: &unit.places, opener, umask };
            open::open(call, notification.tid, this_unit, self.zones, self.procfs)
        };
        let (mut opened, resolved) = open(unit, &call);
        if matches!(opened, Opened::Failed(Errno::EACCES))
            && let Some(lent) = self.lent_file(unit, &call, &resolved, |unit, call| open(unit, call).0)
        {
            opened = lent;
        }
        unit.met.no_room |= matches!(opened, Opened::Failed(Errno::ENOSPC));
        self.note_library(unit, &resolved);
        let kind = if call.writes() { Kind::FsWrite } else { Kind::FsOpen };
        if let Opened::Counted(zone) = opened {
            self.evidence.count(zone);
            return Ok(Reply::Continue(Continue(Layer::Landlock)));
        }
        let compiles = unit.kind != UnitKind::RunBuildScript;
        if compiles && kind == Kind::FsWrite && matches!(opened, Opened::Done(_)) && self.is_private(unit, &resolved) {
            self.evidence.count("own-write");
            return Ok(answer_open(&call, opened));
        }
        let object = Object::Path(PathObject {
            resolved: Bytes::from(resolved.as_path()),
            flags: call.flag_names(),
            ..decode::path_object(notification.tid, call.dirfd, call.path.clone(), self.procfs)
        });
        let (outcome, errno, state) = match &opened {
            Opened::Counted(_) | Opened::Continued => (Outcome::Allowed, None, ArgState::Snapshot),
            Opened::Done(_) => (Outcome::Emulated, None, ArgState::Exact),
            Opened::Failed(errno) => (outcome_of(*errno), Some(raw(*errno)), ArgState::Exact),
        };
        self.record(unit, notification, Record { kind, outcome, errno, state, object })?;
        if kind == Kind::FsWrite && matches!(opened, Opened::Done(_)) {
            self.wrote(unit, &resolved);
        }
        Ok(answer_open(&call, opened))
    }

    fn metadata(&mut self, unit: &Unit, notification: &Notification, which: Metadata) -> io::Result<Reply> {
        let call = match MetadataCall::read(notification, which) {
            Ok(call) => call,
            Err(unreadable) => return self.unreadable(unit, notification, Kind::FsMeta, unreadable),
        };
        let allowed = |path: &Path| {
            unit.places.iter().any(|place| path.starts_with(place))
                || path.starts_with(self.zones.home())
                || is_off(Off::OnBehalf)
        };
        let (done, resolved) = metadata::change(&call, notification.tid, self.procfs, allowed);
        let reply = match done {
            Ok(()) => Reply::Success,
            Err(errno) => Reply::Errno(raw(errno)),
        };
        if done.is_ok() && self.is_private(unit, &resolved) {
            self.evidence.count("own-meta");
            return Ok(reply);
        }
        let (outcome, errno) = match done {
            Ok(()) => (Outcome::Emulated, None),
            Err(errno) => (outcome_of(errno), Some(raw(errno))),
        };
        let path = call.path.clone().unwrap_or_default();
        let object = Object::Path(PathObject {
            resolved: Bytes::from(resolved.as_path()),
            flags: vec![call.describe()],
            ..decode::path_object(notification.tid, call.dirfd, path, self.procfs)
        });
        self.record(unit, notification, Record { kind: Kind::FsMeta, outcome, errno, state: ArgState::Exact, object })?;
        Ok(reply)
    }

    /// Refused from registers alone.
    fn constant(
        &mut self,
        unit: &Unit,
        notification: &Notification,
        kind: Kind,
        errno: i32,
        object: Object,
    ) -> io::Result<Reply> {
        self.refuse(unit, notification, kind, errno, Decoded::exact(object))?;
        Ok(Reply::Constant(Constant(errno)))
    }

    /// Records what is refused whatever its arguments are.
    fn refuse(
        &mut self,
        unit: &Unit,
        notification: &Notification,
        kind: Kind,
        errno: i32,
        Decoded { object, state, .. }: Decoded,
    ) -> io::Result<()> {
        self.record(unit, notification, Record { kind, outcome: Outcome::Denied, errno: Some(errno), state, object })
    }

    /// What cannot be read is refused.
    fn unreadable(
        &mut self,
        unit: &Unit,
        notification: &Notification,
        kind: Kind,
        why: Unreadable,
    ) -> io::Result<Reply> {
        let errno = why.errno();
        let record = Record {
            kind,
            outcome: Outcome::Denied,
            errno: Some(errno),
            state: ArgState::Unreadable,
            object: Object::None,
        };
        self.record(unit, notification, record)?;
        Ok(Reply::Errno(errno))
    }

    fn record_allowed(
        &mut self,
        unit: &Unit,
        notification: &Notification,
        kind: Kind,
        state: ArgState,
        object: Object,
    ) -> io::Result<()> {
        // That a program is not there was seen when its links were followed.
        let missing = matches!(object, Object::Program { file: ProgramFile::Absent, .. });
        let errno = missing.then_some(libc::ENOENT);
        self.record(unit, notification, Record { kind, outcome: Outcome::Allowed, errno, state, object })
    }

    fn record(&mut self, unit: &Unit, notification: &Notification, record: Record) -> io::Result<()> {
        let attempt = self.attempt(unit, notification, record);
        self.file(unit, attempt)
    }

    /// To the evidence, with the quota of its lane.
    fn file(&mut self, unit: &Unit, attempt: Attempt) -> io::Result<()> {
        let tells = matches!(&attempt.object, Object::Path(path) if path.path.0.starts_with(b"/probe/"));
        if is_off(Off::Records) && !tells {
            self.evidence.count("sabotaged");
            return Ok(());
        }
        let lane = self.zones.lane(&attempt.object, &unit.places);
        self.evidence.record(attempt, lane)
    }

    fn attempt(&self, unit: &Unit, notification: &Notification, record: Record) -> Attempt {
        let tid = notification.tid;
        let exe = self.procfs.exe(tid).unwrap_or_default();
        let lineage = if record.kind == Kind::Exec { self.procfs.lineage(tid) } else { Vec::new() };
        let process = self.procfs.process(tid).unwrap_or(0);
        // Read from a caller that is gone, these bytes could be another's: the call was never carried out.
        let (via, library) = self.written();
        let gone = unit.listener.as_ref().is_some_and(|listener| !listener.is_valid(notification.id));
        Attempt {
            seq: 0,
            t: u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            unit: unit.id,
            package: unit.package.clone(),
            via: if unit.kind == UnitKind::DriveMacros { Via::Driver } else { via },
            during: unit.doing.clone(),
            library,
            pid: process,
            tid,
            exe: Bytes::from(exe.as_path()),
            lineage: lineage.iter().map(|program: &PathBuf| Bytes::from(program.as_path())).collect(),
            kind: record.kind,
            outcome: if gone { Outcome::Unknown } else { record.outcome },
            errno: record.errno,
            syscall: call_name(notification),
            args: notification.args,
            arg_state: record.state,
            object: record.object,
            count: 1,
        }
    }
}

/// Signals to one's own threads are how libraries wake them.
fn signals_itself(object: &Object) -> bool {
    matches!(object, Object::Signal { recipient: Recipient::Itself, .. })
}

fn answer_open(call: &OpenCall, opened: Opened) -> Reply {
    match opened {
        Opened::Counted(_) | Opened::Continued => Reply::Continue(Continue(Layer::Landlock)),
        Opened::Done(fd) => Reply::Descriptor { fd, close_on_exec: call.flags.contains(nix::fcntl::OFlag::O_CLOEXEC) },
        Opened::Failed(errno) => Reply::Errno(raw(errno)),
    }
}

/// An errno that a layer gives is a denial; any other is the ordinary failure of an open.
fn outcome_of(errno: Errno) -> Outcome {
    if matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS) { Outcome::Denied } else { Outcome::Emulated }
}

fn raw(errno: Errno) -> i32 {
    io::Error::from(errno).raw_os_error().unwrap_or(libc::EIO)
}

fn call_name(notification: &Notification) -> String {
    let number = notification.number;
    if notification.arch != X86_64 {
        return format!("#{number} (architecture {:#x})", notification.arch);
    }
    match usize::try_from(number).ok().and_then(Sysno::new) {
        Some(sysno) => sysno.name().to_owned(),
        None => format!("#{number}"),
    }
}
