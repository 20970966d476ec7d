//! What a person sees while packages are fetched.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::evidence::bytes::Bytes;
use crate::ids::PackageId;

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

/// A bar on stderr; nothing where stderr is no terminal.
pub struct Bar {
    bar: ProgressBar,
    /// What is being fetched, the longest first.
    waiting: Mutex<Vec<PackageId>>,
}

impl Bar {
    /// A new bar, not drawn before the first step.
    pub fn on_stderr() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        // The templates are constants; if one did not parse, the plain spinner would stay, which is good enough.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, waiting: Mutex::new(Vec::new()) }
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
        self.bar.set_message(message);
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::on_stderr()
    }
}

impl fmt::Debug for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bar").field(&self.bar.position()).finish()
    }
}

impl Progress for Bar {
    fn step(&self, what: &str) {
        self.bar.set_message(Bytes::from(what).to_string());
        // Time goes by on the screen too while a server says nothing.
        self.bar.enable_steady_tick(Duration::from_millis(120));
    }

    fn packages(&self, total: usize) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} [{bar:30}] {pos}/{len} {wide_msg}") {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_length(u64::try_from(total).unwrap_or(u64::MAX));
        self.bar.set_position(0);
    }

    fn fetching(&self, package: &PackageId) {
        self.wait_for(|waiting| waiting.push(package.clone()));
    }

    fn placed(&self, package: &PackageId) {
        self.wait_for(|waiting| waiting.retain(|other| other != package));
        self.bar.inc(1);
    }

    fn finished(&self) {
        self.bar.finish_and_clear();
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
        assert_eq!(bar.bar.message(), "asking a registry\\x1b[2J");
        bar.packages(3);
        for package in [&one, &two, &three] {
            bar.fetching(package);
        }
        assert_eq!(bar.bar.message(), "waiting for one@1.0.0 and 2 more");
        bar.placed(&one);
        bar.placed(&three);
        assert_eq!((bar.bar.message(), bar.bar.position()), ("waiting for two@1.0.0".to_owned(), 2));
        bar.finished();
    }
}
