//! `host-read`: what identifies the machine or a sandbox was opened.

use super::{Code, push};
use crate::judge::access::read_path;
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "host-read",
    severity: "low",
    attack: &["T1082"],
    meaning: "Code that runs at build time opened what tells one machine from another, or a sandbox from a machine: \
              machine id, hardware names, password hashes, container marks.",
    honest: "Libraries that ask for the host's name or for the kernel; diagnostics of build tools.",
    action: "Alone it says little. Together with a lookup or a connection it is reconnaissance.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some(path) = read_path(tried) else { continue };
        if tried.unit.owns(path) {
            continue;
        }
        let Some(rule) = cx.policy.host(path) else { continue };
        let draft = Draft::new(cx, tried, CODE.name, Severity::Low).map(|draft| {
            draft
                .at(cx, path)
                .says(format!("{} tried to open {}", actor(tried), short(cx, path)))
                .attack(&[&rule.attack])
        });
        push(out, draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::codes::testing::script;

    #[test]
    fn marks_of_a_machine_are_low() {
        assert_eq!(
            script(|u| u.open("/etc/shadow").open("/sys/class/dmi/id/product_name")),
            ["host-read low /etc/shadow", "host-read low /sys/class/dmi/id/product_name"]
        );
    }

    #[test]
    fn what_every_program_reads_is_nothing() {
        assert!(
            script(|u| {
                u.open("/etc/passwd")
                    .open("/etc/ld.so.cache")
                    .open("/etc/os-release")
                    .open("/etc/resolv.conf")
                    .open("/dev/urandom")
                    .open("/proc/self/status")
                    .open("/proc/self/cgroup")
                    .open("/sys/devices/system/cpu/online")
                    .open("/sys/fs/cgroup/cpu.max")
            })
            .is_empty()
        );
    }
}
