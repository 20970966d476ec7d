//! The package of ours in which cargo chooses versions.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::error::AcquireError;
use super::{SubjectDependency, SubjectOrigin};
use crate::ids::Sha256Digest;
use crate::plan::CONSUMER_NAME;

/// Writes the package to the new folder `folder`; `local/` lies beside it.
pub(crate) fn write(folder: &Path, subject: &SubjectDependency) -> Result<(), AcquireError> {
    write_package(folder, &manifest(subject)?)
}

/// Writes a package without code to the new folder `folder`.
pub(crate) fn write_package(folder: &Path, manifest: &str) -> Result<(), AcquireError> {
    let source = folder.join("src");
    fs::create_dir_all(&source).map_err(AcquireError::file("create", &source))?;
    for (path, text) in [(source.join("lib.rs"), ""), (folder.join("Cargo.toml"), manifest)] {
        fs::write(&path, text).map_err(AcquireError::file("write", &path))?;
    }
    Ok(())
}

fn manifest(subject: &SubjectDependency) -> Result<String, AcquireError> {
    let mut dependency = Table::new();
    match &subject.origin {
        SubjectOrigin::Registry { version } => {
            // Build metadata has no meaning in a requirement.
            let version = version.split('+').next().unwrap_or(version);
            dependency.insert("version".to_owned(), Value::String(format!("={version}")));
        }
        SubjectOrigin::Local { dir } => {
            let path = Path::new("../local").join(dir);
            let path = path.to_str().ok_or_else(|| AcquireError::Usage {
                message: format!("the path {} is not UTF-8", dir.display()),
                hint: Some("cargo cannot name it in a manifest: check a copy in a folder with another name".to_owned()),
            })?;
            dependency.insert("path".to_owned(), Value::String(path.to_owned()));
        }
    }
    dependency.insert("default-features".to_owned(), Value::Boolean(subject.default_features));
    let features = subject.features.iter().cloned().map(Value::String).collect();
    dependency.insert("features".to_owned(), Value::Array(features));
    let package = Table::from_iter([
        ("name".to_owned(), Value::String(CONSUMER_NAME.to_owned())),
        ("version".to_owned(), Value::String("0.1.0".to_owned())),
        ("edition".to_owned(), Value::String("2021".to_owned())),
    ]);
    let dependencies = Table::from_iter([(subject.name.clone(), Value::Table(dependency))]);
    let manifest = Table::from_iter([
        ("package".to_owned(), Value::Table(package)),
        // A root of its own, whatever lies above the cache.
        ("workspace".to_owned(), Value::Table(Table::new())),
        ("dependencies".to_owned(), Value::Table(dependencies)),
    ]);
    Ok(manifest.to_string())
}

/// Writes a lock file that names a yanked version. Cargo takes a yanked version only if it is locked already.
pub(crate) fn write_lock(folder: &Path, name: &str, version: &str, checksum: Sha256Digest) -> Result<(), AcquireError> {
    let text = format!(
        "version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+{}\"\n\
         checksum = \"{}\"\n\n[[package]]\nname = \"{CONSUMER_NAME}\"\nversion = \"0.1.0\"\ndependencies = [\n \"{name}\",\n]\n",
        tame_index::CRATES_IO_INDEX,
        checksum.hex(),
    );
    let path = folder.join("Cargo.lock");
    fs::write(&path, text).map_err(AcquireError::file("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_named_exactly_and_quoted() {
        let subject = SubjectDependency {
            name: "a".to_owned(),
            origin: SubjectOrigin::Local { dir: "x\"y".into() },
            features: vec!["f".to_owned()],
            default_features: false,
            features_off: Vec::new(),
        };
        let table: Table = manifest(&subject).unwrap().parse().unwrap();
        assert_eq!(table["dependencies"]["a"]["path"].as_str(), Some("../local/x\"y"));
        assert_eq!(table["dependencies"]["a"]["default-features"].as_bool(), Some(false));
        let origin = SubjectOrigin::Registry { version: "1.0.0+b".to_owned() };
        let table: Table = manifest(&SubjectDependency { origin, ..subject }).unwrap().parse().unwrap();
        assert_eq!(table["dependencies"]["a"]["version"].as_str(), Some("=1.0.0"));
    }
}
