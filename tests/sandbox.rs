//! What the sandbox promises, tried by payloads inside it and looked at from outside.
//!
//! Each test runs the built program on a small crate whose code attacks one
//! guarantee, and holds four things against each other: the errno that the
//! code met, that the same works where nothing forbids it, that there was no
//! effect outside, and the record. A test that cannot run here says so and
//! passes, unless `SANDBOX_CHECK_MUST_RUN=1`.

#![cfg(target_arch = "x86_64")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and one that is skipped says why"
)]

mod support;

mod sandbox {
    mod captured;
    mod clock;
    mod decoded;
    mod decoys;
    mod depth;
    mod detours;
    mod drive;
    mod ends;
    mod files;
    mod graph;
    mod host;
    mod hostile;
    mod identity;
    mod kernel;
    mod kills;
    mod libraries;
    mod limits;
    mod network;
    mod ordinary_user;
    mod out_of_room;
    mod shim;
}
