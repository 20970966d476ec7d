//! Which units of a run are kept for later ones, with their outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use super::ahead::Outputs;
use super::{Keys, is_driver_of, is_harmless, is_ok, is_sound, starts};
use crate::base::pack::{Draft, Index};
use crate::base::stream::{Entry, EntryKind};
use crate::base::tree::Tree;
use crate::base::{Finished, owner};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{Line, UnitKind, note};
use crate::ids::PackageId;
use crate::judge::Judgement;

/// What lacks of a package when a run was stopped, and that a later run makes good: whether all of it is there is judged
/// anew with the evidence of both.
const OPEN: [&str; 2] = ["unit-not-run", "undriven"];

/// The folders of the target folder that hold outputs of units, and cargo's word on them.
const FOLDERS: [&str; 3] = ["debug/deps", "debug/build", "debug/.fingerprint"];

/// The packages of a run that later runs may take, with their units, by the judgement on all of it.
pub(in crate::app) fn keep(log: &EvidenceLog, keys: &Keys, whole: &Judgement) -> BTreeMap<PackageId, Vec<Finished>> {
    if !is_sound(log, whole) {
        return BTreeMap::new();
    }
    let mut all: BTreeMap<PackageId, Vec<Finished>> = BTreeMap::new();
    let mut has_units = BTreeSet::new();
    for start in starts(log).filter(|start| !matches!(start.kind, UnitKind::SelfTest | UnitKind::DriveMacros)) {
        let Some(package) = &start.package else { continue };
        has_units.insert(package.clone());
        let identity = start.identity();
        let driven = start.kind == UnitKind::CompileProcMacro && is_driven(log, package, &identity);
        let unit = Finished { package: package.clone(), kind: start.kind, identity, driven };
        all.entry(package.clone()).or_default().push(unit);
    }
    let is_fine = |package: &PackageId| {
        let of_package = starts(log).filter(|start| start.package.as_ref() == Some(package));
        keys.keys.contains_key(package)
            && is_harmless(whole, package)
            && is_whole(whole, package)
            && of_package.into_iter().all(|start| is_ok(log, start))
    };
    all.retain(|package, _| is_fine(package));
    loop {
        let have: BTreeSet<PackageId> = all.keys().cloned().collect();
        let is_there = |needed: &PackageId| have.contains(needed) || !has_units.contains(needed);
        all.retain(|package, _| keys.needs.get(package).is_some_and(|needs| needs.iter().all(is_there)));
        if all.len() == have.len() {
            break;
        }
    }
    all
}

/// The packages of which something ran in this run: the others are kept already.
fn are_new(log: &EvidenceLog) -> BTreeSet<&PackageId> {
    starts(log).filter(|start| start.earlier.is_none()).filter_map(|start| start.package.as_ref()).collect()
}

/// True if nothing is missing of a package but what comes after its units.
fn is_whole(judgement: &Judgement, package: &PackageId) -> bool {
    let name = package.to_string();
    let reasons = judgement.completeness.reasons.iter().filter(|reason| reason.package.as_ref() == Some(&name));
    reasons.into_iter().all(|reason| OPEN.contains(&reason.code))
}

/// True if all macros of a library were listed and driven.
fn is_driven(log: &EvidenceLog, package: &PackageId, library: &str) -> bool {
    let drivers: BTreeSet<_> =
        starts(log).filter(|start| is_driver_of(start, library)).map(|start| start.unit).collect();
    let says = |code: &str| {
        log.lines.iter().any(|line| match line {
            Line::Note(said) if said.code == code => {
                said.package.as_ref() == Some(package) && said.unit.is_none_or(|unit| drivers.contains(&unit))
            }
            _ => false,
        })
    };
    says(note::MACROS_LISTED) && !says(note::MACROS_UNLISTED)
}

/// True if cargo had written down that a unit is finished: a script whose folder is there and that runs again might take
/// exception to it.
fn is_complete(unit: &Finished, files: &BTreeMap<String, Vec<Entry>>) -> bool {
    let is_mark = |path: &str| {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let is_other =
            Path::new(name).extension().is_some_and(|extension| extension == "json") || name == "invoked.timestamp";
        !is_other && !["dep-", "output-"].iter().any(|start| name.starts_with(start))
    };
    let of_cargo = unit.owners().into_iter().find(|owner| owner.starts_with(".fingerprint/"));
    let mut entries = of_cargo.and_then(|owner| files.get(&owner)).into_iter().flatten();
    entries.any(|entry| entry.kind == EntryKind::File && entry.size > 0 && is_mark(&entry.path))
}

/// The files and folders that belong to units, by their owner.
///
/// # Errors
/// When there is too much of it.
pub(super) fn outputs_of(tree: &Tree) -> io::Result<BTreeMap<String, Vec<Entry>>> {
    let mut files: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in tree.entries(&FOLDERS)? {
        if let Some(owner) = owner(&entry.path) {
            files.entry(owner).or_default().push(entry);
        }
    }
    Ok(files)
}

/// Those of a package's units that cargo takes for finished, and what is kept of them; nothing where that cannot be kept.
pub(super) fn entries_of<'a>(
    units: &[Finished],
    files: &'a BTreeMap<String, Vec<Entry>>,
) -> (Vec<Finished>, Vec<&'a Entry>) {
    let units: Vec<Finished> = units.iter().filter(|unit| is_complete(unit, files)).cloned().collect();
    let owners: BTreeSet<String> = units.iter().flat_map(Finished::owners).collect();
    let entries: Vec<_> = owners.iter().filter_map(|owner| files.get(owner)).flatten().collect();
    if are_plain(&entries) { (units, entries) } else { (Vec::new(), Vec::new()) }
}

/// Writes the packs of packages, from the outputs of their run. `evidence` is the run's log in the folder of evidence.
///
/// # Errors
/// When they cannot be read or written.
pub(in crate::app) fn write(
    all: BTreeMap<PackageId, Vec<Finished>>,
    keys: &Keys,
    log: &EvidenceLog,
    outputs: Outputs,
    evidence: &Path,
) -> io::Result<()> {
    let (Some(folder), Some(name), Some(sha256)) =
        (evidence.parent(), evidence.file_name().and_then(|name| name.to_str()), log.sha256)
    else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let begun = Instant::now();
    let Outputs { tree, mut drafts, .. } = outputs;
    let files = outputs_of(&tree)?;
    let have: BTreeSet<PackageId> = all.keys().cloned().collect();
    let new = are_new(log);
    let (mut packs, mut bytes) = (Vec::new(), 0);
    for (package, units) in all.into_iter().filter(|(package, _)| new.contains(package)) {
        let (Some(key), Some(needs)) = (keys.keys.get(&package), keys.needs.get(&package)) else { continue };
        let (units, entries) = entries_of(&units, &files);
        if entries.is_empty() {
            continue;
        }
        bytes += entries.iter().map(|entry| entry.size).sum::<u64>();
        let draft = drafts.remove(&package).filter(|drafted| drafted.holds(&entries)).map(|drafted| drafted.draft);
        let index = Index {
            key: *key,
            package,
            evidence: name.to_owned(),
            sha256,
            needs: needs.intersection(&have).cloned().collect(),
            units,
        };
        packs.push(Unfinished { index, entries, draft });
    }
    let (packages, ahead) = (packs.len(), packs.iter().filter(|pack| pack.draft.is_some()).count());
    finish_all(packs, folder, &tree)?;
    tracing::info!(packages, ahead, bytes, ms = begun.elapsed().as_millis(), "kept finished units");
    Ok(())
}

/// A pack that is to be written.
struct Unfinished<'a> {
    index: Index,
    entries: Vec<&'a Entry>,
    /// Its stream, if it was written ahead.
    draft: Option<Draft>,
}

/// Writes packs, one for each CPU at a time: nearly all of it is hashing and copying.
fn finish_all(packs: Vec<Unfinished<'_>>, folder: &Path, tree: &Tree) -> io::Result<()> {
    /// Each has half a mebibyte of buffers.
    const MOST: usize = 8;
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST).min(packs.len());
    let packs = Mutex::new(packs.into_iter());
    let next = || packs.lock().ok()?.next();
    let one_by_one = || {
        while let Some(Unfinished { index, entries, draft }) = next() {
            let write =
                || Draft::write(folder, |mut to| entries.iter().try_for_each(|entry| tree.write(entry, &mut to)));
            draft.map_or_else(write, Ok)?.finish(folder, &index)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one_by_one)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

/// False for what is neither file nor folder, which cannot be given to a run, and for the second name of what is not there.
fn are_plain(entries: &[&Entry]) -> bool {
    let mut before = BTreeSet::new();
    for entry in entries {
        if entry.kind == EntryKind::Other || entry.same.as_ref().is_some_and(|name| !before.contains(name)) {
            return false;
        }
        before.insert(&entry.path);
    }
    true
}
