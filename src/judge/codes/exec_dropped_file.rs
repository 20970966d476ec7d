//! `exec-dropped-file`: a program that did not come with the build was to run.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Code, push};
use crate::evidence::Bytes;
use crate::evidence::line::{Captured, ProgramFile};
use crate::judge::context::{Context, Tried, program};
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::{is_below, normalise};
use crate::judge::shell::{self, Given};
use crate::policy::{Role, Severity};

pub(crate) const CODE: Code = Code {
    name: "exec-dropped-file",
    severity: "high",
    attack: &["T1105", "T1036.005"],
    meaning: "Code that runs at build time tried to run machine code that no compiler of this build made, or \
              anything at all in a temporary folder, in the home or in shared memory. Droppers do this.",
    honest: "Crates that fetch a prebuilt tool and run it. Tests compiled by configure and scripts in OUT_DIR do not \
             count, nor do files of the verified archive.",
    action: "Find out where the file came from; the evidence shows who wrote it, and its bytes lie beside the evidence. Do not \
             run them.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some((_, argv, file)) = program(tried) else { continue };
        if tried.is_first || super::fileless_exec::is_fileless(tried) {
            continue;
        }
        if is_dropped(cx, tried, &tried.path, file) {
            push(out, draft(cx, tried, &tried.path, argv));
        }
        for (path, file) in others(cx, tried, argv) {
            if is_dropped(cx, tried, &path, file) {
                push(out, draft(cx, tried, &path, argv));
            }
        }
    }
}

/// What runs beside the program: the script that an interpreter is given, the program that a script names.
fn others(cx: &Context<'_>, tried: &Tried<'_>, argv: &[Bytes]) -> BTreeMap<Vec<u8>, ProgramFile> {
    let mut others: BTreeMap<_, _> = carried(cx, tried, argv).into_iter().collect();
    for artifact in cx.captured(tried.attempt.seq) {
        let file = match artifact.what {
            Captured::Program => ProgramFile::Elf,
            Captured::Script => ProgramFile::Script,
            Captured::Sent | Captured::Dropped | Captured::Expansion => continue,
        };
        let path = normalise(&artifact.path.0);
        // `ldd` asks for a list of what programs load, also of those that other units made.
        if !cx.in_target(&path) || tried.unit.owns(&path) || cx.writers(&path).next().is_some() {
            others.insert(path, file);
        }
    }
    others.remove(&tried.path);
    others
}

fn draft(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8], argv: &[Bytes]) -> Option<Draft> {
    let subject = short(cx, path);
    let says = format!("{} tried to run {subject}, which did not come with the build", actor(tried));
    let shown: Vec<_> = argv.iter().take(16).cloned().collect();
    Draft::new(cx, tried, CODE.name, Severity::High).map(|draft| {
        draft
            .about(subject, json!({"program": Bytes::from(path), "argv": shown}))
            .says(says)
            .attack(CODE.attack)
            .with("written_by", cx.writers(path).map(|w| w.attempt.seq).take(8).collect())
    })
}

/// True for what came with nothing that this build may run.
pub(super) fn is_dropped(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8], file: ProgramFile) -> bool {
    // Nobody but the caller can tell what is there.
    if is_detour(path) {
        return true;
    }
    // What it was kept from writing would be there on another machine.
    let was_written = cx.writers(path).next().is_some();
    if cx.policy.is_system(path) || (file == ProgramFile::Absent && !was_written) {
        return false;
    }
    if path.starts_with(b"/memfd:") {
        return true;
    }
    if cx.in_sources(path) && !was_written {
        return false;
    }
    // The unit's own program, and what else runs already, may start itself again.
    let mut running = std::iter::once(&tried.attempt.exe).chain(&tried.attempt.lineage);
    if cx.in_target(path) && !was_written && running.any(|exe| exe.0 == path) {
        return false;
    }
    if tried.unit.owns(path) && cx.in_tmp(path) {
        // Its own TMPDIR is no OUT_DIR: what a compiler made there may run, and a script of configure.
        return !(cx.is_compiled(path) || (file == ProgramFile::Script && cx.is_below_driver(tried)));
    }
    if tried.unit.owns(path) || cx.in_target(path) || cx.in_sources(path) {
        return file == ProgramFile::Elf && !cx.is_compiled(path);
    }
    // A search over PATH asks for known names also where nothing is.
    let is_searched = !was_written && file == ProgramFile::Unknown && is_in_path(cx, path);
    let is_home = cx.in_home(path) || is_below(path, b"/root");
    cx.in_tmp(path) || (is_home && !is_searched) || (was_written && !cx.is_compiled(path))
}

/// True for a way through a link of `/proc` that only its process can follow, such as `/proc/self/cwd/x`. No honest
/// start goes there; a process may start itself again.
fn is_detour(path: &[u8]) -> bool {
    let names: Vec<_> = path.split(|&b| b == b'/').skip(1).collect();
    names.first() == Some(&&b"proc"[..]) && names.iter().any(|name| [&b"cwd"[..], b"root", b"map_files"].contains(name))
}

fn is_in_path(cx: &Context<'_>, path: &[u8]) -> bool {
    let layout = cx.layout();
    is_below(path, format!("{}/bin", layout.cargo_home).as_bytes())
        || is_below(path, format!("{}/.local/bin", layout.home).as_bytes())
}

/// The file that a shell, an interpreter or the dynamic linker is to run, if its path is absolute.
fn carried(cx: &Context<'_>, tried: &Tried<'_>, argv: &[Bytes]) -> Option<(Vec<u8>, ProgramFile)> {
    let argument = || argv.iter().skip(1).find(|argument| !argument.0.starts_with(b"-"));
    let absolute = |Bytes(path): &Bytes| path.starts_with(b"/").then(|| normalise(path));
    if cx.is_dynamic_linker(&tried.path) {
        // `ldd` asks for a list in the same way, of programs that other units made.
        let is_elsewhere = |path: &Vec<u8>| !cx.in_target(path) || cx.writers(path).next().is_some();
        return argument().and_then(absolute).filter(is_elsewhere).map(|path| (path, ProgramFile::Elf));
    }
    if !matches!(cx.program_role(tried), Some(Role::Shell | Role::Interpreter)) {
        return None;
    }
    match shell::given(&tried.path, argv) {
        Given::File(path) if path.starts_with(b"/") => Some((normalise(path), ProgramFile::Script)),
        Given::Other => argument().and_then(absolute).map(|path| (path, ProgramFile::Script)),
        Given::Text(_) | Given::File(_) | Given::Input => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Captured, ProgramFile};
    use crate::evidence::testing::{OUT, SCRIPT, SOURCE};
    use crate::judge::codes::testing::script;

    fn codes(found: &[String]) -> Vec<&str> {
        found.iter().filter_map(|f| f.split(' ').next()).collect()
    }

    #[test]
    fn anything_under_tmp_home_or_shm_is_a_dropped_file() {
        for path in ["/tmp/rust-setup", "/dev/shm/x", "/home/dev/.x"] {
            let found = script(|u| u.exec(ProgramFile::Script, &[path], &[]));
            assert_eq!(codes(&found), ["exec-dropped-file"], "{path}");
        }
        let found = script(|u| u.exec(ProgramFile::Elf, &["/bin/sh", "/tmp/x.sh"], &[]));
        assert_eq!(codes(&found), ["exec-dropped-file"]);
    }

    #[test]
    fn the_first_start_counts_like_any_other_but_for_a_start_of_itself() {
        let other = "/home/dev/orders-service/target/debug/build/other-0011223344556677/out/tool";
        assert_eq!(codes(&script(|u| u.exec(ProgramFile::Elf, &[other], &[]))), ["exec-dropped-file"]);
        let shim = "/run/sandbox-check/shim";
        assert_eq!(codes(&script(|u| u.exec(ProgramFile::Elf, &[shim], &[]))), ["unexpected-exec"]);
        assert!(script(|u| u.exec(ProgramFile::Elf, &[SCRIPT], &[])).is_empty());
        assert!(script(|u| u.by("/usr/bin/dash").exec(ProgramFile::Elf, &[SCRIPT], &[SCRIPT])).is_empty());
    }

    #[test]
    fn what_could_not_be_written_and_so_is_not_there_counts_as_well() {
        for path in ["/tmp/rust-setup", "/dev/shm/x", "/root/x", "/run/x", "/srv/x"] {
            let found = script(|u| u.write(path).denied(13).exec(ProgramFile::Absent, &[path], &[]));
            assert_eq!(codes(&found), ["exec-dropped-file", "write-outside"], "{path}");
        }
    }

    #[test]
    fn what_was_captured_beside_the_program_counts_by_where_it_lay() {
        let found = script(|u| u.run(&["/bin/sh", "x.sh"]).captured(Captured::Script, "/tmp/x.sh", b"x"));
        assert!(found.contains(&"exec-dropped-file high /tmp/x.sh".to_owned()), "{found:?}");
        let found =
            script(|u| u.run(&["/bin/sh", "/proc/self/fd/5"]).captured(Captured::Script, "/memfd:x (deleted)", b"x"));
        assert!(found.contains(&"exec-dropped-file high /memfd:x (deleted)".to_owned()), "{found:?}");
        let (named, program) = (format!("{OUT}/named"), format!("{OUT}/program"));
        let found = script(|u| {
            u.write(program.as_str()).exec(ProgramFile::Script, &[&named], &[]).captured(
                Captured::Program,
                &program,
                b"x",
            )
        });
        assert_eq!(found, [format!("exec-dropped-file high {program}").replace("/home/dev", "~")]);
        let found = script(|u| u.exec(ProgramFile::Script, &[&named], &[]).captured(Captured::Script, &named, b"x"));
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn machine_code_in_out_dir_that_the_script_wrote_itself_is_dropped() {
        let payload = format!("{OUT}/payload");
        let found = script(|u| u.write(payload.as_str()).run(&[payload.as_str()]));
        assert_eq!(codes(&found), ["exec-dropped-file"]);
    }

    #[test]
    fn ones_own_folder_for_temporary_files_is_no_out_dir() {
        let (script_file, test) = ("/tmp/u/setup.sh", "/tmp/u/conftest");
        let found = script(|u| u.write(script_file).exec(ProgramFile::Script, &[script_file], &[]));
        assert_eq!(codes(&found), ["exec-dropped-file"]);
        let found = script(|u| u.write(script_file).run(&["/bin/sh", script_file]));
        assert_eq!(codes(&found), ["exec-dropped-file"]);
        let linker = "/usr/bin/x86_64-linux-gnu-ld.bfd";
        assert!(script(|u| u.by(linker).write(test).by(SCRIPT).run(&[test])).is_empty());
        let configure = format!("{SOURCE}/configure");
        let found = script(|u| {
            u.run(&["/bin/sh", &configure]).by("/usr/bin/dash").write(script_file).exec(
                ProgramFile::Script,
                &[script_file],
                &[SCRIPT],
            )
        });
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_way_through_proc_hides_no_program() {
        for file in [ProgramFile::Unknown, ProgramFile::Absent] {
            let found = script(|u| u.exec(file, &["/proc/self/cwd/payload"], &[]));
            assert_eq!(codes(&found), ["exec-dropped-file"]);
        }
        assert!(script(|u| u.exec(ProgramFile::Unknown, &["/proc/self/exe"], &[])).is_empty());
    }

    #[test]
    fn the_dynamic_linker_does_not_wash_a_program() {
        let (loader, payload) = ("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", format!("{OUT}/payload"));
        let found = script(|u| u.write(payload.as_str()).run(&[loader, &payload]));
        assert_eq!(codes(&found), ["exec-dropped-file"]);
        assert!(script(|u| u.run(&["/usr/bin/ldd", SCRIPT]).run(&[loader, SCRIPT])).is_empty());
    }

    #[test]
    fn a_folder_that_once_had_the_programs_name_does_not_make_it_dropped() {
        let test = format!("{OUT}/conftest");
        let linker = "/usr/bin/x86_64-linux-gnu-ld.bfd";
        let found = script(|u| {
            u.by(linker).write(test.as_str()).by("/usr/bin/mkdir").mkdir(&test).by(SCRIPT).run(&[test.as_str()])
        });
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_rename_does_not_wash_it() {
        let (a, b) = (format!("{OUT}/a"), format!("{OUT}/b"));
        let found = script(|u| u.write(a.as_str()).link("rename", &a, &b).run(&[b.as_str()]));
        assert_eq!(codes(&found), ["exec-dropped-file"]);
    }

    #[test]
    fn an_exchange_of_two_names_does_not_wash_it() {
        let (payload, test) = (format!("{OUT}/payload"), format!("{OUT}/conftest"));
        for (from, to) in [(&payload, &test), (&test, &payload)] {
            let found = script(|u| {
                let u =
                    u.by("/usr/bin/x86_64-linux-gnu-ld.bfd").write(test.as_str()).by(SCRIPT).write(payload.as_str());
                u.link("renameat2", from, to).exchanges().run(&[test.as_str()])
            });
            assert_eq!(codes(&found), ["exec-dropped-file"], "{from}");
        }
    }

    #[test]
    fn a_compiled_file_that_was_replaced_and_a_file_planted_in_the_source_are_dropped() {
        let (test, tool) = (format!("{OUT}/conftest"), format!("{SOURCE}/tools/gen"));
        let found = script(|u| {
            u.by("/usr/bin/x86_64-linux-gnu-ld.bfd")
                .write(test.as_str())
                .by(SCRIPT)
                .write(test.as_str())
                .run(&[test.as_str()])
        });
        assert_eq!(codes(&found), ["exec-dropped-file"]);
        let found = script(|u| u.write(tool.as_str()).run(&[tool.as_str()]));
        assert_eq!(codes(&found), ["exec-dropped-file", "source-write"]);
    }

    #[test]
    fn what_a_linker_made_may_run_also_under_another_name() {
        let (a, b) = (format!("{OUT}/conftest.tmp"), format!("{OUT}/conftest"));
        assert!(
            script(|u| {
                u.by("/usr/bin/x86_64-linux-gnu-ld.bfd")
                    .write(a.as_str())
                    .by(SCRIPT)
                    .link("rename", &a, &b)
                    .run(&[b.as_str()])
            })
            .is_empty()
        );
    }

    #[test]
    fn what_make_install_copied_may_run() {
        let tool = format!("{OUT}/bin/protoc");
        assert!(
            script(|u| {
                u.run(&["/usr/bin/make", "install"])
                    .by("/usr/bin/install")
                    .write(tool.as_str())
                    .by(SCRIPT)
                    .run(&[tool.as_str()])
            })
            .is_empty()
        );
    }

    #[test]
    fn scripts_in_out_dir_and_files_of_the_archive_may_run() {
        let (status, shipped) = (format!("{OUT}/config.status"), format!("{SOURCE}/tools/gen"));
        assert!(
            script(|u| u
                .write(status.as_str())
                .exec(ProgramFile::Script, &[status.as_str()], &[])
                .run(&[shipped.as_str()]))
            .is_empty()
        );
    }

    #[test]
    fn a_name_that_path_led_to_and_that_is_not_there_is_nothing() {
        assert!(script(|u| u.exec(ProgramFile::Absent, &["/home/dev/.cargo/bin/cc"], &[])).is_empty());
        assert!(script(|u| u.exec(ProgramFile::Unknown, &["/home/dev/.cargo/bin/cc"], &[])).is_empty());
    }
}
