//! One version of a package, as an index describes it.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use serde::Deserialize;
use serde_json::Value;
use tame_index::{IndexVersion, KrateName};

use super::error::AcquireError;
use crate::evidence::bytes::Bytes;
use crate::ids::{PackageId, Sha256Digest, plain_name};

/// The newest form of index lines that we understand; cargo too ignores lines of a newer one.
const NEWEST_FORM: u32 = 2;

/// The feature that is on unless it is switched off.
pub(crate) const DEFAULT_FEATURE: &str = "default";

/// One line of an index, checked.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// Name and version; both are safe to make paths and URLs of.
    pub(crate) id: PackageId,
    /// The version, to compare.
    pub(crate) version: Version,
    /// Everything that the index says.
    pub(crate) index: IndexVersion,
    /// The line itself. A copy of the line keeps what `IndexVersion` does not know.
    pub(crate) line: Box<[u8]>,
    /// Further, different lines for the same version. The archive has to agree with each.
    pub(crate) others: Vec<Release>,
}

/// What is read of the lines of an index.
pub(crate) trait Line: Sized + From<Release> {
    /// Reads a line; none if cargo would not use it, or if nobody needs it when it is not wanted.
    fn read(line: &[u8], is_wanted: bool) -> Option<Self>;

    /// Whose release it is.
    fn name(&self) -> &str;
}

impl Line for Release {
    fn read(line: &[u8], is_wanted: bool) -> Option<Self> {
        if is_wanted { Self::parse(line) } else { None }
    }

    fn name(&self) -> &str {
        &self.id.name
    }
}

/// Which lines of an index are read in full.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// All of them.
    All,
    /// All that speak of one of these versions.
    Versions(&'a [String]),
}

impl Wanted<'_> {
    fn has(self, line: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Versions(versions) => versions.iter().any(|version| speaks_of(line, &format!("\"{version}\""))),
        }
    }
}

/// False if these characters cannot be in the texts of a line of JSON. What is escaped can be anything.
fn speaks_of(line: &[u8], text: &str) -> bool {
    std::str::from_utf8(line).map_or(true, |line| line.contains(text) || line.contains('\\'))
}

#[derive(Deserialize)]
struct Form {
    v: Option<u32>,
}

/// What makes a line one of an index, whether or not we can use it.
#[derive(Deserialize)]
struct Title {
    name: String,
    #[expect(dead_code, reason = "it must be there")]
    vers: String,
}

impl Release {
    /// Reads a line; none if it is not one that cargo would use.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        if !has_known_form(line) {
            return None;
        }
        let index: IndexVersion = serde_json::from_slice(line).ok().or_else(|| without_nulls(line))?;
        let version = Version::parse(&index.version).ok()?;
        KrateName::try_from(index.name.as_str()).ok()?;
        let id = PackageId::new(index.name.as_str(), index.version.as_str());
        Some(Self { id, version, index, line: line.into(), others: Vec::new() })
    }

    /// Notes what else the index said about the same version. Two checksums for it are refused.
    pub(crate) fn hold_against(&mut self, other: &Self) -> Result<(), AcquireError> {
        if other.checksum() != self.checksum() {
            return Err(AcquireError::ChecksumMismatch {
                package: Box::new(self.id.clone()),
                expected: self.checksum(),
                found: other.checksum(),
                origin: "two answers of the index for one version".to_owned(),
            });
        }
        if other.line != self.line {
            self.others.push(other.clone());
        }
        Ok(())
    }

    /// The release of a version among all lines: the last one, as cargo has it, held against the others.
    pub(crate) fn among<'a>(
        releases: impl IntoIterator<Item = &'a Self, IntoIter: DoubleEndedIterator>,
        name: &str,
        version: &str,
    ) -> Result<Option<Self>, AcquireError> {
        let is_it = |release: &&Self| release.id.name == name && release.id.version == version;
        let mut lines = releases.into_iter().rev().filter(is_it);
        let Some(mut release) = lines.next().cloned() else { return Ok(None) };
        lines.try_for_each(|other| release.hold_against(other))?;
        Ok(Some(release))
    }

    /// The checksum of its `.crate` file.
    pub(crate) fn checksum(&self) -> Sha256Digest {
        Sha256Digest(*self.index.checksum())
    }

    /// Its features with what each turns on.
    pub(crate) fn features(&self) -> BTreeMap<String, Vec<String>> {
        self.index.features().map(|(name, turns_on)| (name.clone(), turns_on.clone())).collect()
    }

    /// The names of all features that a user can turn on: those of the table, and optional
    /// dependencies that the table does not mention as `dep:NAME`.
    pub(crate) fn feature_names(&self) -> Vec<String> {
        feature_names(&self.features(), self.index.deps.iter().filter(|dep| dep.optional).map(|dep| dep.name.as_str()))
    }

    /// Those of them that are off where these are asked for: nothing that is asked for turns them on. What other packages of
    /// a build ask for is not in it.
    pub(crate) fn features_off<'a>(&self, asked: impl Iterator<Item = &'a str>) -> Vec<String> {
        let names = self.feature_names();
        off(&self.features(), names, asked.map(str::to_owned).collect())
    }
}

/// False for a line of a form that is newer than we are.
pub(super) fn has_known_form(line: &[u8]) -> bool {
    // An index has thousands of lines: those that name no form are not read twice.
    let form = || serde_json::from_slice::<Form>(line).is_ok_and(|form| form.v.is_none_or(|v| v <= NEWEST_FORM));
    !speaks_of(line, "\"v\"") || form()
}

/// The usable lines; those that are wanted in full, and the first usable one, which shows that there are any.
pub(crate) fn lines<T: Line>(text: &[u8], end: u8, wanted: Wanted<'_>) -> Vec<T> {
    let mut lines = Vec::new();
    for line in text.split(|byte| *byte == end) {
        lines.extend(T::read(line, lines.is_empty() || wanted.has(line)));
    }
    lines
}

/// The usable lines of an answer to the question for `name`; an error if it is no answer to that.
pub(crate) fn entry<T: Line>(name: &str, text: &[u8], wanted: Wanted<'_>) -> Result<Vec<T>, String> {
    let lines = || text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let titles = || lines().filter_map(|line| serde_json::from_slice::<Title>(line).ok());
    if lines().next().is_none() {
        return Ok(Vec::new());
    }
    let Some(first) = titles().next() else { return Err(format!("not an entry of an index{}", begin(text))) };
    if !titles().any(|title| same_name(&title.name, name)) {
        return Err(format!(
            "it was asked for `{name}` and speaks of {:?}",
            Bytes::from(first.name.as_str()).to_string()
        ));
    }
    // What an index says under one name about another is no answer.
    let mut found: Vec<T> = self::lines(text, b'\n', wanted);
    found.retain(|line| same_name(line.name(), name));
    Ok(found)
}

/// How an unreadable answer begins, for a person to recognise it by.
pub(crate) fn begin(text: &[u8]) -> String {
    const SHOWN: usize = 60;
    let start = Bytes(text.trim_ascii_start().iter().take(SHOWN).copied().collect());
    format!("; it begins with `{start}`")
}

/// True for spellings of one name.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    plain_name(one) == plain_name(other)
}

/// Some registries write `null` where others leave a member out.
fn without_nulls(line: &[u8]) -> Option<IndexVersion> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    let members = value.as_object_mut()?;
    members.retain(|_, member| !member.is_null());
    for dep in members.get_mut("deps").and_then(Value::as_array_mut).into_iter().flatten() {
        dep.as_object_mut()?.retain(|_, member| !member.is_null());
    }
    serde_json::from_value(value).ok()
}

/// See [`Release::feature_names`].
pub(crate) fn feature_names<'a>(
    table: &BTreeMap<String, Vec<String>>,
    optional: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let mentioned: BTreeSet<&str> = table.values().flatten().filter_map(|word| word.strip_prefix("dep:")).collect();
    let implied = optional.filter(|name| !mentioned.contains(name)).map(str::to_owned);
    let names: BTreeSet<String> = table.keys().cloned().chain(implied).collect();
    names.into_iter().collect()
}

/// See [`Release::features_off`].
fn off(table: &BTreeMap<String, Vec<String>>, names: Vec<String>, mut open: Vec<String>) -> Vec<String> {
    let mut on = BTreeSet::new();
    while let Some(word) = open.pop() {
        // `NAME/FEATURE` turns an optional dependency on, too; `NAME?/FEATURE` and `dep:NAME` turn no feature on.
        let name = word.split_once('/').map_or(word.as_str(), |(name, _)| name);
        if !name.ends_with('?') && !name.starts_with("dep:") && on.insert(name.to_owned()) {
            open.extend(table.get(name).into_iter().flatten().cloned());
        }
    }
    names.into_iter().filter(|name| !on.contains(name)).collect()
}

/// Lines for tests.
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A line with a name, a version and further JSON members (each beginning with a comma).
    pub(in crate::acquire) fn line(name: &str, version: &str, more: &str) -> Vec<u8> {
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{}","features":{{}},"yanked":false{more}}}"#,
            "0".repeat(64)
        )
        .into_bytes()
    }

    pub(in crate::acquire) fn release(name: &str, version: &str, yanked: bool) -> Release {
        let text = String::from_utf8(line(name, version, "")).unwrap();
        Release::parse(text.replace("\"yanked\":false", &format!("\"yanked\":{yanked}")).as_bytes()).unwrap()
    }

    #[test]
    fn lines_that_cargo_would_not_use_are_left_out() {
        let lines = [
            line("a", "1.0.0", ""),
            b"{".to_vec(),
            line("a", "not a version", ""),
            line("../a", "1.0.0", ""),
            line("a", "1.0.1", r#","v":3"#),
            line("a", "1.0.2", r#","v":2"#),
        ];
        let releases = super::lines::<Release>(&lines.join(&b'\n'), b'\n', Wanted::All);
        assert_eq!(releases.iter().map(|r| r.id.version.as_str()).collect::<Vec<_>>(), ["1.0.0", "1.0.2"]);
    }

    #[test]
    fn of_the_versions_that_are_wanted_no_line_is_passed_over_however_it_is_spelled() {
        let spelled = String::from_utf8(line("a", "1.0.1", "")).unwrap().replace("1.0.1", "1.0.\\u0031").into_bytes();
        let lines = [b"{".to_vec(), line("a", "1.0.0", ""), line("a", "1.0.1", ""), line("a", "1.0.10", ""), spelled];
        let found = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|version| (*version).to_owned()).collect();
            let releases = super::lines::<Release>(&lines.join(&b'\n'), b'\n', Wanted::Versions(&wanted));
            releases.into_iter().map(|release| release.id.version).collect::<Vec<_>>()
        };
        assert_eq!(found(&["1.0.1"]), ["1.0.0", "1.0.1", "1.0.1"]);
        // What is spelled otherwise is read in any case, and the first one shows that there are any.
        assert_eq!(found(&["2.0.0"]), ["1.0.0", "1.0.1"]);
        let newer = String::from_utf8(line("a", "1.0.0", r#","v":3"#)).unwrap();
        assert!(Release::parse(newer.as_bytes()).is_none());
        assert!(Release::parse(newer.replace("\"v\"", "\"\\u0076\"").as_bytes()).is_none());
    }

    #[test]
    fn members_that_are_null_are_as_good_as_absent() {
        let dep = r#"{"name":"b","req":"1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal","package":null}"#;
        let text =
            String::from_utf8(line("a", "1.0.0", r#","links":null,"features2":null,"rust_version":null"#)).unwrap();
        let release = Release::parse(text.replace("\"deps\":[]", &format!("\"deps\":[{dep}]")).as_bytes()).unwrap();
        assert_eq!(release.index.deps.first().map(tame_index::IndexDependency::crate_name), Some("b"));
    }

    #[test]
    fn optional_dependencies_are_features_unless_the_table_mentions_them() {
        let table = BTreeMap::from([("std".to_owned(), vec!["dep:libc".to_owned(), "other".to_owned()])]);
        assert_eq!(feature_names(&table, ["libc", "other"].into_iter()), ["other", "std"]);
    }

    #[test]
    fn a_feature_is_off_unless_something_that_was_asked_for_turns_it_on() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let table = BTreeMap::from([
            ("default".to_owned(), words(&["std", "weak?/x", "dep:hidden", "named/x"])),
            ("std".to_owned(), words(&["default"])),
            ("full".to_owned(), words(&["std", "net"])),
            ("net".to_owned(), words(&[])),
        ]);
        let names = words(&["default", "full", "named", "net", "std", "weak"]);
        let off = |asked: &[&str]| off(&table, names.clone(), words(asked));
        assert_eq!(off(&["default"]), ["full", "net", "weak"]);
        assert_eq!(off(&["full"]), ["weak"]);
        assert_eq!(off(&["net"]), ["default", "full", "named", "std", "weak"]);
        assert_eq!(off(&[]), names);
    }
}
