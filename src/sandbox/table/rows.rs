//! The rows of the table: each call that is notified, how it is decoded, and what it is answered.

use libc::{EOPNOTSUPP, EPERM};
use syscalls::Sysno;

use super::Args::{
    Address, Open, OpenHow, Parts, Path, Paths, Program, SendMessage, SendMessages, SendTo, Signal, Socket, Symlink,
};
use super::Named::{Bits, Value};
use super::Part::{Bytes, Descriptor, Name, Process, ProcessFd, Text};
use super::{Answer, Args, Class, Harmless, Layer, Metadata, NAMESPACES, Part, Recipient, Row, names};
use crate::evidence::Kind;

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const TIOCSETD: u32 = 0x5423;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FS_IOC_ADD_ENCRYPTION_KEY: u32 = 0xc050_6617;
const FS_IOC_REMOVE_ENCRYPTION_KEY: u32 = 0xc040_6618;
const SIOCGIFBR: u32 = 0x8940;
const SIOCSIFBR: u32 = 0x8941;
const SIOCBRADDBR: u32 = 0x89a0;
const SIOCBRDELBR: u32 = 0x89a1;
const SIOCGIFVLAN: u32 = 0x8982;
const SIOCSIFVLAN: u32 = 0x8983;
const AF_UNIX: u32 = 1;
const PR_SET_DUMPABLE: u32 = 4;
const PR_SET_SECCOMP: u32 = 22;
const PR_SET_MM: u32 = 35;
const PR_SET_PTRACER: u32 = 0x5961_6d61;
/// Asks for the personality and changes nothing (personality(2)).
const PERSONALITY_QUERY: u32 = u32::MAX;
const F_SETOWN: u32 = 8;
const F_SETSIG: u32 = 10;
const F_SETOWN_EX: u32 = 15;
const F_SETLEASE: u32 = 1024;
const F_NOTIFY: u32 = 1026;
const F_SET_RW_HINT: u32 = 1036;
/// Every bit of an operation counts.
const WHOLE: u32 = u32::MAX;

/// Only the registers, which stand in every record.
const REGISTERS: Args = Parts(&[]);

const fn row(kind: Kind, args: Args, answer: Answer) -> Class {
    Class::Notified(Row { kind, args, answer })
}

const fn refused(kind: Kind, args: Args, layer: Layer) -> Class {
    row(kind, args, Answer::Refuse(EPERM, layer))
}

const fn constant(kind: Kind, args: Args, errno: i32) -> Class {
    row(kind, args, Answer::Constant(errno))
}

const fn meta(which: Metadata) -> Class {
    row(Kind::FsMeta, Args::Metadata(which), Answer::MetadataOnBehalf)
}

const fn unless(harmless: &'static [Harmless], kind: Kind, args: Args, answer: Answer) -> Class {
    Class::Unless(harmless, Row { kind, args, answer })
}

/// A change of a name, which goes on within the unit's Landlock domain.
const fn change(kind: Kind, args: Args) -> Class {
    row(kind, args, Answer::Continue(Layer::Landlock))
}

/// The class of a call that is notified.
pub(super) fn notified(sysno: Sysno) -> Option<Class> {
    files(sysno).or_else(|| processes(sysno)).or_else(|| sockets(sysno)).or_else(|| kernel(sysno))
}

/// The questions that `--trace probes` adds. What they can see is bounded by the private root.
pub(super) fn probes(sysno: Sysno) -> Option<Row> {
    let args = match sysno {
        Sysno::stat | Sysno::lstat | Sysno::access | Sysno::readlink => Path(None, 0, None),
        Sysno::newfstatat => Path(Some(0), 1, Some(Bits(3, WHOLE, names::AT))),
        Sysno::statx => Path(Some(0), 1, Some(Bits(2, WHOLE, names::AT))),
        Sysno::faccessat | Sysno::readlinkat => Path(Some(0), 1, None),
        Sysno::faccessat2 => Path(Some(0), 1, Some(Bits(3, WHOLE, names::ACCESS))),
        _ => return None,
    };
    Some(Row { kind: Kind::FsProbe, args, answer: Answer::Continue(Layer::PrivateRoot) })
}

fn files(sysno: Sysno) -> Option<Class> {
    use Answer::OpenOnBehalf;
    let class = match sysno {
        Sysno::open => row(Kind::FsOpen, Open(None, 0, Some(1), 2), OpenOnBehalf),
        Sysno::openat => row(Kind::FsOpen, Open(Some(0), 1, Some(2), 3), OpenOnBehalf),
        Sysno::creat => row(Kind::FsOpen, Open(None, 0, None, 1), OpenOnBehalf),
        Sysno::openat2 => row(Kind::FsOpen, OpenHow, OpenOnBehalf),
        // Names.
        Sysno::mkdir => change(Kind::FsWrite, Path(None, 0, None)),
        Sysno::truncate => change(Kind::FsWrite, Args::Target(0)),
        Sysno::mkdirat => change(Kind::FsWrite, Path(Some(0), 1, None)),
        Sysno::mknod => change(Kind::FsWrite, Path(None, 0, Some(Value(1, names::FILE_TYPE_MASK, names::FILE_TYPE)))),
        Sysno::mknodat => {
            change(Kind::FsWrite, Path(Some(0), 1, Some(Value(2, names::FILE_TYPE_MASK, names::FILE_TYPE))))
        }
        Sysno::symlink => change(Kind::FsLink, Symlink(0, None, 1)),
        Sysno::symlinkat => change(Kind::FsLink, Symlink(0, Some(1), 2)),
        Sysno::rename | Sysno::link => change(Kind::FsLink, Paths(None, 0, None, 1, None)),
        Sysno::renameat => change(Kind::FsLink, Paths(Some(0), 1, Some(2), 3, None)),
        Sysno::renameat2 => change(Kind::FsLink, Paths(Some(0), 1, Some(2), 3, Some(Bits(4, WHOLE, names::RENAME)))),
        Sysno::linkat => change(Kind::FsLink, Paths(Some(0), 1, Some(2), 3, Some(Bits(4, WHOLE, names::AT)))),
        Sysno::unlink | Sysno::rmdir => change(Kind::FsRemove, Path(None, 0, None)),
        Sysno::unlinkat => change(Kind::FsRemove, Path(Some(0), 1, Some(Bits(2, WHOLE, names::UNLINK)))),
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
        Sysno::setxattr | Sysno::lsetxattr => constant(Kind::FsMeta, Path(None, 0, Some(XATTR)), EOPNOTSUPP),
        Sysno::removexattr | Sysno::lremovexattr => constant(Kind::FsMeta, Path(None, 0, None), EOPNOTSUPP),
        Sysno::setxattrat | Sysno::removexattrat => {
            constant(Kind::FsMeta, Path(Some(0), 1, Some(Bits(2, WHOLE, names::AT))), EOPNOTSUPP)
        }
        // Only counted: what an open on behalf has to know of its caller.
        Sysno::umask => change(Kind::FsMeta, REGISTERS),
        Sysno::file_setattr => constant(Kind::FsMeta, Path(Some(0), 1, Some(Bits(4, WHOLE, names::AT))), EOPNOTSUPP),
        Sysno::fsetxattr | Sysno::fremovexattr => constant(Kind::FsMeta, Parts(&[Descriptor(0), Text(1)]), EOPNOTSUPP),
        _ => return None,
    };
    Some(class)
}

const XATTR: super::Named = Bits(4, WHOLE, names::XATTR);

fn processes(sysno: Sysno) -> Option<Class> {
    use Harmless::{NoBits, Not};
    const INSPECT: Kind = Kind::ProcInspect;
    const SIGNAL: Answer = Answer::Continue(Layer::PidNamespace);
    const NAMESPACE: Answer = Answer::Refuse(EPERM, Layer::MaxUserNamespaces);
    const FLAGS: Args = Parts(&[Name(Bits(0, WHOLE, names::CLONE))]);
    let class = match sysno {
        Sysno::execve => change(Kind::Exec, Program(None, 0, 1, None)),
        Sysno::execveat => change(Kind::Exec, Program(Some(0), 1, 2, Some(Bits(4, WHOLE, names::AT)))),
        // The lowest byte of clone's flags is a signal.
        Sysno::clone => {
            const CLONE: Args = Parts(&[Name(Bits(0, !0xff, names::CLONE))]);
            unless(&[NoBits(0, NAMESPACES)], Kind::NsCreate, CLONE, NAMESPACE)
        }
        Sysno::unshare => unless(&[NoBits(0, NAMESPACES | 0x80)], Kind::NsCreate, FLAGS, NAMESPACE),
        Sysno::setns => {
            refused(Kind::NsCreate, Parts(&[Name(Bits(1, WHOLE, names::CLONE)), Descriptor(0)]), Layer::Capabilities)
        }
        Sysno::kill | Sysno::rt_sigqueueinfo => row(Kind::ProcSignal, Signal(Recipient::Process(0), 1), SIGNAL),
        Sysno::tkill => row(Kind::ProcSignal, Signal(Recipient::Thread(None, 0), 1), SIGNAL),
        Sysno::pidfd_send_signal => row(Kind::ProcSignal, Signal(Recipient::Descriptor(0), 1), SIGNAL),
        Sysno::tgkill | Sysno::rt_tgsigqueueinfo => {
            row(Kind::ProcSignal, Signal(Recipient::Thread(Some(0), 1), 2), SIGNAL)
        }
        // A lease of a file that is mounted from the machine makes its writers there wait; a hint stays with the file,
        // whose owner needs no right to write for it.
        Sysno::fcntl => unless(
            &[
                Not(1, F_SETOWN),
                Not(1, F_SETSIG),
                Not(1, F_SETOWN_EX),
                Not(1, F_SETLEASE),
                Not(1, F_NOTIFY),
                Not(1, F_SET_RW_HINT),
            ],
            Kind::ProcSignal,
            Parts(&[Name(Value(1, WHOLE, names::FCNTL)), Descriptor(0)]),
            Answer::Constant(EPERM),
        ),
        Sysno::ptrace => {
            refused(INSPECT, Parts(&[Name(Value(0, WHOLE, names::PTRACE)), Process(1)]), Layer::PidNamespace)
        }
        Sysno::process_vm_readv | Sysno::process_vm_writev => {
            refused(INSPECT, Parts(&[Process(0)]), Layer::PidNamespace)
        }
        Sysno::kcmp => refused(INSPECT, Parts(&[Process(0), Process(1)]), Layer::PidNamespace),
        Sysno::pidfd_getfd | Sysno::process_madvise | Sysno::process_mrelease => {
            refused(INSPECT, Parts(&[ProcessFd(0)]), Layer::PidNamespace)
        }
        _ => return None,
    };
    Some(class)
}

fn sockets(sysno: Sysno) -> Option<Class> {
    const NETWORK: Answer = Answer::Continue(Layer::NetworkNamespace);
    let class = match sysno {
        Sysno::socket => row(Kind::NetSocket, Socket, Answer::SocketByFamily),
        // The kernel makes a socket of whatever family, and loads its module, before it finds that most have no pairs.
        Sysno::socketpair => {
            unless(&[Harmless::Is(0, AF_UNIX)], Kind::NetSocket, Socket, Answer::Constant(libc::EAFNOSUPPORT))
        }
        Sysno::connect => row(Kind::NetConnect, Address, NETWORK),
        Sysno::bind => row(Kind::NetBind, Address, NETWORK),
        Sysno::listen => row(Kind::NetListen, Parts(&[Descriptor(0)]), NETWORK),
        Sysno::sendto => row(Kind::NetSend, SendTo, NETWORK),
        Sysno::sendmsg => row(Kind::NetSend, SendMessage, NETWORK),
        Sysno::sendmmsg => row(Kind::NetSend, SendMessages, NETWORK),
        _ => return None,
    };
    Some(class)
}

/// Ways to hide, and kernel facilities that no build needs.
#[expect(clippy::too_many_lines, reason = "one table")]
fn kernel(sysno: Sysno) -> Option<Class> {
    use Harmless::{Is, Not};
    const BLIND: Kind = Kind::Blind;
    const SURFACE: Kind = Kind::KernelSurface;
    const MOUNT: Kind = Kind::FsMount;
    const NO_CAPABILITY: Layer = Layer::Capabilities;
    let class = match sysno {
        // Hiding from the supervisor.
        Sysno::seccomp => {
            const ARGS: Args =
                Parts(&[Name(Value(0, WHOLE, names::SECCOMP)), Name(Bits(1, WHOLE, names::SECCOMP_FLAGS))]);
            constant(BLIND, ARGS, EPERM)
        }
        Sysno::memfd_secret => constant(BLIND, REGISTERS, EPERM),
        Sysno::userfaultfd => constant(BLIND, Parts(&[Name(Bits(0, WHOLE, names::USERFAULTFD))]), EPERM),
        Sysno::prctl => unless(
            &[Not(0, PR_SET_DUMPABLE), Not(0, PR_SET_SECCOMP), Not(0, PR_SET_MM), Not(0, PR_SET_PTRACER)],
            BLIND,
            Parts(&[Name(Value(0, WHOLE, names::PRCTL))]),
            Answer::Constant(EPERM),
        ),
        // Kernel facilities.
        Sysno::io_uring_register => {
            constant(SURFACE, Parts(&[Name(Value(1, WHOLE, names::IO_URING_REGISTER))]), libc::ENOSYS)
        }
        Sysno::bpf => constant(SURFACE, Parts(&[Name(Value(0, WHOLE, names::BPF))]), EPERM),
        Sysno::perf_event_open => constant(SURFACE, Parts(&[Process(1)]), EPERM),
        // Flags of inodes are metadata: they need no descriptor that is open for writing, only the owner, and all units
        // are one. Keys of an encrypted file system are the machine's: who takes his own away locks his files, and any
        // file below the mount will do. Bridges and VLANs: the kernel loads its modules before it asks for a right.
        Sysno::ioctl => unless(
            &[
                Not(1, TIOCSTI),
                Not(1, TIOCLINUX),
                Not(1, TIOCSETD),
                Not(1, FS_IOC_SETFLAGS),
                Not(1, FS_IOC_FSSETXATTR),
                Not(1, FS_IOC_ADD_ENCRYPTION_KEY),
                Not(1, FS_IOC_REMOVE_ENCRYPTION_KEY),
                Not(1, SIOCGIFBR),
                Not(1, SIOCSIFBR),
                Not(1, SIOCBRADDBR),
                Not(1, SIOCBRDELBR),
                Not(1, SIOCGIFVLAN),
                Not(1, SIOCSIFVLAN),
            ],
            SURFACE,
            Parts(&[Name(Value(1, WHOLE, names::IOCTL)), Descriptor(0)]),
            Answer::Constant(EPERM),
        ),
        Sysno::add_key | Sysno::request_key => refused(SURFACE, Parts(&[Text(0), Text(1)]), Layer::Keyring),
        Sysno::keyctl => refused(SURFACE, Parts(&[Name(Value(0, WHOLE, names::KEYCTL))]), Layer::Keyring),
        Sysno::mount => {
            const ARGS: Args = Parts(&[Name(Bits(3, WHOLE, names::MOUNT)), Text(0), Part::Path(None, 1), Text(2)]);
            refused(MOUNT, ARGS, NO_CAPABILITY)
        }
        Sysno::umount2 => {
            refused(MOUNT, Parts(&[Name(Bits(1, WHOLE, names::UMOUNT)), Part::Path(None, 0)]), NO_CAPABILITY)
        }
        Sysno::pivot_root => refused(MOUNT, Parts(&[Part::Path(None, 0), Part::Path(None, 1)]), NO_CAPABILITY),
        Sysno::chroot => refused(MOUNT, Parts(&[Part::Path(None, 0)]), NO_CAPABILITY),
        Sysno::open_tree | Sysno::open_tree_attr => {
            constant(MOUNT, Parts(&[Name(Bits(2, WHOLE, names::OPEN_TREE)), Part::Path(Some(0), 1)]), EPERM)
        }
        Sysno::move_mount => refused(MOUNT, Parts(&[Part::Path(Some(0), 1), Part::Path(Some(2), 3)]), NO_CAPABILITY),
        Sysno::fsopen => refused(MOUNT, Parts(&[Text(0)]), NO_CAPABILITY),
        Sysno::fsconfig => refused(MOUNT, Parts(&[Name(Value(1, WHOLE, names::FSCONFIG)), Text(2)]), NO_CAPABILITY),
        Sysno::fsmount => refused(MOUNT, REGISTERS, NO_CAPABILITY),
        Sysno::fspick => refused(MOUNT, Parts(&[Part::Path(Some(0), 1)]), NO_CAPABILITY),
        Sysno::mount_setattr => {
            refused(MOUNT, Parts(&[Name(Bits(2, WHOLE, names::AT)), Part::Path(Some(0), 1)]), NO_CAPABILITY)
        }
        Sysno::name_to_handle_at => constant(SURFACE, Path(Some(0), 1, Some(Bits(4, WHOLE, names::AT))), EOPNOTSUPP),
        Sysno::open_by_handle_at => refused(SURFACE, Parts(&[Descriptor(0)]), NO_CAPABILITY),
        // What follows needs no capability in some of its forms, so that nothing stands behind the answer.
        Sysno::quotactl_fd => constant(SURFACE, Parts(&[Descriptor(0)]), EPERM),
        Sysno::personality => unless(
            &[Is(0, PERSONALITY_QUERY)],
            SURFACE,
            Parts(&[Name(Bits(0, WHOLE, names::PERSONALITY))]),
            Answer::Constant(EPERM),
        ),
        Sysno::acct | Sysno::swapon | Sysno::swapoff => refused(SURFACE, Parts(&[Part::Path(None, 0)]), NO_CAPABILITY),
        Sysno::reboot => refused(SURFACE, Parts(&[Name(Value(2, WHOLE, names::REBOOT))]), NO_CAPABILITY),
        Sysno::sethostname | Sysno::setdomainname => refused(SURFACE, Parts(&[Bytes(0, 1)]), NO_CAPABILITY),
        Sysno::init_module => refused(SURFACE, Parts(&[Text(2)]), NO_CAPABILITY),
        Sysno::finit_module => refused(SURFACE, Parts(&[Descriptor(0), Text(1)]), NO_CAPABILITY),
        Sysno::delete_module => refused(SURFACE, Parts(&[Text(0)]), NO_CAPABILITY),
        Sysno::kexec_file_load => refused(SURFACE, Parts(&[Descriptor(0), Descriptor(1)]), NO_CAPABILITY),
        Sysno::quotactl => constant(SURFACE, Parts(&[Part::Path(None, 1)]), EPERM),
        Sysno::fanotify_mark => {
            constant(SURFACE, Parts(&[Name(Bits(1, WHOLE, names::FANOTIFY_MARK)), Part::Path(Some(3), 4)]), EPERM)
        }
        Sysno::move_pages | Sysno::migrate_pages => constant(SURFACE, Parts(&[Process(0)]), EPERM),
        Sysno::syslog | Sysno::fanotify_init => constant(SURFACE, REGISTERS, EPERM),
        Sysno::iopl
        | Sysno::ioperm
        | Sysno::kexec_load
        | Sysno::settimeofday
        | Sysno::clock_settime
        | Sysno::vhangup => refused(SURFACE, REGISTERS, NO_CAPABILITY),
        // io_setup: how many such requests there may be is one number for the whole machine.
        Sysno::io_setup
        | Sysno::io_uring_setup
        | Sysno::io_uring_enter
        | Sysno::adjtimex
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
        | Sysno::set_mempolicy_home_node => constant(SURFACE, REGISTERS, libc::ENOSYS),
        // Its flags lie in memory; with ENOSYS every libc falls back to clone.
        Sysno::clone3 => Class::Silent(libc::ENOSYS),
        _ => return None,
    };
    Some(class)
}
