//! A registry that lies or stalls, seen from outside: the exit code, the words, and what is left.

use std::process::Child;
use std::time::{Duration, Instant};

use super::server::{Manners, Package, Registry, download_path, files_below, index_path};
use super::*;

const CONFIG: &str = "/index/config.json";

fn subject() -> Package {
    Package::new("subject", "1.0.0").needs("depend", "^1")
}

fn file() -> String {
    download_path("subject", "1.0.0")
}

fn start() -> Registry {
    let registry = Registry::start();
    registry.publish(&subject());
    registry.publish(&Package::new("depend", "1.0.0"));
    registry
}

fn command(home: &Home, registry: &Registry) -> Command {
    let mut command = home.command(env!("CARGO_BIN_EXE_sandbox-check"));
    command.env("CARGO_HOME", registry.home()).env("CARGO_HTTP_TIMEOUT", "2").arg("subject@1.0.0");
    command
}

/// Nothing in our cache but the lock by which runs take turns, and no `.crate` file in cargo's.
fn assert_nothing_is_left(home: &Home, registry: &Registry, when: &str) {
    // What was refused is evidence, and that is ours.
    let ours = home.files().into_iter().filter(|file| !file.starts_with(".local/state/sandbox-check/evidence/"));
    assert_eq!(ours.collect::<Vec<_>>(), [".cache/sandbox-check/runs/door"], "{when}");
    let kept = files_below(&registry.home()).into_iter().filter(|file| !file.starts_with("registry/index"));
    let kept: Vec<_> =
        kept.filter(|file| file.starts_with("registry/cache") || file.starts_with("registry/src")).collect();
    assert_eq!(kept, Vec::<PathBuf>::new(), "{when}");
}

/// A name, how it lies, the exit code, the error's code, and something that the message says.
type Lie = (&'static str, fn(&Registry), i32, &'static str, &'static str);

const LIES: &[Lie] = &[
    ("other bytes", |r| r.behave(&file(), Manners::Other(b"x".to_vec())), 10, "checksum-mismatch", "subject@1.0.0"),
    (
        "two answers",
        |r| r.put(&index_path("subject"), [subject().file("x", "").line(), subject().line()].concat().into_bytes()),
        10,
        "checksum-mismatch",
        "two answers of the index",
    ),
    (
        "an index that disagrees with the archive",
        |r| {
            let hidden = subject().line().replace(&subject().deps.concat(), "");
            r.put(&index_path("subject"), hidden.into_bytes());
        },
        10,
        "unsafe-archive",
        "it is not what the index promised",
    ),
    ("html", |r| r.behave(CONFIG, Manners::Other(b"<html>".to_vec())), 75, "temporary", "begins with `<html>`"),
    (
        "a circle",
        |r| r.behave(&file(), Manners::Redirect(format!("{}{}", r.url(), file()))),
        75,
        "temporary",
        "redirects",
    ),
    (
        "escape sequences",
        |r| r.put(CONFIG, br#"{"dl":"http://\u001b]0;x\u0007\u202e/"}"#.to_vec()),
        75,
        "temporary",
        "http://",
    ),
    ("a file that is not there", |r| r.behave(&file(), Manners::Status(404, 9)), 3, "not-found", "does not exist"),
    (
        "a name that is not there",
        |r| r.behave(&index_path("subject"), Manners::Status(404, 9)),
        3,
        "not-found",
        "`subject`",
    ),
    ("a closed door", |r| r.behave(CONFIG, Manners::Status(403, 9)), 2, "usage", "status 403"),
];

#[test]
fn a_registry_that_lies_ends_with_the_documented_code_and_a_word_on_what_to_do() {
    for (name, lie, expected, error, words) in LIES {
        let (home, registry) = (Home::new(), start());
        lie(&registry);
        let output = command(&home, &registry).arg("--format=json").output().unwrap();
        let value = json(&output);
        assert_eq!((code(&output), &value["error"]["code"]), (*expected, &Value::from(*error)), "{name}: {value}");
        assert!(value["error"]["message"].as_str().unwrap().contains(words), "{name}: {value}");
        assert!(value["error"]["hint"].is_string(), "{name}: {value}");
        if *expected == 10 {
            assert_eq!(value["verdict"], "fail", "{name}");
            assert_eq!(value["packages"][0]["findings"][0]["severity"], "critical", "{name}: {value}");
            assert_nothing_is_left(&home, &registry, name);
        }
    }
}

#[test]
fn whatever_a_registry_says_is_safe_to_print() {
    const TRICK: &str = r"\u001b]0;x\u0007\u202e\u009b2J";
    let says: [fn(&Registry); 3] = [
        |r| r.put(CONFIG, format!(r#"{{"dl":"http://{TRICK}/"}}"#).into_bytes()),
        |r| {
            let links = format!(r#""links":"{TRICK}","yanked""#);
            r.put(&index_path("subject"), subject().line().replace(r#""yanked""#, &links).into_bytes());
        },
        |r| r.put(&index_path("subject"), format!(r#"{{"name":"{TRICK}","vers":"1.0.0"}}"#).into_bytes()),
    ];
    for say in says {
        for format in ["human", "json"] {
            let (home, registry) = (Home::new(), start());
            say(&registry);
            let output = command(&home, &registry).args(["--format", format]).output().unwrap();
            assert!([10, 75].contains(&code(&output)), "{output:?}");
            let text = stdout(&output) + &stderr(&output);
            for bad in ['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}'] {
                assert!(!text.contains(bad), "{text:?}");
            }
            if format == "human" && code(&output) == 75 {
                assert!(text.contains("error: ") && text.contains("hint: "), "{text}");
            }
            assert_nothing_is_left(&home, &registry, &text);
        }
    }
}

/// The most memory that a process has held.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[test]
fn files_without_an_end_do_not_fill_the_memory_however_many_come_at_once() {
    const NAMES: [&str; 8] = ["one1", "two2", "three", "four", "five", "sixx", "seven", "eight"];
    let (home, registry) = (Home::new(), Registry::start());
    let start = b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n".to_vec();
    let mut subject = Package::new("subject", "1.0.0");
    for name in NAMES {
        registry.publish(&Package::new(name, "1.0.0"));
        let (start, again) = (start.clone(), vec![b'x'; 1 << 20]);
        registry.behave(&download_path(name, "1.0.0"), Manners::Endless { start, again, pause: Duration::ZERO });
        subject = subject.needs(name, "^1");
    }
    registry.publish(&subject);
    let mut command = command(&home, &registry);
    let mut child = command.arg("--format=json").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    let ended = loop {
        most = most.max(peak(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ended, Some(10));
    // Eight small ones and one large one, each with room to grow.
    assert!(most < 768 << 20, "{most}");
    assert_nothing_is_left(&home, &registry, "endless files");
}

/// Waits for a request; then a moment more, so that it hangs.
fn wait_for(registry: &Registry, path: &str, times: usize) {
    let start = Instant::now();
    while registry.count(path) < times {
        assert!(start.elapsed() < Duration::from_mins(1), "{path} was never asked for: {:?}", registry.seen());
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
}

fn wait_for_end(child: &mut Child) -> (i32, Duration) {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code().unwrap(), start.elapsed());
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Command lines of what works on a manifest in a folder of the test's, removed or not: a cargo that goes on asking.
fn at_work(home: &Home) -> Vec<String> {
    let cache = home.path().join(".cache").display().to_string();
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let words = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    words.filter(|line| line.contains(&format!("--manifest-path {cache}"))).collect()
}

#[test]
fn a_signal_ends_the_wait_for_a_registry_within_a_second_and_leaves_nothing() {
    use nix::sys::signal::{Signal, kill};
    // The index of a dependency is what cargo asks for.
    let stalls = [
        (CONFIG.to_owned(), Manners::Silent),
        (index_path("subject"), Manners::Stalled),
        (index_path("depend"), Manners::Silent),
        (index_path("depend"), Manners::Stalled),
        (file(), Manners::Silent),
        (file(), Manners::Stalled),
    ];
    for (path, manners) in stalls {
        for (signal, expected) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
            let when = format!("{path} {manners:?} {signal}");
            let (home, registry) = (Home::new(), start());
            registry.behave(&path, manners.clone());
            let mut command = command(&home, &registry);
            command.env("CARGO_HTTP_TIMEOUT", "60").arg("--format=json").stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            wait_for(&registry, &path, 1);
            kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
            let (ended, took) = wait_for_end(&mut child);
            assert_eq!(ended, expected, "{when}");
            assert!(took < Duration::from_secs(1), "{when}: {took:?}");
            assert_nothing_is_left(&home, &registry, &when);
            let start = Instant::now();
            while !at_work(&home).is_empty() {
                assert!(start.elapsed() < Duration::from_secs(1), "{when}: {:?}", at_work(&home));
            }
        }
    }
}

#[test]
fn a_program_that_is_killed_leaves_no_cargo_that_goes_on_asking_and_the_next_run_cleans_up() {
    let (home, registry) = (Home::new(), start());
    registry.behave(&index_path("depend"), Manners::Silent);
    let mut command = command(&home, &registry);
    let mut child =
        command.env("CARGO_HTTP_TIMEOUT", "60").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&registry, &index_path("depend"), 1);
    assert!(!at_work(&home).is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    while !at_work(&home).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", at_work(&home));
    }
    registry.behave(&index_path("depend"), Manners::Status(404, 9));
    registry.behave(CONFIG, Manners::Status(404, 9));
    assert_eq!(code(&self::command(&home, &registry).output().unwrap()), 75);
    assert_nothing_is_left(&home, &registry, "the next run");
}
