//! What a person sees while packages are fetched.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::evidence::bytes::Bytes;
use crate::ids::PackageId;
use crate::ticker::Ticker;

/// Is told how far an acquisition is. All calls may come from any thread.
pub trait Progress: Send + Sync {
    /// A step began; `what` is a fragment such as `asking HOST`.
    fn step(&self, what: &str);
    /// This many packages will be fetched and unpacked.
    fn packages(&self, total: usize);
    /// One of them is being fetched.
    fn fetching(&self, package: &PackageId);
    /// One of them is in place.
    fn placed(&self, package: &PackageId);
    /// Nothing more will come.
    fn finished(&self);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _what: &str) {}
    fn packages(&self, _total: usize) {}
    fn fetching(&self, _package: &PackageId) {}
    fn placed(&self, _package: &PackageId) {}
    fn finished(&self) {}
}

/// A bar on stderr; where that is no terminal, a line every ten seconds.
pub struct Bar {
    drawn: ProgressBar,
    /// What is being fetched, the longest first.
    waiting: Mutex<Vec<PackageId>>,
    /// Tells lines where there is no terminal.
    lines: Mutex<Option<Ticker>>,
}

impl Bar {
    /// A new bar, not drawn before the first step; never when `quiet`.
    pub fn on_stderr(quiet: bool) -> Self {
        if quiet {
            return Self::on(ProgressDrawTarget::hidden());
        }
        let bar = Self::on(ProgressDrawTarget::stderr());
        if !std::io::stderr().is_terminal() {
            let drawn = bar.drawn.clone();
            let tell = move || {
                let _ = writeln!(std::io::stderr(), "{}", line(drawn.length(), drawn.position(), &drawn.message()));
            };
            *bar.lines.lock().unwrap_or_else(PoisonError::into_inner) = Ticker::start("acquiring", tell).ok();
        }
        bar
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        // The templates are constants; if one did not parse, the plain spinner would stay, which is good enough.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Self { drawn: bar, waiting: Mutex::default(), lines: Mutex::default() }
    }

    /// Changes what is waited for, and says what has been waited for the longest.
    fn wait_for(&self, change: impl FnOnce(&mut Vec<PackageId>)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        // Names come from a registry: only such as passed the check of names are ever shown.
        let message = match waiting.as_slice() {
            [] => String::new(),
            [one] => format!("waiting for {one}"),
            [first, rest @ ..] => format!("waiting for {first} and {} more", rest.len()),
        };
        self.drawn.set_message(message);
    }
}

fn line(all: Option<u64>, done: u64, message: &str) -> String {
    let comma = if message.is_empty() { "" } else { ", " };
    match all {
        Some(all) => format!("{done} of {all} packages fetched and unpacked{comma}{message}"),
        None if message.is_empty() => "acquiring".to_owned(),
        None => message.to_owned(),
    }
}

impl fmt::Debug for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bar").field(&self.drawn.position()).finish()
    }
}

impl Progress for Bar {
    fn step(&self, what: &str) {
        self.drawn.set_message(Bytes::from(what).to_string());
        // Time goes by on the screen too while a server says nothing.
        self.drawn.enable_steady_tick(Duration::from_millis(120));
    }

    fn packages(&self, total: usize) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} [{bar:30}] {pos}/{len} {wide_msg}") {
            self.drawn.set_style(style.progress_chars("=> "));
        }
        self.drawn.set_length(u64::try_from(total).unwrap_or(u64::MAX));
        self.drawn.set_position(0);
    }

    fn fetching(&self, package: &PackageId) {
        self.wait_for(|waiting| waiting.push(package.clone()));
    }

    fn placed(&self, package: &PackageId) {
        self.wait_for(|waiting| waiting.retain(|other| other != package));
        self.drawn.inc(1);
    }

    fn finished(&self) {
        self.drawn.finish_and_clear();
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_waited_for_the_longest_is_named() {
        let bar = Bar::on(ProgressDrawTarget::hidden());
        let [one, two, three] = ["one", "two", "three"].map(|name| PackageId::new(name, "1.0.0"));
        bar.step("asking a registry\x1b[2J");
        assert_eq!(bar.drawn.message(), "asking a registry\\x1b[2J");
        bar.packages(3);
        for package in [&one, &two, &three] {
            bar.fetching(package);
        }
        assert_eq!(bar.drawn.message(), "waiting for one@1.0.0 and 2 more");
        bar.placed(&one);
        bar.placed(&three);
        assert_eq!((bar.drawn.message(), bar.drawn.position()), ("waiting for two@1.0.0".to_owned(), 2));
        bar.finished();
    }

    #[test]
    fn without_a_terminal_a_line_tells_how_far_it_is() {
        assert_eq!(line(None, 0, "asking a registry"), "asking a registry");
        assert_eq!(
            line(Some(9), 4, "waiting for one@1.0.0"),
            "4 of 9 packages fetched and unpacked, waiting for one@1.0.0"
        );
        assert_eq!(line(Some(9), 9, ""), "9 of 9 packages fetched and unpacked");
    }
}
