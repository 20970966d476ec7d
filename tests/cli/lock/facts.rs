//! What is known of a lock file's packages is part of its run.

use super::*;

const DATABASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/advisory-db");

fn codes(report: &Value, id: &str) -> Vec<String> {
    let findings = package(report, id).map(|package| package["findings"].as_array().unwrap().clone());
    findings.into_iter().flatten().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_advisory_and_a_yank_of_a_locked_package_are_told_with_the_way_to_it() {
    let ground = Ground::new();
    ground.registry.publish(&Package::new("smallcheck", "1.0.0").needs("leafy", "^1"));
    ground
        .file("ws/Cargo.toml", "[workspace]\nmembers = ['app']\nresolver = '2'\n")
        .file("ws/app/Cargo.toml", &member("app", "[dependencies]\nsmallcheck = '1'\n"))
        .file("ws/app/src/lib.rs", "")
        .locked();
    let (report, code) = ground.report(&["ws"]);
    assert_eq!((code, codes(&report, "smallcheck@1.0.0")), (0, Vec::new()), "{}", report["packages"]);
    // Yanked after it was locked: the index of this machine does not know it yet.
    let yanked = Package::new("leafy", "1.0.0").file("build.rs", BUILDS).yanked();
    ground.registry.put(&index_path("leafy"), yanked.line().into_bytes());
    let (report, code) = ground.report(&["ws", "--advisory-db", DATABASE]);
    assert_eq!(codes(&report, "smallcheck@1.0.0"), ["advisory"], "{}", report["packages"]);
    assert_eq!(codes(&report, "leafy@1.0.0"), ["yanked"], "{}", report["packages"]);
    let path = serde_json::json!(["app@0.1.0", "smallcheck@1.0.0", "leafy@1.0.0"]);
    assert_eq!(package(&report, "leafy@1.0.0").unwrap()["path"], path);
    assert_eq!(code, 10);
    let sources = report["coverage"]["facts"].as_array().unwrap();
    assert!(sources.iter().any(|source| source["source"] == "advisories" && source["status"] == "checked"));
}
