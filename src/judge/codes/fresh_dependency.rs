//! `fresh-dependency`: a release needs a package that was made for it.

use serde_json::json;

use super::Code;
use crate::evidence::time::date;
use crate::ids::counted;
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::judge::known::releases;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "fresh-dependency",
    severity: "low; medium while the release is fresh",
    attack: &["T1195.001"],
    meaning: "The release needs a package that the last one before those of the same two weeks did not need, and whose \
              first release of all was published hours before. So came the payload of attacks on well-known packages.",
    honest: "A project that is split into several packages publishes them one after the other.",
    action: "Look who owns the new dependency and what its build script does. sandbox-check runs it, too.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for release in releases(cx) {
        for (new, first, before) in release.made_for_it(cx) {
            let severity = if release.is_fresh { Severity::Medium } else { Severity::Low };
            let object = json!({"dependency": new.name, "first": date(first), "hours_before": before});
            out.push(
                Draft::of_package(release.package, CODE.name, severity)
                    .about(new.name.as_str(), object)
                    .says(format!(
                        "it began to need {}, which was there for {} by then",
                        new.name,
                        counted(before, "hour")
                    ))
                    .attack(CODE.attack),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::fact::{History, NewDependency};
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;
    use crate::judge::known::tests::{ago, history};

    fn of(days: u64, dependency: Option<u64>) -> Vec<String> {
        let new_dependencies = vec![NewDependency { name: "other".to_owned(), first: dependency }];
        let known =
            History { published: ago(days), first: ago(900), releases: 2, new_dependencies, ..History::default() };
        let found = found(&LogBuilder::new().line(history(&known)).log());
        found.into_iter().filter(|finding| finding.starts_with("fresh-dependency")).collect()
    }

    #[test]
    fn a_dependency_that_is_hours_older_than_its_first_use_is_told() {
        assert_eq!(of(1, ago(2)), ["fresh-dependency medium other"]);
        assert_eq!(of(100, ago(102)), ["fresh-dependency low other"]);
    }

    #[test]
    fn a_dependency_that_was_there_before_or_whose_age_nobody_knows_is_not() {
        assert!(of(1, ago(30)).is_empty());
        assert!(of(1, None).is_empty());
    }
}
