//! What the user typed, and nothing more. Meaning is given to it by `settings`.

mod cache;

use std::path::PathBuf;

pub use cache::{CacheArgs, CacheCommand, GcArgs, HeldArgs, PassArgs};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "sandbox-check",
    version,
    about = "Builds a crate's build scripts and proc macros in a sandbox without a network and reports what they tried to do",
    long_about = None,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = EXIT_CODES,
    max_term_width = 100
)]
pub struct Cli {
    /// A command instead of a target.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to check and how.
    #[command(flatten)]
    pub check: CheckArgs,
}

/// Commands beside the check itself.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check every package of Cargo.lock files, built once as one graph
    Lock(Box<LockArgs>),
    /// Tell which layers of the sandbox hold here, proven by doing, and how to get the rest
    Doctor(DoctorArgs),
    /// Judge the evidence of a run again; nothing is built and nothing fetched
    Replay(ReplayArgs),
    /// Tell what is known of a release, a package or a lock file; nothing is built
    Facts(FactsArgs),
    /// Look after the evidence that is kept of earlier runs
    Cache(CacheArgs),
    /// Propose decisions that hide known findings; docs/decisions-file.md
    Ignore {
        /// What to do.
        #[command(subcommand)]
        command: IgnoreCommand,
    },
    /// Propose decisions that declare what a package tries to be its behaviour
    Accept(DecideArgs),
    /// Print the completions for a shell
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
    /// Tell what a finding means; without CODE, list all codes
    Explain {
        /// A finding's code, such as dns-query
        code: Option<String>,
    },
}

/// What to check and how.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// name@version, name@1, name@latest, name, ./directory or file.crate
    #[arg(required = true, value_name = "TARGET")]
    pub target: Option<String>,

    /// What is built of it.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// How it is built and told.
    #[command(flatten)]
    pub run: RunArgs,
    /// Where it is kept.
    #[command(flatten)]
    pub repository: RepositoryArgs,
}

/// Which lock files to check and how.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// Lock files, or folders that have one; default: the one found upward
    #[arg(value_name = "PATH")]
    pub path: Vec<PathBuf>,
    /// Leave the workspace's own packages out: their dependencies are built, their code is not
    #[arg(long)]
    pub deps_only: bool,
    /// Report on packages added or changed since this commit or lock file only
    #[arg(long, value_name = "REF|FILE")]
    pub since: Option<String>,
    /// How it is built and told.
    #[command(flatten)]
    pub run: RunArgs,
}

/// How something is built and told.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// How it is told.
    #[command(flatten)]
    pub reports: ReportArgs,
    /// Keep the evidence in this directory, whatever the verdict
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    pub evidence: Option<PathBuf>,

    /// Keep evidence in this directory and look for that of earlier runs there; default: $XDG_STATE_HOME/sandbox-check/evidence
    #[arg(long, value_name = "DIR", help_heading = "Sandbox")]
    pub cache_dir: Option<PathBuf>,
    /// Build, also when evidence of a run with the same inputs is there; docs/reuse.md
    #[arg(long, help_heading = "Sandbox")]
    pub fresh: bool,
    /// What the build gets.
    #[command(flatten)]
    pub build: BuildArgs,
    /// How much is built; default: build, where the toolchain can
    #[arg(long, value_enum, value_name = "DEPTH", overrides_with = "depth", help_heading = "Sandbox")]
    pub depth: Option<DepthArg>,
    /// Record further classes of calls: probes (stat, access and readlink; slower)
    #[arg(long, value_enum, value_name = "CLASS", value_delimiter = ',', help_heading = "Sandbox")]
    pub trace: Vec<TraceClass>,
    /// Print what would run, as JSON, and run nothing
    #[arg(long, help_heading = "Sandbox")]
    pub print_plan: bool,

    /// What is known without running anything.
    #[command(flatten)]
    pub known: KnownArgs,

    /// Use no network; name what is missing
    #[arg(long, help_heading = "General")]
    pub offline: bool,
    /// How it looks.
    #[command(flatten)]
    pub tone: ToneArgs,
    /// Log what we do to standard error; twice for more
    #[arg(long, short, action = clap::ArgAction::Count, help_heading = "General")]
    pub verbose: u8,
}

/// What is built of a target.
#[derive(Clone, Debug, Default, Args)]
pub struct FeatureArgs {
    /// Features to turn on, separated by commas or spaces
    #[arg(long, short = 'F', value_name = "FEATURES", value_delimiter = ',', help_heading = "Features")]
    pub features: Vec<String>,
    /// Turn on all features
    #[arg(long, help_heading = "Features")]
    pub all_features: bool,
    /// Turn the default feature off
    #[arg(long, help_heading = "Features")]
    pub no_default_features: bool,
}

/// What a build gets.
#[derive(Clone, Debug, Args)]
pub struct BuildArgs {
    /// Take the configuration and decisions from this file; docs/configuration.md
    #[arg(long, value_name = "FILE", help_heading = "Sandbox")]
    pub config: Option<PathBuf>,
    /// Give the build a variable; without a value, ours; repeatable
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Sandbox")]
    pub env: Vec<String>,
    /// As --env, for names that look like secrets
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "Sandbox")]
    pub env_secret: Vec<String>,
    /// Let the build read a file or directory of this machine; repeatable
    #[arg(long, value_name = "PATH", help_heading = "Sandbox")]
    pub read: Vec<PathBuf>,
    /// The toolchain, as rustup names it
    #[arg(long, value_name = "NAME", help_heading = "Sandbox")]
    pub toolchain: Option<String>,
    /// Seconds after which the build is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = seconds, help_heading = "Sandbox")]
    pub timeout: u64,
    /// Bound what the build uses up, such as memory=8G; repeatable; docs/limits.md
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Sandbox", long_help = LIMITS)]
    pub limit: Vec<String>,
    /// How many units run at a time; default: the number of CPUs
    #[arg(long, short = 'j', value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Sandbox")]
    pub jobs: Option<u16>,
}

/// What to look at.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Build this target, too, and tell what it asked this machine for and did not get
    #[arg(long = "for", value_name = "TARGET")]
    pub target: Option<String>,
    /// What is built of it.
    #[command(flatten)]
    pub features: FeatureArgs,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = PlainFormat::Human, help_heading = "Reports")]
    pub format: PlainFormat,
    /// What the build gets.
    #[command(flatten)]
    pub build: BuildArgs,
    /// Use no network; name what is missing
    #[arg(long, help_heading = "General")]
    pub offline: bool,
    /// How it looks.
    #[command(flatten)]
    pub tone: ToneArgs,
}

/// What to do with decisions that hide.
#[derive(Debug, Subcommand)]
pub enum IgnoreCommand {
    /// Propose an entry for each finding of a package that counts
    Add(IgnoreArgs),
}

/// Which findings to hide.
#[derive(Debug, Args)]
pub struct IgnoreArgs {
    /// Only findings of this code, also mild ones; repeatable
    #[arg(long, value_name = "CODE")]
    pub code: Vec<String>,
    /// Only the finding with this subject
    #[arg(long, value_name = "SUBJECT")]
    pub object: Option<String>,
    /// What is decided.
    #[command(flatten)]
    pub decide: DecideArgs,
}

/// What is decided, from which evidence, and where it goes.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// The package whose findings are meant
    #[arg(value_name = "CRATE[@VERSION]")]
    pub package: String,
    /// Why; anybody who reads the file wants to know
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// When it ends: a day such as 2027-01-31, or a number of days such as 90d
    #[arg(long, value_name = "DAY|90d")]
    pub expires: String,
    /// The evidence of a run; default: the last one of the package that is kept
    #[arg(long, value_name = "FILE")]
    pub evidence: Option<PathBuf>,
    /// Look for it in this directory; default: $XDG_STATE_HOME/sandbox-check/evidence
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Write the file; without it, the difference is printed and nothing changes
    #[arg(long)]
    pub write: bool,
    /// The file of decisions; default: that of the workspace
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Judge by this policy instead of the default one
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// How it looks.
    #[command(flatten)]
    pub tone: ToneArgs,
}

/// What is known without running anything.
#[derive(Clone, Debug, Default, Args)]
pub struct KnownArgs {
    /// A database of advisories: a checkout or .tar.gz of RustSec's advisory-db, or OSV records as a directory or file; repeatable
    #[arg(long, value_name = "PATH", help_heading = "Known facts")]
    pub advisory_db: Vec<PathBuf>,
    /// Download the database from here, a .tar.gz archive of RustSec's advisory-db, where none is named
    #[arg(long, value_name = "URL", help_heading = "Known facts")]
    pub advisory_url: Option<String>,
    /// Do not rely on a database whose newest advisory is older
    #[arg(long, value_name = "DAYS", help_heading = "Known facts")]
    pub max_db_age: Option<u64>,
}

/// Where the subject is developed.
#[derive(Clone, Debug, Default, Args)]
pub struct RepositoryArgs {
    /// Compare the archive with the commit that it names, in this clone of its repository
    #[arg(long, value_name = "DIR", help_heading = "Known facts")]
    pub repository: Option<PathBuf>,
}

/// What to tell the known facts of.
#[derive(Debug, Args)]
pub struct FactsArgs {
    /// name@version, name, ./directory, file.crate, or a Cargo.lock
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Where it is kept.
    #[command(flatten)]
    pub repository: RepositoryArgs,
    /// What is known.
    #[command(flatten)]
    pub known: KnownArgs,
    /// How it is told.
    #[command(flatten)]
    pub reports: ReportArgs,
    /// Take the configuration and decisions from this file; docs/configuration.md
    #[arg(long, value_name = "FILE", help_heading = "Decisions")]
    pub config: Option<PathBuf>,
    /// Keep the evidence in this directory
    #[arg(long, value_name = "DIR", help_heading = "Reports")]
    pub evidence: Option<PathBuf>,
    /// Use no network; name what is missing
    #[arg(long, help_heading = "General")]
    pub offline: bool,
    /// How it looks.
    #[command(flatten)]
    pub tone: ToneArgs,
}

/// What to judge again and how.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The evidence of a run: the file that its report names
    #[arg(value_name = "EVIDENCE")]
    pub evidence: PathBuf,
    /// Take decisions from this file instead of the workspace's; docs/decisions-file.md
    #[arg(long, value_name = "FILE", help_heading = "Decisions")]
    pub config: Option<PathBuf>,
    /// Look advisories up in this database instead of taking those of the run; repeatable
    #[arg(long, value_name = "PATH", help_heading = "Known facts")]
    pub advisory_db: Vec<PathBuf>,
    /// How it is told.
    #[command(flatten)]
    pub reports: ReportArgs,
    /// How it looks.
    #[command(flatten)]
    pub tone: ToneArgs,
}

/// How a judgement is made and told.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = Format::Human, help_heading = "Reports")]
    pub format: Format,
    /// Write a report to a file, too; repeatable
    #[arg(long, value_name = "FORMAT=FILE", help_heading = "Reports")]
    pub output: Vec<String>,
    /// Judge by this policy instead of the default one
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    pub policy: Option<PathBuf>,
    /// The lowest severity for which the exit code is not 0
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Medium, help_heading = "Reports")]
    pub fail_on: FailOn,
    /// What people have decided.
    #[command(flatten)]
    pub decisions: DecisionArgs,
}

/// What counts of what people have decided.
#[derive(Clone, Debug, Args)]
pub struct DecisionArgs {
    /// Take decisions from this commit, not from the working tree; what that would add is listed and does not count
    #[arg(long, value_name = "REF", help_heading = "Decisions", conflicts_with = "no_decisions")]
    pub decisions_from: Option<String>,
    /// Judge as if nobody had decided anything
    #[arg(long, help_heading = "Decisions")]
    pub no_decisions: bool,
    /// Make an error of: unused-ignore (a decision that is about nothing that was found)
    #[arg(long, short = 'D', value_enum, value_name = "WORD", help_heading = "Decisions")]
    pub deny: Vec<Deny>,
}

/// Words about decisions that can be made errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// A decision that is about nothing that was found
    UnusedIgnore,
}

/// How it looks while it is told.
#[derive(Clone, Debug, Args)]
pub struct ToneArgs {
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, help_heading = "General")]
    pub color: Color,
    /// No progress
    #[arg(long, short, help_heading = "General")]
    pub quiet: bool,
}

/// Forms of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; not stable
    Human,
    /// For programs; docs/report.schema.json
    Json,
    /// One finding a line, then the run
    Ndjson,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// XML for test views
    Junit,
    /// For the summary of a job
    Markdown,
    /// An in-toto statement with the runtime trace of the archives that ran; not signed
    InToto,
}

/// Forms of what is no report on packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlainFormat {
    /// For people; not stable
    Human,
    /// For programs
    Json,
}

impl From<PlainFormat> for Format {
    fn from(format: PlainFormat) -> Self {
        match format {
            PlainFormat::Human => Self::Human,
            PlainFormat::Json => Self::Json,
        }
    }
}

/// How much is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DepthArg {
    /// What executes at build time: build scripts, macro libraries, and what these need
    Build,
    /// Everything that `cargo check` compiles, so that macros meet their real inputs; slower
    Check,
}

/// Further classes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceClass {
    /// stat, access and readlink
    Probes,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A severity on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Anything that is worth a line
    Low,
    /// What a person should look at
    Medium,
    /// What should stop a release
    High,
    /// What only an attack does
    Critical,
}

/// A time that has room for something.
fn seconds(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|seconds| *seconds > 0).ok_or("give whole seconds, at least 1")
}

const LIMITS: &str = "\
Bound what the build uses up, such as memory=8G; repeatable; docs/limits.md
    unit-time  seconds of one unit         cpu         seconds of CPU time of one unit
    memory     bytes in the sandbox        processes   and threads in the sandbox
    disk       bytes in all folders        inodes      files in one folder
    file-size  bytes of one file           open-files  descriptors of one process
    output     bytes that a unit prints    evidence    bytes of evidence";

const EXIT_CODES: &str = "\
Exit codes (the first that applies):
    2  usage or configuration          75  the registry did not answer; try again
    4  a sandbox layer is missing       5  inconclusive: nothing found, not complete
    1  internal error                   3  no such name, version or file
   10  fail: a finding is high          0  pass
   11  review: a finding is medium   130, 143  ended by a signal";
