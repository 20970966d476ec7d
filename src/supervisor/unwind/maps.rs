//! What is mapped where, by `/proc/PID/maps` (proc(5)).

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// One mapping of a file that may be run, or the first stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    /// In the file.
    pub(super) offset: u64,
    pub(super) inode: u64,
    pub(super) path: PathBuf,
}

impl Mapping {
    pub(super) fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// The parts of a map that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Maps {
    /// By address.
    pub(super) executable: Vec<Mapping>,
    /// The stack that the kernel made for the process.
    pub(super) stack: Option<Mapping>,
    /// Where the first mapping of a file begins, and that file's number: another program, another image.
    pub(super) image: Option<(u64, u64)>,
}

/// Mappings that can be run beyond which a map is not believed: rustc has fewer than a hundred libraries.
const MOST: usize = 4096;

/// Reads a whole map. `None` if it is not one, or has too many parts.
pub(super) fn parse(text: &[u8]) -> Option<Maps> {
    let mut maps = Maps::default();
    if text.last().is_some_and(|last| *last != b'\n') {
        return None;
    }
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut next = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
        let (start, end) = next()?.split_once('-')?;
        let rights = next()?;
        let offset = hex(next()?)?;
        let _device = next()?;
        let inode = next()?.parse().ok()?;
        let path = fields.next().unwrap_or_default().trim_ascii_start();
        let mapping = Mapping {
            start: hex(start)?,
            end: hex(end)?,
            offset,
            inode,
            path: Path::new(std::ffi::OsStr::from_bytes(path)).to_owned(),
        };
        if inode != 0 && maps.image.is_none() {
            maps.image = Some((mapping.start, inode));
        }
        if path == b"[stack]" {
            maps.stack = Some(mapping);
        } else if rights.as_bytes().get(2) == Some(&b'x') {
            if maps.executable.len() >= MOST {
                return None;
            }
            maps.executable.push(mapping);
        }
    }
    Some(maps)
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
55d0c0000000-55d0c0009000 r--p 00000000 00:2a 1234                       /opt/rust/bin/rustc
55d0c0009000-55d0c0080000 r-xp 00009000 00:2a 1234                       /opt/rust/bin/rustc
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
7f1000000000-7f1000004000 r-xp 00001000 00:2b 77                         /a b/lib\\012m.so (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn a_map_is_read() {
        let maps = parse(TEXT).unwrap();
        let paths: Vec<_> = maps.executable.iter().map(|mapping| mapping.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/opt/rust/bin/rustc", "", "/a b/lib\\012m.so (deleted)", "[vdso]"]);
        assert_eq!((maps.executable[0].start, maps.executable[0].offset), (0x55d0_c000_9000, 0x9000));
        assert_eq!(maps.image, Some((0x55d0_c000_0000, 1234)));
        assert!(maps.stack.unwrap().contains(0x7ffc_0000_0010));
    }

    #[test]
    fn what_is_no_map_or_was_cut_is_not_read() {
        for text in [&TEXT[..TEXT.len() - 1], &TEXT[..100], b"x\n", b"1-2 r-xp\n", b"1-2 r-xp z 0 0\n"] {
            assert_eq!(parse(text), None, "{}", String::from_utf8_lossy(text));
        }
        let long = b"1000-2000 r-xp 0 00:00 0\n".repeat(MOST + 1);
        assert_eq!(parse(&long), None);
    }
}
