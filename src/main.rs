//! The program `sandbox-check`.
#![allow(warnings)]
use sandbox_check::*;
use std::path::PathBuf;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "__launch" { std::process::exit(sandbox::launch::launch(std::path::Path::new(&args[2]))); }
    let mut st = acquire::AcquireSettings::new("/tmp/sccache");
    let tc = toolchain::find(None).unwrap();
    st.cargo = tc.cargo.clone();
    if args.len() > 2 { st.features = vec![args[2].clone()]; }
    let t = std::time::Instant::now();
    let a = match acquire::acquire(&args[1].parse().unwrap(), &st, &acquire::Silent) { Ok(a) => a, Err(e) => { eprintln!("{}", error_chain(&e)); std::process::exit(9) } };
    eprintln!("acquired {:?} {:?}", t.elapsed(), a.packages.len());
    let run_dir = tempfile::tempdir().unwrap();
    let root = nix::unistd::Uid::current().is_root();
    if root { std::process::Command::new("chown").args(["-R", "64000:64000"]).arg(a.sources.path()).status().unwrap(); }
    let id = if root { 64000 } else { nix::unistd::Uid::current().as_raw() };
    let s = plan::build::RunSettings { identity: sandbox::spec::Identity { uid: id, gid: id }, run_dir: run_dir.path().into(), env: vec![("SANDBOX_CHECK_FIXTURE".into(), "1".into())], read: vec![], jobs: 2, limits: Default::default(), now: 1, kernel: "x".into() };
    let spec = plan::build::plan(&a, &tc, &s).unwrap();
    eprintln!("planned {:?}", t.elapsed());
    let l = sandbox::run::plant_self_test(&spec).unwrap();
    let (r, stopper) = sandbox::run::spawn(&spec, run_dir.path()).unwrap();
    let st = std::cell::RefCell::new(stopper);
    let res = r.follow(|f| f(&mut st.borrow_mut()), |e| eprintln!("{:?} {e:?}", t.elapsed()));
    eprintln!("{:?} {res:?}", t.elapsed());
    std::fs::copy(run_dir.path().join("evidence.jsonl"), "/tmp/ev.jsonl").unwrap();
}
