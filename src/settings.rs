//! What the command line means: defaults, places, checked values.

mod config;
mod decisions;
mod extended;
pub mod facts;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod limits;
mod outputs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use etcetera::BaseStrategy;

use crate::acquire::{AcquireSettings, Request};
use config::{Gifts, Given};

use crate::cli::{
    CheckArgs, DecideArgs, DecisionArgs, Deny, DepthArg, FailOn, FeatureArgs, Format, ReportArgs, RunArgs, TraceClass,
};
use crate::decisions::{Day, Decisions, WARNED_DAYS};
use crate::evidence::line::Depth;
use crate::facts::FactsSettings;
use crate::ids::Sha256Digest;
use crate::policy::{Policy, Severity, names_secret};
use crate::sandbox::limits::Limits;
use crate::sandbox::spec::{Identity, Read};
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
    /// The toolchain's name, where a workspace asked for it and not the user.
    pub channel: Option<String>,
    /// Variables that are given.
    pub env: Vec<(String, String)>,
    /// True if one of them may be a secret.
    pub has_secrets: bool,
    /// Paths that are given.
    pub read: Vec<Read>,
    /// How many units run at a time.
    pub jobs: usize,
    /// Upper bounds.
    pub limits: Limits,
    /// How much of the graph is to be built, if that was said.
    pub wanted_depth: Option<Depth>,
    /// How much of the graph is built, once the toolchain is known.
    pub depth: Depth,
    /// What was given beside variables and paths, for the report.
    pub given: Vec<String>,
    /// What is notified beyond the table.
    pub trace: Trace,
    /// How it is judged and told.
    pub reporting: Reporting,
    /// Where evidence is to be kept whatever the verdict, if that was asked for.
    pub evidence: Option<PathBuf>,
    /// The directory of evidence that is kept without a word, and where earlier runs are looked for.
    pub known: PathBuf,
    /// Earlier runs do not count.
    pub fresh: bool,
    /// Logs of runs that this call made before: they count always.
    pub of_this_call: BTreeSet<Sha256Digest>,
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
    /// What people have decided.
    pub decisions: Decisions,
    /// The file that they stand in, where one was read.
    pub decided_in: Option<PathBuf>,
    /// What a person should know about a file of decisions that does not count.
    pub remark: Option<String>,
    /// What is an error of what is said about decisions.
    pub deny: Vec<Deny>,
}

/// What decides beside [`ReportArgs`] how a log is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The file of `--config`.
    pub config: Option<&'a Path>,
    /// A folder that is examined.
    pub target: Option<&'a Path>,
    /// No network.
    pub offline: bool,
}

impl Reporting {
    /// Checks and completes what was typed.
    ///
    /// # Errors
    /// When a policy or decisions cannot be read, or an output has no form or cannot be written.
    pub fn new(args: &ReportArgs, beside: Beside<'_>) -> Result<Self, SettingsError> {
        let acquire = || {
            let mut acquire = AcquireSettings::new(places()?.cache_dir().join("sandbox-check"));
            acquire.offline = beside.offline;
            Ok(acquire)
        };
        let wanted = decisions::Wanted {
            args: &args.decisions,
            config: beside.config,
            target: beside.target,
            acquire: &acquire,
            now: now(),
        };
        let outputs = outputs::outputs(&args.output)?;
        let mut formats = outputs.iter().map(|(format, _)| *format).chain([args.format]);
        if beside.target.is_some_and(Path::is_dir) && formats.any(|format| format == Format::InToto) {
            let message = "in-toto: a statement is about archives with a digest, and a folder has none";
            return Err(SettingsError::new(message, "check the release, its archive, or the lock file"));
        }
        let decisions::Found { decisions, file, remark } = decisions::find(&wanted)?;
        Ok(Self {
            policy: policy(args.policy.as_deref())?,
            fail_on: severity(args.fail_on),
            format: args.format,
            outputs,
            decisions,
            decided_in: file,
            remark,
            deny: args.decisions.deny.clone(),
        })
    }
}

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    message: String,
    /// What to do.
    pub hint: Option<String>,
    /// True where trying again may help.
    pub is_temporary: bool,
}

impl SettingsError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), is_temporary: false }
    }

    /// The same with the place of a file in front.
    fn at(self, place: &str) -> Self {
        Self { message: format!("{place}{}", self.message), ..self }
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
            is_temporary: false,
        })?;
        let repository = facts::repository(&args.repository, &request)?;
        let mut settings = Self::of(request, &args.features, &args.run)?;
        settings.facts.repository = repository;
        Ok(settings)
    }

    /// The same for what is already known to be meant.
    ///
    /// # Errors
    /// When a value makes no sense, before anything was done.
    pub fn of(request: Request, wanted: &FeatureArgs, args: &RunArgs) -> Result<Self, SettingsError> {
        let places = places()?;
        let mut acquire = AcquireSettings::new(places.cache_dir().join("sandbox-check"));
        acquire.offline = args.offline;
        acquire.features = features(&wanted.features);
        acquire.all_features = wanted.all_features;
        acquire.no_default_features = wanted.no_default_features;
        let gifts = Gifts::new(&args.build, &places.config_dir(), &acquire)?;
        let (limits, given_limits) = limits::limits(args.build.timeout, &gifts.limit)?;
        let mut given: Vec<_> = gifts.toolchain.iter().map(|name| format!("toolchain {name}")).collect();
        given.extend(given_limits);
        given.extend(gifts.file.iter().map(|file| format!("configuration {}", file.display())));
        let now = now();
        let facts = facts::settings(&args.known, &gifts, &acquire, now);
        let target = if let Request::Directory(folder) = &request { Some(folder.clone()) } else { None };
        let beside = Beside { config: args.build.config.as_deref(), target: target.as_deref(), offline: args.offline };
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = Self {
            request,
            acquire,
            identity: identity(),
            toolchain: gifts.toolchain.clone(),
            channel: None,
            env: environment(&gifts)?,
            has_secrets: !gifts.env_secret.is_empty(),
            read: gifts.read.iter().map(readable).collect::<Result<_, _>>()?,
            jobs: gifts.jobs.map_or(cpus, usize::from),
            limits,
            given,
            wanted_depth: args.depth.map(|depth| match depth {
                DepthArg::Build => Depth::Build,
                DepthArg::Check => Depth::Check,
            }),
            depth: Depth::Check,
            trace: Trace { probes: args.trace.contains(&TraceClass::Probes) },
            reporting: Reporting::new(&args.reports, beside)?,
            evidence: outputs::evidence(args.evidence.as_deref())?,
            known: args.cache_dir.clone().unwrap_or_else(|| state_dir(&places)),
            fresh: args.fresh,
            of_this_call: BTreeSet::new(),
            facts,
            now,
        };
        Ok(settings.without_our_own())
    }

    /// What we keep is no part of what is examined, though it may lie there.
    fn without_our_own(mut self) -> Self {
        let outputs = self.reporting.outputs.iter().map(|(_, file)| file);
        let own = [&self.acquire.cache_dir, &self.known].into_iter().chain(&self.evidence).chain(outputs);
        self.acquire.limits.not_copied = own.cloned().collect();
        self
    }
}

/// The directory of evidence that is kept without a word.
///
/// # Errors
/// When there is no home for it.
pub fn cache_dir(given: Option<&Path>) -> Result<PathBuf, SettingsError> {
    given.map_or_else(|| Ok(state_dir(&places()?)), |given| Ok(given.to_owned()))
}

/// Settings for proposing decisions.
#[derive(Debug)]
pub struct Deciding {
    /// Policy, and what is decided already.
    pub reporting: Reporting,
    /// The file that entries go to.
    pub file: PathBuf,
    /// The same for people.
    pub shown: String,
    /// The directory of evidence that is kept without a word.
    pub known: PathBuf,
    /// The end of the entries.
    pub expires: Day,
}

impl Deciding {
    /// Checks and completes what was typed.
    ///
    /// # Errors
    /// When a value makes no sense, or a file that counts cannot be read.
    pub fn new(args: &DecideArgs) -> Result<Self, SettingsError> {
        let today = Day::of(now());
        let expires = match args.expires.strip_suffix('d') {
            Some(days) => days.parse().ok().filter(|days| *days > 0).and_then(|days| today.after(days)),
            None => Day::parse(&args.expires).filter(|day| today < *day),
        };
        let expires = expires.ok_or_else(|| {
            let message = format!("--expires {}: no day to come", args.expires);
            SettingsError::new(message, "write a day such as 2027-01-31, or a number of days such as 90d")
        })?;
        if args.reason.trim().is_empty() {
            return Err(SettingsError::new("--reason: it says nothing", "say why a reader may pass over it"));
        }
        let reports = ReportArgs {
            format: Format::Human,
            output: Vec::new(),
            policy: args.policy.clone(),
            fail_on: FailOn::Medium,
            // A file that is to be written need not be there.
            decisions: DecisionArgs {
                decisions_from: None,
                no_decisions: args.config.as_ref().is_some_and(|path| path.symlink_metadata().is_err()),
                deny: Vec::new(),
            },
        };
        let mut reporting = Reporting::new(&reports, Beside { config: args.config.as_deref(), ..Beside::default() })?;
        // What is warned of can be renewed: its end counts as come.
        reporting.decisions.today = today.after(WARNED_DAYS).unwrap_or(today);
        let file = decisions::place(args.config.as_deref()).ok_or_else(|| {
            SettingsError::new("the working directory cannot be found", "name the file with --config FILE")
        })?;
        let shown = decisions::shown(&file);
        Ok(Self { reporting, file, shown, known: cache_dir(args.cache_dir.as_deref())?, expires })
    }
}

fn places() -> Result<impl BaseStrategy, SettingsError> {
    etcetera::choose_base_strategy()
        .map_err(|_| SettingsError::new("there is no home directory for the cache", "set HOME"))
}

fn state_dir(places: &impl BaseStrategy) -> PathBuf {
    places.state_dir().unwrap_or_else(|| places.data_dir()).join("sandbox-check/evidence")
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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

/// The last one of a name wins.
fn environment(gifts: &Gifts) -> Result<Vec<(String, String)>, SettingsError> {
    let open = gifts.env.iter().map(|given| (given, false));
    let secret = gifts.env_secret.iter().map(|given| (given, true));
    let mut all: Vec<(String, String)> = Vec::new();
    for (given, may_be_secret) in open.chain(secret) {
        let (name, value) = variable(&given.value, may_be_secret).map_err(|error| error.at(&given.place))?;
        all.retain(|(known, _)| *known != name);
        all.push((name, value));
    }
    Ok(all)
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
    if is_ours(name) {
        return Err(SettingsError::new(
            format!("--env {name}: the sandbox itself sets how cargo starts compilers and where it builds"),
            "RUSTFLAGS and the like can be given; --toolchain, --read and --jobs say the rest",
        ));
    }
    if !may_be_secret && names_secret(name) {
        return Err(SettingsError::new(
            format!("--env {name}: the name looks like a secret's, and every build script could read it"),
            format!("if that is meant, write --env-secret {name}"),
        ));
    }
    Ok((name.to_owned(), value))
}

/// Variables that would put something else in the place of our shim, or builds where nobody looks.
fn is_ours(name: &str) -> bool {
    const NAMES: [&str; 6] =
        ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_HOME", "CARGO_TARGET_DIR", "RUSTC_BOOTSTRAP"];
    NAMES.contains(&name)
        || ["CARGO_BUILD_RUSTC", "CARGO_BUILD_TARGET", "CARGO_BUILD_BUILD_DIR"].iter().any(|start| {
            name.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        } && !name.ends_with("FLAGS"))
}

fn readable(given: &Given<PathBuf>) -> Result<Read, SettingsError> {
    let path = &given.value;
    let real = fs::canonicalize(path).map_err(|error| {
        SettingsError::new(format!("--read {}: {error}", path.display()), "give a file or directory that exists")
            .at(&given.place)
    })?;
    if real == Path::new("/") {
        return Err(SettingsError::new(
            "--read /: that is the whole machine",
            "name the directory that the build needs",
        )
        .at(&given.place));
    }
    // A `..` behind a link leads elsewhere than its text says, so such a name is no second one.
    let is_plain = !path.components().any(|part| part == Component::ParentDir);
    let named = is_plain.then(|| std::path::absolute(path).ok()).flatten().filter(|named| *named != real);
    Ok(Read { real, named })
}

fn policy(file: Option<&Path>) -> Result<Policy, SettingsError> {
    let Some(file) = file else { return Ok(Policy::shipped()) };
    let text = fs::read_to_string(file).map_err(|error| {
        SettingsError::new(
            format!("--policy {}: {error}", file.display()),
            "give a policy file (docs/policy-format.md)",
        )
    })?;
    Policy::parse(&text).map_err(|error| {
        SettingsError::new(
            format!("--policy {}: {error}", file.display()),
            "docs/policy-format.md describes policies; policies/default.toml is one to begin with",
        )
    })
}

fn severity(fail_on: FailOn) -> Severity {
    match fail_on {
        FailOn::Low => Severity::Low,
        FailOn::Medium => Severity::Medium,
        FailOn::High => Severity::High,
        FailOn::Critical => Severity::Critical,
    }
}

#[cfg(test)]
mod twins_tests;

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
    fn what_the_sandbox_sets_cannot_be_given_and_flags_can() {
        for name in
            ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "CARGO_HOME"]
        {
            variable(&format!("{name}=x"), true).unwrap_err();
        }
        for name in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CFLAGS", "RUSTC_LINKER"] {
            variable(&format!("{name}=x"), false).unwrap();
        }
    }
}
