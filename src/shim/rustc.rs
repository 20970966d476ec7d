//! rustc as a unit: it writes to a folder of its own, and what cargo asked for
//! is moved into place when everything of the unit is dead.
//!
//! The line that announces an `.rmeta` is held until then, so that no other
//! unit reads what an unfinished one made.

use alloc::vec::Vec;

use crate::bare::calls::{self, FileType};
use crate::bare::runtime::Start;
use crate::command_line::{CommandLine, is_question, replace};
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
    if calls::drop_capabilities().is_err() {
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
    let held = pass_messages(Room::new(granted), output, private, &line.out_dir);
    let unit::Report { mut status, left, detached } = unit::wait(&running);
    let (published, refused) = publish(private, line);
    if status == 0 && published == 0 {
        // A macro may end rustc with status 0 before it wrote anything.
        calls::write_all(2, b"error: rustc ended without an output\n");
        status = 1 << 8;
    }
    if status == 0 && line.is_build_script() {
        build_script::swap(exe, line)?;
    }
    remove_tree(&granted.plan.tmp);
    unit::tell_end(granted, &End { status, left, detached, refused });
    for message in held {
        calls::write_all(2, &message);
    }
    Ok(status)
}

/// Passes rustc's messages on, with the real output folder in them, until every writer is gone.
/// The lines that announce metadata come back.
fn pass_messages(mut room: Room<'_>, from: usize, private: &[u8], real: &[u8]) -> Vec<Vec<u8>> {
    let mut held = Vec::new();
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = alloc::vec![0_u8; 64 * 1024];
    let mut pass = |line: &[u8]| {
        let shown = replace(line, private, real);
        let has = |needle: &[u8]| line.windows(needle.len()).any(|window| window == needle);
        if has(b"\"$message_type\":\"artifact\"") && has(b".rmeta\"") {
            held.push(shown);
        } else {
            calls::write_all(2, &shown);
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
    held
}

/// Moves the outputs that cargo asked for into place: how many, and the names of the others. Nothing
/// of the unit lives any more; links are not followed, only regular files are touched.
fn publish(private: &[u8], line: &CommandLine) -> (usize, Vec<Vec<u8>>) {
    let (mut published, mut refused) = (0, Vec::new());
    for name in calls::list(private).unwrap_or_default() {
        let from = [&private[..], b"/", &name].concat();
        if !line.owns_output(&name) || calls::file_type_of(&from) != Ok(FileType::Regular) {
            refused.push(name);
            continue;
        }
        if name.ends_with(b".d") && rewrite(&from, private, &line.out_dir).is_err() {
            refused.push(name);
            continue;
        }
        if calls::rename(&from, &[&line.out_dir[..], b"/", &name].concat()).is_ok() {
            published += 1;
        }
    }
    remove_tree(private);
    (published, refused)
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
