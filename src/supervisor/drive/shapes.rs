//! What macros are given: one small example of each thing that Rust lets a macro be put on.

use super::tokens::Flat;
use crate::evidence::line::MacroKind;

/// One input.
#[derive(Debug)]
pub(super) struct Shape {
    /// For people: `struct`, `fn with a list`.
    pub(super) name: String,
    /// What the macro stands on, or what stands between its brackets.
    pub(super) body: Flat,
    /// The arguments of an attribute.
    pub(super) arguments: Option<Flat>,
}

const DERIVES: &[(&str, &str)] = &[
    ("unit struct", "struct Sample ;"),
    ("tuple struct", "struct Sample ( u32 , pub String ) ;"),
    ("newtype", "pub struct Sample ( String ) ;"),
    ("struct", "pub struct Sample { pub id : u32 , name : String , tags : Vec < String > }"),
    ("fieldless enum", "enum Sample { First , Second , Third }"),
    ("enum with data", "enum Sample { Unit , Tuple ( u32 , String ) , Named { id : u32 , name : Option < String > } }"),
    ("enum of newtypes", "enum Sample { Number ( u64 ) , Text ( String ) }"),
    (
        "generic struct",
        "struct Sample < 'a , T : Clone , const N : usize > where T : Default { value : & 'a [ T ; N ] }",
    ),
    // What looks worth stealing, with what people write on fields.
    (
        "struct of an account",
        "# [ doc = \"An account.\" ] pub struct Account { # [ serde ( rename = \"login\" ) ] pub email : String , pub \
         password : String , pub ( crate ) api_key : Option < String > , token : [ u8 ; 32 ] }",
    ),
    ("enum with discriminants", "# [ repr ( u8 ) ] pub enum Sample { First = 1 , Second = 2 , Last = 255 }"),
    ("union", "union Sample { integer : u32 , bytes : [ u8 ; 4 ] }"),
    ("packed struct", "# [ repr ( C , packed ) ] struct Sample { id : u8 , value : u32 }"),
];

const ITEMS: &[(&str, &str)] = &[
    ("fn", "fn sample ( number : u32 , text : & str ) -> String { format ! ( \"{number}{text}\" ) }"),
    ("fn without arguments", "fn sample ( ) { }"),
    ("async fn", "async fn sample ( ) -> Result < ( ) , String > { Ok ( ( ) ) }"),
    ("async main", "async fn main ( ) -> Result < ( ) , Box < dyn std :: error :: Error > > { Ok ( ( ) ) }"),
    ("main", "fn main ( ) { println ! ( \"ready\" ) ; }"),
    ("test", "# [ test ] fn sample_works ( ) { assert_eq ! ( 1 + 1 , 2 ) ; }"),
    (
        "unsafe extern fn",
        "# [ unsafe ( no_mangle ) ] pub unsafe extern \"C\" fn sample ( data : * const u8 , length : usize ) -> i32 { 0 }",
    ),
    ("struct", "pub struct Sample { pub id : u32 , name : String }"),
    ("struct of an account", "pub struct Account { pub email : String , pub password : String , token : [ u8 ; 32 ] }"),
    ("enum", "enum Sample { First , Second ( u32 ) , Third { id : u64 } }"),
    ("impl", "impl Sample { fn new ( ) -> Self { Self } async fn call ( & self , number : u32 ) -> u32 { number } }"),
    (
        "trait",
        "pub trait Sample { type Item ; fn one ( & self ) -> u32 ; async fn two ( & mut self , text : String ) ; }",
    ),
    ("trait impl", "impl Default for Sample { fn default ( ) -> Self { Self } }"),
    ("mod", "mod sample { pub struct Inner ; pub fn call ( inner : Inner ) -> Inner { inner } }"),
    ("const", "const SAMPLE : u32 = 1 ;"),
    ("static", "static SAMPLE : & str = \"text\" ;"),
    ("use", "use std :: fmt :: Debug ;"),
    ("type", "type Sample = Vec < u8 > ;"),
    ("extern block", "extern \"C\" { fn sample ( number : i32 ) -> i32 ; }"),
];

const ARGUMENTS: &[(&str, &str)] = &[
    ("", ""),
    ("with a name", "sample"),
    ("with a text", "\"/sample\""),
    ("with a setting", "name = \"sample\""),
    ("with a list", "one , two = 2 , three ( four )"),
];

const CALLS: &[(&str, &str)] = &[
    ("nothing", ""),
    ("a name", "sample"),
    ("a number", "1"),
    ("a text", "\"sample\""),
    ("a text with values", "\"{} {}\" , 1 , sample"),
    ("an expression", "1 + sample . len ( )"),
    ("a setting", "name = \"sample\" , size = 2"),
    ("a query", "\"SELECT id, password FROM accounts WHERE email = $1\" , email"),
    ("a path of a file", "\"src/main.rs\""),
    ("an address", "\"https://example.invalid/login\""),
    ("a map", "one => 1 , two => \"2\""),
    ("an item", "pub struct Sample { id : u32 }"),
    ("a fn", "fn sample ( number : u32 ) -> u32 { number }"),
    ("a type", "Vec < Option < String > >"),
    ("a block", "{ let sample = 1 ; sample }"),
    ("arms", "Some ( sample ) => 1 , None => 2"),
];

/// All inputs for macros of a kind. The last one is the first one again: a macro may wait for what it has seen before.
pub(super) fn of(kind: MacroKind) -> Vec<Shape> {
    let mut shapes = once(kind);
    let again = shapes.first().map(|Shape { name, body, arguments }| Shape {
        name: format!("{name} again"),
        body: body.clone(),
        arguments: arguments.clone(),
    });
    shapes.extend(again);
    shapes
}

fn once(kind: MacroKind) -> Vec<Shape> {
    let plain = |table: &[(&str, &str)]| -> Vec<Shape> {
        let shape = |(name, source): &(&str, &str)| {
            Some(Shape { name: (*name).to_owned(), body: Flat::of(source)?, arguments: None })
        };
        table.iter().filter_map(shape).collect()
    };
    match kind {
        MacroKind::Derive => plain(DERIVES),
        MacroKind::Function => {
            let mut shapes = plain(CALLS);
            let body = Flat::of(&"sample , ".repeat(400)).unwrap_or_default();
            shapes.push(Shape { name: "a long list".to_owned(), body, arguments: None });
            shapes
        }
        MacroKind::Attribute => {
            let pairs = ITEMS.iter().flat_map(|item| ARGUMENTS.iter().map(move |arguments| (item, arguments)));
            pairs
                .filter_map(|((item, body), (with, arguments))| {
                    Some(Shape {
                        name: format!("{item} {with}").trim_end().to_owned(),
                        body: Flat::of(body)?,
                        arguments: Some(Flat::of(arguments)?),
                    })
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_lexes() {
        let counts = [MacroKind::Derive, MacroKind::Function, MacroKind::Attribute].map(|kind| of(kind).len());
        assert_eq!(counts, [DERIVES.len() + 1, CALLS.len() + 2, ITEMS.len() * ARGUMENTS.len() + 1]);
        assert_eq!(counts, [13, 18, 96]);
    }
}
