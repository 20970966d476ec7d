//! The archive of the subject against the commit that it names, in a clone that the user gives.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use super::archive::{MOST, commit, path_in_vcs, text};
use super::tree::Tree;
use super::{FactsError, FactsSettings, Question, asked, build_code};
use crate::acquire::{CommitFiles, Item, LocalClone, blob_name};
use crate::evidence::fact::{Asked, Change, Fact, ODD_ARCHIVE, REPOSITORY, Repository, Source};
use crate::evidence::time::date;
use crate::ids::{PackageId, counted};

/// The name of this source of facts.
const NAME: &str = "repository";
/// What cargo makes itself. Of the manifest, it keeps what the author wrote under another name.
const OF_CARGO: [&str; 3] = [".cargo_vcs_info.json", ".cargo-ok", "Cargo.lock"];
const MANIFEST: &str = "Cargo.toml";
const WRITTEN: &str = "Cargo.toml.orig";

/// Compares, if a clone was given.
pub(super) fn tell(
    question: &Question<'_>,
    tree: Option<&Tree>,
    settings: &FactsSettings,
    facts: &mut Vec<Fact>,
) -> Result<(), FactsError> {
    let Some(folder) = &settings.repository else {
        let why = "no clone of the repository was given with --repository";
        facts.push(asked(question, NAME, Asked::NotChecked, why));
        return Ok(());
    };
    let clone = LocalClone::open(folder).map_err(|reason| FactsError::repository(folder, reason))?;
    let mut about = Repository { shallow: clone.is_shallow(), ..Repository::default() };
    let compared = match (tree, question.archive) {
        (Some(tree), Some((dir, _))) => of_archive(question.subject, dir, tree, &clone, &mut about, facts),
        _ => Err("there is no archive to compare".to_owned()),
    };
    let (mut status, mut said) = match compared {
        Ok(said) => (if about.uncompared > 0 { Asked::Partial } else { Asked::Checked }, said),
        Err(why) => (Asked::NotChecked, format!("no file was compared: {why}")),
    };
    match clone.past(about.commit.as_deref()) {
        Ok(past) => {
            (about.commits, about.contributors, about.last) = (Some(past.commits), Some(past.contributors), past.last);
            let cut = if about.shallow { " (the clone is shallow)" } else { "" };
            let last = past.last.map_or_else(String::new, |time| format!(", the last on {}", date(time)));
            _ = write!(
                said,
                "; {} by {}{cut}{last}",
                counted(past.commits, "commit"),
                counted(past.contributors, "contributor")
            );
        }
        Err(why) => {
            status = if status == Asked::Checked { Asked::Partial } else { status };
            _ = write!(said, "; {why}");
        }
    }
    facts.push(Fact::new(REPOSITORY, question.subject, said.clone()).with(&about));
    // Who gives a clone wants the comparison, so that a run without it is not complete.
    let source = Source { source: NAME.to_owned(), status, required: status == Asked::NotChecked, day: None };
    facts.push(Fact::new(super::SOURCE, question.subject, said).with(&source));
    Ok(())
}

/// Compares; what came of it in words, or why nothing was compared.
fn of_archive(
    subject: &PackageId,
    dir: &Path,
    tree: &Tree,
    clone: &LocalClone,
    about: &mut Repository,
    facts: &mut Vec<Fact>,
) -> Result<String, String> {
    facts.extend(other_repository(subject, tree, clone, about));
    let (Some(commit), Some(path)) = (commit(tree), path_in_vcs(tree)) else {
        return Err("the archive names no commit".to_owned());
    };
    (about.commit, about.path) = (Some(commit.clone()), path.to_owned());
    let short = commit.get(..12).unwrap_or(&commit);
    let Some(files) = clone.files(&commit)? else {
        if !clone.is_shallow() {
            let text = format!("it says that it is of commit {short}, which the clone does not have");
            facts.push(odd(subject, "commit-missing", &commit, text));
        }
        return Err(format!("the clone does not have commit {short}"));
    };
    about.known = true;
    if files.below(path).next().is_none() {
        let text = format!("it says that it lies in {path}, and commit {short} has no such folder");
        facts.push(odd(subject, "commit-path", path, text));
        return Err(format!("commit {short} has no folder {path}"));
    }
    let found =
        compare(dir, tree, path, &commit, &files).map_err(|error| format!("a file of it cannot be read: {error}"))?;
    let at_build_time =
        build_code::files(tree, |path| fs::read(dir.join(path)).ok().and_then(|b| String::from_utf8(b).ok()));
    facts.extend(differences(subject, &found, &at_build_time, short));
    let mut said = format!(
        "{} as in commit {short}, {} otherwise, {} not in it",
        counted(found.equal, "file"),
        found.changed.len(),
        found.added.len()
    );
    if found.uncompared > 0 {
        _ = write!(said, ", {} not compared (of submodules, or of links that the clone lacks)", found.uncompared);
    }
    let first = |paths: Vec<String>| paths.into_iter().take(MOST).collect();
    (about.equal, about.uncompared) = (found.equal, found.uncompared);
    (about.changed, about.added, about.missing) = (first(found.changed), first(found.added), first(found.missing));
    Ok(said)
}

fn odd(subject: &PackageId, what: &str, which: &str, text: String) -> Fact {
    let change = Change { what: what.to_owned(), which: which.to_owned(), since: None };
    Fact::new(ODD_ARCHIVE, subject, text).with(&change)
}

/// What is odd about the clone: it is of another repository than the manifest names.
fn other_repository(subject: &PackageId, tree: &Tree, clone: &LocalClone, about: &mut Repository) -> Option<Fact> {
    let named = text(tree, "repository")?;
    let first = clone.remotes.first()?;
    let matches = clone.remotes.iter().any(|remote| is_of(named, remote));
    about.matches = Some(matches);
    let says = || format!("its manifest names the repository {named}, and the clone is of {first}");
    (!matches).then(|| odd(subject, "other-repository", named, says()))
}

/// Files that the commit has otherwise or not at all: the first of each sort by name, and how many more there are.
fn differences(subject: &PackageId, found: &Compared, at_build_time: &BTreeSet<&str>, short: &str) -> Vec<Fact> {
    let mut told = Vec::new();
    for (paths, what, says) in [(&found.changed, "changed", "is another one in"), (&found.added, "added", "is not in")]
    {
        let (build, other): (Vec<&String>, Vec<&String>) =
            paths.iter().partition(|path| at_build_time.contains(path.as_str()));
        for (paths, kind, role) in [(build, "build-code", ", which takes part in the build,"), (other, "file", "")] {
            let what = format!("{kind}-{what}");
            for path in paths.iter().take(MOST) {
                told.push(odd(subject, &what, path, format!("its file {path}{role} {says} commit {short}")));
            }
            if let Some(more @ 1..) = paths.len().checked_sub(MOST) {
                let text = format!("{more} more files of it: each {says} commit {short}");
                told.push(odd(subject, &what, &format!("{more} more"), text));
            }
        }
    }
    told
}

/// How the files of an archive compare with those of a commit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Compared {
    equal: u64,
    changed: Vec<String>,
    added: Vec<String>,
    missing: Vec<String>,
    uncompared: u64,
}

fn compare(dir: &Path, tree: &Tree, folder: &str, commit: &str, files: &CommitFiles) -> io::Result<Compared> {
    let mut found = Compared::default();
    let has_written = tree.files.contains_key(WRITTEN);
    // What lies further up is packed into the root.
    let moved = ["readme", "license-file"].map(|key| text(tree, key));
    for path in tree.files.keys() {
        if OF_CARGO.contains(&path.as_str()) || path == MANIFEST && has_written {
            continue;
        }
        let place = if path == WRITTEN { MANIFEST } else { path };
        let place = if folder.is_empty() { place.to_owned() } else { format!("{folder}/{place}") };
        match files.at(&place) {
            Some(Item::File(object)) => {
                if names(&dir.join(path), commit)?.contains(object) {
                    found.equal += 1;
                } else {
                    found.changed.push(path.clone());
                }
            }
            Some(Item::Submodule | Item::Link(_)) => found.uncompared += 1,
            None => {
                let is_moved = moved.contains(&Some(path.as_str()));
                if is_moved && names(&dir.join(path), commit)?.iter().any(|name| files.has_object(name)) {
                    found.equal += 1;
                } else {
                    found.added.push(path.clone());
                }
            }
        }
    }
    // Packages in packages are left out.
    let inner: BTreeSet<&str> = files.below(folder).filter_map(|path| path.strip_suffix("/Cargo.toml")).collect();
    let is_inner =
        |path: &str| path.match_indices('/').any(|(at, _)| path.get(..at).is_some_and(|f| inner.contains(f)));
    let is_here = |path: &str| tree.files.contains_key(path) || OF_CARGO.contains(&path);
    found.missing = files.below(folder).filter(|path| !is_here(path) && !is_inner(path)).map(str::to_owned).collect();
    Ok(found)
}

/// The names that git would give to the file: as it is, and with the line endings of a repository. None for one whose own
/// name is no text, so that it is not found by what stands for it.
fn names(path: &Path, like: &str) -> io::Result<Vec<String>> {
    let contents = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let mut names = vec![blob_name(like, &contents)];
    if contents.windows(2).any(|pair| pair == b"\r\n") {
        let mut plain = Vec::with_capacity(contents.len());
        for (at, byte) in contents.iter().enumerate() {
            if *byte != b'\r' || contents.get(at + 1) != Some(&b'\n') {
                plain.push(*byte);
            }
        }
        names.push(blob_name(like, &plain));
    }
    Ok(names)
}

/// True if a manifest's address means what the remote does: the same host and path, or a page below it.
fn is_of(named: &str, remote: &str) -> bool {
    let (named, remote) = (address(named), address(remote));
    named == remote || named.strip_prefix(&remote).is_some_and(|rest| rest.starts_with('/'))
}

/// `host/path` of an address in any of the ways to write it.
fn address(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let (scheme, rest) = text.split_once("://").map_or(("", text.as_str()), |(scheme, rest)| (scheme, rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = match (scheme, rest.split_once(':')) {
        // `user@host:path`
        ("", Some((host, path))) if !host.contains('/') => (host, path),
        _ => rest.split_once('/').unwrap_or((rest, "")),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().trim_start_matches("www.");
    format!("{host}/{}", path.trim_matches('/').trim_end_matches(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_in_each_way_to_write_it() {
        let remote = "https://example.invalid/x/one.git";
        for named in [
            "https://example.invalid/x/one",
            "http://www.Example.invalid/X/one/",
            "git@example.invalid:x/one.git",
            "ssh://git@example.invalid:22/x/one",
            "https://example.invalid/x/one/tree/main/crates/a",
            "https://example.invalid/x/one?a#b",
        ] {
            assert!(is_of(named, remote) && is_of(remote, named) | named.contains("/tree/"), "{named}");
        }
        for named in
            ["https://example.invalid/x/one-more", "https://other.invalid/x/one", "https://example.invalid/x", ""]
        {
            assert!(!is_of(named, remote), "{named}");
        }
        assert!(!is_of("https://example.invalid/x/one", "/srv/mirrors/one.git"));
    }

    #[test]
    fn line_endings_are_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let like = "0".repeat(40);
        fs::write(&file, "a\r\nb\rc\r\n").unwrap();
        assert_eq!(names(&file, &like).unwrap()[1], blob_name(&like, b"a\nb\rc\n"));
        fs::write(&file, "a\nb\n").unwrap();
        assert_eq!(names(&file, &like).unwrap(), [blob_name(&like, b"a\nb\n")]);
        assert_eq!(names(&folder.path().join("absent"), &like).unwrap(), Vec::<String>::new());
    }
}
