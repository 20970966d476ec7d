//! A check, from a name to a report.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::keep::{Left, keep};
use super::refused::refuse;
use super::tell::{Teller, complain, deliver, fail, failed_to};
use crate::acquire::{self, AcquireError, Acquired, Silent};
use crate::cli::{CheckArgs, Format};
use crate::evidence::file::{Opened, counters_path, open};
use crate::exit::ExitCode;
use crate::facts;
use crate::judge::Verdict;
use crate::plan::build::{RunSettings, plan};
use crate::progress::RunProgress;
use crate::report::{Report, ReportError};
use crate::sandbox::run::{self, RunError};
use crate::sandbox::spec::{Identity, SandboxSpec};
use crate::settings::{Settings, is_mapped};
use crate::signals::Signals;
use crate::toolchain::{self, HostToolchain};

/// Runs a check.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    start_logging(args.verbose);
    let teller = Teller::new(args.reports.format, args.tone.color);
    let settings = match Settings::new(args) {
        Ok(settings) => settings,
        Err(error) => return fail(&teller, ExitCode::Usage, error.to_string(), error.hint),
    };
    let leaving = move |signal| {
        fail(&teller, code_of_signal(signal), "the run was ended by a signal before the build began".to_owned(), None);
    };
    let signals = match Signals::watch(leaving) {
        Ok(signals) => signals,
        Err(error) => return fail(&teller, ExitCode::Internal, format!("cannot watch for signals: {error}"), None),
    };
    let code = check(args, settings, &teller, &signals);
    signals.received().map_or(code, code_of_signal)
}

pub(super) fn code_of_signal(signal: i32) -> ExitCode {
    if signal == libc::SIGTERM { ExitCode::Terminated } else { ExitCode::Interrupted }
}

fn check(args: &CheckArgs, mut settings: Settings, teller: &Teller, signals: &Signals) -> ExitCode {
    let toolchain = match toolchain::find(settings.toolchain.as_deref()) {
        Ok(toolchain) => toolchain,
        Err(error) => return fail(teller, ExitCode::Usage, failed_to(&error), Some(error.hint())),
    };
    tracing::info!(rustc = toolchain.record.rustc, sysroot = %toolchain.sysroot.display(), "found the toolchain");
    let uid = settings.identity.uid;
    if !is_mapped(uid) {
        let message = format!(
            "the layer user-namespace does not hold here: the sandbox's uid {uid} does not exist in this user namespace"
        );
        let hint = "start as an ordinary user, or give the container a range of 65536 ids".to_owned();
        return fail(teller, ExitCode::NoSandbox, message, Some(hint));
    }
    settings.acquire.cargo.clone_from(&toolchain.cargo);
    settings.acquire.toolchain.clone_from(&settings.toolchain);
    let mut acquired = match acquire(&settings, args.tone.quiet) {
        Ok(acquired) => acquired,
        Err(error) => return refuse(&error, &settings, &toolchain, teller),
    };
    match facts::of_acquired(&acquired, &settings.facts) {
        Ok(facts) => acquired.facts.extend(facts),
        Err(error) => return fail(teller, ExitCode::Usage, error.to_string(), Some(error.hint())),
    }
    tracing::info!(packages = acquired.packages.len(), facts = acquired.facts.len(), "acquired the sources");
    let (spec, run_dir) = match prepare(&acquired, &toolchain, &settings) {
        Ok(prepared) => prepared,
        Err(message) => return fail(teller, ExitCode::Internal, message, None),
    };
    if args.print_plan {
        let printed = serde_json::to_writer_pretty(io::stdout().lock(), &spec).map_err(io::Error::from);
        return if printed.and_then(|()| writeln!(io::stdout())).is_ok() { ExitCode::Pass } else { ExitCode::Internal };
    }
    tracing::info!(uid = spec.identity.uid, mounts = spec.mounts.len(), command = ?spec.cargo.args, "planned the run");
    let progress = RunProgress::new(&acquired, args.tone.quiet);
    if let Err(error) = carry_out(&spec, &run_dir, signals, |event| progress.tell(event)) {
        drop(progress);
        return report_broken_run(&error, signals.received(), &spec, &settings, teller);
    }
    drop(progress);
    tracing::info!("the build has ended");
    tell(&spec, &settings, teller)
}

fn acquire(settings: &Settings, quiet: bool) -> Result<Acquired, AcquireError> {
    if quiet || !io::stderr().is_terminal() {
        return acquire::acquire(&settings.request, &settings.acquire, &Silent);
    }
    acquire::acquire(&settings.request, &settings.acquire, &acquire::Bar::on_stderr())
}

/// Sources that belong to the user of the sandbox, a folder for the run, the plan.
fn prepare(
    acquired: &Acquired,
    toolchain: &HostToolchain,
    settings: &Settings,
) -> Result<(SandboxSpec, PathBuf), String> {
    let run_dir = acquired.sources.path().join("run");
    fs::create_dir(&run_dir).map_err(|error| format!("failed to make {}: {error}", run_dir.display()))?;
    if nix::unistd::geteuid().is_root() {
        for part in ["registry", "local"] {
            give(&acquired.sources.path().join(part), settings.identity)
                .map_err(|error| format!("failed to give the sources to the sandbox's user: {error}"))?;
        }
    }
    let run_settings = RunSettings {
        identity: settings.identity,
        run_dir: run_dir.clone(),
        env: settings.env.clone(),
        read: settings.read.clone(),
        jobs: settings.jobs,
        limits: settings.limits.clone(),
        given_limits: settings.given_limits.clone(),
        trace: settings.trace,
        now: settings.now,
        kernel: kernel(),
    };
    let mut spec = plan(acquired, toolchain, &run_settings).map_err(|error| failed_to(&error))?;
    spec.header.policy = Some(settings.reporting.policy.record());
    Ok((spec, run_dir))
}

/// Files that another user owns cannot be written through the private view.
fn give(path: &Path, identity: Identity) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    chown(path, Some(identity.uid), Some(identity.gid))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), identity)?;
        }
    }
    Ok(())
}

/// Runs a spec to the end of its log.
fn carry_out(
    spec: &SandboxSpec,
    run_dir: &Path,
    signals: &Signals,
    mut on_event: impl FnMut(&crate::sandbox::channel::Event),
) -> Result<(), RunError> {
    let _listening = run::plant_self_test(spec)?;
    let (running, stopper) = run::spawn(spec, run_dir)?;
    signals.arm(stopper);
    let ended = running.follow(|act| signals.with_stopper(act), &mut on_event);
    signals.disarm();
    ended
}

/// Judges the log, writes every report that was asked for, keeps the evidence.
fn tell(spec: &SandboxSpec, settings: &Settings, teller: &Teller) -> ExitCode {
    let policy = &settings.reporting.policy;
    let opened = match open(&spec.evidence) {
        Ok(opened) => opened,
        Err(error) => return fail(teller, ExitCode::Internal, failed_to(&error), None),
    };
    let draft = Report::new(&opened.log, policy, None);
    let lines = opened.log.lines.len();
    tracing::info!(lines, policy = policy.name, verdict = draft.verdict.as_str(), "judged");
    let kept = match keep_run(&opened, spec, settings, draft.verdict) {
        Ok(kept) => kept,
        Err(message) => return fail(teller, ExitCode::Internal, message, None),
    };
    let report = Report::new(&opened.log, policy, kept.as_deref().and_then(Path::to_str));
    deliver(&report, &settings.reporting, teller)
}

fn keep_run(
    opened: &Opened,
    spec: &SandboxSpec,
    settings: &Settings,
    verdict: Verdict,
) -> Result<Option<PathBuf>, String> {
    let file =
        File::open(&opened.path).map_err(|error| format!("failed to open {}: {error}", opened.path.display()))?;
    let counters = File::open(counters_path(&opened.path)).ok();
    keep(Left { file, log: &opened.log, counters, captured: Some(&spec.captured) }, settings, verdict)
}

/// Tells of a run that did not get to the end of its log: what was seen until then, and what went wrong. `signal` is
/// the one that ended the run, if one did.
fn report_broken_run(
    error: &RunError,
    signal: Option<i32>,
    spec: &SandboxSpec,
    settings: &Settings,
    teller: &Teller,
) -> ExitCode {
    if let (RunError::Layer { layer, text }, None) = (error, signal) {
        return fail(
            teller,
            ExitCode::NoSandbox,
            format!("the layer {layer} does not hold here: failed to {text}"),
            Some(crate::remedy::remedy(layer).to_owned()),
        );
    }
    let code = signal.map_or(ExitCode::Internal, code_of_signal);
    let message = match signal {
        Some(_) => "the run was ended by a signal before the build was through".to_owned(),
        None => failed_to(error),
    };
    let room = match (error, spec.evidence.parent()) {
        (RunError::Evidence(_), Some(dir)) => {
            Some(format!("make room where {} lies, or set XDG_CACHE_HOME", dir.display()))
        }
        _ => None,
    };
    let Ok(opened) = open(&spec.evidence) else { return fail(teller, code, message, room) };
    // It replays as incomplete.
    let kept = keep_run(&opened, spec, settings, Verdict::Inconclusive).ok().flatten();
    let left = kept.as_ref().map(|path| format!("the evidence until then is in {}", path.display()));
    let hints: Vec<_> = room.into_iter().chain(left).collect();
    let hint = (!hints.is_empty()).then(|| hints.join("; "));
    let mut report = Report::new(&opened.log, &settings.reporting.policy, kept.as_deref().and_then(Path::to_str));
    if report.verdict == Verdict::Pass {
        // The log was closed, and the end of its writer was not as it should be.
        return fail(teller, code, message, hint);
    }
    let error = ReportError { code: code.name().to_owned(), message, hint };
    report.error = Some(error.clone());
    deliver(&report, &settings.reporting, teller);
    if teller.format == Format::Human {
        let _ = complain(&error, teller);
    }
    code
}

/// `uname -r`.
pub(super) fn kernel() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned())
}

fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).without_time().init();
}
