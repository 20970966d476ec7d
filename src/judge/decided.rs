//! What people have decided, held against what was found.
//!
//! `[[expect]]` lowers before chains are looked for ([`super::expected`]): what is expected alone may be bad together
//! with something else. `[[ignore]]` hides last of all, so that a hidden finding still takes part in chains.

use serde::Serialize;

use super::codes;
use super::completeness::Completeness;
use super::context::Context;
use super::finding::{Draft, Finding, stable_text};
use crate::decisions::{Day, Decisions, Entry, Kind, KnownCode};
use crate::evidence::line::PackageSource;
use crate::ids::PackageId;
use crate::policy::Severity;

/// Reasons why a run is incomplete that a person may accept for one package.
const REASONS: [&str; 5] = ["build-failed", "network-denied", "missing-program", "missing-library", "unit-not-run"];

/// What is known of a code, for the reader of decisions.
pub fn known_code(code: &str) -> KnownCode {
    match codes::find(code) {
        Some(found) if found.severity == "critical" => KnownCode::Never("it is critical wherever it is found"),
        Some(_) => KnownCode::Finding,
        None if REASONS.contains(&code) => KnownCode::Reason,
        None => KnownCode::Unknown,
    }
}

/// A decision about a finding or a reason, and whether it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// What was decided.
    pub kind: Kind,
    /// Whether it counts.
    pub effect: Effect,
    /// Where it stands.
    pub place: String,
    /// Why.
    pub reason: String,
    /// From this day on it does not hold.
    pub expires: Day,
}

/// Whether a decision counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It does.
    Applied,
    /// Its time is over.
    Expired,
    /// The finding is worse than what was decided about.
    Outweighed,
    /// A critical finding cannot be accepted.
    Refused,
}

/// What became of a decision in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It counted.
    Applied,
    /// What it is about was found, and its time is over.
    Expired,
    /// What it is about was found, and is worse than was decided about.
    Outweighed,
    /// What it is about was found, and is critical.
    Refused,
    /// What it is about was not found, though all of the package was seen.
    Unused,
    /// What it is about was not found, and not all of the package was seen.
    Unseen,
    /// The run tells of no such package.
    NotAsked,
}

impl From<Effect> for Fate {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Applied => Self::Applied,
            Effect::Expired => Self::Expired,
            Effect::Outweighed => Self::Outweighed,
            Effect::Refused => Self::Refused,
        }
    }
}

impl Finding {
    /// True for a finding that a person has hidden: it counts for nothing.
    pub fn is_hidden(&self) -> bool {
        let hides = |decided: &Decided| decided.kind == Kind::Ignore && decided.effect == Effect::Applied;
        self.decision.as_ref().is_some_and(hides)
    }
}

/// Decisions with the packages of a run.
pub(super) struct Book<'a> {
    decisions: &'a Decisions,
    /// How each entry fared, in order.
    effects: Vec<Option<Effect>>,
}

impl<'a> Book<'a> {
    pub(super) fn new(decisions: &'a Decisions) -> Self {
        Self { decisions, effects: vec![None; decisions.entries.len()] }
    }

    /// The declared behaviour that a draft is, while that holds.
    pub(super) fn expected(&self, cx: &Context<'_>, draft: &Draft) -> Option<&'a Entry> {
        let holds = |entry: &&Entry| {
            let is_one = entry.kind == Kind::Expect && entry.code == draft.code;
            is_one && entry.holds(self.decisions.today) && draft.severity <= entry.severity
        };
        let mut entries = self.decisions.entries.iter().filter(holds).peekable();
        entries.peek()?;
        let (subject, stable) = (draft.subject.to_string(), stable_text(cx, &draft.package, &draft.subject));
        let about = About { package: &draft.package, code: draft.code, subject: &subject, stable: &stable };
        entries.find(|entry| about.is_of(cx, entry))
    }

    /// Marks findings with what was decided about them. An entry that counts outranks one that does not.
    pub(super) fn mark(&mut self, cx: &Context<'_>, findings: &mut [Finding]) {
        for finding in findings {
            // What stands for many is none of them.
            if finding.object.get("subjects").is_some() {
                continue;
            }
            let about = About {
                package: &finding.package,
                code: finding.code,
                subject: &finding.subject,
                stable: &finding.stable,
            };
            let is_lowered = finding.object.get("expected").is_some();
            let effect = |entry: &Entry| {
                if finding.severity == Severity::Critical {
                    Effect::Refused
                } else if !entry.holds(self.decisions.today) {
                    Effect::Expired
                } else if match entry.kind {
                    Kind::Ignore => finding.severity > entry.severity,
                    Kind::Expect => is_lowered && finding.severity > Severity::Low || finding.severity > entry.severity,
                } {
                    Effect::Outweighed
                } else {
                    Effect::Applied
                }
            };
            finding.decision =
                best(self.decisions, &mut self.effects, |entry| about.is_of(cx, entry).then(|| effect(entry)));
        }
    }

    /// Marks the reasons that a person has accepted.
    pub(super) fn accept(&mut self, cx: &Context<'_>, completeness: &mut Completeness) {
        for reason in &mut completeness.reasons {
            let Some(package) = reason.package.as_ref().and_then(|package| package.parse::<PackageId>().ok()) else {
                continue;
            };
            let code = reason.code;
            let effect = |entry: &Entry| {
                let is_same = entry.code == code && entry.object.is_none() && is_about(cx, entry, &package);
                let holds = if entry.holds(self.decisions.today) { Effect::Applied } else { Effect::Expired };
                is_same.then_some(holds)
            };
            reason.decision = best(self.decisions, &mut self.effects, effect);
        }
    }

    /// What became of each entry.
    pub(super) fn fates(&self, cx: &Context<'_>, completeness: &Completeness, is_facts_only: bool) -> Vec<Fate> {
        let record = cx.log.header.lock.as_deref();
        let is_told = |id: &PackageId| record.is_none_or(|record| record.tells(id));
        let fate = |(entry, effect): (&Entry, &Option<Effect>)| {
            if let Some(effect) = effect {
                return Fate::from(*effect);
            }
            let mut packages =
                cx.log.header.packages.iter().filter(|package| entry.is_about(&package.id, package.source));
            match packages.find(|package| is_told(&package.id)) {
                Some(_) if is_facts_only => Fate::Unseen,
                Some(package) if !completeness.is_complete_for(&package.id) => Fate::Unseen,
                Some(_) => Fate::Unused,
                // All packages are told of, and this is none of them.
                None if record.is_some_and(|record| record.since.is_none()) => Fate::Unused,
                None => Fate::NotAsked,
            }
        };
        self.decisions.entries.iter().zip(&self.effects).map(fate).collect()
    }
}

/// What a decision may be about.
struct About<'a> {
    package: &'a PackageId,
    code: &'a str,
    subject: &'a str,
    stable: &'a str,
}

impl About<'_> {
    fn is_of(&self, cx: &Context<'_>, entry: &Entry) -> bool {
        entry.names(self.code, self.subject, self.stable) && is_about(cx, entry, self.package)
    }
}

fn is_about(cx: &Context<'_>, entry: &Entry, package: &PackageId) -> bool {
    entry.is_about(package, cx.package(package).map_or(PackageSource::Registry, |package| package.source))
}

/// The entry that has the most to say, with a note of how each one fared.
fn best(
    decisions: &Decisions,
    effects: &mut [Option<Effect>],
    effect: impl Fn(&Entry) -> Option<Effect>,
) -> Option<Decided> {
    let mut best: Option<(Effect, &Entry)> = None;
    for (entry, noted) in decisions.entries.iter().zip(effects) {
        let Some(effect) = effect(entry) else { continue };
        *noted = Some(noted.map_or(effect, |noted| noted.min(effect)));
        let is_better = best.is_none_or(|(first, other)| (effect, entry.kind) < (first, other.kind));
        if is_better {
            best = Some((effect, entry));
        }
    }
    best.map(|(effect, entry)| Decided {
        kind: entry.kind,
        effect,
        place: entry.place(),
        reason: entry.reason.clone(),
        expires: entry.expires,
    })
}

#[cfg(test)]
mod tests;
