//! `--limit NAME=VALUE`, and what the machine has.

use std::fs;

use super::SettingsError;
use super::config::Given;
use crate::sandbox::limits::{Limit, Limits, Measure, shown};

/// One unit may take this share of the run's time (a half), so that one that never ends leaves the others theirs.
const UNIT_SHARE: u64 = 2;

/// The defaults of this machine with what was typed, and what was typed as the report shows it.
pub(super) fn limits(timeout: u64, given: &[Given<String>]) -> Result<(Limits, Vec<String>), SettingsError> {
    let mut limits = Limits::for_machine(memory());
    limits.set(Limit::Time, timeout);
    limits.set(Limit::UnitTime, (timeout / UNIT_SHARE).max(Limit::UnitTime.least()));
    let mut chosen = Vec::new();
    for text in given {
        let (limit, bound) = limit(&text.value).map_err(|error| error.at(&text.place))?;
        limits.set(limit, bound);
        // The last one wins.
        chosen.retain(|(known, _)| *known != limit);
        chosen.push((limit, bound));
    }
    let shown_to_user =
        chosen.into_iter().map(|(limit, bound)| format!("limit {limit} {}", shown(limit, bound))).collect();
    Ok((limits, shown_to_user))
}

fn limit(text: &str) -> Result<(Limit, u64), SettingsError> {
    let names = || {
        let names: Vec<_> = by_option().map(Limit::name).collect();
        format!("the limits are {}", names.join(", "))
    };
    let (name, value) = text.split_once('=').ok_or_else(|| {
        SettingsError::new(format!("--limit {text}: not NAME=VALUE"), format!("write --limit cpu=600; {}", names()))
    })?;
    let limit = by_option().find(|limit| limit.name() == name).ok_or_else(|| {
        let hint = if name == Limit::Time.name() { "write --timeout SECONDS".to_owned() } else { names() };
        SettingsError::new(format!("--limit {text}: there is no limit {name:?}"), hint)
    })?;
    let bound = number(limit, value).ok_or_else(|| {
        let hint = match limit.measure() {
            Measure::Seconds => "give whole seconds",
            Measure::Count => "give a whole number",
            Measure::Bytes => "give bytes, or a whole number with K, M or G",
        };
        SettingsError::new(format!("--limit {text}: {value:?} is no bound for it"), hint)
    })?;
    if bound < limit.least() {
        let least = shown(limit, limit.least());
        return Err(SettingsError::new(
            format!("--limit {text}: no build gets through with that"),
            format!("give at least {least}"),
        ));
    }
    Ok((limit, bound))
}

/// All that the option sets; the time of a run has one of its own.
fn by_option() -> impl Iterator<Item = Limit> {
    Limit::ALL.into_iter().filter(|limit| *limit != Limit::Time)
}

fn number(limit: Limit, text: &str) -> Option<u64> {
    let (digits, factor) = match (limit.measure(), text.chars().last()?) {
        (Measure::Bytes, 'K') => (text.strip_suffix('K')?, 1 << 10),
        (Measure::Bytes, 'M') => (text.strip_suffix('M')?, 1 << 20),
        (Measure::Bytes, 'G') => (text.strip_suffix('G')?, 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Bytes of memory that we may use: the machine's, or our control group's if that is less.
fn memory() -> u64 {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    });
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    total.unwrap_or(0).min(group.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_names_and_values_with_units() {
        assert_eq!(limit("cpu=60").unwrap(), (Limit::Cpu, 60));
        assert_eq!(limit("memory=3G").unwrap(), (Limit::Memory, 3 << 30));
        assert_eq!(limit("processes=100").unwrap(), (Limit::Processes, 100));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused_with_what_would() {
        for (wrong, hint) in [
            ("cpu", "NAME"),
            ("disc=1G", "open-files"),
            ("cpu=5G", "seconds"),
            ("memory=much", "K, M or G"),
            ("memory=99999999999G", "K, M or G"),
            ("processes=1", "at least 32"),
            ("time=5", "--timeout"),
        ] {
            let error = limit(wrong).unwrap_err();
            let said = format!("{error} {}", error.hint.as_deref().unwrap_or_default());
            assert!(said.contains(hint) && said.contains(wrong), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_time_of_a_unit_is_half_of_the_runs_unless_it_is_given() {
        let (all, shown) = limits(1800, &[]).unwrap();
        assert_eq!((all.of(Limit::UnitTime), shown), (900, Vec::<String>::new()));
        assert_eq!(limits(1, &[]).unwrap().0.of(Limit::UnitTime), 1, "no unit gets through with less");
        let (limits, shown) =
            super::limits(7, &[Given { value: "unit-time=3".to_owned(), place: String::new() }]).unwrap();
        assert_eq!((limits.of(Limit::Time), limits.of(Limit::UnitTime)), (7, 3));
        assert_eq!(shown, ["limit unit-time 3 s"]);
    }
}
