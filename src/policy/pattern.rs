//! Patterns for paths and names.
//!
//! `*` stands for any text inside one name and never for a `/`, so that no
//! pattern reaches further than one level of folders. A path pattern begins
//! with `/` or with a variable: `{home}/.ssh/id_*`.

use std::fmt;

use serde::Deserialize;

use crate::evidence::line::Layout;

/// The variables that a path pattern may begin with: places of the header's layout.
pub const VARIABLES: [&str; 8] =
    ["home", "cargo_home", "registry_src", "toolchain", "consumer", "target", "tmp", "tool"];

/// A name with `*` for any text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(String);

impl NamePattern {
    /// True if the whole name matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        glob(self.0.as_bytes(), name)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NamePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check_name(&text)?;
        Ok(Self(text))
    }
}

/// An absolute path with variables and with `*` inside names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct PathPattern {
    /// One of [`VARIABLES`], if the pattern begins with one.
    variable: Option<String>,
    names: Vec<NamePattern>,
}

impl TryFrom<String> for PathPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (variable, rest) = match text.strip_prefix('{') {
            Some(rest) => {
                let (name, rest) = rest.split_once('}').ok_or(PatternError::Unclosed)?;
                if !VARIABLES.contains(&name) {
                    return Err(PatternError::UnknownVariable(name.to_owned()));
                }
                (Some(name.to_owned()), rest)
            }
            None => (None, text.as_str()),
        };
        if rest.is_empty() && variable.is_some() {
            return Ok(Self { variable, names: Vec::new() });
        }
        let rest = rest.strip_prefix('/').ok_or(PatternError::Relative)?;
        Ok(Self { variable, names: names(rest)? })
    }
}

impl PathPattern {
    /// Puts the places of a run in for the variable.
    pub fn bind(&self, layout: &Layout) -> BoundPath {
        let prefix = match self.variable.as_deref() {
            Some("home") => layout.home.as_str(),
            Some("cargo_home") => &layout.cargo_home,
            Some("registry_src") => &layout.registry_src,
            Some("toolchain") => &layout.toolchain,
            Some("consumer") => &layout.consumer,
            Some("target") => &layout.target_dir,
            Some("tmp") => &layout.tmp,
            Some("tool") => &layout.tool,
            _ => "",
        };
        let prefix = prefix.trim_end_matches('/').as_bytes().to_vec();
        // A place that the run does not have matches nothing; as a prefix it would match everything.
        let is_missing = self.variable.is_some() && prefix.is_empty();
        BoundPath { prefix: (!is_missing).then_some(prefix), names: self.names.clone() }
    }
}

/// A path pattern of one run.
#[derive(Clone, Debug)]
pub struct BoundPath {
    /// None when it matches nothing.
    prefix: Option<Vec<u8>>,
    names: Vec<NamePattern>,
}

impl BoundPath {
    /// True if it is this path.
    pub fn is(&self, path: &[u8]) -> bool {
        self.rest(path).is_some_and(|mut rest| rest.next().is_none())
    }

    /// True if it is this path or lies below it.
    pub fn contains(&self, path: &[u8]) -> bool {
        self.rest(path).is_some()
    }

    /// True if it lies below this folder.
    pub fn lies_below(&self, folder: &[u8]) -> bool {
        let Some(prefix) = self.prefix.as_deref() else { return false };
        let mut folders = components(folder);
        for own in components(prefix) {
            match folders.next() {
                None => return true,
                Some(name) if name == own => {}
                Some(_) => return false,
            }
        }
        for own in &self.names {
            match folders.next() {
                None => return true,
                Some(name) if own.matches(name) => {}
                Some(_) => return false,
            }
        }
        false
    }

    fn rest<'p>(&self, path: &'p [u8]) -> Option<impl Iterator<Item = &'p [u8]> + use<'p>> {
        let rest = path.strip_prefix(self.prefix.as_deref()?)?;
        if !rest.is_empty() && !rest.starts_with(b"/") {
            return None;
        }
        let mut components = components(rest);
        for name in &self.names {
            if !name.matches(components.next()?) {
                return None;
            }
        }
        Some(components)
    }
}

/// The last names of a path, at any depth: `.git/hooks/*`.
///
/// For what is *suspicious* wherever it lies; nothing is allowed by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct SuffixPattern(Vec<NamePattern>);

impl TryFrom<String> for SuffixPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self(names(&text)?))
    }
}

impl SuffixPattern {
    /// True if the path ends in these names.
    pub fn ends(&self, path: &[u8]) -> bool {
        ends(&self.0, path)
    }

    /// True if a path below this folder ends in these names: the folder ends in the first of them.
    pub fn lies_below(&self, folder: &[u8]) -> bool {
        (1..self.0.len()).filter_map(|many| self.0.get(..many)).any(|first| ends(first, folder))
    }
}

fn ends(names: &[NamePattern], path: &[u8]) -> bool {
    let mut components = path.rsplit(|&b| b == b'/').filter(|c| !c.is_empty());
    names.iter().rev().all(|name| components.next().is_some_and(|c| name.matches(c)))
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|c| !c.is_empty())
}

fn names(text: &str) -> Result<Vec<NamePattern>, PatternError> {
    text.split('/').map(|name| NamePattern::try_from(name.to_owned())).collect()
}

fn check_name(name: &str) -> Result<(), PatternError> {
    if name.is_empty() || name == "." || name == ".." {
        Err(PatternError::EmptyName)
    } else if name.contains("**") {
        Err(PatternError::TooWide)
    } else if name.contains(['/', '{', '}', '\0']) {
        Err(PatternError::Character)
    } else {
        Ok(())
    }
}

/// Matches with one step back for each `*`, which is enough without alternatives.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&expected) if expected == byte => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_p, star_t)) => {
                    p = star_p + 1;
                    t = star_t + 1;
                    star = Some((star_p, t));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&b| b == b'*'))
}

/// Matches a text that is not a path; `*` may match anything.
pub(super) fn glob_text(pattern: &str, text: &[u8]) -> bool {
    glob(pattern.as_bytes(), text)
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// A path that begins neither with `/` nor with a variable.
    Relative,
    /// `{` without `}`.
    Unclosed,
    /// Not one of [`VARIABLES`].
    UnknownVariable(String),
    /// `//`, `.`, `..` or nothing.
    EmptyName,
    /// `**`.
    TooWide,
    /// A `/` or a brace inside a name.
    Character,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative => write!(f, "a path pattern begins with `/` or with a variable such as `{{home}}`"),
            Self::Unclosed => write!(f, "a variable that is not closed by `}}`"),
            Self::UnknownVariable(name) => {
                write!(f, "unknown variable `{{{name}}}`; known are {}", VARIABLES.join(", "))
            }
            Self::EmptyName => write!(f, "an empty name, `.` or `..` in a pattern"),
            Self::TooWide => write!(f, "`**`: no wildcard is wider than one level of folders"),
            Self::Character => write!(f, "`/` or a brace inside a name"),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::LogBuilder;

    fn bound(text: &str) -> BoundPath {
        PathPattern::try_from(text.to_owned()).unwrap().bind(&LogBuilder::new().log().header.layout)
    }

    #[test]
    fn a_star_stays_inside_one_name() {
        let pattern = bound("{home}/.config/*/config");
        assert!(pattern.is(b"/home/dev/.config/gh/config"));
        assert!(!pattern.is(b"/home/dev/.config/a/b/config"));
        assert!(!pattern.is(b"/home/dev/.config/config"));
        assert!(!pattern.is(b"/home/devil/.config/gh/config"));
    }

    #[test]
    fn a_variable_alone_is_the_place_itself_and_contains_what_is_below() {
        let pattern = bound("{home}");
        assert!(pattern.is(b"/home/dev") && pattern.contains(b"/home/dev/x/y"));
        assert!(!pattern.contains(b"/home/developer"));
    }

    #[test]
    fn a_place_that_the_run_does_not_have_matches_nothing() {
        let mut layout = LogBuilder::new().log().header.layout;
        layout.toolchain = String::new();
        let pattern = PathPattern::try_from("{toolchain}".to_owned()).unwrap().bind(&layout);
        assert!(!pattern.contains(b"/tmp/rustc") && !pattern.is(b""));
    }

    #[test]
    fn a_suffix_matches_whole_names_at_any_depth() {
        let pattern = SuffixPattern::try_from(".git/hooks/*".to_owned()).unwrap();
        assert!(pattern.ends(b"/a/b/.git/hooks/post-checkout"));
        assert!(!pattern.ends(b"/a/b/not.git/hooks/post-checkout"));
        assert!(!pattern.ends(b"hooks/x"));
    }

    #[test]
    fn globs_match_as_a_shell_would() {
        for (pattern, text, expected) in [
            ("*-gcc", "x86_64-linux-gnu-gcc", true),
            ("*-gcc-*", "x86_64-linux-gnu-gcc-13", true),
            ("gcc-*", "gcc", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn wide_relative_and_unknown_patterns_are_refused() {
        for (text, expected) in [
            ("/a/**/b", PatternError::TooWide),
            ("a/b", PatternError::Relative),
            ("/a//b", PatternError::EmptyName),
            ("/a/../b", PatternError::EmptyName),
            ("{hme}/a", PatternError::UnknownVariable("hme".to_owned())),
            ("{home/a", PatternError::Unclosed),
        ] {
            assert_eq!(PathPattern::try_from(text.to_owned()), Err(expected), "{text}");
        }
    }
}
