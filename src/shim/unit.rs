//! Makes a unit: PID and IPC namespaces, a nested Landlock domain, no capability, a
//! filter with its own listener, and only then the program.
//!
//! Processes: this one (`shim`) → mini-init, which is 1 in the new namespace →
//! the program, which is 2, and for a moment the helper that sends the
//! listener. Each step that fails ends the unit; nothing goes on half made.

use alloc::vec::Vec;

use crate::bare::calls::{self, FileType, nr};
use crate::bare::runtime::Start;
use crate::protocol::{End, GO, KNOCK, LIMIT, LISTENER, Plan, Reply, Request, Role};
use crate::sabotage::{is_off, kept_capability};
use crate::{HANDOFF, fail};

/// A channel to the supervisor with a plan on it.
pub(crate) struct Granted {
    channel: usize,
    ruleset: usize,
    pub(crate) plan: Plan,
}

/// What runs in the unit.
pub(crate) struct Program<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) args: &'a [Vec<u8>],
    pub(crate) env: &'a [Vec<u8>],
    /// Takes the place of standard input.
    pub(crate) input: Option<usize>,
    /// Take the place of standard output and standard error. They are one for a compiler: cargo passes
    /// its standard output on beside its own messages, so a macro that writes there could forge those.
    pub(crate) outputs: Option<(usize, usize)>,
}

/// A running unit.
pub(crate) struct Running {
    init: usize,
    status: usize,
}

/// Asks the supervisor for a unit.
pub(crate) fn request(request: &Request) -> Result<Granted, Vec<u8>> {
    if !crate::has_handoff() {
        return Err(b"there is no supervisor here".to_vec());
    }
    let (channel, theirs) = calls::channel().map_err(|_| b"cannot make a channel".to_vec())?;
    calls::send(HANDOFF, KNOCK, Some(theirs)).map_err(|_| b"cannot reach the supervisor".to_vec())?;
    calls::close(theirs);
    calls::send(channel, &request.encode(), None).map_err(|_| b"the request does not fit a message".to_vec())?;
    let Ok(Some((datagram, fd))) = calls::receive(channel, LIMIT) else {
        return Err(b"the supervisor is gone".to_vec());
    };
    match (Reply::decode(&datagram), fd) {
        (Some(Reply::Plan(plan)), Some(ruleset)) => Ok(Granted { channel, ruleset, plan }),
        (Some(Reply::Refused(why)), _) => Err(why),
        _ => Err(b"the supervisor's answer makes no sense".to_vec()),
    }
}

/// Starts the program in a new unit.
pub(crate) fn start(granted: &Granted, program: &Program<'_>) -> Result<Running, &'static [u8]> {
    // Before there is a pipe that the report comes through, so that no number can mean it.
    let jobserver = jobserver(program.env);
    let (status, status_writer) = calls::pipe().map_err(|_| &b"cannot make a pipe"[..])?;
    let pids = if is_off(program.env, b"pid-namespace") { 0 } else { calls::CLONE_NEWPID };
    let messages = if is_off(program.env, b"ipc-namespace") { 0 } else { calls::CLONE_NEWIPC };
    let init = calls::clone_process(pids | messages | calls::SIGCHLD)
        .map_err(|_| &b"cannot make the unit's namespaces"[..])?;
    if init == 0 {
        calls::exit(mini_init(granted, program, jobserver, status_writer));
    }
    calls::close(status_writer);
    Ok(Running { init, status })
}

/// What the mini-init reports.
pub(crate) struct Report {
    /// Wait status of the program.
    pub(crate) status: i32,
    /// Processes killed.
    pub(crate) left: u32,
    /// Of them in a session of their own.
    pub(crate) detached: u32,
}

/// Waits for the end of everything in the unit.
pub(crate) fn wait(running: &Running) -> Report {
    const FAILED: i32 = 125 << 8;
    let mut report = [0_u8; 12];
    let got = calls::read(running.status, &mut report);
    let init = calls::wait(running.init);
    match (got, init) {
        (Ok(12), _) => {
            let word = |at: usize| [report[at], report[at + 1], report[at + 2], report[at + 3]];
            let (left, detached) = (u32::from_le_bytes(word(4)), u32::from_le_bytes(word(8)));
            Report { status: i32::from_le_bytes(word(0)), left, detached }
        }
        // The init was killed: its namespace died with it.
        (_, Ok((_, status))) if status & 0x7f != 0 => Report { status, left: 0, detached: 0 },
        _ => Report { status: FAILED, left: 0, detached: 0 },
    }
}

/// Tells the supervisor something that needs no answer.
pub(crate) fn tell(granted: &Granted, message: &[u8]) {
    let _ = calls::send(granted.channel, message, None);
}

/// As [`tell`], with a descriptor.
pub(crate) fn tell_with(granted: &Granted, message: &[u8], fd: usize) {
    let _ = calls::send(granted.channel, message, Some(fd));
}

/// Nothing more is to be said about the unit.
pub(crate) fn close(granted: Granted) {
    calls::close(granted.channel);
    calls::close(granted.ruleset);
}

/// Tells the supervisor how it ended.
pub(crate) fn tell_end(granted: &Granted, end: &End) {
    tell(granted, &end.encode());
}

/// Ends like the program did: by the same status or the same signal.
pub(crate) fn leave(status: i32) -> i32 {
    let signal = status & 0x7f;
    if signal != 0 {
        calls::no_core_file();
        let me = calls::plain(nr::GETPID, [0; 6]).unwrap_or_default();
        let _ = calls::kill(me, signal as usize);
        return 128 + signal;
    }
    (status >> 8) & 0xff
}

/// The environment for foreign code: without what only we need, with its own `TMPDIR`.
pub(crate) fn environment(env: &[Vec<u8>], tmp: &[u8]) -> Vec<Vec<u8>> {
    const OURS: [&[u8]; 5] =
        [b"RUSTC_WRAPPER", b"RUSTC_WORKSPACE_WRAPPER", b"CARGO_BUILD_RUSTC_WRAPPER", b"RUSTC_BOOTSTRAP", b"TMPDIR"];
    let name = |entry: &[u8]| entry.split(|byte| *byte == b'=').next().unwrap_or_default().to_vec();
    let mut kept: Vec<Vec<u8>> = env.iter().filter(|entry| !OURS.contains(&name(entry).as_slice())).cloned().collect();
    kept.push([b"TMPDIR=", tmp].concat());
    kept
}

/// The value of a variable.
pub(crate) fn variable<'a>(env: &'a [Vec<u8>], name: &[u8]) -> Option<&'a [u8]> {
    env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
}

/// The two pipe ends of cargo's jobserver, if the variable names two pipes. The variable may be an
/// attacker's, so a number is only believed if it is a FIFO.
fn jobserver(env: &[Vec<u8>]) -> Option<(usize, usize)> {
    let flags = variable(env, b"CARGO_MAKEFLAGS").or_else(|| variable(env, b"MAKEFLAGS"))?;
    let at = [&b"--jobserver-auth="[..], b"--jobserver-fds="]
        .iter()
        .find_map(|key| Some(flags.windows(key.len()).position(|window| window == *key)? + key.len()))?;
    let value = flags[at..].split(|byte| *byte == b' ').next()?;
    let mut ends =
        value.split(|byte| *byte == b',').map(|digits| core::str::from_utf8(digits).ok()?.parse::<usize>().ok());
    let (one, two) = (ends.next()??, ends.next()??);
    let (low, high) = (one.min(two), one.max(two));
    let fit = |fd: usize| fd > 2 && fd != HANDOFF && calls::file_type_of_fd(fd) == Ok(FileType::Fifo);
    (low != high && fit(low) && fit(high)).then_some((low, high))
}

/// What the hand-off helper reads in the place of a descriptor's number if there is none.
const NO_LISTENER: [u8; 4] = [0xff; 4];

/// The hand-off helper's number in the unit: the init is 1, the program 2, and it makes the helper first of all.
const HELPER: usize = 3;

/// Process 1 of the unit: enters the domain, gives up every capability, starts the program, and
/// after the program's end kills and counts whatever it left behind.
fn mini_init(granted: &Granted, program: &Program<'_>, jobserver: Option<(usize, usize)>, status_writer: usize) -> i32 {
    let _ = calls::die_with_parent();
    if calls::restrict_self(granted.ruleset).is_err() {
        return fail(b"cannot enter the unit's Landlock domain");
    }
    if !is_off(program.env, b"capabilities") && calls::drop_capabilities(kept_capability(program.env)).is_err() {
        return fail(b"cannot give up capabilities");
    }
    // The program has our rights and our domain. Through /proc it could else write to the pipe of our
    // report. It is hidden like us until it is started.
    if calls::hide().is_err() {
        return fail(b"cannot hide from the unit's program");
    }
    let (Ok(listener), Ok(ack)) = (calls::pipe(), calls::pipe()) else {
        return fail(b"cannot make a pipe");
    };
    let child = match calls::clone_process(calls::SIGCHLD) {
        Ok(0) => calls::exit(become_program(granted, program, jobserver, listener, ack)),
        Ok(child) => child,
        Err(_) => return fail(b"cannot start a process in the unit"),
    };
    for fd in [granted.channel, granted.ruleset, listener.0, listener.1, ack.0, ack.1] {
        calls::close(fd);
    }
    let_go(program, jobserver);
    let status = status_of(child);
    let alone = !is_off(program.env, b"pid-namespace");
    let (left, detached) = if alone { end_the_rest() } else { (0, 0) };
    let mut report = [0_u8; 12];
    report[..4].copy_from_slice(&status.to_le_bytes());
    report[4..8].copy_from_slice(&left.to_le_bytes());
    report[8..].copy_from_slice(&detached.to_le_bytes());
    calls::write_all(status_writer, &report);
    0
}

/// Closes what the program has from us: cargo waits for the end of these pipes, and only the program may hold them.
fn let_go(program: &Program<'_>, jobserver: Option<(usize, usize)>) {
    let pairs = program.outputs.into_iter().chain(jobserver);
    for fd in [HANDOFF].into_iter().chain(program.input).chain(pairs.flat_map(|(one, two)| [one, two])) {
        calls::close(fd);
    }
    if let Ok(null) = calls::open(b"/dev/null", calls::O_RDWR, 0) {
        for fd in 0..3 {
            let _ = calls::dup2(null, fd);
        }
    }
}

/// The wait status of the program, once it has ended.
fn status_of(child: usize) -> i32 {
    let mut has_handed_over = false;
    loop {
        match calls::wait(usize::MAX) {
            Ok((id, status)) if id == child => return status,
            // Without the helper nobody tells the program to go. The number can be another's later.
            Ok((HELPER, status)) if !has_handed_over => {
                has_handed_over = true;
                if status != 0 {
                    let _ = calls::kill(child, calls::SIGKILL);
                }
            }
            Ok(_) => {}
            Err(_) => return 125 << 8,
        }
    }
}

/// Gives what the program left behind a second to end by itself, then kills it: how many processes,
/// and how many of them in a session of their own.
fn end_the_rest() -> (u32, u32) {
    const GRACE_MS: usize = 1000;
    const STEP_MS: usize = 10;
    let mut waited = 0;
    while let Ok(ended) = calls::wait_without_blocking() {
        if ended == 0 {
            if waited >= GRACE_MS {
                break;
            }
            calls::sleep(STEP_MS);
            waited += STEP_MS;
        }
    }
    if waited < GRACE_MS {
        return (0, 0);
    }
    let detached = count_sessions();
    let mut left = 0;
    if calls::kill(usize::MAX, calls::SIGKILL).is_ok() {
        while calls::wait(usize::MAX).is_ok() {
            left += 1;
        }
    }
    (left, detached)
}

/// Processes in a session that was made in the unit. The session that the unit inherited has its
/// leader outside of the PID namespace and reads as 0.
fn count_sessions() -> u32 {
    const HIGHEST_PID: usize = 1 << 16;
    let in_own_session = |pid: &usize| matches!(calls::plain(nr::GETSID, [*pid, 0, 0, 0, 0, 0]), Ok(1..));
    (2..HIGHEST_PID).filter(in_own_session).count() as u32
}

/// Process 2 of the unit. The helper shares the descriptor table and is made before the filter, so
/// that the `sendmsg` of the hand-off is not itself a notified call; it is a child of the mini-init
/// (CLONE_PARENT), so that the program has no child that it does not know.
fn become_program(
    granted: &Granted,
    program: &Program<'_>,
    jobserver: Option<(usize, usize)>,
    listener: (usize, usize),
    ack: (usize, usize),
) -> i32 {
    match calls::clone_process(calls::CLONE_FILES | calls::CLONE_PARENT | calls::SIGCHLD) {
        Ok(0) => calls::exit(send_listener(granted, listener.0, ack.1)),
        Ok(_) => {}
        Err(_) => return fail(b"cannot make the hand-off helper"),
    }
    let Ok(fd) = calls::install_filter(&granted.plan.filter, granted.plan.filter_flags as usize) else {
        // Said first: when the helper ends without a listener, the init ends this process.
        let status = fail(b"cannot install the unit's filter");
        calls::write_all(listener.1, &NO_LISTENER);
        return status;
    };
    if !calls::write_all(listener.1, &(fd as u32).to_le_bytes()) {
        return fail(b"cannot hand the unit's listener over");
    }
    let mut go = [0_u8; 1];
    if calls::read(ack.0, &mut go) != Ok(1) {
        return fail(b"the supervisor did not take the listener");
    }
    if let Some(input) = program.input {
        let _ = calls::dup2(input, 0);
    }
    if let Some((out, err)) = program.outputs {
        let _ = calls::dup2(out, 1);
        let _ = calls::dup2(err, 2);
    }
    let closed = match jobserver {
        // Our channel stays, for a test to find.
        _ if is_off(program.env, b"descriptors") => calls::dup2(granted.channel, 63).is_ok(),
        None => calls::close_range(3, u32::MAX as usize).is_ok(),
        Some((low, high)) => {
            (low == 3 || calls::close_range(3, low - 1).is_ok())
                && (high == low + 1 || calls::close_range(low + 1, high - 1).is_ok())
                && calls::close_range(high + 1, u32::MAX as usize).is_ok()
        }
    };
    if !closed {
        return fail(b"cannot close the descriptors of the shim");
    }
    if !is_off(program.env, b"limits") && calls::limit_processes(granted.plan.processes).is_err() {
        return fail(b"cannot limit the unit's processes");
    }
    let errno = calls::exec(program.path, program.args, program.env);
    fail(if errno.0 == 2 {
        b"cannot start the unit's program: no such file"
    } else {
        b"cannot start the unit's program"
    });
    126
}

fn send_listener(granted: &Granted, numbers: usize, ack: usize) -> i32 {
    let mut number = [0_u8; 4];
    if calls::read(numbers, &mut number) != Ok(4) || number == NO_LISTENER {
        return 1;
    }
    let fd = u32::from_le_bytes(number) as usize;
    if calls::send(granted.channel, LISTENER, Some(fd)).is_err() {
        return 1;
    }
    match calls::receive(granted.channel, GO.len()) {
        Ok(Some((word, _))) if word == GO => i32::from(!calls::write_all(ack, b"g")),
        _ => 1,
    }
}

/// Runs our own payload as a unit, like everything else that follows.
pub(crate) fn self_test(exe: &[u8], start: Start) -> i32 {
    let ask = Request {
        role: Role::SelfTest,
        exe: exe.to_vec(),
        crate_name: Vec::new(),
        extra: Vec::new(),
        out_dir: Vec::new(),
        crate_type: Vec::new(),
        source: Vec::new(),
    };
    let granted = match request(&ask) {
        Ok(granted) => granted,
        Err(why) => return fail(&why),
    };
    let mut args = start.args;
    args[1] = b"self-test-payload".to_vec();
    let env = environment(&start.env, &granted.plan.tmp);
    let program = Program { path: &granted.plan.program, args: &args, env: &env, input: None, outputs: None };
    let running = match self::start(&granted, &program) {
        Ok(running) => running,
        Err(what) => return fail(what),
    };
    calls::close(HANDOFF);
    let Report { status, left, detached } = wait(&running);
    tell_end(&granted, &End { status, left, detached, forged: 0, missing: Vec::new(), refused: Vec::new() });
    leave(status)
}
