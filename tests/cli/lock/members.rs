//! Which packages are the workspace's own, and that all of their code which builds run is run.

use super::*;

const MACRO: &str =
    "#[proc_macro]\npub fn nothing(_: proc_macro::TokenStream) -> proc_macro::TokenStream { Default::default() }\n";

#[test]
fn a_macro_library_that_nothing_of_the_workspace_needs_is_loaded_and_driven_all_the_same() {
    let ground = Ground::new();
    let optional = "[dependencies]\nbehind = { path = '../behind', optional = true }\n";
    ground
        .file("ws/Cargo.toml", "[workspace]\nmembers = ['app', 'behind', 'alone']\nresolver = '2'\n")
        .file("ws/app/Cargo.toml", &member("app", optional))
        .file("ws/app/src/lib.rs", "");
    // A program of ours is no reason for the workspace's lints to stop the build.
    let strict =
        "[dependencies]\nleafy = '1'\n[lints.rust]\nunused_crate_dependencies = 'deny'\nmissing_docs = 'deny'\n";
    for (name, more, uses) in [("behind", "", ""), ("alone", strict, "extern crate leafy as _;\n")] {
        ground
            .file(&format!("ws/{name}/Cargo.toml"), &member(name, &format!("[lib]\nproc-macro = true\n{more}")))
            .file(&format!("ws/{name}/src/lib.rs"), &format!("//! A library.\n{uses}/// A macro.\n{MACRO}"));
    }
    ground.locked();
    for depth in ["build", "check"] {
        let (report, code) = ground.report(&["ws", "--depth", depth]);
        assert_eq!((code, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
        let libraries = &report["coverage"]["macro_libraries"];
        for count in ["found", "loaded", "driven", "expanded"] {
            assert_eq!(libraries[count], 2, "{depth}: {count}: {libraries}");
        }
        assert_eq!(not_exercised(&report), []);
    }
}

#[test]
fn a_member_that_is_named_within_an_excluded_folder_is_built_as_cargo_builds_it() {
    let ground = Ground::new();
    ground
        .file("ws/Cargo.toml", "[workspace]\nmembers = ['crates/app']\nexclude = ['crates']\nresolver = '2'\n")
        .file("ws/crates/app/Cargo.toml", &member("app", ""))
        .file("ws/crates/app/src/lib.rs", "")
        .file("ws/crates/app/build.rs", BUILDS)
        .locked();
    let (report, code) = ground.report(&["ws"]);
    assert_eq!((code, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
    assert_eq!(report["coverage"]["build_scripts"]["run"], 1);
}

#[test]
fn a_file_that_a_member_has_by_a_link_to_the_workspaces_own_is_there() {
    let ground = Ground::new();
    ground
        .file("ws/Cargo.toml", "[workspace]\nmembers = ['app']\nresolver = '2'\n")
        .file("ws/README.md", "Read me.\n")
        .file("ws/app/Cargo.toml", &member("app", ""))
        .file("ws/app/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n")
        .file("ws/app/build.rs", "fn main() { assert!(std::fs::read(\"README.md\").is_ok()) }\n")
        .locked();
    let link = ground.home.path().join("ws/app/README.md");
    std::os::unix::fs::symlink("../README.md", &link).unwrap();
    let (report, code) = ground.report(&["ws", "--depth", "check"]);
    assert_eq!((code, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
    // Without it the very same workspace cannot be built.
    std::fs::remove_file(&link).unwrap();
    let (report, _) = ground.report(&["ws", "--depth", "check"]);
    assert_eq!(report["verdict"], "inconclusive", "{report}");
}

#[test]
fn a_member_behind_a_link_is_built_where_the_link_leads_to_a_folder_of_the_workspace_and_else_refused() {
    let ground = Ground::new();
    let link = |leads_to: &str, link: &str| {
        let link = ground.home.path().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(leads_to, link).unwrap();
    };
    ground
        .file("ws/Cargo.toml", "[workspace]\nmembers = ['crates/*', 'group/two']\nresolver = '2'\n")
        .file("ws/parts/one/Cargo.toml", &member("one", "[dependencies]\ntwo = { path = '../../group/two' }\n"))
        .file("ws/parts/one/src/lib.rs", "")
        .file("ws/parts/one/build.rs", BUILDS)
        .file("ws/groups/two/Cargo.toml", &member("two", "[dependencies]\nleafy = '1'\n"))
        .file("ws/groups/two/src/lib.rs", "")
        .file("ws/groups/two/build.rs", BUILDS);
    link("../parts/one", "ws/crates/one");
    link("groups", "ws/group");
    ground.locked();
    for args in [&["--depth", "check"][..], &["--deps-only"]] {
        let (report, exit) = ground.report(&[&["ws"], args].concat());
        assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
        let own = if args.len() == 2 { 3 } else { 1 };
        assert_eq!(report["coverage"]["build_scripts"]["run"], own, "{args:?}");
        let (again, _) = ground.report(&[&["ws"], args].concat());
        assert!(again["reused"].is_object(), "the copy was taken for another workspace: {args:?}");
    }
    // Its place is no reason to copy what no manifest names.
    fs::rename(ground.home.path().join("ws/parts/one"), ground.home.path().join("elsewhere")).unwrap();
    for place in ["../../elsewhere", ground.home.path().join("elsewhere").to_str().unwrap(), "../.git/one"] {
        fs::create_dir_all(ground.home.path().join("ws/.git")).unwrap();
        if place.contains(".git") {
            fs::rename(ground.home.path().join("elsewhere"), ground.home.path().join("ws/.git/one")).unwrap();
        }
        link(place, "ws/crates/one");
        let (report, exit) = ground.report(&["ws"]);
        assert_eq!((exit, &report["error"]["code"]), (2, &Value::from("usage")), "{place}: {report:#}");
        let message = report["error"]["message"].as_str().unwrap();
        assert!(message.contains("`crates/one`, a link that leads out of the workspace"), "{message}");
    }
}
