//! `JUnit` XML, for test views: a package is a test case.

use std::fmt;
use std::io::{self, Write};

use super::{Report, ReportPackage, word};
use crate::evidence::bytes::is_printable;
use crate::policy::Severity;

/// Writes a test suite. A source of facts that was not asked is a case that was skipped.
///
/// A package fails by its findings of `fail_on` or worse; an incomplete run is an error of its own case.
pub fn junit(report: &Report, fail_on: Severity, writer: &mut impl Write) -> io::Result<()> {
    writeln!(writer, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    let suites = || std::iter::once(report).chain(&report.further);
    let all = suites().map(|report| Counts::of(report, fail_on)).fold(Counts::default(), Counts::with);
    writeln!(writer, "<testsuites {all}>")?;
    for report in suites() {
        suite(report, fail_on, writer)?;
    }
    writeln!(writer, "</testsuites>")
}

/// How many cases ended in which way.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of(report: &Report, fail_on: Severity) -> Self {
        let skipped = report.unasked().count();
        Self {
            tests: report.packages.len() + skipped + 2,
            failures: report.packages.iter().filter(|package| !failures(package, fail_on).is_empty()).count(),
            errors: usize::from(!report.is_settled()) + usize::from(report.error.is_some()),
            skipped,
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            tests: self.tests + other.tests,
            failures: self.failures + other.failures,
            errors: self.errors + other.errors,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tests, failures, errors, skipped } = self;
        write!(out, "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
    }
}

fn suite(report: &Report, fail_on: Severity, writer: &mut impl Write) -> io::Result<()> {
    let cases: Vec<_> = report.packages.iter().map(|package| (package, failures(package, fail_on))).collect();
    let suite = xml(&format!("sandbox-check {}", report.target.label()));
    writeln!(writer, "  <testsuite name=\"{suite}\" {}>", Counts::of(report, fail_on))?;
    for (package, failures) in cases {
        let way = package.path.as_ref().filter(|path| path.len() > 1);
        let way = way.map(|path| format!("\nneeded by {}", path.join(" > "))).unwrap_or_default();
        let problem = failures.first().map(|(kind, _)| ("failure", kind.as_str(), lines(&failures) + &way));
        case(&package.id, problem, writer)?;
    }
    let reasons: Vec<_> = report
        .completeness
        .reasons
        .iter()
        .filter(|reason| !reason.is_accepted())
        .map(|reason| {
            let who = reason.package.as_ref().map_or(String::new(), |package| format!("{package}: "));
            (reason.code.to_owned(), format!("{}: {who}{}", reason.code, reason.text))
        })
        .collect();
    case("completeness", (!report.is_settled()).then(|| ("error", "incomplete", lines(&reasons))), writer)?;
    for source in report.unasked() {
        let text = format!("{}: {}", word(source.status), source.detail);
        case(&format!("known facts: {}", source.source), Some(("skipped", "facts-not-checked", text)), writer)?;
    }
    let error = report.error.as_ref().map(|error| ("error", error.code.as_str(), error.message.clone()));
    case("run", error, writer)?;
    writeln!(writer, "  </testsuite>")
}

fn failures(package: &ReportPackage, fail_on: Severity) -> Vec<(String, String)> {
    let counts = package.findings.iter().filter(|finding| finding.severity >= fail_on && !finding.is_hidden());
    counts.map(|f| (f.code.to_owned(), format!("{} {}: {}", f.severity, f.code, f.summary))).collect()
}

fn lines(all: &[(String, String)]) -> String {
    all.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")
}

fn case(name: &str, problem: Option<(&str, &str, String)>, writer: &mut impl Write) -> io::Result<()> {
    let name = xml(name);
    match problem {
        None => writeln!(writer, "    <testcase classname=\"sandbox-check\" name=\"{name}\"/>"),
        // This element has no type.
        Some(("skipped", _, text)) => {
            writeln!(writer, "    <testcase classname=\"sandbox-check\" name=\"{name}\">")?;
            writeln!(writer, "      <skipped message=\"{}\"/>\n    </testcase>", xml(&text))
        }
        Some((element, kind, text)) => {
            let first = xml(text.lines().next().unwrap_or_default());
            writeln!(writer, "    <testcase classname=\"sandbox-check\" name=\"{name}\">")?;
            writeln!(writer, "      <{element} type=\"{}\" message=\"{first}\">{}</{element}>", xml(kind), xml(&text))?;
            writeln!(writer, "    </testcase>")
        }
    }
}

/// Text within an element or an attribute. What XML cannot hold is replaced.
fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\n' => safe.push(c),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            c if is_printable(c) => safe.push(c),
            _ => safe.push('\u{fffd}'),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_obeys_or_cannot_hold_is_escaped() {
        assert_eq!(
            xml("<a b='\"'>&\u{1b}\u{fffe}\u{202e}"),
            "&lt;a b=&apos;&quot;&apos;&gt;&amp;\u{fffd}\u{fffd}\u{fffd}"
        );
    }
}
