//! Reads cargo's messages: directives of build scripts, diagnostics, and the
//! check of our own attribution against cargo's.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::evidence::Bytes;
use crate::evidence::line::Directive;
use crate::ids::PackageId;

/// What one line of cargo's tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A build script ran: its package, what it told cargo, its `OUT_DIR`.
    Directives(PackageId, Vec<Directive>, PathBuf),
    /// A unit of this package, which lies in this folder, made files with these paths; true if an earlier run made them.
    Artifact(PackageId, PathBuf, Vec<String>, bool),
    /// A compiler's message on a crate of the package, which lies in this folder.
    Diagnostic(PackageId, PathBuf, String, String),
}

#[derive(Deserialize)]
struct Raw {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<String>,
    #[serde(default)]
    fresh: bool,
    #[serde(default)]
    linked_libs: Vec<String>,
    #[serde(default)]
    linked_paths: Vec<String>,
    #[serde(default)]
    cfgs: Vec<String>,
    #[serde(default)]
    env: Vec<(String, String)>,
    #[serde(default)]
    out_dir: PathBuf,
    #[serde(default)]
    target: RawTarget,
    message: Option<RawDiagnostic>,
}

#[derive(Default, Deserialize)]
struct RawTarget {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct RawDiagnostic {
    #[serde(default)]
    level: String,
    rendered: Option<String>,
}

/// Reads one line; `None` for what tells us nothing.
pub(super) fn read(line: &[u8]) -> Option<Message> {
    let raw: Raw = serde_json::from_slice(line).ok()?;
    let package = parse_package_id(&raw.package_id)?;
    let folder = raw.manifest_path.parent().unwrap_or(Path::new("")).to_owned();
    match raw.reason.as_str() {
        "build-script-executed" => {
            let of = |kind: &str, values: Vec<String>| {
                let directive =
                    |value| Directive { package: package.clone(), kind: kind.to_owned(), value: Bytes::from(value) };
                values.into_iter().map(directive).collect::<Vec<_>>()
            };
            let env = raw.env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            let lists =
                [("linked-lib", raw.linked_libs), ("linked-path", raw.linked_paths), ("cfg", raw.cfgs), ("env", env)];
            let directives = lists.into_iter().flat_map(|(kind, values)| of(kind, values)).collect();
            Some(Message::Directives(package, directives, raw.out_dir))
        }
        "compiler-artifact" => Some(Message::Artifact(package, folder, raw.filenames, raw.fresh)),
        "compiler-message" => {
            let message = raw.message.filter(|message| message.level == "error")?;
            Some(Message::Diagnostic(package, folder, raw.target.name.replace('-', "_"), message.rendered?))
        }
        _ => None,
    }
}

/// Link arguments that a build script asked for. cargo's messages leave them out; it keeps the script's
/// output beside `OUT_DIR`, where only cargo writes.
///
/// However much it printed, all of it is read, and a piece at a time is held.
pub(super) fn link_arguments<E>(
    package: &PackageId,
    out_dir: &Path,
    mut each: impl FnMut(Directive) -> Result<(), E>,
) -> Result<(), E> {
    let kept = out_dir.parent().map(|folder| folder.join("output"));
    let Some(mut output) = kept.and_then(|kept| File::open(kept).ok()) else { return Ok(()) };
    let (mut lines, mut piece) = (Lines::default(), [0; 16 * 1024]);
    loop {
        // The last line may have no end.
        let length = output.read(&mut piece).unwrap_or(0);
        let bytes = piece.get(..length).filter(|bytes| !bytes.is_empty()).unwrap_or(b"\n");
        let mut done = Ok(());
        lines.push(bytes, |line| {
            if let (Ok(()), Some(directive)) = (&done, link_argument(package, line)) {
                done = each(directive);
            }
        });
        done?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// `cargo::rustc-link-arg[-KIND]=[TARGET=]VALUE`, or with one colon.
fn link_argument(package: &PackageId, line: &[u8]) -> Option<Directive> {
    let line = line.strip_prefix(b"cargo::").or_else(|| line.strip_prefix(b"cargo:"))?;
    let rest = line.strip_prefix(b"rustc-link-arg").or_else(|| line.strip_prefix(b"rustc-cdylib-link-arg"))?;
    let at = rest.iter().position(|byte| *byte == b'=')?;
    let value = rest.get(at + 1..)?.trim_ascii();
    Some(Directive { package: package.clone(), kind: "link-arg".to_owned(), value: Bytes::from(value) })
}

/// What cargo prints about build scripts that failed, by package. It indents whatever they said.
///
/// It is read as it comes: what one of them said at length must not push out the words of the others.
#[derive(Debug, Default)]
pub(super) struct FailedScripts {
    lines: Lines,
    found: Vec<(PackageId, Tail<{ 16 * 1024 }>)>,
    is_inside: bool,
}

impl FailedScripts {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let Self { lines, found, is_inside } = self;
        lines.push(bytes, |line| {
            if let Some(package) = failed_script(line) {
                found.push((package, Tail::default()));
                *is_inside = true;
            }
            *is_inside &= failed_script(line).is_some()
                || line.starts_with(b"  ")
                || line.starts_with(b"Caused by:")
                || line.trim_ascii().is_empty();
            if let Some((_, tail)) = found.last_mut().filter(|_| *is_inside) {
                tail.push(line);
            }
        });
    }

    /// The packages, each with the end of what was printed.
    pub(super) fn take(&mut self) -> Vec<(PackageId, Bytes)> {
        let found = std::mem::take(&mut self.found).into_iter();
        found.filter_map(|(package, mut tail)| Some((package, tail.take()?))).collect()
    }
}

/// The package of cargo's line ``error: failed to run custom build command for `NAME vVERSION…` ``.
fn failed_script(line: &[u8]) -> Option<PackageId> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("error: failed to run custom build command for `")?;
    let (name, rest) = rest.split_once(" v")?;
    let version = rest.split(['`', ' ']).next()?;
    Some(PackageId::new(name, version))
}

/// Name and version of a package id (`SOURCE#NAME@VERSION` or `SOURCE/NAME#VERSION`; cargo's pkgid specification).
fn parse_package_id(id: &str) -> Option<PackageId> {
    let (source, fragment) = id.rsplit_once('#')?;
    if let Some((name, version)) = fragment.split_once('@') {
        return Some(PackageId::new(name, version));
    }
    let (_, name) = source.split('?').next()?.rsplit_once('/')?;
    Some(PackageId::new(name, fragment))
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct Tail<const LENGTH: usize = { 64 * 1024 }>(VecDeque<u8>);

impl<const LENGTH: usize> Tail<LENGTH> {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let skip = bytes.len().saturating_sub(LENGTH);
        self.0.extend(bytes.iter().skip(skip));
        let over = self.0.len().saturating_sub(LENGTH);
        self.0.drain(..over);
    }

    pub(super) fn take(&mut self) -> Option<Bytes> {
        if self.0.is_empty() { None } else { Some(Bytes(std::mem::take(&mut self.0).into())) }
    }
}

/// Cuts a stream into lines, each of bounded length; longer ones are dropped whole.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    overlong: bool,
    dropped: u64,
}

impl Lines {
    const LONGEST: usize = 4 << 20;

    /// How many lines were dropped since the last time.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.pending.len() + piece.len() > Self::LONGEST {
                self.pending.clear();
                self.dropped += u64::from(!self.overlong);
                self.overlong = true;
            } else if !self.overlong {
                self.pending.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                if !self.overlong {
                    each(&self.pending);
                }
                self.pending.clear();
                self.overlong = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_package_ids_are_read() {
        for (id, expected) in [
            ("registry+sparse+http://127.0.0.1/index/#serde@1.0.0", "serde@1.0.0"),
            ("path+file:///workspace/crates/evil#0.1.0", "evil@0.1.0"),
            ("path+file:///workspace/crates/a#other@0.2.0", "other@0.2.0"),
        ] {
            assert_eq!(parse_package_id(id).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_fresh_output_leads_to_the_unit_that_made_it() {
        let line = br#"{"reason":"compiler-artifact","package_id":"path+file:///w/a#0.1.0","manifest_path":"/w/a/Cargo.toml","filenames":["/t/debug/build/a-01/build-script-build"],"fresh":true}"#;
        let Some(Message::Artifact(_, folder, files, true)) = read(line) else { unreachable!() };
        assert_eq!(crate::base::identity(&files[0]), "build/a-01");
        assert_eq!(folder, Path::new("/w/a"));
    }

    #[test]
    fn a_build_scripts_directives_are_read() {
        let line = br#"{"reason":"build-script-executed","package_id":"path+file:///w/evil#0.1.0","linked_libs":["z"],"linked_paths":[],"cfgs":["x"],"env":[["A","b"]],"out_dir":"/t"}"#;
        let Some(Message::Directives(package, directives, _)) = read(line) else { unreachable!() };
        assert_eq!(package.to_string(), "evil@0.1.0");
        let texts: Vec<_> = directives.iter().map(|one| format!("{} {}", one.kind, one.value)).collect();
        assert_eq!(texts, ["linked-lib z", "cfg x", "env A=b"]);
    }

    #[test]
    fn the_words_of_failed_scripts_are_told_apart() {
        let stderr = b"   Compiling a v1.0.0\nerror: failed to run custom build command for `a v1.0.0 (/x)`\n\nCaused by:\n  process\n  --- stderr\n  boom\nwarning: other\nerror: failed to run custom build command for `b-c v0.2.0+x`\n  bang\n";
        let found = said_of(&[stderr]);
        assert_eq!(
            found.iter().map(|(package, _)| package.to_string()).collect::<Vec<_>>(),
            ["a@1.0.0", "b-c@0.2.0+x"]
        );
        assert!(found[0].1.0.ends_with(b"boom\n") && found[1].1.0.ends_with(b"bang\n"));
    }

    fn said_of(pieces: &[&[u8]]) -> Vec<(PackageId, Bytes)> {
        let mut scripts = FailedScripts::default();
        for piece in pieces {
            scripts.push(piece);
        }
        scripts.take()
    }

    #[test]
    fn a_script_that_fails_at_length_takes_no_words_from_itself_nor_from_the_others() {
        let noise = "  noise\n".repeat(1_000_000);
        let first = b"error: failed to run custom build command for `a v1.0.0`\n  no libfoo\n";
        let second = format!("error: failed to run custom build command for `b v1.0.0`\n{noise}  at the end\n");
        let found =
            said_of(&[first, second.as_bytes(), b"warning: build failed, waiting for other jobs to finish...\n"]);
        let [(a, of_a), (b, of_b)] = found.as_slice() else { panic!("{} packages", found.len()) };
        assert_eq!((a.to_string(), b.to_string()), ("a@1.0.0".to_owned(), "b@1.0.0".to_owned()));
        assert!(of_a.to_string().contains("no libfoo"), "{of_a}");
        assert!(of_b.0.ends_with(b"  at the end\n") && of_b.0.len() <= 16 * 1024, "{}", of_b.0.len());
    }

    #[test]
    fn link_arguments_are_found_in_every_spelling() {
        let package = PackageId::new("a", "1.0.0");
        let value = |line: &str| link_argument(&package, line.as_bytes()).map(|directive| directive.value.to_string());
        assert_eq!(value("cargo:rustc-link-arg=-fuse-ld=/x"), Some("-fuse-ld=/x".to_owned()));
        assert_eq!(value("cargo::rustc-link-arg-bins=-B/x"), Some("-B/x".to_owned()));
        assert_eq!(value("cargo::rustc-cdylib-link-arg=-lz"), Some("-lz".to_owned()));
        assert_eq!(value("cargo::rustc-link-lib=z"), None);
    }

    #[test]
    fn a_link_argument_is_found_behind_any_amount_of_output() {
        let folder = tempfile::tempdir().unwrap();
        let noise = "cargo::warning=x\n".repeat(200_000);
        let text = format!("cargo::rustc-link-arg=-first\n{noise}cargo::rustc-link-arg=-last");
        std::fs::write(folder.path().join("output"), text).unwrap();
        let mut found = Vec::new();
        let package = PackageId::new("a", "1.0.0");
        let done: Result<(), ()> = link_arguments(&package, &folder.path().join("out"), |directive| {
            found.push(directive.value.to_string());
            Ok(())
        });
        assert_eq!((done, found), (Ok(()), vec!["-first".to_owned(), "-last".to_owned()]));
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_whole_and_counted() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let long = vec![b'x'; Lines::LONGEST / 2 + 1];
        for piece in [&b"a\n"[..], &long, &long, &long, b"\n", b"b\n"] {
            lines.push(piece, |line| seen.push(line.to_vec()));
        }
        assert_eq!(seen, [b"a\n", b"b\n"]);
        assert_eq!((lines.take_dropped(), lines.take_dropped()), (1, 0));
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in [&b"ab"[..], b"c\nde", b"f\n"] {
            lines.push(piece, |line| seen.push(line.to_vec()));
        }
        assert_eq!(seen, [b"abc\n".to_vec(), b"def\n".to_vec()]);
    }
}
