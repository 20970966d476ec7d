//! What must hold of all that comes from inside the sandbox: registers, memory, addresses, questions, answers.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "what does not hold ends the test or the fuzzer")]

use std::fs::File;

use syscalls::Sysno;

use super::caller::Proc;
use super::metadata::MetadataCall;
use super::open::OpenCall;
use super::{decode, sockets};
use crate::sandbox::table::{Args, Class, Row, class_of};
use crate::shim::protocol::{End, Reply, Request};
use crate::sys::seccomp::Notification;

use super::drive::fuzzing::answers;

/// Every row that decodes arguments.
pub(super) fn rows() -> Vec<(u32, Row)> {
    let numbers = Sysno::iter().filter_map(|sysno| u32::try_from(sysno.id()).ok());
    let row = |number| match class_of(number) {
        Some(Class::Notified(row) | Class::Unless(_, row)) => Some((number, row)),
        _ => None,
    };
    numbers.filter_map(row).collect()
}

/// Decodes a call of our own process's: what is kept of it is bounded.
pub(super) fn call(number: u32, row: &Row, registers: [u64; 6]) {
    let procfs = Proc::new(File::open("/proc").expect("/proc is there").into());
    let tid = i32::try_from(std::process::id()).unwrap_or(0);
    let notification = Notification { id: 1, tid, number, arch: 0xc000_003e, args: registers };
    match row.args {
        Args::Open(..) | Args::OpenHow => {
            if let Ok(call) = OpenCall::read(&notification, row.args) {
                assert!(call.path.len() < 4096, "{number}: {} bytes of a path", call.path.len());
            }
        }
        Args::Metadata(which) => {
            if let Ok(call) = MetadataCall::read(&notification, which) {
                assert!(call.path.as_ref().is_none_or(|path| path.len() < 4096) && !call.describe().is_empty());
            }
        }
        args => {
            if let Ok(decoded) = decode::decode(&notification, args, &procfs) {
                let kept = serde_json::to_vec(&decoded.object).expect("an object can be written");
                assert!(kept.len() < 2 << 20, "{number}: {} bytes are kept", kept.len());
                assert!(decoded.messages.len() <= 2000, "{number}: {} messages", decoded.messages.len());
            }
        }
    }
}

/// A byte for the call, six registers of nine bytes (into the memory, near its end, small, any), then the memory.
pub fn arguments(bytes: &[u8]) {
    let Some(((which, rest), rows)) = bytes.split_first().zip(Some(rows())) else { return };
    let Some((words, memory)) = rest.split_at_checked(6 * 9) else { return };
    // An end that is always there, whatever lies behind it in our own memory.
    let mut memory = memory.to_vec();
    memory.resize(memory.len() + 4096 + 64, 0);
    let at = u64::try_from(memory.as_ptr().addr()).unwrap_or(0);
    let length = u64::try_from(memory.len() - 4096).unwrap_or(1);
    let mut registers = [0; 6];
    for (register, word) in registers.iter_mut().zip(words.chunks_exact(9)) {
        let Some((tag, value)) = word.split_first() else { return };
        let value = value.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        *register = match tag % 4 {
            0 => at + value % length,
            1 => at + length - value % length.min(64),
            2 => value % 4096,
            _ => value,
        };
    }
    if let Some((number, row)) = rows.get(usize::from(*which) % rows.len()) {
        call(*number, row, registers);
    }
    drop(memory);
}

/// A socket address is kept as it came, and nothing in it is invented.
pub fn address(raw: &[u8]) {
    let address = sockets::decode_address(raw);
    assert_eq!(address.raw.0, raw);
    if let Some(path) = &address.path {
        let is_there = path.0.is_empty() || raw.windows(path.0.len()).any(|part| part == path.0);
        assert!(is_there, "{path} is not in the address");
    }
    assert!(address.port.is_none() || raw.len() >= 4, "a port from nowhere");
    assert!(address.ip.is_none() || raw.len() >= 8, "an address from nowhere");
    serde_json::to_string(&address).expect("an address can be written");
}

/// A question to the stub resolver: read, or none.
pub fn dns(message: &[u8]) {
    for (name, kind) in super::dns::questions(message) {
        assert!(name.len() <= 1024 && !kind.is_empty(), "{} bytes of a name", name.len());
    }
}

/// What comes by the hand-off socket, and what a macro library's driver answers.
pub fn driver(bytes: &[u8]) {
    if let Some(request) = Request::decode(bytes) {
        assert_eq!(request.encode(), bytes, "one request has two forms");
    }
    if let Some(reply) = Reply::decode(bytes) {
        assert_eq!(Reply::decode(&reply.encode()).as_ref(), Some(&reply));
    }
    if let Some(end) = End::decode(bytes) {
        assert_eq!(End::decode(&end.encode()).map(|end| end.status), Some(end.status));
    }
    answers(bytes);
}
