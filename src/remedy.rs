//! What to do about what does not hold or is not there.

mod packages;

pub use packages::{Manager, install};

/// One line on how to get a layer.
pub fn remedy(layer: &str) -> &'static str {
    match layer {
        "user-namespace" | "mount-namespace" | "pid-namespace" => {
            "allow user namespaces: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=15000`, or start as root"
        }
        "network-namespace" => "allow network namespaces: `sysctl -w user.max_net_namespaces=15000`",
        "landlock" => "use Linux 6.12 or newer (Landlock ABI 6) with `landlock` in the kernel's `lsm=` list",
        "seccomp" => "use Linux 5.19 or newer with seccomp filters; an outer sandbox may already have a listener",
        "keyring" => "allow keyctl: an outer sandbox may forbid it",
        _ => "report this with the kernel's version: the layer should hold wherever the others do",
    }
}
