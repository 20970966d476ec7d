//! What was exercised, and what was not.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::context::Context;
use super::failures::Failures;
use super::known::facts;
use super::paths::contains;
use crate::evidence::Bytes;
use crate::evidence::fact::{self, Asked};
use crate::evidence::line::{
    Depth, Driven, DrivenInputs, Features, Line, MacroKind, MacroName, Package, UnitKind, UnitOutcome, note,
};
use crate::ids::{PackageId, UnitId};

/// What was exercised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// How much of the graph was built.
    pub depth: Depth,
    /// Of the whole build.
    pub build_scripts: BuildScripts,
    /// Of the whole build.
    pub macro_libraries: MacroLibraries,
    /// Which features of the subject were on. None for a lock file, and where the evidence does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// Which sources of facts were asked; none where nobody asked.
    pub facts: Vec<FactSource>,
    /// What counts in the sums above, package by package.
    #[serde(skip)]
    pub parts: Vec<Part>,
}

/// What of a package was meant to run, and whether it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub package: PackageId,
    /// Of its build script: whether it ran to an end.
    pub script: Option<bool>,
    /// Of its macro library: whether it was loaded.
    pub library: Option<bool>,
}

/// A source of facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FactSource {
    /// `advisories`, `names`, `index`, `archive`, `reputation`, `repository`.
    pub source: String,
    /// Whether it was asked.
    pub status: Asked,
    /// What it covers, or why it was not.
    pub detail: String,
}

impl FactSource {
    /// True for one that may say something else tomorrow of what is the same.
    pub fn changes(&self) -> bool {
        ["advisories", "names", "index"].contains(&self.source.as_str())
    }
}

/// Build scripts of the build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildScripts {
    /// Packages that have one.
    pub found: u64,
    /// Packages whose script ran to an end, good or bad.
    pub run: u64,
}

/// Macro libraries of the build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MacroLibraries {
    /// Packages that are one.
    pub found: u64,
    /// Those that some rustc or a driver loaded, so that their constructors ran.
    pub loaded: u64,
    /// Those whose macros a driver listed and expanded; without a driver, those that the consumer loaded to use them.
    pub driven: u64,
    /// Macros that the driven libraries export, as a driver listed them, else as found by reading their sources.
    pub macros: u64,
    /// Those of them that answered an input at least once; without a driver, those that rustc found when the consumer
    /// used them. None when that is not known.
    pub expanded: Option<u64>,
    /// What came of each macro that was driven, by package, those of one library in the order of its list.
    pub by_name: Vec<MacroCoverage>,
}

/// What came of one macro that was driven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MacroCoverage {
    /// Whose macro it is.
    pub package: String,
    /// Its name, escaped for a reader.
    pub name: String,
    /// Which of the three kinds.
    pub kind: MacroKind,
    /// What came of its inputs.
    #[serde(flatten)]
    pub inputs: DrivenInputs,
}

impl MacroCoverage {
    fn new(driven: &Driven) -> Self {
        Self {
            package: driven.package.to_string(),
            name: Bytes::from(driven.name.as_str()).to_string(),
            kind: driven.kind,
            inputs: driven.inputs,
        }
    }
}

pub(super) fn of(cx: &Context<'_>) -> Coverage {
    let facts = sources(cx).map(|(source, _)| source).collect();
    let header = &cx.log.header;
    let features = header.features.as_ref().map(plain);
    let mut coverage = Coverage { depth: header.depth, features, facts, ..Coverage::default() };
    let consumers: BTreeSet<_> = cx
        .units
        .0
        .values()
        .filter(|unit| unit.kind() == UnitKind::CompileConsumer && unit.end.is_some())
        .map(super::units::Unit::id)
        .collect();
    let mut driven_macros: Vec<&MacroName> = Vec::new();
    let parts = parts(cx, &Failures::of(cx));
    for package in &parts {
        let script = package.build_script.then(|| has_run(cx, &package.id));
        let library = package.proc_macro.as_ref().map(|_| is_loaded(cx, &package.id));
        coverage.parts.push(Part { package: package.id.clone(), script, library });
        if let Some(has_run) = script {
            coverage.build_scripts.found += 1;
            coverage.build_scripts.run += u64::from(has_run);
        }
        if let Some(macros) = &package.proc_macro {
            coverage.macro_libraries.found += 1;
            coverage.macro_libraries.loaded += u64::from(library == Some(true));
            let has_unseen_macros = package.subject && macros.is_empty();
            if !has_unseen_macros && is_driven(cx, &package.id, &consumers) {
                coverage.macro_libraries.driven += 1;
                driven_macros.extend(macros);
            }
        }
    }
    let libraries = &mut coverage.macro_libraries;
    if has_driver(cx) {
        libraries.driven = count(parts.iter().filter(|package| is_listed(cx, &package.id)).count());
        libraries.by_name = driven(cx);
        libraries.macros = count(libraries.by_name.len());
        libraries.expanded = Some(count(libraries.by_name.iter().filter(|name| name.inputs.has_answered()).count()));
    } else {
        libraries.macros = count(driven_macros.len());
        libraries.expanded = expanded(cx, &consumers, &driven_macros);
    }
    coverage
}

/// With names escaped for a reader.
fn plain(features: &Features) -> Features {
    let plain = |names: &[String]| names.iter().map(|name| Bytes::from(name.as_str()).to_string()).collect();
    Features { default: features.default, asked: plain(&features.asked), off: plain(&features.off) }
}

/// True if a driver took a library, whatever came of it.
fn has_driver(cx: &Context<'_>) -> bool {
    cx.units.0.values().any(|unit| unit.kind() == UnitKind::DriveMacros)
}

fn driven(cx: &Context<'_>) -> Vec<MacroCoverage> {
    let lines = cx.log.lines.iter();
    let driven = lines.filter_map(|line| if let Line::Driven(driven) = line { Some(driven) } else { None });
    let mut driven: Vec<_> = driven.map(MacroCoverage::new).collect();
    // Which library was driven first is chance.
    driven.sort_by(|one, other| one.package.cmp(&other.package));
    driven
}

/// The sources of facts, and whether the user wants each.
pub(super) fn sources(cx: &Context<'_>) -> impl Iterator<Item = (FactSource, bool)> {
    facts(cx, fact::SOURCE).filter_map(|said| {
        let source: fact::Source = said.read()?;
        let plain = |text: &str| Bytes::from(text).to_string();
        let told = FactSource { source: plain(&source.source), status: source.status, detail: plain(&said.text) };
        Some((told, source.required))
    })
}

/// Of which sources that change by the day it is known whether they answered.
pub(super) fn asked(cx: &Context<'_>) -> BTreeMap<String, Asked> {
    sources(cx).map(|(told, _)| told).filter(FactSource::changes).map(|told| (told.source, told.status)).collect()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// The packages but those that the build is known to leave out: the packages of a run are all that the lock file
/// allows on this platform, and the features that are on may need fewer. cargo starts everything that it needs and
/// can, so one of which it started nothing is not needed, if cargo ended and the package needs none that failed. The
/// subject always takes part.
pub(super) fn parts<'a>(cx: &'a Context<'_>, failed: &Failures<'_>) -> Vec<&'a Package> {
    let is_whole = whole_graph_was_built(cx);
    let is_part = |package: &&Package| match &cx.log.header.lock {
        Some(record) => super::locked::takes_part(cx, record, package, failed),
        None => package.subject || has_units(cx, &package.id) || !(is_whole || is_not_asked_for(cx, package, failed)),
    };
    cx.log.header.packages.iter().filter(is_part).collect()
}

/// True if anything of the package was started.
pub(super) fn has_units(cx: &Context<'_>, id: &PackageId) -> bool {
    cx.units.0.values().any(|unit| unit.package.as_ref() == Some(id))
}

/// True for a package that nothing that could be built needs. Not known without the graph.
fn is_not_asked_for(cx: &Context<'_>, package: &Package, failed: &Failures<'_>) -> bool {
    !cx.log.header.needs.is_empty() && failed.reached_the_end && failed.needed_by(&package.id).is_none()
}

fn whole_graph_was_built(cx: &Context<'_>) -> bool {
    let ended = cx.log.lines.iter().any(|line| matches!(line, Line::Note(said) if said.code == note::CARGO_EXIT));
    let is_fine = |unit: &super::units::Unit<'_>| {
        matches!(unit.kind(), UnitKind::CompileConsumer | UnitKind::DriveMacros)
            || unit.end.is_some_and(|end| end.outcome == UnitOutcome::Ok)
    };
    // In depth `build` the consumer is not compiled.
    let consumer_ran =
        cx.log.header.depth == Depth::Build || cx.units.0.values().any(|unit| unit.kind() == UnitKind::CompileConsumer);
    ended && consumer_ran && cx.units.0.values().all(is_fine)
}

fn has_run(cx: &Context<'_>, package: &PackageId) -> bool {
    cx.units.0.values().any(|unit| {
        unit.kind() == UnitKind::RunBuildScript && unit.package.as_ref() == Some(package) && unit.end.is_some()
    })
}

fn loads<'a>(cx: &'a Context<'_>, package: &'a PackageId) -> impl Iterator<Item = Option<UnitId>> + 'a {
    cx.log.lines.iter().filter_map(move |line| match line {
        Line::Note(said) if said.code == note::MACRO_LOADED && said.package.as_ref() == Some(package) => {
            Some(said.unit)
        }
        _ => None,
    })
}

/// The packages whose macro libraries this unit loaded, in their order.
pub(super) fn loaded_by<'a>(cx: &Context<'a>, unit: UnitId) -> BTreeSet<&'a PackageId> {
    let of_unit = cx.log.lines.iter().filter_map(|line| match line {
        Line::Note(said) if said.code == note::MACRO_LOADED && said.unit == Some(unit) => said.package.as_ref(),
        _ => None,
    });
    of_unit.collect()
}

/// True if a driver listed the macros of the package's library.
pub(super) fn is_listed(cx: &Context<'_>, package: &PackageId) -> bool {
    cx.log.lines.iter().any(|line| {
        matches!(line, Line::Note(said) if said.code == note::MACROS_LISTED && said.package.as_ref() == Some(package))
    })
}

/// True if some rustc opened the package's macro library.
pub(super) fn is_loaded(cx: &Context<'_>, package: &PackageId) -> bool {
    loads(cx, package).next().is_some()
}

/// True if the consumer's own rustc did. A note without a unit counts when a consumer ran.
fn is_driven(cx: &Context<'_>, package: &PackageId, consumers: &BTreeSet<UnitId>) -> bool {
    !consumers.is_empty() && loads(cx, package).any(|unit| unit.is_none_or(|unit| consumers.contains(&unit)))
}

/// Macros minus those that rustc said it could not find. Unknown when a consumer did not end by itself.
fn expanded(cx: &Context<'_>, consumers: &BTreeSet<UnitId>, macros: &[&MacroName]) -> Option<u64> {
    let is_clean = consumers
        .iter()
        .filter_map(|id| cx.units.0.get(id)?.end)
        .all(|end| matches!(end.outcome, UnitOutcome::Ok | UnitOutcome::Failed));
    if consumers.is_empty() || !is_clean {
        return None;
    }
    let has_failed =
        consumers.iter().filter_map(|id| cx.units.0.get(id)?.end).any(|end| end.outcome == UnitOutcome::Failed);
    let said: Vec<_> = cx
        .log
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Output(output) if output.unit.is_some_and(|unit| consumers.contains(&unit)) => Some(&output.tail.0),
            _ => None,
        })
        .collect();
    // A failure whose words were not kept says nothing about any macro.
    if has_failed && said.is_empty() {
        return None;
    }
    let is_found = |name: &MacroName| !said.iter().any(|text| contains(text, not_found(name).as_bytes()));
    Some(count(macros.iter().filter(|name| is_found(name)).count()))
}

/// rustc's words for a macro that it cannot find.
fn not_found(name: &MacroName) -> String {
    let kind = match name.kind {
        MacroKind::Function => "macro",
        MacroKind::Attribute => "attribute",
        MacroKind::Derive => "derive macro",
    };
    format!("cannot find {kind} `{}`", name.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::EvidenceLog;
    use crate::evidence::testing::LogBuilder;
    use crate::judge::judge;
    use crate::policy::Policy;

    fn coverage(log: &EvidenceLog) -> Coverage {
        judge(log, &Policy::shipped()).coverage
    }

    #[test]
    fn found_and_run_are_counted_for_the_whole_build() {
        let log = LogBuilder::new().dependency("other", true).build_script("u", |u| u).log();
        assert_eq!(coverage(&log).build_scripts, BuildScripts { found: 2, run: 1 });
    }

    #[test]
    fn a_driven_library_counts_its_macros_but_for_those_that_rustc_did_not_find() {
        let log = LogBuilder::new()
            .proc_macro(&["A", "B"])
            .driven()
            .rustc(UnitKind::CompileConsumer, |u| u.failed("error: cannot find derive macro `B` in this scope"))
            .log();
        let libraries = coverage(&log).macro_libraries;
        let none = Vec::new();
        let expected = MacroLibraries { found: 1, loaded: 1, driven: 1, macros: 2, expanded: Some(1), by_name: none };
        assert_eq!(libraries, expected);
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        let log = LogBuilder::new().proc_macro(&["A"]).log();
        assert_eq!(coverage(&log).macro_libraries, MacroLibraries { found: 1, ..MacroLibraries::default() });
        let log = LogBuilder::new()
            .proc_macro(&["A"])
            .driven()
            .rustc(UnitKind::CompileConsumer, |u| u.end(|e| e.outcome = UnitOutcome::Signalled))
            .log();
        assert_eq!(coverage(&log).macro_libraries.expanded, None);
    }

    #[test]
    fn a_library_that_only_a_dependent_loaded_is_not_driven() {
        let log = LogBuilder::new()
            .proc_macro(&["A"])
            .rustc(UnitKind::Compile, |u| u)
            .line(Line::Note(crate::evidence::line::Note {
                code: note::MACRO_LOADED.to_owned(),
                package: Some(crate::evidence::testing::subject()),
                unit: Some(UnitId(0)),
                text: String::new(),
                limit: None,
            }))
            .rustc(UnitKind::CompileConsumer, |u| u)
            .log();
        let libraries = coverage(&log).macro_libraries;
        assert_eq!((libraries.loaded, libraries.driven), (1, 0));
    }
}
