//! What units run, send and drop lies beside the evidence, byte for byte, and nothing else does.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libc::EACCES;
use sandbox_check::ids::Sha256Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::sandboxed::{PRELUDE, PROGRAM, Run, Subject, text};

const MIB: u64 = 1 << 20;

struct Captured {
    run: Run,
    folder: PathBuf,
    /// By name.
    files: BTreeMap<String, Vec<u8>>,
    _subject: Subject,
}

impl Captured {
    fn of(subject: Subject) -> Self {
        let run = subject.run();
        let path = run.report["evidence"]["path"].as_str().unwrap_or_default().to_owned();
        let folder = PathBuf::from(format!("{path}.captured"));
        let read = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        let files = fs::read_dir(&folder).into_iter().flatten().map(|entry| read(entry.unwrap())).collect();
        Self { run, folder, files, _subject: subject }
    }

    fn lines(&self, what: &str) -> Vec<&Value> {
        self.run.of("artifact").filter(|line| line["what"] == what).collect()
    }

    /// The line of these very bytes, which lie in the folder whole.
    #[track_caller]
    fn holds(&self, what: &str, path_end: &str, bytes: &[u8]) -> &Value {
        let lines = self.lines(what);
        let fits = |line: &&&Value| line["sha256"] == digest(bytes) && text(&line["path"]).ends_with(path_end);
        let line = lines.iter().find(fits).unwrap_or_else(|| panic!("no {path_end:?} among {lines:#?}"));
        assert_eq!((line["size"].as_u64(), line["kept"].as_u64()), (Some(len(bytes)), Some(len(bytes))), "{line}");
        assert_eq!(line.get("truncated"), None, "{line}");
        let name = hex(bytes);
        assert!(self.files.get(&name).is_some_and(|kept| kept == bytes), "{path_end}: the bytes are not in the folder");
        line
    }

    /// Says nowhere a word of this path.
    #[track_caller]
    fn has_no(&self, path_end: &str) {
        let found: Vec<_> = self.run.of("artifact").filter(|line| text(&line["path"]).ends_with(path_end)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

static CAPTURED: LazyLock<Captured> = LazyLock::new(|| {
    Captured::of(
        Subject::new("leaves-bytes")
            .manifest("[dependencies]\nfloods = { path = \"floods\" }")
            .build_script(include_str!("payloads/captured.rs"))
            .file("tool.sh", "# of the archive\n")
            .file("changed.sh", "# changed\n")
            .file("floods/Cargo.toml", "[package]\nname = \"floods\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
            .file("floods/src/lib.rs", "")
            .file("floods/build.rs", &format!("{PRELUDE}\n{}", include_str!("payloads/floods.rs"))),
    )
});

fn hex(bytes: &[u8]) -> String {
    Sha256Digest(Sha256::digest(bytes).into()).hex()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap()
}

/// `/bin/true` with a mark, as the payload makes it.
fn marked(mark: &str) -> Vec<u8> {
    [fs::read("/bin/true").unwrap(), mark.as_bytes().to_vec()].concat()
}

#[test]
fn a_program_is_kept_as_it_was_when_it_was_started() {
    CAPTURED.run.met("program", 0);
    let line = CAPTURED.holds("program", "/out/program", &marked("program"));
    let attempt = CAPTURED.run.of("attempt").find(|attempt| attempt["seq"] == line["attempt"]).unwrap();
    assert_eq!((&attempt["kind"], &attempt["unit"]), (&Value::from("exec"), &line["unit"]));
}

#[test]
fn a_file_that_is_changed_and_run_again_is_kept_twice() {
    let before = CAPTURED.holds("program", "/out/swapped", &marked("before"));
    let after = CAPTURED.holds("program", "/out/swapped", &marked("after"));
    assert_eq!(before["attempt"], after["attempt"], "one attempt, made twice");
}

#[test]
fn programs_from_memory_are_kept_by_whatever_way_they_are_started() {
    for way in ["self", "dev-fd", "link", "number", "descriptor"] {
        CAPTURED.run.met(&format!("memory-by-{way}"), 0);
        CAPTURED.holds("program", "/memfd:payload (deleted)", &marked(&format!("by-{way}")));
    }
    CAPTURED.run.met("deleted", 0);
    CAPTURED.holds("program", "/out/deleted (deleted)", &marked("deleted"));
    let fileless = CAPTURED.run.findings().into_iter().filter(|(code, _)| code == "fileless-exec").count();
    assert_eq!(fileless, 2, "{:?}", CAPTURED.run.findings());
}

#[test]
fn scripts_are_kept_by_themselves_and_as_an_interpreters_argument() {
    CAPTURED.holds("script", "/out/script", b"#!/bin/sh\n# by itself\n");
    CAPTURED.holds("script", "/out/given.sh", b"# given\n");
    CAPTURED.holds("script", "/out/relative.sh", b"# relative\n");
}

/// The kernel starts it without a call of its own.
#[test]
fn the_program_that_a_script_names_is_kept_and_judged() {
    CAPTURED.run.met("names-it", 0);
    let line = CAPTURED.holds("program", "/out/interpreter", &marked("interpreter"));
    assert_eq!(
        line["attempt"],
        CAPTURED.lines("script").iter().find(|l| text(&l["path"]).ends_with("/names-it")).unwrap()["attempt"]
    );
    let findings = CAPTURED.run.findings();
    assert!(
        findings.iter().any(|(code, subject)| code == "exec-dropped-file" && subject.ends_with("/out/interpreter"))
    );
}

#[test]
fn programs_that_the_dynamic_linker_runs_are_kept_and_so_is_another_linker() {
    CAPTURED.run.met("linked", 0);
    CAPTURED.holds("program", "/out/linked", &marked("linked"));
    CAPTURED.run.met("names-linker", 0);
    let linker = [fs::read("/lib64/ld-linux-x86-64.so.2").unwrap(), b"linker".to_vec()].concat();
    CAPTURED.holds("program", "/l", &linker);
    CAPTURED.has_no("/ld-linux-x86-64.so.2");
    CAPTURED.run.met("names-argument", 0);
    CAPTURED.holds("program", "/out/argument", &marked("argument"));
}

#[test]
fn what_came_with_the_system_or_the_archive_is_not_kept() {
    for name in ["system", "text", "of-the-archive", "changed"] {
        CAPTURED.run.met(name, 0);
    }
    CAPTURED.has_no("/bin/true");
    CAPTURED.has_no("/bin/sh");
    CAPTURED.has_no("/read-by-text");
    CAPTURED.has_no("/tool.sh");
    CAPTURED.has_no("build-script-build");
    CAPTURED.holds("script", "/changed.sh", b"# CHANGED\n");
    assert!(!CAPTURED.files.contains_key(&hex(b"# of the archive\n")));
}

#[test]
fn pipes_devices_and_procfs_in_a_programs_place_are_not_read() {
    for name in ["fifo", "device", "procfs"] {
        CAPTURED.run.met(name, EACCES);
    }
    for path in ["/out/fifo", "/dev/zero", "/maps"] {
        CAPTURED.has_no(path);
    }
}

#[test]
fn of_a_huge_file_the_first_bytes_are_hashed_and_kept() {
    let lines = CAPTURED.lines("program");
    let line = lines.iter().find(|line| text(&line["path"]).ends_with("/out/huge")).unwrap();
    let hashed = vec![0; usize::try_from(64 * MIB).unwrap()];
    assert_eq!((line["size"].as_u64(), line["kept"].as_u64()), (Some(3 << 30), Some(16 * MIB)));
    assert_eq!((&line["truncated"], &line["sha256"]), (&Value::from(true), &Value::from(digest(&hashed))));
    assert_eq!(len(&CAPTURED.files[&hex(&hashed)]), 16 * MIB);
}

#[test]
fn messages_are_kept_with_their_destination() {
    let to_address = CAPTURED.holds("sent", "192.0.2.1:9", b"to an address");
    let attempt = CAPTURED.run.of("attempt").find(|attempt| attempt["seq"] == to_address["attempt"]).unwrap();
    assert_eq!(attempt["kind"], "net.send");
    let connected = CAPTURED.holds("sent", "127.0.0.1:9", b"connected");
    assert_eq!(connected.get("attempt"), None, "its connect stands already");
    let parts: Vec<u8> = (0..40).map(|i| b'a' + i % 26).collect();
    let nowhere = CAPTURED.holds("sent", "", &parts);
    assert_eq!(nowhere["path"], "", "a pair of sockets has no address, whatever had its number before");
}

#[test]
fn of_a_long_message_the_first_bytes_are_kept() {
    let first = vec![b'l'; 64 << 10];
    let line = *CAPTURED.lines("sent").iter().find(|line| line["sha256"] == digest(&first)).unwrap();
    assert_eq!((line["size"].as_u64(), line["kept"].as_u64()), (Some(70_000), Some(64 << 10)));
    assert_eq!(line["truncated"], true);
    assert_eq!(CAPTURED.files[&hex(&first)], first);
}

#[test]
fn a_question_to_a_name_server_is_kept_as_it_was_sent() {
    let questions: Vec<_> = CAPTURED.lines("sent").into_iter().filter(|line| line["path"] == "127.0.0.1:53").collect();
    assert!(!questions.is_empty());
    for line in questions {
        let bytes = &CAPTURED.files[line["sha256"].as_str().unwrap().trim_start_matches("sha256:")];
        let name = b"\x06secret\x08captured\x07invalid\0";
        assert!(bytes.windows(name.len()).any(|part| part == name), "{line}");
        let asked = CAPTURED.run.of("attempt").any(|a| a["seq"] == line["attempt"] && a["kind"] == "dns.query");
        assert!(asked, "{line}");
    }
}

#[test]
fn files_written_elsewhere_are_kept_as_they_lay_at_the_end() {
    CAPTURED.holds("dropped", "/.config/autostart/x\ny", b"dropped");
    CAPTURED.holds("dropped", "/written-twice", b"second");
    CAPTURED.holds("dropped", "/new-name", b"renamed");
    for gone in ["/removed", "/old-name", "/replaced", "/passwd", "/own-output"] {
        CAPTURED.has_no(gone);
    }
    assert!(!CAPTURED.files.contains_key(&hex(b"first")));
}

#[test]
fn a_hostile_name_leads_nowhere() {
    for name in ["new\nline".to_owned(), "x".repeat(255), "..\u{202e}..".to_owned()] {
        CAPTURED.holds("program", &format!("/out/{name}"), &marked(&name));
    }
    let beside: Vec<_> = fs::read_dir(CAPTURED.folder.parent().unwrap()).unwrap().collect();
    assert_eq!(beside.len(), 2, "the evidence and the folder: {beside:?}");
}

#[test]
fn every_file_is_named_by_its_digest_and_nobody_can_run_it() {
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&CAPTURED.folder) & 0o7777, 0o700);
    let truncated: Vec<_> = CAPTURED.run.of("artifact").filter(|line| line["truncated"] == true).collect();
    for (name, bytes) in &CAPTURED.files {
        assert_eq!(mode(&CAPTURED.folder.join(name)), 0o100_600, "{name}");
        let is_listed = CAPTURED.run.of("artifact").any(|line| line["sha256"] == format!("sha256:{name}"));
        let is_cut = truncated.iter().any(|line| line["sha256"] == format!("sha256:{name}"));
        assert!(is_listed && (is_cut || *name == hex(bytes)), "{name}");
    }
}

#[test]
fn beyond_a_number_files_are_listed_and_not_kept() {
    let unit = CAPTURED.run.unit("run-build-script", "floods");
    for what in ["script", "dropped"] {
        let lines: Vec<_> = CAPTURED.lines(what).into_iter().filter(|line| line["unit"] == unit).collect();
        assert_eq!(lines.len(), 70, "{what}");
        assert_eq!(lines.iter().filter(|line| line["kept"] != 0).count(), 64, "{what}");
        assert!(lines.iter().all(|line| line["sha256"].is_string()), "{what}");
    }
}

#[test]
fn beyond_a_number_messages_are_not_listed_and_that_is_said() {
    let unit = CAPTURED.run.unit("run-build-script", "floods");
    let sent: Vec<_> = CAPTURED.lines("sent").into_iter().filter(|line| line["unit"] == unit).collect();
    assert_eq!((sent.len(), sent.iter().filter(|line| line["kept"] != 0).count()), (256, 256));
    let notes: Vec<_> = CAPTURED.run.of("note").filter(|note| note["code"] == "capture-bound").collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(
        (&notes[0]["unit"], &notes[0]["text"]),
        (&unit.into(), &"not every message that the unit sent is listed".into())
    );
}

/// The attempts themselves are all there.
#[test]
fn a_bound_makes_no_run_incomplete() {
    assert_eq!(CAPTURED.run.report["completeness"]["status"], "complete", "{}", CAPTURED.run.report["completeness"]);
}

#[test]
fn the_report_lists_what_was_captured_and_findings_name_it() {
    let packages = CAPTURED.run.report["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["id"] == "leaves-bytes@0.1.0").unwrap();
    let listed = package["artifacts"].as_array().unwrap();
    let unit = CAPTURED.run.unit("run-build-script", "leaves-bytes");
    assert_eq!(listed.len(), CAPTURED.run.of("artifact").filter(|line| line["unit"] == unit).count());
    for artifact in listed.iter().filter(|artifact| artifact["kept"] != 0) {
        assert!(Path::new(artifact["file"].as_str().unwrap()).is_file(), "{artifact}");
    }
    let named = |code: &str, bytes: &[u8]| {
        let findings = package["findings"].as_array().unwrap();
        findings.iter().any(|finding| finding["code"] == code && finding["object"]["sha256"] == digest(bytes))
    };
    assert!(named("exec-dropped-file", &marked("program")));
    assert!(named("exec-dropped-file", &marked("after")), "what ran last");
    assert!(named("fileless-exec", &marked("by-descriptor")));
    assert!(named("network-connect", b"to an address"));
    assert!(named("persistence-write", b"dropped"));
}

/// Evidence of a run that did not pass is kept for 30 days, and so is what was captured.
#[test]
fn captured_bytes_go_when_their_evidence_goes() {
    let subject = Subject::new("passes").build_script("fn main() {}");
    let state = subject.dir().parent().unwrap().join("state/sandbox-check/evidence");
    let month = Duration::from_hours(31 * 24);
    for (name, age) in [("old", month), ("new", Duration::ZERO)] {
        let folder = state.join(format!("{name}.jsonl.captured"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("0".repeat(64)), "bytes").unwrap();
        fs::write(state.join(format!("{name}.jsonl")), "").unwrap();
        let then = FileTimes::new().set_modified(SystemTime::now() - age);
        File::open(state.join(format!("{name}.jsonl"))).unwrap().set_times(then).unwrap();
        File::open(&folder).unwrap().set_times(then).unwrap();
    }
    let mut command = Command::new(PROGRAM);
    command.args(["--format", "json", "--offline", "./passes"]).current_dir(subject.dir().parent().unwrap());
    command
        .env("XDG_CACHE_HOME", subject.cache_dir())
        .env("XDG_STATE_HOME", subject.dir().parent().unwrap().join("state"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut left: Vec<_> =
        fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["new.jsonl", "new.jsonl.captured"]);
}

/// What cannot be captured is said, and the run is not complete.
#[test]
fn a_program_that_cannot_be_read_makes_the_run_incomplete() {
    let captured = Captured::of(Subject::new("hides-bytes").build_script(
        "fn main() {
            use std::os::unix::fs::PermissionsExt as _;
            let path = format!(\"{}/hidden\", out_dir());
            fs::copy(\"/bin/true\", &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o111)).unwrap();
            did(\"hidden\", std::process::Command::new(&path).status());
        }",
    ));
    captured.run.met("hidden", 0);
    let note = captured.run.of("note").find(|note| note["code"] == "capture-failed").expect("a note");
    assert!(text(&note["text"]).contains("/out/hidden could not be captured"), "{note}");
    let reasons = captured.run.report["completeness"]["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason["code"] == "evidence-lost"), "{reasons:?}");
    assert!(captured.files.is_empty());
}

/// A lookup sends its two questions by one call.
#[test]
fn every_call_is_accounted_for() {
    let evidence = &CAPTURED.run.report["evidence"];
    let sum: u64 =
        ["recorded", "coalesced", "counted", "dropped"].iter().map(|key| evidence[key].as_u64().unwrap()).sum();
    assert_eq!(evidence["received"].as_u64(), Some(sum), "{evidence}");
}
