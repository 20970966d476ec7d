//! The first line of `evidence.jsonl`: what was examined, with what, where it lies inside the sandbox.

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::locked::LockRecord;
use crate::ids::{PackageId, Sha256Digest};

/// What was examined, by what, under which layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`FORMAT`](super::line::FORMAT).
    pub format: String,
    /// The format's version, [`VERSION`](super::line::VERSION) when written.
    pub version: u32,
    /// The program that wrote the file.
    pub tool: Tool,
    /// What the user asked for.
    pub target: Target,
    /// Every package that the build could reach, the subject among them.
    pub packages: Vec<Package>,
    /// For each of them the positions of those that it needs. Empty where that is not known, and for a lock file, whose
    /// record has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Vec<u64>>,
    /// The toolchain that built them.
    pub toolchain: Toolchain,
    /// `uname -r` of the kernel.
    pub kernel: String,
    /// Each layer as the self-test proved it.
    pub layers: Vec<Layer>,
    /// Where things lie inside the sandbox.
    pub layout: Layout,
    /// Seconds since the Unix epoch at which the run began.
    pub started: u64,
    /// What the user let in: `env NAME`, `read PATH`. Printed in the report.
    #[serde(default)]
    pub given: Vec<String>,
    /// How much of the graph was built.
    #[serde(default)]
    pub depth: Depth,
    /// The policy that the run was made under. Since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRecord>,
    /// The runs from which finished units were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierRun>,
    /// Which features of the subject were on. Absent for a lock file, whose workspace decides, and in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
    /// The lock file whose packages are examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Box<LockRecord>>,
}

impl Header {
    /// A run whose finished units were taken, by its position.
    pub fn earlier_run(&self, at: u32) -> Option<&EarlierRun> {
        self.earlier.get(usize::try_from(at).ok()?)
    }

    /// The packages with the positions of those that each needs. Empty where that is not known.
    pub fn graph(&self) -> Vec<(&PackageId, &[u64])> {
        match &self.lock {
            Some(record) => record.packages.iter().map(|package| (&package.id, package.needs.as_slice())).collect(),
            None => self.packages.iter().zip(&self.needs).map(|(package, needs)| (&package.id, &needs[..])).collect(),
        }
    }
}

/// A run whose finished units were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierRun {
    /// Seconds since the Unix epoch at which it began.
    pub started: u64,
    /// Of the file with its evidence.
    pub sha256: Sha256Digest,
}

/// How much of the graph is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// What executes at build time: build scripts, macro libraries, and what these need.
    Build,
    /// All that `cargo check` compiles, so that macros meet their real inputs.
    #[default]
    Check,
}

/// Which features of one package were on: code behind another one was neither compiled nor run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Whether `default` was asked for.
    pub default: bool,
    /// What was asked for beside it.
    pub asked: Vec<String>,
    /// Those of the package that neither of these turns on.
    pub off: Vec<String>,
}

/// A policy, as evidence and reports tell it from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The name that it gives itself.
    pub name: String,
    /// Of its text.
    pub sha256: Sha256Digest,
}

/// A program and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `sandbox-check`.
    pub name: String,
    /// The version of the package.
    pub version: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Self {
        Self { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How it was named.
    pub kind: TargetKind,
    /// The subject's package name.
    pub name: String,
    /// The subject's version.
    pub version: String,
    /// Of the `.crate` file; absent for a directory.
    pub checksum: Option<Sha256Digest>,
}

/// How the user named the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// `name@version`.
    Release,
    /// A folder with a `Cargo.toml`.
    Directory,
    /// A `.crate` file.
    Archive,
    /// A `Cargo.lock`.
    Lock,
}

impl Target {
    /// How people call it: name and version, of a lock file its path alone.
    pub fn label(&self) -> String {
        if self.version.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.version) }
    }
}

/// One package of the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Name and version.
    pub id: PackageId,
    /// Where its source came from.
    pub source: PackageSource,
    /// Of its `.crate` file, when it had one.
    pub checksum: Option<Sha256Digest>,
    /// Its source folder inside the sandbox.
    pub dir: Bytes,
    /// True for the package that the user asked about.
    pub subject: bool,
    /// True if it has a build script.
    pub build_script: bool,
    /// The macros that its library exports, if it is a proc-macro package.
    pub proc_macro: Option<Vec<MacroName>>,
}

/// Where a package's source came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageSource {
    /// A registry.
    Registry,
    /// A folder that the user named.
    Directory,
    /// A `.crate` file that the user named.
    Archive,
    /// A commit of a git repository.
    Git,
    /// Generated by us: the consumer that uses the subject.
    Consumer,
}

/// A macro that a proc-macro library exports, found by reading its source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MacroName {
    /// How it is written at its use.
    pub name: String,
    /// Which of the three kinds.
    pub kind: MacroKind,
}

/// The three kinds of procedural macros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacroKind {
    /// `#[proc_macro]`.
    Function,
    /// `#[proc_macro_attribute]`.
    Attribute,
    /// `#[proc_macro_derive]`.
    Derive,
}

/// The toolchain, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// First line of `cargo -V`.
    pub cargo: String,
    /// First line of `rustc -V`.
    pub rustc: String,
    /// The host triple.
    pub host: String,
}

/// One layer of the sandbox, as it was proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `user-namespace`, `landlock`, `seccomp`, …
    pub name: String,
    /// What holds.
    pub status: LayerStatus,
    /// For people: an ABI number, what is missing.
    pub detail: String,
}

/// What holds of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerStatus {
    /// All of it.
    Full,
    /// Less than all, and the user waived the rest.
    Waived,
    /// Not in force.
    Missing,
}

/// Absolute paths inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// `$HOME`: decoys only, writable, thrown away.
    pub home: String,
    /// `$CARGO_HOME`: decoys and the registry's sources.
    pub cargo_home: String,
    /// The folder that holds each registry package as `name-version`.
    pub registry_src: String,
    /// The sysroot of the toolchain.
    pub toolchain: String,
    /// The parent folder of path sources.
    pub local_src: String,
    /// The generated project that uses the subject.
    pub consumer: String,
    /// The consumer's target directory.
    pub target_dir: String,
    /// The parent of each unit's own `TMPDIR`.
    pub tmp: String,
    /// The folder of our own static program.
    pub tool: String,
    /// What of the machine the user let in and does not come with the target. Nothing inside can write there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// What was planted.
    pub decoys: Vec<DecoyPath>,
}

/// A planted file, without its contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecoyPath {
    /// Absolute path inside the sandbox.
    pub path: String,
    /// What it imitates.
    pub class: DecoyClass,
}

/// What a decoy imitates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoyClass {
    /// Keys, tokens, wallets, browser profiles, shell history.
    Credential,
    /// `.gitconfig`, `.npmrc`, an ancestor's `.env` and the like.
    Config,
    /// Files that something starts from: shell start files, autostart.
    Startup,
    /// The consuming project's own files.
    Consumer,
    /// Anything else that makes a home look lived in.
    Plain,
}
