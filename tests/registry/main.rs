//! Acquisition against a registry on loopback: what is fetched, what is refused, what is left behind.

mod bounds;
mod lies;
mod local;
#[path = "../support/registry.rs"]
mod server;

use std::fs;
use std::time::{Duration, Instant};

use sandbox_check::acquire::{
    AcquireError, AcquireSettings, Acquired, ErrorClass, HttpError, Reason, Silent, SubjectOrigin, acquire,
};
use sandbox_check::evidence::line::{PackageSource, TargetKind};
use sandbox_check::plan::CONSUMER_NAME;
use server::{Manners, Package, Registry, digest, download_path, files_below, index_path};

fn get(word: &str, settings: &AcquireSettings) -> Result<Acquired, AcquireError> {
    acquire(&word.parse()?, settings, &Silent)
}

fn names(acquired: &Acquired) -> Vec<String> {
    acquired.packages.iter().map(|package| package.id.to_string()).collect()
}

fn codes(acquired: &Acquired) -> Vec<&str> {
    acquired.facts.iter().map(|fact| fact.code.as_str()).collect()
}

#[test]
fn a_release_comes_with_all_that_its_build_can_reach_and_stand_ins_for_the_rest() {
    let registry = Registry::start();
    registry.publish(
        &Package::new("subject", "1.2.0").file("build.rs", "fn main() {}").needs("derive-it", "^1").needs_on(
            "winny",
            "^1",
            Some("cfg(windows)"),
        ),
    );
    registry.publish(&Package::new("derive-it", "1.0.5").manifest("[lib]\nproc-macro = true\n"));
    registry.publish(&Package::new("winny", "1.0.0").needs("winner", "^1"));
    registry.publish(&Package::new("winner", "1.0.0"));
    let acquired = get("subject@1", &registry.settings()).unwrap();
    assert_eq!(acquired.target.kind, TargetKind::Release);
    assert_eq!((acquired.target.name.as_str(), acquired.target.version.as_str()), ("subject", "1.2.0"));
    assert_eq!(names(&acquired), ["subject@1.2.0", "derive-it@1.0.5"]);
    let [subject, derive] = acquired.packages.as_slice() else { panic!() };
    assert!(subject.subject && subject.build_script && subject.proc_macro.is_none());
    assert!(!derive.subject && !derive.build_script && derive.proc_macro.is_some());
    assert_eq!(derive.lib_name.as_deref(), Some("derive_it"));
    assert!(acquired.dir_of(subject).join("src/lib.rs").exists());
    assert_eq!(registry.count(&download_path("winny", "1.0.0")), 0);
    let stand_in = acquired.sources.path().join("registry/winny-1.0.0");
    assert!(fs::read_to_string(stand_in.join("Cargo.toml")).unwrap().contains("winner"));
    assert!(stand_in.join(".cargo-checksum.json").exists());
    assert!(acquired.lock.contains(CONSUMER_NAME));
    let replaced: Vec<_> = acquired.replaced_sources.iter().map(|one| (&*one.key, &one.folder)).collect();
    assert_eq!(replaced, [("crates-io", &None)]);
    assert!(acquired.registry_dir.starts_with("127.0.0.1-"), "{}", acquired.registry_dir);
    let root = acquired.sources.path().to_owned();
    drop(acquired);
    assert!(!root.exists());
}

/// As the servers of great registries do it.
#[test]
fn what_is_still_the_same_is_not_sent_again_and_a_change_is_seen() {
    let registry = Registry::start();
    registry.mark();
    registry.publish(&Package::new("subject", "1.0.0"));
    assert_eq!(names(&get("subject", &registry.settings()).unwrap()), ["subject@1.0.0"]);
    registry.publish(&Package::new("subject", "1.0.1"));
    assert_eq!(names(&get("subject", &registry.settings()).unwrap()), ["subject@1.0.1"]);
    assert!(registry.seen().iter().any(|seen| seen.conditional));
}

/// What the sandbox will do with it: an offline cargo with nothing but the sources in place.
#[test]
fn an_offline_cargo_resolves_with_the_sources_and_keeps_the_lock_file() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0").needs_on("winny", "^1", Some("cfg(windows)")));
    registry.publish(&Package::new("winny", "1.0.0").needs("winner", "^1"));
    registry.publish(&Package::new("winner", "1.0.0"));
    let acquired = get("subject", &registry.settings()).unwrap();
    let consumer = acquired.sources.path().join("consumer");
    let home = registry.root.path().join("empty-home");
    fs::create_dir(&home).unwrap();
    let vendored = acquired.sources.path().join("registry");
    let text = format!("[source.crates-io]\nreplace-with = 'v'\n[source.v]\ndirectory = '{}'\n", vendored.display());
    fs::write(home.join("config.toml"), text).unwrap();
    let mut cargo = std::process::Command::new("cargo");
    cargo.args(["metadata", "--format-version=1", "--locked", "--offline"]).current_dir(&consumer);
    let output = cargo.env("CARGO_HOME", &home).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(consumer.join("Cargo.lock")).unwrap(), acquired.lock);
}

#[test]
fn a_yanked_version_is_passed_over_unless_it_is_named_exactly() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    registry.publish(&Package::new("subject", "1.0.1").yanked());
    let newest = get("subject", &registry.settings()).unwrap();
    assert_eq!(names(&newest), ["subject@1.0.0"]);
    assert!(newest.facts.is_empty());
    let exact = get("subject@1.0.1", &registry.settings()).unwrap();
    assert_eq!(names(&exact), ["subject@1.0.1"]);
    assert_eq!(codes(&exact), ["yanked"]);
}

#[test]
fn an_unknown_name_comes_with_the_nearest_ones() {
    let error = get("serde_derivee", &Registry::start().settings()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert!(error.hint().unwrap().contains("`serde_derive`"), "{:?}", error.hint());
}

#[test]
fn the_nearest_names_come_with_their_ages_where_the_registry_has_them() {
    let registry = Registry::start();
    registry.publish(&Package::new("serde_derive", "1.0.0").published("2016-06-30T12:00:00Z"));
    registry.publish(&Package::new("serde_derive", "1.0.1").published("2026-01-01T12:00:00Z"));
    let hint = get("serde_derivee", &registry.settings()).unwrap_err().hint().unwrap();
    assert!(hint.contains("`serde_derive` (since 2016-06-30)"), "{hint}");
}

#[test]
fn an_unknown_version_comes_with_the_nearest_ones() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.3"));
    let error = get("subject@1.0.4", &registry.settings()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert!(error.hint().unwrap().contains("`1.0.3`"), "{:?}", error.hint());
}

#[test]
fn hyphens_and_underscores_are_equal() {
    let registry = Registry::start();
    registry.publish(&Package::new("some_thing-else", "1.0.0"));
    for word in ["some_thing-else", "some-thing-else", "some_thing_else", "some-thing_else@1"] {
        let acquired = get(word, &registry.settings()).unwrap();
        assert_eq!(names(&acquired), ["some_thing-else@1.0.0"], "{word}");
    }
}

#[test]
fn other_bytes_than_the_index_promised_are_refused_and_not_kept() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    let other = Package::new("subject", "1.0.0").file("evil.rs", "").pack();
    registry.behave(&download_path("subject", "1.0.0"), Manners::Other(other.clone()));
    let error = get("subject", &registry.settings()).unwrap_err();
    let AcquireError::ChecksumMismatch { found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*found, digest(&other));
    assert_eq!((error.class(), error.code()), (ErrorClass::Refused, "checksum-mismatch"));
    assert_eq!(error.fact().unwrap().package.to_string(), "subject@1.0.0");
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_hostile_archive_is_refused_and_leaves_no_file() {
    let registry = Registry::start();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    tar.append_link(&mut header, "subject-1.0.0/src", "/etc").unwrap();
    let packed = tar.into_inner().unwrap().finish().unwrap();
    registry.publish(&Package { packed: Some(packed), ..Package::new("subject", "1.0.0") });
    let error = get("subject", &registry.settings()).unwrap_err();
    let AcquireError::UnsafeArchive { refusal, .. } = &error else { panic!("{error:?}") };
    assert_eq!(refusal.reason, Reason::Link { kind: "symbolic" });
    assert_eq!((error.class(), error.code()), (ErrorClass::Refused, "unsafe-archive"));
    assert_eq!(error.fact().unwrap().path.unwrap().0, b"subject-1.0.0/src");
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_archive_that_holds_another_package_is_refused() {
    let registry = Registry::start();
    let mut package = Package::new("subject", "1.0.0");
    package.manifest = package.manifest.replace("1.0.0", "1.0.1");
    registry.publish(&package);
    let error = get("subject", &registry.settings()).unwrap_err();
    let AcquireError::UnsafeArchive { refusal, .. } = &error else { panic!("{error:?}") };
    assert_eq!(refusal.reason, Reason::OtherPackage { what: "it says subject@1.0.1".to_owned() });
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_file_that_is_cut_off_is_asked_for_again() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    registry.behave(&download_path("subject", "1.0.0"), Manners::Truncated(2));
    get("subject", &registry.settings()).unwrap();
    assert_eq!(registry.count(&download_path("subject", "1.0.0")), 3);
}

#[test]
fn a_file_that_is_always_cut_off_is_a_passing_trouble_and_not_kept() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    registry.behave(&download_path("subject", "1.0.0"), Manners::Truncated(99));
    let error = get("subject", &registry.settings()).unwrap_err();
    assert!(matches!(error, AcquireError::Http(HttpError::Temporary { tries: 3, .. })), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Temporary);
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    registry.behave(&download_path("subject", "1.0.0"), Manners::Stalled);
    let start = Instant::now();
    let error = get("subject", &registry.settings()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Temporary, "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_is_busy_for_a_moment_is_asked_again() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    registry.behave(&index_path("subject"), Manners::Status(503, 2));
    registry.behave(&download_path("subject", "1.0.0"), Manners::Status(503, 1));
    get("subject", &registry.settings()).unwrap();
    registry.behave(&index_path("subject"), Manners::Status(503, 99));
    assert_eq!(get("subject", &registry.settings()).unwrap_err().class(), ErrorClass::Temporary);
}

#[test]
fn a_file_above_the_limit_is_not_taken() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    let mut settings = registry.settings();
    settings.limits.crate_bytes = 20;
    let error = get("subject", &settings).unwrap_err();
    let AcquireError::UnsafeArchive { refusal, .. } = &error else { panic!("{error:?}") };
    assert_eq!((&refusal.reason, error.class()), (&Reason::TooLarge { limit: 20 }, ErrorClass::Refused));
    assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
    assert_eq!(registry.count(&download_path("subject", "1.0.0")), 1);
}

#[test]
fn redirects_are_followed_five_times_and_not_to_files() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    let path = download_path("subject", "1.0.0");
    for (to, fragment) in [(format!("{}{path}", registry.url()), "redirect"), ("file:///etc/passwd".to_owned(), "")] {
        registry.behave(&path, Manners::Redirect(to));
        let error = get("subject", &registry.settings()).unwrap_err();
        assert!(error.to_string().contains(fragment), "{error}");
        assert_eq!(registry.left(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_token_is_sent_to_its_registry_and_nowhere_else() {
    let (registry, elsewhere) = (Registry::start(), Registry::server());
    let package = Package::new("subject", "1.0.0");
    registry.publish(&package);
    registry.require("secret-word");
    registry.configure_more("[registry]\nglobal-credential-providers = ['cargo:token']\n");
    elsewhere.put("/there", package.pack());
    registry.behave(&download_path("subject", "1.0.0"), Manners::Redirect(format!("{}/there", elsewhere.url())));
    let denied = get("subject", &registry.settings()).unwrap_err();
    assert_eq!(denied.class(), ErrorClass::Usage, "{denied:?}");
    assert!(denied.hint().unwrap().contains("token"));
    let credentials = "[registries.test]\ntoken = 'secret-word'\n";
    fs::write(registry.home().join("credentials.toml"), credentials).unwrap();
    get("subject", &registry.settings()).unwrap();
    let downloads: Vec<_> = registry.seen().into_iter().filter(|seen| seen.path.starts_with("/dl/")).collect();
    assert!(downloads.iter().all(|seen| seen.authorization.as_deref() == Some("secret-word")), "{downloads:?}");
    assert_eq!(elsewhere.seen().len(), 1);
    assert!(elsewhere.seen().iter().all(|seen| seen.authorization.is_none()));
}

#[test]
fn an_open_registry_gets_no_token() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0"));
    let credentials = "[registries.test]\ntoken = 'secret-word'\n";
    fs::write(registry.home().join("credentials.toml"), credentials).unwrap();
    get("subject", &registry.settings()).unwrap();
    assert!(registry.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", registry.seen());
}

#[test]
fn offline_what_was_fetched_before_is_enough() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0").needs("depend", "^1").needs_on(
        "winny",
        "^1",
        Some("cfg(windows)"),
    ));
    registry.publish(&Package::new("depend", "1.0.0"));
    registry.publish(&Package::new("winny", "1.0.0"));
    let online = get("subject", &registry.settings()).unwrap();
    // Known to the index, not fetched: not what an offline run may choose.
    registry.publish(&Package::new("subject", "1.0.1").needs("depend", "^1"));
    registry.publish(&Package::new("depend", "1.0.1"));
    drop(get("depend@1.0.0", &registry.settings()).unwrap());
    let before = registry.seen().len();
    let mut settings = registry.settings();
    settings.offline = true;
    let offline = get("subject", &settings).unwrap();
    assert_eq!(names(&offline), names(&online));
    assert_eq!(offline.lock, online.lock);
    assert_eq!(registry.seen().len(), before);
}

#[test]
fn offline_a_dependency_that_is_only_configured_is_known() {
    let registry = Registry::start();
    // As reqwest has it: the lock file lists what a feature would configure if it were on.
    registry.publish(&Package::new("subject", "1.0.0").needs("depend", "^1"));
    let depend =
        Package::new("depend", "1.0.0").may_need("weakly", "^1").manifest("[features]\ndefault = [\"weakly?/more\"]\n");
    registry.publish(&Package { features: r#"{"default":["weakly?/more"]}"#, ..depend });
    let weakly = Package::new("weakly", "1.0.0").manifest("[features]\nmore = []\n");
    registry.publish(&Package { features: r#"{"more":[]}"#, ..weakly });
    let online = get("subject", &registry.settings()).unwrap();
    assert!(online.lock.contains("weakly"), "{}", online.lock);
    let mut settings = registry.settings();
    settings.offline = true;
    assert_eq!(get("subject", &settings).unwrap().lock, online.lock);
}

#[test]
fn offline_what_is_missing_is_named() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0").needs("depend", "^1"));
    let depend = Package::new("depend", "1.0.0");
    registry.publish(&depend);
    let mut settings = registry.settings();
    settings.offline = true;
    let error = get("subject", &settings).unwrap_err();
    assert!(error.to_string().contains("index entry of `subject`"), "{error}");
    settings.offline = false;
    get("subject", &settings).unwrap();
    fs::remove_file(registry.cache().join(format!("crates/{}.crate", digest(&depend.pack()).hex()))).unwrap();
    settings.offline = true;
    let error = get("subject", &settings).unwrap_err();
    assert_eq!(error.to_string(), "offline, and not on this machine: depend@1.0.0");
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[test]
fn a_changed_file_in_our_cache_is_not_trusted() {
    let registry = Registry::start();
    let package = Package::new("subject", "1.0.0");
    registry.publish(&package);
    get("subject", &registry.settings()).unwrap();
    let stored = registry.cache().join(format!("crates/{}.crate", digest(&package.pack()).hex()));
    fs::write(&stored, Package::new("subject", "1.0.0").file("evil.rs", "").pack()).unwrap();
    let acquired = get("subject", &registry.settings()).unwrap();
    assert!(!acquired.sources.path().join("registry/subject-1.0.0/evil.rs").exists());
    assert_eq!(registry.count(&download_path("subject", "1.0.0")), 2);
    assert_eq!(fs::read(&stored).unwrap(), package.pack());
}

#[test]
fn cargo_s_own_copy_is_used_if_its_checksum_is_right() {
    let registry = Registry::start();
    let package = Package::new("subject", "1.0.0");
    registry.publish(&package);
    let folder = get("subject", &registry.settings()).unwrap().registry_dir;
    fs::remove_dir_all(registry.cache()).unwrap();
    let copy = registry.home().join("registry/cache").join(folder).join("subject-1.0.0.crate");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::write(&copy, package.pack()).unwrap();
    get("subject", &registry.settings()).unwrap();
    assert_eq!(registry.count(&download_path("subject", "1.0.0")), 1);
    fs::write(&copy, b"something else").unwrap();
    get("subject", &registry.settings()).unwrap();
    assert_eq!(registry.count(&download_path("subject", "1.0.0")), 2);
    assert_eq!(fs::read(&copy).unwrap(), b"something else", "cargo's files are read-only to us");
}

#[test]
fn runs_side_by_side_do_not_disturb_each_other() {
    let registry = Registry::start();
    registry.publish(&Package::new("subject", "1.0.0").needs("depend", "^1"));
    registry.publish(&Package::new("depend", "1.0.0"));
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| get("subject", &registry.settings()).unwrap())).collect();
        let runs: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        for run in &runs {
            assert_eq!(names(run), ["subject@1.0.0", "depend@1.0.0"]);
            assert!(run.dir_of(&run.packages[0]).join("src/lib.rs").exists());
        }
    });
    let is_kept = |file: &std::path::PathBuf| ["crates", "index"].iter().any(|folder| file.starts_with(folder));
    assert!(registry.left().iter().all(is_kept), "{:?}", registry.left());
}

#[test]
fn features_reach_the_consumer_and_unknown_ones_are_usage_errors() {
    let registry = Registry::start();
    let package = Package::new("subject", "1.0.0").manifest("[features]\nfast = []\ndefault = []\n");
    registry.publish(&Package { features: r#"{"fast":[],"default":[]}"#, ..package });
    let mut settings = registry.settings();
    settings.all_features = true;
    assert_eq!(get("subject", &settings).unwrap().subject.unwrap().features, ["fast"]);
    settings.all_features = false;
    settings.features = vec!["slow".to_owned()];
    let error = get("subject", &settings).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Usage);
    assert_eq!(error.hint().as_deref(), Some("it has default, fast"));
}
