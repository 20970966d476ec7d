//! Carries out the plan and says what holds.
//!
//! The story: [`spec`] says it all as data → [`launch`] enters the namespaces,
//! builds the private root by [`mounts`] and enters the [`ruleset`] D1 → it becomes the
//! supervisor, its child seals itself ([`seal`], [`filter`] K) and becomes cargo. [`table`]
//! is the class of every system call, `bpf` makes a program of that.

mod bpf;
pub mod channel;
pub mod filter;
pub mod launch;
pub mod limits;
pub mod mounts;
pub mod ruleset;
pub mod run;
pub mod sabotage;
pub mod seal;
pub mod spec;
pub mod table;
