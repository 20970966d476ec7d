//! The static shim: one rustc or one build script as a unit of its own.
//!
//! cargo starts it in three ways: as `RUSTC_WRAPPER`, in the place of a build
//! script, and, before any of that, for the self-test. It holds two
//! capabilities of the sandbox's own user namespace, makes the unit with
//! them, and gives them up in everything that runs foreign code. It obeys its
//! arguments, its own path and the supervisor, and no environment variable.

#![no_std]
#![no_main]
#![allow(clippy::indexing_slicing, clippy::as_conversions, reason = "numbers and descriptors at the kernel's border")]

extern crate alloc;

#[path = "../sys/bare/mod.rs"]
mod bare;
mod build_script;
mod command_line;
mod directives;
mod drive;
mod messages;
mod payload;
#[allow(dead_code, reason = "the supervisor uses the other half")]
mod protocol;
mod relay;
mod rustc;
mod sabotage;
mod unit;

use alloc::vec::Vec;

use bare::calls::{self, FileType};
use bare::runtime::Start;

/// Where cargo's descendants find the shared hand-off socket.
const HANDOFF: usize = 200;

/// Says why the shim cannot go on, on standard error, and is the exit status of that.
///
/// In one write: a pipe takes it whole, pipe(7), and a reader never sees half of it.
fn fail(what: &[u8]) -> i32 {
    calls::write_all(2, &[b"sandbox-check: ", what, b"\n"].concat());
    125
}

fn run(start: Start) -> i32 {
    let Ok(exe) = calls::readlink(b"/proc/self/exe") else {
        return fail(b"cannot read own path");
    };
    if let Some(real) = build_script::real_program(&exe) {
        return build_script::run(&exe, &real, start);
    }
    match start.args.get(1).map(Vec::as_slice) {
        Some(b"self-test") => unit::self_test(&exe, start),
        Some(b"drive") => drive::run(&exe, &start),
        Some(b"drive-early") => drive::run_early(&exe, &start),
        Some(b"self-test-payload") => payload::run(&start.args[2..]),
        Some(_) => rustc::run(&exe, start),
        None => fail(b"this program is started by sandbox-check only"),
    }
}

/// True where the hand-off socket is: in cargo and its own children, not in a unit.
fn has_handoff() -> bool {
    calls::file_type_of_fd(HANDOFF) == Ok(FileType::Socket)
}
