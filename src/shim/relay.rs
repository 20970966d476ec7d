//! Passes on what a unit prints, up to its limit. What comes later is read and thrown away, so that a
//! unit that prints without end neither waits nor fills cargo's memory.

use alloc::vec::Vec;

use crate::bare::calls;
use crate::directives::Lines;
use crate::protocol::OUTPUT_FULL;
use crate::unit::Granted;

/// How much a unit may still print.
pub(crate) struct Room<'a> {
    granted: &'a Granted,
    left: u64,
    is_full: bool,
}

impl<'a> Room<'a> {
    pub(crate) fn new(granted: &'a Granted) -> Self {
        Self { granted, left: granted.plan.output_limit, is_full: false }
    }

    /// Reads once: what may be passed on, `None` at the end of the stream.
    pub(crate) fn read<'b>(&mut self, from: usize, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let length = loop {
            match calls::read(from, buffer) {
                Ok(0) => return None,
                Ok(length) => break length,
                Err(calls::Errno(calls::EINTR)) => {}
                Err(_) => return None,
            }
        };
        if self.is_full || length as u64 > self.left {
            if !self.is_full {
                self.is_full = true;
                crate::unit::tell(self.granted, OUTPUT_FULL);
            }
            return Some(&[]);
        }
        self.left -= length as u64;
        Some(&buffer[..length])
    }
}

/// Passes each stream on until every writer is gone. What the first one tells cargo comes back.
pub(crate) fn relay(granted: &Granted, streams: [(usize, usize); 2]) -> Lines {
    let mut room = Room::new(granted);
    let mut lines = Lines::default();
    let mut buffer = alloc::vec![0_u8; 64 * 1024];
    let mut open: Vec<(usize, usize)> = streams.to_vec();
    while !open.is_empty() {
        let readable = match calls::wait_readable(&open.iter().map(|(from, _)| *from).collect::<Vec<_>>()) {
            Ok(readable) => readable,
            Err(calls::Errno(calls::EINTR)) => continue,
            Err(_) => break,
        };
        let mut at = 0;
        open.retain(|(from, to)| {
            at += 1;
            if !readable[at - 1] {
                return true;
            }
            let Some(bytes) = room.read(*from, &mut buffer) else { return false };
            calls::write_all(*to, bytes);
            if *to == streams[0].1 {
                lines.push(bytes);
            }
            true
        });
    }
    lines.end_line();
    lines
}
