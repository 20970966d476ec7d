//! Holds the fixtures to their safety rules without running any of their code.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{fixtures, folders, root};

/// Ends of names that exist on the Internet. `.rs` and `.toml` are files.
const REAL_ENDS: &[&str] = &[
    "com", "org", "net", "io", "dev", "app", "co", "info", "biz", "xyz", "me", "sh", "ru", "cn", "de", "uk", "eu",
    "us", "cloud", "online", "site", "top", "link", "onion",
];

/// Every package below a fixture's folder, its own first.
fn packages(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_path_buf()];
    found.extend(folders(dir).unwrap_or_default().into_iter().filter(|below| below.join("Cargo.toml").is_file()));
    found
}

/// Every file of a fixture that is somebody's work.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_folder_has_the_name_of_its_package() {
    for fixture in fixtures().unwrap() {
        for dir in packages(&fixture.dir) {
            let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse::<toml::Table>().unwrap();
            let name = manifest["package"]["name"].as_str();
            assert_eq!(name, dir.file_name().and_then(|name| name.to_str()), "{}", dir.display());
        }
    }
}

#[test]
fn fixtures_stand_alone_and_depend_on_their_own_packages_only() {
    for fixture in fixtures().unwrap() {
        for dir in packages(&fixture.dir) {
            let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse::<toml::Table>().unwrap();
            assert_eq!(manifest.contains_key("workspace"), dir == fixture.dir, "{}", dir.display());
            for kind in ["dependencies", "build-dependencies", "dev-dependencies", "target"] {
                for (name, value) in manifest.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
                    let path = value.get("path").and_then(toml::Value::as_str);
                    assert_eq!(path, Some(name.as_str()), "{}: {kind}.{name}", dir.display());
                }
            }
        }
    }
}

#[test]
fn fixtures_name_no_host_that_exists() {
    for fixture in fixtures().unwrap() {
        for path in files(&fixture.dir) {
            let text = fs::read_to_string(&path).unwrap();
            for word in text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-')) {
                let word = word.trim_matches(|c| matches!(c, '.' | '-')).to_lowercase();
                if let Ok(address) = word.parse::<Ipv4Addr>() {
                    assert!(address.is_loopback() || address.is_documentation(), "{}: {word}", path.display());
                }
                let Some((_, end)) = word.rsplit_once('.') else { continue };
                assert!(!REAL_ENDS.contains(&end), "{}: {word}", path.display());
            }
            // `SocketAddr::from(([a, b, c, d], port))` writes an address with commas.
            for group in text.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(inside, _)| inside) {
                let parts: Vec<u8> = group.split(',').map_while(|part| part.trim().parse().ok()).collect();
                if let (4, Ok(parts)) = (group.split(',').count(), <[u8; 4]>::try_from(parts)) {
                    let address = Ipv4Addr::from(parts);
                    assert!(address.is_loopback() || address.is_documentation(), "{}: {address}", path.display());
                }
            }
            assert!(!text.contains("://"), "{}: a URL", path.display());
        }
    }
}

#[test]
fn every_malicious_fixture_is_guarded_and_has_a_twin() {
    let all = fixtures().unwrap();
    let honest: BTreeSet<_> =
        all.iter().filter(|fixture| fixture.honest).map(|fixture| fixture.name.as_str()).collect();
    for fixture in &all {
        let guarded = files(&fixture.dir).iter().any(|path| {
            fs::read_to_string(path)
                .unwrap()
                .contains("var_os(\"SANDBOX_CHECK_FIXTURE\").is_some_and(|value| value == \"1\")")
        });
        assert_eq!(guarded, !fixture.honest, "{}: guard", fixture.name);
        let twin = fixture.expected.twin.as_deref();
        assert_eq!(twin.is_some(), !fixture.honest, "{}: twin", fixture.name);
        assert!(twin.is_none_or(|twin| honest.contains(twin)), "{}: no twin {twin:?}", fixture.name);
        assert!(fixture.honest || !fixture.expected.findings.is_empty(), "{}: expects nothing", fixture.name);
    }
}

#[test]
fn readmes_list_every_fixture() {
    for (kind, honest) in [("malicious-crates", false), ("honest-crates", true)] {
        let text = fs::read_to_string(root().join(kind).join("README.md")).unwrap();
        for fixture in fixtures().unwrap().iter().filter(|fixture| fixture.honest == honest) {
            assert!(text.contains(&format!("| `{}` |", fixture.name)), "{kind}/README.md lacks {}", fixture.name);
        }
    }
}

/// Compiled by rustc alone: nothing is linked, loaded or run.
#[test]
fn every_fixture_compiles_without_running() {
    let out = tempfile::tempdir().unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compiled = 0;
    for fixture in fixtures().unwrap() {
        for dir in packages(&fixture.dir) {
            let text = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
            let manifest = text.parse::<toml::Table>().unwrap();
            let compile = |dir: &Path, source: &str, kind: &str, name: &str, libraries: &[String]| {
                let output = Command::new(&rustc)
                    .args(["--edition", "2021", "--emit", "metadata", "-D", "warnings", "--crate-name", name])
                    .args(["--crate-type", kind, "--extern", "proc_macro", "-L"])
                    .arg(out.path())
                    .args(libraries.iter().flat_map(|library| ["--extern", library]))
                    .arg("--out-dir")
                    .arg(out.path())
                    .arg(dir.join(source))
                    .env("CARGO_MANIFEST_DIR", dir)
                    .env_remove("SANDBOX_CHECK_FIXTURE")
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{}: {}", dir.display(), String::from_utf8_lossy(&output.stderr));
            };
            if text.contains("proc-macro = true") {
                // What is linked into a macro library is compiled for it.
                let below = manifest.get("dependencies").and_then(toml::Value::as_table);
                let below: Vec<String> = below.into_iter().flat_map(|table| table.keys().cloned()).collect();
                for name in &below {
                    compile(&dir.join(name), "src/lib.rs", "lib", name, &[]);
                }
                compile(&dir, "src/lib.rs", "proc-macro", "fixture", &below);
            } else {
                compile(&dir, "build.rs", "bin", "fixture", &[]);
            }
            compiled += 1;
        }
    }
    assert!(compiled > 20, "{compiled} packages");
}
