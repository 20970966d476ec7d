//! The generated project that uses the subject.
//!
//! It looks like somebody's orders service, since that is what a build script
//! that climbs out of its folder hopes to find: sources, a git history, a
//! `.env`. And it makes the subject's code run: its programs load every macro
//! library of the closure and use each macro of the subject once. Errors of
//! those uses are expected; cargo is to go on (`--keep-going --lib --bins`).
//!
//! | target | what it is for |
//! |---|---|
//! | library `orders_service` | depends on nothing, so that nothing of the subject's can stop the programs below |
//! | program `orders-service` | loads the subject |
//! | program `worker` | loads the macro libraries that are not the subject |
//! | programs `job_NN` | one macro of the subject each, so that one that ends rustc stops no other |
//! | program `jobs_rest` | the subject's further macros together |
//!
//! Of a bare lock file it names every package, and `worker` loads the macro libraries. Where the workspace lies beside
//! the lock file, that is the consumer, and this project depends on nothing: it is there to be found.

mod manifest;
mod project;
mod uses;

use std::io;

use super::git::{self, Commit, Tracked};
use super::persona::Persona;
use super::random::Random;
use crate::acquire::{Acquired, LockUser};
use crate::evidence::line::{DecoyClass, DecoyPath, MacroName};
use manifest::Lock;

/// Absolute paths inside the sandbox.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerPaths<'a> {
    /// The project's folder.
    pub project: &'a str,
    /// The folder that shows what [`Acquired::sources`] has below `local/`.
    pub local: &'a str,
}

/// One file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerFile {
    /// Absolute path inside the sandbox.
    pub path: String,
    /// What it holds.
    pub contents: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// A program of the project and the subject's macros that it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacroUse {
    /// The name of the target, which is its crate name too.
    pub target: String,
    /// The macros, in the order of their uses.
    pub macros: Vec<MacroName>,
}

/// The generated project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Every file, sorted by path. Folders are implied, with mode 0755.
    pub files: Vec<ConsumerFile>,
    /// Which program uses which macros of the subject.
    pub uses: Vec<MacroUse>,
}

impl Consumer {
    /// The files without their contents, as the evidence's header lists them.
    pub fn listing(&self) -> Vec<DecoyPath> {
        self.files.iter().map(|file| DecoyPath { path: file.path.clone(), class: DecoyClass::Consumer }).collect()
    }
}

/// Why no project could be generated.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The lock file is not TOML.
    #[error("read the lock file of the resolution")]
    ReadLock(#[source] Box<toml::de::Error>),
    /// The lock file has no package that stands for the project.
    #[error("find `{}` in the lock file of the resolution", super::CONSUMER_NAME)]
    FindRoot,
    /// No package is marked as the subject.
    #[error("find the subject among the acquired packages")]
    FindSubject,
    /// A folder name that a manifest cannot hold.
    #[error("write the folder {0:?} into a manifest, since it is not UTF-8")]
    FolderName(std::path::PathBuf),
    /// The git repository could not be packed.
    #[error("pack the project's git history")]
    PackHistory(#[source] io::Error),
}

/// Generates the project that uses what was acquired.
///
/// The lock file is the resolution's, with the macro libraries added to the project's own dependencies;
/// cargo accepts it with `--locked`.
pub fn consumer(
    acquired: &Acquired,
    paths: ConsumerPaths<'_>,
    persona: &Persona,
    random: &mut Random,
) -> Result<Consumer, ConsumerError> {
    let mut lock = Lock::parse(if has_own_project(acquired) { manifest::ALONE } else { &acquired.lock })?;
    let subject = acquired.packages.iter().find(|package| package.subject);
    let dependencies = match (&acquired.locked, subject) {
        (None, None) => return Err(ConsumerError::FindSubject),
        (None, Some(subject)) => manifest::dependencies(acquired, subject, &lock, paths.local)?,
        (Some(locked), _) => match &locked.user {
            LockUser::Workspace(_) => Vec::new(),
            LockUser::Generated(pins) => manifest::pinned(pins, acquired, &lock, paths.local)?,
        },
    };
    lock.depend_on(&dependencies);

    let of_subject = usize::from(subject.is_some());
    let subject_crate = dependencies.iter().take(of_subject).find_map(|dependency| dependency.crate_name.clone());
    let macro_crates: Vec<_> =
        dependencies.iter().skip(of_subject).filter_map(|dependency| dependency.crate_name.as_deref()).collect();
    let mut tracked = project::files(persona, subject_crate.as_deref(), random);
    let of_pins = acquired.locked.as_ref().is_some_and(|locked| matches!(locked.user, LockUser::Generated(_)));
    tracked.push(("Cargo.toml".to_owned(), manifest::manifest(&lock, &dependencies, persona, of_pins)));
    tracked.push(("Cargo.lock".to_owned(), lock.text()));
    if !macro_crates.is_empty() {
        tracked.push(("src/bin/worker.rs".to_owned(), uses::worker(&macro_crates)));
    }
    let macros = subject.and_then(|subject| subject.proc_macro.as_deref()).unwrap_or_default();
    let mut macro_uses = Vec::new();
    for (macro_use, text) in uses::jobs(subject_crate.as_deref(), macros) {
        tracked.push((format!("src/bin/{}.rs", macro_use.target), text));
        macro_uses.push(macro_use);
    }

    let mut files = history(&tracked, persona, random).map_err(ConsumerError::PackHistory)?;
    files.extend(tracked.into_iter().map(|(path, text)| (path, text.into_bytes())));
    files.push((".env".to_owned(), project::dot_env(persona, random).into_bytes()));
    let mut files: Vec<_> = files
        .into_iter()
        .map(|(path, contents)| {
            let mode = if path.starts_with(".git/hooks/") { 0o755 } else { 0o644 };
            ConsumerFile { path: format!("{}/{path}", paths.project.trim_end_matches('/')), contents, mode }
        })
        .collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Consumer { files, uses: macro_uses })
}

/// True where a workspace is the consumer: the generated project is a decoy beside it.
fn has_own_project(acquired: &Acquired) -> bool {
    acquired.locked.as_ref().is_some_and(|locked| matches!(locked.user, LockUser::Workspace(_)))
}

/// The files of `.git/`, with three commits of which the first knows only half of the project.
fn history(tracked: &[(String, String)], persona: &Persona, random: &mut Random) -> io::Result<Vec<(String, Vec<u8>)>> {
    let author = format!("{} <{}>", persona.full_name, persona.email);
    let files: Vec<_> = tracked.iter().map(|(path, text)| Tracked { path, contents: text.as_bytes() }).collect();
    let half = files.len() / 2;
    let mut times: Vec<_> = (0..3).map(|_| persona.some_time_ago(60, random)).collect();
    times.sort_unstable();
    let story = [("Lay out the service", Some("v0.4.0"), half), ("Add prices and totals", None, files.len())]
        .into_iter()
        .chain([("Round totals half up", None, files.len())]);
    let commits: Vec<_> = story
        .zip(times)
        .map(|((message, tag, files), time)| Commit { message, author: &author, time, tag, files })
        .collect();
    let remote = format!("git@git.{}:backend/orders-service.git", persona.domain);
    let repository = git::repository(&files, &commits, &remote)?;
    Ok(repository.into_iter().map(|(path, contents)| (format!(".git/{path}"), contents)).collect())
}

#[cfg(test)]
mod tests;
