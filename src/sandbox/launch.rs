//! The launch helper: enters the namespaces, builds the private root, and
//! becomes the supervisor of what it started.
//!
//! Runs as `sandbox-check __launch` with one thread, talks lines of JSON with
//! the process that started it (`channel.rs`), and follows one order that
//! works for root and for ordinary users alike (`docs/architecture.md`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Pid, Uid};

use super::channel::{Event, Order, Parent, Why};
use super::mounts::{self, MountError, Sources};
use super::ruleset::{self, RulesetError};
use super::sabotage::{Off, is_off};
use super::seal;
use super::spec::SandboxSpec;
use crate::supervisor::{self, Sandboxed, SupervisorError};
use crate::sys::process::{Side, SingleThreaded, exit_now, fork, reap_children_automatically, take_short_turns};
use crate::sys::{capabilities, keyring, landlock, network};

/// An error that occurred while launching the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The process that started us sent something else than a spec.
    #[error("read the sandbox's spec")]
    Spec(#[source] io::Error),
    /// Evidence cannot be written.
    #[error("open the evidence file")]
    Evidence(#[source] io::Error),
    /// Captured bytes cannot be kept.
    #[error("open the folder for captured bytes")]
    Captured(#[source] io::Error),
    /// A step that a layer needs failed.
    #[error("set up the {layer}: {step}")]
    Layer {
        /// The layer's name, as the report has it.
        layer: &'static str,
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The private root cannot be built.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Landlock is missing or too old.
    #[error(transparent)]
    Ruleset(#[from] RulesetError),
    /// The supervisor ended early.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

impl LaunchError {
    /// The layer that is missing because of this error, if it is one.
    pub fn layer(&self) -> Option<&'static str> {
        match self {
            Self::Layer { layer, .. } => Some(layer),
            Self::Mount(MountError::Mount { .. } | MountError::Pivot(_)) => Some("mount-namespace"),
            Self::Ruleset(RulesetError::Ruleset(_) | RulesetError::NoDescriptor) => Some("landlock"),
            Self::Supervisor(error) => error.layer(),
            _ => None,
        }
    }
}

/// The hidden subcommand, with the file that holds the spec. Returns the exit status: 0 when the log was closed.
pub fn launch(spec: &Path) -> i32 {
    let Ok(mut parent) = Parent::new() else { return 1 };
    match run(&mut parent, spec) {
        Ok(()) => 0,
        Err(error) => {
            let text = crate::error_chain(&error);
            let why = match (&error, error.layer()) {
                (_, Some(layer)) => Why::Layer(layer.to_owned()),
                (LaunchError::Evidence(_) | LaunchError::Supervisor(SupervisorError::Evidence(_)), _) => Why::Evidence,
                (LaunchError::Supervisor(SupervisorError::Stopped), _) => Why::Stopped,
                _ => Why::Other,
            };
            parent.tell(&Event::Failed { why, text });
            1
        }
    }
}

fn run(parent: &mut Parent, spec: &Path) -> Result<(), LaunchError> {
    let mut spec = read_spec(spec).map_err(LaunchError::Spec)?;
    seal::lower_to_our_own(&mut spec.limits).map_err(LaunchError::Spec)?;
    let thread = SingleThreaded::prove().map_err(in_layer("user-namespace", "count our threads"))?;
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
    let evidence = OpenOptions::new().append(true).open(&spec.evidence).map_err(LaunchError::Evidence)?;
    let counters = OpenOptions::new().read(true).write(true).open(&spec.counters).map_err(LaunchError::Evidence)?;

    let captured =
        open(&spec.captured, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| LaunchError::Captured(errno.into()))?;

    enter_namespaces(parent)?;
    let sources = mounts::open_sources(&spec.mounts)?;
    become_user(&spec)?;
    let root = build_root(&spec, &sources)?;
    let sandbox = start_init(&thread, &spec, root)?;
    mounts::pivot(&spec.root)?;
    restrict(&spec, &sandbox, &captured)?;
    supervise(&thread, parent, spec, sandbox, Files { evidence, counters, captured })
}

/// Files of the host's that the supervisor writes.
struct Files {
    evidence: File,
    counters: File,
    captured: OwnedFd,
}

fn read_spec(path: &Path) -> io::Result<SandboxSpec> {
    Ok(serde_json::from_reader(io::BufReader::new(File::open(path)?))?)
}

/// Step 1: namespaces while still the old user, ids mapped by the parent. Only the target uid is
/// mapped, never 0, so a later change of uid keeps the namespace's capabilities.
fn enter_namespaces(parent: &mut Parent) -> Result<(), LaunchError> {
    if Uid::current().is_root() {
        nix::unistd::setgroups(&[]).map_err(in_layer("user-namespace", "drop supplementary groups"))?;
    }
    let flags =
        CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWCGROUP;
    let network = if is_off(Off::NetworkNamespace) { CloneFlags::empty() } else { CloneFlags::CLONE_NEWNET };
    let messages = if is_off(Off::IpcNamespace) { CloneFlags::empty() } else { CloneFlags::CLONE_NEWIPC };
    unshare(flags | network | messages).map_err(in_layer("user-namespace", "make the namespaces"))?;
    parent.tell(&Event::NeedsMapping);
    match parent.order() {
        Ok(Order::Mapped) => Ok(()),
        Ok(_) => Err(in_layer("user-namespace", "map the user")(io::Error::from(io::ErrorKind::InvalidData))),
        Err(error) => Err(in_layer("user-namespace", "map the user")(error)),
    }
}

/// Steps 2 and 3, once the sources are open: from here on nothing is done as the host's root, and nobody below makes a
/// user namespace.
fn become_user(spec: &SandboxSpec) -> Result<(), LaunchError> {
    let failed = |step| in_layer("user-namespace", step);
    let (uid, gid) = (Uid::from_raw(spec.identity.uid), Gid::from_raw(spec.identity.gid));
    nix::unistd::setresgid(gid, gid, gid).map_err(failed("change the group id"))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(failed("change the user id"))?;
    // A change of credentials makes a process unreadable, its /proc files root's.
    nix::sys::prctl::set_dumpable(true).map_err(failed("make ourselves readable again"))?;
    for (name, most) in OF_THE_NAMESPACE.into_iter().filter(|_| !is_off(Off::Limits)) {
        // A kernel without inotify has nothing to limit.
        let _ = std::fs::write(format!("/proc/sys/user/{name}"), most);
    }
    if is_off(Off::NoNamespaces) {
        return Ok(());
    }
    std::fs::write("/proc/sys/user/max_user_namespaces", "0")
        .map_err(in_layer("user-namespace", "forbid further user namespaces"))
}

/// What the kernel counts for the user in all namespaces together, and few of it (128 instances by default): all that
/// runs inside has a part of it.
const OF_THE_NAMESPACE: [(&str, &str); 2] = [("max_inotify_instances", "32"), ("max_inotify_watches", "4096")];

struct Root {
    outer_proc: OwnedFd,
    read_only: Vec<String>,
    resolver: Vec<UdpSocket>,
}

/// Step 4: the private root, the network namespace's loopback and the resolver's sockets. Both must
/// come before Landlock: a domain may neither mount nor, with network rights, bind.
fn build_root(spec: &SandboxSpec, sources: &Sources) -> Result<Root, LaunchError> {
    let read_only = mounts::apply(&spec.mounts, sources, &spec.root)?;
    let failed = |step| in_layer("network-namespace", step);
    let port = if is_off(Off::NetworkNamespace) { 0 } else { 53 };
    if port != 0 {
        network::loopback_up().map_err(failed("turn the loopback interface on"))?;
    }
    let _ = nix::unistd::sethostname("workstation");
    let resolver = supervisor::bind_resolver(port).map_err(failed("bind the resolver"))?;
    let outer_proc = open("/proc", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(in_layer("pid-namespace", "open /proc"))?;
    Ok(Root { outer_proc, read_only, resolver })
}

struct Started {
    root: Root,
    /// Held by nobody inside: when it closes, the init ends, and everything with it.
    life: OwnedFd,
    pid_namespace: OwnedFd,
}

/// Step 5: process 1 of the PID namespace. It mounts the new `/proc`, waits for our end, and does no more.
fn start_init(thread: &SingleThreaded, spec: &SandboxSpec, root: Root) -> Result<Started, LaunchError> {
    let failed = |step| in_layer("pid-namespace", step);
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed("make a pipe"));
    let ((life_reader, life), (ready, ready_writer)) = (pipe()?, pipe()?);
    let namespace = if is_off(Off::OuterPidNamespace) { 0 } else { libc::CLONE_NEWPID };
    let init = match fork(thread, namespace).map_err(in_layer("pid-namespace", "make the namespace"))? {
        Side::Child => {
            drop((life, ready));
            exit_now(init(spec, life_reader, ready_writer));
        }
        Side::Parent(init) => init,
    };
    drop((life_reader, ready_writer));
    let mut word = Vec::new();
    File::from(ready).read_to_end(&mut word).map_err(in_layer("pid-namespace", "wait for process 1"))?;
    if word != b"ready" {
        let why = String::from_utf8_lossy(&word).into_owned();
        return Err(in_layer("pid-namespace", "mount /proc")(io::Error::other(why)));
    }
    let path = format!("{init}/ns/pid");
    let pid_namespace =
        openat(root.outer_proc.as_fd(), path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(failed("open the namespace"))?;
    Ok(Started { root, life, pid_namespace })
}

fn init(spec: &SandboxSpec, life: OwnedFd, ready: OwnedFd) -> i32 {
    let mut ready = File::from(ready);
    if let Err(error) = mounts::mount_proc(&spec.root) {
        let _ = ready.write_all(crate::error_chain(&error).as_bytes());
        return 1;
    }
    let reaps = reap_children_automatically();
    let _ = ready.write_all(if reaps.is_ok() { b"ready" } else { b"cannot reap" });
    drop(ready);
    let _ = File::from(life).read(&mut [0]);
    0
}

/// Step 6: what holds for the supervisor and for everything inside alike.
fn restrict(spec: &SandboxSpec, started: &Started, captured: &OwnedFd) -> Result<(), LaunchError> {
    if !is_off(Off::Keyring) {
        keyring::join_new_session().map_err(in_layer("keyring", "leave the session keyring"))?;
    }
    nix::sys::prctl::set_no_new_privs().map_err(in_layer("seccomp", "set no-new-privs"))?;
    let domain = ruleset::outer(&spec.header.layout, &started.root.outer_proc, captured)?;
    landlock::restrict_self(domain.as_fd()).map_err(in_layer("landlock", "enter the domain"))
}

/// Step 7: one child seals itself and becomes cargo, this process becomes the supervisor.
fn supervise(
    thread: &SingleThreaded,
    parent: &mut Parent,
    spec: SandboxSpec,
    started: Started,
    files: Files,
) -> Result<(), LaunchError> {
    let failed = |step| in_layer("seccomp", step);
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed("make a pipe"));
    let (handoff, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(failed("make the hand-off socket"))?;
    let ((stdout, stdout_writer), (stderr, stderr_writer), (go_reader, go)) = (pipe()?, pipe()?, pipe()?);
    let supervisor = Pid::this();
    let child = match fork(thread, 0).map_err(in_layer("seccomp", "start the sealing process"))? {
        Side::Child => {
            drop((started.life, handoff, stdout, stderr, go, files));
            let ends = seal::Ends { handoff: theirs, stdout: stdout_writer, stderr: stderr_writer, go: go_reader };
            exit_now(seal::enter_and_seal(thread, &spec, &started.pid_namespace, supervisor, ends));
        }
        Side::Parent(child) => child,
    };
    drop((theirs, stdout_writer, stderr_writer, go_reader, started.pid_namespace));
    seal::take_all_descriptors().map_err(in_layer("seccomp", "raise our own limit of open files"))?;
    capabilities::keep_only(&[capabilities::Capability::SYS_PTRACE], false)
        .map_err(in_layer("seccomp", "give up capabilities"))?;
    // Callers wait for us, often behind compilers that fill all CPUs; the child is not meant, nor what it starts.
    let _ = take_short_turns();
    let sandboxed = Sandboxed {
        spec,
        outer_proc: started.root.outer_proc,
        read_only_views: started.root.read_only,
        resolver: started.root.resolver,
        life: started.life,
        handoff,
        stdout,
        stderr,
        go,
        child,
        evidence: files.evidence,
        counters: files.counters,
        captured: files.captured,
    };
    Ok(supervisor::supervise(sandboxed, parent)?)
}

fn in_layer<E: Into<io::Error>>(layer: &'static str, step: &'static str) -> impl FnOnce(E) -> LaunchError {
    move |error| LaunchError::Layer { layer, step, source: error.into() }
}
