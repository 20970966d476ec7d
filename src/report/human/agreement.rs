//! Where macros tried other things than elsewhere, for people.

use std::collections::BTreeMap;

use super::{Page, safe};
use crate::judge::{Agreement, Place};

impl Page {
    /// What the macros tried in some of the places where they ran and not in others.
    pub(super) fn differences(&mut self, agreement: &Agreement) {
        const SHOWN: usize = 3;
        let mut by_places: BTreeMap<(&[Place], &[Place]), Vec<String>> = BTreeMap::new();
        for one in &agreement.differs {
            let what = format!("{} {}", one.code, safe(&one.subject));
            by_places.entry((&one.seen, &one.unseen)).or_default().push(what);
        }
        for ((seen, unseen), all) in by_places {
            let rest = all.len().checked_sub(SHOWN).filter(|rest| *rest > 0);
            let rest = rest.map(|rest| format!("; and {rest} more")).unwrap_or_default();
            let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            self.paragraph(&format!("  {}, not {}: {shown}{rest}", named(seen), named(unseen)), 4);
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
