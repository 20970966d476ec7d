//! The files of one commit.

use std::collections::BTreeMap;

use super::objects::{COMMIT, Object, Objects, hex};

/// Names in one commit.
const ENTRIES: usize = 500_000;
/// Bytes of one folder.
const FOLDER: u64 = 32 * 1024 * 1024;
/// Bytes of all folders.
const FOLDERS: usize = 512 * 1024 * 1024;
/// Folders in folders.
const DEPTH: usize = 64;
/// Bytes of where a link leads.
const TARGET: u64 = 4096;
/// Links that lead to links.
const HOPS: usize = 8;

/// What a name in a commit stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A file, by the digest that is its object's name.
    File(String),
    /// A link, with where it leads; none where the clone does not have that.
    Link(Option<String>),
    /// A commit of another repository.
    Submodule,
}

/// All files of a commit by their paths. A path that is no text is left out: no archive has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitFiles(BTreeMap<String, Item>);

impl CommitFiles {
    pub(super) fn read(objects: &mut Objects, commit: &str) -> Result<Option<Self>, String> {
        let Some(object) = objects.get(commit, COMMIT)? else { return Ok(None) };
        let head = object.contents.split(|byte| *byte == b'\n').next().and_then(|line| line.strip_prefix(b"tree "));
        let root = head.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| name.len() == commit.len());
        let root = root.filter(|_| object.kind == "commit").ok_or_else(|| format!("{commit} is no commit"))?;
        let mut files = BTreeMap::new();
        let (mut folders, mut links) = (vec![(String::new(), root.to_owned(), 0)], Vec::new());
        let (mut entries, mut bytes) = (0_usize, 0_usize);
        while let Some((path, name, depth)) = folders.pop() {
            let lacks =
                || format!("the clone lacks the folder /{path} of the commit: make one without --filter=tree:0");
            let Object { kind, contents } = objects.get(&name, FOLDER)?.ok_or_else(lacks)?;
            bytes += contents.len();
            for entry in Entry::all(&contents, name.len() / 2).filter(|_| kind == "tree") {
                let entry = entry.ok_or_else(|| format!("the folder /{path} of the commit cannot be read"))?;
                entries += 1;
                let Some(part) = entry.part else { continue };
                let path = if path.is_empty() { part.to_owned() } else { format!("{path}/{part}") };
                match entry.mode {
                    b"40000" if depth < DEPTH => folders.push((path, entry.name, depth + 1)),
                    b"120000" => links.push((path, entry.name)),
                    b"160000" => _ = files.insert(path, Item::Submodule),
                    b"40000" => return Err("its folders lie too deep".to_owned()),
                    _ => _ = files.insert(path, Item::File(entry.name)),
                }
            }
            if entries > ENTRIES || bytes > FOLDERS {
                return Err("the commit has too many files".to_owned());
            }
        }
        for (path, name) in links {
            let target = objects.get(&name, TARGET)?;
            files.insert(path, Item::Link(target.and_then(|object| String::from_utf8(object.contents).ok())));
        }
        Ok(Some(Self(files)))
    }

    /// What lies at a path, links followed as far as they lead within the commit.
    pub fn at(&self, path: &str) -> Option<&Item> {
        let mut path = path.to_owned();
        for _ in 0..=HOPS {
            let ends = path.match_indices('/').map(|(at, _)| at).chain(std::iter::once(path.len()));
            let mut parts = ends.filter_map(|at| path.split_at_checked(at));
            let (found, rest, item) = parts.find_map(|(head, rest)| Some((head, rest, self.0.get(head)?)))?;
            match item {
                Item::Submodule | Item::Link(None) => return Some(item),
                Item::File(_) => return Some(item).filter(|_| rest.is_empty()),
                Item::Link(Some(target)) => path = joined(found, target)? + rest,
            }
        }
        None
    }

    /// All paths below a folder, each relative to it.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.keys().filter_map(move |path| match folder {
            "" => Some(path.as_str()),
            folder => path.strip_prefix(folder)?.strip_prefix('/'),
        })
    }

    /// True if a file of the commit has this object.
    pub fn has_object(&self, name: &str) -> bool {
        self.0.values().any(|item| matches!(item, Item::File(object) if object == name))
    }
}

/// Where a link leads; none for what leaves the repository.
fn joined(link: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// One name in a folder: `MODE NAME<NUL>DIGEST`.
struct Entry<'a> {
    mode: &'a [u8],
    part: Option<&'a str>,
    name: String,
}

impl<'a> Entry<'a> {
    /// All of a folder; none for what is none, after which there is nothing more.
    fn all(contents: &'a [u8], digest: usize) -> impl Iterator<Item = Option<Self>> {
        let mut rest = contents;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let read = Self::first(rest, digest);
            rest = read.as_ref().map_or(&[], |(_, rest)| *rest);
            Some(read.map(|(entry, _)| entry))
        })
    }

    fn first(contents: &'a [u8], digest: usize) -> Option<(Self, &'a [u8])> {
        let space = contents.iter().position(|byte| *byte == b' ')?;
        let (mode, rest) = (contents.get(..space)?, contents.get(space + 1..)?);
        let end = rest.iter().position(|byte| *byte == 0)?;
        let (part, rest) = (rest.get(..end)?, rest.get(end + 1..)?);
        let (name, rest) = rest.split_at_checked(digest)?;
        // Names that lead elsewhere are none that an archive could have.
        let part = std::str::from_utf8(part).ok().filter(|part| !["", ".", ".."].contains(part) && !part.contains('/'));
        Some((Self { mode, part, name: hex(name) }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(items: &[(&str, Item)]) -> CommitFiles {
        CommitFiles(items.iter().map(|(path, item)| ((*path).to_owned(), item.clone())).collect())
    }

    fn link(target: &str) -> Item {
        Item::Link(Some(target.to_owned()))
    }

    #[test]
    fn links_are_followed_within_the_commit_and_no_further() {
        let license = Item::File("a".to_owned());
        let all = files(&[
            ("LICENSE", license.clone()),
            ("a/LICENSE", link("../LICENSE")),
            ("b", link("a")),
            ("out", link("../../etc/passwd")),
            ("round", link("about")),
            ("about", link("round")),
            ("vendor", Item::Submodule),
        ]);
        for path in ["LICENSE", "a/LICENSE", "b/LICENSE"] {
            assert_eq!(all.at(path), Some(&license), "{path}");
        }
        assert_eq!(all.at("vendor/x.c"), Some(&Item::Submodule));
        for path in ["out", "round", "a", "LICENSE/x", "absent"] {
            assert_eq!(all.at(path), None, "{path}");
        }
        assert_eq!(all.below("a").collect::<Vec<_>>(), ["LICENSE"]);
    }

    #[test]
    fn a_folder_that_is_cut_off_is_not_read_in_part() {
        let whole = [b"100644 a\0".as_slice(), &[7; 20], b"40000 b\0", &[8; 20]].concat();
        let read: Vec<_> = Entry::all(&whole, 20).map(|entry| entry.and_then(|entry| entry.part)).collect();
        assert_eq!(read, [Some("a"), Some("b")]);
        let cut = whole.get(..whole.len() - 1).unwrap();
        assert!(Entry::all(cut, 20).any(|entry| entry.is_none()));
        let evil = [b"100644 ../x\0".as_slice(), &[7; 20]].concat();
        assert!(Entry::all(&evil, 20).all(|entry| entry.is_some_and(|entry| entry.part.is_none())));
    }
}
