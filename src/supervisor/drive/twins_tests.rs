//! Answers of a macro server that nobody thought of.

use proptest::prelude::*;

use super::answer::Answer;
use super::tokens::Flat;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_breaks_the_reader_of_answers(line in prop::collection::vec(any::<u8>(), 0..200), head in 0_usize..5) {
        let heads: [&[u8]; 5] = [b"", b"{\"ListMacros\":", b"{\"ExpandMacro\":{\"Ok\":", b"{\"ApiVersionCheck\":", b"{\"ExpandMacro\":{\"Err\":"];
        let _ = Answer::read(&[heads[head], &line].concat());
    }

    #[test]
    fn no_source_breaks_the_reader_of_tokens(source in "\\PC{0,80}", most in 0_usize..200) {
        if let Some(tree) = Flat::of(&source) {
            prop_assert!(tree.render(most).len() <= most.saturating_add(8));
        }
    }
}
