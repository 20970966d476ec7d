//! Which limit is hit, and by whom. Carried out by `event_loop::limits`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

use super::caller::Proc;
use super::sample::{CpuTime, Sample, Use, machine, sum};
use super::weigh::weigh;
use crate::sandbox::limits::{Limit, Limits, shown};
use crate::sandbox::spec::{MountOp, SandboxSpec};
use crate::sys::process::{kill_by_pidfd, pidfd};

/// The least time between two looks.
const PERIOD: Duration = Duration::from_millis(250);
/// A look may take this share of the time at most (a quarter), or a crowd of processes would make us do nothing else.
const SHARE: u32 = 3;
/// Seconds that are left to each unit, however many before it did not end.
const LEAST_TIME: u64 = 60;

/// What follows from a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It is told, and the kernel's own limit holds.
    Tell,
    /// All of the unit is ended.
    EndUnit,
    /// The run is ended.
    Stop,
}

/// A limit that was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) limit: Limit,
    /// Whose processes hit it, where that is known.
    pub(super) unit: Option<u32>,
    pub(super) act: Act,
    /// What it was for this unit.
    pub(super) bound: u64,
    /// For people.
    pub(super) text: String,
}

impl Hit {
    pub(super) fn new(limit: Limit, unit: Option<u32>, act: Act, bound: u64) -> Self {
        Self { limit, unit, act, bound, text: text(limit, bound) }
    }
}

/// A unit that runs.
#[derive(Debug)]
struct Watched {
    /// Its init, by its number in the sandbox.
    init: i32,
    /// The same, by descriptor.
    handle: OwnedFd,
    /// Where it may write.
    places: Vec<PathBuf>,
    since: Instant,
    /// Seconds after which it is ended.
    time: u64,
    cpu: CpuTime,
    is_ending: bool,
}

/// How full the writable folders are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Folders {
    used: u64,
    no_bytes: bool,
    no_inodes: bool,
}

/// Looks after the limits of a run.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    folders: Vec<String>,
    units: BTreeMap<u32, Watched>,
    next: Instant,
    told: BTreeSet<(Option<u32>, Limit)>,
    /// How many units did not end in their time.
    endless: u32,
}

impl Watch {
    pub(super) fn new(spec: &SandboxSpec) -> Self {
        let folder = |op: &MountOp| match op {
            MountOp::Tmpfs { at, .. } if at != "/" => Some(at.clone()),
            _ => None,
        };
        Self {
            limits: spec.limits.clone(),
            folders: spec.mounts.iter().filter_map(folder).collect(),
            units: BTreeMap::new(),
            next: Instant::now(),
            told: BTreeSet::new(),
            endless: 0,
        }
    }

    /// Seconds that a unit which begins now may take: half as many for each that did not end, or two of them one after the
    /// other would use up the time of the run.
    fn time(&self) -> u64 {
        let bound = self.limits.of(Limit::UnitTime);
        bound.checked_shr(self.endless).unwrap_or_default().max(bound.min(LEAST_TIME))
    }

    /// True if nothing was told yet of this limit and this unit. From now on it was. Evidence and folders are
    /// the same for all units: whoever comes later is not the one that filled them.
    pub(super) fn is_news(&mut self, hit: &Hit) -> bool {
        let for_all = matches!(hit.limit, Limit::Evidence | Limit::Disk | Limit::Inodes);
        let unit = if for_all { None } else { hit.unit };
        self.told.insert((unit, hit.limit))
    }

    /// A thread of the unit made its first call: its parent is the unit's init. No foreign code has run yet.
    pub(super) fn begin(&mut self, unit: u32, tid: i32, places: &[PathBuf], procfs: &Proc) {
        if self.units.contains_key(&unit) {
            return;
        }
        let time = self.time();
        let watched = || {
            let init: i32 = procfs.status(tid, "PPid")?.parse().ok()?;
            let handle = pidfd(Pid::from_raw(init)).ok()?;
            // Outermost first: ours, the sandbox's, the unit's own.
            let numbers = procfs.status(init, "NSpid")?;
            let numbers: Vec<i32> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            let &[.., init, 1] = numbers.as_slice() else { return None };
            let (places, since, cpu) = (places.to_vec(), Instant::now(), CpuTime::default());
            Some(Watched { init, handle, places, since, time, cpu, is_ending: false })
        };
        if let Some(watched) = watched() {
            self.units.insert(unit, watched);
        }
    }

    /// All of the unit is gone: true if that was our doing.
    pub(super) fn end(&mut self, unit: u32) -> bool {
        self.units.remove(&unit).is_some_and(|watched| watched.is_ending)
    }

    /// Kills the unit's init, and with it everything in its PID namespace. False if there is none.
    pub(super) fn kill(&mut self, unit: u32) -> bool {
        let Some(watched) = self.units.get_mut(&unit) else { return false };
        watched.is_ending = true;
        kill_by_pidfd(&watched.handle).is_ok()
    }

    /// When to look again; none while no unit runs.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.units.is_empty()).then_some(self.next)
    }

    /// The unit in whose places the most lies, of which there is not enough.
    fn fullest(&self, limit: Limit) -> Option<u32> {
        if let [one] = self.units.keys().collect::<Vec<_>>().as_slice() {
            return Some(**one);
        }
        let weight = |watched: &Watched| match (limit, weigh(&watched.places)) {
            (Limit::Inodes, weight) => weight.names,
            (_, weight) => weight.bytes,
        };
        self.units.iter().max_by_key(|(_, watched)| weight(watched)).map(|(unit, _)| *unit)
    }

    /// Looks, if it is time.
    pub(super) fn look(&mut self) -> io::Result<Vec<Hit>> {
        let begun = Instant::now();
        if self.next().is_none_or(|next| begun < next) {
            return Ok(Vec::new());
        }
        let sample = Sample::take()?;
        let folders = self.folders();
        let roots: HashMap<i32, u32> = self.units.iter().map(|(unit, watched)| (watched.init, *unit)).collect();
        let processes = sample.below(&roots);
        let mut hits = Vec::new();
        let mut uses = BTreeMap::new();
        for (unit, watched) in &mut self.units {
            let of_unit = processes.get(unit).map(Vec::as_slice).unwrap_or_default();
            let living = sum(of_unit);
            uses.insert(*unit, living);
            let cpu = watched.cpu.seconds(of_unit, living);
            let time = watched.since.elapsed().as_secs();
            if time >= watched.time && !watched.is_ending {
                self.endless += 1;
            }
            for (limit, used, bound, act) in [
                (Limit::UnitTime, time, watched.time, Act::EndUnit),
                (Limit::Cpu, cpu, self.limits.of(Limit::Cpu), Act::EndUnit),
                (Limit::OpenFiles, living.files, self.limits.of(Limit::OpenFiles), Act::Tell),
            ] {
                if used >= bound {
                    hits.push(Hit::new(limit, Some(*unit), act, bound));
                }
            }
        }
        hits.extend(self.of_all(sample.all(), folders.used, machine(), &uses));
        hits.extend(self.of_folders(folders));
        self.next = Instant::now() + PERIOD.max(begun.elapsed() * SHARE);
        Ok(hits)
    }

    /// Memory and processes are the sandbox's: the unit that has the most is ended, and when none is left
    /// to be ended, the run.
    fn of_all(&self, all: Use, in_folders: u64, machine: Option<(u64, u64)>, uses: &BTreeMap<u32, Use>) -> Vec<Hit> {
        /// The machine must keep this share of its memory, whoever uses it up.
        const MACHINE_KEEPS: u64 = 32;
        let mut hits = Vec::new();
        // What we are ending already gets time to be gone.
        let dying = self.units.iter().any(|(unit, watched)| watched.is_ending && uses.get(unit).is_some_and(is_there));
        let mut end_the_largest = |limit: Limit, of: &dyn Fn(&Use) -> u64| {
            let largest = uses.iter().max_by_key(|(_, used)| of(used)).map(|(unit, _)| *unit);
            let act = if largest.is_some() { Act::EndUnit } else { Act::Stop };
            hits.push(Hit::new(limit, largest, act, self.limits.of(limit)));
        };
        let tasks = self.limits.of(Limit::Processes);
        if all.tasks + (tasks / 16).max(2) >= tasks && !dying {
            end_the_largest(Limit::Processes, &|used| used.tasks);
        }
        if all.memory.saturating_add(in_folders) >= self.limits.of(Limit::Memory) && !dying {
            end_the_largest(Limit::Memory, &|used| used.memory);
        } else if let Some((left, total)) = machine
            && left < total / MACHINE_KEEPS
        {
            // Pages that no process has mapped are nobody's. The machine comes first.
            let text = format!("the machine had less than {} left", shown(Limit::Memory, total / MACHINE_KEEPS));
            hits.push(Hit { text, ..Hit::new(Limit::Memory, None, Act::Stop, self.limits.of(Limit::Memory)) });
        }
        hits
    }

    fn of_folders(&self, folders: Folders) -> impl Iterator<Item = Hit> {
        let full = [(Limit::Disk, folders.no_bytes), (Limit::Inodes, folders.no_inodes)];
        let news = full.into_iter().filter(|(limit, full)| *full && !self.told.contains(&(None, *limit)));
        news.map(|(limit, _)| Hit::new(limit, self.fullest(limit), Act::Tell, self.limits.of(limit)))
    }

    /// A file could not be made because a folder was full: which limit that is.
    pub(super) fn full(&self) -> Limit {
        if self.folders().no_inodes { Limit::Inodes } else { Limit::Disk }
    }

    fn folders(&self) -> Folders {
        /// A folder with less than this share of it left is full.
        const NEARLY: u64 = 64;
        let mut all = Folders::default();
        for folder in &self.folders {
            let Ok(found) = statvfs(folder.as_str()) else { continue };
            let (blocks, free) = (found.blocks(), found.blocks_free());
            all.used += blocks.saturating_sub(free).saturating_mul(found.fragment_size());
            all.no_bytes |= free <= blocks / NEARLY;
            all.no_inodes |= found.files_free() <= found.files() / NEARLY;
        }
        let disk = self.limits.of(Limit::Disk);
        all.no_bytes |= all.used >= disk - disk / NEARLY;
        all
    }
}

fn is_there(used: &Use) -> bool {
    used.tasks > 0
}

/// What happened, with the bound.
fn text(limit: Limit, bound: u64) -> String {
    let bound = shown(limit, bound);
    match limit {
        Limit::Time => format!("the build did not end within {bound}"),
        Limit::UnitTime => format!("the unit did not end within {bound}"),
        Limit::Cpu => format!("the unit's processes used {bound} of CPU time"),
        Limit::Memory => format!("processes and folders in memory used {bound}"),
        Limit::Processes => format!("there were about {bound} processes and threads"),
        Limit::Disk => format!("a folder that may be written is full; all together may hold {bound}"),
        Limit::Inodes => format!("a folder holds as many files as it may: {bound}, or what it started with"),
        Limit::FileSize => format!("a file would have become larger than {bound}"),
        Limit::OpenFiles => format!("a process had {bound} open descriptors"),
        Limit::Output => format!("the unit printed more than {bound}; the rest is not kept"),
        Limit::Evidence => format!("the evidence reached {bound}; what came later is counted only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(changes: &[(Limit, u64)]) -> Watch {
        let mut limits = Limits::for_machine(0);
        for (limit, bound) in changes {
            limits.set(*limit, *bound);
        }
        let (units, told) = (BTreeMap::new(), BTreeSet::new());
        Watch { limits, folders: Vec::new(), units, next: Instant::now(), told, endless: 0 }
    }

    fn used(tasks: u64, memory: u64) -> Use {
        Use { tasks, memory, files: 0, ticks: 0 }
    }

    fn came_of(watch: &Watch, all: Use, in_folders: u64, uses: &[(u32, Use)]) -> Vec<(Limit, Option<u32>, Act)> {
        let hits = watch.of_all(all, in_folders, Some((50, 100)), &uses.iter().copied().collect());
        hits.into_iter().map(|hit| (hit.limit, hit.unit, hit.act)).collect()
    }

    #[test]
    fn the_unit_with_the_most_is_ended_for_what_all_use_together() {
        let watch = watch(&[(Limit::Memory, 100), (Limit::Processes, 64)]);
        let uses = [(1, used(50, 10)), (2, used(3, 80))];
        assert_eq!(came_of(&watch, used(53, 90), 0, &uses), []);
        assert_eq!(came_of(&watch, used(60, 90), 0, &uses), [(Limit::Processes, Some(1), Act::EndUnit)]);
        assert_eq!(came_of(&watch, used(53, 90), 10, &uses), [(Limit::Memory, Some(2), Act::EndUnit)]);
    }

    #[test]
    fn the_run_is_ended_when_no_unit_is_left_to_end_or_the_machine_has_no_memory() {
        let watch = watch(&[(Limit::Memory, 100)]);
        assert_eq!(came_of(&watch, used(1, 0), 100, &[]), [(Limit::Memory, None, Act::Stop)]);
        let hits = watch.of_all(used(1, 0), 0, Some((3, 100)), &BTreeMap::new());
        assert_eq!(hits.len(), 0, "3 of 100 is a thirty-third");
        let hits = watch.of_all(used(1, 0), 0, Some((2, 100)), &BTreeMap::new());
        assert_eq!(hits[0].act, Act::Stop);
    }

    #[test]
    fn each_unit_that_does_not_end_leaves_half_as_long_to_those_that_begin_later_and_never_nothing() {
        let mut watch = watch(&[(Limit::UnitTime, 900)]);
        let mut times = [0, 1, 2, 3, 4, 70].map(|endless| {
            watch.endless = endless;
            watch.time()
        });
        assert_eq!(times, [900, 450, 225, 112, LEAST_TIME, LEAST_TIME]);
        watch.limits.set(Limit::UnitTime, 8);
        times = times.map(|_| watch.time());
        assert_eq!(times, [8; 6], "what is short already stays as it was given");
    }

    #[test]
    fn a_hit_is_news_once_for_each_unit_and_limit() {
        let mut watch = watch(&[]);
        let mut is_news = |limit, unit| watch.is_news(&Hit::new(limit, unit, Act::Tell, 1));
        assert!(is_news(Limit::Cpu, Some(1)) && is_news(Limit::Cpu, Some(2)) && is_news(Limit::Memory, Some(1)));
        assert!(!is_news(Limit::Cpu, Some(1)));
        assert!(is_news(Limit::Disk, Some(1)) && !is_news(Limit::Disk, Some(2)) && !is_news(Limit::Disk, None));
    }
}
