//! `checksum-mismatch`: the bytes are not those that were promised.

use super::{Code, from_facts};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "checksum-mismatch",
    severity: "critical",
    attack: &["T1195.002"],
    meaning: "The bytes of the .crate file are not those that the index or the lock file promises, or the index promises two things for one version.",
    honest: "A broken mirror or a damaged cache; it should not happen.",
    action: "Fetch from the registry itself and compare. If the difference stays, tell the registry.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    from_facts(cx, &CODE, |_| Severity::Critical, out);
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;

    #[test]
    fn the_fact_is_a_finding_and_another_fact_is_not() {
        assert_eq!(
            found(&LogBuilder::new().fact("checksum-mismatch", "it was seen").log()),
            ["checksum-mismatch critical subject@1.0.0"]
        );
        assert!(found(&LogBuilder::new().fact("case-twins", "two names differ by case only").log()).is_empty());
    }
}
