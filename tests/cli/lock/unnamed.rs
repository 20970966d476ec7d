//! Archives of another registry that name no registry for what they need, as one serves them that has them from the
//! default registry unchanged.

use super::*;

/// What a member needs comes from another registry, and what that needs comes from there, too.
fn served_unchanged(other: &Registry) -> Ground {
    let ground = Ground::new();
    other.publish(&Package::new("below", "1.0.0").file("build.rs", BUILDS));
    other.publish(&Package::new("between", "1.0.0").needs("below", "^1").file("build.rs", BUILDS));
    other.publish(&Package::new("above", "1.0.0").needs("between", "^1"));
    ground.registry.configure_more(&format!("[registries.mine]\nindex = '{}'\n", other.index_url()));
    let needs = "[dependencies]\nabove = { version = '1', registry = 'mine' }\nleafy = '1'\n";
    ground.file("ws/Cargo.toml", &member("member", needs)).file("ws/src/lib.rs", "");
    ground.locked();
    ground
}

#[test]
fn packages_of_another_registry_that_name_none_for_what_they_need_are_built_from_it() {
    let other = Registry::start();
    let ground = served_unchanged(&other);
    let lock = fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap();
    assert_eq!(lock.matches(&other.index_url()).count(), 3, "{lock}");
    ground.file("bare/Cargo.lock", &lock);
    for place in ["ws", "bare"] {
        for depth in ["build", "check"] {
            let (report, exit) = ground.report(&[place, "--depth", depth, "--fresh"]);
            assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{place} {depth}: {report:#}");
            assert_eq!(report["completeness"]["status"], "complete", "{place} {depth}: {report:#}");
            assert_eq!(report["coverage"]["build_scripts"]["run"], 3, "{place} {depth}: {report:#}");
        }
    }
}

/// Of a folder of packages cargo goes by the manifests, and one that names no registry means the default one.
#[test]
fn a_vendored_package_of_another_registry_needs_what_its_manifest_says() {
    let other = Registry::start();
    let ground = Ground::new();
    let folder = ground.home.path().join("vendored");
    ground.registry.configure_more(&format!(
        "[registries.mine]\nindex = '{0}'\n[source.mine]\nregistry = '{0}'\nreplace-with = 'vendored'\n\
         [source.vendored]\ndirectory = '{1}'\n",
        other.index_url(),
        folder.display()
    ));
    let sums = format!("{{\"files\":{{}},\"package\":\"{}\"}}", "0".repeat(64));
    ground
        .file("vendored/above-1.0.0/Cargo.toml", &Package::new("above", "1.0.0").needs("leafy", "^1").manifest)
        .file("vendored/above-1.0.0/src/lib.rs", "")
        .file("vendored/above-1.0.0/.cargo-checksum.json", &sums)
        .file("ws/Cargo.toml", &member("member", "[dependencies]\nabove = { version = '1', registry = 'mine' }\n"))
        .file("ws/src/lib.rs", "");
    ground.locked();
    let (report, exit) = ground.report(&["ws", "--depth", "check"]);
    assert_eq!((exit, &report["completeness"]["status"]), (0, &Value::from("complete")), "{report:#}");
    assert_eq!(report["coverage"]["build_scripts"]["run"], 1, "{report:#}");
}

/// The names of registries are the user's, and a folder's manifest goes by them.
#[test]
fn a_folder_whose_manifest_names_a_registry_is_checked_with_what_that_has() {
    let other = Registry::start();
    let ground = served_unchanged(&other);
    for depth in ["build", "check"] {
        let mut command = ground.home.command(env!("CARGO_BIN_EXE_sandbox-check"));
        command.env("CARGO_HOME", ground.registry.home()).args(["--format=json", "--fresh", "--depth", depth, "./ws"]);
        let output = command.output().unwrap();
        assert_eq!(code(&output), 0, "{depth}: {}{}", stdout(&output), stderr(&output));
        let report = json(&output);
        assert_eq!(report["completeness"]["status"], "complete", "{depth}: {report:#}");
        assert_eq!(report["coverage"]["build_scripts"]["run"], 3, "{depth}: {report:#}");
    }
}
