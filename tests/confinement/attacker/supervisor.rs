// The supervisor: what it reads, what it is told, what it may leave behind.

fn supervisor(name: &str) -> Answer {
    match name {
        "SUP-01" => flipped_path(false),
        "SUP-02" => flipped_path(true),
        "SUP-04/dumpable" => in_copy(|| call(157, &[4, 0, 0, 0, 0])),
        "SUP-05/secret" => close_again(call(447, &[0])),
        "SUP-05/null" => call(2, &[0, 0, 0]),
        "SUP-05/unmapped" => call(2, &[8, 0, 0]),
        "SUP-05/kernel" => call(2, &[0xffff_8000_0000_0000, 0, 0]),
        "SUP-05/no-access" => {
            let page = call(9, &[0, 4096, 3, 0x22, usize::MAX, 0])? as usize;
            unsafe { std::ptr::copy_nonoverlapping(b"/etc/passwd\0".as_ptr(), page as *mut u8, 12) };
            call(10, &[page, 4096, 0])?;
            close_again(call(2, &[page, 0, 0]))
        }
        "SUP-05/rename" => call(82, &[c(own("left")), 8]),
        "SUP-05/exec" => in_copy(|| call(59, &[8, 0, 0])),
        "SUP-05/argv" => in_copy(|| call(59, &[c("/bin/true"), 8, 0])),
        "SUP-05/chmod" => call(90, &[8, 0o600]),
        "SUP-05/bind" => call(49, &[socket(1, STREAM, 0)?, 8, 16]),
        "SUP-05/send" => call(46, &[socket(2, DATAGRAM, 0)?, 8, 0]),
        "SUP-05/symlink" => call(88, &[8, c(free("link"))]),
        "SUP-05/times" => call(280, &[AT_FDCWD, c(own("timed")), 8, 0]),
        "SUP-05/address" => call(44, &[socket(2, DATAGRAM, 0)?, c("x"), 1, 0, 8, 16]),
        "SUP-05/messages" => call(307, &[socket(2, DATAGRAM, 0)?, 8, 2, 0]),
        "SUP-05/openat2" => call(437, &[AT_FDCWD, c("/etc/passwd"), 8, 24]),
        "SUP-06" => {
            let page = call(9, &[0, 8192, 3, 0x22, usize::MAX, 0])? as usize;
            call(11, &[page + 4096, 4096])?;
            let path = b"/probe-at-the-edge\0";
            let at = page + 4096 - path.len();
            unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), at as *mut u8, path.len()) };
            call(2, &[at, 0, 0])
        }
        "SUP-06/middle" => {
            // As above, but the path goes on where nothing can be read.
            let page = call(9, &[0, 8192, 3, 0x22, usize::MAX, 0])? as usize;
            unsafe { std::ptr::write_bytes(page as *mut u8, b'x', 8192) };
            call(10, &[page + 4096, 4096, 0])?;
            call(2, &[page + 4096 - 7, 0, 0])
        }
        "SUP-35/bytes" => open(b"/nowhere-\n\x1b[31m\xff{\"line\":\"unit-end\"}\xe2\x80\xae", 0, 0),
        "SUP-15/pieces" => call(
            46,
            &[
                socket(2, DATAGRAM, 0)?,
                bytes(&[bytes(&inet(LOOPBACK, 9)), 16, 8, usize::MAX, 0, 0, 0].map(usize::to_ne_bytes).concat()),
                0,
            ],
        ),
        "SUP-15/length" => call(44, &[socket(2, DATAGRAM, 0)?, c("x"), 1 << 62, 0, bytes(&inet(LOOPBACK, 9)), 16]),
        "SUP-16" => close_again(open(format!("/proc/{}/mem", number("HOST_PID")), O_RDWR, 0)),
        "SUP-18" => {
            let listens = |fd: usize| {
                let link = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
                link.to_string_lossy().contains("seccomp")
            };
            if (0..4096).any(listens) { Ok(0) } else { Err(EBADF) }
        }
        // SECCOMP_IOCTL_NOTIF_RECV, NOTIF_SEND, NOTIF_ID_VALID, NOTIF_ADDFD, NOTIF_SET_FLAGS.
        "SUP-19" => any((0..1024).flat_map(|fd| {
            [0xc050_2100, 0xc018_2101, 0x4008_2102, 0x4018_2103, 0x4008_2104].map(|operation| {
                let answer = call(16, &[fd, operation, bytes(&[0; 80])]);
                // ENOTTY and EINVAL are answers of what is no listener.
                answer.or_else(|errno| Err(if errno == 25 || errno == 22 { EBADF } else { errno }))
            })
        })),
        "SUP-25" => close_again(open("/dev/userfaultfd", O_RDWR, 0)),
        // For a test: a program under a filter that allows everything, whose listener, if it has one, nobody reads.
        "UNDER/filter" | "UNDER/listener" => {
            call(157, &[38, 1, 0, 0, 0])?;
            filter(0x7fff_0000, if name == "UNDER/listener" { 8 } else { 0 })?;
            let arguments: Vec<String> = std::env::args().skip(2).collect();
            let status = Command::new(&arguments[0]).args(&arguments[1..]).status();
            match status.ok().and_then(|status| status.code()) {
                Some(0) => Ok(0),
                code => Err(code.unwrap_or(UNPREPARED)),
            }
        }
        "SUP-20/listener" => in_copy(|| filter(0x7fc0_0000, 8)),
        "SUP-20/mask" => in_copy(|| filter(0x7fc0_0000, 0)),
        "SUP-20/fake" => in_copy(|| filter(0x0005_0000, 0)),
        "SUP-34" => {
            // No number is free: what was opened on behalf cannot be handed over.
            in_copy(|| {
                call(160, &[7, bytes(&[3_u64, 3].map(u64::to_ne_bytes).concat())])?;
                for fd in 3..64 {
                    let _ = call(3, &[fd]);
                }
                open(format!("{}/full", out_dir()), O_WRONLY | O_CREAT, 0o600)
            })
        }
        "SUP-35/bad" => call(257, &[77, c("relative"), 0, 0]),
        "SUP-35/file" => call(257, &[open("/etc/passwd", 0, 0)? as usize, c("relative"), 0, 0]),
        "SUP-35/path-fd" => close_again(call(257, &[open("/etc", O_PATH, 0)? as usize, c("passwd"), 0, 0])),
        "SUP-35/deleted" => {
            let folder = free("gone");
            call(83, &[c(&folder), 0o700])?;
            let fd = open(&folder, O_DIRECTORY, 0)? as usize;
            call(84, &[c(&folder)])?;
            call(257, &[fd, c("relative"), O_WRONLY | O_CREAT, 0o600])
        }
        "SUP-35/write" => call(257, &[77, c("relative"), O_WRONLY | O_CREAT, 0o600]),
        _ => Err(UNKNOWN),
    }
}

/// Installs a filter of one instruction.
fn filter(returns: u32, flags: usize) -> Answer {
    let program = bytes(&[&[0x06, 0, 0, 0][..], &returns.to_ne_bytes()].concat());
    let filter = bytes(&[1, program].map(usize::to_ne_bytes).concat());
    call(157, &[38, 1, 0, 0, 0])?;
    call(317, &[1, flags, filter])
}

/// Another thread, or another process by shared memory, changes the path between what is allowed and a file of the
/// machine. It is enough to get that file once.
fn flipped_path(by_process: bool) -> Answer {
    use std::sync::atomic::{AtomicBool, Ordering};
    static ENDS: AtomicBool = AtomicBool::new(false);
    let (allowed, wanted) = (c(own("allowed")), host("secret"));
    let allowed = unsafe { std::ffi::CStr::from_ptr(allowed as *const _) }.to_bytes_with_nul().to_vec();
    let wanted = [wanted.as_bytes(), &[0]].concat();
    // Shared, and mapped from nothing.
    let page = call(9, &[0, 4096, 3, 0x21, usize::MAX, 0])? as usize;
    let put = move |path: &[u8]| unsafe { std::ptr::copy(path.as_ptr(), page as *mut u8, path.len()) };
    put(&allowed);
    let flip = move || {
        while !ENDS.load(Ordering::Relaxed) {
            put(&wanted);
            put(&allowed);
        }
    };
    let child = if by_process { call(57, &[])? } else { -1 };
    if child == 0 {
        flip();
    }
    let thread = (!by_process).then(|| std::thread::spawn(flip));
    let (mut got, mut rounds, start) = (false, 0, Instant::now());
    while !got && (rounds < 3000 || start.elapsed() < Duration::from_secs(2)) {
        rounds += 1;
        if let Ok(fd) = call(2, &[page, 0, 0]) {
            let mut read = [0_u8; 64];
            let length = call(0, &[fd as usize, read.as_mut_ptr() as usize, 64])? as usize;
            got |= read[..length].starts_with(b"secret of the machine");
            let _ = call(3, &[fd as usize]);
        }
    }
    ENDS.store(true, Ordering::Relaxed);
    if let Some(thread) = thread {
        let _ = thread.join();
    } else {
        let _ = call(62, &[child as usize, 9]);
    }
    if got { Ok(0) } else { Err(ENOENT) }
}
