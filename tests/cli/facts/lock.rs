//! Facts of a lock file.

use sandbox_check::acquire::POPULAR;

use super::*;

/// A lock file with these packages of the default registry.
pub(super) fn lock(home: &Home, packages: &[(&str, &str, Option<&Package>)]) -> PathBuf {
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
    let part = format!("1 of 2 packages, 1 with times of publication; it does not have other@1.0.0{stale}");
    assert_eq!(of(&[("fine", "1.0.0", Some(&fine)), ("other", "1.0.0", None)]), (5, part));
}

/// As it is after an attack: the release is gone, and stays in lock files.
#[test]
fn a_release_that_the_registry_does_not_have_any_more_is_named() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("fine", "1.0.0", 900));
    let path = lock(&home, &[("fine", "1.0.0", Some(&release("fine", "1.0.0", 900))), ("fine", "1.0.1", None)]);
    let (code, report) = facts(&registry, path.to_str().unwrap());
    let index = source(&report, "index");
    assert_eq!((code, &index["status"]), (5, &"partial".into()), "{report}");
    assert!(index["detail"].as_str().unwrap().ends_with("; it does not have fine@1.0.1"), "{index}");
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
    let detail = source(&report, "index")["detail"].as_str().unwrap();
    assert!(detail.starts_with("none of 2 packages; it does not have evilcheck@0.1.0, fine@1.0.0; as "), "{detail}");
    assert!(detail.contains("127.0.0.1:1"), "{detail}");
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
    let since = date(sandbox_check::evidence::time::seconds(&ago(900)).unwrap());
    assert!(text.contains(&format!("the nearest are `serde_derive` (since {since})")), "{text}");
    // The same where the name is all that is asked about.
    let output = command(&home, &registry, &["facts", "serde-derivee"]).output().unwrap();
    let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code(&output) == 3 && said.contains(&format!("`serde_derive` (since {since})")), "{said}");
}

/// docs/detections.md has the numbers.
#[test]
fn each_of_two_hundred_invented_names_is_flagged_and_no_well_known_one() {
    let (home, registry) = (Home::new(), Registry::start());
    let list = |text: &'static str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let invented = list(include_str!("../../data/invented-names.txt"));
    let known: Vec<Package> = list(POPULAR).into_iter().map(|name| release(name, "1.0.0", 900)).collect();
    for package in &known {
        registry.publish(package);
    }
    let real = known.iter().map(|package| (package.name, "1.0.0", Some(package)));
    let all: Vec<_> = real.chain(invented.iter().map(|name| (*name, "1.0.0", None))).collect();
    let path = lock(&home, &all);
    let (code, report) = facts(&registry, path.to_str().unwrap());
    let flagged: Vec<&str> = report["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|package| {
            let is_flagged =
                package["findings"].as_array().unwrap().iter().any(|found| found["code"] == "unknown-name");
            package["id"].as_str().filter(|_| is_flagged)?.strip_suffix("@1.0.0")
        })
        .collect();
    assert_eq!((code, flagged), (11, invented));
    let of_known = report["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| known.iter().any(|known| package["id"] == format!("{}@1.0.0", known.name)));
    assert!(of_known.clone().all(|package| package["findings"] == Value::Array(Vec::new())));
    assert_eq!(of_known.count(), known.len());
}

#[test]
fn an_empty_lock_file_is_an_error() {
    let (home, registry) = (Home::new(), Registry::start());
    fs::write(home.path().join("Cargo.lock"), "version = 4\n").unwrap();
    let output = command(&home, &registry, &["facts", "./Cargo.lock"]).output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
}
