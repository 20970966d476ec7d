//! Answers of a macro server that nobody thought of.

use proptest::prelude::*;

use super::fuzzing::answers;
use super::tokens::Flat;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_breaks_the_reader_of_answers(line in prop::collection::vec(any::<u8>(), 0..200), head in 0_usize..5) {
        let heads: [&[u8]; 5] = [b"", b"{\"ListMacros\":", b"{\"ExpandMacro\":{\"Ok\":", b"{\"ApiVersionCheck\":", b"{\"ExpandMacro\":{\"Err\":"];
        answers(&[heads[head], &line].concat());
    }

    /// The version, two macros, then whatever comes.
    #[test]
    fn no_conversation_is_without_an_end(lines in prop::collection::vec(0_usize..8, 0..60)) {
        const LINES: [&str; 8] = [
            "{\"ApiVersionCheck\":6}", "{\"ApiVersionCheck\":7}", "{\"ListMacros\":{\"Ok\":[[\"A\",\"CustomDerive\"],[\"b\",\"Attr\"]]}}",
            "{\"ListMacros\":{\"Err\":\"no\"}}", "{\"ExpandMacro\":{\"Err\":\"no\"}}", "",
            "{\"ExpandMacro\":{\"Ok\":{\"subtree\":[0,0,1,0,2],\"literal\":[],\"punct\":[],\"ident\":[],\"token_tree\":[0,0],\"text\":[]}}}", "x",
        ];
        let all: Vec<&str> = [0, 2].iter().chain(&lines).flat_map(|at| [LINES[*at], "\n"]).collect();
        answers(all.concat().as_bytes());
    }

    #[test]
    fn no_source_breaks_the_reader_of_tokens(source in "\\PC{0,80}", most in 0_usize..200) {
        if let Some(tree) = Flat::of(&source) {
            prop_assert!(tree.render(most).len() <= most.saturating_add(8));
        }
    }
}
