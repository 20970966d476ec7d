//! `embedded-cargo-config`: a package ships settings for cargo or rustup.

use super::{Code, from_facts};
use crate::judge::context::Context;
use crate::judge::finding::Draft;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "embedded-cargo-config",
    severity: "info; naming a wrapper, linker, runner, credential provider or toolchain path medium, low for other \
               targets or a folder below",
    attack: &["T1574"],
    meaning: "The package ships .cargo/config.toml or a toolchain file. Whoever runs cargo inside its folder obeys \
              them; with a wrapper, linker or runner in them that starts a program of the package's choice.",
    honest: "Projects pack the settings of their own development by accident.",
    action: "Do not run cargo inside the unpacked folder. sandbox-check never does.",
    rule,
};

/// What acquisition writes of a file that chooses a program ([`crate::acquire::facts`]): judging shares
/// words with it, not code.
const NAMES_PROGRAM: &str = "names a program";
/// Followed by its keys where cargo in the package's own folder would start it on this machine.
const HERE: &str = "names a program (";

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    from_facts(cx, &CODE, severity, out);
}

fn severity(text: &str) -> Severity {
    if text.contains(HERE) {
        Severity::Medium
    } else if text.contains(NAMES_PROGRAM) {
        Severity::Low
    } else {
        Severity::Info
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::LogBuilder;
    use crate::judge::codes::testing::found;

    #[test]
    fn settings_are_info_and_settings_that_start_a_program_medium() {
        let fact = |text: &str| found(&LogBuilder::new().fact("embedded-cargo-config", text).log());
        assert_eq!(
            fact("ships .cargo/config.toml that names a program (build.rustc-wrapper) and sets 0 other keys"),
            ["embedded-cargo-config medium subject@1.0.0"]
        );
        for elsewhere in ["for other targets", "for one of its folders"] {
            let text = format!("ships .cargo/config.toml that names a program {elsewhere} (x) and sets 0 other keys");
            assert_eq!(fact(&text), ["embedded-cargo-config low subject@1.0.0"]);
        }
        assert_eq!(fact("ships .cargo/config.toml that sets net.retry"), ["embedded-cargo-config info subject@1.0.0"]);
    }
}
