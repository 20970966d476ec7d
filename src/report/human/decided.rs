//! What people have decided, in the report for people. Warnings about decisions go to standard error instead.

use std::fmt::Write as _;

use super::super::Report;
use super::{Page, len, safe};
use crate::ids::counted;

impl Page {
    /// Which findings are hidden, by whom, and until when.
    pub(super) fn decided(&mut self, report: &Report) {
        const SHOWN: usize = 12;
        let Some(decisions) = &report.decisions else { return };
        let files: Vec<_> = decisions.files.iter().map(|file| file.path.as_str()).collect();
        let from = decisions.base.as_ref().map(|base| format!(" of {base}")).unwrap_or_default();
        let from = if files.is_empty() { format!("none{from}") } else { format!("{}{from}", files.join(", ")) };
        let mut text = format!("decisions        {from}");
        if decisions.hidden > 0 {
            _ = write!(text, "; {} hidden", counted(decisions.hidden, "finding"));
        }
        if report.accepted() > 0 {
            let packages = counted(len(report.accepted()), "package");
            _ = write!(text, "; {packages} not inspected in full, as you accepted");
        }
        self.paragraph(&text, 17);
        let all = report.packages.iter().flat_map(|package| package.findings.iter().map(move |found| (package, found)));
        let hidden: Vec<_> = all.filter(|(_, finding)| finding.is_hidden()).collect();
        for (package, finding) in hidden.iter().take(SHOWN) {
            let Some(decision) = &finding.decision else { continue };
            let what =
                format!("{} {} {} {}", safe(&package.id), finding.severity, finding.code, safe(&finding.subject));
            let why = format!("{}, until {}: {}", decision.place, decision.expires, safe(&decision.reason));
            self.paragraph(&format!("                 hidden: {what} ({why})"), 19);
        }
        let more = hidden.len().saturating_sub(SHOWN);
        if more > 0 {
            self.paragraph(&format!("                 and {more} more; --format json has all"), 17);
        }
    }
}
