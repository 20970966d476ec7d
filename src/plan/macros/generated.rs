//! Candidates for macros that `macro_rules!` generates.
//!
//! A file that defines a rule whose text holds `#[proc_macro_derive($name)]`
//! exports one macro for each use of the rule, and the use names it: every
//! identifier of the use that is written like such a macro is a candidate. Too
//! many is harmless: rustc says of a wrong one that it does not exist.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{MAX_MACROS, MAX_NESTING};
use crate::evidence::line::{MacroKind, MacroName};

/// The candidates of one file.
pub(super) fn candidates(file: TokenStream) -> Vec<MacroName> {
    let mut rules: BTreeMap<String, Vec<MacroKind>> = BTreeMap::new();
    let mut uses = Vec::new();
    let mut open = vec![(file, 0)];
    while let Some((stream, depth)) = open.pop() {
        let tokens: Vec<_> = stream.into_iter().collect();
        for at in 0..tokens.len() {
            match tokens.get(at..) {
                Some([TokenTree::Ident(word), bang, TokenTree::Ident(name), TokenTree::Group(body), ..])
                    if word == "macro_rules" && is_bang(bang) =>
                {
                    let kinds = generated_kinds(body);
                    if !kinds.is_empty() {
                        rules.insert(name.to_string(), kinds);
                    }
                }
                Some([TokenTree::Ident(name), bang, TokenTree::Group(arguments), ..]) if is_bang(bang) => {
                    uses.push((name.to_string(), arguments.clone()));
                }
                _ => {}
            }
        }
        if depth < MAX_NESTING {
            let groups = tokens.into_iter().filter_map(|token| match token {
                TokenTree::Group(group) => Some((group.stream(), depth + 1)),
                _ => None,
            });
            open.extend(groups);
        }
    }
    let named = uses.iter().filter_map(|(name, arguments)| Some((rules.get(name)?, arguments)));
    named.flat_map(|(kinds, arguments)| names(arguments, kinds)).take(MAX_MACROS).collect()
}

fn is_bang(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == '!')
}

/// What a rule's text would export: by the first word in its brackets. Groups are never printed, which
/// would recurse as deeply as they nest.
fn generated_kinds(body: &Group) -> Vec<MacroKind> {
    let mut kinds = Vec::new();
    let mut open = vec![(body.clone(), 0)];
    while let Some((group, depth)) = open.pop() {
        let mut tokens = group.stream().into_iter().peekable();
        if group.delimiter() == Delimiter::Bracket
            && let Some(TokenTree::Ident(word)) = tokens.peek()
            && let Some(kind) = exported_kind(&word.to_string())
            && !kinds.contains(&kind)
        {
            kinds.push(kind);
        }
        if depth < MAX_NESTING {
            open.extend(tokens.filter_map(|token| match token {
                TokenTree::Group(inner) => Some((inner, depth + 1)),
                _ => None,
            }));
        }
    }
    kinds
}

fn exported_kind(attribute: &str) -> Option<MacroKind> {
    match attribute {
        "proc_macro_derive" => Some(MacroKind::Derive),
        "proc_macro_attribute" => Some(MacroKind::Attribute),
        "proc_macro" => Some(MacroKind::Function),
        _ => None,
    }
}

/// Derives are written like types, the others like functions.
fn names(arguments: &Group, kinds: &[MacroKind]) -> Vec<MacroName> {
    let mut found = Vec::new();
    let mut open = vec![(arguments.stream(), 0)];
    while let Some((stream, depth)) = open.pop() {
        for token in stream {
            match token {
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    let is_type = name.starts_with(char::is_uppercase);
                    let fits = kinds.iter().filter(|kind| (**kind == MacroKind::Derive) == is_type);
                    found.extend(fits.map(|kind| MacroName { name: name.clone(), kind: *kind }));
                }
                TokenTree::Group(group) if depth < MAX_NESTING => open.push((group.stream(), depth + 1)),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        candidates(TokenStream::from_str(text).unwrap())
            .into_iter()
            .map(|one| format!("{:?} {}", one.kind, one.name))
            .collect()
    }

    #[test]
    fn each_use_of_a_rule_that_makes_derives_names_one() {
        let text =
            "macro_rules! make { ($n:ident, $f:ident) => { #[proc_macro_derive($n)] pub fn $f(i: T) -> T { i } } }
                    make!(Made, made_fn); #[cfg(x)] make! { Other, other_fn }";
        assert_eq!(found(text), ["Derive Made", "Derive Other"]);
    }

    #[test]
    fn attributes_and_functions_are_written_like_functions() {
        let text =
            "macro_rules! m { ($n:ident) => { #[proc_macro_attribute] pub fn $n(a: T, i: T) -> T { i } } } m!(route);
                    macro_rules! b { ($n:ident) => { #[proc_macro] pub fn $n(i: T) -> T { i } } } b!(uri);";
        assert_eq!(found(text), ["Attribute route", "Function uri"]);
    }

    #[test]
    fn a_rule_whose_text_nests_deeply_overflows_nothing() {
        let deep =
            format!("macro_rules! m {{ () => {{ #[a{}{}] }} }} m!(X);", "(".repeat(400_000), ")".repeat(400_000));
        assert!(found(&deep).is_empty());
    }

    #[test]
    fn other_rules_and_their_uses_name_nothing() {
        assert!(found("macro_rules! m { ($n:ident) => { pub fn $n() {} } } m!(Thing); println!(Other);").is_empty());
    }
}
