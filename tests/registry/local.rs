//! Folders and `.crate` files as targets, and registries that are folders.

use super::*;

#[test]
fn a_crate_file_is_unpacked_and_its_dependencies_come_from_the_registry() {
    let registry = Registry::start();
    registry.publish(&Package::new("depend", "1.0.0"));
    let file = registry.root.path().join("any-name.crate");
    let packed = Package::new("subject", "3.0.0").needs("depend", "^1").pack();
    fs::write(&file, &packed).unwrap();
    let acquired = get(file.to_str().unwrap(), &registry.settings()).unwrap();
    assert_eq!(acquired.target.kind, TargetKind::Archive);
    assert_eq!(acquired.target.checksum, Some(digest(&packed)));
    assert_eq!(names(&acquired), ["subject@3.0.0", "depend@1.0.0"]);
    assert_eq!(acquired.packages[0].source, PackageSource::Archive);
    assert_eq!(acquired.subject.unwrap().origin, SubjectOrigin::Local { dir: "subject-3.0.0".into() });
}

#[test]
fn a_crate_file_that_reaches_for_folders_is_refused() {
    let registry = Registry::start();
    let file = registry.root.path().join("x.crate");
    let package = Package::new("subject", "3.0.0").manifest("[dependencies.other]\npath = \"/etc\"\n");
    fs::write(&file, package.pack()).unwrap();
    let error = get(file.to_str().unwrap(), &registry.settings()).unwrap_err();
    let AcquireError::UnsafeArchive { refusal, .. } = &error else { panic!("{error:?}") };
    assert_eq!(refusal.reason, Reason::PathDependency { folder: "/etc".to_owned() });
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn nothing_of_a_folder_s_own_configuration_is_obeyed() {
    let registry = Registry::start();
    registry.publish(&Package::new("depend", "1.0.0"));
    let marker = registry.root.path().join("marker");
    let folder = registry.root.path().join("subject");
    let script = registry.root.path().join("evil.sh");
    fs::write(&script, format!("#!/bin/sh\ntouch {}\nexit 1\n", marker.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = format!(
        "[build]\nrustc = '{0}'\nrustc-wrapper = '{0}'\n[registry]\nglobal-credential-providers = ['{0}']\n\
         [source.crates-io]\nreplace-with = 'evil'\n[source.evil]\ndirectory = '/nowhere'\n",
        script.display()
    );
    for (name, text) in [
        ("Cargo.toml", "[package]\nname = 'subject'\nversion = '1.0.0'\n[dependencies]\ndepend = '1'\n"),
        ("src/lib.rs", ""),
        (".cargo/config.toml", config.as_str()),
        ("rust-toolchain.toml", "[toolchain]\npath = '/nowhere'\n"),
    ] {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }
    let acquired = get(&format!("{}/", folder.display()), &registry.settings()).unwrap();
    assert!(!marker.exists());
    assert_eq!(names(&acquired), ["subject@1.0.0", "depend@1.0.0"]);
    assert_eq!(acquired.packages[0].source, PackageSource::Directory);
    assert_eq!(codes(&acquired), ["embedded-cargo-config", "embedded-cargo-config"]);
    assert!(acquired.facts.iter().all(|fact| fact.text.contains("names a program")), "{:?}", acquired.facts);
}

#[test]
fn a_workspace_member_brings_its_root_and_its_siblings() {
    let registry = Registry::start();
    registry.publish(&Package::new("depend", "1.0.0"));
    let root = registry.root.path().join("space");
    for (name, text) in [
        (
            "Cargo.toml",
            "[workspace]\nmembers = ['a', 'b', 'c']\nresolver = '2'\n[workspace.package]\nversion = '4.0.0'\nedition = '2021'\n[workspace.dependencies]\nsibling = { path = 'b' }\ndepend = '1'\n",
        ),
        (
            "a/Cargo.toml",
            "[package]\nname = 'member'\nversion.workspace = true\nedition.workspace = true\n[dependencies]\nsibling.workspace = true\n",
        ),
        ("a/src/lib.rs", ""),
        (
            "b/Cargo.toml",
            "[package]\nname = 'sibling'\nversion = '1.0.0'\n[dependencies]\ndepend = { workspace = true }\n",
        ),
        ("b/src/lib.rs", ""),
        ("c/Cargo.toml", "[package]\nname = 'stranger'\nversion = '1.0.0'\n"),
    ] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
    }
    let acquired = get(&format!("{}/a", root.display()), &registry.settings()).unwrap();
    assert_eq!(names(&acquired), ["member@4.0.0", "sibling@1.0.0", "depend@1.0.0"]);
    assert_eq!(acquired.packages[0].dir, std::path::Path::new("local/a"));
}

#[test]
fn a_vendored_folder_is_used_and_its_files_are_compared() {
    let registry = Registry::start();
    let vendor = registry.root.path().join("vendor");
    let lib = "// vendored\n";
    let manifest = Package::new("subject", "1.0.0").manifest;
    let sums = |lib: &str| {
        let (lib, manifest) = (digest(lib.as_bytes()).hex(), digest(manifest.as_bytes()).hex());
        format!(r#"{{"files":{{"src/lib.rs":"{lib}","Cargo.toml":"{manifest}"}},"package":"{}"}}"#, "ab".repeat(32))
    };
    for (name, text) in [("Cargo.toml", manifest.as_str()), ("src/lib.rs", lib), (".cargo-checksum.json", &sums(lib))] {
        let path = vendor.join("subject").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    registry.configure("[source.crates-io]\nreplace-with = 'v'\n[source.v]\ndirectory = 'vendor'\n");
    let acquired = get("subject", &registry.settings()).unwrap();
    assert_eq!(fs::read_to_string(acquired.sources.path().join("registry/subject-1.0.0/src/lib.rs")).unwrap(), lib);
    fs::write(vendor.join("subject/src/lib.rs"), "// changed\n").unwrap();
    let error = get("subject", &registry.settings()).unwrap_err();
    assert!(matches!(error, AcquireError::ChecksumMismatch { .. }), "{error:?}");
    assert!(registry.seen().is_empty());
}

#[test]
fn a_local_registry_is_used() {
    let registry = Registry::start();
    let package = Package::new("subject", "1.0.0");
    let folder = registry.root.path().join("mirror");
    fs::create_dir_all(folder.join("index/su/bj")).unwrap();
    fs::write(folder.join("subject-1.0.0.crate"), package.pack()).unwrap();
    let line = format!(
        r#"{{"name":"subject","vers":"1.0.0","deps":[],"cksum":"{}","features":{{}},"yanked":false}}"#,
        digest(&package.pack()).hex()
    );
    fs::write(folder.join("index/su/bj/subject"), line).unwrap();
    registry.configure("[source.crates-io]\nreplace-with = 'l'\n[source.l]\nlocal-registry = 'mirror'\n");
    assert_eq!(names(&get("subject", &registry.settings()).unwrap()), ["subject@1.0.0"]);
    fs::write(folder.join("subject-1.0.0.crate"), b"other").unwrap();
    let error = get("subject", &registry.settings()).unwrap_err();
    assert!(matches!(error, AcquireError::ChecksumMismatch { .. }), "{error:?}");
}

#[test]
fn a_folder_that_needs_no_registry_asks_none() {
    let registry = Registry::start();
    registry.behave("/index/config.json", Manners::Status(503, 99));
    let folder = registry.root.path().join("subject");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), "").unwrap();
    let manifest = Package::new("subject", "1.0.0").manifest;
    fs::write(folder.join("Cargo.toml"), &manifest).unwrap();
    let word = format!("{}/", folder.display());
    assert_eq!(names(&get(&word, &registry.settings()).unwrap()), ["subject@1.0.0"]);
    assert!(registry.seen().is_empty(), "{:?}", registry.seen());
    fs::write(folder.join("Cargo.toml"), manifest + "[dependencies]\ndepend = '1'\n").unwrap();
    assert_eq!(get(&word, &registry.settings()).unwrap_err().class(), ErrorClass::Temporary);
}

#[test]
fn a_local_registry_is_held_to_its_word_too() {
    let registry = Registry::start();
    let package = Package::new("subject", "1.0.0").needs("depend", "^1");
    let folder = registry.root.path().join("mirror");
    fs::create_dir_all(folder.join("index/su/bj")).unwrap();
    fs::write(folder.join("subject-1.0.0.crate"), package.pack()).unwrap();
    fs::write(folder.join("index/su/bj/subject"), package.line().replace(&package.deps.concat(), "")).unwrap();
    registry.configure("[source.crates-io]\nreplace-with = 'l'\n[source.l]\nlocal-registry = 'mirror'\n");
    let error = get("subject", &registry.settings()).unwrap_err();
    assert!(error.to_string().contains("its Cargo.toml has the dependency `depend = ^1`"), "{error}");
    assert_eq!(error.class(), ErrorClass::Refused);
}

#[test]
fn a_registry_with_a_git_index_is_said_to_be_unsupported() {
    let registry = Registry::start();
    registry.configure("[source.crates-io]\nreplace-with = 'g'\n[source.g]\nregistry = 'https://git.example/index'\n");
    let error = get("subject", &registry.settings()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Usage);
    assert!(error.hint().unwrap().contains("sparse"), "{:?}", error.hint());
}

#[test]
fn cargo_s_home_is_written_by_cargo_alone_and_only_its_index() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    get("subject", &registry.settings()).unwrap();
    let files = files_below(&registry.home());
    let other =
        files.iter().filter(|file| !file.starts_with("registry/index") && !file.starts_with("registry/CACHEDIR.TAG"));
    let other: Vec<_> =
        other.filter(|file| file.to_str() != Some("config.toml") && !file.to_string_lossy().starts_with('.')).collect();
    assert!(other.is_empty(), "{other:?}");
}
