//! Everything that decides a run, as one digest. docs/reuse.md has the list.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::check::kernel;
use crate::acquire::Resolved;
use crate::evidence::line::Depth;
use crate::ids::Sha256Digest;
use crate::plan::layout::layout;
use crate::sandbox::spec::Identity;
use crate::sandbox::table::Trace;
use crate::settings::Settings;
use crate::toolchain::HostToolchain;

/// Changes when other things decide.
const VERSION: u32 = 1;

/// Folders of the machine's that builds look into for programs and libraries.
const SYSTEM: [&str; 11] = [
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/lib/pkgconfig",
    "/usr/lib/pkgconfig",
    "/usr/lib/x86_64-linux-gnu/pkgconfig",
    "/usr/lib64/pkgconfig",
    "/usr/share/pkgconfig",
];

/// What a run is made of. Two runs with the same of it may differ in chance and time only.
#[derive(Serialize)]
struct Inputs<'a> {
    version: u32,
    sources: Sha256Digest,
    /// This program, with its shim, its table of system calls and its decoys.
    program: Sha256Digest,
    toolchain: &'a str,
    toolchain_files: Vec<Stamp>,
    /// The place of the toolchain inside.
    toolchain_at: String,
    kernel: String,
    identity: Identity,
    system: Sha256Digest,
    env: &'a [(String, String)],
    given: &'a [String],
    trace: Trace,
    depth: Depth,
    /// Without it, the subject has a say in the depth.
    is_depth_asked: bool,
}

/// The digest of this program, which is read once.
pub(super) fn program() -> io::Result<Sha256Digest> {
    static OWN: OnceLock<Sha256Digest> = OnceLock::new();
    if let Some(known) = OWN.get() {
        return Ok(*known);
    }
    let own = digest_of(Path::new("/proc/self/exe"))?;
    Ok(*OWN.get_or_init(|| own))
}

/// A file without its contents.
#[derive(Serialize)]
struct Stamp {
    size: u64,
    changed: i64,
}

/// The digest for a run; none for one whose inputs no digest holds, or that has secrets among them.
pub(super) fn key(resolved: &Resolved, settings: &Settings, toolchain: &HostToolchain) -> Option<Sha256Digest> {
    of_sources(resolved.digest?, settings, toolchain)
}

/// The digests for what is built of packages, each with the digest of its sources.
pub(super) fn keys(
    sources: &[Option<Sha256Digest>],
    settings: &Settings,
    toolchain: &HostToolchain,
) -> Option<Vec<Option<Sha256Digest>>> {
    // The machine is looked at once.
    let all = of_sources(Sha256Digest([0; 32]), settings, toolchain)?;
    let key = |sources: &Sha256Digest| {
        let mut digest = Sha256::new();
        digest.update(b"units");
        digest.update(all.0);
        digest.update(sources.0);
        Sha256Digest(digest.finalize().into())
    };
    Some(sources.iter().map(|sources| sources.as_ref().map(key)).collect())
}

fn of_sources(sources: Sha256Digest, settings: &Settings, toolchain: &HostToolchain) -> Option<Sha256Digest> {
    // What lies there may change at any time; and a digest of a short secret can be guessed.
    if !settings.read.is_empty() || settings.facts.repository.is_some() || settings.has_secrets {
        return None;
    }
    let inputs = Inputs {
        version: VERSION,
        sources,
        program: program().ok()?,
        toolchain: &toolchain.described,
        toolchain_files: toolchain_files(toolchain).ok()?,
        toolchain_at: layout("", &toolchain.sysroot).toolchain,
        kernel: kernel(),
        identity: settings.identity,
        system: system(&SYSTEM),
        env: &settings.env,
        given: &settings.given,
        trace: settings.trace,
        depth: settings.depth,
        is_depth_asked: settings.wanted_depth.is_some(),
    };
    // Says which of them has changed; never the values that were given.
    let Inputs { sources, program, system, .. } = &inputs;
    tracing::debug!(%sources, %program, %system, toolchain = %toolchain.record.rustc, "what decides the run");
    let text = serde_json::to_vec(&inputs).ok()?;
    Some(Sha256Digest(Sha256::digest(text).into()))
}

fn digest_of(path: &Path) -> io::Result<Sha256Digest> {
    let mut digest = Sha256::new();
    let (mut file, mut buffer) = (File::open(path)?, vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => digest.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    Ok(Sha256Digest(digest.finalize().into()))
}

/// A toolchain that names its commits is known by them; of another one, the time of its files has a say.
fn toolchain_files(toolchain: &HostToolchain) -> io::Result<Vec<Stamp>> {
    let commits = toolchain.described.lines().filter_map(|line| line.strip_prefix("commit-hash: "));
    let is_known = commits.filter(|commit| *commit != "unknown").count() == 2;
    let stamp = |path: &Path| {
        let meta = fs::metadata(path)?;
        Ok(Stamp { size: meta.size(), changed: if is_known { 0 } else { meta.mtime() } })
    };
    [&toolchain.cargo, &toolchain.rustc].into_iter().map(|path| stamp(path)).collect()
}

/// The names and sizes of what lies in folders: programs and libraries that came, went or became others.
fn system(folders: &[&str]) -> Sha256Digest {
    let mut digest = Sha256::new();
    for folder in folders {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .map(|entry| (entry.file_name(), fs::metadata(entry.path()).map_or(0, |meta| meta.size())))
            .collect();
        found.sort();
        digest.update(format!("{folder}\0{}\0", found.len()));
        for (name, size) in found {
            digest.update(name.as_encoded_bytes());
            digest.update(format!("\0{size}\0"));
        }
    }
    Sha256Digest(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_came_went_or_became_another_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let now = || system(&[folder.path().to_str().unwrap()]);
        let empty = now();
        fs::write(at("cmake"), "one").unwrap();
        let one = now();
        fs::write(at("cmake"), "another").unwrap();
        let another = now();
        fs::rename(at("cmake"), at("make")).unwrap();
        let renamed = now();
        let all = [empty, one, another, renamed];
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
        fs::remove_file(at("make")).unwrap();
        assert_eq!(now(), empty);
    }

    #[test]
    fn a_toolchain_without_commits_is_told_apart_by_the_time_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let (cargo, rustc) = (folder.path().join("cargo"), folder.path().join("rustc"));
        fs::write(&cargo, "cargo").unwrap();
        fs::write(&rustc, "rustc").unwrap();
        let stamps = |described: &str| {
            let record =
                crate::evidence::line::Toolchain { cargo: String::new(), rustc: String::new(), host: String::new() };
            let (sysroot, described) = (folder.path().to_owned(), described.to_owned());
            let toolchain = HostToolchain { sysroot, cargo: cargo.clone(), rustc: rustc.clone(), record, described };
            let stamps = toolchain_files(&toolchain).unwrap();
            stamps.iter().map(|stamp| (stamp.size, stamp.changed != 0)).collect::<Vec<_>>()
        };
        assert_eq!(stamps("commit-hash: 1\nx\ncommit-hash: 2\n"), [(5, false); 2]);
        assert_eq!(stamps("commit-hash: 1\ncommit-hash: unknown\n"), [(5, true); 2]);
        assert_eq!(stamps("no word\n"), [(5, true); 2]);
    }
}
