//! Whether macros tried the same wherever they ran: driven alone, where our consumer used them, and where other packages did.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::context::Context;
use super::finding::Finding;
use super::units::Unit;
use crate::evidence::line::{Line, UnitKind, note};
use crate::ids::{PackageId, UnitId};

/// Where macros ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Alone in a driver, with the inputs of ours.
    Driven,
    /// In the rustc of the program of ours that uses them.
    Consumer,
    /// In the rustc of other packages of the build, with their real inputs.
    Dependents,
}

/// What the macros of one package tried in some of the places where they ran and not in others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// None where they tried the same everywhere.
    pub differs: Vec<Difference>,
}

/// What a finding is about, and where it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The finding's code.
    pub code: &'static str,
    /// Its subject.
    pub subject: String,
    /// Where it was tried.
    pub seen: Vec<Place>,
    /// Where they ran as well and it was not.
    pub unseen: Vec<Place>,
}

/// Holds the findings of the places where the package's macros ran against each other; none where that is one place only.
pub(super) fn of(cx: &Context<'_>, package: &PackageId, findings: &[Finding]) -> Option<Agreement> {
    let ran = places(cx, package);
    if ran.len() < 2 {
        return None;
    }
    let mut all: BTreeMap<(&'static str, &str), BTreeSet<Place>> = BTreeMap::new();
    for finding in findings {
        let unit = finding.unit.and_then(|unit| cx.units.0.get(&unit));
        if let Some(place) = unit.and_then(|unit| place(unit, package)) {
            all.entry((finding.code, &finding.subject)).or_default().insert(place);
        }
    }
    let differences = all.into_iter().filter_map(|((code, subject), seen)| {
        let unseen: Vec<_> = ran.difference(&seen).copied().collect();
        let is_one = !unseen.is_empty();
        is_one.then(|| Difference { code, subject: subject.to_owned(), seen: seen.into_iter().collect(), unseen })
    });
    Some(Agreement { differs: differences.collect() })
}

/// Where the macros of a package ran to an end.
fn places(cx: &Context<'_>, package: &PackageId) -> BTreeSet<Place> {
    let ended = |unit: Option<UnitId>| unit.and_then(|unit| cx.units.0.get(&unit)).filter(|unit| unit.end.is_some());
    let in_dependents = |line: &Line| match line {
        Line::Note(said) if said.code == note::MACRO_LOADED && said.package.as_ref() == Some(package) => {
            ended(said.unit).and_then(|unit| place(unit, package)) == Some(Place::Dependents)
        }
        _ => false,
    };
    // It uses the subject's macros; those of other packages it may load and does not use.
    let is_subject = cx.package(package).is_some_and(|package| package.subject);
    let in_consumer = |unit: &Unit<'_>| unit.end.is_some() && place(unit, package) == Some(Place::Consumer);
    let found = [
        (Place::Driven, super::coverage::is_listed(cx, package)),
        (Place::Consumer, is_subject && cx.units.0.values().any(in_consumer)),
        (Place::Dependents, cx.log.lines.iter().any(in_dependents)),
    ];
    found.into_iter().filter_map(|(place, has_run)| has_run.then_some(place)).collect()
}

/// Which place a unit is to the macros of a package; none to their own compilation.
fn place(unit: &Unit<'_>, package: &PackageId) -> Option<Place> {
    let is_own = unit.package.as_ref() == Some(package);
    match unit.kind() {
        UnitKind::DriveMacros => Some(Place::Driven),
        UnitKind::CompileConsumer if is_own => Some(Place::Consumer),
        UnitKind::Compile | UnitKind::CompileProcMacro | UnitKind::CompileBuildScript | UnitKind::CompileConsumer => {
            (!is_own).then_some(Place::Dependents)
        }
        UnitKind::RunBuildScript | UnitKind::SelfTest => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Place::{Consumer, Dependents, Driven};
    use super::{Agreement, Place};
    use crate::evidence::line::{Library, Line, Note, UnitKind, note};
    use crate::evidence::testing::{LogBuilder, RUSTC, subject};
    use crate::ids::{PackageId, UnitId};
    use crate::judge::judge;
    use crate::policy::Policy;

    const KEY: &str = "/home/dev/.ssh/id_ed25519";
    const OTHER: &str = "/home/dev/.ssh/id_rsa";

    fn note(code: &str, unit: Option<UnitId>) -> Line {
        let (code, text) = (code.to_owned(), "1 macros".to_owned());
        Line::Note(Note { code, package: Some(subject()), unit, text, limit: None })
    }

    fn agreement(log: LogBuilder) -> Option<Agreement> {
        judge(&log.log(), &Policy::shipped()).packages[0].agreement.clone()
    }

    /// Whose subject, where it was seen and where not.
    fn told(agreement: Option<Agreement>) -> Vec<(String, Vec<Place>, Vec<Place>)> {
        agreement.unwrap().differs.into_iter().map(|one| (one.subject, one.seen, one.unseen)).collect()
    }

    #[test]
    fn what_is_seen_in_one_place_only_is_told_and_what_is_seen_in_both_is_not() {
        let log = LogBuilder::new()
            .proc_macro(&["A"])
            .driven()
            .rustc(UnitKind::CompileConsumer, |u| u.open(KEY))
            .rustc(UnitKind::DriveMacros, |u| u.open(KEY).open(OTHER))
            .line(note(note::MACROS_LISTED, None));
        assert_eq!(told(agreement(log)), [("~/.ssh/id_rsa".to_owned(), vec![Driven], vec![Consumer])]);
        assert_eq!(agreement(LogBuilder::new().proc_macro(&["A"]).driven()), None);
    }

    #[test]
    fn what_a_macro_tries_only_in_the_package_that_really_uses_it_is_told() {
        let by_macro = Library::Macro { package: Some(subject()), file: "libsubject-1.so".to_owned(), symbol: None };
        let user = PackageId::new("user", "2.0.0");
        let log = LogBuilder::new()
            .proc_macro(&["A"])
            .dependency("user", false)
            .rustc(UnitKind::DriveMacros, |u| u.open(KEY))
            .line(note(note::MACROS_LISTED, None))
            .unit(UnitKind::Compile, Some(user), RUSTC, vec!["/tmp/r".into()], |u| {
                u.open(KEY)
                    .with(|attempt| attempt.library = Some(by_macro.clone()))
                    .open(OTHER)
                    .with(|attempt| attempt.library = Some(by_macro))
            })
            .line(note(note::MACRO_LOADED, Some(UnitId(1))));
        assert_eq!(told(agreement(log)), [("~/.ssh/id_rsa".to_owned(), vec![Dependents], vec![Driven])]);
    }
}
