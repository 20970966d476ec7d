//! `unsafe-archive`: an archive was refused.

use super::{Code, from_facts};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "unsafe-archive",
    severity: "critical",
    attack: &["T1195.002"],
    meaning: "The .crate file was refused: it holds links, devices, absolute or climbing paths, or more than it may, or its Cargo.toml is not what the index says. Nothing of it was kept.",
    honest: "None: cargo never packs such a file. An index that was edited by hand may differ from the manifest.",
    action: "Do not unpack the file by other means. Report it to the registry.",
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
            found(&LogBuilder::new().fact("unsafe-archive", "it was seen").log()),
            ["unsafe-archive critical subject@1.0.0"]
        );
        assert!(found(&LogBuilder::new().fact("case-twins", "two names differ by case only").log()).is_empty());
    }
}
