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
    meaning: "Code that runs at build time asked for a raw socket, for a protocol other than TCP and UDP, or for a \
              socket family other than IPv4, IPv6, unix and the routing family of netlink. Such sockets reach the \
              kernel, the hypervisor or the wire directly.",
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
                .says(format!(
                    "{} tried to create a socket {family}, {kind}, {}",
                    actor(tried),
                    named(family, *protocol)
                ))
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

fn is_usual(family: &str, kind: &str, protocol: i64) -> bool {
    let is_plain = matches!(kind, "SOCK_STREAM" | "SOCK_DGRAM" | "SOCK_SEQPACKET");
    match family {
        // The kernel's choice, TCP, UDP, TCP by many ways (what Go asks for first), UDP-Lite.
        "AF_INET" | "AF_INET6" => is_plain && matches!(protocol, 0 | 6 | 17 | 136 | 262),
        "AF_UNIX" | "AF_LOCAL" => is_plain,
        // 0 is NETLINK_ROUTE; netlink sockets are raw by nature.
        "AF_NETLINK" => protocol == 0,
        _ => false,
    }
}

/// The protocol by its name where that says more than the number.
fn named(family: &str, protocol: i64) -> String {
    let name = match (family, protocol) {
        ("AF_INET" | "AF_INET6", 1 | 58) => "ICMP",
        ("AF_NETLINK", 4) => "which lists all sockets (NETLINK_SOCK_DIAG)",
        ("AF_NETLINK", 9) => "which writes the audit log (NETLINK_AUDIT)",
        ("AF_NETLINK", 11) => "which tells of all processes (NETLINK_CONNECTOR)",
        ("AF_NETLINK", 12) => "which filters packets (NETLINK_NETFILTER)",
        ("AF_NETLINK", 15) => "which tells of all devices (NETLINK_KOBJECT_UEVENT)",
        ("AF_NETLINK", 16) => "which leads to other families (NETLINK_GENERIC)",
        _ => return format!("protocol {protocol}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use crate::judge::codes::testing::script;

    #[test]
    fn raw_and_rare_sockets_are_findings() {
        assert_eq!(
            script(|u| {
                u.socket("AF_VSOCK", "SOCK_STREAM", 0).socket("AF_INET", "SOCK_RAW", 1).socket(
                    "AF_NETLINK",
                    "SOCK_RAW",
                    9,
                )
            }),
            [
                "unusual-socket high AF_VSOCK SOCK_STREAM 0",
                "unusual-socket high AF_INET SOCK_RAW 1",
                "unusual-socket high AF_NETLINK SOCK_RAW 9",
            ]
        );
    }

    #[test]
    fn a_ping_without_rights_is_no_ordinary_datagram() {
        assert_eq!(script(|u| u.socket("AF_INET", "SOCK_DGRAM", 1)), ["unusual-socket high AF_INET SOCK_DGRAM 1"]);
    }

    #[test]
    fn sockets_that_the_c_library_makes_are_not() {
        assert!(
            script(|u| {
                u.socket("AF_INET", "SOCK_DGRAM", 0)
                    .socket("AF_INET6", "SOCK_STREAM", 6)
                    .socket("AF_INET", "SOCK_DGRAM", 17)
                    .socket("AF_NETLINK", "SOCK_RAW", 0)
                    .socket("AF_UNIX", "SOCK_STREAM", 0)
            })
            .is_empty()
        );
    }
}
