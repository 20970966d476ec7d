//! Each macro library alone in a server of the toolchain, as a unit of its own: one at a time while cargo runs, and several
//! after it.
//!
//! The supervisor says which; the shim only starts the server and hands the supervisor the other ends of its standard
//! input and output.

use alloc::vec;
use alloc::vec::Vec;

use crate::bare::calls;
use crate::bare::runtime::Start;
use crate::fail;
use crate::protocol::{DRIVER_INPUT, DRIVER_OUTPUT, End, Request, Role};
use crate::unit::{self, Program};

/// While cargo runs: one after the other, each when the supervisor says so.
pub(crate) fn run_early(exe: &[u8], start: &Start) -> i32 {
    while drive(exe, start, Role::EarlyDriver) {}
    0
}

/// After cargo: so many at a time, until there is nothing left to drive. The exit status is cargo's, as it was given.
pub(crate) fn run(exe: &[u8], start: &Start) -> i32 {
    let number = |at: usize| core::str::from_utf8(start.args.get(at)?).ok()?.parse::<i32>().ok();
    let (Some(jobs @ 1..=1024), Some(status)) = (number(2), number(3)) else {
        return fail(b"this program is started by sandbox-check only");
    };
    for _ in 1..jobs {
        match calls::clone_process(calls::SIGCHLD) {
            Ok(0) => {
                while drive(exe, start, Role::Driver) {}
                calls::exit(0)
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // By the first of these requests the supervisor knows that cargo has ended, so one is made whatever else fails.
    while drive(exe, start, Role::Driver) {}
    while calls::wait(usize::MAX).is_ok() {}
    status
}

/// Drives one library; false when there is none.
fn drive(exe: &[u8], start: &Start, role: Role) -> bool {
    let ask = Request {
        role,
        exe: exe.to_vec(),
        crate_name: Vec::new(),
        extra: Vec::new(),
        out_dir: Vec::new(),
        crate_type: Vec::new(),
        source: Vec::new(),
    };
    let Ok(granted) = unit::request(&ask) else { return false };
    let (Ok((input, input_writer)), Ok((output, output_writer)), Ok(null)) =
        (calls::pipe(), calls::pipe(), calls::open(b"/dev/null", calls::O_RDWR | calls::O_CLOEXEC, 0))
    else {
        return false;
    };
    unit::tell_with(&granted, DRIVER_INPUT, input_writer);
    unit::tell_with(&granted, DRIVER_OUTPUT, output);
    calls::close(input_writer);
    calls::close(output);
    let mut env = unit::environment(&start.env, &granted.plan.tmp);
    // Without it the server says that it is none of our business.
    env.push(b"RUST_ANALYZER_INTERNALS_DO_NOT_USE=1".to_vec());
    let args = vec![granted.plan.program.clone()];
    let program = Program {
        path: &granted.plan.program,
        args: &args,
        env: &env,
        input: Some(input),
        outputs: Some((output_writer, null)),
    };
    let running = unit::start(&granted, &program);
    for fd in [input, output_writer, null] {
        calls::close(fd);
    }
    let end = match &running {
        Ok(running) => {
            let unit::Report { status, left, detached } = unit::wait(running);
            End { status, left, detached, refused: Vec::new(), missing: Vec::new(), forged: 0 }
        }
        Err(_) => End { status: 125 << 8, left: 0, detached: 0, refused: Vec::new(), missing: Vec::new(), forged: 0 },
    };
    crate::rustc::remove_tree(&granted.plan.tmp);
    unit::tell_end(&granted, &end);
    unit::close(granted);
    true
}
