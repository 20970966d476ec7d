//! `write-outside`: a write outside the unit's own places.

use std::collections::BTreeSet;

use serde_json::json;

use super::credential_read::secret;
use super::dns_query::lists_packages;
use super::{Code, mass_delete, process_read, push};
use crate::evidence::line::Kind;
use crate::ids::UnitId;
use crate::judge::access::{Zone, changes, is_cargos_store, is_folder_made, verb, zone};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::{file_name, normalise};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "write-outside",
    severity: "medium; the user's cache directory, and cargo's own store by a cargo that lists packages, low",
    attack: &["T1565.001"],
    meaning: "Code that runs at build time tried to write, create, rename or remove outside OUT_DIR, TMPDIR and its \
              own source, at a place that nothing starts from and that nobody else made.",
    honest: "Downloads kept in a cache directory, generated files in a folder that the packages of a build share.",
    action: "Ask the crate to write to OUT_DIR. Look whether the file is used by a later build.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    let is_of_sweep = mass_delete::tells_of(cx);
    let told = told(cx);
    let is_said_elsewhere = |tried: &Tried<'_>| {
        is_of_sweep(tried)
            || is_way(&told, tried)
            || is_part(&told, tried)
            || process_read::foreign(cx, tried).is_some()
    };
    for tried in cx.tried.iter().filter(|tried| !is_said_elsewhere(tried)) {
        // Who moves a secret away is told by credential-read.
        let moved = secret(cx, tried).filter(|secret| tried.is_rename() && !secret.is_folder).map(|secret| secret.path);
        for change in changes(tried).into_iter().filter(|change| moved != Some(change.path)) {
            let severity = match zone(cx, tried, &change) {
                Zone::Known(severity) => severity,
                // It would bring the build's own repositories there, and runs nothing of what it gets.
                Zone::Outside if is_cargos_store(cx, change.path) && lists_packages(cx, tried) => Severity::Low,
                Zone::Outside => Severity::Medium,
                _ => continue,
            };
            let verb = verb(tried, &change);
            let draft = Draft::new(cx, tried, CODE.name, severity).map(|draft| {
                draft
                    .at(cx, change.path)
                    .says(format!("{} tried to {verb} {}", actor(tried), short(cx, change.path)))
                    .attack(CODE.attack)
            });
            push(out, draft);
        }
    }
    refused_outputs(cx, out);
}

/// What units changed beyond their own places, but for attributes.
fn told<'t>(cx: &'t Context<'_>) -> BTreeSet<(UnitId, &'t [u8])> {
    let mut told = BTreeSet::new();
    let is_change = |tried: &&Tried<'_>| tried.attempt.kind != Kind::FsMeta;
    for tried in cx.tried.iter().filter(is_change) {
        let foreign = changes(tried).into_iter().filter(|change| zone(cx, tried, change) != Zone::Own);
        told.extend(foreign.map(|change| (tried.unit.id(), change.path)));
    }
    told
}

/// True for a new folder on the way to something that is said by itself.
fn is_way(told: &BTreeSet<(UnitId, &[u8])>, tried: &Tried<'_>) -> bool {
    let below = [&tried.path, &b"/"[..]].concat();
    let first = (tried.unit.id(), below.as_slice());
    is_folder_made(tried)
        && told.range(first..).next().is_some_and(|(unit, path)| *unit == first.0 && path.starts_with(&below))
}

/// True for attributes of a file that the unit also wrote: copies and archives bring theirs along.
fn is_part(told: &BTreeSet<(UnitId, &[u8])>, tried: &Tried<'_>) -> bool {
    tried.attempt.kind == Kind::FsMeta && told.contains(&(tried.unit.id(), tried.path.as_slice()))
}

/// What a unit left in its output folder and cargo did not ask for. Libraries are `artifact-tamper`.
fn refused_outputs(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for unit in cx.units.0.values() {
        let Some((end, package)) = unit.end.zip(unit.package.as_ref()) else { continue };
        for path in end.refused_outputs.iter().filter(|path| !is_library(&path.0) && !is_left_by_rustc(&path.0)) {
            let mut draft = Draft::of_package(package, CODE.name, Severity::Medium)
                .about(short(cx, &normalise(&path.0)), json!({"path": path}))
                .says(format!("the unit left {path} among its outputs, which cargo did not ask for"))
                .attack(CODE.attack);
            draft.unit = Some(unit.id());
            out.push(draft);
        }
    }
}

/// True for names that a loader picks up.
pub(super) fn is_library(path: &[u8]) -> bool {
    let name = file_name(path);
    name.windows(3).any(|w| w == b".so") || [&b".rlib"[..], b".rmeta"].iter().any(|end| name.ends_with(end))
}

/// rustc's own temporary folders stay behind when it is killed.
fn is_left_by_rustc(path: &[u8]) -> bool {
    file_name(path).starts_with(b"rmeta") || file_name(path).starts_with(b"rustc")
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Attempt, Kind, Object};
    use crate::evidence::testing::{DEPS, HOME, OUT, RUSTC, TOOLCHAIN};
    use crate::judge::codes::testing::script;

    fn resolve(attempt: &mut Attempt, path: &str) {
        if let Object::Path(object) = &mut attempt.object {
            object.resolved = path.into();
        }
    }

    #[test]
    fn a_cargo_that_lists_packages_would_keep_repositories_in_its_own_store() {
        let cargo = format!("{TOOLCHAIN}/bin/cargo");
        let store = "/home/dev/.cargo/git/db/gitty-0011223344556677";
        let made = |command: &str, path: &str| script(|u| u.by(&cargo).run(&[&cargo, command]).mkdir(path));
        assert_eq!(made("tree", store), [store.replace("/home/dev", "write-outside low ~")]);
        assert_eq!(made("fetch", store), [store.replace("/home/dev", "write-outside medium ~")]);
        assert_eq!(made("tree", "/home/dev/x"), ["write-outside medium ~/x"]);
        assert_eq!(script(|u| u.mkdir(store)), [store.replace("/home/dev", "write-outside medium ~")]);
    }

    #[test]
    fn a_nested_cargo_may_mark_its_caches_and_nobody_else() {
        let info = "/home/dev/orders-service/target/.rustc_info.json";
        let cargo = RUSTC.replace("rustc", "cargo");
        let found = script(|u| u.by(&cargo).write(info));
        assert!(found.len() == 1 && found[0].starts_with("write-outside low "), "{found:?}");
        let found = script(|u| u.write(info));
        assert!(found.len() == 1 && !found[0].contains(" low "), "{found:?}");
    }

    #[test]
    fn folders_that_libraries_for_builds_share_are_low_and_their_neighbours_medium() {
        let made = |path: &str| script(|u| u.mkdir(&path.replace('~', "/home/dev")));
        for name in ["cxxbridge/include", "scratch/x", "generated/bincode"] {
            let path = format!("~/orders-service/target/{name}");
            assert_eq!(made(&path), [format!("write-outside low {path}")]);
        }
        for name in ["generated-x", "debug/generated"] {
            let path = format!("~/orders-service/target/{name}");
            assert_eq!(made(&path), [format!("write-outside medium {path}")]);
        }
    }

    #[test]
    fn writes_outside_are_medium_and_in_the_users_cache_low() {
        assert_eq!(
            script(|u| u.write("/home/dev/.zcash-params/sprout.key").write("/home/dev/.cache/ort/lib.a")),
            ["write-outside medium ~/.zcash-params/sprout.key", "write-outside low ~/.cache/ort/lib.a"]
        );
        assert_eq!(script(|u| u.remove("/home/dev/notes.txt")), ["write-outside medium ~/notes.txt"]);
    }

    #[test]
    fn folders_on_the_way_to_a_file_are_not_said_again_and_empty_ones_are() {
        let found =
            script(|u| u.mkdir("/home/dev/x").mkdir("/home/dev/x/y").write("/home/dev/x/y/z").mkdir("/home/dev/xx"));
        assert_eq!(found, ["write-outside medium ~/x/y/z", "write-outside medium ~/xx"]);
        // The deepest first, then those above it, as long as they are not there either.
        let found = script(|u| u.mkdir("/home/dev/x/y/z").mkdir("/home/dev/x/y").mkdir("/home/dev/x"));
        assert_eq!(found, ["write-outside medium ~/x/y/z"]);
    }

    #[test]
    fn attributes_of_what_was_written_are_not_said_again_and_others_are() {
        let meta = |path: &str| script(|u| u.write("/home/dev/.login").path(Kind::FsMeta, "fchmodat", path, &[]));
        assert_eq!(meta("/home/dev/.login"), ["persistence-write critical ~/.login"]);
        assert_eq!(meta("/home/dev/.ssh"), ["persistence-write critical ~/.login", "write-outside medium ~/.ssh"]);
    }

    #[test]
    fn a_new_name_in_a_shared_folder_is_write_outside_and_no_more() {
        let found = script(|u| u.mkdir(&format!("{DEPS}/mine")));
        assert_eq!(found, ["write-outside medium ~/orders-service/target/debug/deps/mine"]);
        // Folders of packages end with cargo's hash.
        let own = "~/orders-service/target/debug/build/crabtime/project_0011223344556677/pid_2";
        let found = script(|u| u.mkdir(&own.replace('~', "/home/dev")));
        assert_eq!(found, [format!("write-outside medium {own}")]);
    }

    #[test]
    fn own_places_devices_and_the_way_to_them_are_nothing() {
        assert!(
            script(|mut u| {
                let mut folder = String::new();
                for name in OUT.split('/').skip(1) {
                    folder = format!("{folder}/{name}");
                    u = u.mkdir(&folder);
                }
                u.write(format!("{OUT}/a.o").as_str())
                    .write("/tmp/u/cc1.s")
                    .write("/dev/null")
                    .write("/dev/tty")
                    .write("/proc/self/oom_score_adj")
                    .path(Kind::FsWrite, "openat", "/proc/self/task/7/comm", &["O_RDWR"])
                    .with(|a| resolve(a, "/proc/4711/task/7/comm"))
                    .change("/dev/stdout")
                    .with(|a| resolve(a, "pipe:[4711]"))
                    .by("/usr/bin/python3.12")
                    .write("/usr/lib/python3/dist-packages/__pycache__/x.cpython-312.pyc.140")
            })
            .is_empty()
        );
    }

    #[test]
    fn a_dot_dot_does_not_make_a_foreign_place_ones_own() {
        let found = script(|u| u.write(format!("{OUT}/../../../../../../notes.txt").as_str()));
        assert_eq!(found, ["write-outside medium ~/notes.txt"]);
        assert!(HOME.starts_with('/'));
    }
}
