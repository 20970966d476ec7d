//! Why an archive is not unpacked.

use std::fmt;

use crate::evidence::bytes::Bytes;

/// One reason, with the entry that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the entry as it stands in the archive; none if the archive as a whole is at fault.
    pub entry: Option<Vec<u8>>,
    /// What is wrong.
    pub reason: Reason,
}

impl Refusal {
    pub(crate) fn whole(reason: Reason) -> Self {
        Self { entry: None, reason }
    }

    pub(super) fn entry(name: &[u8], reason: Reason) -> Self {
        // Enough to recognise it; a name may be as long as the archive.
        Self { entry: Some(name.iter().take(512).copied().collect()), reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(name) => write!(f, "entry \"{}\": {}", Bytes(name.clone()), self.reason),
            None => self.reason.fmt(f),
        }
    }
}

/// The closed list of reasons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The name begins with a slash.
    #[error("the name is absolute")]
    Absolute,
    /// A component is `..`.
    #[error("the name climbs with `..`")]
    ParentDir,
    /// A component is empty or `.`, or a file's name ends in a slash.
    #[error("the name has an empty part, a part `.` or a slash at a file's end")]
    OddName,
    /// Not below `name-version/`.
    #[error("the name is not below `{expected}/`")]
    Outside {
        /// The only folder that an archive may hold.
        expected: String,
    },
    /// A control character in the name.
    #[error("the name has a control character")]
    ControlCharacter,
    /// A NUL in the name, or bytes behind one.
    #[error("the name has a NUL byte inside")]
    NulInName,
    /// A component above 255 bytes or a name above 1024.
    #[error("the name is too long")]
    NameTooLong,
    /// A symbolic or hard link.
    #[error("a {kind} link")]
    Link {
        /// `symbolic` or `hard`.
        kind: &'static str,
    },
    /// A device, FIFO, sparse or unknown entry.
    #[error("entry type {type_byte:#04x} is neither file nor folder")]
    SpecialEntry {
        /// The byte of the type field.
        type_byte: u8,
    },
    /// Setuid or setgid.
    #[error("mode {mode:o} has a setuid or setgid bit")]
    SpecialMode {
        /// The mode field.
        mode: u32,
    },
    /// The same name twice.
    #[error("the name occurs twice")]
    Duplicate,
    /// A file where another entry needs a folder, or the reverse.
    #[error("the name is a file and a folder at once")]
    FileAndFolder,
    /// A folder with contents of its own.
    #[error("a folder with {size} bytes of contents")]
    FolderWithData {
        /// Its size field.
        size: u64,
    },
    /// The size field is negative, in base 256 or not a number.
    #[error("the size field is not a plain number")]
    BadSize,
    /// Fewer bytes than the size field promises.
    #[error("{declared} bytes are promised and fewer are there")]
    Truncated {
        /// The size field.
        declared: u64,
    },
    /// A PAX record that changes what another reader would see.
    #[error("PAX record `{key}` overrides the header")]
    PaxOverride {
        /// The record's key.
        key: String,
    },
    /// A PAX header that cannot be read, or more than one name for an entry.
    #[error("malformed extended header: {what}")]
    BadExtension {
        /// What about it.
        what: &'static str,
    },
    /// More entries than the limit.
    #[error("more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// More unpacked bytes than the limit.
    #[error("more than {limit} bytes when unpacked")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// Something follows the end of the archive.
    #[error("data after the end of the archive")]
    TrailingData,
    /// The end-of-archive block is missing.
    #[error("the end of the archive is missing")]
    NoEnd,
    /// Not gzip, a bad check sum, a header that is no tar header.
    #[error("not a readable archive: {what}")]
    Malformed {
        /// The reader's words.
        what: String,
    },
    /// No entry at all.
    #[error("the archive is empty")]
    Empty,
    /// Its `Cargo.toml` is missing, unreadable, or names another package.
    #[error("its Cargo.toml is not that of the package: {what}")]
    OtherPackage {
        /// What it says.
        what: String,
    },
    /// Its `Cargo.toml` does not say what the index said about it.
    #[error("it is not what the index promised: {what}")]
    OtherThanPromised {
        /// The first difference.
        what: String,
    },
    /// The file itself is larger than any that we take.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Its `Cargo.toml` reaches for folders of this machine, which no published one does.
    #[error("its Cargo.toml names the folder {folder:?}")]
    PathDependency {
        /// As it is written there.
        folder: String,
    },
}
