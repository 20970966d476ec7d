//! Writes decisions into a file of decisions: comments, order and form of all else stay.

use toml_edit::{ArrayOfTables, Datetime, DocumentMut, Item, TableLike, value};

use super::Entry;
use crate::evidence::line::PackageSource;

/// Why a text cannot take an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("it is not TOML: {0}")]
    Syntax(String),
    /// Something else stands where entries belong.
    #[error("`{0}` is no list of tables")]
    Form(&'static str),
}

/// The text with the entries. An entry about the same finding is renewed in its place.
///
/// # Errors
/// When the text is not one that entries can be added to.
pub fn add(text: &str, entries: &[Entry]) -> Result<String, EditError> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| EditError::Syntax(error.message().to_owned()))?;
    for entry in entries {
        let kind = entry.kind.as_str();
        let item = document.entry(kind).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        match item {
            Item::ArrayOfTables(tables) => {
                let known = tables.iter().position(|table| is_about_the_same(table, entry));
                if let Some(table) = known.and_then(|at| tables.get_mut(at)) {
                    fill(table, entry);
                    continue;
                }
                let mut table = toml_edit::Table::new();
                let is_first = text.trim().is_empty() && tables.is_empty() && entries.first() == Some(entry);
                if !is_first {
                    // Apart from what stands before it.
                    table.decor_mut().set_prefix("\n");
                }
                fill(&mut table, entry);
                tables.push(table);
            }
            // The short form: `ignore = [{ … }]`.
            Item::Value(toml_edit::Value::Array(array)) => {
                let is_same = |value: &toml_edit::Value| {
                    value.as_inline_table().is_some_and(|table| is_about_the_same(table, entry))
                };
                let known = array.iter().position(is_same);
                if let Some(table) = known.and_then(|at| array.get_mut(at)?.as_inline_table_mut()) {
                    fill(table, entry);
                    continue;
                }
                let mut table = toml_edit::InlineTable::new();
                fill(&mut table, entry);
                array.push(table);
            }
            _ => return Err(EditError::Form(kind)),
        }
    }
    let written = document.to_string();
    // The parser leaves the ends of lines out that editors on Windows write.
    let ends = text.matches("\r\n").count();
    Ok(if ends > 0 && ends == text.matches('\n').count() { written.replace('\n', "\r\n") } else { written })
}

fn is_about_the_same(table: &dyn TableLike, entry: &Entry) -> bool {
    let text = |key: &str| table.get(key).and_then(Item::as_str).map(str::to_owned);
    text("package").as_deref() == Some(&entry.package)
        && text("version") == Some(entry.version.to_string())
        && text("source").as_deref().unwrap_or("registry") == source(entry.source)
        && text("code").as_deref() == Some(&entry.code)
        && text("object") == entry.object
}

/// Sets what is said of an entry. What is there already keeps its place and its comments.
fn fill(table: &mut dyn TableLike, entry: &Entry) {
    let mut set = |key: &str, new: Item| match (table.get_mut(key).and_then(Item::as_value_mut), new) {
        (Some(old), Item::Value(mut new)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (_, new) => drop(table.insert(key, new)),
    };
    set("package", value(entry.package.as_str()));
    set("version", value(entry.version.to_string()));
    if entry.source != PackageSource::Registry {
        set("source", value(source(entry.source)));
    }
    set("code", value(entry.code.as_str()));
    if let Some(object) = &entry.object {
        set("object", value(object.as_str()));
        set("severity", value(entry.severity.as_str()));
    }
    set("reason", value(entry.reason.as_str()));
    let day = entry.expires.to_string();
    set("expires", day.parse::<Datetime>().map_or_else(|_| value(day.as_str()), value));
}

fn source(source: PackageSource) -> &'static str {
    match source {
        PackageSource::Registry => "registry",
        PackageSource::Directory => "directory",
        PackageSource::Archive => "archive",
        PackageSource::Git => "git",
        PackageSource::Consumer => "consumer",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Day, DecidedVersions, Kind, KnownCode, Text, parse};
    use super::*;
    use crate::policy::Severity;

    fn entry(kind: Kind, object: &str) -> Entry {
        Entry {
            kind,
            package: "a".to_owned(),
            version: DecidedVersions::parse("1.0.0").unwrap(),
            source: PackageSource::Git,
            code: "dns-query".to_owned(),
            object: Some(object.to_owned()),
            severity: Severity::Medium,
            reason: "It \"asks\".\n[[ignore]]".to_owned(),
            expires: Day::parse("2027-01-31").unwrap(),
            file: String::new(),
            line: 0,
        }
    }

    fn read(text: &str) -> Vec<Entry> {
        let mut entries = Vec::new();
        let codes = |_: &str| KnownCode::Finding;
        parse(Text { file: "", text, codes, may_have_settings: false, may_extend: true }, &mut entries).unwrap();
        entries.into_iter().map(|entry| Entry { line: 0, ..entry }).collect()
    }

    const OLD: &str = "# Ours.\n\n[[ignore]] # the first\npackage   = 'a' # why not\nversion = '1.0.0'\nsource = 'git'\n\
                       code = 'dns-query'\nobject = 'x.invalid'\nreason = 'old'\nexpires = '2020-01-01' # over\n\n# The end.\n";

    #[test]
    fn what_is_written_is_read_as_what_was_meant() {
        let entries =
            [entry(Kind::Ignore, "x.invalid"), entry(Kind::Ignore, "y\u{1b}\"'"), entry(Kind::Expect, "x.invalid")];
        let text = add("", &entries).unwrap();
        assert_eq!(read(&text), entries);
        assert!(text.starts_with("[[ignore]]\n") && text.contains("\n\n[[expect]]\n"), "{text}");
    }

    #[test]
    fn comments_order_and_form_of_all_else_stay() {
        let text = add(OLD, &[entry(Kind::Ignore, "y.invalid")]).unwrap();
        let added: Vec<_> = text.lines().filter(|line| !OLD.lines().any(|old| old == *line)).collect();
        assert!(OLD.lines().all(|line| text.lines().any(|new| new == line)), "{text}");
        assert!(added.contains(&"object = \"y.invalid\"") && read(&text).len() == 2, "{text}");
        assert!(text.starts_with("# Ours.\n\n[[ignore]] # the first\npackage   = 'a' # why not\n"), "{text}");
    }

    #[test]
    fn lines_end_as_they_ended() {
        for entry in [entry(Kind::Ignore, "x.invalid"), entry(Kind::Ignore, "y.invalid")] {
            let text = add(&OLD.replace('\n', "\r\n"), std::slice::from_ref(&entry)).unwrap();
            assert_eq!(text, add(OLD, &[entry]).unwrap().replace('\n', "\r\n"));
        }
    }

    #[test]
    fn an_entry_about_the_same_is_renewed_in_its_place() {
        let text = add(OLD, &[entry(Kind::Ignore, "x.invalid")]).unwrap();
        assert_eq!(read(&text), [entry(Kind::Ignore, "x.invalid")]);
        assert!(
            text.contains("# why not")
                && text.contains("expires = 2027-01-31 # over")
                && text.ends_with("# The end.\n"),
            "{text}"
        );
    }

    #[test]
    fn the_short_form_stays_one_and_what_is_no_list_is_refused() {
        let text = add("ignore = []\n", &[entry(Kind::Ignore, "x.invalid")]).unwrap();
        assert_eq!(read(&text), [entry(Kind::Ignore, "x.invalid")]);
        assert_eq!(add("ignore = 1\n", &[entry(Kind::Ignore, "x")]), Err(EditError::Form("ignore")));
        assert!(matches!(add("[[[", &[]), Err(EditError::Syntax(_))));
    }
}
