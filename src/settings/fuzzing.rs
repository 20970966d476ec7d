//! What must hold of the files of settings and of decisions: read, or refused by a sentence that names file and line.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "what does not hold ends the test or the fuzzer")]

use std::path::Path;

use super::config::understand;
use super::extended::Extended;
use super::limits;
use crate::decisions::{Text, has_decisions, parse};
use crate::judge::known_code;

/// The user's configuration, and the file that it shares with others.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for is_named in [false, true] {
        match understand(Path::new("/etc/f.toml"), "f.toml", text, is_named) {
            Ok((gifts, extends)) => {
                assert!(gifts.jobs != Some(0), "no job at a time");
                let lines = text.matches('\n').count() + 1;
                let places = gifts.env.iter().map(|given| &given.place);
                for place in places.chain(gifts.read.iter().map(|given| &given.place)) {
                    let line = place.strip_prefix("f.toml:").and_then(|rest| rest.strip_suffix(": "));
                    let line: usize = line.and_then(|line| line.parse().ok()).expect("a place is a line");
                    assert!((1..=lines).contains(&line), "{place} of {lines} lines");
                }
                assert!(gifts.read.iter().all(|given| given.value.is_absolute()), "{:?}", gifts.read);
                if let Ok((_, shown)) = limits::limits(60, &gifts.limit) {
                    assert!(shown.len() <= gifts.limit.len(), "{shown:?}");
                }
                if let Some((word, line)) = extends {
                    assert!((1..=lines).contains(&line), "{line} of {lines} lines");
                    let _ = Extended::parse(&word);
                }
            }
            Err(error) => assert!(error.to_string().contains("f.toml"), "{error}"),
        }
    }
}

/// A file of decisions: nothing that it says hides what nobody may accept.
pub fn decisions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = u64::try_from(text.matches('\n').count()).unwrap_or(u64::MAX) + 1;
    for (may_have_settings, may_extend) in [(false, false), (true, true)] {
        let mut entries = Vec::new();
        let text = Text { file: "f.toml", text, codes: known_code, may_have_settings, may_extend };
        match parse(text, &mut entries) {
            Ok(extends) => {
                for entry in &entries {
                    assert!((1..=lines).contains(&entry.line), "{} of {lines} lines", entry.line);
                    assert!(entry.severity < crate::policy::Severity::Critical, "{entry:?}");
                    assert!(!entry.reason.trim().is_empty() && !entry.package.is_empty(), "{entry:?}");
                }
                assert!(extends.is_none() || may_extend, "{extends:?}");
                assert!(has_decisions(text.text) || entries.is_empty(), "decisions that are not seen");
            }
            Err(error) => assert!((1..=lines).contains(&error.line), "{error} of {lines} lines"),
        }
    }
}
