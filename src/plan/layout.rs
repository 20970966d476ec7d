//! Where things lie inside the sandbox.
//!
//! Landlock rules hold for whole hierarchies. So the decoy home, which units may
//! write blindly, holds nothing else; what units must not share lies elsewhere.

use std::path::Path;

use super::CONSUMER_NAME;
use crate::evidence::line::Layout;

/// `$HOME`.
pub const HOME: &str = "/home/dev";
/// `$CARGO_HOME`.
pub const CARGO_HOME: &str = "/opt/rust/cargo";
/// The parent of toolchains that are not part of the host's `/usr`.
const TOOLCHAINS: &str = "/opt/rust/rustup/toolchains";
/// Path sources.
pub const LOCAL_SOURCES: &str = "/workspace/crates";
/// Our own static program.
pub const TOOL: &str = "/opt/sandbox-check";

/// The layout for a registry's folder name and a sysroot of the host's.
pub fn layout(registry_dir: &str, sysroot: &Path) -> Layout {
    let consumer = format!("/workspace/{CONSUMER_NAME}");
    Layout {
        home: HOME.to_owned(),
        cargo_home: CARGO_HOME.to_owned(),
        registry_src: format!("{CARGO_HOME}/registry/src/{registry_dir}"),
        toolchain: toolchain(sysroot),
        local_src: LOCAL_SOURCES.to_owned(),
        target_dir: format!("{consumer}/target"),
        consumer,
        tmp: "/tmp".to_owned(),
        tool: TOOL.to_owned(),
        given: Vec::new(),
        decoys: Vec::new(),
    }
}

/// A sysroot in `/usr` is there already.
fn toolchain(sysroot: &Path) -> String {
    if sysroot.starts_with("/usr") {
        return sysroot.display().to_string();
    }
    let name = sysroot.file_name().map_or_else(|| "toolchain".into(), std::ffi::OsStr::to_string_lossy);
    format!("{TOOLCHAINS}/{name}")
}
