//! `artifact-tamper`: what another unit, cargo or the toolchain made was to be changed.

use serde_json::json;

use super::write_outside::is_library;
use super::{Code, push};
use crate::judge::access::{Zone, changes, zone};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::normalise;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "artifact-tamper",
    severity: "critical",
    attack: &["T1195.001", "T1554"],
    meaning: "Code of one package tried to change, replace or remove what another unit, cargo or the toolchain made: \
              compiled outputs, sources in the registry, the lock file, rustc itself. cargo does not check them again.",
    honest: "None that we know. Shared folders where packages add files of their own are write-outside.",
    action: "Treat every artefact of such a build as compromised and build again from verified sources.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        for change in changes(tried) {
            if zone(cx, tried, &change) != Zone::Foreign {
                continue;
            }
            let draft = Draft::new(cx, tried, CODE.name, Severity::Critical).map(|draft| {
                draft
                    .at(cx, change.path)
                    .says(format!("{} tried to change {}, which is not its own", actor(tried), short(cx, change.path)))
                    .attack(CODE.attack)
            });
            push(out, draft);
        }
    }
    for unit in cx.units.0.values() {
        let Some((end, package)) = unit.end.zip(unit.package.as_ref()) else { continue };
        for path in end.refused_outputs.iter().filter(|path| is_library(&path.0)) {
            let mut draft = Draft::of_package(package, CODE.name, Severity::Critical)
                .about(short(cx, &normalise(&path.0)), json!({"path": path}))
                .says(format!("the unit left the library {path} among its outputs, where a later rustc would load it"))
                .attack(CODE.attack);
            draft.unit = Some(unit.id());
            out.push(draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::UnitKind;
    use crate::evidence::testing::{CONSUMER, DEPS, LogBuilder, OUT, REGISTRY, SOURCE, TOOLCHAIN};
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn changing_what_others_made_is_critical() {
        for path in [
            format!("{DEPS}/libserde-0011223344556677.rlib"),
            format!("{REGISTRY}/serde-1.0.0/src/lib.rs"),
            format!("{TOOLCHAIN}/bin/rustc"),
            "/home/dev/.rustup/toolchains/nightly/bin/rustc".to_owned(),
            "/home/dev/.cargo/git/checkouts/serde-0011223344556677/abc/src/lib.rs".to_owned(),
            format!("{CONSUMER}/Cargo.lock"),
            format!("{CONSUMER}/src/main.rs"),
            format!("{CONSUMER}/target/debug/build/serde-0011223344556677/out/generated.rs"),
            format!("{CONSUMER}/target/debug/.fingerprint/serde-0011223344556677/lib-serde"),
            format!("{CONSUMER}/target/debug/build/serde/0011223344556677/out/generated.rs"),
        ] {
            let log = LogBuilder::new().dependency("serde", false).build_script("u", |u| u.write(path.as_str())).log();
            let found = found(&log);
            assert!(found.len() == 1 && found[0].starts_with("artifact-tamper critical"), "{path} {found:?}");
        }
    }

    #[test]
    fn a_package_inside_of_anothers_folder_is_not_its_own_source() {
        let path = format!("{SOURCE}/inner/src/lib.rs");
        let log = LogBuilder::new()
            .dependency("inner", false)
            .header(|h| h.packages.last_mut().unwrap().dir = format!("{SOURCE}/inner").as_str().into())
            .build_script("u", |u| u.write(path.as_str()).write(format!("{SOURCE}/src/lib.rs").as_str()))
            .log();
        let found = found(&log);
        assert!(found.len() == 2 && found[0].starts_with("artifact-tamper critical"), "{found:?}");
        assert!(found[1].starts_with("source-write low") && found[1].ends_with("/src/lib.rs"), "{found:?}");
    }

    #[test]
    fn anothers_out_dir_is_not_ones_own() {
        let log = LogBuilder::new()
            .unit(
                UnitKind::RunBuildScript,
                None,
                "/b",
                vec!["/home/dev/orders-service/target/debug/build/o/out".into()],
                |u| u,
            )
            .build_script("u", |u| u.write("/home/dev/orders-service/target/debug/build/o/out/generated.rs"))
            .log();
        assert_eq!(found(&log), ["artifact-tamper critical ~/orders-service/target/debug/build/o/out/generated.rs"]);
    }

    #[test]
    fn a_library_planted_among_the_outputs_is_critical() {
        let log = LogBuilder::new()
            .rustc(UnitKind::Compile, |u| {
                u.end(|e| e.refused_outputs = vec!["librustc_driver-1234.so".into(), "notes.txt".into()])
            })
            .log();
        let found = found(&log);
        assert!(found.iter().any(|f| f.starts_with("artifact-tamper critical")), "{found:?}");
        assert!(found.iter().any(|f| f.starts_with("write-outside medium")), "{found:?}");
    }

    #[test]
    fn a_compiler_that_writes_in_out_dir_is_honest() {
        assert!(
            script(|u| {
                u.by("/usr/bin/x86_64-linux-gnu-ar")
                    .write(format!("{OUT}/libz.a").as_str())
                    .link("rename", &format!("{OUT}/stX"), &format!("{OUT}/libz.a"))
                    .remove(&format!("{OUT}/libz.a"))
            })
            .is_empty()
        );
    }
}
