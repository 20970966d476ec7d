//! What is detected, what shows it, and what is known to get by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sandbox_check::acquire::POPULAR;
use sandbox_check::facts::Corpus;
use sandbox_check::judge::codes;

/// What is known to get by, code by code.
const GAPS: &[(&str, &str)] = &[
    ("advisory", "what nobody has told yet; packages that are not from the default registry"),
    ("artifact-tamper", "what a rustc writes into its own outputs"),
    ("blinding", "code that has seen the sandbox and stays quiet"),
    ("checksum-mismatch", "a registry whose index and archive agree on a lie"),
    ("config-read", "reads by the tool whose settings they are"),
    ("consumer-read", "manifests and the lock file, which are counted only"),
    ("credential-probe", "`stat` alone, without `--trace probes`"),
    ("credential-read", "places of secrets that the policy does not name"),
    ("dns-query", "names that are built at run time of the program"),
    ("dormant-release", "an account that was taken over while in daily use"),
    ("embedded-cargo-config", "settings in files that cargo does not read by itself"),
    ("evidence-forgery", "words that mislead without imitating ours"),
    ("exec-dropped-file", "scripts in its own `OUT_DIR`, files of the verified archive"),
    ("fileless-exec", "code that an interpreter is handed in arguments"),
    ("forbidden-syscall", "facilities that have no number yet are refused, too"),
    ("foreign-abi", "none known"),
    ("fresh-dependency", "a payload that was published weeks before its first use; registries without times"),
    ("fresh-release", "an attack that sleeps for longer than the threshold; registries without times"),
    ("host-read", "what CPU instructions tell without a call"),
    ("known-malicious", "what nobody has told yet; a run without a database says so"),
    ("left-running", "none known: the unit's PID namespace ends with it"),
    ("look-alike-name", "names that are made up freely, and look-alikes of names that are not in the list"),
    (
        "macro-output",
        "paths that are put together elsewhere than in the macro's output; what only other inputs lead to",
    ),
    ("mass-delete", "fewer removals than the threshold"),
    ("mass-read", "fewer reads than the threshold, in a unit each"),
    ("network-connect", "what happens after a connection: there is no network"),
    ("network-listen", "none known"),
    (
        "odd-archive",
        "files that `include` lets in; what a dependency takes from a workspace whose manifest is not in the archive; an archive without the author's manifest and without a commit; without `--repository` whatever only the repository tells, and with it what a build script reaches by a path that it puts together or in a way that its text does not show, and whole submodules",
    ),
    ("persistence-write", "places of start files that the policy does not name"),
    ("process-interference", "processes of its own unit"),
    ("process-read", "processes of its own unit"),
    ("release-change", "what changes inside of files that were there before; dependencies' archives"),
    ("resource-limit", "use below the limits"),
    ("source-write", "none known"),
    ("suspicious-directive", "arguments that a linker takes from a file"),
    ("unexpected-exec", "programs that the policy knows, put to another use"),
    ("unix-socket", "sockets that do not exist in the sandbox and that the policy does not name"),
    ("unknown-name", "a name that somebody has registered in the meantime"),
    ("unsafe-archive", "none known"),
    ("unusual-socket", "none known"),
    ("write-outside", "writes into its own places"),
    ("yanked", "versions that were withdrawn after the run"),
    ("yanked-lure", "fewer withdrawn versions than the threshold"),
];

/// The tests that show what no fixture can, most with a registry on loopback.
const BY_TEST: &[(&str, &str)] = &[
    ("advisory", "tests/cli/facts.rs"),
    ("checksum-mismatch", "tests/cli/registry.rs"),
    ("dormant-release", "tests/cli/facts.rs"),
    ("embedded-cargo-config", "tests/registry/local.rs"),
    ("fresh-dependency", "tests/cli/facts.rs"),
    ("fresh-release", "tests/cli/facts.rs"),
    ("known-malicious", "tests/cli/facts.rs"),
    ("look-alike-name", "tests/cli/facts.rs"),
    ("odd-archive", "tests/cli/facts.rs"),
    ("release-change", "tests/cli/facts.rs"),
    ("resource-limit", "tests/sandbox/limits.rs"),
    ("unknown-name", "tests/cli/facts/lock.rs"),
    ("unsafe-archive", "tests/cli/archives.rs"),
    ("yanked", "tests/cli/facts/lock.rs"),
    ("yanked-lure", "tests/cli/facts.rs"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// By code: the malicious fixtures that expect it.
fn fixtures() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in fs::read_dir(root().join("fixtures/malicious-crates")).unwrap().flatten() {
        let Ok(expected) = fs::read_to_string(folder.path().join("expected.toml")) else { continue };
        let name = folder.file_name().into_string().unwrap();
        let table: toml::Table = expected.parse().unwrap();
        let mut values: Vec<&toml::Value> = table.values().collect();
        while let Some(value) = values.pop() {
            match value {
                toml::Value::Array(inner) => values.extend(inner),
                toml::Value::Table(inner) => {
                    if let Some(code) = inner.get("code").and_then(toml::Value::as_str) {
                        found.entry(code.to_owned()).or_default().insert(name.clone());
                    }
                    values.extend(inner.values());
                }
                _ => {}
            }
        }
    }
    found
}

fn shown_by(code: &str, fixtures: &BTreeMap<String, BTreeSet<String>>) -> String {
    const MOST: usize = 3;
    let names = fixtures.get(code).into_iter().flatten();
    let mut shown: Vec<String> = names.clone().take(MOST).map(|name| format!("`{name}`")).collect();
    if names.clone().count() > MOST {
        shown.push(format!("{} more", names.count() - MOST));
    }
    shown.extend(BY_TEST.iter().filter(|(of, _)| *of == code).map(|(_, test)| {
        assert!(root().join(test).is_file(), "{test} is not there");
        let text = fs::read_to_string(root().join(test)).unwrap();
        // `yanked` stands in `yanked-lure`, too.
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        assert!(words.any(|word| word == code), "{test} has nothing about {code}");
        (*test).to_owned()
    }));
    shown.join(", ")
}

/// What the rules for names are worth.
fn names() -> String {
    let list = |text: &'static str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let malicious = list(include_str!("../data/malicious-names.txt"));
    let corpus = Corpus::new(POPULAR);
    let honest = list(POPULAR);
    let flagged: Vec<_> = malicious.iter().filter(|name| corpus.look_alike(name).is_some()).collect();
    let in_corpus = honest.iter().filter(|name| corpus.look_alike(name).is_some()).count();
    // As if each were unknown: what a rule flags among honest names that the corpus does not have.
    let left_out = |name: &str| {
        let others: Vec<&str> = honest.iter().copied().filter(|other| *other != name).collect();
        Corpus::new(&others.join("\n")).look_alike(name).is_some()
    };
    let alone = honest.iter().filter(|name| left_out(name)).count();
    let made_up = list(include_str!("../data/invented-names.txt"));
    let alike = made_up.iter().filter(|name| corpus.look_alike(name).is_some()).count();
    let names: Vec<_> = flagged.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "{} of {} names that RustSec called malicious are flagged; {in_corpus} of the {} well-known names (of {}) are, and\n\
         {alone} would be if each were missing from the list. So a look-alike alone is low. The others are names that\n\
         somebody made up, or honest packages that were taken over: what they try must tell. The list has names that were\n\
         imitated before, so the next attack will be flagged more seldom. Of 1518 packages in the index cache of a machine\n\
         that builds Rust, looked at on 2026-11-27, 843 are not in the list, and nine of them were flagged: `pastey` and\n\
         `wasip3` low, and `ahash`, `bitvec`, `cast5`, `num-derive`, `unicode-id`, `wasmi` and `wit-bindgen-rust`, which\n\
         have been there for years, `info`. `scripts/popular-crates` makes the list anew.\n\n\
         Flagged of the malicious: {}.\n\n\
         {alike} of {} names that were made up as an assistant makes them up (tests/data/invented-names.txt: a well-known name\n\
         with a word that fits, with another well-known name, or with an affix) look like a well-known one. What tells them\n\
         apart is that nobody has them: with a registry that has the well-known names and nothing else, a lock file with all\n\
         of them has `unknown-name` for each of the {} and for no other. Whoever registers one shows by how short a time ago\n\
         that was (`fresh-release`).\n\n\
         The snapshot of RustSec of that day has one more package that was removed, `vec-const`, for a mistake and for no\n\
         attack; it is not counted among the malicious.\n\n\
         `cargo test --test docs` makes these numbers, `cargo test --test cli invented` that of unknown names.\n\n\
         ## What else was tried on honest packages\n\n\
         Of 965 packages of the registry in the cache of a machine that builds Rust, compared on 2026-11-26, none has a\n\
         `Cargo.toml` that cargo did not make of the author's (`odd-archive manifest-differs`: dependencies, features, build\n\
         script, library, name). Two of 2015 have no author's manifest. Of 680 of them, none has a folder that its manifest contradicts, four\n\
         name a commit and no repository, and ten were packed with changes that no commit has: both are `info`.\n",
        flagged.len(),
        malicious.len(),
        honest.len(),
        corpus.date.as_deref().unwrap_or("an unknown day"),
        names.join(", "),
        made_up.len(),
        made_up.len(),
    )
}

#[test]
fn what_is_detected_and_what_gets_by_is_on_a_page() {
    let fixtures = fixtures();
    let mut rows = String::new();
    for code in codes::ALL {
        let (_, gap) = GAPS.iter().find(|(of, _)| *of == code.name).unwrap_or_else(|| panic!("{}: no gap", code.name));
        let shown = shown_by(code.name, &fixtures);
        assert!(!shown.is_empty(), "nothing shows {}", code.name);
        writeln!(rows, "| `{}` | {} | {shown} | {gap} |", code.name, code.attack.join(", ")).unwrap();
    }
    for (code, _) in GAPS.iter().chain(BY_TEST) {
        assert!(codes::find(code).is_some(), "there is no code {code}");
    }
    super::page(
        "detections.md",
        &format!(
            "# Detections\n\n<!-- Made from src/judge/codes/, fixtures/ and tests/docs/ by tests/docs.rs; do not edit. -->\n\n\
             Every code, the techniques of ATT&CK that it belongs to, the malicious fixtures or the tests that\n\
             show it, and what is known to get by. [Findings](findings.md) tells when each is how bad.\n\n\
             | code | technique | shown by | known gap |\n|---|---|---|---|\n{rows}\n\
             ## What the rules for names are worth\n\n{}",
            names()
        ),
    );
}
