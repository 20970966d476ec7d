//! The part of the report for people that is on a lock file as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{NotExercised, Report, ReportLock, ReportPackage};
use super::{Page, safe};
use crate::evidence::line::{Change, LockConsumer};
use crate::policy::Severity;

impl Page {
    /// What is to be known of a lock file as a whole.
    pub(super) fn lock(&mut self, report: &Report) {
        const SHOWN: usize = 12;
        let Some(lock) = &report.lock else { return };
        let sources = [
            (lock.sources.registry, "of the registry"),
            (lock.sources.other_registry, "of other registries"),
            (lock.sources.git, "of git"),
            (lock.sources.path, "in folders"),
        ];
        let sources: Vec<_> =
            sources.into_iter().filter(|(count, _)| *count > 0).map(|(count, of)| format!("{count} {of}")).collect();
        let built = match (lock.consumer, lock.deps_only) {
            (LockConsumer::Workspace, false) => "built as the workspace builds them",
            (LockConsumer::Workspace, true) => "built with the workspace's features; its own code left out",
            (LockConsumer::Generated, _) => "built by a generated project",
        };
        self.paragraph(&format!("lock file        {}; {built}", sources.join(", ")), 17);
        if let Some(taken) = taken(report) {
            self.paragraph(&format!("taken            {taken}; --fresh builds all"), 17);
        }
        for remark in &lock.remarks {
            self.paragraph(&format!("                 {}", safe(remark)), 17);
        }
        let mut by_reason: BTreeMap<&str, Vec<&NotExercised>> = BTreeMap::new();
        for found in lock.not_exercised.iter().filter(|found| !found.is_gap) {
            by_reason.entry(&found.text).or_default().push(found);
        }
        for (text, found) in by_reason {
            let names: Vec<_> = found.iter().take(SHOWN).map(|found| safe(&found.package)).collect();
            let more = found.len().checked_sub(SHOWN).filter(|more| *more > 0);
            let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
            self.paragraph(&format!("not exercised    {}: {}{more}", safe(text), names.join(", ")), 17);
        }
        let is_info = |package: &&ReportPackage| {
            let mut counting = package.findings.iter().filter(|finding| !finding.is_hidden()).peekable();
            counting.peek().is_some() && counting.all(|finding| finding.severity == Severity::Info)
        };
        let told: Vec<_> = report.packages.iter().filter(is_info).map(|package| safe(&package.id)).collect();
        if !told.is_empty() {
            let more = told.len().checked_sub(SHOWN).filter(|more| *more > 0);
            let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
            let names = told.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            self.paragraph(&format!("for information  {names}{more}; --format json has what"), 17);
        }
        for (label, settings) in [("settings taken  ", &lock.taken), ("settings ignored", &lock.ignored)] {
            for setting in settings {
                self.paragraph(&format!("{label} {}", safe(setting)), 17);
            }
        }
        self.changes(lock);
    }

    /// The sums of several lock files.
    pub(super) fn together(&mut self, report: &Report) {
        let Some(all) = &report.together else { return };
        self.line("");
        let scripts = format!("{} of {} build scripts run", all.build_scripts.run, all.build_scripts.found);
        let libraries = format!("{} of {} macro libraries loaded", all.macro_libraries.run, all.macro_libraries.found);
        let packages = format!("{} packages, {} of them in several and told once", all.packages, all.shared);
        self.paragraph(&format!("together         {} lock files: {packages}; {scripts}, {libraries}", all.files), 17);
    }

    /// What was added and changed, and what that brings.
    fn changes(&mut self, lock: &ReportLock) {
        for package in &lock.packages {
            let what = match &package.change {
                None => continue,
                Some(Change::Added) => "added".to_owned(),
                Some(Change::Changed { from }) => format!("changed from {}", safe(&from.join(", "))),
            };
            let mut brings = Vec::new();
            if package.build_script == Some(true) {
                brings.push("a build script".to_owned());
            }
            if package.macro_library == Some(true) {
                brings.push("a macro library".to_owned());
            }
            if !package.brings.is_empty() {
                brings.push(package.brings.join(", "));
            }
            let brings = if brings.is_empty() { String::new() } else { format!("; brings {}", brings.join(", ")) };
            self.paragraph(&format!("{:17}{}{brings}", what, safe(&package.id)), 17);
        }
    }
}

/// Of how many packages units were taken from earlier runs, by the runs.
fn taken(report: &Report) -> Option<String> {
    const SHOWN: usize = 4;
    let mut runs: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for package in &report.packages {
        for recorded in package.units.iter().filter_map(|unit| unit.recorded.as_ref()) {
            // To the minute.
            let when = recorded.replace('T', " ").chars().take("2026-11-25 21:03".len()).collect();
            runs.entry(when).or_default().insert(&package.id);
        }
    }
    let all: BTreeSet<_> = runs.values().flatten().collect();
    let newest = runs.iter().rev().take(SHOWN).map(|(when, packages)| format!("{} of {when} UTC", packages.len()));
    let mut told = newest.collect::<Vec<_>>().join(", ");
    if runs.len() > SHOWN {
        told.push_str(", others older");
    }
    (!all.is_empty()).then(|| format!("units of {} packages from earlier runs: {told}", all.len()))
}
