// A build script that looks at what it is and what it has.

use std::os::unix::fs::MetadataExt as _;

fn main() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in status.lines() {
        let (name, value) = line.split_once(':').unwrap();
        if ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp_filters", "Uid", "Gid", "Groups"]
            .contains(&name)
        {
            tell(name, value.trim().replace('\t', " "));
        }
    }
    let fds: Vec<_> = (0..4096)
        .filter(|fd| call(72, &[*fd, 1]).is_ok())
        .map(|fd| format!("{fd}:{}", fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default().display()))
        .collect();
    tell("fds", fds.join(";"));
    let names: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
    tell("environment", names.join(" "));
    tell("marker", std::env::vars().any(|(_, value)| value.contains("host-marker")));
    tell("pid", std::process::id());

    for (name, path) in [
        ("shadow", "/etc/shadow".to_owned()),
        ("root-home", "/root".to_owned()),
        ("root-profile", "/root/.profile".to_owned()),
        ("host-file", std::env::var("HOST_FILE").unwrap()),
        ("host-home", std::env::var("HOST_HOME").unwrap()),
        ("dev-mem", "/dev/mem".to_owned()),
        ("dev-kmsg", "/dev/kmsg".to_owned()),
        ("dev-fuse", "/dev/fuse".to_owned()),
        ("dev-kvm", "/dev/kvm".to_owned()),
        ("dev-ptmx", "/dev/ptmx".to_owned()),
        ("machine-id", "/etc/machine-id".to_owned()),
        ("environ-of-init", "/proc/1/environ".to_owned()),
        ("cgroup", "/sys/fs/cgroup/cgroup.procs".to_owned()),
    ] {
        did(name, File::open(path));
    }
    for (name, path) in [
        ("core-pattern", "/proc/sys/kernel/core_pattern"),
        ("sysrq", "/proc/sysrq-trigger"),
        ("user-namespaces", "/proc/sys/user/max_user_namespaces"),
        ("oom", "/proc/self/oom_score_adj"),
        ("own-memory", "/proc/self/mem"),
        ("usr", "/usr/evil"),
        ("shim", "/opt/sandbox-check/shim"),
    ] {
        tried(&format!("write-{name}"), open(path, O_WRONLY, 0));
    }
    did("write-etc", fs::write("/etc/evil", "x"));
    did("write-bin", fs::write("/usr/bin/evil", "x"));
    did("write-toolchain", fs::write(Path::new(&std::env::var("RUSTC").unwrap()).parent().unwrap().join("evil"), "x"));

    // Numbers of processes that are not of the unit mean nobody: the host's, the supervisor's, cargo's.
    let nobody = (3..1000).filter(|pid| call(62, &[*pid, 0]) == Ok(0)).count();
    tell("others-alive", nobody);
    tried("signal-host", call(62, &[std::env::var("HOST_PID").unwrap().parse().unwrap(), 0]));
    tried("signal-init", call(62, &[1, 0]));
    let seen: Vec<_> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().parse::<u32>().ok())
        .collect();
    tell("processes-seen", seen.len());
    // cargo is process 3 or so of the sandbox; none of its files can be reached, by no way.
    let cargo: Vec<_> = (1..200).filter(|pid| open(format!("/proc/{pid}/mem"), O_RDWR, 0).is_ok()).collect();
    tell("memories-opened", cargo.len());
    std::os::unix::fs::symlink("/proc", format!("{}/proc", out_dir())).unwrap();
    let linked: Vec<_> =
        (1..200).filter(|pid| open(format!("{}/proc/{pid}/mem", out_dir()), O_RDWR, 0).is_ok()).collect();
    tell("memories-opened-by-link", linked.len());
    // What the neighbour made is not in this unit's namespace.
    tried("segment", call(29, &[0x5c5c, 4096, 0]));
    tell("tmp-listed", fs::read_dir("/tmp").is_ok());
    tell("root-owner", fs::metadata("/").unwrap().uid());
}
