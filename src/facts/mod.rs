//! What is known about packages before anything of them runs: advisories, names, the index, the archive before.
//!
//! A stage between acquisition and judgement. [`gather`] turns what acquisition left and what a database says into
//! facts; how bad they are is for the judge. Only `database`, `tree` and `repository` read files. Nothing here has a network:
//! where no database was named, `lookup` lets acquisition bring one.
//!
//! For many packages at once, [`Question::of`] takes a list of them with their index entries, and [`gather`] reads each
//! database once and gives facts that each name their package.

mod advisory;
mod archive;
mod build_code;
mod database;
mod history;
mod lookup;
mod manifest;
mod names;
mod packed;
mod repository;
mod tree;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub use self::names::Corpus;
use self::tree::Tree;
use crate::acquire::facts::YANKED;
use crate::acquire::{AcquireSettings, Acquired, Entry, Near, POPULAR, Previous, Reputation, Resolved, Survey};
use crate::evidence::fact::{
    ADVISORY, Asked, Fact, HISTORY, KNOWN_MALICIOUS, LOOK_ALIKE_NAME, Nearest, REPUTATION, SOURCE, Source,
    UNKNOWN_NAME, UnknownName,
};
use crate::evidence::line::{PackageSource, TargetKind};
use crate::evidence::time::DAY;
use crate::ids::{PackageId, counted};

/// So many releases that an index does not have are named.
const NAMED: usize = 4;
/// What is said where there is nobody to ask about.
const NOTHING: &str = "no package of it comes from a registry";

/// What to ask.
#[derive(Clone, Debug, Default)]
pub struct FactsSettings {
    /// Databases of advisories that the user named.
    pub databases: Vec<PathBuf>,
    /// How one is downloaded if the user named none.
    pub download: Option<Download>,
    /// Where a database may lie if none was named and none can be downloaded.
    pub usual: Option<PathBuf>,
    /// A database whose newest advisory is older than so many days is as good as none.
    pub max_age: Option<u64>,
    /// A clone of the subject's repository that the user named.
    pub repository: Option<PathBuf>,
    /// Seconds since the Unix epoch.
    pub now: u64,
}

/// How a database of advisories is downloaded.
#[derive(Clone, Debug)]
pub struct Download {
    /// Where it is kept, and how cargo wants servers to be reached.
    pub acquire: AcquireSettings,
    /// From where, if the user said so.
    pub url: Option<String>,
}

/// What the facts are about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Facts about the run as a whole are told of this package.
    pub subject: &'a PackageId,
    /// Packages of registries and archives.
    pub packages: &'a [PackageId],
    /// What the index says.
    pub index: &'a [Entry],
    /// The subject's source and that of the release before.
    pub archive: Option<(&'a Path, &'a Previous)>,
    /// The subject is an archive that was given as a file, so that no index knows it.
    pub is_file: bool,
    /// What the registry's web interface says.
    pub reputation: Option<&'a Reputation>,
    /// Names that the registry does not have, with the nearest that it has.
    pub unknown: &'a [(PackageId, Vec<Near>)],
    /// How many packages come from elsewhere than the default registry, and are not looked at.
    pub elsewhere: usize,
    /// Why the registry did not answer, if it did not: what the index says is what this machine has of it.
    pub silent: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// About packages of a registry, without an archive and without its web interface. `index` has what the index says
    /// about each of them; one that is not in it is looked at without.
    pub fn of(subject: &'a PackageId, packages: &'a [PackageId], index: &'a [Entry]) -> Self {
        Self {
            subject,
            packages,
            index,
            archive: None,
            is_file: false,
            reputation: None,
            unknown: &[],
            elsewhere: 0,
            silent: None,
        }
    }
}

/// Something that the user named and that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{option} {}: {reason}", path.display())]
pub struct FactsError {
    option: &'static str,
    path: PathBuf,
    reason: String,
    hint: &'static str,
}

impl FactsError {
    fn database(path: PathBuf, reason: String) -> Self {
        let hint = "name a checkout of RustSec's advisory-db, or a directory or file of OSV records";
        Self { option: "--advisory-db", path, reason, hint }
    }

    fn repository(path: &Path, reason: String) -> Self {
        let hint =
            "name a clone of the package's repository, as `git clone --filter=blob:none --no-checkout URL` makes one";
        Self { option: "--repository", path: path.to_owned(), reason, hint }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> String {
        self.hint.to_owned()
    }
}

/// All facts about acquired packages.
pub fn of_acquired(acquired: &Acquired, settings: &FactsSettings) -> Result<Vec<Fact>, FactsError> {
    if let Some(locked) = &acquired.locked {
        return of_survey(&locked.survey, settings);
    }
    let Some(subject) = acquired.packages.iter().find(|package| package.subject) else { return Ok(Vec::new()) };
    let named = acquired.packages.iter().filter(|package| package.source != PackageSource::Directory);
    let of_index = acquired.index.iter().filter(|entry| entry.needed).map(|entry| entry.id.clone());
    let packages: BTreeSet<PackageId> = named.map(|package| package.id.clone()).chain(of_index).collect();
    let packages: Vec<PackageId> = packages.into_iter().collect();
    let dir = acquired.dir_of(subject);
    // Paths of the release before are relative, too.
    let previous = match &acquired.previous {
        Previous::Here { version, dir } => {
            Previous::Here { version: version.clone(), dir: acquired.sources.path().join(dir) }
        }
        other => other.clone(),
    };
    let archive = (subject.source != PackageSource::Directory).then_some((dir.as_path(), &previous));
    let question = Question {
        archive,
        is_file: subject.source == PackageSource::Archive,
        reputation: Some(&acquired.reputation),
        silent: acquired.offline.then_some("offline"),
        ..Question::of(&subject.id, &packages, &acquired.index)
    };
    gather(&question, settings)
}

/// All facts about the packages of a lock file.
pub fn of_survey(survey: &Survey, settings: &FactsSettings) -> Result<Vec<Fact>, FactsError> {
    about_survey(survey, |question| gather(question, settings))
}

/// Asks about the packages of a lock file.
fn about_survey<T>(survey: &Survey, ask: impl FnOnce(&Question<'_>) -> T) -> T {
    let Survey { subject, index, unknown, elsewhere, silent } = survey;
    let known = index.iter().map(|entry| &entry.id);
    let packages: Vec<PackageId> = known.chain(unknown.iter().map(|(id, _)| id)).cloned().collect();
    let question = Question {
        unknown,
        elsewhere: *elsewhere,
        silent: silent.as_deref(),
        ..Question::of(subject, &packages, index)
    };
    ask(&question)
}

/// What is asked anew when an earlier run answers: whatever may have become known since. The rest of that run's facts
/// are about archives, which are what they were, or about its day.
pub fn anew(resolved: &Resolved, settings: &FactsSettings) -> Result<Vec<Fact>, FactsError> {
    if let Some(lock) = &resolved.lock {
        let mut facts = Vec::new();
        about_survey(&lock.survey, |question| of_the_day(question, settings, &mut facts))?;
        return Ok(facts);
    }
    let subject = PackageId::new(&resolved.target.name, &resolved.target.version);
    let packages: BTreeSet<PackageId> =
        resolved.packages.keys().cloned().chain(std::iter::once(subject.clone())).collect();
    let packages: Vec<PackageId> = packages.into_iter().collect();
    let mut facts = Vec::new();
    let silent = resolved.offline.then_some("offline");
    let is_file = resolved.target.kind == TargetKind::Archive;
    let question = Question { is_file, silent, ..Question::of(&subject, &packages, &resolved.index) };
    of_the_day(&question, settings, &mut facts)?;
    Ok(facts)
}

/// Only what databases of advisories say today, for evidence that is judged again.
pub fn advisories(question: &Question<'_>, settings: &FactsSettings) -> Result<Vec<Fact>, FactsError> {
    let mut facts = Vec::new();
    lookup::advisories(question, settings, &mut facts)?;
    Ok(facts)
}

/// True for a fact that [`advisories`] tells again.
pub fn is_of_advisories(fact: &Fact) -> bool {
    match fact.code.as_str() {
        SOURCE => fact.read::<Source>().is_some_and(|of| of.source == "advisories"),
        code => [ADVISORY, KNOWN_MALICIOUS].contains(&code),
    }
}

/// True for a fact that [`anew`] tells again.
pub fn is_told_anew(fact: &Fact, subject: &PackageId) -> bool {
    match fact.code.as_str() {
        SOURCE => {
            fact.read::<Source>().is_some_and(|of| ["advisories", "names", "index"].contains(&of.source.as_str()))
        }
        // Whether the subject is yanked decides which run answers.
        YANKED => fact.package != *subject,
        code => [ADVISORY, KNOWN_MALICIOUS, LOOK_ALIKE_NAME, UNKNOWN_NAME, HISTORY].contains(&code),
    }
}

/// All facts, and which sources were asked.
pub fn gather(question: &Question<'_>, settings: &FactsSettings) -> Result<Vec<Fact>, FactsError> {
    let mut facts = Vec::new();
    of_the_day(question, settings, &mut facts)?;
    let tree = archives(question, &mut facts);
    reputation(question, &mut facts);
    repository::tell(question, tree.as_ref(), settings, &mut facts)?;
    Ok(facts)
}

/// Advisories, names and the index.
fn of_the_day(question: &Question<'_>, settings: &FactsSettings, facts: &mut Vec<Fact>) -> Result<(), FactsError> {
    lookup::advisories(question, settings, facts)?;
    look_alikes(question, facts);
    histories(question, settings, facts);
    Ok(())
}

fn asked(question: &Question<'_>, source: &str, status: Asked, text: impl Into<String>) -> Fact {
    let data = Source { source: source.to_owned(), status, required: false, day: None };
    Fact::new(SOURCE, question.subject, text).with(&data)
}

fn look_alikes(question: &Question<'_>, facts: &mut Vec<Fact>) {
    let corpus = Corpus::new(POPULAR);
    let day = corpus.date.as_deref().unwrap_or("unknown");
    let names = format!("against {} well-known names of {day}", corpus.len());
    facts.push(asked(question, "names", Asked::Checked, names));
    let mut seen = BTreeSet::new();
    for package in question.packages.iter().filter(|package| seen.insert(package.name.clone())) {
        if let Some(found) = corpus.look_alike(&package.name) {
            let how = match found.rule.as_str() {
                "delimiter" => "written apart or together",
                "order" => "with its words in another order",
                "version" => "with a number put to it",
                "affix" => "with a word put to it",
                _ => "but for one letter",
            };
            let text = format!("its name is {}'s, {how}", found.like);
            facts.push(Fact::new(LOOK_ALIKE_NAME, package, text).with(&found));
        }
    }
    for (package, nearest) in question.unknown {
        let shown: Vec<String> = nearest.iter().map(ToString::to_string).collect();
        let near = if shown.is_empty() { String::new() } else { format!("; the nearest are {}", shown.join(", ")) };
        let fact = Fact::new(UNKNOWN_NAME, package, format!("the registry has no package of this name{near}"));
        facts.push(fact.with(&UnknownName {
            nearest: nearest.iter().map(|near| Nearest { name: near.name.clone(), since: near.since }).collect(),
        }));
    }
}

fn histories(question: &Question<'_>, settings: &FactsSettings, facts: &mut Vec<Fact>) {
    let entries: Vec<&Entry> = question.index.iter().filter(|entry| entry.needed).collect();
    let (mut known, mut dated) = (0, 0);
    let (mut told, mut absent) = (Vec::new(), Vec::new());
    for entry in &entries {
        let Some(history) = history::of(entry, question.index) else {
            absent.push(entry.id.to_string());
            continue;
        };
        known += 1;
        if history.yanked && entry.id != *question.subject {
            told.push(Fact::new(YANKED, &entry.id, format!("version {} was yanked", entry.id.version)));
        }
        dated += usize::from(history.published.is_some());
        let age = history.published.map_or("at a time that the index does not tell".to_owned(), |time| {
            format!("on {}", crate::evidence::time::date(time))
        });
        let text = format!("published {age}, one of {} releases", history.releases);
        told.push(Fact::new(HISTORY, &entry.id, text).with(&history));
    }
    let all = entries.len();
    let (mut status, mut text) = match (known, dated) {
        (0, _) if question.packages.is_empty() => (Asked::Checked, NOTHING.to_owned()),
        (0, _) if question.is_file && question.packages.iter().all(|package| package == question.subject) => {
            (Asked::Checked, "an archive from a file is no release, and it needs no other package".to_owned())
        }
        (0, _) if all == 0 => (Asked::NotChecked, "nothing of it comes from a registry".to_owned()),
        (0, _) => (Asked::NotChecked, format!("none of {all} packages")),
        (_, 0) => (Asked::Partial, format!("{known} of {all} packages; the index tells no times of publication")),
        _ if dated < all => (Asked::Partial, format!("{known} of {all} packages, {dated} with times of publication")),
        _ => (Asked::Checked, counted(u64::try_from(all).unwrap_or(u64::MAX), "package")),
    };
    let mut lacks = |what: &str| {
        if status == Asked::Checked {
            status = Asked::Partial;
        }
        text.push_str(what);
    };
    if question.elsewhere > 0 {
        lacks(&format!("; {} from elsewhere are not looked at", question.elsewhere));
    }
    // A release that was removed is in somebody's lock file still.
    if let Some(first) = absent.get(..absent.len().min(NAMED)).filter(|first| !first.is_empty()) {
        let more = absent.len() - first.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lacks(&format!("; it does not have {}{more}", first.join(", ")));
    }
    if let Some(why) = question.silent.filter(|_| all > 0) {
        lacks(&format!("; as this machine last saw it, for the registry was not asked: {why}"));
    }
    // To the day, so that the evidence of an earlier run is not written anew for a second.
    let source = Source { source: "index".to_owned(), status, required: false, day: Some(settings.now / DAY * DAY) };
    facts.push(Fact::new(SOURCE, question.subject, text).with(&source));
    facts.extend(told);
}

fn reputation(question: &Question<'_>, facts: &mut Vec<Fact>) {
    let said = match question.reputation {
        Some(Reputation::Here(said)) => said,
        Some(Reputation::Missing { reason }) => {
            facts.push(asked(question, "reputation", Asked::NotChecked, reason));
            return;
        }
        None => {
            facts.push(asked(question, "reputation", Asked::NotChecked, "a lock file's packages are not asked for"));
            return;
        }
    };
    let mut text = said.downloads.map_or("downloads unknown".to_owned(), |count| format!("{count} downloads"));
    if let Some(recent) = said.recent {
        _ = write!(text, ", {recent} of late");
    }
    if let Some(publisher) = &said.publisher {
        _ = write!(text, ", published by {publisher}");
    }
    if said.trusted == Some(true) {
        text.push_str(", by the repository's own automation");
    }
    if let Some(owners) = said.owners.as_ref().filter(|owners| !owners.is_empty()) {
        _ = write!(text, ", owned by {}", owners.join(", "));
    }
    if said.repository.is_none() {
        text.push_str(", without a repository");
    }
    facts.push(Fact::new(REPUTATION, question.subject, text.clone()).with(said));
    let (status, lacks) = match said.owners {
        Some(_) => (Asked::Checked, ""),
        None => (Asked::Partial, "; its owners are not known"),
    };
    facts.push(asked(question, "reputation", status, format!("{text}{lacks}")));
}

/// The subject's archive, if there is one that can be read.
fn archives(question: &Question<'_>, facts: &mut Vec<Fact>) -> Option<Tree> {
    let not = |why: String| asked(question, "archive", Asked::NotChecked, why);
    let Some((dir, previous)) = question.archive else {
        facts.push(not("there is no archive of a subject".to_owned()));
        return None;
    };
    let new = match tree::read(dir) {
        Ok(new) => new,
        Err(error) => {
            facts.push(not(format!("it cannot be read: {error}")));
            return None;
        }
    };
    facts.extend(archive::oddities(question.subject, &new));
    let asked = match previous {
        Previous::None => asked(question, "archive", Asked::Checked, "the subject's; no release is before it"),
        Previous::Missing { reason } => {
            asked(question, "archive", Asked::Partial, format!("the subject's; the release before was not: {reason}"))
        }
        Previous::Here { version, dir } => match tree::read(dir) {
            Ok(old) => {
                facts.extend(archive::changes(question.subject, &new, &old, version));
                asked(question, "archive", Asked::Checked, format!("the subject's against that of {version}"))
            }
            Err(error) => {
                asked(question, "archive", Asked::Partial, format!("that of {version} cannot be read: {error}"))
            }
        },
    };
    facts.push(asked);
    Some(new)
}

#[cfg(test)]
mod tests;
