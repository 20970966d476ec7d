//! Names that look like well-known ones.
//!
//! How a name is mistaken for another is what `typomania` knows, by the crate that the registry itself watches names with.
//! It lacks words that are written apart or together, and words that are put to a name: these checks are ours.
//!
//! The corpus is small and dated, so that a rule is worth what it flags among honest names: `docs/detections.md` has the
//! numbers. A name of the corpus is never a look-alike.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use typomania::checks::{Check, Omitted, Squat, SwappedCharacters, SwappedWords, Typos, Version};
use typomania::{AuthorSet, Harness, Package};

use crate::evidence::fact::LookAlike;
use crate::ids::plain_name;

/// Words that impostors put before or behind a name, and that honest forks avoid.
const AFFIXES: &[&str] = &["rs", "rust", "main", "dev", "official", "latest", "fixed", "patched", "win", "cargo"];
/// Below this length, one letter makes many honest names.
const ONE_LETTER: usize = 5;
/// The same for a name that an affix is put to.
const AFFIX: usize = 3;

/// So many words are tried in each order: the corpus has no name of more, and twice as many would take seconds.
const WORDS: usize = 5;
/// What names are made of.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789-";

/// Well-known names, ready to compare with.
pub struct Corpus {
    names: Arc<HashSet<String>>,
    harness: Harness<Known>,
    /// The day of the list.
    pub date: Option<String>,
}

impl fmt::Debug for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corpus").field("names", &self.len()).field("date", &self.date).finish_non_exhaustive()
    }
}

fn joined(name: &str) -> String {
    name.replace('-', "")
}

impl Corpus {
    /// Reads a list: one name a line, the day in a comment.
    pub fn new(text: &str) -> Self {
        let (comments, names): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('#'));
        let date = comments.iter().flat_map(|line| line.split_whitespace()).find_map(|word| {
            let day = word.trim_end_matches([';', ',', '.']);
            crate::evidence::time::seconds(day).map(|_| day.to_owned())
        });
        let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).map(plain_name).collect();
        let apart: Arc<BTreeMap<_, _>> = Arc::new(names.iter().map(|name| (joined(name), name.clone())).collect());
        let names: Arc<HashSet<String>> = Arc::new(names.into_iter().collect());
        // The first to say something is the one that is heard. One letter more, less or changed is all of `Omitted` and
        // `Typos`, so that `Repeated` and `Bitflips` have nothing to add.
        let harness = Harness::empty_builder()
            .with_check(Delimiter(Arc::clone(&apart)))
            .with_check(Order(SwappedWords::new("-").with_max_k(WORDS)))
            .with_check(SwappedCharacters)
            .with_check(Omitted::new(LETTERS))
            .with_check(Typos::new(LETTERS.chars().map(|letter| (letter, instead_of(letter)))))
            .with_check(Version)
            .with_check(Affix(apart))
            .build(Known(Arc::clone(&names)));
        Self { names, harness, date }
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
        // Only a corpus that has to be read can fail.
        let found = self.harness.check_package(&plain_name(name), Box::new(Anybody)).unwrap_or_default();
        let found = found.into_iter().next()?;
        let rule = match &found {
            Squat::SwappedWords(_) => "order",
            Squat::Version(_) => "version",
            Squat::Custom { message, .. } => message,
            _ => "one-letter",
        };
        Some(LookAlike { like: found.package().to_owned(), rule: rule.to_owned() })
    }
}

/// All that may stand where a letter does, and nothing.
fn instead_of(letter: char) -> Vec<String> {
    LETTERS.chars().filter(|other| *other != letter).map(String::from).chain(std::iter::once(String::new())).collect()
}

/// The corpus as the checks see it: names alone. Who owns them is not known here.
struct Known(Arc<HashSet<String>>);

impl typomania::Corpus for Known {
    fn contains_name(&self, name: &str) -> typomania::Result<bool> {
        Ok(self.0.contains(name))
    }

    fn get(&self, name: &str) -> typomania::Result<Option<&dyn Package>> {
        Ok(if self.0.contains(name) { Some(&Anybody) } else { None })
    }

    fn possible_squat(&self, known: &str, name: &str, _: &dyn Package) -> typomania::Result<bool> {
        let is_long = known.len().min(name.len()) + 1 >= ONE_LETTER && known.len().max(name.len()) >= ONE_LETTER;
        Ok(is_long && known != name && self.0.contains(known))
    }
}

/// A package of which nothing but its name is known.
struct Anybody;

impl Package for Anybody {
    fn authors(&self) -> &dyn AuthorSet {
        self
    }

    fn description(&self) -> Option<&str> {
        None
    }

    fn shared_authors(&self, _: &dyn AuthorSet) -> bool {
        false
    }
}

impl AuthorSet for Anybody {
    fn contains(&self, _: &str) -> bool {
        false
    }
}

/// What a check of ours says.
fn said(like: Option<&String>, rule: &str) -> Vec<Squat> {
    like.map(|like| Squat::custom(rule, like)).into_iter().collect()
}

/// Written apart or together; of the corpus without delimiters.
struct Delimiter(Arc<BTreeMap<String, String>>);

impl Check for Delimiter {
    fn check(&self, _: &dyn typomania::Corpus, name: &str, _: &dyn Package) -> typomania::Result<Vec<Squat>> {
        Ok(said(self.0.get(&joined(name)), "delimiter"))
    }
}

/// The same words in another order, where they are few: trying all orders of many is what a made-up name would ask for.
struct Order(SwappedWords);

impl Check for Order {
    fn check(&self, corpus: &dyn typomania::Corpus, name: &str, of: &dyn Package) -> typomania::Result<Vec<Squat>> {
        if name.split('-').count() > WORDS { Ok(Vec::new()) } else { self.0.check(corpus, name, of) }
    }
}

/// With a word put to it: one in front and one behind at most; of the corpus without delimiters.
struct Affix(Arc<BTreeMap<String, String>>);

impl Check for Affix {
    fn check(&self, _: &dyn typomania::Corpus, name: &str, _: &dyn Package) -> typomania::Result<Vec<Squat>> {
        let like = bare(name).flat_map(|rest| std::iter::once(rest).chain(bare(rest))).find_map(|rest| {
            let is_long = rest.chars().count() >= AFFIX;
            self.0.get(&joined(rest)).filter(|_| is_long)
        });
        Ok(said(like, "affix"))
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
            ("serde-10", "serde", "version"),
            ("serde_rs", "serde", "affix"),
            ("rust-bitflags", "bitflags", "affix"),
            ("win-bitflags-rs", "bitflags", "affix"),
        ] {
            assert_eq!(like(name), Some((like_name.to_owned(), rule.to_owned())), "{name}");
        }
    }

    #[test]
    fn one_letter_is_what_the_usual_measure_calls_a_distance_of_one() {
        let words =
            ["abcab", "bacab", "abcba", "abcabc", "abccab", "aabcab", "abcb", "acab", "bbcab", "baca", "abc-ab"];
        for one in words {
            for other in words {
                let found = Corpus::new(one).look_alike(other).filter(|found| found.rule != "delimiter");
                let expected = strsim::osa_distance(one, other) == 1 && joined(one) != joined(other);
                assert_eq!(found.is_some_and(|found| found.rule == "one-letter"), expected, "{one} {other}");
            }
        }
    }

    #[test]
    fn a_name_of_many_words_takes_no_time() {
        assert_eq!(like(&["a"; 32].join("-")), None);
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
