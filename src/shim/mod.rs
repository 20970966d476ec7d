//! What the static shim and the supervisor have in common: the messages
//! between them and the reading of rustc's command line and messages.
//!
//! The shim itself is a program of its own, compiled by `build.rs` from
//! `main.rs` in this folder without a C library and carried inside the tool.

pub mod command_line;
pub mod messages;
pub mod protocol;

/// The static program, an ELF file for x86-64.
pub static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shim"));

/// The descriptor at which cargo's descendants find the hand-off socket.
pub const HANDOFF_FD: i32 = 200;
