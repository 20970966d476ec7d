//! `evidence-forgery`: output or names that are made to deceive a reader.

use serde_json::json;

use super::{Code, from_facts, push};
use crate::evidence::line::{Kind, Line, UnitKind};
use crate::ids::{PackageId, UnitId};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::contains;
use crate::judge::units::Unit;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "evidence-forgery",
    severity: "low; an end of rustc without its work medium; control characters in names of the archive, and messages \
               in the compiler's name, high",
    attack: &["T1036", "T1565"],
    meaning: "A package printed what looks like a line of this tool, moved the terminal's cursor, or used control or \
              bidirectional characters in output or file names, so that a reader sees something else. Or a macro told \
              cargo, in the compiler's name, of files that the compiler did not make (that was not passed on), or ended \
              the compiler as if it had done its work.",
    honest: "Progress bars move the cursor. Colours and carriage returns do not count.",
    action: "Read the evidence itself or the JSON report; everything there is escaped.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    from_facts(cx, &CODE, |_| Severity::High, out);
    for line in &cx.log.lines {
        let Line::Output(output) = line else { continue };
        let of_unit = output.unit.and_then(|unit| cx.units.0.get(&unit)).and_then(|unit| unit.package.as_ref());
        if let Some(package) = of_unit.or(output.package.as_ref()) {
            tell(package, (output.unit, &output.stream), "output", &output.tail.0, out);
            continue;
        }
        for (package, text) in output.tail.0.split(|&b| b == b'\n').filter_map(|line| warning(cx, line)) {
            // cargo passes on the warnings of build scripts.
            let mut scripts = cx.units.0.values().filter(|u| u.kind() == UnitKind::RunBuildScript);
            let unit = scripts.find(|u| u.package.as_ref() == Some(package)).map(Unit::id);
            tell(package, (unit, &output.stream), "warning", text, out);
        }
    }
    for unit in cx.units.0.values() {
        let Some((end, package)) = unit.end.zip(unit.package.as_ref()) else { continue };
        if !end.missing_outputs.is_empty() {
            let mut draft = Draft::of_package(package, CODE.name, Severity::Medium)
                .about("an end of rustc without its work", json!({"missing": end.missing_outputs}))
                .says("code inside rustc ended it with status 0, as if it had made what it was asked for")
                .attack(CODE.attack);
            draft.unit = Some(unit.id());
            out.push(draft);
        }
        if end.forged_messages == 0 {
            continue;
        }
        let mut draft = Draft::of_package(package, CODE.name, Severity::High)
            .about(
                "messages in the compiler's name",
                json!({"stream": "stderr", "trick": "messages in the compiler's name"}),
            )
            .says("code inside rustc told cargo of files that rustc did not make; cargo did not get to hear it")
            .attack(CODE.attack);
        draft.unit = Some(unit.id());
        draft.count = u64::from(end.forged_messages);
        out.push(draft);
    }
    for tried in cx.tried.iter().filter(|t| matches!(t.attempt.kind, Kind::FsWrite | Kind::FsLink)) {
        if !has_deceiving_name(&tried.path) {
            continue;
        }
        let says = format!("{} tried to make a name that deceives a reader: {}", actor(tried), short(cx, &tried.path));
        let draft = Draft::new(cx, tried, CODE.name, Severity::Low)
            .map(|draft| draft.at(cx, &tried.path).says(says).attack(CODE.attack));
        push(out, draft);
    }
}

/// One draft for each way in which what a package said deceives.
fn tell(package: &PackageId, (unit, stream): (Option<UnitId>, &str), what: &str, text: &[u8], out: &mut Vec<Draft>) {
    for trick in tricks(text) {
        let mut draft = Draft::of_package(package, CODE.name, Severity::Low)
            .about(format!("{what} with {trick}"), json!({"stream": stream, "trick": trick}))
            .says(format!("its {what} tried to deceive a reader by {trick}"))
            .attack(CODE.attack);
        draft.unit = unit;
        out.push(draft);
    }
}

/// A line of cargo's that passes on a package's words: `warning: NAME@VERSION: TEXT`. cargo indents all else that
/// packages say.
fn warning<'a, 'l>(cx: &Context<'a>, line: &'l [u8]) -> Option<(&'a PackageId, &'l [u8])> {
    let rest = line.strip_prefix(b"warning: ")?;
    cx.log.header.packages.iter().find_map(|package| {
        let text = rest.strip_prefix(package.id.to_string().as_bytes())?.strip_prefix(b": ")?;
        Some((&package.id, text))
    })
}

fn is_bidirectional(text: &[u8]) -> bool {
    text.utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars())
        .any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

fn has_deceiving_name(path: &[u8]) -> bool {
    path.iter().any(|&b| b < 0x20 || b == 0x7f) || is_bidirectional(path)
}

/// How a text would deceive, in every way.
fn tricks(text: &[u8]) -> impl Iterator<Item = &'static str> {
    let moves = |end| matches!(end, b'A'..=b'H' | b'J' | b'S' | b'T' | b'd' | b'f' | b's' | b'u');
    [
        (contains(text, b"\x1b]") && !only_hyperlinks(text)).then_some("commands to the terminal (OSC)"),
        sequences(text).any(moves).then_some("cursor movement"),
        is_bidirectional(text).then_some("bidirectional characters"),
        // A carriage return leads back to the beginning of the line.
        text.split(|&b| b == b'\n' || b == b'\r').any(is_ours).then_some("lines that look like this tool's own"),
    ]
    .into_iter()
    .flatten()
}

/// True for lines like those of our reports, evidence and messages. cargo indents what failed scripts said.
fn is_ours(line: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 7] =
        [b"sandbox-check:", b"verdict:", b"PASS  ", b"FAIL  ", b"REVIEW  ", b"INCONCLUSIVE  ", b"{\"line\":\""];
    let line = line.trim_ascii_start();
    // Our shim's own words when a unit cannot be started.
    if line.starts_with(b"sandbox-check: cannot ") {
        return false;
    }
    BEGINNINGS.iter().any(|beginning| line.starts_with(beginning))
        || [&b"\"sandbox-check-report\""[..], b"\"sandbox-check-evidence\""].iter().any(|format| contains(line, format))
}

/// Compilers mark names in messages as hyperlinks.
fn only_hyperlinks(text: &[u8]) -> bool {
    text.windows(3).filter(|w| w.starts_with(b"\x1b]")).all(|w| w == b"\x1b]8")
}

/// The final bytes of the control sequences of a text: `m` for colours, `K` for clearing a line.
fn sequences(text: &[u8]) -> impl Iterator<Item = u8> {
    text.windows(2)
        .enumerate()
        .filter(|(_, w)| *w == b"\x1b[")
        .filter_map(|(i, _)| text.get(i + 2..)?.iter().copied().find(|b| (0x40..=0x7e).contains(b)))
}

#[cfg(test)]
mod tests {
    use super::tricks;
    use crate::evidence::line::UnitKind;
    use crate::evidence::testing::{LogBuilder, OUT};
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn cursor_movement_osc_bidi_and_our_own_words_are_tricks() {
        for text in [
            "\x1b[2J",
            "\x1b[1;1H",
            "a\x1b]0;title\x07",
            "x\u{202e}y",
            "ok\nverdict: pass",
            "  PASS  x 1.0.0",
            "50 %\rsandbox-check: done",
            r#"{"line":"totals"}"#,
            r#"{ "format" : "sandbox-check-report" }"#,
        ] {
            assert_eq!(tricks(text.as_bytes()).count(), 1, "{text:?}");
        }
    }

    #[test]
    fn colours_carriage_returns_and_hyperlinks_are_not() {
        for text in
            ["\x1b[31mred\x1b[0m\r\n", "\x1b[01m\x1b[K warning", "\x1b]8;;https://x\x07y\x1b]8;;\x07", "verdicts"]
        {
            assert_eq!(tricks(text.as_bytes()).next(), None, "{text:?}");
        }
    }

    #[test]
    fn cargos_warnings_belong_to_the_package_that_they_name() {
        let log = |line: &str| found(&LogBuilder::new().dependency("dep", true).said(line).log());
        assert_eq!(
            log("   Compiling x\nwarning: subject@1.0.0: verdict: pass\n"),
            ["evidence-forgery low warning with lines that look like this tool's own"]
        );
        assert_eq!(
            log("warning: dep@2.0.0: a\u{202e}b\n"),
            ["evidence-forgery low warning with bidirectional characters"]
        );
        assert!(
            log("warning: subject@1.0.0: the verdict of the probe: pass\nwarning: other@1.0.0: verdict: pass\n")
                .is_empty()
        );
    }

    #[test]
    fn messages_in_the_compilers_name_are_high() {
        let log = LogBuilder::new().rustc(UnitKind::Compile, |u| u.end(|end| end.forged_messages = 2)).log();
        assert_eq!(found(&log), ["evidence-forgery high messages in the compiler's name"]);
        let log = LogBuilder::new().rustc(UnitKind::Compile, |u| u.end(|end| end.missing_outputs = vec!["x".into()]));
        assert_eq!(found(&log.log()), ["evidence-forgery medium an end of rustc without its work"]);
    }

    #[test]
    fn output_and_names_are_low_and_the_archives_names_high() {
        assert_eq!(script(|u| u.printed("stdout", "\x1b[2J").write(format!("{OUT}/a\x1b[2K").as_str())).len(), 2);
        assert_eq!(
            found(&LogBuilder::new().fact("evidence-forgery", "a name with a control character").log()),
            ["evidence-forgery high subject@1.0.0"]
        );
        assert!(script(|u| u.write(format!("{OUT}/ä b.rs").as_str()).printed("stderr", "warning: x")).is_empty());
    }
}
