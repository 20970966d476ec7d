//! A day, as decisions name their end.

use std::fmt;

use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use crate::evidence::time::timestamp;

/// A day of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// Before all others that anybody names.
    pub const FIRST: Self = Self(Date::constant(1970, 1, 1));

    /// The day of a time in seconds since the Unix epoch.
    pub fn of(seconds: u64) -> Self {
        Self(timestamp(seconds).to_zoned(TimeZone::UTC).date())
    }

    /// `2026-12-31`, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        text.parse().ok().filter(|_| is_plain).map(Self)
    }

    /// So many days later.
    pub fn after(self, days: u32) -> Option<Self> {
        self.0.checked_add(Span::new().try_days(days).ok()?).ok().map(Self)
    }

    /// How many days it is until another one.
    pub fn until(self, other: Self) -> i64 {
        self.0.duration_until(other.0).as_hours() / 24
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_one_way() {
        assert_eq!(Day::parse("2024-02-29").unwrap().to_string(), "2024-02-29");
        for wrong in ["2023-02-29", "2024-2-9", "2024-02-29T00:00", "20240229", "", "tomorrow", "2024-13-01"] {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_are_counted_over_months_and_leap_years() {
        let day = Day::of(1_709_164_800);
        assert_eq!(day.to_string(), "2024-02-29");
        let later = day.after(90).unwrap();
        assert_eq!((later.to_string().as_str(), day.until(later), later.until(day)), ("2024-05-29", 90, -90));
        assert_eq!(Day::of(0), Day::FIRST);
        assert!(Day::of(u64::MAX) > later && day.after(u32::MAX).is_none());
    }
}
