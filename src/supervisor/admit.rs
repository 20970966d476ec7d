//! Decides what a shim's request is: which package, which kind, which folders.
//!
//! Only what cargo itself decides is believed: its own arguments and the place
//! of the program. Everything has a closed shape; a request that does not fit
//! is refused, and the compilation fails.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::caller::normal;
use crate::evidence::line::{Layout, PackageSource, UnitKind};
use crate::ids::{PackageId, UnitId};
use crate::sandbox::spec::SandboxSpec;
use crate::shim::protocol::{Request, Role};

/// A unit that may run.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) kind: UnitKind,
    pub(super) package: Option<PackageId>,
    pub(super) name: String,
    /// Folders that the unit may write.
    pub(super) places: Vec<PathBuf>,
    /// Folders that only units of this kind may read.
    pub(super) reads: Vec<PathBuf>,
    /// Of a build script: its folder for what has its name in one that cargo shares.
    pub(super) lent: Option<PathBuf>,
    pub(super) private_out: Option<PathBuf>,
    pub(super) tmp: PathBuf,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmitError {
    /// A name or a path has not the shape that cargo gives it.
    #[error("cargo never asks for this: {0}")]
    Shape(&'static str),
    /// No package of the plan has this source.
    #[error("no package of the plan has the source {}", .0.display())]
    UnknownPackage(PathBuf),
    /// A folder cannot be made.
    #[error("make {}", .path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is known of packages and of what was built of them.
#[derive(Debug)]
pub(super) struct Admission {
    layout: Layout,
    packages: Vec<(PathBuf, PackageId, PackageSource)>,
    /// Folders below `build/` by the package whose build script was compiled there.
    scripts: HashMap<PathBuf, PackageId>,
    /// `OUT_DIR` of each script that ran, and whose it is.
    out_dirs: HashMap<PathBuf, PackageId>,
    /// The same of scripts that ran in an earlier run.
    earlier: HashMap<PathBuf, PackageId>,
}

impl Admission {
    pub(super) fn new(spec: &SandboxSpec) -> Self {
        let header = &spec.header;
        let mut packages: Vec<_> = header
            .packages
            .iter()
            .map(|package| (package.dir.as_path().to_owned(), package.id.clone(), package.source))
            .collect();
        // The innermost folder first: a path package may lie inside another.
        packages.sort_by_key(|(dir, ..)| std::cmp::Reverse(dir.components().count()));
        // A script of an earlier run may run again, where cargo sees a reason.
        let target = Path::new(&header.layout.target_dir).join("debug");
        let scripts = spec.finished.iter().filter(|unit| unit.kind == UnitKind::CompileBuildScript);
        let scripts = scripts.map(|unit| (target.join(&unit.identity), unit.package.clone())).collect();
        let earlier = spec.finished.iter().filter(|unit| unit.kind == UnitKind::RunBuildScript);
        let earlier = earlier.map(|unit| (target.join(&unit.identity), unit.package.clone())).collect();
        Self { layout: header.layout.clone(), packages, scripts, out_dirs: HashMap::new(), earlier }
    }

    /// Admits a request as unit `id` and makes its private folders.
    pub(super) fn admit(&mut self, id: UnitId, request: &Request) -> Result<Admitted, AdmitError> {
        let mut admitted = match request.role {
            Role::Rustc => self.compile(request)?,
            Role::BuildScript => self.run(request)?,
            Role::SelfTest => self.self_test(),
            // The supervisor chooses what is driven: `drive`.
            Role::Driver | Role::EarlyDriver => return Err(AdmitError::Shape("a driver")),
        };
        if request.role != Role::SelfTest {
            admitted.tmp = Path::new(&self.layout.tmp).join(format!("{id}"));
        }
        make_private(&admitted.tmp)?;
        if let Some(out) = &admitted.private_out {
            make_private(out)?;
        }
        admitted.places.push(admitted.tmp.clone());
        Ok(admitted)
    }

    fn compile(&mut self, request: &Request) -> Result<Admitted, AdmitError> {
        let crate_name = identifier(&request.crate_name)?;
        let extra = identifier(&request.extra)?;
        let out_dir = self.output_folder(&request.out_dir)?;
        let source = normal(path(&request.source));
        let (dir, package, origin) = self
            .packages
            .iter()
            .find(|(dir, ..)| source.starts_with(dir))
            .cloned()
            .ok_or_else(|| AdmitError::UnknownPackage(source.clone()))?;
        let build_script = request.crate_type == b"bin" && crate_name.starts_with("build_script_");
        let kind = if build_script {
            UnitKind::CompileBuildScript
        } else if origin == PackageSource::Consumer {
            UnitKind::CompileConsumer
        } else if request.crate_type == b"proc-macro" {
            UnitKind::CompileProcMacro
        } else {
            UnitKind::Compile
        };
        if build_script {
            self.scripts.insert(out_dir.clone(), package.clone());
        }
        let private = out_dir.join(format!(".p-{crate_name}{extra}"));
        // rustc itself reads the consumer's sources; the decoys beside them stay the supervisor's to hand over.
        let mut reads = if origin == PackageSource::Consumer { vec![dir.join("src")] } else { vec![dir] };
        // A compiler reads what scripts were lent names for, and no other script does.
        reads.extend(Some(lent_below(&self.layout)).filter(|lent| lent.is_dir()));
        Ok(Admitted {
            kind,
            package: Some(package),
            name: format!("{crate_name}{extra}"),
            places: vec![private.clone()],
            reads,
            lent: None,
            private_out: Some(private),
            tmp: PathBuf::new(),
        })
    }

    fn run(&mut self, request: &Request) -> Result<Admitted, AdmitError> {
        let exe = normal(path(&request.exe));
        let folder = exe.parent().unwrap_or(Path::new("/"));
        let package = self.scripts.get(folder).cloned().ok_or_else(|| AdmitError::UnknownPackage(exe.clone()))?;
        let out_dir = path(&request.out_dir);
        let build = Path::new(&self.layout.target_dir).join("debug/build");
        // cargo: build/NAME-HASH/out, with the name of the package whose script it is.
        let fits = out_dir == normal(out_dir)
            && out_dir.file_name().is_some_and(|name| name == "out")
            && out_dir.parent().and_then(Path::parent) == Some(&build)
            && out_dir.parent().and_then(Path::file_name).is_some_and(|name| is_hashed(name.as_bytes(), &package.name));
        if !fits {
            return Err(AdmitError::Shape("OUT_DIR is not a folder of this package"));
        }
        if !fs::symlink_metadata(out_dir).is_ok_and(|meta| meta.is_dir()) {
            return Err(AdmitError::Shape("OUT_DIR is not a folder"));
        }
        if self.out_dirs.insert(out_dir.to_owned(), package.clone()).is_some() {
            return Err(AdmitError::Shape("OUT_DIR is another unit's"));
        }
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let lent = lent_below(&self.layout).join(&name);
        make_private(&lent)?;
        let mut places = vec![out_dir.to_owned(), lent.clone()];
        places.extend(self.packages.iter().find(|(_, id, _)| *id == package).map(|(dir, ..)| dir.clone()));
        Ok(Admitted {
            kind: UnitKind::RunBuildScript,
            package: Some(package),
            name,
            places,
            reads: Vec::new(),
            lent: Some(lent),
            private_out: None,
            tmp: PathBuf::new(),
        })
    }

    /// Admits a driver of a macro library as unit `id`: it writes its own temporary folder only.
    pub(super) fn drive(&self, id: UnitId, package: &PackageId, name: &str) -> Result<Admitted, AdmitError> {
        let tmp = Path::new(&self.layout.tmp).join(format!("{id}"));
        make_private(&tmp)?;
        Ok(Admitted {
            kind: UnitKind::DriveMacros,
            package: Some(package.clone()),
            name: name.to_owned(),
            places: vec![tmp.clone()],
            reads: Vec::new(),
            lent: None,
            private_out: None,
            tmp,
        })
    }

    /// True if a script has run into this folder.
    pub(super) fn has_run_into(&self, out_dir: &Path) -> bool {
        self.out_dirs.contains_key(out_dir)
    }

    /// Whose script ran into this folder: cargo's messages have names and versions, and two packages may share those.
    pub(super) fn ran_into(&self, said: PackageId, out_dir: &Path) -> PackageId {
        let known = self.out_dirs.get(out_dir).or_else(|| self.earlier.get(out_dir));
        known.filter(|known| known.is_named_like(&said)).cloned().unwrap_or(said)
    }

    /// The package of this name and version that lies in this folder.
    pub(super) fn lies_in(&self, said: PackageId, folder: &Path) -> PackageId {
        let lies_there = |(dir, id, _): &&(PathBuf, PackageId, PackageSource)| dir == folder && id.is_named_like(&said);
        self.packages.iter().find(lies_there).map(|(_, id, _)| id.clone()).unwrap_or(said)
    }

    fn self_test(&self) -> Admitted {
        Admitted {
            kind: UnitKind::SelfTest,
            package: None,
            name: "self-test".to_owned(),
            places: Vec::new(),
            reads: Vec::new(),
            lent: None,
            private_out: None,
            tmp: Path::new(&self.layout.tmp).join("self-test"),
        }
    }

    /// `deps`, or a folder of its own for a build script: where cargo lets rustc write.
    fn output_folder(&self, out_dir: &[u8]) -> Result<PathBuf, AdmitError> {
        let out_dir = path(out_dir);
        let debug = Path::new(&self.layout.target_dir).join("debug");
        let deps = out_dir == debug.join("deps") || out_dir == debug.join("examples");
        let script = out_dir.parent() == Some(&debug.join("build"));
        if (deps || script) && out_dir == normal(out_dir) {
            Ok(out_dir.to_owned())
        } else {
            Err(AdmitError::Shape("--out-dir"))
        }
    }
}

/// `NAME-` and 16 hexadecimal digits.
fn is_hashed(folder: &[u8], name: &str) -> bool {
    folder
        .strip_prefix(name.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"-"))
        .is_some_and(|hash| hash.len() == 16 && hash.iter().all(u8::is_ascii_hexdigit))
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// A crate name or cargo's suffix to it: nothing that could lead to another folder.
fn identifier(bytes: &[u8]) -> Result<&str, AdmitError> {
    let text = std::str::from_utf8(bytes).map_err(|_| AdmitError::Shape("--crate-name"))?;
    let fine = text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') && text.len() <= 200;
    if fine { Ok(text) } else { Err(AdmitError::Shape("--crate-name")) }
}

/// Where the folders of what is lent lie: see `handle/lent.rs`.
pub(super) fn lent_below(layout: &Layout) -> PathBuf {
    Path::new(&layout.tmp).join("lent")
}

/// An empty folder that only our uid may enter, with those above it. What a killed build left there is removed.
fn make_private(path: &Path) -> Result<(), AdmitError> {
    let failed = |source| AdmitError::Make { path: path.to_owned(), source };
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_dir_all(path).map_err(failed)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
}
