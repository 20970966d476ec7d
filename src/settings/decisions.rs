//! Where decisions come from: the file of the workspace that the user stands in, or the one that they name.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::SettingsError;
use super::extended::{Extended, Origin};
use crate::acquire::{AcquireError, AcquireSettings, small_text, text_of_commit};
use crate::cli::DecisionArgs;
use crate::decisions::{Day, DecisionFile, Decisions, Entry, Text, parse};
use crate::ids::Sha256Digest;
use crate::judge::known_code;

/// The file of a workspace.
pub(super) const NAME: &str = "sandbox-check.toml";

/// What decides where they come from.
pub(super) struct Wanted<'a> {
    pub(super) args: &'a DecisionArgs,
    /// The file of `--config`.
    pub(super) config: Option<&'a Path>,
    /// A folder that is examined: what lies in it decides nothing.
    pub(super) target: Option<&'a Path>,
    /// For what lies on a server.
    pub(super) acquire: &'a dyn Fn() -> Result<AcquireSettings, SettingsError>,
    pub(super) now: u64,
}

/// Decisions, and the file of the working tree that they were to be looked for in.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) decisions: Decisions,
    /// The file, where it was read.
    pub(super) file: Option<PathBuf>,
    /// What a person should know about a file that does not count.
    pub(super) remark: Option<String>,
}

/// Reads them.
pub(super) fn find(wanted: &Wanted<'_>) -> Result<Found, SettingsError> {
    let mut found =
        Found { decisions: Decisions { today: Day::of(wanted.now), ..Decisions::none() }, file: None, remark: None };
    if wanted.args.no_decisions {
        return Ok(found);
    }
    let Some(file) = place(wanted.config) else { return Ok(found) };
    let target = wanted.target.and_then(|target| target.canonicalize().ok());
    if wanted.config.is_none() && target.is_some_and(|target| file.starts_with(target)) {
        if file.symlink_metadata().is_ok() {
            found.remark = Some(format!(
                "{}: it lies in what is examined, so it decides nothing; --config FILE names it all the same",
                shown(&file)
            ));
        }
        return Ok(found);
    }
    let wrong = |what: &str| {
        SettingsError::new(
            format!("{}: {what}", shown(&file)),
            "a file of decisions is a regular file of at most 1 MiB, and no link (docs/decisions-file.md)",
        )
    };
    let here = small_text(&file).map_err(|error| wrong(&reason_of(error)))?;
    if here.is_none() && wanted.config.is_some() && wanted.args.decisions_from.is_none() {
        return Err(wrong("there is no such file"));
    }
    let mut working = Vec::new();
    if let Some(text) = &here {
        let mut files = Vec::new();
        read(&file, text, &Origin::WorkingTree, wanted, &mut working, &mut files)?;
        found.file = Some(file.clone());
        if wanted.args.decisions_from.is_none() {
            found.decisions.files = files;
        }
    }
    match &wanted.args.decisions_from {
        None => found.decisions.entries = working,
        Some(base) => {
            let (mut entries, mut files) = (Vec::new(), Vec::new());
            let (folder, way) = asked(wanted.config, &file);
            let text = text_of_commit(base, &folder, &way).map_err(|reason| {
                SettingsError::new(
                    format!("--decisions-from {base}: {reason}"),
                    "it takes what git calls a commit: a branch, a tag, a hash; a shallow clone may lack it",
                )
            })?;
            if let Some(text) = text {
                let shown = folder.join(&way);
                let origin = Origin::Commit { base: base.clone(), folder, file: way };
                read(&shown, &text, &origin, wanted, &mut entries, &mut files)?;
            }
            working.retain(|entry| !entries.iter().any(|known| known.says_the_same(entry)));
            found.decisions =
                Decisions { files, base: Some(base.clone()), entries, proposed: working, today: found.decisions.today };
        }
    }
    Ok(found)
}

/// Where git is asked for a file of a commit, and by which way: by the one that the user typed. What the working tree has
/// there may be a link that a change made.
fn asked(config: Option<&Path>, file: &Path) -> (PathBuf, PathBuf) {
    let here = std::env::current_dir().unwrap_or_default();
    match (config, file.parent()) {
        (Some(config), _) if config.is_relative() => (here, config.to_owned()),
        (Some(config), _) => match (config.parent(), config.file_name()) {
            (Some(folder), Some(name)) if !config.starts_with(&here) => (folder.to_owned(), name.into()),
            _ => (here, config.to_owned()),
        },
        (None, folder) => (folder.unwrap_or(&here).to_owned(), NAME.into()),
    }
}

/// What is wrong with a file, without its path.
pub(super) fn reason_of(error: AcquireError) -> String {
    match error {
        AcquireError::Manifest { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// The file that counts, whether it is there or not.
pub(super) fn place(config: Option<&Path>) -> Option<PathBuf> {
    let named = config.map(|path| path.canonicalize().or_else(|_| std::path::absolute(path)));
    named.map_or_else(of_workspace, Result::ok)
}

/// The file in the folder of the first lock file upward; without one, in the folder where the user stands. Nothing
/// further up is looked at, where others may be able to write.
fn of_workspace() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap_or(&here);
    Some(root.join(NAME))
}

/// A file and what it extends.
fn read(
    file: &Path,
    text: &str,
    origin: &Origin,
    wanted: &Wanted<'_>,
    entries: &mut Vec<Entry>,
    files: &mut Vec<DecisionFile>,
) -> Result<(), SettingsError> {
    let place = shown(file);
    let may_have_settings = wanted.config.is_some();
    let one = |file: &str, text: &str, may_extend: bool, entries: &mut Vec<Entry>| {
        let text = Text { file, text, codes: known_code, may_have_settings, may_extend };
        parse(text, entries)
            .map_err(|error| SettingsError::new(error.to_string(), "docs/decisions-file.md says what may stand in it"))
    };
    let record = |path: &str, text: &str| DecisionFile {
        path: path.to_owned(),
        sha256: Sha256Digest(Sha256::digest(text).into()),
    };
    files.push(record(&place, text));
    if let Some((word, line)) = one(&place, text, true, entries)? {
        let extended = Extended::parse(&word)
            .and_then(|extended| extended.read(file, origin, wanted.acquire))
            .map_err(|error| error.at(&format!("{place}:{line}: ")))?;
        files.push(record(&extended.shown, &extended.text));
        one(&extended.shown, &extended.text, false, entries)?;
    }
    Ok(())
}

/// A path as the user knows it: relative to where they stand, where it lies below.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
