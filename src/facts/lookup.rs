//! Advisories about packages, out of whatever databases there are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use semver::Version;

use super::advisory::Record;
use super::{FactsError, FactsSettings, NOTHING, Question, asked, database};
use crate::acquire::{self, Kept};
use crate::evidence::fact::{ADVISORY, Asked, Fact, KNOWN_MALICIOUS, Source};
use crate::evidence::time::{DAY, date, seconds};
use crate::ids::{PackageId, counted, plain_name};

/// A database to read.
struct Place {
    path: PathBuf,
    /// What is said of it.
    note: String,
}

pub(super) fn advisories(
    question: &Question<'_>,
    settings: &FactsSettings,
    facts: &mut Vec<Fact>,
) -> Result<(), FactsError> {
    let none = |why: &str| {
        let fact = asked(question, "advisories", Asked::NotChecked, why);
        if settings.max_age.is_some() { require(fact) } else { fact }
    };
    if question.packages.is_empty() && settings.databases.is_empty() {
        facts.push(asked(question, "advisories", Asked::Checked, NOTHING));
        return Ok(());
    }
    let places = match places(settings) {
        Ok(places) => places,
        Err(reason) => {
            let why = format!(
                "no database of advisories: {reason}; clone RustSec's advisory-db and name it with --advisory-db"
            );
            facts.push(none(&why));
            return Ok(());
        }
    };
    let names: BTreeSet<String> = question.packages.iter().map(|package| plain_name(&package.name)).collect();
    let mut records: Vec<Record> = Vec::new();
    for Place { path, note } in places {
        let database = match database::read(&path, &names) {
            Ok(database) => database,
            // Nobody named it, so nobody is wrong.
            Err(reason) if settings.databases.is_empty() => {
                facts.push(none(&format!("{}: {reason}", path.display())));
                continue;
            }
            Err(reason) => return Err(FactsError::database(path, reason)),
        };
        let age = database.newest.as_deref().and_then(seconds).map(|day| settings.now.saturating_sub(day) / DAY);
        let newest = database.newest.as_deref().unwrap_or("unknown");
        let mut text = format!("{} advisories, the newest of {newest}", database.advisories);
        text.push_str(&age.map_or_else(String::new, |age| format!(" ({})", counted(age, "day"))));
        text.push_str(&note);
        let old = settings.max_age.filter(|most| age.is_none_or(|age| age > *most));
        let mut status = Asked::Checked;
        if let Some(most) = old {
            status = Asked::Partial;
            _ = write!(text, "; --max-db-age allows {}", counted(most, "day"));
        }
        if let Some(first) = database.broken.first() {
            status = Asked::Partial;
            _ = write!(text, "; {} cannot be read: {first}", database.broken.len());
        }
        let fact = asked(question, "advisories", status, text);
        facts.push(if old.is_some() { require(fact) } else { fact });
        records.extend(database.records);
    }
    for package in question.packages {
        facts.extend(about(package, &records));
    }
    Ok(())
}

/// What the user named; else what can be downloaded; else where others keep one.
fn places(settings: &FactsSettings) -> Result<Vec<Place>, String> {
    if !settings.databases.is_empty() {
        let named = |path: &PathBuf| Place { path: path.clone(), note: String::new() };
        return Ok(settings.databases.iter().map(named).collect());
    }
    let downloaded = match &settings.download {
        Some(download) => acquire::advisories(&download.acquire, download.url.as_deref(), settings.now),
        None => Err("none was named".to_owned()),
    };
    let place = match (downloaded, settings.usual.as_ref().filter(|path| path.is_dir())) {
        (Ok(Kept { path, fetched, overdue }), _) => {
            let overdue = overdue.map_or_else(String::new, |why| format!("; a newer one cannot be had: {why}"));
            Place { path, note: format!(", downloaded on {}{overdue}", date(fetched)) }
        }
        (Err(reason), Some(usual)) => {
            Place { path: usual.clone(), note: format!("; a newer one cannot be had: {reason}") }
        }
        (Err(reason), None) => return Err(reason),
    };
    Ok(vec![place])
}

/// The user said that a run without it is not what is wanted.
fn require(mut fact: Fact) -> Fact {
    if let Some(source) = fact.read::<Source>() {
        fact = fact.with(&Source { required: true, ..source });
    }
    fact
}

/// The advisories that cover a release, each once whatever it is called elsewhere.
fn about(package: &PackageId, records: &[Record]) -> Vec<Fact> {
    let Ok(version) = package.version.parse::<Version>() else { return Vec::new() };
    let name = plain_name(&package.name);
    let mut told: Vec<&Record> = Vec::new();
    for record in records.iter().filter(|record| record.covers(&name, &version)) {
        match told.iter_mut().find(|other| other.is_same_as(record)) {
            // Of two about the same, the one that says more.
            Some(other) if record.malicious && !other.malicious => *other = record,
            Some(_) => {}
            None => told.push(record),
        }
    }
    told.into_iter()
        .map(|record| {
            let code = if record.malicious { KNOWN_MALICIOUS } else { ADVISORY };
            let about = record.about(&version);
            let mended = match about.patched.as_slice() {
                [] => "no release mends it".to_owned(),
                some => format!("mended in {}", some.join(" or ")),
            };
            let kind = about.informational.as_ref().map_or(String::new(), |kind| format!(" ({kind})"));
            let text = format!("{}{kind}: {}; {mended}", about.id, about.title);
            Fact::new(code, package, text).with(&about)
        })
        .collect()
}
