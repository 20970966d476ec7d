// Ways to a file that mean something else to whoever follows them from outside.

extern "C" {
    fn truncate(path: *const std::ffi::c_char, length: i64) -> c_int;
}

fn append(path: &str) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(b"# inert\n")
}

fn main() {
    let (home, out) = (home(), out_dir());
    let pathfd = |path: &str| open(path, O_PATH, 0).unwrap();
    // By a descriptor that gives no right to write, and by one of a folder.
    let bashrc = pathfd(&format!("{home}/.bashrc"));
    did("by-descriptor", append(&format!("/proc/self/fd/{bashrc}")));
    let folder = pathfd(&home);
    did("below-descriptor", append(&format!("/proc/thread-self/fd/{folder}/.profile")));
    did("by-dev-fd", append(&format!("/dev/fd/{folder}/.zshrc")));
    let own = std::process::id();
    did("by-number", append(&format!("/proc/{own}/fd/{folder}/.zshrc")));
    // By the working directory.
    std::env::set_current_dir(&home).unwrap();
    did("by-cwd", fs::read("/proc/self/cwd/.ssh/id_rsa").map(drop));
    did("by-cwd-relative", fs::read(".ssh/id_ed25519").map(drop));
    did("by-cwd-write", append("/proc/thread-self/cwd/.gitconfig"));
    std::env::set_current_dir("/").unwrap();
    // By links of our own to such ways.
    std::os::unix::fs::symlink(format!("/proc/self/fd/{bashrc}"), format!("{out}/to-descriptor")).unwrap();
    did("by-link", append(&format!("{out}/to-descriptor")));
    std::os::unix::fs::symlink(format!("/proc/self/fd/{folder}"), format!("{out}/to-home")).unwrap();
    did("read-by-link", fs::read(format!("{out}/to-home/.ssh/id_ecdsa")).map(drop));
    // Names below a link of our own.
    std::os::unix::fs::symlink(&home, format!("{out}/home")).unwrap();
    fs::write(format!("{home}/plant"), "# inert\n").unwrap();
    did("rename", fs::rename(format!("{home}/plant"), format!("{out}/home/.bash_login")));
    std::os::unix::fs::symlink(format!("{home}/.netrc"), format!("{out}/netrc")).unwrap();
    let netrc = CString::new(format!("{out}/netrc")).unwrap();
    tell("truncate", unsafe { truncate(netrc.as_ptr(), 1 << 20) });
    did("remove", fs::remove_file(format!("{out}/home/.npmrc")));
    // What honest programs do with the same names.
    did("stdout", append("/dev/stdout"));
    did("stderr", append("/proc/self/fd/2"));
    did("own-exe", fs::read("/proc/self/exe").map(drop));
    did("own-maps", fs::read(format!("/proc/{own}/maps")).map(drop));
    did("list", fs::read_dir("/proc/self/fd").map(drop));
    use std::process::{Command, Stdio};
    let mut cat = Command::new("cat").arg("/dev/stdin").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    cat.stdin.take().unwrap().write_all(b"x").unwrap();
    tell("piped", cat.wait().map_or(-1, |status| status.code().unwrap_or(-2)));
    fs::write(format!("{out}/again"), "x").unwrap();
    let again = File::open(format!("{out}/again")).unwrap();
    did("own-again", append(&format!("/proc/self/fd/{}", again.as_raw_fd())));
    let unnamed = open(&out, O_TMPFILE | O_RDWR, 0o600).unwrap();
    let from = c(format!("/proc/self/fd/{unnamed}"));
    tried("publish", call(265, &[AT_FDCWD, from, AT_FDCWD, c(format!("{out}/published")), 0x400]));
    tried("own-mode", call(90, &[from, 0o640]));
    let memory = call(319, &[c("buffer"), 0]).unwrap();
    did("memory", append(&format!("/proc/self/fd/{memory}")));
}
