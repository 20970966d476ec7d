//! What a package ships for cargo and rustup is not obeyed: nothing of it is started, not by one setting of many.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::sandboxed::Subject;

/// Settings that start a program or lead cargo elsewhere. `TRAP` stands for a program that leaves a mark.
const SETTINGS: &[&str] = &[
    "[build]\nrustc-wrapper = \"TRAP\"",
    "[build]\nrustc-workspace-wrapper = \"TRAP\"",
    "[build]\nrustc = \"TRAP\"",
    "[build]\nrustdoc = \"TRAP\"",
    "[build]\ntarget-dir = \"ELSEWHERE\"",
    "[target.x86_64-unknown-linux-gnu]\nlinker = \"TRAP\"",
    "[target.x86_64-unknown-linux-gnu]\nrunner = \"TRAP\"",
    "[target.'cfg(all())']\nrustflags = [\"-Clinker=TRAP\"]",
    "[env]\nRUSTC = { value = \"TRAP\", force = true }\nRUSTC_WRAPPER = { value = \"TRAP\", force = true }",
    "[registry]\nglobal-credential-providers = [\"TRAP\"]",
    "[registries.other]\nindex = \"sparse+http://127.0.0.1:9/\"\ncredential-provider = [\"TRAP\"]",
    "[alias]\nbuild = \"run\"\nmetadata = \"run\"",
    "paths = [\"ELSEWHERE\"]",
    "include = [\"ELSEWHERE/more.toml\"]",
    "[source.vendored]\ndirectory = \"ELSEWHERE\"",
    "[net]\ngit-fetch-with-cli = true",
    "[unstable]\nhost-config = true",
];

#[test]
fn no_setting_that_an_archive_ships_starts_anything() {
    let outside = tempfile::Builder::new().prefix("sandbox-check-trap-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (mark, trap) = (outside.path().join("mark"), outside.path().join("trap"));
    fs::write(&trap, format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexit 1\n", mark.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    let text = SETTINGS.join("\n\n").replace("TRAP", trap.to_str().unwrap());
    let elsewhere = outside.path().join("elsewhere");
    // Each file by itself: a repeated table would make the whole of one void.
    let parts: Vec<_> = text.split("\n\n").map(|part| part.replace("ELSEWHERE", elsewhere.to_str().unwrap())).collect();
    let toolchain = format!("[toolchain]\npath = {:?}\n", outside.path().display().to_string());
    for (at, part) in parts.iter().enumerate() {
        let name = if at % 2 == 0 { ".cargo/config.toml" } else { ".cargo/config" };
        let subject = Subject::new("brings-settings")
            .build_script("fn main() { tell(\"ran\", 0); }")
            .file(name, part)
            .file("../.cargo/config.toml", part)
            .file("rust-toolchain.toml", &toolchain)
            .file("rust-toolchain", &toolchain);
        if at > 0 && at % 4 != 0 {
            // The whole way is long; most settings are tried on the part of it that runs on the machine.
            let mut command = subject.command();
            let output = command.arg("--print-plan").output().unwrap();
            assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stderr));
        } else {
            let run = subject.run();
            run.met("ran", 0);
        }
        assert!(!mark.exists(), "{part}\nstarted: {}", fs::read_to_string(&mark).unwrap_or_default());
        assert!(!elsewhere.exists(), "{part}");
    }
    // The control: cargo itself, in that folder, starts what the first of them names.
    let subject = Subject::new("brings-settings").file(".cargo/config.toml", &parts[0]);
    let _ =
        std::process::Command::new("cargo").arg("check").arg("--offline").current_dir(subject.dir()).output().unwrap();
    assert!(mark.exists(), "the trap does not work");
}
