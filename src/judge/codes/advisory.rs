//! `advisory`: an advisory covers the release.

use serde_json::json;

use super::Code;
use crate::evidence::Bytes;
use crate::evidence::fact::{self, Advisory};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::judge::known::facts;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: fact::ADVISORY,
    severity: "by CVSS: low, medium, high; medium without a vector; unsound low; unmaintained and notices info",
    attack: &["T1195.001"],
    meaning: "An advisory of RustSec, or a record of OSV, covers this release. It names the versions in which the matter \
              is mended and, where it is known, the functions that it is about.",
    honest: "Nearly all of them: mistakes that were found and told.",
    action: "Take a version in which it is mended. Where a function is named that nothing calls, there is time.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    tell(cx, &CODE, severity, out);
}

/// One finding for each advisory.
pub(super) fn tell(cx: &Context<'_>, code: &Code, severity: fn(&Advisory) -> Severity, out: &mut Vec<Draft>) {
    for fact in facts(cx, code.name) {
        let advisory: Advisory = fact.read().unwrap_or_default();
        let subject = if advisory.id.is_empty() { fact.package.to_string() } else { advisory.id.clone() };
        let mut text = Bytes::from(fact.text.as_str()).to_string();
        for (words, list) in [("about", &advisory.functions), ("on", &advisory.platforms)] {
            if !list.is_empty() {
                text = format!("{text}; {words} {}", Bytes::from(list.join(", ").as_str()));
            }
        }
        out.push(
            Draft::of_package(&fact.package, code.name, severity(&advisory))
                .about(subject, json!(advisory))
                .says(text)
                .attack(code.attack),
        );
    }
}

fn severity(advisory: &Advisory) -> Severity {
    match (advisory.informational.as_deref(), advisory.cvss.as_deref()) {
        (Some("unmaintained" | "notice"), _) => Severity::Info,
        (Some(_), _) | (None, Some("none" | "low")) => Severity::Low,
        (None, Some("high" | "critical")) => Severity::High,
        (None, _) => Severity::Medium,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::fact::Fact;
    use crate::evidence::line::Line;
    use crate::evidence::testing::{LogBuilder, subject};
    use crate::judge::codes::testing::found;

    fn of(cvss: Option<&str>, informational: Option<&str>) -> Vec<String> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let advisory = Advisory {
            id: "RUSTSEC-2999-1".to_owned(),
            cvss: own(cvss),
            informational: own(informational),
            ..Advisory::default()
        };
        let fact = Fact::new("advisory", &subject(), "x").with(&advisory);
        found(&LogBuilder::new().line(Line::Fact(fact)).log())
    }

    #[test]
    fn the_vector_and_the_kind_decide() {
        for (cvss, informational, severity) in [
            (None, None, "medium"),
            (Some("low"), None, "low"),
            (Some("medium"), None, "medium"),
            (Some("critical"), None, "high"),
            (Some("critical"), Some("unmaintained"), "info"),
            (None, Some("unsound"), "low"),
            (None, Some("notice"), "info"),
        ] {
            assert_eq!(of(cvss, informational), [format!("advisory {severity} RUSTSEC-2999-1")]);
        }
    }

    #[test]
    fn two_advisories_are_two_findings() {
        let line = |id: &str| {
            let advisory = Advisory { id: id.to_owned(), ..Advisory::default() };
            Line::Fact(Fact::new("advisory", &subject(), "x").with(&advisory))
        };
        assert_eq!(found(&LogBuilder::new().line(line("A")).line(line("B")).log()).len(), 2);
    }
}
