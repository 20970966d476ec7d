//! The whole story: one function for each command, one line for each stage.

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal as _, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::acquire::{self, AcquireError, Acquired, ErrorClass, Silent};
use crate::cli::{CheckArgs, Cli, Color, Command, Format};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{
    FORMAT, Fact, Header, Integrity, Line, Package, PackageSource, Target, TargetKind, Tool, Totals, VERSION,
};
use crate::exit::ExitCode;
use crate::judge::Verdict;
use crate::plan::build::{RunSettings, plan};
use crate::plan::layout::layout;
use crate::progress::RunProgress;
use crate::report::{self, HumanOptions, Report, ReportError};
use crate::sandbox::launch::launch;
use crate::sandbox::run::{self, RunError};
use crate::sandbox::spec::{Identity, SandboxSpec};
use crate::settings::{EvidencePlace, Settings, is_mapped};
use crate::signals::Signals;
use crate::toolchain::{self, HostToolchain};

/// Runs the program with the arguments of the process.
pub fn main() -> std::process::ExitCode {
    // Evidence and reports that cannot be written are errors that are told, not a silent end.
    let _ = crate::sys::process::meet_file_size_limit_as_error();
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|arg| arg == "__launch") {
        let spec = args.get(2).map(PathBuf::from).unwrap_or_default();
        return u8::try_from(launch(&spec)).unwrap_or(1).into();
    }
    // As `cargo sandbox-check`, cargo passes the command's own name first.
    if args
        .first()
        .is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == "cargo-sandbox-check"))
        && args.get(1).is_some_and(|arg| arg == "sandbox-check")
    {
        args.remove(1);
    }
    let wants_json = args
        .windows(2)
        .any(|pair| pair.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ") == "--format json")
        || args.iter().any(|arg| arg == "--format=json");
    match Cli::try_parse_from(&args) {
        Ok(Cli { command: Some(Command::Explain { code }), .. }) => explain(code.as_deref()),
        Ok(Cli { command: None, check }) => run_check(&check),
        Err(error) => usage(&error, wants_json),
    }
    .into()
}

fn usage(error: &clap::Error, wants_json: bool) -> ExitCode {
    if wants_json && !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        return fail(
            &Teller::plain(Format::Json),
            ExitCode::Usage,
            message,
            Some("see sandbox-check --help".to_owned()),
        );
    }
    let _ = error.print();
    if error.use_stderr() { ExitCode::Usage } else { ExitCode::Pass }
}

fn explain(code: Option<&str>) -> ExitCode {
    let width = Teller::plain(Format::Human).width;
    let mut out = io::stdout().lock();
    let done = match code {
        None => report::explain_all(width, &mut out),
        Some(code) => match report::explain(code, width) {
            Ok(text) => out.write_all(text.as_bytes()),
            Err(error) => {
                let hint =
                    error.nearest.map(|nearest| format!("did you mean {nearest}? Without a code, all are listed"));
                return fail(
                    &Teller::plain(Format::Human),
                    ExitCode::Usage,
                    format!("there is no finding code {code:?}"),
                    hint,
                );
            }
        },
    };
    if done.is_ok() { ExitCode::Pass } else { ExitCode::Internal }
}

fn run_check(args: &CheckArgs) -> ExitCode {
    start_logging(args.verbose);
    let teller = Teller::new(args);
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

fn code_of_signal(signal: i32) -> ExitCode {
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
    let acquired = match acquire(&settings, args.quiet) {
        Ok(acquired) => acquired,
        Err(error) => return refuse(&error, &settings, &toolchain, teller),
    };
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
    let progress = RunProgress::new(&acquired, args.quiet);
    if let Err(error) = carry_out(&spec, &run_dir, signals, |event| progress.tell(event)) {
        drop(progress);
        return match signals.received() {
            Some(signal) => report_stopped_run(signal, &spec, &settings, teller),
            None => report_failed_run(&error, &spec, &settings, teller),
        };
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
        now: settings.now,
        kernel: kernel(),
    };
    let spec = plan(acquired, toolchain, &run_settings).map_err(|error| failed_to(&error))?;
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
pub(crate) fn carry_out(
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
    let log = match read_log(&spec.evidence) {
        Ok(log) => log,
        Err(message) => return fail(teller, ExitCode::Internal, message, None),
    };
    let draft = Report::new(&log, &settings.policy, None);
    tracing::info!(lines = log.lines.len(), policy = settings.policy.name, verdict = draft.verdict.as_str(), "judged");
    let kept = match keep_evidence(spec, settings, draft.verdict) {
        Ok(kept) => kept,
        Err(message) => return fail(teller, ExitCode::Internal, message, None),
    };
    let report = Report::new(&log, &settings.policy, kept.as_deref().and_then(Path::to_str));
    deliver(&report, settings, teller)
}

fn deliver(report: &Report, settings: &Settings, teller: &Teller) -> ExitCode {
    for (format, file) in &settings.outputs {
        let written = File::create(file).and_then(|mut out| teller.write(report, *format, false, &mut out));
        if let Err(error) = written {
            return fail(teller, ExitCode::Internal, format!("failed to write {}: {error}", file.display()), None);
        }
    }
    let mut out = anstream::AutoStream::new(io::stdout(), teller.choice);
    match teller.write(report, settings.format, teller.color, &mut out) {
        Ok(()) => ExitCode::of_run(report.worst(), report.is_complete(), settings.fail_on),
        Err(_) => ExitCode::Internal,
    }
}

fn read_log(path: &Path) -> Result<EvidenceLog, String> {
    let file = File::open(path).map_err(|error| format!("failed to open the evidence {}: {error}", path.display()))?;
    EvidenceLog::read(BufReader::new(file), None).map_err(|error| failed_to(&error))
}

/// Moves the evidence out of the run's folder, if it is to be kept. Old evidence goes.
fn keep_evidence(spec: &SandboxSpec, settings: &Settings, verdict: Verdict) -> Result<Option<PathBuf>, String> {
    let (dir, wanted) = match &settings.evidence {
        EvidencePlace::Asked(dir) => (dir, true),
        EvidencePlace::State(dir) => (dir, verdict != Verdict::Pass),
    };
    if matches!(settings.evidence, EvidencePlace::State(_)) {
        remove_old(dir, settings.now);
    }
    if !wanted {
        return Ok(None);
    }
    let target = &spec.header.target;
    let name = format!("{}-{}-{}-{}.jsonl", target.name, target.version, settings.now, std::process::id());
    let path = dir.join(name);
    let failed = |error: io::Error| format!("failed to keep the evidence in {}: {error}", dir.display());
    fs::create_dir_all(dir).map_err(failed)?;
    fs::copy(&spec.evidence, &path).map_err(failed)?;
    Ok(Some(path))
}

fn remove_old(dir: &Path, now: u64) {
    const KEPT_S: u64 = 30 * 24 * 60 * 60;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|meta| meta.modified()).ok();
        let age = changed
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
            .map(|since| now.saturating_sub(since.as_secs()));
        if age.is_some_and(|age| age > KEPT_S) && entry.path().extension().is_some_and(|extension| extension == "jsonl")
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Nothing was unpacked: a refused archive or checksum is judged like any other evidence, the rest is an error.
fn refuse(error: &AcquireError, settings: &Settings, toolchain: &HostToolchain, teller: &Teller) -> ExitCode {
    if let Some(fact) = error.fact()
        && let Ok(log) = refused_log(fact, settings, toolchain)
    {
        let mut report = Report::new(&log, &settings.policy, None);
        report.error =
            Some(ReportError { code: error.code().to_owned(), message: crate::error_chain(error), hint: error.hint() });
        return match deliver(&report, settings, teller) {
            ExitCode::Internal => ExitCode::Internal,
            _ => ExitCode::Fail,
        };
    }
    let code = match error.class() {
        ErrorClass::Usage => ExitCode::Usage,
        ErrorClass::NotFound => ExitCode::NotFound,
        ErrorClass::Refused => ExitCode::Fail,
        ErrorClass::Temporary => ExitCode::Temporary,
        ErrorClass::Internal => ExitCode::Internal,
    };
    fail(teller, code, crate::error_chain(error), error.hint())
}

fn refused_log(
    fact: Fact,
    settings: &Settings,
    toolchain: &HostToolchain,
) -> Result<EvidenceLog, crate::evidence::log::ReadLogError> {
    let kind = match settings.request {
        acquire::Request::Release { .. } => TargetKind::Release,
        acquire::Request::Directory(_) => TargetKind::Directory,
        acquire::Request::Archive(_) => TargetKind::Archive,
    };
    let package = Package {
        id: fact.package.clone(),
        source: if kind == TargetKind::Archive { PackageSource::Archive } else { PackageSource::Registry },
        checksum: None,
        dir: "".into(),
        subject: true,
        build_script: false,
        proc_macro: None,
    };
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        tool: Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        target: Target { kind, name: fact.package.name.clone(), version: fact.package.version.clone(), checksum: None },
        packages: vec![package],
        toolchain: toolchain.record.clone(),
        kernel: kernel(),
        layers: Vec::new(),
        layout: layout("", &toolchain.sysroot),
        started: settings.now,
        given: Vec::new(),
    };
    let totals = Totals { integrity: Integrity::Complete, ..Totals::default() };
    EvidenceLog::from_lines([Line::Header(Box::new(header)), Line::Fact(fact), Line::Totals(totals)])
}

fn report_failed_run(error: &RunError, spec: &SandboxSpec, settings: &Settings, teller: &Teller) -> ExitCode {
    match error {
        RunError::Layer { layer, text } => fail(
            teller,
            ExitCode::NoSandbox,
            format!("the layer {layer} does not hold here: failed to {text}"),
            Some(crate::remedy::remedy(layer).to_owned()),
        ),
        other => {
            let room = match (other, spec.evidence.parent()) {
                (RunError::Evidence(_), Some(dir)) => {
                    Some(format!("make room where {} lies, or set XDG_CACHE_HOME", dir.display()))
                }
                _ => None,
            };
            let hints: Vec<_> = room.into_iter().chain(keep_cut_off(spec, settings)).collect();
            fail(teller, ExitCode::Internal, failed_to(other), (!hints.is_empty()).then(|| hints.join("; ")))
        }
    }
}

/// A signal ended the run before its log could be closed, or before there was one.
fn report_stopped_run(signal: i32, spec: &SandboxSpec, settings: &Settings, teller: &Teller) -> ExitCode {
    let message = "the run was ended by a signal before the build was through".to_owned();
    fail(teller, code_of_signal(signal), message, keep_cut_off(spec, settings))
}

/// What was seen until a run broke off is kept: it reads as incomplete. Without a header there is nothing.
fn keep_cut_off(spec: &SandboxSpec, settings: &Settings) -> Option<String> {
    read_log(&spec.evidence).ok()?;
    let kept = keep_evidence(spec, settings, Verdict::Inconclusive).ok().flatten();
    kept.map(|path| format!("the evidence until then is in {}", path.display()))
}

/// `uname -r`.
pub(crate) fn kernel() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned())
}

fn failed_to(error: &dyn std::error::Error) -> String {
    format!("failed to {}", crate::error_chain(error))
}

/// Says why there is no report, in the form that was asked for.
pub(crate) fn fail(teller: &Teller, code: ExitCode, message: String, hint: Option<String>) -> ExitCode {
    let error = ReportError { code: code.name().to_owned(), message, hint };
    let _ = match teller.format {
        Format::Json => report::json_error(&error, &mut io::stdout().lock()),
        Format::Human => {
            let mut err = anstream::AutoStream::new(io::stderr(), teller.choice);
            report::human_error(&error, HumanOptions { width: teller.width, color: true }, &mut err)
        }
    };
    code
}

/// How to speak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Teller {
    format: Format,
    width: usize,
    color: bool,
    choice: anstream::ColorChoice,
}

impl Teller {
    fn new(args: &CheckArgs) -> Self {
        let choice = match args.color {
            Color::Auto => anstream::AutoStream::choice(&io::stdout()),
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        Self { choice, ..Self::plain(args.format) }
    }

    /// In this form, coloured on a terminal.
    pub(crate) fn plain(format: Format) -> Self {
        const WIDEST: usize = 100;
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).min(WIDEST);
        Self { format, width, color: true, choice: anstream::AutoStream::choice(&io::stdout()) }
    }

    fn write(self, report: &Report, format: Format, color: bool, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Json => report::json(report, out),
            Format::Human => report::human(report, HumanOptions { width: self.width, color }, out),
        }
    }
}

fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level).without_time().init();
}
