//! The answer of an earlier run with the same inputs: its evidence, judged again.

use std::collections::BTreeMap;
use std::fs::File;

use super::check::kernel;
use super::keep::{Left, keep_asked};
use super::tell::{Teller, deliver, fail};
use crate::acquire::Resolved;
use crate::evidence::EvidenceLog;
use crate::evidence::captured::folder_of;
use crate::evidence::file::Opened;
use crate::evidence::known::{self, Bounds};
use crate::evidence::line::{LayerStatus, PackageSource};
use crate::exit::ExitCode;
use crate::ids::Sha256Digest;
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

/// Tells what the evidence of the earlier run comes to today.
pub(super) fn tell(opened: &Opened, settings: &Settings, teller: &Teller) -> ExitCode {
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
    let mut report = Report::new(&opened.log, &settings.reporting.policy, path.to_str());
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
