//! Names of operations and flags, as the kernel's headers spell them.

/// Values with their names.
pub type Names = &'static [(u32, &'static str)];

/// `linux/sched.h`: flags of clone(2), unshare(2) and setns(2) that are about namespaces and threads.
pub const CLONE: Names = &[
    (0x0000_0080, "CLONE_NEWTIME"),
    (0x0000_0100, "CLONE_VM"),
    (0x0000_0200, "CLONE_FS"),
    (0x0000_0400, "CLONE_FILES"),
    (0x0000_4000, "CLONE_VFORK"),
    (0x0000_8000, "CLONE_PARENT"),
    (0x0001_0000, "CLONE_THREAD"),
    (0x0002_0000, "CLONE_NEWNS"),
    (0x0200_0000, "CLONE_NEWCGROUP"),
    (0x0400_0000, "CLONE_NEWUTS"),
    (0x0800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
];

/// `linux/fcntl.h`: flags of the calls whose name ends in `at`, but for unlinkat(2) and faccessat(2).
pub const AT: Names = &[
    (0x0100, "AT_SYMLINK_NOFOLLOW"),
    (0x0400, "AT_SYMLINK_FOLLOW"),
    (0x0800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"),
    (0x8000, "AT_RECURSIVE"),
    (0x0001_0000, "AT_EXECVE_CHECK"),
];

/// `linux/fcntl.h`, for unlinkat(2).
pub const UNLINK: Names = &[(0x200, "AT_REMOVEDIR")];

/// `linux/fcntl.h`, for faccessat2(2).
pub const ACCESS: Names = &[(0x100, "AT_SYMLINK_NOFOLLOW"), (0x200, "AT_EACCESS"), (0x1000, "AT_EMPTY_PATH")];

/// `linux/fs.h`, for renameat2(2).
pub const RENAME: Names = &[(1, "RENAME_NOREPLACE"), (2, "RENAME_EXCHANGE"), (4, "RENAME_WHITEOUT")];

/// `linux/stat.h`: the type in the mode of mknod(2), under [`FILE_TYPE_MASK`].
pub const FILE_TYPE: Names = &[
    (0, "S_IFREG"),
    (0o010_000, "S_IFIFO"),
    (0o020_000, "S_IFCHR"),
    (0o060_000, "S_IFBLK"),
    (0o100_000, "S_IFREG"),
    (0o140_000, "S_IFSOCK"),
];
/// `S_IFMT`.
pub const FILE_TYPE_MASK: u32 = 0o170_000;

/// `linux/xattr.h`, for setxattr(2).
pub const XATTR: Names = &[(1, "XATTR_CREATE"), (2, "XATTR_REPLACE")];

/// `linux/fcntl.h`: the operations of fcntl(2) that are notified.
pub const FCNTL: Names = &[
    (8, "F_SETOWN"),
    (10, "F_SETSIG"),
    (15, "F_SETOWN_EX"),
    (1024, "F_SETLEASE"),
    (1026, "F_NOTIFY"),
    (1036, "F_SET_RW_HINT"),
];

/// `asm-generic/ioctls.h`, `linux/fs.h`, `linux/fscrypt.h`, `linux/sockios.h`: the operations of ioctl(2) that are notified.
pub const IOCTL: Names = &[
    (0x5412, "TIOCSTI"),
    (0x541c, "TIOCLINUX"),
    (0x5423, "TIOCSETD"),
    (0x4008_6602, "FS_IOC_SETFLAGS"),
    (0x401c_5820, "FS_IOC_FSSETXATTR"),
    (0xc050_6617, "FS_IOC_ADD_ENCRYPTION_KEY"),
    (0xc040_6618, "FS_IOC_REMOVE_ENCRYPTION_KEY"),
    (0x8940, "SIOCGIFBR"),
    (0x8941, "SIOCSIFBR"),
    (0x89a0, "SIOCBRADDBR"),
    (0x89a1, "SIOCBRDELBR"),
    (0x8982, "SIOCGIFVLAN"),
    (0x8983, "SIOCSIFVLAN"),
];

/// `linux/prctl.h`: the operations of prctl(2) that are notified.
pub const PRCTL: Names =
    &[(4, "PR_SET_DUMPABLE"), (22, "PR_SET_SECCOMP"), (35, "PR_SET_MM"), (0x5961_6d61, "PR_SET_PTRACER")];

/// `linux/seccomp.h`: operations of seccomp(2).
pub const SECCOMP: Names = &[
    (0, "SECCOMP_SET_MODE_STRICT"),
    (1, "SECCOMP_SET_MODE_FILTER"),
    (2, "SECCOMP_GET_ACTION_AVAIL"),
    (3, "SECCOMP_GET_NOTIF_SIZES"),
];

/// `linux/seccomp.h`: flags of seccomp(2).
pub const SECCOMP_FLAGS: Names = &[
    (0x01, "SECCOMP_FILTER_FLAG_TSYNC"),
    (0x02, "SECCOMP_FILTER_FLAG_LOG"),
    (0x04, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
    (0x08, "SECCOMP_FILTER_FLAG_NEW_LISTENER"),
    (0x10, "SECCOMP_FILTER_FLAG_TSYNC_ESRCH"),
    (0x20, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"),
];

/// `linux/ptrace.h`: requests of ptrace(2).
pub const PTRACE: Names = &[
    (0, "PTRACE_TRACEME"),
    (1, "PTRACE_PEEKTEXT"),
    (2, "PTRACE_PEEKDATA"),
    (3, "PTRACE_PEEKUSER"),
    (4, "PTRACE_POKETEXT"),
    (5, "PTRACE_POKEDATA"),
    (6, "PTRACE_POKEUSER"),
    (7, "PTRACE_CONT"),
    (8, "PTRACE_KILL"),
    (9, "PTRACE_SINGLESTEP"),
    (12, "PTRACE_GETREGS"),
    (13, "PTRACE_SETREGS"),
    (16, "PTRACE_ATTACH"),
    (17, "PTRACE_DETACH"),
    (24, "PTRACE_SYSCALL"),
    (0x4200, "PTRACE_SETOPTIONS"),
    (0x4201, "PTRACE_GETEVENTMSG"),
    (0x4204, "PTRACE_GETREGSET"),
    (0x4205, "PTRACE_SETREGSET"),
    (0x4206, "PTRACE_SEIZE"),
    (0x4207, "PTRACE_INTERRUPT"),
    (0x4208, "PTRACE_LISTEN"),
];

/// `linux/keyctl.h`: operations of keyctl(2).
pub const KEYCTL: Names = &[
    (0, "KEYCTL_GET_KEYRING_ID"),
    (1, "KEYCTL_JOIN_SESSION_KEYRING"),
    (2, "KEYCTL_UPDATE"),
    (3, "KEYCTL_REVOKE"),
    (4, "KEYCTL_CHOWN"),
    (5, "KEYCTL_SETPERM"),
    (6, "KEYCTL_DESCRIBE"),
    (7, "KEYCTL_CLEAR"),
    (8, "KEYCTL_LINK"),
    (9, "KEYCTL_UNLINK"),
    (10, "KEYCTL_SEARCH"),
    (11, "KEYCTL_READ"),
    (12, "KEYCTL_INSTANTIATE"),
    (22, "KEYCTL_GET_PERSISTENT"),
    (30, "KEYCTL_MOVE"),
];

/// `linux/bpf.h`: commands of bpf(2).
pub const BPF: Names = &[
    (0, "BPF_MAP_CREATE"),
    (1, "BPF_MAP_LOOKUP_ELEM"),
    (2, "BPF_MAP_UPDATE_ELEM"),
    (5, "BPF_PROG_LOAD"),
    (6, "BPF_OBJ_PIN"),
    (7, "BPF_OBJ_GET"),
    (8, "BPF_PROG_ATTACH"),
    (17, "BPF_RAW_TRACEPOINT_OPEN"),
    (18, "BPF_BTF_LOAD"),
    (28, "BPF_LINK_CREATE"),
];

/// `linux/io_uring.h`: operations of `io_uring_register(2)`.
pub const IO_URING_REGISTER: Names = &[
    (0, "IORING_REGISTER_BUFFERS"),
    (2, "IORING_REGISTER_FILES"),
    (8, "IORING_REGISTER_PROBE"),
    (11, "IORING_REGISTER_RESTRICTIONS"),
    (12, "IORING_REGISTER_ENABLE_RINGS"),
];

/// `linux/userfaultfd.h`.
pub const USERFAULTFD: Names = &[(0x1, "UFFD_USER_MODE_ONLY"), (0o4000, "O_NONBLOCK"), (0o2_000_000, "O_CLOEXEC")];

/// `linux/mount.h`: flags of mount(2).
pub const MOUNT: Names = &[
    (0x0001, "MS_RDONLY"),
    (0x0002, "MS_NOSUID"),
    (0x0004, "MS_NODEV"),
    (0x0008, "MS_NOEXEC"),
    (0x0020, "MS_REMOUNT"),
    (0x1000, "MS_BIND"),
    (0x2000, "MS_MOVE"),
    (0x4000, "MS_REC"),
    (0x0002_0000, "MS_UNBINDABLE"),
    (0x0004_0000, "MS_PRIVATE"),
    (0x0008_0000, "MS_SLAVE"),
    (0x0010_0000, "MS_SHARED"),
];

/// `linux/fs.h`: flags of umount2(2).
pub const UMOUNT: Names = &[(1, "MNT_FORCE"), (2, "MNT_DETACH"), (4, "MNT_EXPIRE"), (8, "UMOUNT_NOFOLLOW")];

/// `linux/mount.h`: flags of `open_tree(2)`, beside [`AT`].
pub const OPEN_TREE: Names =
    &[(1, "OPEN_TREE_CLONE"), (0x100, "AT_SYMLINK_NOFOLLOW"), (0x1000, "AT_EMPTY_PATH"), (0x8000, "AT_RECURSIVE")];

/// `linux/mount.h`: commands of fsconfig(2).
pub const FSCONFIG: Names = &[
    (0, "FSCONFIG_SET_FLAG"),
    (1, "FSCONFIG_SET_STRING"),
    (2, "FSCONFIG_SET_BINARY"),
    (3, "FSCONFIG_SET_PATH"),
    (5, "FSCONFIG_SET_FD"),
    (6, "FSCONFIG_CMD_CREATE"),
    (7, "FSCONFIG_CMD_RECONFIGURE"),
];

/// `linux/reboot.h`: commands of reboot(2), register 2.
pub const REBOOT: Names = &[
    (0x0123_4567, "LINUX_REBOOT_CMD_RESTART"),
    (0xcdef_0123, "LINUX_REBOOT_CMD_HALT"),
    (0x4321_fedc, "LINUX_REBOOT_CMD_POWER_OFF"),
    (0x4558_4543, "LINUX_REBOOT_CMD_KEXEC"),
];

/// `linux/personality.h`: the flags that weaken something.
pub const PERSONALITY: Names = &[
    (0x0002_0000, "UNAME26"),
    (0x0004_0000, "ADDR_NO_RANDOMIZE"),
    (0x0010_0000, "MMAP_PAGE_ZERO"),
    (0x0040_0000, "READ_IMPLIES_EXEC"),
    (0x0080_0000, "ADDR_LIMIT_32BIT"),
    (0x0800_0000, "ADDR_LIMIT_3GB"),
];

/// `linux/fanotify.h`: flags of `fanotify_mark(2)`.
pub const FANOTIFY_MARK: Names = &[
    (0x01, "FAN_MARK_ADD"),
    (0x02, "FAN_MARK_REMOVE"),
    (0x08, "FAN_MARK_ONLYDIR"),
    (0x10, "FAN_MARK_MOUNT"),
    (0x100, "FAN_MARK_FILESYSTEM"),
];

/// `linux/socket.h`: flags of the calls that send.
pub const MESSAGE: Names = &[
    (0x0000_0001, "MSG_OOB"),
    (0x0000_0004, "MSG_DONTROUTE"),
    (0x0000_0040, "MSG_DONTWAIT"),
    (0x0000_0080, "MSG_EOR"),
    (0x0000_0800, "MSG_CONFIRM"),
    (0x0000_4000, "MSG_NOSIGNAL"),
    (0x0000_8000, "MSG_MORE"),
    (0x0400_0000, "MSG_ZEROCOPY"),
    (0x2000_0000, "MSG_FASTOPEN"),
];

/// `linux/net.h`: flags beside the type of socket(2).
pub const SOCKET: Names = &[(0o4000, "SOCK_NONBLOCK"), (0o2_000_000, "SOCK_CLOEXEC")];

/// `linux/socket.h`: address families.
pub const FAMILY: Names = &[
    (0, "AF_UNSPEC"),
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (3, "AF_AX25"),
    (4, "AF_IPX"),
    (5, "AF_APPLETALK"),
    (6, "AF_NETROM"),
    (8, "AF_ATMPVC"),
    (9, "AF_X25"),
    (10, "AF_INET6"),
    (11, "AF_ROSE"),
    (15, "AF_KEY"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (19, "AF_ECONET"),
    (20, "AF_ATMSVC"),
    (21, "AF_RDS"),
    (23, "AF_IRDA"),
    (24, "AF_PPPOX"),
    (26, "AF_LLC"),
    (27, "AF_IB"),
    (28, "AF_MPLS"),
    (29, "AF_CAN"),
    (30, "AF_TIPC"),
    (31, "AF_BLUETOOTH"),
    (33, "AF_RXRPC"),
    (35, "AF_PHONET"),
    (36, "AF_IEEE802154"),
    (37, "AF_CAIF"),
    (38, "AF_ALG"),
    (39, "AF_NFC"),
    (40, "AF_VSOCK"),
    (41, "AF_KCM"),
    (42, "AF_QIPCRTR"),
    (43, "AF_SMC"),
    (44, "AF_XDP"),
    (45, "AF_MCTP"),
];

/// `linux/net.h`: types of socket(2), under a mask of four bits.
pub const SOCKET_TYPE: Names = &[
    (1, "SOCK_STREAM"),
    (2, "SOCK_DGRAM"),
    (3, "SOCK_RAW"),
    (4, "SOCK_RDM"),
    (5, "SOCK_SEQPACKET"),
    (6, "SOCK_DCCP"),
    (10, "SOCK_PACKET"),
];

/// `asm/signal.h` of x86-64.
pub const SIGNAL: Names = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

/// The name of a value, or the value itself in hexadecimal.
pub fn value_name(value: u32, names: Names) -> String {
    names
        .iter()
        .find(|(known, _)| *known == value)
        .map_or_else(|| format!("{value:#x}"), |(_, name)| (*name).to_owned())
}

/// The names of all bits that are set; what has no name is one hexadecimal number at the end.
pub fn bit_names(bits: u32, names: Names) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = bits;
    for (bit, name) in names {
        if bits & bit == *bit {
            found.push((*name).to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 {
        found.push(format!("{rest:#x}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_kept_as_a_number() {
        assert_eq!(value_name(9, SIGNAL), "SIGKILL");
        assert_eq!(value_name(64, SIGNAL), "0x40");
        assert_eq!(bit_names(0x1000_0000 | 0x1100, CLONE), ["CLONE_VM", "CLONE_NEWUSER", "0x1000"]);
        assert_eq!(bit_names(0, CLONE), Vec::<String>::new());
    }
}
