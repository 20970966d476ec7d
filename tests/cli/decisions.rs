//! What people have decided: which file counts, what it hides, and how a reader hears of it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::server::{Package, Registry};
use super::*;

const NAME: &str = "sandbox-check.toml";

/// A finding of the recorded evidence: medium, of a folder.
fn entry(object: &str, expires: &str) -> String {
    format!(
        "[[ignore]]\npackage = \"looks-a-name-up\"\nversion = \"0.1.0\"\nsource = \"directory\"\ncode = \"dns-query\"\n\
         object = \"{object}\"\nreason = \"It asks for its model.\"\nexpires = \"{expires}\"\n"
    )
}

/// The evidence, and what was looked up in it.
fn evidence() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/evidence-v1/looks-a-name-up.jsonl")
}

fn object() -> String {
    let output = Home::new().run([OsStr::new("replay"), OsStr::new("--format=json"), evidence().as_os_str()]);
    json(&output)["packages"][0]["findings"][0]["subject"].as_str().unwrap().to_owned()
}

/// So many days from now.
fn day(days: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{}", i64::try_from(now).unwrap() + days * 86_400), "+%F"])
        .output()
        .unwrap();
    stdout(&output).trim().to_owned()
}

impl Home {
    fn decide(&self, text: &str) -> &Self {
        fs::write(self.path().join(NAME), text).unwrap();
        self
    }

    fn replay(&self, args: &[&str]) -> Output {
        let args = ["replay"].iter().chain(args).map(OsStr::new);
        self.run(args.chain([evidence().as_os_str()]))
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = self.command("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@x.invalid", "-c", "init.defaultBranch=main"]);
        let output = command.args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        stdout(&output).trim().to_owned()
    }
}

#[test]
fn a_hidden_finding_counts_for_nothing_and_stays_in_every_form_for_programs() {
    let home = Home::new();
    home.decide(&entry(&object(), &day(100)));
    let sarif = home.path().join("a.sarif");
    let output = home.replay(&["--format=json", "--output", &format!("sarif={}", sarif.display())]);
    let value = json(&output);
    // The recorded evidence is not whole, which nobody can accept.
    assert_eq!((code(&output), value["verdict"].as_str()), (5, Some("inconclusive")), "{}", stderr(&output));
    let finding = &value["packages"][0]["findings"][0];
    assert_eq!((&finding["decision"]["effect"], &finding["severity"]), (&"applied".into(), &"medium".into()));
    assert_eq!(finding["decision"]["reason"], "It asks for its model.");
    assert_eq!(
        (&value["decisions"]["hidden"], &value["decisions"]["entries"][0]["fate"]),
        (&1.into(), &"applied".into())
    );
    let sarif: Value = serde_json::from_slice(&fs::read(sarif).unwrap()).unwrap();
    let suppressed: Vec<_> = sarif["runs"][0]["results"].as_array().unwrap().iter().collect();
    let of = suppressed.iter().find(|result| result["ruleId"] == "dns-query").unwrap();
    assert_eq!(of["suppressions"][0]["status"], "accepted");
    assert!(of["suppressions"][0]["justification"].as_str().unwrap().contains("It asks for its model."));
    assert!(
        suppressed.iter().filter(|result| result["ruleId"] != "dns-query").all(|r| r.get("suppressions").is_none())
    );
    let human = stdout(&home.replay(&[]));
    assert!(
        human.contains("sandbox-check.toml; 1 finding hidden") && human.contains("It asks for its model."),
        "{human}"
    );
    assert!(!human.contains("dns-query:"), "{human}");
    for args in [&["--no-decisions"][..], &["--policy", "/no/such"]] {
        let other = home.replay(args);
        assert_eq!(code(&other), if args.len() == 1 { 11 } else { 2 });
    }
}

#[test]
fn another_object_of_the_same_code_is_not_hidden() {
    let home = Home::new();
    let other = format!("x{}", object());
    home.decide(&entry(&other, &day(100)));
    let output = home.replay(&["--format=json"]);
    assert_eq!(code(&output), 11);
    assert!(json(&output)["packages"][0]["findings"][0].get("decision").is_none());
}

#[test]
fn expired_expiring_and_unused_entries_are_said() {
    let home = Home::new();
    for (object, days, exit, says) in [
        (object(), 0, 11, Some("ended on")),
        (object(), 14, 5, Some("ends in 14 days")),
        (object(), 1, 5, Some("ends in 1 day,")),
        (object(), 15, 5, None),
    ] {
        home.decide(&entry(&object, &day(days)));
        let output = home.replay(&[]);
        assert_eq!(code(&output), exit, "{days}: {}", stderr(&output));
        let said = stderr(&output).replace("\n  ", " ");
        match says {
            Some(says) => assert!(said.contains(says) && said.contains("sandbox-check.toml:1"), "{days}: {said}"),
            None => assert_eq!(said, ""),
        }
    }
}

#[test]
fn an_unused_entry_is_an_error_where_that_is_wanted() {
    let home = Home::new();
    // A run that saw everything, so that nothing is only unseen.
    let dir = runs::package(&home, "honest", "fn main() {}");
    let unused = entry("gone.invalid", &day(100)).replace("looks-a-name-up", "honest").replace("0.1.0", "1.0.0");
    home.decide(&unused);
    let check = |more: &[&str]| {
        home.run(["--offline", "--format=json"].iter().chain(more).map(OsStr::new).chain([dir.as_os_str()]))
    };
    let warned = check(&[]);
    assert_eq!(code(&warned), 0, "{}", stderr(&warned));
    assert!(stderr(&warned).replace("\n  ", " ").contains("is not used"), "{}", stderr(&warned));
    let denied = check(&["-D", "unused-ignore"]);
    let value = json(&denied);
    assert_eq!((code(&denied), &value["error"]["code"], &value["verdict"]), (2, &"usage".into(), &"pass".into()));
    assert!(value["error"]["message"].as_str().unwrap().contains("sandbox-check.toml:1"));
    // What is about another package was not asked.
    home.decide(&unused.replace("honest", "other"));
    assert_eq!(code(&check(&["-D", "unused-ignore"])), 0);
}

#[test]
fn a_bad_entry_ends_the_run_before_it_begins() {
    let home = Home::new();
    let good = entry("x", &day(100));
    for (from, to, line, says) in [
        ("dns-query", "dns-querry", 5, "dns-querry"),
        ("dns-query", "known-malicious", 5, "cannot be accepted"),
        ("reason = \"It asks for its model.\"\n", "", 1, "reason"),
        ("expires", "expiry", 8, "expiry"),
        ("[[ignore]]", "[[ignored]]", 1, "ignored"),
    ] {
        home.decide(&good.replace(from, to));
        let output = home.replay(&["--format=json"]);
        let value = json(&output);
        assert_eq!((code(&output), &value["error"]["code"]), (2, &"usage".into()), "{to}");
        let message = value["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("sandbox-check.toml:{line}: ")) && message.contains(says), "{message}");
    }
    let before = home.files();
    let dir = runs::package(&home, "honest", "fn main() {}");
    let output = home.run([OsStr::new("--offline"), dir.as_os_str()]);
    assert_eq!((code(&output), stdout(&output).as_str()), (2, ""));
    assert!(!home.files().iter().any(|file| file.contains("sandbox-check/")), "{before:?}");
}

#[test]
fn what_is_examined_decides_nothing_about_itself() {
    let home = Home::new();
    let curious = "fn main() { let _ = std::fs::read(\"/home/dev/.ssh/id_ed25519\"); }";
    let dir = runs::package(&home, "curious", curious);
    let text = entry("~/.ssh/id_ed25519", &day(100))
        .replace("looks-a-name-up", "curious")
        .replace("0.1.0", "1.0.0")
        .replace("dns-query", "credential-read");
    fs::write(dir.join(NAME), &text).unwrap();
    let args = |more: &[&str]| {
        let mut args: Vec<_> = ["--offline", "--format=json"].iter().chain(more).map(|arg| (*arg).to_owned()).collect();
        args.push(dir.display().to_string());
        args
    };
    assert_eq!(code(&home.run(args(&[]))), 10);
    let inside = home.command(env!("CARGO_BIN_EXE_sandbox-check")).current_dir(&dir).args(args(&[])).output().unwrap();
    assert_eq!(code(&inside), 10);
    assert!(stderr(&inside).replace("\n  ", " ").contains("it decides nothing"), "{}", stderr(&inside));
    // Named by the user, or their own: it counts.
    let named = home.run(args(&["--config", dir.join(NAME).to_str().unwrap()]));
    assert_eq!(code(&named), 0, "{}", stderr(&named));
    home.decide(&text);
    let output = home.run(args(&[]));
    assert_eq!((code(&output), &json(&output)["verdict"]), (0, &"pass".into()));
    // Evidence of what is only hidden is kept all the same.
    assert!(json(&output)["evidence"]["path"].is_string());
}

#[test]
fn a_change_cannot_excuse_itself() {
    let home = Home::new();
    home.git(&["init", "--quiet"]);
    fs::write(home.path().join("README"), "x").unwrap();
    home.git(&["add", "README"]);
    home.git(&["commit", "--quiet", "-m", "empty"]);
    let empty = home.git(&["rev-parse", "HEAD"]);
    home.decide(&entry("other.invalid", &day(50)));
    home.git(&["add", NAME]);
    home.git(&["commit", "--quiet", "-m", "decided"]);
    // What the working tree adds does not count, and is listed.
    home.decide(&format!("{}\n{}", entry("other.invalid", &day(50)), entry(&object(), &day(100))));
    assert_eq!(code(&home.replay(&[])), 5, "in the working tree it would hide the finding");
    for (base, proposed) in [("HEAD", 1), (empty.as_str(), 2), ("main~1", 2)] {
        let output = home.replay(&["--format=json", "--decisions-from", base]);
        let value = json(&output);
        assert_eq!((code(&output), &value["decisions"]["base"]), (11, &base.into()), "{base}");
        assert_eq!(value["decisions"]["proposed"].as_array().unwrap().len(), proposed, "{base}");
        assert!(stderr(&output).replace("\n  ", " ").contains("is proposed only and does not count"));
    }
    // Once it is in the base, it does.
    home.git(&["commit", "--quiet", "-a", "-m", "agreed"]);
    assert_eq!(code(&home.replay(&["--decisions-from", "HEAD"])), 5);
    home.decide("");
    assert_eq!(code(&home.replay(&["--decisions-from", "HEAD"])), 5, "nor can a change take a decision away");
    for wrong in ["no-such-branch", "--output=/tmp/x", "a b"] {
        let output = home.replay(&[&format!("--decisions-from={wrong}")]);
        assert_eq!(code(&output), 2, "{wrong}: {}", stderr(&output));
    }
}

#[test]
fn a_shared_file_needs_its_digest_where_it_comes_from_a_server() {
    let home = Home::new();
    let shared = entry(&object(), &day(100));
    fs::write(home.path().join("shared.toml"), &shared).unwrap();
    home.decide("extends = \"shared.toml\"\n");
    let output = home.replay(&["--format=json"]);
    let value = json(&output);
    assert_eq!((code(&output), &value["decisions"]["entries"][0]["place"]), (5, &"shared.toml:1".into()));
    let digest = value["decisions"]["files"][1]["sha256"].as_str().unwrap().to_owned();

    let registry = Registry::start();
    registry.put("/decisions.toml", shared.clone().into_bytes());
    let url = format!("{}/decisions.toml", registry.url());
    let run = |digest: &str, more: &[&str]| {
        home.decide(&format!("extends = \"{url}{digest}\"\n"));
        home.replay(&[&["--format=json"], more].concat())
    };
    let without = run("", &[]);
    assert_eq!(code(&without), 2);
    assert!(json(&without)["error"]["message"].as_str().unwrap().contains("needs the digest"));
    let wrong = format!("#sha256:{}", "0".repeat(64));
    let other = run(&wrong, &[]);
    let message = json(&other)["error"]["message"].as_str().unwrap().to_owned();
    assert!(code(&other) == 2 && message.contains(&digest) && message.contains(&wrong[1..]), "{message}");
    let good = format!("#{digest}");
    assert_eq!(code(&run(&good, &[])), 5);
    // From now on the copy answers, also without a network.
    registry.put("/decisions.toml", b"spoilt".to_vec());
    assert_eq!(code(&run(&good, &[])), 5);
    let kept = home.path().join(".cache/sandbox-check/shared").join(&digest["sha256:".len()..]);
    fs::write(&kept, "spoilt").unwrap();
    let spoilt = run(&good, &[]);
    assert_eq!(code(&spoilt), 2, "neither the server nor the cache has the bytes: {}", stdout(&spoilt));
}

#[test]
fn a_change_cannot_excuse_itself_by_a_shared_file_either() {
    let home = Home::new();
    home.git(&["init", "--quiet"]);
    home.decide("extends = \"shared.toml\"\n");
    fs::write(home.path().join("shared.toml"), entry("other.invalid", &day(50))).unwrap();
    home.git(&["add", NAME, "shared.toml"]);
    home.git(&["commit", "--quiet", "-m", "base"]);
    fs::write(home.path().join("shared.toml"), entry(&object(), &day(50))).unwrap();
    assert_eq!(code(&home.replay(&[])), 5);
    let output = home.replay(&["--format=json", "--decisions-from=HEAD"]);
    let value = json(&output);
    assert_eq!((code(&output), value["decisions"]["proposed"].as_array().unwrap().len()), (11, 1), "{value:#}");
    // Outside of the repository nobody can say what it was; with its digest it does not matter.
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("shared.toml");
    fs::write(&path, entry(&object(), &day(50))).unwrap();
    let pin = |digest: &str| {
        home.decide(&format!("extends = \"{}{digest}\"\n", path.display()));
        home.git(&["commit", "--quiet", "-a", "-m", "outside"]);
        home.replay(&["--format=json", "--decisions-from=HEAD"])
    };
    assert_eq!(code(&pin("")), 2);
    let digest = server::digest(&fs::read(&path).unwrap());
    assert_eq!(code(&pin(&format!("#{digest}"))), 5);
    fs::write(&path, "").unwrap();
    assert_eq!(code(&home.replay(&["--decisions-from=HEAD"])), 2);
}

/// A folder `ci` with an entry for another object, and one called `lax` that hides the finding, both committed.
fn with_a_lax_folder(file: &str) -> Home {
    let home = Home::new();
    home.git(&["init", "--quiet"]);
    for (folder, object) in [("ci", "other.invalid".to_owned()), ("lax", object())] {
        fs::create_dir(home.path().join(folder)).unwrap();
        fs::write(home.path().join(folder).join(file), entry(&object, &day(50))).unwrap();
    }
    home.decide("extends = \"ci/shared.toml\"\n");
    home.git(&["add", NAME, "ci", "lax"]);
    home.git(&["commit", "--quiet", "-m", "base"]);
    home
}

#[test]
fn a_change_cannot_lead_to_another_file_of_the_base() {
    let link = |home: &Home, from: &str, to: &str| {
        let from = home.path().join(from);
        fs::rename(&from, home.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(to, from).unwrap();
    };
    let home = with_a_lax_folder("shared.toml");
    assert_eq!(code(&home.replay(&["--decisions-from=HEAD"])), 11);
    link(&home, "ci", "lax");
    assert_eq!(code(&home.replay(&["--decisions-from=HEAD"])), 11, "the folder of a shared file");
    let home = with_a_lax_folder("named.toml");
    link(&home, "ci/named.toml", "../lax/named.toml");
    for path in [std::path::PathBuf::from("ci/named.toml"), home.path().join("ci/named.toml")] {
        let named = format!("--config={}", path.display());
        assert_eq!(code(&home.replay(&[&named])), 5, "the file of the working tree is the link's");
        assert_eq!(code(&home.replay(&[&named, "--decisions-from=HEAD"])), 11, "{named}");
    }
    // Neither has a repository in that folder, which a submodule brings, a say in what the base is.
    let home = with_a_lax_folder("shared.toml");
    fs::write(home.path().join("ci/shared.toml"), entry(&object(), &day(50))).unwrap();
    for args in [&["init", "--quiet"][..], &["add", "."], &["commit", "--quiet", "-m", "its own"]] {
        home.git(&[&["-C", "ci"], args].concat());
    }
    assert_eq!(code(&home.replay(&["--decisions-from=HEAD"])), 11);
}

#[test]
fn offline_a_shared_file_comes_from_the_cache_or_is_named() {
    let (home, registry) = (Home::new(), Registry::start());
    let dir = runs::package(&home, "honest", "fn main() {}");
    let shared = entry("x", &day(50));
    registry.put("/d.toml", shared.clone().into_bytes());
    let url = format!("{}/d.toml", registry.url());
    home.decide(&format!("extends = \"{url}#{}\"\n", server::digest(shared.as_bytes())));
    let check = |args: &[&str]| home.run(args.iter().map(OsStr::new).chain([dir.as_os_str()]));
    let without = check(&["--offline"]);
    assert!(code(&without) == 2 && stderr(&without).replace("\n  ", " ").contains(&url), "{}", stderr(&without));
    assert_eq!(code(&home.replay(&[])), 11, "this fetches it");
    assert_eq!(code(&check(&["--offline"])), 0);
    assert_eq!(registry.count("/d.toml"), 1);
    // A server that does not answer is a matter of time.
    registry.behave("/e.toml", super::server::Manners::Status(503, u32::MAX));
    home.decide(&format!("extends = \"{}#{}\"\n", url.replace("d.toml", "e.toml"), server::digest(b"x")));
    assert_eq!(code(&home.replay(&[])), 75);
}

#[test]
fn a_link_a_missing_file_and_settings_are_no_decisions() {
    let home = Home::new();
    fs::write(home.path().join("real.toml"), entry(&object(), &day(50))).unwrap();
    std::os::unix::fs::symlink("real.toml", home.path().join(NAME)).unwrap();
    let link = home.replay(&[]);
    assert!(code(&link) == 2 && stderr(&link).contains("sandbox-check.toml: it cannot be read"), "{}", stderr(&link));
    fs::remove_file(home.path().join(NAME)).unwrap();
    assert_eq!(code(&home.replay(&["--config", "nowhere.toml"])), 2);
    assert_eq!(code(&home.replay(&["--config", "real.toml"])), 5);
    home.decide("read = [\"/etc\"]\n");
    let settings = home.replay(&[]);
    assert!(code(&settings) == 2 && stderr(&settings).contains("sandbox-check.toml:1"), "{}", stderr(&settings));
    // The file of --config may have both.
    assert_eq!(code(&home.replay(&["--config", NAME])), 11);
}

#[test]
fn a_lock_file_is_judged_by_the_file_of_the_workspace_where_the_user_stands() {
    let home = Home::new();
    let registry = Registry::start();
    let asks = "fn main() { let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"model.invalid\", 80)); }";
    registry.publish(&Package::new("asks", "1.0.0").file("build.rs", asks));
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nasks = '1'\n";
    let ws = home.path().join("ws");
    fs::create_dir_all(ws.join("src")).unwrap();
    fs::write(ws.join("Cargo.toml"), manifest).unwrap();
    fs::write(ws.join("src/lib.rs"), "").unwrap();
    let mut cargo = home.command("cargo");
    let locked = cargo.env("CARGO_HOME", registry.home()).arg("generate-lockfile").current_dir(&ws).output().unwrap();
    assert!(locked.status.success(), "{}", stderr(&locked));
    let text = entry("model.invalid", &day(100))
        .replace("looks-a-name-up", "asks")
        .replace("0.1.0", "1.0.0")
        .replace("source = \"directory\"\n", "");
    fs::write(ws.join(NAME), format!("{text}{}", text.replace("\"asks\"", "\"gone\""))).unwrap();
    let run = |at: &Path, args: &[&str]| {
        let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
        command.env("CARGO_HOME", registry.home()).current_dir(at).args(["lock", "--format=json"]).args(args);
        command.output().unwrap()
    };
    let own = run(&ws, &[]);
    let value = json(&own);
    assert_eq!((code(&own), &value["decisions"]["hidden"]), (0, &1.into()), "{value:#}");
    assert_eq!(value["decisions"]["entries"][1]["fate"], "unused");
    assert_eq!(value["lock"]["ignored"], serde_json::json!([]));
    // From elsewhere it is a stranger's.
    let foreign = run(home.path(), &["ws"]);
    let value = json(&foreign);
    assert_eq!((code(&foreign), value.get("decisions")), (11, None), "{value:#}");
    assert!(value["lock"]["ignored"][0].as_str().unwrap().contains(NAME));
}
