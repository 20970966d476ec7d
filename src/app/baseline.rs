//! What earlier runs found of the versions that a lock file had before, and what the last one found of all of it: kept in the
//! evidence, so that a replay compares as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::known::judged_whole;
use super::tell::{Teller, warn};
use crate::acquire::Request;
use crate::evidence::EvidenceLog;
use crate::evidence::baselines::{self, JudgedBy};
use crate::evidence::fact::{BASELINE, Baseline, BaselineFinding};
use crate::evidence::file::open;
use crate::evidence::known::{Shelf, is_build};
use crate::evidence::line::{Change, Fact, LastPackage, LastRun, LockRecord, PackageSource, Tool};
use crate::ids::{PackageId, Sha256Digest, counted};
use crate::judge::{Finding, Judgement};
use crate::policy::Policy;
use crate::report::{Report, ReportFinding, ReportPackage};
use crate::settings::Settings;

/// More findings than any package has that somebody reads.
const MOST: usize = 1000;

/// An earlier run, judged today.
struct Earlier {
    judgement: Judgement,
    recorded: u64,
    evidence: Option<Sha256Digest>,
}

impl Earlier {
    fn new(log: &EvidenceLog, judgement: Judgement) -> Self {
        Self { judgement, recorded: log.header.started, evidence: log.sha256 }
    }
}

/// What judges findings here.
fn by(policy: &Policy) -> JudgedBy {
    JudgedBy { tool: Tool::this(), policy: policy.record().sha256 }
}

/// Keeps what was found of each package of a registry or of git that was seen in full, whatever the verdict, for a run that
/// compares its next version.
pub(super) fn remember(log: &EvidenceLog, whole: Judgement, settings: &Settings, teller: &Teller) {
    if !is_build(log) {
        return;
    }
    let earlier = Earlier::new(log, whole);
    let packages = earlier.judgement.packages.iter();
    let of_others = packages.filter(|p| matches!(p.source, PackageSource::Registry | PackageSource::Git));
    let all = of_others.filter_map(|package| Some((package.id.clone(), baseline(&earlier, &package.id)?)));
    if let Err(error) = baselines::put(&settings.known, &by(&settings.reporting.policy), all) {
        let folder = settings.known.display();
        warn(&format!("what was found is not kept in {folder} to compare later versions with: {error}"), teller);
    }
}

/// What the last run of this lock file found, where the report is on all of it.
pub(super) fn last(settings: &Settings) -> Option<LastRun> {
    baselines::find_last(&settings.known, &by(&settings.reporting.policy), &name(settings)?)
}

/// Keeps what a run of all of a lock file found, for the next one.
pub(super) fn remember_last(report: &Report, settings: &Settings, teller: &Teller) {
    let Some(name) = name(settings) else { return };
    let facts = report.coverage.facts.iter().filter(|source| source.changes());
    let found = LastRun {
        recorded: settings.now,
        asked: facts.map(|source| (source.source.clone(), source.status)).collect(),
        packages: report.packages.iter().filter_map(|package| seen(report, package)).collect(),
    };
    // A run that was stopped saw less than the one before it.
    if found.packages.iter().all(|package| package.is_partial) {
        return;
    }
    if baselines::is_last_damaged(&settings.known, &name) {
        let folder = settings.known.display();
        warn(&format!("what the last run left in {folder} is not what it wrote: nothing was compared with it"), teller);
    }
    if let Err(error) = baselines::put_last(&settings.known, &by(&settings.reporting.policy), &name, found) {
        let folder = settings.known.display();
        warn(&format!("what was found is not kept in {folder} to tell the next time what is new: {error}"), teller);
    }
}

/// What a run is of; none where it is not on all of a lock file. What is looked at in another way is another thing.
fn name(settings: &Settings) -> Option<String> {
    let Request::Lock(request) = &settings.request else { return None };
    let how = (request.deps_only, settings.depth, settings.trace.probes);
    request.since.is_none().then(|| format!("{} {how:?}", request.file.display()))
}

fn seen(report: &Report, package: &ReportPackage) -> Option<LastPackage> {
    let id: PackageId = package.id.parse().ok()?;
    let of = |finding: &ReportFinding| BaselineFinding {
        code: finding.code.to_owned(),
        severity: finding.severity.as_str().to_owned(),
        fingerprint: finding.fingerprint.clone(),
        subject: finding.subject.clone(),
        hidden: finding.is_hidden(),
        is_fact: finding.unit.is_none(),
    };
    let findings = package.findings.iter().take(MOST).map(of).collect();
    Some(LastPackage { is_partial: !report.completeness.is_complete_for(&id), id, findings })
}

/// One fact for each package that was there with another version, where evidence of that one is kept.
pub(super) fn facts(record: Option<&LockRecord>, settings: &Settings) -> Vec<Fact> {
    let Some(record) = record.filter(|record| record.since.is_some()) else { return Vec::new() };
    let shelves: Vec<Shelf> =
        settings.evidence.iter().chain([&settings.known]).map(|folder| Shelf::new(folder)).collect();
    let mut judged: BTreeMap<PathBuf, Option<Earlier>> = BTreeMap::new();
    let mut all = Vec::new();
    for package in &record.packages {
        let Some(Change::Changed { from }) = &package.change else { continue };
        // The same version with other bytes: which of the two the evidence is of is not known.
        let mut versions: Vec<&String> = from.iter().filter(|version| **version != package.id.version).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.parse::<semver::Version>().ok()));
        let found = versions.into_iter().find_map(|version| {
            let id = PackageId::new(&package.id.name, version).with_mark(package.id.mark().map(str::to_owned));
            let paths = shelves.iter().flat_map(|shelf| shelf.with(&package.id.name, Some(version.as_str())));
            paths
                .into_iter()
                .find_map(|path| {
                    let earlier =
                        judged.entry(path.to_owned()).or_insert_with(|| earlier(path, &settings.reporting.policy));
                    baseline(earlier.as_ref()?, &id)
                })
                .or_else(|| baselines::find(&settings.known, &by(&settings.reporting.policy), &id))
        });
        if let Some(baseline) = found {
            let things = counted(u64::try_from(baseline.findings.len()).unwrap_or(u64::MAX), "thing");
            let text = format!("an earlier run found {things} of version {}", baseline.version);
            all.push(Fact::new(BASELINE, &package.id, text).with(&baseline));
        }
    }
    all
}

fn earlier(path: &Path, policy: &Policy) -> Option<Earlier> {
    let log = open(path).ok()?.log;
    is_build(&log).then(|| Earlier::new(&log, judged_whole(&log, policy)))
}

/// What was found of a package, where all of it was seen.
fn baseline(earlier: &Earlier, id: &PackageId) -> Option<Baseline> {
    let package = earlier.judgement.packages.iter().find(|package| package.id == *id)?;
    if !earlier.judgement.completeness.is_complete_for(id) {
        return None;
    }
    let of = |finding: &Finding| BaselineFinding {
        code: finding.code.to_owned(),
        severity: finding.severity.as_str().to_owned(),
        fingerprint: finding.fingerprint.clone(),
        subject: finding.subject.clone(),
        ..BaselineFinding::default()
    };
    Some(Baseline {
        version: id.version.clone(),
        recorded: earlier.recorded,
        evidence: earlier.evidence,
        findings: package.findings.iter().take(MOST).map(of).collect(),
    })
}
