//! What is found no longer of a package, in the report for people.

use super::super::ReportPackage;
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
        self.paragraph(&format!("  resolved since {}: {}{more}", safe(&baseline.version), first.join(", ")), 4);
    }
}
