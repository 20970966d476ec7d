//! `forbidden-syscall`: a facility of the kernel that no build needs.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{Kind, Object};
use crate::judge::context::{Context, Tried, Who};
use crate::judge::finding::{Draft, actor};
use crate::judge::paths::file_name;
use crate::policy::{Role, Severity};

pub(crate) const CODE: Code = Code {
    name: "forbidden-syscall",
    severity: "high; asked for by a program of the system, not there and not used (io_uring, calls of newer kernels) info",
    attack: &["T1106", "T1068", "T1611"],
    meaning: "Code that runs at build time asked the kernel for something that builds have no use for: namespaces, \
              mounts, io_uring, bpf, performance counters, keyrings. Much of it is a way around a sandbox or to root.",
    honest: "Programs on libuv, such as cmake and node, ask for io_uring once and go on without it.",
    action: "Treat the package as hostile until its authors explain it.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        if !matches!(tried.attempt.kind, Kind::KernelSurface | Kind::NsCreate | Kind::FsMount) {
            continue;
        }
        let names = match &tried.attempt.object {
            Object::Operation { names, .. } => names.as_slice(),
            _ => &[],
        };
        let syscall = tried.attempt.syscall.as_str();
        let subject = [&[syscall.to_owned()], names].concat().join(" ");
        let says = match tried.attempt.kind {
            Kind::NsCreate if syscall == "setns" => format!("{} tried to enter another namespace", actor(tried)),
            Kind::NsCreate => format!("{} tried to make namespaces of its own by {subject}", actor(tried)),
            Kind::FsMount => format!("{} tried to change what is mounted by {subject}", actor(tried)),
            _ => format!("{} tried to use {subject}, which no build needs", actor(tried)),
        };
        let draft = Draft::new(cx, tried, CODE.name, severity(cx, tried)).map(|draft| {
            draft.about(subject, json!({"call": syscall, "names": names})).says(says).attack(attack(tried.attempt.kind))
        });
        push(out, draft);
    }
}

/// Namespaces and mounts lead out of a container; the rest is the kernel's wide surface.
fn attack(kind: Kind) -> &'static [&'static str] {
    if matches!(kind, Kind::NsCreate | Kind::FsMount) { &["T1611"] } else { &["T1106", "T1068"] }
}

fn severity(cx: &Context<'_>, tried: &Tried<'_>) -> Severity {
    let syscall = tried.attempt.syscall.as_str();
    if let Some(rule) = cx.policy.exception(CODE.name, &tried.attempt.exe.0, syscall) {
        return rule.severity;
    }
    // rustc runs macros, so its calls may be theirs, and interpreters make whatever calls a text tells them. Of these
    // only node asks for io_uring by itself.
    let is_node = file_name(&tried.attempt.exe.0).starts_with(b"node") && syscall == "io_uring_setup";
    let is_system = match tried.who {
        Who::Subject | Who::Known(Role::Rustc) => false,
        Who::Known(Role::Interpreter) => is_node,
        Who::Known(_) | Who::System => true,
    };
    let went_on = || {
        cx.tried.iter().any(|t| {
            t.attempt.pid == tried.attempt.pid
                && matches!(t.attempt.syscall.as_str(), "io_uring_enter" | "io_uring_register")
        })
    };
    // What the kernel seems not to have: programs of the system ask for new calls and go on without them.
    let is_absent = tried.attempt.errno == Some(38);
    if is_system && is_absent && !went_on() { Severity::Info } else { Severity::High }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Kind;
    use crate::evidence::testing::OUT;
    use crate::judge::codes::testing::script;

    #[test]
    fn io_uring_namespaces_and_bpf_are_findings() {
        assert_eq!(
            script(|u| {
                u.operation(Kind::KernelSurface, "io_uring_setup", &[])
                    .operation(Kind::NsCreate, "unshare", &["CLONE_NEWUSER"])
                    .operation(Kind::KernelSurface, "bpf", &[])
            }),
            [
                "forbidden-syscall high io_uring_setup",
                "forbidden-syscall high unshare CLONE_NEWUSER",
                "forbidden-syscall high bpf",
            ]
        );
    }

    #[test]
    fn cmakes_probe_is_info_unless_it_takes_a_second_step() {
        let probe = |second: bool| {
            script(|u| {
                let u = u.by("/usr/bin/cmake").operation(Kind::KernelSurface, "io_uring_setup", &[]).denied(38);
                if second { u.operation(Kind::KernelSurface, "io_uring_enter", &[]) } else { u }
            })
        };
        assert_eq!(probe(false), ["forbidden-syscall info io_uring_setup"]);
        assert!(probe(true).contains(&"forbidden-syscall high io_uring_setup".to_owned()));
    }

    #[test]
    fn an_interpreter_makes_the_calls_that_it_is_told() {
        let probe = |exe: &str| script(|u| u.by(exe).operation(Kind::KernelSurface, "io_uring_setup", &[]).denied(38));
        assert_eq!(probe("/usr/bin/python3"), ["forbidden-syscall high io_uring_setup"]);
        assert_eq!(probe("/usr/bin/node"), ["forbidden-syscall info io_uring_setup"]);
    }

    #[test]
    fn a_call_that_a_newer_kernel_has_is_info_by_a_program_of_the_system_only() {
        let probe = |exe: &str, errno| script(|u| u.by(exe).operation(Kind::KernelSurface, "#480", &[]).denied(errno));
        assert_eq!(probe("/usr/bin/ls", 38), ["forbidden-syscall info #480"]);
        assert_eq!(probe("/usr/bin/ls", 1), ["forbidden-syscall high #480"]);
        assert_eq!(probe(&format!("{OUT}/ls"), 38), ["forbidden-syscall high #480"]);
    }

    #[test]
    fn a_program_that_calls_itself_cmake_is_not_cmake() {
        let found = script(|u| u.by(&format!("{OUT}/cmake")).operation(Kind::KernelSurface, "io_uring_setup", &[]));
        assert_eq!(found, ["forbidden-syscall high io_uring_setup"]);
    }
}
