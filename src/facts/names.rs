//! Names that look like well-known ones.
//!
//! The corpus is small and dated, so that a rule is worth what it flags among honest names: `docs/detections.md` has the
//! numbers. A name of the corpus is never a look-alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::fact::LookAlike;

/// Words that impostors put before or behind a name, and that honest forks avoid.
const AFFIXES: &[&str] = &["rs", "rust", "main", "dev", "official", "latest", "fixed", "patched", "win", "cargo"];
/// Below this length, one letter makes many honest names.
const ONE_LETTER: usize = 5;
/// The same for a name that an affix is put to.
const AFFIX: usize = 3;

/// Well-known names, ready to compare with.
#[derive(Debug)]
pub struct Corpus {
    /// As they are written, with hyphens.
    names: BTreeSet<String>,
    /// Without delimiters.
    joined: BTreeMap<String, String>,
    /// With their words sorted.
    sorted: BTreeMap<String, String>,
    /// The day of the list.
    pub date: Option<String>,
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn joined(name: &str) -> String {
    name.replace('-', "")
}

fn sorted(name: &str) -> String {
    let mut words: Vec<&str> = name.split('-').collect();
    words.sort_unstable();
    words.join("-")
}

impl Corpus {
    /// Reads a list: one name a line, the day in a comment.
    pub fn new(text: &str) -> Self {
        let (comments, names): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
        let date = comments.iter().flat_map(|line| line.split_whitespace()).find_map(|word| {
            let day = word.trim_end_matches([';', ',', '.']);
            crate::evidence::fact::seconds(day).map(|_| day.to_owned())
        });
        let names: BTreeSet<String> = names.into_iter().filter(|name| !name.is_empty()).map(plain).collect();
        let joined = names.iter().map(|name| (joined(name), name.clone())).collect();
        let sorted = names.iter().map(|name| (sorted(name), name.clone())).collect();
        Self { names, joined, sorted, date }
    }

    /// How many names it has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True if it has none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The well-known name that this one looks like, if it does and is none itself.
    pub fn look_alike(&self, name: &str) -> Option<LookAlike> {
        let name = plain(name);
        if self.names.contains(&name) {
            return None;
        }
        let found = |like: &str, rule: &str| Some(LookAlike { like: like.to_owned(), rule: rule.to_owned() });
        if let Some(like) = self.joined.get(&joined(&name)) {
            return found(like, "delimiter");
        }
        if let Some(like) = self.sorted.get(&sorted(&name)) {
            return found(like, "order");
        }
        if let Some(like) = self.one_letter(&name) {
            return found(like, "one-letter");
        }
        if let Some(like) = self.without_affix(&name) {
            return found(&like, "affix");
        }
        None
    }

    /// A letter more, less, changed, or two exchanged.
    fn one_letter(&self, name: &str) -> Option<&str> {
        let long_enough = |known: &&String| {
            let (length, other) = (name.len(), known.len());
            length.min(other) + 1 >= ONE_LETTER && length.max(other) >= ONE_LETTER
        };
        let near = self.names.iter().filter(long_enough);
        near.map(String::as_str).find(|known| is_one_edit(name.as_bytes(), known.as_bytes()))
    }

    fn without_affix(&self, name: &str) -> Option<String> {
        // One in front and one behind at most.
        bare(name).flat_map(|rest| std::iter::once(rest).chain(bare(rest))).find_map(|rest| {
            let is_long = rest.chars().count() >= AFFIX;
            self.joined.get(&joined(rest)).filter(|_| is_long).cloned()
        })
    }
}

/// The name without one of the affixes, in each way that there is.
fn bare(name: &str) -> impl Iterator<Item = &str> {
    AFFIXES.iter().flat_map(move |affix| {
        let before = name.strip_prefix(affix).and_then(|rest| rest.strip_prefix('-'));
        let behind = name.strip_suffix(affix).and_then(|rest| rest.strip_suffix('-'));
        before.into_iter().chain(behind)
    })
}

/// What is left of both without the same beginning and the same end tells all. Names are ASCII.
fn is_one_edit(one: &[u8], other: &[u8]) -> bool {
    if one.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
    let same = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let rest = |text: &[u8]| text.get(..text.len() - same).map(<[u8]>::to_vec).unwrap_or_default();
    match (rest(one).as_slice(), rest(other).as_slice()) {
        ([_], [] | [_]) | ([], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        Corpus::new(
            "# Names. As of 2026-11-22; sorted.\nlazy_static\nbitflags\nserde\nproc-macro2\nrand\ntokio-util\nsyn\n",
        )
    }

    fn like(name: &str) -> Option<(String, String)> {
        corpus().look_alike(name).map(|found| (found.like, found.rule))
    }

    #[test]
    fn one_rule_after_the_other() {
        for (name, like_name, rule) in [
            ("lazystatic", "lazy-static", "delimiter"),
            ("bit-flags", "bitflags", "delimiter"),
            ("serd", "serde", "one-letter"),
            ("sedre", "serde", "one-letter"),
            ("proc-macro1", "proc-macro2", "one-letter"),
            ("rands", "rand", "one-letter"),
            ("util-tokio", "tokio-util", "order"),
            ("serde_rs", "serde", "affix"),
            ("rust-bitflags", "bitflags", "affix"),
            ("win-bitflags-rs", "bitflags", "affix"),
        ] {
            assert_eq!(like(name), Some((like_name.to_owned(), rule.to_owned())), "{name}");
        }
    }

    #[test]
    fn one_edit_is_what_the_usual_measure_calls_a_distance_of_one() {
        let words =
            ["", "a", "b", "ab", "ba", "abc", "acb", "bac", "cab", "aab", "abb", "abab", "baba", "abcabc", "abccab"];
        for one in words {
            for other in words {
                // The usual measure lets a pair be exchanged with letters between; here they are neighbours.
                let expected = strsim::osa_distance(one, other) == 1;
                assert_eq!(is_one_edit(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            }
        }
    }

    #[test]
    fn a_name_of_the_corpus_looks_like_nothing_however_it_is_written() {
        for name in ["lazy_static", "lazy-static", "serde", "syn", "Bitflags"] {
            assert_eq!(like(name), None, "{name}");
        }
    }

    #[test]
    fn short_names_and_other_words_are_left_alone() {
        for name in ["sync", "ran", "sin", "serde-with", "tokio", "proc-macro-error", "rs", "bit"] {
            assert_eq!(like(name), None, "{name}");
        }
    }

    #[test]
    fn a_list_tells_its_day() {
        assert_eq!((corpus().date.as_deref(), corpus().len()), (Some("2026-11-22"), 7));
    }
}
