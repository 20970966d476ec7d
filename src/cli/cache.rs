//! The arguments of `sandbox-check cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Color, PlainFormat};

/// What to do with the evidence of earlier runs.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List what is held, and remove what is old, too much or damaged
    Gc(GcArgs),
    /// Read all that is held, and name what is damaged
    Verify(HeldArgs),
    /// Write all that is held to one file, for another machine
    Export(PassArgs),
    /// Bring in what was exported; without the key of its maker it answers for no run
    Import(PassArgs),
}

/// A file for or from another machine.
#[derive(Debug, Args)]
pub struct PassArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The file with the key of 32 bytes or more; else `SANDBOX_CHECK_CACHE_KEY`, if that is set
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where it is.
    #[command(flatten)]
    pub held: HeldArgs,
}

/// What may stay.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Remove what is older
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub older_than: u64,
    /// Remove the oldest of what is more than so many MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub max_size: u64,
    /// Only tell what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Where it is.
    #[command(flatten)]
    pub held: HeldArgs,
}

/// Where it is and how it is told.
#[derive(Debug, Args)]
pub struct HeldArgs {
    /// The directory; default: $XDG_STATE_HOME/sandbox-check/evidence
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// What goes to standard output
    #[arg(long, value_enum, default_value_t = PlainFormat::Human)]
    pub format: PlainFormat,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
}
