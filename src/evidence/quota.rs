//! Which attempt gets a line of its own: the first of its kind, until a class has had its share.
//!
//! A class is a kind of calls of one unit on one sort of place, so that noise of one class cannot
//! crowd out another: a hundred thousand names in `/tmp` leave room for the one key. When a class's
//! quota is used up, an attempt that is new in its outline (another folder, address or program than
//! any before) still gets a line, from a reserve.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use super::line::{Address, Attempt, Kind, Object, PathObject};
use crate::ids::UnitId;

/// The sort of place that an attempt is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// No path, or one of no other sort.
    #[default]
    Plain,
    /// What the unit may write anyway.
    Own,
    /// The home and the consuming project.
    Home,
    /// `/proc`, `/sys`, `/dev`.
    Kernel,
    /// A decoy, or a folder on the way to one: there are as many as were planted.
    Planted,
}

/// Where an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A line of its own, once it is written.
    New(Ticket),
    /// Identical to the one of this number.
    Repeat(u64),
    /// Beyond the quota.
    Beyond,
}

/// The right to a line, for [`Quota::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    unit: UnitId,
    class: (Kind, Lane),
    identity: u64,
    outline: u64,
}

/// What was seen of each unit that lives.
#[derive(Debug)]
pub(super) struct Quota {
    most: u64,
    /// The hashes have keys of this run, so that nobody can make two attempts fall together.
    keys: RandomState,
    units: HashMap<UnitId, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Numbers of attempts by a hash of all that makes two identical.
    attempts: HashMap<u64, u64>,
    /// Hashes of outlines.
    outlines: HashSet<u64>,
    used: HashMap<(Kind, Lane), u64>,
}

impl Quota {
    /// `most` lines for each class, and a quarter more for new outlines.
    pub(super) fn new(most: u64) -> Self {
        Self { most, keys: RandomState::new(), units: HashMap::new() }
    }

    /// Decides about an attempt.
    pub(super) fn place(&self, attempt: &Attempt, lane: Lane) -> Place {
        let (identity, outline) = (self.identity(attempt), self.outline(attempt));
        let class = (attempt.kind, lane);
        let seen = self.units.get(&attempt.unit);
        if let Some(seq) = seen.and_then(|seen| seen.attempts.get(&identity)) {
            return Place::Repeat(*seq);
        }
        let used = seen.and_then(|seen| seen.used.get(&class)).copied().unwrap_or_default();
        let is_outline_known = seen.is_some_and(|seen| seen.outlines.contains(&outline));
        let most = if is_outline_known { self.most } else { self.most.saturating_add(self.most / 4) };
        if used >= most { Place::Beyond } else { Place::New(Ticket { unit: attempt.unit, class, identity, outline }) }
    }

    /// Notes that an attempt stands as the line of this number.
    pub(super) fn admit(&mut self, Ticket { unit, class, identity, outline }: Ticket, seq: u64) {
        let seen = self.units.entry(unit).or_default();
        *seen.used.entry(class).or_default() += 1;
        seen.attempts.insert(identity, seq);
        seen.outlines.insert(outline);
    }

    /// Lets go of what is only needed while a unit lives.
    pub(super) fn forget(&mut self, unit: UnitId) {
        self.units.remove(&unit);
    }

    /// Everything but when, by which process and in which registers.
    fn identity(&self, attempt: &Attempt) -> u64 {
        let mut hasher = self.keys.build_hasher();
        (attempt.kind, &attempt.syscall, &attempt.exe, attempt.errno, &attempt.lineage).hash(&mut hasher);
        attempt.library.hash(&mut hasher);
        (attempt.outcome, attempt.arg_state, &attempt.object).hash(&mut hasher);
        hasher.finish()
    }

    /// The kind of call and roughly its object: the folder of a path, an address without its port, a
    /// program without its arguments.
    fn outline(&self, attempt: &Attempt) -> u64 {
        fn folder(path: &PathObject) -> &[u8] {
            let path = path.resolved.0.as_slice();
            let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            path.get(..end).unwrap_or_default()
        }
        let mut hasher = self.keys.build_hasher();
        attempt.kind.hash(&mut hasher);
        match &attempt.object {
            Object::Path(path) => folder(path).hash(&mut hasher),
            Object::Paths { from, to } => (folder(from), folder(to)).hash(&mut hasher),
            Object::Program { program, .. } => program.resolved.hash(&mut hasher),
            Object::Address(Address { family, ip, path, .. })
            | Object::Message { to: Address { family, ip, path, .. }, .. } => (family, ip, path).hash(&mut hasher),
            Object::Socket { family, kind, protocol, .. } => (family, kind, protocol).hash(&mut hasher),
            Object::Signal { signal, recipient, .. } => (signal, recipient).hash(&mut hasher),
            Object::Operation { names, .. } => (&attempt.syscall, names).hash(&mut hasher),
            Object::Question { .. } | Object::None => attempt.syscall.hash(&mut hasher),
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::LogBuilder;
    use crate::evidence::testing::UnitBuilder;

    const MOST: u64 = 8;

    /// True for a line of its own, for each attempt of a unit, all in one lane.
    fn lines(lane: Lane, tell: impl FnOnce(UnitBuilder) -> UnitBuilder) -> Vec<bool> {
        let log = LogBuilder::new().build_script("u", tell).log();
        let mut quota = Quota::new(MOST);
        log.attempts().map(|attempt| goes_in(&mut quota, attempt, lane)).collect()
    }

    fn goes_in(quota: &mut Quota, attempt: &Attempt, lane: Lane) -> bool {
        let Place::New(ticket) = quota.place(attempt, lane) else { return false };
        quota.admit(ticket, attempt.seq);
        true
    }

    fn noise(mut u: UnitBuilder) -> UnitBuilder {
        for at in 0..100 {
            u = u.open(format!("/tmp/dull/{at}").as_str());
        }
        u
    }

    #[test]
    fn identical_attempts_are_one_line() {
        let log = LogBuilder::new().build_script("u", |u| u.open("/a").open("/b").open("/a")).log();
        let mut quota = Quota::new(MOST);
        let attempts: Vec<_> = log.attempts().collect();
        assert!(goes_in(&mut quota, attempts[0], Lane::Plain) && goes_in(&mut quota, attempts[1], Lane::Plain));
        assert_eq!(quota.place(attempts[2], Lane::Plain), Place::Repeat(attempts[0].seq));
    }

    #[test]
    fn noise_is_dropped_and_what_is_new_in_outline_still_has_a_line() {
        let found = lines(Lane::Plain, |u| noise(u).open("/etc/shadow").connect("127.0.0.1", 1));
        assert_eq!(found.iter().filter(|line| **line).count(), usize::try_from(MOST).unwrap() + 2);
        assert_eq!(found[100..], [true, true]);
    }

    #[test]
    fn ports_and_arguments_do_not_hide_another_address_or_program() {
        let found = lines(Lane::Plain, |mut u| {
            for at in 0..100 {
                u = u.connect("127.0.0.1", at).run(&["/usr/bin/true", &at.to_string()]);
            }
            u.connect("192.0.2.1", 80).run(&["/usr/bin/curl"])
        });
        assert_eq!(found[200..], [true, true]);
    }

    #[test]
    fn the_reserve_has_an_end() {
        let found = lines(Lane::Plain, |mut u| {
            for at in 0..100 {
                u = u.open(format!("/{at}/dull").as_str());
            }
            u
        });
        assert_eq!(found.iter().filter(|line| **line).count(), 10);
    }

    #[test]
    fn lanes_have_quotas_of_their_own() {
        let log = LogBuilder::new().build_script("u", |u| noise(u).open("/tmp/dull/key")).log();
        let mut quota = Quota::new(MOST);
        let attempts: Vec<_> = log.attempts().collect();
        for attempt in &attempts[..100] {
            goes_in(&mut quota, attempt, Lane::Plain);
        }
        assert_eq!(quota.place(attempts[100], Lane::Plain), Place::Beyond);
        assert!(goes_in(&mut quota, attempts[100], Lane::Planted));
    }
}
