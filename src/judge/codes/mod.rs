//! The finding codes, one file each: what they mean, and the rule that finds them.
//!
//! To add a code, add a file with a `pub(crate) const CODE` and name it in [`ALL`].

use super::context::Context;
use super::finding::Draft;
use crate::policy::Severity;

/// A rule looks at everything and hands in drafts.
pub(crate) type Rule = fn(&Context<'_>, &mut Vec<Draft>);

/// A finding code and its documentation.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// Kebab-case, stable for ever.
    pub name: &'static str,
    /// The severities that it may have, in words.
    pub severity: &'static str,
    /// ATT&CK techniques.
    pub attack: &'static [&'static str],
    /// What was seen.
    pub meaning: &'static str,
    /// When honest packages do it.
    pub honest: &'static str,
    /// What a reader should do.
    pub action: &'static str,
    pub(crate) rule: Rule,
}

macro_rules! codes {
    ($($file:ident),* $(,)?) => {
        $(mod $file;)*
        /// All codes, sorted by name.
        pub const ALL: &[Code] = &[$($file::CODE),*];
    };
}

codes!(
    advisory,
    artifact_tamper,
    blinding,
    checksum_mismatch,
    config_read,
    consumer_read,
    credential_probe,
    credential_read,
    dns_query,
    dormant_release,
    embedded_cargo_config,
    evidence_forgery,
    exec_dropped_file,
    fileless_exec,
    forbidden_syscall,
    foreign_abi,
    fresh_dependency,
    fresh_release,
    host_read,
    known_malicious,
    left_running,
    look_alike_name,
    macro_output,
    mass_delete,
    mass_read,
    network_connect,
    network_listen,
    odd_archive,
    persistence_write,
    process_interference,
    process_read,
    release_change,
    resource_limit,
    source_write,
    suspicious_directive,
    unexpected_exec,
    unix_socket,
    unknown_name,
    unsafe_archive,
    unusual_socket,
    write_outside,
    yanked,
    yanked_lure,
);

/// The code of this name.
pub fn find(name: &str) -> Option<&'static Code> {
    ALL.iter().find(|code| code.name == name)
}

/// Adds a draft that could be made.
pub(crate) fn push(out: &mut Vec<Draft>, draft: Option<Draft>) {
    out.extend(draft);
}

/// Findings that a fact of this name causes.
pub(crate) fn from_facts(cx: &Context<'_>, code: &Code, severity: fn(&str) -> Severity, out: &mut Vec<Draft>) {
    for line in &cx.log.lines {
        let crate::evidence::Line::Fact(fact) = line else { continue };
        if fact.code != code.name {
            continue;
        }
        let subject = fact.path.clone().unwrap_or_else(|| fact.package.to_string().into());
        let mut object =
            fact.data.clone().filter(serde_json::Value::is_object).unwrap_or_else(|| serde_json::json!({}));
        if let (Some(object), Some(path)) = (object.as_object_mut(), &fact.path) {
            object.insert("path".to_owned(), serde_json::json!(path));
        }
        out.push(
            Draft::of_package(&fact.package, code.name, severity(&fact.text))
                .about(subject, object)
                .says(crate::evidence::Bytes::from(fact.text.as_str()).to_string())
                .attack(code.attack),
        );
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! What a log leads to, in short words.

    use crate::evidence::EvidenceLog;
    use crate::evidence::testing::{LogBuilder, UnitBuilder};
    use crate::judge::judge;
    use crate::policy::Policy;

    /// Each finding as `code severity subject`.
    pub(crate) fn found(log: &EvidenceLog) -> Vec<String> {
        let judgement = judge(log, &Policy::shipped());
        judgement
            .packages
            .iter()
            .flat_map(|p| &p.findings)
            .map(|f| format!("{} {} {}", f.code, f.severity, f.subject))
            .collect()
    }

    /// What a build script that does this leads to.
    pub(crate) fn script(tell: impl FnOnce(UnitBuilder) -> UnitBuilder) -> Vec<String> {
        found(&LogBuilder::new().build_script("u", tell).log())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_kebab_case_and_sorted() {
        let names: Vec<_> = ALL.iter().map(|code| code.name).collect();
        let unique: BTreeSet<_> = names.iter().copied().collect();
        assert_eq!(names, unique.into_iter().collect::<Vec<_>>());
        for name in names {
            assert!(name.split('-').all(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase())), "{name}");
        }
    }

    #[test]
    fn every_code_is_explained_in_whole_sentences() {
        for code in ALL {
            for text in [code.meaning, code.honest, code.action] {
                assert!(text.ends_with('.') && text.len() > 20, "{}: {text}", code.name);
            }
            assert!(code.attack.iter().all(|id| id.starts_with('T')), "{}", code.name);
        }
    }

    #[test]
    fn an_exception_of_the_policy_names_a_code_that_exists() {
        for rule in &crate::policy::Policy::shipped().exceptions {
            assert!(find(&rule.code).is_some(), "{}", rule.code);
        }
    }
}
