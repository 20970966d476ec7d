//! `dormant-release`: a fresh release after years of silence.

use serde_json::json;

use super::Code;
use crate::evidence::time::{DAY, date};
use crate::ids::counted;
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::judge::known::releases;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "dormant-release",
    severity: "low",
    attack: &["T1195.002", "T1078"],
    meaning: "The release is fresh, and nothing of its package had been published for years before it and those of the \
              same two weeks. Forgotten accounts are taken over more easily than those in daily use.",
    honest: "Finished packages are released seldom, and somebody takes care of an old one at last.",
    action: "Look what changed, and whether it is still the same people who publish.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for release in releases(cx).into_iter().filter(|release| release.is_fresh) {
        let (Some(published), Some(before)) = (release.history.published, release.history.last_before) else {
            continue;
        };
        let silence = published.saturating_sub(before) / DAY;
        if silence < cx.policy.facts().dormant_days {
            continue;
        }
        out.push(
            Draft::of_package(release.package, CODE.name, Severity::Low)
                .about(release.package.to_string(), json!({"last": date(before), "silence_days": silence}))
                .says(format!("its package had slept for {}, since {}", counted(silence, "day"), date(before)))
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

    fn of(days: u64, before: u64) -> Vec<String> {
        let known = History {
            published: ago(days),
            first: ago(3000),
            releases: 9,
            last_before: ago(before),
            ..History::default()
        };
        let found = found(&LogBuilder::new().line(history(&known)).log());
        found.into_iter().filter(|finding| finding.starts_with("dormant-release")).collect()
    }

    #[test]
    fn a_fresh_release_after_two_years_of_silence_is_told() {
        assert_eq!(of(1, 731), ["dormant-release low subject@1.0.0"]);
    }

    #[test]
    fn a_shorter_silence_or_an_old_release_is_not() {
        assert!(of(1, 700).is_empty());
        assert!(of(100, 2000).is_empty());
    }
}
