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
        let says = format!("{} tried to make the call {syscall} by a foreign table", actor(tried));
        let draft = Draft::new(cx, tried, CODE.name, Severity::High)
            .map(|draft| draft.about(syscall, json!({"call": syscall})).says(says).attack(CODE.attack));
        push(out, draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Kind;
    use crate::judge::codes::testing::script;

    #[test]
    fn a_32_bit_call_is_a_finding_and_an_ordinary_one_is_not() {
        assert_eq!(script(|u| u.operation(Kind::AbiForeign, "#20", &[])), ["foreign-abi high #20"]);
        assert!(script(|u| u.open("/etc/hosts")).is_empty());
    }
}
