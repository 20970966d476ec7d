//! Why a unit failed: by the evidence first, then by the words that it left.

use super::access::is_folder_made;
use super::context::{Context, Tried};
use super::finding::short;
use super::missing::{Asked, Missing, MissingKind, outside};
use super::paths::contains;
use crate::evidence::line::{Kind, UnitKind};
use crate::ids::UnitId;

/// Names that one sentence holds.
const MOST_NAMES: usize = 4;

/// The class of a failure, what a sentence says of it, and what was missing.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pub(super) code: &'static str,
    /// Follows "the build script failed with exit status 1".
    pub(super) says: String,
    pub(super) missing: Vec<Missing>,
}

/// Texts that have the name of what is missing between them.
const NAMED: [(MissingKind, &str, &str); 22] = [
    (MissingKind::Program, "is `", "` not installed"),
    (MissingKind::Program, "Is `", "` installed"),
    (MissingKind::Program, "ailed to find tool \"", "\""),
    (MissingKind::Program, "find required command: \"", "\""),
    (MissingKind::Program, "No ", " found in PATH"),
    (MissingKind::Program, "Could not find `", "`"),
    (MissingKind::Program, "could not find `protoc", "`"),
    (MissingKind::Program, "linker `", "` not found"),
    (MissingKind::Program, "/usr/bin/env: '", "': No such file or directory"),
    (MissingKind::Program, "collect2: fatal error: cannot find '", "'"),
    (MissingKind::Program, "make: ", ": No such file or directory"),
    (MissingKind::PkgConfig, "Package ", " was not found in the pkg-config search path"),
    (MissingKind::PkgConfig, "No package '", "' found"),
    (MissingKind::PkgConfig, "The system library `", "` required by crate"),
    (MissingKind::PkgConfig, "annot find `", "` with version "),
    (MissingKind::Library, "cannot find -l", ":"),
    (MissingKind::Library, "unable to find library -l", "\n"),
    (MissingKind::Library, "could not find native static library `", "`"),
    (MissingKind::Header, "fatal error: ", ": No such file or directory"),
    (MissingKind::Header, "fatal error: '", "' file not found"),
    (MissingKind::Header, "ailed to find '", HEADER_ENDS),
    (MissingKind::Target, "the `", "` target may not be installed"),
];

/// The end of a name and of its quotation: what is in them without it may be anything.
const HEADER_ENDS: &str = ".h'";

/// Texts that name nothing, or always the same.
const KNOWN: [(MissingKind, &str, &str); 5] = [
    (MissingKind::PkgConfig, "openssl", "Could not find directory of OpenSSL"),
    (MissingKind::Library, "clang", "Unable to find libclang"),
    (MissingKind::Library, "clang", "shared libraries matching: ['libclang"),
    (MissingKind::Program, "pkg-config", "The pkg-config command could not be found"),
    (MissingKind::Program, "cmake", "CMake is not installed"),
];

/// Texts of which only the class of the failure is known: its code, the text, what is said to be missing.
const NAMELESS: [(&str, &str, &str); 5] = [
    ("missing-program", "program not found", "a program"),
    ("missing-program", "is not installed or not in PATH", "a program"),
    ("missing-library", "could not find system library", "a library"),
    ("missing-library", "pkg-config exited with status code", "a library"),
    ("missing-library", "library not found for -l", "a library"),
];

/// What Rust, C and shells say when a file to start is not there.
const NOT_THERE: [&str; 3] = ["(os error 2)", "code: 2, kind: NotFound", "No such file or directory"];

/// Why this unit failed.
pub(super) fn diagnose(cx: &Context<'_>, unit: UnitId, kind: UnitKind, tail: Option<&[u8]>) -> Diagnosis {
    let asked = Asked::by(cx, unit);
    let said = said(tail.unwrap_or_default());
    let mut missing = absent(&asked, said);
    // The cc crate passes compilers' words on as warnings, which cargo shows before the rest.
    missing.extend(named(tail.unwrap_or_default()).into_iter().filter(|named| !asked.refutes(named)));
    let mut once = Vec::new();
    missing.retain(|one| {
        !once.contains(one) && {
            once.push(one.clone());
            true
        }
    });
    let places = outside(cx, unit);
    if !places.is_empty() {
        let says = network(&places, variables(tail.unwrap_or_default(), said), kind);
        return Diagnosis { code: "network-denied", says, missing };
    }
    if missing.iter().any(|one| one.kind == MissingKind::Program) {
        missing.retain(|one| one.kind == MissingKind::Program);
    }
    let code = match missing.first().map(|one| one.kind) {
        Some(MissingKind::Program) => "missing-program",
        Some(_) => "missing-library",
        None => {
            let nameless = NAMELESS.iter().find(|(_, text, _)| contains(said, text.as_bytes()));
            return nameless.map_or_else(
                || Diagnosis { code: "build-failed", says: refused(cx, unit, said), missing: Vec::new() },
                |(code, _, what)| Diagnosis { code, says: format!("; it says that it misses {what}"), missing },
            );
        }
    };
    Diagnosis { code, says: sentence(&asked, &missing), missing }
}

/// The last write that was refused, when the output says that one was.
fn refused(cx: &Context<'_>, unit: UnitId, said: &[u8]) -> String {
    const EACCES: i32 = 13;
    const EROFS: i32 = 30;
    if !["Permission denied", "Read-only file system"].iter().any(|text| contains(said, text.as_bytes())) {
        return String::new();
    }
    // What the kernel answers itself has no errno here. Folders in the home it lets everybody make, others nobody.
    let is_folder_beyond = |tried: &Tried<'_>| {
        let (unit, path) = (tried.unit, tried.path.as_slice());
        let is_shared = cx.in_target(path) || !cx.in_home(path);
        is_folder_made(tried) && is_shared && !unit.owns(path) && !unit.in_source(path)
    };
    let is_refused = |tried: &Tried<'_>| matches!(tried.attempt.errno, Some(EACCES | EROFS)) || is_folder_beyond(tried);
    let of_unit = |tried: &&Tried<'_>| tried.attempt.unit == unit && tried.attempt.kind == Kind::FsWrite;
    // Of folders made in a row the last is the one that was refused: those below it had nothing to lie in.
    let last = cx.tried.iter().rev().filter(of_unit).find(|tried| is_refused(tried));
    last.map_or_else(String::new, |tried| {
        format!("; a write to {} was refused, which lies outside of its own places", short(cx, &tried.path))
    })
}

/// What the program itself printed: cargo's own words in front name the package, and what it told cargo names anything.
fn said(tail: &[u8]) -> &[u8] {
    const START: &[u8] = b"--- stderr\n";
    let at = tail.windows(START.len()).position(|window| window == START);
    at.and_then(|at| tail.get(at + START.len()..)).unwrap_or(tail)
}

/// Programs that were tried, were not there, and that the output names. An output that only says that a file is not
/// there means the one that was tried last.
fn absent(asked: &Asked, said: &[u8]) -> Vec<Missing> {
    let named: Vec<_> = asked.absent.iter().filter(|one| has_word(said, one.name.as_bytes())).cloned().collect();
    let says_so = || NOT_THERE.iter().any(|text| contains(said, text.as_bytes()));
    if named.is_empty() && asked.ends_absent && says_so() {
        return asked.absent.last().cloned().into_iter().collect();
    }
    named
}

fn has_word(text: &[u8], word: &[u8]) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || b"_-+".contains(b));
    text.windows(word.len()).enumerate().any(|(at, window)| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        window == word && !is_part(before) && !is_part(text.get(at + word.len()))
    })
}

/// What the output names as missing, in the order of the texts.
fn named(said: &[u8]) -> Vec<Missing> {
    let mut found = Vec::new();
    for (kind, before, after) in NAMED {
        for rest in after_each(said, before.as_bytes()) {
            let line = rest.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
            let end = line.windows(after.len()).position(|window| window == after.as_bytes());
            // A linker that is not GNU's ends the line after the name.
            let end = end.map(|end| if after == HEADER_ENDS { end + ".h".len() } else { end });
            let name = end.and_then(|end| line.get(..end)).unwrap_or(line.trim_ascii_end());
            if end.is_some() || before.ends_with("-l") {
                let name = if before.ends_with("protoc") { b"protoc" } else { name };
                found.extend(Missing::new(kind, name));
            }
        }
    }
    for (kind, name, text) in KNOWN {
        found.extend(contains(said, text.as_bytes()).then(|| Missing::new(kind, name.as_bytes())).flatten());
    }
    found.extend(said.split(|&b| b == b'\n').filter_map(of_shell));
    found
}

/// `sh: 1: NAME: not found`, `bash: line 1: NAME: command not found`.
fn of_shell(line: &[u8]) -> Option<Missing> {
    let line = line.trim_ascii_end();
    let start = line.strip_suffix(b": command not found").or_else(|| line.strip_suffix(b": not found"))?;
    let mut parts = start.rsplit(|&b| b == b':');
    let name = parts.next()?.trim_ascii();
    parts.next()?;
    Missing::new(MissingKind::Program, name)
}

fn after_each<'t>(text: &'t [u8], part: &[u8]) -> impl Iterator<Item = &'t [u8]> {
    let part = part.to_vec();
    (0..text.len()).filter_map(move |at| text.get(at..)?.strip_prefix(part.as_slice()))
}

fn sentence(asked: &Asked, missing: &[Missing]) -> String {
    let Some(first) = missing.first() else { return String::new() };
    let of_kind: Vec<_> = missing.iter().filter(|one| one.kind == first.kind).collect();
    let names = listed(of_kind.iter().map(|one| format!("`{}`", one.name)));
    let are = if of_kind.len() == 1 { "is" } else { "are" };
    if !of_kind.iter().all(|one| asked.has(one)) {
        let plural = if of_kind.len() == 1 { "" } else { "s" };
        return format!("; it says that the {}{plural} {names} {are} missing", first.kind.word());
    }
    match first.kind {
        MissingKind::Program => format!("; it tried {names}, and no such program is there"),
        MissingKind::PkgConfig => {
            format!("; it asked pkg-config for {names}, and pkg-config says that it is not there")
        }
        MissingKind::Library => format!("; it links {names}, and the linker says that it is not there"),
        MissingKind::Header => format!("; it includes {names}, and the compiler says that it is not there"),
        MissingKind::Target => String::new(),
    }
}

fn network(places: &[String], variables: Vec<String>, kind: UnitKind) -> String {
    let asked = listed(places.iter().cloned());
    let mut text = format!(" after it had asked for {asked}; there is no network in the sandbox");
    if kind != UnitKind::RunBuildScript {
        return text;
    }
    if variables.is_empty() {
        text.push_str(". If it can build from a local copy, give that by --read PATH and --env NAME=VALUE; else turn the feature off that downloads");
    } else {
        let names = listed(variables.into_iter());
        text = format!(
            "{text}. Its output names {names}; where one of them means a local copy, give that by --env NAME=VALUE and --read PATH"
        );
    }
    text
}

/// Variables of the package's own: those that it told cargo to watch, and those that its last words name.
fn variables(tail: &[u8], said: &[u8]) -> Vec<String> {
    const OTHERS: [&str; 14] = [
        "CARGO_",
        "RUST_",
        "RUSTC_",
        "OUT_DIR",
        "BUILD_",
        "HOST_",
        "TARGET_",
        "CRATE_CC_",
        "CC_",
        "CXX_",
        "CMAKE_",
        "PKG_CONFIG",
        "DOCS_RS",
        "LD_",
    ];
    // Words of names that mean a place, which come first.
    const PLACES: [&str; 9] = ["DIR", "PATH", "URL", "FILE", "LOCATION", "ARCHIVE", "BINARIES", "PREBUILT", "MIRROR"];
    // What the pkg-config crate watches for each library.
    const ENDS: [&str; 4] = ["_", "_NO_PKG_CONFIG", "_STATIC", "_DYNAMIC"];
    let is_part = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let words = |text: &'_ [u8]| -> Vec<Vec<u8>> {
        text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').map(<[u8]>::to_vec).collect()
    };
    let watched = after_each(tail, b"rerun-if-env-changed=").filter_map(|rest| words(rest).into_iter().next());
    let mut found = Vec::new();
    for word in watched.chain(words(said).into_iter().filter(|word| word.contains(&b'_'))) {
        if word.len() < 4 || word.len() > 64 || !word.iter().all(is_part) {
            continue;
        }
        let name = String::from_utf8_lossy(&word).into_owned();
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase()) && !ENDS.iter().any(|end| name.ends_with(end));
        if is_name && !OTHERS.iter().any(|other| name.starts_with(other)) && !found.contains(&name) {
            found.push(name);
        }
    }
    // Stable: within each, in the order of the output.
    found.sort_by_key(|name| !PLACES.iter().any(|place| name.contains(place)));
    found
}

/// The first few, and how many more.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let text = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::ProgramFile;
    use crate::evidence::testing::{LogBuilder, OUT, UnitBuilder};
    use crate::judge::judge;
    use crate::policy::Policy;

    /// Code and end of the sentence.
    fn failure(tell: impl FnOnce(UnitBuilder) -> UnitBuilder) -> (&'static str, String) {
        let log = LogBuilder::new().build_script("u", tell).log();
        let reason = judge(&log, &Policy::shipped()).completeness.reasons.remove(0);
        let text = reason.text.strip_prefix("the build script failed with exit status 101").unwrap().to_owned();
        (reason.code, text)
    }

    fn absent(unit: UnitBuilder, name: &str) -> UnitBuilder {
        let tries = ["/usr/local/bin", "/usr/bin"].map(|folder| format!("{folder}/{name}"));
        tries.iter().fold(unit, |unit, path| unit.exec(ProgramFile::Absent, &[path, "--version"], &[]))
    }

    #[test]
    fn a_program_that_was_tried_and_is_not_there_is_the_cause_when_the_output_means_it() {
        let tried = ("missing-program", "; it tried `cmake`, and no such program is there".to_owned());
        assert_eq!(failure(|u| absent(u, "cmake").failed("is `cmake` not installed?")), tried);
        assert_eq!(failure(|u| absent(u, "cmake").failed("Os { code: 2, kind: NotFound }")), tried);
        assert_eq!(failure(|u| absent(u, "ccache").failed("another platform")).0, "build-failed");
        assert_eq!(failure(|u| absent(u, "cmake").run(&["/usr/bin/cc"]).failed("os error 2")).0, "build-failed");
        assert_eq!(failure(|u| absent(u, "cmake").run(&["/usr/bin/cmake"]).failed("cmake")).0, "build-failed");
    }

    #[test]
    fn a_write_that_was_refused_is_named_when_the_output_says_so() {
        let lock = "/home/dev/orders-service/target/debug/build/x.lock";
        let (code, text) = failure(|u| u.write(lock).denied(13).failed("cannot lock: Permission denied (os error 13)"));
        assert_eq!(code, "build-failed");
        let start = text.strip_prefix("; a write to ").unwrap();
        assert!(start.contains("x.lock was refused"), "{text}");
        assert_eq!(failure(|u| u.write(lock).denied(13).failed("another platform")).1, "");
        let folder = "/home/dev/orders-service/target/downloads";
        let text = failure(|u| u.mkdir(folder).failed("Permission denied (os error 13)")).1;
        assert!(text.contains("target/downloads was refused"), "{text}");
        for own in ["/home/dev/notes", OUT] {
            assert_eq!(failure(|u| u.mkdir(own).failed("Permission denied (os error 13)")).1, "", "{own}");
        }
    }

    #[test]
    fn words_count_where_the_evidence_cannot_see() {
        let says = |name: &str| ("missing-program", format!("; it says that the program `{name}` is missing"));
        assert_eq!(failure(|u| u.failed("sh: 1: nasm: not found\n")), says("nasm"));
        assert_eq!(failure(|u| u.failed("./configure: line 3: m4: command not found")), says("m4"));
        assert_eq!(failure(|u| u.failed("Could not find `protoc` installation and")), says("protoc"));
        assert_eq!(failure(|u| u.failed("couldn't find required command: \"cmake\"\n")), says("cmake"));
        assert_eq!(failure(|u| u.failed("NvccNotFound(\"No nvcc found in PATH or")), says("nvcc"));
        assert_eq!(failure(|u| u.failed("No such thing\nNo compiler of C found in PATH")).0, "build-failed");
        assert_eq!(failure(|u| u.failed("Failed to find 'the answer'")).0, "build-failed");
        let ran = failure(|u| u.run(&["/usr/bin/cmake"]).failed("is `cmake` not installed?"));
        assert_eq!(ran.0, "build-failed", "words that the evidence refutes");
    }

    #[test]
    fn what_pkg_config_linker_and_compiler_miss_is_named() {
        for (argv, tail, text) in [
            (
                &["/usr/bin/pkg-config", "--libs", "openssl"][..],
                "Could not find directory of OpenSSL installation",
                "; it asked pkg-config for `openssl`, and pkg-config says that it is not there",
            ),
            (
                &["/usr/bin/cc", "-lssl"],
                "/usr/bin/ld: cannot find -lssl: No such file or directory",
                "; it links `ssl`, and the linker says that it is not there",
            ),
            (
                &["/usr/bin/cc", "-c", "x.c"],
                "--- stdout\n  cargo:warning=x.c:1:10: fatal error: zlib.h: No such file or directory\n  --- stderr\n  failed",
                "; it includes `zlib.h`, and the compiler says that it is not there",
            ),
            (
                &["/usr/bin/cc"],
                "The system library `glib-2.0` required by crate `glib-sys` was not found.",
                "; it says that the pkg-config module `glib-2.0` is missing",
            ),
            (
                &["/usr/bin/cc"],
                "Unable to find libclang: \"couldn't find any",
                "; it says that the library `clang` is missing",
            ),
            (
                &["/usr/bin/pkg-config", "--libs", "libjxl"],
                "Cannot find `libjxl` with version >= 0.12.0",
                "; it asked pkg-config for `libjxl`, and pkg-config says that it is not there",
            ),
            (
                &["/usr/bin/uname"],
                "x: Failed to find 'selinux/selinux.h'. Please make sure",
                "; it says that the header `selinux/selinux.h` is missing",
            ),
            (
                &["/usr/bin/cc"],
                "can't find crate for `std`\n  = note: the `wasm32-unknown-unknown` target may not be installed\n",
                "; it says that the Rust target `wasm32-unknown-unknown` is missing",
            ),
        ] {
            assert_eq!(failure(|u| u.run(argv).failed(tail)), ("missing-library", text.to_owned()), "{tail}");
        }
    }

    #[test]
    fn a_failure_after_a_lookup_is_the_networks_and_says_what_to_do() {
        let (code, text) = failure(|u| u.dns("x.invalid").failed("set ARCHIVE_DIR to a copy, see CARGO_NET_OFFLINE"));
        assert_eq!(code, "network-denied");
        let start = " after it had asked for x.invalid; there is no network in the sandbox. ";
        assert_eq!(
            text,
            format!(
                "{start}Its output names ARCHIVE_DIR; where one of them means a local copy, give that by --env NAME=VALUE and --read PATH"
            )
        );
        let (_, text) = failure(|u| {
            let watched = ["X_LEVEL", "CC_x", "CFLAGS_NO_PKG_CONFIG", "X_LIB_DIR"]
                .map(|name| format!("cargo:rerun-if-env-changed={name}"));
            u.dns("x.invalid").failed(&format!("--- stdout\n{}\n--- stderr\nno", watched.join("\n")))
        });
        assert!(text.contains("Its output names X_LIB_DIR, X_LEVEL; "), "places first: {text}");
        let (_, generic) = failure(|u| u.connect("192.0.2.1", 443).failed("cannot connect"));
        assert!(generic.starts_with(" after it had asked for 192.0.2.1; ") && generic.contains("--read"), "{generic}");
        assert_eq!(failure(|u| u.connect("127.0.0.1", 9).failed("cannot connect")).0, "build-failed");
    }

    #[test]
    fn compilers_words_about_paths_of_rust_are_no_missing_program() {
        for tail in ["error[E0433]: could not find `net` in `std`", "error: cannot find macro `x` in this scope"] {
            assert_eq!(failure(|u| u.failed(tail)).0, "build-failed", "{tail}");
        }
    }
}
