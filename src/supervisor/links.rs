//! Paths that mean something else to us than to the caller.
//!
//! `/proc/self` names the one who looks. A caller's path that leads through it,
//! perhaps by way of a link, is found by the outer `/proc` instead, at the
//! caller or at one of its ancestors in the unit.
//!
//! Some of it is by text ([`own_way`]), for records; some by object ([`detour`]), to act on.

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
    let detour = detour(tid, dirfd, path, procfs)?;
    Some(detour.and_then(
        |Detour { base, rest }| {
            if rest.is_empty() { Ok(base) } else { open::object(&rest, Some(&base), true) }
        },
    ))
}

/// Where a path through the folder of a process leads to.
#[derive(Debug)]
pub(super) struct Detour {
    /// What the link in that folder leads to, as `O_PATH`.
    pub(super) base: OwnedFd,
    /// The path from there; may be empty.
    pub(super) rest: Vec<u8>,
}

/// Follows a path of the caller's to the folder of a process, if it leads through one. `None` if it does not.
pub(super) fn detour(tid: i32, dirfd: Option<i32>, path: &[u8], procfs: &Proc) -> Option<Result<Detour, Errno>> {
    let path = Path::new(OsStr::from_bytes(path));
    let whole = if path.is_absolute() { path.to_owned() } else { procfs.base(tid, dirfd)?.join(path) };
    let Through { process, inside, rest } = walk(&whole, |path| readlink(path).ok())?;
    let process = match process {
        Process::Caller => tid,
        Process::Numbered(number) => procfs.ancestor(tid, number)?,
    };
    let rest = rest.as_os_str().as_bytes().to_vec();
    Some(procfs.open_inside(process, &inside).map(|base| Detour { base, rest }))
}

/// True for a path that leads through the folder of a process, by text alone.
pub(super) fn may_be_detour(path: &[u8]) -> bool {
    [&b"/proc/"[..], b"/dev/fd/", b"/dev/std"].iter().any(|start| path.starts_with(start))
}

/// The path that leads through the caller's own folder of `/proc`, by text: where its link leads to, else as
/// `/proc/self`. `None` for other paths. `is_own` says of a number whether it is the caller's, `link` reads a link in
/// the caller's folder.
pub(super) fn own_way(
    path: &Path,
    is_own: impl Fn(&str) -> bool,
    link: impl Fn(&str) -> Option<PathBuf>,
) -> Option<PathBuf> {
    const SELF: &str = "/proc/self";
    let bytes = path.as_os_str().as_bytes();
    if !bytes.starts_with(b"/proc/") && !bytes.starts_with(b"/dev/") {
        return None;
    }
    let mut names: VecDeque<&str> = path.iter().skip(1).map(|name| name.to_str()).collect::<Option<_>>()?;
    match (names.pop_front()?, names.pop_front()?) {
        ("proc", "self" | "thread-self") => {}
        ("proc", number) if number.bytes().all(|byte| byte.is_ascii_digit()) && is_own(number) => {}
        ("dev", "fd") => names.push_front("fd"),
        ("dev", name @ ("stdin" | "stdout" | "stderr")) if names.is_empty() => {
            let number = ["stdin", "stdout", "stderr"].iter().position(|known| *known == name)?;
            names.extend(["fd", ["0", "1", "2"].get(number)?]);
        }
        _ => return None,
    }
    if names.len() > 2 && names.front() == Some(&"task") {
        names.drain(..2);
    }
    let whole = names.iter().fold(PathBuf::from(SELF), |path, name| path.join(name));
    let inside = match names.pop_front() {
        Some(name @ ("cwd" | "root" | "exe")) => name.to_owned(),
        Some("fd") if names.front().is_some_and(|number| number.parse::<u32>().is_ok()) => {
            format!("fd/{}", names.pop_front()?)
        }
        _ => return Some(whole),
    };
    // Pipes and sockets have no path.
    let target = link(&inside).filter(|target| target.is_absolute());
    Some(target.map_or(whole, |target| names.iter().fold(target, |path, name| path.join(name))))
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
    fn the_callers_own_ways_are_told_by_where_they_lead() {
        let link = |link: &str| {
            let links = [
                ("cwd", "/out"),
                ("root", "/"),
                ("exe", "/out/x"),
                ("fd/3", "/home/dev/.bashrc"),
                ("fd/4", "/home/dev"),
                ("fd/5", "pipe:[7]"),
            ];
            links.iter().find(|(at, _)| *at == link).map(|(_, to)| PathBuf::from(to))
        };
        for (path, expected) in [
            ("/proc/self/cwd/.pgpass", Some("/out/.pgpass")),
            ("/proc/thread-self/cwd/a/b", Some("/out/a/b")),
            ("/proc/self/fd/3", Some("/home/dev/.bashrc")),
            ("/dev/fd/4/.profile", Some("/home/dev/.profile")),
            ("/proc/42/fd/3", Some("/home/dev/.bashrc")),
            ("/proc/42/task/43/fd/3", Some("/home/dev/.bashrc")),
            ("/proc/42/maps", Some("/proc/self/maps")),
            ("/proc/43/maps", None),
            ("/proc/self/exe", Some("/out/x")),
            ("/proc/self/fd/5", Some("/proc/self/fd/5")),
            ("/dev/stderr", Some("/proc/self/fd/2")),
            ("/dev/null", None),
            ("/out/proc/self/fd/3", None),
        ] {
            assert_eq!(
                own_way(Path::new(path), |number| number == "42", link).as_deref(),
                expected.map(Path::new),
                "{path}"
            );
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
