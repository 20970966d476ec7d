//! `persistence-write`: something was to start later.

use super::{Code, push};
use crate::judge::access::{Zone, changes, verb, zone};
use crate::judge::context::Context;
use crate::judge::finding::{Draft, actor, short};
use crate::policy::Severity;

pub(crate) const CODE: Code = Code {
    name: "persistence-write",
    severity: "critical",
    attack: &["T1546"],
    meaning: "Code that runs at build time tried to write where something starts later by itself: shell start files, \
              cron, systemd, git hooks, cargo's settings, authorized keys, autostart. A rename, a link or a mount \
              onto such a place counts like a write.",
    honest: "None in a library. A few installers did it and were asked to stop.",
    action: "Do not build this package outside a sandbox. If it was built already, inspect the file that it named.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    for tried in &cx.tried {
        for change in changes(tried) {
            let Zone::Startup(class, attack) = zone(cx, tried, &change) else { continue };
            let draft = Draft::new(cx, tried, CODE.name, Severity::Critical).map(|draft| {
                draft
                    .at(cx, change.path)
                    .with("class", class.into())
                    .says(format!("{} tried to {} {}", actor(tried), verb(tried, &change), short(cx, change.path)))
                    .attack(&[attack])
            });
            push(out, draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::line::{Kind, Object, PathObject};
    use crate::evidence::testing::{CONSUMER, HOME, OUT};
    use crate::judge::codes::testing::script;

    #[test]
    fn a_write_a_rename_a_link_and_a_mount_count_alike() {
        let bashrc = "/home/dev/.bashrc";
        let new = format!("{OUT}/new");
        let expected = "persistence-write critical ~/.bashrc";
        assert_eq!(script(|u| u.change(bashrc)), [expected]);
        assert_eq!(script(|u| u.link("rename", &new, bashrc)), [expected]);
        assert_eq!(script(|u| u.link("symlinkat", &new, bashrc)), [expected]);
        let object = |p: &str| PathObject { path: p.into(), resolved: p.into(), ..PathObject::default() };
        let mount = Object::Paths { from: object(&new), to: object(bashrc) };
        assert!(script(|u| u.attempt(Kind::FsMount, "mount", mount)).contains(&expected.to_owned()));
    }

    #[test]
    fn who_writes_by_another_name_writes_the_file() {
        let (alias, second, own) = (format!("{HOME}/x"), format!("{HOME}/y"), format!("{OUT}/own"));
        let found = script(|u| {
            u.link("linkat", &format!("{HOME}/.profile"), &alias)
                .link("rename", &alias, &second)
                .change(second.as_str())
        });
        assert!(found.contains(&"persistence-write critical ~/.profile".to_owned()), "{found:?}");
        let found = script(|u| {
            u.link("link", &format!("{HOME}/.profile"), &alias)
                .remove(&alias)
                .link("link", &own, &alias)
                .write(alias.as_str())
        });
        assert!(!found.iter().any(|f| f.starts_with("persistence")), "{found:?}");
    }

    #[test]
    fn an_exchange_counts_at_both_of_its_names() {
        let (bashrc, new) = ("/home/dev/.bashrc", format!("{OUT}/new"));
        for (from, to) in [(bashrc, new.as_str()), (&new, bashrc)] {
            let found = script(|u| u.link("renameat2", from, to).exchanges());
            assert_eq!(found, ["persistence-write critical ~/.bashrc"], "{from}");
        }
    }

    #[test]
    fn hooks_and_cargo_settings_count_wherever_they_lie() {
        for path in [
            format!("{CONSUMER}/.git/hooks/post-checkout"),
            "/tmp/.cargo/config.toml".to_owned(),
            "/home/dev/.config/systemd/user/x.service".to_owned(),
            "/home/dev/.cargo/bin/cargo-hello".to_owned(),
            "/home/dev/.rustup/settings.toml".to_owned(),
            "/root/.bashrc".to_owned(),
            "/home/me/.config/autostart/x.desktop".to_owned(),
            "/usr/local/bin/git".to_owned(),
            "/etc/sudoers.d/x".to_owned(),
            "/home/dev/.local/lib/python3.12/site-packages/x.pth".to_owned(),
            format!("{CONSUMER}/rust-toolchain.toml"),
        ] {
            let found = script(|u| u.write(path.as_str()));
            assert!(found.len() == 1 && found[0].starts_with("persistence-write critical"), "{path} {found:?}");
        }
    }

    #[test]
    fn a_folder_that_comes_as_a_whole_brings_what_is_in_it() {
        let new = format!("{OUT}/new");
        for folder in [".config", ".local/share", ".ssh", "project/.git", "project/.cargo", "project/.github"] {
            for call in ["rename", "symlink"] {
                let found = script(|u| u.link(call, &new, &format!("{HOME}/{folder}")));
                assert_eq!(found, [format!("persistence-write critical ~/{folder}")], "{call}");
            }
        }
        let found = script(|u| u.link("symlink", &new, &format!("{HOME}/project")));
        assert_eq!(found, ["write-outside medium ~/project"]);
    }

    #[test]
    fn the_way_through_a_link_of_ones_own_leads_where_the_link_leads() {
        let (new, way, second) = (format!("{OUT}/new"), format!("{OUT}/way"), format!("{OUT}/second"));
        let found = script(|u| {
            u.link("symlink", HOME, &way)
                .link("rename", &way, &second)
                .link("rename", &new, &format!("{second}/.profile"))
                .link("symlink", &format!("{way}/.zshrc"), &format!("{OUT}/end"))
                .path(Kind::FsWrite, "truncate", format!("{OUT}/end").as_str(), &[])
        });
        assert_eq!(found, ["persistence-write critical ~/.profile", "persistence-write critical ~/.zshrc"]);
        let found = script(|u| {
            u.link("symlink", &format!("{OUT}/v1"), &way)
                .link("rename", &new, &format!("{way}/.profile"))
                .link("symlink", &second, &second)
                .mkdir(&format!("{second}/x"))
        });
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_file_without_a_name_is_told_by_its_folder() {
        let found = script(|u| {
            u.path(Kind::FsWrite, "openat", "/home/dev/.config/autostart/#138 (deleted)", &["O_WRONLY", "O_TMPFILE"])
        });
        assert_eq!(found, ["persistence-write critical ~/.config/autostart"]);
    }

    #[test]
    fn an_empty_folder_starts_nothing() {
        assert_eq!(script(|u| u.mkdir("/home/dev/.config/autostart")), ["write-outside medium ~/.config/autostart"]);
    }

    #[test]
    fn a_repository_that_git_makes_in_out_dir_is_its_own() {
        assert!(
            script(|u| {
                u.by("/usr/bin/git")
                    .mkdir(&format!("{OUT}/src/.git/hooks"))
                    .write(format!("{OUT}/src/.git/hooks/pre-commit.sample").as_str())
            })
            .is_empty()
        );
    }
}
