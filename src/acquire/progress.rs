//! What a person sees while packages are fetched.

use std::fmt;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ids::PackageId;

/// Is told how far an acquisition is. All calls may come from any thread.
pub trait Progress: Send + Sync {
    /// A step began; `what` is a fragment such as `resolving`.
    fn step(&self, what: &str);
    /// This many packages will be fetched and unpacked.
    fn packages(&self, total: usize);
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
    fn placed(&self, _package: &PackageId) {}
    fn finished(&self) {}
}

/// A bar on stderr; nothing where stderr is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// A new bar, not drawn before the first step.
    pub fn on_stderr() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self(bar.with_style(ProgressStyle::default_spinner()))
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::on_stderr()
    }
}

impl fmt::Debug for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bar").field(&self.0.position()).finish()
    }
}

impl Progress for Bar {
    fn step(&self, what: &str) {
        self.0.set_message(what.to_owned());
        self.0.tick();
    }

    fn packages(&self, total: usize) {
        // The template is a constant; if it did not parse, the spinner would stay, which is good enough.
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}") {
            self.0.set_style(style.progress_chars("=> "));
        }
        self.0.set_length(u64::try_from(total).unwrap_or(u64::MAX));
        self.0.set_position(0);
    }

    fn placed(&self, package: &PackageId) {
        // Names come from a registry: only such as passed the check of names are ever shown.
        self.0.set_message(package.to_string());
        self.0.inc(1);
    }

    fn finished(&self) {
        self.0.finish_and_clear();
    }
}
