//! Programs that load a workspace's own macro libraries: cargo builds such a library for what needs it only, and where
//! all that does is behind a feature, or is nobody's of the workspace, none of its macros would run.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::super::error::AcquireError;
use super::super::manifest::read_table;
use super::workspace::Workspace;

/// The program, in the folder of the package.
const PROGRAM: &str = "sandbox-check-loads.rs";

impl Workspace {
    /// Gives each package of the copy below `local` that is a macro library a program that loads it. What the lock file
    /// says of the package stays as it is.
    pub(super) fn load_macros(&self, local: &Path) -> Result<(), AcquireError> {
        for (folder, library) in self.macro_libraries() {
            let place = local.join(self.place_of(folder));
            let table = with_program(read_table(&place)?);
            let (manifest, program) = (place.join("Cargo.toml"), place.join(PROGRAM));
            // It stands under the package's own lints, and has no use for what the library needs.
            let lints = "#![allow(unused_crate_dependencies)]";
            let loads = format!("extern crate {library} as _;");
            let text = format!("//! Loads a macro library.\n{lints}\n\n{loads}\n\nfn main() {{}}\n");
            for (path, text) in [(manifest, table.to_string()), (program, text)] {
                fs::write(&path, text).map_err(AcquireError::file("write", &path))?;
            }
        }
        Ok(())
    }
}

/// A manifest with one program more.
fn with_program(mut table: Table) -> Table {
    let package = table.get("package").or_else(|| table.get("project")).and_then(|package| package.get("name"));
    let name = format!("sandbox-check-loads-{}", package.and_then(Value::as_str).unwrap_or_default());
    let program = [("name", name), ("path", PROGRAM.to_owned())];
    let program = Table::from_iter(program.map(|(key, value)| (key.to_owned(), Value::String(value))));
    // What is no list there is refused by cargo.
    if let Value::Array(programs) = table.entry("bin").or_insert_with(|| Value::Array(Vec::new())) {
        programs.push(Value::Table(program));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::Limits;
    use super::*;

    #[test]
    fn a_macro_library_gets_one_program_more_and_other_packages_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("ws");
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let package = |name: &str| format!("[package]\nname = '{name}'\nversion = '0.1.0'\nedition = '2021'\n");
        let programs = "[lib]\nname = 'called_so'\nproc-macro = true\n[[bin]]\nname = 'x'\npath = 'x.rs'\n";
        write("Cargo.toml", &format!("{}[workspace]\nmembers = ['macros']\n", package("app")));
        write("src/lib.rs", "");
        write("macros/Cargo.toml", &format!("{}{programs}", package("macros")));
        let workspace = Workspace::read(&root).unwrap();
        let local = folder.path().join("local");
        fs::create_dir(&local).unwrap();
        workspace.copy(&local, &Limits::default()).unwrap();
        workspace.load_macros(&local).unwrap();
        let names = |folder: &str| {
            let table = read_table(&local.join(folder)).unwrap();
            let programs = table.get("bin").and_then(Value::as_array).into_iter().flatten();
            programs.map(|program| program["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("ws/macros"), ["x", "sandbox-check-loads-macros"]);
        assert_eq!(names("ws"), [""; 0]);
        let text = fs::read_to_string(local.join("ws/macros").join(PROGRAM)).unwrap();
        assert!(text.contains("extern crate called_so as _;"), "{text}");
    }
}
