//! Lets cargo choose versions: `generate-lockfile` in a package of ours and nowhere else.
//!
//! Cargo reads the index only. It unpacks nothing, runs nothing of the
//! subject's, and never has a folder of the subject's as its working directory.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::config::CARGO_STANDS_IN;
use super::error::AcquireError;
use super::settings::{AcquireSettings, Limits};
use crate::evidence::bytes::is_printable;
use crate::sys::process::die_with_the_caller;

/// How much of what cargo prints is kept.
const OUTPUT: usize = 64 * 1024;

/// How cargo is to choose.
#[derive(Debug)]
pub(crate) struct Resolution<'a> {
    /// The package of ours.
    pub(crate) folder: &'a Path,
    /// A lock file is there and cargo keeps what it names.
    pub(crate) locked: bool,
    pub(crate) offline: bool,
    /// Values of `--config`.
    pub(crate) config: Vec<String>,
}

/// Runs cargo and gives the text of `Cargo.lock`.
pub(crate) fn resolve(resolution: &Resolution<'_>, settings: &AcquireSettings) -> Result<String, AcquireError> {
    let mut command = command(resolution, settings);
    let no_cargo = |source| AcquireError::NoCargo { program: settings.cargo.clone(), source };
    let mut child = command.spawn().map_err(no_cargo)?;
    let output = child.stderr.take().map(|stderr| std::thread::spawn(move || keep_end(stderr)));
    let ended = wait(&mut child, &settings.limits);
    let output = output.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let status = match ended.map_err(no_cargo)? {
        Ended::Itself(status) => status,
        Ended::TooLate => return Err(AcquireError::ResolveTime { seconds: settings.limits.resolve.as_secs() }),
        Ended::TooLarge => return Err(AcquireError::ResolveMemory { limit: settings.limits.resolve_bytes }),
    };
    if !status.success() {
        return Err(explain(&output, resolution.offline));
    }
    let lock = resolution.folder.join("Cargo.lock");
    std::fs::read_to_string(&lock).map_err(AcquireError::file("read", &lock))
}

fn command(resolution: &Resolution<'_>, settings: &AcquireSettings) -> Command {
    let mut command = Command::new(&settings.cargo);
    if resolution.locked {
        command.args(["update", "--workspace"]);
    } else {
        command.arg("generate-lockfile");
    }
    command.args(["--color", "never"]);
    if resolution.offline {
        command.arg("--offline");
    }
    for value in &resolution.config {
        command.args(["--config", value]);
    }
    command.arg("--manifest-path").arg(resolution.folder.join("Cargo.toml"));
    command.current_dir(CARGO_STANDS_IN).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env_clear().envs(settings.environment.iter().filter(|(name, _)| passes(name)));
    command.env("CARGO_HOME", &settings.cargo_home);
    // What cargo asks the compiler it asks this one, not a proxy that has to find it first.
    command.env("RUSTC", settings.cargo.with_file_name("rustc"));
    // The only form of the default registry's index that we read.
    command.env("CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "sparse");
    if let Some(toolchain) = &settings.toolchain {
        command.env("RUSTUP_TOOLCHAIN", toolchain);
    }
    // However this program ends, no cargo goes on asking.
    die_with_the_caller(&mut command);
    command
}

/// Cargo gets the user's environment without what starts other programs or describes another build.
fn passes(name: &OsStr) -> bool {
    const NAMES: &[&str] = &["CARGO", "CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "CARGO_MAKEFLAGS", "MAKEFLAGS"];
    const PREFIXES: &[&str] = &[
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "CARGO_BUILD_",
        "CARGO_ENCODED_",
        "CARGO_TARGET_",
        "CARGO_PROFILE_",
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "CARGO_ALIAS_",
        "CARGO_UNSTABLE_",
        "LD_",
    ];
    let Some(name) = name.to_str() else { return false };
    !NAMES.contains(&name) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// How cargo came to its end.
enum Ended {
    Itself(std::process::ExitStatus),
    /// The time was over, and it was killed.
    TooLate,
    /// It took too much memory, and was killed.
    TooLarge,
}

fn wait(child: &mut Child, limits: &Limits) -> std::io::Result<Ended> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Itself(status));
        }
        let over = if start.elapsed() >= limits.resolve {
            Some(Ended::TooLate)
        } else {
            (memory(child.id()) > limits.resolve_bytes).then_some(Ended::TooLarge)
        };
        if let Some(over) = over {
            child.kill()?;
            child.wait()?;
            return Ok(over);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The bytes of memory that a process holds; nothing if it is gone.
pub(super) fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0);
    kib.saturating_mul(1024)
}

/// Reads all, keeps the end, drops what a terminal would obey.
fn keep_end(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count) = from.read(&mut chunk) {
        if count == 0 {
            break;
        }
        kept.extend(chunk.iter().take(count));
        if kept.len() > 2 * OUTPUT {
            kept.drain(..kept.len() - OUTPUT);
        }
    }
    String::from_utf8_lossy(&kept).chars().filter(|c| *c == '\n' || is_printable(*c)).collect()
}

fn explain(output: &str, offline: bool) -> AcquireError {
    const NETWORK: &[&str] = &[
        "spurious network error",
        "failed to download",
        "download of ",
        "Could not resolve",
        "Couldn't connect",
        "failed to get successful HTTP response",
        "Timeout was reached",
        "timed out",
        "network failure",
        "SSL connect error",
        "failed to query replaced source",
    ];
    let from_error = output.find("error: ").and_then(|at| output.get(at + "error: ".len()..)).unwrap_or(output);
    let message = from_error.trim().to_owned();
    if offline {
        let missing = message.lines().next().unwrap_or("a package's index entry").to_owned();
        return AcquireError::OfflineMissing { missing: vec![missing] };
    }
    if ["credential-provider", "no token found", "token rejected", "credential provider"]
        .iter()
        .any(|words| message.contains(words))
    {
        let hint = "give cargo a token for this registry, and `registry.global-credential-providers`".to_owned();
        let message = format!("cargo was not let in by the registry: {message}");
        return AcquireError::Usage { message, hint: Some(hint) };
    }
    let answer_is_final = message.contains("no matching package") || message.contains("failed to select a version");
    if !answer_is_final && NETWORK.iter().any(|words| message.contains(words)) {
        AcquireError::ResolveNetwork { message }
    } else {
        AcquireError::Resolve { message }
    }
}

/// The package that cargo did not find, by its words.
pub(crate) fn missing_name(message: &str) -> Option<&str> {
    const WORDS: [&str; 3] = [
        "no matching package named `",
        "failed to select a version for the requirement `",
        "failed to select a version for `",
    ];
    let rest = WORDS.iter().find_map(|words| message.split_once(words))?.1;
    rest.split(['`', ' ']).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::{Environment, ErrorClass};

    fn settings(script: &str, folder: &Path) -> AcquireSettings {
        use std::os::unix::fs::PermissionsExt as _;
        let cargo = folder.join("cargo");
        std::fs::write(&cargo, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
        let environment = Environment::default()
            .with("PATH", "/usr/bin:/bin")
            .with("RUSTC_WRAPPER", "evil")
            .with("CARGO_BUILD_RUSTC", "evil")
            .with("KEPT", "kept");
        let mut settings = AcquireSettings::in_environment(folder, environment);
        settings.cargo = cargo;
        settings.toolchain = Some("pinned".to_owned());
        settings.limits.resolve = Duration::from_secs(5);
        settings
    }

    fn run(script: &str, limit: Duration) -> (tempfile::TempDir, Result<String, AcquireError>) {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(script, folder.path());
        settings.limits.resolve = limit;
        let resolution = Resolution { folder: folder.path(), locked: false, offline: false, config: Vec::new() };
        let outcome = resolve(&resolution, &settings);
        (folder, outcome)
    }

    #[test]
    fn cargo_runs_in_no_folder_of_anybodys_with_the_toolchain_pinned_and_without_wrappers() {
        let script = "for last; do :; done; \
            { pwd; echo \"$RUSTUP_TOOLCHAIN $KEPT [$RUSTC_WRAPPER$CARGO_BUILD_RUSTC] $*\"; } > \"${last%.toml}.lock\"";
        let (folder, outcome) = run(script, Duration::from_secs(5));
        let manifest = folder.path().join("Cargo.toml");
        let expected =
            format!("/\npinned kept [] generate-lockfile --color never --manifest-path {}\n", manifest.display());
        assert_eq!(outcome.unwrap(), expected);
    }

    #[test]
    fn a_cargo_that_does_not_end_is_killed() {
        let start = Instant::now();
        let (_folder, outcome) = run("exec sleep 60", Duration::from_millis(100));
        assert!(matches!(outcome, Err(AcquireError::ResolveTime { .. })));
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_cargo_that_takes_too_much_memory_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings("x=$(head -c 60000000 /dev/zero | tr '\\0' x); exec sleep 60", folder.path());
        settings.limits.resolve = Duration::from_secs(30);
        settings.limits.resolve_bytes = 30_000_000;
        let resolution = Resolution { folder: folder.path(), locked: false, offline: false, config: Vec::new() };
        let error = resolve(&resolution, &settings).unwrap_err();
        assert!(matches!(error, AcquireError::ResolveMemory { limit: 30_000_000 }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Temporary);
    }

    #[test]
    fn what_cargo_prints_becomes_the_error_without_control_characters() {
        let (_folder, outcome) = run("printf 'noise\\nerror: no \\033[2Jway\\n' >&2; exit 101", Duration::from_secs(5));
        assert_eq!(outcome.unwrap_err().to_string(), "cargo could not choose versions: no [2Jway");
    }

    #[test]
    fn a_dead_network_is_told_from_an_impossible_choice() {
        assert_eq!(explain("error: [6] Could not resolve hostname", false).class(), ErrorClass::Temporary);
        assert_eq!(explain("error: failed to select a version for `a`", false).class(), ErrorClass::NotFound);
        assert_eq!(explain("error: no matching package named `a` found", true).class(), ErrorClass::NotFound);
        assert_eq!(explain("error: no token found for `a`", false).class(), ErrorClass::Usage);
    }

    #[test]
    fn the_package_that_cargo_misses_is_read_from_its_words() {
        assert_eq!(missing_name("no matching package named `a-b` found\nlocation searched: x"), Some("a-b"));
        assert_eq!(missing_name("failed to select a version for the requirement `a = \"=1\"`"), Some("a"));
        assert_eq!(missing_name("failed to select a version for `a`."), Some("a"));
        assert_eq!(missing_name("something else about `a`"), None);
    }

    #[test]
    fn a_missing_cargo_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings("", folder.path());
        settings.cargo = folder.path().join("none");
        let resolution = Resolution { folder: folder.path(), locked: false, offline: false, config: Vec::new() };
        assert!(matches!(resolve(&resolution, &settings), Err(AcquireError::NoCargo { .. })));
    }
}
