//! rustc as a unit: it writes to a folder of its own, and what cargo asked for
//! is moved into place when everything of the unit is dead.
//!
//! The lines that announce files are held until then, so that no other unit
//! reads what an unfinished one made. A line about a file that is not there,
//! or that rustc does not write, is not passed on.

use alloc::vec::Vec;

use crate::bare::calls::{self, FileType};
use crate::bare::runtime::Start;
use crate::command_line::{CommandLine, is_question, replace};
use crate::messages::{self, Message};
use crate::protocol::{End, Request, Role};
use crate::relay::Room;
use crate::unit::{self, Granted, Program};
use crate::{HANDOFF, build_script, fail};

/// Runs `rustc` as cargo's wrapper: `shim RUSTC ARGS…`.
pub(crate) fn run(exe: &[u8], start: Start) -> i32 {
    if is_question(&start.args[2..]) {
        return ask_rustc(start);
    }
    // What is neither a compilation nor a question has no folder to write to, and is refused for that.
    let line = CommandLine::parse(&start.args[2..]).unwrap_or_default();
    let ask = Request {
        role: Role::Rustc,
        exe: exe.to_vec(),
        crate_name: line.crate_name.clone(),
        extra: line.extra.clone(),
        out_dir: line.out_dir.clone(),
        crate_type: line.crate_type.clone(),
        source: absolute(&line.source),
    };
    let granted = match unit::request(&ask) {
        Ok(granted) => granted,
        Err(why) => return fail(&why),
    };
    match compile(exe, start, &line, &granted) {
        Ok(status) => unit::leave(status),
        Err(what) => fail(what),
    }
}

/// cargo names sources of its workspace relative to the working directory.
fn absolute(source: &[u8]) -> Vec<u8> {
    if source.starts_with(b"/") {
        return source.to_vec();
    }
    [&calls::working_directory()[..], b"/", source].concat()
}

/// cargo's own question: no foreign code runs, so it is no unit. The path comes
/// from cargo's configuration, which we wrote.
fn ask_rustc(start: Start) -> i32 {
    calls::close(HANDOFF);
    if calls::drop_capabilities(None).is_err() {
        return fail(b"cannot give up capabilities");
    }
    let args = &start.args[1..];
    calls::exec(&args[0], args, &unit::environment(&start.env, b"/tmp"));
    fail(b"cannot start rustc")
}

fn compile(exe: &[u8], start: Start, line: &CommandLine, granted: &Granted) -> Result<i32, &'static [u8]> {
    let private = &granted.plan.private_out;
    let mut args: Vec<Vec<u8>> = start.args[1..].to_vec();
    if let Some(at) = args.iter().position(|arg| arg == b"--out-dir") {
        args[at + 1].clone_from(private);
    }
    let env = unit::environment(&start.env, &granted.plan.tmp);
    let (output, output_writer) = calls::pipe().map_err(|_| &b"cannot make a pipe"[..])?;
    let program = Program {
        path: &granted.plan.program,
        args: &args,
        env: &env,
        input: None,
        outputs: Some((output_writer, output_writer)),
    };
    let running = unit::start(granted, &program)?;
    calls::close(output_writer);
    calls::close(HANDOFF);
    let heard = pass_messages(Room::new(granted), output, line, private);
    let unit::Report { mut status, left, detached } = unit::wait(&running);
    let Published { names, refused } = publish(private, line);
    let mut missing = line.outputs();
    missing.retain(|name| !names.contains(name));
    if status == 0 && (names.is_empty() || !missing.is_empty()) {
        // A macro may end rustc with status 0 before it wrote anything.
        calls::write_all(2, b"error: rustc ended with status 0 and without its outputs\n");
        status = 1 << 8;
    } else {
        missing.clear();
    }
    if status == 0 && line.is_build_script() {
        build_script::swap(exe, line)?;
    }
    remove_tree(&granted.plan.tmp);
    let Heard { held, mut forged } = heard;
    let told = held.into_iter().filter(|(name, _)| {
        let is_there = names.contains(name);
        forged += u32::from(!is_there);
        is_there
    });
    let told: Vec<_> = told.collect();
    unit::tell_end(granted, &End { status, left, detached, forged, missing, refused });
    for (_, message) in told {
        calls::write_all(2, &message);
    }
    Ok(status)
}

/// More files than rustc tells of.
const MOST_HELD: usize = 64;

/// What rustc, or a macro in its place, said about files.
struct Heard {
    /// Messages by the file that they name.
    held: Vec<(Vec<u8>, Vec<u8>)>,
    /// Messages that rustc does not write.
    forged: u32,
}

/// Passes rustc's messages on, with the real output folder in them, until every writer is gone. Those about files
/// come back.
fn pass_messages(mut room: Room<'_>, from: usize, line: &CommandLine, private: &[u8]) -> Heard {
    let mut heard = Heard { held: Vec::new(), forged: 0 };
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = alloc::vec![0_u8; 64 * 1024];
    let mut pass = |text: &[u8]| {
        let shown = replace(text, private, &line.out_dir);
        match messages::read(text, private) {
            Message::Other => {
                calls::write_all(2, &shown);
            }
            Message::Artifact(name)
                if line.owns_output(name)
                    && heard.held.len() < MOST_HELD
                    && heard.held.iter().all(|(known, _)| known.as_slice() != name) =>
            {
                heard.held.push((name.to_vec(), shown));
            }
            Message::Artifact(_) | Message::Forged => heard.forged = heard.forged.saturating_add(1),
        }
    };
    while let Some(mut rest) = room.read(from, &mut buffer) {
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            pending.extend_from_slice(&rest[..=end]);
            pass(&pending);
            pending.clear();
            rest = &rest[end + 1..];
        }
        pending.extend_from_slice(rest);
    }
    if !pending.is_empty() {
        pass(&pending);
    }
    heard
}

/// What lay in the output folder.
struct Published {
    /// Names of files that are in place.
    names: Vec<Vec<u8>>,
    /// Names of what cargo did not ask for.
    refused: Vec<Vec<u8>>,
}

/// Moves the outputs that cargo asked for into place. Nothing of the unit lives any more; links are not followed, only
/// regular files are touched.
fn publish(private: &[u8], line: &CommandLine) -> Published {
    let mut published = Published { names: Vec::new(), refused: Vec::new() };
    for name in calls::list(private).unwrap_or_default() {
        let from = [&private[..], b"/", &name].concat();
        if !line.owns_output(&name) || calls::file_type_of(&from) != Ok(FileType::Regular) {
            published.refused.push(name);
            continue;
        }
        if name.ends_with(b".d") && rewrite(&from, private, &line.out_dir).is_err() {
            published.refused.push(name);
            continue;
        }
        if calls::rename(&from, &[&line.out_dir[..], b"/", &name].concat()).is_ok() {
            published.names.push(name);
        }
    }
    remove_tree(private);
    published
}

/// Replaces a folder's name in a file.
fn rewrite(path: &[u8], from: &[u8], to: &[u8]) -> calls::Answer<()> {
    let file = calls::open(path, calls::O_NOFOLLOW | calls::O_CLOEXEC, 0)?;
    let mut text = Vec::new();
    let mut buffer = alloc::vec![0_u8; 64 * 1024];
    loop {
        let n = calls::read(file, &mut buffer)?;
        if n == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..n]);
    }
    calls::close(file);
    calls::unlink(path)?;
    let flags = calls::O_WRONLY | calls::O_CREAT | calls::O_EXCL | calls::O_NOFOLLOW | calls::O_CLOEXEC;
    let file = calls::open(path, flags, 0o644)?;
    let written = calls::write_all(file, &replace(&text, from, to));
    calls::close(file);
    if written { Ok(()) } else { Err(calls::Errno(5)) }
}

/// Removes a folder and everything in it, without following links. Folders whose mode keeps us
/// out stay; their memory goes with the sandbox.
pub(crate) fn remove_tree(path: &[u8]) {
    const DEEPEST: usize = 256;
    fn remove(path: &[u8], depth: usize) {
        if calls::file_type_of(path) == Ok(FileType::Directory) {
            if depth < DEEPEST {
                for name in calls::list(path).unwrap_or_default() {
                    remove(&[path, b"/", &name].concat(), depth + 1);
                }
            }
            let _ = calls::rmdir(path);
        } else {
            let _ = calls::unlink(path);
        }
    }
    remove(path, 0);
}
