//! `foreign-abi`: a call by another architecture's table.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::Kind;
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "foreign-abi",
    severity: "high",
    attack: &["T1106"],
    meaning: "Code that runs at build time made a call by the 32-bit or x32 table of the kernel. Watchers that only \
              know the ordinary table do not see such calls.",
    honest: "Running a 32-bit program, which a native build does not do.",
    action: "Treat the package as hostile until its authors explain it.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::AbiForeign) {
        let syscall = tried.attempt.syscall.as_str();
        let (table, number) = table(syscall);
        let subject = format!("{table} call {number}");
        let says = format!("{} tried to make call {number} of the kernel's {table} table", actor(tried));
        let draft = Draft::new(cx, tried, CODE.name, Severity::High)
            .map(|draft| draft.about(subject, json!({"call": syscall, "table": table})).says(says).attack(CODE.attack));
        push(out, draft);
    }
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
    use crate::judge::codes::testing::script;

    #[test]
    fn a_call_by_another_table_is_a_finding_and_an_ordinary_one_is_not() {
        let foreign = |call: &str| script(|u| u.operation(Kind::AbiForeign, call, &[]));
        assert_eq!(foreign("#20 (architecture 0x40000003)"), ["foreign-abi high 32-bit call 20"]);
        assert_eq!(foreign("#1073741863"), ["foreign-abi high x32 call 39"]);
        assert_eq!(foreign("#7 (architecture 0x40000028)"), ["foreign-abi high foreign call 7"]);
        assert!(script(|u| u.open("/etc/hosts")).is_empty());
    }
}
