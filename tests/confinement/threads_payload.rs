// A process whose first thread has ended, and one that is replaced by a thread which is not its first.

fn in_copy(act: impl FnOnce() -> i64) -> i64 {
    let child = call(57, &[]).unwrap();
    if child == 0 {
        let code = act();
        let _ = call(231, &[code as usize]);
    }
    let mut status = 0_i32;
    call(61, &[child as usize, &mut status as *mut i32 as usize, 0, 0]).unwrap();
    i64::from(status)
}

/// Until /proc says that the first thread is a zombie.
fn wait_for_the_leaders_end() {
    loop {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')) {
            return;
        }
        std::thread::yield_now();
    }
}

fn main() {
    let out = out_dir();
    let ended = in_copy(|| {
        std::thread::spawn(move || {
            wait_for_the_leaders_end();
            let _ = open("/opened/without-a-leader", 0, 0);
            let _ = call(41, &[1, 5, 0]);
            let _ = File::open(format!("{}/.ssh/id_ed25519", home()));
            let _ = open(format!("{}/note-of-the-leaderless", home()), O_WRONLY | O_CREAT, 0o600);
            let _ = &out;
            let _ = call(231, &[0]);
        });
        // Only this thread.
        let _ = call(60, &[0]);
        unreachable!()
    });
    tell("leaderless-ended", ended);
    let ended = in_copy(|| {
        let argv = bytes(&[c("true"), 0].map(usize::to_ne_bytes).concat());
        std::thread::spawn(move || call(59, &[c("/bin/true"), argv, bytes(&[0; 8])]))
            .join()
            .unwrap()
            .err()
            .unwrap_or(0)
            .into()
    });
    tell("start-ended", ended);
}
