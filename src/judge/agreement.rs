//! Whether macros tried the same when they were driven alone and where the consumer used them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::context::Context;
use super::finding::Finding;
use crate::evidence::line::UnitKind;
use crate::ids::{PackageId, UnitId};

/// What the macros of one package tried in one place only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Seen only when they were driven.
    pub only_driven: Vec<Seen>,
    /// Seen only where the consumer used them.
    pub only_in_consumer: Vec<Seen>,
}

/// What a finding is about, wherever it was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seen {
    /// The finding's code.
    pub code: &'static str,
    /// Its subject.
    pub subject: String,
}

/// Holds the findings of the package's drivers against those of the consumer's units; none where they did not run in
/// both.
pub(super) fn of(cx: &Context<'_>, package: &PackageId, findings: &[Finding]) -> Option<Agreement> {
    let ran_in = |kind| {
        let is_of = |unit: &super::units::Unit<'_>| unit.kind() == kind && unit.package.as_ref() == Some(package);
        cx.units.0.values().any(|unit| is_of(unit) && unit.end.is_some())
    };
    if !super::coverage::is_listed(cx, package) || !ran_in(UnitKind::CompileConsumer) {
        return None;
    }
    let kind = |unit: Option<UnitId>| unit.and_then(|unit| cx.units.0.get(&unit)).map(super::units::Unit::kind);
    let seen = |wanted| {
        let of_kind = findings.iter().filter(|finding| kind(finding.unit) == Some(wanted));
        of_kind.map(|finding| Seen { code: finding.code, subject: finding.subject.clone() }).collect::<BTreeSet<_>>()
    };
    let (driven, used) = (seen(UnitKind::DriveMacros), seen(UnitKind::CompileConsumer));
    let only = |one: &BTreeSet<Seen>, other: &BTreeSet<Seen>| one.difference(other).cloned().collect();
    Some(Agreement { only_driven: only(&driven, &used), only_in_consumer: only(&used, &driven) })
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Line, Note, UnitKind, note};
    use crate::evidence::testing::{LogBuilder, subject};
    use crate::judge::judge;
    use crate::policy::Policy;

    const KEY: &str = "/home/dev/.ssh/id_ed25519";
    const OTHER: &str = "/home/dev/.ssh/id_rsa";

    #[test]
    fn what_is_seen_in_one_place_only_is_told_and_what_is_seen_in_both_is_not() {
        let listed = Line::Note(Note {
            code: note::MACROS_LISTED.to_owned(),
            package: Some(subject()),
            unit: None,
            text: "1 macros".to_owned(),
            limit: None,
        });
        let log = LogBuilder::new()
            .proc_macro(&["A"])
            .driven()
            .rustc(UnitKind::CompileConsumer, |u| u.open(KEY))
            .rustc(UnitKind::DriveMacros, |u| u.open(KEY).open(OTHER))
            .line(listed)
            .log();
        let agreement = judge(&log, &Policy::shipped()).packages[0].agreement.clone().unwrap();
        let only: Vec<_> = agreement.only_driven.iter().map(|seen| (seen.code, seen.subject.as_str())).collect();
        assert_eq!(only, [("credential-read", "~/.ssh/id_rsa")]);
        assert_eq!(agreement.only_in_consumer, []);
        let alone = LogBuilder::new().proc_macro(&["A"]).driven().log();
        assert_eq!(judge(&alone, &Policy::shipped()).packages[0].agreement, None);
    }
}
