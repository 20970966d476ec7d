//! What is found no longer of a package, in the report for people.

use super::super::{Report, ReportPackage};
use super::{Page, safe};

/// True for a package of which something is found no longer.
pub(super) fn has_resolved(package: &ReportPackage) -> bool {
    package.baseline.as_ref().is_some_and(|baseline| !baseline.resolved.is_empty())
}

impl Page {
    /// What the version before tried and this one does not.
    pub(super) fn resolved(&mut self, package: &ReportPackage) {
        const SHOWN: usize = 6;
        let Some(baseline) = package.baseline.as_ref().filter(|_| has_resolved(package)) else { return };
        let first: Vec<_> = baseline
            .resolved
            .iter()
            .take(SHOWN)
            .map(|was| format!("{} {}", safe(&was.code), safe(&was.subject)))
            .collect();
        let more = baseline.resolved.len() - first.len();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let before = safe(&baseline.before(&package.id));
        self.paragraph(&format!("  resolved since {before}: {}{more}", first.join(", ")), 4);
    }

    /// How much is new since the last run of a lock file.
    pub(super) fn news(&mut self, report: &Report) {
        if let Some(news) = report.news() {
            self.paragraph(&news, 2);
        }
    }
}
