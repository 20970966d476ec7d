//! Real clones, honest and hostile.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A repository with two commits of two authors.
struct Repository {
    root: tempfile::TempDir,
    commit: String,
}

impl Repository {
    fn new(format: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut this = Self { root, commit: String::new() };
        fs::create_dir_all(this.path().join("crates/one/src")).unwrap();
        this.git(&["init", "-q", "-b", "main", "--object-format", format, "."]);
        fs::write(this.path().join("LICENSE"), "licence").unwrap();
        this.git(&["add", "."]);
        this.git(&["commit", "-q", "-m", "first"]);
        fs::write(this.path().join("crates/one/src/lib.rs"), "//! One.").unwrap();
        symlink("../../LICENSE", this.path().join("crates/one/LICENSE")).unwrap();
        this.git(&["add", "."]);
        this.git(&["-c", "user.email=other@example.invalid", "commit", "-q", "-m", "second"]);
        this.git(&["remote", "add", "origin", "https://example.invalid/x/one.git"]);
        this.commit = this.git(&["rev-parse", "HEAD"]);
        this
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("one")
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.invalid"]).args(args).current_dir(self.path());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn config(&self, text: &str) {
        let config = self.path().join(".git/config");
        let before = fs::read_to_string(&config).unwrap();
        fs::write(config, before + text).unwrap();
    }
}

fn file(commit: &str, text: &str) -> Item {
    Item::File(blob_name(commit, text.as_bytes()))
}

#[test]
fn a_commit_its_files_and_what_lies_behind_it_are_read_of_either_kind_of_names() {
    for format in ["sha1", "sha256"] {
        let made = Repository::new(format);
        let clone = LocalClone::open(&made.path()).unwrap();
        assert_eq!(
            (clone.remotes.as_slice(), clone.is_shallow()),
            (&["https://example.invalid/x/one.git".to_owned()][..], false)
        );
        let files = clone.files(&made.commit).unwrap().unwrap();
        assert_eq!(files.at("crates/one/src/lib.rs"), Some(&file(&made.commit, "//! One.")));
        assert_eq!(files.at("crates/one/LICENSE"), Some(&file(&made.commit, "licence")));
        assert_eq!(files.below("crates/one").collect::<Vec<_>>(), ["LICENSE", "src/lib.rs"]);
        let past = clone.past(Some(&made.commit)).unwrap();
        assert_eq!((past.commits, past.contributors), (2, 2));
        assert_eq!(clone.past(None).unwrap(), past, "what is checked out");
        assert_eq!(clone.files(&"a".repeat(made.commit.len())).unwrap(), None);
        assert_eq!(clone.past(Some(&"a".repeat(made.commit.len()))).unwrap(), past);
    }
}

#[test]
fn packed_bare_and_shallow_clones_and_those_without_files_are_clones_too() {
    let made = Repository::new("sha1");
    made.git(&["gc", "-q"]);
    assert!(LocalClone::open(&made.path()).unwrap().past(None).is_ok(), "packed branches");
    let url = format!("file://{}", made.path().display());
    made.git(&["config", "uploadpack.allowFilter", "true"]);
    for (name, options, commits) in [
        ("bare", ["--bare", "--no-local"], 2),
        ("shallow", ["--depth=1", "-n"], 1),
        ("empty", ["--filter=blob:none", "-n"], 2),
    ] {
        let to = made.root.path().join(name);
        made.git(&["clone", "-q", options[0], options[1], &url, to.to_str().unwrap()]);
        let clone = LocalClone::open(&to).unwrap();
        assert_eq!((clone.is_shallow(), clone.past(None).unwrap().commits), (name == "shallow", commits), "{name}");
        let files = clone.files(&made.commit).unwrap().unwrap();
        assert_eq!(files.at("crates/one/src/lib.rs"), Some(&file(&made.commit, "//! One.")), "{name}");
        // The target of a link lies in a file, which a clone without files does not have and nobody fetches.
        let license = if name == "empty" { Item::Link(None) } else { file(&made.commit, "licence") };
        assert_eq!(files.at("crates/one/LICENSE"), Some(&license), "{name}");
    }
}

/// Each of these starts a program where git obeys the configuration; that of missing objects also where it only reads.
#[test]
fn nothing_that_a_clone_is_configured_to_start_is_started() {
    let made = Repository::new("sha1");
    let sign = made.root.path().join("sign");
    let evil = made.root.path().join("evil");
    fs::write(&evil, format!("#!/bin/sh\ntouch {}\nexit 1\n", sign.display())).unwrap();
    fs::set_permissions(&evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let evil = evil.display();
    fs::write(made.root.path().join("more"), "[remote \"more\"]\n\turl = https://more.invalid/x\n").unwrap();
    made.config(&format!(
        "[core]\n\tfsmonitor = {evil}\n\tpager = {evil}\n\thooksPath = {}\n\tsshCommand = {evil}\n\talternateRefsCommand = {evil}\n\
         [diff]\n\texternal = {evil}\n[filter \"x\"]\n\tsmudge = {evil}\n\tclean = {evil}\n[log]\n\tshowSignature = true\n\
         [gpg]\n\tprogram = {evil}\n[include]\n\tpath = ../../more\n[protocol \"ext\"]\n\tallow = always\n\
         [extensions]\n\tpartialClone = bad\n[remote \"bad\"]\n\tpromisor = true\n\turl = ext::{evil}\n",
        made.root.path().display()
    ));
    fs::write(made.path().join(".gitattributes"), "* filter=x diff=x\n").unwrap();
    let missing = format!(".git/objects/{}/{}", &made.commit[..2], &made.commit[2..]);
    fs::rename(made.path().join(&missing), made.root.path().join("kept")).unwrap();
    // The control: git itself starts one as soon as an object is asked for that is not there.
    let asked = Command::new("git").args(["cat-file", "-e", &made.commit]).current_dir(made.path()).output().unwrap();
    assert!(!asked.status.success() && sign.exists(), "{}", String::from_utf8_lossy(&asked.stderr));
    fs::remove_file(&sign).unwrap();
    let clone = LocalClone::open(&made.path()).unwrap();
    assert_eq!(clone.remotes, ["https://example.invalid/x/one.git".to_owned(), format!("ext::{evil}")]);
    assert_eq!(clone.files(&made.commit).unwrap(), None);
    clone.past(Some(&made.commit)).unwrap_err();
    fs::rename(made.root.path().join("kept"), made.path().join(&missing)).unwrap();
    assert!(clone.files(&made.commit).unwrap().is_some() && clone.past(None).is_ok());
    assert!(!sign.exists());
}

#[test]
fn what_leads_out_of_a_clone_or_would_be_waited_for_is_refused() {
    let refused = |spoil: &dyn Fn(&Path)| {
        let made = Repository::new("sha1");
        LocalClone::open(&made.path()).unwrap();
        spoil(&made.path());
        LocalClone::open(&made.path()).unwrap_err()
    };
    let borrowed = refused(&|clone| fs::write(clone.join(".git/objects/info/alternates"), "/elsewhere\n").unwrap());
    assert!(borrowed.contains("--shared"), "{borrowed}");
    // A name that no object has.
    let linked = refused(&|clone| symlink("/elsewhere", clone.join(".git/objects/linked")).unwrap());
    assert!(linked.contains("no plain file"), "{linked}");
    let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(&|clone| fifo(&clone.join(".git/objects/fifo")));
    refused(&|clone| {
        fs::remove_file(clone.join(".git/config")).unwrap();
        fifo(&clone.join(".git/config"));
    });
    refused(&|clone| fs::write(clone.join(".git/shallow"), "--upload-pack=x\n").unwrap());
    let worktree = refused(&|clone| {
        fs::remove_dir_all(clone.join(".git")).unwrap();
        fs::write(clone.join(".git"), "gitdir: /elsewhere\n").unwrap();
    });
    assert!(worktree.contains("no folder"), "{worktree}");
    assert!(LocalClone::open(Path::new("/proc/self/fd")).unwrap_err().contains("no clone"));
}

#[test]
fn a_linked_working_tree_is_its_clone_where_the_clone_knows_of_it() {
    let made = Repository::new("sha1");
    for relative in ["false", "true"] {
        let tree = made.root.path().join(format!("tree-{relative}"));
        let name = tree.to_str().unwrap();
        let setting = format!("worktree.useRelativePaths={relative}");
        made.git(&["-c", &setting, "worktree", "add", "-q", "-b", relative, name, "HEAD~"]);
        let clone = LocalClone::open(&tree).unwrap();
        assert_eq!(clone.remotes, ["https://example.invalid/x/one.git"]);
        assert_eq!(clone.past(None).unwrap().commits, 1, "what is checked out there");
        assert!(clone.files(&made.commit).unwrap().is_some());
    }
    // Another folder that leads to the same clone: it is not one of the clone's working trees.
    let tree = made.root.path().join("tree-false");
    let other = made.root.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::copy(tree.join(".git"), other.join(".git")).unwrap();
    let error = LocalClone::open(&other).unwrap_err();
    assert!(error.contains("name the clone itself"), "{error}");
    fs::write(other.join(".git"), format!("gitdir: {}\n", made.path().join(".git").display())).unwrap();
    LocalClone::open(&other).unwrap_err();
    fs::remove_file(other.join(".git")).unwrap();
    symlink(tree.join(".git"), other.join(".git")).unwrap();
    LocalClone::open(&other).unwrap_err();
    // What the clone lends must lie in it.
    fs::write(made.path().join(".git/objects/info/alternates"), "/elsewhere\n").unwrap();
    assert!(LocalClone::open(&tree).unwrap_err().contains("--shared"));
}

#[test]
fn an_object_that_is_not_what_its_name_says_is_refused() {
    let made = Repository::new("sha1");
    let clone = LocalClone::open(&made.path()).unwrap();
    let other = made.git(&["rev-parse", "HEAD~"]);
    let place = |name: &str| made.path().join(".git/objects").join(&name[..2]).join(&name[2..]);
    fs::set_permissions(place(&made.commit), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::copy(place(&other), place(&made.commit)).unwrap();
    let error = clone.files(&made.commit).unwrap_err();
    assert!(error.contains("git fsck"), "{error}");
    assert!(clone.files(&other).unwrap().is_some());
}

#[test]
fn a_branch_that_leads_out_of_the_clone_is_not_looked_at() {
    let made = Repository::new("sha1");
    fs::write(made.root.path().join("outside"), &made.commit).unwrap();
    fs::write(made.path().join(".git/HEAD"), "ref: refs/../../../outside\n").unwrap();
    LocalClone::open(&made.path()).unwrap().past(None).unwrap_err();
    fs::write(made.path().join(".git/HEAD"), format!("{}\n", made.commit)).unwrap();
    assert_eq!(LocalClone::open(&made.path()).unwrap().past(None).unwrap().commits, 2);
}
