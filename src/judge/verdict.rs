//! One word for a package or a run.

use std::fmt;

use serde::Serialize;

use crate::policy::Severity;

/// One word for a package or a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Complete, and nothing at medium or above.
    Pass,
    /// Nothing at medium or above was seen, but not everything was seen.
    Inconclusive,
    /// A finding at medium: somebody should look.
    Review,
    /// A finding at high or critical.
    Fail,
}

impl Verdict {
    /// The verdict that follows from the worst finding and from completeness.
    pub fn of(worst: Option<Severity>, is_complete: bool) -> Self {
        match worst {
            Some(Severity::High | Severity::Critical) => Self::Fail,
            Some(Severity::Medium) => Self::Review,
            _ if is_complete => Self::Pass,
            _ => Self::Inconclusive,
        }
    }

    /// As it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Review => "review",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_incomplete_passes_and_no_finding_is_hidden_by_incompleteness() {
        for worst in [None, Some(Severity::Info), Some(Severity::Low)] {
            assert_eq!(Verdict::of(worst, true), Verdict::Pass);
            assert_eq!(Verdict::of(worst, false), Verdict::Inconclusive);
        }
        for complete in [true, false] {
            assert_eq!(Verdict::of(Some(Severity::Medium), complete), Verdict::Review);
            assert_eq!(Verdict::of(Some(Severity::High), complete), Verdict::Fail);
            assert_eq!(Verdict::of(Some(Severity::Critical), complete), Verdict::Fail);
        }
    }
}
