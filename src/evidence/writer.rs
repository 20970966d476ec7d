//! Writes `evidence.jsonl`: append only, one `write(2)` for each line, before
//! the call that the line is about is answered.
//!
//! Identical attempts of a unit are one line; how often they came is counted
//! in a shared mapping of a second file, indexed by `seq`, so that the counts
//! survive the writer. Which attempt still gets a line decides [`super::quota`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};

use sha2::{Digest as _, Sha256};

use super::format::Chain;
use super::line::{Attempt, Header, Integrity, Line, Totals, note};
use super::quota::{Lane, Place, Quota};
use crate::ids::{Sha256Digest, UnitId};
use crate::sys::counters::Counters;

/// How many attempts have a counter of their own (`seq` below this).
pub const COUNTERS: usize = 1 << 20;

/// The only writer of a log.
#[derive(Debug)]
pub struct EvidenceWriter {
    file: File,
    chain: Chain,
    counters: Counters,
    digest: Sha256,
    totals: Totals,
    quota: Quota,
    /// How long the file may become, and how long it is.
    limit: u64,
    written: u64,
    /// True once a line did not go in for that.
    full: bool,
    repeated: Vec<u64>,
    last: Option<u64>,
    buffer: Vec<u8>,
    /// Lines that came before the header: our own self-test's.
    held: Option<Vec<u8>>,
}

impl EvidenceWriter {
    /// Takes an empty file for lines and one for counters.
    ///
    /// # Errors
    /// When the counters cannot be mapped.
    pub fn new(file: File, counters: &File, quota: u64, limit: u64) -> io::Result<Self> {
        Ok(Self {
            file,
            chain: Chain::default(),
            counters: Counters::create(counters, COUNTERS)?,
            digest: Sha256::new(),
            totals: Totals::default(),
            quota: Quota::new(quota),
            limit,
            written: 0,
            full: false,
            repeated: Vec::new(),
            last: None,
            buffer: Vec::new(),
            held: Some(Vec::new()),
        })
    }

    /// Writes the header, which is the first line, and then what was held until it was known.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn open(&mut self, header: Header) -> io::Result<()> {
        let held = self.held.take().unwrap_or_default();
        self.write(&Line::Header(Box::new(header)))?;
        for line in held.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.buffer.clear();
            self.buffer.extend_from_slice(line);
            self.append()?;
        }
        Ok(())
    }

    /// Writes a line that is not an attempt. Beyond the limit it is left out if a unit can make many of its kind.
    ///
    /// # Errors
    /// When the file cannot take it, for example on a full disk. The run must not go on then.
    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        self.put(line).map(drop)
    }

    /// Writes a line if there is room for it: false if not.
    fn put(&mut self, line: &Line) -> io::Result<bool> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line)?;
        let length = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        if may_be_left_out(line) && (self.full || self.written.saturating_add(length) > self.limit) {
            self.full = true;
            return Ok(false);
        }
        if let Some(held) = &mut self.held {
            held.extend_from_slice(&self.buffer);
            held.push(b'\n');
        } else {
            self.append()?;
        }
        Ok(true)
    }

    /// Seals the line in the buffer and gives it to the file in one call.
    fn append(&mut self) -> io::Result<()> {
        self.chain.seal(&mut self.buffer);
        self.buffer.push(b'\n');
        self.file.write_all(&self.buffer)?;
        self.digest.update(&self.buffer);
        self.written = self.written.saturating_add(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// True once a line was left out because the file may not grow any more.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Notes that there is an attempt: one for each notification, and one more for each further message of a
    /// list and each argument that changed. Each ends in exactly one of [`Self::record`] and [`Self::count`].
    pub fn received(&mut self) {
        self.totals.received += 1;
    }

    /// Records an attempt, or counts it if an identical one stands already. `seq` is filled in.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn record(&mut self, mut attempt: Attempt, lane: Lane) -> io::Result<()> {
        if attempt.arg_state == super::line::ArgState::Unreadable {
            self.totals.unreadable += 1;
        }
        self.last = None;
        match self.quota.place(&attempt, lane) {
            Place::Repeat(seq) => {
                self.totals.coalesced += 1;
                self.last = Some(seq);
                self.repeat(seq);
                Ok(())
            }
            Place::Beyond => {
                self.totals.dropped += 1;
                Ok(())
            }
            Place::New(ticket) => {
                let seq = self.totals.recorded + 1;
                attempt.seq = seq;
                if !self.put(&Line::Attempt(Box::new(attempt)))? {
                    self.totals.dropped += 1;
                    return Ok(());
                }
                self.totals.recorded = seq;
                self.quota.admit(ticket, seq);
                self.last = Some(seq);
                self.repeat(seq);
                Ok(())
            }
        }
    }

    /// The number of the attempt that stands for what [`Self::record`] was given last; none if that was dropped.
    pub fn last_seq(&self) -> Option<u64> {
        self.last
    }

    /// Counts a dull attempt by zone.
    pub fn count(&mut self, zone: &'static str) {
        self.totals.counted += 1;
        match self.totals.zones.get_mut(zone) {
            Some(count) => *count += 1,
            None => {
                self.totals.zones.insert(zone.to_owned(), 1);
            }
        }
    }

    /// Lets go of what is only needed while a unit lives.
    pub fn forget(&mut self, unit: UnitId) {
        self.quota.forget(unit);
    }

    /// Attempts that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.totals.dropped
    }

    /// Writes the closing line.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn close(mut self) -> io::Result<()> {
        let counts: BTreeMap<u64, u64> =
            self.repeated.iter().map(|seq| (*seq, index(*seq).map_or(0, |at| self.counters.get(at)))).collect();
        let integrity = if self.totals.dropped == 0 { Integrity::Complete } else { Integrity::Lossy };
        let sha256 = Some(Sha256Digest(self.digest.clone().finalize().into()));
        let totals = Totals { integrity, counts, sha256, ..self.totals.clone() };
        self.write(&Line::Totals(totals))?;
        self.file.sync_data()
    }

    /// Writes lines of another log and its totals, which are about its attempts, and ends.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn close_as(mut self, lines: &[Line], totals: &Totals) -> io::Result<()> {
        for line in lines {
            if let Line::Attempt(attempt) = line {
                // How often it was made stands in the totals.
                let once = Attempt { count: 1, ..attempt.as_ref().clone() };
                self.write(&Line::Attempt(Box::new(once)))?;
            } else {
                self.write(line)?;
            }
        }
        let sha256 = Some(Sha256Digest(self.digest.clone().finalize().into()));
        self.write(&Line::Totals(Totals { sha256, ..totals.clone() }))?;
        self.file.sync_data()
    }

    fn repeat(&mut self, seq: u64) {
        if let Some(at) = index(seq) {
            if self.counters.get(at) == 1 {
                self.repeated.push(seq);
            }
            self.counters.add(at);
        }
    }
}

/// Lines of which a unit can make any number. The others are few, and without them the rest is not understood.
fn may_be_left_out(line: &Line) -> bool {
    match line {
        Line::Attempt(_) | Line::Directive(_) | Line::Artifact(_) | Line::Output(_) => true,
        Line::Note(said) => said.code == note::UNSEEN_QUERY,
        Line::Header(_) | Line::UnitStart(_) | Line::UnitEnd(_) | Line::Fact(_) | Line::Driven(_) | Line::Totals(_) => {
            false
        }
    }
}

fn index(seq: u64) -> Option<usize> {
    usize::try_from(seq).ok().filter(|at| *at < COUNTERS)
}
