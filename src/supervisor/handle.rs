//! One notification: decode, act, record, answer. In this order, always.

use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use syscalls::Sysno;

use super::caller::{self, Proc, uint};
use super::decode::{self, Decoded};
use super::metadata::{self, MetadataCall};
use super::open::{self, OpenCall, Opened, Unreadable};
use super::reply::{Constant, Continue, Reply, Sent};
use super::sockets::Message;
use super::units::Unit;
use super::zones::Zones;
use super::{dns, open as opens};
use crate::evidence::Bytes;
use crate::evidence::line::{
    Address, ArgState, Attempt, Kind, Object, Outcome, PathObject, ProgramFile, UnitKind, Via,
};
use crate::evidence::writer::EvidenceWriter;
use crate::sandbox::table::{self, Answer, Args, Class, Layer, Metadata, Row};
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
    /// Names that a unit was seen to ask the stub for.
    pub(super) asked: &'a mut Vec<Vec<u8>>,
}

/// What is recorded of a call beside its registers.
struct Finding {
    kind: Kind,
    outcome: Outcome,
    errno: Option<i32>,
    state: ArgState,
    object: Object,
}

impl Handler<'_> {
    /// Handles one notification. An error means that evidence cannot be written.
    pub(super) fn handle(&mut self, unit: &mut Unit, notification: &Notification) -> io::Result<()> {
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
        let Some(Class::Notified(row) | Class::Unless(_, row)) = table::class_of(notification.number) else {
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
            Err(unreadable) => return self.unreadable(unit, notification, row.kind, unreadable),
        };
        match row.answer {
            Answer::Constant(errno) => self.constant(unit, notification, row.kind, errno, decoded.object),
            Answer::Refuse(errno, _) => {
                let finding = Finding {
                    kind: row.kind,
                    outcome: Outcome::Denied,
                    errno: Some(errno),
                    state: decoded.state,
                    object: decoded.object,
                };
                self.record(unit, notification, finding)?;
                Ok(Reply::Errno(errno))
            }
            Answer::Continue(layer) => self.pass_on(unit, notification, row, decoded, layer),
            Answer::OpenOnBehalf | Answer::MetadataOnBehalf | Answer::SocketByFamily => Ok(Reply::Errno(libc::EPERM)),
        }
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
            Kind::ProcSignal if self.signals_itself(notification, &decoded.object) => self.evidence.count("own-signal"),
            Kind::NetConnect => {
                let mut errno = None;
                if let Object::Address(address) = &decoded.object {
                    let fd = caller::int(notification.args[0]);
                    unit.connected.insert(fd, address.clone());
                    errno = self.nobody_there(notification, address);
                }
                let finding = Finding {
                    kind: row.kind,
                    outcome: Outcome::Allowed,
                    errno,
                    state: decoded.state,
                    object: decoded.object,
                };
                self.record(unit, notification, finding)?;
            }
            Kind::NetSend => self.sends(unit, notification, decoded)?,
            kind if self.is_dull(unit, kind, &decoded.object) => self.evidence.count("own"),
            kind => self.record_allowed(unit, notification, kind, decoded.state, decoded.object)?,
        }
        Ok(reply)
    }

    /// ENOENT if the address is the path of a unix socket that is not there.
    fn nobody_there(&self, notification: &Notification, address: &Address) -> Option<i32> {
        let path = address
            .path
            .as_ref()
            .map(|path| path.0.as_slice())
            .filter(|path| path.first().is_some_and(|first| *first != 0))?;
        let base = self.procfs.open_base(notification.tid, None).ok()?;
        (opens::object(path, Some(&base), true).err() == Some(Errno::ENOENT)).then_some(libc::ENOENT)
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

    fn signals_itself(&self, notification: &Notification, object: &Object) -> bool {
        let Object::Signal { target, .. } = object else { return false };
        self.procfs.inner_process(notification.tid) == Some(*target)
    }

    /// Messages: a question to a name server is recorded as what it asks, an address of its own as a send.
    fn sends(&mut self, unit: &mut Unit, notification: &Notification, decoded: Decoded) -> io::Result<()> {
        let fd = caller::int(notification.args[0]);
        let mut plain = 0;
        for Message { to, bytes } in decoded.messages {
            let server = to.clone().or_else(|| unit.connected.get(&fd).cloned());
            let questions = match &server {
                Some(server) if server.port.is_some() => dns::questions(&bytes),
                _ => Vec::new(),
            };
            let asks = !questions.is_empty();
            for (name, qtype) in questions {
                let server = server.clone().unwrap_or_else(|| super::sockets::decode_address(&[]));
                if is_stub(&server) {
                    self.asked.push(name.clone());
                }
                let object = Object::Question { name: Bytes(name), qtype, server };
                self.record_allowed(unit, notification, Kind::DnsQuery, decoded.state, object)?;
            }
            match to {
                Some(address) if !(asks && is_stub(&address)) => {
                    self.record_allowed(unit, notification, Kind::NetSend, decoded.state, Object::Address(address))?;
                }
                _ if asks => {}
                _ => plain += 1,
            }
        }
        if plain > 0 {
            // On a connected socket, whose connect stands already.
            self.evidence.count("connected-send");
        }
        Ok(())
    }

    fn socket(&mut self, unit: &Unit, notification: &Notification, row: Row) -> io::Result<Reply> {
        let [family, kind, protocol, ..] = notification.args;
        let object = super::sockets::socket_object(notification);
        if let Some(errno) = table::refuse_socket(uint(family), uint(kind), uint(protocol)) {
            return self.constant(unit, notification, row.kind, errno, object);
        }
        let finding =
            Finding { kind: row.kind, outcome: Outcome::Allowed, errno: None, state: ArgState::Exact, object };
        self.record(unit, notification, finding)?;
        Ok(Reply::Continue(Continue(Layer::NetworkNamespace)))
    }

    fn open(&mut self, unit: &mut Unit, notification: &Notification, args: Args) -> io::Result<Reply> {
        let call = match OpenCall::read(notification, args) {
            Ok(call) => call,
            Err(unreadable) => return self.unreadable(unit, notification, Kind::FsOpen, unreadable),
        };
        let (opened, resolved) = if let Some(thread) = &unit.opener {
            let this_unit = open::Unit { kind: unit.kind, places: &unit.places, opener: thread };
            opens::open(&call, notification.tid, this_unit, self.zones, self.procfs)
        } else {
            // The thread could not be started. Nothing is opened, and that is recorded, too.
            let path = Path::new(std::ffi::OsStr::from_bytes(&call.path));
            (Opened::Failed(Errno::EACCES), self.procfs.resolve(notification.tid, call.dirfd, path))
        };
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
            path: Bytes(call.path.clone()),
            resolved: Bytes::from(resolved.as_path()),
            flags: call.flag_names(),
        });
        let (outcome, errno, state) = match &opened {
            Opened::Counted(_) | Opened::Continued => (Outcome::Allowed, None, ArgState::Snapshot),
            Opened::Done(_) => (Outcome::Emulated, None, ArgState::Exact),
            Opened::Failed(errno) => (outcome_of(*errno), Some(raw(*errno)), ArgState::Exact),
        };
        self.record(unit, notification, Finding { kind, outcome, errno, state, object })?;
        Ok(answer_open(&call, opened))
    }

    /// A rustc that opens a library that a unit made: how we know that macros were loaded.
    fn note_library(&self, unit: &mut Unit, path: &Path) {
        let compiles = !matches!(unit.kind, UnitKind::RunBuildScript | UnitKind::SelfTest);
        if compiles
            && self.zones.is_published_library(path)
            && let Some(name) = path.file_name()
            && !unit.libraries.iter().any(|known| known.as_bytes() == name.as_bytes())
        {
            unit.libraries.push(name.to_owned());
        }
    }

    fn metadata(&mut self, unit: &Unit, notification: &Notification, which: Metadata) -> io::Result<Reply> {
        let call = match MetadataCall::read(notification, which) {
            Ok(call) => call,
            Err(unreadable) => return self.unreadable(unit, notification, Kind::FsMeta, unreadable),
        };
        let allowed = |path: &Path| {
            unit.places.iter().any(|place| path.starts_with(place)) || path.starts_with(self.zones.home())
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
        let path = Bytes(call.path.clone().unwrap_or_default());
        let object =
            Object::Path(PathObject { path, resolved: Bytes::from(resolved.as_path()), flags: vec![call.describe()] });
        self.record(
            unit,
            notification,
            Finding { kind: Kind::FsMeta, outcome, errno, state: ArgState::Exact, object },
        )?;
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
        let finding = Finding { kind, outcome: Outcome::Denied, errno: Some(errno), state: ArgState::Exact, object };
        self.record(unit, notification, finding)?;
        Ok(Reply::Constant(Constant(errno)))
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
        let finding = Finding {
            kind,
            outcome: Outcome::Denied,
            errno: Some(errno),
            state: ArgState::Unreadable,
            object: Object::None,
        };
        self.record(unit, notification, finding)?;
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
        self.record(unit, notification, Finding { kind, outcome: Outcome::Allowed, errno, state, object })
    }

    fn record(&mut self, unit: &Unit, notification: &Notification, finding: Finding) -> io::Result<()> {
        let tid = notification.tid;
        let exe = self.procfs.exe(tid).unwrap_or_default();
        let lineage = if finding.kind == Kind::Exec { self.procfs.lineage(tid) } else { Vec::new() };
        let process = self.procfs.process(tid).unwrap_or(0);
        // Read from a caller that is gone, these bytes could be another's: the call was never carried out.
        let gone = unit.listener.as_ref().is_some_and(|listener| !listener.is_valid(notification.id));
        self.evidence.record(Attempt {
            seq: 0,
            t: u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            unit: unit.id,
            package: unit.package.clone(),
            via: Via::Unit,
            pid: process,
            tid,
            exe: Bytes::from(exe.as_path()),
            lineage: lineage.iter().map(|program: &PathBuf| Bytes::from(program.as_path())).collect(),
            kind: finding.kind,
            outcome: if gone { Outcome::Unknown } else { finding.outcome },
            errno: finding.errno,
            syscall: call_name(notification),
            args: notification.args,
            arg_state: finding.state,
            object: finding.object,
            count: 1,
        })
    }
}

fn answer_open(call: &OpenCall, opened: Opened) -> Reply {
    match opened {
        Opened::Counted(_) | Opened::Continued => Reply::Continue(Continue(Layer::Landlock)),
        Opened::Done(fd) => Reply::Descriptor { fd, close_on_exec: call.flags.contains(nix::fcntl::OFlag::O_CLOEXEC) },
        Opened::Failed(errno) => Reply::Errno(raw(errno)),
    }
}

/// The stub resolver's address.
pub(super) fn is_stub(address: &Address) -> bool {
    address.port == Some(53) && address.ip.is_some_and(|ip: IpAddr| ip.is_loopback())
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
