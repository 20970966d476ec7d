// Files of the machine, by every way to them; what cannot be undone is done to files that the test has made.

fn files(name: &str) -> Answer {
    let victim = host("open/victim");
    let path = |number: i64, rest: &[usize]| call(number, &[&[c(&victim)], rest].concat());
    match name {
        "FS-01" => close_again(open(host("secret"), 0, 0)),
        "FS-02/shadow" => close_again(open("/etc/shadow", 0, 0)),
        "FS-02/init" => close_again(open("/proc/1/environ", 0, 0)),
        "FS-02/mounts" => {
            // The fourth field of a line is where a mount lies in its file system.
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let known = |line: &str| line.split(' ').nth(3).is_some_and(|root| root.contains("sandbox-check"));
            if mounts.lines().any(known) { Ok(0) } else { Err(ENOENT) }
        }
        "FS-32" => {
            let (top, moved) = (free("tree"), free("moved"));
            for folder in ["", "/a", "/a/b"] {
                call(83, &[c(format!("{top}{folder}")), 0o700])?;
            }
            call(80, &[c(format!("{top}/a/b"))])?;
            call(82, &[c(format!("{top}/a/b")), c(&moved)])?;
            let climb = "../".repeat(40) + host("secret").trim_start_matches('/');
            close_again(open(climb, 0, 0))
        }
        "FS-32/mount" => inside(|| {
            call(83, &[c(free("leaves")), 0o700])?;
            call(82, &[c(free("leaves")), c(format!("{}/left", home()))])
        }),
        "FS-03/host" => close_again(open(host("open"), O_DIRECTORY, 0)),
        "FS-03/homes" => close_again(open("/home", O_DIRECTORY, 0)),
        "FS-04/host" => close_again(open(host("open/new"), O_WRONLY | O_CREAT, 0o600)),
        "FS-04/usr" => inside(|| close_again(open("/usr/probe", O_WRONLY | O_CREAT, 0o600))),
        "FS-04/etc" => inside(|| close_again(open("/etc/probe", O_WRONLY | O_CREAT, 0o600))),
        "FS-04/root" => inside(|| close_again(open("/probe-at-the-root", O_WRONLY | O_CREAT, 0o600))),
        "FS-04/mkdir" => call(83, &[c(host("open/folder")), 0o700]),
        "FS-05" => close_again(open(host("secret"), O_PATH, 0)),
        "FS-06/stat" => call(4, &[c(host("secret")), bytes(&[0; 256])]),
        "FS-06/access" => call(21, &[c(host("secret")), 0]),
        "FS-06/readlink" => call(89, &[c(host("link")), bytes(&[0; 256]), 256]),
        "FS-06/statfs" => call(137, &[c(host("secret")), bytes(&[0; 256])]),
        "FS-06/chdir" => call(80, &[c(host("open"))]),
        "FS-06/statx" => call(332, &[AT_FDCWD, c(host("secret")), 0, 0x7ff, bytes(&[0; 256])]),
        "FS-07/chmod" => path(90, &[0o640]),
        "FS-07/fchmodat2" => call(452, &[AT_FDCWD, c(&victim), 0o600, 0]),
        "FS-07/chown" => path(92, &[u32::MAX as usize, u32::MAX as usize]),
        "FS-07/utimensat" => call(280, &[AT_FDCWD, c(&victim), 0, 0]),
        "FS-07/setxattr" => path(188, &[c("user.probe"), c("x"), 1, 0]),
        "FS-07/setxattrat" => {
            let value = [c("x") as u64, 1].map(u64::to_ne_bytes).concat();
            call(463, &[AT_FDCWD, c(&victim), 0, c("user.probe"), bytes(&value), 16])
        }
        "FS-07/file_setattr" => call(469, &[AT_FDCWD, c(&victim), bytes(&[0; 24]), 24, 0]),
        "FS-08/truncate" => path(76, &[1]),
        "FS-08/open" => close_again(open(&victim, O_WRONLY | O_TRUNC, 0)),
        "FS-08/creat" => close_again(path(85, &[0o600])),
        "FS-09/rename-out" => call(82, &[c(own("moved")), c(host("open/moved"))]),
        "FS-09/rename-in" => call(82, &[c(&victim), c(free("stolen"))]),
        "FS-09/link-out" => call(86, &[c(own("linked")), c(host("open/linked"))]),
        "FS-09/link-in" => call(86, &[c(&victim), c(free("hard"))]),
        "FS-09/symlink-out" => call(88, &[c("/bin/true"), c(host("open/link"))]),
        "FS-09/unlink" => call(87, &[c(&victim)]),
        "FS-10/host" => call(316, &[AT_FDCWD, c(own("swap")), AT_FDCWD, c(&victim), 2]),
        "FS-10/system" => inside(|| call(316, &[AT_FDCWD, c(own("swap")), AT_FDCWD, c("/usr/bin/true"), 2])),
        "FS-11" => {
            let link = free("to-secret");
            call(88, &[c(host("secret")), c(&link)]).and_then(|_| close_again(open(link, 0, 0)))
        }
        "FS-12/own-root" => close_again(open(format!("/proc/self/root{}", host("secret")), 0, 0)),
        "FS-12/init-root" => close_again(open(format!("/proc/1/root{}", host("secret")), 0, 0)),
        "FS-12/parents" => close_again(open(format!("/proc/self/cwd/../../../../../..{}", host("secret")), 0, 0)),
        "FS-12/thread" => close_again(open(format!("/proc/thread-self/root{}", host("secret")), 0, 0)),
        "FS-13" => any((3..1024).map(|fd| {
            call(257, &[fd, c("../.."), O_DIRECTORY, 0]).or_else(|errno| {
                // A pipe of the job server is no folder.
                Err(if errno == 20 { EBADF } else { errno })
            })
        })),
        "FS-14" => any((3..1024).map(|fd| {
            let mut stat = [0_u64; 18];
            call(5, &[fd, stat.as_mut_ptr() as usize])?;
            let kind = (stat[3] as u32) & 0o170_000;
            if kind == 0o010_000 { Err(EBADF) } else { Ok(0) }
        })),
        "FS-15/chroot" => call(161, &[c(out_dir())]),
        "FS-15/up" => {
            // The way out of a chroot: a folder that is open already.
            let root = open("/usr", O_DIRECTORY, 0)?;
            call(161, &[c(out_dir())]).and_then(|_| call(81, &[root as usize])).and_then(|_| call(80, &[c("..")]))
        }
        "FS-16/mount" => call(165, &[c("none"), c(out_dir()), c("tmpfs"), 2, 0]),
        "FS-16/bind" => call(165, &[c("/"), c(out_dir()), 0, 0x1000, 0]),
        "FS-16/remount" => call(165, &[0, c("/usr"), 0, 0x1020, 0]),
        "FS-16/umount" => call(166, &[c("/nowhere-at-all"), 2]),
        "FS-16/pivot_root" => call(155, &[c(out_dir()), c(out_dir())]),
        "FS-16/move_mount" => call(429, &[usize::MAX, c("x"), usize::MAX, c("x"), 0]),
        "FS-16/open_tree" => call(428, &[AT_FDCWD, c("/"), 1]),
        "FS-16/open_tree_attr" => call(467, &[AT_FDCWD, c("/"), 1, 0, 0]),
        "FS-16/fsopen" => call(430, &[c("tmpfs"), 0]),
        "FS-16/fsmount" => call(432, &[usize::MAX, 0, 0]),
        "FS-16/fspick" => call(433, &[AT_FDCWD, c("/"), 0]),
        "FS-16/fsconfig" => call(431, &[usize::MAX, 6, 0, 0, 0]),
        "FS-16/mount_setattr" => call(442, &[AT_FDCWD, c("/nowhere-at-all"), 0, bytes(&[0; 32]), 32]),
        "FS-17/character" => call(133, &[c(free("null")), 0o020_666, 0x103]),
        "FS-17/block" => call(133, &[c(free("disk")), 0o060_666, 0x800]),
        "FS-18" => {
            let file = own("set-id");
            call(90, &[c(&file), 0o4755])?;
            let mut statfs = [0_u64; 15];
            call(137, &[c(&file), statfs.as_mut_ptr() as usize])?;
            const NO_SETUID: u64 = 2;
            let flags = statfs[10];
            // PR_GET_NO_NEW_PRIVS.
            if call(157, &[39, 0, 0, 0, 0])? == 1 && flags & NO_SETUID != 0 { Err(EPERM) } else { Ok(0) }
        }
        "FS-19/name" => {
            call(303, &[AT_FDCWD, c("/"), bytes(&[&128_u32.to_ne_bytes()[..], &[0; 140]].concat()), bytes(&[0; 8]), 0])
        }
        "FS-19/open" => call(304, &[usize::MAX, bytes(&[&8_u32.to_ne_bytes()[..], &[0; 140]].concat()), 0]),
        "FS-20/inotify" => call(253, &[]).and_then(|fd| call(254, &[fd as usize, c(host("open")), 0xfff])),
        "FS-20/fanotify" => close_again(call(300, &[0x200, 0])),
        "FS-21/shim" => close_again(open("/opt/sandbox-check/shim", O_WRONLY, 0)),
        "FS-21/rustc" => close_again(open(variable("RUSTC"), O_WRONLY, 0)),
        "FS-21/init" => close_again(open("/proc/1/exe", O_WRONLY, 0)),
        "FS-22/core_pattern" => close_again(open("/proc/sys/kernel/core_pattern", O_WRONLY, 0)),
        "FS-22/sysrq" => close_again(open("/proc/sysrq-trigger", O_WRONLY, 0)),
        "FS-22/namespaces" => close_again(open("/proc/sys/user/max_user_namespaces", O_WRONLY, 0)),
        "FS-22/sys" => close_again(open("/sys/kernel/mm/ksm/run", O_WRONLY, 0)),
        "FS-22/memory" => close_again(open("/proc/self/mem", O_RDWR, 0)),
        "FS-22/thread" => close_again(open("/proc/thread-self/mem", O_RDWR, 0)),
        "FS-22/mapping" => close_again(open("/proc/self/uid_map", O_WRONLY, 0)),
        "FS-22/login" => close_again(open("/proc/self/loginuid", O_WRONLY, 0)),
        "FS-22/score" => close_again(open("/proc/self/oom_score_adj", O_WRONLY, 0)),
        "FS-23" => any(["mem", "kmsg", "fuse", "kvm", "net/tun", "ptmx", "loop-control", "userfaultfd", "vhost-vsock"]
            .map(|device| close_again(open(format!("/dev/{device}"), O_PATH, 0)))),
        "FS-24/tmp" => close_again(open("/tmp", O_DIRECTORY, 0)),
        "FS-24/shm" => inside(|| close_again(open("/dev/shm/probe", O_RDWR | O_CREAT, 0o600))),
        "FS-24/var" => close_again(open("/var/tmp", O_DIRECTORY, 0)),
        "FS-24/run" => close_again(open("/run/user", O_DIRECTORY, 0)),
        "FS-27/flock" => open("/usr/bin/true", 0, 0).and_then(|fd| call(73, &[fd as usize, 2 | 4])),
        "FS-27/lease" => open(variable("RUSTC"), 0, 0).and_then(|fd| call(72, &[fd as usize, 1024, 0])),
        "FS-27/own-lease" => open(own("leased"), 0, 0).and_then(|fd| call(72, &[fd as usize, 1024, 0])),
        // F_SET_RW_HINT of a file: how long its blocks live.
        "FS-27/hint" => {
            open(own("hinted"), 0, 0).and_then(|fd| call(72, &[fd as usize, 1036, bytes(&1_u64.to_ne_bytes())]))
        }
        "FS-20/notify" => open("/usr", O_DIRECTORY, 0).and_then(|fd| call(72, &[fd as usize, 1026, 2])),
        "FS-28" => inside(|| call(86, &[c("/usr/bin/true"), c(free("hard"))])),
        "FS-29" => {
            let path = own("deleted");
            let fd = open(&path, 0, 0)?;
            call(87, &[c(&path)])?;
            close_again(open(format!("/proc/self/fd/{fd}"), 0, 0))
        }
        "FS-30/whiteout" => inside(|| call(133, &[c(free("whiteout")), 0o020_000, 0])),
        "FS-30/rename" => inside(|| call(316, &[AT_FDCWD, c(own("white")), AT_FDCWD, c(free("out")), 4])),
        _ => Err(UNKNOWN),
    }
}
