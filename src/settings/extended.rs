//! A file that many workspaces share: named by path, or by URL and digest.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::SettingsError;
use super::decisions::{reason_of, shown};
use crate::acquire::{AcquireSettings, ErrorClass, shared_text, small_text, text_of_commit};
use crate::ids::Sha256Digest;

/// Where the file that extends another one was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// On disk.
    WorkingTree,
    /// In a commit.
    Commit {
        /// As git calls it.
        base: String,
        /// Where git is asked.
        folder: PathBuf,
        /// The way from there to the file that extends.
        file: PathBuf,
    },
}

/// `FILE`, `FILE#sha256:HEX` or `URL#sha256:HEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extended {
    place: String,
    is_url: bool,
    digest: Option<Sha256Digest>,
}

/// A shared file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// As the user knows it.
    pub(super) shown: String,
    /// What stands in it.
    pub(super) text: String,
}

impl Extended {
    pub(super) fn parse(word: &str) -> Result<Self, SettingsError> {
        let wrong = |what: &str| {
            SettingsError::new(
                format!("extends = {word:?}: {what}"),
                "write extends = \"FILE\" or \"URL#sha256:DIGEST\"; `sha256sum FILE` tells the digest",
            )
        };
        let (place, digest) = match word.rsplit_once('#') {
            None => (word, None),
            Some((place, digest)) => {
                let full = if digest.starts_with("sha256:") { digest.to_owned() } else { format!("sha256:{digest}") };
                let digest = full.parse::<Sha256Digest>().map_err(|_| wrong("what follows the # is no SHA-256"))?;
                (place, Some(digest))
            }
        };
        let is_url = place.contains("://");
        if place.is_empty() {
            return Err(wrong("it names nothing"));
        }
        if is_url && !["https://", "http://"].iter().any(|scheme| place.starts_with(scheme)) {
            return Err(wrong("only https and http are asked"));
        }
        if is_url && digest.is_none() {
            return Err(wrong("a URL needs the digest of what it gives, or its owner decides what counts here"));
        }
        Ok(Self { place: place.to_owned(), is_url, digest })
    }

    /// What the file that lies beside `file` says, verified.
    pub(super) fn read(
        &self,
        file: &Path,
        origin: &Origin,
        acquire: &dyn Fn() -> Result<AcquireSettings, SettingsError>,
    ) -> Result<Shared, SettingsError> {
        let cannot = |what: &str| {
            SettingsError::new(
                format!("extends {}: {what}", self.place),
                "the file that is extended must be there before anything runs",
            )
        };
        let (path, text) = match (self.digest.filter(|_| self.is_url), origin) {
            (Some(digest), _) => {
                let fetched = shared_text(&acquire()?, &self.place, digest).map_err(|error| SettingsError {
                    is_temporary: error.class() == ErrorClass::Temporary,
                    ..cannot(&crate::error_chain(&error))
                });
                (self.place.clone(), fetched?)
            }
            (None, origin) => {
                let beside = |file: &Path| file.parent().unwrap_or(Path::new("")).join(&self.place);
                let path = beside(file);
                let text = match origin {
                    // Its bytes are pinned, so it does not matter who else can change the file.
                    Origin::Commit { base, folder, file } if self.digest.is_none() => {
                        text_of_commit(base, folder, &beside(file))
                            .map_err(|reason| cannot(&format!("{base}: {reason}")))?
                    }
                    _ => small_text(&path).map_err(|error| cannot(&reason_of(error)))?,
                };
                (shown(&path), text.ok_or_else(|| cannot("there is no such file"))?)
            }
        };
        let found = Sha256Digest(Sha256::digest(&text).into());
        match self.digest {
            Some(expected) if expected != found => {
                Err(cannot(&format!("its digest is {found}, and {expected} was demanded")))
            }
            _ => Ok(Shared { shown: path, text }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_a_digest_and_a_file_may_have_one() {
        let digest = "0".repeat(64);
        assert_eq!(Extended::parse("a/b.toml").unwrap().digest, None);
        let both =
            ["", "sha256:"].map(|start| Extended::parse(&format!("https://x.invalid/a.toml#{start}{digest}")).unwrap());
        assert!(both[0] == both[1] && both[0].is_url && both[0].place == "https://x.invalid/a.toml");
        for wrong in [
            "https://x.invalid/a.toml",
            "ftp://x.invalid/a#0",
            "a#b",
            "",
            &format!("#{digest}"),
            &format!("file:///a#{digest}"),
        ] {
            Extended::parse(wrong).unwrap_err();
        }
    }
}
