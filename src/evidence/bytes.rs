//! Byte strings of the subject's, as evidence keeps them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes from an attacker: a path, a name, an argument.
///
/// Serialised as a JSON string when all of it is printable UTF-8, else as
/// `{"b64": "…"}`, so that no control or bidirectional character reaches a
/// file or a terminal raw.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The text, if all of it is printable UTF-8.
    pub fn as_printable(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.0).ok()?;
        text.chars().all(is_printable).then_some(text)
    }

    /// The bytes as a path.
    pub fn as_path(&self) -> &std::path::Path {
        use std::os::unix::ffi::OsStrExt as _;
        std::path::Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }
}

/// True for characters that are safe to show: no controls, no line or
/// paragraph separators, no bidirectional or zero-width formatting
/// (Unicode 16, general category Cf as far as it changes the layout).
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Shows printable characters as they are and escapes the rest as `\x1b` or `\u{202e}`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_printable(c) {
                    fmt::Write::write_char(f, c)?;
                } else if c.is_ascii() {
                    write!(f, "\\x{:02x}", u32::from(c))?;
                } else {
                    write!(f, "\\u{{{:x}}}", u32::from(c))?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&std::path::Path> for Bytes {
    fn from(path: &std::path::Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    b64: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Text(String),
    Encoded(Encoded),
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_printable() {
            Some(text) => serializer.serialize_str(text),
            None => Encoded { b64: STANDARD.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Either::deserialize(deserializer)? {
            Either::Text(text) => Ok(text.into()),
            Either::Encoded(Encoded { b64 }) => STANDARD.decode(b64).map(Self).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_stays_text_and_the_rest_becomes_base64() {
        let cases: [&[u8]; 5] = [b"/etc/hosts", b"a\nb", b"\x1b[31m", b"\xff\xfe", "\u{202e}rtl".as_bytes()];
        for (i, raw) in cases.into_iter().enumerate() {
            let json = serde_json::to_string(&Bytes::from(raw)).unwrap();
            assert_eq!(json.starts_with('"'), i == 0, "{json}");
            assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), Bytes::from(raw));
        }
    }

    #[test]
    fn display_escapes_what_a_terminal_would_obey() {
        assert_eq!(Bytes::from(&b"a\x1b[2J\xffb"[..]).to_string(), "a\\x1b[2J\\xffb");
        assert_eq!(Bytes::from("x\u{202e}y").to_string(), "x\\u{202e}y");
    }
}
