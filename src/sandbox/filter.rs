//! The class table as two seccomp filters.
//!
//! seccompiler 0.5.0 has no user-notification action, so the filters are
//! compiled with `Trace(MARK)` and exactly those return instructions are
//! rewritten. Drop `to_notification` when a release has the action.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use syscalls::Sysno;

use super::sabotage::{Off, is_off};
use super::table::{Class, Harmless, Trace, class_of, class_with};

/// An error that occurred while compiling a filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// seccompiler refused the rules.
    #[error("compile the system call filter")]
    Compile(#[from] seccompiler::BackendError),
    /// The compiled program does not look as expected.
    #[error("recognise the compiled filter: {0}")]
    Shape(&'static str),
}

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

const MARK: u16 = 0x5b;
/// `SECCOMP_RET_TRACE | MARK`.
const RET_MARK: u32 = 0x7ff0_0000 | 0x5b;
/// `SECCOMP_RET_USER_NOTIF`.
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_KILL_PROCESS`.
const RET_KILL_PROCESS: u32 = 0x8000_0000;
/// `SECCOMP_RET_ALLOW`.
const RET_ALLOW: u32 = 0x7fff_0000;
/// `BPF_RET | BPF_K`.
const BPF_RETURN: u16 = 0x06;

/// Filter U, one for each unit: what the table allows passes; everything else, unknown numbers, x32
/// and other architectures among it, is notified.
///
/// # Errors
/// When seccompiler cannot compile the table.
pub fn unit_filter(trace: Trace, makers: Makers) -> Result<BpfProgram, FilterError> {
    let mut rules = BTreeMap::new();
    for sysno in Sysno::iter() {
        let number = i64::from(sysno.id());
        if is_off(Off::Filter) && ![Sysno::open, Sysno::openat].contains(&sysno) {
            rules.insert(number, Vec::new());
            continue;
        }
        match u32::try_from(number).ok().and_then(|number| class_with(number, trace)) {
            Some(Class::Allowed) => {
                rules.insert(number, Vec::new());
            }
            Some(Class::Unless(harmless, _)) => {
                let mut conditions = conditions(harmless)?;
                if sysno == Sysno::clone && makers == Makers::Notified {
                    conditions.push(condition(Harmless::NoBits(0, SHARES_MEMORY))?);
                }
                rules.insert(number, vec![SeccompRule::new(conditions)?]);
            }
            Some(Class::Notified(_) | Class::Silent(_)) | None => {}
        }
    }
    let filter =
        SeccompFilter::new(rules, SeccompAction::Trace(u32::from(MARK)), SeccompAction::Allow, TargetArch::x86_64)?;
    let mut program = to_notification(filter.try_into()?)?;
    if is_off(Off::Filter) {
        *architecture_return(&mut program, RET_USER_NOTIF)? = RET_ALLOW;
    }
    Ok(program)
}

/// Filter K, on cargo and everything below: only what no unit needs to have recorded.
///
/// # Errors
/// When seccompiler cannot compile the table.
pub fn cargo_filter() -> Result<BpfProgram, FilterError> {
    let mut rules = BTreeMap::new();
    for sysno in Sysno::iter() {
        if matches!(u32::try_from(sysno.id()).ok().and_then(class_of), Some(Class::Silent(libc::ENOSYS))) {
            rules.insert(i64::from(sysno.id()), Vec::new());
        }
    }
    let refuse = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap_or_default());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, TargetArch::x86_64)?;
    let mut program = filter.try_into()?;
    // KILL outranks a notification, and foreign architectures are filter U's to record.
    *architecture_return(&mut program, RET_KILL_PROCESS)? = RET_ALLOW;
    Ok(program)
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

fn conditions(harmless: &[Harmless]) -> Result<Vec<SeccompCondition>, FilterError> {
    harmless.iter().copied().map(condition).collect()
}

fn condition(harmless: Harmless) -> Result<SeccompCondition, FilterError> {
    let (register, operator, value) = match harmless {
        Harmless::NoBits(register, bits) => (register, SeccompCmpOp::MaskedEq(u64::from(bits)), 0),
        Harmless::Not(register, value) => (register, SeccompCmpOp::Ne, u64::from(value)),
        Harmless::Is(register, value) => (register, SeccompCmpOp::Eq, u64::from(value)),
    };
    Ok(SeccompCondition::new(register, SeccompCmpArgLen::Dword, operator, value)?)
}

/// Rewrites the marked returns, and the refusal of other architectures, to notifications.
fn to_notification(mut program: BpfProgram) -> Result<BpfProgram, FilterError> {
    let mut rewritten = 0;
    for instruction in &mut program {
        if instruction.code == BPF_RETURN && instruction.k == RET_MARK {
            instruction.k = RET_USER_NOTIF;
            rewritten += 1;
        }
    }
    if rewritten == 0 {
        return Err(FilterError::Shape("no marked return"));
    }
    *architecture_return(&mut program, RET_KILL_PROCESS)? = RET_USER_NOTIF;
    Ok(program)
}

/// The value of the third instruction: load the architecture, jump over it if it is ours, kill.
fn architecture_return(program: &mut BpfProgram, value: u32) -> Result<&mut u32, FilterError> {
    match program.get_mut(2) {
        Some(instruction) if instruction.code == BPF_RETURN && instruction.k == value => Ok(&mut instruction.k),
        _ => Err(FilterError::Shape("no architecture check")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program of the classic BPF subset that seccomp has (filter.txt of the kernel).
    fn run(program: &BpfProgram, number: u32, arch: u32, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend_from_slice(&number.to_le_bytes());
        data.extend_from_slice(&arch.to_le_bytes());
        data.extend_from_slice(&0_u64.to_le_bytes());
        for arg in args {
            data.extend_from_slice(&arg.to_le_bytes());
        }
        let (mut at, mut a) = (0_usize, 0_u32);
        loop {
            let i = &program[at];
            at += 1;
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
        let program = unit_filter(Trace::default(), Makers::Allowed).unwrap();
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
        let (u, k) = (unit_filter(Trace::default(), Makers::Allowed).unwrap(), cargo_filter().unwrap());
        for (number, arch) in [(20, I386), (0x4000_0000, X86_64), (0x4000_0000 + 520, X86_64)] {
            assert_eq!(run(&u, number, arch, [0; 6]), RET_USER_NOTIF);
            assert_eq!(run(&k, number, arch, [0; 6]), RET_ALLOW);
        }
    }

    #[test]
    fn registers_are_compared_on_their_low_word_only() {
        let program = unit_filter(Trace::default(), Makers::Allowed).unwrap();
        let noise = 0xdead_beef_0000_0000;
        let number = |sysno: Sysno| u32::try_from(sysno.id()).unwrap();
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
            let program = unit_filter(Trace::default(), makers).unwrap();
            assert_eq!(run(&program, clone, X86_64, [0x003d_0f00, 0, 0, 0, 0, 0]), expected, "a thread");
            assert_eq!(run(&program, clone, X86_64, [0x0120_0011, 0, 0, 0, 0, 0]), RET_ALLOW, "fork(3)");
            assert_eq!(run(&program, clone, X86_64, [0x1000_0000, 0, 0, 0, 0, 0]), RET_USER_NOTIF, "a namespace");
        }
    }

    #[test]
    fn filter_k_answers_clone3_and_nothing_else() {
        let program = cargo_filter().unwrap();
        let refused: Vec<u32> =
            (0..1024).filter(|number| run(&program, *number, X86_64, [0; 6]) != RET_ALLOW).collect();
        assert_eq!(refused, [435]);
        assert_eq!(run(&program, 435, X86_64, [0; 6]), 0x0005_0000 + 38);
    }
}
