//! The shape of a policy file, and its strict reading.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::DEFAULT;
use super::crates::CrateRule;
use super::pattern::{NamePattern, PathPattern, SuffixPattern};
use super::severity::Severity;
use crate::evidence::line::{PolicyRecord, UnitKind};
use crate::ids::Sha256Digest;

const FORMAT: &str = "sandbox-check-policy";
const VERSION: u32 = 1;

/// A policy, as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    format: String,
    version: u32,
    /// Of the text of the file.
    #[serde(skip, default = "unread")]
    sha256: Sha256Digest,
    /// Stands in the report.
    pub name: String,
    /// When many reads or removals become a sweep.
    #[serde(default)]
    pub sweeps: Sweeps,
    /// When what is known of a release is worth a word.
    #[serde(default)]
    pub facts: FactLimits,
    /// Folders whose programs are the system's or the toolchain's: nothing in the sandbox can write them.
    #[serde(default, rename = "system")]
    pub systems: Vec<SystemRule>,
    /// The programs that builds are known to start.
    #[serde(default, rename = "program")]
    pub programs: Vec<ProgramRule>,
    /// Where writing is ordinary outside a unit's own places.
    #[serde(default, rename = "write")]
    pub writes: Vec<WriteRule>,
    /// Keys, tokens, wallets.
    #[serde(default, rename = "secret")]
    pub secrets: Vec<SecretRule>,
    /// Settings that a tool reads for itself.
    #[serde(default, rename = "config")]
    pub configs: Vec<ConfigRule>,
    /// Files from which something starts later.
    #[serde(default, rename = "startup")]
    pub startups: Vec<StartupRule>,
    /// What identifies the machine or the sandbox.
    #[serde(default, rename = "host")]
    pub hosts: Vec<HostRule>,
    /// Sockets of daemons.
    #[serde(default, rename = "socket")]
    pub sockets: Vec<SocketRule>,
    /// Calls of well-known programs that would look bad from others.
    #[serde(default, rename = "exception")]
    pub exceptions: Vec<ExceptionRule>,
    /// What build scripts tell cargo.
    #[serde(default, rename = "directive")]
    pub directives: Vec<DirectiveRule>,
    /// What single crates are known to try.
    #[serde(default, rename = "crate")]
    pub crates: Vec<CrateRule>,
}

/// When many become a sweep. Distinct paths outside a unit's own places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweeps {
    /// So many distinct paths opened by one unit.
    pub reads: usize,
    /// So many distinct paths removed by one unit.
    pub removals: usize,
}

impl Default for Sweeps {
    fn default() -> Self {
        Self { reads: 24, removals: 10 }
    }
}

/// When what is known of a release is worth a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactLimits {
    /// A release is fresh for so many days.
    pub fresh_days: u64,
    /// A package is young for so many days after its first release.
    pub young_days: u64,
    /// It is established so many days after that: who takes a name to be mistaken for another is found out before.
    pub established_days: u64,
    /// A new dependency was made for a release if it is so many hours older at most.
    pub dependency_hours: u64,
    /// So many versions in a row that were withdrawn below a fresh release are a lure.
    pub lure_yanks: usize,
    /// Silence before a release is long after so many days.
    pub dormant_days: u64,
}

impl Default for FactLimits {
    fn default() -> Self {
        Self {
            fresh_days: 14,
            young_days: 90,
            established_days: 730,
            dependency_hours: 72,
            lure_yanks: 3,
            dormant_days: 730,
        }
    }
}

/// Folders of the system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemRule {
    /// The folders.
    pub below: Vec<PathPattern>,
    /// The reason.
    pub why: Spanned<String>,
}

/// What a known program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// rustc and rustdoc. Macros run inside, so its reads are judged.
    Rustc,
    /// cargo.
    Cargo,
    /// Compiles C and the like.
    Compiler,
    /// Links, archives, edits objects.
    Linker,
    /// Runs other programs by a description: make, ninja, cmake.
    Driver,
    /// A shell.
    Shell,
    /// Runs scripts: python, perl.
    Interpreter,
    /// git.
    Git,
    /// Copies files as they are.
    Copier,
    /// Everything that only computes or asks.
    Utility,
    /// Fetches from a network.
    Download,
}

/// Programs that builds are known to start, found in a folder of the system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramRule {
    /// What they are for.
    pub role: Role,
    /// File names.
    pub names: Vec<Spanned<NamePattern>>,
    /// The units that may start them without a finding; all when absent.
    #[serde(default)]
    pub units: Vec<UnitKind>,
    /// The reason.
    pub why: Spanned<String>,
}

/// Where writing is ordinary.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteRule {
    /// Exactly these.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// These folders and all below.
    #[serde(default)]
    pub below: Vec<PathPattern>,
    /// At any depth; only together with `roles`.
    #[serde(default)]
    pub suffix: Vec<SuffixPattern>,
    /// Only by programs of these roles; by all when absent.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// A finding of this severity all the same; none when absent.
    pub severity: Option<Severity>,
    /// The reason.
    pub why: Spanned<String>,
}

/// Keys, tokens, wallets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRule {
    /// `ssh`, `cloud`, `wallet`, …
    pub class: String,
    /// Exactly these.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// All below these folders; opening one of the folders is a probe.
    #[serde(default)]
    pub below: Vec<PathPattern>,
    /// How bad it is to open a folder of them.
    pub probe: Severity,
    /// ATT&CK technique.
    pub attack: String,
    /// The reason.
    pub why: Spanned<String>,
}

/// Settings that a tool reads for itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRule {
    /// Exactly these.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// At any depth outside the own places.
    #[serde(default)]
    pub suffix: Vec<SuffixPattern>,
    /// The programs whose settings they are, by file name.
    #[serde(default)]
    pub tools: Vec<NamePattern>,
    /// The reason.
    pub why: Spanned<String>,
}

/// Files from which something starts later.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartupRule {
    /// `shell`, `cron`, `systemd`, …
    pub class: String,
    /// Exactly these.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// All below these folders.
    #[serde(default)]
    pub below: Vec<PathPattern>,
    /// At any depth outside the own places.
    #[serde(default)]
    pub suffix: Vec<SuffixPattern>,
    /// ATT&CK technique.
    pub attack: String,
    /// The reason.
    pub why: Spanned<String>,
}

/// What identifies the machine or the sandbox.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostRule {
    /// Exactly these.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// All below these folders.
    #[serde(default)]
    pub below: Vec<PathPattern>,
    /// ATT&CK technique.
    pub attack: String,
    /// The reason.
    pub why: Spanned<String>,
}

/// Sockets of daemons.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketRule {
    /// Who listens there; absent for sockets that every program asks for and whose absence is ordinary.
    pub service: Option<String>,
    /// Exactly these.
    #[serde(default)]
    pub paths: Vec<PathPattern>,
    /// At any depth.
    #[serde(default)]
    pub suffix: Vec<SuffixPattern>,
    /// Abstract names, without the NUL in front; `*` may match a `/`.
    #[serde(default, rename = "abstract")]
    pub abstract_names: Vec<String>,
    /// The reason.
    pub why: Spanned<String>,
}

/// A call that is ordinary for a program of the system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionRule {
    /// The finding code that would come.
    pub code: String,
    /// File names of programs in a folder of the system.
    pub programs: Vec<NamePattern>,
    /// The calls by name.
    pub syscalls: Vec<String>,
    /// The severity in place of the code's own.
    pub severity: Severity,
    /// The reason.
    pub why: Spanned<String>,
}

/// What a build script tells cargo.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectiveRule {
    /// `env` (matched against the name) or `link-arg` (against the whole argument).
    pub kind: String,
    /// Patterns; the first rule that matches decides. `*` may match a `/`.
    pub values: Vec<String>,
    /// No finding when absent.
    pub severity: Option<Severity>,
    /// The reason.
    pub why: Spanned<String>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file is not what a policy looks like.
    #[error("read the policy: {0}")]
    Syntax(#[from] toml::de::Error),
    /// It is of another format or version.
    #[error(
        "read the policy: it is of the format {format:?} version {version}; this program knows {FORMAT:?} version {VERSION}"
    )]
    Format {
        /// As the file says.
        format: String,
        /// As the file says.
        version: u32,
    },
    /// Something that the shape alone does not show.
    #[error("read the policy: line {line}: {what}")]
    Rule {
        /// Where.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// Until the text is known.
fn unread() -> Sha256Digest {
    Sha256Digest([0; 32])
}

impl Policy {
    /// The policy of this release.
    ///
    /// # Panics
    ///
    /// Never in a release: the tests of this folder read the same text.
    #[expect(clippy::panic, reason = "a broken shipped policy is a bug that the tests of this folder find")]
    pub fn shipped() -> Self {
        match Self::parse(DEFAULT) {
            Ok(policy) => policy,
            Err(error) => panic!("the shipped policy is broken: {error}"),
        }
    }

    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut policy: Self = toml::from_str(text)?;
        policy.sha256 = Sha256Digest(Sha256::digest(text).into());
        if policy.format != FORMAT || policy.version != VERSION {
            return Err(PolicyError::Format { format: policy.format, version: policy.version });
        }
        policy.check(text)?;
        Ok(policy)
    }

    /// What evidence and reports call it.
    pub fn record(&self) -> PolicyRecord {
        PolicyRecord { name: self.name.clone(), sha256: self.sha256 }
    }

    fn check(&self, text: &str) -> Result<(), PolicyError> {
        let line_of = |offset: usize| text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1;
        for why in self.reasons() {
            if why.get_ref().trim().is_empty() {
                let what = "a rule needs a reason in `why`".to_owned();
                return Err(PolicyError::Rule { line: line_of(why.span().start), what });
            }
        }
        let mut seen = BTreeMap::new();
        for name in self.programs.iter().flat_map(|rule| &rule.names) {
            let line = line_of(name.span().start);
            if let Some(first) = seen.insert(name.get_ref().as_str(), line) {
                let what = format!("the program `{}` stands in line {first} already", name.get_ref().as_str());
                return Err(PolicyError::Rule { line, what });
            }
        }
        for rule in &self.writes {
            if !rule.suffix.is_empty() && rule.roles.is_empty() {
                let what = "`suffix` allows at any depth, so it needs `roles`".to_owned();
                return Err(PolicyError::Rule { line: line_of(rule.why.span().start), what });
            }
        }
        Ok(())
    }

    fn reasons(&self) -> impl Iterator<Item = &Spanned<String>> {
        let own = self.systems.iter().map(|r| &r.why).chain(self.programs.iter().map(|r| &r.why));
        let files = self.writes.iter().map(|r| &r.why).chain(self.secrets.iter().map(|r| &r.why));
        let more = self.configs.iter().map(|r| &r.why).chain(self.startups.iter().map(|r| &r.why));
        let rest = self.hosts.iter().map(|r| &r.why).chain(self.sockets.iter().map(|r| &r.why));
        let last = self.exceptions.iter().map(|r| &r.why).chain(self.directives.iter().map(|r| &r.why));
        let crates = self.crates.iter().map(|r| &r.why);
        own.chain(files).chain(more).chain(rest).chain(last).chain(crates)
    }
}
