//! The answer of an earlier run with the same inputs: its evidence, judged again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::check::kernel;
use super::keep::{Left, keep, keep_asked};
use super::refused::rewritten;
use super::tell::{Teller, deliver, fail, failed_to, judged};
use crate::acquire::Resolved;
use crate::evidence::EvidenceLog;
use crate::evidence::captured::folder_of;
use crate::evidence::file::Opened;
use crate::evidence::known::{self, Bounds};
use crate::evidence::line::{Fact, LayerStatus, Line, PackageSource};
use crate::exit::ExitCode;
use crate::facts;
use crate::ids::{PackageId, Sha256Digest};
use crate::report::{Report, Reused};
use crate::settings::Settings;
use crate::toolchain::HostToolchain;

/// The evidence of an earlier run, if it answers for this one.
///
/// # Errors
/// When something is there that cannot be used, in words. It is gone then, as far as it was ours.
pub(super) fn find(
    key: Sha256Digest,
    resolved: &Resolved,
    settings: &Settings,
    toolchain: &HostToolchain,
) -> Result<Option<Opened>, String> {
    let broken = |what: &str| {
        known::remove(&settings.known, key);
        format!("evidence of an earlier run cannot be used, is removed, and the build is made again: {what}")
    };
    let found = known::find(&settings.known, key).map_err(|error| broken(&super::tell::failed_to(&error)))?;
    let Some(opened) = found else { return Ok(None) };
    if !is_of(&opened.log, resolved, toolchain) {
        return Err(broken("it is of another run than its name says"));
    }
    Ok(Some(opened).filter(|opened| answers(&opened.log, settings)))
}

/// True if the log is that of such a run.
fn is_of(log: &EvidenceLog, resolved: &Resolved, toolchain: &HostToolchain) -> bool {
    let header = &log.header;
    let of_registries = header.packages.iter().filter(|package| package.source == PackageSource::Registry);
    let packages: BTreeMap<_, _> =
        of_registries.filter_map(|package| Some((package.id.clone(), package.checksum?))).collect();
    header.target == resolved.target
        && packages == resolved.packages
        && header.toolchain == toolchain.record
        && header.kernel == kernel()
        && header.tool.version == env!("CARGO_PKG_VERSION")
}

/// True if the run saw all that it should have seen, with all layers, and is not too long ago.
fn answers(log: &EvidenceLog, settings: &Settings) -> bool {
    is_recent(log.header.started, settings.now) && lasts(log, &Report::new(log, &settings.reporting.policy, None))
}

/// A run of the future was made under another clock.
fn is_recent(started: u64, now: u64) -> bool {
    now.checked_sub(started).is_some_and(|age| age <= Bounds::default().age)
}

/// True for a run that can answer for later ones. Whatever else may have been missing may be there the next time.
pub(super) fn lasts(log: &EvidenceLog, report: &Report) -> bool {
    let layers = &log.header.layers;
    report.is_complete() && !layers.is_empty() && layers.iter().all(|layer| layer.status == LayerStatus::Full)
}

/// Tells what the evidence of the earlier run comes to today. What may have become known since is told anew: where
/// that is something else, evidence with it answers from now on.
pub(super) fn tell(
    opened: &Opened,
    anew: Vec<Fact>,
    key: Option<Sha256Digest>,
    settings: &Settings,
    teller: &Teller,
) -> ExitCode {
    let target = &opened.log.header.target;
    let subject = PackageId::new(&target.name, &target.version);
    let lines = with_facts(&opened.log, anew, |fact| facts::is_told_anew(fact, &subject));
    if lines == opened.log.lines {
        return tell_as_it_is(opened, settings, teller);
    }
    match written_anew(opened, &lines, key, settings, teller) {
        Ok(report) => deliver(&report, &settings.reporting, teller),
        Err(message) => fail(teller, ExitCode::Internal, message, None),
    }
}

/// The lines of a log with facts in the place of those that they tell again.
pub(super) fn with_facts(log: &EvidenceLog, anew: Vec<Fact>, is_told: impl Fn(&Fact) -> bool) -> Vec<Line> {
    let is_told_anew = |line: &&Line| matches!(line, Line::Fact(fact) if is_told(fact));
    let at = log.lines.iter().position(|line| is_told_anew(&line)).unwrap_or(0);
    let (before, behind) = log.lines.split_at(at);
    let behind = behind.iter().filter(|line| !is_told_anew(line)).cloned();
    before.iter().cloned().chain(anew.into_iter().map(Line::Fact)).chain(behind).collect()
}

/// The header and the attempts stay what they were.
fn written_anew(
    opened: &Opened,
    lines: &[Line],
    key: Option<Sha256Digest>,
    settings: &Settings,
    teller: &Teller,
) -> Result<Report, String> {
    let EvidenceLog { header, totals, .. } = &opened.log;
    let file =
        rewritten(header.clone(), lines, totals).map_err(|error| format!("failed to write evidence: {error}"))?;
    let log = EvidenceLog::read(BufReader::new(&file), None).map_err(|error| failed_to(&error))?;
    let policy = &settings.reporting.policy;
    let draft = Report::new(&log, policy, None);
    let key = key.filter(|_| lasts(&log, &draft));
    let captured = folder_of(&opened.path);
    let captured = Some(captured.as_path()).filter(|folder| folder.is_dir());
    let left = Left { file, log: &log, counters: None, captured };
    let path = keep(left, settings, draft.verdict, key, teller)?;
    let mut report = judged(&log, &settings.reporting, path.as_deref().and_then(Path::to_str));
    report.reused = Some(Reused::of(&log));
    Ok(report)
}

fn tell_as_it_is(opened: &Opened, settings: &Settings, teller: &Teller) -> ExitCode {
    let captured = folder_of(&opened.path);
    let copied = File::open(&opened.path).map_err(|error| format!("failed to open {}: {error}", opened.path.display()));
    let copied = copied.and_then(|file| {
        let captured = Some(captured.as_path()).filter(|folder| folder.is_dir());
        keep_asked(&mut Left { file, log: &opened.log, counters: None, captured }, settings)
    });
    let path = match copied {
        Ok(copied) => copied.unwrap_or_else(|| opened.path.clone()),
        Err(message) => return fail(teller, ExitCode::Internal, message, None),
    };
    let mut report = judged(&opened.log, &settings.reporting, path.to_str());
    report.reused = Some(Reused::of(&opened.log));
    deliver(&report, &settings.reporting, teller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_answers_for_thirty_days() {
        const DAY: u64 = 24 * 60 * 60;
        assert!(is_recent(100 * DAY, 100 * DAY) && is_recent(100 * DAY, 130 * DAY));
        assert!(!is_recent(100 * DAY, 130 * DAY + 1) && !is_recent(100 * DAY + 1, 100 * DAY));
    }
}
