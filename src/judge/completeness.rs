//! Whether everything happened that should have happened, and what did not.

use std::collections::BTreeSet;

use serde::Serialize;

use super::context::Context;
use super::decided::{Decided, Effect};
use super::diagnosis::diagnose;
use super::failures::Failures;
use super::missing::Missing;
use super::units::Unit;
use crate::evidence::Bytes;
use crate::evidence::fact::Asked;
use crate::evidence::line::{Driven, Integrity, LayerStatus, Line, Note, Package, UnitKind, UnitOutcome, note};
use crate::ids::{PackageId, UnitId};

/// Lines of a unit's output that a reason shows.
const TAIL_LINES: usize = 20;

/// Whether everything happened that should have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// In one word.
    pub status: Status,
    /// What is missing.
    pub reasons: Vec<Reason>,
}

/// Complete or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nothing is missing.
    Complete,
    /// Something is.
    Incomplete,
}

/// One thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `build-failed`, `network-denied`, `missing-program`, `missing-library`, `unit-not-run`, `layer-waived`,
    /// `limit-hit`, `evidence-lost`, `killed`, `undriven` or `facts-unchecked`.
    pub code: &'static str,
    /// None when it is about the whole run.
    pub package: Option<String>,
    /// The unit, as `u0`.
    pub unit: Option<String>,
    /// A sentence.
    pub text: String,
    /// The end of what the unit printed, escaped line by line.
    pub log_tail: Option<String>,
    /// What the failed unit asked for and did not get.
    pub missing: Vec<Missing>,
    /// What a person has decided about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decided>,
}

impl Reason {
    /// True if a person has accepted it.
    pub fn is_accepted(&self) -> bool {
        self.decision.as_ref().is_some_and(|decided| decided.effect == Effect::Applied)
    }
}

impl Completeness {
    /// True if nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.status == Status::Complete
    }

    /// True if nothing is missing that nobody has accepted.
    pub fn is_settled(&self) -> bool {
        self.reasons.iter().all(Reason::is_accepted)
    }

    /// True if nothing is missing of this package, and nothing of the run.
    pub fn is_complete_for(&self, package: &PackageId) -> bool {
        let name = package.to_string();
        !self.reasons.iter().any(|reason| reason.package.as_ref().is_none_or(|of| *of == name))
    }

    /// The same, but for what a person has accepted.
    pub(super) fn is_settled_for(&self, package: &PackageId) -> bool {
        let name = package.to_string();
        let open = |reason: &&Reason| !reason.is_accepted();
        !self.reasons.iter().filter(open).any(|reason| reason.package.as_ref().is_none_or(|of| *of == name))
    }
}

pub(super) fn of(cx: &Context<'_>) -> Completeness {
    let mut reasons = Vec::new();
    evidence(cx, &mut reasons);
    orphans(cx, &mut reasons);
    self_test(cx, &mut reasons);
    layers(cx, &mut reasons);
    notes(cx, &mut reasons);
    taken(cx, &mut reasons);
    facts(cx, &mut reasons);
    for unit in cx.units.0.values() {
        failed_unit(cx, unit, &mut reasons);
    }
    if !is_facts_only(cx) {
        missing_units(cx, &mut reasons);
        super::locked::reasons(cx, &mut reasons);
        cargo(cx, &mut reasons);
    }
    if let Some(record) = &cx.log.header.lock {
        super::locked::limit(record, &mut reasons);
    }
    let mut seen = BTreeSet::new();
    reasons.retain(|r| seen.insert((r.code, r.package.clone(), r.unit.clone(), r.text.clone())));
    let status = if reasons.is_empty() { Status::Complete } else { Status::Incomplete };
    Completeness { status, reasons }
}

/// True if nothing was built, and nothing was to be.
pub(super) fn is_facts_only(cx: &Context<'_>) -> bool {
    has_note(cx, note::FACTS_ONLY)
}

/// Sources of facts that the user wants; without a build also those without which nobody has looked at everything.
fn facts(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    for (told, is_required) in super::coverage::sources(cx) {
        let is_needed = is_facts_only(cx) && ["advisories", "index"].contains(&told.source.as_str());
        if is_required || is_needed && told.status != Asked::Checked {
            reasons.push(of_run("facts-unchecked", format!("{}: {}", told.source, told.detail)));
        }
    }
}

fn of_run(code: &'static str, text: impl Into<String>) -> Reason {
    Reason { code, package: None, unit: None, text: text.into(), log_tail: None, missing: Vec::new(), decision: None }
}

fn evidence(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    let totals = &cx.log.totals;
    match totals.integrity {
        Integrity::Complete => {}
        Integrity::Lossy => {
            reasons.push(of_run("evidence-lost", format!("{} attempts were dropped beyond a quota", totals.dropped)));
        }
        Integrity::Killed => reasons.push(of_run("killed", "the supervisor ended before it could close the evidence")),
    }
    let told = [totals.recorded, totals.coalesced, totals.counted, totals.dropped].iter().sum::<u64>();
    if totals.integrity != Integrity::Killed && (told != totals.received || totals.dropped > 0) {
        let text = format!("{} calls were received and {told} are accounted for", totals.received);
        if told != totals.received || totals.integrity == Integrity::Complete {
            reasons.push(of_run("evidence-lost", text));
        }
    }
}

/// What cargo found finished must have evidence of the run that made it.
fn taken(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    let of_earlier = cx.units.0.values().filter(|unit| unit.start.earlier.is_some());
    let known: BTreeSet<_> = of_earlier.map(|unit| (unit.start.package.clone(), unit.start.identity())).collect();
    for line in &cx.log.lines {
        let Line::Note(said) = line else { continue };
        let is_known = || known.contains(&(said.package.clone(), said.text.clone()));
        if said.code == note::UNIT_FRESH && !is_known() {
            reasons.push(Reason {
                package: said.package.as_ref().map(ToString::to_string),
                ..of_run("evidence-lost", format!("{} was built before, and nothing is known of how", said.text))
            });
        }
    }
}

/// The limit that ended a unit, by us or by the kernel.
fn ended_by<'a>(cx: &Context<'a>, unit: &Unit<'_>) -> Option<&'a Note> {
    let limits: &[&str] = match unit.end?.outcome {
        UnitOutcome::Killed => &["unit-time", "cpu", "memory", "processes"],
        UnitOutcome::Signalled => &["cpu", "file-size"],
        UnitOutcome::Ok | UnitOutcome::Failed => return None,
    };
    cx.log.lines.iter().rev().find_map(|line| match line {
        Line::Note(said) if said.unit == Some(unit.id()) => {
            limits.contains(&said.limit.as_ref()?.name.as_str()).then_some(said)
        }
        _ => None,
    })
}

/// True for a limit of one unit alone that a limit ended: its end has the reason, and what else it did too much of until
/// then is no second one.
fn is_of_stopped(cx: &Context<'_>, said: &Note) -> bool {
    const OF_A_UNIT: [&str; 7] = ["unit-time", "cpu", "memory", "processes", "file-size", "open-files", "output"];
    let is_of_unit = said.limit.as_ref().is_some_and(|limit| OF_A_UNIT.contains(&limit.name.as_str()));
    let unit = said.unit.and_then(|unit| cx.units.0.get(&unit)).filter(|unit| unit.kind() != UnitKind::DriveMacros);
    is_of_unit && unit.is_some_and(|unit| ended_by(cx, unit).is_some())
}

/// Attempts that no unit explains cannot be judged.
fn orphans(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    let started: BTreeSet<_> = cx
        .log
        .lines
        .iter()
        .filter_map(|line| if let Line::UnitStart(start) = line { Some(start.unit) } else { None })
        .collect();
    let lost = cx.log.attempts().filter(|attempt| !started.contains(&attempt.unit)).count();
    if lost > 0 {
        reasons.push(of_run("evidence-lost", format!("{lost} attempts belong to no unit that is known")));
    }
}

/// The proof that the layers hold counts only if it came to its own end.
fn self_test(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    let proof = cx.log.lines.iter().find_map(|line| match line {
        Line::UnitStart(start) if start.kind == UnitKind::SelfTest => Some(start.unit),
        _ => None,
    });
    let is_bad =
        |line: &Line| matches!(line, Line::UnitEnd(end) if Some(end.unit) == proof && end.outcome != UnitOutcome::Ok);
    if cx.log.lines.iter().any(is_bad) {
        reasons.push(of_run("killed", "the self-test, which proves the layers, did not end by itself"));
    }
}

fn layers(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    for layer in cx.log.header.layers.iter().filter(|layer| layer.status != LayerStatus::Full) {
        reasons
            .push(of_run("layer-waived", format!("the layer {} is not in full force: {}", layer.name, layer.detail)));
    }
}

fn notes(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    for line in &cx.log.lines {
        let Line::Note(said) = line else { continue };
        let code = match said.code.as_str() {
            // What stopped a unit is said with it.
            note::LIMIT_HIT if is_of_stopped(cx, said) => continue,
            note::LIMIT_HIT => "limit-hit",
            note::EVIDENCE_LOST | note::ATTRIBUTION_MISMATCH | note::CAPTURE_FAILED => "evidence-lost",
            note::KILLED => "killed",
            note::MACROS_UNLISTED => "undriven",
            note::LAYER_WAIVED
                if !cx
                    .log
                    .header
                    .layers
                    .iter()
                    .any(|l| said.text.contains(&l.name) && l.status != LayerStatus::Full) =>
            {
                "layer-waived"
            }
            _ => continue,
        };
        reasons.push(of_note(cx, said, code));
    }
}

fn of_note(cx: &Context<'_>, said: &Note, code: &'static str) -> Reason {
    let of_unit = said.unit.and_then(|unit| cx.units.0.get(&unit)).and_then(|unit| unit.package.as_ref());
    Reason {
        code,
        package: said.package.as_ref().or(of_unit).map(ToString::to_string),
        unit: said.unit.map(|unit| unit.to_string()),
        text: Bytes::from(said.text.as_str()).to_string(),
        log_tail: None,
        missing: Vec::new(),
        decision: None,
    }
}

fn failed_unit(cx: &Context<'_>, unit: &Unit<'_>, reasons: &mut Vec<Reason>) {
    if unit.end.is_some() && super::locked::is_stand_in(cx, unit.package.as_ref()) {
        return;
    }
    let reason = |code, text: String, tail: Option<&[u8]>| Reason {
        code,
        package: unit.package.as_ref().map(ToString::to_string),
        unit: Some(unit.id().to_string()),
        text,
        log_tail: tail.map(shown_tail),
        missing: Vec::new(),
        decision: None,
    };
    let what = describe(unit.kind());
    let Some(end) = unit.end else {
        let is_killed = cx.log.totals.integrity == Integrity::Killed;
        let code = if is_killed { "killed" } else { "evidence-lost" };
        reasons.push(reason(code, format!("{what} has no end in the evidence"), None));
        return;
    };
    if !end.missing_outputs.is_empty() {
        let names: Vec<_> = end.missing_outputs.iter().map(ToString::to_string).collect();
        let text = format!(
            "rustc ended with status 0 in {what} and without {}: a macro inside it must have ended it",
            names.join(", ")
        );
        reasons.push(reason("build-failed", text, tail_of(cx, unit.id())));
        return;
    }
    // The consumer uses macros with inputs that they may refuse, and a driver is ended by what spoils it: that is
    // coverage.
    let is_coverage = unit.kind() == UnitKind::DriveMacros || (unit.is_consumer && end.outcome == UnitOutcome::Failed);
    if end.outcome == UnitOutcome::Ok || is_coverage {
        return;
    }
    let limit = ended_by(cx, unit);
    let how = match (end.outcome, end.code) {
        (UnitOutcome::Signalled, Some(signal)) => format!("was ended by signal {signal}"),
        (UnitOutcome::Killed, _) if limit.is_none() => "was stopped with the run".to_owned(),
        (UnitOutcome::Killed, _) => "was stopped".to_owned(),
        (_, Some(code)) => format!("failed with exit status {code}"),
        (_, None) => "failed".to_owned(),
    };
    let tail = tail_of(cx, unit.id());
    let macros = if end.outcome == UnitOutcome::Killed { with_macros(cx, unit.id()) } else { String::new() };
    reasons.push(match (limit, end.outcome) {
        (Some(limit), _) => {
            let said = Bytes::from(limit.text.as_str());
            let name = limit.limit.as_ref().map(|hit| Bytes::from(hit.name.as_str()));
            let more = name.map(|name| format!(" (--limit {name}=… gives more)")).unwrap_or_default();
            reason("limit-hit", format!("{what} {how}: {said}{more}{macros}"), tail)
        }
        (None, UnitOutcome::Killed) => {
            let code = if has_note(cx, note::KILLED) { "killed" } else { "limit-hit" };
            reason(code, format!("{what} {how}{macros}"), tail)
        }
        (None, _) => {
            let why = diagnose(cx, unit.id(), unit.kind(), tail);
            let said = reason(why.code, format!("{what} {how}{}", why.says), tail);
            Reason { missing: why.missing, ..said }
        }
    });
}

/// Whose macros may have held a compilation: those that it had loaded.
fn with_macros(cx: &Context<'_>, unit: UnitId) -> String {
    const NAMED: usize = 5;
    let loaded = super::coverage::loaded_by(cx, unit);
    let more = loaded.len().saturating_sub(NAMED);
    let mut names: Vec<_> = loaded.into_iter().take(NAMED).map(ToString::to_string).collect();
    names.extend((more > 0).then(|| format!("{more} more")));
    if names.is_empty() { String::new() } else { format!("; it ran macros of {}", names.join(", ")) }
}

fn describe(kind: UnitKind) -> &'static str {
    match kind {
        UnitKind::RunBuildScript => "the build script",
        UnitKind::CompileBuildScript => "the compilation of the build script",
        UnitKind::CompileProcMacro => "the compilation of the macro library",
        UnitKind::CompileConsumer => "the compilation of the consumer",
        UnitKind::DriveMacros => "the driving of the macros",
        UnitKind::Compile | UnitKind::SelfTest => "the compilation",
    }
}

fn has_note(cx: &Context<'_>, code: &str) -> bool {
    cx.log.lines.iter().any(|line| matches!(line, Line::Note(said) if said.code == code))
}

/// The end of what a unit printed; errors before the rest.
fn tail_of<'a>(cx: &Context<'a>, unit: UnitId) -> Option<&'a [u8]> {
    let printed = |stream: Option<&str>| {
        cx.log.lines.iter().rev().find_map(|line| match line {
            Line::Output(output)
                if output.unit == Some(unit)
                    && !output.tail.0.is_empty()
                    && stream.is_none_or(|wanted| output.stream == wanted) =>
            {
                Some(output.tail.0.as_slice())
            }
            _ => None,
        })
    };
    printed(Some("stderr")).or_else(|| printed(None))
}

fn shown_tail(tail: &[u8]) -> String {
    let lines: Vec<_> = tail.split(|&b| b == b'\n').filter(|line| !line.is_empty()).collect();
    let last = lines.len().saturating_sub(TAIL_LINES);
    let shown: Vec<_> = lines.iter().skip(last).map(|line| Bytes(line.to_vec()).to_string()).collect();
    shown.join("\n")
}

fn missing_units(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    let gaps: BTreeSet<_> = super::locked::unexercised(cx).into_iter().map(|found| found.package).collect();
    let failed = Failures::of(cx);
    let driven =
        cx.log.lines.iter().filter_map(|line| if let Line::Driven(driven) = line { Some(driven) } else { None });
    let driven: Vec<_> = driven.collect();
    // Of a lock file's, the gaps have reasons of their own.
    for package in super::coverage::parts(cx, &failed).into_iter().filter(|package| !gaps.contains(&package.id)) {
        let reason = |code, text: &str| Reason {
            code,
            package: Some(package.id.to_string()),
            unit: None,
            text: text.to_owned(),
            log_tail: None,
            missing: Vec::new(),
            decision: None,
        };
        let has_run = cx.units.0.values().any(|unit| {
            unit.kind() == UnitKind::RunBuildScript && unit.package.as_ref() == Some(&package.id) && unit.end.is_some()
        });
        if package.build_script && !has_run {
            let cause = failed.needed_by(&package.id);
            let cause = cause.map_or_else(String::new, |(id, how)| format!(": it needs {id}, {how}"));
            reasons.push(reason("unit-not-run", &format!("its build script did not run{cause}")));
        }
        // A macro library exports something; what its source does not show (macros made by `macro_rules!`) was not used.
        let is_listed = super::coverage::is_listed(cx, &package.id);
        if package.subject && !is_listed && package.proc_macro.as_ref().is_some_and(Vec::is_empty) {
            reasons.push(reason("undriven", "reading its source showed no macro, so none of its macros was used"));
        }
        if package.proc_macro.is_some() && !super::coverage::is_loaded(cx, &package.id) {
            reasons.push(reason("undriven", "no rustc loaded its macro library, so none of its macros ran"));
        }
        let of_package = driven.iter().filter(|driven| driven.package == package.id);
        for text in of_package.filter_map(|driven| spoiled(driven)) {
            reasons.push(reason("undriven", &text));
        }
    }
}

/// How a macro got rid of inputs. A panic is an answer; who takes the answer away, or never gives it, may do so until
/// nobody asks any more.
fn spoiled(Driven { name, inputs, .. }: &Driven) -> Option<String> {
    let how = match (inputs.died + inputs.garbled, inputs.timed_out) {
        _ if inputs.skipped == 0 => return None,
        (0, 0) => return None,
        (0, _) => "made no answer in time".to_owned(),
        (times, _) => format!("spoiled its driver {times} times"),
    };
    let (name, skipped) = (Bytes::from(name.as_bytes()), inputs.skipped);
    Some(format!("its macro {name} {how}, so {skipped} of its inputs were not tried"))
}

/// cargo failed although no unit did: something outside the units is wrong.
fn cargo(cx: &Context<'_>, reasons: &mut Vec<Reason>) {
    let has_failed = cx.units.0.values().any(|unit| unit.end.is_some_and(|end| end.outcome != UnitOutcome::Ok));
    for line in &cx.log.lines {
        let Line::Note(said) = line else { continue };
        if said.code != note::CARGO_EXIT || has_failed {
            continue;
        }
        let status = said.text.rsplit(|c: char| !c.is_ascii_digit()).next();
        if status != Some("0") {
            let tail = cx.log.lines.iter().rev().find_map(|line| match line {
                Line::Output(output) if output.unit.is_none() => Some(output.tail.0.as_slice()),
                _ => None,
            });
            let told = tail.map(|tail| told_errors(cx, tail)).unwrap_or_default();
            let tail = tail.map(shown_tail);
            if !told.is_empty() {
                reasons.extend(told.into_iter().map(|reason| Reason { log_tail: tail.clone(), ..reason }));
                continue;
            }
            let text = format!("cargo failed and no unit did: {}{}", Bytes::from(said.text.as_str()), unpatched(cx));
            reasons.push(Reason { log_tail: tail, ..of_run("build-failed", text) });
        }
    }
}

/// What build scripts that ended well told cargo by `cargo::error`: it fails for that, and prints it behind the package.
fn told_errors(cx: &Context<'_>, tail: &[u8]) -> Vec<Reason> {
    let lines: Vec<_> = tail.split(|&b| b == b'\n').filter_map(|line| line.strip_prefix(b"error: ")).collect();
    let of = |package: &Package| {
        let start = format!("{}@{}: ", package.id.name, package.id.version);
        let said = lines.iter().find_map(|line| line.strip_prefix(start.as_bytes()))?;
        let text = format!("its build script told cargo of an error: {}", Bytes::from(said));
        Some(Reason { package: Some(package.id.to_string()), ..of_run("build-failed", text) })
    };
    cx.log.header.packages.iter().filter(|package| package.build_script).filter_map(of).collect()
}

/// What to do where a lock file was made with patches that do not count.
fn unpatched(cx: &Context<'_>) -> &'static str {
    let record = cx.log.header.lock.as_deref();
    if record.is_some_and(|record| record.ignored.iter().any(|text| text.starts_with(".cargo/config.toml: patch."))) {
        "; [patch] in .cargo/config.toml does not count here, and the lock file may need it: put it into Cargo.toml"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
