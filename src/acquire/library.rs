//! Gives a package without a library an empty one, in our own copy of its source.
//!
//! cargo builds nothing of a dependency that has no library, so the build
//! script of a package with programs only would never run.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::SourcePackage;
use super::error::AcquireError;
use super::facts::{ADDED_LIBRARY, Found};
use crate::evidence::line::Fact;

const FILE: &str = "sandbox_check_empty_library.rs";

/// Adds the library if the package has none. Returns the fact that says so.
pub(crate) fn add(package: &mut SourcePackage, dir: &Path) -> Result<Option<Fact>, AcquireError> {
    if package.lib_name.is_some() {
        return Ok(None);
    }
    let name = package.id.name.replace('-', "_");
    let (source, manifest) = (dir.join(FILE), dir.join("Cargo.toml"));
    let failed = |path| AcquireError::file("add an empty library", path);
    let mut empty = OpenOptions::new();
    let mut empty = empty.write(true).create_new(true).mode(0o644).open(&source).map_err(failed(source.as_path()))?;
    empty.write_all(b"//! Empty.\n").map_err(failed(source.as_path()))?;
    let mut append = OpenOptions::new();
    let mut append =
        append.append(true).custom_flags(libc::O_NOFOLLOW).open(&manifest).map_err(failed(manifest.as_path()))?;
    let section = format!("\n[lib]\nname = {name:?}\npath = {FILE:?}\n");
    append.write_all(section.as_bytes()).map_err(failed(manifest.as_path()))?;
    package.lib_name = Some(name);
    let text = "it has programs only; an empty library was added to our copy, so that cargo builds it as a dependency; \
                its programs were not compiled";
    Ok(Some(Found { code: ADDED_LIBRARY, text: text.to_owned(), path: None }.of(&package.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::manifest::Manifest;
    use crate::evidence::line::PackageSource;
    use crate::ids::PackageId;

    #[test]
    fn a_package_of_programs_gets_a_library_and_a_fact() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("src/main.rs"), "fn main() {}").unwrap();
        let manifest = "[package]\nname = \"my-tool\"\nversion = \"1.0.0\"\nautolib = false\n\n[[bin]]\nname = \"my-tool\"\npath = \"src/main.rs\"";
        std::fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        let mut package = SourcePackage {
            id: PackageId::new("my-tool", "1.0.0"),
            source: PackageSource::Registry,
            checksum: None,
            dir: "x".into(),
            subject: true,
            build_script: false,
            proc_macro: None,
            lib_name: Manifest::read(dir.path(), None).unwrap().lib_name,
            unnamed: None,
        };
        assert_eq!(package.lib_name, None);
        let fact = add(&mut package, dir.path()).unwrap().unwrap();
        assert_eq!(fact.code, ADDED_LIBRARY);
        assert_eq!(Manifest::read(dir.path(), None).unwrap().lib_name.as_deref(), Some("my_tool"));
        assert_eq!(add(&mut package, dir.path()).unwrap(), None, "once is enough");
    }
}
