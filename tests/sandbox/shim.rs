//! Attacks on the shim: what a build script or a macro controls of its environment, its arguments, its
//! descriptors and the folder that it publishes from.

use std::sync::LazyLock;

use crate::support::sandboxed::{Run, Subject, text};

/// A crate whose build script can compile the preloaded library and the fake rustc.
fn subject(name: &'static str, main: &str) -> Subject {
    Subject::new(name)
        .file("preloaded.c", include_str!("payloads/preloaded.c"))
        .build_script(&format!("{}\nfn main() {{ {main} }}", include_str!("payloads/shim.rs")))
}

/// Everything that a build script can set for the compilation of its own package.
static RUN: LazyLock<Run> = LazyLock::new(|| {
    let main = r#"
        println!("cargo::rustc-env=LD_PRELOAD={}", compile_preloaded());
        println!("cargo::rustc-env=PATH={}", fake_rustc());
        for name in ["CARGO_MAKEFLAGS", "MAKEFLAGS"] {
            println!("cargo::rustc-env={name}=--jobserver-auth=200,200");
        }
        println!("cargo::rustc-env=CARGO_MANIFEST_DIR=/workspace/crates/attacks-shim/victim");
        println!("cargo::rustc-env=CARGO_PKG_NAME=victim");
        println!("cargo::rustc-env=CARGO_CRATE_NAME=victim");
        println!("cargo::rustc-env=OUT_DIR=/workspace/orders-service/target/debug/deps");
    "#;
    subject("attacks-shim", main)
        .manifest("[dependencies]\nvictim = { path = \"victim\" }")
        .file("victim/Cargo.toml", "[package]\nname = \"victim\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .file("victim/src/lib.rs", "")
        .run()
});

#[test]
fn a_preloaded_library_runs_in_the_compiler_only_and_without_any_right() {
    let programs: Vec<_> =
        RUN.told().into_keys().filter_map(|name| name.strip_suffix("-fds").map(str::to_owned)).collect();
    assert_eq!(programs, ["rustc"], "only programs of the unit load it");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(RUN.value(&format!("rustc-{set}")), "0000000000000000", "{set}");
    }
    assert_eq!(RUN.value("rustc-NoNewPrivs"), "1");
    assert_eq!(RUN.value("rustc-Seccomp_filters"), "2");
    let unit = RUN.unit("compile", "attacks-shim");
    let question = RUN.the("dns.query", "the library's question", |_| true);
    assert_eq!(question.unit, unit, "what it does is the package's own unit's");
}

#[test]
fn no_descriptor_of_the_shim_reaches_a_unit() {
    let fds = RUN.value("rustc-fds");
    let fds: Vec<_> = fds.split_terminator(';').map(|fd| fd.split_once(':').unwrap()).collect();
    assert!(fds.len() <= 5, "more than the standard ones and the jobserver's: {fds:?}");
    for (number, kind) in &fds[3..] {
        assert_eq!(*kind, "pipe:", "descriptor {number} in {fds:?}");
    }
}

#[test]
fn a_packages_environment_does_not_change_whose_unit_it_is() {
    let compiled: Vec<_> = RUN.of("unit-start").filter(|line| line["kind"] == "compile").collect();
    let of = |name: &str| compiled.iter().filter(|line| line["package"] == format!("{name}@0.1.0")).count();
    assert_eq!((of("attacks-shim"), of("victim"), compiled.len()), (1, 1, 2), "{compiled:#?}");
    assert_eq!(RUN.of("note").filter(|note| note["code"] == "attribution-mismatch").count(), 0);
}

#[test]
fn a_program_that_is_called_rustc_is_not_started_instead() {
    assert_eq!(RUN.value("fake-rustc"), "started-by-build-script", "by the shim's unit it was not");
    let unit = RUN.unit("compile", "attacks-shim");
    assert_eq!(RUN.end_of(unit)["outcome"], "ok", "{}", RUN.output());
}

/// cargo passes its arguments in a file when they are too long for the kernel. Such a run of rustc has
/// no name, so it must not run at all.
#[test]
fn too_many_arguments_do_not_get_a_compiler_out_of_its_unit() {
    let main = r#"
        println!("cargo::rustc-env=LD_PRELOAD={}", compile_preloaded());
        println!("cargo::rustc-cfg=long=\"{}\"", "x".repeat(200_000));
    "#;
    let run = subject("overflows-arguments", main).run();
    let unseen: Vec<_> = run.of("note").filter(|note| note["code"] == "unseen-query").collect();
    assert!(unseen.is_empty(), "code of the package ran outside of any unit: {unseen:#?}");
    let ended = run.of("note").find(|note| note["code"] == "cargo-exit").unwrap();
    let compiled = run.of("unit-start").any(|line| line["kind"] == "compile");
    assert!(compiled || ended["text"] != "0", "a package was compiled without a unit");
    assert!(compiled || run.of("note").any(|note| note["code"] == "unit-refused"), "nobody says so");
    assert!(compiled || run.report["completeness"]["status"] != "complete", "{}", run.report["completeness"]);
}

const PLANTER: &str = r#"
extern crate proc_macro;
use proc_macro::TokenStream;

fn out_dir() -> String {
    let args: Vec<String> = std::env::args().collect();
    args[args.iter().position(|arg| arg == "--out-dir").unwrap() + 1].clone()
}
"#;

const PLANTER_MANIFEST: &str =
    "[package]\nname = \"planter\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n";

/// A library that uses a macro, and a subject whose build script runs after both and lists `deps`.
fn planting(name: &'static str, body: &str) -> Subject {
    let planter = format!(
        "{PLANTER}\n#[proc_macro]\npub fn plant(_: TokenStream) -> TokenStream {{ {body} TokenStream::new() }}\n"
    );
    let look = r#"
        fn main() {
            let deps = PathBuf::from(out_dir()).join("../../../deps");
            let mut names: Vec<_> = fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            tell("deps", names.join(" "));
        }
    "#;
    Subject::new(name)
        .manifest("[build-dependencies]\nplanted = { path = \"planted\" }")
        .build_script(look)
        .file("planter/Cargo.toml", PLANTER_MANIFEST)
        .file("planter/src/lib.rs", &planter)
        .file(
            "planted/Cargo.toml",
            "[package]\nname = \"planted\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nplanter = { path = \"../planter\" }\n",
        )
        .file("planted/src/lib.rs", "planter::plant!();")
}

fn refused_outputs(run: &Run, unit: u64) -> Vec<String> {
    let mut names: Vec<_> = run.end_of(unit)["refused_outputs"].as_array().unwrap().iter().map(text).collect();
    names.sort();
    names
}

#[test]
fn files_that_cargo_did_not_ask_for_are_not_published() {
    let body = r#"
        for name in ["librustc_driver-0123456789abcdef.so", "libvictim-0123456789abcdef.rmeta", "planted", "libplantedx.rlib"] {
            std::fs::write(format!("{}/{name}", out_dir()), "evil").unwrap();
        }
        let neighbour = std::path::Path::new(&out_dir()).parent().unwrap().join("librustc_driver-0123456789abcdef.so");
        let met = std::fs::write(neighbour, "evil").err().and_then(|error| error.raw_os_error()).unwrap_or(0);
        let _ = std::fs::File::open(format!("/probe/deps-itself={met}"));
    "#;
    let run = planting("plants-outputs", body).run();
    let unit = run.unit("compile", "planted");
    let planted =
        ["libplantedx.rlib", "librustc_driver-0123456789abcdef.so", "libvictim-0123456789abcdef.rmeta", "planted"];
    assert_eq!(refused_outputs(&run, unit), planted);
    run.met("deps-itself", libc::EACCES);
    let deps = run.value("deps");
    assert!(deps.contains("libplanted-") && deps.contains("libplanter-"), "{deps}");
    for name in planted {
        assert!(!deps.split(' ').any(|found| found == name), "{name} in {deps}");
    }
    // Whoever compiled it, the write belongs to the unit in which the macro ran.
    let write = run.the("fs.write", "the write into deps", |attempt| {
        attempt.path.ends_with("deps/librustc_driver-0123456789abcdef.so")
    });
    assert_eq!((write.unit, write.came_of()), (unit, ("denied", Some(i64::from(libc::EACCES)), "exact")));
}

#[test]
fn links_pipes_and_folders_in_the_place_of_outputs_are_neither_followed_nor_published() {
    let body = r#"
        let out = out_dir();
        let own = out.rsplit_once("/.p-").unwrap().1;
        // Waits for the compiler's own files, and puts others into their places.
        let script = format!(
            "cd {out}; until test -e lib{own}.rlib -a -e {own}.d; do :; done; rm -f lib{own}.rmeta lib{own}.rlib {own}.d;
             ln -s /home/dev/.ssh/id_ed25519 lib{own}.rmeta; mkfifo {own}.d; mkdir {own}.o; ln -s / lib{own}.rlib"
        );
        std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
    "#;
    let run = planting("replaces-outputs", body).run();
    let unit = run.unit("compile", "planted");
    let refused = refused_outputs(&run, unit);
    let ends = |end: &str| refused.iter().any(|name| name.ends_with(end));
    assert!(ends(".rmeta") && ends(".d") && ends(".o") && ends(".rlib"), "{refused:?}");
    let reads = run.attempts("fs.open").into_iter().filter(|attempt| attempt.resolved.ends_with(".ssh/id_ed25519"));
    assert_eq!(reads.count(), 0, "nobody followed the link");
    assert_ne!(run.report["completeness"]["status"], "complete");
}

/// The first process of a unit reports how it ended; its program must not be able to do so before.
#[test]
fn a_program_cannot_report_its_own_end() {
    let main = r#"
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let parent = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_owned();
        tell("parent-known", parent != "0");
        let opened: Vec<_> = (0..64)
            .filter_map(|fd| OpenOptions::new().write(true).open(format!("/proc/{parent}/fd/{fd}")).ok())
            .map(|mut pipe| pipe.write_all(&[0; 12]))
            .collect();
        tell("pipes-written", opened.iter().filter(|written| written.is_ok()).count());
        tell("parents-memory", File::open(format!("/proc/{parent}/mem")).is_ok());
        std::process::Command::new("setsid").args(["sleep", "60"]).spawn().unwrap();
        std::process::exit(3);
    "#;
    let run = subject("reports-itself", main).run();
    let end = run.end_of(run.unit("run-build-script", "reports-itself"));
    assert_eq!((&end["outcome"], &end["code"]), (&"failed".into(), &3.into()), "{end}");
    assert_eq!((&end["left_running"], &end["left_detached"]), (&1.into(), &1.into()), "{end}");
    assert_eq!(run.value("pipes-written"), "0");
    assert_eq!(run.value("parents-memory"), "false");
}

/// cargo passes on what a compiler prints on standard output, beside its own messages.
#[test]
fn a_macro_cannot_forge_cargos_messages() {
    let body = r###"
        for package in ["path+file:///workspace/crates/forges-messages#0.1.0", "path+file:///workspace/crates/forges-messages/planter#0.1.0"] {
            println!(r##"{{"reason":"build-script-executed","package_id":"{package}","linked_libs":["forged"],"linked_paths":[],"cfgs":[],"env":[["FORGED","1"]],"out_dir":"/tmp"}}"##);
        }
    "###;
    let run = planting("forges-messages", body).run();
    let forged: Vec<_> =
        run.of("directive").filter(|line| line["value"] == "forged" || line["value"] == "FORGED=1").collect();
    assert!(forged.is_empty(), "{forged:#?}");
    assert!(run.value("deps").contains("libplanted-"), "the build went on");
}

/// A compiler cache of the user's would run unsandboxed, or not at all.
#[test]
fn a_program_around_rustc_that_the_user_set_is_ignored_and_said() {
    use std::os::unix::fs::PermissionsExt as _;

    let subject = Subject::new("meets-a-wrapper")
        .build_script(r#"fn main() { tell("wrapper", std::env::var_os("RUSTC_WRAPPER").is_some()); }"#);
    let (wrapper, marker) = (subject.dir().join("../wrapper"), subject.dir().join("../ran"));
    std::fs::write(&wrapper, format!("#!/bin/sh\necho x >> {}\nexec \"$@\"\n", marker.display())).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = subject.command();
    for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env(name, &wrapper);
    }
    let run = subject.read(&command.output().unwrap());
    assert!(!marker.exists(), "it ran");
    assert_eq!(run.value("wrapper"), "false");
    assert_eq!(run.report["verdict"], "pass", "{}", run.output());
    let given = ["RUSTC_WRAPPER, which is ignored inside", "RUSTC_WORKSPACE_WRAPPER, which is ignored inside"];
    assert_eq!(run.report["given"], serde_json::json!(given));
}

fn told_by(run: &Run, unit: u64, field: &str) -> String {
    run.end_of(unit)[field].to_string()
}

#[test]
fn a_macro_that_ends_rustc_early_ends_the_unit_badly() {
    let run = planting("ends-early", "std::process::exit(0);").run();
    let unit = run.unit("compile", "planted");
    let end = run.end_of(unit);
    assert_eq!((&end["outcome"], &end["code"]), (&"failed".into(), &1.into()), "{end}");
    let missing = told_by(&run, unit, "missing_outputs");
    assert!(missing.contains(".rmeta") && missing.contains("planted-"), "{missing}");
    assert!(run.output().contains("rustc ended with status 0 and without its outputs"), "{}", run.output());
    assert!(run.findings().iter().any(|(code, _)| code == "evidence-forgery"), "{:?}", run.findings());
    assert_eq!(run.report["completeness"]["status"], "incomplete");
}

/// It makes files of the right names itself, one of them no regular file, and ends rustc.
#[test]
fn a_macro_cannot_stand_in_for_one_of_several_outputs() {
    let body = r#"
        let out = out_dir();
        let own = out.rsplit_once("/.p-").unwrap().1;
        std::fs::write(format!("{out}/lib{own}.rmeta"), "made up").unwrap();
        std::fs::write(format!("{out}/{own}.d"), "").unwrap();
        std::os::unix::fs::symlink("/home/dev/.bashrc", format!("{out}/lib{own}.rlib")).unwrap();
        std::process::exit(0);
    "#;
    let run = planting("makes-outputs-up", body).run();
    let unit = run.unit("compile", "planted");
    assert_eq!(run.end_of(unit)["outcome"], "failed");
    let missing = told_by(&run, unit, "missing_outputs");
    assert!(missing.contains(".rlib") && !missing.contains(".rmeta"), "{missing}");
}

/// cargo starts what depends on a unit as soon as it hears of its metadata.
#[test]
fn messages_about_files_that_rustc_did_not_make_do_not_reach_cargo() {
    let body = r###"
        let out = out_dir();
        let own = out.rsplit_once("/.p-").unwrap().1;
        for line in [
            format!(r##"{{"$message_type":"artifact","artifact":"{out}/lib{own}.rmeta","emit":"metadata"}}"##),
            format!(r##"{{"$message_type":"artifact","artifact":"{out}/libserde-1.rmeta","emit":"metadata"}}"##),
            r##"{"$message_type":"artifact","artifact":"/home/dev/x.rmeta","emit":"metadata"}"##.to_owned(),
            r##"{"artifact":"x.rmeta"}"##.to_owned(),
            "artifact: x.rmeta".to_owned(),
        ] {
            eprintln!("{line}");
        }
    "###;
    let run = planting("speaks-for-rustc", body).run();
    let unit = run.unit("compile", "planted");
    // Three that rustc does not write, and the real one after its own was told already.
    assert_eq!(told_by(&run, unit, "forged_messages"), "4");
    assert_eq!(run.end_of(unit)["outcome"], "ok", "{}", run.output());
    assert!(run.value("deps").contains("libplanted-"), "the build went on");
    assert!(run.findings().iter().any(|(code, _)| code == "evidence-forgery"), "{:?}", run.findings());
}
