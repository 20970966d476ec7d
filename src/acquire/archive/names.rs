//! Which names an archive may use, and that no two of them get in each other's way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::refusal::Reason;

/// The longest component that Linux file systems take.
const COMPONENT: usize = 255;
/// The longest name; honest ones have a tenth of it.
const NAME: usize = 1024;

/// What lies at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    File,
    Folder,
}

/// The names of one archive so far.
#[derive(Debug)]
pub(super) struct Names {
    /// The only folder at the top, `name-version`. Learnt from the first entry if not given.
    top: Option<String>,
    /// By name: what it is, and if it was an entry itself (folders also come to be by what lies in them).
    known: BTreeMap<Vec<u8>, (Shape, bool)>,
    /// Lower-cased names of files, with the first spelling.
    folded: BTreeMap<String, Vec<u8>>,
    /// Pairs that differ by case only.
    pub(super) collisions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Names {
    pub(super) fn below(top: Option<&str>) -> Self {
        Self { top: top.map(str::to_owned), known: BTreeMap::new(), folded: BTreeMap::new(), collisions: Vec::new() }
    }

    pub(super) fn top(&self) -> Option<&str> {
        self.top.as_deref()
    }

    /// Accepts a name and gives its path below the top folder; empty for the top folder itself.
    pub(super) fn accept(&mut self, raw: &[u8], shape: Shape) -> Result<PathBuf, Reason> {
        let name = match (shape, raw.strip_suffix(b"/")) {
            (Shape::Folder, Some(rest)) => rest,
            (Shape::File, Some(_)) => return Err(Reason::OddName),
            (_, None) => raw,
        };
        check_text(name)?;
        let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
        check_parts(&parts)?;
        let Some((first, inner)) = parts.split_first() else { return Err(Reason::OddName) };
        self.check_top(first)?;
        if inner.is_empty() && shape == Shape::File {
            return Err(Reason::Outside { expected: self.top.clone().unwrap_or_default() });
        }
        self.remember(&parts, shape)?;
        Ok(inner.iter().map(|part| std::path::Path::new(std::ffi::OsStr::new(as_os(part)))).collect())
    }

    fn check_top(&mut self, first: &[u8]) -> Result<(), Reason> {
        match (&self.top, std::str::from_utf8(first)) {
            (Some(top), _) if top.as_bytes() == first => Ok(()),
            (Some(top), _) => Err(Reason::Outside { expected: top.clone() }),
            (None, Ok(first)) => {
                self.top = Some(first.to_owned());
                Ok(())
            }
            (None, Err(_)) => Err(Reason::Outside { expected: "NAME-VERSION".to_owned() }),
        }
    }

    fn remember(&mut self, parts: &[&[u8]], shape: Shape) -> Result<(), Reason> {
        let mut path = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(part);
            let last = index + 1 == parts.len();
            let now = if last { shape } else { Shape::Folder };
            match self.known.get_mut(&path) {
                None => {
                    self.fold(&path);
                    self.known.insert(path.clone(), (now, last));
                }
                Some((before, _)) if *before != now => return Err(Reason::FileAndFolder),
                Some((_, entry)) if last && *entry => return Err(Reason::Duplicate),
                Some((_, entry)) => *entry |= last,
            }
        }
        Ok(())
    }

    fn fold(&mut self, path: &[u8]) {
        let folded = String::from_utf8_lossy(path).to_lowercase();
        if let Some(first) = self.folded.get(&folded) {
            if self.collisions.len() < 16 {
                self.collisions.push((first.clone(), path.to_vec()));
            }
        } else {
            self.folded.insert(folded, path.to_vec());
        }
    }

    /// Every folder that must exist, parents first.
    #[cfg(test)]
    pub(super) fn folders(&self) -> Vec<&[u8]> {
        self.known.iter().filter(|(_, (shape, _))| *shape == Shape::Folder).map(|(name, _)| name.as_slice()).collect()
    }
}

fn as_os(part: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(part)
}

fn check_text(name: &[u8]) -> Result<(), Reason> {
    if name.contains(&0) {
        return Err(Reason::NulInName);
    }
    let control = match std::str::from_utf8(name) {
        Ok(text) => text.chars().any(char::is_control),
        Err(_) => name.iter().any(u8::is_ascii_control),
    };
    if control {
        return Err(Reason::ControlCharacter);
    }
    if name.len() > NAME {
        return Err(Reason::NameTooLong);
    }
    if name.first() == Some(&b'/') {
        return Err(Reason::Absolute);
    }
    Ok(())
}

fn check_parts(parts: &[&[u8]]) -> Result<(), Reason> {
    for part in parts {
        match *part {
            b"" | b"." => return Err(Reason::OddName),
            b".." => return Err(Reason::ParentDir),
            long if long.len() > COMPONENT => return Err(Reason::NameTooLong),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(raw: &[u8]) -> Result<PathBuf, Reason> {
        Names::below(Some("x-1.0.0")).accept(raw, Shape::File)
    }

    #[test]
    fn an_ordinary_name_becomes_a_path_below_the_top() {
        assert_eq!(accept(b"x-1.0.0/src/lib.rs"), Ok(PathBuf::from("src/lib.rs")));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let outside = || Reason::Outside { expected: "x-1.0.0".to_owned() };
        assert_eq!(accept(b"../x"), Err(Reason::ParentDir));
        assert_eq!(accept(b"x-1.0.0/../../x"), Err(Reason::ParentDir));
        assert_eq!(accept(b"/etc/x"), Err(Reason::Absolute));
        assert_eq!(accept(b"//x"), Err(Reason::Absolute));
        assert_eq!(accept(b"\\x"), Err(outside()));
        assert_eq!(accept(b"C:\\x"), Err(outside()));
        assert_eq!(accept(b"x-1.0.01/a"), Err(outside()));
        assert_eq!(accept(b"x-1.0.0"), Err(outside()));
        assert_eq!(accept(b""), Err(Reason::OddName));
        assert_eq!(accept(b"x-1.0.0/./a"), Err(Reason::OddName));
        assert_eq!(accept(b"x-1.0.0//a"), Err(Reason::OddName));
        assert_eq!(accept(b"x-1.0.0/a/"), Err(Reason::OddName));
    }

    #[test]
    fn names_that_fool_a_reader_are_refused() {
        assert_eq!(accept(b"x-1.0.0/a\0b"), Err(Reason::NulInName));
        assert_eq!(accept(b"x-1.0.0/a\x1b[2J"), Err(Reason::ControlCharacter));
        assert_eq!(accept("x-1.0.0/a\u{9b}2J".as_bytes()), Err(Reason::ControlCharacter));
        assert_eq!(accept(b"x-1.0.0/\xff\n"), Err(Reason::ControlCharacter));
        let long = [b"x-1.0.0/".as_slice(), &[b'a'; 256]].concat();
        assert_eq!(accept(&long), Err(Reason::NameTooLong));
        let deep = [b"x-1.0.0".as_slice(), &b"/a".repeat(600)].concat();
        assert_eq!(accept(&deep), Err(Reason::NameTooLong));
    }

    #[test]
    fn names_in_each_others_way_are_refused() {
        let mut names = Names::below(Some("x-1.0.0"));
        names.accept(b"x-1.0.0/a/b", Shape::File).unwrap();
        names.accept(b"x-1.0.0/a", Shape::Folder).unwrap();
        assert_eq!(names.accept(b"x-1.0.0/a/", Shape::Folder), Err(Reason::Duplicate));
        assert_eq!(names.accept(b"x-1.0.0/a/b", Shape::File), Err(Reason::Duplicate));
        assert_eq!(names.accept(b"x-1.0.0/a", Shape::File), Err(Reason::FileAndFolder));
        assert_eq!(names.accept(b"x-1.0.0/a/b/c", Shape::File), Err(Reason::FileAndFolder));
        assert_eq!(names.folders().len(), 2);
    }

    #[test]
    fn names_that_differ_by_case_only_are_told() {
        let mut names = Names::below(None);
        names.accept(b"x-1.0.0/README", Shape::File).unwrap();
        names.accept(b"x-1.0.0/readme", Shape::File).unwrap();
        assert_eq!(names.collisions, [(b"x-1.0.0/README".to_vec(), b"x-1.0.0/readme".to_vec())]);
        assert_eq!(names.top(), Some("x-1.0.0"));
    }
}
