// A build script that tries every way out. The numbers in the environment belong to sockets of the host.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

const STREAM: usize = 1;
const DATAGRAM: usize = 2;
const RAW: usize = 3;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn socket(family: usize, kind: usize, protocol: usize) -> Result<i64, i32> {
    call(41, &[family, kind, protocol])
}

fn inet(ip: [u8; 4], port: u16) -> Vec<u8> {
    [&2_u16.to_ne_bytes()[..], &port.to_be_bytes(), &ip, &[0; 8]].concat()
}

fn unix(path: &[u8]) -> Vec<u8> {
    [&1_u16.to_ne_bytes()[..], path].concat()
}

fn connect(name: &str, family: usize, kind: usize, address: &[u8]) {
    let socket = socket(family, kind, 0).unwrap();
    tried(name, call(42, &[socket as usize, bytes(address), address.len()]));
    let _ = call(3, &[socket as usize]);
}

fn send(name: &str, kind: usize, flags: usize, address: &[u8]) {
    let socket = socket(2, kind, 0).unwrap();
    tried(name, call(44, &[socket as usize, c("hello"), 5, flags | 0x4000, bytes(address), address.len()]));
    let _ = call(3, &[socket as usize]);
}

fn main() {
    let port = |name: &str| variable(name).parse::<u16>().unwrap();
    let (tcp, udp) = (port("HOST_TCP"), port("HOST_UDP"));
    let localhost = [127, 0, 0, 1];
    let nowhere = [192, 0, 2, 1];

    connect("tcp-host", 2, STREAM, &inet(localhost, tcp));
    connect("tcp-nowhere", 2, STREAM, &inet(nowhere, 443));
    connect("tcp-metadata", 2, STREAM, &inet([169, 254, 169, 254], 80));
    let mapped =
        [&10_u16.to_ne_bytes()[..], &tcp.to_be_bytes(), &[0; 4], &[0; 10], &[0xff, 0xff], &localhost, &[0; 4]].concat();
    connect("tcp-mapped", 10, STREAM, &mapped);
    send("fast-open-host", STREAM, 0x2000_0000, &inet(localhost, tcp));
    send("fast-open-nowhere", STREAM, 0x2000_0000, &inet(nowhere, 443));
    let fast = socket(2, STREAM, 0).unwrap() as usize;
    let _ = call(54, &[fast, 6, 30, bytes(&1_i32.to_ne_bytes()), 4]);
    let address = inet(localhost, tcp);
    tried("fast-open-connect", call(42, &[fast, bytes(&address), address.len()]));
    send("udp-host", DATAGRAM, 0, &inet(localhost, udp));
    send("udp-nowhere", DATAGRAM, 0, &inet(nowhere, 53));
    did("tcp-bind", TcpListener::bind("127.0.0.1:0"));

    for (name, family, kind, protocol) in [
        ("raw", 2, RAW, 1),
        ("ping", 2, DATAGRAM, 1),
        ("mptcp", 2, STREAM, 262),
        ("sctp", 2, STREAM, 132),
        ("packet", 17, RAW, 0),
        ("vsock", 40, STREAM, 0),
        ("alg", 38, 5, 0),
        ("bluetooth", 31, RAW, 0),
        ("audit", 16, RAW, 9),
        ("netfilter", 16, RAW, 12),
        ("uevent", 16, RAW, 15),
        ("vsock-flags", 40, STREAM | 0o2_000_000, 0),
    ] {
        tried(&format!("socket-{name}"), socket(family, kind, protocol));
    }
    let route = socket(16, RAW, 0);
    tried("socket-route", route);

    connect("abstract-host", 1, STREAM, &unix(format!("\0{}", variable("HOST_ABSTRACT")).as_bytes()));
    connect("path-host", 1, STREAM, &unix(format!("{}\0", variable("HOST_PATH")).as_bytes()));
    for (name, path) in [
        ("docker", "/var/run/docker.sock"),
        ("dbus", "/run/dbus/system_bus_socket"),
        ("nscd", "/var/run/nscd/socket"),
        ("journal", "/run/systemd/journal/socket"),
    ] {
        connect(&format!("path-{name}"), 1, STREAM, &unix(format!("{path}\0").as_bytes()));
    }
    let unsent = call(53, &[1, STREAM, 0, bytes(&[0; 8])]);
    tried("socket-pair", unsent);
    let _: Option<(IpAddr, SocketAddr, TcpStream, UdpSocket)> = None;
}
