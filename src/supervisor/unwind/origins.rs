//! Whose calls are, within one unit that compiles: what stacks tell, and what only the past can tell, namely who made a
//! thread, and who started a program.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::{Hit, Walked};
use crate::sys::seccomp::Notification;

/// Whose a call is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::supervisor) enum Origin {
    /// The unit's; there is no more to tell, or nobody asked.
    #[default]
    Unit,
    /// A macro library's.
    Library(How, Hit),
    /// The compiler's own.
    Compiler(How),
    /// Of the compiler or of a macro library, and nobody knows which.
    Unknown(&'static str),
}

/// By what it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum How {
    /// By the stack of the thread.
    Stack,
    /// By the stack of the thread, of which nearer frames lie in files that are nobody's: it called them.
    Called,
    /// By the stack of the thread that made the thread.
    Creator,
    /// By the stack of the thread that started the program, or one of its ancestors.
    Lineage,
}

impl Origin {
    fn by(self, how: How) -> Self {
        match self {
            Self::Library(_, hit) => Self::Library(how, hit),
            Self::Compiler(_) => Self::Compiler(how),
            other => other,
        }
    }
}

/// A call that was broken off to read registers. The kernel makes it again.
#[derive(Debug)]
struct Broken {
    call: Notification,
    origin: Origin,
}

/// What is remembered of one unit.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Origins {
    /// The process in which rustc runs.
    pub(in crate::supervisor) compiler: Option<i32>,
    /// The program that it runs, once that was asked for.
    pub(in crate::supervisor) exe: Option<PathBuf>,
    /// By process: stacks of threads that were made there, by the address where each begins.
    stacks: HashMap<i32, BTreeMap<u64, Origin>>,
    /// Whose are processes that run another program, by when they began.
    programs: HashMap<i32, (u64, Origin)>,
    broken: HashMap<i32, Broken>,
    /// Macro libraries that rustc opened.
    pub(in crate::supervisor) libraries: usize,
    /// How many those were when a process was last asked about.
    asked: HashMap<i32, usize>,
    stacks_held: usize,
    /// Names of functions that were asked for.
    named: u32,
}

/// What comes of a notification in the light of the call that its thread made before.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Resumed {
    /// The call that was broken off.
    Same(Origin),
    /// Another one: the call that was broken off will not be made again.
    Other(Notification),
    /// None was broken off.
    New,
}

/// Stacks that are remembered; a unit that makes more forgets the old ones.
const MOST_STACKS: usize = 16 * 1024;
const MOST_PROCESSES: usize = 4096;
const MOST_NAMED: u32 = 4096;
/// How far from its beginning the walk over a stack may end: what the kernel and libc put there.
const BASE: u64 = 1024;

impl Origins {
    /// True if the process may have mapped something since it was last asked about.
    pub(in crate::supervisor) fn is_changed(&mut self, process: i32) -> bool {
        if self.asked.len() >= MOST_PROCESSES {
            self.asked.clear();
        }
        self.asked.insert(process, self.libraries) != Some(self.libraries)
    }

    /// True if the name of a function may be asked for.
    pub(in crate::supervisor) fn may_name(&mut self) -> bool {
        self.named = self.named.saturating_add(1);
        self.named <= MOST_NAMED
    }

    /// Holds a notification against the call that its thread made before.
    pub(in crate::supervisor) fn resume(&mut self, call: &Notification) -> Resumed {
        match self.broken.remove(&call.tid) {
            None => Resumed::New,
            Some(Broken { call: before, origin }) => {
                let is_same = (before.number, before.arch, before.args) == (call.number, call.arch, call.args);
                if is_same { Resumed::Same(origin) } else { Resumed::Other(before) }
            }
        }
    }

    /// Remembers that a call was broken off.
    pub(in crate::supervisor) fn broke_off(&mut self, call: Notification, origin: Origin) {
        self.broken.insert(call.tid, Broken { call, origin });
    }

    /// Calls that were broken off and never made again.
    pub(in crate::supervisor) fn never_made(&mut self) -> Vec<(Notification, Origin)> {
        self.broken.drain().map(|(_, Broken { call, origin })| (call, origin)).collect()
    }

    /// What is known of a process without a look at its stack: whose it is, if it runs another program. `parents` are
    /// its ancestors, the nearest first.
    pub(in crate::supervisor) fn program(
        &mut self,
        process: (i32, u64),
        parents: impl Iterator<Item = (i32, u64)>,
    ) -> Option<Origin> {
        let known = |programs: &HashMap<i32, (u64, Origin)>, (id, began): (i32, u64)| {
            programs.get(&id).filter(|(since, _)| *since == began).map(|(_, origin)| origin.clone())
        };
        if let Some(origin) = known(&self.programs, process) {
            return Some(origin);
        }
        let origin = { parents }.find_map(|parent| known(&self.programs, parent))?;
        self.starts(process, origin.clone());
        Some(origin)
    }

    /// Remembers whose a process is that is about to run another program.
    pub(in crate::supervisor) fn starts(&mut self, (process, began): (i32, u64), origin: Origin) {
        if self.programs.len() >= MOST_PROCESSES {
            self.programs.clear();
        }
        self.asked.remove(&process);
        self.programs.insert(process, (began, origin.by(How::Lineage)));
    }

    /// Remembers who makes a thread or a process on a stack of its own, which begins there.
    pub(in crate::supervisor) fn makes(&mut self, process: i32, stack: u64, origin: &Origin) {
        if stack == 0 {
            return;
        }
        if self.stacks_held >= MOST_STACKS {
            self.stacks.clear();
            self.stacks_held = 0;
        }
        let before = self.stacks.entry(process).or_default().insert(stack, origin.clone());
        self.stacks_held += usize::from(before.is_none());
    }

    /// Whose a call is, by a walk over the stack of its thread. `processes` are its own and those that may have made
    /// the thread, in this order.
    pub(in crate::supervisor) fn judge(&self, walked: Walked, processes: &[i32]) -> Origin {
        match walked {
            Walked::Library(how, hit) => Origin::Library(how, hit),
            Walked::NoLibrary => Origin::Unit,
            Walked::OtherProgram => Origin::Unknown("nobody saw who started the program"),
            Walked::Through { is_first: true, .. } => Origin::Compiler(How::Stack),
            Walked::Through { sp, base, .. } => match self.stack(processes, sp) {
                Some((begins, _)) if begins.abs_diff(base) > BASE => Origin::Unknown("the stack has another end"),
                Some((_, Origin::Compiler(_) | Origin::Unit)) => Origin::Compiler(How::Stack),
                Some((_, origin)) => origin.clone().by(How::Creator),
                None => Origin::Unknown("nobody saw who made the thread"),
            },
            Walked::Lost { sp, why } => match self.stack(processes, sp) {
                Some((_, origin @ Origin::Library(..))) => origin.clone().by(How::Creator),
                _ => Origin::Unknown(why),
            },
        }
    }

    /// The stack that an address lies in: that of the processes which begins next above it.
    fn stack(&self, processes: &[i32], sp: u64) -> Option<(u64, &Origin)> {
        /// No stack of a thread is larger.
        const LARGEST: u64 = 1 << 30;
        let next =
            |process: &i32| self.stacks.get(process)?.range(sp..).next().map(|(begins, origin)| (*begins, origin));
        processes.iter().filter_map(next).find(|(begins, _)| begins - sp < LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(file: &str) -> Hit {
        Hit { file: file.to_owned(), symbol: None }
    }

    fn library(file: &str) -> Origin {
        Origin::Library(How::Stack, hit(file))
    }

    fn call(tid: i32, number: u32) -> Notification {
        Notification { id: 1, tid, number, arch: 0, args: [1; 6] }
    }

    #[test]
    fn a_library_on_the_stack_is_whose_the_call_is() {
        assert_eq!(Origins::default().judge(Walked::Library(How::Stack, hit("a")), &[1]), library("a"));
    }

    #[test]
    fn a_thread_without_a_library_is_its_creators() {
        let mut origins = Origins::default();
        origins.makes(1, 0x9000, &Origin::Compiler(How::Stack));
        origins.makes(1, 0x5000, &library("a"));
        let through = |sp, base| Walked::Through { sp, base, is_first: false };
        assert_eq!(origins.judge(through(0x4000, 0x4ff0), &[1]), Origin::Library(How::Creator, hit("a")));
        assert_eq!(origins.judge(through(0x4000, 0x4ff0), &[2, 1]), Origin::Library(How::Creator, hit("a")));
        assert_eq!(origins.judge(through(0x8000, 0x8ff0), &[1]), Origin::Compiler(How::Stack));
        // A stack that was swapped for another has no end where it should.
        assert!(matches!(origins.judge(through(0x7000, 0x8000), &[1]), Origin::Unknown(_)));
        assert!(matches!(origins.judge(through(0xa000, 0xaff0), &[1]), Origin::Unknown(_)));
        let lost = |sp| Walked::Lost { sp, why: "x" };
        assert_eq!(origins.judge(lost(0x4000), &[1]), Origin::Library(How::Creator, hit("a")));
        assert_eq!(origins.judge(lost(0x8000), &[1]), Origin::Unknown("x"));
    }

    #[test]
    fn a_program_is_whose_who_started_it_also_by_its_ancestors_and_a_number_used_again_is_another() {
        let mut origins = Origins::default();
        let none = std::iter::empty;
        assert_eq!(origins.program((7, 70), none()), None);
        origins.starts((7, 70), library("a"));
        let lineage = Origin::Library(How::Lineage, hit("a"));
        assert_eq!(origins.program((7, 70), none()), Some(lineage.clone()));
        assert_eq!(origins.program((9, 90), [(8, 80), (7, 70)].into_iter()), Some(lineage.clone()));
        assert_eq!(origins.program((9, 90), none()), Some(lineage), "known by now");
        assert_eq!(origins.program((7, 71), none()), None);
    }

    #[test]
    fn a_call_that_was_broken_off_is_known_when_it_comes_again_and_no_other_is() {
        let mut origins = Origins::default();
        assert_eq!(origins.resume(&call(5, 2)), Resumed::New);
        origins.broke_off(call(5, 2), library("a"));
        assert_eq!(origins.resume(&Notification { id: 9, ..call(5, 2) }), Resumed::Same(library("a")));
        assert_eq!(origins.resume(&call(5, 2)), Resumed::New);
        origins.broke_off(call(5, 2), library("a"));
        assert_eq!(origins.resume(&call(5, 3)), Resumed::Other(call(5, 2)));
        origins.broke_off(call(5, 2), library("a"));
        assert_eq!(origins.never_made().len(), 1);
    }

    #[test]
    fn a_unit_that_makes_many_threads_and_processes_is_remembered_within_bounds() {
        let mut origins = Origins::default();
        for at in 0..100_000 {
            origins.makes(1, at + 1, &Origin::Unit);
            let process = i32::try_from(at).unwrap();
            origins.starts((process, 1), Origin::Unit);
            origins.is_changed(process);
        }
        let stacks: usize = origins.stacks.values().map(BTreeMap::len).sum();
        assert!(stacks <= MOST_STACKS && origins.programs.len() <= MOST_PROCESSES);
        assert!(origins.asked.len() <= MOST_PROCESSES);
    }
}
