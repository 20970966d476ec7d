//! The compiler is a unit like any other: what its input names of the machine is not there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::sandboxed::Subject;

const SECRET: &str = "secret-of-the-machine-5afe";

/// A file of the machine that anybody may read.
fn secret() -> (tempfile::TempDir, String) {
    let folder = tempfile::Builder::new().prefix("sandbox-check-secret-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("secret.rs");
    fs::write(&path, format!("{SECRET}\n")).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn nothing_of_the_machine_gets_into_what_the_compiler_reads() {
    let (_folder, path) = secret();
    for (way, code) in [
        ("include_str", format!("pub const S: &str = include_str!({path:?});")),
        ("include_bytes", format!("pub const S: &[u8] = include_bytes!({path:?});")),
        ("include", format!("include!({path:?});")),
        ("path", format!("#[path = {path:?}] mod stolen;")),
        ("env", "pub const S: &str = env!(\"OF_THE_MACHINE\");".to_owned()),
    ] {
        let subject = Subject::new("includes").file("src/lib.rs", &code);
        let mut command = subject.command();
        let run = subject.read(&command.env("OF_THE_MACHINE", SECRET).output().unwrap());
        assert_ne!(run.report["verdict"], "pass", "{way}: it compiled\n{}", run.output());
        for text in [run.output(), run.report.to_string(), run.stderr.clone()] {
            assert!(!text.contains(SECRET), "{way}: {text}");
        }
        let ended = run.of("unit-end").any(|line| line["outcome"].to_string().contains("failed"));
        assert!(ended, "{way}: no unit failed, so that something else did");
    }
    // The control: a file of the package's own is included and compiles.
    let subject = Subject::new("includes")
        .file("src/lib.rs", "pub const S: &str = include_str!(\"mine.txt\");")
        .file("src/mine.txt", SECRET);
    let run = subject.run();
    assert_eq!(run.report["verdict"], "pass", "{}", run.output());
}

#[test]
fn paths_of_the_machine_in_a_manifest_lead_nowhere() {
    let (_folder, path) = secret();
    for lines in [
        format!("build = {path:?}"),
        format!("[lib]\npath = {path:?}"),
        format!("readme = {path:?}\nbuild = \"../../../../..{path}\""),
    ] {
        let subject = Subject::new("points");
        let text = fs::read_to_string(subject.dir().join("Cargo.toml")).unwrap();
        let text = if lines.starts_with('[') {
            format!("{text}\n{lines}\n")
        } else {
            text.replace("[workspace]", &format!("{lines}\n[workspace]"))
        };
        let subject = subject.file("Cargo.toml", &text);
        let output = subject.command().output().unwrap();
        let told = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        assert!(!told.contains(SECRET), "{lines}: {told}");
        assert!(!output.status.success(), "{lines}: {told}");
    }
}
