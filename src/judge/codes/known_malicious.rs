//! `known-malicious`: an advisory calls the release malicious.

use super::{Code, advisory};
use crate::evidence::fact::KNOWN_MALICIOUS;
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: KNOWN_MALICIOUS,
    severity: "critical",
    attack: &["T1195.002"],
    meaning: "An advisory of RustSec, or a record of OSV, says that this very release is an attack.",
    honest: "None. An advisory that was withdrawn is not told.",
    action: "Do not build it. Where it was built, treat every secret of that machine as known to others.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    advisory::tell(cx, &CODE, |_| Severity::Critical, out);
}

#[cfg(test)]
mod tests {
    use crate::evidence::fact::{Advisory, Fact};
    use crate::evidence::line::Line;
    use crate::evidence::testing::{LogBuilder, subject};
    use crate::judge::codes::testing::found;

    #[test]
    fn it_is_critical_with_or_without_details() {
        let advisory = Advisory { id: "MAL-2999-1".to_owned(), ..Advisory::default() };
        let fact = Fact::new("known-malicious", &subject(), "x").with(&advisory);
        assert_eq!(found(&LogBuilder::new().line(Line::Fact(fact)).log()), ["known-malicious critical MAL-2999-1"]);
        let bare = LogBuilder::new().fact("known-malicious", "x");
        assert_eq!(found(&bare.log()), ["known-malicious critical subject@1.0.0"]);
    }
}
