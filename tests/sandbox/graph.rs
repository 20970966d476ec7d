//! A whole graph of real packages, from cargo's own download cache.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::require;
use crate::support::sandboxed::{PROGRAM, Subject};

/// The version of a package that this repository is locked to.
fn locked(name: &str) -> String {
    let lock = cargo_lock::Lockfile::load(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    lock.packages.iter().find(|package| package.name.as_str() == name).unwrap().version.to_string()
}

/// True if cargo has downloaded it.
fn is_cached(file: &str) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let registries = std::fs::read_dir(cargo.join("registry/cache")).into_iter().flatten().flatten();
    registries.into_iter().any(|registry| registry.path().join(file).exists())
}

#[test]
fn a_whole_graph_builds_and_every_notification_is_accounted_for() {
    let version = locked("serde_derive");
    require!(
        is_cached(&format!("serde_derive-{version}.crate")),
        "serde_derive {version} is not in cargo's download cache"
    );
    let folders = Subject::new("folders");
    let mut command = Command::new(PROGRAM);
    command
        .args(["--fresh", "--depth", "check", "--format", "json", "--offline", "--evidence"])
        .arg(folders.evidence_dir());
    command.arg(format!("serde_derive@{version}")).env("XDG_CACHE_HOME", folders.cache_dir());
    let output = command.output().unwrap();
    require!(
        output.status.code() != Some(3),
        "cargo's index is not cached: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    let run = folders.read(&output);

    let ends: Vec<_> = run.of("unit-end").collect();
    assert!(ends.len() > 10, "serde_derive, syn, quote, proc-macro2, their scripts, the consumer: {}", ends.len());
    assert_eq!(run.of("unit-start").count(), ends.len());
    // The consumer uses derives without the traits that they name; such a use may fail, a package may not.
    let of_consumer = |end: &Value| {
        run.of("unit-start").any(|start| start["unit"] == end["unit"] && start["kind"] == "compile-consumer")
    };
    let failed: Vec<_> = ends.iter().filter(|end| end["outcome"] != "ok" && !of_consumer(end)).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", run.output());
    assert!(ends.iter().any(|end| end["outcome"] == "ok" && of_consumer(end)), "the consumer that loads the subject");
    assert!(ends.iter().all(|end| end["refused_outputs"].as_array().unwrap().is_empty() && end["left_running"] == 0));

    let totals = run.of("totals").next().unwrap();
    let number = |name: &str| totals[name].as_u64().unwrap();
    assert_eq!(
        number("received"),
        number("recorded") + number("coalesced") + number("counted") + number("dropped"),
        "{totals}"
    );
    assert_eq!((number("dropped"), number("unreadable")), (0, 0), "{totals}");
    assert_eq!(number("recorded"), u64::try_from(run.of("attempt").count()).unwrap());
    assert_eq!(totals["integrity"], "complete");
    assert!(number("received") > 1000, "{totals}");

    let notes: Vec<_> = run.of("note").filter_map(|note| note["code"].as_str()).collect();
    assert!(
        !notes
            .iter()
            .any(|code| ["attribution-mismatch", "unit-refused", "unseen-query", "evidence-lost"].contains(code)),
        "{notes:?}"
    );
    assert!(notes.contains(&"macro-loaded"), "{notes:?}");
    let layers = run.report["enforcement"]["layers"].as_array().unwrap();
    assert_eq!((layers.len(), layers.iter().filter(|layer| layer["status"] == "full").count()), (8, 8), "{layers:#?}");
    assert_eq!(run.report["enforcement"]["status"], "full");
    assert_eq!(run.report["completeness"]["status"], "complete", "{}", run.report["completeness"]);
}
