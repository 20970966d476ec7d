//! What an installation brings beside the program.

use std::path::Path;

use super::{Home, stdout};

#[test]
fn completions_know_the_options_in_every_shell() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = home.run(["completions", shell]);
        assert!(ran.status.success(), "{shell}");
        let text = stdout(&ran);
        assert!(text.contains("fail-on") && text.contains("replay"), "{shell}: {text}");
    }
    assert_eq!(home.run(["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn the_man_page_has_every_option_of_the_help() {
    let home = Home::new();
    // In roff a hyphen of an option is escaped.
    let page = stdout(&home.run(["man"])).replace("\\-", "-");
    let help = stdout(&home.run(["--help"]));
    let options = help.split_whitespace().filter(|word| word.starts_with("--"));
    let options: Vec<_> = options.map(|word| word.trim_end_matches(|end: char| !end.is_ascii_alphanumeric())).collect();
    assert!(options.len() > 20, "{options:?}");
    for option in options {
        assert!(page.contains(option), "{option} is not in the page");
    }
}

#[test]
fn the_release_script_takes_no_option_for_a_folder() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/release");
    for wrong in [&["--help"][..], &["one", "two"], &[""]] {
        let ran = std::process::Command::new(&script).args(wrong).output().unwrap();
        assert_eq!(
            (ran.status.code(), &*ran.stderr),
            (Some(2), &b"usage: scripts/release [FOLDER]\n"[..]),
            "{wrong:?}"
        );
    }
}

#[test]
fn binstall_looks_for_the_archive_that_a_release_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let about = &manifest["package"]["metadata"]["binstall"];
    let (version, target) = (env!("CARGO_PKG_VERSION"), "x86_64-unknown-linux-gnu");
    let filled = |template: &str, bin: &str| {
        let words =
            [("name", "sandbox-check"), ("version", version), ("target", target), ("bin", bin), ("binary-ext", "")];
        words.iter().fold(about[template].as_str().unwrap().to_owned(), |text, (word, value)| {
            text.replace(&format!("{{ {word} }}"), value)
        })
    };
    let script = std::fs::read_to_string(root.join("scripts/release")).unwrap();
    let of_script = |name: &str| {
        let line = script.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap();
        line.replace("$version", version).replace("$target", target)
    };
    assert_eq!(of_script("target"), target);
    let name = of_script("name");
    assert_eq!(filled("pkg-url", "").rsplit('/').next(), Some(format!("{name}.tar.gz").as_str()));
    assert!(script.contains("\"$into/$name.tar.gz\"") && about["pkg-fmt"].as_str() == Some("tgz"));
    for bin in ["sandbox-check", "cargo-sandbox-check"] {
        assert_eq!(filled("bin-dir", bin), format!("{name}/{bin}"));
        assert!(script.contains(&format!("\"$built/{bin}\"")), "{bin}");
    }
    // A placeholder that nobody fills would be looked for as it stands; only a repository can fill this one.
    assert!(filled("pkg-url", "").starts_with("{ repo }/releases/download/"));
}
