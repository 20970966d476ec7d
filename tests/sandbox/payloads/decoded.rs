// Calls with every sort of argument, each with something by which its record is known.

fn rename_and_remove(out: &str) {
    fs::create_dir_all(format!("{out}/from-here/below")).unwrap();
    std::env::set_current_dir(format!("{out}/from-here")).unwrap();
    let folder = File::open(format!("{out}/from-here/below")).unwrap();
    let below = folder.as_raw_fd() as usize;
    // A path from the working directory, and one from a descriptor.
    tried("make-relative", call(83, &[c("made-from-cwd"), 0o700]));
    tried("make-at", call(258, &[below, c("made-from-dirfd"), 0o700]));
    tried("rename-flags", call(316, &[AT_FDCWD, c("made-from-cwd"), below, c("renamed"), 1]));
    tried("exchange", call(316, &[AT_FDCWD, c("below"), AT_FDCWD, c("nowhere"), 2 | 0x100]));
    let how = [0_u64, 0, 0x0c].map(u64::to_ne_bytes).concat();
    tried("resolve-flags", call(437, &[below, c("/not-there"), bytes(&how), 24]));
    tried("remove-dir", call(263, &[below, c("made-from-dirfd"), 0x200]));
    tried("make-fifo", call(133, &[c("made-fifo"), 0o010_600, 0]));
    tried("link-follow", call(265, &[AT_FDCWD, c("made-fifo"), AT_FDCWD, c("second-name"), 0x400]));
}

/// `struct iovec` for each piece.
fn pieces(message: &[u8], size: usize) -> (usize, usize) {
    let mut vector = Vec::new();
    for piece in message.chunks(size) {
        vector.extend(bytes(piece).to_ne_bytes());
        vector.extend(piece.len().to_ne_bytes());
    }
    (bytes(&vector), message.chunks(size).count())
}

/// `struct msghdr`.
fn message(to: &[u8], (vector, count): (usize, usize)) -> Vec<u8> {
    let mut header = Vec::new();
    for word in [if to.is_empty() { 0 } else { bytes(to) }, to.len(), vector, count, 0, 0, 0] {
        header.extend(word.to_ne_bytes());
    }
    header
}

fn inet(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![2, 0, high, low, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A question for the A record of `NAME.invalid`.
fn question(name: &str) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
    packet.extend(name.as_bytes());
    packet.extend(b"\x07invalid\0\0\x01\0\x01");
    packet
}

fn send() {
    let udp = call(41, &[2, 2, 0]).unwrap() as usize;
    // The fortieth message of one call goes elsewhere.
    let mut vector = Vec::new();
    for at in 0..40 {
        vector.extend(message(&inet(if at == 39 { 4239 } else { 4200 }), pieces(b"hello", 5)));
        vector.extend([0; 8]);
    }
    tried("many-messages", call(307, &[udp, bytes(&vector), 40, 0x4000]));
    // A question in forty pieces, and one in the last of many messages.
    let text = "in-pieces";
    let parts = message(&inet(53), pieces(&question(text), 1));
    tried("question-in-pieces", call(46, &[udp, bytes(&parts), 0]));
    let flags = 0x4000_0000 | 0x4040;
    let to = inet(4299);
    tried("send-flags", call(44, &[udp, bytes(b"0123456789"), 10, flags & 0xffff, bytes(&to), to.len()]));
    tried("socket-flags", call(41, &[1, 1 | 0o2_004_000, 0]));
    let route = call(41, &[16, 3, 0]).unwrap() as usize;
    tried("netlink", call(49, &[route, bytes(&[16, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0]), 12]));
    let listener = call(41, &[1, 1, 0]).unwrap() as usize;
    tried("bind-abstract", call(49, &[listener, bytes(b"\x01\0\0listens-here"), 15]));
    tried("listen", call(50, &[listener, 1]));
}

fn signal() {
    // Ignored by ourselves.
    unsafe { on_signal(10, 1) };
    let own = std::process::id() as usize;
    tried("own-group", call(62, &[0, 10]));
    tried("everyone", call(62, &[usize::MAX, 0]));
    tried("init", call(62, &[1, 0]));
    tried("group", call(62, &[-4242_isize as usize, 0]));
    tried("process", call(62, &[4243, 15]));
    tried("thread", call(234, &[4244, 4245, 12]));
    let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
    let pidfd = call(434, &[child.id() as usize]).unwrap() as usize;
    tell("child", child.id());
    tried("by-descriptor", call(424, &[pidfd, 9]));
    let _ = child.wait();
    // To ourselves: nothing worth a record.
    tried("itself", call(62, &[own, 10]));
}

extern "C" {
    #[link_name = "signal"]
    fn on_signal(number: c_int, action: usize) -> usize;
}

fn start(out: &str) {
    std::env::set_current_dir(out).unwrap();
    let long = "x".repeat(100_000);
    let _ = std::process::Command::new("/bin/true").args(["first", &long, "last"]).status();
    tried("exec-at", call(322, &[AT_FDCWD, c("no-such-program"), 0, 0, 0x100]));
}

fn main() {
    let out = out_dir();
    tell("out-dir", &out);
    rename_and_remove(&out);
    send();
    signal();
    start(&out);
    let _ = call(157, &[0x5961_6d61, 1]);
    let _ = call(72, &[0, 10, 5]);
    let _ = fs::metadata(format!("{}/.ssh/id_rsa", home()));
    let _ = fs::read_link(format!("{}/.bashrc", home()));
    let _ = call(21, &[c("/nowhere-at-all"), 0]);
    let _ = fs::metadata("/usr/bin");
}
