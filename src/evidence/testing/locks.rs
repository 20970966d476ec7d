//! Lock files by hand.

use crate::evidence::line::{LockConsumer, LockRecord, LockedPackage, LockedSource};

/// A lock file of a workspace: each package as `name@version`, with the positions of those that it needs.
pub(crate) fn lock(packages: &[(&str, &[u64])]) -> LockRecord {
    let one = |(line, (id, needs)): (u64, &(&str, &[u64]))| LockedPackage {
        id: id.parse().unwrap(),
        source: LockedSource::Registry,
        line,
        via: Vec::new(),
        needs: needs.to_vec(),
        left_out: None,
        change: None,
    };
    LockRecord {
        path: "Cargo.lock".to_owned(),
        consumer: LockConsumer::Workspace,
        deps_only: false,
        packages: (1..).zip(packages).map(one).collect(),
        taken: Vec::new(),
        ignored: Vec::new(),
        remarks: Vec::new(),
        since: None,
        last: None,
    }
}
