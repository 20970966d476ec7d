//! `dns-query`: a name was looked up.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{ArgState, Kind, Line, Object, note};
use crate::ids::{PackageId, UnitId};
use crate::judge::context::{Context, Tried, program};
use crate::judge::finding::{Draft, actor};
use crate::judge::library;
use crate::judge::paths::file_name;
use crate::policy::{Role, Severity};

pub(crate) const CODE: Code = Code {
    name: "dns-query",
    severity: "medium; high together with a read of secrets, of the consumer, or with persistence; low by a cargo that asks \
               its registry which packages there are",
    attack: &["T1071.004"],
    meaning: "Code that runs at build time asked a name server for a name. The sandbox has no network, so this is \
              all that can be seen of a download, an upload, or data sent inside the name itself.",
    honest: "Build scripts that fetch prebuilt libraries, sources or test data; macros that check a query against a \
             database or a schema on the web.",
    action: "Look whether the name belongs to the project and what would have been fetched. Prefer a feature or an \
             environment variable of the crate that builds without the download.",
    rule,
};

/// Commands of cargo's that tell of packages and run nothing of theirs.
const LOOKS: [&[u8]; 3] = [b"metadata", b"tree", b"generate-lockfile"];

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    unseen(cx, out);
    by_stream(cx, out);
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::DnsQuery) {
        let Object::Question { name, qtype, server } = &tried.attempt.object else { continue };
        if name.0.eq_ignore_ascii_case(b"localhost") {
            continue;
        }
        let object = json!({"host": name, "qtype": qtype, "server": server.ip});
        let severity = if is_of_the_resolver(cx, tried, &name.0) { Severity::Low } else { Severity::Medium };
        push(
            out,
            Draft::new(cx, tried, CODE.name, severity).map(|draft| {
                draft
                    .about(name.clone(), object)
                    .says(format!("{} tried to look up the name {name}", actor(tried)))
                    .attack(CODE.attack)
                    .egress()
            }),
        );
    }
}

/// True for the toolchain's cargo that asks for the registry of this build because it was told to say which packages
/// there are, as build information does (`cargo tree`). A cargo that builds, installs or publishes would go on with what
/// it gets, and any other host is nobody's registry here.
fn is_of_the_resolver(cx: &Context<'_>, tried: &Tried<'_>, name: &[u8]) -> bool {
    let folder = file_name(cx.layout().registry_src.as_bytes());
    let registry = folder.iter().rposition(|&byte| byte == b'-').and_then(|at| folder.get(..at));
    registry.is_some_and(|host| host.eq_ignore_ascii_case(name)) && lists_packages(cx, tried)
}

/// True for the toolchain's cargo that was told to say which packages there are, and nothing else.
pub(super) fn lists_packages(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    if tried.role() != Some(Role::Cargo) {
        return false;
    }
    let is_own = |start: &&Tried<'_>| {
        let (one, other) = (start.attempt, tried.attempt);
        one.kind == Kind::Exec && one.unit == other.unit && one.pid == other.pid && one.seq < other.seq
    };
    let mut starts = cx.tried.iter().filter(is_own).filter(|start| cx.program_role(start) == Some(Role::Cargo));
    let looks = |start: &Tried<'_>| {
        let command = program(start).and_then(|(_, argv, _)| argv.get(1));
        start.attempt.arg_state != ArgState::Changed
            && command.is_some_and(|command| LOOKS.contains(&command.0.as_slice()))
    };
    // All of the process's: a number may come back, and what is not clear is not low.
    starts.next().is_some_and(looks) && starts.all(looks)
}

/// Connections to a resolver by TCP, which end before the question is sent.
fn by_stream(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::NetConnect) {
        let Object::Address(to) = &tried.attempt.object else { continue };
        let Some(ip) = to.ip.filter(|_| to.stream && to.is_resolver()) else { continue };
        let subject = format!("{ip} by TCP");
        push(
            out,
            Draft::new(cx, tried, CODE.name, Severity::Medium).map(|draft| {
                draft
                    .about(subject.as_str(), json!({"server": ip}))
                    .says(format!("{} tried to ask the resolver at {ip} by TCP; for what was not seen", actor(tried)))
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
        .filter(|t| matches!(&t.attempt.object, Object::Address(to) if to.is_resolver()))
        .filter(|t| t.attempt.kind == Kind::NetConnect)
        .map(|t| (t.unit.id(), library::package_of(t)))
        .collect();
    for note in askers {
        // Where the supervisor knew one unit that could ask, no other one did.
        let near = connected.iter().filter(|(unit, _)| note.unit.is_none_or(|asker| asker == *unit));
        let (units, packages): (BTreeSet<_>, BTreeSet<_>) =
            near.map(|(unit, package)| (*unit, package.as_ref())).unzip();
        let only = packages.first().copied().flatten().filter(|_| packages.len() == 1);
        let Some(package) = only.or(note.package.as_ref()).or(cx.subject()) else { continue };
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
    use crate::evidence::line::{ArgState, Line, Object, UnitKind, note};
    use crate::evidence::testing::{LogBuilder, OUT, SCRIPT, TOOLCHAIN};
    use crate::ids::PackageId;
    use crate::judge::codes::testing::{found, script};
    use crate::judge::judge;
    use crate::policy::Policy;

    #[test]
    fn a_lookup_is_one_finding_for_each_name() {
        assert_eq!(
            script(|u| u.dns("a.invalid").dns("a.invalid").dns("b.invalid")),
            ["dns-query medium a.invalid", "dns-query medium b.invalid"]
        );
    }

    #[test]
    fn cargo_asks_its_registry_which_packages_there_are_and_all_else_is_a_lookup() {
        let cargo = format!("{TOOLCHAIN}/bin/cargo");
        let asked = |program: &str, command: &str, name: &str| {
            script(|u| u.by(program).run(&[program, command]).dns(name).by(SCRIPT)).join(", ")
        };
        for command in ["tree", "metadata", "generate-lockfile"] {
            assert_eq!(asked(&cargo, command, "registry.invalid"), "dns-query low registry.invalid", "{command}");
        }
        for command in ["install", "publish", "build", "fetch", "+nightly", "--config=x"] {
            assert_eq!(asked(&cargo, command, "registry.invalid"), "dns-query medium registry.invalid", "{command}");
        }
        for name in ["other.invalid", "secret.registry.invalid", "registry"] {
            assert_eq!(asked(&cargo, "tree", name), format!("dns-query medium {name}"));
        }
        let own = format!("{OUT}/cargo");
        assert!(asked(&own, "tree", "registry.invalid").contains("dns-query medium"), "what calls itself so");
        let itself = script(|u| u.run(&[&cargo, "tree"]).dns("registry.invalid"));
        assert_eq!(itself, ["dns-query medium registry.invalid"], "the build script's own question");
        let twice = script(|u| u.by(&cargo).run(&[&cargo, "tree"]).run(&[&cargo, "install"]).dns("registry.invalid"));
        assert_eq!(twice, ["dns-query medium registry.invalid"]);
        let changed = script(|u| {
            u.by(&cargo).run(&[&cargo, "tree"]).with(|a| a.arg_state = ArgState::Changed).dns("registry.invalid")
        });
        assert!(changed.contains(&"dns-query medium registry.invalid".to_owned()), "{changed:?}");
    }

    #[test]
    fn a_question_that_no_call_was_seen_to_send_is_a_lookup_too() {
        let log =
            LogBuilder::new().build_script("u", |u| u.connect("127.0.0.1", 53)).note(note::UNSEEN_QUERY, "A x.invalid");
        assert_eq!(found(&log.log()), ["dns-query medium x.invalid"]);
    }

    #[test]
    fn a_connection_to_a_resolver_by_tcp_is_a_lookup_of_an_unseen_name() {
        let by_tcp = |address: &str| {
            script(|u| {
                u.connect(address, 53).with(|a| {
                    if let Object::Address(to) = &mut a.object {
                        to.stream = true;
                    }
                })
            })
        };
        assert_eq!(by_tcp("127.0.0.53"), ["dns-query medium 127.0.0.53 by TCP"]);
        assert_eq!(by_tcp("127.0.0.77"), ["network-connect low 127.0.0.77:53"], "no machine has one there");
        assert!(script(|u| u.connect("127.0.0.53", 53)).is_empty(), "that is how one learns an own address");
    }

    #[test]
    fn an_unseen_question_is_its_units_who_was_known_to_ask() {
        let second = PackageId::new("second", "1.0.0");
        let log = LogBuilder::new()
            .dependency("second", true)
            .build_script("first", |u| u.connect("127.0.0.1", 53))
            .unit(UnitKind::RunBuildScript, Some(second.clone()), "/x", Vec::new(), |u| u.connect("127.0.0.1", 53))
            .note(note::UNSEEN_QUERY, "A x.invalid");
        let mut log = log.log();
        let asker = log.lines.iter().find_map(|line| match line {
            Line::Attempt(attempt) if attempt.package.as_ref() == Some(&second) => Some(attempt.unit),
            _ => None,
        });
        for line in &mut log.lines {
            if let Line::Note(said) = line {
                said.unit = asker;
            }
        }
        let judgement = judge(&log, &Policy::shipped());
        let blamed: Vec<_> = judgement.packages.iter().filter(|p| !p.findings.is_empty()).map(|p| &p.id).collect();
        assert_eq!(blamed, [&second]);
    }

    #[test]
    fn localhost_is_not_a_lookup() {
        assert!(script(|u| u.dns("localhost")).is_empty());
    }
}
