//! Keeps the shape of the source: layers apart, `unsafe` in one place, answers in one file, and the house in order.

#![expect(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each top-level module of `src/` may use of the others. The picture is in docs/architecture.md.
const LAYERS: &[(&str, &[&str])] = &[
    // Values.
    ("ids", &[]),
    ("ticker", &[]),
    ("evidence", &["ids", "sys"]),
    ("policy", &["evidence", "ids"]),
    // Outputs that leave a sandbox and enter another one.
    ("base", &["evidence", "ids"]),
    ("decisions", &["evidence", "ids", "policy"]),
    ("exit", &["policy"]),
    // The kernel's border.
    ("sys", &[]),
    ("shim", &[]),
    ("handoff", &["shim", "sys"]),
    // Stages of the host's side. `acquire` and `plan` share the consumer's name and the acquired sources.
    ("toolchain", &["evidence"]),
    ("acquire", &["evidence", "ids", "plan", "policy", "sys", "ticker"]),
    ("facts", &["acquire", "evidence", "ids"]),
    ("plan", &["acquire", "base", "evidence", "ids", "sandbox", "shim", "toolchain"]),
    // The launch helper becomes the supervisor, and the supervisor reads the spec: these two know each other.
    ("sandbox", &["base", "error_chain", "evidence", "handoff", "shim", "supervisor", "sys"]),
    ("supervisor", &["base", "error_chain", "evidence", "handoff", "ids", "sandbox", "shim", "sys"]),
    // Pure.
    ("judge", &["decisions", "evidence", "ids", "policy"]),
    ("report", &["decisions", "evidence", "ids", "judge", "policy"]),
    // The program.
    ("cli", &[]),
    ("remedy", &["judge"]),
    (
        "settings",
        &["acquire", "cli", "decisions", "error_chain", "evidence", "facts", "ids", "judge", "policy", "sandbox"],
    ),
    ("signals", &["acquire", "sandbox", "sys"]),
    ("progress", &["acquire", "ids", "sandbox", "ticker"]),
];

/// The only one that knows the whole story.
const CONDUCTOR: &str = "app";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A source file and its text without comments and unit tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// True for files that only tests and the fuzzer compile.
    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.contains("test") || self.path.contains("/testing/") || name == "fuzzing.rs"
    }
}

fn rust_files(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path: name, code: code_of(&text), text });
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no source");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Without whole-line comments and without what `#[cfg(test)]` guards: modules end with a brace in the first
/// column, anything else with a semicolon.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let mut next = lines.next().unwrap_or_default();
            while !(next == "}" || next.ends_with(';') && !next.starts_with(' ')) {
                let Some(line) = lines.next() else { break };
                next = line;
            }
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// Names that follow `crate::`, in a path or as the first level of a group.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            None => drop(found.insert(word(rest))),
            Some(group) => {
                let mut depth = 0_i32;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphanumeric() => {
                            found.insert(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    // The generated project has types of its own at its root.
    found.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    found
}

fn tracked() -> Vec<PathBuf> {
    let listed =
        Command::new("git").args(["-c", "safe.directory=*", "ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

#[test]
fn a_module_uses_only_what_its_layer_may() {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut seen = BTreeSet::new();
    // The shim's own program is another crate: `crate` means the shim in these folders.
    let of_the_shim = |source: &Source| source.module() == "shim" || source.path.starts_with("src/sys/bare/");
    for source in rust_files("src").iter().filter(|source| !source.is_test() && !of_the_shim(source)) {
        let module = source.module();
        if ["lib", "main", "bin", CONDUCTOR].contains(&module) {
            continue;
        }
        let allowed = allowed.get(module).unwrap_or_else(|| panic!("{module} is not in the table of layers"));
        for used in uses(&source.code).into_iter().filter(|used| used != module) {
            assert!(allowed.contains(&used.as_str()), "{} uses crate::{used}", source.path);
            seen.insert((module.to_owned(), used));
        }
    }
    for (module, allowed) in LAYERS {
        for used in *allowed {
            assert!(seen.contains(&((*module).to_owned(), (*used).to_owned())), "{module} no longer uses {used}");
        }
    }
}

#[test]
fn the_reader_of_imports_finds_them_in_every_form() {
    let code = "use crate::a::B;\nuse crate::{c, d::{E, f}, g};\nlet x = crate::h::i();\n";
    assert_eq!(uses(code), ["a", "c", "d", "g", "h"].map(str::to_owned).into());
    let text = "use crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n// crate::c\n";
    assert_eq!(uses(&code_of(text)), ["a".to_owned()].into());
}

#[test]
fn judge_report_policy_and_decisions_touch_no_file_clock_network_or_process() {
    let forbidden = [
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "std::time",
        "TcpStream",
        "UdpSocket",
        "ToSocketAddrs",
        "nix::",
        "libc::",
        "tempfile",
        "Instant",
        "SystemTime",
        "stdout()",
        "stderr()",
        "stdin()",
    ];
    for source in rust_files("src").iter().filter(|source| !source.is_test()) {
        if ["judge", "report", "policy", "decisions"].contains(&source.module()) {
            for word in forbidden {
                assert!(!source.code.contains(word), "{} has {word}", source.path);
            }
        }
    }
}

/// The supervisor has wider rights than any unit, so each place where it opens a path is known by name.
#[test]
fn the_supervisor_opens_paths_in_few_files() {
    let known = [
        // Opens for units: with the unit's rights, and of decoys.
        ("src/supervisor/open.rs", "openat2("),
        ("src/supervisor/opener.rs", "openat2("),
        // The outer /proc, by descriptor.
        ("src/supervisor/caller.rs", "openat("),
        ("src/supervisor/held.rs", "openat("),
        // What processes use, from the sandbox's own /proc.
        ("src/supervisor/sample.rs", "File::open("),
        ("src/supervisor/sample.rs", "fs::read"),
        // cargo's copy of a build script's output, in a folder where no unit may write.
        ("src/supervisor/cargo.rs", "File::open("),
        // Who filled a folder: folders only, no link is followed.
        ("src/supervisor/weigh.rs", "openat("),
        // Whether a script's OUT_DIR is empty: cargo made it, in a folder where no unit may write.
        ("src/supervisor/handle/out_dir.rs", "fs::read"),
        // What is lent to a build script: made in a folder of its own, named where no unit may write.
        ("src/supervisor/handle/lent.rs", "fs::create_dir"),
        ("src/supervisor/handle/lent.rs", "symlink("),
        // Private folders of a unit, made before the unit starts.
        ("src/supervisor/admit.rs", "DirBuilder"),
    ];
    let words = [
        "File::open(",
        "File::create",
        "File::options",
        "OpenOptions",
        "DirBuilder",
        "openat(",
        "openat2(",
        "fs::read",
        "fs::write",
        "fs::copy",
        "fs::create_dir",
        "symlink(",
        "fs::rename",
        "fs::hard_link",
        "fcntl::open(",
        "libc::open",
    ];
    let mut seen = BTreeSet::new();
    for source in rust_files("src/supervisor").iter().filter(|source| !source.is_test()) {
        for word in words.into_iter().filter(|word| source.code.contains(word)) {
            assert!(known.contains(&(source.path.as_str(), word)), "{} has {word}", source.path);
            seen.insert((source.path.clone(), word));
        }
    }
    assert_eq!(seen.len(), known.len(), "the list of places is longer than needed: {seen:?}");
}

/// Limits and times of attempts are the monotonic clock's: whoever moves the wall clock, or a network that does, gives no
/// unit more time and takes none.
#[test]
fn nothing_that_confines_or_records_reads_a_wall_clock() {
    let reads = |source: &Source| {
        [
            "SystemTime",
            "UNIX_EPOCH",
            "CLOCK_REALTIME",
            "Timestamp::now",
            "Zoned::now",
            "libc::time(",
            "libc::gettimeofday",
        ]
        .iter()
        .any(|word| source.code.contains(word))
    };
    for source in rust_files("src").iter().filter(|source| !source.is_test()) {
        let confines = ["sandbox", "supervisor", "shim", "sys", "handoff"].contains(&source.module());
        assert!(!confines || !reads(source), "{} reads a wall clock", source.path);
    }
    // The control: who tells the day does.
    assert!(rust_files("src").iter().any(|source| source.path == "src/settings.rs" && reads(source)));
}

#[test]
fn only_one_file_answers_notifications() {
    for source in rust_files("src").iter().filter(|source| source.module() != "sys") {
        for word in ["answer_continue", "answer_errno", "answer_success", "answer_descriptor"] {
            let answers = source.code.contains(&format!(".{word}("));
            assert!(!answers || source.path == "src/supervisor/reply.rs", "{} calls {word}", source.path);
        }
    }
}

#[test]
fn unsafe_stands_in_one_folder() {
    let mut places = 0;
    for source in rust_files("src") {
        for line in source.code.lines().filter(|line| !line.contains('"')) {
            let has = line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
            assert!(!has || source.module() == "sys", "{}: {line}", source.path);
            places += usize::from(has);
        }
    }
    assert!(places > 10, "{places}: the search finds nothing");
}

/// The program that people get has no door that the fuzzer uses.
#[test]
fn what_is_open_to_the_fuzzer_is_compiled_for_tests_and_for_it_alone() {
    let mut doors = 0;
    for source in rust_files("src") {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ") == "mod fuzzing;" {
                let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
                assert!(above.clone().any(|line| *line == "#[cfg(any(test, fuzzing))]"), "{}", source.path);
                doors += 1;
            }
        }
        // Nothing but whole files depends on it.
        let named = source.text.matches("fuzzing)").count();
        let guards = source.text.matches("#[cfg(any(test, fuzzing))]\n").count();
        assert!(named == guards, "{} changes for the fuzzer", source.path);
    }
    let files = rust_files("src").iter().filter(|source| source.path.ends_with("/fuzzing.rs")).count();
    assert_eq!(doors, files, "a file of that name is compiled otherwise");
    assert!(doors > 3, "{doors}: the search finds nothing");
}

#[test]
fn no_file_is_longer_than_five_hundred_lines() {
    for folder in ["src", "tests"] {
        for source in rust_files(folder) {
            let lines = source.text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", source.path);
        }
    }
}

/// The policy's reader refuses a rule without `why`; this finds one with an empty excuse.
#[test]
fn every_policy_rule_has_a_reason_that_says_something() {
    for file in fs::read_dir(root().join("policies")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let policy: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        let mut rules = 0;
        for (name, rule) in
            policy.iter().flat_map(|(name, value)| value.as_array().into_iter().flatten().map(move |rule| (name, rule)))
        {
            let why = rule.get("why").and_then(toml::Value::as_str).unwrap_or_default();
            assert!(why.split_whitespace().count() >= 2, "{}: a [[{name}]] says only {why:?}", file.display());
            rules += 1;
        }
        assert!(rules > 20, "{}: {rules} rules", file.display());
    }
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut numbers: Vec<usize> = fs::read_dir(root().join("docs/decisions"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.split_once('-')?.0.parse().ok())
        .collect();
    numbers.sort_unstable();
    assert!(numbers.len() > 5);
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

#[test]
fn the_changelog_keeps_its_headings() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let mut versions = 0;
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let known = match line.split_once(' ') {
            Some(("#", title)) => title == "Changelog",
            Some(("##", version)) => {
                versions += 1;
                version == "[Unreleased]" || version.starts_with('[') && version.contains("] - 20")
            }
            Some(("###", kind)) => ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"].contains(&kind),
            _ => false,
        };
        assert!(known, "{line}");
    }
    assert!(versions > 0);
}

/// A tool that is about the supply chain names no registry in its own files, and no machine of its authors.
#[test]
fn no_tracked_file_names_a_registry_host_or_a_machine() {
    let hosts =
        [concat!("crates", ".io"), concat!("npm", "js.org"), concat!("pypi", ".org"), concat!("ruby", "gems.org")];
    // Homes of nobody: the sandbox's own, and those of examples.
    let homes = ["dev", "me/", "u\"", "u/", "x"];
    for name in tracked().iter().filter(|name| name.file_name() != Some("Cargo.lock".as_ref())) {
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        for (at, line) in text.lines().enumerate() {
            let place = format!("{}:{}: {line}", name.display(), at + 1);
            assert!(!hosts.iter().any(|host| line.contains(host)), "a registry's host: {place}");
            for (at, _) in line.match_indices("/home/") {
                let rest = &line[at + "/home/".len()..];
                let named = rest.starts_with(|c: char| c.is_ascii_alphanumeric());
                assert!(!named || homes.iter().any(|home| rest.starts_with(home)), "a home: {place}");
            }
            // `/root` is where root's keys lie everywhere, but nothing of ours lies there.
            for below in ["work", "src", "rust", "project", "sandbox", ".cargo", ".rustup"] {
                assert!(!line.contains(&format!("{}/{below}", "/root")), "a path of one machine: {place}");
            }
        }
    }
}

/// Direct dependencies, each named in `src/`; those that the first design named are all there.
#[test]
fn every_dependency_is_used_and_has_a_reason() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let sources = rust_files("src");
    let tests = rust_files("tests");
    let is_named = |files: &[Source], name: &str| {
        let name = name.replace('-', "_");
        files.iter().any(|source| {
            let is_word = |at: usize| !source.text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            source.text.match_indices(&format!("{name}::")).any(|(at, _)| is_word(at))
        })
    };
    let dependencies = manifest["dependencies"].as_table().unwrap();
    for name in dependencies.keys() {
        assert!(is_named(&sources, name), "src/ does not use {name}");
    }
    for name in manifest["dev-dependencies"].as_table().unwrap().keys() {
        assert!(is_named(&tests, name) || is_named(&sources, name), "no test uses {name}");
    }
    for name in ["nix", "landlock", "seccompiler", "tar", "flate2", "sha2", "serde", "clap", "tempfile", "tracing"] {
        assert!(dependencies.contains_key(name), "{name} is not a direct dependency");
    }
    let lines: Vec<&str> = text.lines().collect();
    for section in ["[dependencies]", "[dev-dependencies]"] {
        let start = lines.iter().position(|line| *line == section).unwrap();
        let mut reason = false;
        for line in lines[start + 1..].iter().take_while(|line| !line.starts_with('[')) {
            match line {
                line if line.starts_with("# ") => reason = true,
                line if line.contains(" = ") => {
                    assert!(reason, "no reason above: {line}");
                    reason = false;
                }
                _ => {}
            }
        }
    }
}
