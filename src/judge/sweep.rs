//! Many different paths by one unit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::context::{Context, Tried};
use super::finding::Draft;
use crate::ids::UnitId;
use crate::policy::Severity;

/// What one unit touched, each path once.
#[derive(Debug)]
struct Sweep<'t, 'a> {
    first: &'t Tried<'a>,
    paths: BTreeSet<&'t [u8]>,
    attempts: Vec<u64>,
}

/// The sweeps of a run, by unit.
#[derive(Debug, Default)]
pub(crate) struct Sweeps<'t, 'a>(BTreeMap<UnitId, Sweep<'t, 'a>>);

impl<'t, 'a> Sweeps<'t, 'a> {
    pub(crate) fn add(&mut self, tried: &'t Tried<'a>, path: &'t [u8]) {
        let sweep = self.0.entry(tried.unit.id()).or_insert_with(|| Sweep {
            first: tried,
            paths: BTreeSet::new(),
            attempts: Vec::new(),
        });
        if sweep.paths.insert(path) {
            sweep.attempts.push(tried.attempt.seq);
        }
    }

    /// The units that touched so many.
    pub(crate) fn units(&self, threshold: usize) -> BTreeSet<UnitId> {
        self.0.iter().filter(|(_, sweep)| sweep.paths.len() >= threshold).map(|(unit, _)| *unit).collect()
    }

    /// A draft for each unit that touched so many; it still needs its words.
    pub(crate) fn drafts(
        self,
        cx: &Context<'_>,
        threshold: usize,
        code: &'static str,
        severity: Severity,
    ) -> impl Iterator<Item = (usize, Draft)> {
        self.0.into_values().filter(move |sweep| sweep.paths.len() >= threshold).filter_map(move |sweep| {
            let many = sweep.paths.len();
            let mut draft = Draft::new(cx, sweep.first, code, severity)?;
            draft.count = u64::try_from(many).unwrap_or(u64::MAX);
            draft.attempts = sweep.attempts;
            draft.object = json!({"paths": many});
            Some((many, draft))
        })
    }
}
