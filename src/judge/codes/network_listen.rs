//! `network-listen`: a port was to be opened.

use serde_json::json;

use super::network_connect::is_loopback;
use super::{Code, push};
use crate::evidence::line::{Address, Kind, Object};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::{Draft, actor};
use crate::judge::paths::normalise;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "network-listen",
    severity: "loopback, and port 0 bound by a client, low; else medium",
    attack: &["T1571"],
    meaning: "Code that runs at build time bound an address or listened on it, so that others can reach it.",
    honest: "Build servers of some tools, tests that a build script runs, resolvers that bind an own port.",
    action: "Look what would answer there, and whether it ends with the build.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for (i, tried) in cx.tried.iter().enumerate() {
        let Some((address, is_known)) = address_of(cx, i, tried) else { continue };
        let (subject, severity) = match address.and_then(|a| a.ip.zip(a.port)) {
            Some((ip, port)) => {
                // To bind port 0, the kernel's choice, is how a client's socket gets its address. Who listens there can
                // tell others the number.
                let is_client = port == 0 && tried.attempt.kind == Kind::NetBind;
                let is_mild = is_client || (is_loopback(ip) && !ip.is_unspecified());
                let severity = if is_mild { Severity::Low } else { Severity::Medium };
                (std::net::SocketAddr::new(ip, port).to_string().into(), severity)
            }
            None if address.is_some_and(|a| is_own_unix(tried, a)) => continue,
            None => match address.and_then(|a| a.path.clone()) {
                Some(path) => (path, Severity::Medium),
                None if is_known => continue,
                None => ("an address that was not bound before".into(), Severity::Medium),
            },
        };
        let says = format!("{} tried to listen on {subject}", actor(tried));
        push(
            out,
            Draft::new(cx, tried, CODE.name, severity)
                .map(|draft| draft.about(subject.clone(), json!({"address": subject})).says(says).attack(CODE.attack)),
        );
    }
}

/// The address of a bind, or for a listen that of the caller's last bind. The flag says that there is one.
fn address_of<'t>(cx: &'t Context<'_>, i: usize, tried: &'t Tried<'_>) -> Option<(Option<&'t Address>, bool)> {
    let given = match &tried.attempt.object {
        Object::Address(address) => Some(address),
        _ => None,
    };
    match tried.attempt.kind {
        Kind::NetBind => Some((given, true)),
        Kind::NetListen if given.is_some() => Some((given, true)),
        Kind::NetListen => {
            let earlier = cx.tried.get(..i).unwrap_or_default();
            let binds = || {
                earlier.iter().rev().filter(|t| t.attempt.kind == Kind::NetBind && t.attempt.pid == tried.attempt.pid)
            };
            // By descriptor: one that was duplicated is known by its socket, and then its address is given.
            let same = binds().find(|t| t.attempt.args.first() == tried.attempt.args.first());
            let bound = same.and_then(|t| match &t.attempt.object {
                Object::Address(address) => Some(address),
                _ => None,
            });
            Some((bound, bound.is_some()))
        }
        _ => None,
    }
}

/// Sockets inside the unit's own folders, and abstract names, which end at the namespace's border.
fn is_own_unix(tried: &Tried<'_>, address: &Address) -> bool {
    address.place().is_some_and(|path| path.0.first().is_none_or(|&b| b == 0) || tried.unit.owns(&normalise(&path.0)))
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Address, Kind, Object};
    use crate::evidence::testing::{OUT, UnitBuilder, ip};
    use crate::judge::codes::testing::script;

    #[test]
    fn listening_for_everybody_is_worse_than_for_oneself() {
        for (address, expected) in
            [("127.0.0.1", "network-listen low 127.0.0.1:80"), ("0.0.0.0", "network-listen medium 0.0.0.0:80")]
        {
            let found = script(|u| {
                u.attempt(Kind::NetBind, "bind", Object::Address(ip(address, 80))).attempt(
                    Kind::NetListen,
                    "listen",
                    Object::None,
                )
            });
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn a_client_binds_port_0_and_who_listens_there_is_a_server() {
        let bind = |u: UnitBuilder, address: &str, fd: u64| {
            u.attempt(Kind::NetBind, "bind", Object::Address(ip(address, 0))).with(|a| a.args[0] = fd)
        };
        let listen =
            |u: UnitBuilder, fd: u64| u.attempt(Kind::NetListen, "listen", Object::None).with(|a| a.args[0] = fd);
        assert_eq!(script(|u| bind(u, "0.0.0.0", 3)), ["network-listen low 0.0.0.0:0"]);
        let found = script(|u| listen(bind(bind(u, "0.0.0.0", 3), "127.0.0.1", 4), 3));
        assert_eq!(found, ["network-listen medium 0.0.0.0:0", "network-listen low 127.0.0.1:0"]);
        let found = script(|u| listen(bind(bind(u, "127.0.0.1", 3), "0.0.0.0", 4), 3));
        assert_eq!(found, ["network-listen low 127.0.0.1:0", "network-listen low 0.0.0.0:0"]);
    }

    #[test]
    fn who_listens_unbound_hides_behind_no_other_socket() {
        let unix = Address { family: "AF_UNIX".to_owned(), path: Some(b"\0x".as_slice().into()), ..Address::default() };
        for other in [unix, ip("127.0.0.1", 80)] {
            let found = script(|u| {
                u.attempt(Kind::NetBind, "bind", Object::Address(other))
                    .with(|a| a.args[0] = 3)
                    .attempt(Kind::NetListen, "listen", Object::None)
                    .with(|a| a.args[0] = 4)
            });
            assert_eq!(found[0], "network-listen medium an address that was not bound before");
        }
    }

    #[test]
    fn netlink_and_own_sockets_are_no_listeners() {
        let unix = Address {
            family: "AF_UNIX".to_owned(),
            path: Some(format!("{OUT}/server.sock").into()),
            ..Address::default()
        };
        let netlink = Address { family: "AF_NETLINK".to_owned(), path: None, ..unix.clone() };
        assert!(
            script(|u| {
                u.attempt(Kind::NetBind, "bind", Object::Address(unix)).attempt(
                    Kind::NetBind,
                    "bind",
                    Object::Address(netlink),
                )
            })
            .is_empty()
        );
    }
}
