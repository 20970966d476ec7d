//! `macro-output`: what a macro makes would have the compiler read files, or runs before `main`.

use serde_json::json;

use super::Code;
use crate::evidence::Bytes;
use crate::evidence::line::{DecoyClass, Driven, Line, Made, MadeWhat};
use crate::judge::context::{Context, layout_path};
use crate::judge::finding::{Draft, short};
use crate::judge::paths::{is_below, normalise};
use crate::policy::{Severity, names_secret};

pub(crate) const CODE: Code = Code {
    name: "macro-output",
    severity: "a file with a secret high; more files than were looked at medium; another file outside of the project, \
               a variable whose name is a secret's, a program in a literal low; code that runs before main info",
    attack: &["T1552.001", "T1027.009"],
    meaning: "The code that a macro made when it was driven has the compiler read a file outside of the project \
              (include_str!, #[path], .incbin) or a variable with a secret, holds a program, or runs before main. \
              Nothing was read when it was driven: the compiler of whoever uses the macro does it, and puts what it \
              read into the program or into its messages.",
    honest: "Macros that embed files name them by their whole path, within the project; those that register something \
             run before main.",
    action: "Look at what the macro made: it is kept beside the evidence, as an artifact of the kind expansion.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for line in &cx.log.lines {
        let Line::Driven(driven) = line else { continue };
        out.extend(driven.makes.iter().filter_map(|made| draft(cx, driven, made)));
    }
}

fn draft(cx: &Context<'_>, driven: &Driven, made: &Made) -> Option<Draft> {
    let name = Bytes::from(driven.name.as_str());
    let subject = match made.what {
        MadeWhat::Reads => short(cx, &path(cx, &made.text)?),
        MadeWhat::ReadsMore => name.clone(),
        _ => Bytes::from(made.text.as_str()),
    };
    let (severity, says) = match made.what {
        MadeWhat::Reads => {
            let severity = if is_secret(cx, &made.text) { Severity::High } else { Severity::Low };
            (severity, format!("what its macro {name} makes has the compiler read {subject}"))
        }
        MadeWhat::ReadsMore => {
            let says = format!("what its macro {name} makes has the compiler read more files than were looked at");
            (Severity::Medium, says)
        }
        MadeWhat::Variable if names_secret(&made.text) => {
            (Severity::Low, format!("what its macro {name} makes has the compiler read the variable {subject}"))
        }
        MadeWhat::Variable => return None,
        MadeWhat::Constructor => (Severity::Info, format!("what its macro {name} makes runs before main")),
        MadeWhat::Program => (Severity::Low, format!("what its macro {name} makes holds a program as a literal")),
    };
    let mut draft = Draft::of_package(&driven.package, CODE.name, severity)
        .about(subject, json!({"macro": name, "what": made.what, "text": made.text}))
        .says(says)
        .attack(CODE.attack);
    draft.unit = Some(driven.unit);
    Some(draft)
}

fn is_secret(cx: &Context<'_>, text: &str) -> bool {
    let is_secret =
        |path: Vec<u8>| cx.policy.secret(&path).is_some() || cx.decoy(&path) == Some(DecoyClass::Credential);
    path(cx, text).is_some_and(is_secret)
}

/// The file, if it lies outside of what a build is made of: as rustc would look for it from a source of the consumer's.
/// None as well where the path holds a variable that only cargo knows.
fn path(cx: &Context<'_>, text: &str) -> Option<Vec<u8>> {
    let layout = cx.layout();
    let known = [("HOME", &layout.home), ("CARGO_HOME", &layout.cargo_home), ("CARGO_MANIFEST_DIR", &layout.consumer)];
    let mut text = text.to_owned();
    for (name, value) in known {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    if text.contains("${") {
        return None;
    }
    let whole = if text.starts_with('/') { text } else { format!("{}/src/{text}", layout.consumer) };
    let path = normalise(whole.as_bytes());
    let is_of_build = cx.in_consumer(&path)
        || cx.in_target(&path)
        || cx.in_sources(&path)
        || cx.in_tmp(&path)
        || is_below(&path, layout_path(&layout.toolchain));
    (!is_of_build).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::line::{DrivenInputs, MacroKind};
    use crate::evidence::testing::{CONSUMER, LogBuilder, REGISTRY, subject};
    use crate::ids::UnitId;
    use crate::judge::codes::testing::found;

    fn of(what: MadeWhat, text: &str) -> Vec<String> {
        let makes = vec![Made { what, text: text.to_owned() }];
        let (name, inputs) = ("D".to_owned(), DrivenInputs::default());
        let driven = Driven { unit: UnitId(1), package: subject(), name, kind: MacroKind::Derive, inputs, makes };
        found(&LogBuilder::new().proc_macro(&["D"]).line(Line::Driven(driven)).log())
    }

    #[test]
    fn files_outside_are_low_and_secrets_high() {
        for text in ["/home/dev/.ssh/id_ed25519", "${HOME}/.ssh/id_ed25519", "../../.ssh/id_ed25519"] {
            assert_eq!(of(MadeWhat::Reads, text), ["macro-output high ~/.ssh/id_ed25519"], "{text}");
        }
        assert_eq!(of(MadeWhat::Reads, "/etc/hostname"), ["macro-output low /etc/hostname"]);
        assert_eq!(of(MadeWhat::ReadsMore, ""), ["macro-output medium D"]);
    }

    #[test]
    fn files_of_the_build_are_nothing() {
        let own = [
            "templates/index.html".to_owned(),
            "../Cargo.toml".to_owned(),
            format!("{CONSUMER}/templates/index.html"),
            "${CARGO_MANIFEST_DIR}/.git/HEAD".to_owned(),
            "${OUT_DIR}/made.rs".to_owned(),
            format!("{REGISTRY}/sample-1.0.0/src/lib.rs"),
        ];
        for text in own {
            assert!(of(MadeWhat::Reads, &text).is_empty(), "{text}");
        }
    }

    #[test]
    fn the_rest_is_low_or_less() {
        assert_eq!(of(MadeWhat::Variable, "NPM_TOKEN"), ["macro-output low NPM_TOKEN"]);
        assert!(of(MadeWhat::Variable, "CARGO_PKG_VERSION").is_empty());
        assert_eq!(of(MadeWhat::Constructor, ".init_array"), ["macro-output info .init_array"]);
        assert_eq!(of(MadeWhat::Program, "f0VMRgIB"), ["macro-output low f0VMRgIB"]);
    }
}
