//! The confinement suite: nothing gets out, nothing is lost, and each layer carries its part.
//!
//! `confinement/probes/*.toml` has a row for each probe: what is tried, what stops it, what it meets inside and outside,
//! where its effect would show, and its record. The attacker (`confinement/attacker/`) has a payload for each row that
//! is run; the runner (`attack`, `probes`) holds what happened against the row. Other rows name the test that proves
//! them, or say why they are not tried.

#![cfg(target_arch = "x86_64")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test that cannot go on fails, and one that is skipped says why"
)]

mod support;

#[path = "confinement/attack.rs"]
mod attack;
#[path = "confinement/compiler.rs"]
mod compiler;
#[path = "confinement/completeness.rs"]
mod completeness;
#[path = "confinement/decoders.rs"]
mod decoders;
#[path = "confinement/machine.rs"]
mod machine;
#[path = "confinement/names.rs"]
mod names;
#[path = "confinement/nested.rs"]
mod nested;
#[path = "confinement/opens.rs"]
mod opens;
#[path = "confinement/probes.rs"]
mod probes;
#[path = "confinement/sabotage.rs"]
mod sabotage;
#[path = "confinement/settings.rs"]
mod settings;
#[path = "confinement/sweeps.rs"]
mod sweeps;
#[path = "confinement/table.rs"]
mod table;
#[path = "confinement/threads.rs"]
mod threads;
#[path = "confinement/together.rs"]
mod together;
#[path = "confinement/view.rs"]
mod view;
