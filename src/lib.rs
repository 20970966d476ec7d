//! Builds a package's build scripts and proc macros in a sandbox without a
//! network and reports what that code tried to do.

pub mod acquire;
pub mod evidence;
pub mod exit;
pub mod ids;
pub mod judge;
pub mod plan;
pub mod policy;
pub mod report;
