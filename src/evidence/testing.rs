//! Builds logs by hand, so that tests of the judge read as claims.

use super::line::{
    Address, ArgState, Attempt, DecoyClass, DecoyPath, Directive, FORMAT, Fact, Header, Integrity, Kind, Layer,
    LayerStatus, Layout, Line, MacroKind, MacroName, Note, Object, Outcome, Output, Package, PackageSource, PathObject,
    ProgramFile, Target, TargetKind, Tool, Toolchain, Totals, UnitEnd, UnitKind, UnitOutcome, UnitStart, VERSION, Via,
};
use super::{Bytes, EvidenceLog};
use crate::ids::{PackageId, Sha256Digest, UnitId};

pub(crate) const HOME: &str = "/home/dev";
pub(crate) const CARGO_HOME: &str = "/home/dev/.cargo";
pub(crate) const REGISTRY: &str = "/home/dev/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f";
pub(crate) const TOOLCHAIN: &str = "/home/dev/.rustup/toolchains/stable-x86_64-unknown-linux-gnu";
pub(crate) const RUSTC: &str = "/home/dev/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin/rustc";
pub(crate) const CONSUMER: &str = "/home/dev/orders-service";
pub(crate) const DEPS: &str = "/home/dev/orders-service/target/debug/deps";
pub(crate) const SCRIPT: &str =
    "/home/dev/orders-service/target/debug/build/subject-0011223344556677/build-script-build";
pub(crate) const OUT: &str = "/home/dev/orders-service/target/debug/build/subject-8899aabbccddeeff/out";
pub(crate) const SOURCE: &str = "/home/dev/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/subject-1.0.0";

pub(crate) fn subject() -> PackageId {
    PackageId::new("subject", "1.0.0")
}

fn consumer() -> PackageId {
    PackageId::new("orders-service", "0.1.0")
}

/// A whole log, by default of `subject@1.0.0` from a registry, which has a build script.
pub(crate) struct LogBuilder {
    header: Header,
    lines: Vec<Line>,
    seq: u64,
    unit: u32,
}

fn package(id: PackageId, source: PackageSource, dir: String, build_script: bool) -> Package {
    let subject = id.name == "subject";
    let checksum = (source == PackageSource::Registry).then_some(Sha256Digest([0x11; 32]));
    Package { id, source, checksum, dir: dir.into(), subject, build_script, proc_macro: None }
}

fn decoy(path: &str, class: DecoyClass) -> DecoyPath {
    DecoyPath { path: format!("{HOME}/{path}"), class }
}

impl LogBuilder {
    pub(crate) fn new() -> Self {
        let layer = |name: &str, detail: &str| Layer {
            name: name.to_owned(),
            status: LayerStatus::Full,
            detail: detail.to_owned(),
        };
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            tool: Tool { name: "sandbox-check".to_owned(), version: "0.1.0".to_owned() },
            target: Target {
                kind: TargetKind::Release,
                name: "subject".to_owned(),
                version: "1.0.0".to_owned(),
                checksum: Some(Sha256Digest([0x11; 32])),
            },
            packages: vec![
                package(subject(), PackageSource::Registry, SOURCE.to_owned(), true),
                package(consumer(), PackageSource::Consumer, CONSUMER.to_owned(), false),
            ],
            toolchain: Toolchain {
                cargo: "cargo 1.95.0".to_owned(),
                rustc: "rustc 1.95.0".to_owned(),
                host: "x86_64-unknown-linux-gnu".to_owned(),
            },
            kernel: "6.18.44".to_owned(),
            layers: vec![layer("user-namespace", "unmapped root"), layer("landlock", "ABI 7"), layer("seccomp", "")],
            layout: Layout {
                home: HOME.to_owned(),
                cargo_home: CARGO_HOME.to_owned(),
                registry_src: REGISTRY.to_owned(),
                toolchain: TOOLCHAIN.to_owned(),
                consumer: CONSUMER.to_owned(),
                target_dir: format!("{CONSUMER}/target"),
                tmp: "/tmp".to_owned(),
                tool: "/run/sandbox-check".to_owned(),
                decoys: vec![
                    decoy(".ssh/id_ed25519", DecoyClass::Credential),
                    decoy(".gitconfig", DecoyClass::Config),
                    decoy(".bashrc", DecoyClass::Startup),
                    decoy("orders-service/src/main.rs", DecoyClass::Consumer),
                    decoy("notes.txt", DecoyClass::Plain),
                ],
            },
            started: 1_795_000_000,
            given: Vec::new(),
        };
        Self { header, lines: Vec::new(), seq: 0, unit: 0 }
    }

    pub(crate) fn header(mut self, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.header);
        self
    }

    /// Makes the subject a proc-macro library without a build script.
    pub(crate) fn proc_macro(self, names: &[&str]) -> Self {
        let macros = names.iter().map(|n| MacroName { name: (*n).to_owned(), kind: MacroKind::Derive }).collect();
        self.header(|h| {
            h.packages[0].build_script = false;
            h.packages[0].proc_macro = Some(macros);
        })
    }

    /// Another package from the registry.
    pub(crate) fn dependency(self, name: &str, build_script: bool) -> Self {
        let dir = format!("{REGISTRY}/{name}-2.0.0");
        self.header(|h| {
            h.packages.push(package(PackageId::new(name, "2.0.0"), PackageSource::Registry, dir, build_script));
        })
    }

    /// A build script's run of the subject, with the shim's start of it in front.
    pub(crate) fn build_script(self, _name: &str, tell: impl FnOnce(UnitBuilder) -> UnitBuilder) -> Self {
        let places = vec![OUT.into(), "/tmp/u".into(), SOURCE.into()];
        self.unit(UnitKind::RunBuildScript, Some(subject()), SCRIPT, places, tell)
    }

    /// A rustc of the subject.
    pub(crate) fn rustc(self, kind: UnitKind, tell: impl FnOnce(UnitBuilder) -> UnitBuilder) -> Self {
        let places = vec!["/home/dev/orders-service/target/debug/deps/.subject".into(), "/tmp/r".into()];
        let package = if kind == UnitKind::CompileConsumer { consumer() } else { subject() };
        self.unit(kind, Some(package), RUSTC, places, tell)
    }

    pub(crate) fn unit(
        mut self,
        kind: UnitKind,
        package: Option<PackageId>,
        exe: &str,
        places: Vec<Bytes>,
        tell: impl FnOnce(UnitBuilder) -> UnitBuilder,
    ) -> Self {
        let unit = UnitId(self.unit);
        self.unit += 1;
        self.lines.push(Line::UnitStart(UnitStart {
            unit,
            t: 1,
            kind,
            package: package.clone(),
            name: format!("{}-00112233445566{unit:02}", "unit", unit = unit.0),
            places,
        }));
        let end = UnitEnd {
            unit,
            t: 9,
            outcome: UnitOutcome::Ok,
            code: Some(0),
            duration_ms: 12,
            left_running: 0,
            left_detached: 0,
            refused_outputs: Vec::new(),
        };
        let seq = self.seq;
        let told =
            tell(UnitBuilder { unit, package, exe: exe.to_owned(), lines: Vec::new(), seq, end: Some(end), pid: 100 });
        self.seq = told.seq;
        self.lines.extend(told.lines);
        self.lines.extend(told.end.map(Line::UnitEnd));
        self
    }

    /// The consumer was built and loaded the subject's macro library.
    pub(crate) fn driven(self) -> Self {
        let id = UnitId(self.unit);
        self.rustc(UnitKind::CompileConsumer, |u| u).line(Line::Note(Note {
            code: super::line::note::MACRO_LOADED.to_owned(),
            package: Some(subject()),
            unit: Some(id),
            text: "loaded".to_owned(),
        }))
    }

    pub(crate) fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    pub(crate) fn note(self, code: &str, text: &str) -> Self {
        self.line(Line::Note(Note { code: code.to_owned(), package: None, unit: None, text: text.to_owned() }))
    }

    pub(crate) fn fact(self, code: &str, text: &str) -> Self {
        self.line(Line::Fact(Fact { code: code.to_owned(), package: subject(), text: text.to_owned(), path: None }))
    }

    pub(crate) fn directive(self, kind: &str, value: &str) -> Self {
        self.line(Line::Directive(Directive { package: subject(), kind: kind.to_owned(), value: value.into() }))
    }

    /// All lines with totals that fit them.
    pub(crate) fn lines(self) -> Vec<Line> {
        let mut totals = Totals { integrity: Integrity::Complete, ..Totals::default() };
        for line in &self.lines {
            if let Line::Attempt(attempt) = line {
                totals.recorded += 1;
                totals.coalesced += attempt.count - 1;
                if attempt.count > 1 {
                    totals.counts.insert(attempt.seq, attempt.count);
                }
            }
        }
        totals.received = totals.recorded + totals.coalesced;
        let mut lines = vec![Line::Header(Box::new(self.header))];
        lines.extend(self.lines);
        lines.push(Line::Totals(totals));
        lines
    }

    pub(crate) fn log(self) -> EvidenceLog {
        EvidenceLog::from_lines(self.lines()).unwrap()
    }

    /// As after `kill -9`: no totals.
    pub(crate) fn killed_log(self) -> EvidenceLog {
        let mut lines = self.lines();
        lines.pop();
        EvidenceLog::from_lines(lines).unwrap()
    }
}

/// The text of a file with these lines, its digest filled in.
pub(crate) fn text_of(lines: &[Line]) -> String {
    use sha2::Digest as _;
    let mut text = String::new();
    for line in lines {
        let mut line = line.clone();
        match &mut line {
            Line::Attempt(attempt) => attempt.count = 1,
            Line::Totals(totals) => totals.sha256 = Some(Sha256Digest(sha2::Sha256::digest(&text).into())),
            _ => {}
        }
        text.push_str(&serde_json::to_string(&line).unwrap());
        text.push('\n');
    }
    text
}

/// What happens in one unit, in order.
pub(crate) struct UnitBuilder {
    unit: UnitId,
    package: Option<PackageId>,
    exe: String,
    lines: Vec<Line>,
    seq: u64,
    end: Option<UnitEnd>,
    pid: i32,
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
            seq: self.seq,
            t: self.seq,
            unit: self.unit,
            package: self.package.clone(),
            via: Via::Unit,
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
        self.attempt(kind, syscall, Object::Path(PathObject { path: path.clone(), resolved: path, flags }))
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
        let object = |p: &str| PathObject { path: p.into(), resolved: p.into(), flags: Vec::new() };
        self.attempt(Kind::FsLink, syscall, Object::Paths { from: object(from), to: object(to) })
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
                program: PathObject { path: path.into(), resolved: path.into(), flags: Vec::new() },
                argv: argv.iter().map(|a| Bytes::from(*a)).collect(),
                argc: u64::try_from(argv.len()).unwrap(),
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
            Address { family: "AF_UNIX".to_owned(), ip: None, port: None, path: Some(path.into()), raw: path.into() };
        self.attempt(Kind::NetConnect, "connect", Object::Address(address))
    }

    pub(crate) fn socket(self, family: &str, kind: &str, protocol: i64) -> Self {
        self.attempt(
            Kind::NetSocket,
            "socket",
            Object::Socket { family: family.to_owned(), kind: kind.to_owned(), protocol },
        )
    }

    pub(crate) fn operation(self, kind: Kind, syscall: &str, names: &[&str]) -> Self {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        self.attempt(kind, syscall, Object::Operation { names })
    }

    pub(crate) fn signal(self, signal: i64, target: i64) -> Self {
        self.attempt(Kind::ProcSignal, "kill", Object::Signal { signal, target })
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

pub(crate) fn ip(address: &str, port: u16) -> Address {
    let ip: std::net::IpAddr = address.parse().unwrap();
    let family = if ip.is_ipv4() { "AF_INET" } else { "AF_INET6" };
    Address { family: family.to_owned(), ip: Some(ip), port: Some(port), path: None, raw: Bytes::default() }
}
