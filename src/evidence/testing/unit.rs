//! What happens in one unit of a log that is built by hand.

use super::ip;
use crate::evidence::Bytes;
use crate::evidence::line::{
    Address, ArgState, Artifact, Attempt, Captured, Kind, Line, Object, Outcome, Output, PathObject, ProgramFile,
    Recipient, UnitEnd, UnitOutcome, Via,
};
use crate::ids::{PackageId, Sha256Digest, UnitId};

/// What happens in one unit, in order.
pub(crate) struct UnitBuilder {
    pub(super) unit: UnitId,
    pub(super) package: Option<PackageId>,
    pub(super) exe: String,
    pub(super) lines: Vec<Line>,
    pub(super) seq: u64,
    pub(super) end: Option<UnitEnd>,
    pub(super) pid: i32,
}

impl UnitBuilder {
    /// The program that makes the following calls.
    pub(crate) fn by(mut self, exe: &str) -> Self {
        self.exe = exe.to_owned();
        self.pid += 1;
        self
    }

    pub(crate) fn attempt(mut self, kind: Kind, syscall: &str, object: Object) -> Self {
        self.seq += 1;
        self.lines.push(Line::Attempt(Box::new(Attempt {
            during: None,
            seq: self.seq,
            t: self.seq,
            unit: self.unit,
            package: self.package.clone(),
            via: Via::Unit,
            library: None,
            pid: self.pid,
            tid: self.pid,
            exe: self.exe.as_str().into(),
            lineage: Vec::new(),
            kind,
            outcome: Outcome::Allowed,
            errno: None,
            syscall: syscall.to_owned(),
            args: [0; 6],
            arg_state: ArgState::Snapshot,
            object,
            count: 1,
        })));
        self
    }

    fn last(&mut self) -> &mut Attempt {
        match self.lines.last_mut() {
            Some(Line::Attempt(attempt)) => attempt,
            _ => panic!("an attempt comes first"),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Attempt)) -> Self {
        change(self.last());
        self
    }

    pub(crate) fn repeated(self, count: u64) -> Self {
        self.with(|a| a.count = count)
    }

    pub(crate) fn denied(self, errno: i32) -> Self {
        self.with(|a| {
            a.outcome = Outcome::Denied;
            a.errno = Some(errno);
        })
    }

    pub(crate) fn path(self, kind: Kind, syscall: &str, path: impl Into<Bytes>, flags: &[&str]) -> Self {
        let path = path.into();
        let flags = flags.iter().map(|f| (*f).to_owned()).collect();
        self.attempt(kind, syscall, Object::Path(PathObject { path: path.clone(), resolved: path, flags, base: None }))
    }

    pub(crate) fn open(self, path: impl Into<Bytes>) -> Self {
        self.path(Kind::FsOpen, "openat", path, &["O_RDONLY", "O_CLOEXEC"])
    }

    pub(crate) fn list(self, path: &str) -> Self {
        self.path(Kind::FsOpen, "openat", path, &["O_RDONLY", "O_DIRECTORY"])
    }

    pub(crate) fn write(self, path: impl Into<Bytes>) -> Self {
        self.path(Kind::FsWrite, "openat", path, &["O_WRONLY", "O_CREAT", "O_TRUNC"])
    }

    pub(crate) fn change(self, path: &str) -> Self {
        self.path(Kind::FsWrite, "openat", path, &["O_WRONLY", "O_APPEND"])
    }

    pub(crate) fn mkdir(self, path: &str) -> Self {
        self.path(Kind::FsWrite, "mkdir", path, &[])
    }

    pub(crate) fn remove(self, path: &str) -> Self {
        self.path(Kind::FsRemove, "unlink", path, &[])
    }

    pub(crate) fn link(self, syscall: &str, from: &str, to: &str) -> Self {
        let object = |p: &str| PathObject { path: p.into(), resolved: p.into(), ..PathObject::default() };
        self.attempt(Kind::FsLink, syscall, Object::Paths { from: object(from), to: object(to) })
    }

    /// The last rename exchanges its two names.
    pub(crate) fn exchanges(self) -> Self {
        self.with(|a| {
            if let Object::Paths { to, .. } = &mut a.object {
                to.flags.push("RENAME_EXCHANGE".to_owned());
            }
        })
    }

    /// `lineage` is that of the caller, nearest first, after the caller itself.
    pub(crate) fn exec(self, file: ProgramFile, argv: &[&str], ancestors: &[&str]) -> Self {
        let mut lineage: Vec<Bytes> = vec![self.exe.as_str().into()];
        lineage.extend(ancestors.iter().map(|a| Bytes::from(*a)));
        let path = argv[0];
        self.attempt(
            Kind::Exec,
            "execve",
            Object::Program {
                program: PathObject { path: path.into(), resolved: path.into(), ..PathObject::default() },
                argv: argv.iter().map(|a| Bytes::from(*a)).collect(),
                argc: u64::try_from(argv.len()).unwrap(),
                argv_bytes: argv.iter().map(|a| u64::try_from(a.len()).unwrap() + 1).sum(),
                cwd: Bytes::default(),
                file,
            },
        )
        .with(|a| a.lineage = lineage)
    }

    /// Runs a program of the system.
    pub(crate) fn run(self, argv: &[&str]) -> Self {
        self.exec(ProgramFile::Elf, argv, &[])
    }

    pub(crate) fn dns(self, name: &str) -> Self {
        self.attempt(
            Kind::DnsQuery,
            "sendto",
            Object::Question { name: name.into(), qtype: "A".to_owned(), server: ip("127.0.0.1", 53) },
        )
    }

    pub(crate) fn connect(self, address: &str, port: u16) -> Self {
        self.attempt(Kind::NetConnect, "connect", Object::Address(ip(address, port)))
    }

    pub(crate) fn unix(self, path: &str) -> Self {
        let address =
            Address { family: "AF_UNIX".to_owned(), path: Some(path.into()), raw: path.into(), ..Address::default() };
        self.attempt(Kind::NetConnect, "connect", Object::Address(address))
    }

    pub(crate) fn socket(self, family: &str, kind: &str, protocol: i64) -> Self {
        self.attempt(
            Kind::NetSocket,
            "socket",
            Object::Socket { family: family.to_owned(), kind: kind.to_owned(), protocol, flags: Vec::new() },
        )
    }

    pub(crate) fn operation(self, kind: Kind, syscall: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        self.attempt(kind, syscall, Object::named(names))
    }

    pub(crate) fn signal(self, signal: i64, target: i64) -> Self {
        let recipient = match target {
            1 => Recipient::Init,
            -1 => Recipient::Everyone,
            _ => Recipient::Process,
        };
        let name = format!("signal {signal}");
        self.attempt(Kind::ProcSignal, "kill", Object::Signal { signal, target, name, recipient })
    }

    /// Bytes that were captured of the last attempt.
    pub(crate) fn captured(mut self, what: Captured, path: &str, bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        let size = u64::try_from(bytes.len()).unwrap();
        self.lines.push(Line::Artifact(Artifact {
            unit: self.unit,
            path: path.into(),
            sha256: Some(Sha256Digest(sha2::Sha256::digest(bytes).into())),
            size,
            what,
            attempt: Some(self.seq),
            kept: size,
            truncated: false,
        }));
        self
    }

    pub(crate) fn end(mut self, change: impl FnOnce(&mut UnitEnd)) -> Self {
        change(self.end.as_mut().unwrap());
        self
    }

    pub(crate) fn failed(self, tail: &str) -> Self {
        self.end(|e| {
            e.outcome = UnitOutcome::Failed;
            e.code = Some(101);
        })
        .printed("stderr", tail)
    }

    /// As after `kill -9`: the unit has no end.
    pub(crate) fn endless(mut self) -> Self {
        self.end = None;
        self
    }

    pub(crate) fn printed(mut self, stream: &str, tail: &str) -> Self {
        let (unit, package) = (Some(self.unit), self.package.clone());
        self.lines.push(Line::Output(Output { unit, package, stream: stream.to_owned(), tail: tail.into() }));
        self
    }
}
