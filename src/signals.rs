//! Ctrl-C and SIGTERM: the sandbox ends, the report is written, nothing is left behind.
//!
//! The signals are blocked in every thread and taken by one, so that no code of
//! ours runs in signal context.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::sandbox::run::Stopper;

/// What the signal thread and the main thread share.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    received: Option<i32>,
    stopper: Option<Stopper>,
    /// The sandbox has ended, and its report is being written.
    tells: bool,
}

/// What follows from a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The main thread comes to its end soon.
    GoOn,
    /// Nothing runs that would have to be closed: our end is the end of all.
    SayAndLeave,
    /// It is the second, and nobody wants to wait.
    Leave,
}

impl Signals {
    /// Blocks both signals and starts the thread that takes them. Call before any other thread exists.
    /// `leaving` has the last word, with the signal's number, when there is nothing yet to report.
    ///
    /// # Errors
    /// When the mask cannot be set or the thread not be started.
    pub fn watch(leaving: impl Fn(i32) + Send + 'static) -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block()?;
        let signals = Self::default();
        let shared = signals.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            while let Ok(signal) = set.wait() {
                shared.take(signal, &leaving);
            }
        })?;
        Ok(signals)
    }

    /// The first signal that came, by number.
    pub fn received(&self) -> Option<i32> {
        self.lock(|state| state.received)
    }

    /// From now on a signal stops this sandbox. One that came before does so at once.
    pub fn arm(&self, mut stopper: Stopper) {
        self.lock(|state| {
            if state.received.is_some() {
                stopper.stop();
            }
            state.stopper = Some(stopper);
        });
    }

    /// Lends the stopper.
    pub fn with_stopper(&self, act: &mut dyn FnMut(&mut Stopper)) {
        self.lock(|state| state.stopper.as_mut().map(act));
    }

    /// The sandbox has ended. What it showed is told even if the first signal comes now.
    pub fn disarm(&self) {
        self.lock(|state| {
            state.stopper = None;
            state.tells = true;
        });
    }

    fn take(&self, signal: Signal, leaving: &impl Fn(i32)) {
        let number = if signal == Signal::SIGTERM { libc::SIGTERM } else { libc::SIGINT };
        let next = self.lock(|state| {
            if state.received.is_some() {
                return Next::Leave;
            }
            state.received = Some(number);
            match &mut state.stopper {
                Some(stopper) => {
                    stopper.stop();
                    Next::GoOn
                }
                None if state.tells => Next::GoOn,
                None => Next::SayAndLeave,
            }
        });
        if next == Next::SayAndLeave {
            leaving(number);
        }
        if next != Next::GoOn {
            crate::acquire::abandon();
            crate::sys::process::exit_now(128 + number);
        }
    }

    fn lock<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
