//! The dependency tables of a manifest.

use serde_json::json;
use toml::{Table, Value};

use super::manifest::section;

/// One normal or build dependency.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Dependency {
    /// The name that the package uses for it.
    pub(crate) alias: String,
    /// The name of the package, where it differs.
    pub(crate) package: Option<String>,
    pub(crate) requirement: Option<String>,
    pub(crate) optional: bool,
    pub(crate) default_features: bool,
    pub(crate) features: Vec<String>,
    pub(crate) build: bool,
    /// `cfg(…)` or a triple.
    pub(crate) target: Option<String>,
    pub(crate) path: Option<PathSource>,
    pub(crate) git: Option<String>,
    /// Another registry than the default one: its index, as published manifests have it, or its name.
    pub(crate) registry: Option<String>,
}

/// Where a path counts from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PathSource {
    /// The package's own folder.
    Package(String),
    /// The workspace's root.
    Workspace(String),
}

impl Dependency {
    /// As a line of an index has it.
    pub(crate) fn as_index(&self) -> serde_json::Value {
        json!({
            "name": self.alias, "req": self.requirement.as_deref().unwrap_or("*"), "features": self.features,
            "optional": self.optional, "default_features": self.default_features, "target": self.target,
            "kind": if self.build { "build" } else { "normal" }, "package": self.package,
        })
    }
}

/// True if a part of the manifest is inherited from a workspace.
pub(crate) fn inherits(value: &Value) -> bool {
    match value {
        Value::Table(table) => {
            table.get("workspace").and_then(Value::as_bool) == Some(true) || table.values().any(inherits)
        }
        _ => false,
    }
}

/// All normal and build dependencies of a manifest.
pub(crate) fn of(manifest: &Table, workspace: Option<&Table>) -> Result<Vec<Dependency>, String> {
    in_sections(
        manifest,
        workspace,
        &[("dependencies", false), ("build-dependencies", true), ("build_dependencies", true)],
    )
}

/// The dependencies of a package's tests, examples and benchmarks.
pub(crate) fn of_tests(manifest: &Table, workspace: Option<&Table>) -> Result<Vec<Dependency>, String> {
    in_sections(manifest, workspace, &[("dev-dependencies", false), ("dev_dependencies", false)])
}

fn in_sections(
    manifest: &Table,
    workspace: Option<&Table>,
    sections: &[(&str, bool)],
) -> Result<Vec<Dependency>, String> {
    let shared = workspace.and_then(|workspace| section(workspace, "dependencies"));
    let mut all = Vec::new();
    let mut tables = vec![(None, manifest)];
    for (target, table) in section(manifest, "target").into_iter().flatten() {
        tables.extend(table.as_table().map(|table| (Some(target.clone()), table)));
    }
    for (target, table) in tables {
        for &(key, build) in sections {
            for (alias, value) in section(table, key).into_iter().flatten() {
                let dependency = one(alias, value, shared)?;
                all.push(Dependency { build, target: target.clone(), ..dependency });
            }
        }
    }
    Ok(all)
}

fn one(alias: &str, value: &Value, shared: Option<&Table>) -> Result<Dependency, String> {
    let base = Dependency { alias: alias.to_owned(), default_features: true, ..Dependency::default() };
    let table = match value {
        Value::String(requirement) => return Ok(Dependency { requirement: Some(requirement.clone()), ..base }),
        Value::Table(table) => table,
        _ => return Err(format!("dependency {alias:?} is neither a text nor a table")),
    };
    let mut own = read(base, table, PathSource::Package);
    if table.get("workspace").and_then(Value::as_bool) != Some(true) {
        return Ok(own);
    }
    let inherited = shared.and_then(|shared| shared.get(alias));
    let inherited =
        inherited.ok_or_else(|| format!("dependency {alias:?} is inherited from a workspace that has it not"))?;
    let inherited = match inherited {
        Value::Table(table) => {
            let base = Dependency { alias: alias.to_owned(), default_features: true, ..Dependency::default() };
            read(base, table, PathSource::Workspace)
        }
        other => one(alias, other, None)?,
    };
    own.features.extend(inherited.features.clone());
    Ok(Dependency { features: own.features, optional: own.optional, ..inherited })
}

fn read(base: Dependency, table: &Table, place: impl Fn(String) -> PathSource) -> Dependency {
    let text = |key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    let flag = |key: &str| table.get(key).and_then(Value::as_bool);
    let features = table.get("features").and_then(Value::as_array).into_iter().flatten();
    Dependency {
        package: text("package"),
        requirement: text("version"),
        optional: flag("optional").unwrap_or(false),
        default_features: flag("default-features").or_else(|| flag("default_features")).unwrap_or(true),
        features: features.filter_map(Value::as_str).map(str::to_owned).collect(),
        path: text("path").map(place),
        git: text("git"),
        registry: text("registry-index").or_else(|| text("registry")),
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_all_tables_but_those_of_tests_are_read() {
        let manifest: Table = "[dependencies]\na = '1'\n[build-dependencies]\nb = { version = '2', package = 'c' }\n\
                               [dev-dependencies]\nd = '1'\n[target.'cfg(windows)'.dependencies]\ne = { path = '../e' }"
            .parse()
            .unwrap();
        let found = of(&manifest, None).unwrap();
        let brief: Vec<_> = found.iter().map(|d| (d.alias.as_str(), d.build, d.target.as_deref())).collect();
        assert_eq!(brief, [("a", false, None), ("b", true, None), ("e", false, Some("cfg(windows)"))]);
        assert_eq!(found[1].package.as_deref(), Some("c"));
        assert_eq!(found[2].path, Some(PathSource::Package("../e".to_owned())));
    }

    #[test]
    fn an_inherited_dependency_keeps_its_own_features_and_takes_the_rest() {
        let manifest: Table =
            "[dependencies]\na = { workspace = true, features = ['x'], optional = true }".parse().unwrap();
        let workspace: Table = "[dependencies]\na = { path = 'crates/a', features = ['y'] }".parse().unwrap();
        let found = of(&manifest, Some(&workspace)).unwrap();
        assert_eq!(found[0].path, Some(PathSource::Workspace("crates/a".to_owned())));
        assert_eq!(found[0].features, ["x", "y"]);
        assert!(found[0].optional);
        assert!(of(&manifest, None).unwrap_err().contains("inherited"));
        assert!(inherits(&Value::Table(manifest)));
    }
}
