//! The private root as a mount plan.

use std::fs;
use std::path::{Path, PathBuf};

use crate::evidence::line::Layout;
use crate::sandbox::ruleset::{DEVICES, SYSTEM};
use crate::sandbox::spec::{Contents, EARLY_SHIM, MountOp, SHIM};

/// Sizes of the folders in memory. They bound what a build can fill.
const ROOT_MIB: u64 = 64;
const HOME_MIB: u64 = 256;
const TMP_MIB: u64 = 4096;
const TARGET_MIB: u64 = 8192;
const VIEWS_MIB: u64 = 1024;
const INODES: u64 = 1 << 20;

/// Files of the host's `/etc` without which programs of `/usr` do not run. None is secret.
const SHARED_ETC: &[&str] = &[
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "pki/tls/certs",
    "perl",
    "localtime",
];

/// The base system: what of the host's is seen, and what is made up.
///
/// Reads the host's root to see which folders are links.
pub fn base(layout: &Layout, sysroot: &Path, user: (u32, u32)) -> Vec<MountOp> {
    let mut plan = vec![tmpfs("/", ROOT_MIB)];
    for path in SYSTEM {
        match fs::read_link(path) {
            Ok(to) => plan.push(MountOp::Symlink { at: (*path).to_owned(), to: to.display().to_string() }),
            Err(_) if Path::new(path).is_dir() => plan.push(bind(PathBuf::from(path), path)),
            Err(_) => {}
        }
    }
    plan.extend(
        DEVICES
            .iter()
            .filter(|name| Path::new("/dev").join(name).exists())
            .map(|name| MountOp::Device { name: (*name).to_owned() }),
    );
    for (at, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/var/run", "/run"),
    ] {
        plan.push(MountOp::Symlink { at: at.to_owned(), to: to.to_owned() });
    }
    for (at, mode) in [
        ("/dev/shm", 0o755),
        ("/proc", 0o755),
        ("/run", 0o755),
        ("/var/tmp", 0o755),
        ("/var/lib", 0o755),
        ("/workspace", 0o755),
    ] {
        plan.push(MountOp::Dir { at: at.to_owned(), mode });
    }
    plan.extend(etc(user));
    plan.push(tmpfs(&layout.home, HOME_MIB));
    plan.push(tmpfs(&layout.tmp, TMP_MIB));
    if layout.toolchain != sysroot.display().to_string() {
        plan.push(bind(without_links(sysroot), &layout.toolchain));
    }
    plan.extend([SHIM, EARLY_SHIM].map(|name| MountOp::File {
        at: format!("{}/{name}", layout.tool),
        contents: Contents(crate::shim::PROGRAM.to_vec()),
        mode: 0o755,
    }));
    plan
}

/// The folders that hold sources and outputs. `sources` is [`crate::acquire::Acquired::sources`].
pub fn build_folders(layout: &Layout, sources: &Path) -> Vec<MountOp> {
    let mut plan = vec![tmpfs("/run/layers", VIEWS_MIB)];
    for (part, at) in [("registry", &layout.registry_src), ("local", &layout.local_src)] {
        let from = sources.join(part);
        if from.is_dir() {
            plan.push(MountOp::PrivateView { from: without_links(&from), at: at.clone() });
        } else {
            plan.push(MountOp::Dir { at: at.clone(), mode: 0o755 });
        }
    }
    plan.push(tmpfs(&layout.target_dir, TARGET_MIB));
    plan
}

fn etc((uid, gid): (u32, u32)) -> Vec<MountOp> {
    let home = super::layout::HOME;
    let mut plan = Vec::new();
    for (name, contents) in [
        ("passwd", format!("root:x:0:0:root:/root:/bin/bash\ndev:x:{uid}:{gid}:,,,:{home}:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")),
        ("group", format!("root:x:0:\ndev:x:{gid}:\nnogroup:x:65534:\n")),
        ("hosts", "127.0.0.1\tlocalhost workstation\n::1\tlocalhost\n".to_owned()),
        ("hostname", "workstation\n".to_owned()),
        ("host.conf", "multi on\n".to_owned()),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n".to_owned()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n".to_owned()),
        ("shells", "/bin/sh\n/bin/bash\n".to_owned()),
        ("timezone", "Etc/UTC\n".to_owned()),
    ] {
        plan.push(MountOp::File { at: format!("/etc/{name}"), contents: Contents(contents.into_bytes()), mode: 0o644 });
    }
    if Path::new("/usr/lib/os-release").exists() {
        plan.push(MountOp::Symlink { at: "/etc/os-release".to_owned(), to: "../usr/lib/os-release".to_owned() });
    }
    for name in SHARED_ETC {
        let from = Path::new("/etc").join(name);
        // The file behind a link: what it points to may be outside of what is mounted.
        if let Ok(real) = fs::canonicalize(&from) {
            plan.push(bind(real, &format!("/etc/{name}")));
        }
    }
    plan
}

/// A link from another way to what is let in, unless something of the plan lies on that way or beyond: there it would be
/// made through a link of somebody else's, or hide what is there.
pub fn second_name(plan: &[MountOp], named: &Path, real: &Path) -> Option<MountOp> {
    let is_in_the_way = |op: &MountOp| match op {
        MountOp::Tmpfs { at, .. } | MountOp::Dir { at, .. } => Path::new(at).starts_with(named),
        MountOp::Device { name } => Path::new("/dev").join(name).starts_with(named),
        MountOp::File { at, .. }
        | MountOp::Symlink { at, .. }
        | MountOp::BindReadOnly { at, .. }
        | MountOp::PrivateView { at, .. }
        | MountOp::Outputs { at, .. } => Path::new(at).starts_with(named) || named.starts_with(at),
    };
    let at = named.to_str()?.to_owned();
    (!plan.iter().any(is_in_the_way)).then(|| MountOp::Symlink { at, to: real.display().to_string() })
}

/// Sources are opened without following links: whoever swaps one later ends the start.
fn without_links(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn tmpfs(at: &str, size_mib: u64) -> MountOp {
    MountOp::Tmpfs { at: at.to_owned(), size_mib, inodes: INODES }
}

fn bind(from: PathBuf, at: &str) -> MountOp {
    MountOp::BindReadOnly { from, at: at.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_name_is_made_where_nothing_else_of_the_plan_lies() {
        let link = |at: &str| MountOp::Symlink { at: at.to_owned(), to: "/run".to_owned() };
        let plan =
            [tmpfs("/", 1), tmpfs("/home/dev", 1), tmpfs("/tmp", 1), link("/var/run"), bind("/data".into(), "/data")];
        let made = |named: &str| second_name(&plan, Path::new(named), Path::new("/real")).is_some();
        assert!(made("/srv/link") && made("/tmp/link") && made("/srv/me/lib"));
        // Through a link the name would be made somewhere else, and in place of a folder it would hide it.
        assert!(!made("/var/run/x") && !made("/data/link") && !made("/home") && !made("/home/dev"));
    }
}
