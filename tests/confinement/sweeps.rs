//! Not one call but all: every number in three tables, every socket, every register that is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use libc::{EAFNOSUPPORT, EFAULT, ENOSYS, EPERM};
use sandbox_check::sandbox::table::{Answer, Args, Class, Harmless, Row, class_of, refuse_socket};
use syscalls::Sysno;

use crate::attack::Attack;
use crate::support::sandboxed::text;

static ATTACK: LazyLock<Attack> = LazyLock::new(|| {
    let sweeps = ["native", "x32", "32", "sockets", "pairs"].map(|sweep| format!("SWEEP/{sweep}"));
    Attack::run(&sweeps)
});

/// What a sweep told: what was tried, and the errno that it met.
fn swept(name: &str) -> BTreeMap<String, i32> {
    let told = ATTACK.run.told();
    let parts = told.iter().filter(|(part, _)| part.starts_with(&format!("SWEEP/{name}#")));
    let words = parts.flat_map(|(_, words)| words.split(' '));
    words
        .map(|word| word.split_once(':').unwrap())
        .map(|(what, errno)| (what.to_owned(), errno.parse().unwrap()))
        .collect()
}

/// True if the call is about something in memory, which the sweep's addresses do not name. Parts may be missing.
fn reads_memory(args: Args) -> bool {
    !matches!(args, Args::Parts(_))
}

/// Numbers that newer kernels let pass without asking any filter (uretprobe, uprobe): who makes them by himself gets a
/// signal and nothing else.
const NOT_FILTERED: [u32; 2] = [335, 336];

/// The errno of a call with all registers full of ones, where the table and not the kernel decides it.
fn decided(number: u32) -> Option<i32> {
    let of_row = |row: Row| match row.answer {
        Answer::Refuse(_, _) if reads_memory(row.args) => Some(EFAULT),
        Answer::Constant(errno) | Answer::Refuse(errno, _) => Some(errno),
        _ => None,
    };
    match class_of(number) {
        _ if NOT_FILTERED.contains(&number) => None,
        None => Some(ENOSYS),
        Some(Class::Silent(errno)) => Some(errno),
        Some(Class::Notified(row)) => of_row(row),
        Some(Class::Unless(harmless, row)) => {
            let is_harmless = harmless.iter().all(|harmless| match harmless {
                Harmless::NoBits(_, bits) => *bits == 0,
                Harmless::Not(_, value) => *value != u32::MAX,
                Harmless::Is(_, value) => *value == u32::MAX,
            });
            if is_harmless { None } else { of_row(row) }
        }
        Some(Class::Allowed) => None,
    }
}

#[test]
fn every_number_up_to_1023_is_answered_by_the_table_in_each_of_three_tables() {
    let (native, x32, foreign) = (swept("native"), swept("x32"), swept("32"));
    assert!(native.len() > 990, "{}", native.len());
    let mut decided_by_us = 0;
    for (number, met) in &native {
        if let Some(wanted) = decided(number.parse().unwrap()) {
            assert_eq!(*met, wanted, "number {number}");
            decided_by_us += 1;
        }
    }
    assert!(decided_by_us > 600, "{decided_by_us}");
    for (table, swept) in [("x32", x32), ("32 bits", foreign)] {
        assert_eq!(swept.len(), 1024, "{table}");
        let other: Vec<_> = swept.iter().filter(|(_, met)| **met != ENOSYS).collect();
        assert!(other.is_empty(), "{table}: {other:?}");
    }
}

#[test]
fn every_refused_number_stands_in_the_evidence() {
    let program = |name: &str| format!("/as/SWEEP+{name}");
    let recorded = |name: &str| -> BTreeSet<String> {
        let own = ATTACK.run.of("attempt").filter(|line| text(&line["exe"]).ends_with(&program(name)));
        own.filter(|line| line["outcome"] == "denied").map(|line| text(&line["syscall"])).collect()
    };
    let calls = recorded("native");
    for number in swept("native").keys() {
        let number: u32 = number.parse().unwrap();
        let silent = matches!(class_of(number), Some(Class::Silent(_)));
        if decided(number).is_some() && !silent {
            let name = usize::try_from(number).ok().and_then(Sysno::new);
            let name = name.map_or_else(|| format!("#{number}"), |sysno| sysno.name().to_owned());
            assert!(calls.contains(&name), "{name} is not recorded");
        }
    }
    let (x32, foreign) = (recorded("x32"), recorded("32"));
    for number in 0..1024_u32 {
        assert!(x32.contains(&format!("#{}", number | 0x4000_0000)), "x32 {number}");
        assert!(foreign.contains(&format!("#{number} (architecture 0x40000003)")), "32 bits {number}");
    }
}

#[test]
fn every_family_type_and_protocol_of_sockets_is_answered_by_the_table() {
    let sockets = swept("sockets");
    assert!(sockets.len() >= 50 * 16 * 7, "{}", sockets.len());
    for (what, met) in &sockets {
        let words: Vec<u32> = what.split('.').map(|word| word.parse().unwrap()).collect();
        match refuse_socket(words[0], words[1], words[2]) {
            Some(errno) => assert_eq!(*met, errno, "{what}"),
            None => assert_ne!(*met, EPERM, "{what}"),
        }
    }
    for (family, met) in swept("pairs") {
        assert_eq!(met, if family == "1" { 0 } else { EAFNOSUPPORT }, "a pair of family {family}");
    }
}

/// Every register that a rule compares, with the value that it looks for.
fn compared() -> Vec<(usize, Vec<u64>, i32)> {
    let mut calls = Vec::new();
    for sysno in Sysno::iter() {
        let number = u32::try_from(sysno.id()).unwrap();
        let Some(Class::Unless(harmless, row)) = class_of(number) else { continue };
        let (Answer::Constant(errno) | Answer::Refuse(errno, _)) = row.answer else { continue };
        for harmless in harmless {
            let (register, value) = match harmless {
                Harmless::NoBits(register, bits) => (*register, bits & bits.wrapping_neg()),
                Harmless::Not(register, value) => (*register, *value),
                Harmless::Is(register, value) => (*register, !value),
            };
            let mut registers = vec![0_u64; 6];
            registers[usize::from(register)] = u64::from(value);
            calls.push((sysno.id().cast_unsigned().try_into().unwrap(), registers, errno));
        }
    }
    let socket = usize::try_from(Sysno::socket.id()).unwrap();
    for (family, kind, protocol) in [(40, 1, 0), (2, 3, 1), (2, 1, 262), (16, 3, 12)] {
        let errno = refuse_socket(family, kind, protocol).unwrap();
        calls.push((socket, vec![family.into(), kind.into(), protocol.into(), 0, 0, 0], errno));
    }
    calls
}

#[test]
fn noise_in_the_upper_half_of_a_register_changes_nothing() {
    let calls = compared();
    assert!(calls.len() > 15, "{}", calls.len());
    let id = |number: usize, registers: &[u64], noise: u64| {
        let words: Vec<_> = registers.iter().map(|word| format!("{:x}", word | noise << 32)).collect();
        format!("CALL/{number:x}.{}", words.join("."))
    };
    let ids: Vec<_> = calls
        .iter()
        .flat_map(|(number, registers, errno)| {
            [0, 0x8000_0001, u64::from(u32::MAX)].map(|noise| (id(*number, registers, noise), *errno))
        })
        .collect();
    let attack = Attack::run(&ids.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    for (id, errno) in &ids {
        let wanted = crate::attack::errno_name(&errno.to_string());
        assert_eq!(attack.met.get(id), Some(&wanted), "{id}");
    }
}
