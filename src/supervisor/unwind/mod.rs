//! Within rustc: which macro library made a call, by the stack of its thread.
//!
//! All macro libraries of a crate run in one process, so the kernel cannot tell them apart, and this
//! is evidence, not proof: code that wants to look like another library can build a stack for it.
//! Nothing is allowed or denied by it, and what is not known is said to be unknown.
//!
//! The story of one answer: `thread` has the work done in time and survives what a hostile file does to it →
//! `space` knows what is mapped where (`maps`), `files` reads unwind tables and names of functions out of it (`elf`,
//! `symbols`) → `walk` walks from the stack pointer and, only if that does not do, from all registers
//! ([`crate::sys::registers`]), for which the call has to be broken off and made again → `origins` adds what a stack
//! cannot tell: who made the thread, who started the program.

mod elf;
mod files;
mod maps;
mod origins;
mod space;
mod symbols;
mod thread;
mod walk;

pub(super) use origins::{How, Origin, Origins, Resumed};
pub(super) use thread::{Ask, Walker};

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    /// A frame lies in a macro library; nearer ones lie in the system's or the toolchain's files ([`How::Stack`]), or some
    /// of them in others ([`How::Called`]).
    Library(How, Hit),
    /// The walk came to the end of a stack, and no frame lies in a macro library.
    Through {
        /// Where it began.
        sp: u64,
        /// Where it ended.
        base: u64,
        /// True on the stack that the kernel made for the process.
        is_first: bool,
    },
    /// The walk broke off.
    Lost {
        /// Where it began, where that is known.
        sp: u64,
        /// Why.
        why: &'static str,
    },
    /// The process runs another program by now than the unit's own.
    OtherProgram,
    /// No macro library is mapped to be run.
    NoLibrary,
}

/// A macro library on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Its name in the folder of published libraries.
    pub(super) file: String,
    /// The first function that is not of the standard library; a hint.
    pub(super) symbol: Option<String>,
}
