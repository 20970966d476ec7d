//! The part of a report that is on a lock file as a whole.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{ReportError, safe};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{Change, LeftOutWhy, LockConsumer, LockRecord, LockedPackage, LockedSource};
use crate::evidence::time::rfc3339;
use crate::judge::Judgement;

/// A lock file, and what came of its packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportLock {
    /// The file, relative to where the user stood.
    pub path: String,
    /// What used the packages.
    pub consumer: LockConsumer,
    /// Whether the workspace's own packages were left out.
    pub deps_only: bool,
    /// What the report is limited to changes from; null where it is on all packages.
    pub since: Option<String>,
    /// Since when the last run of the same file found what it found, as RFC 3339 has it; null where nothing is compared with it.
    pub last_run: Option<String>,
    /// How many packages there are of each source.
    pub sources: ReportSources,
    /// Every package, in the order of the file.
    pub packages: Vec<ReportLocked>,
    /// Those that were not exercised, and why. Packages that have nothing to run are not among them.
    pub not_exercised: Vec<NotExercised>,
    /// Settings of the workspace's that counted.
    pub taken: Vec<String>,
    /// Settings of the workspace's that were not obeyed.
    pub ignored: Vec<String>,
    /// What a reader must know about how faithful the build is.
    pub remarks: Vec<String>,
}

/// Packages by source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportSources {
    /// Of the default registry.
    pub registry: u64,
    /// Of other registries.
    pub other_registry: u64,
    /// Of git repositories.
    pub git: u64,
    /// Folders.
    pub path: u64,
}

/// One package of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportLocked {
    /// `name@version`.
    pub id: String,
    /// Where it comes from.
    pub source: LockedSource,
    /// The line of its `[[package]]`.
    pub line: u64,
    /// The way from a package that nobody needs to this one, both included.
    pub path: Vec<String>,
    /// Whether it has a build script; null where its source is not here.
    pub build_script: Option<bool>,
    /// Whether it is a macro library; null where its source is not here.
    pub macro_library: Option<bool>,
    /// What became of it since the file that this one was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Of an added package: the added packages that it needs, directly or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brings: Vec<String>,
}

/// A package that was not exercised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotExercised {
    /// `name@version`.
    pub package: String,
    /// In one word.
    pub why: &'static str,
    /// For people, complete.
    pub text: String,
    /// True if it was meant to run, so that the run is incomplete.
    pub is_gap: bool,
}

impl ReportLock {
    pub(super) fn of(log: &EvidenceLog, judgement: &Judgement) -> Option<Self> {
        let record = log.header.lock.as_deref()?;
        let mut sources = ReportSources::default();
        for package in &record.packages {
            let count = match package.source {
                LockedSource::Registry => &mut sources.registry,
                LockedSource::OtherRegistry => &mut sources.other_registry,
                LockedSource::Git => &mut sources.git,
                LockedSource::Path => &mut sources.path,
            };
            *count += 1;
        }
        let tell = |texts: &[String]| texts.iter().map(|text| safe(text)).collect::<Vec<_>>();
        let not_exercised = judgement.unexercised.iter().filter(|found| record.tells(&found.package));
        Some(Self {
            path: safe(&record.path),
            consumer: record.consumer,
            deps_only: record.deps_only,
            since: record.since.as_deref().map(safe),
            last_run: record.last.as_ref().filter(|_| record.since.is_none()).map(|last| rfc3339(last.recorded)),
            sources,
            packages: record.packages.iter().map(|package| locked(log, record, package)).collect(),
            not_exercised: not_exercised
                .map(|found| NotExercised {
                    package: safe(&found.package.to_string()),
                    why: found.why,
                    text: safe(&found.text),
                    is_gap: found.is_gap,
                })
                .collect(),
            taken: tell(&record.taken),
            ignored: tell(&record.ignored),
            remarks: tell(&record.remarks),
        })
    }

    /// A package by its text.
    pub(super) fn package(&self, id: &str) -> Option<&ReportLocked> {
        self.packages.iter().find(|package| package.id == id)
    }
}

fn locked(log: &EvidenceLog, record: &LockRecord, package: &LockedPackage) -> ReportLocked {
    let is_missing = package.left_out.as_ref().is_some_and(|left_out| left_out.why != LeftOutWhy::Own);
    let here = log.header.packages.iter().find(|other| other.id == package.id).filter(|_| !is_missing);
    ReportLocked {
        id: safe(&package.id.to_string()),
        source: package.source,
        line: package.line,
        path: package.via.iter().chain([&package.id]).map(|id| safe(&id.to_string())).collect(),
        build_script: here.map(|package| package.build_script),
        macro_library: here.map(|package| package.proc_macro.is_some()),
        change: package.change.clone(),
        brings: brings(record, package),
    }
}

fn brings(record: &LockRecord, package: &LockedPackage) -> Vec<String> {
    if package.change != Some(Change::Added) {
        return Vec::new();
    }
    let (mut seen, mut open) = (BTreeSet::new(), vec![package]);
    while let Some(next) = open.pop() {
        for needed in record.needs(next).filter(|needed| needed.change.is_some()) {
            if needed.id != package.id && seen.insert(&needed.id) {
                open.push(needed);
            }
        }
    }
    seen.into_iter().map(|id| safe(&id.to_string())).collect()
}

/// The code of the error that says so.
pub(super) const UNAVAILABLE: &str = "temporary";

/// Packages that a registry did not give: trying again may help.
pub(super) fn unavailable(log: &EvidenceLog) -> Option<ReportError> {
    let record = log.header.lock.as_deref()?;
    let is_unavailable = |package: &&LockedPackage| {
        let left_out = package.left_out.as_ref();
        left_out.is_some_and(|left_out| left_out.why == LeftOutWhy::Unavailable) && record.tells(&package.id)
    };
    let missing: Vec<_> = record.packages.iter().filter(is_unavailable).collect();
    let first = missing.first()?;
    let text = first.left_out.as_ref().map(|left_out| safe(&left_out.text)).unwrap_or_default();
    let more = match missing.len() {
        1 => String::new(),
        count => format!("; so did {} more", count - 1),
    };
    Some(ReportError {
        code: UNAVAILABLE.to_owned(),
        message: format!("{} could not be had: {text}{more}", safe(&first.id.to_string())),
        hint: Some("all others were judged; try again for the rest".to_owned()),
    })
}
