//! Packages of git repositories: one commit of each, read object by object.
//!
//! git fetches into a bare repository of ours, and the files are read with `cat-file`: no hook, no filter, no
//! submodule and nothing of the repository's configuration has a say. Submodules are left out, and links that lead to no
//! file of the commit.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cargo_lock::package::GitReference;
use cargo_lock::{Package, SourceId};
use sha2::{Digest as _, Sha256};

use super::super::archive::{make_folders, write_new};
use super::super::error::AcquireError;
use super::super::facts::{Found, SKIPPED_FILE};
use super::super::settings::AcquireSettings;
use super::links;
use crate::evidence::bytes::{Bytes, is_printable};
use crate::ids::Sha256Digest;
use crate::sys::process::die_with_the_caller;

/// Bytes that a repository may take while it is fetched.
const REPOSITORY_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of git's own words that are kept.
const WORDS: usize = 16 * 1024;
/// Links and submodules that are told one by one.
const LISTED: usize = 16;
/// Bytes of where a link leads: `PATH_MAX`.
const TARGET: u64 = 4096;
/// The variables that git may need to reach a server as the user does.
const PASSED: [&str; 14] = [
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// A commit of a repository, as a lock file names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitSource {
    /// The repository.
    pub url: String,
    /// `branch`, `tag` or `rev` with its value, as the manifest has it.
    pub reference: Option<(&'static str, String)>,
    /// The commit.
    commit: String,
}

impl GitSource {
    /// The source of a package, if it is one.
    pub(super) fn of(package: &Package) -> Option<Result<Self, AcquireError>> {
        package.source.as_ref().filter(|source| source.is_git()).map(Self::read)
    }

    fn read(source: &SourceId) -> Result<Self, AcquireError> {
        let url = source.url().to_string();
        let wrong = |reason: &str| AcquireError::Git { url: url.clone(), reason: reason.to_owned(), temporary: false };
        let commit = source.precise().unwrap_or_default().to_owned();
        if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong("the lock file names no commit of it"));
        }
        if !["https", "http", "ssh", "git", "file"].contains(&source.url().scheme()) || url.starts_with('-') {
            return Err(wrong("it is to be reached in a way that is not used here"));
        }
        let reference = match source.git_reference() {
            None | Some(GitReference::DefaultBranch) => None,
            Some(GitReference::Branch(name)) => Some(("branch", name.clone())),
            Some(GitReference::Tag(name)) => Some(("tag", name.clone())),
            Some(GitReference::Rev(name)) => Some(("rev", name.clone())),
        };
        Ok(Self { url, reference, commit })
    }

    /// Writes the files of the commit below the new folder `to`; what was left out is told.
    pub(super) fn check_out(
        &self,
        to: &Path,
        settings: &AcquireSettings,
        offline: bool,
    ) -> Result<Vec<Found>, AcquireError> {
        let repository = self.repository(settings, offline)?;
        let entries = self.list(&repository, settings)?;
        self.write(&repository, entries, to)
    }

    /// A repository that has the commit: cargo's own, ours, or a fresh one.
    fn repository(&self, settings: &AcquireSettings, offline: bool) -> Result<PathBuf, AcquireError> {
        let digest = Sha256Digest(Sha256::digest(format!("{}\0{}", self.url, self.commit)).into()).hex();
        let ours = settings.cache_dir.join("git").join(digest);
        let cargos = fs::read_dir(settings.cargo_home.join("git/db")).into_iter().flatten().flatten();
        let cargos: BTreeSet<PathBuf> = cargos.map(|entry| entry.path()).filter(|path| self.may_be(path)).collect();
        if let Some(known) = std::iter::once(ours.clone()).chain(cargos).find(|folder| self.is_in(folder)) {
            return Ok(known);
        }
        if offline {
            return Err(AcquireError::OfflineMissing { missing: vec![format!("{}#{}", self.url, self.commit)] });
        }
        let parent = ours.parent().unwrap_or(&ours);
        fs::create_dir_all(parent).map_err(AcquireError::file("create", parent))?;
        let fresh = tempfile::Builder::new().prefix(".fresh-").tempdir_in(parent);
        let fresh = fresh.map_err(AcquireError::file("create", parent))?;
        self.fetch(fresh.path(), settings)?;
        if !self.is_in(fresh.path()) {
            return Err(self.error("the repository does not have this commit", false));
        }
        // Another run may have been faster, with the same commit.
        match fs::rename(fresh.path(), &ours) {
            Ok(()) => Ok(ours),
            Err(_) if self.is_in(&ours) => Ok(ours),
            Err(error) => Err(AcquireError::file("move", &ours)(error)),
        }
    }

    /// True for a folder that cargo would call so.
    fn may_be(&self, folder: &Path) -> bool {
        let last = self.url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let last = last.trim_end_matches(".git").to_lowercase();
        folder.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().starts_with(&format!("{last}-")))
    }

    fn is_in(&self, folder: &Path) -> bool {
        let mut command = git(folder);
        command.args(["cat-file", "-e", &format!("{}^{{commit}}", self.commit)]);
        folder.join("objects").is_dir() && command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn fetch(&self, folder: &Path, settings: &AcquireSettings) -> Result<(), AcquireError> {
        let mut init = git(folder);
        init.args(["init", "--quiet", "--bare", "--template="]).arg(folder);
        self.run(init, folder, settings)?;
        let options = ["fetch", "--quiet", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-gc"];
        let mut one = git(folder);
        let wanted = format!("{}:refs/heads/locked", self.commit);
        one.args(options).args(["--depth=1", "--no-tags", "--", &self.url, &wanted]);
        if self.run(one, folder, settings).is_ok() {
            return Ok(());
        }
        // Some servers give whole branches only.
        let mut all = git(folder);
        all.args(options).args(["--", &self.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        self.run(all, folder, settings)
    }

    /// Runs git until it ends, takes too long or fills the folder.
    fn run(&self, mut command: Command, folder: &Path, settings: &AcquireSettings) -> Result<(), AcquireError> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.error(&format!("cannot start git: {error}"), false))?;
        let words = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut kept = Vec::new();
                let mut piece = [0; 4096];
                while let Ok(count @ 1..) = stderr.read(&mut piece) {
                    kept.extend(piece.iter().take(count));
                    let over = kept.len().saturating_sub(WORDS);
                    kept.drain(..over);
                }
                kept
            })
        });
        let begun = Instant::now();
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status.success()),
                Ok(None) if begun.elapsed() > settings.limits.transfer => break Err("it takes too long"),
                Ok(None) if size_of(folder) > REPOSITORY_BYTES => break Err("it is too large"),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(_) => break Err("git cannot be waited for"),
            }
        };
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let words = words.and_then(|words| words.join().ok()).unwrap_or_default();
        match ended {
            Ok(true) => Ok(()),
            Ok(false) => {
                let words = String::from_utf8_lossy(&words);
                let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("git failed");
                Err(self.error(&last.chars().filter(|c| is_printable(*c)).collect::<String>(), true))
            }
            Err(reason) => Err(self.error(reason, false)),
        }
    }

    fn error(&self, reason: &str, temporary: bool) -> AcquireError {
        AcquireError::Git { url: self.url.clone(), reason: reason.to_owned(), temporary }
    }

    /// The files of the commit, within bounds.
    fn list(&self, repository: &Path, settings: &AcquireSettings) -> Result<Listing, AcquireError> {
        let mut command = git(repository);
        command.args(["ls-tree", "-r", "-z", "--long", "--full-tree", &self.commit]);
        let mut child = self.start(command)?;
        let mut listing = Listing::default();
        let mut bytes = 0_u64;
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(|| self.error("git says nothing", false))?);
        let mut line = Vec::new();
        while lines.read_until(0, &mut line).is_ok_and(|count| count > 0) {
            line.pop();
            let entry = Entry::read(&line).ok_or_else(|| self.error("a name in it leads outside", false))?;
            bytes = bytes.saturating_add(entry.size);
            let is_too_much = bytes > settings.limits.copied_bytes
                || u64::try_from(listing.files.len()).unwrap_or(u64::MAX) >= settings.limits.copied_files;
            if is_too_much {
                let _ = child.kill();
                let _ = child.wait();
                return Err(self.error("it is too large", false));
            }
            match entry.kind {
                Kind::File { .. } => listing.files.push(entry),
                Kind::Link if entry.size <= TARGET => listing.links.push(entry),
                Kind::Link => listing.leave(&entry.path, A_LINK),
                Kind::Submodule => listing.leave(&entry.path, "a submodule"),
            }
            line.clear();
        }
        listing.room = settings.limits.copied_bytes.saturating_sub(bytes);
        if child.wait().is_ok_and(|status| status.success()) {
            Ok(listing)
        } else {
            Err(self.error("it cannot be read", false))
        }
    }

    fn start(&self, mut command: Command) -> Result<Child, AcquireError> {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().map_err(|error| self.error(&format!("cannot start git: {error}"), false))
    }

    fn write(&self, repository: &Path, mut listing: Listing, to: &Path) -> Result<Vec<Found>, AcquireError> {
        make_folders(to, Path::new("")).map_err(AcquireError::file("create", to))?;
        self.read_objects(repository, &listing.files, |file, contents| {
            let place = to.join(&file.path);
            let folder = file.path.parent().unwrap_or(Path::new(""));
            make_folders(to, folder).map_err(AcquireError::file("create", &place))?;
            let is_program = matches!(file.kind, Kind::File { executable: true });
            write_new(&place, is_program, contents).map_err(AcquireError::file("write", &place))
        })?;
        let mut links = BTreeMap::new();
        self.read_objects(repository, &listing.links, |link, contents| {
            let mut target = Vec::new();
            contents.read_to_end(&mut target).map_err(|_| self.error("an object of it is missing", false))?;
            links.insert(link.path.clone(), PathBuf::from(OsStr::from_bytes(&target)));
            Ok(())
        })?;
        for link in links::write_out(links, to, listing.room)? {
            listing.leave(&link, A_LINK);
        }
        Ok(listing.left_out)
    }

    /// Reads the objects of entries one after the other; `take` gets each with its contents.
    fn read_objects(
        &self,
        repository: &Path,
        entries: &[Entry],
        mut take: impl FnMut(&Entry, &mut dyn Read) -> Result<(), AcquireError>,
    ) -> Result<(), AcquireError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut command = git(repository);
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped());
        let mut child = self.start(command)?;
        let (Some(mut questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(self.error("git says nothing", false));
        };
        let mut answers = BufReader::new(answers);
        let read = std::thread::scope(|scope| {
            scope.spawn(move || {
                for entry in entries {
                    if writeln!(questions, "{}", entry.object).is_err() {
                        break;
                    }
                }
            });
            entries.iter().try_for_each(|entry| self.one(&mut answers, entry, &mut take))
        });
        let _ = child.kill();
        let _ = child.wait();
        read
    }

    fn one(
        &self,
        answers: &mut impl std::io::BufRead,
        entry: &Entry,
        take: &mut impl FnMut(&Entry, &mut dyn Read) -> Result<(), AcquireError>,
    ) -> Result<(), AcquireError> {
        let broken = || self.error("an object of it is missing", false);
        let mut head = String::new();
        answers.read_line(&mut head).map_err(|_| broken())?;
        let mut words = head.split_whitespace();
        let fits = words.next() == Some(entry.object.as_str()) && words.next() == Some("blob");
        let size: u64 = words.next().filter(|_| fits).and_then(|size| size.parse().ok()).ok_or_else(broken)?;
        if size != entry.size {
            return Err(broken());
        }
        take(entry, &mut answers.by_ref().take(size))?;
        let mut end = [0];
        answers.read_exact(&mut end).map_err(|_| broken())
    }
}

/// What a commit has.
#[derive(Debug, Default)]
struct Listing {
    files: Vec<Entry>,
    links: Vec<Entry>,
    left_out: Vec<Found>,
    /// Bytes that may be copied beyond those.
    room: u64,
}

const A_LINK: &str = "a symbolic link";

impl Listing {
    fn leave(&mut self, path: &Path, what: &str) {
        if self.left_out.len() < LISTED {
            self.left_out.push(skipped(path, what));
        }
    }
}

/// One name in a commit.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    object: String,
    size: u64,
    path: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    File { executable: bool },
    Link,
    Submodule,
}

impl Entry {
    /// `MODE TYPE OBJECT SIZE<TAB>PATH`; none for what leads outside or is no line of git's.
    fn read(line: &[u8]) -> Option<Self> {
        let at = line.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(line.get(..at)?).ok()?;
        let path = Path::new(OsStr::from_bytes(line.get(at + 1..)?));
        let is_plain =
            |part: Component<'_>| matches!(part, Component::Normal(name) if !name.eq_ignore_ascii_case(".git"));
        if path.as_os_str().is_empty() || !path.components().all(is_plain) {
            return None;
        }
        let mut words = head.split_whitespace();
        let (mode, _, object, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let kind = match mode {
            "100644" | "100664" => Kind::File { executable: false },
            "100755" => Kind::File { executable: true },
            "120000" => Kind::Link,
            "160000" => Kind::Submodule,
            _ => return None,
        };
        Some(Self { kind, object: object.to_owned(), size: size.parse().unwrap_or(0), path: path.to_owned() })
    }
}

fn skipped(path: &Path, what: &str) -> Found {
    let bytes = path.as_os_str().as_bytes().to_vec();
    let text = format!("`{}` is {what} and was left out", Bytes(bytes.clone()));
    Found { code: SKIPPED_FILE, text, path: Some(bytes) }
}

/// git in a folder of ours, without hooks, filters, prompts and whatever starts programs of a repository's choice.
pub(in crate::acquire) fn git(folder: &Path) -> Command {
    const SETTINGS: [&str; 7] = [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.pager=cat",
        "gc.auto=0",
        "maintenance.auto=false",
        "submodule.recurse=false",
        "fetch.recurseSubmodules=false",
    ];
    let mut command = Command::new("git");
    command.args(["--no-pager", "--no-replace-objects", "--literal-pathspecs"]);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command.envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // Unlike `protocol.allow`, nothing that a repository's own settings say of one protocol outweighs it.
    command.env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file");
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_LAZY_FETCH", "1").env("LC_ALL", "C");
    command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes").env("GIT_CONFIG_NOSYSTEM", "1");
    die_with_the_caller(&mut command);
    command
}

/// The bytes of all files of a folder.
fn size_of(folder: &Path) -> u64 {
    let (mut all, mut open) = (0_u64, vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) => all = all.saturating_add(meta.len()),
                Err(_) => {}
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::Environment;

    #[test]
    fn names_that_lead_outside_are_refused() {
        let line = |path: &str| format!("100644 blob {} 5\t{path}", "a".repeat(40)).into_bytes();
        assert!(Entry::read(&line("src/lib.rs")).is_some());
        for evil in ["../x", "/etc/x", "a/../../x", ".git/hooks/x", "a/.GIT/config", ""] {
            assert_eq!(Entry::read(&line(evil)), None, "{evil}");
        }
        assert_eq!(Entry::read(b"040000 tree aaaa -\tx"), None);
    }

    #[test]
    fn a_commit_is_checked_out_without_hooks_filters_submodules_and_links_out_of_it() {
        let root = tempfile::tempdir().unwrap();
        let (from, sign) = (root.path().join("from"), root.path().join("sign"));
        fs::create_dir(&from).unwrap();
        let run = |args: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(args).current_dir(&from);
            command.env("GIT_CONFIG_GLOBAL", "/dev/null");
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        run(&["init", "-q", "-b", "main", "."]);
        fs::write(from.join("Cargo.toml"), "[package]").unwrap();
        fs::write(from.join(".gitattributes"), "* filter=evil\n").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        std::os::unix::fs::symlink("Cargo.toml", from.join("inner")).unwrap();
        run(&["add", "."]);
        run(&["commit", "-q", "-m", "one"]);
        let commit = run(&["rev-parse", "HEAD"]);
        let evil = format!("touch {}", sign.display());
        run(&["config", "filter.evil.smudge", &evil]);
        run(&["config", "uploadpack.packObjectsHook", &evil]);
        let source = GitSource { url: format!("file://{}", from.display()), reference: None, commit };
        let settings = AcquireSettings::in_environment(root.path().join("cache"), Environment::default());
        let to = root.path().join("to");
        let found = source.check_out(&to, &settings, false).unwrap();
        assert_eq!(fs::read_to_string(to.join("Cargo.toml")).unwrap(), "[package]");
        assert!(fs::symlink_metadata(to.join("inner")).unwrap().is_file());
        assert_eq!(fs::read_to_string(to.join("inner")).unwrap(), "[package]");
        assert!(!to.join("link").exists() && !to.join(".git").exists() && !sign.exists());
        assert!(found[0].text.contains("symbolic link"), "{found:?}");
        // It is here now.
        source.check_out(&root.path().join("again"), &settings, true).unwrap();
        let other = GitSource { commit: "b".repeat(40), ..source };
        assert!(matches!(other.check_out(&to, &settings, true), Err(AcquireError::OfflineMissing { .. })));
        other.check_out(&root.path().join("other"), &settings, false).unwrap_err();
    }
}
