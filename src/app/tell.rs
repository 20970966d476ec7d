//! Says what came of it: on standard output, in files, and as an exit code.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::inputs::program;
use crate::cli::{Color, Deny, Format};
use crate::evidence::EvidenceLog;
use crate::exit::ExitCode;
use crate::policy::Severity;
use crate::report::{self, HumanOptions, Report, ReportError};
use crate::settings::{Reporting, SettingsError};

/// How to speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teller {
    pub(super) format: Format,
    pub(super) width: usize,
    color: bool,
    choice: anstream::ColorChoice,
}

impl Teller {
    pub(super) fn new(format: Format, color: Color) -> Self {
        let choice = match color {
            Color::Auto => anstream::AutoStream::choice(&io::stdout()),
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        Self { choice, ..Self::plain(format) }
    }

    /// In this form, coloured on a terminal.
    pub(super) fn plain(format: Format) -> Self {
        const WIDEST: usize = 100;
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).min(WIDEST);
        Self { format, width, color: true, choice: anstream::AutoStream::choice(&io::stdout()) }
    }

    fn write(self, report: &Report, asked: (Format, Severity), color: bool, out: &mut impl Write) -> io::Result<()> {
        let (format, fail_on) = asked;
        match format {
            Format::Json => report::json(report, out),
            Format::Ndjson => report::ndjson(report, out),
            Format::Sarif => report::sarif(report, out),
            Format::Junit => report::junit(report, fail_on, out),
            Format::Markdown => report::markdown(report, out),
            Format::InToto => report::in_toto(report, program()?, out),
            Format::Human => report::human(report, HumanOptions { width: self.width, color }, out),
        }
    }
}

/// Whether somebody has begun to write to standard output. The thread that takes signals and the main thread could both
/// want to: a reader gets the words of one.
static SPOKEN: AtomicBool = AtomicBool::new(false);

/// True for the first who asks.
fn speaks_first() -> bool {
    !SPOKEN.swap(true, Ordering::SeqCst)
}

/// Judges a log as the user wants it judged.
pub(super) fn judged(log: &EvidenceLog, reporting: &Reporting, evidence: Option<&str>) -> Report {
    Report::decided(log, &reporting.policy, &reporting.decisions, evidence)
}

/// What can be done where a statement has no subject.
const NO_STATEMENT: &str =
    "check a release or an archive, or a lock file with a package that runs code; a folder has no archive";

/// Writes every report that was asked for. The exit code is what the report comes to. A file that cannot be written costs
/// nobody the other reports: a run may have taken long.
pub(super) fn deliver(report: &Report, reporting: &Reporting, teller: &Teller) -> ExitCode {
    let denied = denied(report, reporting);
    let report = denied.as_ref().unwrap_or(report);
    let no_statement = report.subjects().err();
    let mut unwritten = None;
    for (format, file) in &reporting.outputs {
        let write = |mut out| teller.write(report, (*format, reporting.fail_on), false, &mut out);
        let (code, reason, hint) = if let Some(none) = no_statement.filter(|_| *format == Format::InToto) {
            (ExitCode::Usage, none.to_string(), Some(NO_STATEMENT.to_owned()))
        } else if let Err(error) = File::create(file).and_then(write) {
            (ExitCode::Internal, error.to_string(), None)
        } else {
            continue;
        };
        let message = format!("failed to write {}: {reason}", file.display());
        if report.error.is_some() || unwritten.is_some() {
            warn(&message, teller);
        } else {
            unwritten = Some((with_error(report, code, message, hint), code));
        }
    }
    if let Some(none) = no_statement.filter(|_| reporting.format == Format::InToto) {
        return fail(teller, ExitCode::Usage, none.to_string(), Some(NO_STATEMENT.to_owned()));
    }
    let report = unwritten.as_ref().map_or(report, |(report, _)| report);
    let mut out = anstream::AutoStream::new(io::stdout(), teller.choice);
    if !speaks_first() {
        return ExitCode::Internal;
    }
    let written = teller.write(report, (reporting.format, reporting.fail_on), teller.color, &mut out);
    for text in reporting.remark.iter().cloned().chain(report.notices().into_iter().map(|notice| notice.text)) {
        warn(&text, teller);
    }
    if unsaid(written, teller) {
        return ExitCode::Internal;
    }
    let code = match (&denied, &unwritten) {
        (Some(_), _) => ExitCode::Usage,
        (None, Some((_, code))) => *code,
        (None, None) => return code_of(report, reporting.fail_on),
    };
    if let Some(error) = report.error.as_ref().filter(|_| teller.format != Format::Json) {
        let _ = complain(error, teller);
    }
    code
}

/// What a command that prints no report ends with.
pub(super) fn printed(printed: io::Result<()>, code: ExitCode, teller: &Teller) -> ExitCode {
    if unsaid(printed, teller) { ExitCode::Internal } else { code }
}

/// True, and said, if standard output took nothing. A reader that closed it has all that it wants: the exit code is that of
/// what was to be said.
fn unsaid(written: io::Result<()>, teller: &Teller) -> bool {
    let Some(error) = written.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe) else { return false };
    let message = format!("failed to write to standard output: {error}");
    let _ = complain(&ReportError { code: ExitCode::Internal.name().to_owned(), message, hint: None }, teller);
    true
}

/// The report, and what went wrong beside it.
fn with_error(report: &Report, code: ExitCode, message: String, hint: Option<String>) -> Report {
    let mut report = report.clone();
    report.error = Some(ReportError { code: code.name().to_owned(), message, hint });
    report
}

/// The report with an error, where a decision is about nothing and the user wants that to be one.
fn denied(report: &Report, reporting: &Reporting) -> Option<Report> {
    if !reporting.deny.contains(&Deny::UnusedIgnore) {
        return None;
    }
    let unused: Vec<_> = report
        .notices()
        .into_iter()
        .filter(|notice| notice.name == "unused-ignore")
        .map(|notice| notice.text)
        .collect();
    let first = unused.first()?;
    let more = if unused.len() > 1 { format!("; and {} more", unused.len() - 1) } else { String::new() };
    let hint = Some("take it out, or do without -D unused-ignore".to_owned());
    Some(with_error(report, ExitCode::Usage, format!("{first}{more}"), hint))
}

/// Says what is wrong with what was typed or configured.
pub(super) fn refuse_settings(teller: &Teller, error: SettingsError) -> ExitCode {
    let code = if error.is_temporary { ExitCode::Temporary } else { ExitCode::Usage };
    fail(teller, code, error.to_string(), error.hint)
}

/// What a report comes to, with those on further lock files: the first of the documented order.
fn code_of(report: &Report, fail_on: Severity) -> ExitCode {
    const ORDER: [ExitCode; 4] = [ExitCode::Fail, ExitCode::Review, ExitCode::Temporary, ExitCode::Inconclusive];
    let of_one = |report: &Report| match ExitCode::of_run(report.worst(), report.is_settled(), fail_on) {
        ExitCode::Pass | ExitCode::Inconclusive if report.is_temporary() => ExitCode::Temporary,
        code => code,
    };
    let codes: Vec<_> = std::iter::once(report).chain(&report.further).map(of_one).collect();
    ORDER.into_iter().find(|code| codes.contains(code)).unwrap_or(ExitCode::Pass)
}

/// Says why there is no report, in the form that was asked for.
pub(super) fn fail(teller: &Teller, code: ExitCode, message: String, hint: Option<String>) -> ExitCode {
    let error = ReportError { code: code.name().to_owned(), message, hint };
    let _ = match teller.format {
        Format::Json if !speaks_first() => return code,
        Format::Json => report::json_error(&error, &mut io::stdout().lock()),
        _ => complain(&error, teller),
    };
    code
}

/// Says to people what went wrong.
pub(super) fn complain(error: &ReportError, teller: &Teller) -> io::Result<()> {
    let mut err = anstream::AutoStream::new(io::stderr(), teller.choice);
    report::human_error(error, HumanOptions { width: teller.width, color: true }, &mut err)
}

/// Says on standard error, in each form of the report, what did not go well and changes nothing of it.
pub(super) fn warn(text: &str, teller: &Teller) {
    let mut err = anstream::AutoStream::new(io::stderr(), teller.choice);
    let _ = report::human_warning(text, HumanOptions { width: teller.width, color: true }, &mut err);
}

/// The sentence of an error that says which step failed.
pub(super) fn failed_to(error: &dyn std::error::Error) -> String {
    format!("failed to {}", crate::error_chain(error))
}
