//! Whether a requirement of an advisory is met, by order alone.
//!
//! Cargo keeps pre-releases out of requirements that do not name one, and an advisory means them, too: `1.0.0-rc.1` is
//! before `1.0.0` and nothing else. The ends that a short form leaves to be guessed, as that of `^1`, are before the
//! first pre-release of what follows, so that nothing is called mended by a guess.

use std::cmp::Ordering;

use semver::{Comparator, Op, Prerelease, Version, VersionReq};

/// True if a version is within all parts of a requirement.
pub(super) fn contains(requirement: &VersionReq, version: &Version) -> bool {
    requirement.comparators.iter().all(|part| is_within(part, version))
}

fn is_within(part: &Comparator, version: &Version) -> bool {
    let (major, minor, patch) = (part.major, part.minor, part.patch);
    let mut start = Version::new(major, minor.unwrap_or(0), patch.unwrap_or(0));
    start.pre = part.pre.clone();
    // Of a short form, what follows all that it can mean.
    let after = match (minor, patch) {
        (None, _) => Some(first(major.checked_add(1), 0, 0)),
        (Some(minor), None) => Some(first(Some(major), minor.saturating_add(1), 0)),
        (Some(_), Some(_)) => None,
    };
    let against = |other: &Version| version.cmp_precedence(other);
    let is_from = against(&start).is_ge();
    let is_before = |end: &Option<Version>| end.as_ref().is_none_or(|end| against(end).is_lt());
    match (part.op, &after) {
        (Op::Exact, None) => against(&start) == Ordering::Equal,
        (Op::Exact | Op::Wildcard | Op::Tilde, Some(end)) => is_from && is_before(end),
        (Op::Greater, None) => against(&start).is_gt(),
        (Op::Greater, Some(end)) => !is_before(end) && version.pre.is_empty(),
        (Op::Less, _) => against(&start).is_lt(),
        (Op::LessEq, None) => against(&start).is_le(),
        (Op::LessEq, Some(end)) => is_before(end),
        (Op::Tilde, None) => is_from && is_before(&first(Some(major), minor.unwrap_or(0).saturating_add(1), 0)),
        (Op::Caret, _) => is_from && is_before(&breaking(part)),
        (Op::GreaterEq, _) => is_from,
        // What semver may learn some day is met by nothing.
        _ => false,
    }
}

/// The end of what is compatible.
fn breaking(part: &Comparator) -> Option<Version> {
    match (part.major, part.minor, part.patch) {
        (0, Some(0), Some(patch)) => first(Some(0), 0, patch.saturating_add(1)),
        (0, Some(minor), _) => first(Some(0), minor.saturating_add(1), 0),
        (major, _, _) => first(major.checked_add(1), 0, 0),
    }
}

/// Before the first pre-release of a version; none for what no version follows.
fn first(major: Option<u64>, minor: u64, patch: u64) -> Option<Version> {
    let mut version = Version::new(major?, minor, patch);
    version.pre = Prerelease::new("0").ok()?;
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_where_semver_says() {
        let versions =
            ["0.0.1", "0.0.2", "0.1.0", "0.1.5", "0.2.0", "1.0.0", "1.2.3", "1.2.4", "1.3.0", "2.0.0", "9.9.9"];
        for op in ["=", ">", ">=", "<", "<=", "~", "^"] {
            for short in ["0", "1", "0.0", "0.1", "1.2", "0.0.1", "0.1.0", "1.2.3", "2.0.0"] {
                let requirement: VersionReq = format!("{op}{short}").parse().unwrap();
                for version in versions {
                    let version: Version = version.parse().unwrap();
                    assert_eq!(
                        contains(&requirement, &version),
                        requirement.matches(&version),
                        "{requirement} {version}"
                    );
                }
            }
        }
        for (wildcard, version, expected) in
            [("*", "1.0.0-rc.1", true), ("1.*", "1.9.0", true), ("1.2.*", "1.3.0", false)]
        {
            assert_eq!(
                contains(&wildcard.parse().unwrap(), &version.parse().unwrap()),
                expected,
                "{wildcard} {version}"
            );
        }
    }

    #[test]
    fn a_pre_release_is_where_the_order_puts_it() {
        for (requirement, version, expected) in [
            ("< 1.0.0", "1.0.0-rc.1", true),
            ("< 1.0.0-rc.1", "1.0.0-rc.1", false),
            ("< 1.0.0-rc.2", "1.0.0-rc.1", true),
            (">= 1.0.0-rc.2", "1.0.0-rc.1", false),
            (">= 1.0.0-rc.2", "1.0.0", true),
            (">= 0.4.8, < 1.0.0-0", "1.0.0-rc.1", false),
            (">= 0.4.8, < 1.0.0-0", "0.9.0-rc.1", true),
            (">= 1.0.0", "1.0.0-rc.1", false),
            ("> 1.0", "1.1.0-rc.1", false),
            ("> 1.0.0", "1.1.0-rc.1", true),
            ("^1.2", "1.3.0-rc.1", true),
            ("^1.2", "2.0.0-rc.1", false),
            ("~1.2", "1.3.0-rc.1", false),
            ("<= 1.2", "1.3.0-rc.1", false),
            ("= 1.0.0", "1.0.0-rc.1", false),
        ] {
            let met = contains(&requirement.parse().unwrap(), &version.parse().unwrap());
            assert_eq!(met, expected, "{requirement} {version}");
        }
    }
}
