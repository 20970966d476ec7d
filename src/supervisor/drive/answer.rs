//! What a server answers: a stranger's bytes, since the macro owns the server's output.

use serde::Deserialize;

use super::tokens::Flat;
use crate::evidence::line::{MacroKind, MacroName};

/// One line of the protocol.
#[derive(Debug, Deserialize)]
pub(super) enum Answer {
    /// Its version.
    ApiVersionCheck(u32),
    /// Names and kinds.
    ListMacros(Result<Vec<(String, Kind)>, String>),
    /// An expansion, or a panic's words.
    ExpandMacro(Result<Flat, String>),
}

/// As the protocol calls them.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Kind {
    CustomDerive,
    Attr,
    #[serde(alias = "Bang")]
    FuncLike,
}

impl Answer {
    /// The answer in a line; a macro may have printed before it without an end of line.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        const EXPANSION: &[u8] = b"{\"ExpandMacro\":";
        serde_json::from_slice(line).ok().or_else(|| {
            let at = line.windows(EXPANSION.len()).position(|window| window == EXPANSION)?;
            serde_json::from_slice(line.get(at..)?).ok()
        })
    }
}

/// The macros of an answer, bounded in number and in the length of their names.
pub(super) fn macros(listed: Vec<(String, Kind)>) -> Vec<MacroName> {
    const MOST: usize = 1_000;
    const LONGEST: usize = 256;
    let named = listed.into_iter().filter(|(name, _)| name.len() <= LONGEST).take(MOST);
    named
        .map(|(name, kind)| MacroName {
            name,
            kind: match kind {
                Kind::CustomDerive => MacroKind::Derive,
                Kind::Attr => MacroKind::Attribute,
                Kind::FuncLike => MacroKind::Function,
            },
        })
        .collect()
}
