//! `suspicious-directive`: a build script told cargo something that steers other programs.

use serde_json::json;

use super::Code;
use crate::evidence::Bytes;
use crate::evidence::line::{Directive, Line, UnitKind};
use crate::ids::{PackageId, UnitId};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, short};
use crate::judge::paths::normalise;
use crate::judge::units::Unit;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "suspicious-directive",
    severity: "high; a search path in the user's cache directory low; other link arguments, and no flags at all, info",
    attack: &["T1574.006", "T1127"],
    meaning: "A build script told cargo to set a variable that loaders, compilers or cargo obey, to link by a program \
              of its choice, or to search libraries in a folder that anybody can write.",
    honest: "Version texts under names like RUSTC_VERSION are known to the policy. Few crates choose a linker.",
    action: "Look at the value. Nothing in a library needs LD_PRELOAD, PATH or a compiler of its own for rustc.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for line in &cx.log.lines {
        let Line::Directive(directive) = line else { continue };
        let Some((severity, subject)) = judged(cx, directive) else { continue };
        let mut draft = Draft::of_package(&directive.package, CODE.name, severity);
        draft.unit = script_of(cx, &directive.package);
        out.push(
            draft
                .about(subject, json!({"directive": directive.kind, "value": directive.value}))
                .says(says(directive))
                .attack(CODE.attack),
        );
    }
}

/// The unit that printed it, if the package's script ran once.
fn script_of(cx: &Context<'_>, package: &PackageId) -> Option<UnitId> {
    let mut runs = cx
        .units
        .0
        .values()
        .filter(|unit| unit.kind() == UnitKind::RunBuildScript && unit.package.as_ref() == Some(package));
    runs.next().filter(|_| runs.next().is_none()).map(Unit::id)
}

/// `-Wl,a,b` is `a` and `b` for the linker; the file that an option names is none of its own, and belongs to `-T`.
fn link_arguments(value: &[u8]) -> Vec<Vec<u8>> {
    let Some(list) = value.strip_prefix(b"-Wl,") else { return vec![value.to_vec()] };
    let mut arguments: Vec<Vec<u8>> = Vec::new();
    for part in list.split(|&b| b == b',') {
        match arguments.last_mut() {
            _ if part.starts_with(b"-") || part.starts_with(b"@") => arguments.push([b"-Wl,", part].concat()),
            Some(option) if option == b"-Wl,-T" => option.extend_from_slice(part),
            _ => {}
        }
    }
    arguments
}

/// In cargo's own words, so that a reader finds them in the script.
fn says(directive: &Directive) -> String {
    let (what, name) = match directive.kind.as_str() {
        "env" => ("set for its own compilation", "rustc-env"),
        "linked-path" => ("have libraries searched at a place that others can write", "rustc-link-search"),
        _ => ("pass to the linker", "rustc-link-arg"),
    };
    format!("its build script tried to {what}: cargo::{name}={}", directive.value)
}

fn judged(cx: &Context<'_>, directive: &Directive) -> Option<(Severity, Bytes)> {
    let value = directive.value.0.as_slice();
    match directive.kind.as_str() {
        "env" => {
            let name = value.split(|&b| b == b'=').next().unwrap_or(value);
            let severity = cx.policy.directive("env", name)?.severity?;
            // Crates that tell how they were compiled pass on what cargo gave them, which is mostly nothing.
            let severity = if value == b"CARGO_ENCODED_RUSTFLAGS=" { Severity::Info } else { severity };
            Some((severity, Bytes([b"env ", name].concat())))
        }
        "linked-path" => {
            let path = value.iter().position(|&b| b == b'=').and_then(|i| value.get(i + 1..)).unwrap_or(value);
            let path = normalise(path);
            let is_own = cx.in_target(&path) || cx.in_sources(&path) || cx.units.0.values().any(|u| u.owns(&path));
            let is_writable = (cx.in_tmp(&path) || cx.in_home(&path)) && !is_own;
            // Libraries that crates keep in the user's cache directory are linked from there.
            let severity = cx.policy.write(&path, None).and_then(|rule| rule.severity).unwrap_or(Severity::High);
            is_writable.then(|| (severity, Bytes([b"search path ", short(cx, &path).0.as_slice()].concat())))
        }
        kind if kind.contains("link-arg") => {
            let severities = link_arguments(value)
                .into_iter()
                .filter_map(|argument| cx.policy.directive("link-arg", &argument).and_then(|rule| rule.severity));
            Some((severities.max()?, Bytes([b"link argument ", value].concat())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::{LogBuilder, OUT};
    use crate::judge::codes::testing::found;
    use crate::judge::judge;
    use crate::policy::Policy;

    fn directive(kind: &str, value: &str) -> Vec<String> {
        found(&LogBuilder::new().directive(kind, value).log())
    }

    #[test]
    fn variables_that_others_obey_are_high() {
        assert_eq!(directive("env", "LD_PRELOAD=/x/evil.so"), ["suspicious-directive high env LD_PRELOAD"]);
        assert_eq!(directive("env", "RUSTC_WRAPPER=/x"), ["suspicious-directive high env RUSTC_WRAPPER"]);
        assert_eq!(directive("env", "CC=/x/cc"), ["suspicious-directive high env CC"]);
    }

    #[test]
    fn no_flags_at_all_choose_nothing_and_any_flag_is_high() {
        let found = |value: &str| directive("env", value);
        assert_eq!(found("CARGO_ENCODED_RUSTFLAGS="), ["suspicious-directive info env CARGO_ENCODED_RUSTFLAGS"]);
        for value in ["CARGO_ENCODED_RUSTFLAGS=-Clinker=/x", "RUSTC_WRAPPER=", "CARGO_ENCODED_RUSTFLAGS= "] {
            assert!(found(value)[0].contains(" high "), "{value}");
        }
    }

    #[test]
    fn a_directive_belongs_to_the_run_of_the_script_that_printed_it() {
        let log = LogBuilder::new().build_script("u", |u| u).directive("env", "CC=/x/cc").log();
        let judgement = judge(&log, &Policy::shipped());
        let package = &judgement.packages[0];
        assert_eq!(package.findings[0].unit, Some(package.units[0].id));
    }

    #[test]
    fn texts_for_the_program_itself_are_nothing() {
        for value in
            ["GIT_HASH=abc", "VERGEN_RUSTC_SEMVER=1.95.0", "RUSTC_VERSION=1.95.0", "CARGO_PKG_VERSION=1.0.0-dev"]
        {
            assert!(directive("env", value).is_empty(), "{value}");
        }
        assert!(directive("linked-lib", "static=z").is_empty() && directive("cfg", "has_i128").is_empty());
    }

    #[test]
    fn where_libraries_are_searched_matters() {
        assert!(directive("linked-path", &format!("native={OUT}")).is_empty());
        assert!(directive("linked-path", "native=/usr/lib/x86_64-linux-gnu").is_empty());
        assert_eq!(directive("linked-path", "native=/tmp/x"), ["suspicious-directive high search path /tmp/x"]);
        let cache = directive("linked-path", "native=/home/dev/.cache/ort/lib");
        assert_eq!(cache, ["suspicious-directive low search path ~/.cache/ort/lib"]);
    }

    #[test]
    fn a_chosen_linker_is_high_and_an_ordinary_argument_info() {
        for value in [
            "-fuse-ld=/x/ld",
            "-fuse-ld=/x/lld",
            "-fuse-ld=lld/../x",
            "-fuse-ld=wild-guess",
            "-B/x",
            "-specs=/x",
            "-plugin",
            "-Wl,-plugin,/x",
            "-Wl,--as-needed,--plug=/x",
            "-Wl,--version-script=/x,-plugin,/x",
            "-Wl,-dynamic-linker,/x",
            "-Wl,--audit=/x",
            "-Wl,@/x",
            "@/x",
            "--prefix=/x",
            "-Wl,-P,/x",
            "-T/tmp/x.ld",
            "-Wl,-T/tmp/x.ld",
            "-Wl,--as-needed,-T,/tmp/x.ld",
        ] {
            assert_eq!(directive("link-arg", value), [format!("suspicious-directive high link argument {value}")]);
        }
        for value in [
            "-Wl,--as-needed",
            "-Wl,-Bsymbolic,-z,relro",
            "-fuse-ld=lld",
            "-fuse-ld=mold",
            "-Tlink.x",
            "-Wl,-T,/x/link.x",
            "-Wl,-soname,/tmp/x",
            "-Wl,--version-script=/x/my-plugin.map",
            "-Wl,-soname,libx-plugin.so",
            "-Wl,--dynamic-list=/x",
        ] {
            assert_eq!(directive("link-arg", value), [format!("suspicious-directive info link argument {value}")]);
        }
    }
}
