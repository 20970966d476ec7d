//! The sealing process: enters the PID namespace, gives up all but two
//! capabilities of the sandbox's own user namespace, installs filter K, lets
//! the self-test run, and becomes cargo; or starts cargo, waits for it and
//! becomes the shim that drives macros.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::filter::cargo_filter;
use super::limits::{Limit, Limits};
use super::sabotage::{self, Off};
use super::spec::SandboxSpec;
use crate::shim::HANDOFF_FD;
use crate::sys::capabilities::{self, Capability};
use crate::sys::descriptors;
use crate::sys::process::{Side, SingleThreaded, exit_now, fork, meet_file_size_limit_as_signal};

/// An error that occurred while sealing the process that becomes cargo.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Filter K cannot be installed.
    #[error("install filter K")]
    Install(#[from] seccompiler::Error),
    /// A system call failed.
    #[error("{step}")]
    Call {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// What the sealed process gets.
#[derive(Debug)]
pub struct Ends {
    /// The shared hand-off socket.
    pub handoff: OwnedFd,
    /// Standard output of the self-test and of cargo.
    pub stdout: OwnedFd,
    /// Standard error of both.
    pub stderr: OwnedFd,
    /// Read once after the self-test: a byte means go.
    pub go: OwnedFd,
}

/// The process between the supervisor and the sandbox: it enters the namespace, which only its
/// children are then in, and ends like its child does. Returns the exit status.
pub fn enter_and_seal(
    thread: &SingleThreaded,
    spec: &SandboxSpec,
    namespace: &OwnedFd,
    supervisor: Pid,
    ends: Ends,
) -> i32 {
    let mut errors = File::from(match ends.stderr.try_clone() {
        Ok(stderr) => stderr,
        Err(_) => return 125,
    });
    let failed = |errors: &mut File, error: &SealError| {
        let _ = writeln!(errors, "sandbox-check: failed to {}", crate::error_chain(error));
        125
    };
    let entered = if sabotage::is_off(Off::OuterPidNamespace) {
        Ok(())
    } else {
        setns(namespace, CloneFlags::CLONE_NEWPID).map_err(call("enter the PID namespace"))
    };
    let forked = entered.and_then(|()| fork(thread, 0).map_err(call("start a process in the namespace")));
    match forked {
        Err(error) => failed(&mut errors, &error),
        Ok(Side::Child) => {
            let error = seal(spec, supervisor, ends);
            exit_now(failed(&mut errors, &error))
        }
        Ok(Side::Parent(child)) => {
            drop((ends, errors));
            match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, code)) => code,
                Ok(WaitStatus::Signaled(..)) => 128,
                _ => 125,
            }
        }
    }
}

/// Returns only when it cannot become cargo.
fn seal(spec: &SandboxSpec, supervisor: Pid, ends: Ends) -> SealError {
    match try_seal(spec, supervisor, ends) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_seal(spec: &SandboxSpec, supervisor: Pid, ends: Ends) -> Result<Infallible, SealError> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(call("die with the parent"))?;
    nix::unistd::setsid().map_err(call("leave the session"))?;
    // The program that the user started takes its signals by itself. What a build starts and ends by a signal must end.
    SigSet::empty().thread_set_mask().map_err(call("unblock signals"))?;
    let null = File::open("/dev/null").map_err(call("open /dev/null"))?;
    for (fd, number) in
        [(null.as_fd(), 0), (ends.stdout.as_fd(), 1), (ends.stderr.as_fd(), 2), (ends.handoff.as_fd(), HANDOFF_FD)]
    {
        descriptors::place(fd, number).map_err(call("place the standard descriptors"))?;
    }
    descriptors::close_on_exec_all_but(HANDOFF_FD).map_err(call("close the other descriptors"))?;
    let kept: Vec<_> =
        [Capability::SYS_ADMIN, Capability::SET_PCAP].into_iter().chain(sabotage::capability()).collect();
    capabilities::keep_only(&kept, true).map_err(call("give up capabilities"))?;
    for capability in kept {
        capabilities::raise_ambient(capability).map_err(call("keep two capabilities over execve"))?;
    }
    if !sabotage::is_off(Off::Limits) {
        limit(spec)?;
    }
    meet_file_size_limit_as_signal().map_err(call("expect the signal of a file that is too large"))?;
    if !sabotage::is_off(Off::CargoFilter) {
        seccompiler::apply_filter(&cargo_filter())?;
    }
    prove(spec, supervisor, ends.go)?;
    become_cargo(spec)
}

/// Runs the self-test and waits for the supervisor to be content with it.
fn prove(spec: &SandboxSpec, supervisor: Pid, go: OwnedFd) -> Result<(), SealError> {
    let mut self_test = Command::new(spec.shim());
    self_test.arg("self-test").args(spec.self_test_arguments(supervisor.as_raw())).env_clear().current_dir("/");
    self_test.envs(sabotage::variables());
    let ended = self_test.status().map_err(call("start the self-test"))?;
    // One that did not get to its end may not have knocked at the supervisor, which then would wait for it for ever.
    if !ended.success() && !sabotage::is_on() {
        return Err(call("run the self-test")(io::Error::other(format!("it ended with {ended}"))));
    }
    File::from(go).read_exact(&mut [0]).map_err(call("get the supervisor's word after the self-test"))
}

/// Becomes cargo; or starts it, waits for it and becomes the shim that drives macros.
fn become_cargo(spec: &SandboxSpec) -> Result<Infallible, SealError> {
    let (name, args) =
        spec.cargo.args.split_first().map_or(("cargo", [].as_slice()), |(name, args)| (name.as_str(), args));
    let mut cargo = Command::new(&spec.cargo.program);
    cargo.arg0(name).args(args).env_clear().current_dir(&spec.cargo.cwd);
    cargo.envs(spec.cargo.env.iter().map(|(name, value)| (name, value)));
    cargo.envs(sabotage::variables());
    if spec.driver.is_none() {
        return Err(call("start cargo")(cargo.exec()));
    }
    let drive = |program: String, args: &[String]| {
        let mut shim = Command::new(program);
        shim.args(args).env_clear().current_dir(&spec.cargo.cwd);
        shim.envs(spec.cargo.env.iter().map(|(name, value)| (name, value)));
        shim
    };
    // The shim that this process becomes waits for it, too. Without it everything is driven after cargo.
    let early = drive(spec.early_shim(), &["drive-early".to_owned()]).spawn();
    let status = cargo.status().map_err(call("start cargo"))?;
    let code = status.code().unwrap_or(101);
    drop(early);
    let after = ["drive".to_owned(), spec.jobs.to_string(), code.to_string()];
    Err(call("start the drivers of macros")(drive(spec.shim(), &after).exec()))
}

/// So much later than the supervisor the kernel ends a process for its CPU time.
const CPU_GRACE_S: u64 = 5;

/// So many processes more than any foreign program may cargo, the shims and compilers start: what a build script
/// takes up does not fail the packages beside it before it is noticed and ended. A rustc has a thread for each core
/// that it is given, and a linker as many.
pub const COMPILERS_RESERVE: u64 = 512;

/// Limits of each process inside, by what the kernel calls them.
const OF_A_PROCESS: [(Resource, Limit); 3] = [
    (Resource::RLIMIT_NPROC, Limit::Processes),
    (Resource::RLIMIT_FSIZE, Limit::FileSize),
    (Resource::RLIMIT_NOFILE, Limit::OpenFiles),
];

/// What a process inside has no use for, or would take away from all else that its user runs: the kernel counts by user,
/// and an ordinary user is the same one outside.
const OF_A_USER: [(Resource, u64); 5] = [
    // No file, and not given to a helper of the machine's either: `core(5)` has it for a crash of the helper itself.
    (Resource::RLIMIT_CORE, 1),
    // Whoever runs before all others runs before the supervisor.
    (Resource::RLIMIT_RTPRIO, 0),
    (Resource::RLIMIT_NICE, 0),
    (Resource::RLIMIT_SIGPENDING, 2048),
    // Half of what a user has by default.
    (Resource::RLIMIT_MSGQUEUE, 409_600),
];

/// Lowers limits to our own hard ones: who has less cannot give more.
///
/// # Errors
/// What `getrlimit(2)` answers.
pub fn lower_to_our_own(limits: &mut Limits) -> io::Result<()> {
    for (resource, limit) in OF_A_PROCESS {
        limits.lower(limit, getrlimit(resource)?.1);
    }
    Ok(())
}

/// Lets the supervisor have as many descriptors as it may: it keeps eight for each unit that runs. What runs inside
/// has a limit of its own.
///
/// # Errors
/// What `setrlimit(2)` answers.
pub fn take_all_descriptors() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Limits of each process inside. `RLIMIT_NPROC` counts within the user namespace only because it is
/// set inside of it.
fn limit(spec: &SandboxSpec) -> Result<(), SealError> {
    let limits = &spec.limits;
    let (_, our_cpu) = getrlimit(Resource::RLIMIT_CPU).map_err(call("read resource limits"))?;
    // The supervisor ends a unit earlier, by the time of all its processes. This holds for one process
    // also when nobody looks.
    let cpu = limits.of(Limit::Cpu).saturating_add(CPU_GRACE_S).min(our_cpu);
    let of_a_process = OF_A_PROCESS.map(|(resource, limit)| match limit {
        Limit::Processes => (resource, limits.of(limit).saturating_add(COMPILERS_RESERVE)),
        _ => (resource, limits.of(limit)),
    });
    for (resource, value) in of_a_process.into_iter().chain([(Resource::RLIMIT_CPU, cpu)]).chain(OF_A_USER) {
        // A shim lowers it further for its unit.
        let value = value.min(getrlimit(resource).map_err(call("read resource limits"))?.1);
        setrlimit(resource, value, value).map_err(call("set resource limits"))?;
    }
    Ok(())
}

fn call<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> SealError {
    move |error| SealError::Call { step, source: error.into() }
}
