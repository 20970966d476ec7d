//! `fileless-exec`: a program without a file was to run.

use serde_json::json;

use super::{Code, push};
use crate::evidence::Bytes;
use crate::judge::context::{Context, Tried, program};
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "fileless-exec",
    severity: "high",
    attack: &["T1620"],
    meaning: "Code that runs at build time tried to run a program from memory or from a file that has no name any \
              more, so that nothing remains to be looked at.",
    honest: "None that we know at build time.",
    action: "Treat the package as hostile until its authors explain it.",
    rule,
};

/// True for programs without a name in the file system.
pub(super) fn is_fileless(tried: &Tried<'_>) -> bool {
    let Some((object, ..)) = program(tried) else { return false };
    let (given, resolved) = (object.path.0.as_slice(), object.resolved.0.as_slice());
    let is_gone =
        resolved.starts_with(b"/memfd:") || resolved.starts_with(b"memfd:") || resolved.ends_with(b" (deleted)");
    let is_descriptor = given.is_empty()
        || given.starts_with(b"/dev/fd/")
        || (given.starts_with(b"/proc/") && given.windows(4).any(|w| w == b"/fd/"));
    // A descriptor of an ordinary file resolves to the file and is judged as that.
    is_gone
        || (is_descriptor && (resolved.is_empty() || resolved == given || resolved.windows(4).any(|w| w == b"/fd/")))
}

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| is_fileless(t) && !t.is_first) {
        let Some((object, argv, _)) = program(tried) else { continue };
        let subject = if object.resolved.0.is_empty() { object.path.clone() } else { object.resolved.clone() };
        let says = format!("{} tried to run a program without a file: {subject}", actor(tried));
        let shown: Vec<_> = argv.iter().take(16).cloned().collect();
        let draft = Draft::new(cx, tried, CODE.name, Severity::High).map(|draft| {
            draft.about(stable(&subject), json!({"program": subject, "argv": shown})).says(says).attack(CODE.attack)
        });
        push(out, draft);
    }
}

/// Descriptors and process numbers differ from run to run.
fn stable(subject: &Bytes) -> Bytes {
    if subject.0.starts_with(b"/proc/") || subject.0.is_empty() { "a descriptor".into() } else { subject.clone() }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Object, ProgramFile};
    use crate::judge::codes::testing::script;

    #[test]
    fn memory_and_deleted_files_are_findings() {
        for path in ["/memfd:x (deleted)", "/tmp/x (deleted)", "/proc/self/fd/5"] {
            let found = script(|u| u.exec(ProgramFile::Elf, &[path], &[]));
            assert!(found.len() == 1 && found[0].starts_with("fileless-exec high"), "{path} {found:?}");
        }
    }

    #[test]
    fn a_descriptor_of_an_ordinary_program_is_that_program() {
        let found = script(|u| {
            u.exec(ProgramFile::Elf, &["/proc/self/fd/5"], &[]).with(|a| {
                if let Object::Program { program, .. } = &mut a.object {
                    program.resolved = "/usr/bin/cc".into();
                }
            })
        });
        assert!(found.is_empty(), "{found:?}");
    }
}
