//! A check, from a name to a report.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use super::base::{self, Ahead, Given, Keys, Outputs};
use super::keep::{Kept, Later, Left, keep};
use super::refused::refuse;
use super::tell::{Teller, complain, deliver, fail, failed_to, judged, printed, refuse_settings, warn};
use super::{baseline, inputs, known};
use crate::acquire::{AcquireError, Acquired, Bar, Outcome, Resolved, acquire_unless, give_sources, remove_sources};
use crate::base::{Finished, pack};
use crate::cli::{CheckArgs, Format, RunArgs};
use crate::evidence::file::{Opened, counters_path, open};
use crate::evidence::known::{Bounds, sweep};
use crate::evidence::line::Depth;
use crate::evidence::{EvidenceLog, baselines};
use crate::exit::ExitCode;
use crate::facts::{self, FactsError};
use crate::ids::{PackageId, Sha256Digest};
use crate::judge::{Verdict, judge};
use crate::plan::build::{Base, RunSettings, plan};
use crate::policy::{Policy, Severity};
use crate::progress::RunProgress;
use crate::report::{Report, ReportError};
use crate::sandbox::channel::Event;
use crate::sandbox::run::{self, RunError};
use crate::sandbox::spec::SandboxSpec;
use crate::settings::{Settings, is_mapped};
use crate::signals::Signals;
use crate::toolchain::{self, HostToolchain};

/// Bytes of finished units that are kept: those of a few large workspaces.
const PACKS: u64 = 4 << 30;

/// Runs a check.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    start_logging(args.run.verbose);
    let teller = Teller::new(args.run.reports.format, args.run.tone.color);
    let settings = match Settings::new(args) {
        Ok(settings) => settings,
        Err(error) => return refuse_settings(&teller, error),
    };
    let signals = match watch(teller) {
        Ok(signals) => signals,
        Err(code) => return code,
    };
    let code = check(&args.run, settings, &teller, &signals);
    signals.received().map_or(code, code_of_signal)
}

/// Watches for signals that end the run; before the build, they end the program.
pub(super) fn watch(teller: Teller) -> Result<Signals, ExitCode> {
    let leaving = move |signal| {
        fail(&teller, code_of_signal(signal), "the run was ended by a signal before the build began".to_owned(), None);
    };
    Signals::watch(leaving)
        .map_err(|error| fail(&teller, ExitCode::Internal, format!("cannot watch for signals: {error}"), None))
}

pub(super) fn code_of_signal(signal: i32) -> ExitCode {
    if signal == libc::SIGTERM { ExitCode::Terminated } else { ExitCode::Interrupted }
}

fn check(args: &RunArgs, mut settings: Settings, teller: &Teller, signals: &Signals) -> ExitCode {
    match examine(args, &mut settings, teller, signals) {
        Ok(told) => told.deliver(&settings, teller),
        Err(code) => code,
    }
}

/// What a run came to.
pub(super) enum Told {
    /// It was judged.
    Judged(Box<Report>),
    /// It did not get to the end of its log: what was seen until then, and what to end with.
    Broken(Box<Report>, ReportError, ExitCode),
}

impl Told {
    pub(super) fn deliver(&self, settings: &Settings, teller: &Teller) -> ExitCode {
        match self {
            Self::Judged(report) => deliver(report, &settings.reporting, teller),
            Self::Broken(report, error, code) => {
                deliver(report, &settings.reporting, teller);
                if teller.format != Format::Json {
                    let _ = complain(error, teller);
                }
                *code
            }
        }
    }
}

/// From settings to a report. What went wrong before there was one is told already, and so is a plan that was asked for.
pub(super) fn examine(
    args: &RunArgs,
    settings: &mut Settings,
    teller: &Teller,
    signals: &Signals,
) -> Result<Told, ExitCode> {
    let ready = match ready(settings, !args.print_plan, args.tone.quiet, teller)? {
        Prepared::Ready(ready) => ready,
        Prepared::Known(report) => {
            baseline::remember_last(&report, settings, teller);
            return Ok(Told::Judged(report));
        }
    };
    if args.print_plan {
        let plan = serde_json::to_writer_pretty(io::stdout().lock(), &ready.spec).map_err(io::Error::from);
        return Err(printed(plan.and_then(|()| writeln!(io::stdout())), ExitCode::Pass, teller));
    }
    thread::scope(|scope| {
        // Nothing reads them once the log is closed, and thousands of files take longer to go than a run to be judged.
        let remove_sources = || drop(scope.spawn(|| remove_sources(ready.acquired.sources.path())));
        let mut ahead = Ahead::new(&settings.known, settings.jobs);
        let ended = carry_out(&ready, signals, args.tone.quiet, |event, outputs| {
            if matches!(event, Event::Closed) {
                remove_sources();
            }
            ahead.tell(event, outputs);
        });
        match ended {
            Ok(()) => tell(&ready, ahead.end(), settings, teller),
            Err(error) => broken_run(&error, signals.received(), &ready.spec, settings, teller),
        }
    })
}

/// A plan with what it needs: it goes when this goes.
pub(super) struct Ready {
    pub(super) acquired: Acquired,
    pub(super) spec: SandboxSpec,
    run_dir: PathBuf,
    /// What decides the run, as one digest.
    key: Option<Sha256Digest>,
    /// What decides the units of each package.
    keys: Option<Keys>,
    /// What it was given of earlier runs.
    given: Option<Given>,
}

/// What a request leads to before anything runs.
pub(super) enum Prepared {
    /// A plan.
    Ready(Box<Ready>),
    /// The answer of an earlier run.
    Known(Box<Report>),
}

/// Everything up to the plan, or what an earlier run answers. What went wrong is told already.
pub(super) fn ready(settings: &mut Settings, reuses: bool, quiet: bool, teller: &Teller) -> Result<Prepared, ExitCode> {
    let toolchain = toolchain_of(settings, teller)?;
    check_identity(settings, teller)?;
    settings.depth = depth(settings.wanted_depth, &toolchain, teller);
    settings.acquire.cargo.clone_from(&toolchain.cargo);
    settings.acquire.toolchain.clone_from(&settings.toolchain);
    sweep(&settings.known, settings.now, Bounds::default());
    pack::sweep(&settings.known, settings.now, Bounds::default().age, PACKS);
    baselines::sweep(&settings.known, settings.now);
    let (mut key, mut broken) = (None, None);
    let known = |resolved: &Resolved| {
        key = inputs::key(resolved, settings, &toolchain);
        let asked = key.filter(|_| reuses && !settings.fresh)?;
        let found = known::find(asked, resolved, settings, &toolchain).unwrap_or_else(|error| {
            broken = Some(error);
            None
        });
        Some((found?, known::Today::new(resolved, settings)))
    };
    let outcome = acquire(settings, quiet, known);
    if let Some(broken) = broken {
        warn(&broken, teller);
    }
    let wrong = |error: &FactsError| fail(teller, ExitCode::Usage, error.to_string(), Some(error.hint()));
    let mut acquired = match outcome {
        Ok(Outcome::Acquired(acquired)) => *acquired,
        Ok(Outcome::Known((opened, today))) => {
            tracing::info!(evidence = %opened.path.display(), "found the evidence of an earlier run");
            let told = known::answer(&opened, &today.map_err(|error| wrong(&error))?, key, settings, teller);
            let report = told.map_err(|message| fail(teller, ExitCode::Internal, message, None))?;
            return Ok(Prepared::Known(Box::new(report)));
        }
        Err(error) => return Err(refuse(&error, settings, &toolchain, teller)),
    };
    settings.depth = depth_of(&acquired, settings);
    // Somebody wrote there in between: what is built is not what was resolved.
    key = key.filter(|_| !acquired.changed);
    tracing::info!(can_answer = key.is_some(), "no evidence of an earlier run answers");
    acquired.facts.extend(facts::of_acquired(&acquired, &settings.facts).map_err(|error| wrong(&error))?);
    if let Some(locked) = &mut acquired.locked {
        locked.record.last = baseline::last(settings);
        acquired.facts.extend(baseline::facts(Some(&locked.record), settings));
    }
    tracing::info!(packages = acquired.packages.len(), facts = acquired.facts.len(), "acquired the sources");
    let keys = if acquired.locked.is_some() { Keys::of(&acquired, settings, &toolchain) } else { None };
    let stream = acquired.sources.path().join("base");
    let may_take = !settings.fresh || !settings.of_this_call.is_empty();
    let wanted = keys.as_ref().filter(|_| reuses && may_take);
    let given = wanted.and_then(|keys| base::find(keys, settings, stream, teller));
    let base = Base { taken: given.as_ref().map(Given::taken), is_kept: keys.is_some() };
    let (spec, run_dir) = prepare(&acquired, &toolchain, settings, base)
        .map_err(|message| fail(teller, ExitCode::Internal, message, None))?;
    tracing::info!(uid = spec.identity.uid, mounts = spec.mounts.len(), command = ?spec.cargo.args, "planned the run");
    Ok(Prepared::Ready(Box::new(Ready { acquired, spec, run_dir, key, keys, given })))
}

/// The toolchain that was asked for. What went wrong is told already.
fn toolchain_of(settings: &Settings, teller: &Teller) -> Result<HostToolchain, ExitCode> {
    let toolchain = toolchain::find(settings.toolchain.as_deref())
        .map_err(|error| fail(teller, ExitCode::Usage, failed_to(&error), Some(missing(settings, error.hint()))))?;
    if let Some(channel) = settings.channel.as_deref().filter(|channel| !toolchain.is_of(channel)) {
        let message = format!("the workspace asks for Rust {channel}, and here is {}", toolchain.record.rustc);
        return Err(fail(teller, ExitCode::Usage, message, Some(missing(settings, String::new()))));
    }
    tracing::info!(rustc = toolchain.record.rustc, sysroot = %toolchain.sysroot.display(), "found the toolchain");
    Ok(toolchain)
}

/// Refuses a user that the sandbox cannot have here, before anything is downloaded for it.
fn check_identity(settings: &Settings, teller: &Teller) -> Result<(), ExitCode> {
    let uid = settings.identity.uid;
    if is_mapped(uid) {
        return Ok(());
    }
    let message = format!(
        "the layer user-namespace does not hold here: the sandbox's uid {uid} does not exist in this user namespace"
    );
    let hint = "start as an ordinary user, or give the container a range of 65536 ids".to_owned();
    Err(fail(teller, ExitCode::NoSandbox, message, Some(hint)))
}

/// How to get a toolchain that a workspace asks for; else what is said of others.
fn missing(settings: &Settings, otherwise: String) -> String {
    let Some(channel) = &settings.channel else { return otherwise };
    format!("rustup toolchain install {channel}; or choose another one with --toolchain NAME")
}

fn acquire<T>(
    settings: &Settings,
    quiet: bool,
    known: impl FnOnce(&Resolved) -> Option<T>,
) -> Result<Outcome<T>, AcquireError> {
    acquire_unless(&settings.request, &settings.acquire, &Bar::on_stderr(quiet), known)
}

/// Only what executes at build time, where that can be built and its macros driven, unless something else was asked for.
fn depth(wanted: Option<Depth>, toolchain: &HostToolchain, teller: &Teller) -> Depth {
    match wanted {
        None if toolchain.builds_only_what_executes() && toolchain.has_driver() => Depth::Build,
        None => Depth::Check,
        Some(Depth::Build) if !toolchain.builds_only_what_executes() => {
            let version = &toolchain.record.cargo;
            let said = "cannot build only what executes at build time; everything is checked instead";
            warn(&format!("{version} {said}"), teller);
            Depth::Check
        }
        Some(depth) => depth,
    }
}

/// Of a macro library everything executes at build time. The programs that use its macros are then all that a check
/// compiles beyond that, and a macro that keeps still where it is driven meets a compiler there.
fn depth_of(acquired: &Acquired, settings: &Settings) -> Depth {
    let is_macro_library = acquired.packages.iter().any(|package| package.subject && package.proc_macro.is_some());
    if is_macro_library && settings.wanted_depth.is_none() { Depth::Check } else { settings.depth }
}

/// Sources that belong to the user of the sandbox, a folder for the run, the plan.
fn prepare(
    acquired: &Acquired,
    toolchain: &HostToolchain,
    settings: &Settings,
    base: Base,
) -> Result<(SandboxSpec, PathBuf), String> {
    let run_dir = acquired.sources.path().join("run");
    fs::create_dir(&run_dir).map_err(|error| format!("failed to make {}: {error}", run_dir.display()))?;
    acquired.name_registries().map_err(|error| failed_to(&error))?;
    if nix::unistd::geteuid().is_root() {
        give_sources(acquired.sources.path(), settings.identity.uid, settings.identity.gid)
            .map_err(|error| format!("failed to give the sources to the sandbox's user: {error}"))?;
    }
    let run_settings = RunSettings {
        identity: settings.identity,
        run_dir: run_dir.clone(),
        env: settings.env.clone(),
        read: settings.read.clone(),
        examined: settings.request.folders(),
        jobs: settings.jobs,
        limits: settings.limits.clone(),
        depth: settings.depth,
        given: settings.given.clone(),
        trace: settings.trace,
        base,
        now: settings.now,
        kernel: kernel(),
    };
    let mut spec = plan(acquired, toolchain, &run_settings).map_err(|error| failed_to(&error))?;
    spec.header.policy = Some(settings.reporting.policy.record());
    Ok((spec, run_dir))
}

/// Runs a plan to the end of its log. `tell` gets each event, and with one of them the folder of outputs if later runs may
/// take them.
pub(super) fn carry_out(
    ready: &Ready,
    signals: &Signals,
    quiet: bool,
    mut tell: impl FnMut(&Event, Option<OwnedFd>),
) -> Result<(), RunError> {
    let evidence = ready.spec.evidence.clone();
    let progress = RunProgress::new(&ready.acquired, ready.spec.header.depth == Depth::Check, quiet, move || {
        findings_so_far(&evidence)
    });
    let begun = Instant::now();
    let _listening = run::plant_self_test(&ready.spec)?;
    let (running, stopper) = run::spawn(&ready.spec, &ready.run_dir)?;
    signals.arm(stopper);
    let ended = running.follow(
        |act| signals.with_stopper(act),
        |event, outputs| {
            if matches!(event, Event::Started { .. }) {
                let microseconds = begun.elapsed().as_micros();
                tracing::debug!(microseconds, "the self-test has passed, cargo starts");
            }
            tell(event, outputs);
            progress.tell(event);
        },
    );
    tracing::debug!(microseconds = begun.elapsed().as_micros(), "everything inside has ended");
    signals.disarm();
    tracing::info!("the build has ended");
    ended
}

/// Findings at low or above in the log as far as it is written, by the shipped policy; none where reading it again and
/// again would cost too much.
fn findings_so_far(evidence: &Path) -> Option<u64> {
    const LARGEST: u64 = 2 * 1024 * 1024;
    fs::metadata(evidence).ok().filter(|meta| meta.len() < LARGEST)?;
    let opened = open(evidence).ok()?;
    let judged = judge(&opened.log, &Policy::shipped());
    let findings = judged.packages.iter().flat_map(|package| &package.findings);
    u64::try_from(findings.filter(|finding| finding.severity >= Severity::Low).count()).ok()
}

/// Judges the log and keeps the evidence.
fn tell(ready: &Ready, outputs: Option<Outputs>, settings: &Settings, teller: &Teller) -> Result<Told, ExitCode> {
    let spec = &ready.spec;
    let policy = &settings.reporting.policy;
    let internal = |message| fail(teller, ExitCode::Internal, message, None);
    let opened = open(&spec.evidence).map_err(|error| internal(failed_to(&error)))?;
    let opened = base::complete(opened, ready.given.as_ref(), spec).map_err(internal)?;
    let known::Preview { verdict, whole } = known::Preview::of(&opened.log, policy);
    let lines = opened.log.lines.len();
    tracing::info!(lines, policy = policy.name, verdict = verdict.as_str(), "judged");
    let finished = ready.keys.as_ref().map(|keys| base::keep(&opened.log, keys, &whole)).unwrap_or_default();
    let key = ready.key.filter(|_| known::lasts(&opened.log, &whole));
    let later = Later { key, is_base: !finished.is_empty() };
    let kept = match keep_run(&opened, spec, settings, verdict, later, teller) {
        Ok(kept) => kept,
        Err(message) => return Ok(unkept(&opened.log, settings, message)),
    };
    keep_units(finished, ready, (&opened.log, kept.own.as_deref()), outputs, teller);
    let path = kept.shown.as_deref().and_then(Path::to_str);
    let report = judged(&opened.log, &settings.reporting, path);
    baseline::remember(&opened.log, whole, settings, teller);
    baseline::remember_last(&report, settings, teller);
    Ok(Told::Judged(Box::new(report)))
}

/// A report whose evidence could not be kept where that was asked for: the run may have taken long.
fn unkept(log: &EvidenceLog, settings: &Settings, message: String) -> Told {
    let hint = Some("the report is of evidence that is gone; name another directory with --evidence".to_owned());
    let error = ReportError { code: ExitCode::Internal.name().to_owned(), message, hint };
    let mut report = judged(log, &settings.reporting, None);
    report.error = Some(error.clone());
    Told::Broken(Box::new(report), error, ExitCode::Internal)
}

/// Keeps finished units with their outputs. Later runs are slower without them, and that is all.
fn keep_units(
    finished: BTreeMap<PackageId, Vec<Finished>>,
    ready: &Ready,
    (log, evidence): (&EvidenceLog, Option<&Path>),
    outputs: Option<Outputs>,
    teller: &Teller,
) {
    let (Some(keys), Some(outputs), Some(evidence)) = (&ready.keys, outputs, evidence) else { return };
    tracing::info!(packages = finished.len(), "keep finished units for later runs");
    if let Err(error) = base::write(finished, keys, log, outputs, evidence) {
        warn(&format!("finished units are not kept beside {}: {error}", evidence.display()), teller);
    }
}

fn keep_run(
    opened: &Opened,
    spec: &SandboxSpec,
    settings: &Settings,
    verdict: Verdict,
    later: Later,
    teller: &Teller,
) -> Result<Kept, String> {
    let file =
        File::open(&opened.path).map_err(|error| format!("failed to open {}: {error}", opened.path.display()))?;
    let counters = File::open(counters_path(&opened.path)).ok();
    keep(Left { file, log: &opened.log, counters, captured: Some(&spec.captured) }, settings, verdict, later, teller)
}

/// Tells of a run that did not get to the end of its log: what was seen until then, and what went wrong. `signal` is
/// the one that ended the run, if one did.
fn broken_run(
    error: &RunError,
    signal: Option<i32>,
    spec: &SandboxSpec,
    settings: &Settings,
    teller: &Teller,
) -> Result<Told, ExitCode> {
    if let (RunError::Layer { layer, text }, None) = (error, signal) {
        return Err(fail(
            teller,
            ExitCode::NoSandbox,
            format!("the layer {layer} does not hold here: failed to {text}"),
            Some(crate::remedy::remedy(layer).to_owned()),
        ));
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
    let Ok(opened) = open(&spec.evidence) else { return Err(fail(teller, code, message, room)) };
    // It replays as incomplete.
    let kept = keep_run(&opened, spec, settings, Verdict::Inconclusive, Later::default(), teller);
    let kept = kept.ok().and_then(|kept| kept.shown);
    let left = kept.as_ref().map(|path| format!("the evidence until then is in {}", path.display()));
    let hints: Vec<_> = room.into_iter().chain(left).collect();
    let hint = (!hints.is_empty()).then(|| hints.join("; "));
    let mut report = judged(&opened.log, &settings.reporting, kept.as_deref().and_then(Path::to_str));
    if report.verdict == Verdict::Pass {
        // The log was closed, and the end of its writer was not as it should be.
        return Err(fail(teller, code, message, hint));
    }
    let error = ReportError { code: code.name().to_owned(), message, hint };
    report.error = Some(error.clone());
    Ok(Told::Broken(Box::new(report), error, code))
}

/// `uname -r`.
pub(super) fn kernel() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned())
}

pub(super) fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).without_time().init();
}
