// Other processes. HOST_PID is one that the test has started to be attacked.

fn processes(name: &str) -> Answer {
    let victim = || number("HOST_PID");
    let me = std::process::id() as usize;
    match name {
        "PR-01/kill" => call(62, &[victim(), 0]),
        "PR-01/tgkill" => call(234, &[victim(), victim(), 0]),
        "PR-01/tkill" => call(200, &[victim(), 0]),
        "PR-01/sigqueue" => call(129, &[victim(), 0, bytes(&[0; 128])]),
        "PR-01/pidfd" => call(434, &[victim(), 0]).and_then(|fd| call(424, &[fd as usize, 0, 0, 0])),
        "PR-02/all" => call(62, &[usize::MAX, 0]),
        "PR-02/group" => call(62, &[0_usize.wrapping_sub(victim()), 0]),
        "PR-03/owner" => call(72, &[0, 8, victim()]),
        "PR-03/owner-ex" => call(72, &[0, 15, bytes(&[1_u32.to_ne_bytes(), (victim() as u32).to_ne_bytes()].concat())]),
        "PR-03/signal" => call(72, &[0, 10, 9]),
        "PR-03/noise" => call(72, &[0, 0xdead_beef_0000_0008, victim()]),
        "PR-03/ioctl" => {
            let socket = socket(1, STREAM, 0)?;
            // FIOSETOWN
            call(16, &[socket, 0x8901, bytes(&(victim() as u32).to_ne_bytes())])
        }
        "PR-03/spgrp" => {
            let socket = socket(1, STREAM, 0)?;
            // SIOCSPGRP
            call(16, &[socket, 0x8902, bytes(&(victim() as u32).to_ne_bytes())])
        }
        "PR-04/attach" => call(101, &[16, victim(), 0, 0]),
        "PR-04/seize" => call(101, &[0x4206, victim(), 0, 0]),
        "PR-04/parent" => call(110, &[]).and_then(|parent| call(101, &[0x4206, parent as usize, 0, 0])),
        "PR-04/traceme" => in_copy(|| call(101, &[0, 0, 0, 0])),
        "PR-05/read" | "PR-05/write" => {
            let mut byte = [0_u8; 1];
            let here = bytes(&[byte.as_mut_ptr() as usize, 1].map(usize::to_ne_bytes).concat());
            call(if name == "PR-05/read" { 310 } else { 311 }, &[me, here, 1, here, 1, 0])
        }
        "PR-05/mem" => close_again(open(format!("/proc/{}/mem", victim()), O_RDWR, 0)),
        "PR-05/init" => close_again(open("/proc/1/mem", 0, 0)),
        "PR-05/madvise" => call(440, &[usize::MAX, 0, 0, 0, 0]),
        "PR-05/mrelease" => call(448, &[usize::MAX, 0]),
        "PR-06/open" => close_again(call(434, &[victim(), 0])),
        "PR-06/getfd" => call(434, &[me, 0]).and_then(|fd| call(438, &[fd as usize, 0, 0])),
        "PR-06/kcmp" => call(312, &[me, me, 0, 0, 0]),
        "PR-06/namespace" => {
            // PIDFD_GET_NET_NAMESPACE, of ourselves.
            let own = call(434, &[me, 0])? as usize;
            call(16, &[own, 0xff04, 0]).and_then(|fd| call(308, &[fd as usize, 0x4000_0000]))
        }
        // NS_GET_PARENT
        "PR-06/outer" => open("/proc/self/ns/pid", 0, 0).and_then(|fd| close_again(call(16, &[fd as usize, 0xb702]))),
        // NS_GET_USERNS, and the parent of that
        "PR-06/owner" => open("/proc/self/ns/net", 0, 0)
            .and_then(|fd| call(16, &[fd as usize, 0xb701]))
            .and_then(|fd| close_again(call(16, &[fd as usize, 0xb702]))),
        "PR-07" => in_copy(|| {
            // One instruction: SECCOMP_RET_TRACE.
            let program = bytes(&[0x06, 0, 0, 0, 0, 0, 0xf0, 0x7f]);
            let filter = bytes(&[1, program].map(usize::to_ne_bytes).concat());
            call(157, &[38, 1, 0, 0, 0])?;
            call(157, &[22, 2, filter])
        }),
        "PR-09/priority" => call(141, &[0, victim(), 5]),
        "PR-09/affinity" => call(203, &[victim(), 128, bytes(&[0xff; 128])]),
        "PR-09/limit" => call(302, &[victim(), 7, 0, bytes(&[0; 16])]),
        "PR-09/io" => call(251, &[1, victim(), 0x4007]),
        // PRIO_USER and IOPRIO_WHO_USER: all processes of this user.
        "PR-09/everybody" => inside(|| call(141, &[1, 0, 19])),
        "PR-09/io-everybody" => inside(|| call(251, &[3, call(102, &[])? as usize, 0x6000])),
        "PR-10/user" => in_copy(|| call(272, &[0x1000_0000])),
        "PR-10/mount" => in_copy(|| call(272, &[0x0002_0000])),
        "PR-10/pid" => in_copy(|| call(272, &[0x2000_0000])),
        "PR-10/net" => in_copy(|| call(272, &[0x4000_0000])),
        "PR-10/ipc" => in_copy(|| call(272, &[0x0800_0000])),
        "PR-10/uts" => in_copy(|| call(272, &[0x0400_0000])),
        "PR-10/cgroup" => in_copy(|| call(272, &[0x0200_0000])),
        "PR-10/time" => in_copy(|| call(272, &[0x80])),
        "PR-10/clone" => child_of(0x1000_0000),
        "PR-11" => child_of(0xdead_beef_1000_0000),
        "PR-12" => {
            let flags = 0x1000_0000_u64.to_ne_bytes();
            call(435, &[bytes(&[&flags[..], &[0; 80]].concat()), 88]).and_then(ended)
        }
        "PR-14" => child_of(0x8000),
        "PR-15" => any(["/usr/bin/sudo", "/bin/su", "/usr/bin/newuidmap", "/bin/mount"].map(|program| {
            let mut stat = [0_u64; 18];
            call(4, &[c(program), stat.as_mut_ptr() as usize])?;
            // It is there: what matters is that it gets no right from its mode.
            let mut statfs = [0_u64; 15];
            call(137, &[c(program), statfs.as_mut_ptr() as usize])?;
            let set_id = (stat[3] as u32) & 0o6000 != 0;
            if set_id && statfs[10] & 2 == 0 && call(157, &[39, 0, 0, 0, 0])? == 0 { Ok(0) } else { Err(EPERM) }
        })),
        "PR-15/root" => in_copy(|| call(105, &[0])),
        "PR-15/capset" => in_copy(|| {
            // CAP_NET_ADMIN, permitted and effective.
            let header = bytes(&[0x2008_0522_u32.to_ne_bytes(), [0; 4]].concat());
            call(126, &[header, bytes(&[1_u32 << 12, 1 << 12, 0, 0, 0, 0].map(u32::to_ne_bytes).concat())])
        }),
        "PR-16/randomize" => in_copy(|| call(135, &[0x0040_0000])),
        "PR-16/execute" => in_copy(|| call(135, &[0x0044_0000])),
        "PR-16/32" => in_copy(|| call(135, &[8])),
        "PR-17/dumpable" => in_copy(|| call(157, &[4, 0, 0, 0, 0])),
        "PR-17/mm" => in_copy(|| call(157, &[35, 8, 0, 0, 0])),
        "PR-17/ptracer" => in_copy(|| call(157, &[0x5961_6d61, usize::MAX, 0, 0, 0])),
        "PR-17/dispatch" => in_copy(|| call(157, &[59, 1, 0, usize::MAX, 0])),
        "PR-17/noise" => in_copy(|| call(157, &[0xdead_beef_0000_0004, 0, 0, 0, 0])),
        "PR-18/none" => in_copy(|| call(59, &[c("/bin/true"), 0, 0])),
        "PR-19" => {
            let program = fs::read("/bin/true").unwrap_or_default();
            let fd = call(319, &[c("probe"), 0])? as usize;
            call(1, &[fd, program.as_ptr() as usize, program.len()])?;
            in_copy(|| {
                let argv = bytes(&[c("probe"), 0].map(usize::to_ne_bytes).concat());
                call(322, &[fd, c(""), argv, bytes(&[0; 8]), 0x1000])
            })
        }
        "PR-18/check" => {
            // AT_EXECVE_CHECK
            let argv = bytes(&[c("true"), 0].map(usize::to_ne_bytes).concat());
            call(322, &[AT_FDCWD, c("/bin/true"), argv, bytes(&[0; 8]), 0x1_0000])
        }
        "PR-18/long-line" => started(&script(&format!("#!/{}\n", "x".repeat(300)))),
        "PR-18/format" => started(&script("no format that a kernel knows")),
        "PR-18/line-end" => {
            // To the kernel the byte before the end of the line is a part of the name.
            let interpreter = format!("{}\r", free("interpreter"));
            fs::copy("/bin/true", &interpreter).unwrap();
            started(&script(&format!("#!{interpreter}\n")))
        }
        "PR-18/nested" => {
            let inner = (0..3).fold("/bin/true".to_owned(), |inner, _| script(&format!("#!{inner}\n")));
            started(&script(&format!("#!{inner} argument\n")))
        }
        "PR-18/environment" => in_copy(|| {
            // More than the kernel takes, in pieces that it would take.
            let variable = c("x".repeat(100_000));
            let environment = bytes(&[[variable; 100].map(usize::to_ne_bytes).concat(), vec![0; 8]].concat());
            call(59, &[c("/bin/true"), bytes(&[c("true"), 0].map(usize::to_ne_bytes).concat()), environment])
        }),
        "PR-19/script" | "PR-19/name" => {
            let text = if name == "PR-19/name" { fs::read("/bin/true").unwrap() } else { b"#!/bin/true\n".to_vec() };
            let fd = call(319, &[c("probe"), 0])? as usize;
            call(1, &[fd, text.as_ptr() as usize, text.len()])?;
            started(&format!("/proc/self/fd/{fd}"))
        }
        "PR-20" => {
            let copied = own("program");
            fs::copy("/bin/true", &copied).unwrap();
            call(90, &[c(&copied), 0o644])?;
            let status = Command::new("/lib64/ld-linux-x86-64.so.2").arg(&copied).status();
            if status.is_ok_and(|status| status.success()) { Ok(0) } else { Err(EACCES) }
        }
        _ => Err(UNKNOWN),
    }
}

/// A program of our own with this text.
fn script(text: &str) -> String {
    static MADE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = own(&format!("script-{number}"));
    fs::write(&path, text).unwrap();
    call(90, &[c(&path), 0o755]).unwrap();
    path
}

/// Whether a program starts and ends well.
fn started(path: &str) -> Answer {
    in_copy(|| call(59, &[c(path), bytes(&[c(path), 0].map(usize::to_ne_bytes).concat()), bytes(&[0; 8])]))
}

/// A child by clone(2) that ends at once.
fn child_of(flags: usize) -> Answer {
    call(56, &[flags | 17, 0, 0, 0, 0]).and_then(ended)
}

fn ended(child: i64) -> Answer {
    if child == 0 {
        let _ = call(60, &[0]);
    }
    let _ = call(61, &[child as usize, 0, 0, 0]);
    Ok(0)
}
