//! What happened, for good: the attempts of one run, in order, never edited.
//!
//! [`mod@line`] holds the types of `evidence.jsonl`, [`log`] reads a file back,
//! [`writer`] makes one. [`store`] keeps captured bytes, [`captured`] lays them beside the file.

mod attempt;
pub mod bytes;
pub mod captured;
pub mod line;
pub mod log;
pub mod store;
#[cfg(test)]
pub mod testing;
pub mod writer;

pub use bytes::Bytes;
pub use line::{Attempt, Header, Kind, Line, Object};
pub use log::EvidenceLog;
