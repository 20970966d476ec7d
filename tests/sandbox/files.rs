//! Whose files a unit may write, by whatever way it opens them, and metadata.

use std::sync::LazyLock;

use libc::{E2BIG, EACCES, EEXIST, ELOOP, ENOENT, ENOTEMPTY, ENXIO, EOPNOTSUPP, EPERM, EXDEV};

use crate::support::sandboxed::{PRELUDE, Run, Subject, text};

static RUN: LazyLock<Run> = LazyLock::new(|| {
    Subject::new("tries-files")
        .manifest("[dependencies]\nneighbour = { path = \"neighbour\" }")
        .build_script(include_str!("payloads/files.rs"))
        .file(
            "neighbour/Cargo.toml",
            "[package]\nname = \"neighbour\"\nversion = \"0.1.0\"\nedition = \"2021\"\nlinks = \"neighbour\"\n",
        )
        .file("neighbour/src/lib.rs", "")
        .file("neighbour/build.rs", &format!("{PRELUDE}\n{}", include_str!("payloads/neighbour.rs")))
        .run()
});

/// Met this errno, and the record of this kind says so of this very file.
#[track_caller]
fn denied(name: &str, errno: i32, kind: &str, resolved_end: &str) {
    RUN.met(name, errno);
    let unit = RUN.unit("run-build-script", "tries-files");
    let records = RUN.attempts(kind);
    let fits = records.iter().any(|attempt| {
        attempt.unit == unit
            && attempt.came_of() == ("denied", Some(i64::from(errno)), "exact")
            && attempt.resolved.ends_with(resolved_end)
    });
    assert!(fits, "no exact record of {name}: {records:#?}");
}

#[test]
fn a_unit_writes_its_own_folders_as_if_nobody_watched() {
    for name in [
        "own-create",
        "own-temp",
        "own-chmod",
        "own-setuid",
        "own-nameless",
        "own-nameless-linked",
        "own-utimensat",
        "own-fchmod",
    ] {
        RUN.met(name, 0);
    }
    RUN.met("own-read-only", EACCES);
    RUN.met("own-exclusive-first", 0);
    RUN.met("own-exclusive-second", EEXIST);
    RUN.met("own-exclusive-link", EEXIST);
    RUN.met("own-no-follow", ELOOP);
    assert_eq!(RUN.value("theirs-readable"), "true", "outputs of others are there to be read");
}

#[test]
fn a_file_that_is_made_on_behalf_has_the_mode_that_its_maker_asked_for() {
    assert_eq!(RUN.value("mode-inherited"), "644");
    assert_eq!(RUN.value("mode-of-child"), "666", "a child has a mask of its own");
    assert_eq!(RUN.value("mode-after-child"), "644", "and its parent has not");
    assert_eq!(RUN.value("mode-set"), "600");
}

#[test]
fn a_unit_cannot_make_a_device() {
    RUN.met("own-device", EPERM);
}

#[test]
fn a_unit_cannot_write_a_neighbours_output_by_any_way_to_it() {
    denied("neighbour-create", EACCES, "fs.write", "/out/evil");
    denied("neighbour-write", EACCES, "fs.write", "/out/made");
    denied("neighbour-truncate", EACCES, "fs.write", "/out/made");
    denied("neighbour-nameless", EACCES, "fs.write", "/out");
    for way in ["symlink", "folder", "parents", "working-folder"] {
        denied(&format!("neighbour-by-{way}"), EACCES, "fs.write", "/evil");
    }
    denied("neighbour-openat2", EACCES, "fs.write", "/out/evil");
    for way in ["fd-path", "dev-fd", "reopening", "reopening-for-write", "cwd-link"] {
        RUN.met(&format!("neighbour-by-{way}"), EACCES);
    }
    for way in ["root", "thread-root"] {
        RUN.met(&format!("neighbour-by-{way}"), EACCES);
    }
}

#[test]
fn a_unit_cannot_change_names_in_a_neighbours_folder() {
    for name in ["truncate-by-path", "mkdir", "unlink", "symlink", "fifo", "nameless-linked"] {
        RUN.met(&format!("neighbour-{name}"), EACCES);
    }
    RUN.met("neighbour-hard-link-to-own", EXDEV);
    RUN.met("own-hard-link-to-neighbour", EACCES);
    for name in ["rename-to-own", "rename-over", "exchange"] {
        let errno = RUN.value(&format!("neighbour-{name}")).parse::<i32>().unwrap();
        assert!([EACCES, EXDEV].contains(&errno), "{name}: {errno}");
    }
}

/// What openat2 promises its caller holds for an open on behalf, too.
#[test]
fn the_limits_of_openat2_hold_on_behalf() {
    RUN.met("openat2-beneath", EXDEV);
    RUN.met("openat2-in-root", 0);
    assert_eq!(RUN.value("openat2-in-root-exists"), "true");
    RUN.met("openat2-no-links", ELOOP);
    RUN.met("openat2-too-large", E2BIG);
}

#[test]
fn a_unit_cannot_change_metadata_of_what_is_not_its_own() {
    for (who, file) in [("neighbour", "/out/made"), ("consumer", "/orders-service/src/lib.rs")] {
        for call in ["chmod", "fchmodat", "fchmodat2", "chown", "utimensat", "utime"] {
            denied(&format!("{who}-{call}"), EACCES, "fs.meta", file);
        }
        RUN.met(&format!("{who}-setxattr"), EOPNOTSUPP);
    }
    for way in ["fchmod", "fchmod-by-path-fd", "chmod-by-link"] {
        denied(&format!("neighbour-{way}"), EACCES, "fs.meta", "/out/made");
    }
    assert_ne!(RUN.value("neighbour-chmod-by-fd-path"), "0");
    RUN.met("neighbour-fsetxattr", EOPNOTSUPP);
    RUN.met("own-setxattr", EOPNOTSUPP);
}

#[test]
fn a_neighbours_output_is_afterwards_what_it_was() {
    assert_eq!(RUN.value("neighbour-after"), "theirs 644 1");
    assert_eq!(RUN.value("neighbour-folder-after"), "made");
}

#[test]
fn a_pipe_without_a_reader_keeps_nobody_waiting() {
    RUN.met("pipe-write-without-waiting", ENXIO);
    RUN.met("while-pipe-waits", 0);
    assert_eq!(RUN.value("while-pipe-waits-quick"), "true");
    RUN.met("pipe-read", 0);
    RUN.met("pipe-write", 0);
}

#[test]
fn a_build_script_removes_and_makes_its_out_dir_as_it_does_elsewhere() {
    let script = r#"
        use std::fs;
        fn errno<T>(result: std::io::Result<T>) -> i32 {
            result.err().map_or(0, |error| error.raw_os_error().unwrap())
        }
        fn main() {
            let out = std::env::var("OUT_DIR").unwrap();
            let file = format!("{out}/made.rs");
            fs::write(&file, "").unwrap();
            let beside = format!("{out}/../beside");
            let met = [
                errno(fs::remove_dir(&out)),
                errno(fs::create_dir(&out)),
                errno(fs::remove_dir_all(&out)),
                errno(fs::remove_dir(&out)),
                errno(fs::create_dir(&out)),
                errno(fs::create_dir(&out)),
                errno(fs::write(&file, "pub const MADE: u8 = 1;")),
            ];
            let met = format!("met {met:?} {}", errno(fs::create_dir(&beside)));
            println!("cargo::warning={met}\ncargo::rustc-env=MET={met}");
        }
    "#;
    let subject = Subject::new("begins-afresh")
        .file("build.rs", script)
        .file("src/lib.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\npub const IS: u8 = MADE;\n");
    // The control: what the kernel says where nobody watches, but for the folder above, which is cargo's.
    let plain = subject.plain();
    let met = |beside: i32| format!("met {:?} {beside}", [ENOTEMPTY, EEXIST, 0, ENOENT, 0, EEXIST, 0]);
    assert!(plain.contains(&met(0)), "{plain}");

    let run = subject.run();
    let findings = run.report["packages"][0]["findings"].as_array().unwrap();
    let subjects: Vec<_> = findings.iter().map(|finding| text(&finding["subject"])).collect();
    assert!(subjects.iter().all(|subject| subject.ends_with("/beside")) && subjects.len() == 1, "{findings:#?}");
    let said = run.of("directive").any(|line| text(&line["value"]) == format!("MET={}", met(EACCES)));
    assert!(said, "{:#?}", run.of("directive").collect::<Vec<_>>());
    let unit = run.unit("run-build-script", "begins-afresh");
    let of_out_dir = |kind: &str| {
        let attempts = run.attempts(kind);
        let of_folder = attempts.iter().filter(|a| a.unit == unit && a.resolved.ends_with("/out"));
        of_folder
            .map(crate::support::sandboxed::Attempt::came_of)
            .map(|(outcome, errno, _)| (outcome.to_owned(), errno))
            .collect::<Vec<_>>()
    };
    let emulated = |errno: Option<i32>| ("emulated".to_owned(), errno.map(i64::from));
    let removed = of_out_dir("fs.remove");
    for expected in [emulated(Some(ENOTEMPTY)), emulated(None), emulated(Some(ENOENT))] {
        assert!(removed.contains(&expected), "{expected:?}: {removed:?}");
    }
    assert!(of_out_dir("fs.write").contains(&emulated(None)));
}

/// Names beside what cargo makes, and what came of each: those that a script may be lent, and those that are cargo's.
const BESIDE: &str = r#"
    use std::fs::{self, OpenOptions};
    use std::path::PathBuf;
    fn errno<T>(result: std::io::Result<T>) -> i32 {
        result.err().map_or(0, |error| error.raw_os_error().unwrap())
    }
    fn main() {
        let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
        let profile = out.ancestors().nth(3).unwrap().to_owned();
        let (lock, obj) = (profile.join("build/own.fslock"), profile.join("own_out/obj"));
        let new = |path: PathBuf| errno(OpenOptions::new().write(true).create_new(true).open(path));
        let lent = [
            new(lock.clone()),
            errno(fs::write(&lock, "pid")),
            errno(fs::create_dir_all(&obj)),
            errno(fs::write(obj.join("made.tmp"), "pub const MADE: u8 = 1;")),
            errno(fs::rename(obj.join("made.tmp"), obj.join("made.rs"))),
            errno(fs::write(obj.join("more"), "")),
            errno(fs::remove_file(obj.join("more"))),
            new(lock),
        ];
        let of_cargo = [
            new(profile.join("deps/libother-0123456789abcdef.rlib")),
            new(profile.join("libother-0123456789abcdef.rlib")),
            new(profile.join(".hidden")),
            new(profile.join("own.d")),
            errno(fs::create_dir(profile.join("artifact"))),
            errno(fs::create_dir(profile.join("build/other"))),
            errno(fs::create_dir(profile.join("build/other-0123456789abcdef"))),
            errno(fs::rename(profile.join("own_out"), profile.join("elsewhere"))),
        ];
        let met = format!("met {lent:?} {of_cargo:?}");
        let made = obj.join("made.rs").display().to_string();
        println!("cargo::warning={met}\ncargo::rustc-env=MET={met}\ncargo::rustc-env=MADE={made}");
    }
"#;

#[test]
fn a_name_beside_what_cargo_makes_is_lent_to_a_build_script_and_none_of_cargos_is() {
    let subject = Subject::new("makes-names-beside")
        .file("build.rs", BESIDE)
        .file("src/lib.rs", "include!(env!(\"MADE\"));\npub const IS: u8 = MADE;\n");
    // The control: where nobody confines it, all of them can be made.
    let plain = subject.plain();
    let met = |of_cargo: i32| format!("met {:?} {:?}", [0, 0, 0, 0, 0, 0, 0, EEXIST], [of_cargo; 8]);
    assert!(plain.contains(&met(0)), "{plain}");

    let run = subject.run();
    let directives: Vec<_> = run.of("directive").map(|line| text(&line["value"])).collect();
    assert!(directives.contains(&format!("MET={}", met(EACCES))), "{directives:#?}");
    // What was made is there for the rustc that comes after.
    assert!(run.of("unit-end").all(|line| text(&line["outcome"]) == "ok"));
    let findings = run.report["packages"][0]["findings"].as_array().unwrap();
    let mut found: Vec<_> = findings.iter().map(|f| (text(&f["code"]), text(&f["subject"]))).collect();
    found.sort_unstable();
    let at = |path: &str| format!("/workspace/orders-service/target/debug/{path}");
    for path in ["build/own.fslock", "own_out/obj"] {
        assert!(found.contains(&("write-outside".to_owned(), at(path))), "{path}: {found:#?}");
    }
    // The attempts are there with what came of each.
    let hashed = "other-0123456789abcdef";
    let unit = run.unit("run-build-script", "makes-names-beside");
    let came_of = |path: &str| {
        let attempts = run.attempts("fs.write");
        let of_path = attempts.iter().filter(|a| a.unit == unit && a.resolved == at(path));
        of_path.map(|a| a.came_of().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(came_of("own_out"), ["emulated"]);
    assert!(came_of("build/own.fslock").contains(&"emulated".to_owned()));
    let of_cargo =
        [".hidden", "own.d", "artifact", "build/other", &format!("build/{hashed}"), &format!("lib{hashed}.rlib")];
    for path in of_cargo {
        assert!(found.contains(&("write-outside".to_owned(), at(path))), "{path}: {found:#?}");
        let came = came_of(path);
        assert!(!came.is_empty() && !came.contains(&"emulated".to_owned()), "{path}: {came:?}");
    }
}

#[test]
fn what_a_build_script_is_lent_a_name_for_no_other_script_reads() {
    let makes = r#"
        fn main() {
            let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
            let made = out.ancestors().nth(3).unwrap().join("settings");
            std::fs::write(&made, "").unwrap();
            println!("cargo::metadata=made={}", made.display());
        }
    "#;
    let reads = r#"
        fn main() {
            let read = std::fs::read(std::env::var_os("DEP_MAKER_MADE").unwrap());
            let met = read.err().map_or(0, |error| error.raw_os_error().unwrap());
            println!("cargo::warning=met {met}\ncargo::rustc-env=MET={met}");
        }
    "#;
    let manifest = "[package]\nname = \"maker\"\nversion = \"0.1.0\"\nedition = \"2021\"\nlinks = \"maker\"\n";
    let subject = Subject::new("reads-as-it-is-told")
        .manifest("[dependencies]\nmaker = { path = \"maker\" }")
        .file("build.rs", reads)
        .file("maker/Cargo.toml", manifest)
        .file("maker/src/lib.rs", "")
        .file("maker/build.rs", makes);
    // The control: elsewhere it is there for everybody.
    let plain = subject.plain();
    assert!(plain.contains("met 0"), "{plain}");

    let run = subject.run();
    let directives: Vec<_> = run.of("directive").map(|line| text(&line["value"])).collect();
    assert!(directives.contains(&format!("MET={EACCES}")), "{directives:#?}");
    let made = |kind: &str, package: &str| {
        let unit = run.unit("run-build-script", package);
        run.the(kind, "what is lent", |a| a.unit == unit && a.path.ends_with("debug/settings"))
    };
    assert_eq!(made("fs.write", "maker").came_of(), ("emulated", None, "exact"));
    made("fs.open", "reads-as-it-is-told");
}
