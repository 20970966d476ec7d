//! Every system call of x86-64 in one class: what a unit may call, what is
//! notified, and what a notification is answered.
//!
//! Filter U is made from this table (`filter.rs`), and the supervisor decodes
//! and answers by it. A call that is not here is unknown: recorded, ENOSYS.
//! Numbers and names come from the `syscalls` crate (Linux 6.17).

mod allowed;
pub mod names;
mod rows;

use libc::{EAFNOSUPPORT, EPERM};
use serde::{Deserialize, Serialize};
use syscalls::Sysno;

use self::allowed::ALLOWED;
use self::names::Names;
use self::rows::{notified, probes};
use crate::evidence::Kind;

/// The class of one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Never notified.
    Allowed,
    /// Not notified while its registers are harmless, else like the row says.
    Unless(&'static [Harmless], Row),
    /// Always notified.
    Notified(Row),
    /// Refused by the filter itself, unrecorded.
    Silent(i32),
}

/// How a notified call is recorded and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The class of the attempt.
    pub kind: Kind,
    /// Where its arguments stand.
    pub args: Args,
    /// What it is answered.
    pub answer: Answer,
}

/// Registers with which a call is harmless: all of a list must hold. 32-bit
/// arguments are compared on their low word, as the kernel reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harmless {
    /// None of these bits is set.
    NoBits(u8, u32),
    /// It has another value.
    Not(u8, u32),
    /// It has this value.
    Is(u8, u32),
}

/// A register whose value has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// One of these values, under this mask.
    Value(u8, u32, Names),
    /// Each bit by itself, under this mask.
    Bits(u8, u32, Names),
}

/// One argument of a call that is only recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An operation or flags.
    Name(Named),
    /// A path below a directory (none: cwd).
    Path(Option<u8>, u8),
    /// A process by the number that the caller wrote.
    Process(u8),
    /// A process by a descriptor of it.
    ProcessFd(u8),
    /// What a descriptor is open on.
    Descriptor(u8),
    /// A string.
    Text(u8),
    /// Bytes, and the register that holds their number.
    Bytes(u8, u8),
}

/// Where the arguments of a call stand, by register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Args {
    /// An open: directory (none: cwd), path, flags (none: those of creat), mode.
    Open(Option<u8>, u8, Option<u8>, u8),
    /// `openat2`: directory 0, path 1, `struct open_how` 2.
    OpenHow,
    /// One path below a directory (none: cwd), with its flags.
    Path(Option<u8>, u8, Option<Named>),
    /// A path from the working directory whose last link is followed, too.
    Target(u8),
    /// Two paths, each with its directory, and the flags.
    Paths(Option<u8>, u8, Option<u8>, u8, Option<Named>),
    /// A symbolic link: contents, directory, path.
    Symlink(u8, Option<u8>, u8),
    /// A change of metadata.
    Metadata(Metadata),
    /// A program start: directory, path, argv, flags.
    Program(Option<u8>, u8, u8, Option<Named>),
    /// `socket`.
    Socket,
    /// Socket, address, length.
    Address,
    /// `sendto`: also a message at 1 of length 2, flags at 3, address at 4 of length 5.
    SendTo,
    /// `sendmsg`.
    SendMessage,
    /// `sendmmsg`.
    SendMessages,
    /// A signal: to whom, and its number.
    Signal(Recipient, u8),
    /// Anything else, argument by argument.
    Parts(&'static [Part]),
}

/// To whom a signal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A process, a group or everybody, as kill(2) has it.
    Process(u8),
    /// A thread of a process: thread group (none: whichever has the thread), thread.
    Thread(Option<u8>, u8),
    /// A process by a descriptor of it.
    Descriptor(u8),
}

/// Which metadata call this is. `At` has a directory at 0 and a path at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// `chmod(path, mode)`.
    Chmod,
    /// `fchmod(fd, mode)`.
    Fchmod,
    /// `fchmodat(dirfd, path, mode)`.
    Fchmodat,
    /// `fchmodat2(dirfd, path, mode, flags)`.
    Fchmodat2,
    /// `chown(path, uid, gid)`.
    Chown,
    /// `lchown(path, uid, gid)`.
    Lchown,
    /// `fchown(fd, uid, gid)`.
    Fchown,
    /// `fchownat(dirfd, path, uid, gid, flags)`.
    Fchownat,
    /// `utime(path, struct utimbuf *)`.
    Utime,
    /// `utimes(path, struct timeval [2])`.
    Utimes,
    /// `futimesat(dirfd, path, struct timeval [2])`.
    Futimesat,
    /// `utimensat(dirfd, path or null, struct timespec [2], flags)`.
    Utimensat,
}

/// What a notified call is answered, after it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel goes on with it; the layer named bounds what it can do.
    Continue(Layer),
    /// Opened by the unit's own opener thread or, for a decoy, by the supervisor.
    OpenOnBehalf,
    /// Done by the supervisor to the object that it opened itself, if that object is the unit's.
    MetadataOnBehalf,
    /// Sockets: the families of the table below continue, others are refused from registers alone.
    SocketByFamily,
    /// Refused. If the answer were to continue, the layer named would refuse it, too.
    Refuse(i32, Layer),
    /// Refused from registers alone; there is no second layer, so nothing else can be expressed.
    Constant(i32),
}

/// The layer behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The unit's Landlock domain.
    Landlock,
    /// The unit has no capability.
    Capabilities,
    /// No further user namespace, and no capability for others.
    MaxUserNamespaces,
    /// Nothing else is in the unit's PID namespace.
    PidNamespace,
    /// No way out of the network namespace.
    NetworkNamespace,
    /// The session keyring is empty and new.
    Keyring,
    /// The private root has nothing but the system's files and decoys.
    PrivateRoot,
}

/// Flags of clone(2) and unshare(2) that make namespaces, but for `CLONE_NEWTIME`, whose bit is a
/// signal's for clone and which unshare refuses without a capability.
pub const NAMESPACES: u32 = 0x7e02_0000;

/// What is notified beyond the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The questions `stat`, `access` and `readlink`.
    pub probes: bool,
}

/// The class of a call where more is traced; `None` as for [`class_of`].
pub fn class_with(number: u32, trace: Trace) -> Option<Class> {
    let probe = || probes(Sysno::new(usize::try_from(number).ok()?)?);
    match probe() {
        Some(row) if trace.probes => Some(Class::Notified(row)),
        _ => class_of(number),
    }
}

/// The class of a call; `None` for a number that this table does not know.
pub fn class_of(number: u32) -> Option<Class> {
    let sysno = Sysno::new(usize::try_from(number).ok()?)?;
    notified(sysno).or_else(|| ALLOWED.contains(&sysno).then_some(Class::Allowed))
}

/// A socket that may be made, so that what is tried with it can be seen: family, types, protocols.
/// The network namespace has no way out. `None` when the registers are fine, else the errno.
pub fn refuse_socket(family: u32, kind: u32, protocol: u32) -> Option<i32> {
    const TYPE_MASK: u32 = 0xf;
    const STREAM: u32 = 1;
    const DATAGRAM: u32 = 2;
    const RAW: u32 = 3;
    const SEQPACKET: u32 = 5;
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    const ROUTE: u32 = 0;
    let kind = kind & TYPE_MASK;
    let unix = family == 1 && [STREAM, DATAGRAM, SEQPACKET].contains(&kind);
    let internet = [2, 10].contains(&family)
        && ((kind == STREAM && [0, TCP].contains(&protocol)) || (kind == DATAGRAM && [0, UDP].contains(&protocol)));
    let netlink = family == 16 && [RAW, DATAGRAM].contains(&kind) && protocol == ROUTE;
    if unix || internet || netlink {
        None
    } else if [2, 10].contains(&family) {
        Some(EPERM)
    } else {
        Some(EAFNOSUPPORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_call_of_the_architecture_has_exactly_one_class() {
        for sysno in Sysno::iter() {
            let allowed = ALLOWED.iter().filter(|entry| **entry == sysno).count();
            let noticed = usize::from(notified(sysno).is_some());
            assert_eq!(allowed + noticed, 1, "{sysno}");
        }
    }

    #[test]
    fn only_a_constant_answer_stands_without_a_second_layer() {
        // The types say it: `Refuse` and `Continue` cannot be written without a layer. What is left is
        // that the calls of the design's list without one are constant indeed.
        for sysno in [Sysno::bpf, Sysno::perf_event_open, Sysno::userfaultfd, Sysno::io_uring_setup] {
            let Some(Class::Notified(row)) = notified(sysno) else { unreachable!("{sysno}") };
            assert!(matches!(row.answer, Answer::Constant(_)), "{sysno}");
        }
    }

    #[test]
    fn sockets_beyond_the_four_families_are_refused_from_registers() {
        const CLOEXEC: u32 = 0o2_000_000;
        for (family, kind, protocol) in [(1, 1, 0), (2, 1 | CLOEXEC, 6), (10, 2, 0), (16, 3, 0)] {
            assert_eq!(refuse_socket(family, kind, protocol), None, "{family} {kind} {protocol}");
        }
        assert_eq!(refuse_socket(40, 1, 0), Some(EAFNOSUPPORT), "vsock");
        assert_eq!(refuse_socket(38, 5, 0), Some(EAFNOSUPPORT), "alg");
        assert_eq!(refuse_socket(17, 3, 0), Some(EAFNOSUPPORT), "packet");
        assert_eq!(refuse_socket(2, 3, 1), Some(EPERM), "raw");
        assert_eq!(refuse_socket(2, 1, 262), Some(EPERM), "mptcp");
    }
}
