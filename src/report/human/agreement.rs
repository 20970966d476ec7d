//! Where macros tried other things than elsewhere, for people.

use std::collections::BTreeMap;

use super::{Page, first_of, safe};
use crate::judge::{Agreement, Place};

impl Page {
    /// What the macros tried in some of the places where they ran and not in others.
    pub(super) fn differences(&mut self, agreement: &Agreement) {
        let mut by_places: BTreeMap<(&[Place], &[Place]), Vec<String>> = BTreeMap::new();
        for one in &agreement.differs {
            let what = format!("{} {}", one.code, safe(&one.subject));
            by_places.entry((&one.seen, &one.unseen)).or_default().push(what);
        }
        for ((seen, unseen), all) in by_places {
            self.paragraph(&format!("  {}, not {}: {}", named(seen), named(unseen), first_of(&all, 3)), 4);
        }
    }
}

fn named(places: &[Place]) -> String {
    let name = |place: &Place| match place {
        Place::Driven => "when driven",
        Place::Consumer => "in the consumer",
        Place::Dependents => "in packages that use it",
    };
    places.iter().map(name).collect::<Vec<_>>().join(" and ")
}
