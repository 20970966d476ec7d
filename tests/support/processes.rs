//! What `/proc` of the host says about processes: who descends from whom, and who still lives.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A process, told from a later one with the same number by the time of its start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    parent: i32,
    started: u64,
    /// The first words of its command line.
    pub command: String,
}

impl Process {
    /// `None` for what has ended, also if nobody has asked for its status yet.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in brackets and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = command.split(|byte| *byte == 0).take(3).map(String::from_utf8_lossy).collect();
        let alive = !matches!(*fields.first()?, "Z" | "X");
        let (parent, started) = (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
        alive.then(|| Self { pid, parent, started, command: words.join(" ") })
    }

    /// True while this very process lives.
    pub fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// All living descendants of a process.
pub fn descendants(of: u32) -> Vec<Process> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: BTreeMap<i32, Process> = numbers.filter_map(|pid| Some((pid, Process::read(pid)?))).collect();
    let root = i32::try_from(of).unwrap();
    let descends = |process: &Process| {
        let mut at = process.parent;
        while at != root && at > 1 {
            at = all.get(&at).map_or(0, |process| process.parent);
        }
        at == root
    };
    all.values().filter(|process| descends(process)).cloned().collect()
}

/// The most memory that a process had, in KiB (`VmHWM`).
pub fn peak_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// Waits until something is so; false if it is not within the time.
pub fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Follows a process and those that it starts, kills the first one this many generations below it before its first
/// instruction, and follows the others to their ends. `false` if it came too late to see that one's birth.
pub fn kill_at_birth(ancestor: i32, generations: usize) -> bool {
    // A thread of its own waits for what it follows, and for no child of another one.
    std::thread::spawn(move || follow(Pid::from_raw(ancestor), generations)).join().unwrap()
}

fn follow(ancestor: Pid, generations: usize) -> bool {
    let births = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
    ptrace::seize(ancestor, births).unwrap();
    let (mut depths, mut killed) = (BTreeMap::from([(ancestor, 0)]), false);
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WNOTHREAD | WaitPidFlag::__WALL)) {
        let passed_on = match status {
            // A newborn whose parent has not told of it yet waits.
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_STOP) if !depths.contains_key(&pid) => continue,
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_STOP) => None,
            WaitStatus::PtraceEvent(parent, ..) => {
                let child = Pid::from_raw(i32::try_from(ptrace::getevent(parent).unwrap()).unwrap());
                let depth = depths[&parent] + 1;
                depths.insert(child, depth);
                if depth == generations && !killed {
                    kill(child, Signal::SIGKILL).unwrap();
                    killed = true;
                }
                // It may not have come to its stop yet, which is then its next word.
                let _ = ptrace::cont(child, None);
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => continue,
        };
        // It may have been killed meanwhile.
        let _ = status.pid().map(|pid| ptrace::cont(pid, passed_on));
    }
    killed
}
