//! What is known of packages before anything runs: each fact fires once, and once does not.

use sandbox_check::evidence::time::{DAY, date};

use super::server::{Package, Registry};
use super::*;

mod anew;
mod config;
mod lock;
mod repository;

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
    registry.publish(&release("serde-rs", "1.0.0", 700));
    registry.publish(&release("serdde", "1.0.0", 900));
    registry.publish(&release("nothing-like-it", "1.0.0", 900));
    let (code, report) = facts(&registry, "serdee");
    assert_eq!((code, findings(&report)), (11, vec!["fresh-release medium".into(), "look-alike-name medium".into()]));
    let (code, report) = facts(&registry, "serde-rs");
    assert_eq!((code, findings(&report)), (0, vec!["look-alike-name low".into()]));
    let (code, report) = facts(&registry, "serdde");
    assert_eq!((code, findings(&report)), (0, vec!["look-alike-name info".into()]));
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

/// The times of then: whoever replays them later must still see the lure.
#[test]
fn the_same_attack_shows_in_an_index_that_is_looked_at_much_later() {
    let registry = Registry::start();
    let of = |name, version, time: &str| Package::new(name, version).published(time);
    registry.publish(&of("arrayish", "0.3.4", "2016-12-01T00:00:00Z"));
    for version in ["0.3.5", "0.3.6", "0.3.7", "0.3.8", "0.3.9"] {
        registry.publish(&of("arrayish", version, "2024-08-01T00:00:00Z").yanked());
    }
    registry.publish(&of("arrayish", "0.3.10", "2026-08-20T07:15:00Z").needs("macro-ish", "^1"));
    registry.publish(&of("macro-ish", "1.0.106", "2026-08-18T10:00:00Z"));
    registry.publish(&of("macro-ish", "1.0.107", "2026-08-20T06:50:00Z"));
    let (code, report) = facts(&registry, "arrayish@0.3.10");
    let found = findings(&report);
    assert_eq!(code, 11, "{report}");
    for expected in ["fresh-dependency ", "yanked-lure medium"] {
        assert!(found.iter().any(|finding| finding.starts_with(expected)), "{found:?}");
    }
}

/// Who publishes twice has nothing new in the second release, and nothing withdrawn directly below it.
#[test]
fn a_second_release_within_minutes_does_not_hide_the_attack() {
    let registry = Registry::start();
    registry.publish(&release("arrayish", "0.3.4", 2500));
    for version in ["0.3.5", "0.3.6", "0.3.9"] {
        registry.publish(&release("arrayish", version, 1000).yanked());
    }
    for version in ["0.3.10", "0.3.11"] {
        registry.publish(&release("arrayish", version, 1).needs("macro-ish", "^1"));
    }
    registry.publish(&release("macro-ish", "1.0.107", 2));
    let (code, report) = facts(&registry, "arrayish@0.3.11");
    let expected = [
        "dormant-release low",
        "fresh-dependency medium",
        "fresh-release low",
        "fresh-release medium",
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

/// An archive given as a file, with the registry at hand for what it needs.
fn facts_of_file(registry: &Registry, package: &Package) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given-1.0.0.crate");
    fs::write(&path, package.pack()).unwrap();
    facts(registry, path.to_str().unwrap())
}

#[test]
fn an_archive_from_a_file_is_judged_by_what_can_be_known_and_the_rest_is_named() {
    let registry = Registry::start();
    registry.publish(&release("depend", "1.0.0", 800));
    for (package, detail) in [
        (Package::new("given", "1.0.0"), "an archive from a file is no release, and it needs no other package"),
        (Package::new("given", "1.0.0").needs("depend", "^1"), "1 package"),
    ] {
        let (code, report) = facts_of_file(&registry, &package);
        assert_eq!((code, findings(&report)), (0, Vec::new()), "{report}");
        assert_eq!(
            (&source(&report, "index")["status"], &source(&report, "index")["detail"]),
            (&"checked".into(), &detail.into())
        );
        assert_eq!(source(&report, "archive")["status"], "partial", "there is no release before it");
        for name in ["reputation", "repository"] {
            assert_eq!(source(&report, name)["status"], "not-checked");
        }
    }
    // What it needs is looked at as that of a release is.
    registry.publish(&release("depend", "1.0.1", 0));
    let (_, report) = facts_of_file(&registry, &Package::new("given", "1.0.0").needs("depend", "^1"));
    assert_eq!(findings(&report), ["dormant-release low", "fresh-release low"], "{report}");
}
