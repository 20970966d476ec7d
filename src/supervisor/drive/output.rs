//! What stands in a macro's output beside ordinary code: files that the compiler would read for it, code that would run
//! before `main`, programs in literals.
//!
//! Only plain words are looked for. A macro can write the same by another macro, or put a path together elsewhere; then
//! only the compiler that reads the file shows it.

use super::tokens::{Flat, Token};
use crate::evidence::line::{Made, MadeWhat};

/// Tokens of one expansion that are looked at.
const MOST_TOKENS: usize = 1 << 18;
/// Files that are told of one macro.
const MOST_FILES: usize = 64;
/// What is told of each other kind.
const MOST: usize = 16;
const LONGEST: usize = 512;

/// Adds what one expansion has and what is not known yet.
pub(super) fn look(tree: &Flat, known: &mut Vec<Made>) {
    let tokens = tree.tokens(MOST_TOKENS);
    for at in 0..tokens.len() {
        let Some(rest) = tokens.get(at..) else { break };
        let before = at.checked_sub(2).and_then(|from| tokens.get(from..at)).unwrap_or_default();
        let Some((what, text)) = made(before, rest) else { continue };
        tell(Made { what, text: text.chars().take(LONGEST).collect() }, known);
    }
}

/// Adds it if there is room. That there was none for a file is told: what it hides may be a secret's.
fn tell(made: Made, known: &mut Vec<Made>) {
    if known.contains(&made) {
        return;
    }
    let most = if made.what == MadeWhat::Reads { MOST_FILES } else { MOST };
    if known.iter().filter(|other| other.what == made.what).count() < most {
        known.push(made);
    } else if made.what == MadeWhat::Reads {
        tell(Made { what: MadeWhat::ReadsMore, text: String::new() }, known);
    }
}

/// What begins with these tokens.
fn made(before: &[Token<'_>], rest: &[Token<'_>]) -> Option<(MadeWhat, String)> {
    use Token::{Ident, Open, Punct, Text};
    match rest {
        [Ident("include" | "include_str" | "include_bytes"), Punct('!'), Open(_), inside @ ..] => {
            Some((MadeWhat::Reads, path(&mut inside.iter())?))
        }
        [Ident("path"), Punct('='), Text(text), ..] if matches!(before, [Punct('#'), Open('[')]) => {
            Some((MadeWhat::Reads, unescaped(text)))
        }
        [Ident("env" | "option_env"), Punct('!'), Open(_), Text(name), ..] => {
            let is_places = ["HOME", "OUT_DIR"].contains(name);
            let is_cargos =
                ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"].iter().any(|start| name.starts_with(start));
            (!is_places && !is_cargos).then(|| (MadeWhat::Variable, unescaped(name)))
        }
        [Ident("link_section"), Punct('='), Text(name), ..] => {
            let starts = [".init_array", ".preinit_array", ".fini_array", ".ctors", ".dtors"];
            starts.iter().any(|start| name.starts_with(start)).then(|| (MadeWhat::Constructor, unescaped(name)))
        }
        [Text(text), ..] => included_by_the_assembler(text)
            .map(|path| (MadeWhat::Reads, path))
            .or_else(|| is_program(text).then(|| (MadeWhat::Program, text.chars().take(32).collect()))),
        _ => None,
    }
}

/// The path between the brackets of `include!`: a text, or texts and variables that `concat!` joins. A variable stays as
/// `${NAME}`.
fn path<'t>(tokens: &mut impl Iterator<Item = &'t Token<'t>>) -> Option<String> {
    let (mut path, mut depth) = (String::new(), 1_u32);
    let mut is_variable = false;
    while depth > 0 {
        match tokens.next()? {
            Token::Open(_) => depth = depth.checked_add(1)?,
            Token::Close => depth -= 1,
            Token::Text(text) if is_variable => {
                path.extend(["${", text, "}"]);
                is_variable = false;
            }
            Token::Text(text) => path.push_str(&unescaped(text)),
            Token::Ident("env") => is_variable = true,
            Token::Ident("concat" | "core" | "std") | Token::Punct('!' | ',' | ':') => {}
            Token::Ident(_) | Token::Punct(_) | Token::Other(_) => return None,
        }
        if path.len() > LONGEST {
            return None;
        }
    }
    (!path.is_empty()).then_some(path)
}

/// The file of `.incbin "FILE"` or `.include "FILE"` in a text for the assembler.
fn included_by_the_assembler(text: &str) -> Option<String> {
    let text = unescaped(text);
    let after = [".incbin", ".include"].iter().find_map(|word| text.split_once(word))?.1;
    let path = after.trim_start().strip_prefix('"')?.split('"').next()?;
    (!path.is_empty()).then(|| path.to_owned())
}

/// True for the beginning of an ELF file: its bytes, in base64 or in hexadecimal digits. Short texts only name it.
fn is_program(text: &str) -> bool {
    const SHORTEST: usize = 256;
    let begins = ["\\x7fELF", "\\x7FELF", "\x7fELF", "\\u{7f}ELF", "f0VMR", "7f454c46", "7F454C46"];
    text.len() >= SHORTEST && begins.iter().any(|begin| text.starts_with(begin))
}

/// Without the escapes that paths are written with.
fn unescaped(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(MadeWhat, String)> {
        let mut known = Vec::new();
        look(&Flat::of(source).unwrap(), &mut known);
        known.into_iter().map(|made| (made.what, made.text)).collect()
    }

    #[test]
    fn files_that_the_compiler_would_read_are_found() {
        for (source, path) in [
            ("const K : & str = include_str ! ( \"/home/dev/.ssh/id_ed25519\" ) ;", "/home/dev/.ssh/id_ed25519"),
            ("include ! { \"../../x.rs\" }", "../../x.rs"),
            ("include_bytes ! [ :: core :: concat ! ( env ! ( \"HOME\" ) , \"/.netrc\" ) ]", "${HOME}/.netrc"),
            ("# [ path = \"/etc/x.rs\" ] mod x ;", "/etc/x.rs"),
            ("global_asm ! ( \".incbin \\\"/etc/shadow\\\"\" ) ;", "/etc/shadow"),
        ] {
            assert_eq!(found(source), [(MadeWhat::Reads, path.to_owned())], "{source}");
        }
    }

    #[test]
    fn variables_constructors_and_programs_are_found() {
        assert_eq!(found("option_env ! ( \"NPM_TOKEN\" )"), [(MadeWhat::Variable, "NPM_TOKEN".to_owned())]);
        let section = "# [ unsafe ( link_section = \".init_array.00099\" ) ] static GO : fn ( ) = go ;";
        assert_eq!(found(section), [(MadeWhat::Constructor, ".init_array.00099".to_owned())]);
        let program = format!("const P : & str = \"f0VMRgIB{}\" ;", "A".repeat(400));
        assert_eq!(found(&program)[0].0, MadeWhat::Program);
    }

    #[test]
    fn ordinary_code_is_not() {
        for source in [
            "fn include_str ( path : & str ) { let path = \"/a\" ; other ! ( \"/b\" ) ; }",
            "# [ serde ( path = \"/a\" ) ] struct S ;",
            "# [ doc = \"see .incbin and f0VMRgIB\" ] struct S ;",
            "include ! ( sample ) ;",
            "include ! ( concat ! ( a ( ) , \"/x\" ) ) ;",
            "# [ link_section = \"linkme_X\" ] static S : u8 = 1 ;",
        ] {
            assert_eq!(found(source), [], "{source}");
        }
    }

    #[test]
    fn what_is_told_of_a_macro_is_bounded_and_that_there_are_more_files_is_told() {
        let many: Vec<_> = (0..100).map(|at| format!("env ! ( \"X{at}\" ) include ! ( \"/x{at}\" ) ;")).collect();
        let many = many.join(" ");
        let (mut known, tree) = (Vec::new(), Flat::of(&many).unwrap());
        look(&tree, &mut known);
        look(&tree, &mut known);
        let count = |what| known.iter().filter(|made| made.what == what).count();
        let of_each = [MadeWhat::Reads, MadeWhat::Variable, MadeWhat::ReadsMore].map(count);
        assert_eq!((of_each, known.len()), ([MOST_FILES, MOST, 1], MOST_FILES + MOST + 1));
    }
}
