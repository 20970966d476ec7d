//! `odd-archive`: something about the archive that packing does not explain.

use super::{Code, release_change};
use crate::evidence::fact::ODD_ARCHIVE;
use crate::judge::context::Context;
use crate::judge::finding::Draft;

pub(crate) const CODE: Code = Code {
    name: ODD_ARCHIVE,
    severity: "low; packed with uncommitted changes info",
    attack: &["T1195.002"],
    meaning: "The archive has files that cargo leaves out when it packs, or says of its commit what cargo does not write, \
              or was packed with changes that no commit has. What nobody can see in the repository is in the archive.",
    honest: "Packages that other tools pack, and authors who publish before they commit.",
    action: "Compare the archive with the repository.",
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
    }
}
