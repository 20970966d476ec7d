//! What an installation brings beside the program.

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
