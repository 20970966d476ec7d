//! What rustc says on standard error, as far as cargo acts on it: one JSON object on each line, of which those with an
//! `artifact` tell cargo that a file is there.
//!
//! A macro shares rustc's standard error, so a line proves nothing. What is passed on is rustc's own shape about a file
//! that was asked for, once for each, and only when the file is in place.

use alloc::vec::Vec;

/// What a line means to cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Names a file in the output folder, in the very shape that rustc writes.
    Artifact(&'a [u8]),
    /// cargo could take it for one that names a file, and rustc does not write it.
    Forged,
    /// Anything else.
    Other,
}

/// Reads one line. `out` is the folder in which rustc writes.
pub fn read<'a>(line: &'a [u8], out: &[u8]) -> Message<'a> {
    const START: &[u8] = b"{\"$message_type\":\"artifact\",\"artifact\":\"";
    if !line.starts_with(b"{") {
        // cargo reads no other line.
        return Message::Other;
    }
    let named = || {
        let path = line.strip_prefix(START)?.strip_prefix(out)?.strip_prefix(b"/")?;
        let (name, rest) = path.split_at_checked(path.iter().position(|byte| *byte == b'"')?)?;
        let kind = rest.strip_prefix(b"\",\"emit\":\"")?;
        let letters = kind.iter().take_while(|byte| byte.is_ascii_lowercase() || **byte == b'-').count();
        let is_whole = matches!(kind.get(letters..)?, b"\"}" | b"\"}\n");
        let is_plain = !name.iter().any(|byte| matches!(byte, b'/' | b'\\'));
        (is_whole && is_plain).then_some(name)
    };
    match named() {
        Some(name) => Message::Artifact(name),
        None if keys(line).iter().any(|key| *key == b"artifact" || key.contains(&b'\\')) => Message::Forged,
        None => Message::Other,
    }
}

/// The keys of the outermost object, as they are written. Of what is no JSON, anything; cargo does not read that.
fn keys(line: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while let Some(byte) = line.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let start = at;
                while let Some(byte) = line.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
                let text = line.get(start..at).unwrap_or_default();
                at += 1;
                let rest = line.get(at..).unwrap_or_default();
                if depth == 1 && rest.trim_ascii_start().starts_with(b":") {
                    found.push(text);
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Message<'_> {
        read(line.as_bytes(), b"/t/.p-x")
    }

    #[test]
    fn what_rustc_writes_about_its_files_is_understood() {
        let line = "{\"$message_type\":\"artifact\",\"artifact\":\"/t/.p-x/libx.rmeta\",\"emit\":\"metadata\"}\n";
        assert_eq!(of(line), Message::Artifact(b"libx.rmeta"));
        let line = "{\"$message_type\":\"artifact\",\"artifact\":\"/t/.p-x/x.d\",\"emit\":\"dep-info\"}";
        assert_eq!(of(line), Message::Artifact(b"x.d"));
    }

    #[test]
    fn what_cargo_could_take_for_it_is_forged() {
        for line in [
            r#"{"artifact":"/t/libx.rmeta"}"#,
            r#"{"$message_type":"artifact","artifact":"/t/libx.rmeta","emit":"metadata"}"#,
            r#"{"$message_type":"artifact","artifact":"/t/.p-x/../libx.rmeta","emit":"metadata"}"#,
            r#"{"$message_type":"artifact","artifact":"/t/.p-x/libx.rmeta","emit":"metadata","more":1}"#,
            r#"{"$message_type":"diagnostic", "artifact" : "libx.rmeta"}"#,
            r#"{"\u0061rtifact":"libx.rmeta"}"#,
            r#"{"a":["\"",{"b":1}],"artifact":"x"}"#,
        ] {
            assert_eq!(of(line), Message::Forged, "{line}");
        }
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "warning: \"artifact\": x",
            "[1]",
            r#"{"$message_type":"diagnostic","message":"\"artifact\":","spans":[{"artifact":"x"}],"text":"artifact"}"#,
            r#"{"reason":"build-script-executed"}"#,
            "{",
            "{\"",
            "{\"artifact\\",
            "",
        ] {
            assert_eq!(of(line), Message::Other, "{line}");
        }
    }
}
