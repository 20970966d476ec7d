// A build script that runs, and drops, more files than are kept.

fn main() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    let (out, home) = (out_dir(), home());
    for i in 0..70 {
        let path = format!("{out}/script-{i}");
        fs::write(&path, format!("#!/bin/true\n{i}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let _ = Command::new(&path).status();
        fs::write(format!("{home}/flood-{i}"), format!("dropped {i}")).unwrap();
    }
}
