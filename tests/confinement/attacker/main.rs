// The attacker: one program with many payloads, run as a build script. It is the prelude of tests/sandbox/payloads,
// this file and the ones beside it, in one.
//
// As a build script it starts itself once for each name in probes.txt, under that very name, so that a record tells by
// its program which probe made it; a probe that dies takes nothing along. What came of it is its exit code: 0, or the
// errno that it met. Everything is inert: own files, files that the test has made, loopback, TEST-NET, signal 0.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Answer = Result<i64, i32>;

const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EBADF: i32 = 9;
const EACCES: i32 = 13;

/// Exit code of a name that no payload has.
const UNKNOWN: i32 = 255;
/// Exit code of a payload that could not come to its point.
const UNPREPARED: i32 = 254;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        None => run_all(),
        Some("control") => control(&args[2]),
        Some(name) => std::process::exit(code(name)),
    }
}

/// True in the sandbox. What would change the machine if it were tried anywhere else asks this first.
fn is_inside() -> bool {
    Path::new("/opt/sandbox-check/shim").exists()
}

/// Only in the sandbox, and only as what runs there: outside this ends the payload.
fn inside(act: impl FnOnce() -> Answer) -> Answer {
    if is_inside() { act() } else { Err(UNPREPARED) }
}

fn code(name: &str) -> i32 {
    // The name of the payload that failed, and why, in the evidence.
    let whose = name.to_owned();
    std::panic::set_hook(Box::new(move |info| tell(&format!("panicked {whose}"), info.to_string().replace('/', "."))));
    let groups = [files, network, processes, kernel, ipc, supervisor, neighbours, sweeps, opens, limits];
    let known = groups.into_iter().map(|group| group(name)).find(|answer| *answer != Err(UNKNOWN));
    known.unwrap_or(Err(UNKNOWN)).err().unwrap_or(0)
}

fn run_all() {
    let names = fs::read_to_string("probes.txt").unwrap();
    let folder = format!("{}/as", out_dir());
    fs::create_dir(&folder).unwrap();
    let program = format!("{folder}/attacker");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    tell("out", out_dir());
    tell("rustc", variable("RUSTC"));
    for name in names.lines() {
        let path = format!("{folder}/{}", name.replace('/', "+"));
        fs::hard_link(&program, &path).unwrap();
        let mut probe = Command::new(&path);
        probe.arg(name).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let mut child = probe.spawn().unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > Duration::from_secs(180) {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        match status.code() {
            Some(code) => tell(name, code),
            None => tell(name, format!("signal {}", status.signal().unwrap())),
        }
    }
}

/// Runs a payload outside of the sandbox, as root of namespaces of its own.
fn control(name: &str) {
    let (user, group) = (call(107, &[]).unwrap(), call(108, &[]).unwrap());
    // User, mount, PID, network, IPC, host name.
    if let Err(errno) = call(272, &[0x6c02_0000 | 0x1000_0000]) {
        eprintln!("no namespaces: {errno}");
        std::process::exit(UNPREPARED);
    }
    let _ = fs::write("/proc/self/setgroups", "deny");
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).unwrap();
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).unwrap();
    // Recursive and private: what is mounted here is nobody else's.
    let _ = call(165, &[c("none"), c("/"), 0, 0x44000, 0]);
    let status = Command::new(std::env::current_exe().unwrap()).arg(name).status().unwrap();
    std::process::exit(status.code().unwrap_or(128));
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn number(name: &str) -> usize {
    variable(name).parse().unwrap_or_else(|_| std::process::exit(UNPREPARED))
}

/// A file in the folder that the test made on the machine.
fn host(file: &str) -> String {
    format!("{}/{file}", variable("HOST_DIR"))
}

/// A new file of our own with this name.
fn own(name: &str) -> String {
    let path = free(name);
    let _ = fs::remove_file(&path);
    fs::write(&path, "own").unwrap_or_else(|_| std::process::exit(UNPREPARED));
    path
}

/// A name of our own at which nothing is.
fn free(name: &str) -> String {
    // As long for every process: what is recorded has lengths in it.
    format!("{}/{:05}-{name}", out_dir(), std::process::id())
}

fn errno_of<T>(result: io::Result<T>) -> Answer {
    result.map(|_| 0).map_err(|error| error.raw_os_error().unwrap_or(UNPREPARED))
}

fn close_again(fd: Answer) -> Answer {
    fd.map(|fd| {
        let _ = call(3, &[fd as usize]);
        0
    })
}

/// The first call that succeeds; else the last answer.
fn any(calls: impl IntoIterator<Item = Answer>) -> Answer {
    let mut last = Err(UNPREPARED);
    for answer in calls {
        if answer.is_ok() {
            return answer;
        }
        last = answer;
    }
    last
}

/// What a copy of this process answers by its exit code.
fn in_copy(act: impl FnOnce() -> Answer) -> Answer {
    match call(57, &[])? {
        0 => {
            let code = act().err().unwrap_or(0);
            let _ = call(231, &[code as usize]);
            unreachable!()
        }
        child => {
            let mut status = 0_i32;
            call(61, &[child as usize, &mut status as *mut i32 as usize, 0, 0])?;
            match (status & 0x7f, (status >> 8) & 0xff) {
                (0, 0) => Ok(0),
                (0, code) => Err(code),
                _ => Err(UNPREPARED),
            }
        }
    }
}
