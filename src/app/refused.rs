//! Sources that were refused: nothing was unpacked, nothing runs, and that is evidence.

use std::fs::File;
use std::io::{self, BufReader, Seek as _};
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::check::kernel;
use super::keep::{Later, Left, keep};
use super::tell::{Teller, deliver, fail, failed_to, judged};
use crate::acquire::{self, AcquireError, ErrorClass};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{
    FORMAT, Fact, Header, Integrity, Line, Note, Package, PackageSource, Target, TargetKind, Tool, Totals, VERSION,
    note,
};
use crate::evidence::writer::EvidenceWriter;
use crate::exit::ExitCode;
use crate::ids::PackageId;
use crate::plan::layout::layout;
use crate::report::Report;
use crate::settings::Settings;
use crate::toolchain::HostToolchain;

/// Nothing was unpacked: a refused archive or checksum is judged like any other evidence, the rest is an error.
pub(super) fn refuse(
    error: &AcquireError,
    settings: &Settings,
    toolchain: &HostToolchain,
    teller: &Teller,
) -> ExitCode {
    if let Some(fact) = error.fact() {
        return match tell(fact, error.hint(), settings, toolchain, teller) {
            Ok(report) => match deliver(&report, &settings.reporting, teller) {
                ExitCode::Internal => ExitCode::Internal,
                _ => ExitCode::Fail,
            },
            Err(why) => fail(teller, ExitCode::Internal, why, Some(crate::error_chain(error))),
        };
    }
    let code = match error.class() {
        ErrorClass::Usage => ExitCode::Usage,
        ErrorClass::NotFound => ExitCode::NotFound,
        ErrorClass::Refused => ExitCode::Fail,
        ErrorClass::Temporary => ExitCode::Temporary,
        ErrorClass::Internal => ExitCode::Internal,
    };
    fail(teller, code, crate::error_chain(error), error.hint())
}

/// Writes the log of a run that came to nothing, judges it and keeps it.
fn tell(
    fact: Fact,
    hint: Option<String>,
    settings: &Settings,
    toolchain: &HostToolchain,
    teller: &Teller,
) -> Result<Report, String> {
    let policy = &settings.reporting.policy;
    let header = header(&fact.package, settings, toolchain);
    let package = Some(fact.package.clone());
    let (code, text) = (note::REFUSED.to_owned(), hint.unwrap_or_default());
    let lines = [Line::Fact(fact), Line::Note(Note { code, package, unit: None, text, limit: None })];
    let file = written(header, &lines).map_err(|error| format!("failed to write evidence: {error}"))?;
    let log = EvidenceLog::read(BufReader::new(&file), None).map_err(|error| failed_to(&error))?;
    let verdict = Report::new(&log, policy, None).verdict;
    let left = Left { file, log: &log, counters: None, captured: None };
    let kept = keep(left, settings, verdict, Later::default(), teller)?.shown;
    Ok(judged(&log, &settings.reporting, kept.as_deref().and_then(Path::to_str)))
}

/// The log, in memory: where it is kept depends on what it comes to.
pub(super) fn written(header: Header, lines: &[Line]) -> io::Result<File> {
    // Nothing was dropped, for nothing ran.
    rewritten(header, lines, &Totals { integrity: Integrity::Complete, ..Totals::default() })
}

/// The same for lines of another log, with the totals of their attempts.
pub(super) fn rewritten(header: Header, lines: &[Line], totals: &Totals) -> io::Result<File> {
    let memory = || memfd_create("evidence", MFdFlags::MFD_CLOEXEC).map(File::from);
    let mut file = memory()?;
    let mut writer = EvidenceWriter::new(file.try_clone()?, &memory()?, 0, u64::MAX)?;
    writer.open(header)?;
    writer.close_as(lines, totals)?;
    file.rewind()?;
    Ok(file)
}

fn header(package: &PackageId, settings: &Settings, toolchain: &HostToolchain) -> Header {
    let kind = match settings.request {
        acquire::Request::Release { .. } => TargetKind::Release,
        acquire::Request::Directory(_) => TargetKind::Directory,
        acquire::Request::Archive(_) => TargetKind::Archive,
        acquire::Request::Lock(_) => TargetKind::Lock,
    };
    let refused = Package {
        id: package.clone(),
        source: if kind == TargetKind::Archive { PackageSource::Archive } else { PackageSource::Registry },
        checksum: None,
        dir: "".into(),
        subject: true,
        build_script: false,
        proc_macro: None,
    };
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        tool: Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        target: Target { kind, name: package.name.clone(), version: package.version.clone(), checksum: None },
        packages: vec![refused],
        toolchain: toolchain.record.clone(),
        kernel: kernel(),
        layers: Vec::new(),
        layout: layout("", &toolchain.sysroot),
        started: settings.now,
        given: Vec::new(),
        depth: crate::evidence::line::Depth::default(),
        policy: Some(settings.reporting.policy.record()),
        earlier: Vec::new(),
        lock: None,
    }
}
