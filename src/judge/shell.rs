//! What the text that is given to a shell or interpreter says.

use super::paths::{contains, file_name, normalise};
use crate::evidence::Bytes;

/// What a shell or interpreter is given to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given<'a> {
    /// The text after `-c` or `-e`.
    Text(&'a [u8]),
    /// A file.
    File(&'a [u8]),
    /// Neither: it reads its text from standard input.
    Input,
    /// A question, a module, or what has no such grammar.
    Other,
}

/// How a family of programs reads its arguments.
struct Grammar {
    /// The letter that announces a text.
    text: &'static [u8],
    /// The letters that are followed by an argument of their own.
    takes: &'static [u8],
    /// The letters, and words, after which nothing of the caller's runs.
    asks: &'static [u8],
    long_text: &'static [&'static [u8]],
    long_takes: &'static [&'static [u8]],
}

const SHELL: Grammar =
    Grammar { text: b"c", takes: b"oO", asks: b"", long_text: &[], long_takes: &[b"--rcfile", b"--init-file"] };
const PYTHON: Grammar = Grammar { text: b"c", takes: b"WX", asks: b"mVh", long_text: &[], long_takes: &[] };
const PERL: Grammar = Grammar { text: b"eE", takes: b"Ir", asks: b"vVh", long_text: &[], long_takes: &[] };
const NODE: Grammar = Grammar {
    text: b"ep",
    takes: b"rC",
    asks: b"vh",
    long_text: &[b"--eval", b"--print"],
    long_takes: &[b"--require", b"--import", b"--loader"],
};
const LUA: Grammar = Grammar { text: b"e", takes: b"l", asks: b"v", long_text: &[], long_takes: &[] };

/// The grammar of a program, by its name without a version.
fn grammar(name: &[u8]) -> Option<&'static Grammar> {
    let plain = name.iter().position(|b| !b.is_ascii_alphabetic()).and_then(|end| name.get(..end)).unwrap_or(name);
    Some(match plain {
        b"sh" | b"bash" | b"dash" | b"ash" | b"ksh" | b"mksh" | b"zsh" => &SHELL,
        b"python" | b"pypy" => &PYTHON,
        b"perl" | b"ruby" => &PERL,
        b"node" | b"nodejs" => &NODE,
        b"lua" | b"luajit" => &LUA,
        _ => return None,
    })
}

/// What a shell or interpreter is given. Its path decides what it is, since a caller may call it anything.
pub(crate) fn given<'a>(path: &[u8], argv: &'a [Bytes]) -> Given<'a> {
    let name = applet(path, argv).unwrap_or(file_name(path));
    let Some(grammar) = grammar(name) else { return Given::Other };
    let is_shell = std::ptr::eq(grammar, &SHELL);
    let skip = 1 + usize::from(applet(path, argv).is_some() && argv.first().is_some_and(|a| is_box(file_name(&a.0))));
    let mut arguments = argv.iter().skip(skip).map(|Bytes(argument)| argument.as_slice());
    let mut is_text = false;
    while let Some(argument) = arguments.next() {
        match argument {
            b"-" | b"--" if is_text => {}
            b"-" | b"/dev/stdin" => return Given::Input,
            b"--" => return arguments.next().map_or(Given::Input, Given::File),
            b"--version" | b"--help" => return Given::Other,
            [b'-', b'-', ..] => {
                let (word, value) = split_once(argument, b'=');
                if grammar.long_text.contains(&word) {
                    return value.or_else(|| arguments.next()).map_or(Given::Other, Given::Text);
                }
                if grammar.long_takes.contains(&argument) {
                    arguments.next();
                }
            }
            // A shell reads all of its options first, and a name for each `o` among them.
            [sign @ (b'-' | b'+'), letters @ ..] if is_shell => {
                if *sign == b'-' && letters.contains(&b's') {
                    return Given::Input;
                }
                is_text |= *sign == b'-' && letters.contains(&b'c');
                for _ in letters.iter().filter(|letter| grammar.takes.contains(letter)) {
                    arguments.next();
                }
            }
            [b'-', letters @ ..] => match cluster(grammar, letters) {
                Cluster::Text(text) => return text.or_else(|| arguments.next()).map_or(Given::Other, Given::Text),
                Cluster::Asks => return Given::Other,
                Cluster::Plain if matches!(letters, [one] if grammar.takes.contains(one)) => {
                    arguments.next();
                }
                Cluster::Plain => {}
            },
            operand if is_text => return Given::Text(operand),
            operand => return Given::File(operand),
        }
    }
    if is_text { Given::Other } else { Given::Input }
}

/// What a cluster of letters after one dash says.
enum Cluster<'a> {
    /// A text follows, or stands in the rest of the argument.
    Text(Option<&'a [u8]>),
    Asks,
    Plain,
}

fn cluster<'a>(grammar: &Grammar, letters: &'a [u8]) -> Cluster<'a> {
    for (i, letter) in letters.iter().enumerate() {
        if grammar.text.contains(letter) {
            return Cluster::Text(letters.get(i + 1..).filter(|rest| !rest.is_empty()));
        }
        if grammar.asks.contains(letter) {
            return Cluster::Asks;
        }
        // What follows is the option's value: `-Mstrict`, `-I/x`, `-W error`.
        if grammar.takes.contains(letter) || matches!(letter, b'M' | b'm' | b'F' | b'D') {
            break;
        }
    }
    Cluster::Plain
}

fn split_once(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&b| b == at) {
        Some(i) => (text.get(..i).unwrap_or_default(), text.get(i + 1..)),
        None => (text, None),
    }
}

/// The program inside busybox or toybox that is meant: by the first argument, or by the name that it is called by.
pub(crate) fn applet<'a>(path: &[u8], argv: &'a [Bytes]) -> Option<&'a [u8]> {
    if !is_box(file_name(path)) {
        return None;
    }
    let mut names = argv.iter().map(|Bytes(argument)| file_name(argument));
    names.find(|name| !is_box(name))
}

fn is_box(name: &[u8]) -> bool {
    matches!(name, b"busybox" | b"toybox")
}

const DOWNLOADERS: [&[u8]; 13] = [
    b"curl", b"wget", b"aria2c", b"nc", b"ncat", b"netcat", b"socat", b"telnet", b"ftp", b"tftp", b"scp", b"rsync",
    b"ssh",
];
const DECODERS: [&[u8]; 11] = [
    b"base64 -d",
    b"base64 --decode",
    b"base64 -D",
    b"base64 -i",
    b"xxd -r",
    b"openssl enc",
    b"openssl base64",
    b"base32 -d",
    b"uudecode",
    b"b64decode",
    b"decode_base64",
];
/// They unpack data as well, which a script of the build may read.
const UNPACKERS: [&[u8]; 9] =
    [b"gzip -d", b"gzip -cd", b"gunzip", b"zcat", b"xz -d", b"xz -cd", b"xzcat", b"bzip2 -d", b"zstd -d"];
/// What runs a text within an interpreter.
const EVALUATORS: [&[u8]; 4] = [b"eval", b"exec", b"system", b"popen"];
const INTERPRETERS: [&[u8]; 9] = [b"sh", b"bash", b"dash", b"zsh", b"python", b"python3", b"perl", b"node", b"ruby"];

/// Why a text is alarming, if it is. Below a build description temporary paths and known tools are ordinary.
pub(crate) fn alarm(text: &[u8], is_own: &dyn Fn(&[u8]) -> bool, below_driver: bool) -> Option<&'static str> {
    if contains(text, b"/dev/tcp/") || contains(text, b"/dev/udp/") {
        return Some("opens a connection by the shell");
    }
    let unpacks = UNPACKERS.iter().any(|unpacker| contains(text, unpacker));
    if unpacks && text.split(|&b| b == b'|').skip(1).any(is_bare_interpreter) {
        return Some("decodes something and runs it");
    }
    let evaluates = || is_interpreters(text) && words(text).any(|word| EVALUATORS.contains(&word));
    if DECODERS.iter().any(|decoder| contains(text, decoder)) && (pipes_into_interpreter(text) || evaluates()) {
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

/// True for a text of Python's or Perl's: no shell decodes by these words.
fn is_interpreters(text: &[u8]) -> bool {
    [&b"b64decode"[..], b"decode_base64"].iter().any(|word| contains(text, word))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+'))).filter(|w| !w.is_empty())
}

/// True for an interpreter that is given no file, so that it runs what comes by its standard input.
fn is_bare_interpreter(part: &[u8]) -> bool {
    let command = part.split(|b| b";&)`\n".contains(b)).next().unwrap_or(part);
    let mut tokens = command.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty());
    tokens.next().is_some_and(|first| INTERPRETERS.contains(&file_name(first)))
        && tokens.all(|token| token.starts_with(b"-") || token.contains(&b'>'))
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

    fn what(argv: &[&str]) -> String {
        let argv: Vec<_> = argv.iter().map(|a| Bytes::from(*a)).collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match given(&[b"/usr/bin/", argv[0].0.as_slice()].concat(), &argv) {
            Given::Text(bytes) => format!("text {}", text(bytes)),
            Given::File(bytes) => format!("file {}", text(bytes)),
            Given::Input => "input".to_owned(),
            Given::Other => "other".to_owned(),
        }
    }

    #[test]
    fn what_a_shell_or_interpreter_is_given_is_found_behind_its_options() {
        for (argv, expected) in [
            (&["sh", "-c", "echo"][..], "text echo"),
            (&["bash", "-e", "-lc", "echo"], "text echo"),
            (&["bash", "-euo", "pipefail", "-c", "echo"], "text echo"),
            (&["bash", "-O", "extglob", "-c", "-x", "echo", "name"], "text echo"),
            (&["bash", "--norc", "--rcfile", "x", "-c", "echo"], "text echo"),
            (&["dash", "+x", "-c", "echo"], "text echo"),
            (&["bash", "-oc", "pipefail", "echo"], "text echo"),
            (&["busybox", "sh", "-c", "echo"], "text echo"),
            (&["sh", "./configure", "-c", "x"], "file ./configure"),
            (&["sh", "-e", "configure"], "file configure"),
            (&["sh", "--", "-odd"], "file -odd"),
            (&["sh"], "input"),
            (&["bash", "-xs", "word"], "input"),
            (&["bash", "--version"], "other"),
            (&["perl", "-e", "print"], "text print"),
            (&["perl", "-Mstrict", "-0777ne", "print"], "text print"),
            (&["perl5.36", "-I", "lib", "Configure"], "file Configure"),
            (&["perl", "-V:version"], "other"),
            (&["python3.11", "-c", "pass"], "text pass"),
            (&["python3", "-Icpass"], "text pass"),
            (&["python3", "-W", "error", "x.py", "-c"], "file x.py"),
            (&["python3", "-m", "pip"], "other"),
            (&["python3", "-"], "input"),
            (&["node", "--eval=1"], "text 1"),
            (&["node", "--require", "x", "-p", "1"], "text 1"),
            (&["lua5.4", "-l", "x", "-e", "y"], "text y"),
            (&["m4"], "other"),
        ] {
            assert_eq!(what(argv), expected, "{argv:?}");
        }
    }

    #[test]
    fn a_false_name_in_front_of_the_arguments_changes_nothing() {
        let argv = ["m4", "-c", "echo"].map(Bytes::from);
        assert_eq!(given(b"/usr/bin/dash", &argv), Given::Text(b"echo"));
    }

    #[test]
    fn words_inside_other_words_alarm_nobody() {
        let own: &dyn Fn(&[u8]) -> bool = &|path| path.starts_with(b"/tmp/own");
        for honest in
            ["test -f libcurl.so", "pkg-config --libs libssh", "cat a | grep sh", "ls /tmp/own/x", "echo base64 -d"]
        {
            assert_eq!(alarm(honest.as_bytes(), own, false), None, "{honest}");
        }
        for honest in [
            "gzip -dc a.tar.gz | tar x",
            "zcat unicode.gz | python3 tables.py",
            "exec(open('configure.py').read())",
            "print(base64.b64decode(x))",
        ] {
            assert_eq!(alarm(honest.as_bytes(), own, false), None, "{honest}");
        }
        for bad in [
            "/usr/bin/curl -s x",
            "echo x | base64 -d | /bin/sh",
            "cp a /tmp/b",
            "eval $(base64 -d x)",
            "tail -c +99 good.xz | xz -dc | /bin/bash",
            "exec(__import__('base64').b64decode('cGFzcw=='))",
            "use MIME::Base64; eval decode_base64('MQ==')",
        ] {
            assert!(alarm(bad.as_bytes(), own, false).is_some(), "{bad}");
        }
    }
}
