//! `unusual-socket`: a socket that no build needs.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{Kind, Object};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "unusual-socket",
    severity: "high",
    attack: &["T1095"],
    meaning: "Code that runs at build time asked for a raw socket or for a socket family other than IPv4, IPv6, unix \
              and the routing family of netlink. Such sockets reach the kernel, the hypervisor or the wire directly.",
    honest: "None that we know at build time.",
    action: "Treat the package as hostile until its authors explain it.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::NetSocket) {
        let Object::Socket { family, kind, protocol, .. } = &tried.attempt.object else { continue };
        if is_usual(family, kind, *protocol) {
            continue;
        }
        let subject = format!("{family} {kind} {protocol}");
        let draft = Draft::new(cx, tried, CODE.name, Severity::High).map(|draft| {
            draft
                .about(subject.as_str(), json!({"family": family, "type": kind, "protocol": protocol}))
                .says(format!("{} tried to create a socket {family}, {kind}", actor(tried)))
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

fn is_usual(family: &str, kind: &str, protocol: i64) -> bool {
    let is_plain = matches!(kind, "SOCK_STREAM" | "SOCK_DGRAM" | "SOCK_SEQPACKET");
    match family {
        "AF_INET" | "AF_INET6" | "AF_UNIX" | "AF_LOCAL" => is_plain,
        // 0 is NETLINK_ROUTE; netlink sockets are raw by nature.
        "AF_NETLINK" => protocol == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::codes::testing::script;

    #[test]
    fn raw_and_rare_sockets_are_findings() {
        assert_eq!(
            script(|u| {
                u.socket("AF_VSOCK", "SOCK_STREAM", 0).socket("AF_INET", "SOCK_RAW", 1).socket("AF_NETLINK", "SOCK_RAW", 9)
            }),
            [
                "unusual-socket high AF_VSOCK SOCK_STREAM 0",
                "unusual-socket high AF_INET SOCK_RAW 1",
                "unusual-socket high AF_NETLINK SOCK_RAW 9",
            ]
        );
    }

    #[test]
    fn sockets_that_the_c_library_makes_are_not() {
        assert!(
            script(|u| {
                u.socket("AF_INET", "SOCK_DGRAM", 0).socket("AF_NETLINK", "SOCK_RAW", 0).socket("AF_UNIX", "SOCK_STREAM", 0)
            })
            .is_empty()
        );
    }
}
