//! Every system call of x86-64 in one class: what a unit may call, what is
//! notified, and what a notification is answered.
//!
//! Filter U is made from this table (`filter.rs`), and the supervisor decodes
//! and answers by it. A call that is not here is unknown: recorded, ENOSYS.
//! Numbers and names come from the `syscalls` crate (Linux 6.17).

use libc::{EAFNOSUPPORT, EOPNOTSUPP, EPERM};
use syscalls::Sysno;

use super::allowed::ALLOWED;
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

/// Where the arguments of a call stand, by register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Args {
    /// An open: directory (none: cwd), path, flags (none: those of creat), mode.
    Open(Option<u8>, u8, Option<u8>, u8),
    /// `openat2`: directory 0, path 1, `struct open_how` 2.
    OpenHow,
    /// One path below a directory (none: cwd).
    Path(Option<u8>, u8),
    /// Two paths, each with its directory.
    Paths(Option<u8>, u8, Option<u8>, u8),
    /// A symbolic link: contents, directory, path.
    Symlink(u8, Option<u8>, u8),
    /// A change of metadata.
    Metadata(Metadata),
    /// A program start: directory, path, argv.
    Program(Option<u8>, u8, u8),
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
    /// A signal: process, signal.
    Signal(u8, u8),
    /// An operation number that has a name: `prctl`, `fcntl`, `ioctl`.
    Operation(u8),
    /// Clone flags.
    CloneFlags(u8),
    /// Only registers.
    Registers,
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
}

/// Flags of clone(2) and unshare(2) that make namespaces, but for `CLONE_NEWTIME`, whose bit is a
/// signal's for clone and which unshare refuses without a capability.
pub const NAMESPACES: u32 = 0x7e02_0000;

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const TIOCSETD: u32 = 0x5423;
const PR_SET_DUMPABLE: u32 = 4;
const PR_SET_SECCOMP: u32 = 22;
const PR_SET_MM: u32 = 35;
const PR_SET_PTRACER: u32 = 0x5961_6d61;
/// Asks for the personality and changes nothing (personality(2)).
const PERSONALITY_QUERY: u32 = u32::MAX;
const F_SETOWN: u32 = 8;
const F_SETSIG: u32 = 10;
const F_SETOWN_EX: u32 = 15;
const F_NOTIFY: u32 = 1026;

/// The class of a call; `None` for a number that this table does not know.
pub fn class_of(number: u32) -> Option<Class> {
    let sysno = Sysno::new(usize::try_from(number).ok()?)?;
    notified(sysno).or_else(|| ALLOWED.contains(&sysno).then_some(Class::Allowed))
}

const fn row(kind: Kind, args: Args, answer: Answer) -> Class {
    Class::Notified(Row { kind, args, answer })
}

const fn refused(kind: Kind, layer: Layer) -> Class {
    row(kind, Args::Registers, Answer::Refuse(EPERM, layer))
}

const fn constant(kind: Kind, errno: i32) -> Class {
    row(kind, Args::Registers, Answer::Constant(errno))
}

const fn meta(which: Metadata) -> Class {
    row(Kind::FsMeta, Args::Metadata(which), Answer::MetadataOnBehalf)
}

const fn unless(harmless: &'static [Harmless], kind: Kind, args: Args, answer: Answer) -> Class {
    Class::Unless(harmless, Row { kind, args, answer })
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn notified(sysno: Sysno) -> Option<Class> {
    use Answer::{Constant, Continue, OpenOnBehalf, Refuse, SocketByFamily};
    use Args::{
        Address, CloneFlags, Open, OpenHow, Operation, Path, Paths, Program, Registers, SendMessage, SendMessages,
        SendTo, Signal, Socket, Symlink,
    };
    use Harmless::{Is, NoBits, Not};
    let class = match sysno {
        // Opens.
        Sysno::open => row(Kind::FsOpen, Open(None, 0, Some(1), 2), OpenOnBehalf),
        Sysno::openat => row(Kind::FsOpen, Open(Some(0), 1, Some(2), 3), OpenOnBehalf),
        Sysno::creat => row(Kind::FsOpen, Open(None, 0, None, 1), OpenOnBehalf),
        Sysno::openat2 => row(Kind::FsOpen, OpenHow, OpenOnBehalf),
        // Names.
        Sysno::mkdir | Sysno::mknod | Sysno::truncate => row(Kind::FsWrite, Path(None, 0), Continue(Layer::Landlock)),
        Sysno::mkdirat | Sysno::mknodat => row(Kind::FsWrite, Path(Some(0), 1), Continue(Layer::Landlock)),
        Sysno::symlink => row(Kind::FsLink, Symlink(0, None, 1), Continue(Layer::Landlock)),
        Sysno::symlinkat => row(Kind::FsLink, Symlink(0, Some(1), 2), Continue(Layer::Landlock)),
        Sysno::rename | Sysno::link => row(Kind::FsLink, Paths(None, 0, None, 1), Continue(Layer::Landlock)),
        Sysno::renameat | Sysno::renameat2 | Sysno::linkat => {
            row(Kind::FsLink, Paths(Some(0), 1, Some(2), 3), Continue(Layer::Landlock))
        }
        Sysno::unlink | Sysno::rmdir => row(Kind::FsRemove, Path(None, 0), Continue(Layer::Landlock)),
        Sysno::unlinkat => row(Kind::FsRemove, Path(Some(0), 1), Continue(Layer::Landlock)),
        // Metadata, which Landlock does not govern.
        Sysno::chmod => meta(Metadata::Chmod),
        Sysno::fchmod => meta(Metadata::Fchmod),
        Sysno::fchmodat => meta(Metadata::Fchmodat),
        Sysno::fchmodat2 => meta(Metadata::Fchmodat2),
        Sysno::chown => meta(Metadata::Chown),
        Sysno::lchown => meta(Metadata::Lchown),
        Sysno::fchown => meta(Metadata::Fchown),
        Sysno::fchownat => meta(Metadata::Fchownat),
        Sysno::utime => meta(Metadata::Utime),
        Sysno::utimes => meta(Metadata::Utimes),
        Sysno::futimesat => meta(Metadata::Futimesat),
        Sysno::utimensat => meta(Metadata::Utimensat),
        Sysno::setxattr | Sysno::lsetxattr | Sysno::removexattr | Sysno::lremovexattr => {
            row(Kind::FsMeta, Path(None, 0), Constant(EOPNOTSUPP))
        }
        Sysno::setxattrat | Sysno::removexattrat | Sysno::file_setattr => {
            row(Kind::FsMeta, Path(Some(0), 1), Constant(EOPNOTSUPP))
        }
        Sysno::fsetxattr | Sysno::fremovexattr => constant(Kind::FsMeta, EOPNOTSUPP),
        // Programs and processes.
        Sysno::execve => row(Kind::Exec, Program(None, 0, 1), Continue(Layer::Landlock)),
        Sysno::execveat => row(Kind::Exec, Program(Some(0), 1, 2), Continue(Layer::Landlock)),
        Sysno::clone => {
            unless(&[NoBits(0, NAMESPACES)], Kind::NsCreate, CloneFlags(0), Refuse(EPERM, Layer::MaxUserNamespaces))
        }
        Sysno::unshare => unless(
            &[NoBits(0, NAMESPACES | 0x80)],
            Kind::NsCreate,
            CloneFlags(0),
            Refuse(EPERM, Layer::MaxUserNamespaces),
        ),
        Sysno::setns => refused(Kind::NsCreate, Layer::Capabilities),
        Sysno::kill | Sysno::tkill | Sysno::rt_sigqueueinfo | Sysno::pidfd_send_signal => {
            row(Kind::ProcSignal, Signal(0, 1), Continue(Layer::PidNamespace))
        }
        Sysno::tgkill | Sysno::rt_tgsigqueueinfo => row(Kind::ProcSignal, Signal(0, 2), Continue(Layer::PidNamespace)),
        Sysno::fcntl => unless(
            &[Not(1, F_SETOWN), Not(1, F_SETSIG), Not(1, F_SETOWN_EX), Not(1, F_NOTIFY)],
            Kind::ProcSignal,
            Operation(1),
            Refuse(EPERM, Layer::PidNamespace),
        ),
        Sysno::ptrace
        | Sysno::process_vm_readv
        | Sysno::process_vm_writev
        | Sysno::kcmp
        | Sysno::pidfd_getfd
        | Sysno::process_madvise
        | Sysno::process_mrelease => refused(Kind::ProcInspect, Layer::PidNamespace),
        // Sockets.
        Sysno::socket => row(Kind::NetSocket, Socket, SocketByFamily),
        Sysno::connect => row(Kind::NetConnect, Address, Continue(Layer::NetworkNamespace)),
        Sysno::bind => row(Kind::NetBind, Address, Continue(Layer::NetworkNamespace)),
        Sysno::listen => row(Kind::NetListen, Registers, Continue(Layer::NetworkNamespace)),
        Sysno::sendto => row(Kind::NetSend, SendTo, Continue(Layer::NetworkNamespace)),
        Sysno::sendmsg => row(Kind::NetSend, SendMessage, Continue(Layer::NetworkNamespace)),
        Sysno::sendmmsg => row(Kind::NetSend, SendMessages, Continue(Layer::NetworkNamespace)),
        // Hiding from the supervisor.
        Sysno::seccomp | Sysno::memfd_secret | Sysno::userfaultfd => constant(Kind::Blind, EPERM),
        Sysno::prctl => unless(
            &[Not(0, PR_SET_DUMPABLE), Not(0, PR_SET_SECCOMP), Not(0, PR_SET_MM), Not(0, PR_SET_PTRACER)],
            Kind::Blind,
            Operation(0),
            Constant(EPERM),
        ),
        // Kernel facilities that no build needs.
        Sysno::io_uring_setup | Sysno::io_uring_enter | Sysno::io_uring_register => {
            constant(Kind::KernelSurface, libc::ENOSYS)
        }
        Sysno::bpf | Sysno::perf_event_open => constant(Kind::KernelSurface, EPERM),
        Sysno::ioctl => unless(
            &[Not(1, TIOCSTI), Not(1, TIOCLINUX), Not(1, TIOCSETD)],
            Kind::KernelSurface,
            Operation(1),
            Constant(EPERM),
        ),
        Sysno::add_key | Sysno::request_key | Sysno::keyctl => refused(Kind::KernelSurface, Layer::Keyring),
        Sysno::mount
        | Sysno::umount2
        | Sysno::pivot_root
        | Sysno::chroot
        | Sysno::open_tree
        | Sysno::open_tree_attr
        | Sysno::move_mount
        | Sysno::fsopen
        | Sysno::fsconfig
        | Sysno::fsmount
        | Sysno::fspick
        | Sysno::mount_setattr => refused(Kind::FsMount, Layer::Capabilities),
        Sysno::name_to_handle_at => row(Kind::KernelSurface, Path(Some(0), 1), Refuse(EOPNOTSUPP, Layer::Capabilities)),
        Sysno::personality => unless(&[Is(0, PERSONALITY_QUERY)], Kind::KernelSurface, Registers, Constant(EPERM)),
        Sysno::open_by_handle_at
        | Sysno::syslog
        | Sysno::acct
        | Sysno::swapon
        | Sysno::swapoff
        | Sysno::reboot
        | Sysno::sethostname
        | Sysno::setdomainname
        | Sysno::iopl
        | Sysno::ioperm
        | Sysno::init_module
        | Sysno::finit_module
        | Sysno::delete_module
        | Sysno::kexec_load
        | Sysno::kexec_file_load
        | Sysno::settimeofday
        | Sysno::clock_settime
        | Sysno::quotactl
        | Sysno::quotactl_fd
        | Sysno::fanotify_init
        | Sysno::fanotify_mark
        | Sysno::vhangup
        | Sysno::move_pages
        | Sysno::migrate_pages => refused(Kind::KernelSurface, Layer::Capabilities),
        Sysno::adjtimex
        | Sysno::clock_adjtime
        | Sysno::modify_ldt
        | Sysno::uselib
        | Sysno::ustat
        | Sysno::sysfs
        | Sysno::_sysctl
        | Sysno::lookup_dcookie
        | Sysno::create_module
        | Sysno::get_kernel_syms
        | Sysno::query_module
        | Sysno::nfsservctl
        | Sysno::getpmsg
        | Sysno::putpmsg
        | Sysno::afs_syscall
        | Sysno::tuxcall
        | Sysno::security
        | Sysno::vserver
        | Sysno::epoll_ctl_old
        | Sysno::epoll_wait_old
        | Sysno::set_thread_area
        | Sysno::get_thread_area
        | Sysno::remap_file_pages
        | Sysno::uretprobe
        | Sysno::uprobe
        | Sysno::statmount
        | Sysno::listmount
        | Sysno::lsm_get_self_attr
        | Sysno::lsm_set_self_attr
        | Sysno::lsm_list_modules
        | Sysno::set_mempolicy_home_node => constant(Kind::KernelSurface, libc::ENOSYS),
        // Its flags lie in memory; with ENOSYS every libc falls back to clone.
        Sysno::clone3 => Class::Silent(libc::ENOSYS),
        _ => return None,
    };
    Some(class)
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
