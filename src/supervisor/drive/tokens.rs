//! Token trees as `rust-analyzer-proc-macro-srv` writes them: flat arrays of numbers and a table of texts.
//!
//! The layout is that of protocol versions 5 and 6 (rust-analyzer, `proc-macro-api`,
//! legacy protocol): trees breadth first, children as `index << 2 | tag`.

use std::collections::VecDeque;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use serde::{Deserialize, Serialize};

/// A token tree. Every span is number 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flat {
    /// Five each: open, close, delimiter, first child, end of the children.
    subtree: Vec<u32>,
    /// Four each: span, text, kind, suffix.
    literal: Vec<u32>,
    /// Three each: span, character, spacing.
    punct: Vec<u32>,
    /// Three each: span, text, raw.
    ident: Vec<u32>,
    token_tree: Vec<u32>,
    text: Vec<String>,
}

const SUBTREE: u32 = 0;
const LITERAL: u32 = 1;
const PUNCT: u32 = 2;
const IDENT: u32 = 3;

/// Kinds of literals: the lower byte. The next one is the number of `#` around a raw one.
const INTEGER: u32 = 3;
const STRING: u32 = 5;
/// No suffix.
const NONE: u32 = u32::MAX;

/// A token, as those read it who look for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Ident(&'t str),
    Punct(char),
    /// A text, without its quotes.
    Text(&'t str),
    /// Another literal.
    Other(&'t str),
    Open(char),
    Close,
}

/// A token, as it stands in the tree.
#[derive(Clone, Copy)]
enum Piece<'t> {
    Ident(&'t str),
    Punct(char),
    Literal { kind: u32, text: &'t str, suffix: &'t str },
    Open(u8),
    Close,
}

impl Flat {
    /// A tree of our own source text; `None` for what does not lex, and for literals other than plain strings and
    /// integers.
    pub(super) fn of(source: &str) -> Option<Self> {
        let mut flat = Self::default();
        let mut open: VecDeque<(usize, TokenStream)> = VecDeque::new();
        flat.subtree.extend([0, 0, 0, 0, 0]);
        open.push_back((0, TokenStream::from_str(source).ok()?));
        while let Some((at, stream)) = open.pop_front() {
            let first = number(flat.token_tree.len())?;
            let mut children = Vec::new();
            for token in stream {
                children.push(match token {
                    TokenTree::Group(group) => {
                        let index = flat.subtree.len() / 5;
                        let delimiter = match group.delimiter() {
                            Delimiter::None => 0,
                            Delimiter::Parenthesis => 1,
                            Delimiter::Brace => 2,
                            Delimiter::Bracket => 3,
                        };
                        flat.subtree.extend([0, 0, delimiter, 0, 0]);
                        open.push_back((index, group.stream()));
                        number(index)? << 2 | SUBTREE
                    }
                    TokenTree::Ident(ident) => {
                        let text = flat.text(ident.to_string())?;
                        flat.ident.extend([0, text, 0]);
                        number(flat.ident.len() / 3 - 1)? << 2 | IDENT
                    }
                    TokenTree::Punct(punct) => {
                        let joint = u32::from(punct.spacing() == Spacing::Joint);
                        flat.punct.extend([0, u32::from(punct.as_char()), joint]);
                        number(flat.punct.len() / 3 - 1)? << 2 | PUNCT
                    }
                    TokenTree::Literal(literal) => {
                        let source = literal.to_string();
                        let (text, kind) = match source.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                            Some(text) => (text.to_owned(), STRING),
                            None if source.bytes().all(|byte| byte.is_ascii_digit()) => (source, INTEGER),
                            None => return None,
                        };
                        let text = flat.text(text)?;
                        flat.literal.extend([0, text, kind, NONE]);
                        number(flat.literal.len() / 4 - 1)? << 2 | LITERAL
                    }
                });
            }
            let end = first.checked_add(number(children.len())?)?;
            flat.token_tree.extend(children);
            flat.subtree.get_mut(at * 5 + 3..at * 5 + 5)?.copy_from_slice(&[first, end]);
        }
        Some(flat)
    }

    fn text(&mut self, text: String) -> Option<u32> {
        let at = self.text.iter().position(|known| *known == text).unwrap_or_else(|| {
            self.text.push(text);
            self.text.len() - 1
        });
        number(at)
    }

    /// True if it holds the word.
    pub(super) fn names(&self, word: &str) -> bool {
        self.text.iter().any(|text| text == word)
    }

    /// The source text, with a space between tokens, of at most so many bytes. The tree is a stranger's: what does
    /// not fit together is left out.
    pub(super) fn render(&self, most: usize) -> String {
        let mut out = String::new();
        // Closing delimiters.
        let mut open = Vec::new();
        self.walk(|token| {
            match token {
                Piece::Open(delimiter) => {
                    let (front, back) = match delimiter {
                        1 => (Some('('), Some(')')),
                        2 => (Some('{'), Some('}')),
                        3 => (Some('['), Some(']')),
                        _ => (None, None),
                    };
                    out.extend(front);
                    open.push(back);
                }
                Piece::Close => out.extend(open.pop().flatten()),
                Piece::Punct(character) => out.push(character),
                Piece::Ident(text) => out.push_str(text),
                Piece::Literal { kind, text, suffix } => {
                    let (before, after) = quotes(kind);
                    out.extend([&before, text, &after, suffix]);
                }
            }
            out.push(' ');
            out.len() < most
        });
        let end = out.floor_char_boundary(most);
        out.truncate(end);
        out
    }

    /// The first tokens, in the order of the source.
    pub(super) fn tokens(&self, most: usize) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        self.walk(|piece| {
            tokens.push(match piece {
                Piece::Open(1) => Token::Open('('),
                Piece::Open(2) => Token::Open('{'),
                Piece::Open(3) => Token::Open('['),
                Piece::Open(_) => Token::Open(' '),
                Piece::Close => Token::Close,
                Piece::Punct(character) => Token::Punct(character),
                Piece::Ident(text) => Token::Ident(text),
                Piece::Literal { kind, text, .. } if matches!(kind & 0xff, 5..=10) => Token::Text(text),
                Piece::Literal { text, .. } => Token::Other(text),
            });
            tokens.len() < most
        });
        tokens
    }

    /// Goes through all tokens until it is told to stop.
    fn walk<'t>(&'t self, mut take: impl FnMut(Piece<'t>) -> bool) {
        // Numbers of tokens, and the ends of groups.
        let mut open: Vec<Option<u32>> = Vec::new();
        self.push_children(0, &mut open);
        let mut goes_on = true;
        while let Some(next) = open.pop().filter(|_| goes_on) {
            let Some(token) = next else {
                goes_on = take(Piece::Close);
                continue;
            };
            let index = usize::try_from(token >> 2).unwrap_or(usize::MAX);
            let part = |array: &[u32], size: usize, at: usize| array.get(index.checked_mul(size)? + at).copied();
            let text = |number: Option<u32>| self.text.get(usize::try_from(number?).ok()?).map(String::as_str);
            goes_on = match token & 3 {
                SUBTREE => {
                    let delimiter = part(&self.subtree, 5, 2).and_then(|number| u8::try_from(number).ok());
                    open.push(None);
                    // A tree that holds itself would have no end.
                    if open.len() < 1 << 16 {
                        self.push_children(index, &mut open);
                    }
                    take(Piece::Open(delimiter.unwrap_or(0)))
                }
                PUNCT => part(&self.punct, 3, 1).and_then(char::from_u32).is_none_or(|one| take(Piece::Punct(one))),
                IDENT => take(Piece::Ident(text(part(&self.ident, 3, 1)).unwrap_or_default())),
                _ => {
                    let of_literal = |at| part(&self.literal, 4, at);
                    let [written, suffix] = [1, 3].map(|at| text(of_literal(at)).unwrap_or_default());
                    take(Piece::Literal { kind: of_literal(2).unwrap_or_default(), text: written, suffix })
                }
            };
        }
    }

    fn push_children(&self, subtree: usize, open: &mut Vec<Option<u32>>) {
        let bound = |at: usize| usize::try_from(*self.subtree.get(subtree.checked_mul(5)? + at)?).ok();
        let children = bound(3).zip(bound(4)).and_then(|(first, end)| self.token_tree.get(first..end));
        open.extend(children.unwrap_or_default().iter().rev().map(|token| Some(*token)));
    }
}

/// What stands around the text of a literal of a kind.
fn quotes(kind: u32) -> (String, String) {
    let hashes = "#".repeat(usize::try_from(kind >> 8 & 0xff).unwrap_or(0));
    let (mark, quote) = match kind & 0xff {
        1 => ("b", "'"),
        2 => ("", "'"),
        STRING => ("", "\""),
        6 => ("r", "\""),
        7 => ("b", "\""),
        8 => ("br", "\""),
        9 => ("c", "\""),
        10 => ("cr", "\""),
        _ => ("", ""),
    };
    (format!("{mark}{hashes}{quote}"), format!("{quote}{hashes}"))
}

fn number(length: usize) -> Option<u32> {
    u32::try_from(length).ok().filter(|number| *number < 1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_reads_as_its_source() {
        let flat = Flat::of("struct S < 'a > { x : & 'a [ u8 ; 4 ] , y : \"z\" }").unwrap();
        assert_eq!(flat.render(1000), "struct S < ' a > { x : & ' a [ u8 ; 4 ] , y : \"z\" } ");
        assert!(flat.names("struct") && !flat.names("enum"));
    }

    #[test]
    fn the_numbers_are_those_of_the_protocol() {
        let flat = Flat::of("a ( ; 1 )").unwrap();
        let json = serde_json::to_value(&flat).unwrap();
        let expected = serde_json::json!({
            "subtree": [0, 0, 0, 0, 2, 0, 0, 1, 2, 4], "literal": [0, 1, 3, 4_294_967_295_u32],
            "punct": [0, 59, 0], "ident": [0, 0, 0], "token_tree": [3, 4, 2, 1], "text": ["a", "1"]
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn literals_read_as_their_source() {
        let texts = ["x", "u8"].map(str::to_owned).to_vec();
        let literal = |kind: u32, suffix: u32| {
            let (literal, text) = (vec![0, 0, kind, suffix], texts.clone());
            Flat { subtree: vec![0, 0, 0, 0, 1], token_tree: vec![LITERAL], literal, text, ..Flat::default() }
                .render(99)
        };
        let kinds =
            [(1, "b'x' "), (2, "'x' "), (5, "\"x\" "), (6 | 2 << 8, "r##\"x\"## "), (7, "b\"x\" "), (9, "c\"x\" ")];
        for (kind, source) in kinds {
            assert_eq!(literal(kind, NONE), source);
        }
        assert_eq!(literal(INTEGER, 1), "xu8 ");
    }

    #[test]
    fn a_tree_that_holds_itself_or_names_nothing_has_an_end() {
        let knot = Flat { subtree: vec![0, 0, 1, 0, 2], token_tree: vec![0, 0], ..Flat::default() };
        assert!(knot.render(500).len() <= 500);
        let hollow = Flat { subtree: vec![0, 0, 0, 0, 4], token_tree: vec![7, 9, 10, u32::MAX], ..Flat::default() };
        assert!(hollow.render(500).len() < 20);
        let cut = Flat { subtree: vec![0, 0, 0, 5, 900], ..Flat::default() };
        assert_eq!(cut.render(500), "");
    }
}
