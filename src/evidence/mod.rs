//! What happened, for good: the attempts of one run, in order, never edited.
//!
//! [`mod@line`] holds the types of `evidence.jsonl`, [`log`] reads a file back
//! ([`mod@file`] by its path), [`writer`] makes one, and [`quota`] says what gets a line there.
//! [`store`] keeps captured bytes, [`captured`] lays them beside the file. [`known`] finds the file of an earlier run.

mod attempt;
pub mod baselines;
pub mod bytes;
pub mod captured;
#[cfg(test)]
mod damage_tests;
pub mod fact;
pub mod file;
mod format;
mod header;
pub mod known;
pub mod line;
mod locked;
pub mod log;
pub mod merged;
pub mod quota;
pub mod store;
#[cfg(test)]
pub mod testing;
pub mod time;
pub mod writer;
#[cfg(test)]
mod writer_tests;

pub use bytes::Bytes;
pub use line::{Attempt, Header, Kind, Line, Object};
pub use log::EvidenceLog;
