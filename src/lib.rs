//! Builds a package's build scripts and proc macros in a sandbox without a
//! network and reports what that code tried to do.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!(
    "sandbox-check runs on Linux on x86-64 only: its system call table and its static shim are written for that"
);

extern crate alloc;

pub mod acquire;
pub mod app;
pub mod base;
pub mod cli;
pub mod decisions;
pub mod evidence;
pub mod exit;
pub mod facts;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod handoff;
pub mod ids;
pub mod judge;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod remedy;
pub mod report;
pub mod sandbox;
pub mod settings;
pub mod shim;
pub mod signals;
pub mod supervisor;
#[expect(unsafe_code, reason = "the only module that may call the kernel directly")]
pub mod sys;
mod ticker;
pub mod toolchain;

/// An error and its causes in one line: `failed to A: B: C`, without the first two words.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // A transparent variant repeats its source.
        if !text.ends_with(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}
