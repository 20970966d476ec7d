//! The versions that a decision is about.

use std::fmt;

use semver::Version;

use crate::policy::Versions;

/// One version, or a requirement with an upper bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedVersions {
    text: String,
    which: Which,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    One(Version),
    Some(Versions),
}

impl DecidedVersions {
    /// `1.2.3` is this version alone. All else is a requirement as cargo has it, with an upper bound.
    ///
    /// # Errors
    /// When it is neither, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let which = match text.parse::<Version>() {
            Ok(version) => Which::One(version),
            Err(_) => Which::Some(Versions::try_from(text.to_owned()).map_err(|error| error.to_string())?),
        };
        Ok(Self { text: text.to_owned(), which })
    }

    /// True for a version that it is about.
    pub fn contain(&self, version: &str) -> bool {
        match &self.which {
            Which::One(one) => version.parse::<Version>().is_ok_and(|version| version == *one),
            Which::Some(some) => some.contain(version),
        }
    }
}

impl fmt::Display for DecidedVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_version_is_that_one_and_a_range_has_an_end() {
        let of = |text: &str| DecidedVersions::parse(text).unwrap();
        assert!(of("1.2.3").contain("1.2.3") && !of("1.2.3").contain("1.2.4") && !of("1.2.3").contain("1.2.3-a"));
        assert!(of("^1.2.3").contain("1.9.0") && !of("^1.2.3").contain("2.0.0"));
        assert!(of(">=1, <1.4").contain("1.3.9") && !of(">=1, <1.4").contain("1.4.0"));
        assert!(of("1.0.0+a").contain("1.0.0+a") && !of("1.0.0+a").contain("1.0.0+b"));
        for wrong in ["*", ">=1", "", "latest"] {
            DecidedVersions::parse(wrong).unwrap_err();
        }
    }
}
