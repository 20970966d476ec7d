//! `consumer-read`: the project that uses the package was read.

use super::{Code, push};
use crate::evidence::line::{LockConsumer, PackageSource};
use crate::judge::access::{is_own_read, read_path};
use crate::judge::context::{Context, Tried, layout_path};
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::{file_name, is_below};
use crate::policy::{Role, Severity};

pub(crate) const CODE: Code = Code {
    name: "consumer-read",
    severity: "medium by a build script or macro itself; low by git",
    attack: &["T1213.003"],
    meaning: "Code of a dependency climbed up to the project that uses it and opened its repository, its sources or \
              its .env file. The compromised crate onering did exactly this and sent what it found away.",
    honest: "Version crates ask git, which finds the repository on its way up; some generators look for the \
             workspace's root.",
    action: "Look what it does with what it read, and whether anything was to be sent.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some(path) = read_path(tried) else { continue };
        if !(cx.in_consumer(path) || in_workspace(cx, tried, path))
            || is_own_read(cx, tried, path)
            || is_ordinary(cx, tried, path)
        {
            continue;
        }
        let severity = if tried.role() == Some(Role::Git) { Severity::Low } else { Severity::Medium };
        let draft = Draft::new(cx, tried, CODE.name, severity).map(|draft| {
            draft
                .at(cx, path)
                .says(format!("{} tried to open {} of the consuming project", actor(tried), short(cx, path)))
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

/// True for the sources of a workspace whose lock file is examined, where code of a package from elsewhere reads them.
fn in_workspace(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> bool {
    let is_workspace = cx.log.header.lock.as_ref().is_some_and(|lock| lock.consumer == LockConsumer::Workspace);
    let package = tried.unit.package.as_ref().and_then(|id| cx.package(id));
    let is_foreign = package.is_some_and(|package| package.source != PackageSource::Directory);
    is_workspace && is_foreign && is_below(path, layout_path(&cx.layout().local_src))
}

/// Manifests, the lock file and the folder itself are how a build finds the workspace's root.
fn is_ordinary(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] =
        [b"Cargo.toml", b"Cargo.lock", b"rust-toolchain", b"rust-toolchain.toml", b"rustfmt.toml", b".rustfmt.toml"];
    let is_cargo_settings = path.ends_with(b"/.cargo/config.toml") || path.ends_with(b"/.cargo/config");
    path == layout_path(&cx.layout().consumer)
        || NAMES.contains(&file_name(path))
        || is_cargo_settings
        || tried.role() == Some(Role::Cargo)
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::UnitKind;
    use crate::evidence::testing::{CONSUMER, LogBuilder, OUT};
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn a_build_script_that_climbs_to_the_repository_is_a_finding() {
        assert_eq!(
            script(|u| {
                u.open(format!("{CONSUMER}/.git/HEAD").as_str())
                    .open(format!("{CONSUMER}/.env").as_str())
                    .open(format!("{CONSUMER}/src/main.rs").as_str())
            }),
            [
                "consumer-read medium ~/orders-service/.git/HEAD",
                "consumer-read medium ~/orders-service/.env",
                "consumer-read medium ~/orders-service/src/main.rs",
            ]
        );
    }

    #[test]
    fn git_that_climbs_is_low() {
        let found = script(|u| u.by("/usr/bin/git").open(format!("{CONSUMER}/.git/HEAD").as_str()));
        assert_eq!(found, ["consumer-read low ~/orders-service/.git/HEAD"]);
    }

    #[test]
    fn manifests_and_own_outputs_below_the_consumers_target_are_nothing() {
        assert!(
            script(|u| {
                u.open(format!("{CONSUMER}/Cargo.lock").as_str())
                    .open(format!("{CONSUMER}/Cargo.toml").as_str())
                    .list(CONSUMER)
                    .open(format!("{OUT}/generated.rs").as_str())
                    .open(format!("{CONSUMER}/target/debug/deps/libserde-0011223344556677.rmeta").as_str())
            })
            .is_empty()
        );
    }

    #[test]
    fn the_workspace_of_a_lock_file_is_a_consumer_for_packages_from_elsewhere() {
        let read = |is_lock: bool| {
            let log = LogBuilder::new()
                .header(|header| header.lock = is_lock.then(|| Box::new(crate::evidence::testing::lock(&[]))))
                .build_script("u", |u| u.open("/workspace/crates/app/src/main.rs"));
            found(&log.log())
        };
        assert_eq!(read(true), ["consumer-read medium /workspace/crates/app/src/main.rs"]);
        assert!(read(false).is_empty());
    }

    #[test]
    fn rustc_reads_the_consumers_sources_but_a_macro_has_no_business_with_its_repository() {
        let log = |path: &str| {
            let path = format!("{CONSUMER}/{path}");
            LogBuilder::new().proc_macro(&["D"]).rustc(UnitKind::CompileConsumer, |u| u.open(path.as_str())).log()
        };
        assert!(found(&log("src/main.rs")).is_empty());
        assert_eq!(found(&log(".git/config")), ["consumer-read medium ~/orders-service/.git/config"]);
    }
}
