//! `yanked`: the release was withdrawn.

use super::{Code, from_facts};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "yanked",
    severity: "low",
    attack: &["T1195.002"],
    meaning: "The authors or the registry withdrew this release. It can still be built by those who name it exactly.",
    honest: "Releases are withdrawn for bugs far more often than for malice.",
    action: "Look for the reason and take a release that was not withdrawn.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    from_facts(cx, &CODE, |_| Severity::Low, out);
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;

    #[test]
    fn the_fact_is_a_finding_and_another_fact_is_not() {
        assert_eq!(found(&LogBuilder::new().fact("yanked", "it was seen").log()), ["yanked low subject@1.0.0"]);
        assert!(found(&LogBuilder::new().fact("case-twins", "two names differ by case only").log()).is_empty());
    }
}
