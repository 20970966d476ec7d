//! Runs all probes of a group in one build script, and their controls outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use base64::Engine as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::machine::Machine;
use crate::support::sandboxed::{Run, Subject, program, text};
use crate::table::{self, Effect, Probe};

/// The attacker in one file: what tests/sandbox/payloads begins with, and the files of tests/confinement/attacker.
pub fn attacker() -> String {
    let folder = table::folder();
    let mut files = vec![folder.join("../sandbox/payloads/prelude.rs"), folder.join("attacker/main.rs")];
    let mut others: Vec<PathBuf> =
        fs::read_dir(folder.join("attacker")).unwrap().map(|entry| entry.unwrap().path()).collect();
    others.retain(|path| !path.ends_with("main.rs"));
    others.sort();
    files.extend(others);
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<Vec<_>>().join("\n")
}

/// What came of an attack.
pub struct Attack {
    pub run: Run,
    /// What each probe met: the exit code of its own process, or its signal.
    pub met: BTreeMap<String, String>,
    /// What was seen on the machine.
    pub effects: BTreeSet<Effect>,
    /// Texts of this run and what stands for them in what is compared.
    names: Vec<(String, &'static str)>,
}

impl Attack {
    /// Attacks from inside by these payloads, one after the other.
    pub fn run(payloads: &[String]) -> Self {
        Self::run_with(payloads, program(), |_| {})
    }

    /// As [`Self::run`], with another program, and with more said to it.
    pub fn run_with(payloads: &[String], mut command: Command, more: impl FnOnce(&mut Command)) -> Self {
        let mut machine = Machine::new();
        let list = payloads.join("\n") + "\n";
        let subject = Subject::new("attacker")
            .manifest("[dependencies]\nneighbour = { path = \"../neighbour\" }")
            .file("build.rs", &attacker())
            .file("probes.txt", &list);
        let subject = with_neighbour(subject);
        subject.arguments(&mut command);
        more(command.env("SANDBOX_CHECK_SABOTAGE_FOLDER", machine.path()));
        let variables = machine.variables();
        for (name, value) in &variables {
            command.args(["--env", &format!("{name}={value}")]);
        }
        let before = machine.files();
        let run = subject.read(&command.output().unwrap());
        let mut effects = machine.heard();
        if machine.files() != before {
            effects.insert(Effect::Files);
        }
        let mut told = run.told();
        let out = told.remove("out").unwrap_or_default();
        assert!(!out.is_empty(), "the attacker did not run:\n{}\n{}", run.output(), run.report);
        let placeholders = ["{machine}", "{tcp}", "{udp}", "{named}", "{datagram}", "{abstract}", "{pid}", "{segment}"];
        let mut names: Vec<_> =
            variables.iter().zip(placeholders).map(|((_, value), name)| (value.clone(), name)).collect();
        names.push((out, "{out}"));
        names.push((told.remove("rustc").unwrap_or_default(), "{rustc}"));
        // The longest first: one may be part of another.
        names.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let met = told.into_iter().map(|(id, code)| (id, errno_name(&code))).collect();
        Self { run, met, effects, names }
    }

    /// The records that a probe left, by the program that made the calls, in order.
    pub fn records(&self, id: &str) -> Vec<Record> {
        let program = format!("/as/{}", id.replace('/', "+"));
        let own = self.run.of("attempt").filter(|line| text(&line["exe"]).ends_with(&program));
        // Before main, the standard library of Rust asks where its stack lies.
        let own = own.filter(|line| text(&line["object"]["path"]) != "/proc/self/maps");
        let counts = self.run.of("totals").next().map_or(Value::Null, |totals| totals["counts"].clone());
        own.map(|line| Record::of(line, &counts, &self.names)).collect()
    }

    /// The snapshot: each probe and its records.
    pub fn told(&self, probes: &[Probe]) -> String {
        let mut text = String::new();
        for probe in probes {
            writeln!(text, "{}: {}", probe.id, probe.tries).unwrap();
            let mut lines: Vec<_> = self.records(&probe.id).into_iter().map(|record| record.line).collect();
            if probe.differs {
                lines = vec!["it differs".to_owned()];
            }
            lines.dedup();
            for line in lines {
                writeln!(text, "    {line}").unwrap();
            }
        }
        text
    }
}

/// What an attempt says, without what differs from run to run.
pub struct Record {
    pub kind: String,
    pub outcome: String,
    pub line: String,
}

impl Record {
    fn of(line: &Value, counts: &Value, names: &[(String, &str)]) -> Self {
        let (kind, outcome) = (text(&line["kind"]), text(&line["outcome"]));
        let errno = line["errno"].as_i64().map_or("-".to_owned(), |errno| errno_name(&errno.to_string()));
        let mut object = line["object"].clone();
        forget(&mut object, names);
        let times = counts[line["seq"].to_string()].as_u64().map_or(String::new(), |times| format!(" {times} times"));
        let line =
            format!("{kind} {} {outcome} {errno} {}{times} {object}", text(&line["syscall"]), text(&line["arg_state"]));
        Self { kind, outcome, line }
    }
}

/// Puts names in the place of what differs from run to run.
fn forget(value: &mut Value, names: &[(String, &str)]) {
    let port = value["port"].is_u64();
    match value {
        // Bytes that are not text, readably; the port stands in a field of its own.
        Value::Object(map) if map.contains_key("b64") => {
            let base64 = map["b64"].as_str().unwrap();
            let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
            *value = bytes.escape_ascii().to_string().into();
            forget(value, names);
        }
        Value::Object(map) if port && map.contains_key("raw") => {
            let base64 = map["raw"]["b64"].as_str().unwrap_or_default();
            let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
            let rest = bytes.get(4..).unwrap_or_default();
            map.insert(
                "raw".to_owned(),
                format!("{}{{port}}{}", bytes[..2].escape_ascii(), rest.escape_ascii()).into(),
            );
            map.values_mut().for_each(|value| forget(value, names));
        }
        Value::String(text) => {
            for (name, stands_for) in names {
                if name.len() > 3 || text == name {
                    *text = text.replace(name, stands_for);
                }
                // A low number of a process is a part of many words.
                *text = text.replace(&format!("/proc/{name}/"), &format!("/proc/{stands_for}/"));
            }
            *text = without_inode(&without_process(text));
        }
        Value::Number(number) => {
            let shown = number.to_string();
            let (sign, digits) = shown.strip_prefix('-').map_or(("", shown.as_str()), |digits| ("-", digits));
            if let Some((_, stands_for)) = names.iter().find(|(name, _)| name == digits) {
                *value = format!("{sign}{stands_for}").into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| forget(value, names)),
        Value::Object(map) => map.values_mut().for_each(|value| forget(value, names)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// Own files have the process in their names.
fn without_process(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{out}/") else { return text.to_owned() };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && rest[digits..].starts_with('-') {
        format!("{before}{{out}}/N{}", without_process(&rest[digits..]))
    } else {
        format!("{before}{{out}}/{}", without_process(rest))
    }
}

/// `pipe:[N]` for `pipe:[4711]`, and so for all that the kernel names by a number.
fn without_inode(text: &str) -> String {
    match text.split_once(":[") {
        Some((kind, rest)) if rest.ends_with(']') => format!("{kind}:[N]"),
        _ => text.to_owned(),
    }
}

/// `ENOENT` for 2; what is none stays.
pub fn errno_name(code: &str) -> String {
    match code.parse::<i32>() {
        Ok(0) | Err(_) => code.to_owned(),
        Ok(254) => "unprepared".to_owned(),
        Ok(255) => "no such payload".to_owned(),
        Ok(number) => {
            let name = nix::errno::Errno::from_raw(number).to_string();
            name.split(':').next().unwrap_or_default().to_owned()
        }
    }
}

/// A dependency whose build script ran before, and left a file, a segment of shared memory and a socket.
fn with_neighbour(subject: Subject) -> Subject {
    let prelude = fs::read_to_string(table::folder().join("../sandbox/payloads/prelude.rs")).unwrap();
    let script = fs::read_to_string(table::folder().join("neighbour.rs")).unwrap();
    subject
        .file(
            "../neighbour/Cargo.toml",
            "[package]\nname = \"neighbour\"\nversion = \"0.1.0\"\nedition = \"2021\"\nlinks = \"neighbour\"\n",
        )
        .file("../neighbour/src/lib.rs", "")
        .file("../neighbour/build.rs", &format!("{prelude}\n{script}"))
}

/// The attacker, compiled for this machine: what controls are made with.
static OUTSIDE: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("attacker.rs");
    fs::write(&source, attacker()).unwrap();
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2021", "-A", "warnings", "-o"]).arg(folder.path().join("attacker")).arg(&source);
    let output = rustc.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
});

/// The compiled attacker.
pub fn outside() -> PathBuf {
    OUTSIDE.path().join("attacker")
}

/// Runs one payload outside. What it met, and what was seen of it.
pub fn control(machine: &mut Machine, id: &str, in_namespaces: bool) -> (String, BTreeSet<Effect>) {
    machine.plant();
    let (before, _) = (machine.files(), machine.heard());
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(outside());
    if in_namespaces {
        command.arg("control");
    }
    command.arg(id).env("OUT_DIR", out.path()).envs(machine.variables());
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let met = output.status.code().map_or("signal".to_owned(), |code| errno_name(&code.to_string()));
    let mut effects = machine.heard();
    if machine.files() != before {
        effects.insert(Effect::Files);
    }
    (met, effects)
}
