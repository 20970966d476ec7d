// Every way out. Ports and names in the environment are those of sockets that the test listens on.

const STREAM: usize = 1;
const DATAGRAM: usize = 2;
const RAW: usize = 3;
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
/// TEST-NET-1 (RFC 5737).
const NOWHERE: [u8; 4] = [192, 0, 2, 1];
const FAST_OPEN: usize = 0x2000_0000;
const NO_SIGNAL: usize = 0x4000;

fn socket(family: usize, kind: usize, protocol: usize) -> Result<usize, i32> {
    call(41, &[family, kind, protocol]).map(|fd| fd as usize)
}

fn inet(ip: [u8; 4], port: usize) -> Vec<u8> {
    [&2_u16.to_ne_bytes()[..], &(port as u16).to_be_bytes(), &ip, &[0; 8]].concat()
}

fn inet6(ip: [u8; 16], port: usize) -> Vec<u8> {
    [&10_u16.to_ne_bytes()[..], &(port as u16).to_be_bytes(), &[0; 4], &ip, &[0; 4]].concat()
}

fn unix(path: &[u8]) -> Vec<u8> {
    [&1_u16.to_ne_bytes()[..], path].concat()
}

/// An IPv4 address in IPv6.
fn mapped(ip: [u8; 4]) -> [u8; 16] {
    let mut mapped = [0; 16];
    mapped[10..12].fill(0xff);
    mapped[12..].copy_from_slice(&ip);
    mapped
}

fn connect(family: usize, kind: usize, address: &[u8]) -> Answer {
    let socket = socket(family, kind, 0)?;
    call(42, &[socket, bytes(address), address.len()])
}

fn send(kind: usize, flags: usize, address: &[u8]) -> Answer {
    let socket = socket(usize::from(address[0]), kind, 0)?;
    call(44, &[socket, c("probe"), 5, flags | NO_SIGNAL, bytes(address), address.len()])
}

/// `struct msghdr` with one piece.
fn message(address: &[u8]) -> Vec<u8> {
    let piece = bytes(&[c("probe"), 5].map(usize::to_ne_bytes).concat());
    [bytes(address), address.len(), piece, 1, 0, 0, 0].map(usize::to_ne_bytes).concat()
}

fn network(name: &str) -> Answer {
    let (tcp, udp) = (|| number("HOST_TCP"), || number("HOST_UDP"));
    let path = |name: &str| unix(format!("{}\0", variable(name)).as_bytes());
    match name {
        "NET-01" => connect(2, STREAM, &inet(NOWHERE, 443)),
        "NET-02" => connect(2, STREAM, &inet(LOOPBACK, tcp())),
        "NET-03/mapped" => connect(10, STREAM, &inet6(mapped(LOOPBACK), tcp())),
        "NET-03/scope" => {
            // The first interface.
            let mut address = inet6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 80);
            address[24] = 1;
            connect(10, STREAM, &address)
        }
        "NET-03/any" => connect(2, STREAM, &inet([0; 4], tcp())),
        "NET-03/any6" => connect(10, STREAM, &inet6([0; 16], tcp())),
        "NET-03/loopback6" => connect(10, STREAM, &inet6(1_u128.to_be_bytes(), tcp())),
        "NET-03/unspecified" => connect(2, STREAM, &[0; 16]),
        "NET-04/sendto" => send(DATAGRAM, 0, &inet(LOOPBACK, udp())),
        "NET-04/sendmsg" => call(46, &[socket(2, DATAGRAM, 0)?, bytes(&message(&inet(LOOPBACK, udp()))), 0]),
        "NET-04/sendmmsg" => {
            let list = [message(&inet(LOOPBACK, udp())), vec![0; 8]].concat();
            call(307, &[socket(2, DATAGRAM, 0)?, bytes(&list), 1, 0])
        }
        "NET-04/connected" => {
            let (socket, address) = (socket(2, DATAGRAM, 0)?, inet(LOOPBACK, udp()));
            call(42, &[socket, bytes(&address), 16])?;
            // The second meets what came of the first.
            let _ = call(1, &[socket, c("probe"), 5]);
            call(1, &[socket, c("probe"), 5])
        }
        "NET-04/nowhere" => send(DATAGRAM, 0, &inet(NOWHERE, 53)),
        "NET-04/mapped" => send(DATAGRAM, 0, &inet6(mapped(LOOPBACK), udp())),
        "NET-04/any" => send(DATAGRAM, 0, &inet([0; 4], udp())),
        "NET-04/zero" => send(DATAGRAM, 0, &inet(LOOPBACK, 0)),
        "NET-04/multicast" => inside(|| send(DATAGRAM, 0, &inet([224, 0, 0, 251], 5353))),
        "NET-04/broadcast" => inside(|| {
            let socket = socket(2, DATAGRAM, 0)?;
            // SO_BROADCAST
            call(54, &[socket, 1, 6, bytes(&1_i32.to_ne_bytes()), 4])?;
            call(44, &[socket, c("probe"), 5, 0, bytes(&inet([255; 4], 9)), 16])
        }),
        "NET-05" => {
            let socket = socket(2, DATAGRAM, 0)?;
            let address = inet(LOOPBACK, 53);
            let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05probe\x07invalid\0\0\x01\0\x01";
            call(44, &[socket, bytes(query), query.len(), 0, bytes(&address), 16])?;
            let mut answer = [0_u8; 64];
            // Not longer than two seconds.
            call(54, &[socket, 1, 20, bytes(&[2_u64, 0].map(u64::to_ne_bytes).concat()), 16])?;
            call(45, &[socket, answer.as_mut_ptr() as usize, 64, 0, 0, 0])?;
            // NXDOMAIN is 3.
            if answer[3] & 0xf == 3 { Err(ENOENT) } else { Ok(0) }
        }
        "NET-06/loopback" => send(STREAM, FAST_OPEN, &inet(LOOPBACK, tcp())),
        "NET-06/nowhere" => send(STREAM, FAST_OPEN, &inet(NOWHERE, 443)),
        "NET-06/sendmsg" => {
            call(46, &[socket(2, STREAM, 0)?, bytes(&message(&inet(LOOPBACK, tcp()))), FAST_OPEN | NO_SIGNAL])
        }
        "NET-06/sendmmsg" => {
            let list = [message(&inet(LOOPBACK, tcp())), vec![0; 8]].concat();
            call(307, &[socket(2, STREAM, 0)?, bytes(&list), 1, FAST_OPEN | NO_SIGNAL])
        }
        "NET-06/mapped" => send(STREAM, FAST_OPEN, &inet6(mapped(LOOPBACK), tcp())),
        "NET-07" => {
            let socket = socket(2, STREAM, 0)?;
            call(54, &[socket, 6, 30, bytes(&1_i32.to_ne_bytes()), 4])?;
            call(42, &[socket, bytes(&inet(LOOPBACK, tcp())), 16])?;
            call(44, &[socket, c("probe"), 5, NO_SIGNAL, 0, 0])
        }
        "NET-08/mptcp" => close_again(call(41, &[2, STREAM, 262])),
        "NET-08/sctp" => close_again(call(41, &[2, STREAM, 132])),
        "NET-08/dccp" => close_again(call(41, &[2, 6, 33])),
        "NET-08/udplite" => close_again(call(41, &[2, DATAGRAM, 136])),
        "NET-08/smc" => close_again(call(41, &[43, STREAM, 0])),
        "NET-09/packet" => close_again(call(41, &[17, RAW, 0])),
        "NET-09/raw" => close_again(call(41, &[2, RAW, 255])),
        "NET-09/raw6" => close_again(call(41, &[10, RAW, 58])),
        "NET-09/ping" => close_again(call(41, &[2, DATAGRAM, 1])),
        "NET-10" => close_again(call(41, &[40, STREAM, 0])),
        "NET-11/audit" => close_again(call(41, &[16, RAW, 9])),
        "NET-11/netfilter" => close_again(call(41, &[16, RAW, 12])),
        "NET-11/uevent" => close_again(call(41, &[16, RAW, 15])),
        "NET-12/pair" => call(53, &[40, STREAM, 0, bytes(&[0; 8])]),
        "NET-12/pair-tipc" => call(53, &[30, 5, 0, bytes(&[0; 8])]),
        "NET-13/bind" => call(49, &[socket(2, STREAM, 0)?, bytes(&inet([0; 4], 0)), 16]),
        "NET-12/vlan" => inside(|| call(16, &[socket(2, DATAGRAM, 0)?, 0x8982, bytes(&[0; 64])])),
        "NET-12/bridge" => inside(|| call(16, &[socket(2, DATAGRAM, 0)?, 0x8940, bytes(&[0; 64])])),
        "NET-13/both" => {
            // Who connects to himself needs nobody who listens.
            let (socket, address) = (socket(2, STREAM, 0)?, bytes(&inet(LOOPBACK, 0)));
            call(49, &[socket, address, 16])?;
            call(51, &[socket, address, bytes(&16_u32.to_ne_bytes())])?;
            call(42, &[socket, address, 16])
        }
        "NET-13/listen" => call(50, &[socket(2, STREAM, 0)?, 1]),
        "NET-14" => any((3..1024).map(|fd| {
            let mut length = bytes(&128_u32.to_ne_bytes());
            // A socket has a peer; a pipe of the job server is none.
            call(52, &[fd, bytes(&[0; 128]), std::mem::take(&mut length)])
                .or_else(|errno| Err(if errno == 88 { EBADF } else { errno }))
        })),
        "NET-15" => connect(1, STREAM, &path("HOST_UNIX")),
        "NET-16/v4" => connect(2, STREAM, &inet([169, 254, 169, 254], 80)),
        "NET-16/v6" => {
            let mut ip = [0; 16];
            ip[..4].copy_from_slice(&[0xfd, 0, 0x0e, 0xc2]);
            (ip[14], ip[15]) = (2, 0x54);
            connect(10, STREAM, &inet6(ip, 80))
        }
        "NET-17/setns" => open("/proc/self/ns/net", 0, 0).and_then(|fd| call(308, &[fd as usize, 0x4000_0000])),
        "NET-17/init" => close_again(open("/proc/1/ns/net", 0, 0)),
        "NET-18" => swapped(udp()),
        "NET-19/empty" => call(42, &[socket(2, STREAM, 0)?, bytes(&inet(LOOPBACK, 9)), 0]),
        "NET-19/one" => call(42, &[socket(2, STREAM, 0)?, bytes(&inet(LOOPBACK, 9)), 1]),
        "NET-19/huge" => call(42, &[socket(2, STREAM, 0)?, bytes(&[inet(LOOPBACK, 9), vec![0; 4096]].concat()), 4096]),
        "NET-19/negative" => {
            call(42, &[socket(2, STREAM, 0)?, bytes(&[inet(LOOPBACK, 9), vec![0; 4096]].concat()), u32::MAX as usize])
        }
        "NET-19/nowhere" => call(42, &[socket(2, STREAM, 0)?, 1, 16]),
        "NET-19/edge" => {
            let page = call(9, &[0, 8192, 3, 0x22, usize::MAX, 0])? as usize;
            call(11, &[page + 4096, 4096])?;
            let (at, address) = (page + 4096 - 8, inet(LOOPBACK, 9));
            unsafe { std::ptr::copy_nonoverlapping(address.as_ptr(), at as *mut u8, 8) };
            call(42, &[socket(2, STREAM, 0)?, at, 16])
        }
        _ => Err(UNKNOWN),
    }
}

/// Another thread changes the destination while the call waits: nothing may get out, whoever wins.
fn swapped(port: usize) -> Answer {
    use std::sync::atomic::{AtomicBool, Ordering};
    static ENDS: AtomicBool = AtomicBool::new(false);
    let (harmless, host) = (inet(NOWHERE, 9), inet(LOOPBACK, port));
    let shared = bytes(&harmless);
    let flipper = std::thread::spawn(move || {
        while !ENDS.load(Ordering::Relaxed) {
            for address in [&host, &harmless] {
                unsafe { std::ptr::copy(address.as_ptr(), shared as *mut u8, 16) };
            }
        }
    });
    let socket = socket(2, DATAGRAM, 0)?;
    let (mut last, mut won) = (Err(UNPREPARED), false);
    for _ in 0..2000 {
        last = call(44, &[socket, c("probe"), 5, NO_SIGNAL, shared, 16]);
        won |= last.is_ok();
    }
    ENDS.store(true, Ordering::Relaxed);
    let _ = flipper.join();
    // To send to a port of the sandbox's own loopback is possible, and reaches nobody: the test listens.
    if won { Ok(0) } else { last }
}
