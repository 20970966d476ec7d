//! A folder of unpacked packages that the user's cargo configuration names (`cargo vendor`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::copy::{self, Copied};
use super::error::AcquireError;
use super::manifest::Manifest;
use super::registry::read_bounded;
use super::release::Release;
use super::settings::Limits;
use crate::ids::{PackageId, Sha256Digest};

const CHECKSUM_BYTES: u64 = 16 * 1024 * 1024;

/// cargo's note beside each package.
#[derive(Deserialize)]
struct Checksums {
    files: BTreeMap<String, String>,
    package: Option<String>,
}

/// All versions of a name in the folder.
pub(crate) fn versions(root: &Path, name: &str) -> Result<Vec<Release>, AcquireError> {
    Ok(packages(root, name)?.into_iter().map(|(_, release)| release).collect())
}

/// Copies one package out of the folder after each of its files was compared with the noted checksum.
pub(crate) fn place(root: &Path, id: &PackageId, to: &Path, limits: &Limits) -> Result<Copied, AcquireError> {
    let found = packages(root, &id.name)?.into_iter().find(|(_, release)| release.id == *id);
    let Some((folder, _)) = found else {
        return Err(AcquireError::OfflineMissing { missing: vec![id.to_string()] });
    };
    let copied = copy::tree(&folder, to, limits)?;
    let sums = checksums(&folder)?.map(|sums| sums.files).unwrap_or_default();
    for (file, expected) in &sums {
        // A name that leads outside cannot be among what was copied.
        if !copied.files.contains(Path::new(file)) {
            let reason = format!("{file:?} of its checksum file is missing");
            return Err(AcquireError::Manifest { path: folder, reason });
        }
        let path = to.join(file);
        let bytes = fs::read(&path).map_err(AcquireError::file("read", &path))?;
        let found = Sha256Digest(Sha256::digest(&bytes).into());
        match expected.parse() {
            Ok(expected) if found == expected => {}
            Ok(expected) => {
                let origin = format!("file {file:?} of the vendored folder against its checksum file");
                return Err(AcquireError::ChecksumMismatch { package: Box::new(id.clone()), expected, found, origin });
            }
            Err(_) => return Err(AcquireError::Manifest { path: folder, reason: "a checksum is none".to_owned() }),
        }
    }
    Ok(copied)
}

fn packages(root: &Path, name: &str) -> Result<Vec<(PathBuf, Release)>, AcquireError> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(root).map_err(AcquireError::file("list", root))? {
        let folder = entry.map_err(AcquireError::file("list", root))?.path();
        // Vendored folders are called NAME or NAME-VERSION: the others need not be opened.
        if !folder.file_name().and_then(|file| file.to_str()).is_some_and(|file| file.starts_with(name)) {
            continue;
        }
        let Some(checksum) = checksums(&folder)?.and_then(|sums| sums.package) else { continue };
        let Ok(checksum) = checksum.parse::<Sha256Digest>() else { continue };
        let manifest = Manifest::read(&folder, None)?;
        if manifest.name == name
            && let Some(release) = manifest.as_release(checksum)
        {
            packages.push((folder, release));
        }
    }
    Ok(packages)
}

fn checksums(folder: &Path) -> Result<Option<Checksums>, AcquireError> {
    let path = folder.join(".cargo-checksum.json");
    let Some(bytes) = read_bounded(&path, CHECKSUM_BYTES)? else { return Ok(None) };
    let reason = |error: serde_json::Error| AcquireError::Manifest { path, reason: error.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(reason)
}
