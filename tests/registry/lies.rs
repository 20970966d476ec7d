//! A registry that lies, fails or stalls at each step: what is said, in which class, and that nothing is kept.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails ends its test")]

use std::sync::OnceLock;

use super::*;

pub(super) const CONFIG: &str = "/index/config.json";
/// Above anything that the limits of the tests add up to.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// How a registry lies about `subject`, which needs `depend`.
struct Lie {
    name: &'static str,
    tell: fn(&Registry),
    class: ErrorClass,
    /// Something that the message says.
    says: &'static str,
}

fn lie(name: &'static str, class: ErrorClass, says: &'static str, tell: fn(&Registry)) -> Lie {
    Lie { name, tell, class, says }
}

pub(super) fn subject() -> Package {
    Package::new("subject", "1.0.0").needs("depend", "^1")
}

pub(super) fn depend() -> Package {
    Package::new("depend", "1.0.0")
}

pub(super) fn index() -> String {
    index_path("subject")
}

fn index_of_dependency() -> String {
    index_path("depend")
}

pub(super) fn file() -> String {
    download_path("subject", "1.0.0")
}

/// A good head, and a body without an end.
fn endless(headers: &str, again: &[u8]) -> Manners {
    let start = format!("HTTP/1.1 200 X\r\n{headers}connection: close\r\n\r\n").into_bytes();
    Manners::Endless { start, again: again.to_vec(), pause: Duration::ZERO }
}

fn flood() -> Manners {
    endless("", &vec![b'x'; 1 << 20])
}

/// Enough to look alive, too little ever to come to an end.
fn drip(start: &str) -> Manners {
    Manners::Endless { start: start.into(), again: b"x".to_vec(), pause: Duration::from_millis(150) }
}

fn html() -> Manners {
    Manners::Other(b"<html><body>Please log in to \x1b[31mthis network</body></html>".to_vec())
}

pub(super) fn status(line: &str) -> Manners {
    Manners::Raw(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes())
}

/// A body that a client may unpack without being asked to: a quarter of a gigabyte of spaces.
fn bomb() -> Manners {
    static BODY: OnceLock<Vec<u8>> = OnceLock::new();
    let body = BODY.get_or_init(|| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::copy(&mut std::io::Read::take(std::io::repeat(b' '), 1 << 28), &mut gzip).unwrap();
        gzip.finish().unwrap()
    });
    let head = format!("HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    Manners::Raw([head.as_bytes(), body].concat())
}

fn dl(registry: &Registry, address: &str) {
    registry.put(CONFIG, format!(r#"{{"dl":"{address}"}}"#).into_bytes());
}

/// Replaces what the index says about `subject`; the file stays.
fn say(registry: &Registry, lines: &[String]) {
    registry.put(&index(), lines.concat().into_bytes());
}

/// Tells each lie and looks at what comes of it.
fn tell(lies: &[Lie]) {
    std::thread::scope(|scope| {
        for lie in lies {
            scope.spawn(move || one(lie));
        }
    });
}

fn one(lie: &Lie) {
    let registry = Registry::start();
    registry.publish(&subject());
    registry.publish(&depend());
    (lie.tell)(&registry);
    let mut settings = registry.settings();
    settings.limits.total = Duration::from_secs(10);
    settings.limits.resolve = Duration::from_secs(8);
    settings.limits.resolve_bytes = 200 << 20;
    settings.limits.index_bytes = 8 << 20;
    settings.limits.crate_bytes = 17 << 20;
    let start = Instant::now();
    let error = match get("subject", &settings) {
        Ok(acquired) => panic!("{}: {:?}", lie.name, names(&acquired)),
        Err(error) => error,
    };
    let (took, text) = (start.elapsed(), error.to_string());
    assert_eq!(error.class(), lie.class, "{}: {error:?}", lie.name);
    assert!(text.contains(lie.says), "{}: {text}", lie.name);
    assert!(error.hint().is_some(), "{}: {text}", lie.name);
    assert_eq!(error.fact().is_some(), lie.class == ErrorClass::Refused, "{}: {text}", lie.name);
    assert!(took < LONG, "{}: {took:?}", lie.name);
    // The honest file of an honest package may stay for the next try, unless the registry was caught.
    let honest = std::path::PathBuf::from(format!("crates/{}.crate", digest(&depend().pack()).hex()));
    let mut left = registry.left();
    left.retain(|file| lie.class == ErrorClass::Refused || *file != honest);
    assert_eq!(left, Vec::<std::path::PathBuf>::new(), "{}", lie.name);
    let kept_by_cargo = ["registry/cache", "registry/src"].map(|folder| files_below(&registry.home().join(folder)));
    assert_eq!(kept_by_cargo, [Vec::<std::path::PathBuf>::new(), Vec::new()], "{}", lie.name);
}

#[test]
fn settings_that_are_none_are_told_before_cargo_reads_them() {
    use ErrorClass::{Temporary, Usage};
    tell(&[
        lie("html", Temporary, "it begins with `<html><body>Please log in to \\x1b[31m", |r| r.behave(CONFIG, html())),
        lie("endless", Temporary, "is larger than 65536 bytes", |r| r.behave(CONFIG, flood())),
        lie("huge by its own words", Temporary, "is larger than 65536 bytes", |r| {
            r.behave(CONFIG, endless("content-length: 99999999999\r\n", b"x"));
        }),
        lie("unpacks without end", Temporary, "config.json", |r| r.behave(CONFIG, bomb())),
        lie("absent", Temporary, "there is no registry", |r| r.behave(CONFIG, status("404 X"))),
        lie("closed", Usage, "is not open to us: status 401", |r| r.behave(CONFIG, status("401 X"))),
        lie("silent", Temporary, "tried 3 times", |r| r.behave(CONFIG, Manners::Silent)),
        lie("a head that never ends", Temporary, "tried", |r| r.behave(CONFIG, drip("HTTP/1.1 200 X\r\nx: "))),
        lie("a head without bound", Temporary, "tried", |r| {
            let again = vec![b'x'; 1 << 16];
            r.behave(
                CONFIG,
                Manners::Endless { start: b"HTTP/1.1 200 X\r\nx: ".to_vec(), again, pause: Duration::ZERO },
            );
        }),
        lie("a body of one byte at a time", Temporary, "tried", |r| r.behave(CONFIG, drip("HTTP/1.1 200 X\r\n\r\n"))),
        lie("no HTTP", Temporary, "config.json", |r| r.behave(CONFIG, Manners::Raw(b"SSH-2.0-x\r\n".to_vec()))),
        lie("downloads from a file", Temporary, "is neither http nor https", |r| dl(r, "file:///etc")),
        lie("downloads from nowhere", Temporary, "is neither http nor https", |r| dl(r, "")),
        lie("downloads that are no address", Temporary, "uri", |r| dl(r, "http://[\\u001b/{crate}")),
        lie("downloads from a metadata service", Temporary, "where this registry may not send us", |r| {
            dl(r, "http://169.254.169.254/latest/{crate}/{version}");
        }),
        lie("downloads from one, written as a number", Temporary, "leads to 169.254.169.254", |r| {
            dl(r, "http://2852039166/{crate}/{version}");
        }),
        lie("downloads from elsewhere", ErrorClass::NotFound, "/other/", |r| {
            dl(r, &format!("{}/other/{{crate}}/../{{crate}}", r.url()));
        }),
    ]);
}

#[test]
fn an_index_that_gives_no_entry_is_not_taken_for_one_that_knows_no_such_name() {
    use ErrorClass::{NotFound, Temporary};
    tell(&[
        lie("html", Temporary, "not an entry of an index; it begins with `<html>", |r| r.behave(&index(), html())),
        lie("endless", Temporary, "is larger than 8388608 bytes", |r| r.behave(&index(), flood())),
        lie("unpacks without end", Temporary, "not an entry of an index", |r| r.behave(&index(), bomb())),
        lie("cut off", Temporary, "broke off", |r| r.behave(&index(), Manners::Truncated(99))),
        lie("silent", Temporary, "tried 3 times", |r| r.behave(&index(), Manners::Silent)),
        lie("stalled", Temporary, "tried", |r| r.behave(&index(), Manners::Stalled)),
        lie("one byte at a time", Temporary, "tried", |r| r.behave(&index(), drip("HTTP/1.1 200 X\r\n\r\n"))),
        lie("busy for a day", Temporary, "to be asked again after 86400 s (tried 1 time)", |r| {
            r.behave(&index(), status("429 X\r\nretry-after: 86400"));
        }),
        lie("busy for ever", Temporary, "status 503 (tried 3 times)", |r| r.behave(&index(), status("503 X"))),
        lie("about another", Temporary, "asked for `subject` and speaks of \"depend\"", |r| {
            r.put(&index(), depend().line().into_bytes());
        }),
        lie("about another with tricks in its name", Temporary, "speaks of \"../\\\\x1b[2J\"", |r| {
            r.put(&index(), depend().line().replace("\"depend\"", "\"../\\u001b[2J\"").into_bytes());
        }),
        lie("a circle", Temporary, "more than 5 redirects", |r| {
            r.behave(&index(), Manners::Redirect(format!("{}{}", r.url(), index())));
        }),
        lie("leads to a file", Temporary, "sends us to \"file:///etc/passwd\"", |r| {
            r.behave(&index(), Manners::Redirect("file:///etc/passwd".to_owned()));
        }),
        lie("leads to a metadata service", Temporary, "leads to 169.254.169.254", |r| {
            r.behave(&index(), Manners::Redirect("http://169.254.169.254/latest/meta-data/".to_owned()));
        }),
        lie("unknown", NotFound, "no package named `subject`", |r| r.behave(&index(), status("404 X"))),
        lie("gone", NotFound, "no package named `subject`", |r| r.behave(&index(), status("410 X"))),
        lie("forbidden", NotFound, "no package named `subject`", |r| r.behave(&index(), status("451 X"))),
        lie("an odd status", Temporary, "status 418", |r| r.behave(&index(), status("418 X"))),
        lie("a version that is a path", NotFound, "no package named `subject`", |r| {
            r.put(&index(), subject().line().replace("1.0.0", "../../1.0.0").into_bytes());
        }),
    ]);
}

#[test]
fn an_index_that_gives_two_answers_for_one_version_is_refused() {
    use ErrorClass::{NotFound, Refused, Temporary};
    /// Another file under the same version.
    fn other() -> String {
        subject().file("evil.rs", "").line()
    }
    fn turns(first: String, second: String) -> Manners {
        Manners::Turns(vec![Manners::Other(first.into_bytes()), Manners::Other(second.into_bytes())])
    }
    tell(&[
        lie("two checksums", Refused, "two answers of the index for one version", |r| {
            say(r, &[other(), subject().line()]);
        }),
        lie("two checksums, the other way round", Refused, "two answers of the index for one version", |r| {
            say(r, &[subject().line(), other()]);
        }),
        lie("two checksums of a dependency", Refused, "depend@1.0.0: checksum mismatch", |r| {
            let other = depend().file("evil.rs", "").line();
            r.put(&index_of_dependency(), [other, depend().line()].concat().into_bytes());
        }),
        lie("one to us and one to cargo", Refused, "two answers of the index for one version", |r| {
            r.behave(&index(), turns(subject().line(), other()));
        }),
        lie("two sets of dependencies", Refused, "the index has the dependency `winny = ^1`", |r| {
            let more = subject().needs("winny", "^1").deps.join(",");
            let line = subject().line().replace(&subject().deps.join(","), &more);
            r.publish(&Package::new("winny", "1.0.0"));
            say(r, &[line, subject().line()]);
        }),
        lie("a longer one to cargo", Temporary, "the index entry of `subject`", |r| {
            let long = format!(",\"x\":\"{}\"}}", "y".repeat(9 << 20));
            r.behave(&index(), turns(subject().line(), subject().line().replace("}\n", &long)));
        }),
        lie("withdrawn in between", NotFound, "cargo could not choose versions", |r| {
            r.behave(&index(), turns(subject().line(), subject().yanked().line()));
        }),
        lie("gone in between", NotFound, "cargo could not choose versions", |r| {
            r.behave(&index(), Manners::Turns(vec![Manners::Other(subject().line().into_bytes()), status("404 X")]));
        }),
        lie("unreadable in between", Temporary, "not an entry of an index", |r| {
            r.behave(&index(), Manners::Turns(vec![Manners::Other(subject().line().into_bytes()), html()]));
        }),
    ]);
}

#[test]
fn an_index_that_fails_cargo_is_a_trouble_of_the_registry_s() {
    use ErrorClass::{NotFound, Temporary};
    tell(&[
        lie("html", Temporary, "depend", |r| r.behave(&index_of_dependency(), html())),
        lie("endless", Temporary, "took more than 209715200 bytes", |r| {
            r.behave(&index_of_dependency(), flood());
        }),
        lie("unpacks without end", Temporary, "cargo", |r| r.behave(&index_of_dependency(), bomb())),
        lie("silent", Temporary, "cargo", |r| r.behave(&index_of_dependency(), Manners::Silent)),
        lie("fast enough for cargo", Temporary, "within 8 s", |r| {
            let again = vec![b'x'; 100];
            let start = b"HTTP/1.1 200 X\r\n\r\n".to_vec();
            let pause = Duration::from_millis(100);
            r.behave(&index_of_dependency(), Manners::Endless { start, again, pause });
        }),
        lie("busy", Temporary, "503", |r| r.behave(&index_of_dependency(), status("503 X"))),
        lie("a circle", Temporary, "cargo", |r| {
            r.behave(&index_of_dependency(), Manners::Redirect(format!("{}{}", r.url(), index_of_dependency())));
        }),
        lie("leads to a file", Temporary, "cargo", |r| {
            r.behave(&index_of_dependency(), Manners::Redirect("file:///etc/passwd".to_owned()));
        }),
        lie("a dependency whose name is a path", NotFound, "subject", |r| {
            say(r, &[subject().line().replace("\"depend\"", "\"../../depend\"")]);
        }),
        lie("a dependency on no version", NotFound, "subject", |r| {
            say(r, &[subject().line().replace("^1", "^^\\u001b[2J")]);
        }),
        lie("nested without end", Temporary, "not an entry of an index", |r| {
            say(r, &[subject().line().replace("[]", &"[".repeat(100_000))]);
        }),
        lie("unknown", NotFound, "no matching package named `depend`", |r| {
            r.behave(&index_of_dependency(), status("404 X"));
        }),
        lie("about another", Temporary, "speaks of \"subject\"", |r| {
            r.put(&index_of_dependency(), subject().line().into_bytes());
        }),
    ]);
}

#[test]
fn a_file_that_is_not_the_promised_one_is_refused() {
    use ErrorClass::Refused;
    tell(&[
        lie("other bytes", Refused, "checksum mismatch", |r| {
            r.behave(&file(), Manners::Other(subject().file("evil.rs", "").pack()));
        }),
        lie("html", Refused, "checksum mismatch", |r| r.behave(&file(), html())),
        lie("an empty one", Refused, "checksum mismatch", |r| r.behave(&file(), Manners::Other(Vec::new()))),
        lie("a part that says that it is all", Refused, "checksum mismatch", |r| {
            let half = subject().pack().split_off(20);
            r.behave(&file(), Manners::Other(half));
        }),
        lie("one byte more", Refused, "checksum mismatch", |r| {
            r.behave(&file(), Manners::Other([subject().pack(), vec![0]].concat()));
        }),
        lie("packed once more on the way", Refused, "checksum mismatch", |r| r.behave(&file(), bomb())),
        lie("a dependency's other bytes", Refused, "depend@1.0.0: checksum mismatch", |r| {
            r.behave(&download_path("depend", "1.0.0"), Manners::Other(depend().file("evil.rs", "").pack()));
        }),
        lie("endless", Refused, "it is larger than 17825792 bytes", |r| r.behave(&file(), flood())),
        lie("endless in chunks", Refused, "it is larger than 17825792 bytes", |r| {
            let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
            r.behave(&file(), endless("transfer-encoding: chunked\r\n", &chunk));
        }),
        lie("huge by its own words", Refused, "it is larger than 17825792 bytes", |r| {
            r.behave(&file(), endless("content-length: 99999999999\r\n", b"x"));
        }),
    ]);
}

#[test]
fn a_file_that_does_not_come_is_a_trouble_of_the_registry_s() {
    use ErrorClass::{NotFound, Temporary, Usage};
    tell(&[
        lie("cut off", Temporary, "broke off", |r| r.behave(&file(), Manners::Truncated(99))),
        lie("cut off in a chunk", Temporary, "tried 3 times", |r| {
            let head = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n10000\r\nxxx".to_vec();
            r.behave(&file(), Manners::Raw(head));
        }),
        lie("silent", Temporary, "tried 3 times", |r| r.behave(&file(), Manners::Silent)),
        lie("stalled", Temporary, "tried 3 times", |r| r.behave(&file(), Manners::Stalled)),
        lie("one byte at a time", Temporary, "tried", |r| r.behave(&file(), drip("HTTP/1.1 200 X\r\n\r\n"))),
        lie("fast enough, and never done", Temporary, "tried", |r| {
            let (start, again) = (b"HTTP/1.1 200 X\r\n\r\n".to_vec(), vec![b'x'; 1000]);
            r.behave(&file(), Manners::Endless { start, again, pause: Duration::from_millis(50) });
        }),
        lie("a circle", Temporary, "more than 5 redirects", |r| {
            r.behave(&file(), Manners::Redirect(format!("{}{}", r.url(), file())));
        }),
        lie("leads to a metadata service", Temporary, "leads to 169.254.169.254", |r| {
            r.behave(&file(), Manners::Redirect("http://169.254.169.254/".to_owned()));
        }),
        lie("leads to a file", Temporary, "sends us to \"file:///etc/passwd\"", |r| {
            r.behave(&file(), Manners::Redirect("file:///etc/passwd".to_owned()));
        }),
        lie("absent", NotFound, "does not exist", |r| r.behave(&file(), status("404 X"))),
        lie("withdrawn", NotFound, "does not exist", |r| r.behave(&file(), status("451 X"))),
        lie("closed", Usage, "is not open to us", |r| r.behave(&file(), status("403 X"))),
        lie("busy for a day", Temporary, "(tried 1 time)", |r| {
            r.behave(&file(), status("503 X\r\nretry-after: 86400"));
        }),
    ]);
}

#[test]
fn an_archive_that_is_not_what_the_index_says_is_refused() {
    use ErrorClass::Refused;
    /// Publishes `inside`, and says `outside` about it but for the checksum.
    fn disagree(registry: &Registry, inside: &Package, outside: &Package) {
        registry.put(&file(), inside.pack());
        let line = outside.line().replace(&digest(&outside.pack()).hex(), &digest(&inside.pack()).hex());
        say(registry, &[line]);
    }
    fn plain() -> Package {
        Package::new("subject", "1.0.0")
    }
    tell(&[
        lie("another name", Refused, "it says depend@1.0.0", |r| {
            disagree(r, &Package { manifest: depend().manifest, ..plain() }, &plain());
        }),
        lie("another version", Refused, "it says subject@1.0.1", |r| {
            disagree(r, &Package { manifest: Package::new("subject", "1.0.1").manifest, ..plain() }, &plain());
        }),
        lie("another folder", Refused, "is not below `subject-1.0.0/`", |r| {
            disagree(r, &Package { packed: None, ..Package::new("subject", "1.0.1") }, &plain());
        }),
        lie("a dependency that only the index has", Refused, "the index has the dependency `depend = ^1`", |r| {
            disagree(r, &plain(), &subject());
        }),
        lie("a dependency that the index hides", Refused, "its Cargo.toml has the dependency `depend = ^1`", |r| {
            disagree(r, &subject(), &plain());
        }),
        lie("another requirement", Refused, "the index has the dependency `depend = ^1`", |r| {
            disagree(r, &plain().needs("depend", "^1.0"), &subject());
        }),
        lie("another platform", Refused, "the index has the dependency `depend = ^1`", |r| {
            disagree(r, &plain().needs_on("depend", "^1", Some("cfg(windows)")), &subject());
        }),
        lie("other features", Refused, "of the feature `default`", |r| {
            let outside = Package { features: r#"{"default":["evil"],"evil":[]}"#, ..plain() };
            disagree(r, &plain().manifest("[features]\ndefault = []\nevil = []\n"), &outside);
        }),
    ]);
}
