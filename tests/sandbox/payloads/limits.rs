// Payloads that use something up. What each does follows from the argument, so that the same code runs
// under small limits and under the default ones.

extern "C" {
    fn fork() -> c_int;
    fn signal(number: c_int, action: usize) -> usize;
    fn _exit(code: c_int) -> !;
}

const FILE_TOO_LARGE: c_int = 25;

/// Processes that make processes until none can be made; all of them wait.
fn fork_bomb(most: usize) {
    for _ in 0..most {
        if unsafe { fork() } == 0 {
            std::thread::sleep(std::time::Duration::from_secs(20));
            unsafe { _exit(0) };
        }
    }
}

/// Tells how many processes it may have, and tries to have more.
fn raise_processes_to(bound: u64) {
    const GETRLIMIT: i64 = 97;
    const SETRLIMIT: i64 = 160;
    const RLIMIT_NPROC: usize = 6;
    let mut both = [0_u64; 2];
    call(GETRLIMIT, &[RLIMIT_NPROC, both.as_mut_ptr() as usize]).unwrap();
    tell("processes", both[1]);
    tried("raise", call(SETRLIMIT, &[RLIMIT_NPROC, [bound; 2].as_ptr() as usize]));
}

/// Touches so much memory, and holds it for a while.
fn memory_hog(mib: usize) {
    let mut held = Vec::new();
    for _ in 0..mib {
        held.push(vec![1_u8; 1 << 20]);
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    tell("held", held.len());
}

/// Uses CPU time in several processes, none of which is waited for.
fn burn(seconds: u64) {
    for _ in 0..2 {
        if unsafe { fork() } == 0 {
            let start = std::time::Instant::now();
            while start.elapsed().as_secs() < seconds {}
            unsafe { _exit(0) };
        }
    }
    std::thread::sleep(std::time::Duration::from_secs(seconds + 1));
}

/// Fills the folder of outputs, and holds what is there for a while.
fn fill(mib: usize) {
    let piece = vec![1_u8; 1 << 20];
    let mut file = File::create(format!("{}/filled", out_dir())).unwrap();
    let met = (0..mib).map(|_| file.write_all(&piece)).find_map(Result::err);
    tell("fill", met.and_then(|error| error.raw_os_error()).unwrap_or(0));
    std::thread::sleep(std::time::Duration::from_secs(1));
}

fn fill_inodes(many: usize) {
    let made = (0..many).map(|at| File::create(format!("{}/file-{at}", out_dir())).map(drop));
    let met = made.filter_map(Result::err).next();
    tell("fill", met.and_then(|error| error.raw_os_error()).unwrap_or(0));
}

/// A file of so many bytes, by a process that expects the kernel's default.
fn large_file(mib: u64, hears: bool) {
    if hears {
        unsafe { signal(FILE_TOO_LARGE, 1) };
    }
    let piece = vec![1_u8; 1 << 20];
    let mut file = File::create(format!("{}/large", out_dir())).unwrap();
    let met = (0..mib).map(|_| file.write_all(&piece)).find_map(Result::err);
    tell("large", met.and_then(|error| error.raw_os_error()).unwrap_or(0));
}

/// Descriptors of files that the supervisor opens, or copies of one, which it never sees; those are held for a while.
fn exhaust_descriptors(many: usize, opened: bool) {
    let path = format!("{}/file", out_dir());
    let mut held = vec![File::create(&path).unwrap()];
    let mut met = 0;
    for _ in 0..many {
        match if opened { File::create(&path) } else { held[0].try_clone() } {
            Ok(file) => held.push(file),
            Err(error) => {
                met = error.raw_os_error().unwrap_or(0);
                break;
            }
        }
    }
    if !opened {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    drop(held);
    tell("descriptors", met);
}

fn print_much(mib: usize) {
    let line = [b'x'; 1023];
    let mut out = io::stdout().lock();
    for _ in 0..mib * 1024 {
        out.write_all(&line).and_then(|()| out.write_all(b"\n")).unwrap();
    }
    tell("printed", mib);
}

/// Attempts of which no two are the same, long ones.
fn flood(many: usize) {
    let long = "x".repeat(200);
    for at in 0..many {
        let _ = File::open(format!("/home/dev/.ssh/{long}-{at}"));
    }
}

fn sleep(seconds: u64) {
    std::thread::sleep(std::time::Duration::from_secs(seconds));
}
