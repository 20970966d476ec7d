//! What a person sees while the build runs: on standard error. On a terminal a line that changes, elsewhere, for a whole
//! lock file, a plain line every ten seconds.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::acquire::{Acquired, SourcePackage};
use crate::ids::counted;
use crate::sandbox::channel::Event;
use crate::ticker::Ticker;

/// How far a run is.
#[derive(Debug, Default)]
struct State {
    units_done: u64,
    units_running: u64,
    /// Packages that count and of which nothing more comes.
    finished: BTreeSet<String>,
    findings: Option<u64>,
    /// What began last.
    last: String,
}

/// Tells how far a run is until it is dropped.
#[derive(Debug)]
pub struct RunProgress {
    bar: ProgressBar,
    state: Arc<Mutex<State>>,
    /// The packages that count: those with something to run, or all where all is compiled; none where one package is checked.
    /// Some may be behind features that are off.
    packages: BTreeSet<String>,
    begun: Instant,
    ticker: Option<Ticker>,
}

impl RunProgress {
    /// Says nothing when `quiet`. `findings` tells how many there are by now; it may take a while.
    pub fn new(
        acquired: &Acquired,
        compiles_all: bool,
        quiet: bool,
        findings: impl Fn() -> Option<u64> + Send + 'static,
    ) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let shown = !quiet && is_terminal;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let is_lock = acquired.locked.is_some();
        let counts = |package: &&SourcePackage| compiles_all || package.build_script || package.proc_macro.is_some();
        let packages = acquired.packages.iter().filter(|_| is_lock).filter(counts);
        let packages: BTreeSet<_> = packages.map(|package| package.id.to_string()).collect();
        if let Ok(style) = ProgressStyle::with_template(template(is_lock, width())) {
            bar.set_style(style.progress_chars("=> "));
        }
        if is_lock {
            bar.set_length(count(&packages));
        }
        bar.set_prefix(end_of(&acquired.target.label()));
        if shown {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let state = Arc::new(Mutex::new(State::default()));
        let mut progress = Self { bar, state, packages, begun: Instant::now(), ticker: None };
        if is_lock && !quiet {
            progress.ticker = progress.tick(!is_terminal, acquired.target.label(), findings);
        }
        progress
    }

    /// Looks for findings and, without a terminal, tells the state.
    fn tick(&self, tells: bool, name: String, findings: impl Fn() -> Option<u64> + Send + 'static) -> Option<Ticker> {
        let (state, packages, begun) = (Arc::clone(&self.state), count(&self.packages), self.begun);
        let bar = self.bar.clone();
        let work = move || {
            let found = findings();
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.findings = found.or(state.findings);
            state.show(&bar, packages, begun.elapsed());
            if tells {
                let _ = writeln!(std::io::stderr(), "{name}: {}", state.line(packages, begun.elapsed()));
            }
        };
        Ticker::start("progress", work).ok()
    }

    /// Takes in an event.
    pub fn tell(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::UnitStarted { text } => {
                state.units_running += 1;
                state.last.clone_from(text);
            }
            Event::UnitEnded { .. } => {
                state.units_done += 1;
                state.units_running = state.units_running.saturating_sub(1);
            }
            Event::Finished { package } => {
                state.finished.extend(self.packages.get(package).cloned());
            }
            Event::Started { .. } => "the sandbox holds".clone_into(&mut state.last),
            Event::NeedsMapping | Event::Closed | Event::Failed { .. } => {}
        }
        state.show(&self.bar, count(&self.packages), self.begun.elapsed());
    }
}

impl State {
    fn done(&self) -> u64 {
        count(&self.finished)
    }

    /// Brings the bar up to date. What counts comes first: a narrow terminal cuts the rest.
    fn show(&self, bar: &ProgressBar, packages: u64, elapsed: Duration) {
        bar.set_position(self.done());
        bar.set_message(self.beside_the_bar(packages, elapsed));
    }

    /// What the bar itself does not say.
    fn beside_the_bar(&self, packages: u64, elapsed: Duration) -> String {
        let findings = self.findings.filter(|count| *count > 0).map(|count| counted(count, "finding"));
        let left = left(self.done(), packages, elapsed).map(|left| format!("{left} s left"));
        let running = (packages > 0).then(|| counted(self.units_running, "unit"));
        let units = (packages == 0).then(|| format!("{} units done", self.units_done));
        let last = Some(self.last.clone()).filter(|last| !last.is_empty());
        [findings, running, left, units, last].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// All of it in one line, without a word of any package's.
    fn line(&self, packages: u64, elapsed: Duration) -> String {
        let findings = match self.findings {
            None => String::new(),
            Some(count) => format!(", {} so far", counted(count, "finding")),
        };
        let left = left(self.done(), packages, elapsed);
        let left = left.map(|left| format!(", about {left} s left")).unwrap_or_default();
        let (done, running, units) = (self.done(), counted(self.units_running, "unit"), self.units_done);
        format!("{done} of at most {packages} packages done, {running} running, {units} done{findings}{left}")
    }
}

fn count(packages: &BTreeSet<String>) -> u64 {
    u64::try_from(packages.len()).unwrap_or(u64::MAX)
}

/// Columns of the terminal.
fn width() -> usize {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0))
}

/// The line that changes: name and bar only where there is room for them beside the numbers.
fn template(is_lock: bool, width: usize) -> &'static str {
    const ROOM: usize = 72;
    match (is_lock, width < ROOM) {
        (true, true) => "{spinner} {pos}/{len} {wide_msg}",
        (true, false) => "{spinner} {prefix} {elapsed} [{bar:16}] {pos}/{len} {wide_msg}",
        (false, true) => "{spinner} {elapsed} {wide_msg}",
        (false, false) => "{spinner} {prefix} {elapsed} {wide_msg}",
    }
}

/// The end of a name, which says most of a path.
fn end_of(name: &str) -> String {
    const LONGEST: usize = 24;
    let over = name.chars().count().saturating_sub(LONGEST);
    if over == 0 { name.to_owned() } else { format!("...{}", name.chars().skip(over + 3).collect::<String>()) }
}

/// Seconds, if the rest goes as fast as what was done; none while too little is known.
fn left(done: u64, all: u64, elapsed: Duration) -> Option<u64> {
    const LEAST: u64 = 3;
    let rest = all.checked_sub(done)?;
    (done >= LEAST).then(|| elapsed.as_secs().saturating_mul(rest) / done)
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        drop(self.ticker.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_shows_numbers_and_no_bar_and_a_long_name_its_end() {
        assert!(!template(true, 40).contains("bar") && template(true, 40).contains("{pos}/{len}"));
        assert!(template(true, 80).contains("{bar") && template(true, 80).contains("{prefix}"));
        assert_eq!(end_of("ws/Cargo.lock"), "ws/Cargo.lock");
        assert_eq!(end_of("a/very/long/way/to/some/Cargo.lock"), "...ay/to/some/Cargo.lock");
    }

    #[test]
    fn a_line_tells_packages_units_findings_and_the_time_left() {
        let mut state = State { units_done: 30, units_running: 2, findings: None, ..State::default() };
        state.finished.extend((0..10).map(|number| number.to_string()));
        let line = state.line(40, Duration::from_secs(20));
        assert_eq!(line, "10 of at most 40 packages done, 2 units running, 30 done, about 60 s left");
        state.findings = Some(1);
        assert!(state.line(40, Duration::from_secs(20)).contains(", 1 finding so far, about"));
        assert_eq!(
            state.beside_the_bar(40, Duration::from_secs(20)),
            "1 finding, 2 units, 60 s left",
            "a terminal of 40 columns has room for it"
        );
        assert_eq!(left(2, 40, Duration::from_secs(20)), None);
        assert_eq!(left(41, 40, Duration::from_secs(20)), None);
    }
}
