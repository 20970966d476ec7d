//! What will run, decided before anything runs.

pub mod consumer;
pub mod decoy;
pub mod macros;

/// The name of the generated package that uses the subject, as a lock file shows it.
pub const CONSUMER_NAME: &str = "orders-service";
