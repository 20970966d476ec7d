//! Links in the folders of callers, held open: a caller makes many calls in a row, and to find its folder in `/proc`
//! anew for each costs more than to read the link.
//!
//! A held link is that of the thread for which it was opened, and of no other that gets the number later: once its
//! thread has ended, the kernel does not read it any more (`proc_pid_readlink` in `fs/proc/base.c`).

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

/// More threads than make calls at a time; each costs two descriptors.
const MOST: usize = 64;

/// The links by which a thread is asked for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Link {
    /// The working directory.
    Cwd,
    /// The program.
    Exe,
}

impl Link {
    fn name(self) -> &'static str {
        match self {
            Self::Cwd => "cwd",
            Self::Exe => "exe",
        }
    }
}

/// By thread id in the namespace of the `/proc` that they are in.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<(i32, Link), OwnedFd>>);

impl Held {
    /// Where a link of a thread leads now, by text; `None` if the thread is gone, or is not ours to look at.
    pub(super) fn read(&self, procfs: impl AsFd, tid: i32, link: Link) -> Option<PathBuf> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let target = |fd: &OwnedFd| readlinkat(fd, "").ok().map(PathBuf::from);
        if let Some(target) = held.get(&(tid, link)).and_then(target) {
            return Some(target);
        }
        let path = format!("{tid}/{}", link.name());
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(procfs, path.as_str(), flags, Mode::empty()).ok()?;
        let target = target(&fd);
        if held.len() >= 2 * MOST {
            held.clear();
        }
        held.insert((tid, link), fd);
        target
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_held_link_follows_its_thread_and_ends_with_it() {
        let (held, procfs) = (Held::default(), File::open("/proc").unwrap());
        // Waits for a line, goes elsewhere, waits for another one.
        let script = "read line; cd /; echo moved; read line; exit 0";
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let tid = child.id().cast_signed();
        let cwd = || held.read(&procfs, tid, Link::Cwd);
        assert_eq!(cwd(), Some(folder.path().canonicalize().unwrap()));
        assert!(held.read(&procfs, tid, Link::Exe).is_some());
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"go\n").unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        assert_eq!(cwd(), Some(PathBuf::from("/")));
        drop(input);
        child.wait().unwrap();
        assert_eq!(cwd(), None);
        assert_eq!(held.read(&procfs, tid, Link::Exe), None);
    }

    #[test]
    fn no_more_links_are_held_than_the_bound_says() {
        let (held, procfs) = (Held::default(), File::open("/proc").unwrap());
        let me = std::process::id().cast_signed();
        for tid in 0..10_000 {
            held.read(&procfs, tid, Link::Cwd);
            held.read(&procfs, me, Link::Exe).unwrap();
            assert!(held.0.lock().unwrap().len() <= 2 * MOST);
        }
    }
}
