//! Reads cargo's messages: directives of build scripts, diagnostics, and the
//! check of our own attribution against cargo's.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::evidence::Bytes;
use crate::evidence::line::Directive;
use crate::ids::PackageId;

/// What one line of cargo's tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A build script ran: its package and what it told cargo.
    Directives(PackageId, Vec<Directive>),
    /// A unit of this package made files with these names.
    Artifact(PackageId, Vec<String>),
    /// A compiler's message.
    Diagnostic(PackageId, String),
}

#[derive(Deserialize)]
struct Raw {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    filenames: Vec<String>,
    #[serde(default)]
    linked_libs: Vec<String>,
    #[serde(default)]
    linked_paths: Vec<String>,
    #[serde(default)]
    cfgs: Vec<String>,
    #[serde(default)]
    env: Vec<(String, String)>,
    message: Option<RawDiagnostic>,
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
            Some(Message::Directives(package, directives))
        }
        "compiler-artifact" => {
            let name = |path: String| path.rsplit_once('/').map_or(path.clone(), |(_, name)| name.to_owned());
            Some(Message::Artifact(package, raw.filenames.into_iter().map(name).collect()))
        }
        "compiler-message" => {
            let message = raw.message.filter(|message| message.level == "error")?;
            Some(Message::Diagnostic(package, message.rendered?))
        }
        _ => None,
    }
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
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    const LENGTH: usize = 16 * 1024;

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let skip = bytes.len().saturating_sub(Self::LENGTH);
        self.0.extend(bytes.iter().skip(skip));
        let over = self.0.len().saturating_sub(Self::LENGTH);
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
}

impl Lines {
    const LONGEST: usize = 4 << 20;

    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.pending.len() + piece.len() > Self::LONGEST {
                self.pending.clear();
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
    fn a_build_scripts_directives_are_read() {
        let line = br#"{"reason":"build-script-executed","package_id":"path+file:///w/evil#0.1.0","linked_libs":["z"],"linked_paths":[],"cfgs":["x"],"env":[["A","b"]],"out_dir":"/t"}"#;
        let Some(Message::Directives(package, directives)) = read(line) else { unreachable!() };
        assert_eq!(package.to_string(), "evil@0.1.0");
        let texts: Vec<_> = directives.iter().map(|one| format!("{} {}", one.kind, one.value)).collect();
        assert_eq!(texts, ["linked-lib z", "cfg x", "env A=b"]);
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
