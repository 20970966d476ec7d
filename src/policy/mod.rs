//! What a build may do without a finding, and what makes the rest worse.
//!
//! A policy is a TOML file, read strictly: unknown keys, unknown variables,
//! double names and rules without a reason are errors that name the place.
//! `policies/README.md` describes the file.

mod bound;
mod crates;
mod file;
mod pattern;
mod severity;

pub use bound::{BoundPolicy, Place, Writer};
pub use crates::{CrateRule, Known, Versions};
pub use file::{
    ConfigRule, DirectiveRule, ExceptionRule, FactLimits, HostRule, Policy, PolicyError, ProgramRule, Role, SecretRule,
    SocketRule, StartupRule, Sweeps, WriteRule,
};
pub use pattern::{BoundPath, NamePattern, PathPattern, PatternError, SuffixPattern, VARIABLES};
pub use severity::Severity;

/// The policy that is used when the user names none.
pub const DEFAULT: &str = include_str!("../../policies/default.toml");

/// True for a variable whose name says that its value is a secret.
pub fn names_secret(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS"]
        .iter()
        .any(|word| name == *word || name.ends_with(&format!("_{word}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policy_is_valid() {
        let policy = Policy::shipped();
        assert_eq!(policy.name, "default");
        assert!(policy.programs.len() > 5);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_shows_its_line() {
        let text = DEFAULT.replacen("[[program]]", "[[program]]\nallow_all = true", 1);
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains("allow_all") && error.contains("line"), "{error}");
    }

    #[test]
    fn a_rule_without_a_reason_is_refused() {
        let text = "format = \"sandbox-check-policy\"\nversion = 1\nname = \"x\"\n[[write]]\npaths = [\"/dev/null\"]\n";
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.contains("why"), "{error}");
        let text = format!("{text}why = \"  \"\n");
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains("reason"), "{error}");
    }

    #[test]
    fn a_program_named_twice_is_refused_with_both_lines() {
        let text = format!("{DEFAULT}\n[[program]]\nrole = \"utility\"\nnames = [\"rustc\"]\nwhy = \"again\"\n");
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains("rustc") && error.contains("line"), "{error}");
    }

    #[test]
    fn a_wide_pattern_is_an_error_with_its_place() {
        let text = format!("{DEFAULT}\n[[write]]\npaths = [\"/usr/**\"]\nwhy = \"x\"\n");
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains("one level") && error.contains("line"), "{error}");
    }

    #[test]
    fn the_thresholds_of_facts_are_all_named_or_none() {
        assert_eq!(Policy::shipped().facts, FactLimits::default());
        let text = "format = \"sandbox-check-policy\"\nversion = 1\nname = \"x\"\n";
        assert_eq!(Policy::parse(text).unwrap().facts, FactLimits::default());
        let error = Policy::parse(&format!("{text}[facts]\nfresh_days = 1\n")).unwrap_err().to_string();
        assert!(error.contains("young_days"), "{error}");
    }

    #[test]
    fn another_format_or_version_is_refused() {
        let text = DEFAULT.replacen("version = 1", "version = 2", 1);
        assert!(Policy::parse(&text).unwrap_err().to_string().contains("version"));
    }

    /// Every text with a wildcard in the shipped policy: the table, how far it reaches, the text.
    fn wildcards() -> Vec<String> {
        let table: toml::Table = DEFAULT.parse().unwrap();
        let mut all = Vec::new();
        for (name, rules) in table.iter().filter_map(|(name, value)| Some((name, value.as_array()?))) {
            for (field, value) in rules.iter().filter_map(toml::Value::as_table).flatten() {
                let texts: Vec<_> = value.as_array().map_or_else(|| vec![value], |values| values.iter().collect());
                for text in texts.into_iter().filter_map(toml::Value::as_str).filter(|text| text.contains('*')) {
                    let is_text = matches!(field.as_str(), "values" | "abstract" | "subject" | "summary");
                    let reach = match field.as_str() {
                        "why" => continue,
                        "below" => "a name and all below",
                        "suffix" => "a name at any depth",
                        _ if is_text => "any text",
                        _ => "one name",
                    };
                    let literal = text.chars().filter(|c| c.is_alphanumeric()).count();
                    all.push(format!("{name}.{field}: {text}  ({reach}, {literal} letters fixed)"));
                }
            }
        }
        all.sort();
        all
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "for a person who asks with --nocapture")]
    fn every_wildcard_of_the_shipped_policy_is_known_with_its_width() {
        let all = wildcards();
        println!("{}", all.join("\n"));
        insta::assert_snapshot!(all.join("\n"));
        // What allows is bound to names; only what makes things worse, or nothing better, may be any text.
        let bare = |line: &&String| line.contains(" 0 letters fixed");
        let widest: Vec<_> = all.iter().filter(bare).collect();
        let texts = ["*", "@*"].map(|text| format!("directive.values: {text}  (any text, 0 letters fixed)"));
        assert_eq!(widest, texts.iter().collect::<Vec<_>>());
    }
}
