//! A policy with the places of one run put in.

use super::crates::{CrateRule, Known};
use super::file::{
    ConfigRule, DirectiveRule, ExceptionRule, FactLimits, HostRule, Policy, Role, SecretRule, SocketRule, StartupRule,
    Sweeps, WriteRule,
};
use super::pattern::{BoundPath, NamePattern, PathPattern, SuffixPattern};
use crate::evidence::line::{Layout, UnitKind};

/// Answers questions about the paths of one run.
#[derive(Debug)]
pub struct BoundPolicy<'p> {
    policy: &'p Policy,
    home: &'p [u8],
    systems: Vec<BoundPath>,
    given: &'p [String],
    writes: Vec<(Place<'p>, &'p WriteRule)>,
    secrets: Vec<(Place<'p>, &'p SecretRule)>,
    configs: Vec<(Place<'p>, &'p ConfigRule)>,
    startups: Vec<(Place<'p>, &'p StartupRule)>,
    hosts: Vec<(Place<'p>, &'p HostRule)>,
    sockets: Vec<(Place<'p>, &'p SocketRule)>,
}

/// The patterns of one rule.
#[derive(Debug)]
pub struct Place<'p> {
    paths: Vec<BoundPath>,
    below: Vec<BoundPath>,
    suffix: &'p [SuffixPattern],
}

impl<'p> Place<'p> {
    fn new(layout: &Layout, paths: &[PathPattern], below: &[PathPattern], suffix: &'p [SuffixPattern]) -> Self {
        let bind = |patterns: &[PathPattern]| patterns.iter().map(|p| p.bind(layout)).collect();
        Self { paths: bind(paths), below: bind(below), suffix }
    }

    fn matches(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|p| p.is(path))
            || self.below.iter().any(|p| p.contains(path))
            || self.suffix.iter().any(|p| p.ends(path))
    }

    /// True if one of these places lies below the folder.
    fn lies_below(&self, folder: &[u8]) -> bool {
        self.paths.iter().chain(&self.below).any(|p| p.lies_below(folder))
            || self.suffix.iter().any(|p| p.lies_below(folder))
    }
}

/// Who writes: the role of a program of the system, none for everything else.
pub type Writer = Option<Role>;

impl<'p> BoundPolicy<'p> {
    /// Puts the places of a run in.
    pub fn new(policy: &'p Policy, layout: &'p Layout) -> Self {
        Self {
            policy,
            home: layout.home.trim_end_matches('/').as_bytes(),
            systems: policy.systems.iter().flat_map(|r| &r.below).map(|p| p.bind(layout)).collect(),
            given: &layout.given,
            writes: policy.writes.iter().map(|r| (Place::new(layout, &r.paths, &r.below, &r.suffix), r)).collect(),
            secrets: policy.secrets.iter().map(|r| (Place::new(layout, &r.paths, &r.below, &[]), r)).collect(),
            configs: policy.configs.iter().map(|r| (Place::new(layout, &r.paths, &[], &r.suffix), r)).collect(),
            startups: policy.startups.iter().map(|r| (Place::new(layout, &r.paths, &r.below, &r.suffix), r)).collect(),
            hosts: policy.hosts.iter().map(|r| (Place::new(layout, &r.paths, &r.below, &[]), r)).collect(),
            sockets: policy.sockets.iter().map(|r| (Place::new(layout, &r.paths, &[], &r.suffix), r)).collect(),
        }
    }

    /// The same place in the home of the run, for a path in somebody else's: code need not ask for `HOME`.
    fn in_own_home(&self, path: &[u8]) -> Option<Vec<u8>> {
        let rest = match path.strip_prefix(b"/home/") {
            Some(below) => below.get(below.iter().position(|&b| b == b'/')?..)?,
            None => path.strip_prefix(b"/root").filter(|rest| rest.starts_with(b"/"))?,
        };
        let is_own = path.strip_prefix(self.home).is_some_and(|rest| rest.starts_with(b"/"));
        (!is_own && !self.home.is_empty()).then(|| [self.home, rest].concat())
    }

    /// When many become a sweep.
    pub fn sweeps(&self) -> Sweeps {
        self.policy.sweeps
    }

    /// When what is known of a release is worth a word.
    pub fn facts(&self) -> FactLimits {
        self.policy.facts
    }

    /// True for programs that nothing in the sandbox can have changed.
    pub fn is_system(&self, path: &[u8]) -> bool {
        self.systems.iter().any(|p| p.contains(path)) || self.given.iter().any(|g| is_below(path, g.as_bytes()))
    }

    /// What a program of this file name is for, and the units that may start it (all when empty).
    pub fn program_named(&self, name: &[u8]) -> Option<(Role, &'p [UnitKind])> {
        self.policy
            .programs
            .iter()
            .find(|rule| rule.names.iter().any(|n| n.get_ref().matches(name)))
            .map(|rule| (rule.role, rule.units.as_slice()))
    }

    /// What a program is for, if it is a known one in a folder of the system.
    pub fn role(&self, path: &[u8]) -> Option<Role> {
        self.is_system(path).then(|| self.program_named(file_name(path))).flatten().map(|(role, _)| role)
    }

    /// The rule that speaks of this write.
    pub fn write(&self, path: &[u8], writer: Writer) -> Option<&'p WriteRule> {
        self.writes
            .iter()
            .find(|(place, rule)| {
                (rule.roles.is_empty() || writer.is_some_and(|role| rule.roles.contains(&role))) && place.matches(path)
            })
            .map(|(_, rule)| *rule)
    }

    /// The secret at this path, and whether the path is the folder of it.
    pub fn secret(&self, path: &[u8]) -> Option<(&'p SecretRule, bool)> {
        let find = |path: &[u8]| {
            self.secrets.iter().find_map(|(place, rule)| {
                place.matches(path).then(|| (*rule, place.below.iter().any(|folder| folder.is(path))))
            })
        };
        find(path).or_else(|| find(&self.in_own_home(path)?))
    }

    /// A secret below this folder.
    pub fn secret_below(&self, folder: &[u8]) -> Option<&'p SecretRule> {
        self.secrets.iter().find(|(place, _)| place.lies_below(folder)).map(|(_, rule)| *rule)
    }

    /// The settings at this path.
    pub fn config(&self, path: &[u8]) -> Option<&'p ConfigRule> {
        first(&self.configs, path).or_else(|| first(&self.configs, &self.in_own_home(path)?))
    }

    /// What would start from this path.
    pub fn startup(&self, path: &[u8]) -> Option<&'p StartupRule> {
        first(&self.startups, path).or_else(|| first(&self.startups, &self.in_own_home(path)?))
    }

    /// What would start from below this folder.
    pub fn startup_below(&self, folder: &[u8]) -> Option<&'p StartupRule> {
        self.startups.iter().find(|(place, _)| place.lies_below(folder)).map(|(_, rule)| *rule)
    }

    /// What this path tells of the machine.
    pub fn host(&self, path: &[u8]) -> Option<&'p HostRule> {
        first(&self.hosts, path)
    }

    /// Who listens at this path.
    pub fn socket(&self, path: &[u8]) -> Option<&'p SocketRule> {
        first(&self.sockets, path)
    }

    /// Who listens under this abstract name.
    pub fn abstract_socket(&self, name: &[u8]) -> Option<&'p SocketRule> {
        let matches = |pattern: &String| super::pattern::glob_text(pattern, name);
        self.policy.sockets.iter().find(|rule| rule.abstract_names.iter().any(matches))
    }

    /// The exception for a call of a program of the system.
    pub fn exception(&self, code: &str, program: &[u8], syscall: &str) -> Option<&'p ExceptionRule> {
        let named = |patterns: &[NamePattern]| patterns.iter().any(|p| p.matches(file_name(program)));
        self.policy.exceptions.iter().find(|rule| {
            rule.code == code
                && rule.syscalls.iter().any(|s| s == syscall)
                && self.is_system(program)
                && named(&rule.programs)
        })
    }

    /// The rule that knows this finding of a crate.
    pub fn crate_rule(&self, finding: &Known<'_>) -> Option<&'p CrateRule> {
        self.policy.crates.iter().find(|rule| rule.covers(finding))
    }

    /// The first rule that matches a directive's value, or an environment variable's name.
    pub fn directive(&self, kind: &str, value: &[u8]) -> Option<&'p DirectiveRule> {
        let matches = |pattern: &String| super::pattern::glob_text(pattern, value);
        self.policy.directives.iter().find(|rule| rule.kind == kind && rule.values.iter().any(matches))
    }
}

fn first<'p, R>(rules: &[(Place<'p>, &'p R)], path: &[u8]) -> Option<&'p R> {
    rules.iter().find(|(place, _)| place.matches(path)).map(|(_, rule)| *rule)
}

/// True for `folder` and all below it.
fn is_below(path: &[u8], folder: &[u8]) -> bool {
    folder.len() > 1 && path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The part after the last `/`.
fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or(path)
}
