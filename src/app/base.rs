//! The base: finished units of earlier runs that a run is given, and those of its own that are kept for later ones.
//!
//! A package is taken from an earlier run if all that decides its units is the same, its evidence is whole and is the one
//! that was kept, nothing above low was found on it, and the same holds for all that it needs (decision 16).

mod ahead;
mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub(super) use ahead::{Ahead, Outputs};
pub(super) use kept::{keep, write};

use super::inputs;
use super::known::{is_recent, judged_whole};
use super::tell::{Teller, failed_to, warn};
use super::written::rewritten;
use crate::acquire::{Acquired, Replaced};
use crate::base::Finished;
use crate::base::pack::{self, Index, Pack, PackError};
use crate::evidence::captured::folder_of;
use crate::evidence::file::{Opened, open};
use crate::evidence::known;
use crate::evidence::line::{Integrity, LayerStatus, Line, PackageSource, UnitKind, UnitOutcome, UnitStart, note};
use crate::evidence::merged::{Taken, merged};
use crate::evidence::{EvidenceLog, Header};
use crate::ids::{PackageId, Sha256Digest, UnitId};
use crate::judge::{Finding, Judgement};
use crate::policy::Severity;
use crate::sandbox::spec::SandboxSpec;
use crate::settings::Settings;
use crate::toolchain::HostToolchain;

/// What decides the units of each package that could be taken.
pub(super) struct Keys {
    keys: BTreeMap<PackageId, Sha256Digest>,
    /// By package: all others that it needs, directly or not.
    needs: BTreeMap<PackageId, BTreeSet<PackageId>>,
}

/// What of a package and of all that it needs decides, beside what decides for every run.
#[derive(Serialize)]
struct Sources<'a> {
    registry_dir: &'a str,
    replaced: &'a [Replaced],
    variables: &'a [(String, String, bool)],
    flags: &'a [(String, Vec<String>)],
    packages: Vec<(&'a PackageId, Option<Sha256Digest>)>,
}

impl Keys {
    /// The keys for a lock file's packages; none where no digest holds what is given to the run.
    pub(super) fn of(acquired: &Acquired, settings: &Settings, toolchain: &HostToolchain) -> Option<Self> {
        let locked = acquired.locked.as_ref()?;
        let here: BTreeMap<_, _> = acquired.packages.iter().map(|package| (&package.id, package)).collect();
        let (mut ids, mut sources, mut needs) = (Vec::new(), Vec::new(), BTreeMap::new());
        for package in &locked.record.packages {
            let mut seen = BTreeSet::from([&package.id]);
            let mut open = vec![package];
            while let Some(next) = open.pop() {
                open.extend(locked.record.needs(next).filter(|needed| seen.insert(&needed.id)));
            }
            let checksum = |id: &&PackageId| here.get(*id).and_then(|package| package.checksum);
            // What lies in a folder has no checksum, and a package that is not here is built by nobody.
            let is_held = |id: &&PackageId| here.get(*id).is_none_or(|p| p.source == PackageSource::Registry);
            if !seen.iter().all(is_held) || checksum(&&package.id).is_none() {
                continue;
            }
            let of = Sources {
                registry_dir: &acquired.registry_dir,
                replaced: &acquired.replaced_sources,
                variables: &locked.variables,
                flags: &locked.flags,
                packages: seen.iter().map(|id| (*id, checksum(id))).collect(),
            };
            let text = serde_json::to_vec(&of).ok()?;
            sources.push(Some(Sha256Digest(Sha256::digest(text).into())));
            let others = seen.into_iter().filter(|id| **id != package.id).cloned().collect();
            needs.insert(package.id.clone(), others);
            ids.push(package.id.clone());
        }
        let keys = inputs::keys(&sources, settings, toolchain)?;
        Some(Self { keys: ids.into_iter().zip(keys).filter_map(|(id, key)| Some((id, key?))).collect(), needs })
    }
}

/// A log that finished units are taken from.
struct Source {
    opened: Opened,
    sha256: Sha256Digest,
    judgement: Judgement,
}

/// What a run is given.
pub(super) struct Given {
    stream: PathBuf,
    units: Vec<Finished>,
    sources: Vec<Source>,
    /// By package and identity: which log has the evidence, and of which units.
    evidence: BTreeMap<(PackageId, String), (usize, BTreeSet<UnitId>)>,
}

impl Given {
    /// The stream of outputs and the units that it has.
    pub(super) fn taken(&self) -> (PathBuf, Vec<Finished>) {
        (self.stream.clone(), self.units.clone())
    }
}

/// All packages that can be taken from earlier runs, copied to `stream`. What cannot be used is told and removed: these
/// packages are built.
pub(super) fn find(keys: &Keys, settings: &Settings, stream: PathBuf, teller: &Teller) -> Option<Given> {
    let begun = Instant::now();
    let mut search = Search { settings, teller, sources: Vec::new(), names: BTreeMap::new() };
    let mut found: BTreeMap<PackageId, (Index, usize)> = BTreeMap::new();
    for (package, key) in &keys.keys {
        found.extend(search.package(package, *key).map(|pack| (package.clone(), pack)));
    }
    let bytes = loop {
        // A package is as good as what it was built with.
        let have: BTreeSet<PackageId> = found.keys().cloned().collect();
        found.retain(|_, (index, _)| index.needs.iter().all(|needed| have.contains(needed)));
        if found.len() < have.len() {
            continue;
        }
        if found.is_empty() {
            return None;
        }
        let mut out = File::create(&stream).ok()?;
        let damaged = found.iter().find(|(_, (index, _))| !search.copy(index, &mut out)).map(|(id, _)| id.clone());
        match damaged {
            None => break out.metadata().ok()?.len(),
            Some(damaged) => drop(found.remove(&damaged)),
        }
    };
    let (mut units, mut evidence) = (Vec::new(), BTreeMap::new());
    for (package, (index, at)) in found {
        let log = search.sources.get(at).map(|source| &source.opened.log)?;
        for unit in &index.units {
            evidence.insert((package.clone(), unit.identity.clone()), (at, units_of(log, &package, unit)));
        }
        units.extend(index.units);
    }
    let (units_found, runs, ms) = (units.len(), search.sources.len(), begun.elapsed().as_millis());
    tracing::info!(units = units_found, runs, bytes, ms, "found finished units of earlier runs");
    Some(Given { stream, units, sources: search.sources, evidence })
}

/// Looks for packs, and reads each log once.
struct Search<'a> {
    settings: &'a Settings,
    teller: &'a Teller,
    sources: Vec<Source>,
    /// By name and digest.
    names: BTreeMap<(String, Sha256Digest), Option<usize>>,
}

impl Search<'_> {
    /// What cannot be used is removed: these units are built again.
    fn refuse(&self, key: Sha256Digest, error: &dyn std::error::Error) {
        pack::remove(&self.settings.known, key);
        let said = "finished units of an earlier run cannot be used, are removed, and are built again";
        warn(&format!("{said}: {}", failed_to(error)), self.teller);
    }

    /// What the pack of a package holds, if it can be taken, with the position of its log. Its bytes are not hashed yet.
    fn package(&mut self, package: &PackageId, key: Sha256Digest) -> Option<(Index, usize)> {
        let index = match Pack::open(&self.settings.known, key) {
            Ok(pack) => pack?.index,
            Err(error) => {
                self.refuse(key, &error);
                return None;
            }
        };
        let at = self.log(&index)?;
        self.sources.get(at).filter(|source| is_fit(source, package, &index))?;
        Some((index, at))
    }

    /// Copies a pack; false if it is not the one that was kept, or says something else than before.
    fn copy(&self, index: &Index, to: &mut impl io::Write) -> bool {
        let folder = &self.settings.known;
        let copied = Pack::open(folder, index.key).and_then(|pack| pack.map(|pack| pack.copy(to)).transpose());
        let error = match copied {
            Ok(Some(copied)) if copied == *index => return true,
            Ok(_) => PackError::Damaged(pack::path_of(folder, index.key)),
            Err(error) => error,
        };
        self.refuse(index.key, &error);
        false
    }

    fn log(&mut self, index: &Index) -> Option<usize> {
        let name = (index.evidence.clone(), index.sha256);
        if let Some(at) = self.names.get(&name) {
            return *at;
        }
        let at = match source(self.settings, &index.evidence, index.sha256) {
            Ok(source) => source.map(|source| {
                self.sources.push(source);
                self.sources.len() - 1
            }),
            Err(error) => {
                self.refuse(index.key, &error);
                None
            }
        };
        self.names.insert(name, at);
        at
    }
}

/// The log with a name and a digest, if it may still answer.
fn source(settings: &Settings, name: &str, sha256: Sha256Digest) -> Result<Option<Source>, known::KnownError> {
    if settings.fresh && !settings.of_this_call.contains(&sha256) {
        return Ok(None);
    }
    let Some(opened) = known::read(&settings.known, name, sha256)? else { return Ok(None) };
    if !is_recent(oldest(&opened.log.header), settings.now) {
        return Ok(None);
    }
    let judgement = judged_whole(&opened.log, &settings.reporting.policy);
    Ok(Some(Source { opened, sha256, judgement }))
}

/// When the oldest run began that a log has evidence of.
pub(super) fn oldest(header: &Header) -> u64 {
    header.earlier.iter().map(|run| run.started).fold(header.started, u64::min)
}

/// True if the log has whole evidence of all units of a pack, and nothing above low was found on the package.
fn is_fit(source: &Source, package: &PackageId, index: &Index) -> bool {
    let log = &source.opened.log;
    let is_known = |unit: &Finished| unit.package == *package && !units_of(log, package, unit).is_empty();
    index.package == *package && is_harmless(&source.judgement, package) && index.units.iter().all(is_known)
}

/// True if nothing above low was found on a package.
fn is_harmless(judgement: &Judgement, package: &PackageId) -> bool {
    let of_package = judgement.packages.iter().filter(|judged| judged.id == *package);
    of_package.flat_map(|judged| &judged.findings).all(|finding| finding.severity <= Severity::Low)
}

/// The units of a log that a finished unit stands for: itself, and for a macro library those that drove it.
fn units_of(log: &EvidenceLog, package: &PackageId, unit: &Finished) -> BTreeSet<UnitId> {
    let starts = || starts(log).filter(|start| start.package.as_ref() == Some(package));
    let own = starts().find(|start| start.kind == unit.kind && start.identity() == unit.identity && is_ok(log, start));
    let Some(own) = own else { return BTreeSet::new() };
    let drivers = starts().filter(|start| unit.driven && is_driver_of(start, &unit.identity));
    std::iter::once(own.unit).chain(drivers.map(|start| start.unit)).collect()
}

fn is_driver_of(start: &UnitStart, library: &str) -> bool {
    start.kind == UnitKind::DriveMacros && start.name == library
}

fn starts(log: &EvidenceLog) -> impl Iterator<Item = &UnitStart> {
    log.lines.iter().filter_map(|line| if let Line::UnitStart(start) = line { Some(start) } else { None })
}

/// True for a unit that came to its end by itself, and left nothing but what cargo asked for.
fn is_ok(log: &EvidenceLog, start: &UnitStart) -> bool {
    log.lines.iter().any(|line| match line {
        Line::UnitEnd(end) if end.unit == start.unit => {
            end.outcome == UnitOutcome::Ok
                && end.left_running == 0
                && end.forged_messages == 0
                && end.refused_outputs.is_empty()
                && end.missing_outputs.is_empty()
        }
        _ => false,
    })
}

/// Puts the evidence of the units that cargo found finished into the log of a run.
///
/// # Errors
/// When that cannot be written.
pub(super) fn complete(opened: Opened, given: Option<&Given>, spec: &SandboxSpec) -> Result<Opened, String> {
    let Some(given) = given else { return Ok(opened) };
    let mut units: BTreeMap<usize, BTreeSet<UnitId>> = BTreeMap::new();
    for line in &opened.log.lines {
        let Line::Note(said) = line else { continue };
        let Some(package) = said.package.clone().filter(|_| said.code == note::UNIT_FRESH) else { continue };
        if let Some((at, ids)) = given.evidence.get(&(package, said.text.clone())) {
            units.entry(*at).or_default().extend(ids);
        }
    }
    if units.is_empty() {
        return Ok(opened);
    }
    let of = |(at, units): (usize, BTreeSet<UnitId>)| {
        let source = given.sources.get(at)?;
        Some((source, Taken { log: &source.opened.log, sha256: source.sha256, units }))
    };
    let (sources, taken): (Vec<_>, Vec<_>) = units.into_iter().filter_map(of).unzip();
    let (header, lines, totals) = merged(&opened.log, &taken);
    let path = spec.evidence.with_file_name("completed.jsonl");
    let put = || {
        io::copy(&mut rewritten(header, &lines, &totals)?, &mut File::create_new(&path)?)?;
        let folders = sources.iter().map(|source| folder_of(&source.opened.path));
        bring_captured(&lines, &folders.collect::<Vec<_>>(), &spec.captured)
    };
    put().map_err(|error| format!("failed to complete the evidence: {error}"))?;
    open(&path).map_err(|error| failed_to(&error))
}

/// Copies what was captured of taken units.
fn bring_captured(lines: &[Line], from: &[PathBuf], to: &Path) -> io::Result<()> {
    for line in lines {
        let Line::Artifact(artifact) = line else { continue };
        let Some(digest) = artifact.sha256.filter(|_| artifact.kept > 0) else { continue };
        let at = to.join(digest.hex());
        let found = from.iter().map(|folder| folder.join(digest.hex())).find(|file| file.is_file());
        if let Some(found) = found.filter(|_| fs::symlink_metadata(&at).is_err()) {
            fs::copy(found, at)?;
        }
    }
    Ok(())
}

/// True for a critical finding on what code tried. What is known of a package has no hold on the others.
fn is_worst(finding: &Finding) -> bool {
    finding.severity == Severity::Critical && !finding.attempts.is_empty()
}

/// True if units of a run may be taken by later ones at all: nothing of it is missing, and nobody tried the worst.
fn is_sound(log: &EvidenceLog, judgement: &Judgement) -> bool {
    const BAD: [&str; 4] = [note::EVIDENCE_LOST, note::ATTRIBUTION_MISMATCH, note::UNIT_REFUSED, note::CAPTURE_FAILED];
    let layers = &log.header.layers;
    log.totals.integrity == Integrity::Complete
        && !layers.is_empty()
        && layers.iter().all(|layer| layer.status == LayerStatus::Full)
        && !log.lines.iter().any(|line| matches!(line, Line::Note(said) if BAD.contains(&said.code.as_str())))
        && !judgement.packages.iter().flat_map(|package| &package.findings).any(is_worst)
}
