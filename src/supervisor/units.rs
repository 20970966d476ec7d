//! The units that live, from the knock of their shim to the end of their listener.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use super::admit::Admitted;
use super::capture::Captures;
use super::opener::Opener;
use super::running::Expected;
use super::unwind::Origins;
use crate::base::Finished;
use crate::evidence::Bytes;
use crate::evidence::line::{Address, UnitKind, identity};
use crate::ids::{PackageId, UnitId};
use crate::sys::seccomp::Listener;

/// One unit.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) id: UnitId,
    pub(super) kind: UnitKind,
    pub(super) package: Option<PackageId>,
    pub(super) name: String,
    pub(super) places: Vec<PathBuf>,
    pub(super) started: Instant,
    /// True once the shim started the unit's program.
    pub(super) runs: bool,
    /// Present from admission until the listener came.
    pub(super) ruleset: Option<OwnedFd>,
    /// Present from the hand-off until the last task of the unit is gone.
    pub(super) listener: Option<Listener>,
    /// True from the hand-off until the kernel says that nobody is left who could call. A unit that ends with it was not
    /// heard to its end.
    pub(super) may_call: bool,
    /// How many calls were heard.
    pub(super) calls: u64,
    /// The thread that was heard last.
    pub(super) last_heard: i32,
    pub(super) opener: Option<Opener>,
    /// Where sockets of the unit are connected to, by the kernel's name of the socket; advisory.
    pub(super) connected: HashMap<PathBuf, Address>,
    /// What sockets of the unit were bound to last, by the kernel's name of the socket; advisory.
    pub(super) bound: HashMap<PathBuf, Address>,
    /// What its processes should run by the record.
    pub(super) expected: Expected,
    /// Whose its calls are, where several packages share a rustc.
    pub(super) origins: Origins,
    /// Dynamic libraries that its rustc opened, by file name.
    pub(super) libraries: Vec<OsString>,
    /// How many of them were told.
    pub(super) libraries_told: usize,
    /// What was captured of it.
    pub(super) captures: Captures,
    /// Limits that answers met and that were not told yet.
    pub(super) met: Met,
    /// What a driver asked its server for last.
    pub(super) doing: Option<String>,
    /// The file mode creation mask of its processes.
    pub(super) umask: Umask,
    /// True while a build script takes its `OUT_DIR` for removed.
    pub(super) has_removed_out_dir: bool,
    /// What a build script is lent.
    pub(super) lent: Lent,
}

/// What a build script has as its own under names in folders that cargo shares.
#[derive(Debug)]
pub(super) struct Lent {
    /// Where that lies.
    pub(super) folder: Option<PathBuf>,
    /// How many names there are.
    pub(super) names: u8,
}

/// The file mode creation mask of a unit's processes. All inherit that of the first one (umask(2)), so that it is read
/// once, and again for each open as soon as anything in the unit has set one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Umask {
    inherited: Option<u32>,
    is_set: bool,
}

impl Umask {
    /// That of the caller, which `read` reads from the kernel.
    pub(super) fn of(&mut self, read: impl FnOnce() -> u32) -> u32 {
        if self.is_set { read() } else { *self.inherited.get_or_insert_with(read) }
    }

    /// A process of the unit is about to set it.
    pub(super) fn sets(&mut self) {
        self.is_set = true;
    }
}

/// Limits that an answer can meet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// The caller's table of descriptors was full.
    pub(super) no_descriptor: bool,
    /// A folder was full.
    pub(super) no_room: bool,
}

impl Unit {
    pub(super) fn new(id: UnitId, admitted: &Admitted, ruleset: OwnedFd) -> Self {
        Self {
            id,
            kind: admitted.kind,
            package: admitted.package.clone(),
            name: admitted.name.clone(),
            places: admitted.places.clone(),
            started: Instant::now(),
            runs: false,
            ruleset: Some(ruleset),
            listener: None,
            may_call: false,
            calls: 0,
            last_heard: 0,
            opener: None,
            connected: HashMap::new(),
            bound: HashMap::new(),
            expected: Expected::default(),
            origins: Origins::default(),
            libraries: Vec::new(),
            libraries_told: 0,
            captures: Captures::default(),
            met: Met::default(),
            doing: None,
            umask: Umask::default(),
            has_removed_out_dir: false,
            lent: Lent { folder: admitted.lent.clone(), names: 0 },
        }
    }

    /// What it is for later runs, once it has come to a good end. Of what drives macros there is nothing to take.
    pub(super) fn finished(&self) -> Option<Finished> {
        if matches!(self.kind, UnitKind::SelfTest | UnitKind::DriveMacros) {
            return None;
        }
        let place = self.places.first().map(|place| Bytes::from(place.as_path()).to_string()).unwrap_or_default();
        let identity = identity(self.kind, &self.name, &place);
        Some(Finished { package: self.package.clone()?, kind: self.kind, identity, driven: false })
    }

    /// Remembers where a socket is connected to. A unit that makes many forgets the old ones: a question on one of
    /// those is noted by the stub.
    pub(super) fn connects(&mut self, socket: PathBuf, address: &Address) {
        remember(&mut self.connected, socket, address);
    }

    /// As [`Self::connects`], where it is bound to.
    pub(super) fn binds(&mut self, socket: PathBuf, address: &Address) {
        remember(&mut self.bound, socket, address);
    }

    /// For progress: what kind of work on which package.
    pub(super) fn describe(&self) -> String {
        let package = self.package.as_ref().map(ToString::to_string).unwrap_or_default();
        let work = match self.kind {
            UnitKind::Compile | UnitKind::CompileConsumer => "compiling",
            UnitKind::CompileProcMacro => "compiling macros of",
            UnitKind::CompileBuildScript => "compiling build script of",
            UnitKind::RunBuildScript => "running build script of",
            UnitKind::DriveMacros => "driving macros of",
            UnitKind::SelfTest => return "proving the sandbox".to_owned(),
        };
        format!("{work} {package}")
    }
}

fn remember(sockets: &mut HashMap<PathBuf, Address>, socket: PathBuf, address: &Address) {
    const MOST: usize = 16 * 1024;
    if sockets.len() >= MOST {
        sockets.clear();
    }
    sockets.insert(socket, address.clone());
}
