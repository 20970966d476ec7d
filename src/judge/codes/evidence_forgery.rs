//! `evidence-forgery`: output or names that are made to deceive a reader.

use serde_json::json;

use super::{Code, from_facts, push};
use crate::evidence::line::{Kind, Line};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::contains;
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "evidence-forgery",
    severity: "low; control characters in names of the archive high",
    attack: &["T1036", "T1565"],
    meaning: "A package printed what looks like a line of this tool, moved the terminal's cursor, or used control or \
              bidirectional characters in output or file names, so that a reader sees something else.",
    honest: "Progress bars move the cursor. Colours and carriage returns do not count.",
    action: "Read the evidence itself or the JSON report; everything there is escaped.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    from_facts(cx, &CODE, |_| Severity::High, out);
    for line in &cx.log.lines {
        let Line::Output(output) = line else { continue };
        let of_unit = output.unit.and_then(|unit| cx.units.0.get(&unit)).and_then(|unit| unit.package.as_ref());
        let Some(package) = of_unit.or(output.package.as_ref()) else { continue };
        let Some(trick) = trick(&output.tail.0) else { continue };
        let mut draft = Draft::of_package(package, CODE.name, Severity::Low)
            .about(format!("output with {trick}"), json!({"stream": output.stream, "trick": trick}))
            .says(format!("its output tried to deceive a reader by {trick}"))
            .attack(CODE.attack);
        draft.unit = output.unit;
        out.push(draft);
    }
    for tried in cx.tried.iter().filter(|t| matches!(t.attempt.kind, Kind::FsWrite | Kind::FsLink)) {
        if !has_deceiving_name(&tried.path) {
            continue;
        }
        let says = format!("{} tried to make a name with control characters: {}", actor(tried), short(cx, &tried.path));
        let draft = Draft::new(cx, tried, CODE.name, Severity::Low)
            .map(|draft| draft.at(cx, &tried.path).says(says).attack(CODE.attack));
        push(out, draft);
    }
}

fn is_bidirectional(text: &[u8]) -> bool {
    text.utf8_chunks().flat_map(|chunk| chunk.valid().chars()).any(|c| {
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

fn has_deceiving_name(path: &[u8]) -> bool {
    path.iter().any(|&b| b < 0x20 || b == 0x7f) || is_bidirectional(path)
}

/// How a text would deceive, if it would.
fn trick(text: &[u8]) -> Option<&'static str> {
    let is_ours = |line: &[u8]| [&b"sandbox-check:"[..], b"verdict:", b"PASS  ", b"FAIL  "].iter().any(|p| line.starts_with(p));
    if contains(text, b"\x1b]") && !only_hyperlinks(text) {
        return Some("commands to the terminal (OSC)");
    }
    if sequences(text).any(|end| matches!(end, b'A'..=b'H' | b'J' | b'S' | b'T' | b'd' | b'f' | b's' | b'u')) {
        return Some("cursor movement");
    }
    if is_bidirectional(text) {
        return Some("bidirectional characters");
    }
    text.split(|&b| b == b'\n').any(is_ours).then_some("lines that look like this tool's own")
}

/// Compilers mark names in messages as hyperlinks.
fn only_hyperlinks(text: &[u8]) -> bool {
    text.windows(3).filter(|w| w.starts_with(b"\x1b]")).all(|w| w == b"\x1b]8")
}

/// The final bytes of the control sequences of a text: `m` for colours, `K` for clearing a line.
fn sequences(text: &[u8]) -> impl Iterator<Item = u8> {
    text.windows(2).enumerate().filter(|(_, w)| *w == b"\x1b[").filter_map(|(i, _)| {
        text.get(i + 2..)?.iter().copied().find(|b| (0x40..=0x7e).contains(b))
    })
}

#[cfg(test)]
mod tests {
    use super::trick;
    use crate::evidence::testing::{LogBuilder, OUT};
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn cursor_movement_osc_bidi_and_our_own_words_are_tricks() {
        for text in ["\x1b[2J", "\x1b[1;1H", "a\x1b]0;title\x07", "x\u{202e}y", "ok\nverdict: pass"] {
            assert!(trick(text.as_bytes()).is_some(), "{text:?}");
        }
    }

    #[test]
    fn colours_carriage_returns_and_hyperlinks_are_not() {
        for text in ["\x1b[31mred\x1b[0m\r\n", "\x1b[01m\x1b[K warning", "\x1b]8;;https://x\x07y\x1b]8;;\x07", "verdicts"] {
            assert_eq!(trick(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn output_and_names_are_low_and_the_archives_names_high() {
        assert_eq!(
            script(|u| u.printed("stdout", "\x1b[2J").write(format!("{OUT}/a\x1b[2K").as_str())).len(),
            2
        );
        assert_eq!(
            found(&LogBuilder::new().fact("evidence-forgery", "a name with a control character").log()),
            ["evidence-forgery high subject@1.0.0"]
        );
        assert!(script(|u| u.write(format!("{OUT}/ä b.rs").as_str()).printed("stderr", "warning: x")).is_empty());
    }
}
