//! Readers of what a stranger wrote, with bytes that nobody thought of: evidence, policies, settings, what the shim is
//! told, targets. Those inside the crate stand beside their readers (`twins_tests.rs`).

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use sandbox_check::acquire::Request as Target;
use sandbox_check::evidence::Bytes;
use sandbox_check::evidence::line::{ArgState, Attempt, Kind, Line, Object, Outcome, PathObject, Via};
use sandbox_check::evidence::log::EvidenceLog;
use sandbox_check::ids::UnitId;
use sandbox_check::policy::Policy;
use sandbox_check::shim::protocol::{End, Plan, Reply, Request, Role};

/// A real log, small enough to be read many times.
fn log() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/evidence-v1/looks-a-name-up.jsonl")).unwrap()
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..60)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_break_a_reader_of_evidence(
        at in any::<prop::sample::Index>(), length in 0_usize..40, bytes in some_bytes(), start in any::<bool>(),
    ) {
        let mut text = if start { log() } else { Vec::new() };
        let from = at.index(text.len() + 1);
        let to = (from + length).min(text.len());
        text.splice(from..to, bytes);
        // Whole and unchanged, or an error that says where, or cut off.
        if let Ok(read) = EvidenceLog::read(text.as_slice(), None) {
            prop_assert!(read.is_cut_off() || text == log());
        }
    }

    #[test]
    fn no_line_with_the_shape_of_one_breaks_the_reader(kind in "[a-z-]{1,12}", depth in 0_usize..400, number in any::<f64>()) {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let line = format!("{{\"line\":\"{kind}\",\"seq\":{number},\"object\":{nested}}}\n");
        prop_assert!(EvidenceLog::read(line.as_bytes(), None).is_err());
    }

    #[test]
    fn every_attempt_comes_back_from_its_line_as_it_was(
        path in some_bytes(), resolved in some_bytes(), exe in some_bytes(), args in prop::array::uniform6(any::<u64>()),
        flags in prop::collection::vec("\\PC{0,10}", 0..4), tid in any::<i32>(), errno in any::<Option<i32>>(),
    ) {
        let object = Object::Path(PathObject {
            path: Bytes(path), resolved: Bytes(resolved), flags, ..PathObject::default()
        });
        let attempt = Attempt {
            seq: 1, t: u64::MAX, unit: UnitId(7), package: None, via: Via::Unit, during: None, library: None, pid: tid, tid,
            exe: Bytes(exe), lineage: Vec::new(), kind: Kind::FsOpen, outcome: Outcome::Allowed, errno,
            syscall: "openat".to_owned(), args, arg_state: ArgState::Snapshot, object, count: 1,
        };
        let text = serde_json::to_string(&Line::Attempt(Box::new(attempt.clone()))).unwrap();
        prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        let Line::Attempt(read) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        prop_assert_eq!(*read, attempt);
    }

    #[test]
    fn no_text_breaks_the_reader_of_policies(at in any::<prop::sample::Index>(), text in "\\PC{0,30}", remove in 0_usize..30) {
        let shipped = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/default.toml")).unwrap();
        let head: String = shipped.chars().take(3000).collect();
        let boundary = |at: usize| (0..=at).rev().find(|at| head.is_char_boundary(*at)).unwrap();
        let from = boundary(at.index(head.len()));
        let to = boundary((from + remove).min(head.len()));
        let _ = Policy::parse(&format!("{}{text}{}", &head[..from], &head[to.max(from)..]));
    }

    #[test]
    fn no_datagram_breaks_what_the_shim_is_told(datagram in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (Request::decode(&datagram), Reply::decode(&datagram), End::decode(&datagram));
    }

    #[test]
    fn a_datagram_says_what_was_put_into_it(parts in prop::array::uniform6(some_bytes()), flags in any::<u32>(), limit in any::<u64>()) {
        let [exe, crate_name, extra, out_dir, crate_type, source] = parts;
        let plan = Plan {
            program: exe.clone(), private_out: out_dir.clone(), tmp: source.clone(), filter: extra.clone(), filter_flags: flags,
            output_limit: limit, processes: limit, refuses_bootstrap: flags % 2 == 0,
        };
        let reply = Reply::Plan(plan);
        prop_assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        let request = Request { role: Role::Rustc, exe, crate_name, extra, out_dir, crate_type, source };
        prop_assert_eq!(Request::decode(&request.encode()), Some(request));
    }

    /// A name becomes a path of the cache and a part of an address.
    #[test]
    fn no_target_leads_out_of_the_registrys_folders(name in "[a-zA-Z0-9_./%\\\\ -]{1,40}", version in "[0-9.a-z/]{0,10}") {
        if let Ok(Target::Release { name, .. }) = format!("{name}@{version}").parse::<Target>() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            prop_assert!(name.chars().all(plain) && name.len() <= 64, "{name}");
        }
    }
}
