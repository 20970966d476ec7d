//! All releases of a name, of which most are only looked back at.
//!
//! Large packages have hundreds of releases with hundreds of features each. Of a release that no lock file names, only
//! what [`EntryVersion`] holds is read.

use std::borrow::Cow;

use semver::Version;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tame_index::KrateName;
use tame_index::krate::DependencyKind;

use super::entry::EntryVersion;
use super::error::AcquireError;
use super::release::{Line, Release, has_known_form};
use crate::evidence::time::seconds;

/// A release of a name.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    name: String,
    version: EntryVersion,
    /// All that the index says about it, where that was wanted.
    release: Option<Box<Release>>,
}

/// A line of an index without what nobody looks back at.
#[derive(Deserialize)]
struct Short<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    vers: Cow<'a, str>,
    #[serde(borrow)]
    deps: Vec<ShortDependency<'a>>,
    #[expect(dead_code, reason = "it must be there")]
    cksum: IgnoredAny,
    #[serde(default)]
    yanked: bool,
    #[serde(borrow, default)]
    pubtime: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ShortDependency<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    kind: DependencyKind,
    #[serde(borrow, default)]
    package: Option<Cow<'a, str>>,
}

impl Past {
    /// The release of a version among all: see [`Release::among`].
    pub(super) fn release(all: &[Self], name: &str, version: &str) -> Result<Option<Release>, AcquireError> {
        Release::among(all.iter().filter_map(|past| past.release.as_deref()), name, version)
    }

    /// What is to be judged by. Most releases depend on what the one before depends on: it is kept once.
    pub(super) fn versions<'a>(all: impl IntoIterator<Item = &'a Self>) -> Vec<EntryVersion> {
        let mut versions: Vec<EntryVersion> = Vec::new();
        for mut version in all.into_iter().map(|past| past.version.clone()) {
            if let Some(last) = versions.last().filter(|last| last.dependencies == version.dependencies) {
                version.dependencies = last.dependencies.clone();
            }
            versions.push(version);
        }
        versions
    }

    fn in_short(line: &[u8]) -> Option<Self> {
        let Ok(short) = serde_json::from_slice::<Short<'_>>(line) else {
            // What cargo takes nevertheless is read in full.
            return Release::parse(line).map(Self::from).map(|past| Self { release: None, ..past });
        };
        KrateName::try_from(&*short.name).ok()?;
        let normal = short.deps.into_iter().filter(|dep| dep.kind != DependencyKind::Dev);
        let version = EntryVersion {
            version: Version::parse(&short.vers).ok()?,
            published: short.pubtime.as_deref().and_then(seconds),
            yanked: short.yanked,
            dependencies: normal.map(|dep| dep.package.unwrap_or(dep.name).into_owned()).collect(),
        };
        Some(Self { name: short.name.into_owned(), version, release: None })
    }
}

impl From<Release> for Past {
    fn from(release: Release) -> Self {
        Self { name: release.id.name.clone(), version: EntryVersion::from(&release), release: Some(Box::new(release)) }
    }
}

impl Line for Past {
    fn read(line: &[u8], is_wanted: bool) -> Option<Self> {
        if is_wanted {
            Release::parse(line).map(Self::from)
        } else if has_known_form(line) {
            Self::in_short(line)
        } else {
            None
        }
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::super::release::tests::line;
    use super::*;

    fn dependency(more: &str) -> String {
        format!(
            r#"{{"name":"b","req":"1","features":[],"optional":false,"default_features":true,"target":null{more}}}"#
        )
    }

    #[test]
    fn looked_back_at_a_release_is_what_it_is_when_it_is_wanted() {
        let deps =
            ["normal\"", "dev\"", "build\",\"package\":\"c\""].map(|more| dependency(&format!(",\"kind\":\"{more}")));
        let deps = deps.join(",");
        let with = |deps: &str| String::from_utf8(line("a", "1.0.0", "")).unwrap().replace("\"deps\":[]", deps);
        let lines = [
            line("a", "1.0.0", r#","pubtime":"2026-08-01T00:00:00Z""#),
            line("a", "1.0.0-rc.1+build", r#","v":2,"features2":{"x":["dep:b"]}"#),
            line("a", "1.0.0", r#","v":3"#),
            line("a", "1.0.0", r#","links":null,"pubtime":null"#),
            line("a", "not a version", ""),
            line("../a", "1.0.0", ""),
            line("a", "1.0.\\u0031", ""),
            with(&format!("\"deps\":[{deps}]")).into_bytes(),
            with(&format!("\"deps\":[{}]", dependency(",\"kind\":null"))).into_bytes(),
            with("\"deps\":null").into_bytes(),
            with("\"deps\":[]").replace("\"yanked\":false", "\"yanked\":true").into_bytes(),
            with("\"deps\":[]").replace("\"yanked\":false", "\"yanked\":null").into_bytes(),
            with("\"deps\":[]").replace("cksum", "sum").into_bytes(),
            b"{".to_vec(),
        ];
        let mut usable = 0;
        for line in &lines {
            let text = String::from_utf8_lossy(line);
            let full = Past::read(line, true).map(|past| (past.name, past.version));
            let short = Past::read(line, false).map(|past| (past.name, past.version, past.release.is_none()));
            assert_eq!(short, full.clone().map(|(name, version)| (name, version, true)), "{text}");
            usable += usize::from(full.is_some());
        }
        assert_eq!(usable, 7);
    }
}
