//! What is said of the sources of known facts.

use super::{Page, safe};
use crate::evidence::fact::Asked;
use crate::report::{Report, word};

impl Page {
    /// Beside the verdict: what it does not rest on.
    pub(super) fn unasked(&mut self, report: &Report) {
        let unasked: Vec<_> =
            report.unasked().map(|source| format!("{} ({})", safe(&source.source), word(source.status))).collect();
        if !unasked.is_empty() {
            self.paragraph(&format!("Not all that is known was looked up: {}; see below.", unasked.join(", ")), 2);
        }
    }

    /// Which sources of facts were asked, and which not: silence is no answer.
    pub(super) fn facts(&mut self, report: &Report) {
        let mut label = "known facts      ";
        if report.coverage.facts.is_empty() {
            self.paragraph(&format!("{label}not looked for"), 17);
        }
        for status in [Asked::Checked, Asked::Partial, Asked::NotChecked] {
            let told = report.coverage.facts.iter().filter(|source| source.status == status);
            let told: Vec<_> =
                told.map(|source| format!("{} ({})", safe(&source.source), safe(&source.detail))).collect();
            if told.is_empty() {
                continue;
            }
            self.paragraph(&format!("{label}{}: {}", word(status), told.join("; ")), 17);
            label = "                 ";
        }
    }
}
