//! `yanked-lure`: the releases below a fresh one were all withdrawn.

use serde_json::json;

use super::Code;
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::judge::known::{Release, releases};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "yanked-lure",
    severity: "medium",
    attack: &["T1195.002"],
    meaning: "The release is fresh, or needs a package that was made for it, and the versions directly below it, or below \
              those of the same two weeks, were all withdrawn. Whoever took over an account does so to push everybody to \
              the release that has the payload.",
    honest: "A serious bug that all of them have, mended by the fresh one.",
    action: "Look for the reason that the authors give. Without one, stay at the release of your lock file.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    // What was made for a release is no less odd when it is looked at later.
    let is_odd = |release: &Release<'_>| release.is_fresh || release.made_for_it(cx).next().is_some();
    for release in releases(cx).into_iter().filter(is_odd) {
        let yanked = &release.history.yanked_before;
        if yanked.len() < cx.policy.facts().lure_yanks {
            continue;
        }
        let (first, last) = (yanked.last().map_or("", String::as_str), yanked.first().map_or("", String::as_str));
        out.push(
            Draft::of_package(release.package, CODE.name, Severity::Medium)
                .about(release.package.to_string(), json!({"yanked": yanked}))
                .says(format!("the {} versions below it, {first} to {last}, were all withdrawn", yanked.len()))
                .attack(CODE.attack),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::fact::{History, NewDependency};
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;
    use crate::judge::known::tests::{ago, history};

    fn of(days: u64, yanked: &[&str]) -> Vec<String> {
        let yanked_before = yanked.iter().map(|version| (*version).to_owned()).collect();
        let known = History { published: ago(days), first: ago(900), releases: 9, yanked_before, ..History::default() };
        let found = found(&LogBuilder::new().line(history(&known)).log());
        found.into_iter().filter(|finding| finding.starts_with("yanked-lure")).collect()
    }

    #[test]
    fn three_withdrawn_versions_in_a_row_below_a_fresh_one_are_a_lure() {
        assert_eq!(of(1, &["0.3.9", "0.3.8", "0.3.7"]), ["yanked-lure medium subject@1.0.0"]);
    }

    #[test]
    fn a_lure_of_last_year_with_a_dependency_that_was_made_for_it_is_one_still() {
        let of = |first: u64| {
            let known = History {
                published: ago(400),
                first: ago(900),
                releases: 9,
                yanked_before: ["0.3.9", "0.3.8", "0.3.7"].map(str::to_owned).to_vec(),
                new_dependencies: vec![NewDependency { name: "other".to_owned(), first: ago(first) }],
                ..History::default()
            };
            found(&LogBuilder::new().line(history(&known)).log())
        };
        assert_eq!(of(402), ["yanked-lure medium subject@1.0.0", "fresh-dependency low other"]);
        assert!(of(800).is_empty());
    }

    #[test]
    fn two_of_them_or_a_release_that_has_been_there_for_long_are_none() {
        assert!(of(1, &["0.3.9", "0.3.8"]).is_empty());
        assert!(of(100, &["0.3.9", "0.3.8", "0.3.7"]).is_empty());
    }
}
