//! The project is written to disk and given to the cargo of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::acquire::{SourcePackage, SubjectDependency, SubjectOrigin, begin_run};
use crate::evidence::line::{MacroKind, PackageSource, Target, TargetKind};
use crate::ids::PackageId;
use crate::plan::{decoy, environment, macros};

/// Three macros whose expansions say in cargo's messages that they ran.
const SPEAKING_MACROS: &str = r#"
use proc_macro::TokenStream;

fn say(what: &str) -> TokenStream {
    format!("::core::compile_error!(\"expanded {what}\");").parse().unwrap()
}

#[proc_macro_derive(Speak)]
pub fn derive_speak(_input: TokenStream) -> TokenStream { say("the derive") }

#[proc_macro_attribute]
pub fn speak(_arguments: TokenStream, _item: TokenStream) -> TokenStream { say("the attribute") }

#[proc_macro]
pub fn leave(_input: TokenStream) -> TokenStream { std::process::exit(0) }

#[proc_macro]
pub fn quiet(_input: TokenStream) -> TokenStream { TokenStream::new() }
"#;

fn write_package(dir: &Path, name: &str, extra: &str, code: &str) {
    fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"1.2.3\"\nedition = \"2021\"\n{extra}");
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.join("src/lib.rs"), code).unwrap();
}

fn package(name: &str, dir: &str, subject: bool, proc_macro: Option<Vec<MacroName>>) -> SourcePackage {
    SourcePackage {
        id: PackageId::new(name, "1.2.3"),
        source: PackageSource::Directory,
        checksum: None,
        dir: PathBuf::from(dir),
        subject,
        build_script: false,
        proc_macro,
        lib_name: Some(name.replace('-', "_")),
        unnamed: None,
    }
}

fn lock(packages: &str) -> String {
    format!("version = 4\n\n[[package]]\nname = \"orders-service\"\nversion = \"0.4.2\"\n{packages}")
}

fn acquired(sources: tempfile::TempDir, packages: Vec<SourcePackage>, lock: String) -> Acquired {
    let subject = packages.iter().find(|package| package.subject).unwrap();
    let dir = subject.dir.strip_prefix("local").unwrap().to_path_buf();
    Acquired {
        target: Target {
            kind: TargetKind::Directory,
            name: subject.id.name.clone(),
            version: subject.id.version.clone(),
            checksum: None,
        },
        locked: None,
        subject: Some(SubjectDependency {
            name: subject.id.name.clone(),
            origin: SubjectOrigin::Local { dir },
            features: Vec::new(),
            default_features: true,
            features_off: Vec::new(),
        }),
        packages,
        lock,
        registry_dir: "registry.invalid-1949cf8c6b5b557f".to_owned(),
        replaced_sources: Vec::new(),
        facts: Vec::new(),
        registries: Vec::new(),
        wrappers: Vec::new(),
        index: Vec::new(),
        offline: false,
        changed: false,
        previous: crate::acquire::Previous::None,
        reputation: crate::acquire::Reputation::Missing { reason: String::new() },
        guard: begin_run(sources.path()).unwrap().1,
        sources,
    }
}

fn write(files: impl IntoIterator<Item = (String, Vec<u8>)>) {
    for (path, contents) in files {
        let path = Path::new(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
}

/// Plants home and project below `root` and runs `cargo check` as the sandbox does.
fn check(root: &Path, acquired: &Acquired) -> (bool, String, Consumer) {
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let (home, cargo_home, project) = (path("home/dev"), path("cargo"), path("workspace/orders-service"));
    let local = acquired.sources.path().join("local");
    let mut random = Random::from_seed([7; 32]);
    let persona = Persona::new(&home, 1_790_000_000, &mut random);
    let decoys = decoy::decoys(&home, &cargo_home, &persona, &mut random);
    write(decoys.files.into_iter().map(|file| (file.path, file.contents)));
    let paths = ConsumerPaths { project: &project, local: local.to_str().unwrap() };
    let made = consumer(acquired, paths, &persona, &mut random).unwrap();
    write(made.files.iter().map(|file| (file.path.clone(), file.contents.clone())));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["check", "--offline", "--locked", "--keep-going", "--lib", "--bins", "--message-format=json"])
        .current_dir(&project)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|value| ("PATH", value)))
        // The toolchain may be found through rustup, which needs the real home.
        .envs(
            ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "HOME"]
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .envs(environment::environment(&home, &persona, &mut random))
        .env("CARGO_HOME", &cargo_home)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned(), made)
}

#[test]
fn each_macro_of_the_subject_runs_and_none_stops_another() {
    let sources = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let dir = sources.path().join("local/speaking-macros");
    write_package(&dir, "speaking-macros", "[lib]\nproc-macro = true\n[workspace]\n", SPEAKING_MACROS);
    let found = macros::scan(&dir);
    assert_eq!(found.len(), 4, "{found:?}");
    let packages = vec![package("speaking-macros", "local/speaking-macros", true, Some(found))];
    let lock =
        lock("dependencies = [\"speaking-macros\"]\n\n[[package]]\nname = \"speaking-macros\"\nversion = \"1.2.3\"\n");
    let (success, text, made) = check(root.path(), &acquired(sources, packages, lock));
    assert!(!success, "the macros report themselves by errors");
    for what in ["expanded the derive", "expanded the attribute"] {
        assert!(text.contains(what), "no {what} in {text}");
    }
    for target in ["orders_service", "orders-service"] {
        assert!(built(&text, target), "{target} was not built: {text}");
    }
    let quiet = made.uses.iter().find(|used| used.macros.iter().any(|found| found.name == "quiet")).unwrap();
    assert_eq!(quiet.macros, [MacroName { name: "quiet".to_owned(), kind: MacroKind::Function }]);
    assert!(built(&text, &quiet.target), "the macro that ends rustc stopped another: {text}");
}

fn built(messages: &str, target: &str) -> bool {
    messages.lines().any(|line| {
        line.contains("\"reason\":\"compiler-artifact\"") && line.contains(&format!("\"name\":\"{target}\""))
    })
}

#[test]
fn macro_libraries_of_dependencies_are_loaded_too() {
    let sources = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let local = sources.path().join("local");
    let extra = "[lib]\nproc-macro = true\n[workspace]\n";
    write_package(&local.join("macros"), "order-macros", extra, SPEAKING_MACROS);
    let extra = "[dependencies]\norder-macros = { path = \"../macros\" }\n[workspace]\n";
    write_package(&local.join("std"), "std-orders", extra, "");
    let mut subject = package("std-orders", "local/std", true, None);
    subject.lib_name = Some("std_orders".to_owned());
    let packages = vec![subject, package("order-macros", "local/macros", false, Some(Vec::new()))];
    let lock = lock(
        "dependencies = [\"std-orders\"]\n\n[[package]]\nname = \"order-macros\"\nversion = \"1.2.3\"\n\n\
         [[package]]\nname = \"std-orders\"\nversion = \"1.2.3\"\ndependencies = [\"order-macros\"]\n",
    );
    let (success, text, made) = check(root.path(), &acquired(sources, packages, lock));
    assert!(success, "{text}");
    assert!(built(&text, "worker"), "{text}");
    assert_eq!(made.uses, []);
}

#[test]
fn equal_names_in_two_versions_get_keys_of_their_own() {
    let registry = format!("registry+{}", tame_index::CRATES_IO_INDEX);
    let other = "sparse+https://crates.example.invalid/index/";
    let text = lock(&format!(
        "dependencies = [\"a\"]\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\nsource = \"{registry}\"\n\n\
         [[package]]\nname = \"m\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\n\n\
         [[package]]\nname = \"m\"\nversion = \"2.0.0\"\nsource = \"{other}\"\n"
    ));
    let registry_package = |name: &str, version: &str, proc_macro| SourcePackage {
        id: PackageId::new(name, version),
        source: PackageSource::Registry,
        ..package(name, "local/x", name == "a", proc_macro)
    };
    let packages = vec![
        registry_package("a", "1.0.0+x", None),
        registry_package("m", "1.0.0", Some(Vec::new())),
        registry_package("m", "2.0.0", Some(Vec::new())),
        registry_package("not-in-the-lock", "1.0.0", Some(Vec::new())),
    ];
    let mut acquired = acquired(tempfile::tempdir().unwrap(), packages, text);
    let subject = acquired.subject.as_mut().unwrap();
    subject.origin = SubjectOrigin::Registry { version: "1.0.0+x".to_owned() };
    subject.features = vec!["std\"".to_owned()];
    acquired.packages[0].lib_name = Some("a as _; fn injected() {} //".to_owned());
    let mut random = Random::from_seed([7; 32]);
    let persona = Persona::new("/home/dev", 1_790_000_000, &mut random);
    let paths = ConsumerPaths { project: "/workspace/orders-service", local: "/workspace/crates" };
    let made = consumer(&acquired, paths, &persona, &mut random).unwrap();
    let read = |name: &str| {
        let path = format!("/workspace/orders-service/{name}");
        let file = made.files.iter().find(|file| file.path == path).unwrap();
        String::from_utf8(file.contents.clone()).unwrap().parse::<toml::Table>().unwrap()
    };
    for file in &made.files {
        assert!(!String::from_utf8_lossy(&file.contents).contains("injected"), "{}", file.path);
    }
    let manifest = read("Cargo.toml");
    assert_eq!(manifest["dependencies"]["a"]["version"].as_str(), Some("=1.0.0"));
    assert_eq!(manifest["dependencies"]["a"]["features"][0].as_str(), Some("std\""));
    assert_eq!(manifest["dependencies"]["macro_lib_0"]["version"].as_str(), Some("=1.0.0"));
    assert_eq!(manifest["dependencies"]["macro_lib_1"]["registry-index"].as_str(), Some(other));
    assert!(manifest["dependencies"].get("macro_lib_2").is_none(), "what the lock does not know is not named");
    let root = read("Cargo.lock")["package"].as_array().unwrap()[0].clone();
    let names: Vec<_> = root["dependencies"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(names, ["a", "m 1.0.0", "m 2.0.0"]);
}
