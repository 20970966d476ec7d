//! Whatever happens to a file, it is an error or a log that was cut off, and never a shorter log that is whole.

use super::EvidenceLog;
use super::line::Integrity;
use super::log::ReadLogError;
use super::testing::{LogBuilder, text_of, text_of_version_1};

fn lines() -> Vec<super::Line> {
    let log = LogBuilder::new().header(|header| header.layout.decoys.clear());
    log.build_script("u", |u| u.dns("a.invalid").repeated(3).dns("b.invalid").dns("c.invalid")).lines()
}

/// The file, whole and without its totals.
fn files() -> [String; 2] {
    let whole = text_of(&lines());
    let cut = whole[..=whole.trim_end().rfind('\n').unwrap()].to_owned();
    [whole, cut]
}

fn joined<'l>(lines: impl IntoIterator<Item = &'l str>) -> String {
    lines.into_iter().flat_map(|line| [line, "\n"]).collect()
}

fn is_cut(bytes: &[u8]) -> bool {
    EvidenceLog::read(bytes, None).is_ok_and(|log| log.totals.integrity == Integrity::Killed)
}

/// The line that is named as damaged.
#[track_caller]
fn damaged(bytes: &[u8]) -> u64 {
    match EvidenceLog::read(bytes, None) {
        Err(ReadLogError::Damaged { line, .. }) => line,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_byte_is_an_error_wherever_it_stands() {
    for file in files() {
        for at in 0..file.len() {
            let mut bytes = file.clone().into_bytes();
            bytes[at] ^= 1 << (at % 8);
            match EvidenceLog::read(bytes.as_slice(), None) {
                Ok(log) => {
                    assert_eq!(log.totals.integrity, Integrity::Killed, "byte {at}");
                    assert_eq!(at, file.len() - 1, "only what ends the last line can be missing");
                }
                Err(ReadLogError::Damaged { line, .. } | ReadLogError::Syntax { line, .. }) => {
                    let stands = file[..at].matches('\n').count() + 1;
                    assert_eq!(line, u64::try_from(stands).unwrap(), "byte {at}");
                }
                Err(ReadLogError::NoHeader | ReadLogError::Format { .. }) if !file[..at].contains('\n') => {}
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
    }
}

#[test]
fn a_removed_line_is_an_error_unless_it_is_the_last() {
    for file in files() {
        let lines: Vec<_> = file.lines().collect();
        for gone in 0..lines.len() {
            let left = lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line);
            let text = joined(left);
            if gone == lines.len() - 1 {
                assert!(is_cut(text.as_bytes()));
            } else {
                assert_eq!(damaged(text.as_bytes()), u64::try_from(gone).unwrap() + 1);
            }
        }
    }
}

#[test]
fn lines_that_changed_places_or_stand_twice_are_an_error() {
    for file in files() {
        let lines: Vec<_> = file.lines().collect();
        for one in 0..lines.len() {
            for other in one + 1..lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(one, other);
                assert_eq!(damaged(joined(swapped).as_bytes()), u64::try_from(one).unwrap() + 1);
            }
            for at in 0..=lines.len() {
                let mut twice = lines.clone();
                twice.insert(at, lines[one]);
                // Before itself it stands right, and what follows does not.
                let first = if at == one { at + 1 } else { at };
                assert_eq!(damaged(joined(twice).as_bytes()), u64::try_from(first).unwrap() + 1);
            }
        }
    }
}

#[test]
fn a_line_of_another_s_hand_is_an_error() {
    for file in files() {
        let lines: Vec<_> = file.lines().collect();
        for at in 1..=lines.len() {
            let mut more = lines.clone();
            more.insert(
                at,
                "{\"line\":\"note\",\"code\":\"cargo-exit\",\"package\":null,\"unit\":null,\"text\":\"0\"}",
            );
            assert_eq!(damaged(joined(more).as_bytes()), u64::try_from(at).unwrap() + 1);
        }
    }
}

#[test]
fn a_file_that_ends_early_is_cut_off_and_never_whole() {
    let [whole, _] = files();
    let header = whole.find('\n').unwrap();
    for length in 0..whole.len() - 1 {
        let read = EvidenceLog::read(&whole.as_bytes()[..length], None);
        match read {
            Ok(log) => assert!(length >= header && log.totals.integrity == Integrity::Killed, "{length}"),
            Err(error) => assert!(length < header, "{length}: {error}"),
        }
    }
}

#[test]
fn the_digest_of_version_1_finds_damage_when_there_are_totals() {
    let whole = text_of_version_1(&lines());
    assert_eq!(EvidenceLog::read(whole.as_bytes(), None).unwrap().totals.integrity, Integrity::Complete);
    // The totals themselves are not part of it.
    for at in 0..=whole.trim_end().rfind('\n').unwrap() {
        let mut bytes = whole.clone().into_bytes();
        bytes[at] ^= 1 << (at % 8);
        let log = EvidenceLog::read(bytes.as_slice(), None);
        assert!(log.is_err() || is_cut(&bytes), "byte {at}");
    }
    let lines: Vec<_> = whole.lines().collect();
    for gone in 0..lines.len() - 1 {
        let left = joined(lines.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| *line));
        EvidenceLog::read(left.as_bytes(), None).unwrap_err();
    }
}

/// Nobody gets rid of the links by saying that there never were any.
#[test]
fn version_2_does_not_pass_for_version_1() {
    let [_, cut] = files();
    assert_eq!(damaged(cut.replacen("\"version\":2", "\"version\":1", 1).as_bytes()), 1);
}
