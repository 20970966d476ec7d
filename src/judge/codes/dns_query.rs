//! `dns-query`: a name was looked up.

use serde_json::json;

use super::{Code, push};
use crate::evidence::line::{Kind, Object};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "dns-query",
    severity: "medium; high together with a read of secrets, of the consumer, or with persistence",
    attack: &["T1071.004"],
    meaning: "Code that runs at build time asked a name server for a name. The sandbox has no network, so this is \
              all that can be seen of a download, an upload, or data sent inside the name itself.",
    honest: "Build scripts that fetch prebuilt libraries, sources or test data; macros that check a query against a \
             database or a schema on the web.",
    action: "Look whether the name belongs to the project and what would have been fetched. Prefer a feature or an \
             environment variable of the crate that builds without the download.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in cx.tried.iter().filter(|t| t.attempt.kind == Kind::DnsQuery) {
        let Object::Question { name, qtype, server } = &tried.attempt.object else { continue };
        if name.0.eq_ignore_ascii_case(b"localhost") {
            continue;
        }
        let object = json!({"host": name, "qtype": qtype, "server": server.ip});
        push(
            out,
            Draft::new(cx, tried, CODE.name, Severity::Medium).map(|draft| {
                draft
                    .about(name.clone(), object)
                    .says(format!("{} tried to look up the name {name}", actor(tried)))
                    .attack(CODE.attack)
                    .egress()
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::codes::testing::script;

    #[test]
    fn a_lookup_is_one_finding_for_each_name() {
        assert_eq!(
            script(|u| u.dns("a.invalid").dns("a.invalid").dns("b.invalid")),
            ["dns-query medium a.invalid", "dns-query medium b.invalid"]
        );
    }

    #[test]
    fn localhost_is_not_a_lookup() {
        assert!(script(|u| u.dns("localhost")).is_empty());
    }
}
