//! Lock files: one run for each, one report for all.

use std::collections::BTreeSet;
use std::path::Path;

use super::check::{Told, code_of_signal, examine, start_logging, watch};
use super::tell::{Teller, deliver, fail, refuse_settings};
use crate::acquire::{AcquireError, ErrorClass, HOST, LockRequest, Request, locate_lock};
use crate::cli::{FeatureArgs, LockArgs};
use crate::exit::ExitCode;
use crate::report::Report;
use crate::settings::Settings;
use crate::signals::Signals;

/// Checks all lock files that were named.
pub(super) fn run(args: &LockArgs) -> ExitCode {
    start_logging(args.run.verbose);
    let teller = Teller::new(args.run.reports.format, args.run.tone.color);
    let requests = match requests(args) {
        Ok(requests) => requests,
        Err(error) => return refuse(&error, &teller),
    };
    let mut all = Vec::new();
    for request in requests {
        match settings(request, args) {
            Ok(settings) => all.push(settings),
            Err(error) => return refuse_settings(&teller, error),
        }
    }
    let signals = match watch(teller) {
        Ok(signals) => signals,
        Err(code) => return code,
    };
    let code = one_by_one(args, all, &teller, &signals);
    signals.received().map_or(code, code_of_signal)
}

/// One request for each file, however often and by whichever name it was given.
fn requests(args: &LockArgs) -> Result<Vec<LockRequest>, AcquireError> {
    let words: Vec<_> =
        if args.path.is_empty() { vec![None] } else { args.path.iter().map(|path| Some(path.as_path())).collect() };
    let (mut requests, mut seen) = (Vec::new(), BTreeSet::new());
    for word in words {
        let mut request = locate_lock(word, args.deps_only, HOST)?;
        if let Some(since) = &args.since {
            request.compare(since)?;
        }
        if seen.insert(request.file.clone()) {
            requests.push(request);
        }
    }
    Ok(requests)
}

/// What the user says about the toolchain comes before what the workspace asks for.
fn settings(request: LockRequest, args: &LockArgs) -> Result<Settings, crate::settings::SettingsError> {
    let channel = request.own.channel.clone();
    let request = Request::Lock(Box::new(request));
    let mut settings = Settings::of(request, &FeatureArgs::default(), &args.run)?;
    if let Request::Lock(request) = &mut settings.request
        && request.workspace.is_some()
        && settings.reporting.decided_in.as_deref().and_then(Path::parent) == request.workspace.as_deref()
    {
        request.own.takes_decisions();
    }
    settings.channel = channel.filter(|_| settings.toolchain.is_none());
    settings.toolchain = settings.toolchain.take().or_else(|| settings.channel.clone());
    Ok(settings)
}

fn refuse(error: &AcquireError, teller: &Teller) -> ExitCode {
    let code = match error.class() {
        ErrorClass::NotFound => ExitCode::NotFound,
        ErrorClass::Internal => ExitCode::Internal,
        _ => ExitCode::Usage,
    };
    let hint = match error {
        AcquireError::Manifest { .. } => {
            Some("make it a plain, readable file of the workspace's own, or move it away".to_owned())
        }
        _ => error.hint(),
    };
    fail(teller, code, crate::error_chain(error), hint)
}

/// Runs them one after the other: two workspaces have two graphs, and cargo builds one at a time.
fn one_by_one(args: &LockArgs, all: Vec<Settings>, teller: &Teller, signals: &Signals) -> ExitCode {
    let mut reports: Vec<Report> = Vec::new();
    let (mut reporting, mut broken) = (None, None);
    for mut settings in all {
        settings.of_this_call = reports.iter().filter_map(|report| report.evidence.sha256).collect();
        let told = match examine(&args.run, &mut settings, teller, signals) {
            Ok(told) => told,
            // A plan was printed.
            Err(ExitCode::Pass) => continue,
            Err(code) => return code,
        };
        match told {
            Told::Judged(report) if signals.received().is_none() => reports.push(*report),
            ended if reports.is_empty() => return ended.deliver(&settings, teller),
            Told::Judged(report) => {
                reports.push(*report);
                break;
            }
            Told::Broken(mut report, error, code) => {
                report.error = Some(error);
                reports.push(*report);
                broken = Some(code);
                break;
            }
        }
        reporting = Some(settings.reporting);
    }
    let Some(reporting) = reporting else { return ExitCode::Pass };
    let delivered = Report::together(reports).map_or(ExitCode::Pass, |report| deliver(&report, &reporting, teller));
    broken.unwrap_or(delivered)
}
