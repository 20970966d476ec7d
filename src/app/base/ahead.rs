//! Streams of packs that are written while the run goes on, on a CPU that nobody else wants.
//!
//! Hashing and copying all outputs at the end would make a person wait, and near its end a build leaves CPUs idle. What is
//! written ahead is used only if nothing about the outputs has changed when the run is over.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

use super::kept::{entries_of, outputs_of};
use crate::base::Finished;
use crate::base::pack::Draft;
use crate::base::stream::Entry;
use crate::base::tree::Tree;
use crate::evidence::known;
use crate::ids::PackageId;
use crate::sandbox::channel::Event;
use crate::sys::process::run_when_idle;

/// How long a package had no new unit when its stream is written: cargo writes its own marks after the end of a unit, and
/// another unit of the package may follow.
const PAUSE: Duration = Duration::from_secs(2);

/// How often it is looked whether that time has come.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes of the file system that stay free: evidence must find room.
const ROOM: u64 = 4 << 30;

/// The outputs of a run that has ended.
#[derive(Debug)]
pub(in crate::app) struct Outputs {
    pub(super) tree: Arc<Tree>,
    /// What was written ahead, by package.
    pub(super) drafts: BTreeMap<PackageId, Drafted>,
    _writer: Option<Writer>,
}

/// A stream with the entries that are in it.
#[derive(Debug)]
pub(super) struct Drafted {
    pub(super) entries: Vec<Entry>,
    pub(super) draft: Draft,
}

impl Drafted {
    /// True if these are the entries that were written, and nothing about them has changed since.
    pub(super) fn holds(&self, entries: &[&Entry]) -> bool {
        self.entries.iter().eq(entries.iter().copied())
    }
}

/// Follows a run and writes ahead, until it is dropped.
#[derive(Debug)]
pub(in crate::app) struct Ahead {
    watched: Arc<Watched>,
    tree: Option<Arc<Tree>>,
    /// None as well where no thread could be started: then nothing is written ahead.
    writer: Option<Writer>,
}

/// The thread that writes. It is waited for at the very end: on a machine that is busy, its last word may take a while.
#[derive(Debug)]
struct Writer(Option<JoinHandle<()>>);

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// What the events of a run tell, and where its packs will lie.
#[derive(Debug)]
struct Watched {
    folder: PathBuf,
    jobs: usize,
    pause: Duration,
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    units: BTreeMap<PackageId, Vec<Finished>>,
    /// When the last unit ended of packages whose stream is not written.
    waiting: BTreeMap<PackageId, Instant>,
    drafts: BTreeMap<PackageId, Drafted>,
}

impl Ahead {
    /// For a run with so many jobs, whose packs will lie in the folder of evidence `folder`.
    pub(in crate::app) fn new(folder: &Path, jobs: usize) -> Self {
        Self::with_pause(folder, jobs, PAUSE)
    }

    fn with_pause(folder: &Path, jobs: usize, pause: Duration) -> Self {
        let (folder, state, changed) = (folder.to_owned(), Mutex::default(), Condvar::new());
        let watched = Watched { folder, jobs, pause, state, changed, is_over: AtomicBool::new(false) };
        Self { watched: Arc::new(watched), tree: None, writer: None }
    }

    /// Takes in an event, and the folder of outputs when it comes.
    pub(in crate::app) fn tell(&mut self, event: &Event, outputs: Option<OwnedFd>) {
        if let Some(folder) = outputs {
            let (tree, watched) = (Arc::new(Tree::new(folder)), Arc::clone(&self.watched));
            let of_writer = Arc::clone(&tree);
            let started = thread::Builder::new().name("ahead".to_owned()).spawn(move || {
                let ended = watched.write_ahead(&of_writer);
                tracing::debug!(?ended, "nothing more is written ahead");
            });
            self.writer = started.ok().map(|thread| Writer(Some(thread)));
            self.tree = Some(tree);
        }
        let mut state = self.watched.state();
        match event {
            Event::UnitStarted { .. } => state.running += 1,
            Event::UnitEnded { finished } => {
                state.running = state.running.saturating_sub(1);
                if let Some(unit) = finished {
                    state.waiting.insert(unit.package.clone(), Instant::now());
                    state.units.entry(unit.package.clone()).or_default().push(unit.clone());
                }
            }
            _ => {}
        }
    }

    /// The outputs, if they were handed over, with what is written by now.
    pub(in crate::app) fn end(mut self) -> Option<Outputs> {
        self.watched.end();
        let tree = self.tree.take()?;
        let drafts = std::mem::take(&mut self.watched.state().drafts);
        Some(Outputs { tree, drafts, _writer: self.writer.take() })
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.watched.end();
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Writes streams until the run is over or something is in the way: whatever is not written ahead is written then.
    fn write_ahead(&self, tree: &Tree) -> io::Result<()> {
        run_when_idle()?;
        while let Some(due) = self.next() {
            let files = outputs_of(tree)?;
            for (package, units) in due {
                let entries: Vec<Entry> = entries_of(&units, &files).1.into_iter().cloned().collect();
                let drafted = if entries.is_empty() { None } else { Some(self.write(tree, entries)?) };
                let mut state = self.state();
                // What was written before is of fewer units.
                state.drafts.remove(&package);
                state.drafts.extend(drafted.filter(|_| !self.is_over()).map(|drafted| (package, drafted)));
            }
        }
        Ok(())
    }

    /// The packages whose time has come, with their units, as soon as fewer units run than may.
    fn next(&self) -> Option<Vec<(PackageId, Vec<Finished>)>> {
        let mut state = self.state();
        while !self.is_over() {
            let is_due = |ended: &Instant| ended.elapsed() >= self.pause;
            if state.running < self.jobs && state.waiting.values().any(is_due) {
                let State { units, waiting, .. } = &mut *state;
                let due = waiting.extract_if(.., |_, ended| is_due(ended));
                let with_units = |(package, _)| units.get(&package).cloned().map(|units| (package, units));
                return Some(due.filter_map(with_units).collect());
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    fn write(&self, tree: &Tree, entries: Vec<Entry>) -> io::Result<Drafted> {
        let bytes: u64 = entries.iter().map(|entry| entry.size).sum();
        known::make(&self.folder)?;
        let room = statvfs(&self.folder)?;
        if room.blocks_available().saturating_mul(room.fragment_size()) < ROOM.saturating_add(bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let draft = Draft::write(&self.folder, |to| {
            let mut to = UntilOver { to, is_over: &self.is_over };
            entries.iter().try_for_each(|entry| tree.write(entry, &mut to))
        })?;
        Ok(Drafted { entries, draft })
    }
}

/// Nobody waits for a large file to be through.
struct UntilOver<'a> {
    to: &'a mut dyn Write,
    is_over: &'a AtomicBool,
}

impl Write for UntilOver<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::base::pack::{self, Index, Pack};
    use crate::evidence::line::UnitKind;
    use crate::ids::Sha256Digest;

    /// A unit with outputs, as cargo leaves them.
    fn unit(target: &Path, name: &str) -> Finished {
        let identity = format!("{name}-01");
        for (path, bytes) in
            [(format!("deps/lib{identity}.rmeta"), "output"), (format!(".fingerprint/{identity}/lib-{name}"), "mark")]
        {
            let path = target.join("debug").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Finished { package: PackageId::new(name, "1.0.0"), kind: UnitKind::Compile, identity, driven: false }
    }

    /// Streams that are complete by now.
    fn written(known: &Path) -> usize {
        let streams = fs::read_dir(known.join("units")).into_iter().flatten();
        streams.filter(|stream| stream.as_ref().unwrap().metadata().unwrap().len() > 0).count()
    }

    fn until(mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_mins(2), "nothing was written");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn what_is_written_ahead_is_a_pack_and_is_not_used_once_anything_about_it_has_changed() {
        let (target, known) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = unit(target.path(), "one");
        let mut ahead = Ahead::with_pause(known.path(), 1, Duration::ZERO);
        ahead.tell(&Event::Started { outputs: true }, Some(File::open(target.path()).unwrap().into()));
        ahead.tell(&Event::UnitStarted { text: String::new() }, None);
        ahead.tell(&Event::UnitEnded { finished: Some(one.clone()) }, None);
        until(|| written(known.path()) == 1);
        // While as many run as may, nothing is written.
        ahead.tell(&Event::UnitStarted { text: String::new() }, None);
        let other = unit(target.path(), "other");
        ahead.tell(&Event::UnitStarted { text: String::new() }, None);
        ahead.tell(&Event::UnitEnded { finished: Some(other.clone()) }, None);
        thread::sleep(LOOK * 2);
        let mut outputs = ahead.end().unwrap();
        assert_eq!(outputs.drafts.keys().collect::<Vec<_>>(), [&one.package]);

        let holds = |drafted: &Drafted| {
            let files = outputs_of(&outputs.tree).unwrap();
            drafted.holds(&entries_of(std::slice::from_ref(&one), &files).1)
        };
        let drafted = outputs.drafts.get(&one.package).unwrap();
        assert!(holds(drafted));
        // Other bytes of the same length and with the same time.
        let output = target.path().join("debug/deps/libone-01.rmeta");
        let time = fs::metadata(&output).unwrap().modified().unwrap();
        fs::write(&output, "OUTPUT").unwrap();
        File::options().write(true).open(&output).unwrap().set_modified(time).unwrap();
        assert!(!holds(drafted));

        let (evidence, sha256, key) = ("a.jsonl".to_owned(), Sha256Digest([9; 32]), Sha256Digest([1; 32]));
        let index =
            Index { key, package: one.package.clone(), evidence, sha256, needs: Vec::new(), units: vec![one.clone()] };
        outputs.drafts.remove(&one.package).unwrap().draft.finish(known.path(), &index).unwrap();
        pack::verify(&pack::path_of(known.path(), key)).unwrap();
        let mut stream = Vec::new();
        let found = Pack::open(known.path(), key).unwrap().unwrap().copy(&mut stream).unwrap();
        let stream = String::from_utf8(stream).unwrap();
        assert_eq!((found, stream.contains("\noutput"), stream.contains("OUTPUT")), (index, true, false), "{stream}");
    }

    #[test]
    fn what_is_not_kept_is_gone_at_the_end() {
        let (target, known) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut ahead = Ahead::with_pause(known.path(), 1, Duration::ZERO);
        ahead.tell(&Event::Started { outputs: true }, Some(File::open(target.path()).unwrap().into()));
        ahead.tell(&Event::UnitEnded { finished: Some(unit(target.path(), "one")) }, None);
        until(|| written(known.path()) == 1);
        drop(ahead);
        assert_eq!(fs::read_dir(known.path().join("units")).unwrap().count(), 0);
    }
}
