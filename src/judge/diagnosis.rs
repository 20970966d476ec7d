//! Why a build failed, as far as its last words tell.

use super::paths::contains;

/// The classes that a person can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    MissingProgram,
    MissingLibrary,
}

const PROGRAMS: [&str; 16] = [
    "is `cmake` not installed",
    "failed to find tool",
    "Failed to find tool",
    "command not found",
    "could not be run: `pkg-config`",
    "The pkg-config command could not be found",
    "Could not find `protoc`",
    "could not find `protoc`",
    "Unable to find libclang",
    "linker `cc` not found",
    "Could not execute `",
    "could not execute process `",
    "failed to execute command",
    "program not found",
    "is not installed or not in PATH",
    ": not found\n",
];

const LIBRARIES: [&str; 12] = [
    "was not found in the pkg-config search path",
    "pkg-config exited with status code",
    "The system library `",
    "Could not find directory of OpenSSL",
    "unable to find library -l",
    "cannot find -l",
    "library not found for -l",
    "could not find native static library",
    "could not find system library",
    ".h: No such file or directory",
    ".h' file not found",
    "No package '",
];

/// Looks for messages that builds are known to end with.
pub(super) fn cause(tail: &[u8]) -> Option<Cause> {
    let has = |messages: &[&str]| messages.iter().any(|message| contains(tail, message.as_bytes()));
    // A missing pkg-config shows the text about libraries as well.
    if has(&PROGRAMS) {
        Some(Cause::MissingProgram)
    } else if has(&LIBRARIES) {
        Some(Cause::MissingLibrary)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_last_words_are_understood() {
        for (tail, expected) in [
            (
                "failed to execute command: No such file or directory (os error 2)\nis `cmake` not installed?",
                Some(Cause::MissingProgram),
            ),
            ("Could not find `protoc` installation and this build crate cannot proceed", Some(Cause::MissingProgram)),
            ("The system library `glib-2.0` required by crate `glib-sys` was not found.", Some(Cause::MissingLibrary)),
            ("x.c:1:10: fatal error: zlib.h: No such file or directory", Some(Cause::MissingLibrary)),
            ("/usr/bin/ld: cannot find -lssl: No such file or directory", Some(Cause::MissingLibrary)),
            ("thread 'main' panicked at build.rs:3:5: explicit panic", None),
        ] {
            assert_eq!(cause(tail.as_bytes()), expected, "{tail}");
        }
    }
}
