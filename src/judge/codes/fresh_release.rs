//! `fresh-release`: the release is days old.

use serde_json::json;

use super::Code;
use crate::evidence::time::date;
use crate::ids::counted;
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::judge::known::releases;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "fresh-release",
    severity: "low; medium where the whole package is as fresh",
    attack: &["T1195.002"],
    meaning: "The release, or the whole package, was published a few days before the run, by what the index says.",
    honest: "Every release was fresh once. Most attacks on packages were found within days, by somebody else.",
    action: "Wait a few days, or read what changed since the release before. Of a package that was made this week, ask \
             who told you its name.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for release in releases(cx).into_iter().filter(|release| release.is_fresh) {
        let (Some(published), Some(age)) = (release.history.published, release.age) else { continue };
        let is_new = release.package_age.is_some_and(|age| age <= cx.policy.facts().fresh_days);
        let severity = if is_new { Severity::Medium } else { Severity::Low };
        let first = release.history.first.map(date);
        let mut text = format!("it was published on {}, {} before this run", date(published), counted(age, "day"));
        if release.history.releases == 1 {
            text.push_str(", and is the first release of its package");
        } else if is_new && let Some(first) = &first {
            text.push_str(", and its package is there since ");
            text.push_str(first);
        }
        let object = json!({"published": date(published), "age_days": age, "first": first, "releases": release.history.releases});
        out.push(
            Draft::of_package(release.package, CODE.name, severity)
                .about(release.package.to_string(), object)
                .says(text)
                .attack(CODE.attack),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::fact::History;
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;
    use crate::judge::known::tests::{ago, history};

    fn of(days: u64, first: u64) -> Vec<String> {
        let known = History { published: ago(days), first: ago(first), releases: 2, ..History::default() };
        found(&LogBuilder::new().line(history(&known)).log())
    }

    #[test]
    fn a_release_is_fresh_for_two_weeks_and_worse_if_its_package_is() {
        assert_eq!(of(14, 900), ["fresh-release low subject@1.0.0"]);
        assert_eq!(of(1, 3), ["fresh-release medium subject@1.0.0"]);
        assert!(of(15, 15).is_empty());
    }

    #[test]
    fn a_release_without_a_time_is_not_called_fresh() {
        let known = History { releases: 1, ..History::default() };
        assert!(found(&LogBuilder::new().line(history(&known)).log()).is_empty());
    }

    #[test]
    fn a_release_of_tomorrow_is_fresh() {
        let known = History { published: Some(u64::MAX), first: ago(900), releases: 2, ..History::default() };
        assert_eq!(found(&LogBuilder::new().line(history(&known)).log()), ["fresh-release low subject@1.0.0"]);
    }
}
