//! `credential-probe`: the folder of secrets was opened.

use super::credential_read::secret;
use super::{Code, push};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "credential-probe",
    severity: "low; .ssh, .gnupg and wallets medium",
    attack: &["T1083"],
    meaning: "Code that runs at build time opened a folder that holds secrets, to see what is there.",
    honest: "Programs that walk over the whole home directory; rarely a build.",
    action: "Look at what the same unit opened next.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some(secret) = secret(cx, tried).filter(|s| s.is_folder) else { continue };
        let severity = secret.rule.map_or(Severity::Low, |rule| rule.probe);
        let draft = Draft::new(cx, tried, CODE.name, severity).map(|draft| {
            draft
                .at(cx, secret.path)
                .says(format!("{} tried to list {}", actor(tried), short(cx, secret.path)))
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::codes::testing::script;

    #[test]
    fn listing_a_folder_of_secrets_is_a_probe() {
        assert_eq!(script(|u| u.list("/home/dev/.ssh")), ["credential-probe medium ~/.ssh"]);
        assert_eq!(script(|u| u.list("/home/dev/.aws")), ["credential-probe low ~/.aws"]);
    }

    #[test]
    fn listing_another_folder_is_not() {
        assert!(script(|u| u.list("/home/dev/.local/lib")).is_empty());
    }
}
