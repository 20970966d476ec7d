//! Finds the one directive that cargo would refuse without us.
//!
//! A stable cargo ends with an error when a build script sets `RUSTC_BOOTSTRAP`
//! (`cargo::rustc-env`), unless the variable is set already. Where we set it for
//! cargo alone, the shim takes over the refusal.

use alloc::vec::Vec;

/// No line that we look for is longer (bytes); the rest of a line is not kept.
const LONGEST: usize = 128;

/// The beginnings of the lines of a stream.
#[derive(Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// The value that was set, if one was.
    pub(crate) bootstrap: Option<Vec<u8>>,
}

impl Lines {
    /// Takes the next piece of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LONGEST {
                self.line.push(*byte);
            }
        }
    }

    /// The last line may have no end.
    pub(crate) fn end_line(&mut self) {
        if let Some(value) = bootstrap(&self.line) {
            self.bootstrap = Some(value.to_vec());
        }
        self.line.clear();
    }
}

/// The value in `cargo::rustc-env=RUSTC_BOOTSTRAP=VALUE`, also with one colon.
fn bootstrap(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let rest = line.strip_prefix(b"cargo::").or_else(|| line.strip_prefix(b"cargo:"))?;
    rest.strip_prefix(b"rustc-env=")?.trim_ascii_start().strip_prefix(b"RUSTC_BOOTSTRAP=")
}
