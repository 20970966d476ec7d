//! Builds logs by hand, so that tests of the judge read as claims.

mod locks;
mod unit;

pub(crate) use locks::lock;
pub(crate) use unit::UnitBuilder;

use super::line::{
    Address, DecoyClass, DecoyPath, Depth, Directive, FORMAT, Fact, Header, Integrity, Layer, LayerStatus, Layout,
    Line, MacroKind, MacroName, Note, Output, Package, PackageSource, Target, TargetKind, Tool, Toolchain, Totals,
    UnitEnd, UnitKind, UnitOutcome, UnitStart, VERSION,
};
use super::{Bytes, EvidenceLog};
use crate::ids::{PackageId, Sha256Digest, UnitId};

pub(crate) const HOME: &str = "/home/dev";
pub(crate) const CARGO_HOME: &str = "/home/dev/.cargo";
pub(crate) const REGISTRY: &str = "/home/dev/.cargo/registry/src/registry.invalid-1949cf8c6b5b557f";
pub(crate) const TOOLCHAIN: &str = "/home/dev/.rustup/toolchains/stable-x86_64-unknown-linux-gnu";
pub(crate) const RUSTC: &str = "/home/dev/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/bin/rustc";
pub(crate) const CONSUMER: &str = "/home/dev/orders-service";
pub(crate) const DEPS: &str = "/home/dev/orders-service/target/debug/deps";
pub(crate) const SCRIPT: &str =
    "/home/dev/orders-service/target/debug/build/subject-0011223344556677/.real/build-script-build";
/// What stands in the place of a build script, and is the init of its unit.
pub(crate) const SHIM: &str = "/home/dev/orders-service/target/debug/build/subject-0011223344556677/build-script-build";
pub(crate) const OUT: &str = "/home/dev/orders-service/target/debug/build/subject-8899aabbccddeeff/out";
pub(crate) const SOURCE: &str = "/home/dev/.cargo/registry/src/registry.invalid-1949cf8c6b5b557f/subject-1.0.0";

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
            earlier: Vec::new(),
            features: None,
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
            needs: Vec::new(),
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
                local_src: "/workspace/crates".to_owned(),
                consumer: CONSUMER.to_owned(),
                target_dir: format!("{CONSUMER}/target"),
                tmp: "/tmp".to_owned(),
                tool: "/run/sandbox-check".to_owned(),
                given: Vec::new(),
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
            depth: Depth::Check,
            policy: None,
            lock: None,
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

    /// What the user let in.
    pub(crate) fn given(mut self, paths: &[&str]) -> Self {
        self.header.layout.given = paths.iter().map(|&path| path.to_owned()).collect();
        self
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
            earlier: None,
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
            missing_outputs: Vec::new(),
            forged_messages: 0,
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
            code: crate::evidence::line::note::MACRO_LOADED.to_owned(),
            package: Some(subject()),
            unit: Some(id),
            text: "loaded".to_owned(),
            limit: None,
        }))
    }

    pub(crate) fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    pub(crate) fn note(self, code: &str, text: &str) -> Self {
        self.line(Line::Note(Note {
            code: code.to_owned(),
            package: None,
            unit: None,
            text: text.to_owned(),
            limit: None,
        }))
    }

    /// What cargo itself printed.
    pub(crate) fn said(self, text: &str) -> Self {
        let (stream, tail) = ("stderr".to_owned(), text.into());
        self.line(Line::Output(Output { unit: None, package: None, stream, tail }))
    }

    pub(crate) fn fact(self, code: &str, text: &str) -> Self {
        self.line(Line::Fact(Fact::new(code, &subject(), text)))
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

/// The text of a file with these lines, links and digest filled in.
pub(crate) fn text_of(lines: &[Line]) -> String {
    let mut chain = super::format::Chain::default();
    written(lines, |bytes| chain.seal(bytes))
}

/// The same as version 1 had it.
pub(crate) fn text_of_version_1(lines: &[Line]) -> String {
    let mut lines = lines.to_vec();
    if let Some(Line::Header(header)) = lines.first_mut() {
        header.version = 1;
    }
    written(&lines, |_| {})
}

fn written(lines: &[Line], mut seal: impl FnMut(&mut Vec<u8>)) -> String {
    use sha2::Digest as _;
    let mut text = String::new();
    for line in lines {
        let mut line = line.clone();
        match &mut line {
            Line::Attempt(attempt) => attempt.count = 1,
            Line::Totals(totals) => totals.sha256 = Some(Sha256Digest(sha2::Sha256::digest(&text).into())),
            _ => {}
        }
        let mut bytes = serde_json::to_vec(&line).unwrap();
        seal(&mut bytes);
        text.push_str(&String::from_utf8(bytes).unwrap());
        text.push('\n');
    }
    text
}

pub(crate) fn ip(address: &str, port: u16) -> Address {
    let ip: std::net::IpAddr = address.parse().unwrap();
    let family = if ip.is_ipv4() { "AF_INET" } else { "AF_INET6" };
    Address { family: family.to_owned(), ip: Some(ip), port: Some(port), ..Address::default() }
}
