//! Configurations and decisions that nobody thought of.

use proptest::prelude::*;

use super::fuzzing;

/// What stands on a line of such a file, and what nearly does.
const LINES: [&str; 24] = [
    "[[ignore]]",
    "[[expect]]",
    "package = \"a\"",
    "package = \"*\"",
    "version = \"1.0.0\"",
    "version = \">=1, <2\"",
    "source = \"registry\"",
    "code = \"dns-query\"",
    "code = \"known-malicious\"",
    "code = \"build-failed\"",
    "object = \"x.invalid\"",
    "severity = \"critical\"",
    "severity = \"high\"",
    "reason = \"It asks.\"",
    "expires = 2030-01-31",
    "expires = \"2030-13-31\"",
    "extends = \"shared.toml#sha256:00\"",
    "env = [\"A=1\", \"\"]",
    "env-secret = [\"B\"]",
    "read = [\"libs\", \"/usr\"]",
    "limit = [\"cpu=60\", \"memory=99999999999999999999G\"]",
    "jobs = 0",
    "jobs = 65535",
    "toolchain = \"1.90\"",
];

/// Lines of those, some with a text in their middle.
fn text() -> impl Strategy<Value = String> {
    let line = (0..LINES.len(), prop::option::weighted(0.1, ("\\PC{0,12}", any::<prop::sample::Index>())));
    let line = line.prop_map(|(line, noise)| {
        let mut line = LINES[line].to_owned();
        if let Some((noise, at)) = noise {
            line.insert_str(at.index(line.len()), &noise);
        }
        line + "\n"
    });
    prop::collection::vec(line, 0..14).prop_map(|lines| lines.concat())
}

/// One that is whole, with lines of others in between.
fn decision() -> impl Strategy<Value = String> {
    let whole = [0, 2, 4, 7, 10, 13, 14].map(|at| LINES[at]).join("\n") + "\n";
    prop::collection::vec(Just(whole), 1..3).prop_flat_map(|all| (Just(all.concat()), text())).prop_flat_map(
        |(whole, more)| {
            any::<prop::sample::Index>().prop_map(move |at| {
                let mut starts: Vec<usize> = whole.match_indices('\n').map(|(end, _)| end + 1).collect();
                starts.push(0);
                let mut text = whole.clone();
                text.insert_str(starts[at.index(starts.len())], &more);
                text
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_reader_of_configurations(text in text()) {
        fuzzing::configuration(text.as_bytes());
    }

    #[test]
    fn no_text_breaks_the_reader_of_decisions(text in prop_oneof![text(), decision()]) {
        fuzzing::decisions(text.as_bytes());
    }

    #[test]
    fn no_bytes_break_either(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::configuration(&bytes);
        fuzzing::decisions(&bytes);
    }
}
