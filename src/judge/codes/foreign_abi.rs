//! `foreign-abi`: a call by another architecture's table.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{ArgState, Kind};
use crate::judge::context::{Context, Tried, program};
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "foreign-abi",
    severity: "high",
    attack: &["T1106"],
    meaning: "Code that runs at build time made a call by the 32-bit or x32 table of the kernel. Watchers that only \
              know the ordinary table do not see such calls.",
    honest: "Running a 32-bit program, which a native build does not do. That `ldd` asks the machine's 32-bit dynamic \
             linker for its version is no finding.",
    action: "Treat the package as hostile until its authors explain it.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::AbiForeign && !loads_nothing(cx, t)) {
        let syscall = tried.attempt.syscall.as_str();
        let (table, number) = table(syscall);
        let subject = format!("{table} call {number}");
        let says = format!("{} tried to make call {number} of the kernel's {table} table", actor(tried));
        let draft = Draft::new(cx, tried, CODE.name, Severity::High)
            .map(|draft| draft.about(subject, json!({"call": syscall, "table": table})).says(says).attack(CODE.attack));
        push(out, draft);
    }
}

/// True for the system's dynamic linker that was told to load no program. `ldd` asks each one of the machine for its version,
/// and whether a file is one of its own, before it takes the first that can (ld.so(8)).
fn loads_nothing(cx: &Context<'_>, tried: &Tried<'_>) -> bool {
    let of = tried.attempt;
    if !cx.is_dynamic_linker(&of.exe.0) {
        return false;
    }
    let is_own = |start: &&Tried<'_>| {
        let one = start.attempt;
        one.kind == Kind::Exec && one.unit == of.unit && one.pid == of.pid && one.seq < of.seq && one.errno.is_none()
    };
    // The last one: a number may come back.
    let Some(start) = cx.tried.iter().rev().find(is_own) else { return false };
    let Some((linker, argv, _)) = program(start) else { return false };
    let argv: Vec<_> = argv.iter().map(|argument| argument.0.as_slice()).collect();
    let is_asked = matches!(argv[..], [_, b"--version"] | [_, b"--verify", _]);
    is_asked && start.attempt.arg_state != ArgState::Changed && linker.resolved == of.exe
}

/// Which table a call is of, and its number there, from how the call is recorded: `#NUMBER (architecture N)`.
fn table(syscall: &str) -> (&'static str, String) {
    const X32_BIT: u64 = 0x4000_0000;
    const I386: &str = "0x40000003";
    let (number, architecture) = syscall.split_once(" (architecture ").unwrap_or((syscall, ""));
    let number = number.trim_start_matches('#');
    match number.parse::<u64>() {
        Ok(x32) if architecture.is_empty() && x32 & X32_BIT != 0 => ("x32", (x32 & !X32_BIT).to_string()),
        _ if architecture.trim_end_matches(')') == I386 => ("32-bit", number.to_owned()),
        _ => ("foreign", number.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Kind;
    use crate::evidence::testing::SCRIPT;
    use crate::judge::codes::testing::script;

    #[test]
    fn a_call_by_another_table_is_a_finding_and_an_ordinary_one_is_not() {
        let foreign = |call: &str| script(|u| u.operation(Kind::AbiForeign, call, &[]));
        assert_eq!(foreign("#20 (architecture 0x40000003)"), ["foreign-abi high 32-bit call 20"]);
        assert_eq!(foreign("#1073741863"), ["foreign-abi high x32 call 39"]);
        assert_eq!(foreign("#7 (architecture 0x40000028)"), ["foreign-abi high foreign call 7"]);
        assert!(script(|u| u.open("/etc/hosts")).is_empty());
    }

    #[test]
    fn a_dynamic_linker_that_is_told_to_load_nothing_is_no_finding_and_one_that_loads_a_program_is() {
        const LINKER: &str = "/usr/lib32/ld-linux.so.2";
        let started = |argv: &[&str], exe: &str| {
            script(|u| {
                u.run(argv)
                    .operation(Kind::AbiForeign, "#45 (architecture 0x40000003)", &[])
                    .with(|a| a.exe = exe.into())
            })
        };
        assert!(started(&[LINKER, "--version"], LINKER).is_empty());
        assert!(started(&[LINKER, "--verify", SCRIPT], LINKER).is_empty());
        let is_found =
            |argv: &[&str], exe: &str| started(argv, exe).contains(&"foreign-abi high 32-bit call 45".to_owned());
        assert!(is_found(&[LINKER, SCRIPT], LINKER));
        assert!(is_found(&[LINKER, "--version", SCRIPT], LINKER));
        // Another program made the call, or the linker is nobody's.
        assert!(is_found(&[LINKER, "--version"], SCRIPT));
        assert!(is_found(&["/tmp/ld-linux.so.2", "--version"], "/tmp/ld-linux.so.2"));
        // The same process has started another program since.
        let since = script(|u| {
            let u = u.run(&[LINKER, "--version"]).run(&[LINKER, SCRIPT]);
            u.operation(Kind::AbiForeign, "#45 (architecture 0x40000003)", &[]).with(|a| a.exe = LINKER.into())
        });
        assert!(since.contains(&"foreign-abi high 32-bit call 45".to_owned()));
    }
}
