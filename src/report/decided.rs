//! The part of a report that is on what people have decided.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Report, safe};
use crate::decisions::{DecisionFile, Decisions, Entry, Kind, WARNED_DAYS};
use crate::evidence::line::PackageSource;
use crate::ids::counted;
use crate::judge::{Decided, Effect, Fate};

/// A decision about a finding or a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportDecision {
    /// `ignore` or `expect`.
    pub kind: Kind,
    /// Whether it counts.
    pub effect: Effect,
    /// `FILE:LINE`.
    pub place: String,
    /// Why, as the file says.
    pub reason: String,
    /// From this day on it does not hold.
    pub expires: String,
}

impl From<&Decided> for ReportDecision {
    fn from(decided: &Decided) -> Self {
        Self {
            kind: decided.kind,
            effect: decided.effect,
            place: safe(&decided.place),
            reason: safe(&decided.reason),
            expires: decided.expires.to_string(),
        }
    }
}

impl ReportDecision {
    /// True where the finding is hidden by it.
    pub fn hides(&self) -> bool {
        self.kind == Kind::Ignore && self.effect == Effect::Applied
    }
}

/// All decisions, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportDecisions {
    /// The day on which they were asked.
    pub today: String,
    /// Where they come from.
    pub files: Vec<DecisionFile>,
    /// The commit that they were read from; null where it was the working tree.
    pub base: Option<String>,
    /// How many findings are hidden.
    pub hidden: u64,
    /// What counts.
    pub entries: Vec<ReportEntry>,
    /// What the working tree would add; it does not count.
    pub proposed: Vec<ReportEntry>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportEntry {
    /// `ignore` or `expect`.
    pub kind: Kind,
    /// The package.
    pub package: String,
    /// Its versions.
    pub version: String,
    /// Where it comes from.
    pub source: PackageSource,
    /// The code.
    pub code: String,
    /// The object; null for a reason why a run is incomplete.
    pub object: Option<String>,
    /// Why, as the file says.
    pub reason: String,
    /// From this day on it does not hold.
    pub expires: String,
    /// So many days are left; negative when it is over.
    pub days_left: i64,
    /// `FILE:LINE`.
    pub place: String,
    /// What became of it; null for what is only proposed.
    pub fate: Option<Fate>,
}

impl ReportEntry {
    fn of(entry: &Entry, decisions: &Decisions, fate: Option<Fate>) -> Self {
        Self {
            kind: entry.kind,
            package: safe(&entry.package),
            version: entry.version.to_string(),
            source: entry.source,
            code: entry.code.clone(),
            object: entry.object.as_deref().map(safe),
            reason: safe(&entry.reason),
            expires: entry.expires.to_string(),
            days_left: decisions.today.until(entry.expires),
            place: safe(&entry.place()),
            fate,
        }
    }

    /// `[[ignore]] name 1.0.0 dns-query x.invalid`.
    pub(super) fn label(&self) -> String {
        let object = self.object.as_ref().map(|object| format!(" {object}")).unwrap_or_default();
        format!("[[{}]] {} {} {}{object}", self.kind, self.package, self.version, self.code)
    }
}

impl ReportDecisions {
    pub(super) fn of(decisions: &Decisions, fates: &[Fate], hidden: usize) -> Option<Self> {
        if decisions.is_empty() {
            return None;
        }
        let entries = decisions.entries.iter().zip(fates);
        let files = decisions.files.iter().map(|file| DecisionFile { path: safe(&file.path), sha256: file.sha256 });
        Some(Self {
            today: decisions.today.to_string(),
            files: files.collect(),
            base: decisions.base.as_deref().map(safe),
            hidden: u64::try_from(hidden).unwrap_or(u64::MAX),
            entries: entries.map(|(entry, fate)| ReportEntry::of(entry, decisions, Some(*fate))).collect(),
            proposed: decisions.proposed.iter().map(|entry| ReportEntry::of(entry, decisions, None)).collect(),
        })
    }
}

/// A word about a decision: a stable name, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `unused-ignore`, `expired-ignore`, `expiring-ignore`, `outweighed-ignore`, `refused-ignore`, `proposed-ignore`.
    pub name: &'static str,
    /// `FILE:LINE: …`.
    pub text: String,
}

impl Report {
    /// What a person should hear about their decisions, of this report and of those on further lock files.
    pub fn notices(&self) -> Vec<Notice> {
        let Some(decisions) = &self.decisions else { return Vec::new() };
        let mut all = Vec::new();
        for (at, entry) in decisions.entries.iter().enumerate() {
            let mut say = |name, what: String| {
                all.push(Notice { name, text: format!("{}: {} {what}", entry.place, entry.label()) });
            };
            let fates = self.fates_of_all(at);
            let is = |fate: Fate| fates.contains(&fate);
            if is(Fate::Expired) {
                say("expired-ignore", format!("ended on {}; what it is about counts again", entry.expires));
            }
            if is(Fate::Outweighed) {
                say("outweighed-ignore", "does not count: the finding is worse than what was decided about".to_owned());
            }
            if is(Fate::Refused) {
                say("refused-ignore", "does not count: a critical finding cannot be accepted".to_owned());
            }
            let is_unused = fates.iter().all(|fate| matches!(fate, Fate::Unused | Fate::NotAsked)) && is(Fate::Unused);
            if is_unused {
                say("unused-ignore", "is not used: nothing like it was found".to_owned());
            } else if (1..=i64::from(WARNED_DAYS)).contains(&entry.days_left) {
                let left = counted(entry.days_left.unsigned_abs(), "day");
                say("expiring-ignore", format!("ends in {left}, on {}", entry.expires));
            }
        }
        for entry in &decisions.proposed {
            let text = format!("{}: {} is proposed only and does not count", entry.place, entry.label());
            all.push(Notice { name: "proposed-ignore", text });
        }
        all
    }

    /// What became of an entry in each report of the call: all have the same entries.
    fn fates_of_all(&self, at: usize) -> BTreeSet<Fate> {
        let of = |report: &Self| report.decisions.as_ref()?.entries.get(at)?.fate;
        std::iter::once(self).chain(&self.further).filter_map(of).collect()
    }

    /// How many reasons were accepted by a person, of how many packages.
    pub(super) fn accepted(&self) -> usize {
        let accepted = self.completeness.reasons.iter().filter(|reason| reason.is_accepted());
        accepted.filter_map(|reason| reason.package.as_ref()).collect::<BTreeSet<_>>().len()
    }
}
