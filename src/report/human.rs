//! The report for people at a terminal.
//!
//! The shape is not a contract; programs read JSON. Nothing in it depends on
//! colour, and every text that a package chose is escaped.

mod agreement;
mod baseline;
mod decided;
mod facts;
mod lock;
mod wrap;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use self::baseline::has_resolved;
pub(super) use self::wrap::wrap;
use super::{EnforcementStatus, Report, ReportArtifact, ReportError, ReportFinding, ReportPackage};
use crate::evidence::Bytes;
use crate::evidence::captured::SUFFIX;
use crate::evidence::line::{Captured, Depth, DrivenInputs, Features, Integrity, LayerStatus, PolicyRecord, UnitKind};
use crate::ids::counted;
use crate::judge::{BaselineState, MacroCoverage, Verdict};
use crate::policy::Severity;

/// How it is written.
#[derive(Clone, Copy, Debug)]
pub struct HumanOptions {
    /// Columns of the terminal; kept between 60 and 120.
    pub width: usize,
    /// Colours; whether the writer shows them is the caller's business (`anstream`).
    pub color: bool,
}

impl Default for HumanOptions {
    fn default() -> Self {
        Self { width: 80, color: false }
    }
}

/// Findings of one unit that are shown; more would hide the verdict from who reads at a terminal.
const MOST_FINDINGS: usize = 12;
/// Of these, findings of one code while there are others.
const FIRST_OF_A_CODE: usize = 3;

struct Page {
    text: String,
    width: usize,
    color: bool,
}

/// Writes a report for people.
pub fn human(report: &Report, options: HumanOptions, writer: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { text: String::new(), width: options.width.clamp(40, 120), color: options.color };
    page.headline(report);
    page.enforcement(report);
    // Of hundreds of packages, those with a word for information only are named together.
    let least = if report.lock.is_some() { Severity::Low } else { Severity::Info };
    let is_shown = |package: &&ReportPackage| {
        has_resolved(package) || package.findings.iter().any(|f| f.severity >= least && !f.is_hidden())
    };
    for package in report.packages.iter().filter(is_shown) {
        page.package(report, package);
    }
    page.not_exercised(report);
    page.coverage(report);
    page.lock(report);
    page.decided(report);
    page.evidence(report);
    for further in &report.further {
        page.line("");
        human(further, options, &mut page)?;
    }
    page.together(report);
    writer.write_all(page.text.as_bytes())
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes why there is no report.
pub fn human_error(error: &ReportError, options: HumanOptions, writer: &mut impl Write) -> io::Result<()> {
    let mut page = Page { text: String::new(), width: options.width.clamp(40, 120), color: options.color };
    let word = page.paint("error", Style::new().bold().fg_color(Some(AnsiColor::Red.into())));
    let mut label = word.as_str();
    for text in [Some(&error.message), error.hint.as_ref()].into_iter().flatten() {
        // A message may have lines of its own, such as cargo's.
        for (at, line) in text.lines().enumerate() {
            let text =
                if at == 0 { format!("{label}: {}", safe(line)) } else { format!("  {}", safe(line.trim_start())) };
            page.paragraph(&text, if at == 0 { 2 } else { 4 });
        }
        label = "hint";
    }
    writer.write_all(page.text.as_bytes())
}

/// Writes what did not go well and changes nothing of the report.
pub fn human_warning(text: &str, options: HumanOptions, writer: &mut impl Write) -> io::Result<()> {
    let mut page = Page { text: String::new(), width: options.width.clamp(40, 120), color: options.color };
    let word = page.paint("warning", Style::new().bold().fg_color(Some(AnsiColor::Yellow.into())));
    page.paragraph(&format!("{word}: {}", safe(text)), 2);
    writer.write_all(page.text.as_bytes())
}

/// The first of some names, and how many more there are.
fn first_of(names: &[impl AsRef<str>], most: usize) -> String {
    let shown = names.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Text that may come from a package, on one line and without controls.
fn safe(text: &str) -> String {
    Bytes::from(text).to_string()
}

fn verdict_style(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Pass => AnsiColor::Green,
        Verdict::Inconclusive => AnsiColor::Cyan,
        Verdict::Review => AnsiColor::Yellow,
        Verdict::Fail => AnsiColor::Red,
    };
    Style::new().bold().fg_color(Some(color.into()))
}

fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Critical | Severity::High => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
        Severity::Medium => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        Severity::Low | Severity::Info => Style::new().dimmed(),
    }
}

fn len(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Page {
    fn paint(&self, text: &str, style: Style) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn paragraph(&mut self, text: &str, indent: usize) {
        let wrapped = wrap(text, self.width, indent);
        self.line(&wrapped);
    }

    fn headline(&mut self, report: &Report) {
        let target = safe(&report.target.label());
        let findings = len(report.counting().count());
        let word = report.verdict.as_str().to_uppercase();
        let word = self.paint(&word, verdict_style(report.verdict));
        let says = match report.verdict {
            Verdict::Pass if report.facts_only => "nothing known against it; nothing was built".to_owned(),
            Verdict::Pass => "nothing unexpected attempted at build time; no function called".to_owned(),
            Verdict::Inconclusive => "nothing at medium or above was seen, but not everything was seen".to_owned(),
            Verdict::Review | Verdict::Fail => {
                let worst = report.worst().map_or("", Severity::as_str);
                format!("{}, the worst {worst}", counted(findings, "finding"))
            }
        };
        let packages = report.lock.as_ref().map(|lock| counted(len(lock.packages.len()), "package"));
        let packages = packages.map(|packages| format!(", {packages}")).unwrap_or_default();
        self.paragraph(&format!("{word}  {target}{packages}"), 2);
        self.paragraph(&says, 2);
        if let Some(since) = report.lock.as_ref().and_then(|lock| lock.since.as_ref()) {
            self.paragraph(&format!("only on packages added or changed since {since}, and on folders"), 2);
        }
        if report.verdict == Verdict::Pass && findings > 0 {
            self.paragraph(&format!("{} at low or info", counted(findings, "note")), 2);
        }
        self.news(report);
        if report.is_complete() {
            self.unasked(report);
        }
        if report.verdict != Verdict::Inconclusive && !report.is_complete() {
            self.paragraph("The run is incomplete; see below what was not seen.", 2);
        }
    }

    fn enforcement(&mut self, report: &Report) {
        let all = len(report.enforcement.layers.len());
        let full = len(report.enforcement.layers.iter().filter(|l| l.status == LayerStatus::Full).count());
        let tool = format!("{} {}", report.tool.name, report.tool.version);
        let status = match report.enforcement.status {
            EnforcementStatus::Full => format!("full ({full} of {all} layers)"),
            EnforcementStatus::Degraded => format!("DEGRADED ({full} of {all} layers)"),
            EnforcementStatus::None => "none; nothing was run".to_owned(),
        };
        self.paragraph(&format!("{tool} · policy {} · enforcement {status}", safe(&report.policy)), 2);
        if let Some(reused) = &report.reused {
            // To the minute.
            let when: String = reused.recorded.replace('T', " ").chars().take("2026-11-25 21:03".len()).collect();
            self.paragraph(&format!("from evidence of {when} UTC, made of the same inputs; --fresh builds again"), 2);
        }
        if let Some(rejudged) = &report.rejudged {
            let (recorded, judged) = (&rejudged.recorded, &rejudged.judged);
            let short = |policy: &PolicyRecord| policy.sha256.hex().chars().take(12).collect::<String>();
            self.paragraph(
                &format!(
                    "judged by another policy than that of the run: {} ({}), not {} ({})",
                    safe(&judged.name),
                    short(judged),
                    safe(&recorded.name),
                    short(recorded)
                ),
                2,
            );
        }
        for layer in report.enforcement.layers.iter().filter(|l| l.status != LayerStatus::Full) {
            let word = if layer.status == LayerStatus::Waived { "WAIVED" } else { "MISSING" };
            let word = self.paint(word, severity_style(Severity::High));
            self.paragraph(&format!("{word}  layer {}: {}", safe(&layer.name), safe(&layer.detail)), 2);
        }
        for given in &report.given {
            self.paragraph(&format!("given by you: {}", safe(given)), 2);
        }
    }

    fn package(&mut self, report: &Report, package: &ReportPackage) {
        self.line("");
        let role = if report.lock.is_some() || report.packages.first().is_some_and(|first| first.id == package.id) {
            ""
        } else {
            " (a dependency)"
        };
        let name = self.paint(&safe(&package.id), Style::new().bold());
        self.paragraph(&format!("{name}{role}: {}", package.verdict), 2);
        if let Some(path) = package.path.as_ref().filter(|path| path.len() > 1) {
            self.paragraph(&format!("  by {}", path.join(" > ")), 5);
        }
        // Stable: within a unit the worst stays first.
        let mut findings: Vec<_> = package.findings.iter().filter(|finding| !finding.is_hidden()).collect();
        findings.sort_by_key(|finding| finding.unit.clone());
        for of_unit in findings.chunk_by(|one, next| one.unit == next.unit) {
            let title = unit_title(report, package, of_unit.first().and_then(|finding| finding.unit.as_deref()));
            self.paragraph(&format!("  {title}"), 4);
            let (shown, rest) = shown(of_unit);
            for finding in shown {
                self.finding(finding);
            }
            self.rest(&rest);
        }
        self.resolved(package);
        if let Some(agreement) = &package.agreement {
            self.differences(agreement);
        }
    }

    /// How many more there are, by severity.
    fn rest(&mut self, rest: &[&ReportFinding]) {
        if rest.is_empty() {
            return;
        }
        let groups = rest.chunk_by(|one, next| one.severity == next.severity);
        let counts: Vec<_> =
            groups.filter_map(|group| Some(format!("{} {}", group.len(), group.first()?.severity))).collect();
        self.paragraph(&format!("    and {} more: {}; --format json has all", rest.len(), counts.join(", ")), 6);
    }

    fn finding(&mut self, finding: &ReportFinding) {
        let severity = self.paint(&format!("{:8}", finding.severity), severity_style(finding.severity));
        let new = if finding.baseline == Some(BaselineState::New) { " (new)" } else { "" };
        let mut text = format!("    {severity}  {}{new}: {}", finding.code, safe(&finding.summary));
        match finding.attempts.as_slice() {
            [] => {}
            [only] => _ = write!(text, " [attempt {only}{}]", times(finding.count)),
            [first, .., last] => {
                _ = write!(text, " [attempts {first} to {last}{}]", times(finding.count));
            }
        }
        self.paragraph(&text, 14);
    }

    fn not_exercised(&mut self, report: &Report) {
        if report.is_complete() {
            return;
        }
        self.line("");
        let title = self.paint("Incomplete", Style::new().bold());
        self.paragraph(&format!("{title}: what was not seen, and why"), 2);
        for reason in &report.completeness.reasons {
            let who = reason.package.as_ref().map_or(String::new(), |package| format!("{}: ", safe(package)));
            self.paragraph(&format!("  {}  {who}{}", reason.code, safe(&reason.text)), 4);
            for line in reason.log_tail.as_deref().map(telling).unwrap_or_default() {
                let shown: String = safe(line).chars().take(self.width.saturating_sub(6)).collect();
                self.line(&format!("    | {shown}"));
            }
        }
        if report.completeness.reasons.iter().any(|reason| !reason.missing.is_empty()) {
            self.paragraph("  sandbox-check doctor --for TARGET says what to install", 4);
        }
    }

    fn coverage(&mut self, report: &Report) {
        let scripts = &report.coverage.build_scripts;
        let libraries = &report.coverage.macro_libraries;
        self.line("");
        self.facts(report);
        if report.facts_only {
            return;
        }
        self.paragraph(&format!("build scripts    {} of {} run", scripts.run, scripts.found), 17);
        let expanded = match libraries.expanded {
            Some(expanded) => {
                format!("{expanded} of {} expanded", counted(libraries.macros, "macro"))
            }
            None if libraries.found == 0 => "no macros".to_owned(),
            None => "not known how many macros expanded".to_owned(),
        };
        self.paragraph(
            &format!(
                "macro libraries  {} of {} loaded, {} driven; {expanded}",
                libraries.loaded, libraries.found, libraries.driven
            ),
            17,
        );
        self.spoilt(&libraries.by_name);
        if let Some(features) = &report.coverage.features {
            self.features(features);
        }
        if report.coverage.depth == Depth::Build {
            let text = "depth            build: what runs at build time, and what it needs; --depth check compiles all";
            self.paragraph(text, 17);
        }
        self.paragraph("functions        none called: code that acts when the program runs is not seen here", 17);
    }

    /// Which features were on, where some were not.
    fn features(&mut self, features: &Features) {
        if features.off.is_empty() {
            return;
        }
        let default = features.default.then_some("default");
        let on: Vec<_> = default.into_iter().chain(features.asked.iter().map(String::as_str)).collect();
        let on = if on.is_empty() { "none".to_owned() } else { on.join(", ") };
        let off = first_of(&features.off, 5);
        self.paragraph(&format!("features         {on}; not {off}: --all-features turns all on"), 17);
    }

    /// Macros that ended their driver, kept it waiting or answered nonsense.
    fn spoilt(&mut self, macros: &[MacroCoverage]) {
        let named = |count: fn(&DrivenInputs) -> u32| -> Vec<&str> {
            macros.iter().filter(|m| count(&m.inputs) > 0).map(|m| m.name.as_str()).collect()
        };
        let ways = [
            ("ended", named(|inputs| inputs.died)),
            ("kept waiting", named(|inputs| inputs.timed_out)),
            ("confused", named(|inputs| inputs.garbled)),
        ];
        for (way, names) in ways.into_iter().filter(|(_, names)| !names.is_empty()) {
            self.paragraph(&format!("                 their driver was {way} by {}", first_of(&names, 8)), 17);
        }
    }

    fn captured(&mut self, report: &Report) {
        let Some((text, folder)) = captured(report) else { return };
        self.paragraph(&format!("captured         {text}; never run them"), 17);
        if let Some(folder) = folder {
            self.paragraph(&format!("                 {}", safe(&folder)), 17);
        }
    }

    fn evidence(&mut self, report: &Report) {
        let evidence = &report.evidence;
        let integrity = match evidence.integrity {
            Integrity::Complete => "complete",
            Integrity::Lossy => "LOSSY",
            Integrity::Killed => "CUT OFF",
        };
        let calls = counted(evidence.received, "call");
        let mut text = format!(
            "evidence         {calls} seen, {} recorded, {} repeats, {} counted, {} dropped; {integrity}",
            evidence.recorded, evidence.coalesced, evidence.counted, evidence.dropped
        );
        if evidence.integrity != Integrity::Complete {
            text.push_str(": not all that happened stands in it");
        }
        self.paragraph(&text, 17);
        if let Some(path) = &evidence.path {
            self.paragraph(&format!("                 {}", safe(path)), 17);
        }
        self.captured(report);
        let worst = report.counting().max_by_key(|finding| finding.severity);
        if let Some(worst) = worst {
            self.paragraph(&format!("hint             sandbox-check explain {}", worst.code), 17);
        }
    }
}

/// What was captured, and the folder.
fn captured(report: &Report) -> Option<(String, Option<String>)> {
    // What macros made is nothing that the code ran, sent or dropped: every run that drives has some.
    let is_taken = |artifact: &&ReportArtifact| artifact.what != Captured::Expansion;
    let artifacts = || report.packages.iter().flat_map(|package| &package.artifacts).filter(is_taken);
    artifacts().next()?;
    let files = artifacts().filter(|artifact| artifact.what != Captured::Sent).count();
    let sent: u64 = artifacts().filter(|artifact| artifact.what == Captured::Sent).map(|artifact| artifact.size).sum();
    let text = format!("{}, {} sent", counted(len(files), "file"), counted(sent, "byte"));
    let is_kept = artifacts().any(|artifact| artifact.kept > 0);
    let path = report.evidence.path.as_ref().filter(|_| is_kept);
    Some((text, path.map(|path| format!("{path}{SUFFIX}"))))
}

/// The three lines of an output that say most of why it failed: the last ones, or those from its last error on, which a
/// compiler's notes follow. The evidence has all.
fn telling(tail: &str) -> Vec<&str> {
    const LINES: usize = 3;
    let is_note = |line: &&str| line.trim_start().starts_with("note: run with `RUST_BACKTRACE=1`");
    let says_why = |line: &&str| {
        let sums = ["error: aborting due to", "error: could not compile"];
        line.starts_with("error") && !sums.iter().any(|sum| line.starts_with(sum))
    };
    let lines: Vec<_> = tail.lines().filter(|line| !is_note(line)).collect();
    let last = lines.len().saturating_sub(LINES);
    let from = lines.iter().rposition(says_why).map_or(last, |error| error.min(last));
    lines.into_iter().skip(from).take(LINES).collect()
}

fn times(count: u64) -> String {
    if count > 1 { format!(", {count} times") } else { String::new() }
}

/// What is shown of a unit's findings, and the rest. A sweep over keys must not hide what else was tried.
fn shown<'r>(findings: &[&'r ReportFinding]) -> (Vec<&'r ReportFinding>, Vec<&'r ReportFinding>) {
    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    let (first, others): (Vec<_>, Vec<_>) = findings.iter().copied().enumerate().partition(|(_, finding)| {
        let of_code = by_code.entry(finding.code).or_default();
        *of_code += 1;
        *of_code <= FIRST_OF_A_CODE
    });
    let mut shown: Vec<_> = first.into_iter().chain(others).collect();
    let mut rest = shown.split_off(shown.len().min(MOST_FINDINGS));
    // Within each, the worst stays first.
    shown.sort_by_key(|(at, _)| *at);
    rest.sort_by_key(|(at, _)| *at);
    let plain = |findings: Vec<(usize, &'r ReportFinding)>| findings.into_iter().map(|(_, finding)| finding).collect();
    (plain(shown), plain(rest))
}

/// A macro of the package may run while another package is compiled.
fn unit_title(report: &Report, package: &ReportPackage, unit: Option<&str>) -> String {
    let Some(id) = unit else { return "known without running it".to_owned() };
    let has = |package: &&ReportPackage| package.units.iter().any(|unit| unit.id == id);
    let owner = Some(package).filter(has).or_else(|| report.packages.iter().find(has));
    let kind = owner.and_then(|owner| owner.units.iter().find(|u| u.id == id)).map(|u| match u.kind {
        UnitKind::RunBuildScript => "build script",
        UnitKind::Compile => "compiling the library",
        UnitKind::CompileProcMacro => "compiling the macro library",
        UnitKind::CompileBuildScript => "compiling the build script",
        UnitKind::CompileConsumer => "using the macros",
        UnitKind::DriveMacros => "driving the macros",
        UnitKind::SelfTest => "self-test",
    });
    let of = owner.filter(|owner| owner.id != package.id).map(|owner| format!(" of {}", safe(&owner.id)));
    format!("{}{} ({id})", kind.unwrap_or("unit"), of.unwrap_or_default())
}
