//! What single crates are known to try is low: by the policy, or because somebody has declared it.
//!
//! Before chains are looked for: what is expected alone may be bad together with
//! something else.

use serde_json::json;

use super::context::Context;
use super::decided::Book;
use super::finding::Draft;
use crate::evidence::line::PackageSource;
use crate::policy::{Known, Severity};

/// Lowers the findings that the policy knows of their crate, and declared behaviour. The object keeps the severity and
/// the reason.
pub(super) fn lower(cx: &Context<'_>, book: &Book<'_>, drafts: &mut [Draft]) {
    for draft in drafts {
        // What an attack alone does is never expected.
        if draft.severity <= Severity::Low || draft.severity == Severity::Critical {
            continue;
        }
        let (by, why) = match (by_policy(cx, draft), book.expected(cx, draft)) {
            (Some(why), _) => ("expected of this crate", why),
            (None, Some(entry)) => ("declared by you", entry.reason.as_str()),
            (None, None) => continue,
        };
        if let serde_json::Value::Object(object) = &mut draft.object {
            object.insert("expected".to_owned(), json!({"severity": draft.severity, "why": why}));
        }
        draft.severity = Severity::Low;
        draft.summary = format!("{} ({by}: {why})", draft.summary);
    }
}

/// Why the policy knows the finding of its crate.
fn by_policy<'a>(cx: &Context<'a>, draft: &Draft) -> Option<&'a str> {
    // A folder or a file may call itself whatever it likes.
    if cx.package(&draft.package).is_none_or(|package| package.source != PackageSource::Registry) {
        return None;
    }
    let unit = draft.unit.and_then(|unit| cx.units.0.get(&unit)).map(super::units::Unit::kind);
    let known =
        Known { package: &draft.package, code: draft.code, unit, subject: &draft.subject.0, summary: &draft.summary };
    cx.policy.crate_rule(&known).map(|rule| rule.why.get_ref().as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::evidence::line::{Fact, Line, PackageSource};
    use crate::evidence::testing::{LogBuilder, subject};
    use crate::ids::PackageId;
    use crate::judge::codes::testing::found;
    use crate::judge::judge;
    use crate::policy::{DEFAULT, Policy};

    /// One release, what it ships, and what the same crate must not ship unnoticed.
    struct Case {
        version: &'static str,
        path: &'static str,
        text: &'static str,
        others: &'static [(&'static str, &'static str)],
    }

    const CASES: &[(&str, Case)] = &[
        (
            "blake3",
            Case {
                version: "1.8.7",
                path: ".cargo/config.toml",
                text: "ships .cargo/config.toml that names a program (target.wasm32-wasip1.runner) and sets 0 other keys",
                others: &[
                    (
                        ".cargo/config.toml",
                        "ships .cargo/config.toml that names a program (build.rustc-wrapper, target.wasm32-wasip1.runner) and sets 0 other keys",
                    ),
                    (
                        ".cargo/config.toml",
                        "ships .cargo/config.toml that names a program (target.x86_64-unknown-linux-gnu.runner) and sets 0 other keys",
                    ),
                    (
                        "c/.cargo/config.toml",
                        "ships c/.cargo/config.toml that names a program (target.wasm32-wasip1.runner) and sets 0 other keys",
                    ),
                ],
            },
        ),
        (
            "curl",
            Case {
                version: "0.4.51",
                path: "ci/.cargo/config.toml",
                text: "ships ci/.cargo/config.toml that names a program (target.x86_64-pc-windows-gnu.linker) and sets 0 other keys",
                others: &[
                    (
                        "ci/.cargo/config.toml",
                        "ships ci/.cargo/config.toml that names a program (target.x86_64-unknown-linux-gnu.linker) and sets 0 other keys",
                    ),
                    (
                        ".cargo/config.toml",
                        "ships .cargo/config.toml that names a program (target.x86_64-pc-windows-gnu.linker) and sets 0 other keys",
                    ),
                ],
            },
        ),
    ];

    fn finding(id: &PackageId, source: PackageSource, path: &str, text: &str) -> Vec<String> {
        let fact = Fact { path: Some(path.into()), ..Fact::new("embedded-cargo-config", id, text) };
        let rename = |header: &mut crate::evidence::line::Header| {
            for package in header.packages.iter_mut().filter(|package| package.id == subject()) {
                package.id = id.clone();
                package.source = source;
            }
        };
        found(&LogBuilder::new().header(rename).line(Line::Fact(fact)).log())
    }

    #[test]
    fn each_entry_covers_what_its_crate_ships_and_nothing_else_of_the_same_crate() {
        let policy = Policy::shipped();
        assert!(policy.crates.len() <= 15, "the policy understands builds; entries are for the rest");
        let cases: BTreeMap<_, _> = CASES.iter().map(|(name, case)| (*name, case)).collect();
        for rule in &policy.crates {
            let case = cases.get(rule.name.as_str()).unwrap_or_else(|| panic!("no counter-case for {}", rule.name));
            let of = |severity: &str, path: &str| vec![format!("embedded-cargo-config {severity} {path}")];
            let id = PackageId::new(&rule.name, case.version);
            assert_eq!(finding(&id, PackageSource::Registry, case.path, case.text), of("low", case.path));
            for (path, text) in case.others {
                assert_eq!(finding(&id, PackageSource::Registry, path, text), of("medium", path), "{text}");
            }
            let (later, other) = (PackageId::new(&rule.name, "99.0.0"), PackageId::new("other", case.version));
            for id in [later, other] {
                assert_eq!(
                    finding(&id, PackageSource::Registry, case.path, case.text),
                    of("medium", case.path),
                    "{id}"
                );
            }
            let local = finding(&id, PackageSource::Directory, case.path, case.text);
            assert_eq!(local, of("medium", case.path), "a folder that calls itself {}", rule.name);
        }
    }

    #[test]
    fn an_expected_lookup_is_low_alone_and_high_with_a_key() {
        let entry = "[[crate]]\nname = \"subject\"\nversions = \"^1\"\ncode = \"dns-query\"\nunits = [\"run-build-script\"]\n\
                     subject = \"cdn.invalid\"\nwhy = \"It fetches its model.\"\n";
        let policy = Policy::parse(&format!("{DEFAULT}\n{entry}")).unwrap();
        let of = |key: bool, name: &str| {
            let log = LogBuilder::new().build_script("u", |u| {
                let u = u.dns(name);
                if key { u.open("/home/dev/.ssh/id_ed25519") } else { u }
            });
            let judgement = judge(&log.log(), &policy);
            let findings: Vec<_> = judgement.packages.iter().flat_map(|p| p.findings.clone()).collect();
            findings.into_iter().find(|f| f.code == "dns-query").unwrap()
        };
        let alone = of(false, "cdn.invalid");
        assert_eq!(alone.severity.to_string(), "low");
        assert_eq!(alone.object["expected"]["severity"], "medium");
        assert!(alone.summary.contains("It fetches its model."), "{}", alone.summary);
        assert_eq!(of(true, "cdn.invalid").severity.to_string(), "high");
        assert_eq!(of(false, "cdn2.invalid").severity.to_string(), "medium");
    }

    #[test]
    fn what_an_attack_alone_does_is_never_expected() {
        let entry = "[[crate]]\nname = \"subject\"\nversions = \"^1\"\ncode = \"persistence-write\"\nunits = [\"run-build-script\"]\n\
                     subject = \"*\"\nwhy = \"No.\"\n";
        let policy = Policy::parse(&format!("{DEFAULT}\n{entry}")).unwrap();
        let log = LogBuilder::new().build_script("u", |u| u.write("/home/dev/.bashrc")).log();
        let judgement = judge(&log, &policy);
        assert_eq!(judgement.worst().unwrap().to_string(), "critical");
    }
}
