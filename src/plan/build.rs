//! Puts a plan together: from verified sources to a [`SandboxSpec`].

use std::io;
use std::path::{Path, PathBuf};

use super::consumer::{Consumer, ConsumerError, ConsumerPaths, consumer};
use super::decoy::{DecoyHome, decoys};
use super::environment::environment;
use super::layout::{HOME, layout};
use super::persona::Persona;
use super::random::Random;
use super::{CONSUMER_NAME, root};
use crate::acquire::{Acquired, LockUser, Locked};
use crate::base::Finished;
use crate::evidence::Bytes;
use crate::evidence::file::counters_path;
use crate::evidence::line::{Depth, FORMAT, Features, Header, Layout, Package, PackageSource, Tool, VERSION};
use crate::ids::PackageId;
use crate::sandbox::limits::{Limit, Limits};
use crate::sandbox::spec::{CargoCommand, Contents, Identity, MountOp, Read, SandboxSpec, SelfTestTargets};
use crate::sandbox::table::Trace;
use crate::toolchain::{DRIVER, HostToolchain};

/// The folder of the host's that the private root is mounted over, in our own mount namespace. It must
/// be one that every user can enter: the run's folder lies in a home.
const ROOT: &str = "/tmp";

/// Makes a stable cargo accept unstable options.
const BOOTSTRAP: &str = "RUSTC_BOOTSTRAP";

/// What the user's settings and the machine decide about a run.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Who the code is outside.
    pub identity: Identity,
    /// A private folder of this run on the host, empty but for what is named below.
    pub run_dir: PathBuf,
    /// Variables that the user gives, with their values.
    pub env: Vec<(String, String)>,
    /// Files and folders of the host's that the user lets in.
    pub read: Vec<Read>,
    /// The user's own folders whose code is examined.
    pub examined: Vec<PathBuf>,
    /// How many units run at a time.
    pub jobs: usize,
    /// Upper bounds.
    pub limits: Limits,
    /// What is notified beyond the table.
    pub trace: Trace,
    /// How much of the graph is built.
    pub depth: Depth,
    /// What the user gave beside variables and paths, for the report.
    pub given: Vec<String>,
    /// What is there from earlier runs.
    pub base: Base,
    /// Seconds since the Unix epoch.
    pub now: u64,
    /// `uname -r`.
    pub kernel: String,
}

/// What is there from earlier runs.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The outputs of finished units, as a stream, and the units.
    pub taken: Option<(PathBuf, Vec<Finished>)>,
    /// True if later runs may take what this one finishes.
    pub is_kept: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No randomness for the decoys.
    #[error("read random bytes for the decoys")]
    Random(#[source] io::Error),
    /// No consumer.
    #[error("generate the project that uses the subject")]
    Consumer(#[from] ConsumerError),
}

/// Plans the whole run. Touches nothing but `/dev/urandom` and the links of the host's root.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(acquired: &Acquired, toolchain: &HostToolchain, settings: &RunSettings) -> Result<SandboxSpec, PlanError> {
    let mut random = Random::from_system().map_err(PlanError::Random)?;
    let persona = Persona::new(HOME, settings.now, &mut random);
    let mut layout = layout(&acquired.registry_dir, &toolchain.sysroot);
    let home = decoys(&layout.home, &layout.cargo_home, &persona, &mut random);
    let paths = ConsumerPaths { project: &layout.consumer, local: &layout.local_src };
    let project = consumer(acquired, paths, &persona, &mut random)?;
    layout.decoys = home.listing();
    layout.decoys.extend(project.listing());
    let foreign = settings.read.iter().filter(|read| !read.comes_with(&settings.examined));
    layout.given = foreign.map(|read| read.real.display().to_string()).collect();

    let mut variables = environment(&layout.home, &persona, &mut random);
    variables.extend(build_variables(&layout));
    variables.retain(|(name, _)| !settings.env.iter().any(|(given, _)| given == name));
    variables.extend(settings.env.clone());

    tracing::debug!(decoys = layout.decoys.len(), uses = project.uses.len(), "made the decoy home and the consumer");
    let identity = settings.identity;
    let mut mounts = root::base(&layout, &toolchain.sysroot, (identity.uid, identity.gid));
    mounts.extend(plant(&home));
    mounts.extend(project_files(&project));
    mounts.extend(root::build_folders(&layout, acquired.sources.path()));
    let (stream, finished) = settings.base.taken.clone().unzip();
    mounts.extend(stream.map(|from| MountOp::Outputs { from, at: layout.target_dir.clone() }));
    mounts.extend(
        settings
            .read
            .iter()
            .map(|Read { real, .. }| MountOp::BindReadOnly { from: real.clone(), at: real.display().to_string() }),
    );
    for Read { real, named } in &settings.read {
        mounts.extend(named.as_ref().and_then(|named| root::second_name(&mounts, named, real)));
    }

    bound(&mut mounts, &settings.limits);

    let given = settings.env.iter().map(|(name, _)| format!("env {name}"));
    let given = given.chain(settings.read.iter().map(Read::label));
    let given = given.chain(settings.given.iter().cloned());
    let given = given.chain(settings.trace.probes.then(|| "trace probes".to_owned()));
    let given = given.chain(acquired.wrappers.iter().map(|name| format!("{name}, which is ignored inside"))).collect();
    let run = |name: &str| settings.run_dir.join(name);
    let evidence = run("evidence.jsonl");
    Ok(SandboxSpec {
        identity,
        root: PathBuf::from(ROOT),
        mounts,
        cargo: cargo_command(acquired, &layout, variables, settings),
        rustc: format!("{}/bin/rustc", layout.toolchain),
        driver: toolchain.has_driver().then(|| format!("{}/{DRIVER}", layout.toolchain)),
        jobs: settings.jobs,
        refuses_bootstrap: refuses_bootstrap(toolchain, settings),
        reads: settings.read.iter().map(|read| read.real.clone()).collect(),
        limits: settings.limits.clone(),
        trace: settings.trace,
        self_test: SelfTestTargets { host_file: run("host-file"), host_socket: run("host-socket") },
        header: header(acquired, toolchain, settings, layout, given),
        facts: acquired.facts.clone(),
        counters: counters_path(&evidence),
        evidence,
        captured: run("captured"),
        finished: finished.unwrap_or_default(),
        hands_outputs_over: settings.base.is_kept,
    })
}

/// A nightly cargo only warns, and so does one whose user has set the variable.
fn refuses_bootstrap(toolchain: &HostToolchain, settings: &RunSettings) -> bool {
    let is_unstable = ["-nightly", "-dev"].iter().any(|mark| toolchain.record.cargo.contains(mark));
    !is_unstable && !settings.env.iter().any(|(name, _)| name == BOOTSTRAP)
}

/// Folders in memory hold no more than the limits say. The root itself holds only what we put there.
fn bound(mounts: &mut [MountOp], limits: &Limits) {
    for mount in mounts {
        if let MountOp::Tmpfs { at, size_mib, inodes } = mount
            && at != "/"
        {
            *size_mib = (*size_mib).min(limits.of(Limit::Disk).div_ceil(1 << 20));
            *inodes = (*inodes).min(limits.of(Limit::Inodes));
        }
    }
}

fn build_variables(layout: &Layout) -> Vec<(String, String)> {
    let path = format!("{}/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", layout.toolchain);
    [
        ("HOME", layout.home.clone()),
        ("CARGO_HOME", layout.cargo_home.clone()),
        ("PATH", path),
        ("TMPDIR", layout.tmp.clone()),
        ("RUSTC", format!("{}/bin/rustc", layout.toolchain)),
        ("CARGO_INCREMENTAL", "0".to_owned()),
        ("CARGO_TERM_COLOR", "never".to_owned()),
        // A cargo that a build script starts asks for the network once and is told no. With its own three retries it sleeps
        // for more than ten seconds over what no retry changes.
        ("CARGO_NET_RETRY", "0".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn plant(home: &DecoyHome) -> Vec<MountOp> {
    let folders = home.folders.iter().map(|folder| MountOp::Dir { at: folder.path.clone(), mode: folder.mode });
    let file = |file: &super::decoy::Decoy| MountOp::File {
        at: file.path.clone(),
        contents: Contents(file.contents.clone()),
        mode: file.mode,
    };
    folders.chain(home.files.iter().map(file)).collect()
}

fn project_files(project: &Consumer) -> Vec<MountOp> {
    let file = |file: &super::consumer::ConsumerFile| MountOp::File {
        at: file.path.clone(),
        contents: Contents(file.contents.clone()),
        mode: file.mode,
    };
    project.files.iter().map(file).collect()
}

/// The one command. Sources are replaced and the shim is put in by `--config`, so that the
/// configuration file that lies in `$CARGO_HOME` is a decoy.
///
/// In depth `build` cargo itself is told to accept an unstable option; the shim keeps that from every unit.
fn cargo_command(
    acquired: &Acquired,
    layout: &Layout,
    mut env: Vec<(String, String)>,
    settings: &RunSettings,
) -> CargoCommand {
    let mut args: Vec<String> =
        ["cargo", "check", "--offline", "--ignore-rust-version", "--keep-going", "--message-format=json"]
            .map(str::to_owned)
            .into();
    args.extend(built(acquired, layout, settings.depth));
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut config = |key: &str, value: &str| args.extend(["--config".to_owned(), format!("{key}={}", text(value))]);
    config("build.rustc-wrapper", &format!("{}/shim", layout.tool));
    config("source.verified.directory", &layout.registry_src);
    let of_workspace = acquired.locked.as_ref().filter(|locked| matches!(locked.user, LockUser::Workspace(_)));
    let repositories = of_workspace.map(|locked| locked.repositories.as_slice()).unwrap_or_default();
    for replaced in acquired.replaced_sources.iter().chain(repositories) {
        let key = text(&replaced.key);
        let mut stands_in = "verified".to_owned();
        if let Some(folder) = &replaced.folder {
            stands_in.clone_from(folder);
            config(&format!("source.{folder}.directory"), &format!("{}/{folder}", layout.registry_src));
        }
        for (what, value) in &replaced.says {
            config(&format!("source.{key}.{what}"), value);
        }
        config(&format!("source.{key}.replace-with"), &stands_in);
    }
    for (name, index) in &acquired.registries {
        config(&format!("registries.{}.index", text(name)), index);
    }
    if let Some(locked) = &acquired.locked {
        args.extend(locked_config(locked, layout).into_iter().flat_map(|config| ["--config".to_owned(), config]));
    }
    args.extend(["--jobs".to_owned(), settings.jobs.to_string()]);
    if settings.depth == Depth::Build {
        args.extend(["-Zunstable-options".to_owned(), "--compile-time-deps".to_owned()]);
        env.retain(|(name, _)| name != BOOTSTRAP);
        env.push((BOOTSTRAP.to_owned(), "1".to_owned()));
    }
    CargoCommand { program: format!("{}/bin/cargo", layout.toolchain), args, env, cwd: layout.consumer.clone() }
}

/// What of the consumer is built. A workspace's tests, examples and benchmarks run build scripts and macros, too; the
/// depth that compiles everything stays with what `cargo check --workspace` does.
///
/// cargo stands in the generated project: it never looks for settings in the workspace's own folder.
fn built(acquired: &Acquired, layout: &Layout, depth: Depth) -> Vec<String> {
    let workspace = acquired.locked.as_ref().and_then(|locked| match &locked.user {
        LockUser::Workspace(dir) => Some(Path::new(&layout.local_src).join(dir)),
        LockUser::Generated(_) => None,
    });
    let Some(folder) = workspace else { return ["--lib", "--bins"].map(str::to_owned).into() };
    let manifest = folder.join("Cargo.toml").display().to_string();
    let mut args = vec!["--workspace".to_owned(), "--locked".to_owned(), "--manifest-path".to_owned(), manifest];
    args.extend(["--target-dir".to_owned(), layout.target_dir.clone()]);
    if depth == Depth::Build {
        args.push("--all-targets".to_owned());
    }
    args
}

/// What of a workspace's own settings counts.
fn locked_config(locked: &Locked, layout: &Layout) -> Vec<String> {
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let root = match &locked.user {
        LockUser::Workspace(dir) => Path::new(&layout.local_src).join(dir),
        LockUser::Generated(_) => return Vec::new(),
    };
    let flags = locked.flags.iter().map(|(key, flags)| {
        let flags = toml::Value::Array(flags.iter().cloned().map(toml::Value::String).collect());
        format!("{key}={flags}")
    });
    let variables = locked.variables.iter().map(|(name, value, is_relative)| {
        let value = if *is_relative { root.join(value).display().to_string() } else { value.clone() };
        format!("env.{}={}", text(name), text(&value))
    });
    flags.chain(variables).collect()
}

fn header(
    acquired: &Acquired,
    toolchain: &HostToolchain,
    settings: &RunSettings,
    layout: Layout,
    given: Vec<String>,
) -> Header {
    let inside = |dir: &Path| {
        let (part, at) = if let Ok(rest) = dir.strip_prefix("registry") {
            (rest, &layout.registry_src)
        } else {
            (dir.strip_prefix("local").unwrap_or(dir), &layout.local_src)
        };
        Bytes::from(Path::new(at).join(part).as_path())
    };
    let mut packages: Vec<Package> = acquired
        .packages
        .iter()
        .map(|package| Package {
            id: package.id.clone(),
            source: package.source,
            checksum: package.checksum,
            dir: inside(&package.dir),
            subject: package.subject,
            build_script: package.build_script,
            proc_macro: package.proc_macro.clone(),
        })
        .collect();
    packages.push(Package {
        id: PackageId::new(CONSUMER_NAME, "0.1.0"),
        source: PackageSource::Consumer,
        checksum: None,
        dir: Bytes::from(layout.consumer.as_str()),
        subject: false,
        build_script: false,
        proc_macro: None,
    });
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        tool: Tool::this(),
        target: acquired.target.clone(),
        packages,
        needs: acquired.needs(),
        toolchain: toolchain.record.clone(),
        kernel: settings.kernel.clone(),
        layers: Vec::new(),
        layout,
        started: settings.now,
        given,
        // What it is judged by is not the plan's business.
        depth: settings.depth,
        policy: None,
        earlier: Vec::new(),
        features: acquired.subject.as_ref().map(|subject| Features {
            default: subject.default_features,
            asked: subject.features.clone(),
            off: subject.features_off.clone(),
        }),
        lock: acquired.locked.as_ref().map(|locked| Box::new(locked.record.clone())),
    }
}
