//! The lines of `evidence.jsonl`, as typed values.
//!
//! `docs/evidence-format.md` describes each field for readers of the file.
//! A file is one [`Header`], then any other lines in the order in which things
//! happened, then one [`Totals`]. A file without totals was cut off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::attempt::{
    Address, ArgState, Attempt, Base, Kind, Library, Object, Outcome, PathObject, ProgramFile, RESOLVERS, Recipient,
    Via,
};
use super::bytes::Bytes;
pub use super::fact::Fact;
pub use super::header::{
    DecoyClass, DecoyPath, Depth, EarlierRun, Features, Header, Layer, LayerStatus, Layout, MacroKind, MacroName,
    Package, PackageSource, PolicyRecord, Target, TargetKind, Tool, Toolchain,
};
pub use super::locked::{
    Change, LastPackage, LastRun, LeftOut, LeftOutWhy, LockConsumer, LockRecord, LockedPackage, LockedSource,
};
use crate::ids::{PackageId, Sha256Digest, UnitId};

/// The value of [`Header::format`].
pub const FORMAT: &str = "sandbox-check-evidence";
/// The newest version of the format, which is the one that is written.
pub const VERSION: u32 = 2;

/// One line of evidence. In JSON the field `line` names the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Header(Box<Header>),
    /// A unit started.
    UnitStart(UnitStart),
    /// A unit ended.
    UnitEnd(UnitEnd),
    /// A recorded try.
    Attempt(Box<Attempt>),
    /// What a build script told cargo.
    Directive(Directive),
    /// Bytes that a unit ran, sent or dropped.
    Artifact(Artifact),
    /// What is known about a package without running it.
    Fact(Fact),
    /// What came of driving one macro.
    Driven(Driven),
    /// The end of what a unit or cargo printed.
    Output(Output),
    /// What the runner itself has to say: coverage, limits, failures.
    Note(Note),
    /// The last line.
    Totals(Totals),
}

/// A unit started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStart {
    /// Its number.
    pub unit: UnitId,
    /// Nanoseconds since the run began.
    pub t: u64,
    /// What kind of work it is.
    pub kind: UnitKind,
    /// Whose code runs in it; absent for the self-test.
    pub package: Option<PackageId>,
    /// Crate name and cargo's hash, as in the file names of its outputs.
    pub name: String,
    /// The folders that it may write: outputs, `OUT_DIR`, `TMPDIR`, own source.
    pub places: Vec<Bytes>,
    /// The position of the earlier run that it was taken from, in the header; none if it ran in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<u32>,
}

impl UnitStart {
    /// See [`identity`].
    pub fn identity(&self) -> String {
        identity(self.kind, &self.name, &self.places.first().map(ToString::to_string).unwrap_or_default())
    }
}

/// What tells a unit from every other one of all runs with the same sources: `build/NAME-HASH` for the compilation of a
/// build script, `build/NAME-HASH/out` for its run, else crate name and hash. `place` is the first that it was given.
pub fn identity(kind: UnitKind, name: &str, place: &str) -> String {
    let mut parts = place.rsplit('/');
    match kind {
        UnitKind::RunBuildScript => parts.nth(1).map(|folder| format!("build/{folder}/out")),
        UnitKind::CompileBuildScript => parts.nth(1).map(|folder| format!("build/{folder}")),
        _ => None,
    }
    .unwrap_or_else(|| name.to_owned())
}

/// The kinds of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitKind {
    /// rustc on a library or program; macros that it uses run inside.
    Compile,
    /// rustc on a proc-macro library.
    CompileProcMacro,
    /// rustc on a build script.
    CompileBuildScript,
    /// A build script.
    RunBuildScript,
    /// rustc on the generated consumer, where the subject's macros run.
    CompileConsumer,
    /// One macro library alone in a server that expands its macros.
    DriveMacros,
    /// Our own proof that the layers hold.
    SelfTest,
}

/// A unit ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitEnd {
    /// Its number.
    pub unit: UnitId,
    /// Nanoseconds since the run began.
    pub t: u64,
    /// How it ended.
    pub outcome: UnitOutcome,
    /// Exit code or signal number, where the outcome has one.
    pub code: Option<i32>,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// Processes that were alive when its first process had ended, and that we killed.
    pub left_running: u32,
    /// Those of them that had a session of their own. (That a parent ended first cannot be told afterwards: at
    /// the program's end all that it left behind has the same parent.)
    #[serde(default)]
    pub left_detached: u32,
    /// Files in its output folder that cargo did not ask for; not published.
    #[serde(default)]
    pub refused_outputs: Vec<Bytes>,
    /// Files that cargo waited for and that were not there, although rustc ended with status 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_outputs: Vec<Bytes>,
    /// Messages about files that rustc does not write, or not twice; not passed on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub forged_messages: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How a unit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitOutcome {
    /// Exit status 0.
    Ok,
    /// Another exit status; see `code`.
    Failed,
    /// By a signal; see `code`.
    Signalled,
    /// By us: a limit, or the run was stopped.
    Killed,
}

/// A line that a build script printed for cargo, as cargo understood it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directive {
    /// The package whose script printed it.
    pub package: PackageId,
    /// `linked-lib`, `linked-path`, `cfg`, `env`.
    pub kind: String,
    /// The value; for `env` as `NAME=VALUE`.
    pub value: Bytes,
}

/// Bytes that were captured, and kept by hash as far as the bounds go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The unit that ran, wrote or sent them.
    pub unit: UnitId,
    /// Where the file lay inside the sandbox; of a message the address, as far as it is known.
    pub path: Bytes,
    /// Of the contents, or of their first bytes if `truncated` says so; absent when the bounds let nothing be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    /// Size in bytes.
    pub size: u64,
    /// Why they were captured.
    #[serde(default)]
    pub what: Captured,
    /// The number of the attempt that they belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// How many bytes lie under the digest beside the evidence; 0 beyond a bound.
    #[serde(default)]
    pub kept: u64,
    /// True if not all bytes were hashed, or only the first ones were kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Why bytes were captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Captured {
    /// A program that was to run.
    Program,
    /// A script that was to run, by itself or by an interpreter.
    Script,
    /// A message that was to be sent.
    Sent,
    /// What a macro made when it was driven, as source text.
    Expansion,
    /// A file that the unit wrote outside of its own places and that lay there when the unit ended.
    #[default]
    Dropped,
}

/// What came of driving one macro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driven {
    /// The last unit that it was driven in.
    pub unit: UnitId,
    /// Whose macro it is.
    pub package: PackageId,
    /// The macro's name.
    pub name: String,
    /// Which of the three kinds.
    pub kind: MacroKind,
    /// What came of its inputs.
    #[serde(flatten)]
    pub inputs: DrivenInputs,
    /// What stands in its output beside ordinary code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makes: Vec<Made>,
}

/// Something in the output of a macro.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// What it is.
    pub what: MadeWhat,
    /// The path, the variable's name, the section, or the beginning of the literal.
    pub text: String,
}

/// What stands in the output of a macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeWhat {
    /// A file that the compiler or the assembler would read, as it is written; `${NAME}` is a variable.
    Reads,
    /// More such files than are told one by one.
    ReadsMore,
    /// A variable that the compiler would read.
    Variable,
    /// Code that would run before or after `main`.
    Constructor,
    /// A literal that begins as a program does.
    Program,
}

/// How many inputs of one macro ended in which way. All but `died`, `timed_out` and `skipped` is what the server said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrivenInputs {
    /// It made tokens.
    pub clean: u32,
    /// It made tokens with `compile_error!` among them.
    pub refused: u32,
    /// It panicked.
    pub panicked: u32,
    /// It ended the server.
    pub died: u32,
    /// It made no answer in time.
    pub timed_out: u32,
    /// The server's answer was none.
    pub garbled: u32,
    /// It was not tried, after it had spoiled too much.
    pub skipped: u32,
}

impl DrivenInputs {
    /// True if the macro ran to an end of its own with at least one input.
    pub fn has_answered(&self) -> bool {
        self.clean > 0 || self.refused > 0 || self.panicked > 0
    }
}

/// The end of what was printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The unit; absent for cargo itself.
    pub unit: Option<UnitId>,
    /// The package whose message it is, if known.
    pub package: Option<PackageId>,
    /// `stdout`, `stderr` or `diagnostic`.
    pub stream: String,
    /// The last bytes.
    pub tail: Bytes,
}

/// What the runner itself has to say. `code` is one of [`note`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// One of the constants of [`note`].
    pub code: String,
    /// The package that it is about.
    pub package: Option<PackageId>,
    /// The unit that it is about.
    pub unit: Option<UnitId>,
    /// For people, complete.
    pub text: String,
    /// Of `limit-hit`: which limit, and its bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<HitLimit>,
}

/// A limit that was hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HitLimit {
    /// Its name, as on the command line.
    pub name: String,
    /// Its bound, in seconds, bytes or things.
    pub bound: u64,
}

/// The codes of [`Note`].
pub mod note {
    /// cargo ended; `text` is its exit status.
    pub const CARGO_EXIT: &str = "cargo-exit";
    /// A rustc opened a proc-macro library of `package`.
    pub const MACRO_LOADED: &str = "macro-loaded";
    /// A driver listed the macros of `package`'s library; `text` says how many.
    pub const MACROS_LISTED: &str = "macros-listed";
    /// They were not all listed or driven; `text` says why.
    pub const MACROS_UNLISTED: &str = "macros-unlisted";
    /// A layer is missing and the user waived it; `text` names it.
    pub const LAYER_WAIVED: &str = "layer-waived";
    /// A limit was hit; `text` says which.
    pub const LIMIT_HIT: &str = "limit-hit";
    /// The run was stopped by a signal to us.
    pub const KILLED: &str = "killed";
    /// Evidence was lost; `text` says how.
    pub const EVIDENCE_LOST: &str = "evidence-lost";
    /// A shim's request had not the shape that cargo gives it; `text` says what.
    pub const UNIT_REFUSED: &str = "unit-refused";
    /// The stub resolver was asked a name that no unit was seen to send; `text` is type and name.
    pub const UNSEEN_QUERY: &str = "unseen-query";
    /// The sources were refused, so nothing ran; a fact says why, and `text` what to do.
    pub const REFUSED: &str = "refused";
    /// A unit's announcement and cargo's messages disagree.
    pub const ATTRIBUTION_MISMATCH: &str = "attribution-mismatch";
    /// Nothing was built: only what is known without that was asked for.
    pub const FACTS_ONLY: &str = "facts-only";
    /// cargo found a unit finished and did not start it; `text` is the unit's identity.
    pub const UNIT_FRESH: &str = "unit-fresh";
    /// Something could not be captured; `text` says what and why.
    pub const CAPTURE_FAILED: &str = "capture-failed";
    /// A unit ran, sent or dropped more than is listed one by one.
    pub const CAPTURE_BOUND: &str = "capture-bound";
}

/// The closing line. A call is one notification, but each further question or message of a call
/// that carries several counts as a call of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Calls that the kernel delivered.
    pub received: u64,
    /// Attempts that stand as lines of their own.
    pub recorded: u64,
    /// Repeats of a recorded attempt.
    pub coalesced: u64,
    /// Dull reads that are counted by zone only.
    pub counted: u64,
    /// Attempts beyond a class's quota.
    pub dropped: u64,
    /// Calls whose arguments could not be read (recorded as well).
    pub unreadable: u64,
    /// Whether anything is missing.
    pub integrity: Integrity,
    /// By `seq`: how often the attempt was made, where more than once.
    #[serde(default, deserialize_with = "numbered")]
    pub counts: BTreeMap<u64, u64>,
    /// By zone: reads that were counted only.
    #[serde(default)]
    pub zones: BTreeMap<String, u64>,
    /// Of all bytes of the file before this line.
    pub sha256: Option<Sha256Digest>,
}

/// JSON has only text as keys, and a line is read into a buffer before its kind
/// is known, where serde does not turn text into numbers by itself.
fn numbered<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, u64>, D::Error> {
    BTreeMap::<String, u64>::deserialize(deserializer)?
        .into_iter()
        .map(|(key, value)| Ok((key.parse().map_err(serde::de::Error::custom)?, value)))
        .collect()
}

/// Whether a log is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Integrity {
    /// Nothing received is missing.
    Complete,
    /// Something was dropped; the totals say how much.
    Lossy,
    /// The supervisor ended before it could close the log.
    #[default]
    Killed,
}
