//! One advisory: what it says, and which versions it covers.
//!
//! The reader is strict about what decides (the package, the versions) and takes the rest as far as it goes. What
//! RustSec and OSV write is data from elsewhere: sizes are bounded by who reads the files, texts are escaped by who
//! prints them.

use std::str::FromStr as _;

use cvss::Cvss;
use semver::{Version, VersionReq};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::order::contains;
use crate::evidence::fact::Advisory;

/// What OSV calls the registry whose packages these are, with a hyphen in place of its dot.
const ECOSYSTEM: &str = "crates-io";
/// The longest list that is taken over into a fact.
const LONGEST: usize = 32;

/// An advisory with what decides whether it covers a release.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) package: String,
    pub(super) advisory: Advisory,
    /// The release itself is the attack.
    pub(super) malicious: bool,
    pub(super) withdrawn: bool,
    versions: Versions,
    functions: Vec<(String, Vec<VersionReq>)>,
}

#[derive(Clone, Debug)]
enum Versions {
    /// All but these.
    AllBut(Vec<VersionReq>),
    /// Exactly these, and all within one of the ranges.
    Of(Vec<Version>, Vec<Range>),
}

/// From the first to before the second, or up to and with the third.
#[derive(Clone, Debug)]
struct Range {
    from: Option<Version>,
    before: Option<Version>,
    last: Option<Version>,
}

impl Record {
    /// True if it is about this release.
    pub(super) fn covers(&self, name: &str, version: &Version) -> bool {
        self.package == name
            && !self.withdrawn
            && match &self.versions {
                Versions::AllBut(fine) => !fine.iter().any(|requirement| contains(requirement, version)),
                Versions::Of(exact, ranges) => {
                    exact.contains(version) || ranges.iter().any(|range| range.contains(version))
                }
            }
    }

    /// What a fact carries about it.
    pub(super) fn about(&self, version: &Version) -> Advisory {
        let is_about = |requirements: &[VersionReq]| {
            requirements.is_empty() || requirements.iter().any(|requirement| contains(requirement, version))
        };
        let functions = self.functions.iter().filter(|(_, versions)| is_about(versions)).map(|(name, _)| name.clone());
        Advisory { functions: functions.take(LONGEST).collect(), ..self.advisory.clone() }
    }

    /// True if the two are one under two names. A database has each matter once: two of the same database are two, also
    /// where a third one has both under one name.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let database = |record: &Self| record.advisory.id.split('-').next().unwrap_or_default().to_owned();
        if database(self) == database(other) {
            return self.advisory.id == other.advisory.id;
        }
        let names = |record: &Self| {
            let mut names = record.advisory.aliases.clone();
            names.push(record.advisory.id.clone());
            names
        };
        let others = names(other);
        names(self).iter().any(|name| others.contains(name))
    }
}

impl Range {
    fn contains(&self, version: &Version) -> bool {
        let order = |other: &Option<Version>| other.as_ref().map(|other| version.cmp_precedence(other));
        order(&self.from).is_none_or(std::cmp::Ordering::is_ge)
            && order(&self.before).is_none_or(std::cmp::Ordering::is_lt)
            && order(&self.last).is_none_or(std::cmp::Ordering::is_le)
    }
}

/// Reads an advisory of RustSec: TOML in front, Markdown behind.
pub(super) fn rustsec(text: &str) -> Result<Record, String> {
    let rest = text.trim_start().strip_prefix("```toml").ok_or("it does not begin with ```toml")?;
    let (front, behind) = rest.split_once("\n```").ok_or("its front matter does not end")?;
    let table: Table = front.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let advisory = table.get("advisory").and_then(Value::as_table).ok_or("it has no [advisory]")?;
    let required = |key: &str| text_of(advisory, key).ok_or_else(|| format!("it has no {key}"));
    let package = required("package")?;
    let id = required("id")?;
    let versions = table.get("versions").and_then(Value::as_table).ok_or("it has no [versions]")?;
    // Without this list nobody knows what is mended.
    let patched = texts(versions, "patched").ok_or("its [versions] have no list `patched`")?;
    let unaffected = if versions.contains_key("unaffected") {
        texts(versions, "unaffected").ok_or("its `unaffected` is not a list")?
    } else {
        Vec::new()
    };
    let fine = patched.iter().chain(&unaffected).map(|text| requirement(text)).collect::<Result<_, _>>()?;
    let affected = table.get("affected").and_then(Value::as_table);
    let list = |key: &str| texts(advisory, key).unwrap_or_default();
    let title = behind.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default().trim().to_owned();
    let words: Vec<String> = list("categories").into_iter().chain(list("keywords")).collect();
    let is_gone = advisory.get("expect-deleted").and_then(Value::as_bool) == Some(true);
    let says = |word: &str| title.contains(word);
    let malicious = words.iter().any(|word| word == "malicious" || word == "malware")
        // Some of an attack's companions have neither word, and were removed with it.
        || is_gone && (says("malicious") || says("malware") || says("suspicious"));
    let platforms = ["os", "arch"].into_iter().filter_map(|key| texts(affected?, key)).flatten();
    Ok(Record {
        package,
        malicious,
        withdrawn: advisory.contains_key("withdrawn"),
        versions: Versions::AllBut(fine),
        functions: functions(affected)?,
        advisory: Advisory {
            id,
            aliases: list("aliases").into_iter().take(LONGEST).collect(),
            title,
            date: text_of(advisory, "date"),
            informational: text_of(advisory, "informational"),
            cvss: text_of(advisory, "cvss").and_then(|vector| severity(&vector)),
            patched,
            functions: Vec::new(),
            platforms: platforms.take(LONGEST).collect(),
        },
    })
}

fn functions(affected: Option<&Table>) -> Result<Vec<(String, Vec<VersionReq>)>, String> {
    let named = affected.and_then(|affected| affected.get("functions")).and_then(Value::as_table);
    let read = |(name, versions): (&String, &Value)| {
        let versions = versions.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok((name.clone(), versions.map(requirement).collect::<Result<_, String>>()?))
    };
    named.into_iter().flatten().map(read).collect()
}

fn requirement(text: &str) -> Result<VersionReq, String> {
    text.parse().map_err(|error| format!("{text:?} is no requirement: {error}"))
}

fn text_of(table: &Table, key: &str) -> Option<String> {
    match table.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Datetime(time) => Some(time.to_string()),
        _ => None,
    }
}

/// A list of texts; none if it is not one.
fn texts(table: &Table, key: &str) -> Option<Vec<String>> {
    table.get(key)?.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

/// The word for a CVSS vector.
fn severity(vector: &str) -> Option<String> {
    Cvss::from_str(vector).ok().map(|cvss| cvss.severity().as_str().to_ascii_lowercase())
}

/// Reads an OSV record: one for each of our packages in it.
pub(super) fn osv(text: &str) -> Result<Vec<Record>, String> {
    let value: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let word = |key: &str| value.get(key).and_then(Json::as_str).map(str::to_owned);
    let id = word("id").ok_or("it has no id")?;
    let aliases = value.get("aliases").and_then(Json::as_array).into_iter().flatten();
    let mut vectors = value.get("severity").and_then(Json::as_array).into_iter().flatten();
    let base = Advisory {
        id: id.clone(),
        aliases: aliases.filter_map(Json::as_str).take(LONGEST).map(str::to_owned).collect(),
        title: word("summary").unwrap_or_default(),
        date: word("published").map(|time| time.chars().take(10).collect()),
        cvss: vectors.find_map(|vector| severity(vector.get("score")?.as_str()?)),
        ..Advisory::default()
    };
    let is_ours = |affected: &&Json| {
        let ecosystem = affected.pointer("/package/ecosystem").and_then(Json::as_str).unwrap_or_default();
        ecosystem.replace('.', "-") == ECOSYSTEM
    };
    let affected = value.get("affected").and_then(Json::as_array).into_iter().flatten().filter(is_ours);
    affected
        .map(|affected| {
            let name = affected.pointer("/package/name").and_then(Json::as_str).ok_or("a package has no name")?;
            Ok(Record {
                package: name.to_owned(),
                advisory: base.clone(),
                malicious: id.starts_with("MAL-"),
                withdrawn: value.get("withdrawn").is_some_and(|withdrawn| !withdrawn.is_null()),
                versions: osv_versions(affected)?,
                functions: Vec::new(),
            })
        })
        .collect()
}

fn osv_versions(affected: &Json) -> Result<Versions, String> {
    let version = |text: &str| match text {
        "0" => Ok(None),
        text => text.parse().map(Some).map_err(|error| format!("{text:?} is no version: {error}")),
    };
    let list = |value: &Json, key: &str| value.get(key).and_then(Json::as_array).cloned().unwrap_or_default();
    let exact = list(affected, "versions");
    let exact = exact.iter().filter_map(Json::as_str).filter_map(|text| text.parse().ok()).collect::<Vec<_>>();
    let mut ranges = Vec::new();
    for range in list(affected, "ranges") {
        if range.get("type").and_then(Json::as_str) == Some("GIT") {
            continue;
        }
        let mut open: Option<Range> = None;
        for event in list(&range, "events") {
            let at = |key: &str| event.get(key).and_then(Json::as_str).map(version).transpose();
            if let Some(from) = at("introduced")? {
                ranges.extend(open.replace(Range { from, before: None, last: None }));
            } else if let Some(before) = at("fixed")? {
                ranges.extend(open.take().map(|range| Range { before, ..range }));
            } else if let Some(last) = at("last_affected")? {
                ranges.extend(open.take().map(|range| Range { last, ..range }));
            }
        }
        ranges.extend(open);
    }
    // A record that names no version is about all of them.
    if exact.is_empty() && ranges.is_empty() {
        Ok(Versions::AllBut(Vec::new()))
    } else {
        Ok(Versions::Of(exact, ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../tests/data/advisory-db/crates/smallcheck/RUSTSEC-2999-0001.md");

    fn covers(record: &Record, version: &str) -> bool {
        record.covers("smallcheck", &version.parse().unwrap())
    }

    #[test]
    fn an_advisory_covers_what_is_neither_patched_nor_unaffected() {
        let record = rustsec(TEXT).unwrap();
        for (version, expected) in
            [("0.9.0", false), ("1.0.0", true), ("1.2.2", true), ("1.2.3", false), ("2.0.0", false)]
        {
            assert_eq!(covers(&record, version), expected, "{version}");
        }
        assert!(!record.covers("another", &"1.0.0".parse().unwrap()));
    }

    #[test]
    fn a_pre_release_is_judged_by_its_place_in_the_order() {
        let record = rustsec(TEXT).unwrap();
        for (version, expected) in
            [("1.0.0-rc.1", false), ("1.2.3-rc.1", true), ("1.1.0-beta", true), ("2.1.0-rc.1", false)]
        {
            assert_eq!(covers(&record, version), expected, "{version}");
        }
    }

    #[test]
    fn the_words_of_an_advisory_are_taken_over() {
        let about = rustsec(TEXT).unwrap().about(&"1.1.0".parse().unwrap());
        assert_eq!((about.id.as_str(), about.cvss.as_deref()), ("RUSTSEC-2999-0001", Some("high")));
        assert_eq!((about.aliases, about.patched), (vec!["CVE-2999-0001".to_owned()], vec![">= 1.2.3".to_owned()]));
        assert_eq!(
            (about.title.as_str(), about.date.as_deref()),
            ("`smallcheck` reads past the end", Some("2026-01-01"))
        );
        assert_eq!(about.functions, ["smallcheck::read"]);
        assert!(rustsec(TEXT).unwrap().about(&"1.2.0".parse().unwrap()).functions.is_empty());
    }

    #[test]
    fn a_withdrawn_advisory_covers_nothing() {
        let record = rustsec(&TEXT.replace("date =", "withdrawn = \"2999-02-01\"\ndate =")).unwrap();
        assert!(!covers(&record, "1.0.0"));
    }

    #[test]
    fn malicious_is_what_says_so_or_was_removed_with_what_does() {
        let is = |from: &str, to: &str| rustsec(&TEXT.replace(from, to)).unwrap().malicious;
        assert!(!is("", ""));
        assert!(is("date =", "categories = [\"malicious\"]\ndate ="));
        assert!(is("date =", "keywords = [\"malware\"]\ndate ="));
        let companion = TEXT.replace("reads past the end", "was removed for malicious code");
        assert!(!rustsec(&companion).unwrap().malicious);
        assert!(rustsec(&companion.replace("date =", "expect-deleted = true\ndate =")).unwrap().malicious);
    }

    #[test]
    fn what_decides_must_be_there() {
        for (from, to) in [
            ("```toml", "``"),
            ("package =", "pack ="),
            ("patched =", "mended ="),
            ("\">= 1.2.3\"", "\"soon\""),
            ("\">= 1.2.3\"", "3"),
            ("unaffected = [\"< 1.0.0\"]", "unaffected = \"all\""),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT, "{from}");
            rustsec(&text).unwrap_err();
        }
    }

    fn record(affected: &str) -> Vec<Record> {
        let ecosystem = ECOSYSTEM.replace('-', ".");
        osv(&format!(
            r#"{{"id":"MAL-2999-1","summary":"x","aliases":["RUSTSEC-2999-0001"],"published":"2999-01-01T00:00:00Z",
            "affected":[{{"package":{{"ecosystem":"other","name":"smallcheck"}}}},
            {{"package":{{"ecosystem":"{ecosystem}","name":"smallcheck"}}{affected}}}]}}"#
        ))
        .unwrap()
    }

    #[test]
    fn an_osv_record_covers_its_versions_and_ranges_of_our_packages_only() {
        let all = record("");
        assert_eq!(all.len(), 1);
        assert!(covers(&all[0], "0.0.1") && all[0].malicious && all[0].is_same_as(&rustsec(TEXT).unwrap()));
        let exact = record(r#","versions":["1.0.0"]"#);
        assert!(covers(&exact[0], "1.0.0") && !covers(&exact[0], "1.0.1"));
        let range = record(
            r#","ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.0"},{"introduced":"2.0.0"},{"last_affected":"2.1.0"}]}]"#,
        );
        for (version, expected) in [("0.1.0", true), ("1.0.0", false), ("2.1.0", true), ("2.1.1", false)] {
            assert_eq!(covers(&range[0], version), expected, "{version}");
        }
    }
}
