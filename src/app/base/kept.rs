//! Which units of a run are kept for later ones, with their outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::{Keys, is_driver_of, is_harmless, is_ok, is_sound, starts};
use crate::app::known::since_cleared;
use crate::base::pack::{self, Index};
use crate::base::stream::{Entry, EntryKind, read_entry, write_entry};
use crate::base::{Finished, owner};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{Line, UnitKind, note};
use crate::ids::PackageId;
use crate::judge::{Judgement, judge};
use crate::policy::Policy;

/// What lacks of a package when a run was stopped, and that a later run makes good: whether all of it is there is judged
/// anew with the evidence of both.
const OPEN: [&str; 2] = ["unit-not-run", "undriven"];

/// The packages of a run that later runs may take, with their units.
pub(in crate::app) fn keep(log: &EvidenceLog, keys: &Keys, policy: &Policy) -> BTreeMap<PackageId, Vec<Finished>> {
    let log = since_cleared(log);
    let judgement = judge(&log, policy);
    if !is_sound(&log, &judgement) {
        return BTreeMap::new();
    }
    let mut all: BTreeMap<PackageId, Vec<Finished>> = BTreeMap::new();
    let mut has_units = BTreeSet::new();
    for start in starts(&log).filter(|start| !matches!(start.kind, UnitKind::SelfTest | UnitKind::DriveMacros)) {
        let Some(package) = &start.package else { continue };
        has_units.insert(package.clone());
        let identity = start.identity();
        let driven = start.kind == UnitKind::CompileProcMacro && is_driven(&log, package, &identity);
        let unit = Finished { package: package.clone(), kind: start.kind, identity, driven };
        all.entry(package.clone()).or_default().push(unit);
    }
    let is_fine = |package: &PackageId| {
        let of_package = starts(&log).filter(|start| start.package.as_ref() == Some(package));
        keys.keys.contains_key(package)
            && is_harmless(&judgement, package)
            && is_whole(&judgement, package)
            && of_package.into_iter().all(|start| is_ok(&log, start))
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
fn is_complete(unit: &Finished, files: &BTreeMap<String, Vec<(Entry, u64)>>) -> bool {
    let is_mark = |path: &str| {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let is_other =
            Path::new(name).extension().is_some_and(|extension| extension == "json") || name == "invoked.timestamp";
        !is_other && !["dep-", "output-"].iter().any(|start| name.starts_with(start))
    };
    let of_cargo = unit.owners().into_iter().find(|owner| owner.starts_with(".fingerprint/"));
    let mut entries = of_cargo.and_then(|owner| files.get(&owner)).into_iter().flatten();
    entries.any(|(entry, _)| entry.kind == EntryKind::File && entry.size > 0 && is_mark(&entry.path))
}

/// Writes the packs of packages, from the outputs of their run. `evidence` is the run's log in the folder of evidence.
///
/// # Errors
/// When they cannot be read or written.
pub(in crate::app) fn write(
    all: BTreeMap<PackageId, Vec<Finished>>,
    keys: &Keys,
    log: &EvidenceLog,
    outputs: &Path,
    evidence: &Path,
) -> io::Result<()> {
    let (Some(folder), Some(name), Some(sha256)) =
        (evidence.parent(), evidence.file_name().and_then(|name| name.to_str()), log.sha256)
    else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let mut stream = BufReader::new(File::open(outputs)?);
    let mut files: BTreeMap<String, Vec<(Entry, u64)>> = BTreeMap::new();
    while let Some(entry) = read_entry(&mut stream)? {
        let at = stream.stream_position()?;
        stream.seek_relative(i64::try_from(entry.size).map_err(io::Error::other)?)?;
        if let Some(owner) = owner(&entry.path) {
            files.entry(owner).or_default().push((entry, at));
        }
    }
    let have: BTreeSet<PackageId> = all.keys().cloned().collect();
    let new = are_new(log);
    for (package, units) in all.into_iter().filter(|(package, _)| new.contains(package)) {
        let (Some(key), Some(needs)) = (keys.keys.get(&package), keys.needs.get(&package)) else { continue };
        let units: Vec<Finished> = units.into_iter().filter(|unit| is_complete(unit, &files)).collect();
        let owners: BTreeSet<String> = units.iter().flat_map(Finished::owners).collect();
        let entries: Vec<_> = owners.iter().filter_map(|owner| files.get(owner)).flatten().collect();
        // What is neither file nor folder cannot be given to a run.
        if entries.is_empty() || entries.iter().any(|(entry, _)| entry.kind == EntryKind::Other) {
            continue;
        }
        let index = Index {
            key: *key,
            package,
            evidence: name.to_owned(),
            sha256,
            needs: needs.intersection(&have).cloned().collect(),
            units,
        };
        pack::put(folder, &index, |mut to| {
            for (entry, at) in entries {
                stream.seek(SeekFrom::Start(*at))?;
                write_entry(entry, &mut Some(stream.by_ref().take(entry.size)), &mut to)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
