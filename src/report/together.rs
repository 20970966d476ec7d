//! Several lock files in one report: each package once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Report, ReportPackage, safe};
use crate::evidence::line::LockedSource;
use crate::ids::Sha256Digest;

/// The sums of several lock files. A package of a registry or of a repository that several have counts once; folders are
/// each their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Together {
    /// Lock files.
    pub files: u64,
    /// Packages in them.
    pub packages: u64,
    /// Those of them that more than one file has.
    pub shared: u64,
    /// Packages with a build script that was meant to run, and those whose script ran to an end.
    pub build_scripts: Sum,
    /// Macro libraries that were meant to be loaded, and those that were.
    pub macro_libraries: Sum,
}

/// What was found, and what of it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many there are.
    pub found: u64,
    /// How many of them ran.
    pub run: u64,
}

impl Sum {
    fn add(&mut self, has_run: Option<bool>) {
        self.found += u64::from(has_run.is_some());
        self.run += u64::from(has_run == Some(true));
    }
}

/// What tells a package from others in all files: its name, its bytes, and for a folder the file.
type Key = (String, Option<Sha256Digest>, Option<usize>);

/// What of it was meant to run: script, library.
type Ran = (Option<bool>, Option<bool>);

impl Together {
    fn of(reports: &[Report]) -> Self {
        let mut files: BTreeMap<Key, BTreeSet<usize>> = BTreeMap::new();
        let mut ran: BTreeMap<Key, Ran> = BTreeMap::new();
        for (file, report) in reports.iter().enumerate() {
            let packages = report.lock.iter().flat_map(|lock| &lock.packages);
            let key = |id: &str, is_folder: bool| {
                let checksum = report.packages.iter().find(|package| package.id == id).and_then(|found| found.checksum);
                (id.to_owned(), checksum, is_folder.then_some(file))
            };
            let mut keys = BTreeMap::new();
            for package in packages {
                let key = key(&package.id, package.source == LockedSource::Path);
                files.entry(key.clone()).or_default().insert(file);
                keys.insert(&package.id, key);
            }
            for part in &report.coverage.parts {
                let Some(key) = keys.get(&safe(&part.package.to_string())) else { continue };
                let (script, library) = ran.entry(key.clone()).or_default();
                *script = (*script).max(part.script);
                *library = (*library).max(part.library);
            }
        }
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let shared = count(files.values().filter(|files| files.len() > 1).count());
        let mut all = Self { files: count(reports.len()), packages: count(files.len()), shared, ..Self::default() };
        for (script, library) in ran.into_values() {
            all.build_scripts.add(script);
            all.macro_libraries.add(library);
        }
        all
    }
}

impl Report {
    /// One report of several: the first one with the others below it. A package that an earlier one tells of, with the
    /// same bytes and the same findings, is told once.
    pub fn together(mut reports: Vec<Self>) -> Option<Self> {
        let sums = Together::of(&reports);
        let mut seen: Vec<(String, Option<Sha256Digest>, Vec<String>)> = Vec::new();
        for report in &mut reports {
            let key = |package: &ReportPackage| {
                let findings = package.findings.iter().map(|finding| finding.fingerprint.clone()).collect();
                (package.id.clone(), package.checksum, findings)
            };
            // A folder has no bytes that could be compared.
            report.packages.retain(|package| package.checksum.is_none() || !seen.contains(&key(package)));
            seen.extend(report.packages.iter().map(key));
        }
        let mut all = reports.into_iter();
        let mut first = all.next()?;
        first.further = all.collect();
        first.together = (!first.further.is_empty()).then_some(sums);
        Some(first)
    }
}
