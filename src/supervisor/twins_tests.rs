//! Registers, memory, addresses and messages that nobody thought of: no decoder falls over, and none invents.

use std::fs::File;

use proptest::prelude::*;
use syscalls::Sysno;

use super::caller::Proc;
use super::{decode, dns, sockets};
use crate::sandbox::table::{Class, class_of};
use crate::sys::seccomp::Notification;

/// Registers that lead to a buffer of ours, near its end, nowhere, or are any number.
fn register(buffer: u64) -> impl Strategy<Value = u64> {
    let near = (0_u64..600).prop_map(move |offset| buffer.wrapping_add(offset));
    prop_oneof![4 => near, 2 => 0_u64..300, 1 => Just(u64::MAX), 1 => any::<u64>(), 1 => Just(1 << 62)]
}

/// Every row that decodes arguments.
fn rows() -> Vec<(u32, crate::sandbox::table::Row)> {
    let numbers = Sysno::iter().filter_map(|sysno| u32::try_from(sysno.id()).ok());
    let row = |number| match class_of(number) {
        Some(Class::Notified(row) | Class::Unless(_, row)) => Some((number, row)),
        _ => None,
    };
    numbers.filter_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_registers_and_no_memory_break_the_decoder(
        (memory, registers) in prop::collection::vec(any::<u8>(), 600).prop_flat_map(|memory| {
            let at = u64::try_from(memory.as_ptr().addr()).unwrap();
            (Just(memory), prop::array::uniform6(register(at)))
        }),
    ) {
        let procfs = Proc::new(File::open("/proc").unwrap().into());
        let tid = i32::try_from(std::process::id()).unwrap();
        for (number, row) in rows() {
            let notification = Notification { id: 1, tid, number, arch: 0xc000_003e, args: registers };
            if let Ok(decoded) = decode::decode(&notification, row.args, &procfs) {
                let kept = serde_json::to_vec(&decoded.object).unwrap();
                prop_assert!(kept.len() < 2 << 20, "{number}: {} bytes are kept", kept.len());
                prop_assert!(decoded.messages.len() <= 2000, "{number}: {} messages", decoded.messages.len());
            }
        }
        drop(memory);
    }

    #[test]
    fn an_address_is_kept_as_it_came_whatever_it_is(raw in prop::collection::vec(any::<u8>(), 0..140), family in 0_u8..50) {
        let mut raw = raw;
        if let [low, high, ..] = raw.as_mut_slice() {
            (*low, *high) = (family, 0);
        }
        let address = sockets::decode_address(&raw);
        prop_assert_eq!(&address.raw.0, &raw);
        if let Some(path) = &address.path {
            prop_assert!(raw.windows(path.0.len().max(1)).any(|part| part == path.0) || path.0.is_empty());
        }
    }

    #[test]
    fn no_message_breaks_the_reader_of_questions(message in prop::collection::vec(any::<u8>(), 0..600)) {
        for (name, _) in dns::questions(&message) {
            prop_assert!(name.len() <= 1024);
        }
    }

    /// A question that is one comes back by its name.
    #[test]
    fn a_question_is_read_as_its_name(labels in prop::collection::vec("[a-z0-9_-]{1,20}", 1..6)) {
        let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        for label in &labels {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(b"\0\0\x01\0\x01");
        prop_assert_eq!(dns::questions(&query), vec![(labels.join(".").into_bytes(), "A".to_owned())]);
    }
}
