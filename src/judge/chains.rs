//! What is worse together: collecting and sending inside one package.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::context::{Context, Tried, Who, program};
use super::finding::Draft;
use super::library;
use super::paths::normalise;
use crate::evidence::Bytes;
use crate::ids::PackageId;
use crate::policy::{Role, Severity};

/// What is collected or planted.
const COLLECTS: [&str; 5] = ["credential-read", "consumer-read", "process-read", "mass-read", "persistence-write"];

/// Raises the links of a chain to high. The other links stand in `object.chain`.
pub(super) fn raise(cx: &Context<'_>, drafts: &mut [Draft]) {
    let mut egress: BTreeMap<PackageId, BTreeSet<&str>> = BTreeMap::new();
    let mut collected: BTreeMap<PackageId, BTreeSet<&str>> = BTreeMap::new();
    for draft in drafts.iter() {
        if draft.is_egress {
            egress.entry(draft.package.clone()).or_default().insert(draft.code);
        } else if COLLECTS.contains(&draft.code) {
            collected.entry(draft.package.clone()).or_default().insert(draft.code);
        }
    }
    for package in runs_what_it_wrote(cx) {
        collected.entry(package).or_default().insert("the run of a file that it wrote");
    }
    for draft in drafts {
        let others = if draft.is_egress {
            egress.contains_key(&draft.package).then(|| collected.get(&draft.package)).flatten()
        } else if COLLECTS.contains(&draft.code) {
            egress.get(&draft.package)
        } else {
            None
        };
        let Some(others) = others else { continue };
        draft.severity = draft.severity.max(Severity::High);
        if let serde_json::Value::Object(object) = &mut draft.object {
            object.insert("chain".to_owned(), json!(others));
        }
        let names: Vec<_> = others.iter().copied().collect();
        draft.summary = format!("{} (together with {})", draft.summary, names.join(", "));
    }
}

/// Packages that ran a file which their own code wrote, compilers and unpackers apart. A shell that is
/// handed a file runs it.
fn runs_what_it_wrote(cx: &Context<'_>) -> BTreeSet<PackageId> {
    let ran = cx.tried.iter().filter(|tried| !tried.is_first);
    ran.filter(|tried| {
        let Some((_, argv, _)) = program(tried) else { return false };
        is_own_work(cx, &tried.path) || handed_over(cx, tried, argv).is_some_and(|script| is_own_work(cx, &script))
    })
    .filter_map(library::package_of)
    .collect()
}

/// The file that a shell or an interpreter is handed, if its path is absolute.
fn handed_over(cx: &Context<'_>, tried: &Tried<'_>, argv: &[Bytes]) -> Option<Vec<u8>> {
    let reads = matches!(cx.program_role(tried), Some(Role::Shell | Role::Interpreter));
    let file = argv.iter().skip(1).find(|argument| !argument.0.starts_with(b"-"))?;
    (reads && file.0.starts_with(b"/")).then(|| normalise(&file.0))
}

/// True for what code of the build wrote itself.
fn is_own_work(cx: &Context<'_>, path: &[u8]) -> bool {
    let wrote = |writer: &Tried<'_>| {
        matches!(writer.who, Who::Subject | Who::System | Who::Known(Role::Download | Role::Interpreter))
    };
    cx.writers(path).any(wrote) && !cx.is_compiled(path)
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{ProgramFile, UnitKind};
    use crate::evidence::testing::{CONSUMER, LogBuilder, OUT};
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn reading_the_consumer_and_a_lookup_make_a_chain() {
        let head = format!("{CONSUMER}/.git/HEAD");
        let found = script(|u| u.by("/usr/bin/git").open(head.as_str()).dns("collector.invalid"));
        assert_eq!(found, ["consumer-read high ~/orders-service/.git/HEAD", "dns-query high collector.invalid"]);
    }

    #[test]
    fn a_loopback_connection_is_no_egress() {
        let head = format!("{CONSUMER}/.git/HEAD");
        let found = script(|u| u.open(head.as_str()).connect("127.0.0.1", 4226));
        assert_eq!(found, ["consumer-read medium ~/orders-service/.git/HEAD", "network-connect low 127.0.0.1:4226"]);
    }

    #[test]
    fn running_a_file_that_it_wrote_and_a_lookup_make_a_chain() {
        let file = format!("{OUT}/run.sh");
        let found =
            script(|u| u.dns("x.invalid").write(file.as_str()).exec(ProgramFile::Script, &[file.as_str()], &[]));
        assert_eq!(found, ["dns-query high x.invalid"]);
        let found = script(|u| {
            u.dns("x.invalid").write(file.as_str()).exec(ProgramFile::Elf, &["/bin/sh", file.as_str()], &[])
        });
        assert_eq!(found, ["dns-query high x.invalid"]);
    }

    #[test]
    fn a_shell_that_runs_what_a_shell_generated_and_a_lookup_make_none() {
        let status = format!("{OUT}/config.status");
        let found = script(|u| {
            u.dns("x.invalid").by("/usr/bin/dash").write(status.as_str()).exec(
                ProgramFile::Elf,
                &["/bin/sh", &status],
                &[],
            )
        });
        assert_eq!(found, ["dns-query medium x.invalid"]);
    }

    #[test]
    fn two_packages_do_not_make_a_chain_with_each_other() {
        let head = format!("{CONSUMER}/.git/HEAD");
        let log = LogBuilder::new()
            .dependency("other", true)
            .build_script("u", |u| u.open(head.as_str()))
            .unit(
                UnitKind::RunBuildScript,
                Some(crate::ids::PackageId::new("other", "2.0.0")),
                "/b",
                vec!["/o".into()],
                |u| u.dns("x.invalid"),
            )
            .log();
        assert_eq!(found(&log), ["consumer-read medium ~/orders-service/.git/HEAD", "dns-query medium x.invalid"]);
    }
}
