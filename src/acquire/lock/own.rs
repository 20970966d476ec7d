//! What a workspace wants of cargo and rustup, read by us as data.
//!
//! cargo and rustup would obey these files, and some of their settings start
//! programs. Here only registries, sources, target, rustflags and values of
//! variables count, and of a toolchain file the channel; everything else is
//! named in the report as ignored.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};

use toml::{Table, Value};

use super::super::config::ForeignSettings;
use super::super::error::AcquireError;
use crate::policy::names_secret;

/// More than any such file has.
const FILE_BYTES: u64 = 1024 * 1024;
/// Ignored settings that are named; more are counted.
const LISTED: usize = 40;
/// Text that is shown of one name.
const SHOWN: usize = 120;

/// What is said of a file of decisions that lies beside a lock file.
const OWN_DECISIONS: &str = "sandbox-check.toml: a target brings no decisions of its own";

/// What a workspace's files ask for, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnSettings {
    /// The channel of the toolchain, as rustup names it.
    pub channel: Option<String>,
    /// Variables for the build: name, value, and whether the value counts from the workspace's folder.
    pub(crate) variables: Vec<(String, String, bool)>,
    /// Keys of cargo's configuration and the flags that they hold.
    pub(crate) flags: Vec<(String, Vec<String>)>,
    /// `[registries]` and `[source]`.
    pub(crate) sources: ForeignSettings,
    /// What counts, for people.
    pub(crate) taken: Vec<String>,
    /// What does not, for people.
    pub(crate) ignored: Vec<String>,
}

/// Reads `.cargo/config.toml`, `rust-toolchain*` and what else lies in the folder of a workspace.
///
/// # Errors
/// When a file that cargo or rustup would obey cannot be read or is no TOML: what it asks for is not known then.
pub(super) fn read(root: &Path, host: &str) -> Result<OwnSettings, AcquireError> {
    let mut own = OwnSettings::default();
    // Where both are there, cargo and rustup take the one without ending.
    for name in ["rust-toolchain", "rust-toolchain.toml"] {
        if let Some(text) = text(&root.join(name))? {
            own.toolchain(name, &text)?;
            break;
        }
    }
    for name in [".cargo/config", ".cargo/config.toml"] {
        if let Some(text) = text(&root.join(name))? {
            own.config(&root.join(name), &text, root, host)?;
            break;
        }
    }
    if root.join("sandbox-check.toml").symlink_metadata().is_ok() {
        own.ignored.push(OWN_DECISIONS.to_owned());
    }
    let more = own.ignored.len().saturating_sub(LISTED);
    own.ignored.truncate(LISTED);
    if more > 0 {
        own.ignored.push(format!("and {more} further settings"));
    }
    Ok(own)
}

/// A small regular file; a link, a FIFO or a folder is none.
///
/// # Errors
/// When something else is there, or what cannot be read.
pub fn text(path: &Path) -> Result<Option<String>, AcquireError> {
    let wrong = |reason: &str| AcquireError::Manifest { path: path.to_owned(), reason: reason.to_owned() };
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(_) => return Err(wrong("it cannot be read as a plain file")),
    };
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(wrong("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(|_| wrong("it is not text"))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_BYTES {
        return Err(wrong("it is too large"));
    }
    Ok(Some(text))
}

impl OwnSettings {
    /// The file of decisions beside the lock file is the user's own, and counts.
    pub fn takes_decisions(&mut self) {
        self.ignored.retain(|text| text != OWN_DECISIONS);
    }

    fn ignore(&mut self, file: &str, key: &str, why: &str) {
        self.ignored.push(format!("{file}: {}: {why}", key.chars().take(SHOWN).collect::<String>()));
    }

    fn toolchain(&mut self, name: &str, text: &str) -> Result<(), AcquireError> {
        let table: Table = match text.parse() {
            Ok(table) => table,
            // The old form is a bare channel.
            Err(_) if name == "rust-toolchain" && text.trim().lines().count() == 1 => Table::from_iter([(
                "toolchain".to_owned(),
                Value::Table(Table::from_iter([("channel".to_owned(), Value::String(text.trim().to_owned()))])),
            )]),
            Err(_) => {
                let message = format!("{name} cannot be parsed, so which toolchain it asks for is not known");
                let hint = Some("say which with --toolchain NAME".to_owned());
                return Err(AcquireError::Usage { message, hint });
            }
        };
        for leaf in leaves(&table) {
            let key = leaf.key();
            match (key.as_str(), leaf.value) {
                ("toolchain.channel", Value::String(channel)) if is_channel(channel) => {
                    self.channel = Some(channel.clone());
                    self.taken.push(format!("{name}: channel {channel}"));
                }
                ("toolchain.channel", _) => self.ignore(name, &key, "it is no channel of Rust's own"),
                _ => self.ignore(name, &key, "only the channel counts"),
            }
        }
        Ok(())
    }

    fn config(&mut self, path: &Path, text: &str, root: &Path, host: &str) -> Result<(), AcquireError> {
        const FILE: &str = ".cargo/config.toml";
        // The error's own form quotes lines, and a line may hold a token.
        let wrong = |error: toml::de::Error| AcquireError::Manifest {
            path: path.to_owned(),
            reason: error.message().to_owned(),
        };
        let table: Table = text.parse().map_err(wrong)?;
        for leaf in leaves(&table) {
            let (key, value) = (leaf.key(), leaf.value);
            let parts: Vec<&str> = leaf.parts.iter().map(String::as_str).collect();
            match parts.as_slice() {
                ["registries", name, "index"] => self.source(&["registries", name, "index"], value, &key),
                ["source", name, what @ ("registry" | "replace-with")] => {
                    self.source(&["source", name, what], value, &key);
                }
                ["source", name, what @ ("directory" | "local-registry")] => match inside(root, value) {
                    Some(place) => self.source(&["source", name, what], &Value::String(place), &key),
                    None => self.ignore(FILE, &key, "it lies outside the workspace"),
                },
                ["build", "target"] => {
                    let targets = words(value);
                    if targets.iter().any(|target| target != host) {
                        self.ignore(FILE, &key, &format!("only {host} is built and run here"));
                    }
                }
                ["build", "rustflags"] | ["target", _, "rustflags"] => self.flags(FILE, &key, value),
                ["env", name] | ["env", name, "value"] => self.variable(FILE, name, value, &table),
                ["env", _, "force" | "relative"] => {}
                _ => self.ignore(FILE, &key, reason(&parts)),
            }
        }
        Ok(())
    }

    fn source(&mut self, path: &[&str], value: &Value, key: &str) {
        self.sources.set(path, value.clone());
        self.taken.push(format!(".cargo/config.toml: {}", key.chars().take(SHOWN).collect::<String>()));
    }

    /// Flags go along, but for those that choose a program.
    fn flags(&mut self, file: &str, key: &str, value: &Value) {
        let (mut flags, mut all) = (Vec::new(), words(value).into_iter().peekable());
        while let Some(flag) = all.next() {
            let (short, joined) = (matches!(flag.as_str(), "-C" | "--codegen"), flag.as_str());
            let rest = if short { all.peek().map_or("", String::as_str) } else { joined };
            let rest = rest.trim_start_matches("-C").trim_start_matches("--codegen=");
            if names_linker(rest) {
                if short {
                    all.next();
                }
                self.ignore(file, key, "the linker that it names");
                continue;
            }
            flags.push(flag);
            if short {
                flags.extend(all.next());
            }
        }
        if !flags.is_empty() {
            self.taken.push(format!("{file}: {}", key.chars().take(SHOWN).collect::<String>()));
            self.flags.push((key.to_owned(), flags));
        }
    }

    fn variable(&mut self, file: &str, name: &str, value: &Value, table: &Table) {
        const NAMES: [&str; 3] = ["PATH", "HOME", "TMPDIR"];
        const OURS: [&str; 5] = ["RUSTC", "RUSTDOC", "RUSTUP", "CARGO", "LD_"];
        let text = match value {
            Value::String(text) => text.clone(),
            _ => return self.ignore(file, &format!("env.{name}"), "its value is not a text"),
        };
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_word || NAMES.contains(&name) || OURS.iter().any(|start| name.to_ascii_uppercase().starts_with(start)) {
            return self.ignore(
                file,
                &format!("env.{name}"),
                "the sandbox itself sets how programs are found and started",
            );
        }
        if names_secret(name) {
            return self.ignore(file, &format!("env.{name}"), "the name looks like a secret's; --env-secret gives one");
        }
        let of_table = table.get("env").and_then(|env| env.get(name));
        let is_relative = of_table.and_then(|of| of.get("relative")).and_then(Value::as_bool).unwrap_or(false);
        self.taken.push(format!("{file}: env.{name}"));
        self.variables.push((name.to_owned(), text, is_relative));
    }
}

/// Why a key of cargo's configuration does not count.
fn reason(parts: &[&str]) -> &'static str {
    let last = parts.last().copied().unwrap_or_default();
    match (parts.first().copied(), last) {
        (_, "rustc-wrapper" | "rustc-workspace-wrapper") => "a program around rustc",
        (_, "rustc" | "rustdoc") => "a compiler of its own",
        (_, "linker") => "a linker",
        (_, "runner") => "a program around what is built",
        (Some("alias"), _) => "an alias",
        (Some("patch"), _) => "a patch counts in the workspace's Cargo.toml only; put it there",
        (_, "credential-provider" | "global-credential-providers" | "token" | "secret-key") => {
            "how registries are opened is the user's to say"
        }
        _ => "it has no effect here",
    }
}

/// A value that is no table, with the keys that lead to it.
struct Leaf<'v> {
    parts: Vec<String>,
    value: &'v Value,
}

impl Leaf<'_> {
    /// The dotted key; parts that are no bare words are quoted.
    fn key(&self) -> String {
        let is_bare =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let quoted = |part: &String| if is_bare(part) { part.clone() } else { Value::String(part.clone()).to_string() };
        self.parts.iter().map(quoted).collect::<Vec<_>>().join(".")
    }
}

/// Every value that is no table.
fn leaves(table: &Table) -> Vec<Leaf<'_>> {
    const DEEPEST: usize = 6;
    let mut all = Vec::new();
    let mut open = vec![(Vec::new(), table)];
    while let Some((before, table)) = open.pop() {
        for (key, value) in table {
            let parts: Vec<String> = before.iter().chain([key]).cloned().collect();
            match value {
                Value::Table(table) if parts.len() < DEEPEST => open.push((parts, table)),
                value => all.push(Leaf { parts, value }),
            }
        }
    }
    all.sort_by(|one, other| one.parts.cmp(&other.parts));
    all
}

/// True for a flag of rustc's, behind its `-C`, that chooses what links: by name, or by way of the compiler that is asked to.
fn names_linker(flag: &str) -> bool {
    const CHOICES: [&str; 4] = ["-fuse-ld", "--ld-path", "-B", "-specs"];
    let arguments = flag.strip_prefix("link-arg=").or_else(|| flag.strip_prefix("link-args="));
    let mut words = arguments.into_iter().flat_map(str::split_whitespace);
    flag.starts_with("linker=") || words.any(|word| CHOICES.iter().any(|choice| word.starts_with(choice)))
}

/// An array's texts, or the words of one text.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The absolute form of a relative path that stays inside the workspace, links included.
fn inside(root: &Path, value: &Value) -> Option<String> {
    let path = Path::new(value.as_str()?);
    if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return None;
    }
    let (root, real) = (root.canonicalize().ok()?, root.join(path).canonicalize().ok()?);
    real.starts_with(&root).then(|| real.to_string_lossy().into_owned())
}

/// `stable`, `beta`, `nightly`, `1.90` or `1.90.0`, with a date or this machine's platform behind it.
fn is_channel(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    let is_version = first.split('.').count() <= 3
        && first.split('.').all(|part| !part.is_empty() && part.len() < 6 && part.bytes().all(|b| b.is_ascii_digit()));
    (["stable", "beta", "nightly"].contains(&first) || is_version)
        && parts
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.'))
        && text.len() < 80
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "x86_64-unknown-linux-gnu";

    fn of(files: &[(&str, &str)]) -> Result<OwnSettings, AcquireError> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        read(root.path(), HOST)
    }

    #[test]
    fn only_harmless_settings_count_and_the_others_are_named() {
        let config = "[build]\nrustc-wrapper = './evil'\ntarget = 'wasm32-unknown-unknown'\nrustflags = ['-Dwarnings', '-C', 'linker=./evil', '-Clinker=x', '--cfg', 'x', '-Clink-arg=-fuse-ld=mold', '-C', 'link-args=-lm --ld-path=./evil', '-Clink-arg=-lm']\n\
            [target.x86_64-unknown-linux-gnu]\nlinker = './evil'\nrunner = './evil'\n[target.'cfg(unix)']\nrustflags = '-C target-cpu=native'\n\
            [alias]\nbuild = ['run', './evil']\n[registry]\nglobal-credential-providers = ['./evil']\n\
            [registries.mine]\nindex = 'sparse+http://127.0.0.1:1/'\ncredential-provider = './evil'\ntoken = 'sesame'\n\
            [env]\nHELLO = 'world'\nRUSTC_WRAPPER = './evil'\nPATH = '.'\nHOME = { value = '/', force = true }\nAPI_TOKEN = 'x'\nHERE = { value = 'conf', relative = true }\n";
        let own = of(&[(".cargo/config.toml", config), ("sandbox-check.toml", "")]).unwrap();
        let flags: Vec<_> = own.flags.iter().map(|(key, flags)| format!("{key}={}", flags.join(" "))).collect();
        assert_eq!(
            flags,
            [
                "build.rustflags=-Dwarnings --cfg x -Clink-arg=-lm",
                "target.\"cfg(unix)\".rustflags=-C target-cpu=native"
            ]
        );
        let variables: Vec<_> =
            own.variables.iter().map(|(name, value, relative)| (name.as_str(), value.as_str(), *relative)).collect();
        assert_eq!(variables, [("HELLO", "world", false), ("HERE", "conf", true)]);
        let all = own.ignored.join("\n");
        for key in [
            "rustc-wrapper",
            "build.target",
            "linker",
            "runner",
            "alias.build",
            "credential-provider",
            "registries.mine.token",
            "env.RUSTC_WRAPPER",
            "env.PATH",
            "env.HOME",
            "env.API_TOKEN",
            "sandbox-check.toml",
            "global-credential-providers",
        ] {
            assert!(all.contains(key), "{key}: {all}");
        }
        assert!(!all.contains("sesame") && !all.contains("evil"), "values may be secrets: {all}");
        assert!(own.taken.iter().any(|taken| taken.contains("registries.mine.index")));
    }

    #[test]
    fn of_a_toolchain_file_only_the_channel_counts() {
        let own = of(&[("rust-toolchain.toml", "[toolchain]\nchannel = '1.90.0'\ncomponents = ['x']")]).unwrap();
        assert_eq!(own.channel.as_deref(), Some("1.90.0"));
        assert_eq!(own.ignored, ["rust-toolchain.toml: toolchain.components: only the channel counts"]);
        let own = of(&[("rust-toolchain.toml", "[toolchain]\npath = '/tmp/evil'")]).unwrap();
        assert_eq!(own.channel, None);
        assert!(own.ignored[0].contains("toolchain.path"));
        assert_eq!(
            of(&[("rust-toolchain", "nightly-2026-01-02\n")]).unwrap().channel.as_deref(),
            Some("nightly-2026-01-02")
        );
        for evil in ["/tmp/evil", "../evil", "evil", "stable/../../x", "-h", ""] {
            let text = format!("[toolchain]\nchannel = '{evil}'");
            assert_eq!(of(&[("rust-toolchain.toml", text.as_str())]).unwrap().channel, None, "{evil}");
        }
        of(&[("rust-toolchain.toml", "[[[")]).unwrap_err();
    }

    #[test]
    fn a_source_outside_the_workspace_does_not_count() {
        for path in ["/etc", "../x", "nowhere"] {
            let text = format!("[source.x]\ndirectory = '{path}'");
            let own = of(&[(".cargo/config.toml", text.as_str())]).unwrap();
            assert!(own.ignored[0].contains("outside"), "{path}");
            assert!(own.taken.is_empty());
        }
        let own = of(&[(".cargo/config.toml", "[source.x]\ndirectory = 'vendor'"), ("vendor/a", "")]).unwrap();
        assert_eq!(own.taken.len(), 1);
    }

    #[test]
    fn a_configuration_that_is_a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("rust-toolchain")).unwrap();
        read(root.path(), HOST).unwrap_err();
    }
}
