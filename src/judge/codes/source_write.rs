//! `source-write`: a package changed its own source.

use super::{Code, push};
use crate::judge::access::{Zone, changes, zone};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "source-write",
    severity: "low; medium where something starts from there later",
    attack: &["T1070.004"],
    meaning: "A package tried to write into its own unpacked source. cargo does not check sources again, so what it \
              leaves there is what the next build compiles. In a folder of the user's, git hooks, tasks of editors and \
              cargo's settings start from there.",
    honest: "Generators that write below src, configure scripts that run in the source folder. They are many. Projects \
             whose own build script installs their git hooks.",
    action: "Ask the crate to write to OUT_DIR.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        for change in changes(tried) {
            let Zone::Source { starts } = zone(cx, tried, &change) else { continue };
            let (severity, what) =
                if starts { (Severity::Medium, ", from where something starts later") } else { (Severity::Low, "") };
            let draft = Draft::new(cx, tried, CODE.name, severity).map(|draft| {
                draft
                    .at(cx, change.path)
                    .says(format!("{} tried to change its own source {}{what}", actor(tried), short(cx, change.path)))
                    .attack(CODE.attack)
            });
            push(out, draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::PackageSource;
    use crate::evidence::testing::{LogBuilder, OUT, SOURCE};
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn a_generator_that_writes_below_src_is_low() {
        let found = script(|u| u.write(format!("{SOURCE}/src/generated.rs").as_str()));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("source-write low"), "{found:?}");
    }

    #[test]
    fn what_starts_in_a_folder_of_the_users_starts_in_ones_own_too() {
        let hook = format!("{SOURCE}/.git/hooks/pre-commit");
        let of = |source| {
            let log = LogBuilder::new().header(|header| header.packages.iter_mut().for_each(|p| p.source = source));
            found(&log.build_script("u", |u| u.write(hook.as_str()).write(format!("{SOURCE}/src/x.rs").as_str())).log())
        };
        let codes = |found: Vec<String>| -> Vec<String> {
            found.iter().map(|f| f.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(codes(of(PackageSource::Directory)), ["source-write medium", "source-write low"]);
        assert_eq!(codes(of(PackageSource::Registry)), ["source-write low", "source-write low"]);
    }

    #[test]
    fn reading_the_source_and_writing_out_dir_is_nothing() {
        assert!(
            script(|u| u.open(format!("{SOURCE}/src/lib.rs").as_str()).write(format!("{OUT}/x.rs").as_str()))
                .is_empty()
        );
    }
}
