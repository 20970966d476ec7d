//! The units of a run, and whose code each of them runs.

use std::collections::{BTreeMap, BTreeSet};

use super::context::layout_path;
use super::paths::{is_below, normalise};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{Header, Line, PackageSource, UnitEnd, UnitKind, UnitStart, note};
use crate::ids::{PackageId, UnitId};

/// A unit of the run with what is known about it.
#[derive(Debug)]
pub(crate) struct Unit<'a> {
    pub(crate) start: &'a UnitStart,
    pub(crate) end: Option<&'a UnitEnd>,
    /// The package whose code is judged by it.
    pub(crate) package: Option<PackageId>,
    /// True for the generated consumer, where the subject's macros run.
    pub(crate) is_consumer: bool,
    /// The folders that it may write, without its package's source.
    pub(crate) places: Vec<Vec<u8>>,
    /// Its package's source.
    pub(crate) source: Vec<u8>,
    /// Other packages' sources that lie inside of it.
    nested: Vec<Vec<u8>>,
}

impl Unit<'_> {
    pub(crate) fn id(&self) -> UnitId {
        self.start.unit
    }

    pub(crate) fn kind(&self) -> UnitKind {
        self.start.kind
    }

    /// True for a place of its own that is not its package's source.
    pub(crate) fn owns(&self, path: &[u8]) -> bool {
        self.places.iter().any(|place| is_below(path, place))
    }

    pub(crate) fn in_source(&self, path: &[u8]) -> bool {
        is_below(path, &self.source) && !self.nested.iter().any(|source| is_below(path, source))
    }
}

/// The units of a log. Built first, because attempts point into it.
#[derive(Debug)]
pub(crate) struct Units<'a>(pub(crate) BTreeMap<UnitId, Unit<'a>>);

impl<'a> Units<'a> {
    pub(crate) fn new(log: &'a EvidenceLog) -> Self {
        let mut units = BTreeMap::new();
        for line in &log.lines {
            match line {
                // Our own proof that the layers hold is not judged.
                Line::UnitStart(start) if start.kind != UnitKind::SelfTest => {
                    units.insert(start.unit, unit(&log.header, start));
                }
                Line::UnitEnd(end) => {
                    if let Some(unit) = units.get_mut(&end.unit) {
                        unit.end = Some(end);
                    }
                }
                _ => {}
            }
        }
        attribute_consumer(log, &mut units);
        Self(units)
    }
}

fn unit<'a>(header: &'a Header, start: &'a UnitStart) -> Unit<'a> {
    let package = start.package.as_ref().and_then(|id| header.packages.iter().find(|p| p.id == *id));
    let source = package.map(|p| normalise(&p.dir.0)).unwrap_or_default();
    let mut places: Vec<_> = start.places.iter().map(|place| normalise(&place.0)).collect();
    // Sources and the consumer are judged by other rules than outputs.
    let is_source = |place: &Vec<u8>| {
        place.as_slice() == layout_path(&header.layout.consumer)
            || header.packages.iter().any(|p| normalise(&p.dir.0) == *place)
    };
    places.retain(|place| *place != source && !is_source(place));
    let is_consumer =
        start.kind == UnitKind::CompileConsumer || package.is_some_and(|p| p.source == PackageSource::Consumer);
    let others = header.packages.iter().map(|p| normalise(&p.dir.0));
    let nested = others.filter(|other| *other != source && is_below(other, &source)).collect();
    Unit { start, end: None, package: start.package.clone(), is_consumer, places, source, nested }
}

/// What runs in the consumer's units is the subject's macros, so they are judged as the subject's.
fn attribute_consumer(log: &EvidenceLog, units: &mut BTreeMap<UnitId, Unit<'_>>) {
    let mut loaded: BTreeMap<UnitId, BTreeSet<&PackageId>> = BTreeMap::new();
    for line in &log.lines {
        if let Line::Note(note) = line
            && note.code == note::MACRO_LOADED
            && let (Some(unit), Some(package)) = (note.unit, &note.package)
        {
            loaded.entry(unit).or_default().insert(package);
        }
    }
    let subject = log.header.packages.iter().find(|p| p.subject).map(|p| &p.id);
    for unit in units.values_mut().filter(|u| u.is_consumer) {
        let is_consumers = unit
            .package
            .as_ref()
            .is_none_or(|id| log.header.packages.iter().any(|p| p.id == *id && p.source == PackageSource::Consumer));
        if is_consumers {
            let only = loaded.get(&unit.id()).filter(|set| set.len() == 1).and_then(|set| set.first().copied());
            unit.package = only.or(subject).cloned().or_else(|| unit.package.take());
        }
    }
}
