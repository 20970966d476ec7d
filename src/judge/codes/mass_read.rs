//! `mass-read`: a sweep over the home or the disk.

use super::Code;
use crate::judge::access::{is_own_read, read_path};
use crate::judge::context::{Context, Tried};
use crate::judge::finding::Draft;
use crate::judge::paths::is_below;
use crate::judge::sweep::Sweeps;
use crate::policy::{Role, Severity};

pub(crate) const CODE: Code = Code {
    name: "mass-read",
    severity: "medium",
    attack: &["T1083", "T1119"],
    meaning: "One unit opened so many different files or folders of the user that it looks like a search.",
    honest: "Tools that look for an installation in many places; they stay in system folders, which do not count.",
    action: "Look at the list of paths in the evidence, and whether anything was to be sent.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    let mut sweeps = Sweeps::default();
    for tried in &cx.tried {
        let Some(path) = read_path(tried) else { continue };
        if !matches!(tried.role(), Some(Role::Git | Role::Cargo)) && is_private(cx, tried, path) {
            sweeps.add(tried, path);
        }
    }
    for (many, draft) in sweeps.drafts(cx, cx.policy.sweeps().reads, CODE.name, Severity::Medium) {
        let object = draft.object.clone();
        out.push(
            draft
                .about("files of the user", object)
                .says(format!("the unit tried to open {many} different files and folders of the user"))
                .attack(CODE.attack),
        );
    }
}

/// True for what belongs to the user and to no build.
fn is_private(cx: &Context<'_>, tried: &Tried<'_>, path: &[u8]) -> bool {
    let is_build = cx.in_target(path) || cx.in_sources(path) || cx.in_tmp(path) || is_own_read(cx, tried, path);
    let is_users = cx.in_home(path)
        || cx.in_consumer(path)
        || [&b"/home"[..], b"/root", b"/mnt", b"/media", b"/srv", b"/var"].iter().any(|root| is_below(path, root));
    is_users && !is_build && !cx.policy.is_system(path)
}

#[cfg(test)]
mod tests {
    use crate::evidence::testing::{REGISTRY, SOURCE};
    use crate::judge::codes::testing::script;

    #[test]
    fn a_search_through_the_home_is_a_sweep() {
        let found = script(|mut u| {
            for i in 0..24 {
                u = u.open(format!("/home/dev/documents/{i}.txt").as_str());
            }
            u
        });
        assert_eq!(found, ["mass-read medium files of the user"]);
    }

    #[test]
    fn a_search_through_headers_and_sources_is_a_build() {
        assert!(
            script(|mut u| {
                for i in 0..500 {
                    u = u
                        .open(format!("{SOURCE}/c/{i}.h").as_str())
                        .by("/usr/libexec/gcc/x86_64-linux-gnu/13/cc1")
                        .open(format!("/usr/include/{i}.h").as_str())
                        .open(format!("{REGISTRY}/other-1.0.0/include/{i}.h").as_str());
                }
                u
            })
            .is_empty()
        );
    }

    #[test]
    fn the_same_file_many_times_is_no_sweep() {
        assert!(
            script(|mut u| {
                for _ in 0..100 {
                    u = u.open("/home/dev/notes.txt");
                }
                u
            })
            .is_empty()
        );
    }
}
