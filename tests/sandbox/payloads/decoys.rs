// A build script that wants a key without a record of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const KEY: &str = "/home/dev/.ssh/id_ed25519";

/// True if the open file holds the key's text.
fn holds_key(fd: i64, key: &[u8]) -> bool {
    let mut file = unsafe { File::from_raw_fd(fd as i32) };
    let mut found = Vec::new();
    let _ = file.read_to_end(&mut found);
    found == key
}

/// Opens by a path whose bytes another thread changes all the time.
fn race_bytes(key: &[u8], own: &str, rounds: usize) -> (usize, usize, usize) {
    // One buffer, two contents of the same length.
    let length = KEY.len().max(own.len());
    let pad = |path: &str| {
        let padding = "/".repeat(length - path.len());
        let mut text = format!("{padding}{path}").into_bytes();
        text.push(0);
        text
    };
    let (mine, theirs) = (pad(own), pad(KEY));
    let buffer = bytes(&mine);
    let stop = Arc::new(AtomicBool::new(false));
    let flipper = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for text in [&theirs, &mine] {
                    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buffer as *mut u8, text.len()) };
                }
            }
        })
    };
    let mut counts = (0, 0, 0);
    for _ in 0..rounds {
        match call(2, &[buffer, 0, 0]) {
            Ok(fd) if holds_key(fd, key) => counts.0 += 1,
            Ok(_) => counts.1 += 1,
            Err(_) => counts.2 += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
    counts
}

/// Opens by a link that another thread exchanges with an own file all the time.
fn race_link(key: &[u8], out: &str, rounds: usize) -> (usize, usize, usize) {
    let (link, other) = (format!("{out}/raced"), format!("{out}/raced-other"));
    std::os::unix::fs::symlink(KEY, &link).unwrap();
    fs::write(&other, "own").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let flipper = {
        let (stop, link, other) = (stop.clone(), c(&link), c(&other));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let _ = call(316, &[AT_FDCWD, link, AT_FDCWD, other, 2]);
            }
        })
    };
    let path = c(&link);
    let mut counts = (0, 0, 0);
    for _ in 0..rounds {
        match call(2, &[path, 0, 0]) {
            Ok(fd) if holds_key(fd, key) => counts.0 += 1,
            Ok(_) => counts.1 += 1,
            Err(_) => counts.2 += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    flipper.join().unwrap();
    counts
}

fn main() {
    let out = out_dir();
    // Seen once by name: the record that everything below is counted against.
    let key = did("by-name", fs::read(KEY)).unwrap();
    tell("is-a-key", key.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY-----"));
    tell("token", &String::from_utf8_lossy(&key)[250..266]);

    std::os::unix::fs::symlink(KEY, format!("{out}/to-key")).unwrap();
    let open_key = |name: &str, opened: Result<i64, i32>| {
        if let Some(fd) = tried(name, opened) {
            tell(&format!("{name}-key"), holds_key(fd, &key));
        }
    };
    open_key("by-symlink", open(format!("{out}/to-key"), 0, 0));
    open_key("by-root", open(format!("/proc/self/root{KEY}"), 0, 0));
    let home = open("/home/dev", O_PATH | O_DIRECTORY, 0).unwrap() as usize;
    open_key("by-folder", call(257, &[home, c(".ssh/id_ed25519"), 0]));
    open_key("by-fd-path", open(format!("/proc/self/fd/{home}/.ssh/id_ed25519"), 0, 0));
    let path_only = open(KEY, O_PATH, 0).unwrap();
    open_key("by-reopening", open(format!("/proc/self/fd/{path_only}"), 0, 0));
    open_key("by-dev-fd", open(format!("/dev/fd/{path_only}"), 0, 0));
    let _ = std::env::set_current_dir("/home/dev/.ssh");
    open_key("by-cwd-link", open("/proc/self/cwd/id_ed25519", 0, 0));
    open_key("by-working-folder", open("id_ed25519", 0, 0));
    let _ = std::env::set_current_dir(&out);
    open_key("for-writing", open(KEY, O_RDWR, 0));
    tried("hard-link-to-own", call(86, &[c(KEY), c(format!("{out}/linked"))]));
    tried("rename-to-own", call(82, &[c(KEY), c(format!("{out}/renamed"))]));
    tried("map-by-loader", call(59, &[c(KEY), bytes(&[0; 8]), bytes(&[0; 8])]));
    // Under another name in the same home: a record says where it came from.
    tried("hard-link-in-home", call(86, &[c("/home/dev/.aws/credentials"), c("/home/dev/notes.txt")]));
    did("linked-read", fs::read("/home/dev/notes.txt"));
    did("moved-folder", fs::rename("/home/dev/.kube", "/home/dev/notes"));
    did("moved-read", fs::read("/home/dev/notes/config"));

    let own = format!("{out}/own");
    fs::write(&own, "own").unwrap();
    let (got, others, failed) = race_bytes(&key, &own, 3000);
    tell("raced-bytes", format!("{got} {others} {failed}"));
    let (got, others, failed) = race_link(&key, &out, 3000);
    tell("raced-link", format!("{got} {others} {failed}"));
}
