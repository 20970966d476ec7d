//! Within rustc: whose a call is, asked before anything is done about it, because reading registers breaks it off.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use syscalls::Sysno;

use super::{Handler, Record};
use crate::evidence::Bytes;
use crate::evidence::line::{ArgState, Kind, Library, Object, Outcome, UnitKind, Via};
use crate::sandbox::table::{self, Answer, Class};
use crate::supervisor::decode;
use crate::supervisor::open::OpenCall;
use crate::supervisor::reply::{Continue, Reply};
use crate::supervisor::units::Unit;
use crate::supervisor::unwind::{Ask, How, Origin, Resumed, Walked};
use crate::supervisor::zones::{self, Zone};
use crate::sys::seccomp::Notification;

/// What a call is to the history of threads and programs.
enum Step {
    /// It makes a thread or a process on a stack that begins there.
    Makes(u64),
    /// It starts a program.
    Starts,
    Nothing,
}

impl Handler<'_> {
    /// A rustc that opens a library that a unit made: how we know that macros were loaded.
    pub(super) fn note_library(&self, unit: &mut Unit, path: &Path) {
        let compiles = !matches!(unit.kind, UnitKind::RunBuildScript | UnitKind::SelfTest);
        if compiles
            && self.zones.is_published_library(path)
            && let Some(name) = path.file_name()
            && !unit.libraries.iter().any(|known| known.as_bytes() == name.as_bytes())
        {
            unit.origins.libraries += usize::from(self.macros.contains_key(unit_name(&name.to_string_lossy())));
            unit.libraries.push(name.to_owned());
        }
    }

    /// Whose the call is. `None` if it was broken off: the kernel makes it again.
    pub(super) fn attribute(&mut self, unit: &mut Unit, notification: &Notification) -> io::Result<Option<Origin>> {
        if !unit.compiles() {
            return Ok(Some(Origin::Unit));
        }
        let step = step(notification);
        let resumed = match unit.origins.resume(notification) {
            Resumed::Same(origin) => Some(origin),
            Resumed::Other(before) => {
                self.never_made(unit, &before, Origin::Unit)?;
                None
            }
            Resumed::New => None,
        };
        let is_new = resumed.is_none();
        let origin = match resumed {
            Some(origin) => origin,
            None if unit.origins.libraries == 0 => Origin::Unit,
            None if matches!(step, Step::Nothing) && !self.may_be_recorded(unit, notification) => {
                return Ok(Some(Origin::Unknown("nobody looked")));
            }
            None => self.ask(unit, notification),
        };
        let waits = || unit.listener.as_ref().is_some_and(|listener| listener.is_valid(notification.id));
        if is_new && unit.origins.libraries > 0 && !waits() {
            unit.origins.broke_off(*notification, origin);
            return Ok(None);
        }
        self.remember(unit, notification, &step, &origin);
        Ok(Some(origin))
    }

    /// Asks for the stack.
    fn ask(&mut self, unit: &mut Unit, notification: &Notification) -> Origin {
        let tid = notification.tid;
        let (Some(compiler), Some(process)) = (unit.origins.compiler, self.procfs.process(tid)) else {
            return Origin::Unknown("its process is gone");
        };
        // A process that a macro forked off may outlive the compiler.
        let exe = self.procfs.exe(compiler);
        if exe.is_some() {
            unit.origins.exe = exe;
        } else if let Some(origin) = self.lineage(unit, process) {
            return origin;
        }
        if self.procfs.exe(process) != unit.origins.exe {
            return self.program(unit, tid, process);
        }
        let walked = self.walker.ask(Ask {
            tid,
            process,
            unit: Some((unit.id, compiler)),
            is_changed: unit.origins.is_changed(process),
            named: unit.origins.may_name(),
        });
        if walked == Walked::OtherProgram {
            return self.program(unit, tid, process);
        }
        let parent = self.procfs.parent(process).unwrap_or(compiler);
        unit.origins.judge(walked, &[process, parent, compiler])
    }

    /// Whose a process is that runs another program: that of who started it. A macro library can be loaded there, too
    /// (`LD_PRELOAD`); then it is told by the stack again.
    fn program(&mut self, unit: &mut Unit, tid: i32, process: i32) -> Origin {
        let started = self.lineage(unit, process).unwrap_or(Origin::Unknown("nobody saw who started the program"));
        if matches!(started, Origin::Library(..)) {
            return started;
        }
        let ask = Ask { tid, process, unit: None, is_changed: true, named: unit.origins.may_name() };
        match self.walker.ask(ask) {
            Walked::NoLibrary => started,
            walked => match unit.origins.judge(walked, &[process]) {
                library @ Origin::Library(..) => library,
                _ => Origin::Unknown("a macro library is loaded in the program"),
            },
        }
    }

    /// Whose a process is by who started its program, or that of an ancestor.
    fn lineage(&self, unit: &mut Unit, process: i32) -> Option<Origin> {
        /// Beyond what honest builds nest.
        const DEEPEST: usize = 32;
        let dated = |process: i32| Some((process, self.procfs.began(process)?));
        let own = dated(process)?;
        let parents = std::iter::successors(Some(process), |process| self.procfs.parent(*process)).skip(1);
        unit.origins.program(own, parents.take(DEEPEST).filter_map(dated))
    }

    fn remember(&self, unit: &mut Unit, notification: &Notification, step: &Step, origin: &Origin) {
        if matches!(step, Step::Nothing) {
            return;
        }
        let Some(process) = self.procfs.process(notification.tid) else { return };
        match step {
            Step::Makes(stack) => unit.origins.makes(process, *stack, origin),
            // The unit's own program is started by ours.
            Step::Starts if !unit.runs => unit.origins.compiler = Some(process),
            Step::Starts => {
                if let Some(began) = self.procfs.began(process) {
                    unit.origins.starts((process, began), origin.clone());
                }
            }
            Step::Nothing => {}
        }
    }

    /// Records calls that were broken off and that their threads never made again.
    pub(in crate::supervisor) fn settle(&mut self, unit: &mut Unit) -> io::Result<()> {
        for (call, origin) in unit.origins.never_made() {
            self.never_made(unit, &call, origin)?;
        }
        Ok(())
    }

    fn never_made(&mut self, unit: &Unit, call: &Notification, origin: Origin) -> io::Result<()> {
        self.evidence.received();
        if is_creation(call) {
            self.evidence.count("created");
            return Ok(());
        }
        let row = table::class_with(call.number, self.trace).and_then(|class| match class {
            Class::Notified(row) | Class::Unless(_, row) => Some(row),
            Class::Allowed | Class::Silent(_) => None,
        });
        let kind = row.map_or(Kind::KernelSurface, |row| row.kind);
        let open =
            row.filter(|row| row.answer == Answer::OpenOnBehalf).map(|row| OpenCall::read(call, row.args, self.procfs));
        let object = match (open, row) {
            (Some(Ok(open)), _) => Object::Path(decode::path_object(call.tid, open.dirfd, open.path, self.procfs)),
            (None, Some(row)) => {
                decode::decode(call, row.args, self.procfs).map_or(Object::None, |decoded| decoded.object)
            }
            _ => Object::None,
        };
        self.origin = origin;
        let record = Record { kind, outcome: Outcome::Unknown, errno: None, state: ArgState::Snapshot, object };
        self.record(unit, call, record)
    }

    /// A thread or process that is made. Its flags stand in a register, so that what goes on is what was seen.
    pub(super) fn created(&mut self) -> Reply {
        self.evidence.count("created");
        Reply::Continue(Continue(table::Layer::PidNamespace))
    }

    /// False for what is going to be counted only. Where this is wrong, the record says that nobody looked.
    fn may_be_recorded(&mut self, unit: &Unit, notification: &Notification) -> bool {
        let Some(Class::Notified(row) | Class::Unless(_, row)) = table::class_with(notification.number, self.trace)
        else {
            return true;
        };
        if row.answer == Answer::OpenOnBehalf {
            let Ok(call) = OpenCall::read(notification, row.args, self.procfs) else { return true };
            let path = &call.by_text;
            let may_be = match self.zones.of(path, unit.kind, &unit.places) {
                Zone::Fixed(name) => call.writes() && name != zones::DEVICE && name != zones::OWN_DESCRIPTOR,
                Zone::Dull(_) => call.writes() && !self.is_private(unit, path),
                Zone::Kernel | Zone::Decoy => true,
                Zone::Other => call.writes() || !self.zones.is_library_search(path),
            };
            self.read = Some(call);
            return may_be;
        }
        if !matches!(row.kind, Kind::FsWrite | Kind::FsRemove | Kind::FsLink | Kind::FsProbe | Kind::ProcSignal) {
            return true;
        }
        let Ok(decoded) = decode::decode(notification, row.args, self.procfs) else { return true };
        let is_own_signal = row.kind == Kind::ProcSignal && super::signals_itself(&decoded.object);
        !is_own_signal && row.kind != Kind::FsProbe && !self.is_dull(unit, row.kind, &decoded.object)
    }

    /// How it is written down.
    pub(super) fn written(&self) -> (Via, Option<Library>) {
        let via = |how| match how {
            How::Stack => Via::Unwind,
            How::Called => Via::Called,
            How::Creator => Via::Creator,
            How::Lineage => Via::Lineage,
        };
        match &self.origin {
            Origin::Unit => (Via::Unit, None),
            Origin::Compiler(how) => (via(*how), Some(Library::Compiler)),
            Origin::Unknown(why) => (Via::Unit, Some(Library::Unknown { why: (*why).to_owned() })),
            Origin::Library(how, hit) => {
                let name = unit_name(&hit.file);
                let library = Library::Macro {
                    package: self.macros.get(name).cloned(),
                    file: hit.file.clone(),
                    symbol: hit.symbol.as_deref().map(Bytes::from),
                };
                (via(*how), Some(library))
            }
        }
    }
}

/// The name of the unit that made a library.
pub(super) fn unit_name(file: &str) -> &str {
    file.strip_prefix("lib").and_then(|name| name.strip_suffix(".so")).unwrap_or(file)
}

fn number(sysno: Sysno) -> u32 {
    u32::try_from(sysno.id()).unwrap_or_default()
}

/// True for `clone` that makes no namespace: notified in units that compile.
pub(super) fn is_creation(notification: &Notification) -> bool {
    let [flags, ..] = notification.args;
    notification.number == number(Sysno::clone)
        && notification.arch == super::X86_64
        && flags & u64::from(table::NAMESPACES) == 0
}

fn step(notification: &Notification) -> Step {
    if is_creation(notification) {
        let [_, stack, ..] = notification.args;
        Step::Makes(stack)
    } else if notification.arch == super::X86_64
        && [number(Sysno::execve), number(Sysno::execveat)].contains(&notification.number)
    {
        Step::Starts
    } else {
        Step::Nothing
    }
}

impl Unit {
    /// True where rustc runs, and with it macros.
    pub(in crate::supervisor) fn compiles(&self) -> bool {
        !matches!(self.kind, UnitKind::RunBuildScript | UnitKind::DriveMacros | UnitKind::SelfTest)
    }
}
