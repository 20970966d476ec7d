//! `ignore add` and `accept`: decisions from evidence, as a difference, written when that is wanted.

use super::*;

const NAME: &str = "sandbox-check.toml";

fn evidence(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/evidence-v1").join(name).display().to_string()
}

impl Home {
    fn propose(&self, args: &[&str]) -> Output {
        self.run(args.iter().chain(&["--reason", "It asks for its model.", "--expires", "90d"]))
    }

    fn decided(&self) -> Option<String> {
        fs::read_to_string(self.path().join(NAME)).ok()
    }
}

#[test]
fn an_ignore_is_a_difference_first_and_hides_what_it_names_when_it_is_written() {
    let home = Home::new();
    let asks = evidence("looks-a-name-up.jsonl");
    let args = ["ignore", "add", "looks-a-name-up", "--evidence", &asks];
    let shown = home.propose(&args);
    let text = stdout(&shown);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert!(text.starts_with("--- /dev/null\n+++ b/sandbox-check.toml\n"), "{text}");
    for line in [
        "+[[ignore]]",
        "+package = \"looks-a-name-up\"",
        "+version = \"0.1.0\"",
        "+source = \"directory\"",
        "+severity = \"medium\"",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}: {text}");
    }
    assert_eq!(home.decided(), None, "nothing was asked to be written");
    let replay = || home.run(["replay", "--format=json", &asks]);
    assert_eq!(code(&replay()), 11);
    assert_eq!(stdout(&home.propose(&[&args[..], &["--write"]].concat())), text);
    let after = replay();
    // Lost evidence is nothing that can be accepted.
    assert_eq!((code(&after), &json(&after)["verdict"]), (5, &"inconclusive".into()), "{}", stdout(&after));
    // What is decided is not proposed again.
    assert_eq!(code(&home.propose(&args)), 3);
}

#[test]
fn a_decision_can_be_renewed_from_the_day_on_that_its_end_is_warned_of() {
    for command in [&["ignore", "add"][..], &["accept"]] {
        let home = Home::new();
        let asks = evidence("looks-a-name-up.jsonl");
        let args = [command, &["looks-a-name-up", "--evidence", &asks]].concat();
        let decided =
            |days: &str| code(&home.run([&args[..], &["--write", "--reason", "Ours.", "--expires", days]].concat()));
        assert_eq!(decided("15d"), 0);
        assert_eq!(code(&home.propose(&args)), 3, "it is not yet time");
        fs::remove_file(home.path().join(NAME)).unwrap();
        assert_eq!(decided("14d"), 0);
        let renewed = home.propose(&args);
        assert_eq!(code(&renewed), 0, "{}", stderr(&renewed));
        let text = stdout(&renewed);
        assert!(text.contains("-reason = \"Ours.\"") && !text.contains("+package"), "{text}");
    }
}

#[test]
fn what_stands_in_the_file_stays_and_only_what_was_meant_is_added() {
    let home = Home::new();
    let before = "# Ours.\n\n[[ignore]] # an old one\npackage = 'x'\nversion = '1.0.0'\ncode = 'dns-query'\nobject = 'y'\nreason = 'z'\nexpires = 2099-01-01\n";
    fs::write(home.path().join(NAME), before).unwrap();
    let shell = evidence("runs-a-shell.jsonl");
    // Low findings count for nothing, so they are to be named.
    assert_eq!(code(&home.propose(&["accept", "runs-a-shell", "--evidence", &shell])), 3);
    let args = ["ignore", "add", "runs-a-shell@0.1.0", "--code", "unexpected-exec", "--evidence", &shell, "--write"];
    let output = home.propose(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let after = home.decided().unwrap();
    assert!(after.starts_with(before) && after.matches("[[ignore]]").count() == 2, "{after}");
    let removed = |line: &&str| line.starts_with('-') && !line.starts_with("---");
    assert_eq!(stdout(&output).lines().filter(removed).count(), 0, "{}", stdout(&output));
    for (wrong, exit) in [
        (&["--object", "no such"][..], 3),
        (&["--code", "dns-querry"], 2),
        (&["--code", "known-malicious"], 2),
        (&["--config", "/no/such/folder/f.toml", "--write"], 1),
    ] {
        let args = [&["ignore", "add", "runs-a-shell", "--evidence", &shell], wrong].concat();
        let args = if exit == 1 { [&args[..], &["--code", "unexpected-exec"]].concat() } else { args };
        let output = home.propose(&args);
        assert_eq!(code(&output), exit, "{wrong:?}: {}{}", stdout(&output), stderr(&output));
    }
    assert_eq!(home.decided().unwrap(), after);
}

#[test]
fn a_reason_and_an_end_are_asked_for() {
    let home = Home::new();
    let asks = evidence("looks-a-name-up.jsonl");
    let base = ["accept", "looks-a-name-up", "--evidence", asks.as_str(), "--write"];
    for more in [
        &["--reason", "x"][..],
        &["--expires", "90d"],
        &["--reason", " ", "--expires", "90d"],
        &["--reason", "x", "--expires", "0d"],
        &["--reason", "x", "--expires", "2020-01-01"],
        &["--reason", "x", "--expires", "soon"],
    ] {
        let output = home.run([&base[..], more].concat());
        assert_eq!((code(&output), home.decided()), (2, None), "{more:?}: {}", stdout(&output));
    }
}

#[test]
fn what_a_package_tried_in_its_last_run_is_declared_and_is_low_then() {
    let home = Home::new();
    let asks = "fn main() { let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"model.invalid\", 80)); }";
    let dir = runs::package(&home, "asks", asks);
    let check = || home.run([OsStr::new("--offline"), OsStr::new("--format=json"), dir.as_os_str()]);
    assert_eq!(code(&home.propose(&["accept", "asks"])), 3, "there is no evidence yet");
    assert_eq!(code(&check()), 11);
    let output = home.propose(&["accept", "asks@1.0.0", "--write"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("+[[expect]]") && stdout(&output).contains("+object = \"model.invalid\""));
    let after = check();
    let value = json(&after);
    assert_eq!((code(&after), &value["packages"][0]["findings"][0]["severity"]), (0, &"low".into()), "{value:#}");
}

#[test]
fn nothing_of_a_package_with_a_critical_finding_is_accepted() {
    let home = Home::new();
    let plants = "fn main() { let _ = std::fs::write(\"/home/dev/.bashrc\", \"x\"); let _ = std::fs::read(\"/home/dev/.ssh/id_ed25519\"); }";
    let dir = runs::package(&home, "plants", plants);
    assert_eq!(code(&home.run([OsStr::new("--offline"), dir.as_os_str()])), 10);
    for args in
        [&["accept", "plants", "--write"][..], &["ignore", "add", "plants", "--code", "credential-read", "--write"]]
    {
        let output = home.propose(args);
        assert_eq!((code(&output), stdout(&output).as_str(), home.decided()), (2, "", None));
        assert!(stderr(&output).contains("persistence-write is critical"), "{}", stderr(&output));
    }
}
