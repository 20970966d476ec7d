//! What uses the machine up is ended or bounded, found, and never passes; the same below the limits is nothing.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::processes::{Process, descendants, within};
use crate::support::sandboxed::{Run, Subject};

/// A run that was watched from outside.
struct Watched {
    run: Run,
    took: Duration,
    /// The most memory that the supervisor had, in MiB.
    supervisor_mib: u64,
}

/// A package whose build script depends on an honest one, so that two build scripts run.
fn subject(name: &'static str, main: &str) -> Subject {
    Subject::new(name)
        .manifest("[dependencies]\nhonest = { path = \"honest\" }")
        .file("honest/Cargo.toml", "[package]\nname = \"honest\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .file("honest/src/lib.rs", "")
        .file("honest/build.rs", "fn main() { println!(\"cargo::rustc-cfg=honest\"); }")
        .build_script(&format!("{}\nfn main() {{ {main}; tell(\"end\", 1); }}", include_str!("payloads/limits.rs")))
}

fn peak_mib(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

/// Runs a payload with these options, and holds that no process of it is left.
fn run(name: &'static str, main: &str, options: &[&str]) -> Watched {
    let subject = subject(name, main);
    let mut command = subject.command();
    command.args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let child = command.spawn().unwrap();
    let id = child.id();
    let watcher = std::thread::spawn(move || {
        let (mut seen, mut peak) = (Vec::<Process>::new(), 0);
        while descendants(std::process::id()).iter().any(|process| process.pid.cast_unsigned() == id) {
            for process in descendants(id) {
                if process.command.contains("__launch") {
                    peak = peak.max(peak_mib(&process));
                }
                if !seen.contains(&process) {
                    seen.push(process);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        (seen, peak)
    });
    let output = child.wait_with_output().unwrap();
    let took = start.elapsed();
    let (mut left, supervisor_mib) = watcher.join().unwrap();
    let gone = within(Duration::from_secs(2), || {
        left.retain(Process::lives);
        left.is_empty()
    });
    assert!(gone, "left behind: {left:#?}");
    Watched { run: subject.read(&output), took, supervisor_mib }
}

fn notes(run: &Run) -> Vec<&Value> {
    run.of("note").filter(|note| note["code"] == "limit-hit").collect()
}

impl Watched {
    /// Holds that this limit and no other was hit, by the build script, once, with all that follows.
    #[track_caller]
    fn hit(&self, package: &str, limit: &str, bound: u64) -> u64 {
        let run = &self.run;
        let unit = run.unit("run-build-script", package);
        let id = format!("{package}@0.1.0");
        let notes = notes(run);
        assert_eq!(notes.len(), 1, "{notes:#?}\n{}", run.output());
        assert_eq!(notes[0]["limit"], serde_json::json!({"name": limit, "bound": bound}), "{}", notes[0]);
        assert_eq!((&notes[0]["unit"], &notes[0]["package"]), (&unit.into(), &id.clone().into()), "{}", notes[0]);
        let packages = run.report["packages"].as_array().unwrap();
        let found: Vec<_> = packages
            .iter()
            .flat_map(|package| package["findings"].as_array().into_iter().flatten().map(move |one| (package, one)))
            .filter(|(_, finding)| finding["code"] == "resource-limit")
            .collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        let (of, finding) = found[0];
        assert_eq!((&of["id"], &finding["severity"]), (&id.clone().into(), &"medium".into()));
        assert_eq!(finding["object"], serde_json::json!({"limit": limit, "bound": bound}));
        let reasons = run.report["completeness"]["reasons"].as_array().unwrap();
        let fits = |reason: &Value| reason["code"] == "limit-hit" && reason["package"] == id;
        assert!(reasons.iter().any(fits), "{reasons:#?}");
        assert_ne!(run.report["verdict"], "pass");
        assert_eq!(run.report["completeness"]["status"], "incomplete");
        unit
    }

    /// Holds that the unit was ended by us, that the other package was judged all the same, and the log closed.
    #[track_caller]
    fn ended(&self, unit: u64) {
        assert_eq!(self.run.end_of(unit)["outcome"], "killed", "{}", self.run.end_of(unit));
        assert!(!self.run.told().contains_key("end"), "it went on");
        self.others_were_judged();
    }

    #[track_caller]
    fn others_were_judged(&self) {
        let honest = self.run.unit("run-build-script", "honest");
        assert_eq!(self.run.end_of(honest)["outcome"], "ok");
        let packages = self.run.report["packages"].as_array().unwrap();
        let honest = packages.iter().find(|package| package["id"] == "honest@0.1.0").unwrap();
        assert_eq!(honest["verdict"], "pass", "{honest}");
        assert_eq!(self.run.of("totals").count(), 1, "the log is closed");
    }

    /// Holds that nothing was hit.
    #[track_caller]
    fn control(&self) {
        assert_eq!(notes(&self.run), Vec::<&Value>::new());
        assert_eq!(self.run.value("end"), "1");
        assert!(!self.run.findings().iter().any(|(code, _)| code == "resource-limit"));
        assert_eq!(self.run.report["completeness"]["status"], "complete", "{}", self.run.report["completeness"]);
    }
}

#[test]
fn a_fork_bomb_is_ended_with_its_unit() {
    let watched = run("bombs", "fork_bomb(100_000)", &["--limit", "processes=200"]);
    let unit = watched.hit("bombs", "processes", 200);
    watched.ended(unit);
    assert!(watched.took < Duration::from_secs(15), "its processes sleep for 20 s: {:?}", watched.took);
    run("bombs-a-little", "fork_bomb(20); unsafe { _exit(0) }", &["--limit", "unit-time=9"]).others_were_judged();
}

#[test]
fn a_build_script_may_not_raise_its_limit_of_processes_to_that_of_compilers() {
    let watched = run("raises-its-limit", "raise_processes_to(600)", &["--limit", "processes=200"]);
    assert_eq!(watched.run.value("processes"), "200");
    watched.run.met("raise", libc::EPERM);
    watched.control();
}

#[test]
fn a_fork_bomb_under_the_default_limits_is_ended_too() {
    let watched = run("bombs-by-default", "loop { fork_bomb(100_000) }", &[]);
    let unit = watched.hit("bombs-by-default", "processes", 4096);
    watched.ended(unit);
}

#[test]
fn a_unit_that_takes_all_memory_is_ended() {
    let watched = run("hogs", "memory_hog(4096)", &["--limit", "memory=600M"]);
    let unit = watched.hit("hogs", "memory", 600 << 20);
    watched.ended(unit);
    run("hogs-a-little", "memory_hog(100)", &[]).control();
}

#[test]
fn a_unit_that_burns_cpu_time_in_processes_that_nobody_waits_for_is_ended() {
    let watched = run("burns", "burn(60)", &["--limit", "cpu=3"]);
    let unit = watched.hit("burns", "cpu", 3);
    watched.ended(unit);
    run("burns-a-little", "burn(1)", &[]).control();
}

#[test]
fn a_unit_that_sleeps_past_its_time_is_ended_and_the_run_goes_on() {
    let watched = run("sleeps", "sleep(100)", &["--limit", "unit-time=4"]);
    let unit = watched.hit("sleeps", "unit-time", 4);
    watched.ended(unit);
    run("sleeps-a-little", "sleep(1)", &[]).control();
}

#[test]
fn a_run_that_is_slept_through_is_ended_with_its_report() {
    let watched = run("sleeps-long", "sleep(100)", &["--timeout", "8", "--limit", "unit-time=100"]);
    let notes = notes(&watched.run);
    assert_eq!(notes.len(), 1, "{notes:#?}");
    assert_eq!(notes[0]["limit"], serde_json::json!({"name": "time", "bound": 8}));
    assert_eq!((&notes[0]["unit"], &notes[0]["package"]), (&Value::Null, &Value::Null));
    assert!(watched.run.findings().contains(&("resource-limit".to_owned(), "time".to_owned())));
    assert_ne!(watched.run.report["verdict"], "pass");
    assert_eq!(watched.run.of("totals").count(), 1, "the log is closed");
}

#[test]
fn a_full_disk_is_found() {
    let watched = run("fills", "fill(500)", &["--limit", "disk=64M"]);
    watched.hit("fills", "disk", 64 << 20);
    watched.run.met("fill", libc::ENOSPC);
    run("fills-a-little", "fill(100)", &[]).control();
}

#[test]
fn folders_without_a_free_inode_are_found() {
    let watched = run("fills-inodes", "fill_inodes(10_000)", &["--limit", "inodes=2000"]);
    watched.hit("fills-inodes", "inodes", 2000);
    watched.run.met("fill", libc::ENOSPC);
    run("makes-files", "fill_inodes(3000)", &[]).control();
}

#[test]
fn a_file_of_too_many_bytes_ends_its_writer() {
    let watched = run("writes-much", "large_file(100, false)", &["--limit", "file-size=30M"]);
    let unit = watched.hit("writes-much", "file-size", 30 << 20);
    assert_eq!(watched.run.end_of(unit)["code"], 25, "SIGXFSZ");
    assert!(!watched.run.told().contains_key("large"));
    let watched = run("writes-on", "large_file(100, true)", &["--limit", "file-size=30M"]);
    watched.run.met("large", libc::EFBIG);
    run("writes-a-little", "large_file(100, false)", &[]).control();
}

#[test]
fn a_process_without_a_free_descriptor_is_found() {
    for (name, payload) in
        [("opens-all", "exhaust_descriptors(100_000, true)"), ("copies-all", "exhaust_descriptors(100_000, false)")]
    {
        let watched = run(name, payload, &["--limit", "open-files=512"]);
        watched.hit(name, "open-files", 512);
        watched.run.met("descriptors", libc::EMFILE);
        watched.others_were_judged();
    }
    run("opens-many", "exhaust_descriptors(1000, true)", &[]).control();
}

#[test]
fn a_gigabyte_of_output_is_cut_and_fills_nobodys_memory() {
    let watched = run("prints", "print_much(1024)", &["--limit", "memory=1G"]);
    watched.hit("prints", "output", 128 << 20);
    assert_eq!(watched.run.value("printed"), "1024", "it is not kept waiting");
    assert!(watched.supervisor_mib > 0 && watched.supervisor_mib < 64, "{} MiB", watched.supervisor_mib);
    run("prints-a-little", "print_much(3)", &[]).control();
}

/// The messages of the compiler go the same way, and a macro prints among them.
#[test]
fn what_a_macro_prints_without_end_is_cut() {
    let print = |times: u32| {
        let macro_library = format!(
            "extern crate proc_macro; use proc_macro::TokenStream;
             #[proc_macro] pub fn print(_: TokenStream) -> TokenStream {{
                 for _ in 0..{times} {{ eprintln!(\"{{}}\", \"x\".repeat(1023)); }}
                 TokenStream::new()
             }}"
        );
        Subject::new("uses-printer")
            .manifest("[dependencies]\nprinter = { path = \"printer\" }")
            .file("src/lib.rs", "printer::print!();")
            .file(
                "printer/Cargo.toml",
                "[package]\nname = \"printer\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[lib]\nproc-macro = true\n",
            )
            .file("printer/src/lib.rs", &macro_library)
    };
    let cut = print(2048);
    let mut command = cut.command();
    let run = cut.read(&command.args(["--limit", "output=1M"]).output().unwrap());
    let unit = run.unit("compile", "uses-printer");
    let hits: Vec<_> = notes(&run).into_iter().filter(|note| note["unit"] == unit).collect();
    assert_eq!(hits.len(), 1, "{:#?}", notes(&run));
    assert_eq!(hits[0]["limit"]["name"], "output");
    assert_ne!(run.report["verdict"], "pass");
    assert_eq!(notes(&print(500).run()), Vec::<&Value>::new());
}

#[test]
fn a_flood_of_evidence_is_counted_when_it_may_not_grow() {
    let watched = run("floods", "flood(30_000)", &["--limit", "evidence=4M"]);
    watched.hit("floods", "evidence", 4 << 20);
    let totals = watched.run.of("totals").next().unwrap();
    let number = |name: &str| totals[name].as_u64().unwrap();
    assert!(number("dropped") > 10_000, "{}", number("dropped"));
    assert_eq!(number("received"), number("recorded") + number("coalesced") + number("counted") + number("dropped"));
    assert_eq!(totals["integrity"], "lossy");
    assert!(watched.supervisor_mib > 0 && watched.supervisor_mib < 64, "{} MiB", watched.supervisor_mib);
    run("floods-a-little", "flood(3000)", &[]).control();
}

/// Behind a megabyte of anything, or among more of them than can be read at once.
#[test]
fn a_directive_cannot_hide_behind_others() {
    let noise = "for at in 0..40_000 { println!(\"cargo::warning={at:0>64}\"); }";
    let hides = format!("{noise} println!(\"cargo::rustc-link-arg=-Wl,--hidden\")");
    let watched = run("hides-argument", &hides, &[]);
    assert!(watched.run.of("directive").any(|line| line["value"] == "-Wl,--hidden"));
    let drowns = "for at in 0..100_000 { println!(\"cargo::rustc-env=V{at}={at:0>64}\"); }";
    let watched = run("drowns-directives", drowns, &[]);
    let lost = watched.run.of("note").filter(|note| note["code"] == "evidence-lost").count();
    assert_eq!(lost, 1, "more than 4 MiB of directives are not read, and that is said");
    assert_ne!(watched.run.report["verdict"], "pass");
}

/// The most that can be recorded with the default limits, of one class of one unit.
#[test]
fn a_flood_under_the_default_limits_leaves_the_supervisor_small() {
    let watched = run("floods-by-default", "flood(51_000)", &[]);
    let totals = watched.run.of("totals").next().unwrap();
    assert_eq!(totals["integrity"], "lossy", "beyond the quota of the class");
    assert!(watched.supervisor_mib > 0 && watched.supervisor_mib < 64, "{} MiB", watched.supervisor_mib);
}
