// Kernel facilities that no build needs, each tried once.

fn in_child(name: &str, flags: usize) {
    let child = call(56, &[flags | 17]);
    if child == Ok(0) {
        let _ = call(60, &[0]);
    }
    if let Ok(child) = child {
        let _ = call(61, &[child as usize]);
    }
    tried(name, child);
}

/// `getpid` by the table of the 32-bit architecture.
fn foreign_getpid() -> i64 {
    let answer: i32;
    unsafe { core::arch::asm!("int 0x80", inlateout("eax") 20_i32 => answer, options(nostack)) };
    i64::from(answer)
}

/// Arguments that nobody can read, and some that only just can be.
fn unreadable() {
    tried("open-nowhere", call(2, &[1, 0, 0]));
    tried("chmod-nowhere", call(90, &[1, 0o777]));
    tried("rename-nowhere", call(82, &[c("/a"), 1]));
    tried("exec-nowhere", call(59, &[1, 0, 0]));
    tried("connect-nowhere", call(42, &[call(41, &[1, 1, 0]).unwrap() as usize, 1, 16]));
    tried("open-too-long", call(2, &[c("x".repeat(5000)), 0, 0]));
    // The path ends with its page, and the next page is not there.
    let page = call(9, &[0, 8192, 3, 0x22, usize::MAX, 0]).unwrap() as usize;
    call(11, &[page + 4096, 4096]).unwrap();
    let path = b"/at-the-edge\0";
    let at = page + 4096 - path.len();
    unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), at as *mut u8, path.len()) };
    tried("open-at-the-edge", call(2, &[at, 0, 0]));
}

fn main() {
    let own = std::process::id() as usize;
    tell("own-pid", own);
    tried("unshare-user", call(272, &[0x1000_0000]));
    tried("unshare-mounts", call(272, &[0x0002_0000]));
    // Noise in the upper half of the register changes nothing.
    tried("unshare-noise", call(272, &[0x7_0400_0000]));
    in_child("clone-pid", 0x2000_0000);
    in_child("clone-user-pid", 0x3000_0000);
    tried("clone3", call(435, &[bytes(&[0; 88]), 88]));
    tried("setns", call(308, &[0, 0]));
    tell("out-dir", out_dir());
    tried("mount", call(165, &[c("none"), c(out_dir()), c("tmpfs"), 2, 0]));
    tried("umount", call(166, &[c("/tmp"), 2]));
    tried("chroot", call(161, &[c(out_dir())]));
    tried("pivot-root", call(155, &[c(out_dir()), c(out_dir())]));
    tried("open-tree", call(428, &[AT_FDCWD, c("/"), 1]));
    tried("fsopen", call(430, &[c("tmpfs"), 0]));
    tried("seccomp-filter", call(317, &[1, 0, bytes(&[0; 16])]));
    tried("prctl-seccomp", call(157, &[22, 2, bytes(&[0; 16])]));
    tried("dumpable", call(157, &[4, 0]));
    tried("memfd-secret", call(447, &[0]));
    tried("userfaultfd", call(323, &[1]));
    tried("ptrace-seize", call(101, &[0x4206, 1]));
    tried("ptrace-traceme", call(101, &[0]));
    let mut byte = [0_u8; 1];
    let here = bytes(&[(&mut byte as *mut [u8; 1] as usize).to_ne_bytes(), 1_usize.to_ne_bytes()].concat());
    tried("read-memory", call(310, &[own, here, 1, here, 1]));
    tried("write-memory", call(311, &[own, here, 1, here, 1]));
    tried("kcmp", call(312, &[own, own]));
    if let Ok(pidfd) = call(434, &[own]) {
        tried("pidfd-getfd", call(438, &[pidfd as usize, 1]));
    }
    tried("io-uring-setup", call(425, &[1, bytes(&[0; 120])]));
    tried("io-uring-enter", call(426, &[0]));
    tried("io-uring-register", call(427, &[0]));
    tried("bpf", call(321, &[0, bytes(&[0; 120]), 120]));
    tried("perf", call(298, &[bytes(&[0; 128]), 0]));
    tried("keyctl", call(250, &[11, -3_isize as usize, bytes(&[0; 64]), 64]));
    tried("add-key", call(248, &[c("user"), c("x"), c("y"), 1, -3_isize as usize]));
    tried("handle", call(303, &[AT_FDCWD, c("/"), bytes(&[0; 256]), bytes(&[0; 8]), 0]));
    tried("open-by-handle", call(304, &[AT_FDCWD, bytes(&[0; 256]), 0]));
    tried("personality", call(135, &[0x0040_0000]));
    tried("tiocsti", call(16, &[0, 0x5412, c("x")]));
    tried("tiocsti-noise", call(16, &[0, 0xffff_0000_5412, c("x")]));
    tried("reboot", call(169, &[0, 0, 0]));
    tried("unknown-number", call(1000, &[]));
    tried("x32", call(0x4000_0000 + 39, &[]));
    tell("foreign", -foreign_getpid());
    tried("set-owner", call(72, &[1, 8, 1]));
    unreadable();
}
