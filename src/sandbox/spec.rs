//! The whole sandbox as data, ready to be carried out.
//!
//! Built by `plan`, printed by `--print-plan`, sent to the launch helper as one
//! line of JSON. Nothing here touches the system.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::table::Trace;
use crate::base::Finished;
use crate::evidence::line::{DecoyClass, Fact, Header};

/// The name of the static shim in the folder of ours.
pub const SHIM: &str = "shim";
/// That of a copy. A program that runs can be opened for writing by nobody (`ETXTBSY`), and one waits beside cargo all the
/// time: who tries to write the shim is to meet what Landlock answers.
pub const EARLY_SHIM: &str = "early-shim";

/// Everything that the launch helper needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Who the code is outside the sandbox; the only id that is mapped inside.
    pub identity: Identity,
    /// A folder of the host's that everyone can enter; the private root is mounted over it, in our own
    /// mount namespace.
    pub root: PathBuf,
    /// Carried out in order.
    pub mounts: Vec<MountOp>,
    /// What runs below filter K.
    pub cargo: CargoCommand,
    /// The absolute path of rustc inside.
    pub rustc: String,
    /// The absolute path of the server that expands macros, inside; none where the toolchain has none.
    #[serde(default)]
    pub driver: Option<String>,
    /// How many units run at a time.
    #[serde(default)]
    pub jobs: usize,
    /// True where a build script that sets `RUSTC_BOOTSTRAP` fails, as it does under a stable cargo.
    #[serde(default)]
    pub refuses_bootstrap: bool,
    /// Paths that the user let in; every unit may read them.
    pub reads: Vec<PathBuf>,
    /// Upper bounds.
    pub limits: Limits,
    /// What is notified beyond the table.
    #[serde(default)]
    pub trace: Trace,
    /// What the self-test tries to reach.
    pub self_test: SelfTestTargets,
    /// The header of the evidence, complete but for the layers.
    pub header: Header,
    /// What acquisition saw; written after the header.
    pub facts: Vec<Fact>,
    /// Where evidence goes, on the host.
    pub evidence: PathBuf,
    /// Where counters go, on the host.
    pub counters: PathBuf,
    /// The folder where captured bytes go, on the host.
    pub captured: PathBuf,
    /// Units of earlier runs whose outputs lie in the target folder from the beginning.
    #[serde(default)]
    pub finished: Vec<Finished>,
    /// Whether the folder with all outputs is handed over when everything has ended, for later runs.
    #[serde(default)]
    pub hands_outputs_over: bool,
}

/// User and group id, in the host's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Never 0.
    pub uid: u32,
    /// Never 0.
    pub gid: u32,
}

/// One step of building the private root. Paths `at` are absolute inside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum MountOp {
    /// A fresh tmpfs.
    Tmpfs {
        /// Where.
        at: String,
        /// Its size in MiB.
        size_mib: u64,
        /// How many files and folders it may hold.
        inodes: u64,
    },
    /// A folder, with its parents.
    Dir {
        /// Where.
        at: String,
        /// Permission bits.
        mode: u32,
    },
    /// A file with contents.
    File {
        /// Where.
        at: String,
        /// What is in it.
        contents: Contents,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where.
        at: String,
        /// Its contents.
        to: String,
    },
    /// A file or folder of the host's, read-only, without set-id bits and devices.
    BindReadOnly {
        /// On the host.
        from: PathBuf,
        /// Where.
        at: String,
    },
    /// A device node of the host's.
    Device {
        /// `null`, `zero`, ….
        name: String,
    },
    /// Copies of files, from a stream of the host's, below a folder that is there.
    Outputs {
        /// The stream, on the host.
        from: PathBuf,
        /// Where.
        at: String,
    },
    /// A folder of the host's below a writable layer in memory: writes are private and thrown away.
    /// Where the kernel has no overlayfs for user namespaces, it is read-only.
    PrivateView {
        /// On the host.
        from: PathBuf,
        /// Where.
        at: String,
    },
}

/// A file or folder of the host's that is let in, read-only, at the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where it lies, without links.
    pub real: PathBuf,
    /// The way to it that the user named, if that leads through links.
    pub named: Option<PathBuf>,
}

impl Read {
    /// How people call it.
    pub fn label(&self) -> String {
        let named = self.named.iter().map(|named| format!(", also as {}", named.display()));
        std::iter::once(format!("read {}", self.real.display())).chain(named).collect()
    }

    /// True if code that is examined lies in it or around it.
    pub fn comes_with(&self, examined: &[PathBuf]) -> bool {
        examined.iter().any(|folder| folder.starts_with(&self.real) || self.real.starts_with(folder))
    }
}

/// The contents of a planted file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Contents(pub Vec<u8>);

impl From<Contents> for String {
    fn from(contents: Contents) -> Self {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(contents.0)
    }
}

impl TryFrom<String> for Contents {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text).map(Self)
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A command of cargo's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CargoCommand {
    /// Absolute path inside.
    pub program: String,
    /// All arguments, the program's name first.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory inside.
    pub cwd: String,
}

/// What the self-test tries to reach, and must not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTestTargets {
    /// A readable file of the host's that is not mounted.
    pub host_file: PathBuf,
    /// A listening unix socket of the host's.
    pub host_socket: PathBuf,
}

impl SandboxSpec {
    /// The static shim's path inside.
    pub fn shim(&self) -> String {
        format!("{}/{SHIM}", self.header.layout.tool)
    }

    /// The path of its copy that drives macros beside cargo.
    pub fn early_shim(&self) -> String {
        format!("{}/{EARLY_SHIM}", self.header.layout.tool)
    }

    /// The folder below which all units have their outputs, into which the self-test must not write.
    pub fn neighbour(&self) -> String {
        self.header.layout.target_dir.clone()
    }

    /// The self-test's own folder.
    pub fn self_test_dir(&self) -> String {
        format!("{}/self-test", self.header.layout.tmp)
    }

    /// What the self-test's payload is told (`src/shim/payload.rs`).
    pub fn self_test_arguments(&self, supervisor: i32) -> [String; 6] {
        let decoy = self.header.layout.decoys.iter().find(|decoy| decoy.class == DecoyClass::Credential);
        [
            self.self_test.host_file.display().to_string(),
            self.self_test.host_socket.display().to_string(),
            supervisor.to_string(),
            self.neighbour(),
            decoy.map_or_else(String::new, |decoy| decoy.path.clone()),
            self.self_test_dir(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_or_around_examined_code_comes_with_it() {
        let comes = |real: &str| Read { real: real.into(), named: None }.comes_with(&["/srv/me/crate".into()]);
        assert!(comes("/srv/me/crate") && comes("/srv/me/crate/vendor") && comes("/srv/me"));
        assert!(!comes("/srv/me/crates") && !comes("/opt/libtorch"));
    }
}
