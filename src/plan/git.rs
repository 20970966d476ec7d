//! A small git repository, written by hand: objects, refs, index and log.
//!
//! git itself would read configuration of the host and is not there on every
//! machine. What is written here is valid: `git rev-parse`, `git log`,
//! `git status` and `git describe` answer as they do in anybody's project.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

/// A tracked file. Everything is tracked with mode 100644.
#[derive(Clone, Copy, Debug)]
pub struct Tracked<'a> {
    /// Relative to the project, with `/` between the parts.
    pub path: &'a str,
    /// What it holds.
    pub contents: &'a [u8],
}

/// One commit of the history.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// Its message; one line.
    pub message: &'a str,
    /// Author and committer: `Name <address>`.
    pub author: &'a str,
    /// Seconds since the Unix epoch.
    pub time: u64,
    /// A tag on this commit.
    pub tag: Option<&'a str>,
    /// How many of the tracked files exist at this commit. All of them do at the last.
    pub files: usize,
}

type ObjectId = [u8; 20];

/// The files of a `.git` folder, by path relative to it.
///
/// `history` is the order of the commits, oldest first; the last one is the head of `main`.
pub fn repository(
    files: &[Tracked<'_>],
    history: &[Commit<'_>],
    remote: &str,
) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut store = Store::default();
    let mut parent: Option<ObjectId> = None;
    let mut log = String::new();
    for (position, commit) in history.iter().enumerate() {
        let last = position + 1 == history.len();
        let tree = store.tree(files.get(..commit.files).filter(|_| !last).unwrap_or(files))?;
        let id = store.commit(tree, parent, commit)?;
        let what = if parent.is_some() { "commit" } else { "commit (initial)" };
        let before = hex(&parent.unwrap_or_default());
        log += &[&before, " ", &hex(&id), " ", &stamp(commit), "\t", what, ": ", commit.message, "\n"].concat();
        if let Some(tag) = commit.tag {
            store.files.insert(["refs/tags/", tag].concat(), line(&hex(&id)));
        }
        parent = Some(id);
    }
    let head = line(&hex(&parent.unwrap_or_default()));
    let index = index(files)?;
    let mut out = store.files;
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n[remote \
         \"origin\"]\n\turl = {remote}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = \
         origin\n\tmerge = refs/heads/main\n",
    );
    let last_message = history.last().map_or("", |commit| commit.message);
    for (path, contents) in [
        ("HEAD", line("ref: refs/heads/main")),
        ("ORIG_HEAD", head.clone()),
        ("COMMIT_EDITMSG", line(last_message)),
        ("config", config.into_bytes()),
        ("description", line("Unnamed repository; edit this file 'description' to name the repository.")),
        ("hooks/pre-commit.sample", line("#!/bin/sh\nexec git diff-index --check --cached HEAD --")),
        ("index", index),
        ("info/exclude", line("# git ls-files --others --exclude-from=.git/info/exclude")),
        ("logs/HEAD", log.clone().into_bytes()),
        ("logs/refs/heads/main", log.into_bytes()),
        ("refs/heads/main", head.clone()),
        ("refs/remotes/origin/main", head),
    ] {
        out.insert(path.to_owned(), contents);
    }
    Ok(out)
}

fn line(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\n"].concat()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn stamp(commit: &Commit<'_>) -> String {
    format!("{} {} +0100", commit.author, commit.time)
}

fn blob_id(contents: &[u8]) -> ObjectId {
    object_id("blob", contents)
}

fn object_id(kind: &str, body: &[u8]) -> ObjectId {
    Sha1::new().chain_update(header(kind, body)).chain_update(body).finalize().into()
}

fn header(kind: &str, body: &[u8]) -> String {
    format!("{kind} {}\0", body.len())
}

/// The object database and refs, as files below `.git`.
#[derive(Default)]
struct Store {
    files: BTreeMap<String, Vec<u8>>,
}

impl Store {
    fn put(&mut self, kind: &str, body: &[u8]) -> io::Result<ObjectId> {
        let id = object_id(kind, body);
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(header(kind, body).as_bytes())?;
        packer.write_all(body)?;
        let name = hex(&id);
        let (folder, rest) = name.split_at(2);
        self.files.insert(format!("objects/{folder}/{rest}"), packer.finish()?);
        Ok(id)
    }

    /// Writes the tree of `files`, with trees of folders below it.
    fn tree(&mut self, files: &[Tracked<'_>]) -> io::Result<ObjectId> {
        let mut entries: BTreeMap<String, (&str, ObjectId)> = BTreeMap::new();
        let mut folders: BTreeMap<&str, Vec<Tracked<'_>>> = BTreeMap::new();
        for file in files {
            if let Some((folder, rest)) = file.path.split_once('/') {
                folders.entry(folder).or_default().push(Tracked { path: rest, contents: file.contents });
            } else {
                let id = self.put("blob", file.contents)?;
                entries.insert(file.path.to_owned(), ("100644", id));
            }
        }
        for (folder, below) in folders {
            // git sorts a folder as if its name ended in a slash.
            entries.insert(format!("{folder}/"), ("40000", self.tree(&below)?));
        }
        let mut body = Vec::new();
        for (name, (mode, id)) in entries {
            body.extend_from_slice(format!("{mode} {}\0", name.trim_end_matches('/')).as_bytes());
            body.extend_from_slice(&id);
        }
        self.put("tree", &body)
    }

    fn commit(&mut self, tree: ObjectId, parent: Option<ObjectId>, commit: &Commit<'_>) -> io::Result<ObjectId> {
        let parent = parent.map_or_else(String::new, |parent| format!("parent {}\n", hex(&parent)));
        let who = stamp(commit);
        let body = format!("tree {}\n{parent}author {who}\ncommitter {who}\n\n{}\n", hex(&tree), commit.message);
        self.put("commit", body.as_bytes())
    }
}

/// An index of version 2. File times are 0, so that git compares contents at its first look.
fn index(files: &[Tracked<'_>]) -> io::Result<Vec<u8>> {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort_by_key(|file| file.path);
    let mut out = b"DIRC\0\0\0\x02".to_vec();
    out.extend_from_slice(&u32::try_from(sorted.len()).map_err(io::Error::other)?.to_be_bytes());
    for file in sorted {
        let start = out.len();
        let size = u32::try_from(file.contents.len()).map_err(io::Error::other)?;
        let length = u16::try_from(file.path.len().min(0xfff)).map_err(io::Error::other)?;
        // ctime and mtime in seconds and nanoseconds, device, inode, mode, owner, group, size.
        for word in [0, 0, 0, 0, 0, 0, 0o100_644_u32, 0, 0, size] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&blob_id(file.contents));
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(file.path.as_bytes());
        // At least one NUL, up to a multiple of eight.
        let used = out.len() - start;
        out.resize(out.len() + 8 - used % 8, 0);
    }
    let sum = Sha1::digest(&out);
    out.extend_from_slice(&sum);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[test]
    fn object_ids_are_git_s() {
        assert_eq!(hex(&blob_id(b"")), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(hex(&object_id("tree", b"")), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }

    fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .args(["-c", "safe.directory=*"])
            .args(arguments)
            .current_dir(dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .ok()?;
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }

    #[test]
    fn git_finds_nothing_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let tracked = [
            Tracked { path: "README.md", contents: b"# a\n" },
            Tracked { path: "src/main.rs", contents: b"fn main() {}\n" },
            Tracked { path: "src.rs", contents: b"" },
            Tracked { path: "a/b/c.txt", contents: b"c" },
        ];
        for file in tracked {
            let path = dir.path().join(file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.contents).unwrap();
        }
        let commit = |message, time, tag, files| Commit { message, author: "A B <a@b.invalid>", time, tag, files };
        let history = [commit("First", 1_700_000_000, Some("v0.1.0"), 1), commit("Second", 1_700_000_100, None, 4)];
        for (path, contents) in repository(&tracked, &history, "git@git.b.invalid:a.git").unwrap() {
            let path = dir.path().join(".git").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        let Some(check) = git(dir.path(), &["fsck", "--strict", "--no-dangling"]) else {
            return; // No git here.
        };
        assert_eq!(check, "");
        assert_eq!(git(dir.path(), &["status", "--porcelain"]).unwrap(), "");
        assert_eq!(git(dir.path(), &["log", "--format=%s"]).unwrap(), "Second\nFirst");
        assert!(git(dir.path(), &["describe", "--tags", "--dirty"]).unwrap().starts_with("v0.1.0-1-g"));
        assert_eq!(git(dir.path(), &["rev-parse", "--abbrev-ref", "HEAD"]).unwrap(), "main");
        assert_eq!(git(dir.path(), &["ls-files"]).unwrap(), "README.md\na/b/c.txt\nsrc.rs\nsrc/main.rs");
    }
}
