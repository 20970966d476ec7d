//! Carries out the mount plan and makes the private root the root.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use super::sabotage::{self, Off};
use super::spec::MountOp;
use crate::base::stream;

/// An error that occurred while building the private root.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A source of the host's cannot be opened.
    #[error("open {} of the host", .path.display())]
    Source {
        /// The path on the host.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// `mount(2)` failed.
    #[error("mount {what}")]
    Mount {
        /// Which mount.
        what: String,
        /// Why.
        source: Errno,
    },
    /// A file or folder of the plan cannot be made.
    #[error("make {}", .path.display())]
    Make {
        /// Its path outside.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `pivot_root(2)` or its clean-up failed.
    #[error("enter the private root")]
    Pivot(#[source] Errno),
}

/// The sources of a plan, opened before the caller gives up its user id: a home that only root can
/// enter is then reached by descriptor.
#[derive(Debug)]
pub struct Sources {
    of_plan: Vec<Option<OwnedFd>>,
    /// What a test lets in that turns the private root off.
    let_in: Option<OwnedFd>,
}

/// Opens the source of each operation that has one. The plan has no link in any of their paths: where one is now, the
/// source was swapped since, and it is not followed.
///
/// # Errors
/// When one is missing; ELOOP when there is a link.
pub fn open_sources(plan: &[MountOp]) -> Result<Sources, MountError> {
    let open_one = |op: &MountOp| match op {
        MountOp::BindReadOnly { from, .. } | MountOp::PrivateView { from, .. } => open_path(from).map(Some),
        MountOp::Device { name } => open_path(&Path::new("/dev").join(name)).map(Some),
        MountOp::Outputs { from, .. } => {
            let opened = open(from, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
            opened.map(Some).map_err(|source| MountError::Source { path: from.clone(), source })
        }
        _ => Ok(None),
    };
    let of_plan = plan.iter().map(open_one).collect::<Result<_, _>>()?;
    let let_in = sabotage::folder().map(|folder| open_path(&folder)).transpose()?;
    Ok(Sources { of_plan, let_in })
}

fn open_path(path: &Path) -> Result<OwnedFd, MountError> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(AT_FDCWD, path, how).map_err(|source| MountError::Source { path: path.to_owned(), source })
}

/// Builds the plan below `root`. Returns the places whose private view had to be read-only.
///
/// # Errors
/// At the first operation that fails.
pub fn apply(plan: &[MountOp], sources: &Sources, root: &Path) -> Result<Vec<String>, MountError> {
    call("the mount namespace as private", None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
    let mut read_only = Vec::new();
    for (op, source) in plan.iter().zip(&sources.of_plan) {
        if let (MountOp::Outputs { at, .. }, Some(stream)) = (op, source) {
            lay_out(stream, &inside(root, at))?;
            continue;
        }
        let source = source.as_ref().map(|fd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
        match (op, source) {
            (MountOp::Tmpfs { at, size_mib, inodes }, _) => {
                let at = inside(root, at);
                make_dir(&at, 0o755)?;
                let options = format!("size={size_mib}m,nr_inodes={inodes},mode=755");
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
                call("a tmpfs", Some(Path::new("tmpfs")), &at, Some("tmpfs"), flags, Some(&options))?;
            }
            (MountOp::Dir { at, mode }, _) => {
                let at = inside(root, at);
                make_dir(&at, *mode)?;
                // The mode of a new folder goes through the umask.
                fs::set_permissions(&at, Permissions::from_mode(*mode)).map_err(make(&at))?;
            }
            (MountOp::File { at, contents, mode }, _) => make_file(&inside(root, at), &contents.0, *mode)?,
            (MountOp::Symlink { at, to }, _) => {
                let at = inside(root, at);
                make_parent(&at)?;
                symlink(to, &at).map_err(make(&at))?;
            }
            (MountOp::BindReadOnly { at, .. }, Some(source)) => bind(&source, &inside(root, at), true)?,
            (MountOp::Device { name }, Some(source)) => bind(&source, &inside(root, "/dev").join(name), false)?,
            (MountOp::PrivateView { at, .. }, Some(source)) => {
                if !private_view(&source, root, at)? {
                    read_only.push(at.clone());
                }
            }
            (MountOp::BindReadOnly { at, .. } | MountOp::PrivateView { at, .. } | MountOp::Outputs { at, .. }, _) => {
                return Err(MountError::Source { path: at.into(), source: Errno::EBADF });
            }
            (MountOp::Device { name }, _) => {
                return Err(MountError::Source { path: name.into(), source: Errno::EBADF });
            }
        }
    }
    if let (Some(folder), Some(source)) = (sabotage::folder(), &sources.let_in) {
        let source = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
        bind(&source, &inside(root, &folder.display().to_string()), false)?;
    }
    Ok(read_only)
}

/// Outputs of earlier runs, for nobody else: what the run writes there goes with it.
fn lay_out(stream: &OwnedFd, at: &Path) -> Result<(), MountError> {
    let stream = stream.try_clone().map_err(make(at))?;
    stream::lay_out(&mut io::BufReader::new(File::from(stream)), at).map_err(make(at))
}

/// Makes `root` the root of the mount namespace and lets go of the old one.
///
/// # Errors
/// What `pivot_root(2)`, `chdir(2)` and `umount2(2)` answer.
pub fn pivot(root: &Path) -> Result<(), MountError> {
    nix::unistd::chdir(root).map_err(MountError::Pivot)?;
    // With the same folder as both arguments the old root is stacked on the new one (pivot_root(2), NOTES).
    nix::unistd::pivot_root(".", ".").map_err(MountError::Pivot)?;
    umount2(".", MntFlags::MNT_DETACH).map_err(MountError::Pivot)?;
    nix::unistd::chdir("/").map_err(MountError::Pivot)
}

/// A fresh procfs of the caller's PID namespace at `root/proc`, in which a unit sees no other's processes.
///
/// # Errors
/// EPERM where the kernel finds the host's `/proc` less than fully visible.
pub fn mount_proc(root: &Path) -> Result<(), MountError> {
    if sabotage::is_off(Off::OuterPidNamespace) {
        return bind(Path::new("/proc"), &inside(root, "/proc"), false);
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    call("procfs", Some(Path::new("proc")), &inside(root, "/proc"), Some("proc"), flags, Some("hidepid=4"))
}

fn inside(root: &Path, at: &str) -> PathBuf {
    root.join(at.trim_start_matches('/'))
}

/// A bind mount takes the flags of its source; only the second step changes them.
fn bind(source: &Path, at: &Path, read_only: bool) -> Result<(), MountError> {
    if fs::metadata(source).map_err(make(source))?.is_dir() {
        make_dir(at, 0o755)?;
    } else {
        make_parent(at)?;
        File::create(at).map_err(make(at))?;
    }
    call("a folder of the host", Some(source), at, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)?;
    if read_only {
        let flags =
            MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        call("it read-only", None, at, None, flags | locked_flags(at), None)?;
    }
    Ok(())
}

/// Flags that the source's mount has and that a less privileged namespace must keep (EPERM otherwise).
fn locked_flags(at: &Path) -> MsFlags {
    use nix::sys::statvfs::{FsFlags, statvfs};
    let Ok(found) = statvfs(at) else { return MsFlags::empty() };
    let mut flags = MsFlags::empty();
    for (has, keep) in [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if found.flags().contains(has) {
            flags |= keep;
        }
    }
    flags
}

/// Where the layers of a private view lie.
fn layers_of(at: &str) -> String {
    format!("/run/layers/{}", at.trim_matches('/').replace('/', "-"))
}

/// Where the source of a private view lies as it is on the host, read-only.
pub fn unchanged(at: &str) -> PathBuf {
    Path::new(&layers_of(at)).join("lower")
}

/// An overlay of the source with a layer in memory; false where the kernel refuses, and it is read-only.
fn private_view(source: &Path, root: &Path, at: &str) -> Result<bool, MountError> {
    let layers = inside(root, &layers_of(at));
    let folder = |part: &str| layers.join(part);
    for part in ["lower", "upper", "work"] {
        make_dir(&folder(part), 0o755)?;
    }
    bind(source, &folder("lower"), true)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        folder("lower").display(),
        folder("upper").display(),
        folder("work").display()
    );
    let target = inside(root, at);
    make_dir(&target, 0o755)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    match mount(Some("overlay"), &target, Some("overlay"), flags, Some(options.as_str())) {
        Ok(()) => Ok(true),
        Err(_) => bind(source, &target, true).map(|()| false),
    }
}

fn call(
    what: &str,
    from: Option<&Path>,
    at: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), MountError> {
    mount(from, at, kind, flags, options)
        .map_err(|source| MountError::Mount { what: format!("{what} at {}", at.display()), source })
}

fn make(path: &Path) -> impl FnOnce(io::Error) -> MountError {
    let path = path.to_owned();
    |source| MountError::Make { path, source }
}

fn make_dir(at: &Path, mode: u32) -> Result<(), MountError> {
    DirBuilder::new().recursive(true).mode(mode).create(at).map_err(make(at))
}

fn make_parent(at: &Path) -> Result<(), MountError> {
    at.parent().map_or(Ok(()), |parent| make_dir(parent, 0o755))
}

fn make_file(at: &Path, contents: &[u8], mode: u32) -> Result<(), MountError> {
    make_parent(at)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(at).map_err(make(at))?;
    file.write_all(contents).map_err(make(at))?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(make(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_became_a_link_since_it_was_planned_is_not_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for name in ["shown/below", "secret/below"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let plan = |path: &str| [MountOp::BindReadOnly { from: root.join(path), at: "/x".to_owned() }];
        let met = |path: &str| match open_sources(&plan(path)) {
            Ok(sources) => {
                assert!(sources.of_plan[0].is_some());
                None
            }
            Err(MountError::Source { source, .. }) => Some(source),
            Err(other) => panic!("{other}"),
        };
        // The control: as it was planned.
        assert_eq!((met("shown"), met("shown/below")), (None, None));
        fs::rename(root.join("shown"), root.join("away")).unwrap();
        symlink("secret", root.join("shown")).unwrap();
        assert_eq!((met("shown"), met("shown/below")), (Some(Errno::ELOOP), Some(Errno::ELOOP)));
    }
}
