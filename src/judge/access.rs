//! Where a read or a write goes, seen from the unit that tried it.

use super::context::{Context, Tried, layout_path};
use super::paths::{file_name, is_below};
use super::units::Unit;
use crate::evidence::line::{Kind, Object, PackageSource, UnitKind};
use crate::policy::{Role, Severity, StartupRule};

/// What a change does to the name that it is made at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It only makes sense on something that is there.
    Existing,
    /// It makes the thing, or replaces it.
    Maybe,
    /// It fails where something is there.
    New,
}

/// One change of one name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'t> {
    pub(crate) path: &'t [u8],
    pub(crate) touch: Touch,
    /// True if the name holds the caller's bytes afterwards. A new folder is empty.
    pub(crate) plants: bool,
}

/// Where a change goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Zone<'p> {
    /// A place of the unit's own, or one that the policy lets everybody write.
    Own,
    /// Its own package's source; `starts` if something would start from there later.
    Source { starts: bool },
    /// The policy knows it and wants it said.
    Known(Severity),
    /// Something starts from there later.
    Startup(&'p str, &'p str),
    /// Made by another unit, by cargo, or part of the toolchain.
    Foreign,
    /// Anywhere else.
    Outside,
}

/// The names that an attempt would change.
pub(crate) fn changes<'t>(tried: &'t Tried<'_>) -> Vec<Change<'t>> {
    if tried.path.is_empty() {
        return Vec::new();
    }
    let at = |touch, plants| Change { path: &tried.path, touch, plants };
    match tried.attempt.kind {
        Kind::FsWrite => vec![at(touch_of(tried), !is_folder_made(tried))],
        Kind::FsMeta | Kind::FsRemove => vec![at(Touch::Existing, false)],
        Kind::FsMount => vec![at(Touch::Existing, true)],
        Kind::FsLink if tried.is_rename() => {
            let plants = tried.is_exchange();
            vec![at(Touch::Maybe, true), Change { path: &tried.from, touch: Touch::Existing, plants }]
        }
        Kind::FsLink => vec![at(Touch::New, true)],
        _ => Vec::new(),
    }
}

/// What a call does to a name, after "tried to".
pub(crate) fn verb(tried: &Tried<'_>, change: &Change<'_>) -> &'static str {
    match tried.attempt.kind {
        Kind::FsRemove => "remove",
        Kind::FsMeta => "change the attributes of",
        Kind::FsLink if change.path == tried.from && !change.plants => "rename",
        Kind::FsLink if tried.is_rename() => "move something to",
        Kind::FsLink => "make a link at",
        Kind::FsMount => "mount something at",
        _ => "write",
    }
}

fn flags<'t>(tried: &'t Tried<'_>) -> &'t [String] {
    match &tried.attempt.object {
        Object::Path(object) => &object.flags,
        _ => &[],
    }
}

/// True if a call has this flag.
pub(crate) fn has_flag(tried: &Tried<'_>, name: &str) -> bool {
    flags(tried).iter().any(|flag| flag == name)
}

/// True for the making of a folder.
pub(crate) fn is_folder_made(tried: &Tried<'_>) -> bool {
    tried.attempt.syscall.starts_with("mkdir")
}

fn touch_of(tried: &Tried<'_>) -> Touch {
    let syscall = tried.attempt.syscall.as_str();
    if is_folder_made(tried) || syscall.starts_with("mknod") || syscall.starts_with("symlink") {
        Touch::New
    } else if syscall == "creat" {
        Touch::Maybe
    } else if has_flag(tried, "O_EXCL") || has_flag(tried, "O_TMPFILE") {
        Touch::New
    } else if has_flag(tried, "O_CREAT") {
        Touch::Maybe
    } else {
        Touch::Existing
    }
}

/// Where a change goes. The order is that of `docs/verdicts.md`.
pub(crate) fn zone<'a>(cx: &Context<'a>, tried: &Tried<'_>, change: &Change<'_>) -> Zone<'a> {
    let Change { path, touch, plants } = *change;
    let unit = tried.unit;
    if unit.owns(path) || makes_way(tried, path) {
        return Zone::Own;
    }
    if let Some(rule) = cx.policy.write(path, tried.role()) {
        return rule.severity.map_or(Zone::Own, Zone::Known);
    }
    let startup = || cx.policy.startup(path).or_else(|| brought_along(cx, tried, path)).filter(|_| plants);
    if unit.in_source(path) && !unit.is_consumer {
        // What lies in a folder of the user's starts there as anywhere; of a release, nothing does.
        return Zone::Source { starts: is_of_a_folder(cx, tried) && startup().is_some() };
    }
    if let Some(rule) = startup() {
        return Zone::Startup(&rule.class, &rule.attack);
    }
    if plants && cx.decoy(path) == Some(crate::evidence::line::DecoyClass::Startup) {
        return Zone::Startup("shell", "T1546");
    }
    if is_foreign(cx, tried, path, touch) { Zone::Foreign } else { Zone::Outside }
}

/// True for code of a package that comes from a folder of the user's.
fn is_of_a_folder(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let package = tried.attempt.package.as_ref().and_then(|id| cx.package(id));
    package.is_some_and(|package| package.source == PackageSource::Directory)
}

/// What would start from a folder that a rename, a link or a mount puts in its place as a whole.
fn brought_along<'a>(cx: &Context<'a>, tried: &Tried<'_>, path: &[u8]) -> Option<&'a StartupRule> {
    matches!(tried.attempt.kind, Kind::FsLink | Kind::FsMount).then(|| cx.policy.startup_below(path)).flatten()
}

/// `mkdir -p` names every folder on the way to a place of the unit's own.
fn makes_way(tried: &Tried<'_>, path: &[u8]) -> bool {
    is_folder_made(tried)
        && (path == b"/" || is_below(&tried.unit.source, path) || tried.unit.places.iter().any(|p| is_below(p, path)))
}

fn is_foreign(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8], touch: Touch) -> bool {
    let layout = cx.layout();
    let replaces = touch != Touch::New;
    if is_below(path, layout_path(&layout.toolchain)) {
        return true;
    }
    if is_other_toolchain(cx, path) {
        return replaces;
    }
    let is_other_place = |place: &Vec<u8>| is_below(path, place);
    // Units of different runs never met, and places have the same names in each.
    let is_beside = |unit: &&Unit<'_>| unit.id() != tried.unit.id() && unit.start.earlier == tried.unit.start.earlier;
    if cx.units.0.values().filter(is_beside).any(|unit| unit.places.iter().any(is_other_place)) {
        return true;
    }
    let registry = layout_path(&layout.registry_src);
    if cx.in_sources(path) {
        // A name directly in the shared folder of all sources may be new; below that it is another package's.
        let is_top = path.rsplitn(2, |&b| b == b'/').nth(1) == Some(registry);
        return !is_top || replaces;
    }
    if is_cargos_store(cx, path) {
        return replaces && tried.role() != Some(Role::Cargo);
    }
    if cx.in_target(path) {
        return is_packages_folder(cx, path)
            || touch == Touch::Existing
            || (replaces && is_output(cx, tried, path))
            || is_named_output(cx, tried, path);
    }
    if cx.in_consumer(path) {
        let is_known = matches!(file_name(path), b"Cargo.lock" | b"Cargo.toml") || cx.decoy(path).is_some();
        return touch == Touch::Existing || (replaces && is_known);
    }
    false
}

/// True for what cargo downloaded: releases, the index, repositories. Also where cargo keeps it by default.
pub(crate) fn is_cargos_store(cx: &Context<'_>, path: &[u8]) -> bool {
    let layout = cx.layout();
    let own = layout_path(&layout.cargo_home).to_vec();
    let default = [layout_path(&layout.home), b"/.cargo"].concat();
    let stores = [own, default]
        .into_iter()
        .flat_map(|home| [[&home, &b"/registry"[..]].concat(), [&home, &b"/git"[..]].concat()]);
    stores.into_iter().any(|store| is_below(path, &store))
}

/// True for toolchains beside the one of the run, and for those where rustup keeps them by default.
fn is_other_toolchain(cx: &Context<'_>, path: &[u8]) -> bool {
    let layout = cx.layout();
    let beside = layout_path(&layout.toolchain).rsplitn(2, |&b| b == b'/').nth(1).unwrap_or_default();
    let default = [layout_path(&layout.home), b"/.rustup/toolchains"].concat();
    (file_name(beside) == b"toolchains" && is_below(path, beside)) || is_below(path, &default)
}

/// True below `build/NAME-HASH/` and `.fingerprint/NAME-HASH/`, which belong to one package each, and below the `NAME/HASH/`
/// of cargo's later layout. What macros put there under names of their own is nobody else's.
fn is_packages_folder(cx: &Context<'_>, path: &[u8]) -> bool {
    let rest = path.strip_prefix(layout_path(&cx.layout().target_dir)).unwrap_or_default();
    let names: Vec<_> = rest.split(|&b| b == b'/').filter(|name| !name.is_empty()).collect();
    // One or two folders in front: a profile, perhaps a triple.
    let shared = names.iter().take(3).position(|name| *name == b"build" || *name == b".fingerprint");
    shared.and_then(|at| names.get(at + 1..)).is_some_and(|below| match below {
        [package, _, ..] if has_hash(package) => true,
        [_, hash, _, ..] => is_hash(hash),
        _ => false,
    })
}

/// True for what cargo tells units of one name apart by.
fn is_hash(name: &[u8]) -> bool {
    name.len() == 16 && name.iter().all(u8::is_ascii_hexdigit)
}

fn has_hash(name: &[u8]) -> bool {
    name.rsplit(|&b| b == b'-').next().is_some_and(|last| last.len() < name.len() && is_hash(last))
}

/// True for names that rustc loads, and for what another unit was seen to write.
fn is_output(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> bool {
    let name = file_name(path);
    let is_library = name.starts_with(b"lib") && [&b".rlib"[..], b".rmeta", b".so"].iter().any(|e| name.ends_with(e));
    is_library || cx.writers(path).any(|writer| writer.unit.id() != tried.unit.id())
}

/// True for the output names of another unit: crate name and cargo's hash.
fn is_named_output(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> bool {
    let name = file_name(path);
    let name = name.strip_prefix(b"lib").unwrap_or(name);
    cx.units.0.values().any(|unit| {
        let own = unit.start.name.as_bytes();
        unit.id() != tried.unit.id() && own.len() > 16 && name.starts_with(own)
    })
}

/// The path that an attempt would read, if it would.
pub(crate) fn read_path<'t>(tried: &'t Tried<'_>) -> Option<&'t [u8]> {
    let path = match tried.attempt.kind {
        // A file that was opened without rights is read through /proc/self/fd; a folder is only a way.
        Kind::FsOpen if !(has_flag(tried, "O_PATH") && has_flag(tried, "O_DIRECTORY")) => &tried.path,
        Kind::FsWrite if has_flag(tried, "O_RDWR") => &tried.path,
        // An exchange brings what lay at the new path, too.
        Kind::FsLink if tried.is_exchange() && tried.unit.owns(&tried.from) => &tried.path,
        // Another name for a file is as good as its contents.
        Kind::FsLink if tried.is_hard_link() || tried.is_rename() => &tried.from,
        _ => return None,
    };
    (!path.is_empty()).then_some(path)
}

/// True for reads that are nobody else's business: own places, own source, and for
/// the consumer's units the consumer's sources, which rustc has to read.
pub(crate) fn is_own_read(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> bool {
    let unit = tried.unit;
    if unit.owns(path) {
        return true;
    }
    let is_private = path.split(|&b| b == b'/').any(|name| name == b".git" || name.starts_with(b".env"));
    // A macro that is driven stands in the consumer, too.
    if (unit.is_consumer || unit.kind() == UnitKind::DriveMacros) && cx.in_consumer(path) {
        return !is_private;
    }
    unit.in_source(path)
}
