//! What a build is given: by the command line, by the configuration file, and what the doctor says is missing.

use super::runs::package;
use super::*;

const PRINTS_ITS_GIFT: &str = r#"fn main() { println!("cargo::warning=gift {}", std::env::var("GIFT").unwrap()); }"#;

fn configure(home: &Home, file: &str, text: &str) {
    let path = home.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn given(value: &Value) -> Vec<&str> {
    value["given"].as_array().unwrap().iter().map(|given| given.as_str().unwrap()).collect()
}

#[test]
fn what_the_configuration_gives_stands_in_the_report_and_what_was_typed_wins() {
    let home = Home::new();
    let dir = package(&home, "gift", PRINTS_ITS_GIFT);
    let config = "env = [\"GIFT=filed\"]\nread = [\"libs\"]\nlimit = [\"cpu=700\"]\n";
    configure(&home, ".config/sandbox-check/config.toml", config);
    fs::create_dir(home.path().join(".config/sandbox-check/libs")).unwrap();
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    let output = command.args(["--format=json", "--offline", "--env", "GIFT=typed"]).arg(&dir).output().unwrap();
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let value = json(&output);
    let folder = fs::canonicalize(home.path().join(".config/sandbox-check")).unwrap();
    let expected = [
        "env GIFT".to_owned(),
        format!("read {}", folder.join("libs").display()),
        "limit cpu 700 s".to_owned(),
        format!("configuration {}", home.path().join(".config/sandbox-check/config.toml").display()),
    ];
    assert_eq!(given(&value), expected);
}

#[test]
fn what_is_let_in_by_way_of_a_link_is_there_under_both_names() {
    let home = Home::new();
    let script = r#"fn main() { println!("cargo::warning={}", std::fs::read_to_string(std::env::var("GIFT").unwrap()).unwrap()); }"#;
    let dir = package(&home, "gift", script);
    let folder = fs::canonicalize(home.path()).unwrap();
    fs::create_dir(folder.join("lib-1.2")).unwrap();
    fs::write(folder.join("lib-1.2/version"), "1.2").unwrap();
    std::os::unix::fs::symlink("lib-1.2", folder.join("lib")).unwrap();
    for name in ["lib", "lib-1.2"] {
        let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
        command.args(["--format=json", "--offline", "--fresh", "--read"]).arg(folder.join("lib")).arg("--env");
        let gift = format!("GIFT={}", folder.join(name).join("version").display());
        let output = command.arg(gift).arg(&dir).output().unwrap();
        assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
        let both = format!("read {0}-1.2, also as {0}", folder.join("lib").display());
        assert!(given(&json(&output)).contains(&both.as_str()), "{}", stdout(&output));
    }
}

#[test]
fn nothing_of_the_target_or_the_working_directory_is_configuration() {
    let home = Home::new();
    let dir = package(&home, "gift", "fn main() {}");
    for folder in ["", ".config/", "sandbox-check/", ".sandbox-check/"] {
        for file in ["config.toml", "sandbox-check.toml"] {
            let path = dir.join(folder).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "env = [\"GIFT=planted\"]\n").unwrap();
        }
    }
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    let output = command.current_dir(&dir).args(["--format=json", "--offline", "."]).output().unwrap();
    assert_eq!(given(&json(&output)), [""; 0], "{}", stdout(&output));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_file_and_line() {
    let home = Home::new();
    for (text, says) in [
        ("\nenvironment = []\n", "line 2"),
        ("env = [\n  \"GITHUB_TOKEN=x\",\n]\n", "config.toml:2: --env GITHUB_TOKEN"),
        ("read = [\"/no/such\"]\n", "config.toml:1: --read /no/such"),
        ("limit = [\"memory=much\"]\n", "config.toml:1: --limit memory=much"),
    ] {
        configure(&home, "mine/config.toml", text);
        let output = home.run(["--config", "mine/config.toml", "--offline", "./x"]);
        assert_eq!(code(&output), 2, "{text}");
        assert!(stderr(&output).replace("\n  ", " ").contains(says), "{text}: {}", stderr(&output));
    }
    assert_eq!(code(&home.run(["--config", "none.toml", "./x"])), 2, "a file that was named must be there");
}

/// Nothing of the user's cargo counts, neither variables nor settings: the build is the same on each machine.
#[test]
fn the_users_flags_and_jobs_do_not_reach_the_build_unless_they_are_given() {
    let home = Home::new();
    let build = r#"fn main() {
        let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
        println!("cargo::metadata=flags={flags}");
        std::process::exit(if flags == "--cfg=given" { 7 } else { i32::from(!flags.is_empty()) });
    }"#;
    let dir = package(&home, "flags", build);
    let settings = "[build]\nrustflags = [\"--cfg=filed\"]\njobs = 9\n";
    configure(&home, ".cargo/config.toml", settings);
    let run = |more: &[&str]| {
        let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
        command.env("RUSTFLAGS", "--cfg=typed").env("CARGO_BUILD_JOBS", "9");
        command.args(["--format=json", "--offline"]).args(more).arg(&dir).output().unwrap()
    };
    let value = json(&run(&[]));
    assert_eq!((&value["verdict"], given(&value)), (&"pass".into(), vec![]), "{value}");
    let value = json(&run(&["--env", "RUSTFLAGS=--cfg=given", "--jobs", "1"]));
    let text = &value["completeness"]["reasons"][0]["text"];
    assert_eq!((text, given(&value)), (&"the build script failed with exit status 7".into(), vec!["env RUSTFLAGS"]));
    let plan: Value = serde_json::from_slice(&run(&["--print-plan", "--jobs", "1"]).stdout).unwrap();
    let args: Vec<_> = plan["cargo"]["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(args.windows(2).any(|pair| pair == ["--jobs", "1"]), "{args:?}");
}

#[test]
fn the_doctor_proves_the_layers_and_leaves_nothing() {
    let home = Home::new();
    let output = home.run(["doctor", "--format", "json"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["format"], "sandbox-check-doctor");
    let layers = told["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 8);
    assert!(layers.iter().all(|layer| layer["status"] == "full"), "{told}");
    let output = home.run(["doctor"]);
    assert!(stdout(&output).contains("\nAll layers hold"), "{}", stdout(&output));
    assert!(!home.files().iter().any(|file| file.contains(".jsonl") || file.contains("/run-")), "{:?}", home.files());
}

#[test]
fn the_doctor_names_the_packages_of_what_a_target_asked_for_in_vain() {
    let home = Home::new();
    let build = r#"fn main() {
        let _ = std::process::Command::new("absent-config").status();
        panic!("Unable to find libclang; No package 'absent-module' found");
    }"#;
    let dir = package(&home, "bound", build);
    let output = home.run([OsStr::new("doctor"), "--offline".as_ref(), "--for".as_ref(), dir.as_os_str()]);
    assert_eq!(code(&output), 5, "{}{}", stdout(&output), stderr(&output));
    let said = stdout(&output);
    for line in [
        "bound 1.0.0: not all ran",
        "missing: pkg-config module absent-module, library clang",
        "  apt install libclang-dev",
        "  dnf install clang-devel",
        "  nix-shell -p libclang",
        "no package is known here for: pkg-config module absent-module",
        "looked for as well, and not found: program absent-config",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
}
