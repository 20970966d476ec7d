//! The files for CI: their shell is run as it stands, with a stub in the place of the program, and what the stub was
//! called with is given to the program itself.

use std::os::unix::fs::PermissionsExt as _;

use super::lock::Ground;
use super::server::Package;
use super::*;

/// A program that writes down its arguments and ends with a code.
const STUB: &str = r#"#!/bin/sh
{ printf '%s\0' "$@"; printf '\n'; } >>"$CALLS/${0##*/}"
for word in "$@"; do
    case $word in
    markdown=*) printf 'told\n' >"${word#markdown=}" ;;
    */evidence.cache) [ "$2" = import ] || printf 'kept\n' >"$word" ;;
    esac
done
echo "  ::set-output name=exit-code::0"
echo "::set-output name=exit-code::0" >&2
[ "$1" = cache ] || exit "${STUB_CODE:-0}"
"#;

fn tracked(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// What stands below a line that ends with `|`, without what each line of it begins with.
fn block(lines: &[&str], at: usize) -> String {
    let below = lines[at + 1..].iter().take_while(|line| line.is_empty() || depth(line) > depth(lines[at]));
    let below: Vec<_> = below.collect();
    below.iter().flat_map(|line| [line.get(depth(below[0])..).unwrap_or_default(), "\n"]).collect()
}

/// Each script of a workflow or an action, by the name of its step where it has one.
fn scripts(yaml: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = yaml.lines().collect();
    let mut name = String::new();
    let mut all = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let item = line.trim_start().trim_start_matches("- ");
        if line.trim_start().starts_with("- ") {
            name.clear();
        }
        if let Some(said) = item.strip_prefix("name: ") {
            said.clone_into(&mut name);
        }
        match item.strip_prefix("run:").map(str::trim) {
            Some("|") => all.push((name.clone(), block(&lines, at))),
            Some(text) => all.push((name.clone(), text.to_owned())),
            None => {}
        }
    }
    all
}

fn script(yaml: &str, step: &str) -> String {
    let found = scripts(yaml).into_iter().find(|(name, _)| name == step);
    found.unwrap_or_else(|| panic!("no script of the step {step}")).1
}

/// The commands of a job of GitLab, one line each, as it runs them.
fn job(yaml: &str, name: &str) -> String {
    let lines: Vec<_> = yaml.lines().collect();
    let at = lines.iter().position(|line| *line == format!("{name}:")).unwrap();
    let job = block(&lines, at);
    let lines: Vec<_> = job.lines().collect();
    let at = lines.iter().position(|line| *line == "script:").unwrap();
    let script = block(&lines, at);
    let commands = script.lines().filter(|line| !line.is_empty());
    commands.flat_map(|line| [line.strip_prefix("- ").unwrap(), "\n"]).collect()
}

/// A folder with stubs, and where the script works.
struct Runner {
    home: Home,
}

impl Runner {
    fn new() -> Self {
        let home = Home::new();
        for folder in ["bin", "calls", "checkout", "temp"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        for program in ["sandbox-check", "cargo"] {
            let path = home.path().join("bin").join(program);
            fs::write(&path, STUB).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { home }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a script as GitHub's and GitLab's runners run a bash script.
    fn run(&self, script: &str, variables: &[(&str, &str)]) -> Output {
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        let mut bash = self.home.command("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(self.at("checkout"));
        bash.env("PATH", path).env("CALLS", self.at("calls")).env("RUNNER_TEMP", self.at("temp"));
        bash.env("GITHUB_OUTPUT", self.at("output")).env("GITHUB_STEP_SUMMARY", self.at("summary"));
        bash.env_remove("SANDBOX_CHECK_CACHE_KEY").envs(variables.iter().copied());
        bash.output().unwrap()
    }

    /// The step that checks, with inputs that are not said left empty.
    fn check(&self, inputs: &[(&str, &str)]) -> Output {
        let defaults = [("FAIL_ON", "medium"), ("SARIF", "a.sarif"), ("CACHE", ""), ("BASELINE", "")];
        self.run(&script(&tracked("action.yml"), "Check"), &[&defaults, inputs].concat())
    }

    /// What a stub was called with since this was asked last.
    fn calls(&self, program: &str) -> Vec<Vec<String>> {
        let path = self.at("calls").join(program);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        let calls = text.split_inclusive("\0\n").map(|call| call.trim_end_matches("\0\n"));
        calls.map(|call| call.split('\0').map(str::to_owned).collect()).collect()
    }
}

/// What the program says to such a call, if it stops short of doing it.
fn asked(call: &[String]) -> Output {
    let words = call.iter().position(|word| word == "--").unwrap_or(call.len());
    let mut call = call.to_vec();
    call.insert(words, "--help".to_owned());
    Home::new().run(call)
}

#[test]
fn no_expression_is_part_of_a_script() {
    let files = ["action.yml", "scripts/ci/github-nightly.yml", ".github/workflows/ci.yml"];
    for file in files {
        for (name, script) in scripts(&tracked(file)) {
            assert!(!script.contains("${{"), "{file}: {name}: {script}");
        }
    }
    assert!(scripts(&tracked("action.yml")).len() >= 3 && scripts(&tracked(files[2])).len() >= 4);
    let bad = "steps:\n  - name: One\n    run: |\n      echo ${{ inputs.args }}\n  - run: ls ${{ inputs.args }}\n";
    assert!(scripts(bad).iter().all(|(_, script)| script.contains("${{")) && scripts(bad).len() == 2);
}

#[test]
fn the_program_knows_each_option_that_a_file_for_ci_names() {
    let runner = Runner::new();
    let key =
        [("SANDBOX_CHECK_CACHE_KEY", "0123456789abcdef0123456789abcdef"), ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "abc")];
    let cache = runner.at("cache");
    let inputs = [("ARGS", "lock"), ("BASELINE", "old.lock"), ("CACHE", cache.to_str().unwrap()), key[0]];
    // The second time there is something to bring in.
    for _ in 0..2 {
        runner.check(&inputs);
    }
    let of_action = runner.calls("sandbox-check");
    let gitlab = tracked("scripts/ci/gitlab.yml");
    for name in ["sandbox-check-nightly", "sandbox-check-change"] {
        for _ in 0..2 {
            runner.run(&job(&gitlab, name), &key);
        }
    }
    let of_gitlab = runner.calls("sandbox-check");
    let nightly = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ci/nightly");
    runner.run(&format!("'{}' reports lock --deps-only", nightly.display()), &[]);
    let of_shell = runner.calls("sandbox-check");
    assert_eq!((of_action.len(), of_gitlab.len(), of_shell.len()), (5, 7, 1), "{of_action:?} {of_gitlab:?}");
    for call in [of_action, of_gitlab, of_shell].concat() {
        let output = asked(&call);
        assert_eq!(code(&output), 0, "{call:?}: {}", stderr(&output));
        let mut bad = call.clone();
        bad.insert(1, "--no-such-option".to_owned());
        assert_eq!(code(&asked(&bad)), 2, "{bad:?}");
    }
}

#[test]
fn no_input_becomes_shell() {
    let runner = Runner::new();
    let bad = "a 'b\" $(touch pwned) `touch pwned`; touch pwned && touch pwned\n* ~ ${HOME}";
    let inputs =
        [("ARGS", bad), ("FAIL_ON", bad), ("SARIF", bad), ("CACHE", bad), ("BASELINE", bad), ("STUB_CODE", "10")];
    let inputs = [&inputs[..], &[("GITHUB_EVENT_NAME", "push")]].concat();
    let output = runner.check(&inputs);
    assert_eq!(code(&output), 10, "{}", stderr(&output));
    let calls = runner.calls("sandbox-check");
    let words: Vec<_> = bad.split_whitespace().map(str::to_owned).collect();
    assert_eq!((calls.len(), &calls[0][..words.len()]), (1, words.as_slice()));
    for whole in ["--fail-on=", "sarif=", "--since=", "--cache-dir="] {
        assert!(calls[0].contains(&format!("{whole}{bad}")), "{whole}: {calls:?}");
    }
    let install = script(&tracked("action.yml"), "Install");
    runner.run(&install, &[("HERE", bad), ("VERSION", bad)]);
    runner.run(&install, &[("HERE", bad), ("VERSION", "")]);
    let by_cargo = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let version = format!("--version={bad}");
    assert_eq!(
        runner.calls("cargo"),
        [
            by_cargo(&["install", "sandbox-check", "--locked", &version]),
            by_cargo(&["install", "--path", bad, "--locked"])
        ]
    );
    let base = [("CI_MERGE_REQUEST_DIFF_BASE_SHA", bad)];
    runner.run(&job(&tracked("scripts/ci/gitlab.yml"), "sandbox-check-change"), &base);
    assert!(runner.calls("sandbox-check")[0].contains(&format!("--since={bad}")));
    let files = runner.home.files();
    assert!(files.iter().all(|file| !file.contains("pwned")), "{files:?}");
    // It would be seen.
    runner.run(&format!("eval '{}'", "$(touch pwned)"), &[]);
    assert!(runner.home.files().iter().any(|file| file.contains("pwned")));
}

#[test]
fn each_input_is_declared_and_reaches_a_step() {
    let action = tracked("action.yml");
    let declared = action.split_once("\noutputs:").unwrap().0.split_once("\ninputs:").unwrap().1;
    let names = declared.lines().filter(|line| depth(line) == 2 && line.ends_with(':'));
    let mut declared: Vec<_> = names.map(|line| line.trim().trim_end_matches(':')).collect();
    let used = action.split("inputs.").skip(1);
    let end = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    let mut used: Vec<_> = used.map(|text| &text[..end(text)]).collect();
    used.sort_unstable();
    used.dedup();
    declared.sort_unstable();
    assert_eq!(declared, used);
}

#[test]
fn the_setting_that_forbids_namespaces_is_changed_where_it_is_on_and_nowhere_else() {
    let step = script(&tracked("action.yml"), "Let ordinary users make namespaces");
    for (says, changes) in [("echo 1", true), ("echo 0", false), ("exit 255", false)] {
        let runner = Runner::new();
        let programs = [("sysctl", format!("#!/bin/sh\n{says}\n")), ("sudo", STUB.to_owned())];
        for (name, text) in programs {
            let path = runner.at("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let output = runner.run(&step, &[]);
        assert_eq!(code(&output), 0, "{says}: {}", stderr(&output));
        let set = ["sysctl", "-q", "kernel.apparmor_restrict_unprivileged_userns=0"].map(str::to_owned).to_vec();
        assert_eq!(runner.calls("sudo"), if changes { vec![set] } else { Vec::new() }, "{says}");
    }
}

#[test]
fn the_program_is_installed_where_no_change_chooses_the_cargo() {
    let action = tracked("action.yml");
    let (_, install) = action.split_once("- name: Install\n").unwrap();
    let (before, _) = install.split_once("run: |").unwrap();
    assert!(before.lines().any(|line| line.trim() == "working-directory: ${{ runner.temp }}"), "{before}");
}

#[test]
fn the_action_ends_as_the_check_and_shows_its_summary() {
    for ended in ["0", "10", "75"] {
        let runner = Runner::new();
        let output = runner.check(&[("ARGS", "./"), ("STUB_CODE", ended)]);
        assert_eq!(code(&output).to_string(), ended, "{}", stderr(&output));
        assert_eq!(fs::read_to_string(runner.at("output")).unwrap(), format!("exit-code={ended}\n"));
        assert_eq!(fs::read_to_string(runner.at("summary")).unwrap(), "told\n");
        assert!(
            runner.calls("sandbox-check")[0].iter().all(|word| !word.contains("--since") && !word.contains("cache"))
        );
    }
}

#[test]
fn what_a_package_says_is_no_command_to_the_runner() {
    let runner = Runner::new();
    let cache = runner.at("cache");
    let key = ("SANDBOX_CHECK_CACHE_KEY", "0123456789abcdef0123456789abcdef");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let output = runner.check(&[("ARGS", "lock"), ("CACHE", cache.to_str().unwrap()), key]);
        // The order of two streams is anybody's guess.
        assert_eq!(stderr(&output), "");
        let output = stdout(&output);
        let mut stopped: Option<String> = None;
        let mut said = 0;
        for line in output.lines() {
            if let Some(token) = line.strip_prefix("::stop-commands::") {
                stopped = Some(format!("::{token}::"));
                tokens.push(token.to_owned());
            } else if stopped.as_deref() == Some(line) {
                stopped = None;
            } else if line.trim_start().starts_with("::") {
                assert!(stopped.is_some(), "{output}");
                said += 1;
            }
        }
        assert!(said >= 4 && stopped.is_none(), "{output}");
    }
    // Nobody can say a token that he cannot know.
    tokens.dedup();
    assert!(tokens.len() == 2 && tokens.iter().all(|token| token.len() == 32), "{tokens:?}");
}

#[test]
fn with_a_key_only_what_is_authenticated_travels() {
    let key = ("SANDBOX_CHECK_CACHE_KEY", "0123456789abcdef0123456789abcdef");
    let runner = Runner::new();
    let (cache, temp) = (runner.at("cache"), runner.at("temp/sandbox-check-evidence"));
    let (folder, private) = (format!("--cache-dir={}", cache.display()), format!("--cache-dir={}", temp.display()));
    let file = cache.join("evidence.cache").display().to_string();
    let check = |more: &[(&str, &str)]| {
        let usual = [("ARGS", "lock"), ("CACHE", cache.to_str().unwrap()), ("GITHUB_EVENT_NAME", "schedule")];
        let output = runner.check(&[&usual, more].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let calls = runner.calls("sandbox-check");
        calls
            .iter()
            .map(|call| (call[..2].join(" "), call.iter().find(|w| w.starts_with("--cache")).unwrap().clone()))
            .collect::<Vec<_>>()
    };
    let told = |calls: &[(&str, &String)]| {
        calls.iter().map(|(what, at)| ((*what).to_owned(), (*at).clone())).collect::<Vec<_>>()
    };
    let checked = "lock --fail-on=medium";
    fs::create_dir_all(cache.join("known")).unwrap();
    for event in ["schedule", "push", "workflow_dispatch"] {
        assert_eq!(check(&[("GITHUB_EVENT_NAME", event)]), told(&[(checked, &folder)]), "{event}");
    }
    // What a change finds without a key may be its own.
    for event in ["pull_request", "pull_request_target", "workflow_run", "issue_comment", "merge_group", ""] {
        assert_eq!(check(&[("GITHUB_EVENT_NAME", event)]), told(&[(checked, &private)]), "{event}");
    }
    assert_eq!(check(&[("SANDBOX_CHECK_CACHE_KEY", "")]), told(&[(checked, &folder)]));
    assert_eq!(check(&[key]), told(&[(checked, &private), ("cache export", &private)]));
    assert!(Path::new(&file).exists());
    assert_eq!(check(&[key]), told(&[("cache import", &private), (checked, &private), ("cache export", &private)]));
    // Who has no key writes nothing.
    assert_eq!(check(&[]), told(&[("cache import", &private), (checked, &private)]));
}

/// Whether the step that keeps evidence has its turn; what GitHub's expressions are made of there is little.
fn keeps(event: &str, reference: &str) -> bool {
    let action = tracked("action.yml");
    let at = action.find("- name: Keep the evidence").unwrap();
    let condition = action[at..].split("if: >-").nth(1).unwrap().split("uses:").next().unwrap();
    let condition = condition.split_whitespace().collect::<Vec<_>>().join(" ");
    let shell = condition
        .replace("!cancelled()", "true")
        .replace("inputs.cache != ''", "true")
        .replace("steps.check.outputs.exit-code != ''", "true")
        .replace("format('refs/heads/{0}', github.event.repository.default_branch)", "'refs/heads/main'")
        .replace("github.event_name ==", &format!("test '{event}' ="))
        .replace("github.ref ==", &format!("test '{reference}' ="));
    Command::new("sh").args(["-euc", &shell]).status().unwrap().success()
}

#[test]
fn evidence_is_kept_by_runs_of_the_default_branch_only() {
    let (main, other) = ("refs/heads/main", "refs/heads/topic");
    for event in ["schedule", "push", "workflow_dispatch"] {
        assert!(keeps(event, main), "{event}");
    }
    for event in ["pull_request", "pull_request_target", "workflow_run", "issue_comment", "merge_group"] {
        assert!(!keeps(event, main), "{event}");
    }
    assert!(!keeps("push", other) && !keeps("workflow_dispatch", other));
    let action = tracked("action.yml");
    assert_eq!(action.matches("uses: ").count(), 2);
    assert_eq!(
        (action.matches("actions/cache/restore@").count(), action.matches("actions/cache/save@").count()),
        (1, 1)
    );
}

#[test]
fn what_is_used_of_others_is_named_by_its_commit() {
    for file in ["action.yml", "scripts/ci/github-nightly.yml", ".github/workflows/ci.yml"] {
        let text = tracked(file);
        let used = text.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix("uses: "));
        for action in used.filter(|action| *action != "OWNER/sandbox-check@COMMIT") {
            let commit = action.split_once('@').unwrap().1.split(' ').next().unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{file}: {action}");
        }
    }
}

#[test]
fn a_workflow_asks_for_no_right_that_it_does_not_need() {
    for file in ["scripts/ci/github-nightly.yml", ".github/workflows/ci.yml"] {
        let text = tracked(file);
        assert!(text.contains("\npermissions: {}\n"), "{file}");
        let rights: Vec<_> = text.lines().map(str::trim).filter(|line| line.ends_with(": write")).collect();
        let wanted: &[&str] = if file.starts_with('.') { &[] } else { &["security-events: write"] };
        assert_eq!(rights, wanted, "{file}");
        assert!(!text.contains("pull_request_target") && !text.contains("workflow_run"), "{file}");
        assert_eq!(text.matches("actions/checkout@").count(), text.matches("persist-credentials: false").count());
    }
}

#[test]
fn the_nightly_script_leaves_each_report_and_none_of_last_night() {
    let ground = Ground::new();
    ground.registry.publish(
        &Package::new("asks", "1.0.0")
            .file("build.rs", "fn main() { let _ = std::net::ToSocketAddrs::to_socket_addrs(&(\"x.invalid\", 80)); }"),
    );
    let manifest = "[package]\nname = 'app'\nversion = '0.1.0'\nedition = '2021'\n[dependencies]\nasks = '1'\n";
    ground.file("ws/Cargo.toml", manifest).file("ws/src/lib.rs", "").locked();
    let program = Path::new(env!("CARGO_BIN_EXE_sandbox-check")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let night = |args: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ci/nightly");
        let mut command = ground.home.command(script.to_str().unwrap());
        command.env("CARGO_HOME", ground.registry.home()).env("PATH", &path).args(args).output().unwrap()
    };
    let reports = || {
        let mut names: Vec<_> = fs::read_dir(ground.home.path().join("out dir"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("report."))
            .collect();
        names.sort();
        names
    };
    let output = night(&["out dir", "lock", "ws"]);
    assert_eq!(code(&output), 11, "{}", stderr(&output));
    assert_eq!(reports(), ["report.json", "report.md", "report.sarif", "report.xml"]);
    let report: Value =
        serde_json::from_slice(&fs::read(ground.home.path().join("out dir/report.json")).unwrap()).unwrap();
    assert_eq!(report["verdict"], "review");
    let evidence = report["evidence"]["path"].as_str().unwrap();
    assert!(evidence.contains("/out dir/evidence/"), "{evidence}");
    let broken = night(&["out dir", "lock", "nowhere"]);
    assert_eq!((code(&broken), reports()), (3, Vec::new()), "{}", stderr(&broken));
    assert_eq!(code(&night(&["out dir"])), 2);
}
