//! What the caller decides about an acquisition: places, limits, features.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A copy of an environment. The stage never asks the process for a variable of cargo's.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// Names only: values may be tokens.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// A variable's value, if it is set and not empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A variable's value as text, if it is set, not empty and UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

/// Bounds on what servers, cargo and archives may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Duration,
    /// A transfer that is slower than ten bytes a second for this long is given up.
    /// Absent: cargo's `http.timeout`, else 30 seconds.
    pub stall: Option<Duration>,
    /// For one whole file, all tries together.
    pub transfer: Duration,
    /// For all files of a run.
    pub total: Duration,
    /// The longest pause before a further try, whatever the server asks for (cargo's own limit).
    pub patience: Duration,
    /// How often a request is made at most.
    pub tries: u32,
    /// The wait before the second try; doubled for each further one.
    pub back_off: Duration,
    /// For cargo's choice of versions.
    pub resolve: Duration,
    /// Memory of the cargo that chooses: it takes index answers of any size.
    pub resolve_bytes: u64,
    /// Of one `.crate` file.
    pub crate_bytes: u64,
    /// Of one name's index entry.
    pub index_bytes: u64,
    /// Entries of one archive.
    pub entries: u64,
    /// Unpacked bytes that every archive may have; larger ones may have twenty times their packed size.
    pub unpacked_bytes: u64,
    /// Files that are copied of a folder that the user named.
    pub copied_files: u64,
    /// Bytes that are copied of a folder that the user named.
    pub copied_bytes: u64,
    /// Files and folders of our own, which are no part of such a folder: the cache, evidence, reports.
    pub not_copied: Vec<PathBuf>,
    /// Downloads at the same time.
    pub threads: usize,
    /// Small questions at the same time.
    pub questions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            connect: Duration::from_secs(15),
            stall: None,
            transfer: Duration::from_mins(10),
            total: Duration::from_hours(1),
            patience: Duration::from_secs(10),
            tries: 4,
            back_off: Duration::from_millis(500),
            resolve: Duration::from_mins(3),
            resolve_bytes: 1024 * MIB,
            crate_bytes: 200 * MIB,
            index_bytes: 64 * MIB,
            entries: 50_000,
            unpacked_bytes: 512 * MIB,
            copied_files: 200_000,
            copied_bytes: 2048 * MIB,
            not_copied: Vec::new(),
            threads: 8,
            questions: 32,
        }
    }
}

/// What the caller decides about an acquisition.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a matter of its own")]
pub struct AcquireSettings {
    /// Our own cache; `runs/` and `crates/` are made below it.
    pub cache_dir: PathBuf,
    /// The user's `CARGO_HOME`.
    pub cargo_home: PathBuf,
    /// The real cargo or rustup's proxy.
    pub cargo: PathBuf,
    /// The value of `RUSTUP_TOOLCHAIN` for cargo.
    pub toolchain: Option<String>,
    /// Never use the network.
    pub offline: bool,
    /// Features of the subject to turn on.
    pub features: Vec<String>,
    /// Turn on all features of the subject.
    pub all_features: bool,
    /// Leave `default` off.
    pub no_default_features: bool,
    /// Bring the subject alone: its dependencies are named and not fetched, so nothing can be built.
    pub only_subject: bool,
    /// The platform that will be built on and for.
    pub host: String,
    /// What cargo's configuration variables are read from and what cargo itself gets.
    pub environment: Environment,
    /// Bounds.
    pub limits: Limits,
}

impl AcquireSettings {
    /// The ordinary settings with the environment of this process.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self::in_environment(cache_dir, Environment::of_process())
    }

    /// The ordinary settings with another environment, whose `CARGO_HOME` (else `HOME`) says where cargo's home is.
    pub fn in_environment(cache_dir: impl Into<PathBuf>, environment: Environment) -> Self {
        let cargo_home = match environment.get("CARGO_HOME") {
            Some(home) => PathBuf::from(home),
            None => environment
                .get("HOME")
                .map(PathBuf::from)
                .or_else(std::env::home_dir)
                .unwrap_or_else(|| PathBuf::from("/root"))
                .join(".cargo"),
        };
        // Cargo itself would take a relative one from its own working directory.
        let cargo_home = std::path::absolute(&cargo_home).unwrap_or(cargo_home);
        Self {
            cache_dir: cache_dir.into(),
            cargo_home,
            cargo: PathBuf::from("cargo"),
            toolchain: None,
            offline: false,
            features: Vec::new(),
            all_features: false,
            no_default_features: false,
            only_subject: false,
            host: "x86_64-unknown-linux-gnu".to_owned(),
            environment,
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_are_never_shown() {
        let environment = Environment::default().with("CARGO_REGISTRY_TOKEN", "secret-word");
        let shown = format!("{:?}", AcquireSettings::in_environment("/c", environment));
        assert!(shown.contains("CARGO_REGISTRY_TOKEN") && !shown.contains("secret-word"), "{shown}");
    }

    #[test]
    fn cargo_s_home_is_absolute() {
        let environment = Environment::default().with("CARGO_HOME", "relative");
        assert!(AcquireSettings::in_environment("/c", environment).cargo_home.is_absolute());
        let environment = Environment::default().with("HOME", "/home/u");
        assert_eq!(AcquireSettings::in_environment("/c", environment).cargo_home, PathBuf::from("/home/u/.cargo"));
    }
}
