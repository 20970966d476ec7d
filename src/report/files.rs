//! Which files units tried to use, for statements: a bounded list of what stands in the evidence.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::line::{Artifact, Attempt, Captured, Kind, Line, Object, Outcome, PathObject};
use crate::evidence::{Bytes, EvidenceLog};
use crate::ids::{PackageId, Sha256Digest, UnitId};
use crate::judge::Judgement;

/// More are in the evidence only. What findings are about is told before all else.
const MOST: usize = 2_000;

/// Recorded uses of files, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FileAccess {
    /// The first of these that are told.
    pub(super) told: Vec<Used>,
    /// How many are not.
    pub(super) left_out: usize,
}

/// One file as it was tried.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Used {
    /// Inside the sandbox.
    pub(super) path: Bytes,
    /// Of the whole file, where its bytes were captured.
    pub(super) sha256: Option<Sha256Digest>,
    pub(super) package: PackageId,
    pub(super) unit: UnitId,
    /// `read`, `write`, …
    pub(super) access: &'static str,
    pub(super) outcome: Outcome,
    /// How often.
    pub(super) count: u64,
    seq: u64,
}

impl FileAccess {
    pub(super) fn of(log: &EvidenceLog, judgement: &Judgement) -> Self {
        let mut digests: BTreeMap<(u64, &Bytes), Sha256Digest> = BTreeMap::new();
        let mut beside: BTreeMap<u64, Vec<&Artifact>> = BTreeMap::new();
        for artifact in log.lines.iter().filter_map(whole_file) {
            if let (Some(attempt), Some(sha256)) = (artifact.attempt, artifact.sha256) {
                digests.insert((attempt, &artifact.path), sha256);
                beside.entry(attempt).or_default().push(artifact);
            }
        }
        let mut all = Vec::new();
        let mut nameless = 0;
        for line in &log.lines {
            let Line::Attempt(attempt) = line else { continue };
            let (Some(package), Some(access)) = (&attempt.package, access(attempt.kind)) else { continue };
            let used = |path: &Bytes, access, sha256| Used {
                path: path.clone(),
                sha256,
                package: package.clone(),
                unit: attempt.unit,
                access,
                outcome: attempt.outcome,
                count: attempt.count,
                seq: attempt.seq,
            };
            let mut named = BTreeSet::new();
            for object in objects(attempt) {
                match [&object.resolved, &object.path].into_iter().find(|path| path.0.starts_with(b"/")) {
                    Some(path) => {
                        let known = [&object.path, &object.resolved];
                        let sha256 = known.iter().find_map(|path| digests.get(&(attempt.seq, path)).copied());
                        named.extend(known);
                        all.push(used(path, access, sha256));
                    }
                    None => nameless += 1,
                }
            }
            // A script that an interpreter was given is another file than the program.
            for artifact in beside.get(&attempt.seq).into_iter().flatten() {
                if artifact.path.0.starts_with(b"/") && !named.contains(&artifact.path) {
                    all.push(used(&artifact.path, access, artifact.sha256));
                }
            }
        }
        Self::bounded(all, nameless, judgement)
    }

    fn bounded(mut all: Vec<Used>, nameless: usize, judgement: &Judgement) -> Self {
        let left_out = nameless + all.len().saturating_sub(MOST);
        if all.len() > MOST {
            let findings = judgement.packages.iter().flat_map(|package| &package.findings);
            let found: BTreeSet<u64> = findings.flat_map(|finding| finding.attempts.iter().copied()).collect();
            all.sort_by_key(|used| (!found.contains(&used.seq), used.seq));
            all.truncate(MOST);
            all.sort_by_key(|used| used.seq);
        }
        Self { told: all, left_out }
    }
}

/// Bytes of a file, all of which were hashed.
fn whole_file(line: &Line) -> Option<&Artifact> {
    let Line::Artifact(artifact) = line else { return None };
    let is_file = matches!(artifact.what, Captured::Program | Captured::Script | Captured::Dropped);
    (is_file && !artifact.truncated).then_some(artifact)
}

fn access(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::FsOpen => "read",
        Kind::FsWrite => "write",
        Kind::FsMeta => "metadata",
        Kind::FsLink => "link",
        Kind::FsRemove => "remove",
        Kind::FsProbe => "probe",
        Kind::Exec => "run",
        _ => return None,
    })
}

fn objects(attempt: &Attempt) -> Vec<&PathObject> {
    match &attempt.object {
        Object::Path(path) | Object::Program { program: path, .. } => vec![path],
        Object::Paths { from, to } => vec![from, to],
        _ => Vec::new(),
    }
}
