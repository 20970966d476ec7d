//! What is wrong is said before anything runs, by name, and with what to do.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Ends with 2 and nothing on standard output. The words, with lines that were broken for the terminal put together.
fn refused(output: &Output) -> String {
    let said = stderr(output).replace("\n  ", " ");
    assert_eq!((code(output), stdout(output).as_str()), (2, ""), "{said}");
    said
}

#[test]
fn a_report_that_cannot_be_written_is_known_before_the_build() {
    let home = Home::new();
    let dir = runs::package(&home, "broken", "this is not Rust");
    for file in ["no/such/a.json", "broken", "broken/Cargo.toml/a.json"] {
        let output = home.run([OsStr::new("--offline"), format!("--output=json={file}").as_ref(), dir.as_os_str()]);
        let said = refused(&output);
        assert!(said.starts_with(&format!("error: --output json={file}: ")), "{said}");
        assert!(said.contains("\nhint: name a file that you may write"), "{said}");
    }
    assert!(!home.files().iter().any(|file| file.contains("sandbox-check")), "{:?}", home.files());
}

#[test]
fn evidence_that_cannot_be_used_is_named_with_line_and_column() {
    let home = Home::new();
    let file = home.path().join("a.jsonl");
    fs::write(&file, "no evidence\n").unwrap();
    let said = refused(&home.run([OsStr::new("replay"), file.as_os_str()]));
    assert!(said.contains("a.jsonl: understand line 1 of the evidence: "), "{said}");
    assert!(said.contains(" at column ") && !said.contains(" at line "), "{said}");
    assert!(said.contains("hint: evidence begins with a header"), "{said}");
}

#[test]
fn a_policy_that_is_none_is_told_where_policies_are_described() {
    let home = Home::new();
    fs::write(home.path().join("bad.toml"), "bad = [").unwrap();
    let said = refused(&home.run(["--policy", "bad.toml", "./x"]));
    assert!(said.contains("bad.toml") && said.contains("\nhint: docs/policy-format.md"), "{said}");
}

#[test]
fn a_time_without_a_second_is_told_what_a_time_is() {
    for wrong in ["0", "x", "1.5"] {
        let said = refused(&Home::new().run(["--timeout", wrong, "./x"]));
        assert!(said.contains("'--timeout <SECONDS>': give whole seconds, at least 1"), "{said}");
    }
}

#[test]
fn a_name_that_is_not_utf_8_is_shown_and_told_what_to_do() {
    let home = Home::new();
    let dir = home.path().join(OsStr::from_bytes(b"b\xff"));
    fs::rename(runs::package(&home, "plain", "fn main() {}"), &dir).unwrap();
    let said = refused(&home.run([OsStr::new("--offline"), OsStr::from_bytes(b"./b\xff")]));
    assert!(said.contains("./b\\xff") && said.contains("\nhint: "), "{said}");
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    let said = refused(&command.current_dir(&dir).args(["--offline", "./"]).output().unwrap());
    assert!(said.contains("is not UTF-8") && said.contains("\nhint: "), "{said}");
}

/// A toolchain whose compiler lies there and does not start.
#[test]
fn a_compiler_that_does_not_start_is_damage_and_not_an_absent_one() {
    let home = Home::new();
    let rustc = home.path().join("rustc");
    fs::create_dir_all(home.path().join("bin")).unwrap();
    fs::write(home.path().join("bin/cargo"), "").unwrap();
    fs::write(home.path().join("bin/rustc"), "").unwrap();
    fs::write(&rustc, format!("#!/bin/sh\necho {}\n", home.path().display())).unwrap();
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    let said = refused(&command.env("PATH", home.path()).args(["--offline", "./x"]).output().unwrap());
    assert!(said.contains("bin/rustc`: Permission denied"), "{said}");
    assert!(said.contains("hint: its files are damaged or not to be run"), "{said}");
}

/// rustup prints one where the user wants one of other programs.
#[test]
fn an_absent_toolchain_is_told_without_a_backtrace() {
    let home = Home::new();
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    command.env("RUST_BACKTRACE", "1").args(["--toolchain", "nightly-2015-01-01", "./x"]);
    let said = refused(&command.output().unwrap());
    assert!(said.contains("nightly-2015-01-01") && !said.to_lowercase().contains("backtrace"), "{said}");
}

/// A distribution's compiler takes no notice of rustup's variable, and would be used in the place of the one that was named.
#[test]
fn a_toolchain_is_not_chosen_where_rustc_is_not_rustups() {
    let home = Home::new();
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap().stdout;
    let own = format!("{}/bin", String::from_utf8(sysroot).unwrap().trim());
    let path = format!("{own}:{}", std::env::var("PATH").unwrap());
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    let said = refused(&command.env("PATH", path).args(["--toolchain", "1.70.0", "./x"]).output().unwrap());
    assert!(said.contains("`1.70.0`: the `rustc` here is not rustup's"), "{said}");
}
