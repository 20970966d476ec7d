// Callers that want to be lost, each under a name given as the crate's feature by the test.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, RwLock};
use std::thread;

extern "C" {
    fn fork() -> c_int;
    fn vfork() -> c_int;
    fn _exit(status: c_int) -> !;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn sigaction(signal: c_int, new: *const SigAction, old: *mut SigAction) -> c_int;
    fn setitimer(which: c_int, new: *const [i64; 4], old: *mut [i64; 4]) -> c_int;
}

#[repr(C)]
struct SigAction {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

static STORMS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_alarm(_: c_int) {
    STORMS.fetch_add(1, Ordering::Relaxed);
}

/// Opens a path that is there for nobody, by its address.
fn ask(path: usize) -> Result<i64, i32> {
    call(2, &[path, 0, 0])
}

/// Threads that are killed while their calls wait.
fn death_in_mid_call() {
    for round in 0..200 {
        match unsafe { fork() } {
            0 => {
                let threads: Vec<_> = (0..4)
                    .map(|at| {
                        thread::spawn(move || {
                            loop {
                                let _ = ask(c(format!("/dying/{round}-{at}")));
                            }
                        })
                    })
                    .collect();
                thread::sleep(std::time::Duration::from_micros(200 + 37 * (round % 20)));
                let _ = &threads;
                unsafe { kill(std::process::id() as c_int, 9) };
            }
            child => unsafe {
                waitpid(child, std::ptr::null_mut(), 0);
            },
        }
    }
    tell("rounds", 200);
}

/// A timer that interrupts every call there is, without SA_RESTART.
fn signal_storm(out: &str) {
    let action = SigAction { handler: on_alarm as *const () as usize, mask: [0; 16], flags: 0, restorer: 0 };
    unsafe { sigaction(14, &action, std::ptr::null_mut()) };
    unsafe { setitimer(0, &[0, 100, 0, 100], std::ptr::null_mut()) };
    let (mut made, mut interrupted, mut twice) = (0, 0, 0);
    for at in 0..3000 {
        let path = c(format!("{out}/storm-{at}"));
        loop {
            match call(2, &[path, O_WRONLY | O_CREAT | O_EXCL, 0o600]) {
                Ok(fd) => {
                    made += 1;
                    let _ = call(3, &[fd as usize]);
                    break;
                }
                Err(4) => interrupted += 1,
                // Made by a call that told us of an interruption.
                Err(17) => {
                    twice += 1;
                    break;
                }
                Err(errno) => {
                    tell("storm-errno", errno);
                    break;
                }
            }
        }
    }
    unsafe { setitimer(0, &[0, 0, 0, 0], std::ptr::null_mut()) };
    tell("made", made);
    tell("interrupted", interrupted);
    tell("made-unseen", twice);
    tell("storms", STORMS.load(Ordering::Relaxed));
}

/// Two threads, the same call over and over.
fn many_calls() {
    let threads: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(|| {
                let path = c("/asked-for/all-the-time");
                for _ in 0..50_000 {
                    let _ = ask(path);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// As many threads as there may be, all waiting for an answer at once. One of them, in the middle, asks for a key.
/// The kernel bounds the mappings of one process, and each thread needs four: so several processes have them.
fn waiting_threads() {
    const OF_ONE: usize = 5000;
    let wanted: usize = std::env::var("HOSTILE_THREADS").map_or(3000, |text| text.parse().unwrap());
    // Shared with the children: PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS.
    let shared = call(9, &[0, 4096, 3, 0x21, usize::MAX, 0]).unwrap() as *const AtomicUsize;
    let started: &'static AtomicUsize = unsafe { &*shared };
    let mut children = Vec::new();
    for first in (0..wanted).step_by(OF_ONE) {
        match unsafe { fork() } {
            0 => {
                wait_together(first..(first + OF_ONE).min(wanted), wanted, started);
                unsafe { _exit(0) };
            }
            child => children.push(child),
        }
    }
    for child in children {
        unsafe { waitpid(child, std::ptr::null_mut(), 0) };
    }
    tell("threads", started.load(Ordering::SeqCst));
}

fn wait_together(range: std::ops::Range<usize>, wanted: usize, started: &'static AtomicUsize) {
    let key = format!("{}/.ssh/id_ed25519", home());
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let mut threads = Vec::new();
    for at in range {
        let gate = gate.clone();
        let asked_for = if at == wanted / 2 { key.clone() } else { format!("/waiting/{at}") };
        let spawned = thread::Builder::new().stack_size(16 * 1024).spawn(move || {
            let path = c(asked_for);
            started.fetch_add(1, Ordering::SeqCst);
            let _open = gate.read().unwrap();
            let _ = ask(path);
        });
        match spawned {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                tell("no-thread", error.raw_os_error().unwrap_or(-1));
                unsafe { _exit(1) };
            }
        }
    }
    for _ in 0..20_000 {
        if started.load(Ordering::SeqCst) >= wanted {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(2));
    }
    drop(closed);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Paths as long as can be, and arguments of two megabytes.
fn long_arguments() {
    let longest = format!("/long/{}", "x/".repeat(2044));
    assert_eq!(longest.len(), 4094);
    tried("longest", ask(c(format!("{longest}y"))).map(|_| 0));
    tried("too-long", ask(c(format!("{longest}yz"))).map(|_| 0));
    let argument = "a".repeat(128 * 1024 - 1);
    let status = std::process::Command::new("/bin/true").args(vec![argument.as_str(); 14]).status();
    tell("long-argv", status.map_or(-1, |status| status.code().unwrap_or(-2)));
}

/// Two buffers that a second thread exchanges all the time.
fn swapped(one: &str, other: &str, mut act: impl FnMut(usize)) {
    let length = one.len().max(other.len());
    let pad = |path: &str| format!("{}{path}\0", "/".repeat(length - path.len())).into_bytes();
    let (one, other) = (pad(one), pad(other));
    let buffer = bytes(&one);
    let stop = Arc::new(AtomicBool::new(false));
    let flipper = {
        let stop = stop.clone();
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for text in [&other, &one] {
                    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buffer as *mut u8, text.len()) };
                    thread::sleep(std::time::Duration::from_micros(30));
                }
            }
        })
    };
    act(buffer);
    stop.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
}

/// A rename onto a start file, and a start of an own program, each behind a path that changes.
fn swapped_paths(out: &str) {
    let home = home();
    let harmless = format!("{out}/harmless");
    let mut planted = 0;
    swapped(&harmless, &format!("{home}/.profile-swapped"), |target| {
        for at in 0..400 {
            let source = format!("{out}/source-{at}");
            fs::write(&source, "# inert\n").unwrap();
            let _ = call(82, &[c(&source), target]);
        }
        planted = usize::from(fs::metadata(format!("{home}/.profile-swapped")).is_ok());
    });
    tell("planted", planted);
    // Another program than the one that was recorded: a copy of /bin/true.
    let own = format!("{out}/own-program");
    fs::copy("/bin/true", &own).unwrap();
    let mut ran = 0;
    swapped("/bin/true", &own, |program| {
        for _ in 0..300 {
            // Shares our memory, in which the other thread goes on.
            let child = unsafe { vfork() };
            if child == 0 {
                let argv = bytes(&[program.to_ne_bytes(), 0_usize.to_ne_bytes()].concat());
                let _ = call(59, &[program, argv, 0]);
                unsafe { _exit(1) };
            }
            let mut status = 0;
            unsafe { waitpid(child, &mut status, 0) };
            ran += usize::from(status == 0);
        }
    });
    tell("ran", ran);
}

/// The program behind a script's first line.
fn interpreter(out: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let own = format!("{out}/interpreter");
    fs::copy("/bin/true", &own).unwrap();
    let script = format!("{out}/script");
    fs::write(&script, format!("#!{own}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    tell("interpreted", std::process::Command::new(&script).status().map_or(-1, |status| status.code().unwrap_or(-2)));
}

/// Children that share our memory, and many that live for one call only.
fn children() {
    for at in 0..100 {
        let path = c(format!("/vforked/{at}"));
        let child = unsafe { vfork() };
        if child == 0 {
            let _ = ask(path);
            unsafe { _exit(0) };
        }
        unsafe { waitpid(child, std::ptr::null_mut(), 0) };
    }
    for at in 0..2000 {
        let path = c(format!("/short-lived/{at}"));
        match unsafe { fork() } {
            0 => {
                let _ = ask(path);
                unsafe { _exit(0) }
            }
            child => unsafe {
                waitpid(child, std::ptr::null_mut(), 0);
            },
        }
    }
}

/// A program that nobody may read hides from those who have no right over it.
fn unreadable_program(out: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = format!("{out}/unreadable");
    fs::copy("/proc/self/exe", &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o111)).unwrap();
    let status = std::process::Command::new(&copy).env("HOSTILE", "read-key").status();
    tell("unreadable", status.map_or(-1, |status| status.code().unwrap_or(-2)));
}

fn read_key() {
    let _ = fs::read(format!("{}/.ssh/id_ed25519", home()));
    let _ = File::open("/asked/by-the-unreadable");
}

/// Children whose start fails and who say nothing more, beside subshells that soon have their numbers.
fn reused_numbers(out: &str) {
    let broken = format!("{out}/broken");
    fs::write(&broken, b"\x7fELF and nothing that runs").unwrap();
    let _ = call(90, &[c(&broken), 0o755]);
    let (program, argv) = (c(&broken), Box::leak(Box::new([c("broken"), 0])).as_ptr() as usize);
    let script = "i=0; while [ $i -lt 1500 ]; do ( : < /reused/a ); i=$((i+1)); done 2>/dev/null";
    let mut shells = std::process::Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
    let (mut failed, mut highest, mut wraps) = (0, 0, 0);
    while shells.try_wait().unwrap().is_none() {
        let child = unsafe { fork() };
        if child == 0 {
            let error = call(59, &[program, argv, 0]).err();
            let _ = call(231, &[usize::from(error == Some(8))]);
        }
        let mut status = 0_u32;
        let _ = call(61, &[child as usize, std::ptr::addr_of_mut!(status) as usize, 0, 0]);
        failed += u32::from(status == 1 << 8);
        wraps += u32::from(child < highest);
        highest = child;
    }
    tell("failed", failed);
    tell("wraps", wraps);
}

/// Names that would break a line, a terminal, a decoder or a page.
fn names(out: &str) {
    use std::os::unix::ffi::OsStrExt as _;
    let evil: [&[u8]; 6] = [
        b"new\nline\"}\n{\"line\":\"totals\"",
        b"\x1b]0;owned\x07\x1b[2J\x1b[1;1HPASS",
        b"invalid-\xff\xfe-utf8",
        b"<script>alert(1)</script>&amp;",
        "bidi-\u{202e}txt.sh".as_bytes(),
        b"\r\x08\x7f\xc2\x9b",
    ];
    for name in evil {
        let path = [b"/home/dev/evil-", name].concat();
        tried("evil-name", call(2, &[c(&path), O_WRONLY | O_CREAT, 0o600]).map(|_| 0));
        let _ =
            std::process::Command::new(std::ffi::OsStr::from_bytes(&[b"/nowhere/", name].concat())).arg("x").status();
    }
    println!("cargo::warning=\u{1b}]0;owned\u{7}\u{202e}<b>");
    let _ = out;
}

fn main() {
    let out = out_dir();
    let what = std::env::var("HOSTILE").unwrap();
    match what.as_str() {
        "death" => death_in_mid_call(),
        "storm" => signal_storm(&out),
        "calls" => many_calls(),
        "threads" => waiting_threads(),
        "long" => long_arguments(),
        "swapped" => swapped_paths(&out),
        "interpreter" => interpreter(&out),
        "children" => children(),
        "unreadable" => unreadable_program(&out),
        "read-key" => read_key(),
        "names" => names(&out),
        "reused" => reused_numbers(&out),
        other => panic!("{other}"),
    }
}
