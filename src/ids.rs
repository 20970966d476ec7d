//! Names of things: packages, units, digests; and how many there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One spelling for all of those that registries take for the same name.
pub(crate) fn plain_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// A number of things in words: `1 day`, `2 days`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{end}")
}

/// What cargo calls a package: a name and an exact version.
///
/// Displayed and serialised as `name@version`, or `name@version~mark`: neither a name nor a version can hold a tilde.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageId {
    /// The name as the registry spells it.
    pub name: String,
    /// The exact version.
    pub version: String,
    /// Which of several: a lock file may have packages of one name and version from more than one source.
    mark: Option<String>,
}

impl PackageId {
    /// Joins a name and a version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), mark: None }
    }

    /// The same with a mark, or without one.
    #[must_use]
    pub fn with_mark(self, mark: Option<String>) -> Self {
        Self { mark, ..self }
    }

    /// What tells it from others of its name and version.
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// True for the same name and version, from wherever.
    pub fn is_named_like(&self, other: &Self) -> bool {
        self.name == other.name && self.version == other.version
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)?;
        self.mark.iter().try_for_each(|mark| write!(f, "~{mark}"))
    }
}

impl From<PackageId> for String {
    fn from(id: PackageId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PackageId {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for PackageId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, mark) = match text.split_once('~') {
            Some((id, mark)) => (id, Some(mark.to_owned())),
            None => (text, None),
        };
        match id.rsplit_once('@') {
            Some((name, version)) if !name.is_empty() && !version.is_empty() && mark.as_deref() != Some("") => {
                Ok(Self::new(name, version).with_mark(mark))
            }
            _ => Err(ParseIdError { expected: "name@version", found: text.to_owned() }),
        }
    }
}

/// A text that should name something and does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct ParseIdError {
    expected: &'static str,
    found: String,
}

/// One unit of one run, numbered in the order in which the units started.
///
/// Displayed as `u0`, `u1`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitId(pub u32);

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u{}", self.0)
    }
}

/// A SHA-256 digest. Displayed and serialised as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// The 64 hexadecimal digits without the prefix, as a lock file has them.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Sha256Digest {
    type Err = ParseIdError;

    /// Reads 64 hexadecimal digits, with or without the `sha256:` prefix.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseIdError { expected: "64 hexadecimal digits", found: text.to_owned() };
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_id_reads_back_what_it_prints() {
        let id = PackageId::new("serde_derive", "1.0.228+build");
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        let marked = id.clone().with_mark(Some("git-0011aabb".to_owned()));
        assert_eq!(marked.to_string(), "serde_derive@1.0.228+build~git-0011aabb");
        assert_eq!(marked.to_string().parse(), Ok(marked.clone()));
        assert!(marked != id && marked.is_named_like(&id));
        "a@1.0.0~".parse::<PackageId>().unwrap_err();
    }

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let digest = Sha256Digest([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.hex().parse(), Ok(digest));
    }

    #[test]
    fn a_digest_of_another_length_is_refused() {
        "sha256:abcd".parse::<Sha256Digest>().unwrap_err();
    }
}
