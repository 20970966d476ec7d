//! The codes of the facts that this stage records.

use crate::evidence::bytes::Bytes;
use crate::evidence::line::Fact;
use crate::ids::PackageId;

/// The exact version that was asked for was withdrawn by its author.
pub const YANKED: &str = "yanked";
/// Two names of one archive differ by case only.
pub const CASE_COLLISION: &str = "case-collision";
/// A package brings configuration for cargo or a toolchain file.
pub const EMBEDDED_CARGO_CONFIG: &str = "embedded-cargo-config";
/// An archive that was not unpacked.
pub const UNSAFE_ARCHIVE: &str = "unsafe-archive";
/// Bytes that are not those of the index or the lock file.
pub const CHECKSUM_MISMATCH: &str = "checksum-mismatch";
/// A link or special file of a folder that was left out of the copy.
pub const SKIPPED_FILE: &str = "skipped-file";
/// A part of a manifest that has no effect here.
pub const IGNORED_SETTING: &str = "ignored-setting";

/// The subject has no library; an empty one was added to our copy.
pub const ADDED_LIBRARY: &str = "added-library";

/// Stands in the text of an [`EMBEDDED_CARGO_CONFIG`] fact exactly if the file chooses a program
/// (wrapper, linker, runner, credential provider, toolchain path).
pub const NAMES_PROGRAM: &str = "names a program";

/// A fact whose package is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) code: &'static str,
    pub(crate) text: String,
    pub(crate) path: Option<Vec<u8>>,
}

impl Found {
    pub(crate) fn of(self, package: &PackageId) -> Fact {
        Fact { path: self.path.map(Bytes), ..Fact::new(self.code, package, self.text) }
    }
}
