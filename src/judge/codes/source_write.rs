//! `source-write`: a package changed its own source.

use super::{Code, push};
use crate::judge::access::{Zone, changes, zone};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "source-write",
    severity: "low",
    attack: &["T1070.004"],
    meaning: "A package tried to write into its own unpacked source. cargo does not check sources again, so what it \
              leaves there is what the next build compiles.",
    honest: "Generators that write below src, configure scripts that run in the source folder. They are many.",
    action: "Ask the crate to write to OUT_DIR.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        for change in changes(tried) {
            if zone(cx, tried, &change) != Zone::Source {
                continue;
            }
            let draft = Draft::new(cx, tried, CODE.name, Severity::Low).map(|draft| {
                draft
                    .at(cx, change.path)
                    .says(format!("{} tried to change its own source {}", actor(tried), short(cx, change.path)))
                    .attack(CODE.attack)
            });
            push(out, draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::{OUT, SOURCE};
    use crate::judge::codes::testing::script;

    #[test]
    fn a_generator_that_writes_below_src_is_low() {
        let found = script(|u| u.write(format!("{SOURCE}/src/generated.rs").as_str()));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("source-write low"), "{found:?}");
    }

    #[test]
    fn reading_the_source_and_writing_out_dir_is_nothing() {
        assert!(script(|u| u.open(format!("{SOURCE}/src/lib.rs").as_str()).write(format!("{OUT}/x.rs").as_str())).is_empty());
    }
}
