//! `unknown-name`: the registry has no package of this name.

use super::{Code, from_facts};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "unknown-name",
    severity: "medium",
    attack: &["T1195.001"],
    meaning: "A lock file names a package that its registry does not have. It was removed, or it never was there and \
              somebody made the name up; whoever registers it first is built.",
    honest: "A registry that was changed after the lock file was written, or a mirror that has not everything.",
    action: "Find out where the name comes from. The nearest names that the registry has are in the finding.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    from_facts(cx, &CODE, |_| Severity::Medium, out);
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;

    #[test]
    fn the_fact_is_a_finding_and_another_fact_is_not() {
        assert_eq!(found(&LogBuilder::new().fact("unknown-name", "x").log()), ["unknown-name medium subject@1.0.0"]);
        assert!(found(&LogBuilder::new().fact("index-history", "x").log()).is_empty());
    }
}
