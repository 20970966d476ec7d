//! Configuration for cargo and rustup that a package brings along, and which programs it chooses.
//!
//! Nothing of it is ever used as a setting here. Cargo would obey it if
//! somebody ran cargo inside the package's folder.

use std::path::Path;

use toml::{Table, Value};

use super::facts::{EMBEDDED_CARGO_CONFIG, Found, NAMES_PROGRAM};
use super::needed::may_hold;
use super::target::HOST;

/// How much of such a file is looked at.
pub(crate) const READ: u64 = 256 * 1024;

/// Keys whose value is a program that cargo or rustup starts, by their last part.
const PROGRAM_KEYS: &[&str] = &[
    "rustc",
    "rustdoc",
    "rustc-wrapper",
    "rustc-workspace-wrapper",
    "linker",
    "runner",
    "credential-provider",
    "global-credential-providers",
    "credential-process",
    "browser",
];

/// True for the files that cargo and rustup read settings from, in any folder.
pub(crate) fn is_setting(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    match name {
        Some("config" | "config.toml") => folder == Some(".cargo"),
        Some("rust-toolchain" | "rust-toolchain.toml") => true,
        _ => false,
    }
}

/// What such a file sets.
pub(crate) fn look(path: &Path, contents: &[u8]) -> Found {
    let text = String::from_utf8_lossy(contents);
    let says = match text.parse::<Table>() {
        Ok(table) => {
            let mut keys = Vec::new();
            collect(&table, "", &mut keys);
            let (programs, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| is_program(key));
            let elsewhere = if !is_at_the_root(path) {
                " for one of its folders"
            } else if programs.iter().all(|key| is_of_other_targets(key)) {
                " for other targets"
            } else {
                ""
            };
            match (programs.is_empty(), others.is_empty()) {
                (true, true) => "sets nothing".to_owned(),
                (true, false) => format!("sets {}", shown(&others)),
                (false, _) => {
                    format!("{NAMES_PROGRAM}{elsewhere} ({}) and sets {} other keys", shown(&programs), others.len())
                }
            }
        }
        // The old form of a toolchain file is a bare channel.
        Err(_) if path.file_name().is_some_and(|name| name == "rust-toolchain") => "names a toolchain".to_owned(),
        Err(_) => "cannot be parsed".to_owned(),
    };
    Found {
        code: EMBEDDED_CARGO_CONFIG,
        text: format!("ships {} that {says}", path.display()),
        path: Some(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()),
    }
}

/// True where cargo, run in the package's own folder, reads the file.
fn is_at_the_root(path: &Path) -> bool {
    path.components().count()
        <= if path.ends_with("rust-toolchain") || path.ends_with("rust-toolchain.toml") { 1 } else { 2 }
}

/// True for `target.PLATFORM.KEY` where the platform is not the one that is built for here.
fn is_of_other_targets(key: &str) -> bool {
    let platform = key.strip_prefix("target.").and_then(|rest| rest.rsplit_once('.'));
    platform.is_some_and(|(platform, _)| !may_hold(&platform.replace("\\\"", "\""), HOST))
}

fn is_program(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    PROGRAM_KEYS.contains(&last)
        || key == "toolchain.path"
        || key.starts_with("credential-alias.")
        || key.strip_prefix("env.").is_some_and(|name| chooses_program(name.split('.').next().unwrap_or(name)))
}

/// True for a variable that makes the loader, the compiler or a cargo start or load something: cargo has one for each of
/// its settings. Many projects say where their workspace lies by one of their own that begins alike.
fn chooses_program(variable: &str) -> bool {
    const OBEYED: [&str; 7] =
        ["PATH", "CARGO", "CARGO_HOME", "RUSTC", "RUSTDOC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
    const ENDS: [&str; 8] =
        ["_RUSTC", "_RUSTDOC", "_WRAPPER", "_LINKER", "_RUNNER", "_RUSTFLAGS", "_PROVIDER", "_PROVIDERS"];
    OBEYED.contains(&variable)
        || variable.starts_with("LD_")
        || (variable.starts_with("CARGO_") && ENDS.iter().any(|end| variable.ends_with(end)))
}

/// A text of bounded length.
fn shown(keys: &[String]) -> String {
    const MOST: usize = 32;
    let mut text = keys.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if keys.len() > MOST {
        text.push_str(", …");
    }
    text
}

/// True for flags that choose a linker.
fn chooses_linker(key: &str, value: &Value) -> bool {
    let is_flags = matches!(key.rsplit('.').next(), Some("rustflags" | "rustdocflags"));
    is_flags && value.to_string().contains("linker=")
}

/// Dotted paths of all values, with odd characters of keys escaped. The bound is that of the file: a key
/// behind thousands of others is as good as the first.
fn collect(table: &Table, prefix: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        let key: String = key.chars().flat_map(char::escape_debug).take(80).collect();
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => collect(inner, &path, keys),
            value if chooses_linker(&path, value) => keys.push(format!("{path}.linker")),
            _ => keys.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, contents: &str) -> String {
        look(Path::new(path), contents.as_bytes()).text
    }

    #[test]
    fn only_files_that_cargo_or_rustup_read_are_settings() {
        for path in [".cargo/config", "a/.cargo/config.toml", "rust-toolchain", "a/rust-toolchain.toml"] {
            assert!(is_setting(Path::new(path)), "{path}");
        }
        for path in ["config.toml", ".cargo/other", "src/rust-toolchain.rs", ".cargo"] {
            assert!(!is_setting(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_wrapper_a_linker_a_runner_and_a_toolchain_path_are_programs() {
        for (path, contents, key) in [
            (".cargo/config", "[build]\nrustc-wrapper = 'x'", "build.rustc-wrapper"),
            (".cargo/config.toml", "[target.x86_64-unknown-linux-gnu]\nlinker = 'x'", "linker"),
            (".cargo/config.toml", "[target.'cfg(unix)']\nrunner = ['x']", "runner"),
            (".cargo/config.toml", "[registry]\ncredential-provider = 'x'", "credential-provider"),
            (".cargo/config.toml", "[env]\nLD_PRELOAD = { value = 'x', force = true }", "LD_PRELOAD"),
            (".cargo/config.toml", "[env]\nRUSTC_WRAPPER = 'x'", "RUSTC_WRAPPER"),
            (".cargo/config.toml", "[env]\nCARGO_HOME = 'x'", "CARGO_HOME"),
            (".cargo/config.toml", "[env]\nCARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER = 'x'", "GNU_RUNNER"),
            (".cargo/config.toml", "[env]\nCARGO_BUILD_RUSTC_WORKSPACE_WRAPPER = 'x'", "WORKSPACE_WRAPPER"),
            ("rust-toolchain.toml", "[toolchain]\npath = '/x'", "toolchain.path"),
        ] {
            let text = says(path, contents);
            assert!(text.contains(NAMES_PROGRAM) && text.contains(key), "{text}");
        }
    }

    #[test]
    fn a_program_that_nobody_here_would_start_is_told_as_such() {
        let of = |path: &str, platform: &str| says(path, &format!("[target.'{platform}']\nrunner = 'x'"));
        for platform in ["wasm32-wasip1", "cfg(windows)", "cfg(all(target_arch = \"arm\", target_os = \"none\"))"] {
            let text = of(".cargo/config.toml", platform);
            assert!(text.contains("names a program for other targets ("), "{text}");
        }
        for platform in ["x86_64-unknown-linux-gnu", "cfg(unix)", "cfg(target_os = \"linux\")", "cfg(all())"] {
            let text = of(".cargo/config.toml", platform);
            assert!(text.contains("names a program ("), "{text}");
        }
        let both = "[target.wasm32-wasip1]\nrunner = 'x'\n[build]\nrustc-wrapper = 'x'";
        assert!(says(".cargo/config", both).contains("names a program ("));
        assert!(says("ci/.cargo/config", both).contains("names a program for one of its folders ("));
        let path = "[toolchain]\npath = '/x'";
        assert!(says("rust-toolchain.toml", path).contains("names a program ("));
        assert!(says("ci/rust-toolchain.toml", path).contains("names a program for one of its folders ("));
    }

    #[test]
    fn a_program_is_found_behind_many_keys_and_inside_of_flags() {
        let aliases = (0..500).map(|number| format!("a{number} = 'check'\n")).collect::<Vec<_>>().concat();
        let text = says(".cargo/config.toml", &format!("[alias]\n{aliases}[build]\nrustc-wrapper = 'x'"));
        assert!(text.contains(NAMES_PROGRAM) && text.len() < 200, "{text}");
        let text = says(".cargo/config.toml", "[build]\nrustflags = ['-C', 'linker=/x/ld']");
        assert!(text.contains(NAMES_PROGRAM), "{text}");
    }

    #[test]
    fn flags_a_channel_and_variables_of_a_projects_own_are_no_programs() {
        for flag in ["-O", "-Clinker-flavor=gnu-lld", "-Clink-arg=-fuse-ld=lld"] {
            assert!(!says(".cargo/config.toml", &format!("[build]\nrustflags = ['{flag}']")).contains(NAMES_PROGRAM));
        }
        assert!(!says("rust-toolchain", "stable\n").contains(NAMES_PROGRAM));
        for variable in
            ["CARGO_WORKSPACE_DIR = { value = '', relative = true }", "CARGO_TERM_COLOR = 'always'", "RUST_LOG = 'x'"]
        {
            assert!(!says(".cargo/config.toml", &format!("[env]\n{variable}")).contains(NAMES_PROGRAM), "{variable}");
        }
    }

    #[test]
    fn keys_reach_the_text_without_control_characters() {
        assert!(!says(".cargo/config.toml", "\"a\\u001b[2J\" = 1").contains('\u{1b}'));
    }
}
