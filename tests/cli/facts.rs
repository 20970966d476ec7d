//! What is known of packages before anything runs: each fact fires once, and once does not.

use sandbox_check::evidence::fact::{DAY, date};

use super::server::{Package, Registry};
use super::*;

const DATABASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/advisory-db");

/// The time of an index, so many days ago.
fn ago(days: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    format!("{}T00:00:00Z", date(now - days * DAY))
}

fn release(name: &'static str, version: &'static str, days: u64) -> Package {
    Package::new(name, version).published(&ago(days))
}

fn command(home: &Home, registry: &Registry, args: &[&str]) -> Command {
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    command.env("CARGO_HOME", registry.home()).env("CARGO_HTTP_TIMEOUT", "5").args(args);
    command
}

/// `sandbox-check facts TARGET` with the database of the tests.
fn facts(registry: &Registry, target: &str) -> (i32, Value) {
    let home = Home::new();
    let args = ["facts", target, "--format=json", "--advisory-db", DATABASE];
    let output = command(&home, registry, &args).output().unwrap();
    (code(&output), json(&output))
}

/// `code severity` of all findings, sorted.
fn findings(report: &Value) -> Vec<String> {
    let packages = report["packages"].as_array().unwrap().iter();
    let all = packages.flat_map(|package| package["findings"].as_array().unwrap());
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let mut all: Vec<_> = all.map(|f| format!("{} {}", word(f, "code"), word(f, "severity"))).collect();
    all.sort();
    all
}

fn source<'v>(report: &'v Value, name: &str) -> &'v Value {
    report["coverage"]["facts"].as_array().unwrap().iter().find(|source| source["source"] == name).unwrap()
}

#[test]
fn nothing_is_known_against_a_release_that_has_been_there_for_years() {
    let registry = Registry::start();
    registry.publish(&release("oldname", "1.0.0", 900).needs("depend", "^1"));
    registry.publish(&release("oldname", "1.0.1", 600).needs("depend", "^1"));
    registry.publish(&release("depend", "1.0.0", 800));
    let (code, report) = facts(&registry, "oldname");
    assert_eq!((code, findings(&report)), (0, Vec::new()), "{report}");
    assert_eq!((&report["verdict"], &report["facts_only"]), (&"pass".into(), &true.into()));
    for name in ["advisories", "names", "index", "archive"] {
        assert_eq!(source(&report, name)["status"], "checked", "{report}");
    }
    assert_eq!(source(&report, "reputation")["status"], "not-checked");
    assert_eq!(report["packages"].as_array().unwrap().len(), 2);
}

#[test]
fn a_run_that_nobody_could_inform_does_not_pass_in_silence() {
    let registry = Registry::start();
    registry.publish(&release("oldname", "1.0.0", 900));
    let home = Home::new();
    let output = command(&home, &registry, &["facts", "oldname"]).output().unwrap();
    assert_eq!(code(&output), 5, "{}", stdout(&output));
    let text = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("facts-unchecked advisories: no database of advisories"), "{text}");
    assert!(text.contains("checked: names"), "{text}");
}

#[test]
fn a_database_that_is_too_old_or_none_is_said() {
    let registry = Registry::start();
    registry.publish(&release("oldname", "1.0.0", 900));
    let home = Home::new();
    let args = ["facts", "oldname", "--format=json", "--advisory-db", DATABASE, "--max-db-age=1"];
    let output = command(&home, &registry, &args).output().unwrap();
    assert_eq!(code(&output), 5);
    assert_eq!(json(&output)["completeness"]["reasons"][0]["code"], "facts-unchecked");
    let output = command(&home, &registry, &["facts", "oldname", "--advisory-db", "absent"]).output().unwrap();
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: ") && stderr(&output).contains("absent"), "{}", stderr(&output));
}

#[test]
fn a_young_look_alike_is_worth_a_review_and_an_old_one_a_word() {
    let registry = Registry::start();
    registry.publish(&release("serdee", "1.0.0", 2));
    registry.publish(&release("serde-rs", "1.0.0", 900));
    registry.publish(&release("nothing-like-it", "1.0.0", 900));
    let (code, report) = facts(&registry, "serdee");
    assert_eq!((code, findings(&report)), (11, vec!["fresh-release medium".into(), "look-alike-name medium".into()]));
    let (code, report) = facts(&registry, "serde-rs");
    assert_eq!((code, findings(&report)), (0, vec!["look-alike-name low".into()]));
    let (code, report) = facts(&registry, "nothing-like-it");
    assert_eq!((code, findings(&report)), (0, Vec::new()));
}

/// The index of August 2026, with other names: a sleeping package, its old versions withdrawn, and a fresh release
/// that needs a package which is a day older.
#[test]
fn an_attack_on_a_sleeping_package_shows_in_the_index_alone() {
    let registry = Registry::start();
    registry.publish(&release("arrayish", "0.3.4", 2500));
    for version in ["0.3.5", "0.3.6", "0.3.9"] {
        registry.publish(&release("arrayish", version, 1000).yanked());
    }
    registry.publish(&release("arrayish", "0.3.10", 1).needs("macro-ish", "^1"));
    registry.publish(&release("macro-ish", "1.0.107", 2));
    let (code, report) = facts(&registry, "arrayish@0.3.10");
    let expected = [
        "dormant-release low",
        "fresh-dependency medium",
        "fresh-release low",
        "fresh-release medium",
        "release-change info",
        "yanked-lure medium",
    ];
    assert_eq!((code, findings(&report)), (11, expected.map(str::to_owned).to_vec()), "{report}");
}

#[test]
fn an_ordinary_update_is_fresh_and_nothing_else() {
    let registry = Registry::start();
    registry.publish(&release("arrayish", "0.3.8", 300));
    registry.publish(&release("arrayish", "0.3.9", 200).yanked());
    registry.publish(&release("arrayish", "0.3.10", 1).needs("macro-ish", "^1"));
    registry.publish(&release("macro-ish", "1.0.0", 700));
    let (code, report) = facts(&registry, "arrayish@0.3.10");
    let expected = ["fresh-release low", "release-change info"];
    assert_eq!((code, findings(&report)), (0, expected.map(str::to_owned).to_vec()), "{report}");
}

#[test]
fn an_archive_is_compared_with_the_one_before() {
    let registry = Registry::start();
    registry.publish(&release("growing", "1.0.0", 900));
    registry.publish(&release("growing", "1.0.1", 800).file("build.rs", "fn main() {}").file("x/Cargo.toml", ""));
    registry.publish(&release("growing", "1.0.2", 700).file("build.rs", "fn main() {}"));
    let (code, report) = facts(&registry, "growing@=1.0.1");
    assert_eq!((code, findings(&report)), (0, vec!["odd-archive low".into(), "release-change low".into()]));
    let (_, report) = facts(&registry, "growing@=1.0.2");
    assert_eq!(findings(&report), Vec::<String>::new());
    assert_eq!(source(&report, "archive")["detail"], "the subject's against that of 1.0.1");
}

#[test]
fn an_archive_that_cannot_be_had_is_not_compared_and_that_is_said() {
    let registry = Registry::start();
    registry.publish(&release("growing", "1.0.0", 900));
    registry.publish(&release("growing", "1.0.1", 800).file("build.rs", "fn main() {}"));
    registry.behave(&server::download_path("growing", "1.0.0"), server::Manners::Status(404, 99));
    let (code, report) = facts(&registry, "growing@=1.0.1");
    assert_eq!((code, findings(&report)), (0, Vec::new()), "{report}");
    assert_eq!(source(&report, "archive")["status"], "partial");
}

#[test]
fn advisories_are_told_of_the_whole_closure_and_only_of_releases_that_they_cover() {
    let registry = Registry::start();
    registry.publish(&release("subject", "1.0.0", 900).needs("smallcheck", "^1").needs("oldcheck", "^1"));
    registry.publish(&release("smallcheck", "1.1.0", 900));
    registry.publish(&release("oldcheck", "1.0.0", 900));
    let (code, report) = facts(&registry, "subject");
    assert_eq!((code, findings(&report)), (10, vec!["advisory high".into(), "advisory info".into()]), "{report}");
    registry.publish(&release("smallcheck", "1.2.3", 800));
    let (code, report) = facts(&registry, "subject");
    assert_eq!((code, findings(&report)), (0, vec!["advisory info".into()]), "{report}");
    registry.publish(&release("evilcheck", "0.1.0", 900));
    let (code, report) = facts(&registry, "evilcheck");
    assert_eq!((code, findings(&report)), (10, vec!["known-malicious critical".into()]), "{report}");
}

#[test]
fn reputation_is_asked_where_the_index_names_a_web_interface_and_nowhere_else() {
    let registry = Registry::start();
    registry.publish(&release("oldname", "1.0.0", 900));
    let (_, report) = facts(&registry, "oldname");
    assert_eq!(source(&report, "reputation")["status"], "not-checked");
    assert!(!registry.seen().iter().any(|seen| seen.path.starts_with("/api")), "{:?}", registry.seen());
    let config = format!(r#"{{"dl":"{0}/dl","api":"{0}"}}"#, registry.url());
    registry.put("/index/config.json", config.into_bytes());
    let (code, report) = facts(&registry, "oldname");
    assert_eq!((code, &source(&report, "reputation")["status"]), (0, &"not-checked".into()), "no answer is no failure");
    let answer = r#"{"crate":{"downloads":12,"recent_downloads":3},"versions":[]}"#;
    registry.put("/api/v1/crates/oldname", answer.as_bytes().to_vec());
    let (_, report) = facts(&registry, "oldname");
    let said = source(&report, "reputation");
    let detail = said["detail"].as_str().unwrap();
    assert!(detail.starts_with("12 downloads, 3 of late, without a repository"), "{detail}");
    assert!(said["status"] == "partial" && detail.ends_with("; its owners are not known"), "{said}");
    registry.put("/api/v1/crates/oldname/owners", br#"{"users":[{"login":"somebody"}]}"#.to_vec());
    let (_, report) = facts(&registry, "oldname");
    let said = source(&report, "reputation");
    assert!(said["status"] == "checked" && said["detail"].as_str().unwrap().contains("owned by somebody"), "{said}");
}

#[test]
fn a_web_interface_is_asked_once_a_day_and_by_a_name() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("oldname", "1.0.0", 900));
    let config = format!(r#"{{"dl":"{0}/dl","api":"{0}"}}"#, registry.url());
    registry.put("/index/config.json", config.into_bytes());
    registry.put("/api/v1/crates/oldname", br#"{"crate":{"downloads":12},"versions":[]}"#.to_vec());
    registry.put("/api/v1/crates/oldname/owners", br#"{"users":[]}"#.to_vec());
    let args = ["facts", "oldname", "--format=json", "--advisory-db", DATABASE];
    let run = || json(&command(&home, &registry, &args).output().unwrap());
    let first = run();
    assert_eq!(source(&first, "reputation"), source(&run(), "reputation"));
    assert_eq!(registry.count("/api/v1/crates/oldname"), 1);
    let agent = registry.seen().into_iter().find(|seen| seen.path.starts_with("/api")).unwrap().agent;
    assert!(agent.starts_with("sandbox-check/"), "{agent}");
}

/// An archive as the hosts of repositories make them.
fn packed(database: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    tar.append_dir_all("advisory-db-main", database).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn a_database_is_downloaded_kept_for_a_day_and_told_with_its_age() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("evilcheck", "0.1.0", 900));
    registry.put("/db.tar.gz", packed(Path::new(DATABASE)));
    let url = format!("{}/db.tar.gz", registry.url());
    let run = |more: &[&str]| {
        let args = [&["facts", "evilcheck", "--format=json"], more].concat();
        let output = command(&home, &registry, &args).output().unwrap();
        (code(&output), source(&json(&output), "advisories").clone(), findings(&json(&output)))
    };
    let evil = vec!["known-malicious critical".to_owned()];
    let (code, advisories, found) = run(&["--advisory-url", &url]);
    assert_eq!((code, &found), (10, &evil), "{advisories}");
    let today = date(sandbox_check::evidence::fact::seconds(&ago(0)).unwrap());
    let detail = advisories["detail"].as_str().unwrap();
    assert!(detail.starts_with("3 advisories, the newest of 2026-01-03 ("), "{detail}");
    assert!(detail.ends_with(&format!(", downloaded on {today}")), "{detail}");
    // Once a day.
    assert_eq!(run(&["--advisory-url", &url]).2, evil);
    assert_eq!(registry.count("/db.tar.gz"), 1);
    // An old one is used when no newer one can be had, and it is said.
    let kept = server::files_below(&home.path().join(".cache/sandbox-check/advisories"));
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    let kept = home.path().join(".cache/sandbox-check/advisories").join(kept);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3 * DAY);
    fs::File::options().write(true).open(&kept).unwrap().set_modified(old).unwrap();
    registry.behave("/db.tar.gz", server::Manners::Status(503, 99));
    let (code, advisories, found) = run(&["--advisory-url", &url]);
    assert_eq!((code, found), (10, evil), "{advisories}");
    assert!(advisories["detail"].as_str().unwrap().contains("; a newer one cannot be had: "), "{advisories}");
    // Nor is anybody asked again at once.
    let asked = registry.count("/db.tar.gz");
    run(&["--advisory-url", &url]);
    assert_eq!(registry.count("/db.tar.gz"), asked);
}

#[test]
fn where_the_registry_is_replaced_no_other_address_is_asked_unless_it_is_named() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("evilcheck", "0.1.0", 900));
    let run = |more: &[&str]| {
        let args = [&["facts", "evilcheck", "--format=json"], more].concat();
        let output = command(&home, &registry, &args).output().unwrap();
        (code(&output), source(&json(&output), "advisories").clone())
    };
    let (code, advisories) = run(&[]);
    assert_eq!((code, &advisories["status"]), (5, &"not-checked".into()), "{advisories}");
    assert!(advisories["detail"].as_str().unwrap().contains("cargo's configuration replaces the registry"));
    // What answers with something else is no database, and nothing of it is kept.
    registry.put("/other", b"<html>".to_vec());
    let (code, advisories) = run(&["--advisory-url", &format!("{}/other", registry.url())]);
    assert_eq!((code, &advisories["status"]), (5, &"not-checked".into()), "{advisories}");
    assert!(advisories["detail"].as_str().unwrap().contains("no .tar.gz archive"), "{advisories}");
    let (code, advisories) = run(&["--offline", "--advisory-url", &format!("{}/other", registry.url())]);
    assert_eq!((code, &advisories["status"]), (5, &"not-checked".into()), "{advisories}");
    assert!(advisories["detail"].as_str().unwrap().contains("offline"), "{advisories}");
}

/// A lock file with these packages of the default registry.
fn lock(home: &Home, packages: &[(&str, &str, Option<&Package>)]) -> PathBuf {
    let source = tame_index::CRATES_IO_INDEX;
    let entry = |(name, version, package): &(&str, &str, Option<&Package>)| {
        let digest = package.map_or("0".repeat(64), |package| server::digest(&package.pack()).hex());
        format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+{source}\"\nchecksum = \"{digest}\"\n"
        )
    };
    let own = "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n".to_owned();
    let text = own + &packages.iter().map(entry).collect::<Vec<_>>().concat();
    let path = home.path().join("Cargo.lock");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_lock_file_is_told_of_without_a_download() {
    let (home, registry) = (Home::new(), Registry::start());
    let (fine, gone) = (release("fine", "1.0.0", 900), release("gone", "1.0.0", 900).yanked());
    registry.publish(&fine);
    registry.publish(&gone);
    let path = lock(&home, &[("fine", "1.0.0", Some(&fine)), ("gone", "1.0.0", Some(&gone))]);
    let (code, report) = facts(&registry, path.to_str().unwrap());
    assert_eq!((code, findings(&report)), (0, vec!["yanked low".into()]), "{report}");
    assert!(registry.seen().iter().all(|seen| !seen.path.starts_with("/dl")), "{:?}", registry.seen());
}

#[test]
fn a_name_in_a_lock_file_that_the_registry_does_not_have_is_worth_a_review() {
    let (home, registry) = (Home::new(), Registry::start());
    let path = lock(&home, &[("serde-derivee", "1.0.0", None)]);
    let (code, report) = facts(&registry, path.to_str().unwrap());
    assert_eq!(code, 11, "{report}");
    assert!(findings(&report).contains(&"unknown-name medium".to_owned()), "{report}");
    // Offline, nobody knows.
    let args = ["facts", path.to_str().unwrap(), "--offline", "--format=json", "--advisory-db", DATABASE];
    let output = command(&home, &registry, &args).output().unwrap();
    assert_eq!(super::code(&output), 5, "{}", stdout(&output));
    assert!(!findings(&json(&output)).contains(&"unknown-name medium".to_owned()));
}

#[test]
fn a_lock_file_of_which_only_a_part_is_known_here_does_not_pass() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("fine", "1.0.0", 900));
    // cargo asks for one of the two, and so has its entry.
    assert_eq!(facts(&registry, "fine").0, 0);
    let fine = release("fine", "1.0.0", 900);
    let of = |packages: &[(&str, &str, Option<&Package>)]| {
        let path = lock(&home, packages);
        let args = ["facts", path.to_str().unwrap(), "--offline", "--format=json", "--advisory-db", DATABASE];
        let output = command(&home, &registry, &args).output().unwrap();
        (code(&output), source(&json(&output), "index")["detail"].as_str().unwrap().to_owned())
    };
    // A yank since then is not known here.
    let stale = "; as this machine last saw it, for the registry was not asked: offline";
    assert_eq!(of(&[("fine", "1.0.0", Some(&fine))]), (5, format!("1 package{stale}")));
    let part = format!("1 of 2 packages, 1 with times of publication{stale}");
    assert_eq!(of(&[("fine", "1.0.0", Some(&fine)), ("other", "1.0.0", None)]), (5, part));
}

#[test]
fn a_yank_since_the_index_of_this_machine_is_told_of_a_lock_file() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.mark();
    let (fine, gone) = (release("fine", "1.0.0", 900), release("gone", "1.0.0", 900));
    registry.publish(&fine);
    registry.publish(&gone);
    registry.publish(&release("carrier", "1.0.0", 900).needs("fine", "^1").needs("gone", "^1"));
    assert_eq!(facts(&registry, "carrier").0, 0);
    registry.put(&server::index_path("gone"), gone.clone().yanked().line().into_bytes());
    let path = lock(&home, &[("fine", "1.0.0", Some(&fine)), ("gone", "1.0.0", Some(&gone))]);
    let before = registry.seen().len();
    let (code, report) = facts(&registry, path.to_str().unwrap());
    assert_eq!((code, findings(&report)), (0, vec!["yanked low".into()]), "{report}");
    let seen = registry.seen().split_off(before);
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.conditional), "what is here is not sent again: {seen:?}");
}

#[test]
fn a_registry_that_does_not_answer_is_no_pass_and_the_rest_is_told_all_the_same() {
    let (home, registry) = (Home::new(), Registry::start());
    let evil = release("evilcheck", "0.1.0", 900);
    registry.publish(&evil);
    registry.publish(&release("fine", "1.0.0", 900));
    let path = lock(&home, &[("evilcheck", "0.1.0", Some(&evil)), ("fine", "1.0.0", None)]);
    registry.configure("[source.crates-io]\nreplace-with = 't'\n[source.t]\nregistry = 'sparse+http://127.0.0.1:1/'\n");
    let (code, report) = facts(&registry, path.to_str().unwrap());
    assert_eq!((code, findings(&report)), (10, vec!["known-malicious critical".into()]), "{report}");
    assert_eq!(source(&report, "index")["status"], "not-checked");
    assert_eq!(report["completeness"]["reasons"][0]["code"], "facts-unchecked", "{report}");
    let path = lock(&home, &[("fine", "1.0.0", None)]);
    assert_eq!(facts(&registry, path.to_str().unwrap()).0, 5);
}

#[test]
fn an_invented_name_comes_with_the_nearest_real_ones_and_their_ages() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("serde_derive", "1.0.0", 900));
    let path = lock(&home, &[("serde-derivee", "1.0.0", None)]);
    let (_, report) = facts(&registry, path.to_str().unwrap());
    let text = report.to_string();
    let since = date(sandbox_check::evidence::fact::seconds(&ago(900)).unwrap());
    assert!(text.contains(&format!("the nearest are `serde_derive` (since {since})")), "{text}");
    // The same where the name is all that is asked about.
    let output = command(&home, &registry, &["facts", "serde-derivee"]).output().unwrap();
    let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code(&output) == 3 && said.contains(&format!("`serde_derive` (since {since})")), "{said}");
}

#[test]
fn an_empty_lock_file_is_an_error() {
    let (home, registry) = (Home::new(), Registry::start());
    fs::write(home.path().join("Cargo.lock"), "version = 4\n").unwrap();
    let output = command(&home, &registry, &["facts", "./Cargo.lock"]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
}

#[test]
fn a_fresh_look_alike_that_looks_a_name_up_fails_and_its_replay_says_the_same() {
    let registry = Registry::start();
    let build = "fn main() { let _ = std::net::ToSocketAddrs::to_socket_addrs(&\"collector.invalid:80\"); }";
    registry.publish(&release("serdee", "1.0.0", 2).file("build.rs", build));
    let home = Home::new();
    let kept = home.path().join("kept");
    let args = ["serdee", "--format=json", "--evidence", kept.to_str().unwrap()];
    let output = command(&home, &registry, &args).output().unwrap();
    assert_eq!(code(&output), 10, "{}{}", stdout(&output), stderr(&output));
    let report = json(&output);
    assert!(findings(&report).contains(&"dns-query high".to_owned()), "{report}");
    let evidence = report["evidence"]["path"].as_str().unwrap();
    let replayed = home.run(["replay", evidence, "--format=json"]);
    assert_eq!(stdout(&replayed), stdout(&output));
}

/// A checkout of advisories that the test can change.
fn database(home: &Home) -> PathBuf {
    let folder = home.path().join("advisories/crates/oldname");
    fs::create_dir_all(&folder).unwrap();
    let other = Path::new(DATABASE).join("crates/oldcheck/RUSTSEC-2999-0003.md");
    fs::create_dir_all(folder.with_file_name("oldcheck")).unwrap();
    fs::copy(other, folder.with_file_name("oldcheck").join("RUSTSEC-2999-0003.md")).unwrap();
    home.path().join("advisories")
}

#[test]
fn an_earlier_run_that_answers_brings_the_advisories_of_the_day_and_never_its_own() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("oldname", "1.0.0", 900).file("build.rs", "fn main() {}"));
    let database = database(&home);
    let run = |more: &[&str]| {
        let args = [&["oldname", "--format=json", "--advisory-db", database.to_str().unwrap()], more].concat();
        let output = command(&home, &registry, &args).output().unwrap();
        (code(&output), json(&output), stdout(&output))
    };
    let (first, report, _) = run(&[]);
    assert_eq!((first, findings(&report)), (0, Vec::new()), "{report}");
    let first_evidence = report["evidence"]["path"].as_str().unwrap().to_owned();
    let evil = fs::read_to_string(Path::new(DATABASE).join("crates/evilcheck/RUSTSEC-2999-0002.md")).unwrap();
    let told = database.join("crates/oldname/RUSTSEC-2999-0002.md");
    fs::write(&told, evil.replace("evilcheck", "oldname")).unwrap();
    let (second, report, text) = run(&[]);
    assert_eq!((second, findings(&report)), (10, vec!["known-malicious critical".into()]), "{report}");
    assert!(report["reused"].is_object(), "nothing was built again");
    assert!(text.contains("4 advisories") || text.contains("2 advisories"), "{text}");
    // The evidence that it names says the same to whoever replays it.
    let replayed = home.run(["replay", report["evidence"]["path"].as_str().unwrap(), "--format=json"]);
    assert_eq!((code(&replayed), findings(&json(&replayed))), (10, findings(&report)));
    // So does that of the first run with a database of today, and only with one.
    let replay = |more: &[&str]| {
        let output = home.run([&["replay", first_evidence.as_str(), "--format=json"], more].concat());
        (code(&output), findings(&json(&output)))
    };
    assert_eq!(replay(&[]), (0, Vec::new()));
    assert_eq!(replay(&["--advisory-db", database.to_str().unwrap()]), (10, findings(&report)));
    assert_eq!(code(&home.run(["replay", first_evidence.as_str(), "--advisory-db", "absent"])), 2);
    // With nothing new, the same evidence answers.
    let (_, again, _) = run(&[]);
    assert_eq!(again["evidence"]["path"], report["evidence"]["path"]);
    // An advisory that was withdrawn is no longer told.
    fs::remove_file(&told).unwrap();
    let (third, report, _) = run(&[]);
    assert_eq!((third, findings(&report), report["reused"].is_object()), (0, Vec::new(), true), "{report}");
}

#[test]
fn an_earlier_run_that_answers_brings_the_index_of_the_day() {
    let (home, registry) = (Home::new(), Registry::start());
    let (old, new) = (release("oldname", "1.0.3", 1), release("oldname", "1.0.4", 0));
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        registry.publish(&release("oldname", version, 900));
    }
    registry.publish(&old.clone().file("build.rs", "fn main() {}"));
    let run = || {
        let args = ["oldname@=1.0.3", "--format=json", "--advisory-db", DATABASE];
        let output = command(&home, &registry, &args).output().unwrap();
        (json(&output), stderr(&output))
    };
    let (report, _) = run();
    assert!(!findings(&report).contains(&"yanked-lure medium".to_owned()), "{report}");
    // Somebody withdraws all that was before, and publishes once more.
    let mut index = String::new();
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        index.push_str(&release("oldname", version, 900).yanked().line());
    }
    index.push_str(&old.file("build.rs", "fn main() {}").line());
    index.push_str(&new.line());
    registry.put(&server::index_path("oldname"), index.into_bytes());
    let (report, said) = run();
    assert!(report["reused"].is_object(), "{report}{said}");
    assert!(findings(&report).contains(&"yanked-lure medium".to_owned()), "{report}");
}
