//! Holds what a process runs against the start that was recorded.
//!
//! The kernel reads the path of a start anew after our answer, and another
//! thread can have changed it by then; and what runs for a script is the program
//! behind its `#!`. What a process really runs the kernel tells, at its next
//! notified call: for a program that is linked dynamically that is the first
//! thing that its loader does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::caller::Proc;
use crate::evidence::Bytes;
use crate::evidence::line::{ArgState, Object, PathObject, ProgramFile};

/// Expected that were let through, by process, until it is known what came of them.
#[derive(Debug, Default)]
pub(super) struct Expected(HashMap<i32, Start>);

#[derive(Debug)]
struct Start {
    /// When the process began: another one that got its id later began later.
    began: u64,
    recorded: PathBuf,
    file: ProgramFile,
    /// What the process ran before.
    before: PathBuf,
}

/// What a process runs although no record says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unrecorded {
    /// What the kernel says that it runs.
    pub(super) program: PathBuf,
    /// What it ran before.
    pub(super) before: PathBuf,
    /// [`ArgState::Changed`] if the record was of another file, [`ArgState::Exact`] for the program behind a script.
    pub(super) state: ArgState,
}

impl Expected {
    /// More cannot live at the same time under the limit of processes.
    const MOST: usize = 4096;

    /// Remembers a start that goes on.
    pub(super) fn expect(&mut self, process: i32, before: PathBuf, object: &Object, procfs: &Proc) {
        let Object::Program { program, file, .. } = object else { return };
        let Some(began) = procfs.began(process) else { return };
        if self.0.len() >= Self::MOST {
            self.0.retain(|process, _| procfs.exe(*process).is_some());
        }
        self.0.insert(process, Start { began, recorded: program.resolved.as_path().to_owned(), file: *file, before });
    }

    /// Looks what the caller's process runs. `is_system` says of a path that nothing inside can write there.
    pub(super) fn check(&mut self, tid: i32, procfs: &Proc, is_system: impl Fn(&Path) -> bool) -> Option<Unrecorded> {
        if self.0.is_empty() {
            return None;
        }
        let process = procfs.process(tid)?;
        let start = self.0.get(&process)?;
        let runs = procfs.exe(tid)?;
        if runs == start.before && runs != start.recorded {
            // Not yet, or it failed.
            return None;
        }
        if procfs.began(process) != Some(start.began) {
            // The process whose start that was is gone, and its id is another's.
            self.0.remove(&process);
            return None;
        }
        let start = self.0.remove(&process)?;
        start.judge(runs, is_system)
    }
}

impl Start {
    fn judge(self, runs: PathBuf, is_system: impl Fn(&Path) -> bool) -> Option<Unrecorded> {
        if runs == self.recorded {
            return None;
        }
        let state = match self.file {
            ProgramFile::Elf | ProgramFile::Absent => ArgState::Changed,
            ProgramFile::Script | ProgramFile::Other | ProgramFile::Unknown if is_system(&runs) => return None,
            ProgramFile::Script | ProgramFile::Other | ProgramFile::Unknown => ArgState::Exact,
        };
        Some(Unrecorded { program: runs, before: self.before, state })
    }
}

impl Unrecorded {
    /// As evidence: a start of which no more is known than the program.
    pub(super) fn object(&self) -> Object {
        let path = Bytes::from(self.program.as_path());
        Object::Program {
            program: PathObject { path: path.clone(), resolved: path, ..PathObject::default() },
            argv: Vec::new(),
            argc: 0,
            argv_bytes: 0,
            cwd: Bytes::default(),
            // What the kernel has loaded is never a script.
            file: ProgramFile::Elf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(file: ProgramFile, runs: &str) -> Option<ArgState> {
        let start = Start { began: 0, recorded: "/usr/bin/true".into(), file, before: "/out/script".into() };
        start.judge(runs.into(), |path| path.starts_with("/usr")).map(|found| found.state)
    }

    #[test]
    fn what_runs_is_held_against_what_was_recorded() {
        assert_eq!(judge(ProgramFile::Elf, "/usr/bin/true"), None);
        assert_eq!(judge(ProgramFile::Elf, "/out/payload"), Some(ArgState::Changed));
        assert_eq!(judge(ProgramFile::Elf, "/usr/bin/curl"), Some(ArgState::Changed));
        assert_eq!(judge(ProgramFile::Absent, "/out/payload"), Some(ArgState::Changed));
    }

    #[test]
    fn a_start_is_held_against_the_process_that_made_it_and_no_later_one_of_its_id() {
        let procfs = Proc::new(std::fs::File::open("/proc").unwrap().into());
        let me = std::process::id().cast_signed();
        let check = |began: u64| {
            let (recorded, before) = ("/usr/bin/true".into(), "/out/script".into());
            let mut expected = Expected::default();
            expected.0.insert(me, Start { began, recorded, file: ProgramFile::Elf, before });
            let found = expected.check(me, &procfs, |_| false);
            assert!(expected.0.is_empty());
            found.map(|found| found.state)
        };
        let began = procfs.began(me).unwrap();
        assert_eq!(check(began), Some(ArgState::Changed));
        assert_eq!(check(began - 1), None);
    }

    #[test]
    fn behind_a_script_a_program_of_the_system_is_expected_and_another_is_recorded() {
        assert_eq!(judge(ProgramFile::Script, "/usr/bin/dash"), None);
        assert_eq!(judge(ProgramFile::Script, "/out/interpreter"), Some(ArgState::Exact));
        assert_eq!(judge(ProgramFile::Unknown, "/out/payload"), Some(ArgState::Exact));
    }
}
