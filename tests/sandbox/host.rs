//! The host is not touched: an oracle over its files, before and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::support::sandboxed::Subject;

/// What would show a write: inode, size, mode, owner, modification and change times.
type State = (u64, u64, u32, u32, (i64, i64), (i64, i64));

/// Every file below a folder.
fn listing(folder: &Path) -> BTreeMap<PathBuf, State> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let meta = fs::symlink_metadata(&folder).unwrap();
        if meta.is_dir() {
            folders.extend(fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()));
        }
        let times = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
        found.insert(folder, (meta.ino(), meta.size(), meta.mode(), meta.uid(), times.0, times.1));
    }
    found
}

/// Paths that differ between two listings.
fn changed(before: &BTreeMap<PathBuf, State>, after: &BTreeMap<PathBuf, State>) -> Vec<PathBuf> {
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let mut paths: Vec<_> = before.keys().chain(after.keys()).filter(differs).cloned().collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A build script that writes wherever it can.
const WRITES: &str = r#"
    fn main() {
        for folder in [home(), "/tmp".to_owned(), "/var/tmp".to_owned(), "/dev/shm".to_owned(), out_dir(), std::env::var("CARGO_MANIFEST_DIR").unwrap(), std::env::var("CARGO_HOME").unwrap()] {
            for name in ["evil", ".bashrc", "Cargo.toml", "src/lib.rs", ".cargo/config.toml"] {
                let _ = fs::create_dir_all(Path::new(&folder).join(name).parent().unwrap());
                did("write", OpenOptions::new().append(true).create(true).open(format!("{folder}/{name}")).and_then(|mut file| file.write_all(b"\n# evil\n")));
            }
        }
        did("own-source", fs::read_to_string("src/lib.rs").and_then(|text| if text.contains("evil") { Ok(()) } else { Err(io::Error::from_raw_os_error(1)) }));
    }
"#;

#[test]
fn a_run_writes_nothing_but_its_cache_and_state() {
    let home = tempfile::tempdir().unwrap();
    for (path, text) in [
        (".bashrc", "# mine\n"),
        (".ssh/id_ed25519", "mine\n"),
        (".cargo/config.toml", "# mine\n"),
        (".cargo/registry/index/keep", ""),
        (".config/sandbox-check/keep", ""),
        ("Cargo.toml", "# mine\n"),
    ] {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let subject = Subject::new("writes-everywhere").build_script(WRITES);
    let (home_before, crate_before) = (listing(home.path()), listing(&subject.dir()));

    // The toolchain stays where it is; everything else of the user's is the fake home's.
    let real_home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let rustup = std::env::var_os("RUSTUP_HOME").map_or_else(|| real_home.join(".rustup"), PathBuf::from);
    let mut command = subject.command();
    command.env("HOME", home.path()).env("RUSTUP_HOME", rustup).env("CARGO_HOME", home.path().join(".cargo"));
    command.env_remove("XDG_CACHE_HOME").env_remove("XDG_STATE_HOME").env_remove("XDG_CONFIG_HOME");
    let run = subject.read(&command.output().unwrap());

    // The payload did write, in the sandbox: what it met last was its own source, changed.
    run.met("own-source", 0);
    assert!(
        run.attempts("fs.write")
            .iter()
            .any(|attempt| attempt.resolved.ends_with(".bashrc") && attempt.outcome == "emulated")
    );
    assert_eq!(changed(&crate_before, &listing(&subject.dir())), Vec::<PathBuf>::new(), "the crate's own folder");
    // Reading its index, cargo locks its cache and notes when it used what.
    let cargos = |path: &PathBuf| {
        [".package-cache", ".global-cache"].iter().any(|name| path.file_name().is_some_and(|file| file == *name))
    };
    let ours = [".cache", ".local"].map(|name| home.path().join(name));
    let others: Vec<_> = changed(&home_before, &listing(home.path()))
        .into_iter()
        .filter(|path| path != home.path() && *path != home.path().join(".cargo") && !cargos(path))
        .filter(|path| !ours.iter().any(|ours| path.starts_with(ours)))
        .collect();
    assert_eq!(others, Vec::<PathBuf>::new(), "the home");
    let cached = listing(home.path()).into_keys().filter(|path| path.starts_with(&ours[0]) && path.is_file());
    let names: Vec<_> = cached.map(|path| path.strip_prefix(home.path()).unwrap().display().to_string()).collect();
    assert!(names.iter().all(|name| name.starts_with(".cache/sandbox-check/")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("/runs/run-")), "{names:?}");
}
