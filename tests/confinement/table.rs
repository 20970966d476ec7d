//! The probes as data: what is tried, what stops it, and what must be seen. `probes/*.toml` are the rows.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of this module")]
#![allow(clippy::panic, reason = "a table that cannot be read ends its test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The groups, in the order of the specification, with how many numbers each has there.
pub const GROUPS: &[(&str, &str, u32)] = &[
    ("FS", "files", 32),
    ("NET", "network", 22),
    ("PR", "processes", 22),
    ("KS", "kernel", 18),
    ("IPC", "ipc", 8),
    ("RES", "resources", 12),
    ("SUP", "supervisor", 35),
    ("REP", "report", 14),
    ("TC", "toolchain", 24),
    ("TAR", "archives", 22),
    ("REG", "registry", 14),
    ("CI", "honesty", 10),
];

/// Probes of our own that the specification has no number for.
pub const OF_OUR_OWN: &[&str] = &["UNIT"];

/// What carries a probe. `scripts/sabotage` can turn those with a name of its own off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    PrivateRoot,
    Landlock,
    Filter,
    CargoFilter,
    NetworkNamespace,
    PidNamespace,
    OuterPidNamespace,
    IpcNamespace,
    Capabilities,
    NoNamespaces,
    Keyring,
    Descriptors,
    Supervisor,
    OnBehalf,
    Limits,
    Init,
    Kernel,
    Unpacker,
    Acquire,
    Cargo,
    Evidence,
    Report,
    Judge,
    SelfTest,
}

impl Layer {
    /// What `scripts/sabotage` calls it, where it can turn it off.
    pub fn off(self) -> Option<&'static str> {
        Some(match self {
            Self::PrivateRoot => "private-root",
            Self::Landlock => "landlock",
            Self::Filter => "filter",
            Self::CargoFilter => "cargo-filter",
            Self::NetworkNamespace => "network-namespace",
            Self::PidNamespace => "pid-namespace",
            Self::OuterPidNamespace => "outer-pid-namespace",
            Self::Limits => "limits",
            Self::IpcNamespace => "ipc-namespace",
            Self::Capabilities => "capabilities",
            Self::NoNamespaces => "no-namespaces",
            Self::Keyring => "keyring",
            Self::Descriptors => "descriptors",
            Self::OnBehalf => "on-behalf",
            _ => return None,
        })
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateRoot => "private root",
            Self::Landlock => "Landlock domains",
            Self::Filter => "filter U",
            Self::CargoFilter => "filter K",
            Self::NetworkNamespace => "network namespace",
            Self::PidNamespace => "PID namespace of the unit",
            Self::OuterPidNamespace => "PID namespace of the sandbox",
            Self::IpcNamespace => "IPC namespace of the unit",
            Self::Capabilities => "no capability",
            Self::NoNamespaces => "no further namespace",
            Self::Keyring => "empty keyring",
            Self::Descriptors => "no descriptor is passed on",
            Self::Supervisor => "supervisor",
            Self::OnBehalf => "done on behalf",
            Self::Limits => "limits",
            Self::Init => "init and mini-init",
            Self::Kernel => "the kernel by itself",
            Self::Unpacker => "our unpacker",
            Self::Acquire => "acquisition",
            Self::Cargo => "how cargo is started",
            Self::Evidence => "evidence format and writer",
            Self::Report => "report writers",
            Self::Judge => "judge",
            Self::SelfTest => "self-test and settings",
        }
    }
}

/// Where the effect of a probe would show on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    Files,
    Tcp,
    Udp,
    Unix,
    Datagram,
    Abstract,
}

/// One row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The specification's number, and after a slash which of several ways.
    pub id: String,
    /// In words.
    pub tries: String,
    /// What stops it: the first by itself, the others behind it.
    pub layers: Vec<Layer>,
    /// The errno by name, `0`, `signal N`; several with `|` where kernels differ.
    pub meets: Option<String>,
    /// What the same meets outside, `plain` or `in namespaces`; or `none: ` and why.
    pub control: Option<String>,
    /// What would show it.
    pub effect: Option<Effect>,
    /// Kind and outcome of the record, or `none`. The snapshots have the bytes.
    pub record: Option<String>,
    /// What is recorded differs: two threads race, or kernels do not agree.
    #[serde(default)]
    pub differs: bool,
    /// Tests that prove it already: `file: name`.
    #[serde(default)]
    pub held_by: Vec<String>,
    /// Why it is not tried.
    pub not_tried: Option<String>,
    /// A known gap: it must still be open, or the pages are out of date.
    pub gap: Option<String>,
}

impl Probe {
    /// True if the attacker has a payload of this name.
    pub fn is_run(&self) -> bool {
        self.meets.is_some()
    }

    /// The specification's number.
    pub fn number(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// `FS`, `NET`, …
    pub fn group(&self) -> &str {
        self.id.split(['-', '/']).next().unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    probe: Vec<Probe>,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/confinement")
}

/// All rows of one file.
pub fn rows(file: &str) -> Vec<Probe> {
    let path = folder().join("probes").join(format!("{file}.toml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.probe
}

/// All rows by file, in the order of the groups; what the specification does not have comes last.
pub fn all() -> Vec<(&'static str, Vec<Probe>)> {
    let files = GROUPS.iter().map(|(_, file, _)| *file).chain(["units"]);
    files.map(|file| (file, rows(file))).collect()
}

/// The numbers of the specification that have no row.
pub fn missing() -> Vec<String> {
    let rows: BTreeMap<String, usize> =
        all().into_iter().flat_map(|(_, rows)| rows).fold(BTreeMap::new(), |mut found, probe| {
            *found.entry(probe.number().to_owned()).or_default() += 1;
            found
        });
    let numbers = GROUPS.iter().flat_map(|(group, _, count)| (1..=*count).map(move |at| format!("{group}-{at:02}")));
    numbers.filter(|number| !rows.contains_key(number)).collect()
}
