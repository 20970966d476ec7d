//! What package managers call what a build asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::judge::{Missing, MissingKind};

/// The table, checked by a test.
const TABLE: &str = include_str!("packages.toml");

/// Names of packages for apt, dnf and nix.
type Names = [String; 3];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    program: BTreeMap<String, Names>,
    pkg_config: BTreeMap<String, Names>,
    library: BTreeMap<String, Names>,
    header: BTreeMap<String, Names>,
}

impl Table {
    fn shipped() -> Self {
        toml::from_str(TABLE).unwrap_or_default()
    }

    fn names(&self, missing: &Missing) -> Option<&Names> {
        let part = match missing.kind {
            MissingKind::Program => &self.program,
            MissingKind::PkgConfig => &self.pkg_config,
            MissingKind::Library => &self.library,
            MissingKind::Header => &self.header,
            MissingKind::Target => return None,
        };
        part.get(&missing.name)
    }
}

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Of Debian and its like.
    Apt,
    /// Of Fedora and its like.
    Dnf,
    /// Of Nix.
    Nix,
    /// Of Rust's toolchains.
    Rustup,
}

impl Manager {
    /// Those of the table, in its order.
    const OF_THE_TABLE: [Self; 3] = [Self::Apt, Self::Dnf, Self::Nix];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Nix => "nix",
            Self::Rustup => "rustup",
        }
    }

    /// What the names of packages follow.
    const fn command(self) -> &'static str {
        match self {
            Self::Apt => "apt install",
            Self::Dnf => "dnf install",
            Self::Nix => "nix-shell -p",
            Self::Rustup => "rustup target add",
        }
    }
}

/// One line for each manager that gets all that the table knows, one for targets of Rust, and what the table does not
/// know. No line when that is all.
pub fn install(missing: &[Missing]) -> (Vec<(Manager, String)>, Vec<Missing>) {
    let table = Table::shipped();
    let (targets, missing): (Vec<_>, Vec<_>) = missing.iter().partition(|one| one.kind == MissingKind::Target);
    let (known, unknown): (Vec<_>, Vec<_>) = missing.into_iter().partition(|one| table.names(one).is_some());
    let line = |(at, manager): (usize, Manager)| {
        let names: BTreeSet<&str> =
            known.iter().filter_map(|one| table.names(one)?.get(at)).map(String::as_str).collect();
        let names: Vec<_> = names.into_iter().collect();
        (!names.is_empty()).then(|| (manager, format!("{} {}", manager.command(), names.join(" "))))
    };
    let mut lines: Vec<_> = Manager::OF_THE_TABLE.into_iter().enumerate().filter_map(line).collect();
    let targets: Vec<_> = targets.iter().map(|one| one.name.as_str()).collect();
    let rustup = || (Manager::Rustup, format!("{} {}", Manager::Rustup.command(), targets.join(" ")));
    lines.extend((!targets.is_empty()).then(rustup));
    (lines, unknown.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(kind: MissingKind, name: &str) -> Missing {
        Missing { kind, name: name.to_owned() }
    }

    #[test]
    fn the_table_is_whole_and_holds_plain_names() {
        let table: Table = toml::from_str(TABLE).unwrap();
        for part in [&table.program, &table.pkg_config, &table.library, &table.header] {
            assert!(part.len() > 10);
            for name in part.values().flatten() {
                let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
                assert!(!name.is_empty() && name.chars().all(plain) && !name.starts_with('-'), "{name}");
            }
        }
    }

    #[test]
    fn one_line_gets_all_and_what_is_not_known_keeps_its_name() {
        let unknown = missing(MissingKind::PkgConfig, "absent-module");
        let all = [
            missing(MissingKind::Program, "cmake"),
            missing(MissingKind::PkgConfig, "openssl"),
            missing(MissingKind::Library, "ssl"),
            missing(MissingKind::Target, "wasm32-unknown-unknown"),
            unknown.clone(),
        ];
        let (lines, left) = install(&all);
        let lines: Vec<_> = lines.iter().map(|(manager, line)| (manager.name(), line.as_str())).collect();
        let expected = [
            ("apt", "apt install cmake libssl-dev"),
            ("dnf", "dnf install cmake openssl-devel"),
            ("nix", "nix-shell -p cmake openssl"),
            ("rustup", "rustup target add wasm32-unknown-unknown"),
        ];
        assert_eq!(lines, expected);
        assert_eq!(left, std::slice::from_ref(&unknown));
        assert_eq!(install(&left), (Vec::new(), vec![unknown]));
    }
}
