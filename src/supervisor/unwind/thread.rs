//! The thread that walks. What it reads was made by code that may be hostile, so it must be able to stand still or to
//! fall over without the supervisor doing the same: the one that asks waits for a while and no longer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Walked;
use super::files::Files;
use super::space::Space;
use super::walk::{Done, Start, walk};
use crate::ids::UnitId;
use crate::supervisor::caller::Proc;
use crate::supervisor::zones::Zones;
use crate::sys::registers;

/// How long the walk of one call may take, and how long one waits for it: on a busy machine a thread has to
/// wait for its turn.
const WALK: Duration = Duration::from_millis(50);
const WAIT: Duration = Duration::from_millis(500);
/// Threads that may fall over or stand still before nobody is asked any more.
const MOST_THREADS: u32 = 8;
/// Processes whose map is kept.
const MOST_SPACES: usize = 64;
/// Bytes that macro libraries may make us hold.
const MOST_HELD: u64 = 64 << 20;

/// A question about one waiting call.
#[derive(Clone, Copy, Debug)]
pub(in crate::supervisor) struct Ask {
    pub(in crate::supervisor) tid: i32,
    pub(in crate::supervisor) process: i32,
    /// The unit, and the process in which its rustc runs; none to walk whatever program it is.
    pub(in crate::supervisor) unit: Option<(UnitId, i32)>,
    /// True if the process may have mapped something since the last question.
    pub(in crate::supervisor) is_changed: bool,
    /// True if the name of the function is wanted.
    pub(in crate::supervisor) named: bool,
}

/// The asking end.
#[derive(Debug)]
pub(in crate::supervisor) struct Walker {
    procfs: Arc<Proc>,
    zones: Arc<Zones>,
    thread: Option<Thread>,
    /// Threads that were started.
    started: u32,
    number: u64,
}

#[derive(Debug)]
struct Thread {
    asks: SyncSender<(u64, Ask)>,
    answers: Receiver<Walked>,
    asked: Asked,
}

/// The number of the question that is waited for. Who takes it away decides: the thread, to break the call off, or the
/// one that asked, to wait no longer. So no call is broken off that was answered meanwhile.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<AtomicU64>);

impl Asked {
    fn put(&self, number: u64) {
        self.0.store(number, Ordering::SeqCst);
    }

    /// True for the first one that takes it.
    fn take(&self, number: u64) -> bool {
        self.0.compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl Walker {
    pub(in crate::supervisor) fn new(procfs: Arc<Proc>, zones: Arc<Zones>) -> Self {
        Self { procfs, zones, thread: None, started: 0, number: 0 }
    }

    /// Asks. The call that is asked about may have been broken off afterwards.
    pub(in crate::supervisor) fn ask(&mut self, ask: Ask) -> Walked {
        let lost = |why| Walked::Lost { sp: 0, why };
        self.number += 1;
        let number = self.number;
        let Some(thread) = self.running() else { return lost("nobody walks any more") };
        thread.asked.put(number);
        match thread.asks.try_send((number, ask)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.thread = None;
                return lost("the walk broke down");
            }
        }
        let mut answer = thread.answers.recv_timeout(WAIT);
        if answer == Err(RecvTimeoutError::Timeout) && !thread.asked.take(number) {
            // It breaks the call off just now.
            answer = thread.answers.recv_timeout(WAIT);
        }
        answer.unwrap_or_else(|error| {
            // The thread keeps what it has, and ends with its channel.
            self.thread = None;
            lost(if error == RecvTimeoutError::Timeout { "it took too long" } else { "the walk broke down" })
        })
    }

    fn running(&mut self) -> Option<&Thread> {
        if self.thread.is_none() && self.started < MOST_THREADS {
            const STACK: usize = 512 * 1024;
            self.started += 1;
            let (asks, next) = sync_channel(1);
            let (answer, answers) = sync_channel(1);
            let (procfs, zones) = (Arc::clone(&self.procfs), Arc::clone(&self.zones));
            let asked = Asked::default();
            let mine = asked.clone();
            let run = move || {
                let mut desk =
                    Desk { files: Files::new(procfs, zones), spaces: HashMap::new(), images: HashMap::new() };
                while let Ok((number, ask)) = next.recv() {
                    if answer.send(desk.answer(ask, &|| mine.take(number))).is_err() {
                        break;
                    }
                }
            };
            let started = thread::Builder::new().name("unwind".to_owned()).stack_size(STACK).spawn(run);
            self.thread = started.ok().map(|_| Thread { asks, answers, asked });
        }
        self.thread.as_ref()
    }
}

/// What the thread knows.
struct Desk {
    files: Files,
    /// By process and when it began.
    spaces: HashMap<(i32, u64), Space>,
    /// By unit: what its rustc looks like.
    images: HashMap<UnitId, Option<(u64, u64)>>,
}

impl Desk {
    fn answer(&mut self, ask: Ask, may_break_off: &dyn Fn() -> bool) -> Walked {
        let lost = |why| Walked::Lost { sp: 0, why };
        if self.spaces.len() >= MOST_SPACES || self.files.read > MOST_HELD {
            self.spaces.clear();
            self.files.forget();
        }
        let image = ask.unit.and_then(|unit| self.image(unit));
        let Some(began) = self.files.procfs().began(ask.process) else { return lost("its process is gone") };
        let key = (ask.process, began);
        let known = if ask.is_changed { None } else { self.spaces.remove(&key) };
        let is_new = known.is_none();
        let Some(mut space) = known.or_else(|| Space::read(ask.process, &self.files)) else {
            return lost("its memory map could not be read");
        };
        let mut walked = self.walk(ask, image, &mut space, may_break_off);
        if !is_new && walked.is_none() {
            // Something was mapped since.
            let Some(now) = Space::read(ask.process, &self.files) else { return lost("its memory map is gone") };
            space = now;
            walked = self.walk(ask, image, &mut space, may_break_off);
        }
        self.spaces.insert(key, space);
        walked.unwrap_or(lost("code that is no file's"))
    }

    /// `None` if the stack leads to where nothing is known to be mapped.
    fn walk(
        &mut self,
        ask: Ask,
        image: Option<(u64, u64)>,
        space: &mut Space,
        may_break_off: &dyn Fn() -> bool,
    ) -> Option<Walked> {
        if image.is_some() && space.image != image {
            return Some(Walked::OtherProgram);
        }
        if !space.has_library() {
            return Some(Walked::NoLibrary);
        }
        let files = &mut self.files;
        let Some((sp, ip)) = stack_pointer(files.procfs(), ask.tid) else {
            return Some(Walked::Lost { sp: 0, why: "the call does not wait" });
        };
        let start = Start { tid: ask.tid, ip, sp, bp: None, until: Instant::now() + WALK, named: ask.named };
        let Done { walked, wants_frame_pointer } = walk(start, space, files)?;
        if !wants_frame_pointer || !may_break_off() {
            return Some(walked);
        }
        // From here on the call is broken off and made again.
        let Ok(registers) = registers::interrupt(ask.tid) else { return Some(walked) };
        let again = walk(start.with(registers), space, files)
            .map_or(Walked::Lost { sp, why: "code that is no file's" }, |done| done.walked);
        // A library that was found without the frame pointer stays found.
        Some(match (&walked, &again) {
            (Walked::Library(_, found), Walked::Library(_, now)) if found.file == now.file => again,
            (Walked::Library(..), _) => walked,
            _ => again,
        })
    }

    fn image(&mut self, (unit, process): (UnitId, i32)) -> Option<(u64, u64)> {
        let files = &self.files;
        *self.images.entry(unit).or_insert_with(|| Space::read(process, files).and_then(|space| space.image))
    }
}

/// Stack pointer and program counter of a thread that waits in a call (proc(5), `syscall`).
fn stack_pointer(procfs: &Proc, tid: i32) -> Option<(u64, u64)> {
    let text = procfs.contents(&format!("{tid}/syscall"), 512)?;
    let mut words = std::str::from_utf8(&text).ok()?.split_whitespace().rev();
    let mut hex = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (ip, sp) = (hex()?, hex()?);
    Some((sp, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_broken_off_only_while_somebody_waits_for_it() {
        let asked = Asked::default();
        asked.put(7);
        assert!(!asked.take(6), "another question");
        assert!(asked.take(7));
        assert!(!asked.take(7), "the other one came first");
    }
}
