//! Markdown, for the summary of a job. Every text that a package chose stands in a code span, where markdown obeys nothing.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{Report, ReportFinding, ReportLock, ReportPackage, safe, word};
use crate::evidence::line::Change;
use crate::judge::BaselineState;

/// Findings that are listed in all. A summary has one mebibyte on GitHub.
const MOST_FINDINGS: usize = 200;
/// Characters of one text.
const LONGEST: usize = 600;

/// Writes a summary.
pub fn markdown(report: &Report, writer: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    let target = span(&report.target.label());
    let _ = writeln!(text, "## sandbox-check: {} {target}\n", report.verdict.as_str().to_uppercase());
    let _ = writeln!(
        text,
        "{}\n",
        if report.is_complete() { "Complete." } else { "**Incomplete**: not everything was seen." }
    );
    if let Some(error) = &report.error {
        let _ = writeln!(text, "Error {}: {}\n", span(&error.code), span(&error.message));
    }
    if let Some(news) = report.news() {
        let _ = writeln!(text, "{news}.\n");
    }
    let mut left = MOST_FINDINGS;
    let has_counting = |package: &&ReportPackage| {
        let is_resolved = package.baseline.as_ref().is_some_and(|baseline| !baseline.resolved.is_empty());
        is_resolved || package.findings.iter().any(|finding| !finding.is_hidden())
    };
    for package in report.packages.iter().filter(has_counting) {
        findings(package, &mut left, &mut text);
    }
    if !report.completeness.reasons.is_empty() {
        text.push_str("### Not seen\n\n");
        for reason in report.completeness.reasons.iter().take(MOST_FINDINGS) {
            let who = reason.package.as_ref().map_or(String::new(), |package| format!("{} ", span(package)));
            let _ = writeln!(text, "- {} {who}{}", reason.code, span(&reason.text));
        }
        more(report.completeness.reasons.len().saturating_sub(MOST_FINDINGS), &mut text);
        text.push('\n');
    }
    let unasked: Vec<_> = report.unasked().collect();
    if !unasked.is_empty() {
        text.push_str("### Known facts that were not looked up in full\n\n");
        for source in unasked {
            let _ = writeln!(text, "- {} {}: {}", span(&source.source), word(source.status), span(&source.detail));
        }
        text.push('\n');
    }
    if let Some(lock) = &report.lock {
        lock_file(report, lock, &mut text);
    }
    decided(report, &mut text);
    let _ = writeln!(text, "Policy {}. `sandbox-check explain CODE` tells what a code means.", span(&report.policy));
    writer.write_all(text.as_bytes())?;
    report.further.iter().try_for_each(|further| {
        writeln!(writer)?;
        markdown(further, writer)
    })
}

/// Hidden findings, and words about decisions.
fn decided(report: &Report, text: &mut String) {
    let Some(decisions) = &report.decisions else { return };
    text.push_str("### Decisions\n\n");
    if let Some(base) = &decisions.base {
        let _ = writeln!(text, "Taken from {}; what the working tree would add does not count.\n", span(base));
    }
    let _ = writeln!(text, "Hidden findings: {}.\n", decisions.hidden);
    let all = report.packages.iter().flat_map(|package| package.findings.iter().map(move |finding| (package, finding)));
    let hidden: Vec<_> = all.filter(|(_, finding)| finding.is_hidden()).collect();
    for (package, finding) in hidden.iter().take(MOST_FINDINGS) {
        let Some(decision) = &finding.decision else { continue };
        let (id, subject, reason) = (span(&package.id), span(&finding.subject), span(&decision.reason));
        let (severity, code, expires) = (finding.severity, finding.code, &decision.expires);
        let _ = writeln!(text, "- {id} {severity} {code} {subject} until {expires}: {reason}");
    }
    more(hidden.len().saturating_sub(MOST_FINDINGS), text);
    let notices = report.notices();
    for notice in notices.iter().take(MOST_FINDINGS) {
        let _ = writeln!(text, "- **{}** {}", notice.name, span(&notice.text));
    }
    more(notices.len().saturating_sub(MOST_FINDINGS), text);
    text.push('\n');
}

fn lock_file(report: &Report, lock: &ReportLock, text: &mut String) {
    let (scripts, libraries) = (&report.coverage.build_scripts, &report.coverage.macro_libraries);
    let _ = writeln!(
        text,
        "{} packages; build scripts: {} of {} run; macro libraries: {} of {} loaded, {} driven.\n",
        lock.packages.len(),
        scripts.run,
        scripts.found,
        libraries.loaded,
        libraries.found,
        libraries.driven
    );
    for package in lock.packages.iter().filter(|package| package.change.is_some()).take(MOST_FINDINGS) {
        let what = if package.change == Some(Change::Added) { "added" } else { "changed" };
        let script = if package.build_script == Some(true) { ", with a build script" } else { "" };
        let library = if package.macro_library == Some(true) { ", a macro library" } else { "" };
        let _ = writeln!(text, "- {what} {}{script}{library}", span(&package.id));
    }
    let not: Vec<_> = lock.not_exercised.iter().filter(|found| !found.is_gap).collect();
    if !not.is_empty() {
        let _ = writeln!(text, "\n<details><summary>{} packages were not exercised</summary>\n", not.len());
        for found in not.iter().take(MOST_FINDINGS) {
            let _ = writeln!(text, "- {}: {}", span(&found.package), found.why);
        }
        more(not.len().saturating_sub(MOST_FINDINGS), text);
        text.push_str("\n</details>\n");
    }
    text.push('\n');
}

fn findings(package: &ReportPackage, left: &mut usize, text: &mut String) {
    let _ = writeln!(text, "### {}: {}\n", span(&package.id), package.verdict);
    if let Some(path) = package.path.as_ref().filter(|path| path.len() > 1) {
        let _ = writeln!(text, "Needed by {}\n", span(&path.join(" > ")));
    }
    let counting: Vec<&ReportFinding> = package.findings.iter().filter(|finding| !finding.is_hidden()).collect();
    let shown: Vec<&ReportFinding> = counting.iter().copied().take(*left).collect();
    *left = left.saturating_sub(shown.len());
    for finding in &shown {
        let new = finding.baseline.map(|state| if state == BaselineState::New { " (new)" } else { " (unchanged)" });
        let (severity, code, new) = (finding.severity, finding.code, new.unwrap_or_default());
        let _ = writeln!(text, "- **{severity}** {code}{new}: {}", span(&finding.summary));
    }
    if let Some(baseline) = &package.baseline {
        for was in baseline.resolved.iter().take(MOST_FINDINGS) {
            let _ = writeln!(
                text,
                "- resolved since {}: {} {}",
                span(&baseline.before(&package.id)),
                span(&was.code),
                span(&was.subject)
            );
        }
        more(baseline.resolved.len().saturating_sub(MOST_FINDINGS), text);
    }
    more(counting.len().saturating_sub(shown.len()), text);
    text.push('\n');
}

fn more(count: usize, text: &mut String) {
    if count > 0 {
        let _ = writeln!(text, "- and {count} more; the format json has all");
    }
}

/// A code span that no text can end: its fence is longer than every run of backticks in it.
fn span(text: &str) -> String {
    let text = safe(text);
    let mut short: String = text.chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    if short.trim().is_empty() {
        return "(empty)".to_owned();
    }
    let run = short.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(run + 1);
    // Blanks beside the fence are not shown, and keep a backtick apart from it.
    format!("{fence} {short} {fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_code_span() {
        assert_eq!(span("a`b``c"), "``` a`b``c ```");
        assert_eq!(span("` <b>\n# x"), "`` ` <b>\\x0a# x ``");
        assert_eq!(span(" "), "(empty)");
        assert_eq!(span(&"x".repeat(LONGEST + 1)).chars().count(), LONGEST + 5);
    }
}
