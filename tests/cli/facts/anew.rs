//! What changes from day to day: databases that are downloaded, and what an earlier run does not know.

use super::*;

/// An archive as the hosts of repositories make them.
pub(super) fn packed(database: &Path) -> Vec<u8> {
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
    let today = date(sandbox_check::evidence::time::seconds(&ago(0)).unwrap());
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

/// What the host of RustSec's database documents: an archive made by `git archive`, whose first entry is a comment with the
/// commit, below a folder that is called after repository and branch; and an address that leads to another server, which
/// does not say how long the archive is.
#[test]
fn an_archive_as_git_makes_it_is_read_by_way_of_a_redirect_and_without_a_length() {
    let (home, registry) = (Home::new(), Registry::start());
    registry.publish(&release("evilcheck", "0.1.0", 900));
    let checkout = home.path().join("checkout");
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid", "-C", checkout.to_str().unwrap()]);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").args(args).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output.stdout
    };
    for file in server::files_below(Path::new(DATABASE)) {
        let to = checkout.join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new(DATABASE).join(&file), to).unwrap();
    }
    for args in [&["init", "-q", "."][..], &["add", "."], &["commit", "-q", "-m", "one"]] {
        git(args);
    }
    let archive = git(&["archive", "--format=tar.gz", "--prefix=advisory-db-main/", "HEAD"]);
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(archive.as_slice()), &mut plain).unwrap();
    assert!(plain.starts_with(b"pax_global_header"), "the control: packed by hand, it has no such entry");
    let mut answer =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-gzip\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in archive.chunks(500) {
        answer.extend(format!("{:x}\r\n", piece.len()).bytes());
        answer.extend(piece.iter().chain(b"\r\n"));
    }
    answer.extend(b"0\r\n\r\n");
    let elsewhere = Registry::server();
    elsewhere.behave("/tar.gz/main", server::Manners::Raw(answer));
    registry.behave("/archive/main.tar.gz", server::Manners::Redirect(format!("{}/tar.gz/main", elsewhere.url())));
    let url = format!("{}/archive/main.tar.gz", registry.url());
    let args = ["facts", "evilcheck", "--format=json", "--advisory-url", &url];
    let output = command(&home, &registry, &args).output().unwrap();
    assert_eq!(findings(&json(&output)), ["known-malicious critical"], "{}", stdout(&output));
    assert_eq!(elsewhere.count("/tar.gz/main"), 1);
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
    // Nor is half of one, or one of something else: they would answer for a day.
    let whole = packed(Path::new(DATABASE));
    for (path, bytes) in [("half", whole[..whole.len() / 2].to_vec()), ("none", packed(&registry.home()))] {
        registry.put(&format!("/{path}"), bytes);
        let url = format!("{}/{path}", registry.url());
        let (code, advisories) = run(&["--advisory-url", &url]);
        assert_eq!((code, &advisories["status"]), (5, &"not-checked".into()), "{advisories}");
        assert!(advisories["detail"].as_str().unwrap().contains("no .tar.gz archive of advisories"), "{advisories}");
    }
    let kept = server::files_below(&home.path().join(".cache/sandbox-check/advisories"));
    assert!(kept.iter().all(|file| file.extension().is_some_and(|is| is == "failed")), "{kept:?}");
    let (code, advisories) = run(&["--offline", "--advisory-url", &format!("{}/other", registry.url())]);
    assert_eq!((code, &advisories["status"]), (5, &"not-checked".into()), "{advisories}");
    assert!(advisories["detail"].as_str().unwrap().contains("offline"), "{advisories}");
}

/// A checkout of advisories that the test can change.
fn database(home: &Home) -> PathBuf {
    let folder = home.path().join("advisories/crates/oldname");
    fs::create_dir_all(&folder).unwrap();
    let other = Path::new(DATABASE).join("crates/oldcheck/RUSTSEC-2099-0003.md");
    fs::create_dir_all(folder.with_file_name("oldcheck")).unwrap();
    fs::copy(other, folder.with_file_name("oldcheck").join("RUSTSEC-2099-0003.md")).unwrap();
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
    let evil = fs::read_to_string(Path::new(DATABASE).join("crates/evilcheck/RUSTSEC-2099-0002.md")).unwrap();
    let told = database.join("crates/oldname/RUSTSEC-2099-0002.md");
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
