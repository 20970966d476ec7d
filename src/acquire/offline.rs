//! A registry made of what is on this machine, for a cargo that may not use the network.
//!
//! Cargo's own offline mode knows only the `.crate` files in its own cache, not
//! those in ours. So it gets a local registry whose index lists, of each name,
//! the versions whose `.crate` file is here; names of which none is here keep
//! all versions, for packages of other platforms need no file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tame_index::KrateName;
use tame_index::krate::DependencyKind;

use super::download::Store;
use super::error::AcquireError;
use super::registry::Registry;
use super::release::Release;
use super::sources::DEFAULT;

/// Makes the registry in the new folder `to`; gives the `--config` values that make cargo use it.
pub(crate) fn registry(
    to: &Path,
    registry: &Registry<'_>,
    store: &Store<'_>,
    names: impl IntoIterator<Item = String>,
) -> Result<Vec<String>, AcquireError> {
    let index = to.join("index");
    fs::create_dir_all(&index).map_err(AcquireError::file("create", &index))?;
    let mut todo: Vec<String> = names.into_iter().collect();
    let mut seen: BTreeSet<String> = todo.iter().cloned().collect();
    while let Some(name) = todo.pop() {
        let Ok(krate) = KrateName::try_from(name.as_str()) else { continue };
        let Some(mut releases) = registry.known_versions(&name)? else { continue };
        let here = |release: &Release| store.has(registry, &release.id, release.checksum());
        if releases.iter().any(here) {
            releases.retain(here);
        }
        let mut lines = Vec::new();
        for release in &releases {
            lines.extend_from_slice(&release.line);
            lines.push(b'\n');
            for dep in release.index.deps.iter().filter(|dep| dep.kind != DependencyKind::Dev) {
                if seen.insert(dep.crate_name().to_owned()) {
                    todo.push(dep.crate_name().to_owned());
                }
            }
        }
        let path = index.join(krate.relative_path(None));
        let folder = path.parent().unwrap_or(&index);
        fs::create_dir_all(folder).map_err(AcquireError::file("create", folder))?;
        fs::write(&path, lines).map_err(AcquireError::file("write", &path))?;
    }
    let path = toml::Value::String(to.to_string_lossy().into_owned());
    Ok(vec![
        format!("source.{DEFAULT}.replace-with=\"sandbox-check-offline\""),
        format!("source.sandbox-check-offline.local-registry={path}"),
    ])
}
