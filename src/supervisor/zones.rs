//! Where a path lies, as far as that decides who opens it and whether it is
//! counted or recorded.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::admit::lent_below;
use super::caller;
use crate::evidence::line::{Layout, Object, PathObject, UnitKind};
use crate::evidence::quota::Lane;
use crate::sandbox::mounts;

/// Where a path lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Read-only for everyone and dull: counted under this name, whoever reads it.
    Fixed(&'static str),
    /// Dull for this unit, but somebody may have put a link there: counted if there is none on the way.
    Dull(&'static str),
    /// The decoy home, the decoys of `$CARGO_HOME`, the consumer's own files: handed over by the
    /// supervisor alone, recorded exactly.
    Decoy,
    /// procfs, sysfs and devices, whose meaning depends on who opens them: never on behalf.
    Kernel,
    /// Everything else: recorded.
    Other,
}

/// A folder of the target folder in which cargo makes things for all units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// That of the profile.
    Profile,
    /// `build`, in that.
    Build,
}

/// The zone of devices that everyone may write.
pub(super) const DEVICE: &str = "device";
/// The zone of descriptors by path, whatever they are open for.
pub(super) const OWN_DESCRIPTOR: &str = "own-descriptor";

/// The layout, as paths.
#[derive(Debug)]
pub(super) struct Zones {
    layout: Layout,
    consumer_sources: PathBuf,
    /// What build scripts were lent names for in the target folder.
    lent: PathBuf,
    decoys_elsewhere: Vec<String>,
    /// Every decoy, and every folder on the way to one.
    planted: HashSet<PathBuf>,
    given: Vec<PathBuf>,
}

const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"];
const SYSTEM_FILES: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/locale.alias",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/gai.conf",
];
const DULL_DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// The caller's own descriptors under another name.
const OWN_DESCRIPTORS: &[&str] = &["/dev/fd", "/proc/self/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"];

/// True for `folder` and all below it. Both are absolute and normal, so that their bytes say it; [`Path`] would take
/// both apart for each of the many folders that are asked about for each call.
fn is_below(path: &Path, folder: impl AsRef<Path>) -> bool {
    let folder = folder.as_ref().as_os_str().as_bytes();
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    let rest = path.as_os_str().as_bytes().strip_prefix(folder);
    rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/'))
}

fn is_one_of(path: &Path, files: &[&str]) -> bool {
    files.iter().any(|file| path.as_os_str().as_bytes() == file.as_bytes())
}

impl Zones {
    pub(super) fn new(layout: Layout, given: Vec<PathBuf>) -> Self {
        let elsewhere = |path: &&String| !is_below(Path::new(path), &layout.home);
        let decoys_elsewhere = layout.decoys.iter().map(|decoy| &decoy.path).filter(elsewhere).cloned().collect();
        let planted = layout.decoys.iter().flat_map(|decoy| Path::new(&decoy.path).ancestors()).map(PathBuf::from);
        Self {
            consumer_sources: Path::new(&layout.consumer).join("src"),
            lent: lent_below(&layout),
            decoys_elsewhere,
            planted: planted.collect(),
            given: given.into_iter().map(|given| caller::normal(&given)).collect(),
            layout,
        }
    }

    /// The lane in which an attempt has its quota, by the most telling of its paths.
    pub(super) fn lane(&self, object: &Object, places: &[PathBuf]) -> Lane {
        let of = |path: &PathObject| {
            let path = path.resolved.as_path();
            let below = |folder: &str| is_below(path, folder);
            if self.planted.contains(path) {
                Lane::Planted
            } else if ["/proc", "/sys", "/dev"].into_iter().any(below) {
                Lane::Kernel
            } else if places.iter().any(|place| is_below(path, place)) {
                Lane::Own
            } else if self.is_decoy(path) {
                Lane::Home
            } else {
                Lane::Plain
            }
        };
        match object {
            Object::Path(path) | Object::Program { program: path, .. } => of(path),
            Object::Paths { from, to } => of(from).max(of(to)),
            _ => Lane::Plain,
        }
    }

    /// The zone of an absolute, normalised path for a unit of this kind with these places.
    pub(super) fn of(&self, path: &Path, kind: UnitKind, places: &[PathBuf]) -> Zone {
        let below = |folder: &str| is_below(path, folder);
        let compiles = kind != UnitKind::RunBuildScript && kind != UnitKind::SelfTest;
        if SYSTEM.iter().any(|folder| below(folder)) || is_one_of(path, SYSTEM_FILES) {
            Zone::Fixed("system")
        } else if below(&self.layout.toolchain) {
            Zone::Fixed("toolchain")
        } else if self.given.iter().any(|given| is_below(path, given)) {
            Zone::Fixed("given")
        } else if is_one_of(path, DULL_DEVICES) {
            Zone::Fixed(DEVICE)
        } else if OWN_DESCRIPTORS.iter().any(|folder| below(folder)) {
            Zone::Fixed(OWN_DESCRIPTOR)
        } else if below("/proc") || below("/sys") || below("/dev") {
            Zone::Kernel
        } else if places.iter().any(|place| is_below(path, place)) {
            Zone::Dull("own")
        } else if compiles && (below(&self.layout.target_dir) || is_below(path, &self.lent)) {
            Zone::Dull("target")
        } else if compiles && (below(&self.layout.registry_src) || below(&self.layout.local_src)) {
            Zone::Dull("sources")
        } else if kind == UnitKind::CompileConsumer && is_below(path, &self.consumer_sources) {
            Zone::Dull("consumer")
        } else if self.is_decoy(path) {
            Zone::Decoy
        } else {
            Zone::Other
        }
    }

    /// True for a dynamic library where all units find it, in a folder that none of them may write.
    pub(super) fn is_published_library(&self, path: &Path) -> bool {
        let is_library = || path.extension().is_some_and(|extension| extension == "so");
        let deps = || Path::new(&self.layout.target_dir).join("debug/deps");
        path.as_os_str().as_bytes().ends_with(b".so") && is_library() && path.parent() == Some(&deps())
    }

    /// Which shared folder this is, if it is one.
    pub(super) fn shared_folder(&self, folder: &Path) -> Option<Shared> {
        match folder.strip_prefix(&self.layout.target_dir).ok()?.to_str()? {
            "debug" => Some(Shared::Profile),
            "debug/build" => Some(Shared::Build),
            _ => None,
        }
    }

    /// True for a library that the dynamic linker looks for where cargo told it to (`LD_LIBRARY_PATH`).
    pub(super) fn is_library_search(&self, path: &Path) -> bool {
        let library = path.file_name().is_some_and(|name| name.as_bytes().windows(3).any(|part| part == b".so"));
        library && is_below(path, &self.layout.target_dir)
    }

    /// True in the sources of packages.
    pub(super) fn is_source(&self, path: &Path) -> bool {
        is_below(path, &self.layout.registry_src) || is_below(path, &self.layout.local_src)
    }

    /// Where the source of a package has what lies at `path`, as it was verified.
    pub(super) fn in_the_archive(&self, path: &Path) -> Option<PathBuf> {
        [&self.layout.registry_src, &self.layout.local_src].into_iter().find_map(|place| {
            let rest = path.strip_prefix(place).ok()?;
            Some(mounts::unchanged(place).join(rest))
        })
    }

    /// True for the shim.
    pub(super) fn is_our_tool(&self, path: &Path) -> bool {
        is_below(path, &self.layout.tool)
    }

    /// The decoy home.
    pub(super) fn home(&self) -> &str {
        &self.layout.home
    }

    /// True for what only the supervisor may hand over.
    pub(super) fn is_decoy(&self, path: &Path) -> bool {
        let below = |folder: &str| is_below(path, folder);
        below(&self.layout.home)
            || below(&self.layout.consumer) && !below(&self.layout.target_dir)
            || self.decoys_elsewhere.iter().any(|decoy| below(decoy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_not_taken_for_another_whose_name_begins_alike() {
        for (path, folder, below) in [
            ("/usr", "/usr", true),
            ("/usr/lib", "/usr", true),
            ("/usr/lib", "/usr/", true),
            ("/usrlocal", "/usr", false),
            ("/us", "/usr", false),
            ("/usr", "/", true),
            ("usr", "/usr", false),
        ] {
            assert_eq!(is_below(Path::new(path), folder), below, "{path} in {folder}");
        }
    }
}
