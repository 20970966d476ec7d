//! What a first run leaves for a second one, on a machine whose cargo never saw these packages.

use super::*;

/// A workspace with its lock file, and a cargo home that knows nothing of any index.
fn on_a_fresh_machine() -> Ground {
    let ground = Ground::new();
    ground.registry.mark();
    ground.workspace().locked();
    fs::remove_dir_all(ground.registry.home().join("registry")).unwrap();
    ground
}

#[test]
fn an_index_is_asked_only_whether_its_answers_still_hold() {
    let ground = on_a_fresh_machine();
    let (first, exit) = ground.report(&["ws", "--fresh"]);
    assert_eq!(exit, 0, "{first:#}");
    let asked = ground.registry.seen().len();
    let (second, exit) = ground.report(&["ws", "--fresh"]);
    assert_eq!((exit, &second["coverage"]), (0, &first["coverage"]));
    let seen = ground.registry.seen().split_off(asked);
    let entries: Vec<_> = ["leafy", "middle", "windowsy"].iter().map(|name| index_path(name)).collect();
    let (of_entries, others): (Vec<_>, Vec<_>) = seen.iter().partition(|seen| entries.contains(&seen.path));
    assert!(!of_entries.is_empty() && of_entries.iter().all(|seen| seen.conditional), "{of_entries:?}");
    assert!(others.iter().all(|seen| seen.path.ends_with("config.json")), "no archive comes twice: {others:?}");
}

#[test]
fn the_second_run_needs_no_network() {
    let ground = on_a_fresh_machine();
    let (first, exit) = ground.report(&["ws", "--fresh"]);
    assert_eq!(exit, 0, "{first:#}");
    let asked = ground.registry.seen().len();
    let (second, exit) = ground.report(&["ws", "--fresh", "--offline"]);
    assert_eq!((exit, &second["completeness"]), (0, &first["completeness"]), "{second:#}");
    assert_eq!(second["coverage"]["build_scripts"], first["coverage"]["build_scripts"]);
    assert_eq!(ground.registry.seen().len(), asked);
}
