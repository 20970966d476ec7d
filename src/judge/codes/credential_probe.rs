//! `credential-probe`: the folder of secrets was opened.

use super::credential_read::{secret, secret_at};
use super::{Code, push};
use crate::evidence::line::Kind;
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "credential-probe",
    severity: "low; .ssh, .gnupg and wallets medium",
    attack: &["T1083"],
    meaning: "Code that runs at build time opened a folder that holds secrets, to see what is there. With `--trace probes` \
              also: it asked whether a secret is there (stat, access, readlink).",
    honest: "Programs that walk over the whole home directory; rarely a build.",
    action: "Look at what the same unit opened next.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let asks = tried.attempt.kind == Kind::FsProbe;
        let found = if asks { secret_at(cx, tried, &tried.path) } else { secret(cx, tried).filter(|s| s.is_folder) };
        let Some(secret) = found else { continue };
        let verb = if asks { "look for" } else { "list" };
        let severity = secret.rule.map_or(Severity::Low, |rule| rule.probe);
        let draft = Draft::new(cx, tried, CODE.name, severity).map(|draft| {
            draft
                .at(cx, secret.path)
                .says(format!("{} tried to {verb} {}", actor(tried), short(cx, secret.path)))
                .attack(CODE.attack)
        });
        push(out, draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::Kind;
    use crate::judge::codes::testing::script;

    #[test]
    fn listing_a_folder_of_secrets_is_a_probe() {
        assert_eq!(script(|u| u.list("/home/dev/.ssh")), ["credential-probe medium ~/.ssh"]);
        assert_eq!(script(|u| u.list("/home/dev/.aws")), ["credential-probe low ~/.aws"]);
    }

    #[test]
    fn a_question_about_a_secret_is_a_probe_and_no_read() {
        let asks = |path: &str| script(|u| u.path(Kind::FsProbe, "newfstatat", path, &[]));
        assert_eq!(asks("/home/dev/.ssh/id_ed25519"), ["credential-probe medium ~/.ssh/id_ed25519"]);
        assert_eq!(asks("/home/dev/.aws"), ["credential-probe low ~/.aws"]);
        assert!(asks("/home/dev/.local/lib").is_empty());
    }

    #[test]
    fn listing_another_folder_is_not() {
        assert!(script(|u| u.list("/home/dev/.local/lib")).is_empty());
    }
}
