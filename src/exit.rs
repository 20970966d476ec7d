//! What the exit code says. A documented contract; see the README's table.

use crate::policy::Severity;

/// The exit codes. Where several apply, the first of the documented order wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExitCode {
    /// Pass.
    Pass,
    /// An error inside this program.
    Internal,
    /// Wrong usage or configuration.
    Usage,
    /// No such name, version or file; an empty lock file.
    NotFound,
    /// A layer of the sandbox is missing and was not waived.
    NoSandbox,
    /// Nothing was found, but not everything was seen.
    Inconclusive,
    /// A finding at high or above; a refused archive or checksum always.
    Fail,
    /// A finding at the threshold or above.
    Review,
    /// The registry did not answer, or not as a registry does; try again.
    Temporary,
    /// Ended by SIGINT.
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
}

impl ExitCode {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Pass,
        Self::Internal,
        Self::Usage,
        Self::NotFound,
        Self::NoSandbox,
        Self::Inconclusive,
        Self::Fail,
        Self::Review,
        Self::Temporary,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the process ends with.
    pub const fn number(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NoSandbox => 4,
            Self::Inconclusive => 5,
            Self::Fail => 10,
            Self::Review => 11,
            Self::Temporary => 75,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The kebab-case name, as in the `error.code` of a JSON report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::NoSandbox => "no-sandbox",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Review => "review",
            Self::Temporary => "temporary",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// What a judged run ends with. `worst` is the worst finding; `fail_on` is the mildest that counts.
    ///
    /// Incompleteness is never hidden by a high `fail_on`, and a critical finding, as every refused
    /// archive is one, counts under each threshold.
    pub fn of_run(worst: Option<Severity>, is_complete: bool, fail_on: Severity) -> Self {
        match worst {
            Some(worst) if worst >= fail_on && worst >= Severity::High => Self::Fail,
            Some(worst) if worst >= fail_on => Self::Review,
            _ if is_complete => Self::Pass,
            _ => Self::Inconclusive,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Severity::{Critical, High, Info, Low, Medium};

    /// The whole matrix: rows are the worst finding, columns the threshold from info to critical.
    /// `complete/incomplete` where they differ.
    #[test]
    fn the_whole_matrix_is_as_documented() {
        type Row = (Option<Severity>, [(u8, u8); 5]);
        let matrix: [Row; 6] = [
            (None, [(0, 5), (0, 5), (0, 5), (0, 5), (0, 5)]),
            (Some(Info), [(11, 11), (0, 5), (0, 5), (0, 5), (0, 5)]),
            (Some(Low), [(11, 11), (11, 11), (0, 5), (0, 5), (0, 5)]),
            (Some(Medium), [(11, 11), (11, 11), (11, 11), (0, 5), (0, 5)]),
            (Some(High), [(10, 10), (10, 10), (10, 10), (10, 10), (0, 5)]),
            (Some(Critical), [(10, 10), (10, 10), (10, 10), (10, 10), (10, 10)]),
        ];
        for (worst, row) in matrix {
            for (fail_on, (complete, incomplete)) in Severity::ALL.into_iter().zip(row) {
                let code = |is_complete| ExitCode::of_run(worst, is_complete, fail_on).number();
                assert_eq!((code(true), code(false)), (complete, incomplete), "{worst:?} {fail_on}");
            }
        }
    }

    #[test]
    fn the_default_threshold_follows_the_verdict() {
        use crate::judge::Verdict;
        for worst in [None, Some(Info), Some(Low), Some(Medium), Some(High), Some(Critical)] {
            for is_complete in [true, false] {
                let expected = match Verdict::of(worst, is_complete) {
                    Verdict::Pass => ExitCode::Pass,
                    Verdict::Inconclusive => ExitCode::Inconclusive,
                    Verdict::Review => ExitCode::Review,
                    Verdict::Fail => ExitCode::Fail,
                };
                assert_eq!(ExitCode::of_run(worst, is_complete, Medium), expected);
            }
        }
    }

    #[test]
    fn numbers_and_names_are_unique() {
        let numbers: std::collections::BTreeSet<_> = ExitCode::ALL.iter().map(|c| c.number()).collect();
        let names: std::collections::BTreeSet<_> = ExitCode::ALL.iter().map(|c| c.name()).collect();
        assert_eq!((numbers.len(), names.len()), (ExitCode::ALL.len(), ExitCode::ALL.len()));
    }
}
