//! What will run, decided before anything runs.
//!
//! The story: [`layout`] says where things lie inside, [`decoy`] and [`environment`] make a home and
//! variables that look lived in, [`consumer`] generates the project that uses the subject ([`macros`] knows
//! which macros there are), [`root`] turns all of it into mounts, [`build`] into one spec.

pub mod build;
pub mod consumer;
pub mod decoy;
pub mod environment;
pub mod git;
pub mod layout;
pub mod macros;
pub mod persona;
pub mod random;
pub mod root;

/// The name of the generated package that uses the subject, as a lock file shows it.
pub const CONSUMER_NAME: &str = "orders-service";
