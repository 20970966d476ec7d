//! Seconds since the Unix epoch, as registries and people write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Seconds of a day.
pub const DAY: u64 = 24 * 60 * 60;

/// The seconds of a time such as `2026-08-20T10:11:12Z`, or of the beginning of a day; none for what is neither, or
/// before 1970.
pub fn seconds(text: &str) -> Option<u64> {
    let time: Timestamp = if text.contains('T') {
        text.parse().ok()?
    } else {
        text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()
    };
    u64::try_from(time.as_second()).ok()
}

/// The day of a time, as `2026-08-20`.
pub fn date(seconds: u64) -> String {
    timestamp(seconds).strftime("%Y-%m-%d").to_string()
}

/// `2026-11-25T21:03:00Z`.
pub fn rfc3339(seconds: u64) -> String {
    timestamp(seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time beyond the year 9999 is the last one before.
pub fn timestamp(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_seconds_agree_over_leap_years() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2024-03-01", 1_709_251_200),
            ("2026-08-20T10:11:12Z", 1_787_220_672),
            ("2026-08-20T10:11:12.5+00:00", 1_787_220_672),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
            assert_eq!(date(expected), text.get(..10).unwrap());
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "2026", "2026-13-01", "2026-08-20T10:11:12", "1969-12-31", "2026-08-20T25:00:00Z", "+2026-1-1"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_become_times() {
        for (seconds, time) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_640_580, "2026-11-25T21:03:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), time);
        }
        assert!(rfc3339(u64::MAX).starts_with("9999-12-"));
    }
}
