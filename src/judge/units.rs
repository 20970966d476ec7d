//! The units of a run, and whose code each of them runs.

use std::collections::{BTreeMap, BTreeSet};

use super::context::layout_path;
use super::paths::{is_below, normalise};
use crate::evidence::EvidenceLog;
use crate::evidence::line::{Header, Line, Package, PackageSource, UnitEnd, UnitKind, UnitStart, note};
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
        let sources = Sources::new(&log.header);
        for line in &log.lines {
            match line {
                // Our own proof that the layers hold is not judged.
                Line::UnitStart(start) if start.kind != UnitKind::SelfTest => {
                    units.insert(start.unit, unit(&sources, start));
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

/// Where the packages of a run have their sources. Looked up for every unit, so each folder is made plain once.
struct Sources<'a> {
    packages: BTreeMap<&'a PackageId, (&'a Package, Vec<u8>)>,
    /// All of them, in order: what lies below a folder stands behind it.
    folders: BTreeSet<Vec<u8>>,
    consumer: &'a [u8],
}

impl<'a> Sources<'a> {
    fn new(header: &'a Header) -> Self {
        let mut packages = BTreeMap::new();
        for package in &header.packages {
            packages.entry(&package.id).or_insert_with(|| (package, normalise(&package.dir.0)));
        }
        let folders = header.packages.iter().map(|package| normalise(&package.dir.0)).collect();
        Self { packages, folders, consumer: layout_path(&header.layout.consumer) }
    }

    /// Others' sources within a source.
    fn nested(&self, source: &[u8]) -> Vec<Vec<u8>> {
        let from = self.folders.range(source.to_vec()..).take_while(|other| other.starts_with(source));
        from.filter(|other| other.as_slice() != source && is_below(other, source)).cloned().collect()
    }
}

fn unit<'a>(sources: &Sources<'_>, start: &'a UnitStart) -> Unit<'a> {
    let known = start.package.as_ref().and_then(|id| sources.packages.get(id));
    let source = known.map(|(_, source)| source.clone()).unwrap_or_default();
    let mut places: Vec<_> = start.places.iter().map(|place| normalise(&place.0)).collect();
    // Sources and the consumer are judged by other rules than outputs.
    places.retain(|place| *place != source && place.as_slice() != sources.consumer && !sources.folders.contains(place));
    let is_of_consumer = known.is_some_and(|(package, _)| package.source == PackageSource::Consumer);
    let is_consumer = start.kind == UnitKind::CompileConsumer || is_of_consumer;
    let nested = sources.nested(&source);
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
