//! What is written reads back, whatever came, and also when the writer dies.

use std::fs::File;
use std::path::PathBuf;

use super::file::{counters_path, open};
use super::line::{Attempt, Integrity, Line};
use super::quota::Lane;
use super::testing::LogBuilder;
use super::writer::EvidenceWriter;

/// Numbers that are the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
    writer: EvidenceWriter,
}

impl Written {
    fn new(quota: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let create = |path: &PathBuf| File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let writer = EvidenceWriter::new(create(&path), &create(&counters_path(&path)), quota, u64::MAX).unwrap();
        Self { _folder: folder, path, writer }
    }

    fn record(&mut self, attempt: &Attempt) {
        self.writer.received();
        self.writer.record(attempt.clone(), Lane::Plain).unwrap();
    }
}

/// A header, and attempts that differ.
fn sample(count: usize) -> (Box<super::Header>, Vec<Attempt>) {
    let names: Vec<_> = (0..count).map(|at| format!("n{at}.invalid")).collect();
    let log = LogBuilder::new().build_script("u", |u| names.iter().fold(u, |u, name| u.dns(name.as_str())));
    let mut lines = log.lines().into_iter();
    let Some(Line::Header(header)) = lines.next() else { panic!("no header") };
    let attempts = lines.filter_map(|line| if let Line::Attempt(attempt) = line { Some(*attempt) } else { None });
    (header, attempts.collect())
}

#[test]
fn the_totals_account_for_every_call_in_whatever_order_they_come() {
    let (header, attempts) = sample(12);
    for seed in 1..30 {
        let mut numbers = Numbers(seed);
        let mut written = Written::new(numbers.below(14));
        // Our own self-test comes before the header.
        let early = numbers.below(4);
        for at in 0..early + 60 {
            if at == early {
                written.writer.open(header.as_ref().clone()).unwrap();
            }
            match usize::try_from(numbers.below(16)).unwrap() {
                which if which < attempts.len() => written.record(&attempts[which]),
                12 => written.writer.forget(attempts[0].unit),
                _ => {
                    written.writer.received();
                    written.writer.count("system");
                }
            }
        }
        written.writer.close().unwrap();
        let log = open(&written.path).unwrap().log;
        let totals = &log.totals;
        let told = totals.recorded + totals.coalesced + totals.counted + totals.dropped;
        assert_eq!(totals.received, told, "seed {seed}: {totals:?}");
        let tries: u64 = log.attempts().map(|attempt| attempt.count).sum();
        assert_eq!(tries, totals.recorded + totals.coalesced, "seed {seed}: {totals:?}");
        assert_eq!(totals.integrity == Integrity::Lossy, totals.dropped > 0);
    }
}

#[test]
fn a_writer_that_dies_leaves_its_counts() {
    let (header, attempts) = sample(3);
    let mut written = Written::new(10);
    written.writer.open(*header).unwrap();
    for which in [0, 1, 0, 0, 2, 1] {
        written.record(&attempts[which]);
    }
    drop(written.writer);
    let log = open(&written.path).unwrap().log;
    assert!(log.is_cut_off());
    assert_eq!(log.attempts().map(|attempt| attempt.count).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((log.totals.received, log.totals.recorded, log.totals.coalesced), (6, 3, 3));
}
