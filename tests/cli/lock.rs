//! `sandbox-check lock`: workspaces and bare lock files, with packages of a registry on loopback.

use super::processes::{descendants, within};
use super::server::{Manners, Package, Registry, download_path, index_path};
use super::*;

mod again;
mod bare;
mod base;
mod baseline;
mod ends;
mod facts;
mod hostile;
mod members;
mod nights;
mod since;
mod twins;
mod unchanged;
mod unnamed;
mod versions;

/// A workspace, and a registry that its packages come from.
pub(super) struct Ground {
    pub(super) home: Home,
    pub(super) registry: Registry,
}

const BUILDS: &str = "fn main() {}";

fn member(name: &str, more: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{more}")
}

impl Ground {
    pub(super) fn new() -> Self {
        let registry = Registry::start();
        registry.publish(&Package::new("leafy", "1.0.0").file("build.rs", BUILDS));
        registry.publish(&Package::new("middle", "1.0.0").needs("leafy", "^1"));
        registry.publish(&Package::new("windowsy", "1.0.0").file("build.rs", BUILDS));
        Self { home: Home::new(), registry }
    }

    /// An app that needs a folder that needs packages.
    fn workspace(&self) -> &Self {
        self.file("ws/Cargo.toml", "[workspace]\nmembers = ['app']\nresolver = '2'\n")
            .file("ws/app/Cargo.toml", &member("app", "[dependencies]\ninner = { path = '../inner' }\n"))
            .file("ws/app/src/lib.rs", "")
            .file("ws/app/build.rs", BUILDS)
            .file(
                "ws/inner/Cargo.toml",
                &member(
                    "inner",
                    "[dependencies]\nmiddle = '1'\n[target.'cfg(windows)'.dependencies]\nwindowsy = '1'\n",
                ),
            )
            .file("ws/inner/src/lib.rs", "")
    }

    pub(super) fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Lets cargo write the lock file, before anything hostile lies there.
    pub(super) fn locked(&self) -> &Self {
        self.locked_in("ws")
    }

    fn locked_in(&self, folder: &str) -> &Self {
        let mut cargo = self.home.command("cargo");
        cargo.env("CARGO_HOME", self.registry.home()).arg("generate-lockfile");
        let output = cargo.current_dir(self.home.path().join(folder)).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(env!("CARGO_BIN_EXE_sandbox-check"));
        command.env("CARGO_HOME", self.registry.home()).arg("lock").args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The same, ended by Ctrl-C once a process with this in its command runs.
    fn interrupted(&self, args: &[&str], word: &str) -> Output {
        self.ended_by(nix::sys::signal::Signal::SIGINT, args, word)
    }

    fn ended_by(&self, signal: nix::sys::signal::Signal, args: &[&str], word: &str) -> Output {
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_sandbox-check"), "lock"]).args(args);
        command.current_dir(self.home.path()).env("CARGO_HOME", self.registry.home()).env("HOME", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in self.home.command("x").get_envs() {
            match value {
                Some(value) if name == "RUSTUP_HOME" => drop(command.env(name, value)),
                None => drop(command.env_remove(name)),
                Some(_) => {}
            }
        }
        let child = command.spawn().unwrap();
        let runs = || descendants(child.id()).iter().any(|process| process.command.contains(word));
        assert!(within(std::time::Duration::from_mins(4), runs), "{word} never ran");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        child.wait_with_output().unwrap()
    }

    fn report(&self, args: &[&str]) -> (Value, i32) {
        let output = self.run(&[&["--format=json"], args].concat());
        (json(&output), code(&output))
    }

    /// Makes a repository of a folder; gives its URL.
    fn repository(&self, folder: &str) -> String {
        let folder = self.home.path().join(folder);
        for args in [&["init", "-q", "-b", "main", "."][..], &["add", "."], &["commit", "-q", "-m", "one"]] {
            let mut git = self.home.command("git");
            git.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(args);
            let output = git.current_dir(&folder).output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
        }
        format!("file://{}", folder.display())
    }

    /// Copies a malicious fixture.
    fn fixture(&self, name: &str, to: &str) -> &Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/malicious-crates").join(name);
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(from.join(&folder)).unwrap().map(Result::unwrap) {
                let path = folder.join(entry.file_name());
                if entry.path().is_dir() {
                    folders.push(path);
                } else {
                    // Here it is a member of somebody's workspace, not one of its own.
                    let text = fs::read_to_string(entry.path()).unwrap().replace("[workspace]", "");
                    self.file(&format!("{to}/{}", path.display()), &text);
                }
            }
        }
        self
    }
}

fn package<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    report["packages"].as_array().unwrap().iter().find(|package| package["id"] == id)
}

fn not_exercised(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = report["lock"]["not_exercised"].as_array().unwrap();
    all.iter().map(|found| (text(&found["package"]), text(&found["why"]))).collect()
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

#[test]
fn a_workspace_is_built_once_and_every_package_is_accounted_for() {
    let ground = Ground::new();
    ground.workspace().locked();
    for depth in ["build", "check"] {
        let (report, code) = ground.report(&["ws", "--depth", depth]);
        assert_eq!((code, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
        assert_eq!(report["coverage"]["build_scripts"]["found"], 2);
        assert_eq!(report["coverage"]["build_scripts"]["run"], 2);
        assert_eq!(report["lock"]["consumer"], "workspace");
        assert_eq!(report["target"]["name"], "ws/Cargo.lock");
        assert_eq!(not_exercised(&report), [pair("windowsy@1.0.0", "other-platform")]);
        let leafy = package(&report, "leafy@1.0.0").unwrap();
        assert_eq!(leafy["path"], serde_json::json!(["app@0.1.0", "inner@0.1.0", "middle@1.0.0", "leafy@1.0.0"]));
        let lock = fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap();
        for package in report["lock"]["packages"].as_array().unwrap() {
            let line = usize::try_from(package["line"].as_u64().unwrap()).unwrap();
            let text: Vec<_> = lock.lines().skip(line - 1).take(2).collect();
            let name = package["id"].as_str().unwrap().split('@').next().unwrap();
            assert_eq!(text, ["[[package]]", &format!("name = \"{name}\"")]);
        }
    }
}

#[test]
fn the_lock_file_is_found_upward_and_none_is_no_error_of_ours() {
    let ground = Ground::new();
    ground.workspace().locked();
    let mut command = ground.command(&["--print-plan"]);
    let output = command.current_dir(ground.home.path().join("ws/inner/src")).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["header"]["target"]["kind"], "lock");
    let (report, exit) = ground.report(&["nowhere"]);
    assert_eq!((exit, &report["error"]["code"]), (3, &Value::from("not-found")));
    ground.file("empty/Cargo.lock", "version = 4\n");
    let (report, exit) = ground.report(&["empty"]);
    assert_eq!((exit, &report["error"]["code"]), (3, &Value::from("not-found")), "{report}");
}

#[test]
fn a_release_that_is_gone_takes_along_what_needs_it_also_where_no_workspace_lies_beside_the_file() {
    let ground = Ground::new();
    ground.workspace().locked();
    fs::create_dir(ground.home.path().join("bare")).unwrap();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    // What cargo has learned of it.
    fs::remove_dir_all(ground.registry.home().join("registry/index")).unwrap();
    ground.registry.put(&index_path("leafy"), Package::new("leafy", "1.0.1").line().into_bytes());
    let (report, code) = ground.report(&["bare/Cargo.lock"]);
    assert_eq!((code, &report["verdict"]), (5, &Value::from("inconclusive")), "{report:#}");
    let left_out = not_exercised(&report);
    for id in ["leafy@1.0.0", "middle@1.0.0"] {
        assert!(left_out.contains(&pair(id, "unsupported")), "{left_out:?}");
    }
    assert_eq!(report["coverage"]["build_scripts"]["run"], 1, "{report:#}");
}

#[test]
fn a_malicious_folder_deep_in_the_graph_is_found_with_its_path() {
    let ground = Ground::new();
    ground.workspace().fixture("reads-ssh-key", "ws/vendor/deep").file(
        "ws/inner/Cargo.toml",
        &member("inner", "[dependencies]\nmiddle = '1'\nreads-ssh-key = { path = '../vendor/deep' }\n"),
    );
    ground.locked();
    let sarif = ground.home.path().join("out.sarif");
    let output = format!("sarif={}", sarif.display());
    let (report, exit) = ground.report(&["ws", "--env", "SANDBOX_CHECK_FIXTURE=1", "--output", &output]);
    assert_eq!((exit, &report["verdict"]), (10, &Value::from("fail")));
    // The worst comes first.
    let first = &report["packages"][0];
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("reads-ssh-key@"), "{id}");
    assert_eq!(first["path"], serde_json::json!(["app@0.1.0", "inner@0.1.0", id]));
    assert_eq!(first["findings"][0]["code"], "credential-read");
    let log: Value = serde_json::from_slice(&fs::read(sarif).unwrap()).unwrap();
    let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "ws/Cargo.lock");
    let line = place["region"]["startLine"].as_u64().unwrap();
    let lock = fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap();
    assert_eq!(lock.lines().nth(usize::try_from(line).unwrap()), Some("name = \"reads-ssh-key\""));
    // Without the workspace's own code, it is not run, and that is said.
    let (report, exit) = ground.report(&["ws", "--deps-only", "--env", "SANDBOX_CHECK_FIXTURE=1"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
    assert_eq!(report["coverage"]["build_scripts"]["run"], 1);
    assert!(not_exercised(&report).contains(&pair(id, "own")));
}

#[test]
fn a_package_that_fails_takes_along_what_needs_it_and_nothing_else() {
    let ground = Ground::new();
    let fails = "fn main() { eprintln!(\"no such thing as libfoo\"); std::process::exit(3) }";
    ground.registry.publish(&Package::new("failing", "1.0.0").file("build.rs", fails));
    ground
        .registry
        .publish(&Package::new("dependent", "1.0.0").needs("failing", "^1").manifest("[lib]\nproc-macro = true\n"));
    ground
        .workspace()
        .file("ws/app/Cargo.toml", &member("app", "[dependencies]\ninner = { path = '../inner' }\ndependent = '1'\n"));
    ground.locked();
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (5, &Value::from("inconclusive")));
    let reasons = report["completeness"]["reasons"].as_array().unwrap();
    let of = |id: &str| reasons.iter().find(|reason| reason["package"] == id).unwrap_or_else(|| panic!("{reasons:#?}"));
    assert_eq!(of("failing@1.0.0")["code"], "build-failed");
    assert!(of("failing@1.0.0")["log_tail"].as_str().unwrap().contains("libfoo"));
    assert_eq!(of("dependent@1.0.0")["text"], "it needs failing@1.0.0, which failed");
    assert_eq!(reasons.len(), 2, "{reasons:#?}");
    assert_eq!(package(&report, "leafy@1.0.0").unwrap()["verdict"], "pass");
    assert_eq!(report["coverage"]["build_scripts"]["run"], 3);
}

#[test]
fn a_package_that_is_refused_or_cannot_be_had_leaves_the_others() {
    let ground = Ground::new();
    ground.workspace().locked();
    ground.registry.behave(&download_path("leafy", "1.0.0"), Manners::Status(503, u32::MAX));
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["error"]["code"]), (75, &Value::from("temporary")), "{report:#}");
    assert!(not_exercised(&report).contains(&pair("leafy@1.0.0", "unavailable")));
    // The member's own script ran all the same.
    assert_eq!(report["coverage"]["build_scripts"]["run"], 1, "{report:#}");
    assert!(ground.registry.count(&download_path("leafy", "1.0.0")) > 1, "it was tried again");

    ground.registry.behave(&download_path("leafy", "1.0.0"), Manners::Other(b"something else".to_vec()));
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (10, &Value::from("fail")));
    let leafy = package(&report, "leafy@1.0.0").unwrap();
    assert_eq!(leafy["findings"][0]["code"], "checksum-mismatch");
    assert!(not_exercised(&report).contains(&pair("leafy@1.0.0", "refused")));
    assert_eq!(report["coverage"]["build_scripts"]["run"], 1);
}

#[test]
fn a_package_whose_manifest_is_not_what_its_index_says_is_refused_and_leaves_the_others() {
    let ground = Ground::new();
    let leafy = Package::new("leafy", "1.0.0").file("build.rs", BUILDS);
    let line = leafy.line().replace("\"features\":{}", "\"features\":{\"hidden\":[]}");
    assert_ne!(line, leafy.line(), "the control: the index says something else");
    ground.registry.put(&index_path("leafy"), line.into_bytes());
    ground.workspace().locked();
    for place in ["ws", "ws/Cargo.lock"] {
        let (report, exit) = ground.report(&[place]);
        assert_eq!((exit, &report["verdict"]), (10, &Value::from("fail")), "{place}: {report:#}");
        let leafy = package(&report, "leafy@1.0.0").unwrap();
        assert_eq!(leafy["findings"][0]["code"], "unsafe-archive", "{leafy:#}");
        assert!(not_exercised(&report).contains(&pair("leafy@1.0.0", "refused")));
        assert_eq!(report["coverage"]["build_scripts"]["run"], 1);
    }
}

#[test]
fn an_index_that_says_nothing_of_one_package_leaves_the_others() {
    let ground = Ground::new();
    ground.workspace().locked();
    // What cargo has learned of it.
    fs::remove_dir_all(ground.registry.home().join("registry/index")).unwrap();
    ground.registry.behave(&index_path("leafy"), Manners::Status(503, u32::MAX));
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["error"]["code"]), (75, &Value::from("temporary")), "{report:#}");
    assert!(not_exercised(&report).contains(&pair("leafy@1.0.0", "unavailable")));
    assert_eq!(report["coverage"]["build_scripts"]["run"], 1);
}

#[test]
fn offline_it_names_what_is_missing() {
    let ground = Ground::new();
    ground.workspace().locked();
    let (report, exit) = ground.report(&["ws", "--offline"]);
    assert_eq!((exit, &report["error"]["code"]), (3, &Value::from("not-found")), "{report}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("leafy@1.0.0") && message.contains("middle@1.0.0"), "{message}");
    fs::remove_dir_all(ground.registry.home().join("registry")).unwrap();
    let (report, exit) = ground.report(&["ws", "--offline"]);
    assert_eq!(exit, 3, "{report}");
    assert!(report["error"]["message"].as_str().unwrap().contains("leafy@1.0.0"), "{report}");
}

#[test]
fn hostile_settings_of_a_workspace_change_nothing_here() {
    let ground = Ground::new();
    ground.workspace().locked();
    let evil = ground.home.path().join("evil");
    let sign = ground.home.path().join("sign");
    ground.file("evil", &format!("#!/bin/sh\necho ran >> {}\nexit 1\n", sign.display()));
    fs::set_permissions(&evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let evil = evil.display();
    let config = format!(
        "[build]\nrustc-wrapper = '{evil}'\nrustc = '{evil}'\nrustflags = ['--cfg', 'told', '-Clinker={evil}']\ntarget-dir = '/tmp/evil-target'\n\
         [target.x86_64-unknown-linux-gnu]\nlinker = '{evil}'\nrunner = '{evil}'\n[alias]\ncheck = ['run']\ngenerate-lockfile = '{evil}'\n\
         [registry]\nglobal-credential-providers = ['{evil}']\n[registries.test]\nindex = 'sparse+http://127.0.0.1:1/'\n\
         [env]\nRUSTC_WRAPPER = {{ value = '{evil}', force = true }}\nTOLD = 'by the workspace'\nLD_PRELOAD = '{evil}'\n\
         [source.crates-io]\nreplace-with = 'evil'\n[source.evil]\nregistry = 'sparse+http://127.0.0.1:1/'\n"
    );
    ground
        .file("ws/.cargo/config.toml", &config)
        .file("ws/rust-toolchain.toml", &format!("[toolchain]\npath = '{evil}'\n"))
        .file("ws/sandbox-check.toml", "[[ignore]]\ncode = 'credential-read'\nreason = 'x'\nexpires = '2099-01-01'\n")
        .file(
            "ws/app/build.rs",
            "fn main() { assert_eq!(std::env::var(\"TOLD\").unwrap(), \"by the workspace\"); assert!(cfg!(told)); }",
        );
    let before = fs::read(ground.home.path().join("ws/Cargo.lock")).unwrap();
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{report:#}");
    assert!(!sign.exists(), "a program of the workspace's ran on the host");
    let text = |list: &str| {
        let all = report["lock"][list].as_array().unwrap().iter();
        all.map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
    };
    let ignored = text("ignored");
    for key in [
        "build.rustc-wrapper",
        "build.rustc:",
        "linker that it names",
        "target.x86_64-unknown-linux-gnu.linker",
        "target.x86_64-unknown-linux-gnu.runner",
        "alias.check",
        "registry.global-credential-providers",
        "env.RUSTC_WRAPPER",
        "env.LD_PRELOAD",
        "toolchain.path",
        "sandbox-check.toml",
    ] {
        assert!(ignored.contains(key), "{key} is not among\n{ignored}");
    }
    assert!(text("taken").contains("env.TOLD"), "{}", text("taken"));
    assert_eq!(fs::read(ground.home.path().join("ws/Cargo.lock")).unwrap(), before);
    assert!(!ground.home.path().join("ws/target").exists());
    // No folder of the workspace's was a working directory of ours.
    let human = stdout(&ground.run(&["ws"]));
    assert!(human.contains("settings ignored"), "{human}");
}

#[test]
fn a_registry_of_the_workspaces_own_is_used_and_gets_no_token_of_the_users() {
    let ground = Ground::new();
    let other = Registry::server();
    other.publish(&Package::new("private-thing", "1.0.0").file("build.rs", BUILDS));
    let config = format!("[registries.mine]\nindex = '{}'\n", other.index_url());
    ground.workspace().file("ws/.cargo/config.toml", &config).file(
        "ws/app/Cargo.toml",
        &member(
            "app",
            "[dependencies]\ninner = { path = '../inner' }\nprivate-thing = { version = '1', registry = 'mine' }\n",
        ),
    );
    ground.locked();
    let before = other.seen().len();
    fs::write(ground.registry.home().join("credentials.toml"), "[registries.mine]\ntoken = 'sesame'\n").unwrap();
    fs::remove_dir_all(ground.registry.home().join("registry")).unwrap();
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["verdict"]), (0, &Value::from("pass")), "{}", report["completeness"]);
    assert_eq!(report["lock"]["sources"]["other_registry"], 1);
    assert_eq!(report["coverage"]["build_scripts"]["run"], 3);
    let asked = other.seen();
    assert!(asked.len() > before && asked.iter().skip(before).all(|seen| seen.authorization.is_none()), "{asked:?}");
}

#[test]
fn a_toolchain_that_is_not_here_is_named_and_not_fetched() {
    let ground = Ground::new();
    ground.workspace().locked().file("ws/rust-toolchain.toml", "[toolchain]\nchannel = '1.2.3'\n");
    let (report, exit) = ground.report(&["ws"]);
    assert_eq!((exit, &report["error"]["code"]), (2, &Value::from("usage")), "{report}");
    let hint = report["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("rustup toolchain install 1.2.3"), "{hint}");
}

#[test]
fn since_a_file_or_a_commit_only_what_changed_is_told() {
    let ground = Ground::new();
    ground.workspace().locked();
    let old = fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap();
    ground.file("old.lock", &old);
    ground.repository("ws");
    ground.registry.publish(&Package::new("newcomer", "2.0.0").file("build.rs", BUILDS).needs("brought", "^1"));
    ground.registry.publish(&Package::new("brought", "1.0.0"));
    ground.file("ws/app/Cargo.toml", &member("app", "[dependencies]\ninner = { path = '../inner' }\nnewcomer = '2'\n"));
    ground.locked();
    // What git knows as a commit is one, or a change that brings a file of that name says itself what is new.
    ground.file("HEAD", &fs::read_to_string(ground.home.path().join("ws/Cargo.lock")).unwrap());
    for since in ["HEAD", "old.lock"] {
        let (report, exit) = ground.report(&["ws", "--since", since]);
        assert_eq!(exit, 0, "{report:#}");
        assert_eq!(report["lock"]["since"], since);
        let ids: Vec<_> =
            report["packages"].as_array().unwrap().iter().map(|package| package["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["app@0.1.0", "brought@1.0.0", "inner@0.1.0", "newcomer@2.0.0"]);
        let packages = report["lock"]["packages"].as_array().unwrap();
        let newcomer = packages.iter().find(|package| package["id"] == "newcomer@2.0.0").unwrap();
        assert_eq!(newcomer["change"], serde_json::json!({"kind": "added"}));
        assert_eq!(newcomer["brings"], serde_json::json!(["brought@1.0.0"]));
        assert_eq!(newcomer["build_script"], true);
    }
    let (report, exit) = ground.report(&["ws", "--since", "no-such-commit"]);
    assert_eq!((exit, &report["error"]["code"]), (2, &Value::from("usage")));
}

#[test]
fn several_lock_files_give_one_report_that_tells_each_package_once() {
    let ground = Ground::new();
    ground.workspace().locked();
    fs::create_dir(ground.home.path().join("bare")).unwrap();
    fs::copy(ground.home.path().join("ws/Cargo.lock"), ground.home.path().join("bare/Cargo.lock")).unwrap();
    let (report, exit) = ground.report(&["ws", "bare", "ws/Cargo.lock"]);
    assert_eq!(exit, 0, "{report:#}");
    let further = report["further"].as_array().unwrap();
    assert_eq!(further.len(), 1, "the same file is examined once");
    assert!(package(&report, "leafy@1.0.0").is_some());
    assert!(package(&further[0], "leafy@1.0.0").is_none());
    assert_eq!(further[0]["target"]["name"], "bare/Cargo.lock");
    for format in ["sarif", "junit", "markdown", "ndjson", "human"] {
        let output = ground.run(&["ws", "bare", "--format", format]);
        assert_eq!(code(&output), 0, "{format}: {}", stderr(&output));
        assert!(stdout(&output).contains("bare/Cargo.lock"), "{format}");
    }
}
