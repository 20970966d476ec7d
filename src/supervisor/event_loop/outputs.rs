//! What cargo prints, how it ends, and what the stub resolver is asked.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use super::{EventLoop, Failed, Result};
use crate::base;
use crate::evidence::Bytes;
use crate::evidence::line::{Address, Line, Output, note};
use crate::ids::{PackageId, UnitId};
use crate::sandbox::channel::Event;
use crate::supervisor::cargo::{self, FailedScripts, Lines, Message, Tail};
use crate::supervisor::{SupervisorError, dns};
use crate::sys::process::pidfd;

/// The process that tests the sandbox and becomes cargo, and what it said.
pub(super) struct Cargo {
    /// None once it has ended.
    pub(super) process: Option<OwnedFd>,
    /// None at the end of it, as the next.
    pub(super) stdout: Option<File>,
    pub(super) stderr: Option<File>,
    /// What the self-test printed.
    pub(super) self_test: String,
    lines: Lines,
    pub(super) stderr_tail: Tail,
    failed_scripts: FailedScripts,
    /// By package and crate name.
    diagnostics: HashMap<(PackageId, String), Tail>,
}

impl Cargo {
    pub(super) fn new(pid: Pid, stdout: OwnedFd, stderr: OwnedFd) -> Result<Self> {
        let watch = |step| move |source: io::Error| SupervisorError::Watch { step, source };
        for pipe in [&stdout, &stderr] {
            fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
                .map_err(|errno| watch("read cargo's output")(errno.into()))?;
        }
        Ok(Self {
            process: Some(pidfd(pid).map_err(watch("watch cargo"))?),
            stdout: Some(File::from(stdout)),
            stderr: Some(File::from(stderr)),
            self_test: String::new(),
            lines: Lines::default(),
            stderr_tail: Tail::default(),
            failed_scripts: FailedScripts::default(),
            diagnostics: HashMap::new(),
        })
    }

    /// True when it has ended and all that it said was read.
    pub(super) fn is_over(&self) -> bool {
        self.process.is_none() && self.stdout.is_none() && self.stderr.is_none()
    }
}

impl EventLoop<'_> {
    pub(super) fn read_stdout(&mut self) -> Result<()> {
        let Some(bytes) = drain(&mut self.cargo.stdout) else { return Ok(()) };
        if self.cargo.stdout.is_none() && bytes.is_empty() {
            return Ok(());
        }
        if self.go.is_some() {
            self.cargo.self_test.push_str(&String::from_utf8_lossy(&bytes));
            return Ok(());
        }
        let mut messages = Vec::new();
        self.cargo.lines.push(&bytes, |line| messages.extend(cargo::read(line)));
        if self.cargo.lines.take_dropped() > 0 {
            self.note(note::EVIDENCE_LOST, None, None, "a message of cargo's was too long to be read")?;
        }
        messages.into_iter().try_for_each(|message| self.take_message(message))
    }

    fn take_message(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Directives(package, mut directives, out_dir) => {
                let package = self.admission.ran_into(package, &out_dir);
                for directive in &mut directives {
                    directive.package.clone_from(&package);
                }
                if !self.admission.has_run_into(&out_dir) {
                    let folder = out_dir.parent().and_then(Path::file_name).unwrap_or_default();
                    self.note_fresh(&package, format!("build/{}/out", folder.to_string_lossy()))?;
                }
                directives.into_iter().try_for_each(|directive| self.write(&Line::Directive(directive)))?;
                cargo::link_arguments(&package, &out_dir, |directive| self.write(&Line::Directive(directive)))
            }
            Message::Diagnostic(package, folder, crate_name, text) => {
                let package = self.admission.lies_in(package, &folder);
                self.cargo.diagnostics.entry((package, crate_name)).or_default().push(text.as_bytes());
                Ok(())
            }
            Message::Artifact(package, folder, files, is_fresh) => {
                let package = self.admission.lies_in(package, &folder);
                for file in files {
                    if is_fresh {
                        self.note_fresh(&package, base::identity(&file))?;
                    }
                    let name = base::unit_name(&file);
                    if let Some(announced) = self.announced.get(name)
                        && *announced != package
                    {
                        let text = format!("{name} was announced as {announced}; cargo says it is {package}");
                        self.note(note::ATTRIBUTION_MISMATCH, Some(package.clone()), None, &text)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// A unit that does not run in this run: its evidence is another's.
    fn note_fresh(&mut self, package: &PackageId, identity: String) -> Result<()> {
        if self.fresh.contains(&identity) {
            return Ok(());
        }
        self.note(note::UNIT_FRESH, Some(package.clone()), None, &identity)?;
        self.parent.tell(&Event::Finished { package: package.to_string() });
        self.fresh.insert(identity);
        Ok(())
    }

    pub(super) fn read_stderr(&mut self) {
        if let Some(bytes) = drain(&mut self.cargo.stderr) {
            self.cargo.stderr_tail.push(&bytes);
            self.cargo.failed_scripts.push(&bytes);
        }
    }

    /// cargo is gone: whatever still lives inside is ended.
    pub(super) fn cargo_ended(&mut self) -> Result<()> {
        if let Some(child) = self.cargo.process.take() {
            self.unwatch(&child)?;
        }
        if self.go.is_some() && self.life.is_none() {
            return Err(SupervisorError::Stopped);
        }
        if self.go.is_some() {
            let mut text =
                format!("cargo was never started: {}", String::from_utf8_lossy(self.cargo.self_test.as_bytes()).trim());
            self.read_stderr();
            if let Some(tail) = self.cargo.stderr_tail.take() {
                text = tail.to_string();
            }
            return Err(SupervisorError::Layer { layer: "seccomp", text });
        }
        let status = nix::sys::wait::wait();
        let text = match status {
            Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => code.to_string(),
            other => format!("{other:?}"),
        };
        self.note(note::CARGO_EXIT, None, None, &text)?;
        self.stop();
        Ok(())
    }

    /// Hands the folder of outputs over, of which the host keeps what later runs may take. True if that came about: without
    /// it, nothing is kept.
    pub(super) fn hand_over_outputs(&self) -> bool {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = open(self.spec.header.layout.target_dir.as_str(), flags, Mode::empty());
        folder.is_ok_and(|folder| self.parent.hand_over(&folder).is_ok())
    }

    /// A query that no unit was seen to send, for example by `write` on a connected socket.
    pub(super) fn resolve(&mut self, at: u32) -> Result<()> {
        let questions =
            usize::try_from(at).ok().and_then(|at| self.resolver.get(at)).map(dns::answer).unwrap_or_default();
        for (name, qtype) in questions {
            if let Some(at) = self.asked.iter().position(|asked| *asked == name) {
                self.asked.swap_remove(at);
                continue;
            }
            let text = format!("{qtype} {}", Bytes(name));
            let asker = self.only_asker();
            self.note(note::UNSEEN_QUERY, None, asker, &text)?;
        }
        Ok(())
    }

    /// The unit that alone of those that live is connected to the stub.
    fn only_asker(&self) -> Option<UnitId> {
        let units = self.shims.values().filter_map(|shim| shim.unit.as_ref());
        let mut askers = units.filter(|unit| unit.connected.values().any(Address::is_resolver));
        askers.next().filter(|_| askers.next().is_none()).map(|unit| unit.id)
    }

    /// What compilers and cargo said of units that failed, then the end of all that cargo said.
    pub(super) fn write_last_words(&mut self) -> Result<()> {
        let mut outputs = Vec::new();
        for ((package, crate_name), mut tail) in std::mem::take(&mut self.cargo.diagnostics) {
            let of_crate = |failed: &&Failed| {
                failed.package == package
                    && failed.name.strip_prefix(&crate_name).is_some_and(|rest| rest.starts_with('-'))
            };
            let unit = self.failed.iter().find(of_crate).map(|failed| failed.unit);
            if let Some(tail) = tail.take() {
                outputs.push(Output { unit, package: Some(package), stream: "diagnostic".to_owned(), tail });
            }
        }
        outputs.sort_by_key(|output| output.unit);
        for (package, tail) in self.cargo.failed_scripts.take() {
            // cargo's words are by name and version: where two of one name failed, they are said of neither.
            let is_meant = |failed: &&Failed| failed.runs_script && failed.package.is_named_like(&package);
            let mut meant = self.failed.iter().filter(is_meant);
            let (unit, package) = match (meant.next(), meant.next()) {
                (Some(one), None) => (Some(one.unit), Some(one.package.clone())),
                (None, _) => (None, Some(package)),
                (Some(_), Some(_)) => (None, None),
            };
            outputs.push(Output { unit, package, stream: "stderr".to_owned(), tail });
        }
        if let Some(tail) = self.cargo.stderr_tail.take() {
            outputs.push(Output { unit: None, package: None, stream: "stderr".to_owned(), tail });
        }
        outputs.into_iter().try_for_each(|output| self.write(&Line::Output(output)))
    }
}

/// Reads what is there; closes the stream at its end.
fn drain(stream: &mut Option<File>) -> Option<Vec<u8>> {
    const AT_ONCE: usize = 256 * 1024;
    let file = stream.as_mut()?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while bytes.len() < AT_ONCE {
        match file.read(&mut buffer) {
            Ok(0) => {
                *stream = None;
                break;
            }
            Ok(n) => bytes.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    Some(bytes)
}
