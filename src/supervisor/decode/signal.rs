//! Signals: whom they are for.

use super::Caller;
use crate::evidence::line::{Object, Recipient};
use crate::sandbox::table::names::{SIGNAL, value_name};
use crate::sandbox::table::{self};
use crate::supervisor::caller::{int, uint};

pub(super) fn decode(caller: Caller<'_>, recipient: table::Recipient, number: u8) -> Object {
    let signal = caller.register(number);
    let own = || caller.procfs.inner_process(caller.tid());
    let process = |at| i64::from(int(caller.register(at)));
    let (target, recipient) = match recipient {
        table::Recipient::Process(at) => (process(at), of_process(process(at), own)),
        table::Recipient::Thread(None, at) => {
            let thread = process(at);
            let is_own = caller.procfs.inner_thread(caller.tid()) == Some(thread);
            (thread, if is_own { Recipient::Itself } else { Recipient::Thread })
        }
        table::Recipient::Thread(Some(group), _) => {
            let is_own = own() == Some(process(group));
            (process(group), if is_own { Recipient::Itself } else { Recipient::Thread })
        }
        table::Recipient::Descriptor(at) => {
            let target = caller.procfs.process_behind(caller.tid(), int(caller.register(at))).unwrap_or(0);
            (target, if target == 0 { Recipient::Process } else { of_process(target, own) })
        }
    };
    Object::Signal { signal: i64::from(int(signal)), target, name: value_name(uint(signal), SIGNAL), recipient }
}

/// kill(2): what the number means.
fn of_process(target: i64, own: impl Fn() -> Option<i64>) -> Recipient {
    match target {
        1 => Recipient::Init,
        0 => Recipient::OwnGroup,
        -1 => Recipient::Everyone,
        ..-1 => Recipient::Group,
        target if own() == Some(target) => Recipient::Itself,
        _ => Recipient::Process,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_whom_a_signal_is_for() {
        for (target, expected) in [
            (42, Recipient::Itself),
            (43, Recipient::Process),
            (1, Recipient::Init),
            (0, Recipient::OwnGroup),
            (-1, Recipient::Everyone),
            (-42, Recipient::Group),
        ] {
            assert_eq!(of_process(target, || Some(42)), expected, "{target}");
        }
    }
}
