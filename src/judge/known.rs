//! What is known of a release, against the thresholds of the policy. *Now* is when the run began, or the day on which
//! the index was asked if that is later, so that a replay says the same.

use std::collections::BTreeSet;

use serde_json::json;

use super::context::Context;
use super::finding::Draft;
use crate::evidence::fact::{Fact, HISTORY, History, NewDependency, SOURCE, Source};
use crate::evidence::line::Line;
use crate::evidence::time::DAY;
use crate::ids::PackageId;
use crate::policy::Severity;

/// Findings that make a release one to look at twice.
const MARKS: [&str; 5] = ["dormant-release", "fresh-dependency", "look-alike-name", "release-change", "yanked-lure"];

/// A release's history with what follows from the time of the run.
#[derive(Clone, Debug)]
pub(super) struct Release<'a> {
    pub(super) package: &'a PackageId,
    pub(super) history: History,
    /// Days since it was published.
    pub(super) age: Option<u64>,
    /// Days since the first release of its package.
    pub(super) package_age: Option<u64>,
    pub(super) is_fresh: bool,
    pub(super) is_young: bool,
    pub(super) is_established: bool,
}

impl<'a> Release<'a> {
    /// Dependencies that the release before had not and that were there for hours only, with their first time and
    /// those hours.
    pub(super) fn made_for_it<'r>(
        &'r self,
        cx: &Context<'_>,
    ) -> impl Iterator<Item = (&'r NewDependency, u64, u64)> + use<'r, 'a> {
        let hours = cx.policy.facts().dependency_hours;
        // Without a time of its own, the run's is the latest that it can be.
        let published = self.history.published.unwrap_or(cx.log.header.started);
        self.history.new_dependencies.iter().filter_map(move |new| {
            let first = new.first?;
            let before = published.saturating_sub(first) / 3600;
            (before <= hours).then_some((new, first, before))
        })
    }
}

/// All facts of a code.
pub(super) fn facts<'a>(cx: &Context<'a>, code: &'a str) -> impl Iterator<Item = &'a Fact> + use<'a> {
    let lines = cx.log.lines.iter();
    lines.filter_map(move |line| if let Line::Fact(fact) = line { Some(fact).filter(|f| f.code == code) } else { None })
}

fn now(cx: &Context<'_>) -> u64 {
    let day = |fact: &Fact| fact.read::<Source>().filter(|source| source.source == "index")?.day;
    let asked = facts(cx, SOURCE).filter_map(day).max();
    cx.log.header.started.max(asked.unwrap_or_default())
}

/// The releases whose history is known.
pub(super) fn releases<'a>(cx: &Context<'a>) -> Vec<Release<'a>> {
    let limits = cx.policy.facts();
    let now = now(cx);
    let days = |time: u64| now.saturating_sub(time) / DAY;
    facts(cx, HISTORY)
        .filter_map(|fact| {
            let history: History = fact.read()?;
            let (age, package_age) = (history.published.map(days), history.first.map(days));
            Some(Release {
                package: &fact.package,
                is_fresh: age.is_some_and(|age| age <= limits.fresh_days),
                is_young: package_age.is_some_and(|age| age <= limits.young_days),
                is_established: package_age.is_some_and(|age| age >= limits.established_days),
                history,
                age,
                package_age,
            })
        })
        .collect()
}

/// Raises what a doubtful release tried: a fresh release that is marked once more, a young package that looks like
/// another one, or one whose build code is not that of its commit, is no honest package that has a bad day.
pub(super) fn raise(cx: &Context<'_>, drafts: &mut [Draft]) {
    let doubtful: Vec<(PackageId, Vec<&'static str>)> =
        releases(cx).iter().filter_map(|release| Some((release.package.clone(), doubts(release, drafts)?))).collect();
    for draft in drafts.iter_mut().filter(|draft| draft.unit.is_some() || draft.is_egress) {
        let Some((_, doubts)) = doubtful.iter().find(|(package, _)| *package == draft.package) else { continue };
        if draft.severity != Severity::Medium {
            continue;
        }
        draft.severity = Severity::High;
        if let serde_json::Value::Object(object) = &mut draft.object {
            object.insert("facts".to_owned(), json!(doubts));
        }
        draft.summary = format!("{} (of a release that is {})", draft.summary, doubts.join(", "));
    }
}

/// What makes a release doubtful, if it is.
fn doubts(release: &Release<'_>, drafts: &[Draft]) -> Option<Vec<&'static str>> {
    let own = drafts.iter().filter(|draft| draft.package == *release.package && draft.severity >= Severity::Low);
    let mut marks: BTreeSet<&'static str> = own.map(|draft| draft.code).filter(|code| MARKS.contains(code)).collect();
    // A package that another one began to need as soon as it was there.
    let is_wanted =
        |draft: &&Draft| draft.code == "fresh-dependency" && draft.subject.0 == release.package.name.as_bytes();
    if drafts.iter().any(|draft| is_wanted(&draft)) {
        marks.insert("fresh-dependency");
    }
    // Of build code that its commit does not have, nobody who reads the repository knows.
    let is_hidden = |draft: &&Draft| {
        draft.code == "odd-archive" && draft.package == *release.package && draft.severity >= Severity::Medium
    };
    let is_hidden = drafts.iter().any(|draft| is_hidden(&draft));
    if is_hidden {
        marks.insert("odd-archive");
    }
    let is_doubtful =
        is_hidden || release.is_fresh && !marks.is_empty() || release.is_young && marks.contains("look-alike-name");
    if release.is_fresh {
        marks.insert("fresh-release");
    }
    is_doubtful.then(|| marks.into_iter().collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evidence::fact::{Asked, Change, LOOK_ALIKE_NAME, LookAlike};
    use crate::evidence::testing::{LogBuilder, subject};
    use crate::judge::codes::testing::found;

    /// When logs by hand begin.
    pub(in crate::judge) const NOW: u64 = 1_795_000_000;

    #[expect(clippy::unnecessary_wraps, reason = "the form in which a history has it")]
    pub(in crate::judge) fn ago(days: u64) -> Option<u64> {
        Some(NOW - days * DAY)
    }

    pub(in crate::judge) fn history(history: &History) -> Line {
        Line::Fact(Fact::new(HISTORY, &subject(), "published").with(history))
    }

    fn look_alike() -> Line {
        let data = LookAlike { like: "subjects".to_owned(), rule: "one-letter".to_owned() };
        Line::Fact(Fact::new(LOOK_ALIKE_NAME, &subject(), "its name").with(&data))
    }

    fn lookup(days: u64, first: u64, more: Option<Line>) -> Vec<String> {
        let known = History { published: ago(days), first: ago(first), releases: 9, ..History::default() };
        let mut log = LogBuilder::new().line(history(&known));
        if let Some(line) = more {
            log = log.line(line);
        }
        let found = found(&log.build_script("u", |u| u.dns("x.invalid")).log());
        found.into_iter().filter(|finding| finding.starts_with("dns-query")).collect()
    }

    #[test]
    fn a_fresh_look_alike_that_looks_a_name_up_fails() {
        assert_eq!(lookup(2, 2, Some(look_alike())), ["dns-query high x.invalid"]);
        assert_eq!(lookup(30, 60, Some(look_alike())), ["dns-query high x.invalid"]);
    }

    #[test]
    fn build_code_that_no_commit_has_and_that_looks_a_name_up_fails_whatever_its_age() {
        let odd = |what: &str| {
            let change = Change { what: what.to_owned(), which: "build.rs".to_owned(), since: None };
            Some(Line::Fact(Fact::new("odd-archive", &subject(), "x").with(&change)))
        };
        assert_eq!(lookup(400, 900, odd("build-code-added")), ["dns-query high x.invalid"]);
        assert_eq!(lookup(400, 900, odd("file-added")), ["dns-query medium x.invalid"]);
    }

    #[test]
    fn freshness_alone_and_an_old_look_alike_raise_nothing() {
        assert_eq!(lookup(2, 2, None), ["dns-query medium x.invalid"]);
        assert_eq!(lookup(400, 900, Some(look_alike())), ["dns-query medium x.invalid"]);
    }

    #[test]
    fn a_release_ages_while_the_evidence_of_an_earlier_run_answers() {
        let known = History { published: ago(2), first: ago(900), releases: 9, ..History::default() };
        let asked = |day: u64| {
            let source = Source { source: "index".to_owned(), status: Asked::Checked, required: false, day: Some(day) };
            let source = Line::Fact(Fact::new(SOURCE, &subject(), "x").with(&source));
            found(&LogBuilder::new().line(history(&known)).line(source).log())
        };
        assert_eq!(asked(NOW + 5 * DAY), ["fresh-release low subject@1.0.0"]);
        assert!(asked(NOW + 20 * DAY).is_empty());
        // Nor does an odd day make it older than it was.
        assert_eq!(asked(0), ["fresh-release low subject@1.0.0"]);
    }

    #[test]
    fn a_dependency_that_was_made_for_a_release_is_doubtful_itself() {
        let carrier = PackageId::new("carrier", "2.0.0");
        let needs = History {
            published: ago(1),
            first: ago(900),
            releases: 9,
            new_dependencies: vec![NewDependency { name: "subject".to_owned(), first: ago(2) }],
            ..History::default()
        };
        let of_carrier = Line::Fact(Fact::new(HISTORY, &carrier, "published").with(&needs));
        assert_eq!(lookup(2, 2, Some(of_carrier)), ["dns-query high x.invalid"]);
    }
}
