//! What is known of packages: where it comes from, and settings for telling it alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use super::config::Gifts;
use super::{Beside, Reporting, Settings, SettingsError, identity, limits, now, outputs, places, state_dir};
use crate::acquire::{AcquireSettings, Request};
use crate::cli::{FactsArgs, KnownArgs, RepositoryArgs};
use crate::evidence::line::Depth;
use crate::facts::{Download, FactsSettings};
use crate::sandbox::table::Trace;

/// Where facts come from: what was typed, and what stands in the configuration. Databases add up, of the rest what was typed
/// wins. `cargo audit` keeps its checkout in cargo's home.
pub(super) fn settings(args: &KnownArgs, gifts: &Gifts, acquire: &AcquireSettings, now: u64) -> FactsSettings {
    let url = args.advisory_url.clone().or_else(|| gifts.advisory_url.clone());
    FactsSettings {
        databases: gifts.advisory_db.iter().chain(&args.advisory_db).cloned().collect(),
        download: Some(Download { acquire: acquire.clone(), url }),
        usual: Some(acquire.cargo_home.join("advisory-db")),
        max_age: args.max_db_age.or(gifts.max_db_age),
        repository: None,
        now,
    }
}

/// The clone that the user gave, for a target that has an archive.
pub(super) fn repository(args: &RepositoryArgs, request: &Request) -> Result<Option<PathBuf>, SettingsError> {
    let Some(folder) = &args.repository else { return Ok(None) };
    if matches!(request, Request::Directory(_)) {
        return Err(SettingsError::new(
            "--repository: only one archive is compared with a repository, and a folder or a lock file is none",
            "name the release, or its file.crate",
        ));
    }
    Ok(Some(folder.clone()))
}

/// Databases that the user named, and nothing else.
pub fn of_databases(databases: &[PathBuf]) -> FactsSettings {
    FactsSettings { databases: databases.to_vec(), now: now(), ..FactsSettings::default() }
}

impl Settings {
    /// Settings for facts alone: nothing is built, so most of them say nothing.
    ///
    /// # Errors
    /// When a value makes no sense, before anything was done.
    pub fn of_facts(args: &FactsArgs) -> Result<Self, SettingsError> {
        // A lock file is no request; its folder stands for it.
        let target = Path::new(&args.target);
        let request = if target.extension().is_some_and(|extension| extension == "lock") {
            Request::Directory(target.to_owned())
        } else {
            args.target.parse().map_err(|error: crate::acquire::AcquireError| SettingsError {
                message: error.to_string(),
                hint: error.hint(),
                is_temporary: false,
            })?
        };
        let places = places()?;
        let mut acquire = AcquireSettings::new(places.cache_dir().join("sandbox-check"));
        acquire.offline = args.offline;
        acquire.only_subject = true;
        let folder = if let Request::Directory(folder) = &request { Some(folder.clone()) } else { None };
        let folder = folder.filter(|folder| folder.is_dir());
        let beside = Beside { config: args.config.as_deref(), target: folder.as_deref(), offline: args.offline };
        let (limits, _) = limits::limits(1, &[])?;
        let now = now();
        let repository = repository(&args.repository, &request)?;
        let gifts = Gifts::of_file(args.config.as_deref(), &places.config_dir(), &acquire)?;
        let settings = Self {
            request,
            facts: FactsSettings { repository, ..settings(&args.known, &gifts, &acquire, now) },
            acquire,
            identity: identity(),
            toolchain: None,
            channel: None,
            env: Vec::new(),
            has_secrets: false,
            read: Vec::new(),
            jobs: 1,
            limits,
            wanted_depth: None,
            depth: Depth::default(),
            given: gifts.file.iter().map(|file| format!("configuration {}", file.display())).collect(),
            trace: Trace { probes: false },
            reporting: Reporting::new(&args.reports, beside)?,
            evidence: outputs::evidence(args.evidence.as_deref())?,
            known: state_dir(&places),
            fresh: false,
            of_this_call: BTreeSet::new(),
            now,
        };
        Ok(settings.without_our_own())
    }
}
