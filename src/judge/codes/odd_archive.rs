//! `odd-archive`: something about the archive that packing does not explain.

use super::{Code, release_change};
use crate::evidence::fact::ODD_ARCHIVE;
use crate::judge::context::Context;
use crate::judge::finding::Draft;

pub(crate) const CODE: Code = Code {
    name: ODD_ARCHIVE,
    severity: "medium where code that runs at build time is not that of the commit, or the manifest not the author's; low; \
               packed with uncommitted changes, or without a repository, info",
    attack: &["T1195.002"],
    meaning: "The archive has files that cargo leaves out when it packs, a Cargo.toml that cargo does not make of the \
              author's, or says of its commit what cannot be; or it was packed with changes that no commit has. With \
              --repository: the clone does not have the commit that the archive names, or has other files in it. What \
              nobody can see in the repository is in the archive.",
    honest: "Packages that other tools pack, authors who publish before they commit or let a pipeline write files and \
             version numbers first, sources that are generated and kept out of the repository, branches that were \
             rewritten after the release, and clones of a fork or a mirror.",
    action: "Compare the archive with the repository, first a build script and what it names. Ask the author where a \
             generated file comes from, and make it yourself.",
    rule,
};

fn rule(cx: &Context<'_>, out: &mut Vec<Draft>) {
    release_change::tell(cx, &CODE, out);
}

#[cfg(test)]
mod tests {
    use crate::evidence::fact::{Change, Fact};
    use crate::evidence::line::Line;
    use crate::evidence::testing::{LogBuilder, subject};
    use crate::judge::codes::testing::found;

    #[test]
    fn what_cargo_leaves_out_is_low_and_a_dirty_tree_info() {
        let of = |what: &str| {
            let change = Change { what: what.to_owned(), which: "x".to_owned(), since: None };
            let fact = Fact::new("odd-archive", &subject(), "x").with(&change);
            found(&LogBuilder::new().line(Line::Fact(fact)).log())
        };
        assert_eq!(of("nested-package"), ["odd-archive low nested-package x"]);
        assert_eq!(of("vcs-dirty"), ["odd-archive info vcs-dirty x"]);
        assert_eq!(of("no-repository"), ["odd-archive info no-repository x"]);
        assert_eq!(of("file-changed"), ["odd-archive low file-changed x"]);
    }

    #[test]
    fn code_that_runs_at_build_time_and_that_no_commit_has_is_medium() {
        let of = |what: &str| {
            let change = Change { what: what.to_owned(), which: "build.rs".to_owned(), since: None };
            let fact = Fact::new("odd-archive", &subject(), "x").with(&change);
            found(&LogBuilder::new().line(Line::Fact(fact)).log())
        };
        assert_eq!(of("build-code-changed"), ["odd-archive medium build-code-changed build.rs"]);
        assert_eq!(of("build-code-added"), ["odd-archive medium build-code-added build.rs"]);
        assert_eq!(of("file-added"), ["odd-archive low file-added build.rs"]);
    }
}
