//! Says which layers hold here, by building an empty package in the sandbox, and what a target asks for in vain.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::check::{Prepared, Ready, carry_out, code_of_signal, kernel, ready, watch};
use super::tell::{Teller, fail, failed_to, printed, refuse_settings};
use crate::cli::{
    CheckArgs, DecisionArgs, DepthArg, DoctorArgs, FailOn, Format, KnownArgs, ReportArgs, RepositoryArgs, RunArgs,
};
use crate::evidence::file::open;
use crate::evidence::line::{Layer, LayerStatus};
use crate::evidence::{Bytes, EvidenceLog};
use crate::exit::ExitCode;
use crate::judge::{Missing, MissingKind, judge, looked_for};
use crate::policy::Policy;
use crate::remedy::{install, remedy};
use crate::sandbox::run::RunError;
use crate::settings::Settings;
use crate::signals::Signals;

/// The object of `--format json`.
#[derive(Debug, Serialize)]
struct Told {
    format: &'static str,
    version: u32,
    tool: String,
    kernel: String,
    /// What builds; absent when nothing could be built.
    toolchain: Option<String>,
    layers: Vec<ToldLayer>,
    /// Present with `--for`.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    target: Option<ToldTarget>,
}

#[derive(Debug, Serialize)]
struct ToldLayer {
    name: String,
    status: LayerStatus,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ToldTarget {
    name: String,
    version: String,
    /// True if every unit ran to its end.
    complete: bool,
    /// Why not, a sentence each.
    reasons: Vec<String>,
    /// What made a unit fail.
    missing: Vec<Missing>,
    /// What was looked for in vain as well; the build may do without.
    looked_for: Vec<Missing>,
    /// One line for each package manager.
    install: Vec<ToldInstall>,
    /// What the table of packages does not know.
    unknown: Vec<Missing>,
}

#[derive(Debug, Serialize)]
struct ToldInstall {
    manager: &'static str,
    line: String,
}

/// Runs the doctor.
pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let teller = Teller::new(args.format.into(), args.tone.color);
    let signals = match watch(teller) {
        Ok(signals) => signals,
        Err(code) => return code,
    };
    let code = examine(args, &teller, &signals);
    signals.received().map_or(code, code_of_signal)
}

fn examine(args: &DoctorArgs, teller: &Teller, signals: &Signals) -> ExitCode {
    let empty = match empty_package() {
        Ok(empty) => empty,
        Err(error) => return fail(teller, ExitCode::Internal, format!("failed to make a package: {error}"), None),
    };
    let target = args.target.clone().or_else(|| empty.path().to_str().map(str::to_owned));
    let Some(target) = target else {
        return fail(teller, ExitCode::Internal, "the folder for temporary files has no plain name".to_owned(), None);
    };
    let mut settings = match Settings::new(&check_args(args, target)) {
        Ok(settings) => settings,
        Err(error) => return refuse_settings(teller, error),
    };
    let ready = match ready(&mut settings, false, args.tone.quiet, teller) {
        Ok(Prepared::Ready(ready)) => ready,
        // Nobody looked for an earlier run.
        Ok(Prepared::Known(_)) => return ExitCode::Internal,
        Err(code) => return code,
    };
    let mut told = Told {
        format: "sandbox-check-doctor",
        version: 1,
        tool: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        kernel: kernel(),
        toolchain: Some(ready.spec.header.toolchain.rustc.clone()),
        layers: Vec::new(),
        target: None,
    };
    match carry_out(&ready, signals, args.tone.quiet, |_, _| {}) {
        Ok(()) => {}
        Err(RunError::Layer { layer, text }) => {
            let remedy = Some(remedy(&layer));
            told.layers = vec![ToldLayer { name: layer, status: LayerStatus::Missing, detail: text, remedy }];
            return tell(&told, teller, ExitCode::NoSandbox);
        }
        Err(error) => return fail(teller, ExitCode::Internal, failed_to(&error), None),
    }
    let log = match open(&ready.spec.evidence) {
        Ok(opened) => opened.log,
        Err(error) => return fail(teller, ExitCode::Internal, failed_to(&error), None),
    };
    told.layers = log.header.layers.iter().map(layer).collect();
    if args.target.is_some() {
        told.target = Some(target_of(&log, &ready));
    }
    let is_complete = told.target.as_ref().is_none_or(|target| target.complete);
    tell(&told, teller, if is_complete { ExitCode::Pass } else { ExitCode::Inconclusive })
}

/// A package in which nothing runs.
fn empty_package() -> io::Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new().prefix("sandbox-check-doctor-").tempdir()?;
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n";
    fs::write(dir.path().join("Cargo.toml"), manifest)?;
    fs::create_dir(dir.path().join("src"))?;
    fs::write(dir.path().join("src/lib.rs"), "//! Nothing.\n")?;
    Ok(dir)
}

/// The arguments of a check of the target.
fn check_args(args: &DoctorArgs, target: String) -> CheckArgs {
    let repository = RepositoryArgs::default();
    CheckArgs { target: Some(target), repository, features: args.features.clone(), run: run_args(args) }
}

fn run_args(args: &DoctorArgs) -> RunArgs {
    // Nothing is judged.
    let decisions = DecisionArgs { decisions_from: None, no_decisions: true, deny: Vec::new() };
    RunArgs {
        reports: ReportArgs {
            format: args.format.into(),
            output: Vec::new(),
            policy: None,
            fail_on: FailOn::Medium,
            decisions,
        },
        evidence: None,
        build: args.build.clone(),
        cache_dir: None,
        fresh: true,
        depth: Some(DepthArg::Check),
        trace: Vec::new(),
        print_plan: false,
        known: KnownArgs::default(),
        // Nothing of the empty package's comes from anywhere.
        offline: args.offline || args.target.is_none(),
        tone: args.tone.clone(),
        verbose: 0,
    }
}

fn layer(layer: &Layer) -> ToldLayer {
    let is_full = layer.status == LayerStatus::Full;
    let remedy = (!is_full).then(|| remedy(&layer.name));
    ToldLayer { name: layer.name.clone(), status: layer.status, detail: layer.detail.clone(), remedy }
}

fn target_of(log: &EvidenceLog, ready: &Ready) -> ToldTarget {
    let policy = Policy::shipped();
    let completeness = judge(log, &policy).completeness;
    let missing: BTreeSet<_> = completeness.reasons.iter().flat_map(|reason| reason.missing.clone()).collect();
    let looked_for = looked_for(log, &policy).into_iter().filter(|one| !missing.contains(one) && !is_known_module(one));
    let missing: Vec<_> = missing.iter().cloned().collect();
    let (lines, unknown) = install(&missing);
    let said = |reason: &crate::judge::Reason| {
        let package = reason.package.as_deref().map_or_else(|| "the run".to_owned(), safe);
        format!("{package}: {}: {}", reason.code, safe(&reason.text))
    };
    ToldTarget {
        name: safe(&ready.acquired.target.name),
        version: safe(&ready.acquired.target.version),
        complete: completeness.is_complete(),
        reasons: completeness.reasons.iter().map(said).collect(),
        looked_for: looked_for.collect(),
        install: lines.into_iter().map(|(manager, line)| ToldInstall { manager: manager.name(), line }).collect(),
        unknown,
        missing,
    }
}

/// Text that may come from a package, without controls.
fn safe(text: &str) -> String {
    Bytes::from(text).to_string()
}

/// True for a module of pkg-config that has its file where this machine keeps them. Names are plain: no `/`.
fn is_known_module(one: &Missing) -> bool {
    const FOLDERS: [&str; 6] = [
        "/usr/lib/x86_64-linux-gnu/pkgconfig",
        "/usr/lib64/pkgconfig",
        "/usr/lib/pkgconfig",
        "/usr/share/pkgconfig",
        "/usr/local/lib/pkgconfig",
        "/usr/local/share/pkgconfig",
    ];
    one.kind == MissingKind::PkgConfig
        && FOLDERS.iter().any(|folder| Path::new(folder).join(format!("{}.pc", one.name)).exists())
}

fn tell(told: &Told, teller: &Teller, code: ExitCode) -> ExitCode {
    let mut out = io::stdout().lock();
    let written = match teller.format {
        Format::Json => serde_json::to_writer_pretty(&mut out, told).map_err(io::Error::from),
        _ => out.write_all(human(told).as_bytes()),
    };
    let ended = if teller.format == Format::Json { writeln!(out) } else { Ok(()) };
    printed(written.and(ended), code, teller)
}

fn human(told: &Told) -> String {
    let toolchain = told.toolchain.as_deref().unwrap_or("no toolchain");
    let mut lines = vec![format!("{} · Linux {} · {toolchain}", told.tool, told.kernel), String::new()];
    for layer in &told.layers {
        let word = match layer.status {
            LayerStatus::Full => "holds",
            LayerStatus::Waived => "WAIVED",
            LayerStatus::Missing => "MISSING",
        };
        lines.push(format!("{word:8} {:18} {}", layer.name, layer.detail).trim_end().to_owned());
        lines.extend(layer.remedy.map(|remedy| format!("         to get it: {remedy}")));
    }
    let holds = told.layers.iter().all(|layer| layer.status == LayerStatus::Full);
    lines.push(String::new());
    let said = if holds {
        "All layers hold: the self-test tried what each of them forbids, inside of it."
    } else {
        "Nothing is built here until this layer holds."
    };
    lines.push(said.to_owned());
    if let Some(target) = &told.target {
        lines.extend(human_target(target));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn human_target(target: &ToldTarget) -> Vec<String> {
    let names = |all: &[Missing]| {
        all.iter().map(|one| format!("{} {}", one.kind.word(), one.name)).collect::<Vec<_>>().join(", ")
    };
    let word = if target.complete { "all that runs at build time ran" } else { "not all ran" };
    let mut lines = vec![String::new(), format!("{} {}: {word}", target.name, target.version)];
    lines.extend(target.reasons.iter().map(|reason| format!("  {reason}")));
    if !target.missing.is_empty() {
        lines.push(format!("missing: {}", names(&target.missing)));
    }
    lines.extend(target.install.iter().map(|install| format!("  {}", install.line)));
    if !target.unknown.is_empty() {
        lines.push(format!("no package is known here for: {}", names(&target.unknown)));
    }
    if !target.looked_for.is_empty() {
        lines.push(format!("looked for as well, and not found: {}", names(&target.looked_for)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_does_not_hold_stands_with_the_way_to_get_it() {
        let missing = ToldLayer {
            name: "landlock".to_owned(),
            status: LayerStatus::Missing,
            detail: "the self-test's tcp-connect was possible".to_owned(),
            remedy: Some(remedy("landlock")),
        };
        let told = Told {
            format: "sandbox-check-doctor",
            version: 1,
            tool: "sandbox-check 0.1.0".to_owned(),
            kernel: "6.1".to_owned(),
            toolchain: None,
            layers: vec![missing],
            target: None,
        };
        let said = human(&told);
        assert!(said.contains("MISSING  landlock           the self-test's tcp-connect was possible\n"), "{said}");
        assert!(said.contains("to get it: use Linux 6.12") && said.contains("Nothing is built here"), "{said}");
    }
}
