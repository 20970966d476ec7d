//! The class table as two seccomp filters.

use seccompiler::BpfProgram;
use syscalls::Sysno;

use super::bpf::{Fate, program};
use super::sabotage::{Off, is_off};
use super::table::{Class, Harmless, Trace, class_of, class_with};

/// Flags for the installation of filter U: with a listener, and signals wait until a received
/// notification is answered, so that no call is restarted after we acted on it.
pub const UNIT_FILTER_FLAGS: u32 = 0x8 | 0x20;

/// The same for units that compile, but that a waiting call can be broken off: while it cannot, ptrace(2) reads no
/// registers. A signal can then have a call made again on which we acted; rustc handles none that comes at such times.
pub const COMPILE_FILTER_FLAGS: u32 = 0x8;

/// What becomes of calls that make threads, or processes that share the caller's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makers {
    /// Not notified.
    Allowed,
    /// Notified, where it matters whose a thread is.
    Notified,
}

/// `CLONE_VM`: the new one has a stack of its own, on which nothing tells who made it.
const SHARES_MEMORY: u32 = 0x100;

/// Filter U, one for each unit: what the table allows passes; everything else, unknown numbers, x32
/// and other architectures among it, is notified.
pub fn unit_filter(trace: Trace, makers: Makers) -> BpfProgram {
    if is_off(Off::Filter) {
        let is_open = |number| is(Sysno::open, number) || is(Sysno::openat, number);
        let fate = |number| if is_open(number) { Fate::Notified } else { Fate::Allowed };
        return program(&Fate::Allowed, &fates(fate, Fate::Notified));
    }
    let fate = |number| match class_with(number, trace) {
        Some(Class::Allowed) => Fate::Allowed,
        Some(Class::Unless(harmless, _)) => {
            let mut harmless = harmless.to_vec();
            if is(Sysno::clone, number) && makers == Makers::Notified {
                harmless.push(Harmless::NoBits(0, SHARES_MEMORY));
            }
            Fate::Unless(harmless)
        }
        Some(Class::Notified(_) | Class::Silent(_)) | None => Fate::Notified,
    };
    program(&Fate::Notified, &fates(fate, Fate::Notified))
}

/// Filter K, on cargo and everything below: only what no unit needs to have recorded. KILL outranks a notification, and foreign
/// architectures are filter U's to record.
pub fn cargo_filter() -> BpfProgram {
    let enosys = u16::try_from(libc::ENOSYS).unwrap_or_default();
    let fate = |number| match class_of(number) {
        Some(Class::Silent(libc::ENOSYS)) => Fate::Refused(enosys),
        _ => Fate::Allowed,
    };
    program(&Fate::Allowed, &fates(fate, Fate::Allowed))
}

/// The fate of each number, and of all that are beyond the last one that has a name.
fn fates(of: impl Fn(u32) -> Fate, beyond: Fate) -> Vec<(u32, Fate)> {
    let end = Sysno::iter().map(number).max().map_or(0, |last| last + 1);
    let mut fates: Vec<(u32, Fate)> = (0..end).map(|number| (number, of(number))).collect();
    fates.push((end, beyond));
    fates.dedup_by(|(_, fate), (_, before)| fate == before);
    fates
}

fn number(sysno: Sysno) -> u32 {
    u32::try_from(sysno.id()).unwrap_or_default()
}

fn is(sysno: Sysno, number: u32) -> bool {
    self::number(sysno) == number
}

/// The program as the bytes of an array of `struct sock_filter`.
pub fn to_bytes(program: &BpfProgram) -> Vec<u8> {
    let instruction = |each: &seccompiler::sock_filter| {
        let [code_low, code_high] = each.code.to_ne_bytes();
        let [a, b, c, d] = each.k.to_ne_bytes();
        [code_low, code_high, each.jt, each.jf, a, b, c, d]
    };
    program.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SECCOMP_RET_USER_NOTIF`.
    const RET_USER_NOTIF: u32 = 0x7fc0_0000;
    /// `SECCOMP_RET_ALLOW`.
    const RET_ALLOW: u32 = 0x7fff_0000;

    /// Runs a program of the classic BPF subset that seccomp has (filter.txt of the kernel).
    fn run(program: &BpfProgram, number: u32, arch: u32, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend_from_slice(&number.to_le_bytes());
        data.extend_from_slice(&arch.to_le_bytes());
        data.extend_from_slice(&0_u64.to_le_bytes());
        for arg in args {
            data.extend_from_slice(&arg.to_le_bytes());
        }
        let (mut at, mut a, mut steps) = (0_usize, 0_u32, 0);
        loop {
            let i = &program[at];
            at += 1;
            steps += 1;
            assert!(steps < 40, "a tree over some hundred numbers is not that deep");
            let jump = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
            match i.code {
                0x20 => a = u32::from_le_bytes(data[usize::try_from(i.k).unwrap()..][..4].try_into().unwrap()),
                0x54 => a &= i.k,
                0x15 => at += jump(a == i.k),
                0x25 => at += jump(a > i.k),
                0x35 => at += jump(a >= i.k),
                0x05 => at += usize::try_from(i.k).unwrap(),
                0x06 => return i.k,
                other => unreachable!("instruction {other:#x}"),
            }
        }
    }

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    #[test]
    fn filter_u_follows_the_table_for_each_number_up_to_1023() {
        let program = unit_filter(Trace::default(), Makers::Allowed);
        for number in 0..1024 {
            let expected = match class_of(number) {
                Some(Class::Allowed) => RET_ALLOW,
                Some(Class::Unless(..)) => continue,
                Some(Class::Notified(_) | Class::Silent(_)) | None => RET_USER_NOTIF,
            };
            assert_eq!(run(&program, number, X86_64, [0; 6]), expected, "{number}");
        }
    }

    #[test]
    fn foreign_architectures_and_x32_numbers_are_notified_by_u_and_left_to_it_by_k() {
        let (u, k) = (unit_filter(Trace::default(), Makers::Allowed), cargo_filter());
        for (number, arch) in [(20, I386), (0x4000_0000, X86_64), (0x4000_0000 + 520, X86_64)] {
            assert_eq!(run(&u, number, arch, [0; 6]), RET_USER_NOTIF);
            assert_eq!(run(&k, number, arch, [0; 6]), RET_ALLOW);
        }
    }

    #[test]
    fn registers_are_compared_on_their_low_word_only() {
        let program = unit_filter(Trace::default(), Makers::Allowed);
        let noise = 0xdead_beef_0000_0000;
        for (sysno, register, value) in [
            (Sysno::clone, 0, u64::from(super::super::table::NAMESPACES)),
            (Sysno::unshare, 0, 0x1000_0000),
            (Sysno::prctl, 0, 4),
            (Sysno::ioctl, 1, 0x5412),
            (Sysno::fcntl, 1, 8),
            (Sysno::personality, 0, 0x0040_0000),
        ] {
            for value in [value, value | noise] {
                let mut args = [0; 6];
                args[register] = value;
                assert_eq!(run(&program, number(sysno), X86_64, args), RET_USER_NOTIF, "{sysno} {value:#x}");
            }
            let mut args = [0; 6];
            let harmless = if sysno == Sysno::personality { 0xffff_ffff } else { 1 };
            args[register] = noise | harmless;
            assert_eq!(run(&program, number(sysno), X86_64, args), RET_ALLOW, "{sysno}");
        }
    }

    #[test]
    fn where_units_compile_a_thread_that_is_made_is_notified_and_a_copy_of_the_process_is_not() {
        let clone = u32::try_from(Sysno::clone.id()).unwrap();
        for (makers, expected) in [(Makers::Allowed, RET_ALLOW), (Makers::Notified, RET_USER_NOTIF)] {
            let program = unit_filter(Trace::default(), makers);
            assert_eq!(run(&program, clone, X86_64, [0x003d_0f00, 0, 0, 0, 0, 0]), expected, "a thread");
            assert_eq!(run(&program, clone, X86_64, [0x0120_0011, 0, 0, 0, 0, 0]), RET_ALLOW, "fork(3)");
            assert_eq!(run(&program, clone, X86_64, [0x1000_0000, 0, 0, 0, 0, 0]), RET_USER_NOTIF, "a namespace");
        }
    }

    #[test]
    fn filter_k_answers_clone3_and_nothing_else() {
        let program = cargo_filter();
        let refused: Vec<u32> =
            (0..1024).filter(|number| run(&program, *number, X86_64, [0; 6]) != RET_ALLOW).collect();
        assert_eq!(refused, [435]);
        assert_eq!(run(&program, 435, X86_64, [0; 6]), 0x0005_0000 + 38);
    }
}
