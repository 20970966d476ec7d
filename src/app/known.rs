//! The answer of an earlier run with the same inputs: its evidence, judged again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::check::kernel;
use super::keep::{Later, Left, keep, keep_asked};
use super::tell::{Teller, failed_to, judged};
use super::written::rewritten;
use super::{base, baseline};
use crate::acquire::Resolved;
use crate::evidence::EvidenceLog;
use crate::evidence::captured::folder_of;
use crate::evidence::fact::BASELINE;
use crate::evidence::file::Opened;
use crate::evidence::known::{self, Bounds};
use crate::evidence::line::{Fact, Header, LayerStatus, Line, LockRecord, LockedPackage, PackageSource, Target};
use crate::facts::{self, FactsError};
use crate::ids::{PackageId, Sha256Digest};
use crate::judge::{Judgement, Verdict, judge};
use crate::policy::Policy;
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
    let is_of_target = match (&resolved.lock, &header.lock) {
        (None, None) => header.target == resolved.target && packages == resolved.packages,
        (Some(lock), Some(record)) => {
            // What the platform does not need is locked, too.
            let is_locked = |(id, checksum): (&PackageId, &Sha256Digest)| resolved.packages.get(id) == Some(checksum);
            packages.iter().all(is_locked) && is_same_lock(record, &lock.record)
        }
        _ => false,
    };
    is_of_target
        && header.toolchain == toolchain.record
        && header.kernel == kernel()
        && header.tool.version == env!("CARGO_PKG_VERSION")
}

fn is_same_lock(one: &LockRecord, other: &LockRecord) -> bool {
    let plain = |package: &LockedPackage| LockedPackage { left_out: None, change: None, ..package.clone() };
    one.consumer == other.consumer
        && one.deps_only == other.deps_only
        && one.packages.len() == other.packages.len()
        && one.packages.iter().zip(&other.packages).all(|(one, other)| plain(one) == plain(other))
}

/// True if the run saw all that it should have seen, with all layers, and is not too long ago.
fn answers(log: &EvidenceLog, settings: &Settings) -> bool {
    is_recent(base::oldest(&log.header), settings.now) && lasts(log, &judged_whole(log, &settings.reporting.policy))
}

/// A run of the future was made under another clock.
pub(super) fn is_recent(started: u64, now: u64) -> bool {
    now.checked_sub(started).is_some_and(|age| age <= Bounds::default().age)
}

/// True for a run that can answer for later ones, by the judgement on all of it. Whatever else may have been missing may
/// be there the next time.
pub(super) fn lasts(log: &EvidenceLog, whole: &Judgement) -> bool {
    let layers = &log.header.layers;
    let is_full = !layers.is_empty() && layers.iter().all(|layer| layer.status == LayerStatus::Full);
    is_full && whole.completeness.is_complete()
}

/// The judgement that later runs go by: without decisions, and on all packages, since one on changes says nothing of what
/// the others lack.
pub(super) fn judged_whole(log: &EvidenceLog, policy: &Policy) -> Judgement {
    match log.header.lock.as_deref() {
        Some(record) if record.since.is_some() => {
            let mut all = log.clone();
            all.header.lock = Some(Box::new(LockRecord { since: None, ..record.clone() }));
            judge(&all, policy)
        }
        _ => judge(log, policy),
    }
}

/// What decides, before there is a report, what is kept of a log.
pub(super) struct Preview {
    /// On what the run was asked for.
    pub(super) verdict: Verdict,
    /// On all packages.
    pub(super) whole: Judgement,
}

impl Preview {
    pub(super) fn of(log: &EvidenceLog, policy: &Policy) -> Self {
        let whole = judged_whole(log, policy);
        let is_limited = log.header.lock.as_ref().is_some_and(|record| record.since.is_some());
        let verdict = if is_limited { judge(log, policy).verdict } else { whole.verdict };
        Self { verdict, whole }
    }
}

/// What this call knows, in the place of what the earlier run knew.
pub(super) struct Today {
    target: Target,
    lock: Option<LockRecord>,
    facts: Vec<Fact>,
}

impl Today {
    /// What is known of resolved packages, and what has become known of them.
    pub(super) fn new(resolved: &Resolved, settings: &Settings) -> Result<Self, FactsError> {
        let of_today = |record: &LockRecord| LockRecord { last: baseline::last(settings), ..record.clone() };
        let lock = resolved.lock.as_ref().map(|lock| of_today(&lock.record));
        let mut facts = facts::anew(resolved, &settings.facts)?;
        facts.extend(baseline::facts(lock.as_ref(), settings));
        Ok(Self { target: resolved.target.clone(), lock, facts })
    }

    /// The header of the earlier run. Of a lock file, what it is compared with and where it lies is of today.
    fn header(&self, then: &Header) -> Header {
        let mut header = then.clone();
        let (Some(record), Some(today)) = (&mut header.lock, &self.lock) else { return header };
        header.target.clone_from(&self.target);
        record.path.clone_from(&today.path);
        record.since.clone_from(&today.since);
        record.last.clone_from(&today.last);
        record.taken.clone_from(&today.taken);
        record.ignored.clone_from(&today.ignored);
        for (package, today) in record.packages.iter_mut().zip(&today.packages) {
            package.change.clone_from(&today.change);
        }
        header
    }
}

/// What the evidence of the earlier run comes to today. What may have become known since is told anew: where that is
/// something else, evidence with it answers from now on.
///
/// # Errors
/// When evidence cannot be written where that was asked for, in words.
pub(super) fn answer(
    opened: &Opened,
    today: &Today,
    key: Option<Sha256Digest>,
    settings: &Settings,
    teller: &Teller,
) -> Result<Report, String> {
    let header = today.header(&opened.log.header);
    let subject = PackageId::new(&header.target.name, &header.target.version);
    let lines = with_facts(&opened.log, today.facts.clone(), |fact| {
        fact.code == BASELINE || facts::is_told_anew(fact, &subject)
    });
    let mut report = if lines == opened.log.lines && header == opened.log.header {
        as_it_is(opened, settings)?
    } else {
        written_anew(opened, header, &lines, key, settings, teller)?
    };
    report.reused = Some(Reused::of(&opened.log));
    Ok(report)
}

/// The lines of a log with facts in the place of those that they tell again.
pub(super) fn with_facts(log: &EvidenceLog, anew: Vec<Fact>, is_told: impl Fn(&Fact) -> bool) -> Vec<Line> {
    let is_told_anew = |line: &&Line| matches!(line, Line::Fact(fact) if is_told(fact));
    let at = log.lines.iter().position(|line| is_told_anew(&line)).unwrap_or(0);
    let (before, behind) = log.lines.split_at(at);
    let behind = behind.iter().filter(|line| !is_told_anew(line)).cloned();
    before.iter().cloned().chain(anew.into_iter().map(Line::Fact)).chain(behind).collect()
}

/// The attempts stay what they were.
fn written_anew(
    opened: &Opened,
    header: Header,
    lines: &[Line],
    key: Option<Sha256Digest>,
    settings: &Settings,
    teller: &Teller,
) -> Result<Report, String> {
    let file =
        rewritten(header, lines, &opened.log.totals).map_err(|error| format!("failed to write evidence: {error}"))?;
    let log = EvidenceLog::read(BufReader::new(&file), None).map_err(|error| failed_to(&error))?;
    let preview = Preview::of(&log, &settings.reporting.policy);
    let captured = folder_of(&opened.path);
    let captured = Some(captured.as_path()).filter(|folder| folder.is_dir());
    let left = Left { file, log: &log, counters: None, captured };
    let later = Later { key: key.filter(|_| lasts(&log, &preview.whole)), ..Later::default() };
    let kept = keep(left, settings, preview.verdict, later, teller)?;
    Ok(judged(&log, &settings.reporting, kept.shown.as_deref().and_then(Path::to_str)))
}

fn as_it_is(opened: &Opened, settings: &Settings) -> Result<Report, String> {
    let captured = folder_of(&opened.path);
    let file =
        File::open(&opened.path).map_err(|error| format!("failed to open {}: {error}", opened.path.display()))?;
    let captured = Some(captured.as_path()).filter(|folder| folder.is_dir());
    let copied = keep_asked(&mut Left { file, log: &opened.log, counters: None, captured }, settings)?;
    let path = copied.unwrap_or_else(|| opened.path.clone());
    Ok(judged(&opened.log, &settings.reporting, path.to_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::time::DAY;

    #[test]
    fn a_run_answers_for_thirty_days() {
        assert!(is_recent(100 * DAY, 100 * DAY) && is_recent(100 * DAY, 130 * DAY));
        assert!(!is_recent(100 * DAY, 130 * DAY + 1) && !is_recent(100 * DAY + 1, 100 * DAY));
    }
}
