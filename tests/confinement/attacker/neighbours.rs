// Another unit, whose folder is named by cargo, with a socket that it left there.

fn theirs() -> String {
    variable("DEP_NEIGHBOUR_OUT")
}

fn neighbours(name: &str) -> Answer {
    let made = format!("{}/made", theirs());
    match name {
        "UNIT/read" => close_again(open(&made, 0, 0)),
        "UNIT/write" => close_again(open(&made, O_WRONLY, 0)),
        "UNIT/create" => close_again(open(format!("{}/new", theirs()), O_WRONLY | O_CREAT, 0o600)),
        "UNIT/chmod" => call(90, &[c(&made), 0o777]),
        "UNIT/flags" => {
            let fd = open(&made, 0, 0)? as usize;
            call(16, &[fd, 0x4008_6602, bytes(&0x40_u64.to_ne_bytes())])
        }
        "UNIT/xflags" => {
            let fd = open(&made, 0, 0)? as usize;
            // FS_IOC_FSSETXATTR: no dump.
            call(16, &[fd, 0x401c_5820, bytes(&[&0x80_u32.to_ne_bytes()[..], &[0; 24]].concat())])
        }
        "UNIT/hint" => open(&made, 0, 0).and_then(|fd| call(72, &[fd as usize, 1036, bytes(&1_u64.to_ne_bytes())])),
        // FIDEDUPERANGE and FICLONE, from a file of our own.
        "UNIT/same" => {
            let (fd, own) = (open(&made, 0, 0)? as u64, open(own("same"), 0, 0)? as usize);
            let range =
                [&[0_u8; 8][..], &1_u64.to_ne_bytes(), &1_u64.to_ne_bytes(), &fd.to_ne_bytes(), &[0; 24]].concat();
            call(16, &[own, 0xc018_9436, bytes(&range)])
        }
        "UNIT/clone" => {
            open(&made, 0, 0).and_then(|fd| call(16, &[fd as usize, 0x4004_9409, open(own("clone"), 0, 0)? as usize]))
        }
        "UNIT/lock" => open(&made, 0, 0).and_then(|fd| call(73, &[fd as usize, 2 | 4])),
        "UNIT/source" => {
            close_again(open(format!("{}/../neighbour/src/lib.rs", variable("CARGO_MANIFEST_DIR")), O_WRONLY, 0))
        }
        "UNIT/segment" => call(29, &[0x5c5c, 4096, 0]),
        "UNIT/cargo-lock" => close_again(open("/workspace/orders-service/target/debug/.cargo-lock", O_RDWR, 0)),
        "UNIT/lock-file" => close_again(open("/workspace/orders-service/Cargo.lock", O_RDWR, 0)),
        "UNIT/fingerprints" => {
            close_again(open("/workspace/orders-service/target/debug/.fingerprint/probe", O_WRONLY | O_CREAT, 0o600))
        }
        "UNIT/deps" => {
            close_again(open("/workspace/orders-service/target/debug/deps/probe.rlib", O_WRONLY | O_CREAT, 0o600))
        }
        "UNIT/processes" => {
            // Our parent is 2, and we are what we are. pidfd_open is not notified.
            let others = (3..4096).filter(|pid| *pid != std::process::id() as usize && call(434, &[*pid, 0]).is_ok());
            if others.count() == 0 { Err(3) } else { Ok(0) }
        }
        "UNIT/signal" => {
            let me = std::process::id() as usize;
            let other = (3..4096).find(|pid| *pid != me && call(434, &[*pid, 0]).is_ok());
            call(62, &[other.unwrap_or(3), 0])
        }
        "UNIT/socket" => connect(1, STREAM, &unix(format!("{}/socket\0", theirs()).as_bytes())),
        "UNIT/abstract" => connect(1, STREAM, &unix(b"\0neighbour")),
        "UNIT/tokens" => {
            // The job server's pipe: all that can be taken without waiting, and other bytes in their place.
            let pipe = |fd: &usize| {
                fs::read_link(format!("/proc/self/fd/{fd}"))
                    .is_ok_and(|link| link.to_string_lossy().starts_with("pipe:"))
            };
            any((3..64).filter(pipe).map(|fd| {
                call(72, &[fd, 4, O_NONBLOCK])?;
                while call(0, &[fd, bytes(&[0]), 1]) == Ok(1) {}
                call(1, &[fd, c("xxx"), 3]).or(Ok(0))
            }))
        }
        "UNIT/handoff" => any((3..1024).map(|fd| {
            // A channel of the shim's would take a message.
            call(44, &[fd, c("x"), 1, NO_SIGNAL, 0, 0]).or_else(|errno| Err(if errno == 88 { EBADF } else { errno }))
        })),
        _ => Err(UNKNOWN),
    }
}
