//! How many commits and authors a clone has, and when it was last worked on. Whoever makes a commit chooses its author and
//! its time, so that these are what the repository says of itself.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::objects::{bounded, reader};

/// Commits that are counted.
const COMMITS: u64 = 2_000_000;
/// Authors that are told apart.
const AUTHORS: usize = 200_000;
/// Bytes of the line about a commit.
const LINE: u64 = 64 * 1024;

/// What a clone says of its past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// How many commits there are.
    pub commits: u64,
    /// How many addresses of authors.
    pub contributors: u64,
    /// The time of the newest commit, in seconds since the Unix epoch.
    pub last: Option<u64>,
}

/// Counts the commits that lead to these.
pub(super) fn read(bare: &Path, objects: &Path, ends: &[&str]) -> Result<Past, String> {
    let mut command = reader(bare, objects);
    command.args(["rev-list", "--format=%ct %ae"]).args(ends).arg("--");
    let (past, ended_well) = bounded(command, |questions, answers| {
        drop(questions);
        count(&mut BufReader::new(answers))
    })?;
    if ended_well { Ok(past) } else { Err("its history cannot be read".to_owned()) }
}

fn count(lines: &mut impl std::io::BufRead) -> Result<Past, String> {
    let mut past = Past::default();
    let mut authors = HashSet::new();
    let mut line = Vec::new();
    while lines.take(LINE).read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
        // `commit NAME` stands before each.
        let text = String::from_utf8_lossy(&line);
        if let Some((time, author)) = text.trim_end().split_once(' ').filter(|(word, _)| *word != "commit") {
            past.commits += 1;
            past.last = past.last.max(time.parse().ok());
            authors.insert(author.to_lowercase());
        }
        if past.commits > COMMITS || authors.len() > AUTHORS {
            return Err("its history is too long".to_owned());
        }
        line.clear();
    }
    past.contributors = u64::try_from(authors.len()).unwrap_or(u64::MAX);
    Ok(past)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_are_counted_by_their_addresses() {
        let text = "commit a\n30 one@x.invalid\ncommit b\n20 ONE@x.invalid\ncommit c\n10 two@x.invalid\n";
        let past = count(&mut text.as_bytes()).unwrap();
        assert_eq!(past, Past { commits: 3, contributors: 2, last: Some(30) });
        assert_eq!(count(&mut b"".as_slice()).unwrap(), Past::default());
    }
}
