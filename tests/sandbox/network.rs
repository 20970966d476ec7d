//! No way out: not by an address, not by a socket's file, not by a family of sockets.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::LazyLock;
use std::time::Duration;

use libc::{EACCES, EAFNOSUPPORT, ECONNREFUSED, ENETUNREACH, ENOENT, EPERM};

use crate::support::sandboxed::{Run, Subject};

struct Tried {
    run: Run,
    /// What reached the host's sockets.
    heard: Vec<&'static str>,
}

/// Sockets of the host that anybody on it can reach, and a payload that tries to.
static TRIED: LazyLock<Tried> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let name = format!("sandbox-check-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (abstract_, named) = (UnixListener::bind_addr(&address).unwrap(), UnixListener::bind(&path).unwrap());
    let (tcp_at, udp_at) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());

    let run = || {
        let subject = Subject::new("calls-out").build_script(include_str!("payloads/network.rs"));
        let mut command = subject.command();
        for (variable, value) in [
            ("HOST_TCP", tcp_at.port().to_string()),
            ("HOST_UDP", udp_at.port().to_string()),
            ("HOST_ABSTRACT", name.clone()),
            ("HOST_PATH", path.display().to_string()),
        ] {
            command.args(["--env", &format!("{variable}={value}")]);
        }
        subject.read(&command.output().unwrap())
    };
    let hear = || {
        let mut heard = Vec::new();
        tcp.set_nonblocking(true).unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        abstract_.set_nonblocking(true).unwrap();
        named.set_nonblocking(true).unwrap();
        for (what, silent) in [
            ("tcp", tcp.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)),
            ("udp", udp.recv(&mut [0; 16]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)),
            ("abstract", abstract_.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)),
            ("named", named.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)),
        ] {
            if !silent {
                heard.push(what);
            }
        }
        heard
    };
    let run = run();
    let heard = hear();

    // The control: from outside of the sandbox, each of them hears the same.
    let _stream = TcpStream::connect(tcp_at).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", udp_at).unwrap();
    let _streams = (UnixStream::connect_addr(&address).unwrap(), UnixStream::connect(&path).unwrap());
    assert_eq!(hear(), ["tcp", "udp", "abstract", "named"], "the oracle is deaf");
    Tried { run, heard }
});

#[test]
fn nothing_reaches_a_socket_of_the_host() {
    assert_eq!(TRIED.heard, Vec::<&str>::new());
}

#[test]
fn connections_are_refused_and_recorded_with_their_addresses() {
    let run = &TRIED.run;
    for name in ["tcp-host", "tcp-nowhere", "tcp-metadata", "tcp-mapped"] {
        run.met(name, EACCES);
    }
    let addresses: Vec<_> = run.attempts("net.connect").iter().map(|attempt| attempt.object.clone()).collect();
    for (ip, port) in [("192.0.2.1", 443), ("169.254.169.254", 80)] {
        assert!(
            addresses.iter().any(|address| address["ip"] == ip && address["port"] == port),
            "{ip}:{port} in {addresses:#?}"
        );
    }
    let mapped = addresses.iter().filter(|address| address["family"] == "AF_INET6" && address["ip"] == "127.0.0.1");
    assert_eq!(mapped.count(), 1, "an IPv4 address in IPv6's clothes is the IPv4 address: {addresses:#?}");
    run.met("tcp-bind", EACCES);
}

/// Landlock of this kernel does not govern fast open; the namespace does.
#[test]
fn tcp_fast_open_does_not_get_out() {
    let run = &TRIED.run;
    run.met("fast-open-host", ECONNREFUSED);
    run.met("fast-open-nowhere", ENETUNREACH);
    run.met("fast-open-connect", EACCES);
    run.the("net.send", "fast open", |attempt| {
        attempt.object["to"]["ip"] == "192.0.2.1" && attempt.object["to"]["port"] == 443
    });
}

#[test]
fn datagrams_do_not_get_out() {
    let run = &TRIED.run;
    run.met("udp-nowhere", ENETUNREACH);
    // Accepted by a loopback interface on which nobody listens.
    run.met("udp-host", 0);
    run.the("net.send", "the datagram", |attempt| {
        attempt.object["to"]["ip"] == "192.0.2.1" && attempt.object["to"]["port"] == 53
    });
}

#[test]
fn other_families_types_and_protocols_are_refused_and_recorded() {
    let run = &TRIED.run;
    for (name, errno, family, kind, protocol) in [
        ("raw", EPERM, "AF_INET", "SOCK_RAW", 1),
        ("ping", EPERM, "AF_INET", "SOCK_DGRAM", 1),
        ("mptcp", EPERM, "AF_INET", "SOCK_STREAM", 262),
        ("sctp", EPERM, "AF_INET", "SOCK_STREAM", 132),
        ("packet", EAFNOSUPPORT, "AF_PACKET", "SOCK_RAW", 0),
        ("vsock", EAFNOSUPPORT, "AF_VSOCK", "SOCK_STREAM", 0),
        ("alg", EAFNOSUPPORT, "AF_ALG", "SOCK_SEQPACKET", 0),
        ("bluetooth", EAFNOSUPPORT, "AF_BLUETOOTH", "SOCK_RAW", 0),
        ("audit", EAFNOSUPPORT, "AF_NETLINK", "SOCK_RAW", 9),
        ("netfilter", EAFNOSUPPORT, "AF_NETLINK", "SOCK_RAW", 12),
        ("uevent", EAFNOSUPPORT, "AF_NETLINK", "SOCK_RAW", 15),
    ] {
        run.met(&format!("socket-{name}"), errno);
        let expected = serde_json::json!({"type": "socket", "family": family, "kind": kind, "protocol": protocol});
        let attempt = run.the("net.socket", name, |attempt| attempt.object == expected);
        assert_eq!(attempt.came_of(), ("denied", Some(i64::from(errno)), "exact"), "{name}");
    }
    run.met("socket-vsock-flags", EAFNOSUPPORT);
    run.met("socket-route", 0);
    run.met("socket-pair", 0);
}

#[test]
fn unix_sockets_of_the_host_are_not_there() {
    let run = &TRIED.run;
    run.met("abstract-host", ECONNREFUSED);
    for name in ["path-host", "path-docker", "path-dbus", "path-nscd", "path-journal"] {
        run.met(name, ENOENT);
    }
    let paths: Vec<_> = run.attempts("net.connect").iter().map(|attempt| attempt.object["path"].clone()).collect();
    assert!(paths.iter().any(|path| path == "/var/run/docker.sock"), "{paths:?}");
}
