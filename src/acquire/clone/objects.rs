//! Objects of a clone by name, each held against the name; and how git is kept within bounds.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use super::super::lock::git;
use super::super::resolve::memory;

/// Bytes of a commit.
pub(super) const COMMIT: u64 = 4 * 1024 * 1024;
/// One question to git takes no longer.
const PATIENCE: Duration = Duration::from_mins(2);
/// Memory that git may take: objects of a few bytes can grow to any size.
const MEMORY: u64 = 1024 * 1024 * 1024;
/// For its end, when all is read.
const GRACE: Duration = Duration::from_secs(2);
/// How often git is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// True for what may be the name of an object.
pub(super) fn is_name(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The name of a file with these contents, among names as long as `like`.
pub fn blob_name(like: &str, contents: &[u8]) -> String {
    name_of(like, "blob", contents)
}

fn name_of(like: &str, kind: &str, contents: &[u8]) -> String {
    let head = format!("{kind} {}\0", contents.len());
    if like.len() == 64 {
        hex(&Sha256::new().chain_update(head).chain_update(contents).finalize())
    } else {
        hex(&Sha1::new().chain_update(head).chain_update(contents).finalize())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// An object.
#[derive(Debug)]
pub(super) struct Object {
    /// `commit`, `tree`, `blob`, `tag`.
    pub(super) kind: String,
    pub(super) contents: Vec<u8>,
}

/// A git that answers for one object after the other.
#[derive(Debug)]
pub(super) struct Objects {
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Objects {
    /// An object of at most `limit` bytes; none where the clone does not have it.
    pub(super) fn get(&mut self, name: &str, limit: u64) -> Result<Option<Object>, String> {
        let silent = |_| "git does not answer, or took too long or too much memory".to_owned();
        writeln!(self.questions, "{name}").map_err(silent)?;
        let mut head = String::new();
        (&mut self.answers).take(1024).read_line(&mut head).map_err(silent)?;
        let words: Vec<&str> = head.split_whitespace().collect();
        let (kind, size) = match words.as_slice() {
            [_, "missing"] => return Ok(None),
            [said, kind, size] if *said == name => (*kind, size.parse::<u64>().ok()),
            [] => return Err("git does not answer, or took too long or too much memory".to_owned()),
            _ => return Err(format!("the object {name} cannot be read")),
        };
        let size = size.filter(|size| *size <= limit).ok_or_else(|| format!("the object {name} is too large"))?;
        let mut contents = Vec::new();
        (&mut self.answers).take(size + 1).read_to_end(&mut contents).map_err(silent)?;
        let is_whole = contents.pop() == Some(b'\n') && u64::try_from(contents.len()).is_ok_and(|read| read == size);
        if !is_whole || name_of(name, kind, &contents) != name {
            return Err(format!("the object {name} is not what its name says: run `git fsck` in it"));
        }
        Ok(Some(Object { kind: kind.to_owned(), contents }))
    }
}

/// Asks for objects of a folder, by way of an empty repository.
pub(super) fn ask<T>(
    bare: &Path,
    objects: &Path,
    act: impl FnOnce(&mut Objects) -> Result<T, String>,
) -> Result<T, String> {
    let mut command = reader(bare, objects);
    command.args(["cat-file", "--batch"]);
    let answer =
        bounded(command, |questions, answers| act(&mut Objects { questions, answers: BufReader::new(answers) }));
    answer.map(|(answer, _)| answer)
}

/// git in an empty repository that borrows objects. It reaches no server, whatever it is asked.
pub(super) fn reader(bare: &Path, objects: &Path) -> Command {
    let mut command = git(bare);
    // A graph of commits that lies beside the objects could say anything of them.
    command.args(["-c", "core.commitGraph=false", "-c", "core.multiPackIndex=false"]);
    command.env("GIT_DIR", bare).env("GIT_OBJECT_DIRECTORY", objects);
    command
}

/// Runs git until `act` has read what it wants; true beside the answer if git ended well.
pub(super) fn bounded<T>(
    mut command: Command,
    act: impl FnOnce(ChildStdin, ChildStdout) -> Result<T, String>,
) -> Result<(T, bool), String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env("GIT_ALLOW_PROTOCOL", "none").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let mut child = command.spawn().map_err(|error| format!("cannot start git: {error}"))?;
    let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("git says nothing".to_owned());
    };
    let (tell, told) = channel::<()>();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(move || {
            let begun = Instant::now();
            let is_fine = |pid: u32| begun.elapsed() < PATIENCE && memory(pid) < MEMORY;
            // The sender goes when all is read.
            let is_read = loop {
                match told.recv_timeout(LOOK) {
                    Err(RecvTimeoutError::Timeout) if is_fine(child.id()) => {}
                    answer => break answer != Err(RecvTimeoutError::Timeout),
                }
            };
            let until = Instant::now() + if is_read { GRACE } else { Duration::ZERO };
            while Instant::now() < until {
                if let Ok(Some(status)) = child.try_wait() {
                    return status.success();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = child.kill();
            let _ = child.wait();
            false
        });
        let answer = act(questions, answers);
        drop(tell);
        let ended_well = watcher.join().unwrap_or(false);
        answer.map(|answer| (answer, ended_well))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_that_takes_too_much_memory_or_does_not_end_is_killed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; exec sleep 600"]);
        let begun = Instant::now();
        let (line, ended_well) = bounded(command, |_, answers| {
            let mut line = String::new();
            BufReader::new(answers).read_line(&mut line).map_err(|error| error.to_string())?;
            Ok(line)
        })
        .unwrap();
        assert!(line == "begun\n" && !ended_well && begun.elapsed() < PATIENCE / 2);
    }

    #[test]
    fn names_are_those_that_git_gives() {
        assert_eq!(blob_name(&"0".repeat(40), b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        let long = "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813";
        assert_eq!(blob_name(&"0".repeat(64), b""), long);
        assert!(is_name(long) && !is_name("HEAD") && !is_name(&"G".repeat(40)));
    }
}
