//! Version 2: each line ends with its link of a chain over all bytes before it.
//!
//! A link is the beginning of the SHA-256 of the link before and of the line up
//! to its own. So a line that was changed, added, moved or removed is found where
//! it stands, also in a log without totals. There is no key: who computes the
//! links anew is not found.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use super::{Version, Wrong};
use crate::evidence::line::Line;

/// Bytes of a link.
const LINK: usize = 16;
/// What stands before a link, in the place of the object's closing brace.
const BEFORE: &[u8] = b",\"chain\":\"";
/// What stands after it.
const AFTER: &[u8] = b"\"}";

/// What is said of a line whose link is not the one that its bytes come to.
pub(super) const BROKEN: &str = "its link does not follow from this line and those before it";

/// The link of the line before; zeros before the first.
#[derive(Debug, Default)]
pub(in crate::evidence) struct Chain([u8; LINK]);

impl Chain {
    /// Adds the link to a line: a JSON object without a line end.
    pub(in crate::evidence) fn seal(&mut self, line: &mut Vec<u8>) {
        // The closing brace.
        line.pop();
        self.follow(line);
        line.extend_from_slice(BEFORE);
        line.extend_from_slice(&self.text());
        line.extend_from_slice(AFTER);
    }

    /// Checks the link of the next line and takes it off.
    fn open(&mut self, line: &mut Vec<u8>) -> Result<(), &'static str> {
        let (body, stated) = body_of(line).ok_or("it does not end with its link of the chain")?;
        self.follow(body);
        if *stated != self.text() {
            return Err(BROKEN);
        }
        let length = body.len();
        line.truncate(length);
        line.push(b'}');
        Ok(())
    }

    fn follow(&mut self, body: &[u8]) {
        let digest = Sha256::new().chain_update(self.0).chain_update(body).finalize();
        self.0.iter_mut().zip(digest).for_each(|(own, new)| *own = new);
    }

    fn text(&self) -> [u8; 2 * LINK] {
        let mut text = [0; 2 * LINK];
        for (digits, byte) in text.chunks_exact_mut(2).zip(self.0) {
            let mut digits = digits;
            // Two digits fit.
            let _ = write!(digits, "{byte:02x}");
        }
        text
    }
}

impl Version for Chain {
    fn line(&mut self, bytes: &mut Vec<u8>) -> Result<Line, Wrong> {
        self.open(bytes).map_err(Wrong::Damaged)?;
        serde_json::from_slice(bytes).map_err(Wrong::Syntax)
    }
}

/// The part of a line that its link covers, and the link; none if it does not end with one.
pub(super) fn body_of(line: &[u8]) -> Option<(&[u8], &[u8; 2 * LINK])> {
    let (rest, stated) = line.strip_suffix(AFTER)?.split_last_chunk()?;
    let is_hex = stated.iter().all(u8::is_ascii_hexdigit);
    rest.strip_suffix(BEFORE).filter(|_| is_hex).map(|body| (body, stated))
}

/// True for a first line that has a link and is not what the link was made for.
pub(super) fn is_broken_beginning(line: &[u8]) -> bool {
    Chain::default().open(&mut line.to_vec()) == Err(BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As docs/evidence-format.md describes it, by hand.
    #[test]
    fn a_link_is_the_digest_of_the_link_before_and_of_the_line_up_to_its_own() {
        let (mut chain, mut before) = (Chain::default(), [0; LINK]);
        for body in ["{\"line\":\"note\"", "{\"line\":\"note\",\"text\":\"b\""] {
            let mut line = format!("{body}}}").into_bytes();
            chain.seal(&mut line);
            let mut hashed = before.to_vec();
            hashed.extend_from_slice(body.as_bytes());
            before.copy_from_slice(&Sha256::digest(&hashed)[..LINK]);
            let hex = format!("{:032x}", u128::from_be_bytes(before));
            assert_eq!(String::from_utf8(line).unwrap(), format!("{body},\"chain\":\"{hex}\"}}"));
        }
    }

    #[test]
    fn a_line_opens_to_what_was_sealed() {
        let (mut writes, mut reads) = (Chain::default(), Chain::default());
        for text in ["{\"a\":1}", "{\"chain\":\"\"}", "{\"a\":\",\\\"chain\\\":\\\"\"}"] {
            let mut line = text.as_bytes().to_vec();
            writes.seal(&mut line);
            serde_json::from_slice::<serde_json::Value>(&line).unwrap();
            reads.open(&mut line).unwrap();
            assert_eq!(line, text.as_bytes());
        }
    }
}
