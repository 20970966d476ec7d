//! `process-read`: the memory or environment of another process was opened.

use super::{Code, push};
use crate::evidence::Bytes;
use crate::evidence::line::{Kind, UnitKind};
use crate::judge::context::{Context, Tried, Who};
use crate::judge::finding::{Draft, actor};
use crate::policy::{Role, Severity};

pub(crate) const CODE: Code = Code {
    name: "process-read",
    severity: "high",
    attack: &["T1003.007"],
    meaning: "Code that runs at build time tried to open the environment, the memory or the descriptors of another \
              process through /proc, to read or to write. Tokens of the surrounding build live there.",
    honest: "None that we know; asking for one's own process is not this.",
    action: "Treat it as an attempt to take secrets from the shell or the CI runner that started the build.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some(what) = foreign(cx, tried) else { continue };
        let what = Bytes(what.to_vec());
        let path = tried.path.as_slice();
        let draft = Draft::new(cx, tried, CODE.name, Severity::High).map(|draft| {
            // The number differs from run to run, so it is no part of the subject.
            draft
                .about(format!("/proc/PID/{what}"), serde_json::json!({"path": Bytes::from(path)}))
                .says(format!("{} tried to open {what} of another process", actor(tried)))
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

/// What of another process would be opened, to read or to write.
pub(super) fn foreign<'t>(cx: &Context<'_>, tried: &'t Tried<'_>) -> Option<&'t [u8]> {
    let opens = matches!(tried.attempt.kind, Kind::FsOpen | Kind::FsWrite);
    let rest = opens.then(|| tried.path.strip_prefix(b"/proc/")).flatten()?;
    let mut names = rest.split(|&b| b == b'/');
    let pid: i32 = std::str::from_utf8(names.next()?).ok()?.parse().ok()?;
    let mut what = names.next()?;
    if what == b"task" {
        names.next()?;
        what = names.next()?;
    }
    let is_private = matches!(
        what,
        b"environ"
            | b"maps"
            | b"mem"
            | b"smaps"
            | b"smaps_rollup"
            | b"numa_maps"
            | b"pagemap"
            | b"map_files"
            | b"auxv"
            | b"stack"
            | b"syscall"
            | b"fd"
            | b"fdinfo"
            | b"root"
            | b"cwd"
    );
    // A process that says `/proc/self` arrives here so.
    let is_itself =
        pid == tried.attempt.pid || pid == tried.attempt.tid || (pid == OWN_NUMBER && is_program(cx, tried));
    (is_private && !is_itself).then_some(what)
}

/// The number of the unit's own program in the unit's PID namespace, after the init that is ours.
const OWN_NUMBER: i32 = 2;

/// True if the unit's own program made the call: the build script where cargo put it, or rustc.
fn is_program(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let exe = tried.attempt.exe.0.as_slice();
    match tried.unit.kind() {
        UnitKind::RunBuildScript => tried.who == Who::Subject && cx.in_target(exe) && !tried.unit.owns(exe),
        _ => tried.role() == Some(Role::Rustc),
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Object;
    use crate::evidence::testing::OUT;
    use crate::judge::codes::testing::script;

    #[test]
    fn the_environment_of_another_process_is_a_finding() {
        assert_eq!(script(|u| u.open("/proc/1/environ")), ["process-read high /proc/PID/environ"]);
        assert_eq!(script(|u| u.open("/proc/7/task/7/mem")), ["process-read high /proc/PID/mem"]);
    }

    #[test]
    fn memory_that_is_opened_for_writing_is_one_finding() {
        assert_eq!(script(|u| u.change("/proc/1/mem")), ["process-read high /proc/PID/mem"]);
    }

    #[test]
    fn the_units_program_may_call_itself_by_its_number_and_what_it_starts_may_not() {
        assert!(script(|u| u.open("/proc/2/maps")).is_empty());
        assert_eq!(script(|u| u.by("/usr/bin/cat").open("/proc/2/maps")), ["process-read high /proc/PID/maps"]);
        let tool = format!("{OUT}/tool");
        assert_eq!(script(|u| u.by(&tool).open("/proc/2/environ")), ["process-read high /proc/PID/environ"]);
    }

    #[test]
    fn the_way_through_ones_own_root_is_no_disguise() {
        let found = script(|u| {
            u.open("/proc/1/environ").with(|a| {
                if let Object::Path(object) = &mut a.object {
                    object.path = "/proc/self/root/proc/1/environ".into();
                }
            })
        });
        assert_eq!(found, ["process-read high /proc/PID/environ"]);
    }

    #[test]
    fn ones_own_process_is_nobodys_business() {
        assert!(
            script(|u| {
                u.open("/proc/self/maps")
                    .open("/proc/cpuinfo")
                    .open("/proc/meminfo")
                    .open("/proc/100/maps")
                    .open("/proc/55/maps")
                    .with(|a| {
                        if let Object::Path(object) = &mut a.object {
                            object.path = "/proc/self/maps".into();
                        }
                    })
            })
            .is_empty()
        );
    }
}
