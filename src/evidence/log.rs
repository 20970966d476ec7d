//! Reads `evidence.jsonl` back.
//!
//! The reader is strict: evidence that was edited, cut in the middle or written
//! by another version is an error, never a shorter log. Only the end may be
//! missing, because a run can be killed; such a log says so in its totals.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use sha2::{Digest as _, Sha256};

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
    #[error("understand line {line} of the evidence")]
    Syntax {
        /// The line.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The first line is not a header.
    #[error("find the header of the evidence in line 1")]
    NoHeader,
    /// The file says that it is something else.
    #[error(
        "read evidence of the format {format:?} version {version}: this program knows {FORMAT:?} version {VERSION}"
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
    /// The totals do not fit what stands before them.
    #[error("trust the evidence: it is damaged or was edited ({what})")]
    Damaged {
        /// What does not fit.
        what: String,
    },
}

impl EvidenceLog {
    /// Reads a file.
    ///
    /// `counters` are the counts of a run whose file has no totals, indexed by
    /// `seq`: how often that attempt was made. They are ignored when there are totals.
    pub fn read(mut input: impl BufRead, counters: Option<&[u64]>) -> Result<Self, ReadLogError> {
        let mut builder = Builder::default();
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
            let ended = buffer.last() == Some(&b'\n');
            if !ended && u64::try_from(buffer.len()).unwrap_or(u64::MAX) > MAX_LINE {
                return Err(ReadLogError::TooLong { line });
            }
            match serde_json::from_slice::<Line>(&buffer) {
                Ok(value) => {
                    builder.push(value, || Sha256Digest(hasher.clone().finalize().into()))?;
                }
                // A process that is killed while it writes leaves half a line at the very end.
                Err(_) if !ended && builder.header.is_some() && builder.totals.is_none() => {}
                Err(source) => return Err(ReadLogError::Syntax { line, source }),
            }
            hasher.update(&buffer);
        }
        let mut log = builder.finish(counters)?;
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
            builder.push(line, || Sha256Digest([0; 32]))?;
        }
        builder.finish(None)
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
    fn push(&mut self, value: Line, digest: impl FnOnce() -> Sha256Digest) -> Result<(), ReadLogError> {
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
                if header.format != FORMAT || header.version != VERSION {
                    return Err(ReadLogError::Format { format: header.format, version: header.version });
                }
                self.header = Some(*header);
            }
            _ if self.header.is_none() => return Err(ReadLogError::NoHeader),
            Line::Totals(totals) => {
                let before = digest();
                if totals.sha256.is_some_and(|stated| stated != before) {
                    return Err(ReadLogError::Damaged {
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

    fn finish(mut self, counters: Option<&[u64]>) -> Result<EvidenceLog, ReadLogError> {
        let header = self.header.take().ok_or(ReadLogError::NoHeader)?;
        let totals = match self.totals.take() {
            Some(totals) => {
                self.check(&totals)?;
                totals
            }
            None => self.cut_off(counters.unwrap_or_default()),
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
                what: format!("its totals speak of {} attempts, {} are there", totals.recorded, self.attempts),
            });
        }
        for (&seq, &count) in &totals.counts {
            if seq == 0 || seq > self.last_seq || count == 0 {
                return Err(ReadLogError::Damaged {
                    what: format!("its totals count an attempt {seq} that is not there"),
                });
            }
        }
        Ok(())
    }

    /// What can be said of a log without its last line.
    fn cut_off(&self, counters: &[u64]) -> Totals {
        let mut totals = Totals { recorded: self.attempts, integrity: Integrity::Killed, ..Totals::default() };
        let mut counts = BTreeMap::new();
        for line in &self.lines {
            let Line::Attempt(attempt) = line else { continue };
            let counter = usize::try_from(attempt.seq).ok().and_then(|seq| counters.get(seq)).copied();
            if let Some(count) = counter.filter(|&count| count > 1) {
                counts.insert(attempt.seq, count);
                totals.coalesced = totals.coalesced.saturating_add(count - 1);
            }
        }
        totals.received = totals.recorded.saturating_add(totals.coalesced);
        totals.counts = counts;
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::{LogBuilder, text_of};

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
    fn a_log_with_a_line_removed_is_damaged() {
        let text: Vec<_> = whole().lines().map(str::to_owned).collect();
        let kept: Vec<_> = text.iter().enumerate().filter(|(i, _)| *i != 3).map(|(_, l)| l.as_str()).collect();
        let kept = kept.join(
            "
",
        ) + "
";
        let error = EvidenceLog::read(kept.as_bytes(), None).unwrap_err();
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
        let text = whole();
        let lines: Vec<_> = text.lines().collect();
        let half = format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..20]);
        let log = EvidenceLog::read(half.as_bytes(), None).unwrap();
        assert_eq!((log.lines.len(), log.totals.integrity), (1, Integrity::Killed));
        let middle = format!("{half}\n{}\n", lines[3]);
        let error = EvidenceLog::read(middle.as_bytes(), None).unwrap_err();
        assert!(matches!(error, ReadLogError::Syntax { line: 3, .. }), "{error}");
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused_without_being_kept() {
        let endless = io::repeat(b'x');
        let error = EvidenceLog::read(io::BufReader::new(endless), None).unwrap_err();
        assert!(matches!(error, ReadLogError::TooLong { line: 1 }), "{error}");
    }

    #[test]
    fn another_version_a_second_header_and_a_line_after_the_totals_are_refused() {
        let newer = whole().replacen("\"version\":1", "\"version\":2", 1);
        assert!(matches!(
            EvidenceLog::read(newer.as_bytes(), None).unwrap_err(),
            ReadLogError::Format { version: 2, .. }
        ));
        let text = whole();
        let first = text.lines().next().unwrap();
        let twice = format!("{first}\n{text}");
        assert!(matches!(
            EvidenceLog::read(twice.as_bytes(), None).unwrap_err(),
            ReadLogError::Misplaced { line: 2, .. }
        ));
        let after = format!("{text}{}\n", text.lines().nth(1).unwrap());
        assert!(matches!(EvidenceLog::read(after.as_bytes(), None).unwrap_err(), ReadLogError::Misplaced { .. }));
        assert!(matches!(EvidenceLog::read(&b""[..], None).unwrap_err(), ReadLogError::NoHeader));
    }

    #[test]
    fn attempts_out_of_order_are_refused() {
        let mut lines = LogBuilder::new().build_script("u", |u| u.dns("a.invalid").dns("b.invalid")).lines();
        lines.swap(2, 3);
        assert!(matches!(EvidenceLog::from_lines(lines).unwrap_err(), ReadLogError::Misplaced { line: 4, .. }));
    }
}
