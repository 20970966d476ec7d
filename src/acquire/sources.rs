//! Where packages of a source really come from: cargo's source replacement, and the tokens for it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toml::Value;

use super::config::{CargoConfig, ConfigError, lookup};

/// The name of the default registry in cargo's configuration.
pub(crate) const DEFAULT: &str = "crates-io";

/// A workspace's own settings may name folders of the workspace only.
const NOT_DEFINED: &str = "is not defined; a folder that a workspace names outside of itself does not count";

/// The end of a chain of replacements.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A registry with a sparse index; the URL begins with `sparse+` and ends with a slash.
    Sparse(String),
    /// A folder of unpacked packages, as `cargo vendor` makes it.
    Directory(PathBuf),
    /// A folder of `.crate` files with an index.
    LocalRegistry(PathBuf),
}

impl CargoConfig {
    /// The source that stands in for one that a lock file names: `registry+URL` or `sparse+URL`.
    pub(crate) fn source_of(&self, locked: &str) -> Result<Source, ConfigError> {
        let url = locked.strip_prefix("registry+").unwrap_or(locked);
        if is_default(url) {
            return self.follow(DEFAULT);
        }
        let sources = self.at(&["source"]).and_then(Value::as_table);
        let named = sources.into_iter().flatten().find(|(_, source)| {
            source.get("registry").and_then(Value::as_str).is_some_and(|registry| same_url(registry, url))
        });
        match named {
            Some((name, _)) => self.follow(name),
            None => sparse(url),
        }
    }

    fn follow(&self, name: &str) -> Result<Source, ConfigError> {
        let mut name = name.to_owned();
        let mut seen = BTreeSet::new();
        loop {
            if !seen.insert(name.clone()) {
                return Err(ConfigError::Source { name, reason: "is replaced in a circle" });
            }
            let text = |key: &str| self.at(&["source", &name, key]).and_then(Value::as_str);
            if let Some(next) = text("replace-with") {
                next.clone_into(&mut name);
            } else if let Some(path) = text("directory") {
                return Ok(Source::Directory(path.into()));
            } else if let Some(path) = text("local-registry") {
                return Ok(Source::LocalRegistry(path.into()));
            } else if text("git").is_some() {
                return Err(ConfigError::Source { name, reason: "is a git repository, which is not supported" });
            } else if let Some(url) = text("registry") {
                return if is_default(url) { Ok(Source::default()) } else { sparse(url) };
            } else if name == DEFAULT {
                return Ok(Source::default());
            } else if let Some(url) = self.index_of(&name) {
                return sparse(&url);
            } else {
                return Err(ConfigError::Source { name, reason: NOT_DEFINED });
            }
        }
    }

    /// All registries by name, with their indexes.
    pub(crate) fn registries(&self) -> Vec<(String, String)> {
        self.registry_names().into_iter().filter_map(|name| self.index_of(&name).map(|index| (name, index))).collect()
    }

    /// The index of an entry of `[registries]`.
    pub(super) fn index_of(&self, name: &str) -> Option<String> {
        let configured = || self.at(&["registries", name, "index"]).and_then(Value::as_str);
        self.environment.text(&variable(name, "INDEX")).or_else(configured).map(str::to_owned)
    }

    /// The token for an index. As cargo has it, a token belongs to a URL, not to a name.
    pub(crate) fn token(&self, index: &str) -> Option<String> {
        let from_tables = |keys: &[&str]| {
            let value = lookup(&self.credentials, keys).or_else(|| self.at(keys));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        if is_default(index) {
            let variable = self.environment.text("CARGO_REGISTRY_TOKEN").map(str::to_owned);
            return variable.or_else(|| from_tables(&["registry", "token"]));
        }
        let of_user = self.registry_names().into_iter().filter(|name| !self.foreign.contains(name));
        let name = of_user.into_iter().find(|name| {
            let url = self.index_of(name);
            url.is_some_and(|url| same_url(&url, index))
        })?;
        let variable = self.environment.text(&variable(&name, "TOKEN")).map(str::to_owned);
        variable.or_else(|| from_tables(&["registries", &name, "token"]))
    }

    fn registry_names(&self) -> Vec<String> {
        let tables = self.at(&["registries"]).and_then(Value::as_table);
        let mut names: Vec<String> = tables.into_iter().flat_map(|table| table.keys().cloned()).collect();
        // Registries that are given by variables alone; the case of their names is lost, as it is for cargo.
        names.extend(self.environment.iter().filter_map(|(name, _)| {
            let name = name.to_str()?.strip_prefix("CARGO_REGISTRIES_")?.strip_suffix("_INDEX")?;
            Some(name.to_ascii_lowercase())
        }));
        names
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Sparse(tame_index::CRATES_IO_HTTP_INDEX.to_owned())
    }
}

/// `CARGO_REGISTRIES_<NAME>_<WHAT>`.
fn variable(name: &str, what: &str) -> String {
    format!("CARGO_REGISTRIES_{}_{what}", name.to_uppercase().replace('-', "_"))
}

/// True for both spellings of the default registry.
pub(crate) fn is_default(url: &str) -> bool {
    let url = url.strip_prefix("registry+").unwrap_or(url);
    same_url(url, tame_index::CRATES_IO_HTTP_INDEX) || same_url(url, tame_index::CRATES_IO_INDEX)
}

fn same_url(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn sparse(url: &str) -> Result<Source, ConfigError> {
    if !url.starts_with("sparse+http") {
        return Err(ConfigError::GitIndex { url: url.to_owned() });
    }
    let slash = if url.ends_with('/') { "" } else { "/" };
    Ok(Source::Sparse(format!("{url}{slash}")))
}

#[cfg(test)]
mod tests {
    use super::super::config::ForeignSettings;
    use super::super::config::tests::config;
    use super::super::settings::Environment;
    use super::*;

    fn default_source(text: &str) -> Result<Source, ConfigError> {
        config(text, "", &Environment::default()).source_of(&format!("registry+{}", tame_index::CRATES_IO_INDEX))
    }

    #[test]
    fn without_configuration_the_default_registry_is_meant() {
        assert_eq!(default_source("").unwrap(), Source::default());
    }

    #[test]
    fn a_chain_of_replacements_is_followed_to_its_end() {
        let text = "[source.crates-io]\nreplace-with = 'a'\n[source.a]\nreplace-with = 'b'\n\
                    [source.b]\nregistry = 'sparse+http://mirror.example/i'";
        assert_eq!(default_source(text).unwrap(), Source::Sparse("sparse+http://mirror.example/i/".to_owned()));
    }

    #[test]
    fn a_replacement_may_name_an_entry_of_registries() {
        let text = "[source.crates-io]\nreplace-with = 'a'\n[registries.a]\nindex = 'sparse+http://mirror.example/'";
        assert_eq!(default_source(text).unwrap(), Source::Sparse("sparse+http://mirror.example/".to_owned()));
    }

    #[test]
    fn folders_are_sources_too() {
        let text = "[source.crates-io]\nreplace-with = 'a'\n[source.a]\ndirectory = '/v'";
        assert_eq!(default_source(text).unwrap(), Source::Directory("/v".into()));
        let text = "[source.crates-io]\nreplace-with = 'a'\n[source.a]\nlocal-registry = '/l'";
        assert_eq!(default_source(text).unwrap(), Source::LocalRegistry("/l".into()));
    }

    #[test]
    fn circles_unknown_names_and_git_are_told_apart() {
        let circle = "[source.crates-io]\nreplace-with = 'a'\n[source.a]\nreplace-with = 'crates-io'";
        assert!(default_source(circle).unwrap_err().to_string().contains("circle"));
        let unknown = "[source.crates-io]\nreplace-with = 'a'";
        assert!(default_source(unknown).unwrap_err().to_string().contains("not defined"));
        let git = "[source.crates-io]\nreplace-with = 'a'\n[source.a]\nregistry = 'https://git.example/index'";
        assert!(matches!(default_source(git), Err(ConfigError::GitIndex { .. })));
    }

    #[test]
    fn a_token_belongs_to_the_index_and_a_variable_wins() {
        let index = "sparse+http://mirror.example/";
        let text = "[registries.my-mirror]\nindex = 'sparse+http://mirror.example'";
        let credentials = "[registries.my-mirror]\ntoken = 'file'\n[registry]\ntoken = 'default'";
        let with_file = config(text, credentials, &Environment::default());
        assert_eq!(with_file.token(index).as_deref(), Some("file"));
        assert_eq!(with_file.token("sparse+http://other.example/"), None);
        assert_eq!(with_file.token(tame_index::CRATES_IO_HTTP_INDEX).as_deref(), Some("default"));
        let environment = Environment::default().with("CARGO_REGISTRIES_MY_MIRROR_TOKEN", "variable");
        assert_eq!(config(text, credentials, &environment).token(index).as_deref(), Some("variable"));
    }

    #[test]
    fn a_registry_that_a_workspace_names_gets_no_token_of_the_users() {
        let credentials = "[registries.mine]\ntoken = 'sesame'";
        let mut foreign = ForeignSettings::default();
        foreign.set(&["registries", "mine", "index"], Value::String("sparse+http://evil.example/".to_owned()));
        let mut known = config("", credentials, &Environment::default());
        known.add_foreign(&foreign);
        assert_eq!(known.token("sparse+http://evil.example/"), None);
        assert_eq!(known.registries(), [("mine".to_owned(), "sparse+http://evil.example/".to_owned())]);
        // Where the user names one so, the workspace cannot lead it elsewhere.
        let mut known =
            config("[registries.mine]\nindex = 'sparse+http://good.example/'", credentials, &Environment::default());
        known.add_foreign(&foreign);
        assert_eq!(known.token("sparse+http://evil.example/"), None);
        assert_eq!(known.token("sparse+http://good.example/").as_deref(), Some("sesame"));
    }
}
