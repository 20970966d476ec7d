//! Randomness for decoys: seeded once, so that a run is fresh and a test is not.

use std::fs::File;
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A stream of random bytes: SHA-256 over a seed and a counter.
///
/// Good enough to make decoys that nobody can predict; nothing secret is ever
/// protected with it.
#[derive(Debug)]
pub struct Random {
    seed: [u8; 32],
    counter: u64,
    ready: Vec<u8>,
}

impl Random {
    /// Seeded by the kernel.
    pub fn from_system() -> io::Result<Self> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// The same seed gives the same bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0, ready: Vec::new() }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.ready.pop() {
                return byte;
            }
            let block = Sha256::new().chain_update(self.seed).chain_update(self.counter.to_le_bytes()).finalize();
            self.counter += 1;
            self.ready.extend_from_slice(&block);
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// A number below `limit`; 0 if `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let mut number = [0; 8];
        number.fill_with(|| self.byte());
        u64::from_le_bytes(number).checked_rem(limit).unwrap_or(0)
    }

    /// One of `choices`; empty if there are none.
    pub fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let index = self.below(u64::try_from(choices.len()).unwrap_or(0));
        usize::try_from(index).ok().and_then(|index| choices.get(index)).copied().unwrap_or_default()
    }

    /// `count` characters of an ASCII alphabet.
    pub fn text(&mut self, count: usize, alphabet: &[u8]) -> String {
        let limit = u64::try_from(alphabet.len()).unwrap_or(0);
        (0..count)
            .filter_map(|_| usize::try_from(self.below(limit)).ok().and_then(|index| alphabet.get(index)))
            .map(|&byte| char::from(byte))
            .collect()
    }

    /// `count` letters and digits.
    pub fn alphanumeric(&mut self, count: usize) -> String {
        self.text(count, ALPHANUMERIC)
    }

    /// `count` lower-case hexadecimal digits.
    pub fn hex(&mut self, count: usize) -> String {
        self.text(count, b"0123456789abcdef")
    }

    /// `count` decimal digits, the first not 0.
    pub fn digits(&mut self, count: usize) -> String {
        let first = self.text(count.min(1), b"123456789");
        first + &self.text(count.saturating_sub(1), b"0123456789")
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> String {
        let variant = self.pick(&["8", "9", "a", "b"]);
        format!("{}-{}-4{}-{variant}{}-{}", self.hex(8), self.hex(4), self.hex(3), self.hex(3), self.hex(12))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_repeats_and_another_does_not() {
        let sample = |seed| Random::from_seed([seed; 32]).alphanumeric(200);
        assert_eq!(sample(1), sample(1));
        assert_ne!(sample(1), sample(2));
    }

    #[test]
    fn two_seeds_of_the_system_differ() {
        let sample = || Random::from_system().unwrap().bytes(64);
        assert_ne!(sample(), sample());
    }

    #[test]
    fn empty_choices_do_no_harm() {
        let mut random = Random::from_seed([0; 32]);
        assert_eq!((random.below(0), random.pick(&[]), random.text(3, b"")), (0, "", String::new()));
    }

    #[test]
    fn a_uuid_has_its_form() {
        let uuid = Random::from_seed([3; 32]).uuid();
        assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'));
    }
}
