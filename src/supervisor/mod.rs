//! Watches, answers, records: the process that receives every notification of
//! every unit.
//!
//! The story of one attempt: `event_loop` (with `shims` and `outputs`) receives all that is pending →
//! `handle` decodes it (`decode`, `sockets`, `open`, `metadata`) → acts on
//! behalf where the table says so (`open` with the unit's `opener`, `metadata`)
//! → records it (`evidence::writer`), with the bytes that were to run or to be sent (`capture`) → answers (`reply`).
//!
//! Beside it: `admit` says which unit a shim may start, `unwind` whose code within rustc made a call, `running` whether a
//! process runs what it was seen to start; `sample` and `limits` end what uses up too much, `drive` gives macros inputs.
//!
//! It runs in the sandbox's user, mount and network namespaces and in domain
//! D1, but in the outer PID namespace, with `CAP_SYS_PTRACE` over the sandbox
//! only: it can read its callers, and they can neither name nor signal it.

mod admit;
mod caller;
mod capture;
mod cargo;
mod decode;
mod dns;
mod drive;
mod event_loop;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handle;
mod held;
mod limits;
mod links;
mod metadata;
mod open;
mod opener;
mod reply;
mod running;
mod sample;
mod self_test;
mod sockets;
mod started;
#[cfg(test)]
mod twins_tests;
mod units;
mod unwind;
mod weigh;
mod zones;

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

use nix::unistd::Pid;

pub use self::dns::bind as bind_resolver;
use crate::sandbox::channel::Parent;
use crate::sandbox::spec::SandboxSpec;

/// What the launch helper hands over when it becomes the supervisor.
#[derive(Debug)]
pub struct Sandboxed {
    /// The plan.
    pub spec: SandboxSpec,
    /// `/proc` of the outer PID namespace.
    pub outer_proc: OwnedFd,
    /// Places whose private view had to be read-only.
    pub read_only_views: Vec<String>,
    /// The resolver's bound sockets.
    pub resolver: Vec<UdpSocket>,
    /// When it closes, everything inside ends.
    pub life: OwnedFd,
    /// Our end of the shared hand-off socket.
    pub handoff: OwnedFd,
    /// Standard output of the self-test and of cargo.
    pub stdout: OwnedFd,
    /// Standard error of both.
    pub stderr: OwnedFd,
    /// A byte into it starts cargo.
    pub go: OwnedFd,
    /// The process that ends when cargo does.
    pub child: Pid,
    /// For lines.
    pub evidence: File,
    /// For counters.
    pub counters: File,
    /// The folder for captured bytes.
    pub captured: OwnedFd,
}

/// An error that ended the supervisor before the log was closed.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A layer does not hold, by the self-test.
    #[error("prove the {layer}: {text}")]
    Layer {
        /// Its name.
        layer: &'static str,
        /// Which probe, and what it met.
        text: String,
    },
    /// Evidence cannot be written; the build must not go on.
    #[error("write evidence")]
    Evidence(#[source] io::Error),
    /// The run was stopped before cargo started: there is nothing to record.
    #[error("start cargo: the run was stopped before")]
    Stopped,
    /// The event loop failed.
    #[error("watch the sandbox: {step}")]
    Watch {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl SupervisorError {
    /// The layer that is missing because of this error, if it is one.
    pub fn layer(&self) -> Option<&'static str> {
        match self {
            Self::Layer { layer, .. } => Some(layer),
            _ => None,
        }
    }
}

/// Supervises until everything inside has ended and the log is closed.
///
/// # Errors
/// When the log could not be closed; everything inside is dead by then.
pub fn supervise(sandboxed: Sandboxed, parent: &mut Parent) -> Result<(), SupervisorError> {
    event_loop::EventLoop::new(sandboxed, parent)?.run()
}
