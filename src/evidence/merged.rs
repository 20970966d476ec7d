//! Puts evidence of earlier runs into the log of a run that took units from them.
//!
//! The lines of a taken unit come last, numbered anew, and its start names the run that they are from. What a unit tried
//! is not changed; times are those of its own run.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{ArgState, EarlierRun, Header, Line, Totals, note};
use super::log::EvidenceLog;
use crate::ids::{Sha256Digest, UnitId};

/// Units of an earlier run.
#[derive(Debug)]
pub struct Taken<'a> {
    /// Its log.
    pub log: &'a EvidenceLog,
    /// Of the log's file.
    pub sha256: Sha256Digest,
    /// Which of its units.
    pub units: BTreeSet<UnitId>,
}

/// The header, the lines and the totals of a log with those of the units that were taken.
pub fn merged(log: &EvidenceLog, taken: &[Taken<'_>]) -> (Header, Vec<Line>, Totals) {
    let last =
        log.lines.iter().filter_map(|line| if let Line::UnitStart(start) = line { Some(start.unit.0) } else { None });
    let mut all = Merge {
        header: log.header.clone(),
        lines: log.lines.clone(),
        totals: log.totals.clone(),
        unit: last.max().map_or(0, |last| last + 1),
        seq: log.attempts().map(|attempt| attempt.seq).max().unwrap_or(0),
    };
    for taken in taken {
        all.add(taken);
    }
    (all.header, all.lines, all.totals)
}

struct Merge {
    header: Header,
    lines: Vec<Line>,
    totals: Totals,
    /// The next one.
    unit: u32,
    /// The last one.
    seq: u64,
}

impl Merge {
    fn add(&mut self, taken: &Taken<'_>) {
        let (mut units, mut seqs) = (BTreeMap::new(), BTreeMap::new());
        for line in &taken.log.lines {
            let mut line = line.clone();
            let is_taken = match &mut line {
                Line::UnitStart(start) if taken.units.contains(&start.unit) => {
                    units.insert(start.unit, UnitId(self.unit));
                    start.unit = UnitId(self.unit);
                    start.earlier = Some(self.run(taken, start.earlier));
                    self.unit += 1;
                    true
                }
                Line::UnitEnd(end) => renumber(&units, &mut end.unit),
                Line::Attempt(attempt) => {
                    let is_taken = renumber(&units, &mut attempt.unit);
                    if is_taken {
                        self.seq += 1;
                        seqs.insert(attempt.seq, self.seq);
                        attempt.seq = self.seq;
                        self.count(attempt.count, attempt.arg_state);
                    }
                    is_taken
                }
                Line::Artifact(artifact) => {
                    artifact.attempt = artifact.attempt.and_then(|seq| seqs.get(&seq).copied());
                    renumber(&units, &mut artifact.unit)
                }
                Line::Driven(driven) => renumber(&units, &mut driven.unit),
                Line::Output(output) => output.unit.as_mut().is_some_and(|unit| renumber(&units, unit)),
                Line::Note(said) if said.code != note::UNIT_FRESH => {
                    said.unit.as_mut().is_some_and(|unit| renumber(&units, unit))
                }
                // What a script told cargo, cargo tells again. The rest is about the run, or of the day.
                Line::UnitStart(_)
                | Line::Note(_)
                | Line::Directive(_)
                | Line::Fact(_)
                | Line::Header(_)
                | Line::Totals(_) => false,
            };
            if is_taken {
                self.lines.push(line);
            }
        }
    }

    fn count(&mut self, count: u64, state: ArgState) {
        self.totals.received += count;
        self.totals.recorded += 1;
        self.totals.coalesced += count.saturating_sub(1);
        self.totals.unreadable += u64::from(state == ArgState::Unreadable);
        if count > 1 {
            self.totals.counts.insert(self.seq, count);
        }
    }

    /// The position of the run that a unit is from, which may itself be one that was taken from.
    fn run(&mut self, taken: &Taken<'_>, before: Option<u32>) -> u32 {
        let before = before.and_then(|at| taken.log.header.earlier_run(at));
        let own = EarlierRun { started: taken.log.header.started, sha256: taken.sha256 };
        let run = before.cloned().unwrap_or(own);
        let known = self.header.earlier.iter().position(|known| *known == run);
        let at = known.unwrap_or_else(|| {
            self.header.earlier.push(run);
            self.header.earlier.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }
}

/// Gives a taken unit its new number; false for another one.
fn renumber(units: &BTreeMap<UnitId, UnitId>, unit: &mut UnitId) -> bool {
    units.get(unit).is_some_and(|new| {
        *unit = *new;
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::LogBuilder;

    #[test]
    fn lines_of_taken_units_are_numbered_anew_and_say_where_they_are_from() {
        let earlier = LogBuilder::new()
            .build_script("old", |u| u.dns("a.invalid").dns("b.invalid"))
            .build_script("other", |u| u.dns("c.invalid"))
            .log();
        let log = LogBuilder::new().build_script("new", |u| u.dns("d.invalid")).log();
        let start = |log: &EvidenceLog, is_old: bool| {
            log.lines.iter().find_map(|line| match line {
                Line::UnitStart(start) if start.earlier.is_some() == is_old => Some(start.clone()),
                _ => None,
            })
        };
        let old = start(&earlier, false).unwrap();
        let taken = Taken { log: &earlier, sha256: Sha256Digest([1; 32]), units: [old.unit].into() };
        let (header, lines, totals) = merged(&log, &[taken]);
        assert_eq!(header.earlier, [EarlierRun { started: earlier.header.started, sha256: Sha256Digest([1; 32]) }]);
        let lines = std::iter::once(Line::Header(Box::new(header))).chain(lines).chain([Line::Totals(totals)]);
        let both = EvidenceLog::from_lines(lines).unwrap();
        let (old, new) = (start(&both, true).unwrap(), start(&both, false).unwrap());
        assert!(old.unit > new.unit && old.earlier == Some(0));
        let seqs: Vec<_> = both.attempts().map(|attempt| (attempt.seq, attempt.unit)).collect();
        assert_eq!(seqs, [(1, new.unit), (2, old.unit), (3, old.unit)]);
        // A run that takes them from there names the first one.
        let taken = Taken { log: &both, sha256: Sha256Digest([2; 32]), units: [old.unit, new.unit].into() };
        let (header, ..) = merged(&log, &[taken]);
        let of = |byte: u8| header.earlier.iter().position(|run| run.sha256 == Sha256Digest([byte; 32]));
        assert_eq!((of(1), of(2)), (Some(1), Some(0)));
    }
}
