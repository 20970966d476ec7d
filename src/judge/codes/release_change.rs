//! `release-change`: the release has something that the one before it had not.

use serde_json::json;

use super::Code;
use crate::evidence::Bytes;
use crate::evidence::fact::{Change, RELEASE_CHANGE};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::judge::known::facts;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: RELEASE_CHANGE,
    severity: "a new build script, proc macro, program or native library low; the rest info",
    attack: &["T1195.002"],
    meaning: "The archive was compared with that of the next lower version. It runs code at build time that the other \
              did not run, ships programs that it did not ship, or its licence, repository or dependencies are others.",
    honest: "Nearly all changes. Packages grow, and get a build script or a dependency some day.",
    action: "Read the change before the update, above all a new build script and whatever is no text.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    tell(cx, &CODE, out);
}

/// One finding for each change or oddity.
pub(super) fn tell(cx: &Context<'_>, code: &Code, out: &mut Vec<Draft>) {
    for fact in facts(cx, code.name) {
        let change: Option<Change> = fact.read();
        let what = change.as_ref().map_or("", |change| change.what.as_str());
        let severity = severity(what);
        let subject = change.as_ref().map_or_else(|| fact.package.to_string(), |c| format!("{} {}", c.what, c.which));
        out.push(
            Draft::of_package(&fact.package, code.name, severity)
                .about(subject, change.map_or_else(|| json!({}), |change| json!(change)))
                .says(Bytes::from(fact.text.as_str()).to_string())
                .attack(code.attack),
        );
    }
}

/// How bad a change or an oddity is alone.
fn severity(what: &str) -> Severity {
    match what {
        "build-code-added" | "build-code-changed" | "manifest-differs" => Severity::Medium,
        "build-script" | "proc-macro" | "program-file" | "links" | "packing" | "nested-package" | "git-folder"
        | "vcs-odd" | "vcs-path" | "commit-missing" | "commit-path" | "other-repository" | "file-added"
        | "file-changed" => Severity::Low,
        _ => Severity::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::fact::Fact;
    use crate::evidence::line::Line;
    use crate::evidence::testing::{LogBuilder, subject};
    use crate::judge::codes::testing::found;

    #[test]
    fn new_code_at_build_time_is_low_and_the_rest_info() {
        let of = |what: &str| {
            let change = Change { what: what.to_owned(), which: "x".to_owned(), since: None };
            let fact = Fact::new("release-change", &subject(), "x").with(&change);
            found(&LogBuilder::new().line(Line::Fact(fact)).log())
        };
        assert_eq!(of("build-script"), ["release-change low build-script x"]);
        assert_eq!(of("packing"), ["release-change low packing x"]);
        assert_eq!(of("licence"), ["release-change info licence x"]);
    }
}
