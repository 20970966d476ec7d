//! Which packages failed, and which others were not built for it.
//!
//! cargo goes on after a failure and builds whatever it can. So a package of which nothing ran, and which needs none
//! that failed, is one that nothing asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::context::Context;
use crate::evidence::line::{Depth, LeftOutWhy, Line, UnitKind, UnitOutcome, note};
use crate::ids::PackageId;

/// Which packages failed, and how the run ended.
pub(super) struct Failures<'a> {
    packages: BTreeMap<&'a PackageId, &'static str>,
    /// The packages of the build, with the positions of those that each needs.
    graph: Vec<(&'a PackageId, &'a [u64])>,
    /// True if cargo started all that it could.
    pub(super) reached_the_end: bool,
}

impl<'a> Failures<'a> {
    pub(super) fn of(cx: &'a Context<'_>) -> Self {
        let mut packages = BTreeMap::new();
        for unit in cx.units.0.values() {
            let is_build = !matches!(unit.kind(), UnitKind::DriveMacros | UnitKind::CompileConsumer);
            let is_fine = unit.end.is_some_and(|end| end.outcome == UnitOutcome::Ok);
            if let Some(id) = unit.package.as_ref().filter(|_| is_build && !is_fine) {
                packages.insert(id, "which failed");
            }
        }
        let has_failed = !packages.is_empty();
        for locked in cx.log.header.lock.iter().flat_map(|record| &record.packages) {
            match locked.left_out.as_ref().map(|left_out| left_out.why) {
                Some(LeftOutWhy::Refused) => drop(packages.insert(&locked.id, "which was refused")),
                Some(LeftOutWhy::Unavailable | LeftOutWhy::Unsupported) => {
                    packages.insert(&locked.id, "which could not be had");
                }
                _ => {}
            }
        }
        let mut ends = cx.log.lines.iter().filter_map(|line| match line {
            Line::Note(said) if said.code == note::CARGO_EXIT => Some(said.text.as_str()),
            _ => None,
        });
        // With a failure of its own, cargo may have built nothing at all.
        let is_fine = |text: &str| text.rsplit(|c: char| !c.is_ascii_digit()).next() == Some("0");
        let went_on = |text: &str| !text.contains("signal") && has_failed;
        let reached_the_end = ends.next().is_some_and(|text| is_fine(text) || went_on(text));
        Self { packages, graph: cx.log.header.graph(), reached_the_end }
    }

    /// True where this package's own code was compiled, as far as it was to be: only one depth compiles everything. What
    /// failed itself has a reason of its own.
    pub(super) fn is_compiled(&self, cx: &Context<'_>, id: &PackageId) -> bool {
        let compiles = [UnitKind::Compile, UnitKind::CompileProcMacro, UnitKind::CompileConsumer];
        let mut units = cx.units.0.values().filter(|unit| compiles.contains(&unit.kind()));
        cx.log.header.depth != Depth::Check
            || self.packages.contains_key(id)
            || units.any(|unit| unit.package.as_ref() == Some(id))
    }

    /// The nearest package that this one needs and that failed.
    pub(super) fn needed_by(&self, id: &PackageId) -> Option<(&'a PackageId, &'static str)> {
        if self.packages.is_empty() {
            return None;
        }
        let node = |at: &u64| self.graph.get(usize::try_from(*at).ok()?);
        let mut seen = BTreeSet::new();
        let mut open: VecDeque<_> = self.graph.iter().find(|(own, _)| *own == id)?.1.iter().filter_map(node).collect();
        while let Some((next, needs)) = open.pop_front() {
            if !seen.insert(*next) {
                continue;
            }
            if let Some(how) = self.packages.get(next) {
                return Some((next, how));
            }
            open.extend(needs.iter().filter_map(node));
        }
        None
    }
}
