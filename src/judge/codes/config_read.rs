//! `config-read`: settings of another program were opened.

use super::credential_read::{is_tool_of, secret};
use super::{Code, push};
use crate::evidence::line::DecoyClass;
use crate::judge::access::{is_own_read, read_path};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::{Draft, actor, short};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "config-read",
    severity: "low by the program whose settings they are, else medium",
    attack: &["T1552.001"],
    meaning: "Code that runs at build time opened the settings of git, npm, cargo or the like, or an .env file above \
              its own folder. They hold names, addresses and often tokens.",
    honest: "git and a nested cargo read their own; macros such as dotenv look for an .env file in every ancestor.",
    action: "If a build script or macro reads them itself, ask why it does not let the program do it.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some(path) = read_path(tried) else { continue };
        let listed = cx.policy.config(path);
        let is_decoy = cx.decoy(path) == Some(DecoyClass::Config);
        if (listed.is_none() && !is_decoy) || cx.in_consumer(path) || is_own_read(cx, tried, path) {
            continue;
        }
        // Settings among secrets are said once.
        if secret(cx, tried).is_some() {
            continue;
        }
        let is_own_tool = is_tool_of(cx, tried, path);
        let severity = if is_own_tool { Severity::Low } else { Severity::Medium };
        push(out, draft(cx, tried, path, severity));
    }
}

fn draft(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8], severity: Severity) -> Option<Draft> {
    let says = format!("{} tried to open {}", actor(tried), short(cx, path));
    Draft::new(cx, tried, CODE.name, severity).map(|draft| draft.at(cx, path).says(says).attack(CODE.attack))
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{DecoyClass, DecoyPath};
    use crate::evidence::testing::{LogBuilder, OUT, RUSTC, SOURCE};
    use crate::judge::codes::testing::{found, script};

    #[test]
    fn it_matters_who_reads() {
        assert_eq!(script(|u| u.by("/usr/bin/git").open("/home/dev/.gitconfig")), ["config-read low ~/.gitconfig"]);
        assert_eq!(script(|u| u.open("/home/dev/.gitconfig")), ["config-read medium ~/.gitconfig"]);
        let cargo = RUSTC.replace("rustc", "cargo");
        assert_eq!(script(|u| u.by(&cargo).open("/home/dev/.gitconfig")), ["config-read low ~/.gitconfig"]);
        let fake = format!("{OUT}/git");
        assert_eq!(script(|u| u.by(&fake).open("/home/dev/.gitconfig")), ["config-read medium ~/.gitconfig"]);
    }

    #[test]
    fn settings_among_secrets_are_said_once() {
        let log = LogBuilder::new()
            .header(|h| {
                h.layout.decoys.push(DecoyPath { path: "/home/dev/.aws/config".to_owned(), class: DecoyClass::Config });
            })
            .build_script("u", |u| u.open("/home/dev/.aws/config"))
            .log();
        assert_eq!(found(&log), ["credential-read high ~/.aws/config"]);
    }

    #[test]
    fn an_env_file_of_the_own_source_is_nothing_and_one_above_it_is_medium() {
        assert!(script(|u| u.open(format!("{SOURCE}/.env").as_str())).is_empty());
        assert_eq!(script(|u| u.open("/home/dev/.env")), ["config-read medium ~/.env"]);
    }
}
