//! `credential-read`: a key, a token or a wallet was opened.

use super::{Code, push};
use crate::evidence::line::{DecoyClass, Kind, Object};
use crate::judge::access::{has_flag, is_own_read, read_path};
use crate::judge::context::{Context, Tried, Who};
use crate::judge::finding::{Draft, actor, short};
use crate::judge::paths::file_name;
use crate::policy::{Role, SecretRule, Severity};

pub(crate) const CODE: Code = Code {
    name: "credential-read",
    severity: "high",
    attack: &["T1552.001"],
    meaning: "Code that runs at build time opened a key, a token, a wallet, a browser profile or the shell's history. \
              In the sandbox these are decoys; on a real machine they would have been the user's own.",
    honest: "None that we know: cargo itself reads its token, but not below a build script or a macro.",
    action: "Do not build this package outside a sandbox. If it was built already, replace the keys that it asked for.",
    rule,
};

/// `ENOENT`.
const NOTHING_THERE: i32 = 2;

/// Something secret that an attempt would open.
pub(super) struct Secret<'t, 'a> {
    pub(super) path: &'t [u8],
    /// None for a decoy that the policy does not list.
    pub(super) rule: Option<&'a SecretRule>,
    /// True for the folder of secrets and not one of them.
    pub(super) is_folder: bool,
}

/// True for a rename, which takes along all that lies below.
fn takes_along(tried: &Tried<'_>) -> bool {
    tried.attempt.kind == Kind::FsLink && tried.is_rename()
}

/// What an attempt would open, if that is a secret.
pub(super) fn secret<'t, 'a>(cx: &Context<'a>, tried: &'t Tried<'_>) -> Option<Secret<'t, 'a>> {
    let path = read_path(tried).or_else(|| aim(tried))?;
    // An exchange brings each of the two to the other's name.
    let other = || tried.is_exchange().then(|| secret_at(cx, tried, &tried.path)).flatten();
    secret_at(cx, tried, path).or_else(other)
}

/// The secret at a path, if it is somebody else's business.
pub(super) fn secret_at<'t, 'a>(cx: &Context<'a>, tried: &'t Tried<'_>, path: &'t [u8]) -> Option<Secret<'t, 'a>> {
    let below = || takes_along(tried).then(|| cx.policy.secret_below(path)).flatten().map(|rule| (rule, false));
    let listed = cx.policy.secret(path).or_else(below);
    let is_decoy = cx.decoy(path) == Some(DecoyClass::Credential);
    if (listed.is_none() && !is_decoy) || is_own_read(cx, tried, path) {
        return None;
    }
    let (rule, is_folder) = listed.map_or((None, false), |(rule, is_folder)| (Some(rule), is_folder));
    if tried.role() == Some(Role::Cargo) && rule.is_some_and(|rule| rule.class == "cargo") {
        return None;
    }
    if is_tool_of(cx, tried, path) {
        return None;
    }
    let is_listed = (is_folder && !takes_along(tried)) || has_flag(tried, "O_DIRECTORY");
    Some(Secret { path, rule, is_folder: is_listed && !is_decoy })
}

/// True for the program whose settings the policy says that this is: it opens them on its own account.
pub(super) fn is_tool_of(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> bool {
    let name = file_name(&tried.attempt.exe.0);
    tried.who != Who::Subject
        && cx.policy.config(path).is_some_and(|rule| rule.tools.iter().any(|tool| tool.matches(name)))
}

/// What a symbolic link would lead to: it is made to be opened under the new name.
fn aim<'t>(tried: &'t Tried<'_>) -> Option<&'t [u8]> {
    let Object::Paths { from, .. } = &tried.attempt.object else { return None };
    let is_link = tried.attempt.syscall.starts_with("symlink") && !from.path.0.is_empty();
    (is_link && !tried.from.is_empty()).then_some(&tried.from)
}

/// What the call does to the secret.
fn verb(tried: &Tried<'_>) -> &'static str {
    match tried.attempt.kind {
        Kind::FsLink if tried.is_rename() => "move",
        Kind::FsLink => "make a link to",
        _ => "open",
    }
}

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        let Some(secret) = secret(cx, tried).filter(|s| !s.is_folder) else { continue };
        let (class, attack) = secret.rule.map_or(("decoy", "T1552.001"), |r| (r.class.as_str(), r.attack.as_str()));
        let draft = Draft::new(cx, tried, CODE.name, Severity::High).map(|mut draft| {
            draft.is_faint = tried.attempt.errno == Some(NOTHING_THERE);
            draft
                .at(cx, secret.path)
                .with("class", class.into())
                .says(format!("{} tried to {} {}", actor(tried), verb(tried), short(cx, secret.path)))
                .attack(&[attack])
        });
        push(out, draft);
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Kind, UnitKind};
    use crate::evidence::testing::{HOME, LogBuilder, OUT, SOURCE, TOOLCHAIN};
    use crate::judge::codes::testing::{found, script};

    const KEY: &str = "/home/dev/.ssh/id_ed25519";

    #[test]
    fn an_exchange_brings_a_key_to_either_name() {
        let own = format!("{OUT}/k");
        let elsewhere = format!("{HOME}/mine");
        for (from, to) in [(own.as_str(), KEY), (KEY, own.as_str()), (elsewhere.as_str(), KEY)] {
            let found = script(|u| u.link("renameat2", from, to).exchanges());
            assert_eq!(found[0], "credential-read high ~/.ssh/id_ed25519", "{from}");
        }
    }

    #[test]
    fn a_password_file_of_git_is_its_own_to_open_and_nobody_elses() {
        let netrc = |exe: &str| script(|u| u.by(exe).open("/home/dev/.netrc"));
        assert_eq!(netrc("/usr/lib/git-core/git-remote-http"), ["config-read low ~/.netrc"]);
        let own = format!("{OUT}/git-remote-http");
        for exe in ["/usr/bin/git", "/usr/bin/curl", "/usr/bin/cat", own.as_str()] {
            assert_eq!(netrc(exe), ["credential-read high ~/.netrc"], "{exe}");
        }
    }

    #[test]
    fn opening_a_key_is_a_finding_whoever_opens_it() {
        let expected = ["credential-read high ~/.ssh/id_ed25519"];
        assert_eq!(script(|u| u.open(KEY)), expected);
        assert_eq!(script(|u| u.open(format!("{OUT}/../../../../../../.ssh/id_ed25519").as_str())), expected);
        assert_eq!(script(|u| u.by("/usr/bin/cat").open(KEY)), expected);
        let log = LogBuilder::new().proc_macro(&["D"]).rustc(UnitKind::CompileConsumer, |u| u.open(KEY)).log();
        assert!(found(&log).contains(&expected[0].to_owned()));
    }

    #[test]
    fn a_second_name_for_a_key_is_as_good_as_reading_it() {
        let copy = format!("{OUT}/copy");
        for call in ["linkat", "symlink", "renameat2"] {
            assert_eq!(script(|u| u.link(call, KEY, &copy)), ["credential-read high ~/.ssh/id_ed25519"], "{call}");
        }
    }

    #[test]
    fn keys_of_others_are_keys() {
        let found = script(|u| u.open("/root/.aws/credentials").open("/home/me/.netrc").open("/root/notes"));
        assert_eq!(found, ["credential-read high /root/.aws/credentials", "credential-read high /home/me/.netrc"]);
    }

    #[test]
    fn who_moves_a_folder_moves_the_secrets_in_it() {
        for folder in [".ssh", ".config", ".local/share", ".mozilla/firefox"] {
            let found = script(|u| u.link("rename", &format!("{HOME}/{folder}"), &format!("{HOME}/x")));
            assert!(found.contains(&format!("credential-read high ~/{folder}")), "{folder} {found:?}");
        }
        let found = script(|u| u.link("rename", &format!("{HOME}/Documents"), &format!("{HOME}/x")));
        assert!(!found.iter().any(|f| f.starts_with("credential")), "{found:?}");
    }

    #[test]
    fn a_descriptor_without_rights_is_a_way_to_the_bytes_and_one_of_a_folder_is_not() {
        let open = |path: &str, flags: &[&str]| script(|u| u.path(Kind::FsOpen, "openat", path, flags));
        assert_eq!(open(KEY, &["O_PATH", "O_CLOEXEC"]), ["credential-read high ~/.ssh/id_ed25519"]);
        assert!(open(&format!("{HOME}/.ssh"), &["O_PATH", "O_DIRECTORY"]).is_empty());
    }

    #[test]
    fn a_decoy_counts_also_where_no_list_names_it() {
        let wallet = format!("{HOME}/coins.dat");
        let log = LogBuilder::new()
            .header(|h| {
                h.layout.decoys.push(crate::evidence::line::DecoyPath {
                    path: wallet.clone(),
                    class: crate::evidence::line::DecoyClass::Credential,
                });
            })
            .build_script("u", |u| u.open(wallet.as_str()))
            .log();
        assert_eq!(found(&log), ["credential-read high ~/coins.dat"]);
    }

    #[test]
    fn a_nested_cargo_may_read_its_own_token_and_a_crate_its_own_files() {
        let own = format!("{SOURCE}/.ssh/id_ed25519");
        assert!(
            script(|u| {
                u.open(own.as_str())
                    .open("/home/dev/notes.txt")
                    .by(&format!("{TOOLCHAIN}/bin/cargo"))
                    .open("/home/dev/.cargo/credentials.toml")
            })
            .is_empty()
        );
    }
}
