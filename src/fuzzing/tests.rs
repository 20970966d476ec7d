//! Every input that is kept for the fuzzer, in ordinary tests: what once broke a reader does not break it again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Holds bytes against a reader.
type Target = fn(&[u8]);

/// Each target by its name.
const TARGETS: [(&str, Target); 9] = [
    ("address", address),
    ("archive", archive),
    ("arguments", arguments),
    ("configuration", configuration),
    ("decisions", decisions),
    ("dns", dns),
    ("driver", driver),
    ("evidence", evidence),
    ("policy", policy),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_input_that_is_kept_is_answered_as_it_must_be() {
    for (name, target) in TARGETS {
        let corpus = folder().join("corpus").join(name);
        let inputs = names(&corpus);
        assert!((3..40).contains(&inputs.len()), "{name}: {} inputs", inputs.len());
        for input in inputs {
            let bytes = fs::read(corpus.join(&input)).unwrap();
            assert!(bytes.len() < 64 << 10, "{name}/{input}: {} bytes", bytes.len());
            // Names the input that breaks it.
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name}/{input}");
        }
    }
}

/// A target without a program, or a program without a corpus, would be forgotten.
#[test]
fn every_target_has_a_program_and_a_corpus() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder().join("corpus")), known);
    let programs = names(&folder().join("fuzz_targets"));
    assert_eq!(programs, known.iter().map(|name| format!("{name}.rs")).collect());
    let manifest: toml::Table = fs::read_to_string(folder().join("Cargo.toml")).unwrap().parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap().to_owned());
    assert_eq!(bins.collect::<BTreeSet<_>>(), known);
    for (name, _) in TARGETS {
        let program = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("sandbox_check::fuzzing::{name}(")), "{name}: {program}");
    }
}
