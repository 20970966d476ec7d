//! Registers, memory, addresses and messages that nobody thought of: no decoder falls over, and none invents.

use proptest::prelude::*;

use super::{dns, fuzzing};

/// Registers that lead to a buffer of ours, near its end, nowhere, or are any number.
fn register(buffer: u64) -> impl Strategy<Value = u64> {
    let near = (0_u64..600).prop_map(move |offset| buffer.wrapping_add(offset));
    prop_oneof![4 => near, 2 => 0_u64..300, 1 => Just(u64::MAX), 1 => any::<u64>(), 1 => Just(1 << 62)]
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
        for (number, row) in fuzzing::rows() {
            fuzzing::call(number, &row, registers);
        }
        drop(memory);
    }

    #[test]
    fn an_address_is_kept_as_it_came_whatever_it_is(raw in prop::collection::vec(any::<u8>(), 0..140), family in 0_u8..50) {
        let mut raw = raw;
        if let [low, high, ..] = raw.as_mut_slice() {
            (*low, *high) = (family, 0);
        }
        fuzzing::address(&raw);
    }

    #[test]
    fn no_message_breaks_the_reader_of_questions(message in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzzing::dns(&message);
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
