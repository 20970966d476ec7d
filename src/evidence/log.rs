//! Reads `evidence.jsonl` back.
//!
//! The reader is strict: evidence that was edited, cut in the middle or written
//! by another version is an error, never a shorter log. Only the end may be
//! missing, because a run can be killed; such a log says so in its totals.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use sha2::{Digest as _, Sha256};

use super::format::{self, Wrong};
use super::line::{Attempt, FORMAT, Header, Integrity, Line, Totals, VERSION};
use crate::ids::Sha256Digest;

/// The longest line that is read. A header with a thousand packages has about 400 KiB.
pub const MAX_LINE: u64 = 8 * 1024 * 1024;

/// A whole log in memory, as judging needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceLog {
    /// The first line.
    pub header: Header,
    /// Everything between header and totals, in order, counts filled in.
    pub lines: Vec<Line>,
    /// The closing line; for a log that was cut off, what could be counted,
    /// with [`super::line::Integrity::Killed`].
    pub totals: Totals,
    /// Of all bytes of the file, when the log was read from one.
    pub sha256: Option<Sha256Digest>,
}

/// Why a log could not be read. Line numbers begin at 1.
#[derive(Debug, thiserror::Error)]
pub enum ReadLogError {
    /// The bytes could not be read.
    #[error("read line {line} of the evidence")]
    Read {
        /// The line.
        line: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is longer than [`MAX_LINE`].
    #[error("read line {line} of the evidence: it is longer than {MAX_LINE} bytes")]
    TooLong {
        /// The line.
        line: u64,
    },
    /// A line is not one of the known kinds, or its fields are wrong.
    #[error("understand line {line} of the evidence: {what}")]
    Syntax {
        /// The line.
        line: u64,
        /// What is wrong with it, and in which column.
        what: String,
    },
    /// The first line is not a header.
    #[error("find the header of the evidence in line 1")]
    NoHeader,
    /// The file says that it is something else.
    #[error(
        "read evidence of the format {format:?} version {version}: this program knows {FORMAT:?} to version {VERSION}"
    )]
    Format {
        /// What the header says.
        format: String,
        /// What the header says.
        version: u32,
    },
    /// A line stands where it cannot stand.
    #[error("read line {line} of the evidence: {what}")]
    Misplaced {
        /// The line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A line is not the one that was written there, or the totals do not fit what stands before them.
    #[error("trust line {line} of the evidence: it is damaged or was edited ({what})")]
    Damaged {
        /// The first line that does not fit.
        line: u64,
        /// What does not fit.
        what: String,
    },
}

impl ReadLogError {
    /// The parser saw one line and calls it the first.
    pub(super) fn syntax(line: u64, error: &serde_json::Error) -> Self {
        Self::Syntax { line, what: error.to_string().replacen(" at line 1 column ", " at column ", 1) }
    }
}

impl EvidenceLog {
    /// Reads a file of any version, a line at a time.
    ///
    /// `counters` are the counts of a run whose file has no totals, as [`Self::count_by`] takes them.
    pub fn read(mut input: impl BufRead, counters: Option<&[u64]>) -> Result<Self, ReadLogError> {
        let mut builder = Builder::default();
        let mut version = None;
        let mut hasher = Sha256::new();
        let mut buffer = Vec::new();
        loop {
            let line = builder.line + 1;
            buffer.clear();
            let read = |source| ReadLogError::Read { line, source };
            (&mut input).take(MAX_LINE + 1).read_until(b'\n', &mut buffer).map_err(read)?;
            if buffer.is_empty() {
                break;
            }
            let before = hasher.clone();
            hasher.update(&buffer);
            let ended = buffer.pop_if(|last| *last == b'\n').is_some();
            if !ended && u64::try_from(buffer.len()).unwrap_or(u64::MAX) > MAX_LINE {
                return Err(ReadLogError::TooLong { line });
            }
            let version = match &mut version {
                Some(version) => version,
                None => version.insert(format::begin(&buffer)?),
            };
            match version.line(&mut buffer) {
                Ok(value) => builder.push(value, || Some(Sha256Digest(before.finalize().into())))?,
                // A process that is killed while it writes leaves half a line at the very end.
                Err(_) if !ended && builder.header.is_some() && builder.totals.is_none() => {}
                Err(Wrong::Damaged(what)) => return Err(ReadLogError::Damaged { line, what: what.to_owned() }),
                Err(Wrong::Syntax(error)) => return Err(ReadLogError::syntax(line, &error)),
            }
        }
        let mut log = builder.finish()?;
        log.count_by(counters.unwrap_or_default());
        log.sha256 = Some(Sha256Digest(hasher.finalize().into()));
        Ok(log)
    }

    /// Builds a log from lines in memory: a header, other lines, perhaps totals.
    /// The digest of the totals is not checked, because there are no bytes.
    pub fn from_lines(lines: impl IntoIterator<Item = Line>) -> Result<Self, ReadLogError> {
        let mut builder = Builder::default();
        for mut line in lines {
            if let Line::Totals(totals) = &mut line {
                totals.sha256 = None;
            }
            builder.push(line, || None)?;
        }
        builder.finish()
    }

    /// True if the file had no totals: its writer was killed.
    pub fn is_cut_off(&self) -> bool {
        self.totals.integrity == Integrity::Killed && self.totals.sha256.is_none()
    }

    /// Takes the counts of a log that was cut off from the counters of its run, which are indexed by `seq`.
    /// Where there are totals, these say how often an attempt was made.
    pub fn count_by(&mut self, counters: &[u64]) {
        if !self.is_cut_off() {
            return;
        }
        let totals = &mut self.totals;
        (totals.coalesced, totals.counts) = (0, BTreeMap::new());
        for line in &mut self.lines {
            let Line::Attempt(attempt) = line else { continue };
            let counter = usize::try_from(attempt.seq).ok().and_then(|seq| counters.get(seq)).copied();
            attempt.count = counter.unwrap_or(1).max(1);
            if attempt.count > 1 {
                totals.counts.insert(attempt.seq, attempt.count);
                totals.coalesced = totals.coalesced.saturating_add(attempt.count - 1);
            }
        }
        totals.received = totals.recorded.saturating_add(totals.coalesced);
    }

    /// The attempts, in order.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.lines.iter().filter_map(|line| match line {
            Line::Attempt(attempt) => Some(attempt.as_ref()),
            _ => None,
        })
    }
}

#[derive(Default)]
struct Builder {
    line: u64,
    header: Option<Header>,
    lines: Vec<Line>,
    totals: Option<Totals>,
    last_seq: u64,
    attempts: u64,
}

impl Builder {
    /// `digest` is that of the file before this line, if there is a file.
    fn push(&mut self, value: Line, digest: impl FnOnce() -> Option<Sha256Digest>) -> Result<(), ReadLogError> {
        self.line += 1;
        let line = self.line;
        let misplaced = |what| ReadLogError::Misplaced { line, what };
        if self.totals.is_some() {
            return Err(misplaced("something follows the totals"));
        }
        match value {
            Line::Header(header) => {
                if self.header.is_some() {
                    return Err(misplaced("a second header"));
                }
                if header.format != FORMAT || format::reader(header.version).is_none() {
                    return Err(ReadLogError::Format { format: header.format, version: header.version });
                }
                self.header = Some(*header);
            }
            _ if self.header.is_none() => return Err(ReadLogError::NoHeader),
            Line::Totals(totals) => {
                let before = digest();
                if before.is_some() && totals.sha256 != before {
                    return Err(ReadLogError::Damaged {
                        line,
                        what: "the digest in its totals is not that of the lines before".to_owned(),
                    });
                }
                self.totals = Some(totals);
            }
            Line::Attempt(attempt) => {
                if attempt.seq <= self.last_seq {
                    return Err(misplaced("its number does not follow that of the attempt before"));
                }
                self.last_seq = attempt.seq;
                self.attempts += 1;
                self.lines.push(Line::Attempt(attempt));
            }
            other => self.lines.push(other),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<EvidenceLog, ReadLogError> {
        let header = self.header.take().ok_or(ReadLogError::NoHeader)?;
        let totals = match self.totals.take() {
            Some(totals) => {
                self.check(&totals)?;
                totals
            }
            // What can be said without the last line.
            None => Totals {
                received: self.attempts,
                recorded: self.attempts,
                integrity: Integrity::Killed,
                ..Totals::default()
            },
        };
        for line in &mut self.lines {
            if let Line::Attempt(attempt) = line {
                attempt.count = totals.counts.get(&attempt.seq).copied().unwrap_or(1);
            }
        }
        Ok(EvidenceLog { header, lines: self.lines, totals, sha256: None })
    }

    /// Totals that lie about the lines are worse than none.
    fn check(&self, totals: &Totals) -> Result<(), ReadLogError> {
        if totals.recorded != self.attempts {
            return Err(ReadLogError::Damaged {
                line: self.line,
                what: format!("its totals speak of {} attempts, {} are there", totals.recorded, self.attempts),
            });
        }
        for (&seq, &count) in &totals.counts {
            if seq == 0 || seq > self.last_seq || count == 0 {
                return Err(ReadLogError::Damaged {
                    line: self.line,
                    what: format!("its totals count an attempt {seq} that is not there"),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::{LogBuilder, text_of, text_of_version_1};

    fn whole() -> String {
        text_of(&LogBuilder::new().build_script("u", |u| u.dns("example.invalid").dns("b.invalid")).lines())
    }

    #[test]
    fn a_whole_log_reads_back_with_its_counts() {
        let text = text_of(&LogBuilder::new().build_script("u", |u| u.dns("a.invalid").repeated(7)).lines());
        let log = EvidenceLog::read(text.as_bytes(), None).unwrap();
        assert_eq!(log.totals.integrity, Integrity::Complete);
        assert_eq!(log.attempts().map(|a| a.count).collect::<Vec<_>>(), [7]);
        assert!(log.sha256.is_some());
    }

    #[test]
    fn a_log_whose_bytes_were_changed_is_damaged() {
        let text = whole().replace("example.invalid", "exemple.invalid");
        let error = EvidenceLog::read(text.as_bytes(), None).unwrap_err();
        assert!(matches!(error, ReadLogError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_log_without_totals_is_killed_and_takes_its_counts_from_the_counters() {
        let text = whole();
        let cut = &text[..=text.trim_end().rfind('\n').unwrap()];
        let log = EvidenceLog::read(cut.as_bytes(), Some(&[0, 5, 1])).unwrap();
        assert_eq!(log.totals.integrity, Integrity::Killed);
        assert_eq!(log.attempts().map(|a| a.count).collect::<Vec<_>>(), [5, 1]);
        assert_eq!((log.totals.received, log.totals.recorded, log.totals.coalesced), (6, 2, 4));
    }

    #[test]
    fn half_a_line_at_the_end_is_a_cut_and_in_the_middle_an_error_that_names_the_line() {
        let lines = LogBuilder::new().build_script("u", |u| u.dns("example.invalid").dns("b.invalid")).lines();
        for text in [text_of(&lines), text_of_version_1(&lines)] {
            let lines: Vec<_> = text.lines().collect();
            let half = format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..20]);
            let log = EvidenceLog::read(half.as_bytes(), None).unwrap();
            assert_eq!((log.lines.len(), log.totals.integrity), (1, Integrity::Killed));
            let middle = format!("{half}\n{}\n", lines[3]);
            let error = EvidenceLog::read(middle.as_bytes(), None).unwrap_err();
            let line = match error {
                ReadLogError::Damaged { line, .. } | ReadLogError::Syntax { line, .. } => line,
                other => panic!("{other}"),
            };
            assert_eq!(line, 3);
        }
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused_without_being_kept() {
        let endless = io::repeat(b'x');
        let error = EvidenceLog::read(io::BufReader::new(endless), None).unwrap_err();
        assert!(matches!(error, ReadLogError::TooLong { line: 1 }), "{error}");
    }

    #[test]
    fn another_version_a_second_header_and_a_line_after_the_totals_are_refused() {
        let newer = text_of(&LogBuilder::new().header(|header| header.version = 3).lines());
        assert!(matches!(
            EvidenceLog::read(newer.as_bytes(), None).unwrap_err(),
            ReadLogError::Format { version: 3, .. }
        ));
        let lines = LogBuilder::new().build_script("u", |u| u.dns("example.invalid")).lines();
        for (from, to, found) in [(0, 1, 2), (1, lines.len(), lines.len() + 1)] {
            let mut twice = lines.clone();
            twice.insert(to, lines[from].clone());
            match EvidenceLog::read(text_of(&twice).as_bytes(), None).unwrap_err() {
                ReadLogError::Misplaced { line, .. } => assert_eq!(line, u64::try_from(found).unwrap()),
                other => panic!("{other}"),
            }
        }
        assert!(matches!(EvidenceLog::read(&b""[..], None).unwrap_err(), ReadLogError::NoHeader));
    }

    #[test]
    fn attempts_out_of_order_are_refused() {
        let mut lines = LogBuilder::new().build_script("u", |u| u.dns("a.invalid").dns("b.invalid")).lines();
        lines.swap(2, 3);
        assert!(matches!(EvidenceLog::from_lines(lines).unwrap_err(), ReadLogError::Misplaced { line: 4, .. }));
    }
}
