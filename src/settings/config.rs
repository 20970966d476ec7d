//! The user's configuration file: what each build gets and where known facts come from, so that it need not be typed each
//! time.
//!
//! It is named by `--config` or lies in the user's own configuration folder. Nothing of a target or of the working
//! directory is ever read as configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::SettingsError;
use super::extended::{Extended, Origin};
use crate::acquire::AcquireSettings;
use crate::cli::BuildArgs;

/// The most bytes of a configuration file.
const LONGEST: u64 = 1 << 20;

/// The file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    env: Vec<Spanned<String>>,
    #[serde(default)]
    env_secret: Vec<Spanned<String>>,
    #[serde(default)]
    read: Vec<Spanned<PathBuf>>,
    toolchain: Option<String>,
    #[serde(default)]
    limit: Vec<Spanned<String>>,
    jobs: Option<Spanned<u16>>,
    #[serde(default)]
    advisory_db: Vec<Spanned<PathBuf>>,
    advisory_url: Option<String>,
    max_db_age: Option<u64>,
    /// A file whose settings come before ours.
    extends: Option<Spanned<String>>,
    /// Decisions may stand beside settings where the user names the file; they are read elsewhere.
    ignore: Option<IgnoredAny>,
    expect: Option<IgnoredAny>,
}

/// A value with the place where it stands.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    /// `FILE:LINE: `, or nothing for what was typed.
    pub(super) place: String,
}

/// What a build gets: of the file, then what was typed.
#[derive(Debug, Default)]
pub(super) struct Gifts {
    pub(super) env: Vec<Given<String>>,
    pub(super) env_secret: Vec<Given<String>>,
    pub(super) read: Vec<Given<PathBuf>>,
    pub(super) toolchain: Option<String>,
    pub(super) limit: Vec<Given<String>>,
    pub(super) jobs: Option<u16>,
    /// Databases of advisories, from where one is downloaded, and how old one may be. What was typed of these is added by
    /// who reads it.
    pub(super) advisory_db: Vec<PathBuf>,
    pub(super) advisory_url: Option<String>,
    pub(super) max_db_age: Option<u64>,
    /// The file, if one was read.
    pub(super) file: Option<PathBuf>,
}

impl Gifts {
    /// Reads the configuration and puts what was typed behind it, where it wins.
    pub(super) fn new(args: &BuildArgs, config_dir: &Path, acquire: &AcquireSettings) -> Result<Self, SettingsError> {
        let mut gifts = Self::of_file(args.config.as_deref(), config_dir, acquire)?;
        gifts.env.extend(typed(&args.env));
        gifts.env_secret.extend(typed(&args.env_secret));
        gifts.read.extend(typed(&args.read));
        gifts.limit.extend(typed(&args.limit));
        gifts.toolchain = args.toolchain.clone().or(gifts.toolchain);
        gifts.jobs = args.jobs.or(gifts.jobs);
        Ok(gifts)
    }

    /// Only what stands in the configuration: the file that was named, else the user's own.
    pub(super) fn of_file(
        config: Option<&Path>,
        config_dir: &Path,
        acquire: &AcquireSettings,
    ) -> Result<Self, SettingsError> {
        match config {
            Some(path) => read(path, true, acquire),
            None if config_dir.is_absolute() => read(&config_dir.join("sandbox-check/config.toml"), false, acquire),
            None => Ok(Self::default()),
        }
    }
}

fn typed<T: Clone>(values: &[T]) -> impl Iterator<Item = Given<T>> {
    values.iter().map(|value| Given { value: value.clone(), place: String::new() })
}

/// A file that was not named may be absent.
fn read(path: &Path, is_named: bool, acquire: &AcquireSettings) -> Result<Gifts, SettingsError> {
    let shown = path.display().to_string();
    let cannot = |text: &dyn std::fmt::Display| cannot(&shown, text);
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(Gifts::default()),
        Err(error) => return Err(cannot(&error)),
        Ok(meta) if !meta.is_file() => return Err(cannot(&"not a file")),
        Ok(meta) if meta.len() > LONGEST => return Err(cannot(&"longer than 1 MiB")),
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
    let (own, extends) = understand(path, &shown, &text, is_named)?;
    let Some((word, line)) = extends else { return Ok(own) };
    let place = format!("{shown}:{line}: ");
    let shared =
        Extended::parse(&word).and_then(|extended| extended.read(path, &Origin::WorkingTree, &|| Ok(acquire.clone())));
    let shared = shared.map_err(|error| error.at(&place))?;
    let (mut gifts, further) = understand(path, &shared.shown, &shared.text, is_named)?;
    if further.is_some() {
        return Err(self::cannot(&shared.shown, &"a file that is extended names no further one"));
    }
    gifts.env.extend(own.env);
    gifts.env_secret.extend(own.env_secret);
    gifts.read.extend(own.read);
    gifts.limit.extend(own.limit);
    gifts.toolchain = own.toolchain.or(gifts.toolchain);
    gifts.jobs = own.jobs.or(gifts.jobs);
    gifts.advisory_db.extend(own.advisory_db);
    gifts.advisory_url = own.advisory_url.or(gifts.advisory_url);
    gifts.max_db_age = own.max_db_age.or(gifts.max_db_age);
    gifts.file = own.file;
    Ok(gifts)
}

fn cannot(shown: &str, text: &dyn std::fmt::Display) -> SettingsError {
    SettingsError::new(
        format!("the configuration file {shown}: {text}"),
        "docs/configuration.md says what may stand in it; --config FILE names another one",
    )
}

/// The settings of a text, and the file that it extends with the line that says so.
pub(super) fn understand(
    path: &Path,
    shown: &str,
    text: &str,
    is_named: bool,
) -> Result<(Gifts, Option<(String, usize)>), SettingsError> {
    let cannot = |text: &dyn std::fmt::Display| cannot(shown, text);
    let file = toml::from_str::<File>(text).map_err(|error| cannot(&error))?;
    if let Some(jobs) = file.jobs.as_ref().filter(|jobs| *jobs.get_ref() == 0) {
        return Err(cannot(&format!("line {}: jobs = 0: nothing would run", line_of(text, jobs.span().start))));
    }
    if (file.ignore.is_some() || file.expect.is_some()) && !is_named {
        return Err(cannot(&"decisions stand in the sandbox-check.toml of a workspace, or in the file of --config"));
    }
    let place = |start: usize| format!("{shown}:{}: ", line_of(text, start));
    let extends = file.extends.map(|extends| {
        let line = line_of(text, extends.span().start);
        (extends.into_inner(), line)
    });
    let databases = relative_to(path, file.advisory_db.into_iter().map(|value| given(value, place)).collect());
    let gifts = Gifts {
        env: file.env.into_iter().map(|value| given(value, place)).collect(),
        env_secret: file.env_secret.into_iter().map(|value| given(value, place)).collect(),
        read: relative_to(path, file.read.into_iter().map(|value| given(value, place)).collect()),
        toolchain: file.toolchain,
        limit: file.limit.into_iter().map(|value| given(value, place)).collect(),
        jobs: file.jobs.map(Spanned::into_inner),
        advisory_db: databases.into_iter().map(|given| given.value).collect(),
        advisory_url: file.advisory_url,
        max_db_age: file.max_db_age,
        file: Some(path.to_owned()),
    };
    Ok((gifts, extends))
}

/// A relative path in the file starts at the file's own folder, wherever the program is started.
fn relative_to(file: &Path, read: Vec<Given<PathBuf>>) -> Vec<Given<PathBuf>> {
    let folder = file.parent().unwrap_or(Path::new(""));
    read.into_iter().map(|given| Given { value: folder.join(&given.value), ..given }).collect()
}

fn given<T>(value: Spanned<T>, place: impl Fn(usize) -> String) -> Given<T> {
    let place = place(value.span().start);
    Given { value: value.into_inner(), place }
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn gifts(config: &str, typed: &[&str]) -> Result<Gifts, SettingsError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sandbox-check/config.toml");
        fs::create_dir(dir.path().join("sandbox-check")).unwrap();
        fs::write(&file, config).unwrap();
        let args = Cli::parse_from(["sandbox-check"].iter().chain(typed).chain(&["name"]));
        Gifts::new(&args.check.run.build, dir.path(), &AcquireSettings::new(dir.path()))
    }

    #[test]
    fn what_was_typed_comes_after_the_file_and_wins() {
        let config =
            "env = [\"A=1\"]\nread = [\"libs\", \"/usr\"]\ntoolchain = \"1.90\"\nlimit = [\"cpu=60\"]\njobs = 3\n";
        let all = gifts(config, &["--env", "A=2", "--toolchain", "stable", "--limit", "cpu=90"]).unwrap();
        let env: Vec<_> = all.env.iter().map(|given| given.value.as_str()).collect();
        assert_eq!((env, all.toolchain.as_deref(), all.jobs), (vec!["A=1", "A=2"], Some("stable"), Some(3)));
        assert_eq!(all.limit.iter().map(|given| given.value.as_str()).collect::<Vec<_>>(), ["cpu=60", "cpu=90"]);
        assert!(all.env[0].place.ends_with("config.toml:1: ") && all.env[1].place.is_empty());
        assert!(all.read[0].value.ends_with("sandbox-check/libs"), "beside the file: {:?}", all.read[0].value);
        assert_eq!(all.read[1].value, Path::new("/usr"));
    }

    #[test]
    fn where_advisories_come_from_may_stand_in_the_file_and_in_one_that_it_extends() {
        let shared = tempfile::tempdir().unwrap();
        let file = shared.path().join("shared.toml");
        fs::write(&file, "advisory-db = [\"/a\"]\nadvisory-url = \"https://a.invalid\"\nmax-db-age = 3\n").unwrap();
        let own = "advisory-db = [\"b\"]\nmax-db-age = 9\n";
        let all = gifts(&format!("extends = \"{}\"\n{own}", file.display()), &[]).unwrap();
        assert_eq!((all.advisory_url.as_deref(), all.max_db_age), (Some("https://a.invalid"), Some(9)));
        assert_eq!(all.advisory_db[0], Path::new("/a"));
        assert!(all.advisory_db[1].ends_with("sandbox-check/b"), "beside the file: {:?}", all.advisory_db);
        assert!(gifts("\nmax-db-age = -1\n", &[]).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_shared_file_comes_first_and_the_own_one_wins() {
        let shared = tempfile::tempdir().unwrap();
        let file = shared.path().join("shared.toml");
        fs::write(&file, "env = [\"A=1\", \"B=1\"]\ntoolchain = \"1.90\"\njobs = 3\n[[ignore]]\n").unwrap();
        let extends = format!("extends = \"{}\"\n", file.display());
        // Decisions stand in a file that the user names.
        assert!(gifts(&extends, &[]).unwrap_err().to_string().contains("decisions stand in"));
        let text = fs::read_to_string(&file).unwrap().replace("[[ignore]]\n", "");
        fs::write(&file, &text).unwrap();
        let all = gifts(&format!("{extends}env = [\"A=2\"]\njobs = 1\n"), &[]).unwrap();
        let env: Vec<_> = all.env.iter().map(|given| given.value.as_str()).collect();
        assert_eq!((env, all.toolchain.as_deref(), all.jobs), (vec!["A=1", "B=1", "A=2"], Some("1.90"), Some(1)));
        for (change, says) in [("extends = \"x\"\n", "no further one"), ("surprise = 1\n", "surprise")] {
            fs::write(&file, format!("{change}{text}")).unwrap();
            let error = gifts(&extends, &[]).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("shared.toml"), "{error}");
        }
        fs::write(&file, &text).unwrap();
        let pinned = extends.replace("shared.toml", &format!("shared.toml#sha256:{}", "0".repeat(64)));
        assert!(gifts(&pinned, &[]).unwrap_err().to_string().contains("was demanded"));
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_line() {
        for (wrong, says) in [
            ("jobs = 1\nenvironment = []\n", "line 2"),
            ("env = \"A=1\"\n", "line 1"),
            ("\njobs = 0\n", "line 2"),
            ("jobs = \"many\"\n", "line 1"),
        ] {
            let error = gifts(wrong, &[]).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("config.toml"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn only_a_file_that_was_named_must_exist() {
        let empty = tempfile::tempdir().unwrap();
        let args = |typed: &[&str]| Cli::parse_from(["sandbox-check", "name"].iter().chain(typed)).check.run.build;
        let acquire = AcquireSettings::new(empty.path());
        assert!(Gifts::new(&args(&[]), empty.path(), &acquire).unwrap().file.is_none());
        assert!(Gifts::new(&args(&[]), Path::new("relative"), &acquire).unwrap().file.is_none());
        let missing = empty.path().join("none.toml");
        Gifts::new(&args(&["--config", missing.to_str().unwrap()]), empty.path(), &acquire).unwrap_err();
    }
}
