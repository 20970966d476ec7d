//! The host's side of a run: starts the launch helper, maps its ids, listens, and stops it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::channel::{Event, Order, Why};
use super::spec::{Identity, SandboxSpec};
use crate::handoff;

/// Why a run did not end with a closed log.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the run cannot be made.
    #[error("prepare the run in {}", .path.display())]
    Prepare {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The launch helper cannot be started.
    #[error("start the launch helper")]
    Start(#[source] io::Error),
    /// A layer does not hold here.
    #[error("{text}")]
    Layer {
        /// Its name.
        layer: String,
        /// What failed.
        text: String,
    },
    /// Evidence could not be written, and the build was ended for that.
    #[error("{0}")]
    Evidence(String),
    /// It was stopped before the build began.
    #[error("begin the build: the run was stopped before")]
    Stopped,
    /// The helper failed otherwise, or ended without a word.
    #[error("{0}")]
    Failed(String),
}

/// A started sandbox.
#[derive(Debug)]
pub struct RunningSandbox {
    child: Child,
    identity: Identity,
    events: BufReader<std::process::ChildStdout>,
}

/// The way to stop a sandbox from another thread.
#[derive(Debug)]
pub struct Stopper(UnixStream);

impl Stopper {
    /// Asks the supervisor to end everything and close the log.
    pub fn stop(&mut self) {
        let _ = send(&mut self.0, Order::Stop);
    }

    fn mapped(&mut self) -> io::Result<()> {
        send(&mut self.0, Order::Mapped)
    }

    /// What was handed over, see [`Parent::hand_over`](super::channel::Parent::hand_over).
    /// It was sent before that was told, so that nothing is waited for.
    fn received(&self) -> Option<OwnedFd> {
        handoff::receive(&self.0).ok().flatten()?.fd
    }
}

fn send(socket: &mut UnixStream, order: Order) -> io::Result<()> {
    let mut line = serde_json::to_vec(&order)?;
    line.push(b'\n');
    socket.write_all(&line)
}

/// Starts the launch helper with a spec. The helper is this very program.
///
/// # Errors
/// When files of the run cannot be made or the helper does not start.
pub fn spawn(spec: &SandboxSpec, run_dir: &Path) -> Result<(RunningSandbox, Stopper), RunError> {
    let prepare = |path: &Path| {
        let path = path.to_owned();
        |source| RunError::Prepare { path, source }
    };
    for path in [&spec.evidence, &spec.counters] {
        private_file(path).map_err(prepare(path))?;
    }
    private_folder(&spec.captured, spec.identity).map_err(prepare(&spec.captured))?;
    let spec_file = run_dir.join("spec.json");
    let file = private_file(&spec_file).map_err(prepare(&spec_file))?;
    serde_json::to_writer(io::BufWriter::new(file), spec).map_err(|error| prepare(&spec_file)(error.into()))?;

    let program = std::env::current_exe().map_err(RunError::Start)?;
    let mut command = Command::new(program);
    let (orders, input) = UnixStream::pair().map_err(RunError::Start)?;
    command.arg("__launch").arg(&spec_file).stdin(OwnedFd::from(input)).stdout(Stdio::piped()).stderr(Stdio::inherit());
    // A Ctrl-C of the terminal is ours to handle; the helper gets an order.
    command.process_group(0).env_clear().current_dir("/");
    command.envs(super::sabotage::variables());
    let mut child = command.spawn().map_err(RunError::Start)?;
    // It holds the helper's end of the socket, which must end with the helper.
    drop(command);
    let output = child.stdout.take().ok_or_else(|| RunError::Start(io::ErrorKind::BrokenPipe.into()))?;
    tracing::debug!(pid = child.id(), spec = %spec_file.display(), "started the launch helper");
    let running = RunningSandbox { child, identity: spec.identity, events: BufReader::new(output) };
    Ok((running, Stopper(orders)))
}

/// What the self-test must not be able to reach. Dropped after the run.
///
/// # Errors
/// When the socket cannot be bound or the file not be written.
pub fn plant_self_test(spec: &SandboxSpec) -> Result<UnixListener, RunError> {
    let targets = &spec.self_test;
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| RunError::Prepare { path, source }
    };
    fs::write(&targets.host_file, "A file of the host's.\n").map_err(failed(&targets.host_file))?;
    let socket = UnixListener::bind(&targets.host_socket).map_err(failed(&targets.host_socket))?;
    fs::set_permissions(&targets.host_socket, fs::Permissions::from_mode(0o777))
        .map_err(failed(&targets.host_socket))?;
    Ok(socket)
}

impl RunningSandbox {
    /// Follows the run to its end. `handle` gets each event, and the folder of outputs with the one that it was handed over
    /// with; `stopper` is lent for the mapping and for that folder.
    ///
    /// # Errors
    /// See [`RunError`]; with `Ok` the log is closed.
    pub fn follow(
        mut self,
        with_stopper: impl Fn(&mut dyn FnMut(&mut Stopper)),
        mut handle: impl FnMut(&Event, Option<OwnedFd>),
    ) -> Result<(), RunError> {
        let mut failure = None;
        let mut line = String::new();
        loop {
            line.clear();
            match self.events.read_line(&mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
            let mut outputs = None;
            match &event {
                Event::NeedsMapping => {
                    if let Err(error) = map_ids(self.child.id(), self.identity) {
                        let _ = self.child.kill();
                        let _ = self.child.wait();
                        let layer = "user-namespace".to_owned();
                        return Err(RunError::Layer { layer, text: format!("map the sandbox's user: {error}") });
                    }
                    with_stopper(&mut |stopper| {
                        let _ = stopper.mapped();
                    });
                }
                Event::Started { outputs: true } => with_stopper(&mut |stopper| outputs = stopper.received()),
                Event::Failed { why, text } => {
                    let text = text.clone();
                    failure = Some(match why {
                        Why::Layer(layer) => RunError::Layer { layer: layer.clone(), text },
                        Why::Evidence => RunError::Evidence(text),
                        Why::Stopped => RunError::Stopped,
                        Why::Other => RunError::Failed(text),
                    });
                }
                _ => {}
            }
            handle(&event, outputs);
        }
        let status = self.child.wait().map_err(RunError::Start)?;
        match failure {
            Some(error) => Err(error),
            None if status.success() => Ok(()),
            None => Err(RunError::Failed(format!("get to the end of the log: the supervisor ended with {status}"))),
        }
    }
}

/// Maps one user and one group, neither of them 0, and forbids a change of groups (`user_namespaces(7)`).
fn map_ids(process: u32, identity: Identity) -> io::Result<()> {
    let write = |file: &str, text: &str| fs::write(format!("/proc/{process}/{file}"), text);
    write("setgroups", "deny")?;
    write("uid_map", &format!("{0} {0} 1", identity.uid))?;
    write("gid_map", &format!("{0} {0} 1", identity.gid))
}

/// A folder that the supervisor makes files in after it has become the sandbox's user.
fn private_folder(path: &Path, owner: Identity) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    if nix::unistd::geteuid().is_root() { chown(path, Some(owner.uid), Some(owner.gid)) } else { Ok(()) }
}

fn private_file(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}
