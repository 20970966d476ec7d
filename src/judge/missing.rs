//! What a unit asked for: the programs that it tried, the modules that it asked pkg-config for, the libraries that it
//! linked. By the evidence alone; what the unit printed is read by `diagnosis`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::context::{Context, program};
use super::paths::file_name;
use super::units::Units;
use crate::evidence::line::{Attempt, Kind, Object, ProgramFile};
use crate::evidence::{Bytes, EvidenceLog};
use crate::ids::UnitId;
use crate::policy::{Policy, Role};

/// The longest name that is taken for one.
const LONGEST_NAME: usize = 64;

/// Something that a build asked the machine for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missing {
    /// What it is.
    pub kind: MissingKind,
    /// By its own name: `cmake`, `openssl`, `ssl`, `zlib.h`.
    pub name: String,
}

/// What can be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingKind {
    /// A program of `PATH`.
    Program,
    /// A module that pkg-config is asked for.
    PkgConfig,
    /// A library, without `lib` and ending.
    Library,
    /// A header of C.
    Header,
    /// A platform that rustc compiles for, whose standard library the toolchain lacks.
    Target,
}

impl MissingKind {
    /// The word for people, and in the table of packages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::PkgConfig => "pkg-config module",
            Self::Library => "library",
            Self::Header => "header",
            Self::Target => "Rust target",
        }
    }
}

impl Missing {
    /// None when the bytes are no name that such a thing could have.
    pub(super) fn new(kind: MissingKind, name: &[u8]) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
        let is_name = !name.is_empty()
            && name.len() <= LONGEST_NAME
            && name.iter().all(|byte| plain(byte) || (kind == MissingKind::Header && *byte == b'/'))
            && name.iter().any(u8::is_ascii_alphabetic)
            && !name.starts_with(b"-")
            && !name.starts_with(b".");
        is_name.then(|| Self { kind, name: String::from_utf8_lossy(name).into_owned() })
    }
}

/// What one unit asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Programs that were tried and nowhere there, in the order of the last try.
    pub(super) absent: Vec<Missing>,
    /// Names of programs that started.
    there: BTreeSet<Vec<u8>>,
    /// True if the last start of the unit was one of an absent program.
    pub(super) ends_absent: bool,
    /// Modules that pkg-config was asked for. Whether it knew them, its output says.
    pub(super) modules: BTreeSet<Missing>,
    /// Libraries that a compiler or linker was told to link.
    libraries: BTreeSet<Missing>,
    /// True if a compiler ran.
    compiles: bool,
}

impl Asked {
    pub(super) fn by(cx: &Context<'_>, unit: UnitId) -> Self {
        let mut asked = Self::default();
        let mut absent: Vec<Missing> = Vec::new();
        for tried in cx.tried.iter().filter(|t| t.attempt.unit == unit && t.attempt.kind == Kind::Exec && !t.is_first) {
            let Some((object, argv, file)) = program(tried) else { continue };
            let name = file_name(&object.path.0);
            asked.ends_absent = file == ProgramFile::Absent;
            if asked.ends_absent {
                if let Some(missing) = Missing::new(MissingKind::Program, name) {
                    absent.retain(|known| *known != missing);
                    absent.push(missing);
                }
                continue;
            }
            asked.there.insert(name.to_vec());
            if is_pkg_config(name) {
                asked.modules.extend(modules(argv));
            }
            if matches!(cx.program_role(tried), Some(Role::Compiler | Role::Linker)) {
                asked.compiles = true;
                asked.libraries.extend(
                    argv.iter().filter_map(|arg| Missing::new(MissingKind::Library, arg.0.strip_prefix(b"-l")?)),
                );
            }
        }
        absent.retain(|missing| !asked.there.contains(missing.name.as_bytes()));
        asked.ends_absent &= !absent.is_empty();
        asked.absent = absent;
        asked
    }

    /// True if the evidence has it that this was asked for.
    pub(super) fn has(&self, missing: &Missing) -> bool {
        match missing.kind {
            MissingKind::Program => self.absent.contains(missing),
            MissingKind::PkgConfig => self.modules.contains(missing),
            MissingKind::Library => self.libraries.contains(missing),
            MissingKind::Header => self.compiles,
            // rustc is asked for many targets, and says which one it lacks.
            MissingKind::Target => false,
        }
    }

    /// True if the evidence speaks against it: the program was there.
    pub(super) fn refutes(&self, missing: &Missing) -> bool {
        missing.kind == MissingKind::Program && self.there.contains(missing.name.as_bytes())
    }
}

fn is_pkg_config(name: &[u8]) -> bool {
    [&b"pkg-config"[..], b"pkgconf"].iter().any(|known| {
        name == *known || name.ends_with(&[b"-", *known].concat()) || name.starts_with(&[*known, b"-"].concat())
    })
}

/// The modules among the arguments: no options, no versions.
fn modules(argv: &[Bytes]) -> Vec<Missing> {
    const WITH_VALUE: [&[u8]; 5] =
        [b"--atleast-version", b"--exact-version", b"--max-version", b"--variable", b"--define-variable"];
    const RELATIONS: [&[u8]; 6] = [b"=", b"<", b">", b"<=", b">=", b"!="];
    let mut found = Vec::new();
    let mut skips = false;
    for arg in argv.iter().skip(1) {
        if std::mem::take(&mut skips) {
            continue;
        }
        if arg.0.starts_with(b"-") {
            skips = WITH_VALUE.contains(&arg.0.as_slice());
            continue;
        }
        for word in arg.0.split(|byte| byte.is_ascii_whitespace() || *byte == b',').filter(|word| !word.is_empty()) {
            if std::mem::take(&mut skips) {
                continue;
            }
            skips = RELATIONS.contains(&word);
            found.extend((!skips).then(|| Missing::new(MissingKind::PkgConfig, word)).flatten());
        }
    }
    found
}

/// Programs that were tried and are nowhere, and modules that pkg-config was asked for, of all units. Most are things
/// that a build can do without; whether pkg-config knew a module is not seen.
pub fn looked_for(log: &EvidenceLog, policy: &Policy) -> BTreeSet<Missing> {
    let units = Units::new(log);
    let cx = Context::new(log, policy, &units);
    let asked = units.0.keys().map(|unit| Asked::by(&cx, *unit));
    asked.flat_map(|asked| asked.absent.into_iter().chain(asked.modules)).collect()
}

/// The names that a unit asked for and the addresses that it tried outside, each once.
pub(super) fn outside(cx: &Context<'_>, unit: UnitId) -> Vec<String> {
    let mut found = Vec::new();
    for attempt in cx.tried.iter().map(|tried| tried.attempt).filter(|attempt| attempt.unit == unit) {
        if let Some(place) = outside_place(attempt).filter(|place| !found.contains(place)) {
            found.push(place);
        }
    }
    found
}

fn outside_place(attempt: &Attempt) -> Option<String> {
    match (&attempt.object, attempt.kind) {
        (Object::Question { name, .. }, Kind::DnsQuery) => Some(name.to_string()),
        (Object::Address(to), Kind::NetConnect) | (Object::Message { to, .. }, Kind::NetSend) => {
            let ip = to.ip.filter(|ip| !ip.is_loopback() && !ip.is_unspecified())?;
            // Port 0 asks for the way and sends nothing.
            to.port.filter(|port| *port != 0).map(|_| ip.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_told_from_options_and_versions() {
        let argv = |words: &[&str]| words.iter().map(|word| Bytes::from(*word)).collect::<Vec<_>>();
        let names = |words: &[&str]| modules(&argv(words)).into_iter().map(|m| m.name).collect::<Vec<_>>();
        assert_eq!(names(&["pkg-config", "--libs", "--cflags", "openssl", "openssl >= 1.0.1"]), ["openssl", "openssl"]);
        assert_eq!(names(&["pkg-config", "--atleast-version", "3", "gtk+-3.0,glib-2.0"]), ["gtk+-3.0", "glib-2.0"]);
        assert_eq!(names(&["pkg-config", "zlib", ">=", "1.2", "--exists"]), ["zlib"]);
        assert_eq!(names(&["pkg-config", "--version"]), [""; 0]);
    }

    #[test]
    fn what_cannot_be_a_name_is_none() {
        for wrong in ["", "-l", ".x", "a b", "12", "a/b", "x\u{1b}[2J", &"a".repeat(65)] {
            assert_eq!(Missing::new(MissingKind::Program, wrong.as_bytes()), None, "{wrong}");
        }
        assert!(Missing::new(MissingKind::Header, b"openssl/ssl.h").is_some());
    }
}
