//! The lines of JSON between the process that the user started and the launch helper.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::base::Finished;
use crate::handoff;

/// From the launch helper, later the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The user namespace exists; its ids must be mapped from outside.
    NeedsMapping,
    /// The self-test is through; cargo starts.
    Started {
        /// True if the folder of all outputs was handed over just before, see [`Parent::hand_over`].
        outputs: bool,
    },
    /// A unit started.
    UnitStarted {
        /// For people: what kind of work on which package.
        text: String,
    },
    /// A unit ended.
    UnitEnded {
        /// What later runs may take of it, as far as is known by now.
        finished: Option<Finished>,
    },
    /// Nothing more of a package is waited for.
    Finished {
        /// Which package.
        package: String,
    },
    /// Everything inside has ended and the log is closed.
    Closed,
    /// It could not go on. There is no closed log.
    Failed {
        /// What kind of failure it is.
        why: Why,
        /// For people: what failed, to what, why.
        text: String,
    },
}

/// Why it could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// This layer is missing.
    Layer(String),
    /// Evidence cannot be written.
    Evidence,
    /// It was stopped before there was anything to record.
    Stopped,
    /// Anything else.
    Other,
}

/// To the launch helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The ids are mapped.
    Mapped,
    /// End the sandbox and close the log as it is.
    Stop,
}

/// The helper's side: standard input, a socket, and standard output.
#[derive(Debug)]
pub struct Parent {
    input: File,
}

impl Parent {
    /// Takes over standard input and output.
    ///
    /// # Errors
    /// When standard input is closed.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { input: File::from(io::stdin().as_fd().try_clone_to_owned()?) })
    }

    /// The next order. Unbuffered, so that `epoll` on the input tells whether there is one.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side is gone; else when the line is not an order.
    pub fn order(&mut self) -> io::Result<Order> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < LONGEST_ORDER {
            self.input.read_exact(&mut byte)?;
            if byte == [b'\n'] {
                return Ok(serde_json::from_slice(&line)?);
            }
            line.extend(byte);
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Hands a descriptor over, for [`Order`]s come through a socket.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn hand_over(&self, fd: &OwnedFd) -> io::Result<()> {
        handoff::send(&self.input, b"fd", Some(fd))
    }

    /// Tells an event. That nobody listens is no reason to stop: the end of our life pipe is.
    pub fn tell(&mut self, event: &Event) {
        let mut output = io::stdout().lock();
        if serde_json::to_writer(&mut output, event).is_ok() {
            let _ = output.write_all(b"\n").and_then(|()| output.flush());
        }
    }
}

/// Bytes; far more than any order has.
const LONGEST_ORDER: usize = 256;

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}
