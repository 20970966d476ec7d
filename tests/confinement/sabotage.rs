//! A probe that cannot fail proves nothing: without what stops it, each gets through or is not recorded.
//!
//! A build with the feature `sabotage` turns layers off. `scripts/sabotage` makes it, in a target folder of its own, and
//! runs the ignoring test below on it. Here, in every run: the program that people get has no such switch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::attack::Attack;
use crate::probes::judge;
use crate::support::sandboxed::{PROGRAM, Run, Subject, program_at};
use crate::table::{self, Probe};

/// Names of the switch that no other build has: the variable, and what closes a listener.
const SWITCH: [&str; 2] = ["SANDBOX_CHECK_SABOTAGE", "listener-after-"];

fn has(program: &Path, word: &str) -> bool {
    let bytes = fs::read(program).unwrap();
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[test]
fn the_program_has_no_switch_that_turns_a_layer_off() {
    let help = Command::new(PROGRAM).arg("--help").output().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&help).to_lowercase().contains("sabotage"));
    // The shim is inside of the program, as its bytes are.
    for word in SWITCH {
        assert!(!has(Path::new(PROGRAM), word), "{word}");
    }
    assert!(has(Path::new(PROGRAM), "CLONE_NEWUSER"), "the search finds nothing");
    let manifest: toml::Table =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap().parse().unwrap();
    assert!(manifest["features"].get("default").is_none(), "a default feature may bring it along");
    // Nor what is open to the fuzzer: these are its words (src/fuzzing.rs).
    let words = "stands in a report";
    assert!(include_str!("../../src/fuzzing.rs").contains(words) && !has(Path::new(PROGRAM), words));
    // The control: the build that has it has its name.
    if let Some(program) = sabotaged() {
        assert!(SWITCH.iter().all(|word| has(&program, word)));
    }
}

/// The build that has the switch, where there is one.
fn sabotaged() -> Option<PathBuf> {
    std::env::var_os("SANDBOX_CHECK_SABOTAGED_PROGRAM").map(PathBuf::from)
}

/// Attacks with these layers off.
fn attack(program: &Path, probes: &[Probe], off: &str) -> Attack {
    let ids: Vec<_> = probes.iter().map(|probe| probe.id.clone()).collect();
    Attack::run_with(&ids, program_at(program), |command| {
        command.env("SANDBOX_CHECK_SABOTAGE", off);
    })
}

/// Rows by the layers that stop them, where all of these can be turned off and the row's control shows that the same
/// thing works outside.
fn by_layers() -> BTreeMap<String, Vec<Probe>> {
    let mut found: BTreeMap<String, Vec<Probe>> = BTreeMap::new();
    for probe in table::all().into_iter().flat_map(|(_, rows)| rows).filter(Probe::is_run) {
        let off: Option<BTreeSet<_>> = probe.layers.iter().map(|layer| layer.off()).collect();
        let Some(off) = off else { continue };
        let is_shown =
            probe.control.as_deref().is_some_and(|control| !control.starts_with("none: ")) || probe.group() == "UNIT";
        if is_shown && probe.gap.is_none() {
            found.entry(off.into_iter().collect::<Vec<_>>().join(",")).or_default().push(probe);
        }
    }
    found
}

/// Named in docs/confinement.md: the only test that a run without `scripts/sabotage` leaves out.
macro_rules! with_the_other_build {
    () => {
        match sabotaged() {
            Some(program) => program,
            None => {
                eprintln!("left out: scripts/sabotage runs this");
                return;
            }
        }
    };
}

#[test]
fn without_its_layers_each_probe_gets_through() {
    let program = with_the_other_build!();
    let (mut still_held, mut shown) = (Vec::new(), 0);
    for (off, probes) in by_layers() {
        let attack = attack(&program, &probes, &off);
        for probe in &probes {
            let wrong = judge(&attack, probe);
            let seen = probe.effect.is_some_and(|effect| attack.effects.contains(&effect));
            if wrong.is_empty() && !seen {
                still_held.push(format!("{} with {off} off", probe.id));
            }
            shown += 1;
        }
        eprintln!("{off}: {} probes, seen {:?}", probes.len(), attack.effects);
    }
    assert!(still_held.is_empty(), "{} of {shown} probes do not notice:\n{}", still_held.len(), still_held.join("\n"));
    assert!(shown > 100, "{shown}");
}

/// One layer is enough: with any single one off, what a second one stops has no effect on the machine.
#[test]
fn with_one_layer_off_the_second_one_holds() {
    let program = with_the_other_build!();
    let rows: Vec<Probe> = table::all().into_iter().flat_map(|(_, rows)| rows).filter(Probe::is_run).collect();
    for off in ["private-root", "landlock", "network-namespace", "outer-pid-namespace", "refusals"] {
        let doubled = |probe: &&Probe| probe.layers.iter().filter(|layer| layer.off() != Some(off)).count() > 0;
        let probes: Vec<Probe> = rows.iter().filter(|probe| probe.effect.is_some()).filter(doubled).cloned().collect();
        let attack = attack(&program, &probes, off);
        assert!(!attack.met.is_empty());
        assert!(attack.effects.is_empty(), "with {off} off: {:?}", attack.effects);
    }
}

/// A unit that keeps one capability, whichever, is noticed.
#[test]
fn a_single_capability_that_is_kept_is_noticed() {
    let program = with_the_other_build!();
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    let probes: Vec<Probe> = table::rows("processes").into_iter().filter(|p| p.id == "PR-15/capabilities").collect();
    let unnoticed: Vec<u32> = (0..=last)
        .filter(|capability| {
            let attack = attack(&program, &probes, &format!("capability-{capability}"));
            probes.iter().all(|probe| judge(&attack, probe).is_empty())
        })
        .collect();
    assert!(last > 30 && unnoticed.is_empty(), "{unnoticed:?} of {last}");
}

/// The promise that no judgement of the supervisor's matters: where each refusal that has a layer behind it is answered
/// by going on, nothing gets through.
#[test]
fn if_every_refusal_went_on_the_sandbox_would_still_hold() {
    // Within one unit anything may reach anything: these are about the payload itself, its parent, which is the runner,
    // and a keyring that is the unit's own and empty.
    const OF_ITSELF: [&str; 10] = [
        "PR-04/parent",
        "PR-04/traceme",
        "PR-05/read",
        "PR-05/write",
        "PR-06/getfd",
        "PR-06/kcmp",
        "KS-08/read",
        "KS-08/add",
        "KS-08/request",
        "KS-08/parent",
    ];
    let program = with_the_other_build!();
    let mut through = Vec::new();
    for (file, rows) in table::all() {
        let probes: Vec<Probe> = rows.into_iter().filter(Probe::is_run).collect();
        if probes.is_empty() {
            continue;
        }
        let attack = attack(&program, &probes, "refusals");
        assert!(attack.effects.is_empty(), "{file}: {:?}", attack.effects);
        for probe in &probes {
            let met = attack.met.get(&probe.id).map_or("nothing", String::as_str);
            let may_pass = probe.meets.as_deref().unwrap_or_default().split('|').any(|meets| meets.trim() == "0");
            if met == "0" && !may_pass && !OF_ITSELF.contains(&probe.id.as_str()) {
                through.push(probe.id.clone());
            }
        }
    }
    assert!(through.is_empty(), "{through:?}");
}

#[test]
fn without_records_every_probe_that_leaves_one_fails() {
    let program = with_the_other_build!();
    let mut unnoticed = Vec::new();
    for (_, rows) in table::all() {
        let leaves =
            |probe: &Probe| probe.record.as_deref().is_some_and(|record| !record.split('|').any(|one| one == "none"));
        let probes: Vec<Probe> = rows.into_iter().filter(|probe| probe.is_run() && leaves(probe)).collect();
        if probes.is_empty() {
            continue;
        }
        let attack = attack(&program, &probes, "records");
        unnoticed.extend(probes.iter().filter(|probe| judge(&attack, probe).is_empty()).map(|probe| probe.id.clone()));
    }
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

/// Runs a build script whose listener is closed after so many calls.
fn run_unheard(program: &Path, script: &str, calls: u32) -> Run {
    let subject = Subject::new("is-unheard").build_script(script);
    let mut command = program_at(program);
    subject.arguments(&mut command);
    command.env("SANDBOX_CHECK_SABOTAGE", format!("listener-after-{calls}"));
    subject.read(&command.output().unwrap())
}

/// A listener that is closed while the supervisor lives: what waits or is called later meets ENOSYS and is not seen. The
/// script does not mind, and gets to a good end.
#[test]
fn a_unit_whose_listener_was_closed_early_is_never_complete_and_keeps_its_earlier_records() {
    const SOME: u32 = 60;
    const NEVER: u32 = u32::MAX;
    let program = with_the_other_build!();
    let harmless = r#"fn main() { for _ in 0..300 { let _ = File::open("Cargo.toml"); } }"#;
    let heard = run_unheard(&program, harmless, NEVER);
    assert_eq!(heard.report["verdict"], "pass", "the control: {}", heard.report);
    assert_eq!(heard.report["completeness"]["status"], "complete", "the control");
    let unheard = run_unheard(&program, harmless, SOME);
    let end = unheard.end_of(unheard.unit("run-build-script", "is-unheard"));
    assert_eq!(end["outcome"], "ok", "nothing else makes it incomplete: {end}");
    assert_eq!(unheard.report["verdict"], "inconclusive", "{}", unheard.report);
    let reasons = unheard.report["completeness"]["reasons"].as_array().unwrap();
    let codes: Vec<_> = reasons.iter().map(|reason| reason["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["evidence-lost"], "{reasons:#?}");

    let keys = r#"fn main() { for at in 0..100 { let _ = File::open(format!("/home/dev/.ssh/key-{at}")); } }"#;
    let recorded = |run: &Run| -> Vec<usize> {
        let opens = run.attempts("fs.open");
        opens.iter().filter_map(|open| open.path.strip_prefix("/home/dev/.ssh/key-")?.parse().ok()).collect()
    };
    assert_eq!(recorded(&run_unheard(&program, keys, NEVER)), (0..100).collect::<Vec<_>>(), "the control");
    let unheard = run_unheard(&program, keys, SOME);
    let kept = recorded(&unheard);
    assert!((1..100).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept, (0..kept.len()).collect::<Vec<_>>(), "an earlier record is lost");
    assert!(unheard.findings().iter().any(|(code, _)| code == "credential-read"), "{:?}", unheard.findings());
    assert_ne!(unheard.report["verdict"], "pass");
    assert_eq!(unheard.report["completeness"]["status"], "incomplete");
}
