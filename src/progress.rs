//! What a person sees while the build runs: on standard error, on a terminal only.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::acquire::Acquired;
use crate::sandbox::channel::Event;

/// A line that turns while units run. Gone when dropped.
#[derive(Debug)]
pub struct RunProgress {
    bar: ProgressBar,
    done: Cell<u64>,
}

impl RunProgress {
    /// Shows nothing when `quiet` or when standard error is no terminal.
    pub fn new(acquired: &Acquired, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(acquired.target.label());
        if shown {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self { bar, done: Cell::new(0) }
    }

    /// Takes in an event.
    pub fn tell(&self, event: &Event) {
        match event {
            Event::UnitStarted { text } => self.bar.set_message(format!("{} units done, {text}", self.done.get())),
            Event::UnitEnded => self.done.set(self.done.get() + 1),
            Event::Started => self.bar.set_message("the sandbox holds"),
            Event::NeedsMapping | Event::Failed { .. } => {}
        }
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
