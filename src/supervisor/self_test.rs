//! What the self-test's probes must answer, and which layer is missing if one does not.

use std::collections::HashMap;

use libc::{EACCES, ENETUNREACH, ENOENT, ENOSYS, EPERM, EROFS, ESRCH};

use crate::evidence::line::{Layer, LayerStatus, UnitOutcome};

/// A probe of `src/shim/payload.rs`: the errno that it must meet, and the layer that it proves.
struct Probe {
    name: &'static str,
    expected: &'static [i32],
    layer: &'static str,
}

const fn probe(name: &'static str, expected: &'static [i32], layer: &'static str) -> Probe {
    Probe { name, expected, layer }
}

/// Success is 0. The last two are controls: a sandbox in which nothing works proves nothing.
const PROBES: &[Probe] = &[
    probe("read-host-file", &[ENOENT], "mount-namespace"),
    probe("write-outside", &[EROFS, EACCES], "mount-namespace"),
    probe("host-unix-socket", &[ENOENT], "mount-namespace"),
    probe("write-neighbour", &[EACCES], "opens-on-behalf"),
    probe("tcp-connect", &[EACCES], "landlock"),
    probe("udp-send", &[ENETUNREACH], "network-namespace"),
    probe("tcp-fast-open", &[ENETUNREACH, EACCES], "network-namespace"),
    probe("new-user-namespace", &[EPERM], "seccomp"),
    probe("new-pid-namespace", &[EPERM], "seccomp"),
    probe("ptrace-parent", &[EPERM], "seccomp"),
    probe("io-uring", &[ENOSYS], "seccomp"),
    probe("foreign-abi", &[ENOSYS], "seccomp"),
    probe("session-keyring", &[EPERM], "keyring"),
    probe("signal-supervisor", &[ESRCH], "pid-namespace"),
    probe("read-decoy", &[0], "opens-on-behalf"),
    probe("write-own", &[0], "opens-on-behalf"),
];

/// The layers in the order of the report.
const LAYERS: [&str; 8] = [
    "user-namespace",
    "mount-namespace",
    "pid-namespace",
    "network-namespace",
    "keyring",
    "landlock",
    "seccomp",
    "opens-on-behalf",
];

/// A layer that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) layer: &'static str,
    pub(super) text: String,
}

/// Judges what the payload printed before it ended like this. `details` are for people, by layer.
pub(super) fn judge(
    output: &str,
    ended: UnitOutcome,
    details: &HashMap<&'static str, String>,
) -> Result<Vec<Layer>, Failure> {
    let answers: HashMap<&str, i32> = output
        .lines()
        .filter_map(|line| line.strip_prefix("self-test ")?.split_once(' '))
        .filter_map(|(name, errno)| Some((name, errno.parse().ok()?)))
        .collect();
    if answers.is_empty() {
        // The last step before the payload is the unit's filter; who was in the way has said so.
        let text = match ended {
            UnitOutcome::Killed | UnitOutcome::Signalled => "the self-test was killed before its first probe",
            _ => "the self-test was not started",
        };
        return Err(Failure { layer: "seccomp", text: text.to_owned() });
    }
    for Probe { name, expected, layer } in PROBES {
        let text = match answers.get(name) {
            Some(errno) if expected.contains(errno) => continue,
            Some(0) => format!("the self-test's {name} was possible"),
            Some(errno) => format!("the self-test's {name} met errno {errno} instead of {expected:?}"),
            None => format!("the self-test's {name} did not run"),
        };
        return Err(Failure { layer, text });
    }
    let layer = |name: &&'static str| Layer {
        name: (*name).to_owned(),
        status: LayerStatus::Full,
        detail: details.get(name).cloned().unwrap_or_default(),
    };
    Ok(LAYERS.iter().map(layer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_right() -> String {
        let line = |probe: &Probe| format!("self-test {} {}\n", probe.name, probe.expected[0]);
        PROBES.iter().map(line).collect::<Vec<_>>().concat()
    }

    #[test]
    fn all_layers_are_full_when_each_probe_met_its_errno() {
        let layers = judge(&all_right(), UnitOutcome::Ok, &HashMap::new()).unwrap();
        assert_eq!(layers.len(), LAYERS.len());
        assert!(layers.iter().all(|layer| layer.status == LayerStatus::Full));
        assert!(PROBES.iter().all(|probe| LAYERS.contains(&probe.layer)));
    }

    #[test]
    fn a_payload_that_was_not_started_is_not_taken_for_its_first_probe() {
        for (ended, text) in [
            (UnitOutcome::Failed, "the self-test was not started"),
            (UnitOutcome::Killed, "the self-test was killed before its first probe"),
            (UnitOutcome::Signalled, "the self-test was killed before its first probe"),
        ] {
            let failure = judge("", ended, &HashMap::new()).unwrap_err();
            assert_eq!((failure.layer, failure.text.as_str()), ("seccomp", text));
        }
    }

    #[test]
    fn each_probe_that_succeeds_or_is_missing_names_its_layer() {
        for probe in PROBES {
            let line = format!("self-test {} {}\n", probe.name, probe.expected[0]);
            for instead in [String::new(), format!("self-test {} {}\n", probe.name, libc::EBADF)] {
                let failure =
                    judge(&all_right().replace(&line, &instead), UnitOutcome::Ok, &HashMap::new()).unwrap_err();
                assert_eq!(failure.layer, probe.layer, "{}", probe.name);
            }
        }
    }
}
