//! `unix-socket`: a daemon of the machine was to be reached.

use serde_json::json;

use super::{Code, push};
use crate::evidence::Bytes;
use crate::evidence::line::{Kind, Object};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::normalise;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "unix-socket",
    severity: "high",
    attack: &["T1559"],
    meaning: "Code that runs at build time tried to talk to a daemon of the machine through a socket: docker, an ssh \
              agent, the session bus, the screen. Such a daemon acts with more rights than the build has.",
    honest: "Crates that build inside docker on demand; macros that check queries against a local database.",
    action: "Find out what it wants from the daemon. For docker, assume that it can become root.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| matches!(t.attempt.kind, Kind::NetConnect | Kind::NetSend)) {
        let (Object::Address(address) | Object::Message { to: address, .. }) = &tried.attempt.object else { continue };
        let Some(path) = address.place().filter(|p| !p.0.is_empty()) else { continue };
        let Some((service, subject)) = daemon(cx, tried, &path.0) else { continue };
        let draft = Draft::new(cx, tried, CODE.name, Severity::High).map(|draft| {
            draft
                .about(subject.clone(), json!({"path": path, "service": service}))
                .says(format!("{} tried to talk to {service} at {subject}", actor(tried)))
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

/// Who would listen there, if that is anybody's business.
fn daemon(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> Option<(String, Bytes)> {
    if let Some(name) = path.strip_prefix(b"\0") {
        // Abstract names end at the border of the network namespace: only the well-known ones mean anything.
        let service = cx.policy.abstract_socket(name)?.service.clone()?;
        return Some((service, Bytes([b"@", name].concat())));
    }
    let path = normalise(path);
    if tried.unit.owns(&path) {
        return None;
    }
    let subject = short(cx, &path);
    match cx.policy.socket(&path) {
        Some(rule) => rule.service.clone().map(|service| (service, subject)),
        // ENOENT: nobody is there, and nobody known would be.
        None if tried.attempt.errno == Some(2) => None,
        None => Some(("a daemon".to_owned(), subject)),
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Object;
    use crate::evidence::testing::OUT;
    use crate::judge::codes::testing::script;

    #[test]
    fn a_relative_path_is_taken_for_where_it_leads() {
        let relative = |path: &str| {
            script(|u| {
                u.unix("docker.sock").with(|a| {
                    if let Object::Address(address) = &mut a.object {
                        address.resolved = Some(path.into());
                    }
                })
            })
        };
        assert_eq!(relative("/var/run/docker.sock"), ["unix-socket high /var/run/docker.sock"]);
        assert!(relative(&format!("{OUT}/docker.sock")).is_empty());
    }

    #[test]
    fn daemons_are_recognised_by_path_and_by_abstract_name() {
        for (path, expected) in [
            ("/var/run/docker.sock", "unix-socket high /var/run/docker.sock"),
            ("/run/user/1000/../1000/bus", "unix-socket high /run/user/1000/bus"),
            ("\0/tmp/.X11-unix/X0", "unix-socket high @/tmp/.X11-unix/X0"),
            ("/home/dev/.gnupg/S.gpg-agent", "unix-socket high ~/.gnupg/S.gpg-agent"),
        ] {
            assert_eq!(script(|u| u.unix(path)), [expected]);
        }
    }

    #[test]
    fn a_well_known_socket_counts_even_when_it_is_absent() {
        assert_eq!(script(|u| u.unix("/var/run/docker.sock").denied(2)).len(), 1);
    }

    #[test]
    fn the_c_librarys_own_sockets_and_own_sockets_are_nothing() {
        assert!(
            script(|u| {
                u.unix("/var/run/nscd/socket")
                    .unix("/run/systemd/resolve/io.systemd.Resolve")
                    .unix(&format!("{OUT}/s"))
                    .unix("/run/nobody.sock")
                    .denied(2)
                    .unix("\0private")
            })
            .is_empty()
        );
    }
}
