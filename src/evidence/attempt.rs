//! One recorded try, as a typed value: what was tried, with which object, how it was answered.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use crate::ids::{PackageId, UnitId};

/// One recorded try. What was tried, never what was achieved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Position among all attempts of the run, from 1.
    pub seq: u64,
    /// Nanoseconds since the run began.
    pub t: u64,
    /// The unit whose listener reported it.
    pub unit: UnitId,
    /// The unit's package.
    pub package: Option<PackageId>,
    /// How it was attributed.
    pub via: Via,
    /// Whose code it was, where several packages' share a rustc; absent where no macro library was mapped.
    /// Evidence, not proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<Library>,
    /// Process id in the supervisor's namespace; 0 when unknown.
    pub pid: i32,
    /// Thread id in the supervisor's namespace.
    pub tid: i32,
    /// The program that made the call, by `/proc/PID/exe`; advisory.
    pub exe: Bytes,
    /// For [`Kind::Exec`]: the programs of the caller and its ancestors up to
    /// the unit's first process, nearest first. Empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<Bytes>,
    /// What the macro that was driven was asked for: `derive Serialize on struct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<String>,
    /// The class of the call.
    pub kind: Kind,
    /// What we answered.
    pub outcome: Outcome,
    /// The errno of the answer, where we gave or saw one.
    pub errno: Option<i32>,
    /// The system call's name, or `#NUMBER`.
    pub syscall: String,
    /// The raw registers.
    pub args: [u64; 6],
    /// How far the decoded object can be trusted.
    pub arg_state: ArgState,
    /// The decoded arguments.
    pub object: Object,
    /// How often the same was tried. In the file the counts stand in
    /// [`Totals::counts`](super::line::Totals::counts); this field is filled when a log is read.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// How an attempt was attributed to its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The listener belongs to exactly one unit: certain.
    Unit,
    /// By the stack of the calling thread: evidence, not proof.
    Unwind,
    /// By the stack of the calling thread, on which nearer frames lie in files that are nobody's.
    Called,
    /// By who created the calling thread.
    Creator,
    /// By who started the calling program, or one of its ancestors.
    Lineage,
    /// The macro library was alone in its driver: certain.
    Driver,
}

/// Whose code within a rustc made a call. In JSON the field `is` names the variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Library {
    /// A macro library's.
    Macro {
        /// Whose library it is; absent if no unit announced it.
        package: Option<PackageId>,
        /// Its name in the folder of published libraries.
        file: String,
        /// The nearest function on the stack that is not of the standard library: a hint about which of the packages
        /// that are linked into it is meant. The library chose the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        symbol: Option<Bytes>,
    },
    /// The compiler's own: no macro library is on the stack.
    Compiler,
    /// The compiler's or a macro library's.
    Unknown {
        /// Why it is not known.
        why: String,
    },
}

/// The classes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Open for reading, of a file or a directory.
    #[serde(rename = "fs.open")]
    FsOpen,
    /// Open for writing, creation of anything, truncation.
    #[serde(rename = "fs.write")]
    FsWrite,
    /// Mode, owner, times, extended attributes.
    #[serde(rename = "fs.meta")]
    FsMeta,
    /// Rename or link: two paths.
    #[serde(rename = "fs.link")]
    FsLink,
    /// Unlink or rmdir.
    #[serde(rename = "fs.remove")]
    FsRemove,
    /// A question about a path without opening it: stat, access, readlink (`--trace probes`).
    #[serde(rename = "fs.probe")]
    FsProbe,
    /// Mounts, roots.
    #[serde(rename = "fs.mount")]
    FsMount,
    /// Start of a program.
    #[serde(rename = "exec")]
    Exec,
    /// Creation of a socket.
    #[serde(rename = "net.socket")]
    NetSocket,
    /// Connect.
    #[serde(rename = "net.connect")]
    NetConnect,
    /// A message to an address.
    #[serde(rename = "net.send")]
    NetSend,
    /// Bind.
    #[serde(rename = "net.bind")]
    NetBind,
    /// Listen.
    #[serde(rename = "net.listen")]
    NetListen,
    /// A question to a name server.
    #[serde(rename = "dns.query")]
    DnsQuery,
    /// A signal.
    #[serde(rename = "proc.signal")]
    ProcSignal,
    /// Access to another process: ptrace, `process_vm_*`, pidfd.
    #[serde(rename = "proc.inspect")]
    ProcInspect,
    /// New or joined namespaces.
    #[serde(rename = "ns.create")]
    NsCreate,
    /// Kernel facilities that no build needs.
    #[serde(rename = "kernel.surface")]
    KernelSurface,
    /// A call by another architecture's table.
    #[serde(rename = "abi.foreign")]
    AbiForeign,
    /// An attempt to hide from the supervisor.
    #[serde(rename = "blind")]
    Blind,
}

/// What we answered to a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Refused, by us or by the layer that we acted under; `errno` says how.
    Denied,
    /// Passed on to the kernel, whose own answer was not observed.
    Allowed,
    /// Carried out on behalf of the caller; `errno` says if that failed.
    Emulated,
    /// The caller was killed.
    Killed,
    /// The caller was gone before an answer reached it.
    Unknown,
}

/// How far the decoded object can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgState {
    /// Decided from registers, or the supervisor itself acted on these bytes.
    Exact,
    /// Read from memory that the caller could change afterwards.
    Snapshot,
    /// Longer than our cap; the rest is missing.
    Partial,
    /// Could not be read; the call was refused.
    Unreadable,
    /// Found in the place of what was recorded before: another thread of the caller changed the arguments while the
    /// call waited for its answer.
    Changed,
}

/// The decoded arguments of a call. In JSON the field `type` names the variant.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Object {
    /// A call on a path.
    Path(PathObject),
    /// A call on two paths.
    Paths {
        /// The existing path, or a symbolic link's contents.
        from: PathObject,
        /// The new path.
        to: PathObject,
    },
    /// A program start.
    Program {
        /// The file to run.
        program: PathObject,
        /// The arguments, capped.
        argv: Vec<Bytes>,
        /// How many arguments there were.
        argc: u64,
        /// Bytes of all arguments with their ends, also of those that are not kept.
        #[serde(default)]
        argv_bytes: u64,
        /// The caller's working directory; advisory.
        #[serde(default)]
        cwd: Bytes,
        /// What the file was when the call was recorded.
        #[serde(default, skip_serializing_if = "ProgramFile::is_unknown")]
        file: ProgramFile,
    },
    /// A socket's creation.
    Socket {
        /// The family by name (`AF_INET`) or number.
        family: String,
        /// The type by name without flag bits (`SOCK_STREAM`) or number.
        kind: String,
        /// The protocol's number.
        protocol: i64,
        /// The flag bits beside the type, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
    },
    /// A socket address.
    Address(Address),
    /// A message.
    Message {
        /// Where to.
        to: Address,
        /// Its length in bytes, as the caller gave it.
        length: u64,
        /// `MSG_*` by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
    },
    /// A question to a name server.
    Question {
        /// The name without the final dot; bytes from the caller.
        name: Bytes,
        /// `A`, `AAAA`, `TXT`, …
        qtype: String,
        /// The server that was asked.
        server: Address,
    },
    /// A signal.
    Signal {
        /// Its number.
        signal: i64,
        /// The process or thread id as the caller wrote it; of a descriptor the id that it stands for.
        target: i64,
        /// `SIGKILL`, …
        #[serde(default)]
        name: String,
        /// Whom that means.
        #[serde(default)]
        recipient: Recipient,
    },
    /// An operation with its flags by name, such as `prctl`, `mount` or `clone`.
    Operation {
        /// The operation and the flags.
        names: Vec<String>,
        /// The paths that it is about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        paths: Vec<PathObject>,
        /// The processes that it is about, by the ids that the caller wrote.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        processes: Vec<i64>,
        /// What the descriptors that it is about are open on; advisory.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        descriptors: Vec<Bytes>,
        /// Strings: a file system's type, a key's description, an attribute's name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        texts: Vec<Bytes>,
    },
    /// Nothing to decode beyond the registers.
    None,
}

impl Address {
    /// The path of a unix socket, absolute where it is known.
    pub fn place(&self) -> Option<&Bytes> {
        self.resolved.as_ref().or(self.path.as_ref())
    }
}

impl Object {
    /// An operation that is no more than its names.
    pub fn named(names: Vec<String>) -> Self {
        Self::Operation { names, paths: Vec::new(), processes: Vec::new(), descriptors: Vec::new(), texts: Vec::new() }
    }
}

/// Whom a signal is for, by the number alone (kill(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// The calling process or one of its threads.
    Itself,
    /// Another process of the unit's namespace, or none.
    #[default]
    Process,
    /// A thread of another process.
    Thread,
    /// The unit's init, which is ours.
    Init,
    /// The caller's process group.
    OwnGroup,
    /// Another process group.
    Group,
    /// Every process of the unit's namespace.
    Everyone,
}

/// What a file to run was when its start was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramFile {
    /// Machine code.
    Elf,
    /// Begins with `#!`.
    Script,
    /// Something else.
    Other,
    /// There was no such file, as while `execvp` walks over `PATH`.
    Absent,
    /// Nobody looked.
    #[default]
    Unknown,
}

impl ProgramFile {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// One path of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PathObject {
    /// The bytes that the caller gave.
    pub path: Bytes,
    /// The absolute path: of the opened object where we opened it, else by
    /// cwd or dirfd and by text alone (advisory).
    pub resolved: Bytes,
    /// Flags by name, where the call has them. Of a call on two paths they stand with the new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Where a relative path starts; advisory, since the caller can change it at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
}

/// The folder that a relative path starts from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Base {
    /// The caller's descriptor; absent for the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirfd: Option<i32>,
    /// Its path, by the kernel.
    pub path: Bytes,
}

/// A socket address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The family by name or number.
    pub family: String,
    /// IP address as text; absent for other families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<std::net::IpAddr>,
    /// Port, for IP families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path of a unix socket; an abstract name begins with a NUL byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Bytes>,
    /// The absolute path of a unix socket that was named relative to the working directory; advisory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Bytes>,
    /// For people, of families without a field of their own: `cid 2 port 80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// True where a resolver of the machine's is to be asked by TCP: the sandbox ends that before the question is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// The address as the caller gave it.
    pub raw: Bytes,
}

/// Addresses at which machines have a resolver of their own, the one that ours name first: dnsmasq's or nscd's,
/// Docker's, systemd's two, Debian's. Our stub answers at each, and at `::1`.
pub const RESOLVERS: [Ipv4Addr; 5] = [
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(127, 0, 0, 11),
    Ipv4Addr::new(127, 0, 0, 53),
    Ipv4Addr::new(127, 0, 0, 54),
    Ipv4Addr::new(127, 0, 1, 1),
];

impl Address {
    /// True where our stub resolver answers.
    #[must_use]
    pub fn is_resolver(&self) -> bool {
        let is_ours = |ip: IpAddr| match ip.to_canonical() {
            IpAddr::V4(ip) => ip.is_unspecified() || RESOLVERS.contains(&ip),
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_loopback(),
        };
        self.port == Some(53) && self.ip.is_some_and(is_ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_code_it_was_is_written_in_words_and_read_again() {
        let package = Some(PackageId::new("serde_derive", "1.0.0"));
        let file = "libserde_derive-0123456789abcdef.so".to_owned();
        for (library, text) in [
            (Library::Compiler, r#"{"is":"compiler"}"#),
            (Library::Unknown { why: "nobody looked".to_owned() }, r#"{"is":"unknown","why":"nobody looked"}"#),
            (
                Library::Macro { package, file, symbol: Some("a::b".into()) },
                r#"{"is":"macro","package":"serde_derive@1.0.0","file":"libserde_derive-0123456789abcdef.so","symbol":"a::b"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&library).unwrap(), text);
            assert_eq!(serde_json::from_str::<Library>(text).unwrap(), library);
        }
        assert_eq!(serde_json::to_string(&Via::Lineage).unwrap(), "\"lineage\"");
    }
}
