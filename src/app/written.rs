//! Logs that this side of the sandbox writes: of calls that build nothing, and other logs with lines in the place of some.

use std::fs::File;
use std::io::{self, BufReader, Seek as _};
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::check::kernel;
use super::keep::{Later, Left, keep};
use super::tell::{Teller, failed_to, judged};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{Depth, FORMAT, Header, Integrity, Line, Package, Target, Tool, Totals, VERSION};
use crate::evidence::writer::EvidenceWriter;
use crate::plan::layout::layout;
use crate::report::Report;
use crate::settings::Settings;
use crate::toolchain::HostToolchain;

/// The header of a log for which nothing runs: no layer was proven, nothing was given.
pub(super) fn unbuilt(
    target: Target,
    packages: Vec<Package>,
    settings: &Settings,
    toolchain: &HostToolchain,
) -> Header {
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        tool: Tool::this(),
        target,
        packages,
        needs: Vec::new(),
        toolchain: toolchain.record.clone(),
        kernel: kernel(),
        layers: Vec::new(),
        layout: layout("", &toolchain.sysroot),
        started: settings.now,
        given: Vec::new(),
        depth: Depth::default(),
        policy: Some(settings.reporting.policy.record()),
        earlier: Vec::new(),
        features: None,
        lock: None,
    }
}

/// Writes a log for which nothing ran, judges it and keeps it.
///
/// # Errors
/// When it cannot be written, or not be kept where that was asked for, in words.
pub(super) fn tell(header: Header, lines: &[Line], settings: &Settings, teller: &Teller) -> Result<Report, String> {
    // Nothing was dropped.
    let totals = Totals { integrity: Integrity::Complete, ..Totals::default() };
    let file = rewritten(header, lines, &totals).map_err(|error| format!("failed to write evidence: {error}"))?;
    let log = EvidenceLog::read(BufReader::new(&file), None).map_err(|error| failed_to(&error))?;
    let verdict = Report::new(&log, &settings.reporting.policy, None).verdict;
    let left = Left { file, log: &log, counters: None, captured: None };
    let kept = keep(left, settings, verdict, Later::default(), teller)?.shown;
    Ok(judged(&log, &settings.reporting, kept.as_deref().and_then(Path::to_str)))
}

/// A log of these lines, with the totals of their attempts; in memory, since where it is kept depends on what it comes to.
pub(super) fn rewritten(header: Header, lines: &[Line], totals: &Totals) -> io::Result<File> {
    let memory = || memfd_create("evidence", MFdFlags::MFD_CLOEXEC).map(File::from);
    let mut file = memory()?;
    let mut writer = EvidenceWriter::new(file.try_clone()?, &memory()?, 0, u64::MAX)?;
    writer.open(header)?;
    writer.close_as(lines, totals)?;
    file.rewind()?;
    Ok(file)
}
