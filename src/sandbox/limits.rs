//! What a run may use up: the limits, their names and their defaults.
//!
//! `docs/limits.md` says how each is held, and what happens when it is hit.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Seconds for the whole build; `--timeout`.
    Time,
    /// Seconds for one unit.
    UnitTime,
    /// Seconds of CPU time that all processes of one unit use together.
    Cpu,
    /// Bytes of memory in the sandbox: resident pages of its processes and what lies in its folders.
    Memory,
    /// Processes and threads in the sandbox.
    Processes,
    /// Bytes in all writable folders together.
    Disk,
    /// Files and folders in one writable folder.
    Inodes,
    /// Bytes of one file.
    FileSize,
    /// Open descriptors of one process.
    OpenFiles,
    /// Bytes that one unit prints.
    Output,
    /// Bytes of evidence.
    Evidence,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Time.
    Seconds,
    /// A size.
    Bytes,
    /// A number of things.
    Count,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Time,
        Self::UnitTime,
        Self::Cpu,
        Self::Memory,
        Self::Processes,
        Self::Disk,
        Self::Inodes,
        Self::FileSize,
        Self::OpenFiles,
        Self::Output,
        Self::Evidence,
    ];

    /// The name on the command line, in evidence and in reports.
    pub const fn name(self) -> &'static str {
        self.facts().0
    }

    /// What it counts.
    pub const fn measure(self) -> Measure {
        self.facts().1
    }

    /// The least bound with which cargo and our own processes still work.
    pub const fn least(self) -> u64 {
        self.facts().2
    }

    const fn default_bound(self) -> u64 {
        self.facts().3
    }

    /// Name, measure, least bound, default bound.
    const fn facts(self) -> (&'static str, Measure, u64, u64) {
        use Measure::{Bytes, Count, Seconds};
        match self {
            Self::Time => ("time", Seconds, 1, 1800),
            Self::UnitTime => ("unit-time", Seconds, 1, 900),
            Self::Cpu => ("cpu", Seconds, 1, 7200),
            Self::Memory => ("memory", Bytes, 64 * MIB, 2 * GIB),
            Self::Processes => ("processes", Count, 32, 4096),
            Self::Disk => ("disk", Bytes, 16 * MIB, 12 * GIB),
            Self::Inodes => ("inodes", Count, 1024, 1 << 20),
            Self::FileSize => ("file-size", Bytes, MIB, 4 * GIB),
            Self::OpenFiles => ("open-files", Count, 256, 4096),
            Self::Output => ("output", Bytes, 1024, 128 * MIB),
            Self::Evidence => ("evidence", Bytes, MIB, 256 * MIB),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Upper bounds. A hit limit is a note and makes the run incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    bounds: BTreeMap<Limit, u64>,
    /// Attempts of one class that are recorded as lines of their own.
    pub attempts_per_class: u64,
}

impl Limits {
    /// The defaults on a machine with this much memory: four fifths of it for the sandbox, and three
    /// quarters of those for what it writes, since that lies in memory.
    pub fn for_machine(memory: u64) -> Self {
        let mut limits = Self {
            bounds: Limit::ALL.into_iter().map(|limit| (limit, limit.default_bound())).collect(),
            attempts_per_class: 20_000,
        };
        let memory = (memory / 5 * 4).max(Limit::Memory.default_bound());
        limits.set(Limit::Memory, memory);
        limits.set(Limit::Disk, (memory / 4 * 3).min(Limit::Disk.default_bound()));
        limits
    }

    /// The bound of a limit.
    pub fn of(&self, limit: Limit) -> u64 {
        self.bounds.get(&limit).copied().unwrap_or(limit.default_bound())
    }

    /// Lowers a bound to what is possible here.
    pub fn lower(&mut self, limit: Limit, possible: u64) {
        self.set(limit, self.of(limit).min(possible));
    }

    /// Sets a bound.
    pub fn set(&mut self, limit: Limit, bound: u64) {
        self.bounds.insert(limit, bound);
    }
}

/// A bound for a reader: `5 s`, `256 MiB`, `4096`.
pub fn shown(limit: Limit, bound: u64) -> String {
    match limit.measure() {
        Measure::Seconds => format!("{bound} s"),
        Measure::Count => bound.to_string(),
        Measure::Bytes if bound >= 10 * GIB || (bound >= GIB && bound.is_multiple_of(GIB)) => {
            format!("{} GiB", bound / GIB)
        }
        Measure::Bytes if bound >= MIB => format!("{} MiB", bound / MIB),
        Measure::Bytes => format!("{bound} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_follow_the_machine_and_never_fall_below_what_a_build_needs() {
        let limits = |gib: u64| Limits::for_machine(gib * GIB);
        assert_eq!(limits(1).of(Limit::Memory), 2 * GIB);
        assert_eq!((limits(20).of(Limit::Memory), limits(20).of(Limit::Disk)), (16 * GIB, 12 * GIB));
        assert_eq!(limits(5).of(Limit::Disk), 3 * GIB);
    }

    #[test]
    fn no_default_is_below_the_least_bound() {
        let limits = Limits::for_machine(0);
        for limit in Limit::ALL {
            assert!(limits.of(limit) >= limit.least(), "{limit}");
        }
    }

    #[test]
    fn bounds_are_shown_with_their_unit() {
        assert_eq!(shown(Limit::Cpu, 5), "5 s");
        assert_eq!(shown(Limit::Memory, 19 * GIB), "19 GiB");
        assert_eq!(shown(Limit::FileSize, 4 * GIB), "4 GiB");
        assert_eq!(shown(Limit::Disk, 64 * MIB), "64 MiB");
        assert_eq!(shown(Limit::Output, 5000), "5000 bytes");
        assert_eq!(shown(Limit::Processes, 64), "64");
    }
}
