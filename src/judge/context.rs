//! What the rules look at: the attempts of a log with their units, packages and actors.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{file_name, is_below, normalise};
use super::units::{Unit, Units};
use crate::evidence::line::{
    ArgState, Artifact, Attempt, DecoyClass, Kind, Layout, Line, Object, Package, PackageSource, PathObject,
    ProgramFile, UnitKind,
};
use crate::evidence::{Bytes, EvidenceLog};
use crate::ids::{PackageId, UnitId};
use crate::policy::{BoundPolicy, Policy, Role};

/// The most attempts at one path that are looked at when somebody asks who wrote it.
const MAX_WRITERS: usize = 256;

/// The most links that one path is followed through, as the kernel does.
const MOST_LINKS: usize = 40;

/// Who made a call, as far as `/proc/PID/exe` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A program that the policy knows, in a folder that nothing in the sandbox can write.
    Known(Role),
    /// Another program in such a folder.
    System,
    /// The build script, a program that it made, or anything else.
    Subject,
}

/// An attempt with its surroundings.
#[derive(Debug)]
pub(crate) struct Tried<'a> {
    pub(crate) attempt: &'a Attempt,
    pub(crate) unit: &'a Unit<'a>,
    pub(crate) who: Who,
    /// The path of the call, the new one where there are two; normalised. Empty when there is none.
    pub(crate) path: Vec<u8>,
    /// The existing path of a rename or link; normalised.
    pub(crate) from: Vec<u8>,
    /// True for the start of the unit's own program by ours.
    pub(crate) is_first: bool,
}

impl Tried<'_> {
    pub(crate) fn role(&self) -> Option<Role> {
        match self.who {
            Who::Known(role) => Some(role),
            Who::System | Who::Subject => None,
        }
    }

    pub(crate) fn is_rename(&self) -> bool {
        self.attempt.syscall.starts_with("rename")
    }

    /// True for a rename that puts what lay at the new path in the place of the old one.
    pub(crate) fn is_exchange(&self) -> bool {
        let Object::Paths { to, .. } = &self.attempt.object else { return false };
        self.is_rename() && to.flags.iter().any(|flag| flag == "RENAME_EXCHANGE")
    }

    pub(crate) fn is_hard_link(&self) -> bool {
        self.attempt.syscall.starts_with("link")
    }

    /// The name of the program that made the call, for people.
    pub(crate) fn program_name(&self) -> String {
        Bytes(file_name(&self.attempt.exe.0).to_vec()).to_string()
    }
}

/// Everything that a rule may look at.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) log: &'a EvidenceLog,
    pub(crate) policy: BoundPolicy<'a>,
    pub(crate) units: &'a Units<'a>,
    pub(crate) tried: Vec<Tried<'a>>,
    /// By path: the attempts (positions in `tried`) that wrote or made it.
    writers: BTreeMap<Vec<u8>, Vec<usize>>,
    /// Symbolic links that the build was seen to make, and where they lead.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Further names that the build was seen to make for files that are not its own, and what each is a name for.
    names: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Units that ran a compiler, linker or build description.
    compiled: BTreeSet<UnitId>,
    /// By unit: the number of the first start of a configure script.
    configured: BTreeMap<UnitId, u64>,
    /// By unit: the number of its first question to the machine's own resolver.
    first_query: BTreeMap<UnitId, u64>,
    decoys: BTreeMap<&'a [u8], DecoyClass>,
    /// By attempt: the bytes that were captured of it.
    captured: BTreeMap<u64, Vec<&'a Artifact>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(log: &'a EvidenceLog, policy: &'a Policy, units: &'a Units<'a>) -> Self {
        let policy = BoundPolicy::new(policy, &log.header.layout);
        let decoys = log.header.layout.decoys.iter().map(|d| (d.path.as_bytes(), d.class)).collect();
        let mut context = Self {
            log,
            policy,
            units,
            tried: Vec::new(),
            writers: BTreeMap::new(),
            links: BTreeMap::new(),
            names: BTreeMap::new(),
            compiled: BTreeSet::new(),
            configured: BTreeMap::new(),
            first_query: BTreeMap::new(),
            decoys,
            captured: captured(log),
        };
        let mut started = BTreeSet::new();
        for attempt in log.attempts() {
            let Some(unit) = units.0.get(&attempt.unit) else { continue };
            let mut tried = context.tried(attempt, unit);
            if attempt.kind == Kind::Exec {
                tried.is_first = started.insert(attempt.unit) && context.is_own_start(&tried);
            }
            context.remember(&tried);
            context.tried.push(tried);
        }
        context
    }

    fn tried(&self, attempt: &'a Attempt, unit: &'a Unit<'a>) -> Tried<'a> {
        let (path, from) = match &attempt.object {
            Object::Path(object) => (place(object), Vec::new()),
            Object::Paths { from, to } => (place(to), place(from)),
            Object::Program { program, .. } => (place(program), Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        let (path, from) = if attempt.arg_state == ArgState::Exact {
            (path, from)
        } else {
            (self.through_links(path, attempt.syscall.starts_with("truncate")), self.through_links(from, false))
        };
        // Who writes by another name for a file writes that file.
        let path = if attempt.kind == Kind::FsWrite { self.names.get(&path).cloned().unwrap_or(path) } else { path };
        Tried { attempt, unit, who: self.who(&attempt.exe.0), path, from, is_first: false }
    }

    /// Where a path leads that is known by its text only, by the links that were made before. The last
    /// name counts only for calls that follow it.
    fn through_links(&self, path: Vec<u8>, follows: bool) -> Vec<u8> {
        let mut path = path;
        for _ in 0..MOST_LINKS {
            let folders = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
            let mut ends = folders.chain(follows.then_some(path.len()));
            let Some(next) = ends.find_map(|end| {
                let (link, rest) = path.split_at_checked(end)?;
                self.links.get(link).map(|target| normalise(&[target.as_slice(), rest].concat()))
            }) else {
                break;
            };
            path = next;
        }
        path
    }

    /// True for our own program, also where it stands in the place of a build script (`build/NAME-HASH/SCRIPT`).
    pub(crate) fn is_shim(&self, exe: &[u8]) -> bool {
        let is_swapped = self.in_target(exe) && exe.rsplit(|&b| b == b'/').nth(2) == Some(b"build");
        is_swapped || is_below(exe, layout_path(&self.layout().tool))
    }

    /// True for what our shim starts: rustc, or a build script where cargo's own unit put it.
    /// Nothing of the subject runs in a unit before that.
    fn is_own_start(&self, tried: &Tried<'_>) -> bool {
        self.is_shim(&tried.attempt.exe.0)
            && match tried.unit.kind() {
                UnitKind::RunBuildScript => {
                    let ours = is_below(&tried.path, layout_path(&self.layout().tool));
                    (ours || self.in_target(&tried.path)) && !tried.unit.owns(&tried.path)
                }
                _ => self.program_role(tried) == Some(Role::Rustc),
            }
    }

    /// Notes what later rules ask for: who wrote what, and who compiles.
    fn remember(&mut self, tried: &Tried<'a>) {
        let position = self.tried.len();
        match tried.attempt.kind {
            // A folder of that name, at another time, is not the file.
            Kind::FsWrite if tried.attempt.syscall.starts_with("mkdir") => {}
            Kind::FsWrite | Kind::FsLink => {
                let other = tried.is_exchange().then_some(&tried.from);
                for path in std::iter::once(&tried.path).chain(other) {
                    let writers = self.writers.entry(path.clone()).or_default();
                    if writers.len() < MAX_WRITERS {
                        writers.push(position);
                    }
                }
                self.remember_link(tried);
                self.remember_name(tried);
            }
            Kind::FsRemove => drop(self.names.remove(&tried.path)),
            // A question that was carried to a server of the caller's choice led to no address: that server's was known.
            Kind::DnsQuery if asks_the_machine(&tried.attempt.object) => {
                self.first_query.entry(tried.unit.id()).or_insert(tried.attempt.seq);
            }
            Kind::Exec => {
                let role = self.program_role(tried);
                if matches!(role, Some(Role::Compiler | Role::Linker | Role::Driver | Role::Rustc)) && !tried.is_first {
                    self.compiled.insert(tried.unit.id());
                }
                if let Object::Program { argv, .. } = &tried.attempt.object
                    && is_configure(argv, &tried.path)
                {
                    self.configured.entry(tried.unit.id()).or_insert(tried.attempt.seq);
                }
            }
            _ => {}
        }
    }

    /// Also under the name that it gets by a rename or a hard link.
    fn remember_link(&mut self, tried: &Tried<'a>) {
        let is_made = tried.attempt.kind == Kind::FsLink && tried.attempt.syscall.starts_with("symlink");
        let target = if is_made { Some(tried.from.clone()) } else { self.links.get(&tried.from).cloned() };
        if let Some(other) = self.links.get(&tried.path).filter(|_| tried.is_exchange()).cloned() {
            self.links.insert(tried.from.clone(), other);
        }
        if let Some(target) = target.filter(|target| !target.is_empty() && !tried.path.is_empty()) {
            self.links.insert(tried.path.clone(), target);
        }
    }

    /// A hard link to what is not the unit's own. Whatever comes to lie at that name later ends it.
    fn remember_name(&mut self, tried: &Tried<'a>) {
        if tried.attempt.kind != Kind::FsLink {
            return;
        }
        let is_own = tried.unit.owns(&tried.from) || tried.unit.in_source(&tried.from);
        let known =
            if tried.is_rename() { self.names.remove(&tried.from) } else { self.names.get(&tried.from).cloned() };
        self.names.remove(&tried.path);
        let is_new = tried.is_hard_link() && !is_own && !tried.from.is_empty();
        if let Some(file) = known.or_else(|| is_new.then(|| tried.from.clone())) {
            self.names.insert(tried.path.clone(), file);
        }
    }

    pub(crate) fn layout(&self) -> &'a Layout {
        &self.log.header.layout
    }

    pub(crate) fn who(&self, exe: &[u8]) -> Who {
        match self.policy.role(exe) {
            Some(role) => Who::Known(role),
            None if self.policy.is_system(exe) => Who::System,
            None => Who::Subject,
        }
    }

    /// What the program of a start is for: by the file that it leads to, else by the name that was used.
    pub(crate) fn program_role(&self, tried: &Tried<'_>) -> Option<Role> {
        let Object::Program { program, .. } = &tried.attempt.object else { return None };
        if !self.policy.is_system(&tried.path) {
            return None;
        }
        self.policy.role(&tried.path).or_else(|| self.policy.program_named(file_name(&program.path.0)).map(|(r, _)| r))
    }

    /// True for a dynamic linker of the system's.
    pub(crate) fn is_dynamic_linker(&self, path: &[u8]) -> bool {
        let name = file_name(path);
        let is_named = [&b"ld-linux"[..], b"ld-musl-", b"ld.so"].iter().any(|start| name.starts_with(start));
        is_named && self.policy.is_system(path)
    }

    pub(crate) fn decoy(&self, path: &[u8]) -> Option<DecoyClass> {
        self.decoys.get(path).copied()
    }

    /// What was captured of an attempt, in order.
    pub(crate) fn captured(&self, attempt: u64) -> &[&'a Artifact] {
        self.captured.get(&attempt).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn package(&self, id: &PackageId) -> Option<&'a Package> {
        self.log.header.packages.iter().find(|p| p.id == *id)
    }

    /// The user's subject, to which belongs what names no package.
    pub(crate) fn subject(&self) -> Option<&'a PackageId> {
        self.log.header.packages.iter().find(|p| p.subject).map(|p| &p.id)
    }

    pub(crate) fn in_home(&self, path: &[u8]) -> bool {
        is_below(path, layout_path(&self.layout().home)) && !self.policy.is_system(path)
    }

    pub(crate) fn in_consumer(&self, path: &[u8]) -> bool {
        is_below(path, layout_path(&self.layout().consumer)) && !self.in_target(path)
    }

    pub(crate) fn in_target(&self, path: &[u8]) -> bool {
        is_below(path, layout_path(&self.layout().target_dir))
    }

    pub(crate) fn in_sources(&self, path: &[u8]) -> bool {
        is_below(path, layout_path(&self.layout().registry_src))
            || self.log.header.packages.iter().any(|p| p.source != PackageSource::Consumer && is_below(path, &p.dir.0))
    }

    /// Shared folders for temporary files, where a unit has only its own corner.
    pub(crate) fn in_tmp(&self, path: &[u8]) -> bool {
        let tmp = layout_path(&self.layout().tmp);
        is_below(path, tmp) || [&b"/tmp"[..], b"/var/tmp", b"/dev/shm"].iter().any(|t| is_below(path, t))
    }

    /// The attempts that wrote, made or renamed to this path.
    pub(crate) fn writers(&self, path: &[u8]) -> impl Iterator<Item = &Tried<'a>> {
        self.writers.get(path).into_iter().flatten().filter_map(|&i| self.tried.get(i))
    }

    /// True if only compilers and linkers made this file, perhaps under another name.
    ///
    /// Everybody who wrote it counts, because repeats are coalesced and the order is lost:
    /// a file that was compiled and then replaced is not compiled.
    pub(crate) fn is_compiled(&self, path: &[u8]) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![path];
        while let Some(path) = open.pop() {
            if !seen.insert(path) {
                continue;
            }
            let writers = self.writers.get(path).map_or(&[][..], Vec::as_slice);
            if writers.is_empty() || writers.len() >= MAX_WRITERS || seen.len() > MAX_WRITERS {
                return false;
            }
            for writer in writers.iter().filter_map(|&i| self.tried.get(i)) {
                if self.is_compiler(writer) {
                    continue;
                }
                if writer.attempt.kind != Kind::FsLink || writer.from.is_empty() {
                    return false;
                }
                // Of an exchange, what lies at either name came from the other one.
                open.push(if writer.path == path { &writer.from } else { &writer.path });
            }
        }
        true
    }

    /// True for who makes machine code out of sources. rustc alone runs macros, so outside of
    /// build scripts what it writes itself may be theirs.
    fn is_compiler(&self, writer: &Tried<'_>) -> bool {
        match writer.role() {
            Some(Role::Compiler | Role::Linker | Role::Driver | Role::Cargo) => true,
            Some(Role::Rustc) => writer.unit.kind() == UnitKind::RunBuildScript,
            Some(Role::Copier) => writer.attempt.kind == Kind::FsWrite && self.compiled.contains(&writer.unit.id()),
            _ => false,
        }
    }

    /// True if the unit of an attempt asked for a name before it.
    pub(crate) fn has_asked_before(&self, tried: &Tried<'_>) -> bool {
        self.first_query.get(&tried.unit.id()).is_some_and(|&seq| seq < tried.attempt.seq)
    }

    /// True below make, ninja, cmake or a configure script: their starts are the build description's.
    pub(crate) fn is_below_driver(&self, tried: &Tried<'_>) -> bool {
        let roles = || tried.attempt.lineage.iter().filter_map(|exe| self.policy.role(&exe.0));
        let configured = self.configured.get(&tried.unit.id()).is_some_and(|&seq| seq < tried.attempt.seq);
        roles().any(|role| role == Role::Driver || (configured && matches!(role, Role::Shell | Role::Interpreter)))
    }
}

/// True for a question to the resolver that the machine names, which answers on the loopback address.
fn asks_the_machine(object: &Object) -> bool {
    matches!(object, Object::Question { server, .. } if server.ip.is_some_and(|ip| ip.is_loopback()))
}

fn captured(log: &EvidenceLog) -> BTreeMap<u64, Vec<&Artifact>> {
    let mut captured: BTreeMap<u64, Vec<&Artifact>> = BTreeMap::new();
    for line in &log.lines {
        if let Line::Artifact(artifact) = line
            && let Some(attempt) = artifact.attempt
        {
            captured.entry(attempt).or_default().push(artifact);
        }
    }
    captured
}

/// The path that a call is judged by. Empty for what has no name: pipes, sockets.
fn place(object: &PathObject) -> Vec<u8> {
    let (given, resolved) = (object.path.0.as_slice(), object.resolved.0.as_slice());
    let is_nameless = [&b"pipe:["[..], b"socket:[", b"anon_inode:"].iter().any(|start| resolved.starts_with(start));
    let path = match own_process(given, resolved) {
        Some(own) => return own,
        None if resolved.is_empty() => given,
        None => resolved,
    };
    if path.is_empty() || is_nameless {
        return Vec::new();
    }
    let path = normalise(path);
    // A file without a name gets a number from the kernel; what counts is the folder.
    let is_unnamed = object.flags.iter().any(|flag| flag == "O_TMPFILE") && file_name(&path).starts_with(b"#");
    if is_unnamed { normalise(&[&path, &b"/.."[..]].concat()) } else { path }
}

/// The path by `/proc/self`, when a process names itself and means itself, whatever number it has.
fn own_process(given: &[u8], resolved: &[u8]) -> Option<Vec<u8>> {
    let given = normalise(given);
    let own = [(&b"/proc/self/"[..], &b""[..]), (b"/proc/thread-self/", b""), (b"/dev/fd/", b"fd/")]
        .iter()
        .find_map(|(start, folder)| Some([folder, given.strip_prefix(*start)?].concat()))?;
    // Beyond root and cwd lies the whole file system, with other processes in it.
    let resolved = resolved.strip_prefix(b"/proc/")?;
    let rest = resolved.splitn(2, |&b| b == b'/').nth(1)?;
    let is_same =
        rest == own.as_slice() || rest.ends_with(&[b"/", own.as_slice()].concat()) && rest.starts_with(b"task/");
    is_same.then(|| [b"/proc/self/", own.as_slice()].concat())
}

/// A path of the layout without a `/` at its end.
pub(crate) fn layout_path(path: &str) -> &[u8] {
    path.trim_end_matches('/').as_bytes()
}

/// True for the scripts that autotools and their relatives ship.
fn is_configure(argv: &[Bytes], path: &[u8]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"configure",
        b"Configure",
        b"config",
        b"config.status",
        b"autogen.sh",
        b"bootstrap",
        b"config.guess",
        b"config.sub",
        b"configure.gnu",
    ];
    let named = |path: &[u8]| NAMES.contains(&file_name(path));
    named(path) || argv.iter().skip(1).take(2).any(|arg| named(&arg.0))
}

/// The start's details, for the rules about programs.
pub(crate) fn program<'t>(tried: &'t Tried<'_>) -> Option<(&'t PathObject, &'t [Bytes], ProgramFile)> {
    match &tried.attempt.object {
        Object::Program { program, argv, file, .. } => Some((program, argv, *file)),
        _ => None,
    }
}
