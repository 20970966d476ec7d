//! Drives a macro library: lists its macros and expands each with every input, one request at a time.
//!
//! The library is alone in a `rust-analyzer-proc-macro-srv` of the same toolchain, which is a unit of its own. What
//! comes back is the library's to forge, so an answer decides nothing but what is asked next; which request is in
//! flight is known from what was sent. After the list and after each expansion the server is asked for its version: an
//! answer too many or too few shows there. A server that died, was silent too long or answered nonsense is given up, and another one goes
//! on with the next input.
//!
//! Pure: the event loop does the reading and writing (`event_loop/drivers.rs`).

mod answer;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod output;
mod request;
mod shapes;
mod tokens;

use std::time::{Duration, Instant};

use serde_json::json;

use self::answer::Answer;
use self::shapes::Shape;
use crate::evidence::line::{Driven, DrivenInputs, MacroKind, MacroName, Made};
use crate::ids::{PackageId, UnitId};

/// Versions of the protocol that are spoken here (`ApiVersionCheck`): rustc 1.85 has 5, rustc 1.95 has 6.
const VERSIONS: [u32; 2] = [5, 6];
/// An expansion takes no longer.
const EXPANSION: Duration = Duration::from_secs(5);
/// Starting the server, and loading the library.
const LOADING: Duration = Duration::from_secs(30);
/// Bytes of one answer; a library that answers more is given up.
const LONGEST_ANSWER: usize = 4 << 20;
/// Bytes of rendered output that are kept of one macro.
const LONGEST_OUTPUT: usize = 64 << 10;
/// Servers that one macro may spoil.
const SPOILED: u32 = 3;
/// Servers that one library may have.
const SERVERS: u32 = 60;

/// One library, and how far its driving has come.
#[derive(Debug)]
pub(super) struct Job {
    /// Whose macros they are.
    pub(super) package: PackageId,
    /// Crate name and cargo's hash.
    pub(super) name: String,
    /// The file, inside.
    pub(super) library: String,
    /// Where the consumer lies.
    pub(super) consumer: String,
    /// None until the library was asked.
    macros: Option<Vec<MacroName>>,
    /// The macro, and the input.
    at: (usize, usize),
    /// What came of the macro so far, and what it made.
    tally: DrivenInputs,
    output: String,
    makes: Vec<Made>,
    servers: u32,
}

/// A macro that was driven, and what it made.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) line: Driven,
    pub(super) output: String,
}

/// What the event loop does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until more comes.
    Wait,
    /// Write this.
    Send(Vec<u8>),
    /// The library is done: the server may end.
    Finish,
    /// The server is of no use any more: end it.
    GiveUp,
}

/// Why there is nothing more to expect of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    Died,
    TimedOut,
    Garbled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Version,
    List,
    /// The answer that shows that there was one list and no more.
    Listed,
    Expansion,
    /// The answer that shows that there was one and no more. Until then the expansion counts for nothing: a server that
    /// is lost here spoiled its input, which is not to be counted twice.
    Sync(Expanded),
    Nothing,
}

/// What the server said of an expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expanded {
    Clean,
    Refused,
    Panicked,
}

/// A job on one server.
#[derive(Debug)]
pub(super) struct Driver {
    unit: UnitId,
    job: Job,
    shapes: Vec<Shape>,
    expects: Expects,
    pending: Vec<u8>,
    /// Bytes that the macro printed since the last request.
    printed: usize,
    /// When the answer is late.
    pub(super) deadline: Instant,
    finished: Vec<Finished>,
    /// The macros of an answer that is not yet known to be the only one.
    told: Vec<MacroName>,
    /// How many macros the library told, once it did.
    pub(super) listed: Option<usize>,
    /// Why the library told no macros.
    pub(super) unlisted: Option<String>,
}

impl Job {
    pub(super) fn new(package: PackageId, name: String, library: String, consumer: String) -> Self {
        let (macros, at, tally, output, makes) = (None, (0, 0), DrivenInputs::default(), String::new(), Vec::new());
        Self { package, name, library, consumer, macros, at, tally, output, makes, servers: 0 }
    }
}

impl Driver {
    pub(super) fn new(unit: UnitId, mut job: Job, now: Instant) -> Self {
        job.servers += 1;
        let mut driver = Self {
            unit,
            job,
            shapes: Vec::new(),
            expects: Expects::Version,
            pending: Vec::new(),
            printed: 0,
            deadline: now + LOADING,
            finished: Vec::new(),
            told: Vec::new(),
            listed: None,
            unlisted: None,
        };
        driver.choose_shapes();
        driver
    }

    /// The first request.
    pub(super) fn greeting() -> Vec<u8> {
        line(&json!({"ApiVersionCheck": {}}))
    }

    /// What is in flight, for the records: `derive Serialize on struct`.
    pub(super) fn doing(&self) -> Option<String> {
        match self.expects {
            Expects::Expansion | Expects::Sync(_) => {
                let (name, shape) = (self.current()?, self.shapes.get(self.job.at.1)?);
                let (kind, on) = match name.kind {
                    MacroKind::Derive => ("derive", "on"),
                    MacroKind::Attribute => ("attribute", "on"),
                    MacroKind::Function => ("macro", "with"),
                };
                Some(format!("{kind} {} {on} {}", name.name, shape.name))
            }
            Expects::Version | Expects::List | Expects::Listed => Some("loading".to_owned()),
            Expects::Nothing => None,
        }
    }

    /// Takes what the server wrote.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant) -> Next {
        self.pending.extend_from_slice(bytes);
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            match self.answer(&line, now) {
                Next::Wait => {}
                next => return next,
            }
        }
        if self.pending.len() > LONGEST_ANSWER { self.lose(Loss::Garbled) } else { Next::Wait }
    }

    fn answer(&mut self, line: &[u8], now: Instant) -> Next {
        match (self.expects, Answer::read(line)) {
            (Expects::Version, Some(Answer::ApiVersionCheck(version))) if VERSIONS.contains(&version) => {
                if self.job.macros.is_some() {
                    return self.ask(now);
                }
                self.expects = Expects::List;
                let request = self::line(&json!({"ListMacros": {"dylib_path": self.job.library}}));
                Next::Send([request, Self::greeting()].concat())
            }
            (Expects::List, Some(Answer::ListMacros(Ok(listed)))) => {
                self.told = answer::macros(listed);
                self.expects = Expects::Listed;
                Next::Wait
            }
            (Expects::Listed, Some(Answer::ApiVersionCheck(version))) if VERSIONS.contains(&version) => {
                let macros = std::mem::take(&mut self.told);
                self.listed = Some(macros.len());
                self.job.macros = Some(macros);
                self.choose_shapes();
                self.ask(now)
            }
            (Expects::Expansion, Some(Answer::ExpandMacro(expanded))) => {
                let output = &mut self.job.output;
                self.expects = Expects::Sync(match expanded {
                    Ok(tree) => {
                        output::look(&tree, &mut self.job.makes);
                        let room = LONGEST_OUTPUT.saturating_sub(output.len());
                        output.push_str(&tree.render(room));
                        if room > 0 {
                            output.push('\n');
                        }
                        if tree.names("compile_error") { Expanded::Refused } else { Expanded::Clean }
                    }
                    Err(_) => Expanded::Panicked,
                });
                Next::Wait
            }
            (Expects::Sync(expanded), Some(Answer::ApiVersionCheck(version))) if VERSIONS.contains(&version) => {
                let tally = &mut self.job.tally;
                match expanded {
                    Expanded::Clean => tally.clean += 1,
                    Expanded::Refused => tally.refused += 1,
                    Expanded::Panicked => tally.panicked += 1,
                }
                self.job.at.1 += 1;
                self.ask(now)
            }
            // A macro may print: its lines are no answers, as long as they are few.
            (Expects::Expansion | Expects::Sync(_), None) => {
                self.printed += line.len();
                if self.printed > LONGEST_ANSWER { self.lose(Loss::Garbled) } else { Next::Wait }
            }
            _ => self.lose(Loss::Garbled),
        }
    }

    /// The next request, or the end.
    fn ask(&mut self, now: Instant) -> Next {
        self.deadline = now + EXPANSION;
        self.printed = 0;
        while let Some(name) = self.current().cloned() {
            let Some(shape) = self.shapes.get(self.job.at.1) else {
                self.finish_macro();
                continue;
            };
            let request = request::expansion(&self.job.library, &self.job.consumer, &name.name, shape);
            self.expects = Expects::Expansion;
            return Next::Send([line(&request), Self::greeting()].concat());
        }
        self.expects = Expects::Nothing;
        Next::Finish
    }

    /// Nothing more comes of this server.
    pub(super) fn lose(&mut self, loss: Loss) -> Next {
        let was = std::mem::replace(&mut self.expects, Expects::Nothing);
        match was {
            Expects::Version | Expects::List | Expects::Listed if self.job.macros.is_none() => {
                let how = match loss {
                    Loss::Died => "the library ended its driver while it was loaded",
                    Loss::TimedOut => "the library was not loaded in time",
                    Loss::Garbled => "the library's driver answered nonsense while it was loaded",
                };
                self.unlisted.get_or_insert_with(|| how.to_owned());
                self.job.macros = Some(Vec::new());
            }
            // Another server goes on, unless there were too many.
            Expects::Version | Expects::List | Expects::Listed | Expects::Nothing => {}
            Expects::Expansion | Expects::Sync(_) => {
                let tally = &mut self.job.tally;
                match loss {
                    Loss::Died => tally.died += 1,
                    Loss::TimedOut => tally.timed_out += 1,
                    Loss::Garbled => tally.garbled += 1,
                }
                self.job.at.1 += 1;
                if tally.timed_out > 0 || tally.died + tally.garbled >= SPOILED {
                    self.finish_macro();
                }
            }
        }
        if self.job.servers >= SERVERS {
            while self.current().is_some() {
                self.finish_macro();
            }
        }
        Next::GiveUp
    }

    fn current(&self) -> Option<&MacroName> {
        self.job.macros.as_ref()?.get(self.job.at.0)
    }

    fn choose_shapes(&mut self) {
        self.shapes = self.current().map(|name| shapes::of(name.kind)).unwrap_or_default();
    }

    /// The macro gets no further input.
    fn finish_macro(&mut self) {
        let Some(name) = self.current().cloned() else { return };
        let mut inputs = std::mem::take(&mut self.job.tally);
        let output = std::mem::take(&mut self.job.output);
        let makes = std::mem::take(&mut self.job.makes);
        let tried = u32::try_from(self.job.at.1).unwrap_or(u32::MAX);
        inputs.skipped = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX).saturating_sub(tried);
        let package = self.job.package.clone();
        let line = Driven { unit: self.unit, package, name: name.name, kind: name.kind, inputs, makes };
        self.finished.push(Finished { line, output });
        self.job.at = (self.job.at.0 + 1, 0);
        self.choose_shapes();
    }

    /// Macros that were finished since the last time.
    pub(super) fn finished(&mut self) -> Vec<Finished> {
        std::mem::take(&mut self.finished)
    }

    /// What is left to do on another server.
    pub(super) fn into_rest(self) -> Option<Job> {
        self.current().is_some().then_some(self.job)
    }

    /// Whose macros they are.
    pub(super) fn package(&self) -> &PackageId {
        &self.job.package
    }
}

fn line(request: &serde_json::Value) -> Vec<u8> {
    format!("{request}\n").into_bytes()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twins_tests;
