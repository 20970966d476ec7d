// Attacks on the shim by what a build script may tell cargo: it sets the environment and arguments
// of the wrapper that compiles its package.

const PRELOADED: &str = include_str!("preloaded.c");

fn compile_preloaded() -> String {
    let (source, library) = (format!("{}/preloaded.c", out_dir()), format!("{}/preloaded.so", out_dir()));
    fs::write(&source, PRELOADED).unwrap();
    let status = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o", &library, &source]).status().unwrap();
    assert!(status.success());
    library
}

fn fake_rustc() -> String {
    let folder = format!("{}/bin", out_dir());
    fs::create_dir_all(&folder).unwrap();
    let fake = format!("{folder}/rustc");
    fs::write(&fake, "#!/bin/sh\n: < /probe/fake-rustc=$1\nexit 1\n").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    // It runs, so that its silence means something.
    let _ = std::process::Command::new(&fake).arg("started-by-build-script").status();
    folder
}
