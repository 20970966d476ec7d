//! An archive against the commit that it names, in a clone that the user gives.

use super::*;

/// A build script and what it includes; a file that no build needs.
const FILES: [(&str, &str); 4] = [
    (
        "Cargo.toml",
        "[package]\nname = \"grown\"\nversion = \"1.0.0\"\nrepository = \"https://example.invalid/x/grown\"\n",
    ),
    ("build.rs", "mod helper; fn main() { helper::help() }\n"),
    ("helper.rs", "pub fn help() {}\n"),
    ("README.md", "# Grown\n"),
];

/// A clone with the package below `crates/grown`.
struct Clone {
    root: tempfile::TempDir,
    commit: String,
}

impl Clone {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join("crates/grown");
        fs::create_dir_all(package.join("src")).unwrap();
        for (name, text) in FILES {
            fs::write(package.join(name), text).unwrap();
        }
        fs::write(package.join("src/lib.rs"), "").unwrap();
        let mut this = Self { root, commit: String::new() };
        for args in [
            &["init", "-q", "-b", "main", "."][..],
            &["remote", "add", "origin", "git@example.invalid:x/grown.git"],
            &["add", "."],
            &["commit", "-q", "-m", "one"],
        ] {
            this.git(args);
        }
        this.commit = this.git(&["rev-parse", "HEAD"]);
        this
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(args);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").current_dir(self.root.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The release of that commit as cargo packs it, with these files in the place of others.
    fn release(&self, other: &[(&str, &str)]) -> Package {
        let vcs = format!(r#"{{"git":{{"sha1":"{}"}},"path_in_vcs":"crates/grown"}}"#, self.commit);
        let mut package = release("grown", "1.0.0", 900)
            .manifest("build = \"build.rs\"\nrepository = \"https://example.invalid/x/grown\"\n")
            .file(".cargo_vcs_info.json", &vcs)
            .file("Cargo.lock", "version = 4\n");
        for (name, text) in FILES {
            let text = other.iter().find(|(of, _)| *of == name).map_or(text, |(_, text)| *text);
            package = package.file(if name == "Cargo.toml" { "Cargo.toml.orig" } else { name }, text);
        }
        for (name, text) in other.iter().filter(|(of, _)| !FILES.iter().any(|(name, _)| name == of)) {
            package = package.file(name, text);
        }
        package
    }

    /// `facts --repository` about the release; the exit code, the findings with their subjects, and the report.
    fn facts(&self, package: &Package) -> (i32, Vec<String>, Value) {
        let (home, registry) = (Home::new(), Registry::start());
        registry.publish(package);
        let folder = self.root.path().to_str().unwrap();
        let args = ["facts", "grown", "--format=json", "--advisory-db", DATABASE, "--repository", folder];
        let output = command(&home, &registry, &args).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
        let report = json(&output);
        let packages = report["packages"].as_array().unwrap().iter();
        let all = packages.flat_map(|package| package["findings"].as_array().unwrap());
        let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let mut all: Vec<_> =
            all.map(|f| format!("{} {} {}", word(f, "code"), word(f, "severity"), word(f, "subject"))).collect();
        all.sort();
        (code(&output), all, report)
    }
}

#[test]
fn an_archive_that_is_its_commit_is_checked_and_nothing_is_found() {
    let clone = Clone::new();
    // On a machine with other line endings.
    let (code, found, report) = clone.facts(&clone.release(&[("README.md", "# Grown\r\n")]));
    assert_eq!((code, found), (0, Vec::new()), "{report}");
    let said = source(&report, "repository");
    assert_eq!(said["status"], "checked", "{said}");
    let detail = said["detail"].as_str().unwrap();
    let start = format!(
        "5 files as in commit {}, 0 otherwise, 0 not in it; 1 commit by 1 contributor, the last on ",
        &clone.commit[..12]
    );
    assert!(detail.starts_with(&start), "{detail}");
}

#[test]
fn a_build_script_and_what_it_includes_that_the_commit_does_not_have_are_worth_a_review() {
    let clone = Clone::new();
    let changed = "fn main() { helper::more() } mod helper; mod planted;\n";
    let all = [("build.rs", changed), ("planted.rs", "// Nothing.\n"), ("README.md", "# Other\n"), ("notes.txt", "x")];
    let (code, found, report) = clone.facts(&clone.release(&all));
    let expected = [
        "odd-archive low file-added notes.txt",
        "odd-archive low file-changed README.md",
        "odd-archive medium build-code-added planted.rs",
        "odd-archive medium build-code-changed build.rs",
    ];
    assert_eq!((code, found), (11, expected.map(str::to_owned).to_vec()), "{report}");
    // What takes no part in the build is no reason to stop anybody.
    let (code, found, _) = clone.facts(&clone.release(&[("README.md", "# Other\n")]));
    assert_eq!((code, found), (0, vec!["odd-archive low file-changed README.md".to_owned()]));
}

#[test]
fn a_manifest_that_is_not_made_of_the_authors_shows_without_a_clone() {
    let registry = Registry::start();
    let clone = Clone::new();
    registry.publish(&release("tool", "1.0.0", 900));
    let hidden = clone.release(&[]).needs("tool", "^1");
    registry.publish(&hidden);
    let (code, report) = facts(&registry, "grown");
    assert_eq!((code, findings(&report)), (11, vec!["odd-archive medium".into()]), "{report}");
    assert_eq!(source(&report, "repository")["status"], "not-checked");
}

#[test]
fn a_dependency_of_the_authors_name_on_another_package_is_a_difference_and_his_own_is_none() {
    let registry = Registry::start();
    let clone = Clone::new();
    registry.publish(&release("tool", "1.0.0", 900));
    let with = |of: &str| {
        let written = format!("{}[dependencies]\ntool = {{ version = \"^1\", {of} }}\n", FILES[0].1);
        clone.release(&[("Cargo.toml", &written)]).needs("tool", "^1")
    };
    registry.publish(&with("path = \"../tool\""));
    let (code, report) = facts(&registry, "grown");
    assert_eq!((code, findings(&report)), (0, Vec::new()), "{report}");
    let registry = Registry::start();
    registry.publish(&release("tool", "1.0.0", 900));
    registry.publish(&with("package = \"other\""));
    let (code, report) = facts(&registry, "grown");
    assert_eq!((code, findings(&report)), (11, vec!["odd-archive medium".into()]), "{report}");
    assert!(report.to_string().contains("dependency tool: package"), "{report}");
}

#[test]
fn a_commit_or_a_folder_that_the_clone_does_not_have_is_no_pass() {
    let mut clone = Clone::new();
    let real = std::mem::replace(&mut clone.commit, "a".repeat(40));
    let (code, found, report) = clone.facts(&clone.release(&[]));
    assert_eq!((code, found), (5, vec![format!("odd-archive low commit-missing {}", clone.commit)]), "{report}");
    let said = source(&report, "repository");
    assert_eq!(said["status"], "not-checked");
    assert!(said["detail"].as_str().unwrap().contains("; 1 commit by 1 contributor"), "what is there is told: {said}");
    clone.commit = real;
    clone.git(&["mv", "crates/grown", "elsewhere"]);
    clone.git(&["commit", "-q", "-m", "two"]);
    clone.commit = clone.git(&["rev-parse", "HEAD"]);
    let (code, found, report) = clone.facts(&clone.release(&[]));
    assert_eq!((code, found), (5, vec!["odd-archive low commit-path crates/grown".to_owned()]), "{report}");
}

#[test]
fn a_clone_of_another_repository_than_the_manifest_names_is_told() {
    let clone = Clone::new();
    clone.git(&["remote", "set-url", "origin", "https://example.invalid/fork/grown"]);
    let (code, found, report) = clone.facts(&clone.release(&[]));
    let expected = "odd-archive low other-repository https://example.invalid/x/grown";
    assert_eq!((code, found), (0, vec![expected.to_owned()]), "{report}");
}

#[test]
fn only_one_archive_is_compared_and_only_with_a_clone() {
    let (home, registry) = (Home::new(), Registry::start());
    let clone = Clone::new();
    registry.publish(&clone.release(&[]));
    let folder = clone.root.path().to_str().unwrap();
    for args in [&["facts", "./crates", "--repository", folder][..], &["./crates", "--repository", folder]] {
        let output = command(&home, &registry, args).output().unwrap();
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(stderr(&output).contains("--repository: only one archive"), "{}", stderr(&output));
    }
    let args = ["facts", "grown", "--advisory-db", DATABASE, "--repository", home.path().to_str().unwrap()];
    let output = command(&home, &registry, &args).output().unwrap();
    assert_eq!(code(&output), 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("it is no clone") && stderr(&output).contains("hint: "), "{}", stderr(&output));
}

#[test]
fn a_check_compares_too_and_build_code_that_no_commit_has_makes_what_it_tries_worse() {
    let (home, registry, clone) = (Home::new(), Registry::start(), Clone::new());
    let build = "fn main() { let _ = std::net::ToSocketAddrs::to_socket_addrs(&\"collector.invalid:80\"); }";
    registry.publish(&clone.release(&[("build.rs", build)]));
    let run = |more: &[&str]| {
        let args = [&["grown", "--format=json", "--advisory-db", DATABASE], more].concat();
        let output = command(&home, &registry, &args).output().unwrap();
        (code(&output), findings(&json(&output)), json(&output))
    };
    let (code, found, report) = run(&[]);
    assert_eq!((code, found), (11, vec!["dns-query medium".into()]), "{report}");
    // Evidence of the run before does not answer: nobody compared there.
    let (code, found, report) = run(&["--repository", clone.root.path().to_str().unwrap()]);
    assert_eq!((code, found), (10, vec!["dns-query high".into(), "odd-archive medium".into()]), "{report}");
    // Nor does this one answer for later runs without a clone.
    assert_eq!(run(&[]).0, 11);
}
