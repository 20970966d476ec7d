//! Names of functions in a macro library: a hint about which of the packages that are linked into it made a call.

use std::fmt::{self, Write as _};
use std::fs::File;

use super::elf::{self, Elf};
use crate::supervisor::caller::{word32, word64};

/// Bytes of a table of symbols that are looked through.
const MOST_SYMBOLS: u64 = 16 << 20;
/// Bytes of a mangled name that are read, and of a name that is kept.
const LONGEST_MANGLED: usize = 2048;
const LONGEST: usize = 160;
/// What is linked into every library, and what it is made of.
const STANDARD: &[&str] = &[
    "std",
    "core",
    "alloc",
    "proc_macro",
    "compiler_builtins",
    "std_detect",
    "panic_unwind",
    "hashbrown",
    "gimli",
    "addr2line",
    "object",
    "miniz_oxide",
    "rustc_demangle",
];

/// The name of the nearest function that is not of the standard library. Addresses are those in the file, the
/// nearest first.
pub(super) fn first_own(file: &File, elf: &Elf, addresses: &[u64]) -> Option<String> {
    const ENTRY: usize = 24;
    const FUNCTION: u32 = 2;
    let (table, names) = elf.symbols()?;
    let table = table.read(file, MOST_SYMBOLS)?;
    // For each address the symbol that begins last before it, by where its name stands.
    let mut nearest: Vec<Option<(u64, u64)>> = vec![None; addresses.len()];
    for entry in table.chunks_exact(ENTRY) {
        let (name, info) = (word32(entry, 0)?, word32(entry, 4)?);
        let (value, size) = (word64(entry, 8)?, word64(entry, 16)?);
        if info & 0xf != FUNCTION {
            continue;
        }
        for (address, nearest) in addresses.iter().zip(&mut nearest) {
            let covers = *address >= value && *address < value.saturating_add(size.max(1));
            if covers && nearest.is_none_or(|(known, _)| known <= value) {
                *nearest = Some((value, u64::from(name)));
            }
        }
    }
    nearest.into_iter().flatten().find_map(|(_, at)| {
        let room = names.size.checked_sub(at).and_then(|room| usize::try_from(room).ok())?;
        let name = elf::read(file, names.offset.checked_add(at)?, room.min(LONGEST_MANGLED))?;
        own(name.split(|byte| *byte == 0).next()?)
    })
}

/// A name for people, unless it is the standard library's.
fn own(mangled: &[u8]) -> Option<String> {
    let mangled = std::str::from_utf8(mangled).ok()?;
    let mut text = Short(String::new());
    // A name that is too long ends early.
    let _ = match rustc_demangle::try_demangle(mangled) {
        Ok(name) => write!(text, "{name:#}"),
        Err(_) => write!(text, "{mangled}"),
    };
    let Short(text) = text;
    let first = text.trim_start_matches(['<', '&', '*', '(', '[']);
    let first = ["mut ", "const ", "dyn ", "impl "].iter().fold(first, |rest, word| rest.trim_start_matches(word));
    let package = first.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
    let is_standard = STANDARD.contains(&package) || package.is_empty() || package.starts_with("__rust");
    (!is_standard).then_some(text)
}

/// Text that stops growing.
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() >= LONGEST {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_standard_library_are_none_of_a_package() {
        for (mangled, name) in [
            ("_ZN6helper4send17h0123456789abcdefE", Some("helper::send")),
            ("_RNvCs1234_7mycrate3foo", Some("mycrate::foo")),
            ("_ZN3std2fs4read5inner17h0123456789abcdefE", None),
            ("_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE", None),
            ("plain_c", Some("plain_c")),
            ("__rust_try", None),
            ("", None),
        ] {
            assert_eq!(own(mangled.as_bytes()).as_deref(), name, "{mangled}");
        }
    }

    #[test]
    fn a_long_name_ends_early() {
        let long = format!("_ZN{}{}17h0123456789abcdefE", 1500, "x".repeat(1500));
        assert_eq!(own(long.as_bytes()).unwrap().len(), LONGEST);
    }

    #[inline(never)]
    fn somewhere() -> u64 {
        let pointer: fn() -> u64 = somewhere;
        format!("{pointer:p}").strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap()
    }

    #[test]
    fn a_function_of_our_own_is_named() {
        let file = File::open("/proc/self/exe").unwrap();
        let elf = Elf::read(&file).unwrap();
        let maps = crate::supervisor::unwind::maps::parse(&std::fs::read("/proc/self/maps").unwrap()).unwrap();
        let mapping = maps.executable.iter().find(|mapping| mapping.contains(somewhere())).unwrap();
        let moved = elf.moved_by(mapping.start, mapping.offset).unwrap();
        let name = first_own(&file, &elf, &[somewhere() + 1 - moved]).unwrap();
        assert!(name.ends_with("tests::somewhere"), "{name}");
    }
}
