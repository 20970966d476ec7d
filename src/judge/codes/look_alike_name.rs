//! `look-alike-name`: the package is called almost like a well-known one.

use serde_json::json;

use super::Code;
use crate::evidence::Bytes;
use crate::evidence::fact::{LOOK_ALIKE_NAME, LookAlike};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::judge::known::{facts, releases};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: LOOK_ALIKE_NAME,
    severity: "low; medium while the package is young, info when it is established",
    attack: &["T1195.001", "T1036.005"],
    meaning: "The name of the package is that of a well-known one but for a letter, a hyphen, the order of its words, \
              or a number or a word put to it. Who mistypes a name, or takes one from an assistant that did, gets it.",
    honest: "Names are short and many, and a fork or a companion often takes the name of what it belongs to. A name \
             that has been there for two years has a standing of its own.",
    action: "Ask whether this is the package that you meant.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    let releases = releases(cx);
    for fact in facts(cx, CODE.name) {
        let severity = match releases.iter().find(|release| *release.package == fact.package) {
            Some(release) if release.is_young => Severity::Medium,
            Some(release) if release.is_established => Severity::Info,
            _ => Severity::Low,
        };
        let object = fact.read::<LookAlike>().map_or_else(|| json!({}), |found| json!(found));
        out.push(
            Draft::of_package(&fact.package, CODE.name, severity)
                .about(fact.package.to_string(), object)
                .says(Bytes::from(fact.text.as_str()).to_string())
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

    #[test]
    fn a_look_alike_is_low_and_worse_while_its_package_is_young() {
        let log = || LogBuilder::new().fact("look-alike-name", "its name is serde's, but for one letter");
        assert_eq!(found(&log().log()), ["look-alike-name low subject@1.0.0"]);
        let of = |first| History { published: ago(50), first: ago(first), releases: 9, ..History::default() };
        assert_eq!(found(&log().line(history(&of(90))).log()), ["look-alike-name medium subject@1.0.0"]);
        assert_eq!(found(&log().line(history(&of(91))).log()), ["look-alike-name low subject@1.0.0"]);
        assert_eq!(found(&log().line(history(&of(729))).log()), ["look-alike-name low subject@1.0.0"]);
        assert_eq!(found(&log().line(history(&of(730))).log()), ["look-alike-name info subject@1.0.0"]);
    }
}
