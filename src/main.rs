//! The program `sandbox-check`.
#![allow(warnings)]
use sandbox_check::*;
use std::path::PathBuf;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "__launch" { std::process::exit(sandbox::launch::launch(std::path::Path::new(&args[2]))); }
    let dir = PathBuf::from(&args[1]);
    let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
    let sources = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(sources.path().join("local")).unwrap();
    std::process::Command::new("cp").arg("-r").arg(&dir).arg(sources.path().join("local")).status().unwrap();
    let pm = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap().contains("proc-macro");
    let a = acquire::Acquired {
        target: evidence::line::Target { kind: evidence::line::TargetKind::Directory, name: name.clone(), version: "0.1.0".into(), checksum: None },
        packages: vec![acquire::SourcePackage { id: ids::PackageId::new(&name, "0.1.0"), source: evidence::line::PackageSource::Directory, checksum: None, dir: PathBuf::from("local").join(&name), subject: true, build_script: dir.join("build.rs").exists(), proc_macro: pm.then(|| plan::macros::scan(&dir)), lib_name: Some(name.replace('-', "_")) }],
        lock: format!("version = 4\n\n[[package]]\nname = \"orders-service\"\nversion = \"0.1.0\"\ndependencies = [\n \"{name}\",\n]\n\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n"),
        subject: acquire::SubjectDependency { name: name.clone(), origin: acquire::SubjectOrigin::Local { dir: PathBuf::from(&name) }, features: vec![], default_features: true },
        registry_dir: "index".into(), replaced_sources: vec![("crates-io".into(), None)], facts: vec![], sources,
    };
    std::process::Command::new("chmod").args(["-R", "a+rX"]).arg(a.sources.path()).status().unwrap();
    let tc = toolchain::find(None).unwrap();
    let run_dir = tempfile::tempdir().unwrap();
    let root = nix::unistd::Uid::current().is_root();
    if root { std::process::Command::new("chown").args(["-R", "64000:64000"]).arg(a.sources.path().join("local")).status().unwrap(); }
    let id = if root { 64000 } else { nix::unistd::Uid::current().as_raw() };
    let s = plan::build::RunSettings { identity: sandbox::spec::Identity { uid: id, gid: id }, run_dir: run_dir.path().into(), env: vec![("SANDBOX_CHECK_FIXTURE".into(), "1".into())], read: vec![], jobs: 2, limits: Default::default(), now: 1, kernel: "x".into() };
    let spec = plan::build::plan(&a, &tc, &s).unwrap();
    let t = std::time::Instant::now();
    let l = sandbox::run::plant_self_test(&spec).unwrap();
    let (r, stopper) = sandbox::run::spawn(&spec, run_dir.path()).unwrap();
    let st = std::cell::RefCell::new(stopper);
    let res = r.follow(|f| f(&mut st.borrow_mut()), |e| eprintln!("{:?} {e:?}", t.elapsed()));
    eprintln!("{res:?}");
    std::fs::copy(run_dir.path().join("evidence.jsonl"), "/tmp/ev.jsonl").unwrap();
}
