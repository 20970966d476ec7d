//! `network-connect`: an address was to be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{Kind, Object};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "network-connect",
    severity: "loopback low; private and public medium; raw (no name was looked up before) and metadata high; all but \
               loopback high together with a read of secrets, of the consumer, or with persistence",
    attack: &["T1095"],
    meaning: "Code that runs at build time tried to connect or send to an address. A raw address, which no name led \
              to, leaves no trace at a name server; a metadata address hands out cloud credentials.",
    honest: "Downloads of prebuilt files, a database that a macro checks queries against, a compiler cache on the \
             loopback address.",
    action: "Find out who owns the address and what is exchanged. A raw or metadata address in a build has no honest \
             reason that we know.",
    rule,
};

/// What kind of address it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Loopback,
    Private,
    Public,
    Metadata,
    Raw,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Public => "public",
            Self::Metadata => "metadata",
            Self::Raw => "raw",
        }
    }

    /// What a reader should know of it, after the address.
    fn says(self) -> &'static str {
        match self {
            Self::Loopback => " on this machine",
            Self::Private => ", a private address",
            Self::Public => ", a public address",
            Self::Metadata => ", which hands out credentials of a cloud",
            Self::Raw => "; no name was looked up before",
        }
    }

    fn severity(self) -> Severity {
        match self {
            Self::Loopback => Severity::Low,
            Self::Private | Self::Public => Severity::Medium,
            Self::Metadata | Self::Raw => Severity::High,
        }
    }
}

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| matches!(t.attempt.kind, Kind::NetConnect | Kind::NetSend)) {
        let (Object::Address(address) | Object::Message { to: address, .. }) = &tried.attempt.object else { continue };
        let (Some(ip), Some(port)) = (address.ip, address.port) else { continue };
        let ip = canonical(ip);
        // Port 0 cannot be reached; resolvers connect to it to learn a source address. Whom the stub hears, it notes.
        if port == 0 || address.is_resolver() {
            continue;
        }
        let class = class(cx, tried, ip);
        let subject = std::net::SocketAddr::new(ip, port).to_string();
        let verb = if tried.attempt.kind == Kind::NetSend { "send to" } else { "connect to" };
        let mut attack = CODE.attack.to_vec();
        if class == Class::Metadata {
            attack.push("T1552.005");
        }
        let draft = Draft::new(cx, tried, CODE.name, class.severity()).map(|draft| {
            let draft = draft
                .about(subject.as_str(), json!({"address": ip, "port": port, "class": class.name()}))
                .says(format!("{} tried to {verb} {subject}{}", actor(tried), class.says()))
                .attack(&attack);
            if class == Class::Loopback { draft } else { draft.egress() }
        });
        push(out, draft);
    }
}

fn class(cx: &Context<'_>, tried: &Tried<'_>, ip: IpAddr) -> Class {
    if is_metadata(ip) {
        Class::Metadata
    } else if is_loopback(ip) {
        Class::Loopback
    } else if !cx.has_asked_before(tried) {
        Class::Raw
    } else if is_private(ip) {
        Class::Private
    } else {
        Class::Public
    }
}

fn canonical(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// The unspecified address leads to the own machine as well.
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    let ip = canonical(ip);
    ip.is_loopback() || ip.is_unspecified()
}

fn is_metadata(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => [
            Ipv4Addr::new(169, 254, 169, 254),
            Ipv4Addr::new(169, 254, 170, 2),
            Ipv4Addr::new(169, 254, 170, 23),
            Ipv4Addr::new(100, 100, 100, 200),
            Ipv4Addr::new(192, 0, 0, 192),
        ]
        .contains(&v4),
        IpAddr::V6(v6) => v6 == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254),
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Kind, Object};
    use crate::evidence::testing::ip;
    use crate::judge::codes::testing::script;

    #[test]
    fn the_class_of_an_address_decides() {
        for (address, expected) in [
            ("127.0.0.1", "network-connect low 127.0.0.1:443"),
            ("::1", "network-connect low [::1]:443"),
            ("::ffff:127.0.0.1", "network-connect low 127.0.0.1:443"),
            ("192.0.2.7", "network-connect high 192.0.2.7:443"),
            ("10.0.0.1", "network-connect high 10.0.0.1:443"),
            ("169.254.169.254", "network-connect high 169.254.169.254:443"),
        ] {
            assert_eq!(script(|u| u.connect(address, 443)), [expected], "{address}");
        }
    }

    #[test]
    fn after_a_lookup_an_address_is_no_longer_raw() {
        assert_eq!(
            script(|u| u.dns("x.invalid").connect("192.0.2.7", 443)),
            ["dns-query medium x.invalid", "network-connect medium 192.0.2.7:443"]
        );
    }

    #[test]
    fn a_question_to_a_server_of_its_choice_makes_no_address_known() {
        let found = script(|u| {
            let u = u.dns("x.invalid").with(|a| {
                if let Object::Question { server, .. } = &mut a.object {
                    *server = ip("192.0.2.53", 53);
                }
            });
            u.attempt(Kind::NetSend, "sendto", Object::Address(ip("192.0.2.53", 53)))
        });
        assert_eq!(found, ["network-connect high 192.0.2.53:53", "dns-query medium x.invalid"]);
    }

    #[test]
    fn the_metadata_service_stays_high_after_a_lookup() {
        let found = script(|u| u.dns("x.invalid").connect("169.254.169.254", 80));
        assert!(found.contains(&"network-connect high 169.254.169.254:80".to_owned()), "{found:?}");
    }

    #[test]
    fn the_stub_resolver_and_port_zero_are_not_connections() {
        assert!(script(|u| u.connect("127.0.0.1", 53).connect("192.0.2.1", 0)).is_empty());
    }
}
