//! Finds the toolchain of the host's that builds, and asks it what it is.
//!
//! rustup's proxies read `rust-toolchain.toml` of the working directory, which
//! may name an attacker's program. So each question is asked in `/`, with the
//! toolchain pinned, and everything after uses absolute paths below the sysroot.

use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

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

impl HostToolchain {
    /// True if this is what a channel names: of `stable` and the like nobody can tell, of a version everybody.
    pub fn is_of(&self, channel: &str) -> bool {
        let first = channel.split('-').next().unwrap_or_default();
        let is_version = first.starts_with(|c: char| c.is_ascii_digit());
        let mut own = self.record.rustc.split_whitespace().nth(1).unwrap_or_default().split(['.', '-']);
        !is_version || first.split('.').all(|part| own.next() == Some(part))
    }
}

/// The server that expands macros, below the sysroot. It comes with rustup's `rustc` component.
pub const DRIVER: &str = "libexec/rust-analyzer-proc-macro-srv";

impl HostToolchain {
    /// True if the toolchain has a server that expands macros.
    pub fn has_driver(&self) -> bool {
        self.sysroot.join(DRIVER).is_file()
    }

    /// True if this cargo knows `--compile-time-deps`, which builds only what executes at build time: since 1.90.
    pub fn builds_only_what_executes(&self) -> bool {
        let version = self.record.cargo.split_whitespace().nth(1).unwrap_or_default();
        let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        (numbers.next(), numbers.next()) >= (Some(1), Some(90))
    }
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
    /// `rustc` is not rustup's, and would be used under whatever name.
    #[error("use the toolchain `{0}`: the `rustc` here is not rustup's, and is the only one")]
    NotRustup(String),
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
            Self::Start { source, .. } if source.kind() != io::ErrorKind::NotFound => {
                "its files are damaged or not to be run: install the toolchain anew, or give another one with --toolchain NAME"
                    .to_owned()
            }
            Self::Start { .. } | Self::NoCargo(_) => {
                "install Rust with rustup, or give an installed toolchain with --toolchain NAME".to_owned()
            }
            Self::Ask { .. } => {
                "`rustup toolchain list` shows what is installed; --toolchain NAME chooses one".to_owned()
            }
            Self::NotRustup(_) => {
                "leave --toolchain away to use that one, or install Rust with rustup, which has others".to_owned()
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
    /// No toolchain can be called so.
    const NONE: &str = "no/toolchain";
    // Only rustup's proxies know names; any other rustc takes no notice of them.
    if let Some(name) = name
        && ask(Path::new("rustc"), Some(NONE), &["--print", "sysroot"]).is_ok()
    {
        return Err(ToolchainError::NotRustup(name.to_owned()));
    }
    let sysroot = PathBuf::from(ask(Path::new("rustc"), name, &["--print", "sysroot"])?);
    let (cargo, rustc) = (sysroot.join("bin/cargo"), sysroot.join("bin/rustc"));
    if !cargo.is_file() {
        return Err(ToolchainError::NoCargo(sysroot));
    }
    let (verbose, of_cargo) = thread::scope(|scope| {
        let verbose = scope.spawn(|| ask(&rustc, None, &["-vV"]));
        let of_cargo = ask(&cargo, None, &["-V"]);
        (verbose.join().unwrap_or_else(|panic| resume_unwind(panic)), of_cargo)
    });
    let verbose = verbose?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("an unknown machine").to_owned();
    if host != "x86_64-unknown-linux-gnu" {
        return Err(ToolchainError::Host(host));
    }
    let of_cargo = of_cargo?;
    let record = Toolchain { cargo: first_line(&of_cargo), rustc: first_line(&verbose), host };
    Ok(HostToolchain { sysroot, cargo, rustc, record, described: format!("{of_cargo}\n{verbose}\n") })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn ask(program: &Path, toolchain: Option<&str>, args: &[&str]) -> Result<String, ToolchainError> {
    let mut command = Command::new(program);
    // A toolchain that is not there is not fetched: whoever examines something has not asked for that.
    command.args(args).current_dir("/").env("RUSTUP_AUTO_INSTALL", "0");
    // Where it went wrong inside rustup helps nobody to get a toolchain.
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cargo_that_builds_only_what_executes_is_known_by_its_version() {
        let of = |cargo: &str| {
            let record = Toolchain { cargo: cargo.to_owned(), rustc: String::new(), host: String::new() };
            let none = PathBuf::new();
            HostToolchain { sysroot: none.clone(), cargo: none.clone(), rustc: none, record, described: String::new() }
                .builds_only_what_executes()
        };
        for new in ["cargo 1.90.0 (840b83a10 2025-07-30)", "cargo 1.95.0", "cargo 1.97.0-nightly (x)", "cargo 2.0.0"] {
            assert!(of(new), "{new}");
        }
        for old in ["cargo 1.89.0 (x)", "cargo 1.8.0", "cargo", "", "cargo x.y"] {
            assert!(!of(old), "{old}");
        }
    }
}
