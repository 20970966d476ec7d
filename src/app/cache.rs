//! `sandbox-check cache`: what is held of earlier runs, whether it is whole, and what may go.

mod passage;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use passage::{Brought, PassageError, Sent};

use super::tell::{Teller, fail, failed_to, printed, refuse_settings};
use crate::base::pack;
use crate::cli::{CacheArgs, CacheCommand, GcArgs, HeldArgs, PassArgs, PlainFormat};
use crate::evidence::Bytes;
use crate::evidence::known::{Damage, Held, Holdings, holdings, is_folder};
use crate::evidence::time::DAY;
use crate::exit::ExitCode;
use crate::ids::counted;
use crate::settings::{cache_dir, now};

const MIB: u64 = 1 << 20;

/// What is told.
#[derive(Serialize)]
struct Told {
    format: &'static str,
    version: u32,
    /// The directory.
    dir: PathBuf,
    /// The oldest first.
    runs: Vec<ToldRun>,
    /// Entries that cannot be used.
    entries: Vec<ToldEntry>,
    /// Finished units of packages.
    units: ToldUnits,
}

#[derive(Default, Serialize)]
struct ToldUnits {
    packages: u64,
    bytes: u64,
    damaged: Vec<PathBuf>,
    removed: u64,
}

#[derive(Serialize)]
struct ToldRun {
    evidence: PathBuf,
    target: Option<String>,
    bytes: u64,
    age: u64,
    answers: bool,
    damage: Option<String>,
    removed: Option<&'static str>,
}

#[derive(Serialize)]
struct ToldEntry {
    entry: PathBuf,
    damage: String,
    removed: bool,
}

/// Looks after the evidence of earlier runs.
pub(super) fn run(args: &CacheArgs) -> ExitCode {
    let (held, gc) = match &args.command {
        CacheCommand::Gc(gc) => (&gc.held, Some(gc)),
        CacheCommand::Verify(held) => (held, None),
        CacheCommand::Export(pass) => return self::pass(pass, true),
        CacheCommand::Import(pass) => return self::pass(pass, false),
    };
    let teller = Teller::new(held.format.into(), held.color);
    let dir = match cache_dir(held.cache_dir.as_deref()) {
        Ok(dir) => dir,
        Err(error) => return refuse_settings(&teller, error),
    };
    if held.cache_dir.is_some() && !is_folder(&dir) {
        let message = format!("there is no directory {}", dir.display());
        return fail(&teller, ExitCode::NotFound, message, Some("name the one that runs were given".to_owned()));
    }
    let found = holdings(&dir, now());
    let told = tell(dir, &found, gc);
    let is_damaged =
        told.runs.iter().any(|run| run.damage.is_some()) || !told.entries.is_empty() || !told.units.damaged.is_empty();
    // What was damaged and is gone is no reason to stop a job.
    let code = if is_damaged && gc.is_none_or(|gc| gc.dry_run) { ExitCode::Fail } else { ExitCode::Pass };
    printed(print(&told, held, gc.is_some()), code, &teller)
}

/// Exports or imports.
fn pass(args: &PassArgs, is_export: bool) -> ExitCode {
    let teller = Teller::new(args.held.format.into(), args.held.color);
    let dir = match cache_dir(args.held.cache_dir.as_deref()).map(|dir| std::path::absolute(&dir).unwrap_or(dir)) {
        Ok(dir) => dir,
        Err(error) => return refuse_settings(&teller, error),
    };
    let key = passage::key(args.key_file.as_deref());
    let said = key.and_then(|key| {
        if is_export {
            passage::export(&dir, &args.file, key.as_deref()).map(|sent| say(&sent, sent_in_words(&sent), args))
        } else {
            let brought = passage::import(&dir, &args.file, key.as_deref())?;
            Ok(say(&brought, brought_in_words(&brought), args))
        }
    });
    match said {
        Ok(said) => printed(said, ExitCode::Pass, &teller),
        Err(error) => fail(&teller, code(&error), failed_to(&error), hint(&error)),
    }
}

fn say(done: &impl Serialize, words: String, args: &PassArgs) -> io::Result<()> {
    let text = match args.held.format {
        PlainFormat::Json => serde_json::to_string_pretty(done).map_err(io::Error::from)?,
        PlainFormat::Human => words,
    };
    writeln!(io::stdout().lock(), "{text}")
}

fn sent_in_words(Sent { file, bytes, sealed }: &Sent) -> String {
    let use_of_it =
        if *sealed { "for who has the key" } else { "without a key: where it is imported it answers for no run" };
    format!("{} holds the cache, {}, {use_of_it}", file.display(), size(*bytes))
}

fn brought_in_words(Brought { files, known, left_out }: &Brought) -> String {
    let came = format!("{} came in, {known} were here", counted(*files, "file"));
    let reason = "were left out: without a key they would answer for no run";
    if *left_out == 0 { came } else { format!("{came}\n{left_out} {reason}") }
}

fn code(error: &PassageError) -> ExitCode {
    match error {
        PassageError::Key | PassageError::Format(_) => ExitCode::Usage,
        PassageError::Foreign(_) => ExitCode::Fail,
        PassageError::NoFolder(_) => ExitCode::NotFound,
        PassageError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => ExitCode::NotFound,
        PassageError::File { .. } => ExitCode::Internal,
    }
}

fn hint(error: &PassageError) -> Option<String> {
    let text = match error {
        PassageError::Key => "make one: head -c 32 /dev/urandom | base64",
        PassageError::Format(_) => "name a file that `sandbox-check cache export` made",
        PassageError::Foreign(_) => "nothing of it was brought in: get the file anew, or the key that it was made with",
        PassageError::NoFolder(_) => "name a file in a folder that is there",
        PassageError::File { .. } => return None,
    };
    Some(text.to_owned())
}

fn tell(dir: PathBuf, found: &Holdings, gc: Option<&GcArgs>) -> Told {
    let mut left: u64 = found.runs.iter().map(|run| run.bytes).sum();
    let mut runs = Vec::new();
    for run in &found.runs {
        let removed = gc.and_then(|gc| reason(run, left, gc));
        if removed.is_some() {
            left -= run.bytes;
            if gc.is_some_and(|gc| !gc.dry_run) {
                run.remove();
            }
        }
        runs.push(ToldRun {
            evidence: run.path.clone(),
            target: run.target.as_ref().map(|target| Bytes::from(target.label()).to_string()),
            bytes: run.bytes,
            age: run.age,
            answers: run.answers,
            damage: run.damage.as_ref().map(said),
            removed,
        });
    }
    let entries = found.entries.iter().map(|entry| {
        if gc.is_some_and(|gc| !gc.dry_run) {
            entry.remove();
        }
        ToldEntry { entry: entry.path.clone(), damage: said(&entry.damage), removed: gc.is_some() }
    });
    let entries = entries.collect();
    let units = units(&dir, gc);
    Told { format: "sandbox-check-cache", version: 1, dir, runs, entries, units }
}

/// Finished units go by the same bounds as evidence.
fn units(dir: &Path, gc: Option<&GcArgs>) -> ToldUnits {
    let mut told = ToldUnits::default();
    let all = pack::all(dir, now());
    let mut left: u64 = all.iter().map(|(_, size, _)| size).sum();
    for (path, size, age) in all {
        told.packages += 1;
        told.bytes += size;
        let is_damaged = pack::verify(&path).is_err();
        let Some(gc) = gc else {
            told.damaged.extend(is_damaged.then_some(path));
            continue;
        };
        if is_damaged || age > gc.older_than.saturating_mul(DAY) || left > gc.max_size.saturating_mul(MIB) {
            left -= size;
            told.removed += 1;
            if !gc.dry_run {
                let _ = std::fs::remove_file(&path);
            }
        }
        told.damaged.extend(is_damaged.then_some(path));
    }
    told
}

/// It may quote a name of a file.
fn said(damage: &Damage) -> String {
    Bytes::from(crate::error_chain(damage)).to_string()
}

/// Why a run goes, while so many bytes are held.
fn reason(run: &Held, held: u64, gc: &GcArgs) -> Option<&'static str> {
    if run.damage.is_some() {
        Some("damaged")
    } else if run.age > gc.older_than.saturating_mul(DAY) {
        Some("old")
    } else {
        (held > gc.max_size.saturating_mul(MIB)).then_some("no room")
    }
}

fn print(told: &Told, held: &HeldArgs, is_gc: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if held.format == PlainFormat::Json {
        serde_json::to_writer_pretty(&mut out, told)?;
        return writeln!(out);
    }
    let total: u64 = told.runs.iter().map(|run| run.bytes).sum();
    writeln!(out, "{}: {}, {}", told.dir.display(), number(told.runs.len(), "run"), size(total))?;
    for run in &told.runs {
        let name = run.target.clone().unwrap_or_else(|| run.evidence.display().to_string());
        let answers = if run.answers { ", answers" } else { "" };
        writeln!(out, "  {name}: {}, {} old{answers}", size(run.bytes), counted(run.age / DAY, "day"))?;
        if let Some(damage) = &run.damage {
            writeln!(out, "    damaged: {damage}")?;
        }
        if let Some(removed) = run.removed {
            writeln!(out, "    goes: {removed}")?;
        }
    }
    for entry in &told.entries {
        writeln!(out, "  {}", entry.entry.display())?;
        writeln!(out, "    damaged: {}", entry.damage)?;
    }
    let units = &told.units;
    if units.packages > 0 {
        writeln!(out, "  finished units of {}: {}", counted(units.packages, "package"), size(units.bytes))?;
    }
    for path in &units.damaged {
        writeln!(out, "    damaged: {}", path.display())?;
    }
    let damaged = told.runs.iter().filter(|run| run.damage.is_some()).count();
    let damaged = damaged + told.entries.len() + units.damaged.len();
    match (is_gc, damaged) {
        (true, _) => {
            let gone = told.runs.iter().filter(|run| run.removed.is_some());
            let (count, bytes) = gone.fold((0, 0), |(count, bytes), run| (count + 1, bytes + run.bytes));
            let (runs, packages) = (number(count, "run"), counted(units.removed, "package"));
            writeln!(out, "goes: {runs}, {}, and finished units of {packages}", size(bytes))
        }
        (false, 0) => writeln!(out, "all of it is what was kept"),
        (false, count) => writeln!(out, "{count} damaged; `sandbox-check cache gc` removes what is"),
    }
}

fn number(count: usize, thing: &str) -> String {
    counted(u64::try_from(count).unwrap_or(u64::MAX), thing)
}

fn size(bytes: u64) -> String {
    if bytes < MIB { format!("{} KiB", bytes.div_ceil(1024)) } else { format!("{} MiB", bytes / MIB) }
}
