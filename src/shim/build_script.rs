//! A build script: swapped for the shim after its compilation, run as a unit.
//!
//! The real program lies in a folder `.real` beside the shim's copy and keeps
//! its file name, so that a script that looks at its own name sees nothing.

use alloc::vec::Vec;

use crate::bare::calls::{self, FileType};
use crate::bare::runtime::Start;
use crate::command_line::CommandLine;
use crate::fail;
use crate::protocol::{BOOTSTRAP, End, Request, Role};
use crate::unit::{self, Program};

const REAL: &[u8] = b".real";

/// The program in whose place this copy of the shim lies, if it does.
pub(crate) fn real_program(exe: &[u8]) -> Option<Vec<u8>> {
    let (folder, name) = split(exe)?;
    let real_folder = [folder, b"/", REAL].concat();
    if calls::file_type_of(&real_folder) != Ok(FileType::Directory) {
        return None;
    }
    let real = [&real_folder[..], b"/", name].concat();
    if calls::file_type_of(&real) != Ok(FileType::Regular) {
        // cargo links the program to another name before it runs it; follow with the real one.
        let first = calls::list(&real_folder).ok()?.into_iter().next()?;
        calls::link(&[&real_folder[..], b"/", &first].concat(), &real).ok()?;
    }
    Some(real)
}

/// Moves a freshly linked build script to `.real` and puts the shim at its place.
pub(crate) fn swap(shim: &[u8], line: &CommandLine) -> Result<(), &'static [u8]> {
    let name = [&line.crate_name[..], &line.extra].concat();
    let program = [&line.out_dir[..], b"/", &name].concat();
    let real_folder = [&line.out_dir[..], b"/", REAL].concat();
    let _ = calls::mkdir(&real_folder, 0o755);
    calls::rename(&program, &[&real_folder[..], b"/", &name].concat())
        .map_err(|_| &b"cannot put the build script aside"[..])?;
    copy_program(shim, &program).map_err(|_| &b"cannot put the shim in the build script's place"[..])
}

fn copy_program(from: &[u8], to: &[u8]) -> calls::Answer<()> {
    let from = calls::open(from, calls::O_CLOEXEC, 0)?;
    let to = calls::open(to, calls::O_WRONLY | calls::O_CREAT | calls::O_EXCL | calls::O_CLOEXEC, 0o755)?;
    const AT_ONCE: usize = 1 << 30;
    while calls::plain(calls::nr::SENDFILE, [to, from, 0, AT_ONCE, 0, 0])? > 0 {}
    calls::close(from);
    calls::close(to);
    Ok(())
}

/// Runs the real program as a unit.
pub(crate) fn run(exe: &[u8], real: &[u8], start: Start) -> i32 {
    let out_dir = unit::variable(&start.env, b"OUT_DIR").unwrap_or_default().to_vec();
    let ask = Request {
        role: Role::BuildScript,
        exe: exe.to_vec(),
        crate_name: Vec::new(),
        extra: Vec::new(),
        out_dir,
        crate_type: Vec::new(),
        source: Vec::new(),
    };
    let granted = match unit::request(&ask) {
        Ok(granted) => granted,
        Err(why) => return fail(&why),
    };
    let env = unit::environment(&start.env, &granted.plan.tmp);
    let (Ok((out, out_writer)), Ok((err, err_writer))) = (calls::pipe(), calls::pipe()) else {
        return fail(b"cannot make a pipe");
    };
    let outputs = Some((out_writer, err_writer));
    let program = Program { path: real, args: &start.args, env: &env, input: None, outputs };
    let running = match unit::start(&granted, &program) {
        Ok(running) => running,
        Err(what) => return fail(what),
    };
    for fd in [crate::HANDOFF, out_writer, err_writer] {
        calls::close(fd);
    }
    let said = crate::relay::relay(&granted, [(out, 1), (err, 2)]);
    let unit::Report { mut status, left, detached } = unit::wait(&running);
    if let Some(value) = said.bootstrap.filter(|_| granted.plan.refuses_bootstrap) {
        unit::tell(&granted, &[BOOTSTRAP, &value[..]].concat());
        calls::write_all(
            2,
            &[
                b"error: cannot set `RUSTC_BOOTSTRAP=",
                &value[..],
                b"` from a build script: it would subvert the stability guarantees of Rust\n",
            ]
            .concat(),
        );
        if status == 0 {
            status = 1 << 8;
        }
    }
    crate::rustc::remove_tree(&granted.plan.tmp);
    unit::tell_end(&granted, &End { status, left, detached, forged: 0, missing: Vec::new(), refused: Vec::new() });
    unit::leave(status)
}

fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|byte| *byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}
