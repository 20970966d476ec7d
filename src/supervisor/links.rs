//! Paths that mean something else to us than to the caller.
//!
//! `/proc/self` names the one who looks. A caller's path that leads through it,
//! perhaps by way of a link, is found by the outer `/proc` instead, at the
//! caller or at one of its ancestors in the unit.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::readlink;

use super::caller::Proc;
use super::open;

/// The object that a path of the caller's leads to, without any right to it.
pub(super) fn object_of(tid: i32, dirfd: Option<i32>, path: &[u8], procfs: &Proc) -> Result<OwnedFd, Errno> {
    if path.is_empty() {
        return procfs.open_base(tid, dirfd);
    }
    let found = if path.starts_with(b"/") {
        open::object(path, None, true)
    } else {
        procfs.open_base(tid, dirfd).and_then(|base| open::object(path, Some(&base), true))
    };
    match found {
        Err(errno @ (Errno::ENOENT | Errno::ELOOP)) => through_proc(tid, dirfd, path, procfs).unwrap_or(Err(errno)),
        found => found,
    }
}

/// The object, if the path leads through `/proc/self` or the like.
fn through_proc(tid: i32, dirfd: Option<i32>, path: &[u8], procfs: &Proc) -> Option<Result<OwnedFd, Errno>> {
    let path = Path::new(OsStr::from_bytes(path));
    let whole = if path.is_absolute() { path.to_owned() } else { procfs.resolve(tid, dirfd, Path::new("")).join(path) };
    let Through { process, inside, rest } = walk(&whole, |path| readlink(path).ok())?;
    let process = match process {
        Process::Caller => tid,
        Process::Numbered(number) => procfs.ancestor(tid, number)?,
    };
    let base = match procfs.open_inside(process, &inside) {
        Ok(base) => base,
        Err(errno) => return Some(Err(errno)),
    };
    if rest.as_os_str().is_empty() {
        Some(Ok(base))
    } else {
        Some(open::object(rest.as_os_str().as_bytes(), Some(&base), true))
    }
}

/// Whose folder below `/proc` a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Process {
    Caller,
    Numbered(u32),
}

/// Where a path leaves the file system by a folder of `/proc`.
#[derive(Debug, PartialEq, Eq)]
struct Through {
    process: Process,
    /// `fd/5`, `exe`, `cwd`, `root`.
    inside: String,
    rest: PathBuf,
}

/// Follows links by text until the path reaches a process's folder.
fn walk(path: &Path, link: impl Fn(&Path) -> Option<OsString>) -> Option<Through> {
    const LINKS: usize = 40;
    let mut left: VecDeque<OsString> = names(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        if at == Path::new("/proc")
            && let Some(process) = process(&name)
        {
            return inside(process, &mut left);
        }
        let next = at.join(&name);
        let Some(target) = link(&next) else {
            at = next;
            continue;
        };
        links += 1;
        if links > LINKS {
            return None;
        }
        if Path::new(&target).is_absolute() {
            at = PathBuf::from("/");
        }
        for name in names(Path::new(&target)).into_iter().rev() {
            left.push_front(name);
        }
    }
    None
}

/// The part of a process's folder that links to an object, and what follows it.
fn inside(process: Process, left: &mut VecDeque<OsString>) -> Option<Through> {
    let mut next = left.pop_front()?;
    if next == "task" {
        // All threads of a process share descriptors, but for those that took care not to.
        left.pop_front()?;
        next = left.pop_front()?;
    }
    let inside = if next == "fd" {
        let number = left.pop_front()?.to_str()?.parse::<u32>().ok()?;
        format!("fd/{number}")
    } else if ["exe", "cwd", "root"].iter().any(|name| next == *name) {
        next.to_str()?.to_owned()
    } else {
        return None;
    };
    Some(Through { process, inside, rest: left.drain(..).collect() })
}

fn process(name: &OsStr) -> Option<Process> {
    match name.to_str()? {
        "self" | "thread-self" => Some(Process::Caller),
        number => number.parse().ok().map(Process::Numbered),
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(path: &str) -> Option<(Process, String, String)> {
        let links = [
            ("/dev/fd", "/proc/self/fd"),
            ("/tmp/to-fd", "../dev/fd/7"),
            ("/tmp/folder", "/proc/12/fd"),
            ("/tmp/round", "round"),
        ];
        let link = |path: &Path| links.iter().find(|(at, _)| path == Path::new(at)).map(|(_, to)| (*to).into());
        walk(Path::new(path), link).map(|found| (found.process, found.inside, found.rest.display().to_string()))
    }

    #[test]
    fn descriptors_are_found_by_whatever_way_leads_to_them() {
        for (path, process, inside, rest) in [
            ("/proc/self/fd/5", Process::Caller, "fd/5", ""),
            ("/proc/thread-self/fd/5/a/b", Process::Caller, "fd/5", "a/b"),
            ("/proc/self/task/9/fd/5", Process::Caller, "fd/5", ""),
            ("/dev/fd/3", Process::Caller, "fd/3", ""),
            ("/tmp/to-fd", Process::Caller, "fd/7", ""),
            ("/tmp/x/../folder/4", Process::Numbered(12), "fd/4", ""),
            ("/proc/self/exe", Process::Caller, "exe", ""),
            ("/proc/12/cwd/x", Process::Numbered(12), "cwd", "x"),
        ] {
            assert_eq!(walked(path), Some((process, inside.to_owned(), rest.to_owned())), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_touched() {
        for path in
            ["/usr/bin/cc", "/proc/self/maps", "/proc/self/fd", "/proc/self/fd/x", "/proc/cpuinfo", "/tmp/round"]
        {
            assert_eq!(walked(path), None, "{path}");
        }
    }
}
