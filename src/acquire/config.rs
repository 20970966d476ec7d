//! The user's cargo configuration, read as data.
//!
//! The same files count as for the cargo that resolves: those in `.cargo/`
//! from the run's folder upward and those of `CARGO_HOME`. Nothing of the
//! subject's is among them, since the run's folder lies in our own cache.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::http::Transport;
use super::settings::Environment;

/// The largest configuration file that is read.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Why the user's cargo configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no TOML.
    #[error("{} cannot be parsed: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// `replace-with` leads nowhere or in a circle.
    #[error("source `{name}` of cargo's configuration {reason}")]
    Source {
        /// The name in `[source]`.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A registry with a git index.
    #[error("registry {url} has a git index, which is not supported")]
    GitIndex {
        /// Its URL.
        url: String,
    },
}

impl ConfigError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::GitIndex { .. } => "use its sparse index: a URL that begins with `sparse+`".to_owned(),
            _ => "cargo's own documentation has a chapter on source replacement".to_owned(),
        }
    }
}

/// The merged configuration.
pub(crate) struct CargoConfig {
    pub(super) merged: Table,
    pub(super) credentials: Table,
    pub(super) environment: Environment,
    /// Registries that only a workspace names: no token of the user's is for them.
    pub(super) foreign: BTreeSet<String>,
}

/// Settings of somebody else's, such as a workspace that is examined: registries and sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ForeignSettings(Table);

impl ForeignSettings {
    /// Sets the value at a path of keys.
    pub(crate) fn set(&mut self, keys: &[&str], value: Value) {
        fn put(table: &mut Table, keys: &[&str], value: Value) {
            match keys {
                [] => {}
                [last] => drop(table.insert((*last).to_owned(), value)),
                [first, rest @ ..] => {
                    let below = table.entry((*first).to_owned()).or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(below) = below {
                        put(below, rest, value);
                    }
                }
            }
        }
        put(&mut self.0, keys, value);
    }
}

/// Nothing of it is shown: it holds tokens.
impl fmt::Debug for CargoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CargoConfig").finish_non_exhaustive()
    }
}

/// Where cargo stands when we run it: it obeys the settings of each folder above, and our own folder may lie in one that
/// is a stranger's, as caches of a CI job do that lie in the project.
pub(crate) const CARGO_STANDS_IN: &str = "/";

impl CargoConfig {
    /// Reads what counts for cargo when we run it.
    pub(crate) fn of_cargo(home: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        Self::load(Path::new(CARGO_STANDS_IN), home, environment)
    }

    /// Reads what counts for a cargo that runs in `folder`.
    fn load(folder: &Path, home: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let mut merged = Table::new();
        let mut seen = BTreeSet::new();
        let folders = folder.ancestors().map(|folder| folder.join(".cargo")).chain([home.to_owned()]);
        for folder in folders {
            // Where both are there, cargo takes the one without ending.
            let file = ["config", "config.toml"].iter().map(|name| folder.join(name)).find(|file| file.is_file());
            let Some(file) = file else { continue };
            if seen.insert(file.clone()) {
                let mut table = read(&file)?;
                make_absolute(&mut table, folder.parent().unwrap_or(&folder));
                merge(&mut merged, table);
            }
        }
        let credentials = ["credentials", "credentials.toml"].iter().map(|name| home.join(name));
        let credentials = match credentials.into_iter().find(|file| file.is_file()) {
            Some(file) => read(&file)?,
            None => Table::new(),
        };
        Ok(Self { merged, credentials, environment: environment.clone(), foreign: BTreeSet::new() })
    }

    /// Adds registries and sources of a workspace's. What the user says wins, and what a registry is opened with stays
    /// for the registries that the user named.
    pub(crate) fn add_foreign(&mut self, foreign: &ForeignSettings) {
        let names = lookup(&foreign.0, &["registries"]).and_then(Value::as_table).into_iter().flat_map(Table::keys);
        let new: Vec<String> = names.filter(|name| self.index_of(name).is_none()).cloned().collect();
        self.foreign.extend(new);
        merge(&mut self.merged, foreign.0.clone());
    }

    pub(crate) fn offline(&self) -> bool {
        match self.environment.text("CARGO_NET_OFFLINE") {
            Some(text) => text == "true",
            None => self.at(&["net", "offline"]).and_then(Value::as_bool).unwrap_or(false),
        }
    }

    pub(crate) fn transport(&self) -> Result<Transport, ConfigError> {
        let text = |variable: &str, key: &str| {
            let configured = self.at(&["http", key]).and_then(Value::as_str);
            self.environment.text(variable).or(configured).map(str::to_owned)
        };
        let roots = match text("CARGO_HTTP_CAINFO", "cainfo") {
            None => None,
            Some(path) => {
                let path = PathBuf::from(path);
                Some(std::fs::read(&path).map_err(|source| ConfigError::Read { path, source })?)
            }
        };
        let seconds = match self.environment.text("CARGO_HTTP_TIMEOUT") {
            Some(text) => text.parse().ok(),
            None => self.at(&["http", "timeout"]).and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok()),
        };
        Ok(Transport { proxy: text("CARGO_HTTP_PROXY", "proxy"), roots, stall: seconds.map(Duration::from_secs) })
    }

    /// Names of the settings that put a program around rustc, such as a compiler cache.
    pub(crate) fn wrappers(&self) -> Vec<String> {
        const VARIABLES: [&str; 4] = [
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_RUSTC_WRAPPER",
            "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
        ];
        let keys = ["rustc-wrapper", "rustc-workspace-wrapper"].into_iter();
        let set = keys.filter(|key| self.at(&["build", key]).is_some()).map(|key| format!("build.{key}"));
        let variables = VARIABLES.into_iter().filter(|name| self.environment.get(name).is_some());
        variables.map(str::to_owned).chain(set).collect()
    }

    pub(super) fn at(&self, keys: &[&str]) -> Option<&Value> {
        lookup(&self.merged, keys)
    }
}

pub(super) fn lookup<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    let value = table.get(*first)?;
    if rest.is_empty() { Some(value) } else { lookup(value.as_table()?, rest) }
}

fn read(file: &Path) -> Result<Table, ConfigError> {
    let fail = |source| ConfigError::Read { path: file.to_owned(), source };
    let size = std::fs::metadata(file).map_err(fail)?.len();
    if size > FILE_BYTES {
        return Err(fail(std::io::ErrorKind::FileTooLarge.into()));
    }
    let text = std::fs::read_to_string(file).map_err(fail)?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Parse {
        path: file.to_owned(),
        // Only the words: the error's own form quotes lines, and a line may hold a token.
        reason: error.message().to_owned(),
    })
}

/// Paths count from the folder that holds the file's `.cargo`.
fn make_absolute(table: &mut Table, base: &Path) {
    let fix = |value: &mut Value| {
        if let Value::String(text) = value {
            *text = base.join(text.as_str()).to_string_lossy().into_owned();
        }
    };
    if let Some(Value::Table(sources)) = table.get_mut("source") {
        for source in sources.iter_mut().filter_map(|(_, source)| source.as_table_mut()) {
            source
                .iter_mut()
                .filter(|(key, _)| *key == "directory" || *key == "local-registry")
                .for_each(|(_, v)| fix(v));
        }
    }
    if let Some(cainfo) = table.get_mut("http").and_then(Value::as_table_mut).and_then(|http| http.get_mut("cainfo")) {
        fix(cainfo);
    }
}

/// Adds what is not there yet: the first file that says something wins.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The configuration of a cargo home with one file.
    pub(in crate::acquire) fn config(text: &str, credentials: &str, environment: &Environment) -> CargoConfig {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), text).unwrap();
        std::fs::write(home.path().join("credentials.toml"), credentials).unwrap();
        CargoConfig::load(Path::new("/"), home.path(), environment).unwrap()
    }

    #[test]
    fn the_nearest_file_wins_and_tables_are_joined() {
        let root = tempfile::tempdir().unwrap();
        let (home, run) = (root.path().join("home"), root.path().join("work/run"));
        std::fs::create_dir_all(run.join(".cargo")).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(run.join(".cargo/config.toml"), "[http]\ntimeout = 1").unwrap();
        std::fs::write(home.join("config.toml"), "[http]\ntimeout = 2\nproxy = 'p'\n[net]\noffline = true").unwrap();
        let config = CargoConfig::load(&run, &home, &Environment::default()).unwrap();
        let transport = config.transport().unwrap();
        assert_eq!(transport.stall, Some(Duration::from_secs(1)));
        assert_eq!(transport.proxy.as_deref(), Some("p"));
        assert!(config.offline());
    }

    #[test]
    fn variables_win_over_files() {
        let environment = Environment::default()
            .with("CARGO_HTTP_PROXY", "v")
            .with("CARGO_HTTP_TIMEOUT", "7")
            .with("CARGO_NET_OFFLINE", "false");
        let config = config("[http]\nproxy = 'f'\ntimeout = 1\n[net]\noffline = true", "", &environment);
        let transport = config.transport().unwrap();
        assert_eq!((transport.proxy.as_deref(), transport.stall), (Some("v"), Some(Duration::from_secs(7))));
        assert!(!config.offline());
    }

    #[test]
    fn paths_count_from_the_folder_above_the_file_s_own() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join(".cargo");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("config.toml"), "[source.v]\ndirectory = 'vendor'").unwrap();
        let config = CargoConfig::load(Path::new("/"), &home, &Environment::default()).unwrap();
        let expected = root.path().join("vendor").to_string_lossy().into_owned();
        assert_eq!(config.at(&["source", "v", "directory"]).and_then(Value::as_str), Some(expected.as_str()));
    }

    #[test]
    fn a_program_around_rustc_is_named_by_its_setting() {
        let environment = Environment::default().with("RUSTC_WRAPPER", "sccache").with("RUSTC_WORKSPACE_WRAPPER", "");
        let found = config("[build]\nrustc-workspace-wrapper = \"x\"\n", "", &environment).wrappers();
        assert_eq!(found, ["RUSTC_WRAPPER", "build.rustc-workspace-wrapper"]);
        assert!(config("[build]\njobs = 1\n", "", &Environment::default()).wrappers().is_empty());
    }

    #[test]
    fn a_broken_credentials_file_is_named_without_its_contents() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("credentials.toml"), "token = secret-word").unwrap();
        let error = CargoConfig::load(Path::new("/"), home.path(), &Environment::default()).unwrap_err();
        assert!(
            error.to_string().contains("credentials.toml") && !format!("{error:?}").contains("secret-word"),
            "{error:?}"
        );
    }
}
