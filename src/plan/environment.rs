//! The variables that a developer's machine or a runner would have, with fresh tokens.
//!
//! Left out on purpose: everything that decides how something is built (`CC`,
//! `CFLAGS`, `RUSTFLAGS`, `RUSTC*`, `CARGO_BUILD_*`, `PKG_CONFIG*`, `DOCS_RS`)
//! and `DATABASE_URL`, which makes honest macros connect to a database. `HOME`,
//! `PATH`, `TMPDIR` and what cargo needs are the sandbox's to set. One forge
//! only, since a machine that is two runners at once would give us away; the
//! variables of another can be given with `--env`.

use super::decoy::{aws_pair, cargo_token, github_token, npm_token};
use super::persona::Persona;
use super::random::Random;

/// Names and values, no name twice.
pub fn environment(home: &str, persona: &Persona, random: &mut Random) -> Vec<(String, String)> {
    let (aws_id, aws_secret) = aws_pair(random);
    let (user, firm, domain) = (&persona.user, &persona.firm, &persona.domain);
    [
        // The developer.
        ("USER", user.clone()),
        ("LOGNAME", user.clone()),
        ("SHELL", "/bin/bash".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("TERM", "xterm-256color".to_owned()),
        ("EDITOR", "vim".to_owned()),
        ("PAGER", "less".to_owned()),
        ("HOSTNAME", persona.machine.clone()),
        ("SSH_AUTH_SOCK", format!("/tmp/ssh-{}/agent.{}", random.alphanumeric(12), 1_000 + random.below(30_000))),
        ("KUBECONFIG", format!("{home}/.kube/config")),
        ("VAULT_ADDR", format!("https://vault.{domain}")),
        // The runner.
        ("CI", "true".to_owned()),
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_WORKFLOW", "release".to_owned()),
        ("GITHUB_JOB", "build".to_owned()),
        ("GITHUB_ACTOR", user.clone()),
        ("GITHUB_REPOSITORY", format!("{firm}/orders-service")),
        ("GITHUB_REPOSITORY_OWNER", firm.clone()),
        ("GITHUB_EVENT_NAME", "push".to_owned()),
        ("GITHUB_REF", "refs/heads/main".to_owned()),
        ("GITHUB_REF_NAME", "main".to_owned()),
        ("GITHUB_SHA", random.hex(40)),
        ("GITHUB_RUN_ID", random.digits(11)),
        ("GITHUB_RUN_NUMBER", random.digits(4)),
        ("RUNNER_OS", "Linux".to_owned()),
        ("RUNNER_ARCH", "X64".to_owned()),
        ("RUNNER_NAME", persona.machine.clone()),
        // What both keep there and should not.
        ("GITHUB_TOKEN", github_token(random)),
        ("CARGO_REGISTRY_TOKEN", cargo_token(random)),
        ("NPM_TOKEN", npm_token(random)),
        ("AWS_ACCESS_KEY_ID", aws_id),
        ("AWS_SECRET_ACCESS_KEY", aws_secret),
        ("AWS_DEFAULT_REGION", "eu-central-1".to_owned()),
        ("VAULT_TOKEN", format!("hvs.{}", random.alphanumeric(90))),
        ("OPENAI_API_KEY", format!("sk-proj-{}", random.alphanumeric(140))),
        ("SENTRY_AUTH_TOKEN", format!("sntrys_{}", random.alphanumeric(100))),
        ("ORDERS_SIGNING_KEY", random.hex(64)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sample(seed: u8) -> Vec<(String, String)> {
        let mut random = Random::from_seed([seed; 32]);
        let persona = Persona::new("/home/dev", 1_800_000_000, &mut random);
        environment("/home/dev", &persona, &mut random)
    }

    #[test]
    fn no_variable_decides_how_something_is_built() {
        let steering = ["CC", "CXX", "AR", "LD", "RUSTFLAGS", "DATABASE_URL", "DOCS_RS", "HOME", "PATH", "TMPDIR"];
        for (name, _) in sample(1) {
            assert!(!steering.contains(&name.as_str()), "{name}");
            for prefix in ["RUSTC", "PKG_CONFIG", "CARGO_BUILD", "CARGO_NET", "CARGO_TARGET", "LD_", "CMAKE", "GIT_"] {
                assert!(!name.starts_with(prefix), "{name}");
            }
            assert!(!name.ends_with("FLAGS"), "{name}");
        }
    }

    #[test]
    fn names_are_unique_and_tokens_fresh() {
        let (one, other) = (sample(1), sample(2));
        assert_eq!(one.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), one.len());
        for (mine, theirs) in one.iter().zip(&other) {
            let secret = ["TOKEN", "KEY", "SECRET"].iter().any(|word| mine.0.contains(word));
            assert!(!secret || mine.1 != theirs.1, "{} is the same in two runs", mine.0);
        }
    }
}
