//! What an index says about a release and those before it.

use semver::Version;

use crate::acquire::{Entry, EntryVersion};
use crate::evidence::fact::{History, NewDependency};
use crate::evidence::time::DAY;

/// The most versions and dependencies that one fact names.
const LONGEST: usize = 64;
/// Releases within so many seconds come together: who has taken a package over may publish twice, so that the second
/// release has nothing new and withdrawn versions are not directly below it.
const TOGETHER: u64 = 14 * DAY;

/// The history of a release, if the index has it. `all` are the entries of the whole lock file: they tell how old a
/// dependency is.
pub(super) fn of(entry: &Entry, all: &[Entry]) -> Option<History> {
    let version = entry.id.version.parse::<Version>().ok()?;
    let this = entry.versions.iter().find(|release| release.version == version)?;
    let lower = || entry.versions.iter().filter(|release| release.version < version);
    let mut below: Vec<&EntryVersion> = lower().collect();
    below.sort_by(|one, other| other.version.cmp(&one.version));
    let is_earlier = |time: u64| this.published.is_some_and(|published| time < published);
    let is_with_it = |time: u64| this.published.is_some_and(|published| time.abs_diff(published) <= TOGETHER);
    let came_with_it = |release: &&&EntryVersion| release.published.is_some_and(is_with_it);
    let yanked = below.iter().skip_while(|release| !release.yanked && came_with_it(release));
    let yanked = yanked.take_while(|release| release.yanked).take(LONGEST);
    let mut comparable = below.iter().filter(|release| !version.pre.is_empty() || release.version.pre.is_empty());
    let previous = comparable.clone().next();
    // Of a package that is young itself, the next lower version is all that there is.
    let settled = comparable.find(|release| !came_with_it(release)).or(previous);
    let times = || entry.versions.iter().filter_map(|release| release.published).filter(|time| is_earlier(*time));
    Some(History {
        published: this.published,
        yanked: this.yanked,
        first: first(&entry.versions),
        releases: u64::try_from(entry.versions.len()).unwrap_or(u64::MAX),
        previous: previous.map(|release| release.version.to_string()),
        last_before: times().filter(|time| !is_with_it(*time)).max().or_else(|| times().max()),
        yanked_before: yanked.map(|release| release.version.to_string()).collect(),
        new_dependencies: settled.map_or_else(Vec::new, |settled| new_dependencies(this, settled, all)),
    })
}

fn first(versions: &[EntryVersion]) -> Option<u64> {
    versions.iter().filter_map(|release| release.published).min()
}

fn new_dependencies(this: &EntryVersion, before: &EntryVersion, all: &[Entry]) -> Vec<NewDependency> {
    let mut names: Vec<&String> = this.dependencies.iter().filter(|name| !before.dependencies.contains(name)).collect();
    names.sort();
    names.dedup();
    let first_of = |name: &str| all.iter().find(|entry| entry.id.name == name).and_then(|entry| first(&entry.versions));
    names.into_iter().take(LONGEST).map(|name| NewDependency { name: name.clone(), first: first_of(name) }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evidence::time::seconds;
    use crate::ids::PackageId;

    /// `version day yanked dependency…` for each release.
    pub(in crate::facts) fn entry(id: &str, releases: &[&str]) -> Entry {
        let (name, version) = id.split_once('@').unwrap();
        let release = |text: &&str| {
            let words: Vec<_> = text.split(' ').collect();
            let [version, day, state, dependencies @ ..] = words.as_slice() else { panic!("{text}") };
            EntryVersion {
                version: version.parse().unwrap(),
                published: seconds(day),
                yanked: *state == "yanked",
                dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            }
        };
        let versions = releases.iter().map(release).collect();
        Entry { id: PackageId::new(name, version), checksum: None, needed: true, versions }
    }

    /// The shape of the attack of August 2026, with other names.
    pub(in crate::facts) fn attack() -> [Entry; 2] {
        [
            entry(
                "arrayish@0.3.10",
                &[
                    "0.3.4 2018-01-01 fine",
                    "0.3.5 2019-01-01 yanked",
                    "0.3.6 2019-02-01 yanked",
                    "0.3.9 2024-10-01 yanked",
                    "0.3.10 2026-08-20 fine macro-ish",
                ],
            ),
            entry("macro-ish@1.0.107", &["1.0.106 2026-08-18 fine", "1.0.107 2026-08-20 fine"]),
        ]
    }

    #[test]
    fn a_history_has_what_an_attack_on_a_sleeping_package_looks_like() {
        let all = attack();
        let history = of(&all[0], &all).unwrap();
        assert_eq!(history.yanked_before, ["0.3.9", "0.3.6", "0.3.5"]);
        assert_eq!((history.previous.as_deref(), history.releases), (Some("0.3.9"), 5));
        assert_eq!((history.published, history.first), (seconds("2026-08-20"), seconds("2018-01-01")));
        assert_eq!(history.last_before, seconds("2024-10-01"));
        let new = NewDependency { name: "macro-ish".to_owned(), first: seconds("2026-08-18") };
        assert_eq!(history.new_dependencies, [new]);
    }

    #[test]
    fn a_second_release_of_the_same_days_hides_nothing_of_the_attack() {
        let mut all = attack();
        let second = EntryVersion { version: "0.3.11".parse().unwrap(), ..all[0].versions[4].clone() };
        all[0].versions.push(second);
        all[0].id = PackageId::new("arrayish", "0.3.11");
        let history = of(&all[0], &all).unwrap();
        assert_eq!(history.yanked_before, ["0.3.9", "0.3.6", "0.3.5"]);
        assert_eq!((history.previous.as_deref(), history.last_before), (Some("0.3.10"), seconds("2024-10-01")));
        let new = NewDependency { name: "macro-ish".to_owned(), first: seconds("2026-08-18") };
        assert_eq!(history.new_dependencies, [new]);
    }

    #[test]
    fn a_young_package_is_compared_with_what_there_is() {
        let all = [entry("young@0.1.2", &["0.1.1 2026-08-20 fine", "0.1.2 2026-08-22 fine other"])];
        let history = of(&all[0], &all).unwrap();
        assert_eq!(history.new_dependencies, [NewDependency { name: "other".to_owned(), first: None }]);
        assert_eq!((history.last_before, history.yanked_before), (seconds("2026-08-20"), Vec::new()));
    }

    #[test]
    fn a_first_release_has_nothing_before_it_and_no_dependency_is_new() {
        let all = [entry("young@0.1.0", &["0.1.0 2026-08-20 fine other"])];
        let history = of(&all[0], &all).unwrap();
        let expected = History {
            published: seconds("2026-08-20"),
            first: seconds("2026-08-20"),
            releases: 1,
            ..History::default()
        };
        assert_eq!(history, expected);
    }

    #[test]
    fn a_release_of_an_old_branch_is_compared_with_its_own_branch() {
        let all =
            [entry("branchy@1.0.1", &["1.0.0 2020-01-01 fine", "2.0.0 2021-01-01 fine x", "1.0.1 2022-01-01 fine"])];
        let history = of(&all[0], &all).unwrap();
        assert_eq!((history.previous.as_deref(), history.last_before), (Some("1.0.0"), seconds("2021-01-01")));
    }

    #[test]
    fn a_pre_release_is_no_predecessor_of_a_release() {
        let all =
            [entry("pre@1.0.0", &["0.9.0 2020-01-01 fine", "1.0.0-rc.1 2020-02-01 fine x", "1.0.0 2020-03-01 fine x"])];
        assert_eq!(of(&all[0], &all).unwrap().previous.as_deref(), Some("0.9.0"));
    }

    #[test]
    fn a_registry_without_times_tells_no_age() {
        let all = [entry("old@1.0.0", &["1.0.0 - fine"])];
        let history = of(&all[0], &all).unwrap();
        assert_eq!((history.published, history.first, history.last_before), (None, None, None));
        assert_eq!(of(&entry("gone@2.0.0", &["1.0.0 2020-01-01 fine"]), &[]), None);
    }
}
