// Sockets of daemons, shared memory, messages, the job server.

fn ipc(name: &str) -> Answer {
    let key = || number("HOST_SEGMENT");
    let path = |path: &str| connect(1, STREAM, &unix(format!("{path}\0").as_bytes()));
    match name {
        "IPC-01" => connect(1, STREAM, &unix(format!("\0{}", variable("HOST_ABSTRACT")).as_bytes())),
        "IPC-02/host" => path(&variable("HOST_UNIX")),
        "IPC-02/docker" => path("/var/run/docker.sock"),
        "IPC-02/bus" => path("/run/dbus/system_bus_socket"),
        "IPC-02/names" => path("/var/run/nscd/socket"),
        "IPC-02/x11" => path("/tmp/.X11-unix/X0"),
        "IPC-02/link" => {
            let link = free("to-socket");
            call(88, &[c(variable("HOST_UNIX")), c(&link)])?;
            path(&link)
        }
        "IPC-03" => {
            let address = unix(format!("{}\0", variable("HOST_DATAGRAM")).as_bytes());
            call(44, &[socket(1, DATAGRAM, 0)?, c("probe"), 5, 0, bytes(&address), address.len()])
        }
        "IPC-04/nul" => connect(1, STREAM, &unix(b"\0probe\0with\0nul")),
        "IPC-04/whole" => connect(1, STREAM, &unix(&[b'x'; 108])),
        "IPC-04/credentials" => {
            // SCM_CREDENTIALS: that we are process 1.
            let mut pair = [0_i32; 2];
            call(53, &[1, DATAGRAM, 0, pair.as_mut_ptr() as usize])?;
            let ids = [1, call(102, &[])? as u32, call(104, &[])? as u32].map(u32::to_ne_bytes).concat();
            let control = bytes(
                &[&28_usize.to_ne_bytes()[..], &1_i32.to_ne_bytes(), &2_i32.to_ne_bytes(), &ids, &[0; 4]].concat(),
            );
            let piece = bytes(&[c("x"), 1].map(usize::to_ne_bytes).concat());
            call(46, &[pair[0] as usize, bytes(&[0, 0, piece, 1, control, 32, 0].map(usize::to_ne_bytes).concat()), 0])
        }
        "IPC-05/posix" => call(240, &[c(format!("sandbox-check-{}", key())), 0, 0, 0]),
        "IPC-05/shared" => call(29, &[key(), 1, 0o600]),
        "IPC-05/semaphore" => call(64, &[key(), 1, 0o600]),
        "IPC-05/queue" => call(68, &[key(), 0o600]),
        // For the test, outside: what IPC-05 is after.
        "MACHINE/make" => [29, 64]
            .iter()
            .try_fold(0, |_, number| call(*number, &[key(), 1, 0o1666]))
            .and_then(|_| call(68, &[key(), 0o1666]))
            .and_then(|_| call(240, &[c(format!("sandbox-check-{}", key())), O_RDWR | O_CREAT, 0o666, 0])),
        "MACHINE/remove" => {
            let _ = call(29, &[key(), 1, 0]).and_then(|id| call(31, &[id as usize, 0, 0]));
            let _ = call(241, &[c(format!("sandbox-check-{}", key()))]);
            let _ = call(64, &[key(), 1, 0]).and_then(|id| call(66, &[id as usize, 0, 0]));
            call(68, &[key(), 0]).and_then(|id| call(71, &[id as usize, 0, 0]))
        }
        "IPC-06" => close_again(open(format!("/proc/{}/fd/0", number("HOST_PID")), 0, 0)),
        "IPC-08" => {
            // A folder's descriptor between two of our own: it works, and gives nothing new.
            let mut pair = [0_i32; 2];
            call(53, &[1, DATAGRAM, 0, pair.as_mut_ptr() as usize])?;
            let fd = open("/usr", O_DIRECTORY, 0)? as i32;
            let control = bytes(
                &[&20_usize.to_ne_bytes()[..], &1_i32.to_ne_bytes(), &1_i32.to_ne_bytes(), &fd.to_ne_bytes(), &[0; 4]]
                    .concat(),
            );
            let piece = bytes(&[c("x"), 1].map(usize::to_ne_bytes).concat());
            let message = bytes(&[0, 0, piece, 1, control, 24, 0].map(usize::to_ne_bytes).concat());
            call(46, &[pair[0] as usize, message, 0])?;
            call(47, &[pair[1] as usize, message, 0])
        }
        _ => Err(UNKNOWN),
    }
}
