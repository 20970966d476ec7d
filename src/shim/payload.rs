//! The self-test's payload: does each forbidden thing, as a unit, and prints what came of it.
//!
//! One line for each probe on standard output: `self-test NAME ERRNO`, with 0
//! where the thing was possible. The supervisor knows what each must be.
//! Nothing here has an effect when the sandbox is broken: a file that is opened is
//! closed again, a process that is signalled gets signal 0, addresses are
//! loopback's and TEST-NET-1's (RFC 5737) at the discard port.

use alloc::vec::Vec;

use crate::bare::calls::{self, Answer, Errno, nr};

const AF_UNIX: usize = 1;
const AF_INET: usize = 2;
const STREAM: usize = 1;
const DATAGRAM: usize = 2;

/// `args`: a file of the host, a unix socket of the host, the supervisor's process id, a neighbour's
/// folder, a decoy, an own folder.
pub(crate) fn run(args: &[Vec<u8>]) -> i32 {
    // In a unit the program is process 2 of its namespace. Anywhere else nothing is tried.
    if calls::plain(nr::GETPID, [0; 6]) != Ok(2) {
        return crate::fail(b"the self-test runs as a unit only");
    }
    let arg = |at: usize| args.get(at).map(Vec::as_slice).unwrap_or_default();
    let number = |text: &[u8]| core::str::from_utf8(text).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    report(b"read-host-file", open_and_close(arg(0), 0));
    report(b"write-outside", create(b"/usr/sandbox-check-self-test"));
    report(b"write-neighbour", create(&[arg(3), b"/sandbox-check-self-test"].concat()));
    report(b"tcp-connect", with_socket(AF_INET, STREAM, |socket| calls::connect(socket, &internet([127, 0, 0, 1]))));
    report(
        b"udp-send",
        with_socket(AF_INET, DATAGRAM, |socket| calls::send_to(socket, b"x", 0, &internet([192, 0, 2, 1]))),
    );
    report(
        b"tcp-fast-open",
        with_socket(AF_INET, STREAM, |socket| calls::send_to(socket, b"x", FAST_OPEN, &internet([192, 0, 2, 1]))),
    );
    report(b"host-unix-socket", with_socket(AF_UNIX, STREAM, |socket| calls::connect(socket, &unix(arg(1)))));
    report(b"new-user-namespace", calls::plain(nr::UNSHARE, [CLONE_NEWUSER, 0, 0, 0, 0, 0]));
    report(b"new-pid-namespace", child_with(calls::CLONE_NEWPID));
    let parent = calls::plain(nr::GETPPID, [0; 6]).unwrap_or(1);
    report(b"ptrace-parent", calls::plain(nr::PTRACE, [PTRACE_SEIZE, parent, 0, 0, 0, 0]));
    report(b"io-uring", calls::plain(nr::IO_URING_SETUP, [1, 0, 0, 0, 0, 0]));
    report(b"foreign-abi", calls::foreign_getpid());
    report(b"session-keyring", calls::plain(nr::KEYCTL, [KEYCTL_READ, SESSION_KEYRING, 0, 0, 0, 0]));
    report(b"signal-supervisor", calls::kill(number(arg(2)), 0));
    report(b"read-decoy", open_and_close(arg(4), 0));
    report(b"write-own", create(&[arg(5), b"/sandbox-check-self-test"].concat()));
    0
}

/// `MSG_FASTOPEN`.
const FAST_OPEN: usize = 0x2000_0000;
const CLONE_NEWUSER: usize = 0x1000_0000;
const PTRACE_SEIZE: usize = 0x4206;
const KEYCTL_READ: usize = 11;
/// `KEY_SPEC_SESSION_KEYRING`, -3.
const SESSION_KEYRING: usize = usize::MAX - 2;

fn report(name: &[u8], answer: Answer) {
    let errno = match answer {
        Ok(_) => 0,
        Err(Errno(errno)) => errno,
    };
    let line = alloc::format!(" {errno}\n");
    calls::write_all(1, &[b"self-test ", name, line.as_bytes()].concat());
}

fn open_and_close(path: &[u8], flags: usize) -> Answer {
    let fd = calls::open(path, flags | calls::O_CLOEXEC, 0o600)?;
    calls::close(fd);
    Ok(0)
}

fn create(path: &[u8]) -> Answer {
    open_and_close(path, calls::O_WRONLY | calls::O_CREAT | calls::O_EXCL)?;
    let _ = calls::unlink(path);
    Ok(0)
}

fn with_socket(family: usize, kind: usize, act: impl Fn(usize) -> Answer) -> Answer {
    let socket = calls::plain(nr::SOCKET, [family, kind | calls::O_CLOEXEC, 0, 0, 0, 0])?;
    let answer = act(socket);
    calls::close(socket);
    answer
}

/// `struct sockaddr_in` at port 9.
fn internet(ip: [u8; 4]) -> Vec<u8> {
    [&[2, 0, 0, 9], &ip[..], &[0; 8]].concat()
}

/// `struct sockaddr_un`.
fn unix(path: &[u8]) -> Vec<u8> {
    [&[1, 0], path, &[0]].concat()
}

/// A child that ends at once.
fn child_with(flags: usize) -> Answer {
    let child = calls::clone_process(flags | calls::SIGCHLD)?;
    if child == 0 {
        calls::exit(0);
    }
    calls::wait(child)?;
    Ok(0)
}
