//! The base: finished units of earlier runs, given to a run so that cargo finds them fresh.
//!
//! [`tree`] is where outputs of a run are taken from, [`pack`] how those of one package are kept, and [`stream`] the form
//! in which they lie in it and enter another run. Which packages are taken, and what their evidence says, is for whoever knows the whole story. Decision 16 has
//! the reasons.

pub mod pack;
pub mod stream;
pub mod tree;

use serde::{Deserialize, Serialize};

use crate::evidence::line::UnitKind;
use crate::ids::PackageId;

/// Bytes that are read or written at once.
const AT_ONCE: usize = 256 * 1024;

/// A finished unit of an earlier run, whose outputs lie in the target folder of this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Whose code ran in it.
    pub package: PackageId,
    /// What kind of work it was.
    pub kind: UnitKind,
    /// What tells it from others, as [`UnitStart::identity`](crate::evidence::line::UnitStart::identity) has it.
    pub identity: String,
    /// Of a macro library: true if it was driven, and is not to be again.
    pub driven: bool,
}

impl Finished {
    /// The words of [`owner`] for all that belongs to it.
    pub fn owners(&self) -> Vec<String> {
        if let Some(folder) = self.identity.strip_prefix("build/") {
            let folder = folder.trim_end_matches("/out");
            return vec![format!("build/{folder}"), format!(".fingerprint/{folder}")];
        }
        let hash = self.identity.rsplit_once('-').map_or("", |(_, hash)| hash);
        vec![format!("deps/{}", self.identity), format!(".fingerprint/{}-{hash}", self.package.name)]
    }
}

/// To what in the target folder a file belongs: `deps/CRATE-HASH`, `build/NAME-HASH` or `.fingerprint/NAME-HASH`.
pub fn owner(path: &str) -> Option<String> {
    let (part, rest) = path.strip_prefix("debug/")?.split_once('/')?;
    let name = if part == "deps" { unit_name(rest) } else { rest.split('/').next()? };
    Some(format!("{part}/{name}"))
}

/// The crate name and hash of an output.
pub fn unit_name(path: &str) -> &str {
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    let stem = file.split_once('.').map_or(file, |(stem, _)| stem);
    stem.strip_prefix("lib").unwrap_or(stem)
}

/// The identity of the unit that made an output.
pub fn identity(path: &str) -> String {
    let mut parts = path.rsplit('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some(folder), Some("build")) => format!("build/{folder}"),
        _ => unit_name(path).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_leads_to_the_unit_that_made_it_and_back() {
        let unit = |kind, identity: &str| {
            let package = PackageId::new("a-b", "1.0.0");
            Finished { package, kind, identity: identity.to_owned(), driven: false }
        };
        let library = unit(UnitKind::Compile, "a_b-01");
        for path in ["debug/deps/liba_b-01.rmeta", "debug/deps/a_b-01.d", "debug/.fingerprint/a-b-01/lib-a_b"] {
            assert!(library.owners().contains(&owner(path).unwrap()), "{path}");
        }
        let script = unit(UnitKind::CompileBuildScript, "build/a-b-02");
        let run = unit(UnitKind::RunBuildScript, "build/a-b-03/out");
        for (unit, path) in [
            (&script, "debug/build/a-b-02/.real/build_script_build-02"),
            (&script, "debug/.fingerprint/a-b-02/x"),
            (&run, "debug/build/a-b-03/out/deep/file"),
            (&run, "debug/build/a-b-03"),
            (&run, "debug/.fingerprint/a-b-03/x"),
        ] {
            assert!(unit.owners().contains(&owner(path).unwrap()), "{path}");
        }
        assert_eq!(owner("debug/deps"), None);
        assert_eq!(identity("/t/debug/build/a-b-02/build-script-build"), script.identity);
        assert_eq!(identity("/t/debug/deps/liba_b-01.so"), library.identity);
    }
}
