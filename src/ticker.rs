//! Something that is done every ten seconds, beside the work that a person waits for.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a person may look at nothing.
const PAUSE: Duration = Duration::from_secs(10);

/// Ticks until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker(Option<(Sender<()>, JoinHandle<()>)>);

impl Ticker {
    /// Calls `work` every ten seconds, in a thread of that name.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(name: &str, mut work: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (end, ended) = channel();
        let ticks = move || {
            while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                work();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(ticks)?;
        Ok(Self(Some((end, thread))))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
