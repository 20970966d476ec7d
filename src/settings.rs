//! What the command line means: defaults, places, checked values.

mod limits;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use etcetera::BaseStrategy as _;

use crate::acquire::{AcquireSettings, Request};
use crate::cli::{CheckArgs, FactsArgs, FailOn, Format, KnownArgs, ReportArgs, TraceClass};
use crate::facts::FactsSettings;
use crate::policy::{Policy, Severity};
use crate::sandbox::limits::Limits;
use crate::sandbox::spec::Identity;
use crate::sandbox::table::Trace;

/// The uid and gid of the sandbox when root starts us. No account needs to exist.
const UNPRIVILEGED: u32 = 64_000;

/// One check, decided.
#[derive(Debug)]
pub struct Settings {
    /// What to examine.
    pub request: Request,
    /// How to get it.
    pub acquire: AcquireSettings,
    /// Who the code is outside.
    pub identity: Identity,
    /// The toolchain, as rustup names it.
    pub toolchain: Option<String>,
    /// Variables that are given.
    pub env: Vec<(String, String)>,
    /// Paths that are given.
    pub read: Vec<PathBuf>,
    /// How many units run at a time.
    pub jobs: usize,
    /// Upper bounds.
    pub limits: Limits,
    /// Those that were typed, for the report.
    pub given_limits: Vec<String>,
    /// What is notified beyond the table.
    pub trace: Trace,
    /// How it is judged and told.
    pub reporting: Reporting,
    /// Where evidence is kept: what was asked for, else the state directory.
    pub evidence: EvidencePlace,
    /// What is asked without running anything.
    pub facts: FactsSettings,
    /// Seconds since the Unix epoch.
    pub now: u64,
}

/// How a log is judged and where the report goes.
#[derive(Debug)]
pub struct Reporting {
    /// The policy to judge by.
    pub policy: Policy,
    /// The mildest severity that fails.
    pub fail_on: Severity,
    /// What goes to standard output.
    pub format: Format,
    /// Reports that go to files, too.
    pub outputs: Vec<(Format, PathBuf)>,
}

impl Reporting {
    /// Checks and completes what was typed.
    ///
    /// # Errors
    /// When a policy cannot be read or an output has no form.
    pub fn new(args: &ReportArgs) -> Result<Self, SettingsError> {
        Ok(Self {
            policy: policy(args.policy.as_deref())?,
            fail_on: severity(args.fail_on),
            format: args.format,
            outputs: args.output.iter().map(|text| output(text)).collect::<Result<_, _>>()?,
        })
    }
}

/// Where evidence is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidencePlace {
    /// In this directory, always.
    Asked(PathBuf),
    /// In the state directory, unless the run passed.
    State(PathBuf),
}

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl SettingsError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

impl Settings {
    /// Checks and completes what was typed.
    ///
    /// # Errors
    /// When a value makes no sense, before anything was done.
    pub fn new(args: &CheckArgs) -> Result<Self, SettingsError> {
        let target = args.target.as_deref().unwrap_or_default();
        let request = target.parse().map_err(|error: crate::acquire::AcquireError| SettingsError {
            message: error.to_string(),
            hint: error.hint(),
        })?;
        let (mut acquire, state) = places()?;
        acquire.offline = args.offline;
        acquire.features = features(&args.features);
        acquire.all_features = args.all_features;
        acquire.no_default_features = args.no_default_features;
        let (limits, given_limits) = limits::limits(args.timeout, &args.limit)?;
        let now = now();
        let facts = facts(&args.known, &acquire, now);
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            request,
            acquire,
            identity: identity(),
            toolchain: args.toolchain.clone(),
            env: environment(args)?,
            read: args.read.iter().map(|path| readable(path)).collect::<Result<_, _>>()?,
            jobs: args.jobs.map_or(cpus, usize::from),
            limits,
            given_limits,
            trace: Trace { probes: args.trace.contains(&TraceClass::Probes) },
            reporting: Reporting::new(&args.reports)?,
            evidence: place(args.evidence.as_ref(), &state),
            facts,
            now,
        })
    }
}

impl Settings {
    /// Settings for facts alone: nothing is built, so most of them say nothing.
    ///
    /// # Errors
    /// When a value makes no sense, before anything was done.
    pub fn of_facts(args: &FactsArgs) -> Result<Self, SettingsError> {
        // A lock file is no request; its folder stands for it.
        let target = Path::new(&args.target);
        let request = if target.extension().is_some_and(|extension| extension == "lock") {
            Request::Directory(target.to_owned())
        } else {
            args.target.parse().map_err(|error: crate::acquire::AcquireError| SettingsError {
                message: error.to_string(),
                hint: error.hint(),
            })?
        };
        let (mut acquire, state) = places()?;
        acquire.offline = args.offline;
        acquire.only_subject = true;
        let (limits, given_limits) = limits::limits(1, &[])?;
        let now = now();
        Ok(Self {
            request,
            facts: facts(&args.known, &acquire, now),
            acquire,
            identity: identity(),
            toolchain: None,
            env: Vec::new(),
            read: Vec::new(),
            jobs: 1,
            limits,
            given_limits,
            trace: Trace { probes: false },
            reporting: Reporting::new(&args.reports)?,
            evidence: place(args.evidence.as_ref(), &state),
            now,
        })
    }
}

/// Settings of acquisition with our cache, and our folder of state.
fn places() -> Result<(AcquireSettings, PathBuf), SettingsError> {
    let places = etcetera::choose_base_strategy()
        .map_err(|_| SettingsError::new("there is no home directory for the cache", "set HOME"))?;
    let state = places.state_dir().unwrap_or_else(|| places.data_dir()).join("sandbox-check");
    Ok((AcquireSettings::new(places.cache_dir().join("sandbox-check")), state))
}

fn place(asked: Option<&PathBuf>, state: &Path) -> EvidencePlace {
    asked.map_or_else(|| EvidencePlace::State(state.join("evidence")), |dir| EvidencePlace::Asked(dir.clone()))
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Where facts come from. `cargo audit` keeps its checkout in cargo's home.
pub fn facts(args: &KnownArgs, acquire: &AcquireSettings, now: u64) -> FactsSettings {
    FactsSettings {
        databases: args.advisory_db.clone(),
        usual: Some(acquire.cargo_home.join("advisory-db")),
        max_age: args.max_db_age,
        now,
    }
}

/// Features by commas (clap cut those) or spaces.
fn features(given: &[String]) -> Vec<String> {
    given.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}

fn identity() -> Identity {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    if uid == 0 || gid == 0 { Identity { uid: UNPRIVILEGED, gid: UNPRIVILEGED } } else { Identity { uid, gid } }
}

/// True if the id exists in our own user namespace: in a nested one, such as a container's, it may not.
pub fn is_mapped(id: u32) -> bool {
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else { return true };
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<u64>().ok());
        let (Some(first), _, Some(count)) = (numbers.next(), numbers.next(), numbers.next()) else { return false };
        (first..first.saturating_add(count)).contains(&u64::from(id))
    })
}

fn environment(args: &CheckArgs) -> Result<Vec<(String, String)>, SettingsError> {
    let open = args.env.iter().map(|text| (text, false));
    let secret = args.env_secret.iter().map(|text| (text, true));
    open.chain(secret).map(|(text, may_be_secret)| variable(text, may_be_secret)).collect()
}

/// `NAME=VALUE`, or `NAME` with our own value.
fn variable(text: &str, may_be_secret: bool) -> Result<(String, String), SettingsError> {
    let (name, value) = if let Some((name, value)) = text.split_once('=') {
        (name, value.to_owned())
    } else {
        let ours = std::env::var(text).map_err(|_| {
            SettingsError::new(
                format!("--env {text}: no such variable here"),
                format!("give its value: --env {text}=VALUE"),
            )
        })?;
        (text, ours)
    };
    if name.is_empty() || name.contains('\0') || value.contains('\0') {
        return Err(SettingsError::new(
            format!("--env {text}: not a variable"),
            "write --env NAME=VALUE or --env NAME",
        ));
    }
    if !may_be_secret && looks_secret(name) {
        return Err(SettingsError::new(
            format!("--env {name}: the name looks like a secret's, and every build script could read it"),
            format!("if that is meant, write --env-secret {name}"),
        ));
    }
    Ok((name.to_owned(), value))
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS"]
        .iter()
        .any(|word| name == *word || name.ends_with(&format!("_{word}")))
}

fn readable(path: &Path) -> Result<PathBuf, SettingsError> {
    let real = fs::canonicalize(path).map_err(|error| {
        SettingsError::new(format!("--read {}: {error}", path.display()), "give a file or directory that exists")
    })?;
    if real == Path::new("/") {
        return Err(SettingsError::new(
            "--read /: that is the whole machine",
            "name the directory that the build needs",
        ));
    }
    Ok(real)
}

fn policy(file: Option<&Path>) -> Result<Policy, SettingsError> {
    let Some(file) = file else { return Ok(Policy::shipped()) };
    let text = fs::read_to_string(file).map_err(|error| {
        SettingsError::new(
            format!("--policy {}: {error}", file.display()),
            "give a policy file (docs/policy-format.md)",
        )
    })?;
    Policy::parse(&text)
        .map_err(|error| SettingsError { message: format!("--policy {}: {error}", file.display()), hint: None })
}

fn severity(fail_on: FailOn) -> Severity {
    match fail_on {
        FailOn::Low => Severity::Low,
        FailOn::Medium => Severity::Medium,
        FailOn::High => Severity::High,
        FailOn::Critical => Severity::Critical,
    }
}

fn output(text: &str) -> Result<(Format, PathBuf), SettingsError> {
    let wrong = || {
        SettingsError::new(
            format!("--output {text}: not FORMAT=FILE"),
            "write --output json=FILE or --output human=FILE",
        )
    };
    let (format, file) = text.split_once('=').ok_or_else(wrong)?;
    let format = match format {
        "human" => Format::Human,
        "json" => Format::Json,
        _ => return Err(wrong()),
    };
    if file.is_empty() { Err(wrong()) } else { Ok((format, PathBuf::from(file))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_need_their_own_option() {
        for name in ["GITHUB_TOKEN", "API_KEY", "secret", "DB_PASSWORD"] {
            variable(&format!("{name}=x"), false).unwrap_err();
            assert_eq!(variable(&format!("{name}=x"), true).unwrap().1, "x");
        }
        assert_eq!(variable("KEYBOARD=x", false).unwrap(), ("KEYBOARD".to_owned(), "x".to_owned()));
    }

    #[test]
    fn outputs_name_a_format_and_a_file() {
        assert_eq!(output("json=a=b").unwrap(), (Format::Json, PathBuf::from("a=b")));
        for wrong in ["json", "json=", "xml=a"] {
            output(wrong).unwrap_err();
        }
    }
}
