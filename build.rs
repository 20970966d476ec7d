//! Compiles the static shim (`src/shim/main.rs`), which the tool carries inside itself.
//!
//! It is a program without a C library, so that neither a static libc nor a
//! second target has to be installed: `rustc` and the linker that the tool
//! itself needs are enough.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    for folder in ["src/shim", "src/sys/bare"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    let target = variable("TARGET");
    if !target.starts_with("x86_64-unknown-linux-") {
        // `src/lib.rs` refuses other machines by a sentence; an empty shim lets the compiler get there.
        let shim = PathBuf::from(variable("OUT_DIR")).join("shim");
        std::fs::write(&shim, []).unwrap_or_else(|error| fail(&format!("cannot write {}: {error}", shim.display())));
        return;
    }
    let shim = PathBuf::from(variable("OUT_DIR")).join("shim");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2024", "--crate-name=shim", "--crate-type=bin", "--target", &target]);
    for option in [
        "panic=abort",
        "opt-level=s",
        "lto=fat",
        "codegen-units=1",
        "strip=symbols",
        "relocation-model=static",
        "target-feature=+crt-static",
        "default-linker-libraries=no",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
        "link-arg=-no-pie",
    ] {
        rustc.args(["-C", option]);
    }
    rustc.args(["--check-cfg", "cfg(sabotage)"]);
    if env::var_os("CARGO_FEATURE_SABOTAGE").is_some() {
        rustc.args(["--cfg", "sabotage"]);
    }
    rustc.arg("-o").arg(&shim).arg("src/shim/main.rs");
    // Flags of the tool's own build (coverage, sanitizers, native CPUs) would not fit a program without libc.
    rustc.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("rustc could not compile the static shim: {status}")),
        Err(error) => fail(&format!("cannot start {rustc:?}: {error}")),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| fail(&format!("cargo did not set {name}: {error}")))
}

#[expect(clippy::exit, reason = "cargo shows the line above and nothing of what a panic would add")]
fn fail(why: &str) -> ! {
    println!("cargo::error={why}");
    std::process::exit(1)
}
