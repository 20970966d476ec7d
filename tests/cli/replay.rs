//! Recorded evidence, judged again: the same report, or a clear word about what is wrong with the file.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::*;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/evidence-v1").join(name)
}

/// A log of version 2: that of a fixture, with its links.
fn sealed(home: &Home) -> PathBuf {
    let old = fs::read_to_string(recorded("reads-ssh-key.jsonl")).unwrap();
    let (mut text, mut link) = (String::new(), vec![0; 16]);
    for line in old.lines() {
        let mut body = line.strip_suffix('}').unwrap().replacen("\"version\":1,", "\"version\":2,", 1);
        if let Some((before, _)) = body.split_once("\"sha256\":").filter(|_| body.contains("\"line\":\"totals\"")) {
            body = format!("{before}\"sha256\":\"sha256:{}\"", hex(&Sha256::digest(&text)));
        }
        link.extend_from_slice(body.as_bytes());
        link = Sha256::digest(&link)[..16].to_vec();
        writeln!(text, "{body},\"chain\":\"{}\"}}", hex(&link)).unwrap();
    }
    let path = home.path().join("evidence.jsonl");
    fs::write(&path, text).unwrap();
    path
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn replay(home: &Home, args: &[&str], evidence: &Path) -> Output {
    let args = ["replay"].iter().chain(args).map(OsStr::new);
    home.run(args.chain([evidence.as_os_str()]))
}

/// Holds what is said in both forms, and returns the message.
#[track_caller]
fn refused(home: &Home, evidence: &Path, exit: i32, name: &str) -> String {
    let human = replay(home, &[], evidence);
    assert_eq!((code(&human), stdout(&human).as_str()), (exit, ""), "{}", stderr(&human));
    assert!(stderr(&human).starts_with("error: ") && stderr(&human).contains("\nhint: "), "{}", stderr(&human));
    let programs = replay(home, &["--format=json"], evidence);
    assert_eq!((code(&programs), stderr(&programs).as_str()), (exit, ""));
    let value = json(&programs);
    assert_eq!(value["error"]["code"], name);
    assert!(value["error"]["hint"].is_string());
    value["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn evidence_of_every_version_is_judged_as_when_it_was_recorded() {
    let home = Home::new();
    let cases = [
        ("reads-ssh-key.jsonl", 10, "fail", "complete", "complete", &[("credential-read", "high", 1)][..]),
        ("looks-a-name-up.jsonl", 11, "review", "incomplete", "complete", &[("dns-query", "medium", 2)]),
        ("runs-a-shell.jsonl", 0, "pass", "complete", "complete", &[("unexpected-exec", "low", 3)]),
        ("cut-off.jsonl", 10, "fail", "incomplete", "killed", &[("credential-read", "high", 5)]),
    ];
    for (name, exit, verdict, completeness, integrity, findings) in cases {
        let output = replay(&home, &["--format=json"], &recorded(name));
        let value = json(&output);
        assert_eq!(code(&output), exit, "{name}: {value}");
        assert_eq!((&value["verdict"], &value["completeness"]["status"]), (&verdict.into(), &completeness.into()));
        assert_eq!(value["evidence"]["integrity"], integrity, "{name}");
        let all = value["packages"][0]["findings"].as_array().unwrap();
        let found: Vec<_> = all
            .iter()
            .map(|f| (f["code"].as_str().unwrap(), f["severity"].as_str().unwrap(), f["count"].as_u64().unwrap()))
            .collect();
        assert_eq!(found, findings, "{name}");
    }
    let new = json(&replay(&home, &["--format=json"], &sealed(&home)));
    assert_eq!((&new["verdict"], &new["evidence"]["integrity"]), (&"fail".into(), &"complete".into()));
}

/// Nothing is needed but the file, and nothing is written.
#[test]
fn a_replay_needs_no_toolchain_no_home_and_no_place_to_write() {
    let home = Home::new();
    let evidence = sealed(&home);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-check"));
    command.env_clear().current_dir("/").args(["replay", "--quiet"]).arg(&evidence);
    let output = command.output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (10, String::new()));
    assert!(stdout(&output).starts_with("FAIL  reads-ssh-key 0.1.0\n"), "{}", stdout(&output));
    assert_eq!(home.files(), ["evidence.jsonl"]);
}

#[test]
fn a_report_names_its_evidence_in_the_same_way_however_it_was_given() {
    let home = Home::new();
    let evidence = sealed(&home);
    let absolute = stdout(&replay(&home, &["--format=json"], &evidence));
    assert_eq!(stdout(&replay(&home, &["--format=json"], Path::new("./evidence.jsonl"))), absolute);
    let value: Value = serde_json::from_str(&absolute).unwrap();
    assert_eq!(value["evidence"]["path"].as_str().map(Path::new), Some(fs::canonicalize(evidence).unwrap().as_path()));
}

/// A replay that also writes its report for people and for machines.
fn to_files(home: &Home, [human, json]: [&Path; 2], more: &[&str], evidence: &Path) -> Output {
    let outputs = [format!("--output=human={}", human.display()), format!("--output=json={}", json.display())];
    let args: Vec<&str> = outputs.iter().map(String::as_str).chain(more.iter().copied()).collect();
    replay(home, &args, evidence)
}

#[test]
fn reports_go_to_files_and_the_threshold_moves_as_in_a_run() {
    let home = Home::new();
    let evidence = sealed(&home);
    let (one, other) = (home.path().join("a.txt"), home.path().join("b.json"));
    let output = to_files(&home, [&one, &other], &["--fail-on=critical", "--color=always"], &evidence);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains('\u{1b}'));
    assert_eq!(fs::read_to_string(one).unwrap(), stdout(&replay(&home, &[], &evidence)));
    assert_eq!(fs::read_to_string(other).unwrap(), stdout(&replay(&home, &["--format=json"], &evidence)));
}

#[test]
fn a_file_that_cannot_be_written_costs_nobody_the_other_reports() {
    let home = Home::new();
    let evidence = sealed(&home);
    let (lost, kept) = (Path::new("/dev/full"), home.path().join("b.json"));
    let output = to_files(&home, [lost, &kept], &[], &evidence);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("/dev/full: No space left"), "{}", stderr(&output));
    assert_eq!(stdout(&output), stdout(&replay(&home, &[], &evidence)));
    assert_eq!(fs::read_to_string(kept).unwrap(), stdout(&replay(&home, &["--format=json"], &evidence)));
    let lost = format!("--output=human={}", lost.display());
    let programs = json(&replay(&home, &["--format=json", &lost], &evidence));
    assert_eq!(programs["error"]["code"], "internal");
    assert!(programs["verdict"].is_string(), "{programs}");
}

#[test]
fn a_report_that_standard_output_does_not_take_is_not_lost_in_silence() {
    let home = Home::new();
    let evidence = sealed(&home);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    let output = command.arg("replay").arg(&evidence).stdout(full).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("failed to write to standard output: "), "{}", stderr(&output));
}

#[test]
fn another_policy_than_that_of_the_run_is_named_in_both_forms() {
    let home = Home::new();
    let dir = runs::package(&home, "curious", "fn main() { let _ = std::fs::read(\"/home/dev/.ssh/id_ed25519\"); }");
    let run = home.run([OsStr::new("--offline"), OsStr::new("--format=json"), dir.as_os_str()]);
    let value = json(&run);
    assert!(value["rejudged"].is_null(), "{value}");
    let evidence = PathBuf::from(value["evidence"]["path"].as_str().unwrap());
    assert_eq!(stdout(&replay(&home, &["--format=json"], &evidence)), stdout(&run));

    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/default.toml");
    let text = fs::read_to_string(shipped).unwrap();
    let policy = home.path().join("mine.toml");
    fs::write(&policy, text.replacen("name = \"default\"", "name = \"mine\"", 1)).unwrap();
    let args = ["--policy", policy.to_str().unwrap()];
    let again = json(&replay(&home, &[&args[..], &["--format=json"]].concat(), &evidence));
    assert_eq!((&again["policy"], &again["rejudged"]["judged"]["name"]), (&"mine".into(), &"mine".into()));
    let recorded = &again["rejudged"]["recorded"];
    assert_eq!(recorded["name"], "default");
    assert_eq!(recorded["sha256"], format!("sha256:{}", hex(&Sha256::digest(&text))));
    let human = stdout(&replay(&home, &args, &evidence));
    assert!(human.replace('\n', " ").contains("judged by another policy than that of the run: mine ("), "{human}");
    assert_eq!(code(&replay(&home, &["--policy", "/no/such/file"], &evidence)), 2);
}

#[test]
fn damage_ends_with_2_and_the_line_is_named() {
    let home = Home::new();
    let evidence = sealed(&home);
    let text = fs::read_to_string(&evidence).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let without = |gone: usize| {
        let left = lines.iter().enumerate().filter(|(at, _)| *at != gone);
        left.flat_map(|(_, line)| [*line, "\n"]).collect::<String>()
    };
    for (damage, line) in [
        (text.replacen("id_ed25519\"", "id_ed25518\"", 1), 1),
        (text.replacen("\"package\":\"reads-ssh-key@0.1.0\",\"via\"", "\"package\":null,\"via\"", 1), 0),
        (without(5), 6),
        (without(0), 1),
        (text.clone() + lines[7] + "\n", lines.len() + 1),
    ] {
        fs::write(&evidence, damage).unwrap();
        let message = refused(&home, &evidence, 2, "usage");
        assert!(message.contains("damaged or was edited"), "{message}");
        assert!(line == 0 || message.contains(&format!("line {line} ")), "{message}");
    }
    fs::write(&evidence, "").unwrap();
    assert!(refused(&home, &evidence, 2, "usage").contains("header"));
    fs::write(&evidence, &text[..text.len() - 100]).unwrap();
    let cut = json(&replay(&home, &["--format=json"], &evidence));
    assert_eq!(
        (&cut["evidence"]["integrity"], &cut["completeness"]["status"]),
        (&"killed".into(), &"incomplete".into())
    );
}

#[test]
fn what_is_no_file_is_said_to_be_none() {
    let home = Home::new();
    let evidence = sealed(&home);
    let at = |name: &str| home.path().join(name);
    assert!(refused(&home, &at("nowhere.jsonl"), 3, "not-found").contains("nowhere.jsonl"));
    symlink(&evidence, at("link")).unwrap();
    assert!(refused(&home, &at("link"), 2, "usage").contains("a symbolic link"));
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refused(&home, &at("fifo"), 2, "usage").contains("a pipe"));
    assert!(refused(&home, home.path(), 2, "usage").contains("a directory"));
    let nothing = home.run(["replay", "--format", "json"]);
    assert_eq!((code(&nothing), &json(&nothing)["error"]["code"]), (2, &"usage".into()));
}

/// A gigabyte without a line end, and a line that quotes its writer, in 300 MB of address space.
#[test]
fn a_hostile_file_costs_no_more_than_a_line() {
    let home = Home::new();
    let evidence = sealed(&home);
    let first = fs::read_to_string(&evidence).unwrap().lines().next().unwrap().to_owned() + "\n";
    let mut file = fs::File::create(&evidence).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    file.set_len(1 << 30).unwrap();
    let start = std::time::Instant::now();
    let mut command = home.command("sh");
    command.args(["-c", "ulimit -v 300000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_sandbox-check"), "replay"]);
    let output = command.arg(&evidence).output().unwrap();
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("line 2") && stderr(&output).contains("longer than"), "{}", stderr(&output));
    assert!(start.elapsed() < Duration::from_secs(10));

    let header = fs::read_to_string(recorded("reads-ssh-key.jsonl")).unwrap().lines().next().unwrap().to_owned();
    let bad = "\u{202e}\u{9b}31m".repeat(100_000);
    fs::write(&evidence, format!("{header}\n{{\"line\":\"{bad}\"}}\n")).unwrap();
    for output in [replay(&home, &[], &evidence), replay(&home, &["--format=json"], &evidence)] {
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 2);
        assert!(text.len() < 20_000 && !text.contains(['\u{202e}', '\u{9b}']), "{text}");
    }
}

/// The script of docs/evidence-format.md, as it stands there.
#[test]
fn the_documented_script_verifies_a_log_and_finds_damage() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var("SANDBOX_CHECK_MUST_RUN").map_or(true, |value| value != "1"), "there is no python3");
        return;
    }
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evidence-format.md")).unwrap();
    let script = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let home = Home::new();
    let evidence = sealed(&home);
    let check = || home.command("python3").args(["-c", script]).arg(&evidence).output().unwrap();
    let good = check();
    assert_eq!((code(&good), stdout(&good).as_str()), (0, "60 lines, none damaged\n"), "{}", stderr(&good));
    let damaged = fs::read_to_string(&evidence).unwrap().replacen("\"seq\":9,", "\"seq\":8,", 1);
    fs::write(&evidence, &damaged).unwrap();
    let line = damaged.lines().position(|line| line.contains("\"t\"") && line.contains("\"seq\":8,")).unwrap() + 2;
    let found = check();
    assert_eq!(code(&found), 1);
    assert!(stderr(&found).contains(&format!("line {line} is damaged")), "{}", stderr(&found));
}
