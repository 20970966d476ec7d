//! A release that was judged before: its evidence answers, judged again, as long as nothing that decides is other.

use std::os::unix::fs::PermissionsExt as _;

use super::server::{Package, Registry, download_path, index_path};
use super::*;

const STATE: &str = ".local/state/sandbox-check/evidence";

/// A release with a build script and a dependency, and the machine on which it is judged.
struct Machine {
    home: Home,
    registry: Registry,
    program: PathBuf,
}

fn subject(build: &str) -> Package {
    let manifest = "[features]\nmore = []\n";
    Package { features: r#"{"more":[]}"#, ..Package::new("subject", "1.0.0") }
        .manifest(manifest)
        .needs("depend", "^1")
        .file("build.rs", build)
}

impl Machine {
    fn new(build: &str) -> Self {
        let registry = Registry::start();
        registry.publish(&subject(build));
        registry.publish(&Package::new("depend", "1.0.0"));
        Self { home: Home::new(), registry, program: env!("CARGO_BIN_EXE_sandbox-check").into() }
    }

    fn honest() -> Self {
        Self::new("fn main() {}")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(self.program.to_str().unwrap());
        command.env("CARGO_HOME", self.registry.home()).args(["subject@1.0.0"]).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The report of a run, and what it said beside it.
    fn report(&self, args: &[&str]) -> (Value, String) {
        let output = self.run(&[&["--format=json"], args].concat());
        (json(&output), stderr(&output))
    }

    /// True if the answer is that of an earlier run.
    fn is_reused(&self, args: &[&str]) -> bool {
        let (value, said) = self.report(args);
        assert_eq!(said, "", "{value}");
        assert!(value.get("verdict").is_some(), "{value}");
        value.get("reused").is_some()
    }

    fn state(&self) -> PathBuf {
        self.home.path().join(STATE)
    }

    /// How many runs can answer.
    fn entries(&self) -> usize {
        fs::read_dir(self.state().join("known")).map_or(0, Iterator::count)
    }
}

fn evidence_of(report: &Value) -> PathBuf {
    PathBuf::from(report["evidence"]["path"].as_str().unwrap())
}

/// A report without the word that it is of an earlier run.
fn plain(mut report: Value) -> Value {
    report.as_object_mut().unwrap().remove("reused");
    report
}

#[test]
fn a_second_call_gives_the_report_of_the_first_and_says_so_in_both_forms() {
    let machine = Machine::honest();
    let (first, _) = machine.report(&[]);
    assert_eq!((&first["verdict"], first.get("reused")), (&"pass".into(), None));
    let fetched = machine.registry.count(&download_path("subject", "1.0.0"));
    let (second, said) = machine.report(&[]);
    assert_eq!(said, "");
    let recorded = second["reused"]["recorded"].as_str().unwrap().to_owned();
    assert!(recorded.starts_with("20") && recorded.ends_with('Z'), "{recorded}");
    assert_eq!(plain(second), first);
    assert_eq!(machine.registry.count(&download_path("subject", "1.0.0")), fetched);
    let people = machine.run(&[]);
    let (text, day) = (stdout(&people), recorded.split('T').next().unwrap());
    assert_eq!(code(&people), 0, "{text}{}", stderr(&people));
    assert!(text.contains(&format!("from evidence of {day} ")) && text.contains("--fresh builds"), "{text}");
    assert!(!stdout(&machine.run(&["--fresh"])).contains("from evidence of"));
}

#[test]
fn but_for_that_word_it_is_the_replay_of_the_evidence_byte_for_byte() {
    let machine = Machine::honest();
    let (first, _) = machine.report(&[]);
    let evidence = evidence_of(&first);
    let second = stdout(&machine.run(&["--format=json"]));
    let replayed = stdout(&machine.home.run(["replay", "--format=json", evidence.to_str().unwrap()]));
    let start = second.find("  \"reused\": {").unwrap();
    let length = second[start..].find("},\n").unwrap() + "},\n".len();
    assert_eq!(format!("{}{}", &second[..start], &second[start + length..]), replayed);
}

#[test]
fn a_finding_is_found_again_and_the_exit_code_is_the_same() {
    let machine = Machine::new("fn main() { let _ = std::fs::read(\"/home/dev/.ssh/id_ed25519\"); }");
    let first = machine.run(&["--format=json"]);
    let second = machine.run(&["--format=json"]);
    assert_eq!((code(&first), code(&second)), (10, 10));
    assert_eq!(plain(json(&second)), json(&first));
    assert!(json(&second).get("reused").is_some());
    // The threshold is of this call, not of the first.
    assert_eq!(code(&machine.run(&["--fail-on=critical"])), 0);
}

#[test]
fn it_is_judged_by_the_policy_of_the_day() {
    let machine = Machine::honest();
    machine.report(&[]);
    let policy = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/default.toml")).unwrap();
    let file = machine.home.path().join("policy.toml");
    fs::write(&file, format!("{policy}\n# Another day.\n")).unwrap();
    let (value, _) = machine.report(&["--policy", file.to_str().unwrap()]);
    assert!(value["reused"].is_object() && value["rejudged"].is_object(), "{value}");
    assert_ne!(value["rejudged"]["recorded"]["sha256"], value["rejudged"]["judged"]["sha256"]);
}

#[test]
fn what_the_user_gives_decides() {
    let machine = Machine::honest();
    let given: [&[&str]; 6] = [
        &[],
        &["--features=more"],
        &["--no-default-features"],
        &["--env=COLOUR=red"],
        &["--env=COLOUR=blue"],
        &["--limit=cpu=600"],
    ];
    for args in given {
        assert!(!machine.is_reused(args), "{args:?}");
        assert!(machine.is_reused(args), "{args:?}");
    }
    assert_eq!(machine.entries(), given.len());
    // How many units run at a time decides nothing, nor how it is told.
    assert!(machine.is_reused(&["--jobs=1", "--fail-on=low"]));
}

#[test]
fn the_report_says_which_features_were_off() {
    let machine = Machine::honest();
    let told = |args: &[&str]| machine.report(args).0["coverage"]["features"].clone();
    assert_eq!(told(&[]), serde_json::json!({"default": true, "asked": [], "off": ["more"]}));
    assert_eq!(told(&["--all-features"]), serde_json::json!({"default": true, "asked": ["more"], "off": []}));
    let text = |args: &[&str]| stdout(&machine.run(args));
    assert!(text(&[]).contains("\nfeatures         default; not more: --all-features turns all on\n"), "{}", text(&[]));
    assert!(!text(&["--all-features"]).contains("\nfeatures"));
}

#[test]
fn a_new_release_of_a_dependency_is_built() {
    let machine = Machine::honest();
    assert!(!machine.is_reused(&[]));
    machine.registry.publish(&Package::new("depend", "1.0.1"));
    let (value, _) = machine.report(&[]);
    assert_eq!((value.get("reused"), &value["packages"][1]["id"]), (None, &"depend@1.0.1".into()));
    assert!(machine.is_reused(&[]));
}

#[test]
fn a_release_that_was_yanked_since_is_told() {
    let machine = Machine::honest();
    assert!(!machine.is_reused(&[]));
    let yanked = subject("fn main() {}").yanked().line();
    machine.registry.put(&index_path("subject"), yanked.into_bytes());
    let (value, _) = machine.report(&[]);
    assert!(value.get("reused").is_none(), "{value}");
    assert_eq!(value["packages"][0]["findings"][0]["code"], "yanked");
}

#[test]
fn another_program_builds() {
    let mut machine = Machine::honest();
    assert!(!machine.is_reused(&[]));
    let mut bytes = fs::read(&machine.program).unwrap();
    bytes.push(0);
    machine.program = machine.home.path().join("sandbox-check");
    fs::write(&machine.program, bytes).unwrap();
    fs::set_permissions(&machine.program, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!machine.is_reused(&[]));
}

/// The compiler says that it was built from another commit; whether it builds does not matter.
#[test]
fn another_toolchain_builds() {
    let machine = Machine::honest();
    assert!(!machine.is_reused(&[]));
    let ask = |args: &[&str]| {
        let output = machine.home.command("rustc").args(args).current_dir("/").output().unwrap();
        stdout(&output).trim().to_owned()
    };
    let (real, tools) = (ask(&["--print", "sysroot"]), machine.home.path().join("other"));
    fs::create_dir_all(tools.join("bin")).unwrap();
    let script = |name: &str, text: String| {
        fs::write(tools.join("bin").join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(tools.join("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let verbose = ask(&["-vV"]).replace("commit-hash: ", "commit-hash: f");
    script("cargo", format!("exec {real}/bin/cargo \"$@\""));
    let sysroot = tools.display();
    script(
        "rustc",
        format!(
            "[ \"$1\" = -vV ] && {{ cat <<'END'\n{verbose}\nEND\nexit; }}\n\
             [ \"$2\" = sysroot ] && {{ echo {sysroot}; exit; }}\nexec {real}/bin/rustc \"$@\""
        ),
    );
    let path = format!("{}/bin:{}", sysroot, std::env::var("PATH").unwrap());
    let output = machine.command(&["--format=json"]).env("PATH", path).output().unwrap();
    let value = json(&output);
    assert!(value.get("verdict").is_some() && value.get("reused").is_none(), "{value}");
    assert!(machine.is_reused(&[]));
}

#[test]
fn fresh_builds_and_answers_from_then_on() {
    let machine = Machine::honest();
    let (first, _) = machine.report(&[]);
    let (fresh, _) = machine.report(&["--fresh"]);
    assert!(fresh.get("reused").is_none());
    assert_ne!(evidence_of(&fresh), evidence_of(&first));
    assert_eq!(evidence_of(&machine.report(&[]).0), evidence_of(&fresh));
    assert_eq!(machine.entries(), 1);
}

#[test]
fn damaged_evidence_is_told_removed_and_built_again() {
    let machine = Machine::honest();
    let evidence = evidence_of(&machine.report(&[]).0);
    let text = fs::read_to_string(&evidence).unwrap().replacen("subject", "subjoct", 1);
    fs::write(&evidence, text).unwrap();
    let (value, said) = machine.report(&[]);
    assert!(said.starts_with("warning: ") && said.contains("damaged"), "{said}");
    assert_eq!((&value["verdict"], value.get("reused")), (&"pass".into(), None));
    assert!(!evidence.exists());
    assert!(machine.is_reused(&[]));
}

#[test]
fn evidence_of_a_month_ago_is_gone_and_the_release_is_built() {
    let machine = Machine::honest();
    let evidence = evidence_of(&machine.report(&[]).0);
    let then = std::time::SystemTime::now() - std::time::Duration::from_hours(31 * 24);
    fs::File::open(&evidence).unwrap().set_modified(then).unwrap();
    assert!(!machine.is_reused(&[]));
    assert!(!evidence.exists());
    assert!(machine.is_reused(&[]));
}

#[test]
fn whole_evidence_of_another_run_does_not_answer() {
    let machine = Machine::honest();
    let entry = || {
        let mut found = fs::read_dir(machine.state().join("known")).unwrap().map(|entry| entry.unwrap().path());
        found.next().unwrap()
    };
    machine.report(&[]);
    let of_old = fs::read_to_string(entry()).unwrap();
    fs::remove_file(entry()).unwrap();
    machine.registry.publish(&Package::new("depend", "1.0.1"));
    machine.report(&[]);
    // Its name and its key are right, and it leads to the evidence of the dependency as it was.
    let line = |text: &str, word: &str| text.lines().find(|line| line.contains(word)).unwrap().to_owned();
    let of_new = fs::read_to_string(entry()).unwrap();
    fs::write(entry(), of_old.replace(&line(&of_old, "\"key\""), &line(&of_new, "\"key\""))).unwrap();
    let (value, said) = machine.report(&[]);
    assert!(said.contains("another run"), "{said}");
    assert_eq!((value.get("reused"), &value["packages"][1]["id"]), (None, &"depend@1.0.1".into()));
}

#[test]
fn an_incomplete_run_answers_for_nothing() {
    let machine = Machine::new("fn main() { panic!(\"no such thing\"); }");
    for _ in 0..2 {
        let output = machine.run(&["--format=json"]);
        assert_eq!((code(&output), json(&output).get("reused")), (5, None));
    }
    assert_eq!(machine.entries(), 0);
}

#[test]
fn what_no_digest_holds_is_built_each_time() {
    let machine = Machine::honest();
    let given = machine.home.path().join("given");
    fs::write(&given, "").unwrap();
    for args in [["--read", given.to_str().unwrap()], ["--env-secret", "API_KEY=hunter2"]] {
        for _ in 0..2 {
            assert!(!machine.is_reused(&args), "{args:?}");
        }
    }
    let folder = runs::package(&machine.home, "honest", "fn main() {}");
    for _ in 0..2 {
        let output = machine.home.run([OsStr::new("--offline"), OsStr::new("--format=json"), folder.as_os_str()]);
        assert_eq!((code(&output), json(&output).get("reused")), (0, None));
    }
    assert_eq!(machine.entries(), 0);
}

#[test]
fn an_archive_is_known_by_its_bytes() {
    let home = Home::new();
    let file = home.path().join("alone-1.0.0.crate");
    let is_reused = |package: &Package| {
        fs::write(&file, package.pack()).unwrap();
        let output = home.run([OsStr::new("--offline"), OsStr::new("--format=json"), file.as_os_str()]);
        assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
        json(&output).get("reused").is_some()
    };
    let package = Package::new("alone", "1.0.0");
    assert!(!is_reused(&package));
    assert!(is_reused(&package));
    assert!(!is_reused(&package.file("notes.txt", "")));
}

#[test]
fn evidence_is_copied_to_where_it_is_asked_for() {
    let machine = Machine::new("fn main() { let _ = std::process::Command::new(\"/bin/true\").status(); }");
    let (first, _) = machine.report(&[]);
    let (value, _) = machine.report(&["--evidence", "copy"]);
    assert!(value.get("reused").is_some());
    let copy = evidence_of(&value);
    assert!(copy.starts_with(fs::canonicalize(machine.home.path().join("copy")).unwrap()), "{}", copy.display());
    assert_eq!(fs::read(copy).unwrap(), fs::read(evidence_of(&first)).unwrap());
}

#[test]
fn offline_the_evidence_answers_too() {
    let machine = Machine::honest();
    assert!(!machine.is_reused(&[]));
    let asked = machine.registry.seen().len();
    assert!(machine.is_reused(&["--offline"]));
    assert_eq!(machine.registry.seen().len(), asked);
}

#[test]
fn a_plan_is_printed_whether_there_is_evidence_or_not() {
    let machine = Machine::honest();
    machine.report(&[]);
    let plan: Value = serde_json::from_slice(&machine.run(&["--print-plan"]).stdout).unwrap();
    assert_eq!(plan["header"]["target"]["name"], "subject");
}

#[test]
fn without_a_place_for_evidence_it_works_and_says_so() {
    let machine = Machine::honest();
    // A file in the way stops root as well.
    fs::create_dir_all(machine.home.path().join(".local")).unwrap();
    fs::write(machine.home.path().join(".local/state"), "").unwrap();
    for _ in 0..2 {
        let output = machine.run(&["--format=json"]);
        let value = json(&output);
        assert_eq!((code(&output), value.get("reused")), (0, None), "{value}");
        assert_eq!(value["evidence"]["path"], Value::Null);
        assert!(stderr(&output).starts_with("warning: the evidence is not kept"), "{}", stderr(&output));
    }
}

#[test]
fn runs_side_by_side_leave_one_answer_that_is_whole() {
    let machine = Machine::honest();
    let start = |args: &[&str]| {
        let mut command = machine.command(&[&["--format=json"], args].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs = [start(&[]), start(&["--fresh"])].map(|child| child.wait_with_output().unwrap());
    for output in &runs {
        assert_eq!((code(output), stderr(output).as_str()), (0, ""), "{}", stdout(output));
    }
    assert_eq!(machine.entries(), 1);
    let kept = runs.map(|output| evidence_of(&json(&output)));
    assert_ne!(kept[0], kept[1]);
    let (value, _) = machine.report(&[]);
    assert!(value.get("reused").is_some() && kept.contains(&evidence_of(&value)));
}

#[test]
fn what_is_kept_is_for_its_owner_only() {
    let machine = Machine::honest();
    machine.report(&[]);
    let mut open = vec![machine.state()];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let meta = fs::metadata(&path).unwrap();
        let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(meta.permissions().mode() & 0o7777, wanted, "{}", path.display());
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        seen += 1;
    }
    assert_eq!(
        seen, 7,
        "the folder, the evidence, the folder of entries, an entry, that of what was found, two packages"
    );
}
