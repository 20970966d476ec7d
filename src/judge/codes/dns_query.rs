//! `dns-query`: a name was looked up.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Code, push};
use super::network_connect::is_loopback;
use crate::evidence::line::{Kind, Line, Object, note};
use crate::ids::{PackageId, UnitId};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor};
use crate::judge::library;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "dns-query",
    severity: "medium; high together with a read of secrets, of the consumer, or with persistence",
    attack: &["T1071.004"],
    meaning: "Code that runs at build time asked a name server for a name. The sandbox has no network, so this is \
              all that can be seen of a download, an upload, or data sent inside the name itself.",
    honest: "Build scripts that fetch prebuilt libraries, sources or test data; macros that check a query against a \
             database or a schema on the web.",
    action: "Look whether the name belongs to the project and what would have been fetched. Prefer a feature or an \
             environment variable of the crate that builds without the download.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    unseen(cx, out);
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::DnsQuery) {
        let Object::Question { name, qtype, server } = &tried.attempt.object else { continue };
        if name.0.eq_ignore_ascii_case(b"localhost") {
            continue;
        }
        let object = json!({"host": name, "qtype": qtype, "server": server.ip});
        push(
            out,
            Draft::new(cx, tried, CODE.name, Severity::Medium).map(|draft| {
                draft
                    .about(name.clone(), object)
                    .says(format!("{} tried to look up the name {name}", actor(tried)))
                    .attack(CODE.attack)
                    .egress()
            }),
        );
    }
}

/// Questions that reached the stub resolver and that no notified call carried: written to a connected socket. Whose
/// they are is told by who connected to the resolver.
fn unseen(cx: &Context<'_>, out: &mut Vec<Draft>) {
    let notes = cx.log.lines.iter().filter_map(|line| match line {
        Line::Note(note) if note.code == note::UNSEEN_QUERY => Some(note),
        _ => None,
    });
    let mut askers = notes.peekable();
    if askers.peek().is_none() {
        return;
    }
    let connected: BTreeSet<(UnitId, Option<PackageId>)> = cx
        .tried
        .iter()
        .filter(|t| matches!(&t.attempt.object, Object::Address(to) if to.port == Some(53) && to.ip.is_some_and(is_loopback)))
        .filter(|t| t.attempt.kind == Kind::NetConnect)
        .map(|t| (t.unit.id(), library::package_of(t)))
        .collect();
    let packages: BTreeSet<_> = connected.iter().filter_map(|(_, package)| package.as_ref()).collect();
    let units: BTreeSet<_> = connected.iter().map(|(unit, _)| *unit).collect();
    let only = |package| if packages.len() == 1 { packages.first().copied() } else { package };
    for note in askers {
        let Some(package) = only(note.package.as_ref()).or(cx.subject()) else { continue };
        let (qtype, name) = note.text.split_once(' ').unwrap_or(("", &note.text));
        let mut draft = Draft::of_package(package, CODE.name, Severity::Medium)
            .about(name, json!({"host": name, "qtype": qtype, "server": "127.0.0.1"}))
            .says(format!("its code tried to look up the name {name} by writing to a connected socket"))
            .attack(CODE.attack)
            .egress();
        draft.unit = note.unit.or_else(|| units.first().copied().filter(|_| units.len() == 1));
        out.push(draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::note;
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn a_lookup_is_one_finding_for_each_name() {
        assert_eq!(
            script(|u| u.dns("a.invalid").dns("a.invalid").dns("b.invalid")),
            ["dns-query medium a.invalid", "dns-query medium b.invalid"]
        );
    }

    #[test]
    fn a_question_that_no_call_was_seen_to_send_is_a_lookup_too() {
        let log = LogBuilder::new().build_script("u", |u| u.connect("127.0.0.1", 53)).note(note::UNSEEN_QUERY, "A x.invalid");
        assert_eq!(found(&log.log()), ["dns-query medium x.invalid"]);
    }

    #[test]
    fn localhost_is_not_a_lookup() {
        assert!(script(|u| u.dns("localhost")).is_empty());
    }
}
