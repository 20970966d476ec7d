//! The built program from outside: what it takes, what it prints where, and what it ends with.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a helper that fails ends its test")]

mod archives;
mod cache;
mod ci;
mod decisions;
mod facts;
mod given;
mod install;
mod lock;
#[expect(dead_code, unreachable_pub, reason = "the tests of the sandbox use the rest, from further up")]
#[path = "../support/processes.rs"]
mod processes;
mod propose;
mod registry;
mod replay;
mod runs;
mod second;
#[expect(dead_code, reason = "the tests of acquisition use the rest")]
#[path = "../support/registry.rs"]
mod server;
mod statement;
mod wrong;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sandbox_check::report::SCHEMA;
use serde_json::Value;

/// A home of its own for each test, so that all that is written can be seen.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let real = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        let rustup = std::env::var_os("RUSTUP_HOME").unwrap_or_else(|| real.join(".rustup").into());
        command
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("CARGO_HOME", self.path().join(".cargo"))
            .env("RUSTUP_HOME", rustup)
            .stdin(Stdio::null());
        for name in [
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_STATE_HOME",
            "XDG_DATA_HOME",
            "NO_COLOR",
            "CLICOLOR_FORCE",
            "COLUMNS",
            "SANDBOX_CHECK_FIXTURE",
        ] {
            command.env_remove(name);
        }
        command
    }

    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command(env!("CARGO_BIN_EXE_sandbox-check")).args(args).output().unwrap()
    }

    /// Every file below the home, but for what cargo and rustup keep for themselves.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(self.path()).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() && !path.is_symlink() {
                    if !name.starts_with(".cargo") {
                        folders.push(path);
                    }
                } else {
                    found.push(name);
                }
            }
        }
        found.sort();
        found
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// The one object on standard output, which must fit the schema that we ship.
fn json(output: &Output) -> Value {
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", stdout(output), stderr(output)));
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    value
}

#[test]
fn the_help_is_as_documented() {
    let output = Home::new().run(["--help"]);
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
    insta::assert_snapshot!("help", stdout(&output));
}

#[test]
fn it_tells_its_version() {
    let output = Home::new().run(["--version"]);
    assert_eq!((code(&output), stdout(&output)), (0, format!("sandbox-check {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn it_answers_as_a_command_of_cargo_s() {
    let home = Home::new();
    let program = env!("CARGO_BIN_EXE_cargo-sandbox-check");
    for args in [&["sandbox-check", "explain", "dns-query"][..], &["explain", "dns-query"]] {
        let output = home.command(program).args(args).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).starts_with("dns-query\n"), "{}", stdout(&output));
    }
}

#[test]
fn wrong_usage_ends_with_2_in_both_forms() {
    let home = Home::new();
    let wrong: [&[&str]; 12] = [
        &[],
        &["--no-such-option", "x"],
        &["one", "two"],
        &["--output", "xml=a", "./x"],
        &["--output", "json", "./x"],
        &["--env", "GITHUB_TOKEN=x", "./x"],
        &["--env", "SURELY_NOT_SET_HERE", "./x"],
        &["--read", "/", "./x"],
        &["--read", "/no/such/path", "./x"],
        &["--policy", "/no/such/file", "./x"],
        &["--timeout", "0", "./x"],
        &["--toolchain", "no-such-toolchain", "./x"],
    ];
    for args in wrong {
        let human = home.run(args);
        assert_eq!((code(&human), stdout(&human).as_str()), (2, ""), "{args:?}: {}", stderr(&human));
        assert!(stderr(&human).starts_with("error: "), "{args:?}: {}", stderr(&human));
        let programs = home.run([&["--format", "json"], args].concat());
        assert_eq!((code(&programs), stderr(&programs).as_str()), (2, ""), "{args:?}");
        let value = json(&programs);
        assert_eq!(value["error"]["code"], "usage", "{args:?}");
        assert!(value["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{args:?}");
    }
    assert_eq!(home.files(), Vec::<String>::new());
}

#[test]
fn what_is_not_there_ends_with_3_and_is_named() {
    let home = Home::new();
    for target in ["./nowhere", "./nowhere.crate", "nowhere.crate", "/no/such/folder/"] {
        let human = home.run(["--offline", target]);
        assert_eq!((code(&human), stdout(&human).as_str()), (3, ""), "{target}: {}", stderr(&human));
        assert!(stderr(&human).contains("no"), "{target}: {}", stderr(&human));
        let value = json(&home.run(["--offline", "--format=json", target]));
        assert_eq!(value["error"]["code"], "not-found", "{target}");
    }
}

#[test]
fn a_lock_file_as_target_is_told_its_command() {
    let home = Home::new();
    let lock = home.path().join("Cargo.lock");
    fs::write(&lock, "version = 4\n").unwrap();
    let output = home.run([OsStr::new("--offline"), lock.as_os_str()]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("`sandbox-check lock`"), "{}", stderr(&output));
}

#[test]
fn explain_tells_of_all_codes_of_one_and_of_the_nearest() {
    let home = Home::new();
    let all = stdout(&home.run(["explain"]));
    for code in sandbox_check::judge::codes::ALL {
        assert!(all.lines().any(|line| line.starts_with(&format!("{} ", code.name))), "{}", code.name);
    }
    let one = home.run(["explain", "credential-read"]);
    assert_eq!(code(&one), 0);
    for part in ["credential-read\n", "Severity\n", "ATT&CK\n", "What it means\n", "Honest causes\n", "What to do\n"] {
        assert!(stdout(&one).contains(part), "{part}");
    }
    let wrong = home.run(["explain", "credentials-read"]);
    assert_eq!((code(&wrong), stdout(&wrong).as_str()), (2, ""));
    assert!(stderr(&wrong).contains("did you mean credential-read"), "{}", stderr(&wrong));
    let far = stderr(&home.run(["explain", "zzzzzzzzzzzz"]));
    assert!(far.contains("hint: sandbox-check explain lists all codes"), "{far}");
}

#[test]
fn what_cannot_be_printed_is_said_to_be_so() {
    let home = Home::new();
    for args in [&["explain"][..], &["man"], &["completions", "bash"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = home.command(env!("CARGO_BIN_EXE_sandbox-check")).args(args).stdout(full).output().unwrap();
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(stderr(&output).starts_with("error: failed to write to standard output: "), "{}", stderr(&output));
    }
}

#[test]
fn colour_is_shown_when_it_is_wanted_only() {
    let home = Home::new();
    let archive = archives::hostile(home.path(), archives::Trick::Climbs);
    let colours = |args: &[&str], no_color: bool| {
        let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let output = command.args(args).arg(&archive).output().unwrap();
        assert_eq!(code(&output), 10, "{}", stderr(&output));
        stdout(&output).contains('\u{1b}')
    };
    assert!(colours(&["--color", "always"], false));
    assert!(colours(&["--color", "always"], true), "what was typed outranks the variable");
    assert!(!colours(&["--color", "never"], false));
    assert!(!colours(&[], true));
    assert!(!colours(&[], false), "a pipe is no terminal");
    assert!(!colours(&["--color", "always", "--format", "json"], false));
    let file = home.path().join("report.txt");
    let output = format!("human={}", file.display());
    colours(&["--color", "always", "--output", &output], false);
    assert!(!fs::read_to_string(file).unwrap().contains('\u{1b}'));
    // Errors go to standard error and follow the same rule.
    for (when, coloured) in [("always", true), ("never", false)] {
        let output = home.run(["--color", when, "./nowhere"]);
        assert_eq!(stderr(&output).contains('\u{1b}'), coloured, "{when}");
    }
}
