//! Which version is meant, and what comes nearest where none is.

use semver::Version;

use super::POPULAR;
use super::entry;
use super::error::{AcquireError, Near};
use super::registry::Registry;
use super::release::{Release, same_name};
use super::target::Requirement;
use crate::ids::plain_name;

/// How many suggestions.
const SUGGESTIONS: usize = 4;
/// How many spellings of hyphens and underscores are tried.
const SPELLINGS: usize = 32;

/// All versions of a name, whichever way its hyphens and underscores are written.
pub(crate) fn find(registry: &Registry<'_>, name: &str) -> Result<Vec<Release>, AcquireError> {
    for spelling in spellings(name) {
        let Some(mut releases) = registry.versions(&spelling)? else { continue };
        // What an index says under one name about another is no answer.
        releases.retain(|release| same_name(&release.id.name, name));
        if !releases.is_empty() {
            return Ok(releases);
        }
    }
    Err(AcquireError::UnknownName {
        name: name.to_owned(),
        registry: registry.describe(),
        nearest: nearest(name).into_iter().map(|near| dated(registry, near)).collect(),
    })
}

/// The nearest well-known names: those that are spelt alike, then those that it begins or ends with.
pub(crate) fn nearest(name: &str) -> Vec<String> {
    let known = || POPULAR.lines().filter(|line| !line.starts_with('#'));
    let mut all = nearest_names(name, known());
    for within in within(name, known()) {
        if !all.contains(&within) {
            all.push(within);
        }
    }
    all.truncate(SUGGESTIONS);
    all
}

/// Names that stand in another one as its first or last words, the longest first. Who makes a name up begins with one
/// that he knows.
fn within<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = plain_name(name);
    let is_within = |known: &&str| {
        let known = plain_name(known);
        let rest = [name.strip_prefix(&known), name.strip_suffix(&known)];
        known.len() > 2
            && (rest[0].is_some_and(|rest| rest.starts_with('-')) || rest[1].is_some_and(|rest| rest.ends_with('-')))
    };
    let mut found: Vec<&str> = known.filter(is_within).collect();
    found.sort_by_key(|known| (std::cmp::Reverse(known.len()), *known));
    found.into_iter().map(str::to_owned).collect()
}

/// A name with its age, where the registry tells it. An invented name is new, or nobody has it.
pub(crate) fn dated(registry: &Registry<'_>, name: String) -> Near {
    let since = registry.versions(&name).ok().flatten().and_then(|releases| entry::first(&releases));
    Near { name, since }
}

/// The version that is meant. `usable` leaves out what cannot be had, such as what is missing offline.
pub(crate) fn choose<'a>(
    releases: &'a [Release],
    requirement: &Requirement,
    usable: impl Fn(&Release) -> bool,
) -> Result<&'a Release, AcquireError> {
    let newest = |wanted: &dyn Fn(&Release) -> bool| {
        let matching = releases.iter().filter(|release| matches(requirement, release) && wanted(release));
        matching.max_by_key(|release| (prefers(requirement, &release.version), &release.version))
    };
    let exact = matches!(requirement, Requirement::Exact(_));
    let fine = |release: &Release| exact || !release.index.yanked;
    if let Some(release) = newest(&|release| fine(release) && usable(release)) {
        return Ok(release);
    }
    if let Some(release) = newest(&fine) {
        return Err(AcquireError::OfflineMissing { missing: vec![release.id.to_string()] });
    }
    let name = releases.first().map(|release| release.id.name.clone()).unwrap_or_default();
    let mut yanked: Vec<&Release> = releases.iter().filter(|release| matches(requirement, release)).collect();
    yanked.sort_by(|a, b| b.version.cmp(&a.version));
    Err(AcquireError::UnknownVersion {
        name,
        requirement: requirement.to_string(),
        nearest: nearest_versions(releases, requirement),
        yanked: yanked.into_iter().take(SUGGESTIONS).map(|release| release.id.version.clone()).collect(),
    })
}

fn matches(requirement: &Requirement, release: &Release) -> bool {
    match requirement {
        Requirement::Newest => true,
        Requirement::Matching(requirement) => requirement.matches(&release.version),
        // Build metadata does not tell releases apart, unless it was asked for.
        Requirement::Exact(version) if version.build.is_empty() => release.version.cmp_precedence(version).is_eq(),
        Requirement::Exact(version) => release.version == *version,
    }
}

/// Pre-releases only where nothing else is there, or where the requirement itself names one.
fn prefers(requirement: &Requirement, version: &Version) -> bool {
    let asked = match requirement {
        Requirement::Matching(requirement) => requirement.comparators.iter().any(|part| !part.pre.is_empty()),
        Requirement::Exact(_) => true,
        Requirement::Newest => false,
    };
    asked || version.pre.is_empty()
}

/// The name as typed, all hyphens, all underscores, then the mixtures.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.replace('_', "-"), name.replace('-', "_")];
    let places: Vec<usize> = name.match_indices(['-', '_']).map(|(place, _)| place).collect();
    for mixture in 0..SPELLINGS {
        let spelled = name.char_indices().map(|(at, c)| match places.iter().position(|place| *place == at) {
            Some(bit) if bit < 5 && mixture & (1 << bit) != 0 => '_',
            Some(bit) if bit < 5 => '-',
            _ => c,
        });
        all.push(spelled.collect());
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|spelling| seen.insert(spelling.clone()));
    all
}

fn nearest_names<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = plain_name(name);
    let close = (wanted.chars().count() / 3).clamp(1, 3);
    let mut scored: Vec<(usize, &str)> = known
        .map(|known| (strsim::damerau_levenshtein(&wanted, &plain_name(known)), known))
        .filter(|(distance, known)| *distance <= close && *known != name)
        .collect();
    scored.sort_unstable();
    scored.into_iter().take(SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

fn nearest_versions(releases: &[Release], requirement: &Requirement) -> Vec<String> {
    let wanted = match requirement {
        Requirement::Exact(version) => version.clone(),
        Requirement::Matching(requirement) => match requirement.comparators.first() {
            Some(part) => Version::new(part.major, part.minor.unwrap_or(0), part.patch.unwrap_or(0)),
            None => Version::new(0, 0, 0),
        },
        Requirement::Newest => Version::new(u64::MAX, 0, 0),
    };
    let mut fine: Vec<&Release> = releases.iter().filter(|release| !release.index.yanked).collect();
    fine.sort_by(|one, other| one.version.cmp(&other.version));
    let (below, above) = fine.split_at(fine.partition_point(|release| release.version < wanted));
    // The next lower one, the next higher one, and so on outward.
    let (mut below, mut above) = (below.iter().rev(), above.iter());
    let mut near: Vec<&Release> = Vec::new();
    while near.len() < SUGGESTIONS {
        let before = near.len();
        near.extend(below.next().copied());
        near.extend(above.next().copied());
        if near.len() == before {
            break;
        }
    }
    near.into_iter().take(SUGGESTIONS).map(|release| release.id.version.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::release::tests::release;
    use super::*;

    fn chosen(versions: &[(&str, bool)], requirement: &str) -> Result<String, AcquireError> {
        let releases: Vec<Release> = versions.iter().map(|(version, yanked)| release("a", version, *yanked)).collect();
        let requirement = match requirement {
            "latest" => Requirement::Newest,
            text => text.parse().map_or_else(|_| Requirement::Matching(text.parse().unwrap()), Requirement::Exact),
        };
        choose(&releases, &requirement, |_| true).map(|release| release.id.version.clone())
    }

    #[test]
    fn the_newest_version_that_is_not_yanked_is_chosen() {
        let versions = [("1.9.0", false), ("1.10.0", false), ("1.11.0", true), ("2.0.0", false)];
        assert_eq!(chosen(&versions, "1").unwrap(), "1.10.0");
        assert_eq!(chosen(&versions, "latest").unwrap(), "2.0.0");
    }

    #[test]
    fn an_exact_version_is_chosen_even_if_it_was_yanked() {
        assert_eq!(chosen(&[("1.0.0", true), ("1.0.1", false)], "1.0.0").unwrap(), "1.0.0");
    }

    #[test]
    fn a_pre_release_is_chosen_only_if_nothing_else_is_there_or_it_was_asked_for() {
        assert_eq!(chosen(&[("1.0.0", false), ("2.0.0-rc.1", false)], "latest").unwrap(), "1.0.0");
        assert_eq!(chosen(&[("2.0.0-rc.1", false)], "latest").unwrap(), "2.0.0-rc.1");
        assert_eq!(chosen(&[("2.0.0-rc.1", false), ("2.0.0-rc.2", false)], "^2.0.0-rc.1").unwrap(), "2.0.0-rc.2");
    }

    #[test]
    fn build_metadata_is_not_needed_to_name_a_version() {
        assert_eq!(chosen(&[("1.0.0+3.2", false)], "1.0.0").unwrap(), "1.0.0+3.2");
    }

    #[test]
    fn an_unknown_version_comes_with_the_nearest_ones() {
        let versions = [("0.9.0", false), ("1.0.200", false), ("1.0.228", false), ("1.0.229", true), ("2.0.0", false)];
        let error = chosen(&versions, "1.0.230").unwrap_err();
        let AcquireError::UnknownVersion { nearest, yanked, .. } = error else { panic!("{error:?}") };
        assert_eq!(nearest, ["1.0.228", "2.0.0", "1.0.200", "0.9.0"]);
        assert!(yanked.is_empty());
    }

    #[test]
    fn where_all_that_match_are_yanked_they_are_named() {
        let error = chosen(&[("1.0.0", true), ("1.0.1", true), ("2.0.0", false)], "1").unwrap_err();
        assert!(error.hint().unwrap().contains("1.0.1"), "{:?}", error.hint());
    }

    #[test]
    fn what_is_missing_offline_is_named() {
        let releases = [release("a", "1.0.0", false)];
        let error = choose(&releases, &Requirement::Newest, |_| false).unwrap_err();
        assert_eq!(error.to_string(), "offline, and not on this machine: a@1.0.0");
    }

    #[test]
    fn hyphens_and_underscores_are_tried_in_every_mixture() {
        let all = spellings("a-b_c");
        assert_eq!(all.first().map(String::as_str), Some("a-b_c"));
        for spelling in ["a-b-c", "a_b_c", "a_b-c"] {
            assert!(all.iter().any(|known| known == spelling), "{spelling}");
        }
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_mistyped_name_comes_with_the_nearest_ones() {
        assert_eq!(nearest_names("sedre", ["serde", "serde_json", "rand"].into_iter()), ["serde"]);
        assert!(nearest_names("proc-macro3", POPULAR.lines()).contains(&"proc-macro2".to_owned()));
        assert!(nearest_names("zzzzzzzzzzzz", POPULAR.lines()).is_empty());
        // A name that was taken from the registry is no hint for itself.
        assert!(nearest_names("serde", ["serde"].into_iter()).is_empty());
    }
}
