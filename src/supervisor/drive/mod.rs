//! Drives a macro library: lists its macros and expands each with every input, one request at a time.
//!
//! The library is alone in a `rust-analyzer-proc-macro-srv` of the same toolchain, which is a unit of its own. What
//! comes back is the library's to forge, so an answer decides nothing but what is asked next; which request is in
//! flight is known from what was sent. After each expansion the server is asked for its version: an answer too many or
//! too few shows there. A server that died, was silent too long or answered nonsense is given up, and another one goes
//! on with the next input.
//!
//! Pure: the event loop does the reading and writing (`event_loop/drivers.rs`).

mod answer;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod shapes;
mod tokens;

use std::time::{Duration, Instant};

use serde_json::json;

use self::answer::Answer;
use self::shapes::Shape;
use crate::evidence::line::{Driven, DrivenInputs, MacroKind, MacroName};
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
    /// How many macros the library told, once it did.
    pub(super) listed: Option<usize>,
    /// Why the library told no macros.
    pub(super) unlisted: Option<String>,
}

impl Job {
    pub(super) fn new(package: PackageId, name: String, library: String, consumer: String) -> Self {
        let (macros, at, tally, output) = (None, (0, 0), DrivenInputs::default(), String::new());
        Self { package, name, library, consumer, macros, at, tally, output, servers: 0 }
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
            Expects::Version | Expects::List => Some("loading".to_owned()),
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
                Next::Send(self::line(&json!({"ListMacros": {"dylib_path": self.job.library}})))
            }
            (Expects::List, Some(Answer::ListMacros(Ok(listed)))) => {
                let macros = answer::macros(listed);
                self.listed = Some(macros.len());
                self.job.macros = Some(macros);
                self.choose_shapes();
                self.ask(now)
            }
            (Expects::Expansion, Some(Answer::ExpandMacro(expanded))) => {
                let output = &mut self.job.output;
                self.expects = Expects::Sync(match expanded {
                    Ok(tree) => {
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
            let none = json!({"def_site": 0, "call_site": 0, "mixed_site": 0});
            let request = json!({"ExpandMacro": {
                "lib": self.job.library,
                "env": [
                    ["CARGO_MANIFEST_DIR", self.job.consumer],
                    ["CARGO_MANIFEST_PATH", format!("{}/Cargo.toml", self.job.consumer)],
                    ["CARGO_PKG_NAME", "sample"], ["CARGO_CRATE_NAME", "sample"], ["CARGO_PKG_VERSION", "0.1.0"],
                ],
                "current_dir": self.job.consumer,
                "macro_body": shape.body,
                "macro_name": name.name,
                "attributes": shape.arguments,
                "has_global_spans": none,
                "span_data_table": [],
            }});
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
            Expects::Version | Expects::List if self.job.macros.is_none() => {
                let how = match loss {
                    Loss::Died => "the library ended its driver while it was loaded",
                    Loss::TimedOut => "the library was not loaded in time",
                    Loss::Garbled => "the library's driver answered nonsense while it was loaded",
                };
                self.unlisted.get_or_insert_with(|| how.to_owned());
                self.job.macros = Some(Vec::new());
            }
            // Another server goes on, unless there were too many.
            Expects::Version | Expects::List | Expects::Nothing => {}
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
        let tried = u32::try_from(self.job.at.1).unwrap_or(u32::MAX);
        inputs.skipped = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX).saturating_sub(tried);
        let package = self.job.package.clone();
        let line = Driven { unit: self.unit, package, name: name.name, kind: name.kind, inputs };
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
mod tests {
    use super::*;

    fn driver() -> Driver {
        let job = Job::new(PackageId::new("m", "1.0.0"), "m-1".into(), "/t/libm.so".into(), "/c".into());
        Driver::new(UnitId(7), job, Instant::now())
    }

    fn feed(driver: &mut Driver, text: &str) -> Next {
        driver.take(format!("{text}\n").as_bytes(), Instant::now())
    }

    const VERSION: &str = r#"{"ApiVersionCheck":6}"#;
    const EMPTY: &str = r#"{"ExpandMacro":{"Ok":{"subtree":[0,0,0,0,0],"literal":[],"punct":[],"ident":[],"token_tree":[],"text":[]}}}"#;
    const PANIC: &str = r#"{"ExpandMacro":{"Err":"boo"}}"#;

    /// Up to the first expansion of a derive.
    fn listed() -> Driver {
        let mut driver = driver();
        assert!(matches!(feed(&mut driver, VERSION), Next::Send(_)));
        assert!(matches!(feed(&mut driver, r#"{"ListMacros":{"Ok":[["D","CustomDerive"]]}}"#), Next::Send(_)));
        assert_eq!((driver.listed, driver.doing().as_deref()), (Some(1), Some("derive D on unit struct")));
        driver
    }

    #[test]
    fn every_input_of_every_macro_is_asked_for_once() {
        let mut driver = listed();
        for round in 0..10 {
            assert_eq!(feed(&mut driver, if round == 3 { PANIC } else { EMPTY }), Next::Wait);
            let next = feed(&mut driver, VERSION);
            assert_eq!(next == Next::Finish, round == 9, "{next:?}");
        }
        let finished = driver.finished();
        let inputs = finished[0].line.inputs;
        assert_eq!((inputs.clean, inputs.panicked, inputs.skipped, finished.len()), (9, 1, 0, 1));
        assert!(driver.into_rest().is_none());
    }

    #[test]
    fn an_answer_too_many_or_too_few_gives_the_server_up_and_the_next_one_goes_on() {
        for nonsense in [VERSION, r#"{"ListMacros":{"Ok":[]}}"#] {
            let mut driver = listed();
            assert_eq!(feed(&mut driver, nonsense), Next::GiveUp, "{nonsense}");
            let rest = driver.into_rest().unwrap();
            assert_eq!((rest.at, rest.tally.garbled), ((0, 1), 1));
        }
        let mut driver = listed();
        assert_eq!(feed(&mut driver, EMPTY), Next::Wait);
        assert_eq!(feed(&mut driver, EMPTY), Next::GiveUp);
    }

    #[test]
    fn what_a_macro_prints_is_no_answer_and_takes_none_away() {
        let mut driver = listed();
        for printed in ["hello", "{\"a\":", ""] {
            assert_eq!(feed(&mut driver, printed), Next::Wait, "{printed}");
        }
        assert_eq!(feed(&mut driver, &format!("no end of line {EMPTY}")), Next::Wait);
        assert_eq!(feed(&mut driver, "hello"), Next::Wait);
        assert!(matches!(feed(&mut driver, VERSION), Next::Send(_)));
        assert_eq!((driver.job.at, driver.job.tally), ((0, 1), DrivenInputs { clean: 1, ..DrivenInputs::default() }));
        let line = "x".repeat(LONGEST_ANSWER / 4);
        let mut next = Next::Wait;
        for _ in 0..4 {
            next = feed(&mut driver, &line);
        }
        assert_eq!(next, Next::GiveUp, "that is no printing any more");
        assert_eq!(driver.into_rest().unwrap().tally.garbled, 1);
    }

    #[test]
    fn an_input_whose_server_is_lost_before_its_last_word_is_counted_once() {
        for has_answered in [false, true] {
            let mut driver = listed();
            if has_answered {
                assert_eq!(feed(&mut driver, EMPTY), Next::Wait);
            }
            assert_eq!(driver.lose(Loss::Died), Next::GiveUp);
            let mut driver = Driver::new(UnitId(8), driver.into_rest().unwrap(), Instant::now());
            let mut next = feed(&mut driver, VERSION);
            while next != Next::Finish {
                assert_eq!(feed(&mut driver, EMPTY), Next::Wait);
                next = feed(&mut driver, VERSION);
            }
            let inputs = driver.finished().remove(0).line.inputs;
            assert_eq!(inputs, DrivenInputs { clean: 9, died: 1, ..DrivenInputs::default() });
        }
    }

    #[test]
    fn a_macro_that_spoils_three_servers_or_is_silent_gets_no_further_input() {
        let mut driver = listed();
        for _ in 0..3 {
            assert_eq!(driver.lose(Loss::Died), Next::GiveUp);
            driver.expects = Expects::Expansion;
        }
        let inputs = driver.finished().remove(0).line.inputs;
        assert_eq!((inputs.died, inputs.skipped), (3, 7));

        let mut driver = listed();
        driver.lose(Loss::TimedOut);
        let inputs = driver.finished().remove(0).line.inputs;
        assert_eq!((inputs.timed_out, inputs.skipped), (1, 9));
        assert!(driver.into_rest().is_none());
    }

    #[test]
    fn a_library_that_ends_its_driver_while_it_is_loaded_is_not_tried_again() {
        let mut driver = driver();
        feed(&mut driver, VERSION);
        assert_eq!(driver.lose(Loss::Died), Next::GiveUp);
        assert!(driver.unlisted.is_some() && driver.into_rest().is_none());
    }

    #[test]
    fn an_answer_without_an_end_is_given_up() {
        let mut driver = listed();
        let piece = vec![b'x'; 1 << 20];
        let mut next = Next::Wait;
        for _ in 0..5 {
            next = driver.take(&piece, Instant::now());
        }
        assert_eq!(next, Next::GiveUp);
        assert!(driver.pending.len() <= LONGEST_ANSWER + piece.len());
    }
}

#[cfg(test)]
mod twins_tests;
