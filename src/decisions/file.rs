//! The file of decisions, and its strict reading.

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::{Day, DecidedVersions, Entry, Kind};
use crate::evidence::line::PackageSource;
use crate::policy::Severity;

/// Whether a code can be decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownCode {
    /// Of findings.
    Finding,
    /// Of reasons why a run is incomplete, which a person may accept.
    Reason,
    /// Nobody may accept it, and why.
    Never(&'static str),
    /// There is no such code.
    Unknown,
}

/// A text to read.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The file as people know it.
    pub file: &'a str,
    /// What stands in it.
    pub text: &'a str,
    /// What is known of a code.
    pub codes: fn(&str) -> KnownCode,
    /// True where settings of builds may stand beside decisions.
    pub may_have_settings: bool,
    /// True where another file may be named.
    pub may_extend: bool,
}

/// What is wrong with a file of decisions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct DecisionError {
    /// The file as people know it.
    pub file: String,
    /// Where.
    pub line: u64,
    /// What.
    pub what: String,
}

/// Settings stand here so that the file of settings can be read; what they mean is not our business.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Written {
    extends: Option<Spanned<String>>,
    ignore: Vec<Spanned<One>>,
    expect: Vec<Spanned<One>>,
    env: Option<Spanned<IgnoredAny>>,
    env_secret: Option<Spanned<IgnoredAny>>,
    read: Option<Spanned<IgnoredAny>>,
    toolchain: Option<Spanned<IgnoredAny>>,
    limit: Option<Spanned<IgnoredAny>>,
    jobs: Option<Spanned<IgnoredAny>>,
    advisory_db: Option<Spanned<IgnoredAny>>,
    advisory_url: Option<Spanned<IgnoredAny>>,
    max_db_age: Option<Spanned<IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    package: Spanned<String>,
    version: Spanned<String>,
    #[serde(default)]
    source: Option<PackageSource>,
    code: Spanned<String>,
    object: Option<Spanned<String>>,
    severity: Option<Spanned<Severity>>,
    reason: Spanned<String>,
    expires: Spanned<toml::Value>,
}

/// Reads a file: its entries in the order in which they stand, and the file that it extends.
///
/// # Errors
/// For the first thing that is wrong, with its line.
pub fn parse(text: Text<'_>, sink: &mut Vec<Entry>) -> Result<Option<(String, u64)>, DecisionError> {
    let line_of = |at: usize| {
        let before = text.text.get(..at).unwrap_or(text.text);
        u64::try_from(before.matches('\n').count()).unwrap_or(u64::MAX).saturating_add(1)
    };
    let wrong = |at: usize, what: String| DecisionError { file: text.file.to_owned(), line: line_of(at), what };
    let written: Written = toml::from_str(text.text)
        .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let settings = [
        &written.env,
        &written.env_secret,
        &written.read,
        &written.toolchain,
        &written.limit,
        &written.jobs,
        &written.advisory_db,
        &written.advisory_url,
        &written.max_db_age,
    ];
    if let Some(setting) = settings.into_iter().flatten().next().filter(|_| !text.may_have_settings) {
        let what = "settings stand in the user's own configuration or in the file of --config, not here: who proposes a \
                    change could let a build read more, or choose which advisories are looked up";
        return Err(wrong(setting.span().start, what.to_owned()));
    }
    if let Some(extends) = written.extends.as_ref().filter(|_| !text.may_extend) {
        let what = "a file that is extended names no further one".to_owned();
        return Err(wrong(extends.span().start, what));
    }
    let mut entries = Vec::new();
    for (kind, one) in written
        .ignore
        .into_iter()
        .map(|one| (Kind::Ignore, one))
        .chain(written.expect.into_iter().map(|one| (Kind::Expect, one)))
    {
        let at = one.span().start;
        let entry = checked(kind, one.into_inner(), text.codes, text.file, line_of(at));
        entries.push(entry.map_err(|(at, what)| wrong(at, what))?);
    }
    entries.sort_by_key(|entry| entry.line);
    for (at, entry) in entries.iter().enumerate() {
        let first = entries.iter().take(at).find(|first| first.matches_the_same(entry));
        if let Some(first) = first {
            let what = format!("the same is decided in line {} already", first.line);
            return Err(DecisionError { file: text.file.to_owned(), line: entry.line, what });
        }
    }
    sink.extend(entries);
    Ok(written.extends.map(|extends| {
        let line = line_of(extends.span().start);
        (extends.into_inner(), line)
    }))
}

fn checked(kind: Kind, one: One, codes: fn(&str) -> KnownCode, file: &str, line: u64) -> Result<Entry, Wrong> {
    let at = |value: &Spanned<String>| value.span().start;
    if one.package.get_ref().is_empty() || one.package.get_ref().contains('*') {
        return Err((at(&one.package), "a decision names one package".to_owned()));
    }
    let version = DecidedVersions::parse(one.version.get_ref())
        .map_err(|error| (at(&one.version), format!("version {:?}: {error}", one.version.get_ref())))?;
    check_code(kind, &one, codes)?;
    if let Some(severity) = one.severity.as_ref().filter(|severity| *severity.get_ref() == Severity::Critical) {
        return Err((severity.span().start, "a critical finding cannot be accepted".to_owned()));
    }
    if one.reason.get_ref().trim().is_empty() {
        return Err((at(&one.reason), "a decision needs a reason in `reason`".to_owned()));
    }
    let expires = match one.expires.get_ref() {
        toml::Value::String(text) => Day::parse(text),
        toml::Value::Datetime(date) if date.time.is_none() => Day::parse(&date.to_string()),
        _ => None,
    };
    let expires = expires
        .ok_or_else(|| (one.expires.span().start, "`expires` is the day of its end, such as 2027-01-31".to_owned()))?;
    Ok(Entry {
        kind,
        package: one.package.into_inner(),
        version,
        source: one.source.unwrap_or(PackageSource::Registry),
        code: one.code.into_inner(),
        object: one.object.map(Spanned::into_inner),
        severity: one.severity.map_or(Severity::High, Spanned::into_inner),
        reason: one.reason.into_inner(),
        expires,
        file: file.to_owned(),
        line,
    })
}

/// What is wrong, and where in the text.
type Wrong = (usize, String);

/// Whether such an entry can decide about its code, and has an object where the code needs one.
fn check_code(kind: Kind, one: &One, codes: fn(&str) -> KnownCode) -> Result<(), Wrong> {
    let at = |value: &Spanned<String>| value.span().start;
    let code = one.code.get_ref();
    match (codes(code), kind, &one.object) {
        (KnownCode::Unknown, ..) => {
            let what = format!("there is no finding code {code:?}; sandbox-check explain lists them");
            Err((at(&one.code), what))
        }
        (KnownCode::Never(why), ..) => Err((at(&one.code), format!("{code} cannot be accepted: {why}"))),
        (KnownCode::Finding, _, None) => {
            let what = "a decision names the object of the finding: its `subject` in the JSON report".to_owned();
            Err((at(&one.code), format!("missing field `object`: {what}")))
        }
        (KnownCode::Reason, Kind::Expect, _) => {
            Err((at(&one.code), format!("{code} is a reason why a run is incomplete: [[ignore]] accepts it")))
        }
        (KnownCode::Reason, _, Some(object)) => {
            Err((at(object), format!("{code} is about a whole package and has no object")))
        }
        (KnownCode::Finding, _, Some(object)) if object.get_ref().is_empty() => {
            Err((at(object), "an empty object is nothing's".to_owned()))
        }
        _ => Ok(()),
    }
}

/// True for a text with decisions, or with the name of a file that may have some.
pub fn has_decisions(text: &str) -> bool {
    let table: Result<toml::Table, _> = text.parse();
    table.is_ok_and(|table| ["ignore", "expect", "extends"].iter().any(|key| table.contains_key(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(code: &str) -> KnownCode {
        match code {
            "dns-query" => KnownCode::Finding,
            "build-failed" => KnownCode::Reason,
            "known-malicious" => KnownCode::Never("it is critical"),
            _ => KnownCode::Unknown,
        }
    }

    fn read(text: &str) -> Result<Vec<Entry>, DecisionError> {
        let mut entries = Vec::new();
        parse(Text { file: "f.toml", text, codes, may_have_settings: false, may_extend: true }, &mut entries)?;
        Ok(entries)
    }

    const GOOD: &str = "# ours\n\n[[ignore]]\npackage = \"a\"\nversion = \"1.0.0\"\ncode = \"dns-query\"\n\
                        object = \"x.invalid\"\nreason = \"It asks.\"\nexpires = 2030-01-31\n";

    #[test]
    fn an_entry_is_read_with_its_line() {
        let entries =
            read(&format!("{GOOD}{}", GOOD.replace("ignore", "expect").replace("2030-01-31", "\"2030-02-01\"")))
                .unwrap();
        let brief: Vec<_> = entries.iter().map(|e| (e.kind, e.place(), e.expires.to_string(), e.severity)).collect();
        assert_eq!(
            brief,
            [
                (Kind::Ignore, "f.toml:3".to_owned(), "2030-01-31".to_owned(), Severity::High),
                (Kind::Expect, "f.toml:12".to_owned(), "2030-02-01".to_owned(), Severity::High)
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (change, line, says) in [
            (("dns-query", "dns-querry"), 6, "dns-querry"),
            (("dns-query", "known-malicious"), 6, "cannot be accepted"),
            (("reason = \"It asks.\"\n", ""), 3, "missing field `reason`"),
            (("reason = \"It asks.\"\n", "reason = \" \"\n"), 8, "needs a reason"),
            (("expires = 2030-01-31\n", ""), 3, "missing field `expires`"),
            (("2030-01-31", "\"never\""), 9, "2027-01-31"),
            (("2030-01-31", "2030-01-31T00:00:00Z"), 9, "2027-01-31"),
            (("object = \"x.invalid\"\n", ""), 6, "missing field `object`"),
            (("object =", "host ="), 7, "unknown field `host`"),
            (("package = \"a\"", "package = \"*\""), 4, "one package"),
            (("\"1.0.0\"", "\">=1\""), 5, "upper bound"),
            (("dns-query", "build-failed"), 7, "no object"),
            (("# ours", "read = [\"/etc\"]"), 1, "--config"),
            (("# ours", "unread = 1"), 1, "unread"),
            (("expires", "severity = \"critical\"\nexpires"), 9, "cannot be accepted"),
        ] {
            let text = GOOD.replacen(change.0, change.1, 1);
            assert_ne!(text, GOOD);
            let error = read(&text).unwrap_err();
            assert!(error.line == line && error.what.contains(says), "{change:?}: {error}");
        }
        let error = read(&format!("{GOOD}{GOOD}")).unwrap_err().to_string();
        assert!(error.contains("f.toml:12") && error.contains("line 3"), "{error}");
    }
}
