//! One advisory: what it says, and which versions it covers.
//!
//! Advisories of RustSec are read and compared with versions by RustSec's own crate. It is strict: what it cannot read is
//! named in the report as an advisory that cannot be read. Records of OSV are read here: strictly what decides (the
//! package, the versions), and the rest as far as it goes. All of it is data from elsewhere: sizes are bounded by who
//! reads the files, texts are escaped by who prints them.

use std::str::FromStr as _;

use cvss::Cvss;
use rustsec::advisory::Versions as Fine;
use semver::Version;
use serde_json::Value as Json;

use crate::evidence::fact::Advisory;
use crate::ids::plain_name;

/// What OSV calls the registry whose packages these are, with a hyphen in place of its dot.
const ECOSYSTEM: &str = "crates-io";
/// The longest list that is taken over into a fact.
const LONGEST: usize = 32;

/// An advisory with what decides whether it covers a release.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// In its plain spelling: databases have names in several.
    pub(super) package: String,
    pub(super) advisory: Advisory,
    /// The release itself is the attack.
    pub(super) malicious: bool,
    pub(super) withdrawn: bool,
    versions: Versions,
    /// Each with the versions that have it, as what is fine: RustSec's crate compares whole advisories only.
    functions: Vec<(String, Vec<Fine>)>,
}

#[derive(Clone, Debug)]
enum Versions {
    /// All but what is patched or unaffected.
    AllBut(Fine),
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
    /// True if it is about this release; the name is in its plain spelling.
    pub(super) fn covers(&self, name: &str, version: &Version) -> bool {
        self.package == name
            && !self.withdrawn
            && match &self.versions {
                Versions::AllBut(fine) => fine.is_vulnerable(version),
                Versions::Of(exact, ranges) => {
                    exact.contains(version) || ranges.iter().any(|range| range.contains(version))
                }
            }
    }

    /// What a fact carries about it.
    pub(super) fn about(&self, version: &Version) -> Advisory {
        let is_about =
            |versions: &[Fine]| versions.is_empty() || versions.iter().any(|within| !within.is_vulnerable(version));
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
    let text = text.trim_start();
    // The crate cuts what begins otherwise, and not always between two characters.
    if !text.starts_with("```toml") {
        return Err("it does not begin with ```toml".to_owned());
    }
    // Its assertions hold for what RustSec publishes. Whoever serves something else makes one advisory unreadable.
    std::panic::catch_unwind(|| {
        let advisory = text.parse().map_err(|error: rustsec::Error| line(&error))?;
        record(&advisory)
    })
    .unwrap_or_else(|_| Err("its versions contradict each other".to_owned()))
}

/// In one line, as far as it has more.
fn line(error: &rustsec::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn record(read: &rustsec::Advisory) -> Result<Record, String> {
    let about = &read.metadata;
    let words = about.categories.iter().map(rustsec::advisory::Category::name);
    let mut words = words.chain(about.keywords.iter().map(rustsec::advisory::Keyword::as_str));
    let says = |word: &str| about.title.contains(word);
    let malicious = words.any(|word| word == "malicious" || word == "malware")
        // Some of an attack's companions have neither word, and were removed with it.
        || about.expect_deleted && (says("malicious") || says("malware") || says("suspicious"));
    let affected = read.affected.iter();
    let platforms = affected.flat_map(|affected| {
        let systems = affected.os.iter().map(|system| system.as_str().to_owned());
        systems.chain(affected.arch.iter().map(|arch| arch.as_str().to_owned()))
    });
    Ok(Record {
        package: plain_name(about.package.as_str()),
        malicious,
        withdrawn: read.withdrawn(),
        versions: Versions::AllBut(read.versions.clone()),
        functions: functions(read)?,
        advisory: Advisory {
            id: about.id.to_string(),
            aliases: about.aliases.iter().take(LONGEST).map(ToString::to_string).collect(),
            title: about.title.clone(),
            date: Some(about.date.to_string()),
            informational: about.informational.as_ref().map(ToString::to_string),
            cvss: read.severity().map(|severity| severity.as_str().to_owned()),
            patched: read.versions.patched().iter().map(ToString::to_string).collect(),
            functions: Vec::new(),
            platforms: platforms.take(LONGEST).collect(),
        },
    })
}

fn functions(read: &rustsec::Advisory) -> Result<Vec<(String, Vec<Fine>)>, String> {
    let named = read.affected.iter().flat_map(|affected| &affected.functions);
    let within = |requirement: &semver::VersionReq| {
        Fine::new(Vec::new(), vec![requirement.clone()]).map_err(|error| line(&error))
    };
    named
        .map(|(path, versions)| Ok((path.to_string(), versions.iter().map(within).collect::<Result<_, _>>()?)))
        .collect()
}

/// The word for a CVSS vector.
fn severity(vector: &str) -> Option<String> {
    Cvss::from_str(vector).ok().map(|cvss| cvss.severity().as_str().to_owned())
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
                package: plain_name(name),
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
        Ok(Versions::AllBut(Fine::default()))
    } else {
        Ok(Versions::Of(exact, ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../tests/data/advisory-db/crates/smallcheck/RUSTSEC-2099-0001.md");

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
        assert_eq!((about.id.as_str(), about.cvss.as_deref()), ("RUSTSEC-2099-0001", Some("high")));
        assert_eq!((about.aliases, about.patched), (vec!["CVE-2099-0001".to_owned()], vec![">=1.2.3".to_owned()]));
        assert_eq!(
            (about.title.as_str(), about.date.as_deref()),
            ("`smallcheck` reads past the end", Some("2026-01-01"))
        );
        assert_eq!(about.functions, ["smallcheck::read"]);
        assert!(rustsec(TEXT).unwrap().about(&"1.2.0".parse().unwrap()).functions.is_empty());
    }

    #[test]
    fn a_withdrawn_advisory_covers_nothing() {
        let record = rustsec(&TEXT.replace("date =", "withdrawn = \"2099-02-01\"\ndate =")).unwrap();
        assert!(!covers(&record, "1.0.0"));
    }

    #[test]
    fn a_pre_release_is_where_the_order_puts_it() {
        for (patched, version, expected) in [
            ("< 1.0.0", "1.0.0-rc.1", true),
            ("< 1.0.0-rc.1", "1.0.0-rc.1", false),
            ("< 1.0.0-rc.2", "1.0.0-rc.1", true),
            (">= 1.0.0-rc.2", "1.0.0-rc.1", false),
            (">= 1.0.0-rc.2", "1.0.0", true),
            (">= 0.4.8, < 1.0.0-0", "1.0.0-rc.1", false),
            (">= 0.4.8, < 1.0.0-0", "0.9.0-rc.1", true),
            (">= 1.0.0", "1.0.0-rc.1", false),
            ("> 1.0.0", "1.1.0-rc.1", true),
            ("^1.2", "1.3.0-rc.1", true),
            ("^1.2", "2.0.0-rc.1", false),
            ("~1.2", "1.3.0-rc.1", false),
            ("<= 1.2", "1.3.0-rc.1", false),
            ("= 1.0.0", "1.0.0-rc.1", false),
            ("= 1.0.0", "1.0.0+build", true),
            ("*", "1.0.0-rc.1", true),
        ] {
            let text = TEXT.replace("unaffected = [\"< 1.0.0\"]", "unaffected = []").replace(">= 1.2.3", patched);
            assert_eq!(covers(&rustsec(&text).unwrap(), version), !expected, "{patched} {version}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_an_advisory_that_cannot_be_read() {
        for versions in [
            // The first two would have its reader panic.
            "\"> 1.2.3\", \"= 1.2.3\"",
            "\"^18446744073709551615\"",
            "\">= 1.2.3\", \">= 2.0.0\"",
            "\"1.*\"",
        ] {
            rustsec(&TEXT.replace("\">= 1.2.3\"", versions)).unwrap_err();
        }
        rustsec("ééééééééééééééééééééé").unwrap_err();
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
            r#"{{"id":"MAL-2999-1","summary":"x","aliases":["RUSTSEC-2099-0001"],"published":"2999-01-01T00:00:00Z",
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
