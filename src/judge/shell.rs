//! What the text that is given to a shell or interpreter says.

use super::paths::{contains, file_name, normalise};
use crate::evidence::Bytes;

/// The text after `-c` or `-e`, of a shell or interpreter.
pub(crate) fn inline_text(argv: &[Bytes]) -> Option<&[u8]> {
    let mut arguments = argv.iter().skip(1);
    while let Some(Bytes(argument)) = arguments.next() {
        match argument.as_slice() {
            // `-ec`, `-lc`: letters together, the text follows.
            [b'-', letters @ ..]
                if !letters.is_empty()
                    && letters.len() < 6
                    && letters.iter().all(u8::is_ascii_alphabetic)
                    && letters.iter().any(|&b| b == b'c' || b == b'e' || b == b'E') =>
            {
                if letters == b"e" && argv.first().is_some_and(|a| a.0.ends_with(b"sh")) {
                    continue;
                }
                return arguments.next().map(|Bytes(text)| text.as_slice());
            }
            [b'-', ..] => {}
            _ => return None,
        }
    }
    None
}

/// True for a shell or interpreter that is given neither a text nor a file: it reads its text from standard input.
pub(crate) fn reads_its_text(argv: &[Bytes]) -> bool {
    let name = argv.first().map(|Bytes(first)| file_name(first)).unwrap_or_default();
    let is_one = INTERPRETERS.contains(&name) || [&b"ksh"[..], b"lua", b"tclsh", b"guile"].contains(&name);
    let arguments = argv.get(1..).unwrap_or_default();
    is_one && (arguments.is_empty() || arguments.iter().any(|a| a.0 == b"-" || a.0 == b"-s" || a.0 == b"/dev/stdin"))
}

/// The program inside busybox or toybox that is meant: by the first argument, or by the name that it is called by.
pub(crate) fn applet<'a>(path: &[u8], argv: &'a [Bytes]) -> Option<&'a [u8]> {
    const BOXES: [&[u8]; 2] = [b"busybox", b"toybox"];
    if !BOXES.contains(&file_name(path)) {
        return None;
    }
    let mut names = argv.iter().map(|Bytes(argument)| file_name(argument));
    names.find(|name| !BOXES.contains(name))
}

const DOWNLOADERS: [&[u8]; 13] = [
    b"curl", b"wget", b"aria2c", b"nc", b"ncat", b"netcat", b"socat", b"telnet", b"ftp", b"tftp", b"scp", b"rsync",
    b"ssh",
];
const DECODERS: [&[u8]; 7] =
    [b"base64 -d", b"base64 --decode", b"base64 -D", b"xxd -r", b"openssl enc", b"base32 -d", b"uudecode"];
const INTERPRETERS: [&[u8]; 9] = [b"sh", b"bash", b"dash", b"zsh", b"python", b"python3", b"perl", b"node", b"ruby"];

/// Why a text is alarming, if it is. Below a build description temporary paths and known tools are ordinary.
pub(crate) fn alarm(text: &[u8], is_own: &dyn Fn(&[u8]) -> bool, below_driver: bool) -> Option<&'static str> {
    if contains(text, b"/dev/tcp/") || contains(text, b"/dev/udp/") {
        return Some("opens a connection by the shell");
    }
    if DECODERS.iter().any(|decoder| contains(text, decoder)) && pipes_into_interpreter(text) {
        return Some("decodes something and runs it");
    }
    let downloads = words(text).any(|word| DOWNLOADERS.contains(&word));
    if downloads && (!below_driver || pipes_into_interpreter(text)) {
        return Some("downloads");
    }
    if !below_driver && temporary_paths(text).any(|path| !is_own(&normalise(path))) {
        return Some("names a temporary path");
    }
    None
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+'))).filter(|w| !w.is_empty())
}

/// True if some part after a `|` begins with an interpreter, or the text is evaluated.
fn pipes_into_interpreter(text: &[u8]) -> bool {
    let piped = text.split(|&b| b == b'|').skip(1).any(|part| {
        let first = words(part).find(|word| !matches!(*word, b"sudo" | b"exec" | b"env" | b"nohup"));
        let name = first.map(|word| word.rsplit(|&b| b == b'/').next().unwrap_or(word));
        name.is_some_and(|name| INTERPRETERS.contains(&name))
            || words(part).any(|word| INTERPRETERS.contains(&word) && contains(part, b"bin/"))
    });
    piped || words(text).any(|word| word == b"eval")
}

/// The words that begin with a folder for temporary files.
fn temporary_paths(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| {
        b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'=' | b';' | b'<' | b'>' | b'(' | b')' | b'&' | b'|')
    })
    .filter(|word| [&b"/tmp/"[..], b"/var/tmp/", b"/dev/shm/"].iter().any(|place| word.starts_with(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(argv: &[&str]) -> Option<String> {
        let argv: Vec<_> = argv.iter().map(|a| Bytes::from(*a)).collect();
        inline_text(&argv).map(|t| String::from_utf8_lossy(t).into_owned())
    }

    #[test]
    fn the_text_of_a_shell_is_found_behind_its_options() {
        assert_eq!(text(&["sh", "-c", "echo"]).as_deref(), Some("echo"));
        assert_eq!(text(&["bash", "-e", "-lc", "echo"]).as_deref(), Some("echo"));
        assert_eq!(text(&["perl", "-e", "print"]).as_deref(), Some("print"));
        assert_eq!(text(&["sh", "./configure", "-c", "x"]), None);
        assert_eq!(text(&["sh", "-e", "configure"]), None);
    }

    #[test]
    fn words_inside_other_words_alarm_nobody() {
        let own: &dyn Fn(&[u8]) -> bool = &|path| path.starts_with(b"/tmp/own");
        for honest in
            ["test -f libcurl.so", "pkg-config --libs libssh", "cat a | grep sh", "ls /tmp/own/x", "echo base64 -d"]
        {
            assert_eq!(alarm(honest.as_bytes(), own, false), None, "{honest}");
        }
        for bad in ["/usr/bin/curl -s x", "echo x | base64 -d | /bin/sh", "cp a /tmp/b", "eval $(base64 -d x)"] {
            assert!(alarm(bad.as_bytes(), own, false).is_some(), "{bad}");
        }
    }
}
