//! What the processes of the sandbox use, read from the sandbox's own `/proc`.
//!
//! That `/proc` lists what is in the sandbox and nothing else of the machine, so
//! a look costs as much as the sandbox has processes. Nothing here decides.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::AddAssign;
use std::os::unix::fs::MetadataExt as _;

/// Bytes of a page on x86-64.
const PAGE: u64 = 4096;
/// `USER_HZ`: the unit of times in `/proc` on x86-64.
const TICKS_PER_SECOND: u64 = 100;

/// One process, by its number in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    parent: i32,
    /// When it started: with the number it names one process.
    started: u64,
    /// CPU time of its own, in ticks.
    own: u64,
    /// CPU time of children that ended and were waited for.
    waited: u64,
    threads: u64,
    pages: u64,
    files: u64,
}

/// What some processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// Processes and threads.
    pub(super) tasks: u64,
    /// Bytes that are resident. What two processes share counts for both.
    pub(super) memory: u64,
    /// Descriptors of the process that has the most.
    pub(super) files: u64,
    pub(super) ticks: u64,
}

impl AddAssign<&Process> for Use {
    fn add_assign(&mut self, process: &Process) {
        self.tasks += process.threads;
        self.memory = self.memory.saturating_add(process.pages.saturating_mul(PAGE));
        self.files = self.files.max(process.files);
        self.ticks += process.own + process.waited;
    }
}

/// All processes of the sandbox at one time.
#[derive(Debug, Default)]
pub(super) struct Sample(BTreeMap<i32, Process>);

impl Sample {
    /// Looks at every process. One that ends meanwhile is left out.
    pub(super) fn take() -> io::Result<Self> {
        let mut buffer = [0; 1024];
        let mut processes = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(process) = read(number, &mut buffer) {
                processes.insert(number, process);
            }
        }
        Ok(Self(processes))
    }

    /// What all use.
    pub(super) fn all(&self) -> Use {
        let mut all = Use::default();
        for process in self.0.values() {
            all += process;
        }
        all
    }

    /// The processes at and below each of the roots, by the name of the root.
    pub(super) fn below(&self, roots: &HashMap<i32, u32>) -> BTreeMap<u32, Vec<(i32, Process)>> {
        let mut below: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for (number, process) in &self.0 {
            if let Some(unit) = self.root_of(*number, roots) {
                below.entry(unit).or_default().push((*number, *process));
            }
        }
        below
    }

    fn root_of(&self, number: i32, roots: &HashMap<i32, u32>) -> Option<u32> {
        /// Processes come and go while we look: what seems to be a circle ends here.
        const DEEPEST: usize = 4096;
        let mut at = number;
        for _ in 0..DEEPEST {
            if let Some(unit) = roots.get(&at) {
                return Some(*unit);
            }
            at = self.0.get(&at)?.parent;
        }
        None
    }
}

/// CPU time of one unit. A process that ends takes its time along, unless somebody waits for it: what
/// was seen of it before is kept.
#[derive(Debug, Default)]
pub(super) struct CpuTime {
    own: HashMap<(i32, u64), u64>,
    gathered: u64,
}

impl CpuTime {
    /// Takes in a sample of the unit's processes: seconds that the unit has used, at least.
    pub(super) fn seconds(&mut self, processes: &[(i32, Process)], living: Use) -> u64 {
        let mut own = HashMap::with_capacity(processes.len());
        for (number, process) in processes {
            let name = (*number, process.started);
            let before = self.own.get(&name).copied().unwrap_or(0);
            self.gathered += process.own.saturating_sub(before);
            own.insert(name, process.own);
        }
        self.own = own;
        self.gathered.max(living.ticks) / TICKS_PER_SECOND
    }
}

/// What the processes of a list use.
pub(super) fn sum(processes: &[(i32, Process)]) -> Use {
    let mut all = Use::default();
    for (_, process) in processes {
        all += process;
    }
    all
}

/// Bytes of memory that the machine could still give, and all that it has.
pub(super) fn machine() -> Option<(u64, u64)> {
    let mut buffer = [0; 1024];
    let text = std::str::from_utf8(start_of("/proc/meminfo", &mut buffer)?).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((field("MemAvailable:")?, field("MemTotal:")?))
}

fn read(number: i32, buffer: &mut [u8]) -> Option<Process> {
    let mut process = parse(start_of(&format!("/proc/{number}/stat"), buffer)?)?;
    // Since Linux 6.2 the size of this folder is how many descriptors there are.
    process.files = fs::metadata(format!("/proc/{number}/fd")).map_or(0, |folder| folder.size());
    Some(process)
}

/// The beginning of a file, as far as the buffer reaches.
fn start_of<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = File::open(path).ok()?.read(buffer).ok()?;
    buffer.get(..length)
}

/// When the process began whose line of `/proc/N/stat` this is, in clock ticks since the machine did.
pub(super) fn began(stat: &[u8]) -> Option<u64> {
    parse(stat).map(|process| process.started)
}

/// A line of `/proc/N/stat` (`proc_pid_stat(5)`). The name stands in brackets and may hold any bytes.
fn parse(stat: &[u8]) -> Option<Process> {
    let behind_name = stat.rsplit(|&byte| byte == b')').next().filter(|rest| rest.len() < stat.len())?;
    let fields: Vec<&str> = std::str::from_utf8(behind_name).ok()?.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        started: number(19)?,
        own: number(11)? + number(12)?,
        waited: number(13)? + number(14)?,
        threads: number(17)?,
        pages: number(21)?,
        files: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(parent: i32, own: u64) -> Process {
        Process { parent, started: 7, own, waited: 0, threads: 1, pages: 2, files: 3 }
    }

    #[test]
    fn a_line_of_a_process_is_read_whatever_its_name_is() {
        let line = "12 (a) R 1 (b) S 5 12 12 0 -1 4 1 2 3 4 30 12 5 3 20 0 9 0 777 1000 55 18446744073709551615 1";
        let expected = Process { parent: 5, started: 777, own: 42, waited: 8, threads: 9, pages: 55, files: 0 };
        assert_eq!(parse(line.as_bytes()), Some(expected));
        let unreadable = [b"12 (\xff)\xfe".as_slice(), line.rsplit_once(')').unwrap().1.as_bytes()];
        assert_eq!(parse(&[unreadable[0], b")", unreadable[1]].concat()), Some(expected));
        assert_eq!(parse(b"12 (cut"), None);
    }

    #[test]
    fn processes_belong_to_the_nearest_unit_above_them() {
        let tree = [(1, 0), (2, 1), (10, 2), (11, 10), (12, 11), (20, 2), (21, 20)];
        let sample = Sample(tree.into_iter().map(|(number, parent)| (number, process(parent, 0))).collect());
        let below = sample.below(&HashMap::from([(10, 0), (20, 1)]));
        let numbers: Vec<Vec<i32>> =
            below.values().map(|list| list.iter().map(|(number, _)| *number).collect()).collect();
        assert_eq!(numbers, [vec![10, 11, 12], vec![20, 21]]);
        assert_eq!(sum(&below[&0]), Use { tasks: 3, memory: 6 * PAGE, files: 3, ticks: 0 });
        assert_eq!(sample.all().tasks, 7);
    }

    #[test]
    fn the_time_of_processes_that_ended_unwaited_for_is_kept() {
        let mut time = CpuTime::default();
        let mut look = |processes: &[(i32, Process)]| time.seconds(processes, sum(processes));
        assert_eq!(look(&[(2, process(1, 100)), (3, process(2, 300))]), 4);
        assert_eq!(look(&[(2, process(1, 150)), (4, process(2, 300))]), 7);
        // The same number again is another process when it started at another time.
        assert_eq!(look(&[(4, Process { started: 8, ..process(2, 100) })]), 8);
    }

    #[test]
    fn this_very_process_is_seen() {
        let sample = Sample::take().unwrap();
        let me = sample.0[&std::process::id().cast_signed()];
        assert!(me.threads >= 1 && me.pages > 100 && me.files >= 3, "{me:?}");
        assert!(machine().is_some_and(|(left, all)| left > 0 && left <= all));
    }
}
