//! What becomes of each system call, as a program that the kernel runs (`seccomp(2)`, and `filter.txt` of the kernel).
//!
//! The program is a search tree over the numbers. The kernel runs it once for each number when it is installed
//! (`seccomp_cache_prepare`, Linux 5.11), and for each call that no number alone allows: a chain that compares one number after
//! another makes both several times as slow.

use seccompiler::{BpfProgram, sock_filter};

use super::table::Harmless;

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Allowed,
    /// The listener hears of it.
    Notified,
    /// It fails with this errno.
    Refused(u16),
    /// It goes on if all of these hold; else the listener hears of it.
    Unless(Vec<Harmless>),
}

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
/// `SECCOMP_RET_USER_NOTIF`.
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_ALLOW`.
const RET_ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO`.
const RET_ERRNO: u32 = 0x0005_0000;

/// Where the fields of `struct seccomp_data` begin.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `BPF_LD | BPF_W | BPF_ABS`
const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`
const IF_AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JA`
const GO: u16 = 0x05;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;

/// The program. `foreign` is the fate of calls by the table of another architecture. Each of `fates` begins at its number and
/// reaches to that of the next; the first begins at 0, the last has no end.
pub(super) fn program(foreign: &Fate, fates: &[(u32, Fate)]) -> BpfProgram {
    let foreign = leaf(foreign);
    let mut program = vec![plain(LOAD, ARCHITECTURE), jump(IF_EQUAL, X86_64, 0, 1), over(&foreign)];
    program.extend(foreign);
    program.push(plain(LOAD, NUMBER));
    program.extend(tree(fates));
    program
}

/// Goes to the upper or to the lower half until one is left.
fn tree(fates: &[(u32, Fate)]) -> BpfProgram {
    let (low, high) = fates.split_at(fates.len() / 2);
    match (low, high) {
        ([], []) => Vec::new(),
        ([], [(_, fate), ..]) => leaf(fate),
        (low, high) => {
            let middle = high.first().map_or(0, |(number, _)| *number);
            let low = tree(low);
            let mut program = vec![jump(IF_AT_LEAST, middle, 0, 1), over(&low)];
            program.extend(low);
            program.extend(tree(high));
            program
        }
    }
}

fn leaf(fate: &Fate) -> BpfProgram {
    match fate {
        Fate::Allowed => vec![plain(RETURN, RET_ALLOW)],
        Fate::Notified => vec![plain(RETURN, RET_USER_NOTIF)],
        Fate::Refused(errno) => vec![plain(RETURN, RET_ERRNO | u32::from(*errno))],
        Fate::Unless(harmless) => {
            let mut program: BpfProgram = harmless.iter().flat_map(|harmless| unless(*harmless)).collect();
            program.push(plain(RETURN, RET_ALLOW));
            program
        }
    }
}

/// Notified unless this holds of a register's low word, which is all that the kernel reads of a 32-bit argument.
fn unless(harmless: Harmless) -> BpfProgram {
    let load = |register: u8| plain(LOAD, ARGUMENTS + 8 * u32::from(register));
    let notify = plain(RETURN, RET_USER_NOTIF);
    match harmless {
        Harmless::NoBits(register, bits) => {
            vec![load(register), plain(AND, bits), jump(IF_EQUAL, 0, 1, 0), notify]
        }
        Harmless::Not(register, value) => vec![load(register), jump(IF_EQUAL, value, 0, 1), notify],
        Harmless::Is(register, value) => vec![load(register), jump(IF_EQUAL, value, 1, 0), notify],
    }
}

fn plain(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

/// Skips `then` instructions if it is so, `otherwise` if it is not.
fn jump(code: u16, k: u32, then: u8, otherwise: u8) -> sock_filter {
    sock_filter { code, jt: then, jf: otherwise, k }
}

/// Skips all of these.
fn over(skipped: &[sock_filter]) -> sock_filter {
    plain(GO, u32::try_from(skipped.len()).unwrap_or(u32::MAX))
}
