//! Finds the toolchain of the host's that builds, and asks it what it is.
//!
//! rustup's proxies read `rust-toolchain.toml` of the working directory, which
//! may name an attacker's program. So each question is asked in `/`, with the
//! toolchain pinned, and everything after uses absolute paths below the sysroot.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::evidence::line::Toolchain;

/// A toolchain on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostToolchain {
    /// What `rustc --print sysroot` says.
    pub sysroot: PathBuf,
    /// cargo itself, not a proxy.
    pub cargo: PathBuf,
    /// rustc itself.
    pub rustc: PathBuf,
    /// As evidence has it.
    pub record: Toolchain,
    /// All that cargo and rustc say of themselves: the commits that they were built from.
    pub described: String,
}

/// Why no toolchain can be used.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// A program cannot be started.
    #[error("start `{program}`")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("ask `{program}` what it is: {text}")]
    Ask {
        /// Which.
        program: String,
        /// What it printed.
        text: String,
    },
    /// The sysroot has no cargo.
    #[error("find cargo in {}", .0.display())]
    NoCargo(PathBuf),
    /// The compiler is for another machine.
    #[error("use a compiler for {0}: sandbox-check runs on x86_64-unknown-linux-gnu only")]
    Host(String),
}

impl ToolchainError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Start { .. } | Self::NoCargo(_) => {
                "install Rust with rustup, or give an installed toolchain with --toolchain NAME".to_owned()
            }
            Self::Ask { .. } => {
                "`rustup toolchain list` shows what is installed; --toolchain NAME chooses one".to_owned()
            }
            Self::Host(_) => "run it on x86-64 Linux".to_owned(),
        }
    }
}

/// Finds the toolchain: `name` as rustup knows it, or the default one.
///
/// # Errors
/// When there is none, or not for this machine.
pub fn find(name: Option<&str>) -> Result<HostToolchain, ToolchainError> {
    let sysroot = PathBuf::from(ask(Path::new("rustc"), name, &["--print", "sysroot"])?);
    let (cargo, rustc) = (sysroot.join("bin/cargo"), sysroot.join("bin/rustc"));
    if !cargo.is_file() {
        return Err(ToolchainError::NoCargo(sysroot));
    }
    let verbose = ask(&rustc, None, &["-vV"])?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("an unknown machine").to_owned();
    if host != "x86_64-unknown-linux-gnu" {
        return Err(ToolchainError::Host(host));
    }
    let of_cargo = ask(&cargo, None, &["-vV"])?;
    let record = Toolchain { cargo: first_line(&of_cargo), rustc: first_line(&verbose), host };
    Ok(HostToolchain { sysroot, cargo, rustc, record, described: format!("{of_cargo}\n{verbose}\n") })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn ask(program: &Path, toolchain: Option<&str>, args: &[&str]) -> Result<String, ToolchainError> {
    let mut command = Command::new(program);
    command.args(args).current_dir("/");
    if let Some(name) = toolchain {
        command.env("RUSTUP_TOOLCHAIN", name);
    }
    let program = program.display().to_string();
    let output = command.output().map_err(|source| ToolchainError::Start { program: program.clone(), source })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ToolchainError::Ask { program, text });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
