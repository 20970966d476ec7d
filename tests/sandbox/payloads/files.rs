// A build script that reaches for what is not its own, beside a neighbour that has run before it.

/// `renameat2` with RENAME_EXCHANGE.
fn exchange(from: &str, to: &str) -> Result<i64, i32> {
    call(316, &[AT_FDCWD, c(from), AT_FDCWD, c(to), 2])
}

fn read_all(path: &str) -> io::Result<String> {
    fs::read_to_string(path)
}

const UMASK: i64 = 95;

/// The mode of a new file that was asked for with 0666, in octal.
fn made_with(folder: &str, name: &str) -> String {
    let path = format!("{folder}/{name}");
    let _ = open(&path, O_WRONLY | O_CREAT, 0o666);
    mode(&path)
}

fn mode(path: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path)
        .map_or_else(|error| error.to_string(), |data| format!("{:o}", data.permissions().mode() & 0o7777))
}

fn main() {
    let (out, home) = (out_dir(), home());
    let neighbour = std::env::var("DEP_NEIGHBOUR_OUT").unwrap();
    let theirs = format!("{neighbour}/made");
    tell("theirs-readable", read_all(&theirs).is_ok());

    // Own folder: everything works.
    did("own-create", File::create(format!("{out}/own")));
    did("own-temp", File::create(format!("{}/own", std::env::var("TMPDIR").unwrap())));
    fs::write(format!("{out}/read-only"), "x").unwrap();
    tried("own-chmod", call(90, &[c(format!("{out}/read-only")), 0o444]));
    tried("own-read-only", open(format!("{out}/read-only"), O_WRONLY, 0));
    tried("own-setuid", call(90, &[c(format!("{out}/own")), 0o4755]));
    tried("own-exclusive-first", open(format!("{out}/exclusive"), O_WRONLY | O_CREAT | O_EXCL, 0o600));
    tried("own-exclusive-second", open(format!("{out}/exclusive"), O_WRONLY | O_CREAT | O_EXCL, 0o600));
    std::os::unix::fs::symlink(format!("{out}/nowhere"), format!("{out}/dangling")).unwrap();
    tried("own-exclusive-link", open(format!("{out}/dangling"), O_WRONLY | O_CREAT | O_EXCL, 0o600));
    tried("own-no-follow", open(format!("{out}/dangling"), O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600));
    let nameless = tried("own-nameless", open(&out, O_RDWR | O_TMPFILE, 0o600));
    if let Some(fd) = nameless {
        tried(
            "own-nameless-linked",
            call(265, &[AT_FDCWD, c(format!("/proc/self/fd/{fd}")), AT_FDCWD, c(format!("{out}/named")), 0x400]),
        );
        tried(
            "neighbour-nameless-linked",
            call(265, &[AT_FDCWD, c(format!("/proc/self/fd/{fd}")), AT_FDCWD, c(format!("{neighbour}/named")), 0x400]),
        );
    }
    tried("own-device", call(133, &[c(format!("{out}/null")), 0o020_666, 0x103]));

    tell("mode-inherited", made_with(&out, "first"));
    // A child sets a mask of its own, which is nobody else's.
    let shell = ["-c", "umask 0000; : > \"$OUT_DIR/shell\""];
    let _ = std::process::Command::new("/bin/sh").args(shell).status();
    tell("mode-of-child", mode(&format!("{out}/shell")));
    tell("mode-after-child", made_with(&out, "second"));
    let _ = call(UMASK, &[0o077]);
    tell("mode-set", made_with(&out, "third"));
    let _ = call(UMASK, &[0o022]);

    // A neighbour's folder, by every way to a file that there is.
    tried("neighbour-create", open(format!("{neighbour}/evil"), O_WRONLY | O_CREAT, 0o644));
    tried("neighbour-write", open(&theirs, O_WRONLY, 0));
    tried("neighbour-truncate", open(&theirs, O_RDWR | O_TRUNC, 0));
    tried("neighbour-truncate-by-path", call(76, &[c(&theirs), 0]));
    tried("neighbour-nameless", open(&neighbour, O_RDWR | O_TMPFILE, 0o600));
    tried("neighbour-mkdir", call(83, &[c(format!("{neighbour}/evil")), 0o755]));
    tried("neighbour-unlink", call(87, &[c(&theirs)]));
    tried("neighbour-hard-link-to-own", call(86, &[c(&theirs), c(format!("{out}/linked"))]));
    tried("own-hard-link-to-neighbour", call(86, &[c(format!("{out}/own")), c(format!("{neighbour}/evil"))]));
    tried("neighbour-rename-to-own", call(82, &[c(&theirs), c(format!("{out}/renamed"))]));
    tried("neighbour-rename-over", call(82, &[c(format!("{out}/own")), c(&theirs)]));
    tried("neighbour-exchange", exchange(&format!("{out}/own"), &theirs));
    tried("neighbour-symlink", call(88, &[c("/etc/passwd"), c(format!("{neighbour}/evil"))]));
    tried("neighbour-fifo", call(133, &[c(format!("{neighbour}/evil")), 0o010_600, 0]));
    std::os::unix::fs::symlink(&neighbour, format!("{out}/to-neighbour")).unwrap();
    tried("neighbour-by-symlink", open(format!("{out}/to-neighbour/evil"), O_WRONLY | O_CREAT, 0o644));
    tried("neighbour-by-root", open(format!("/proc/self/root{neighbour}/evil"), O_WRONLY | O_CREAT, 0o644));
    tried(
        "neighbour-by-thread-root",
        open(format!("/proc/thread-self/root{neighbour}/evil"), O_WRONLY | O_CREAT, 0o644),
    );
    let folder = open(&neighbour, O_PATH | O_DIRECTORY, 0).unwrap() as usize;
    tried("neighbour-by-folder", call(257, &[folder, c("evil"), O_WRONLY | O_CREAT, 0o644]));
    tried(
        "neighbour-by-parents",
        call(
            257,
            &[
                open(&out, O_PATH | O_DIRECTORY, 0).unwrap() as usize,
                c("to-neighbour/../out/evil"),
                O_WRONLY | O_CREAT,
                0o644,
            ],
        ),
    );
    tried("neighbour-by-fd-path", open(format!("/proc/self/fd/{folder}/evil"), O_WRONLY | O_CREAT, 0o644));
    tried("neighbour-by-dev-fd", open(format!("/dev/fd/{folder}/evil"), O_WRONLY | O_CREAT, 0o644));
    let file = open(&theirs, O_PATH, 0).unwrap() as usize;
    tried("neighbour-by-reopening", open(format!("/proc/self/fd/{file}"), O_WRONLY, 0));
    let reading = open(&theirs, 0, 0).unwrap() as usize;
    tried("neighbour-by-reopening-for-write", open(format!("/proc/self/fd/{reading}"), O_WRONLY, 0));
    let _ = std::env::set_current_dir(&neighbour);
    tried("neighbour-by-working-folder", open("evil", O_WRONLY | O_CREAT, 0o644));
    tried("neighbour-by-cwd-link", open("/proc/self/cwd/evil", O_WRONLY | O_CREAT, 0o644));
    let _ = std::env::set_current_dir(&out);
    // `openat2`: a magic link is refused, a plain one would lead out.
    let how = |flags: u64, resolve: u64| {
        let mode = if flags & O_CREAT as u64 == 0 { 0 } else { 0o600_u64 };
        bytes(&[flags.to_ne_bytes(), mode.to_ne_bytes(), resolve.to_ne_bytes()].concat())
    };
    tried("neighbour-openat2", call(437, &[AT_FDCWD, c(format!("{neighbour}/evil")), how(0o101, 0), 24]));
    let own = open(&out, O_PATH | O_DIRECTORY, 0).unwrap() as usize;
    tried("openat2-beneath", call(437, &[own, c("to-neighbour/evil"), how(0o101, 8), 24]));
    tried("openat2-in-root", call(437, &[own, c("/inside"), how(0o101, 16), 24]));
    tell("openat2-in-root-exists", Path::new(&format!("{out}/inside")).exists());
    tried("openat2-no-links", call(437, &[own, c("to-neighbour/made"), how(0, 4), 24]));
    tried("openat2-too-large", call(437, &[own, c("own"), how(0, 0), 64]));

    // Metadata, which Landlock does not govern.
    let consumer = format!("{neighbour}/../../../../../src/lib.rs");
    for (who, path) in [("neighbour", &theirs), ("consumer", &consumer)] {
        tried(&format!("{who}-chmod"), call(90, &[c(path), 0o777]));
        tried(&format!("{who}-fchmodat"), call(268, &[AT_FDCWD, c(path), 0o777]));
        tried(&format!("{who}-fchmodat2"), call(452, &[AT_FDCWD, c(path), 0o777, 0]));
        tried(&format!("{who}-chown"), call(92, &[c(path), u32::MAX as usize, u32::MAX as usize]));
        tried(&format!("{who}-utimensat"), call(280, &[AT_FDCWD, c(path), 0, 0]));
        tried(&format!("{who}-utime"), call(132, &[c(path), 0]));
        tried(&format!("{who}-setxattr"), call(188, &[c(path), c("user.x"), c("y"), 1, 0]));
    }
    tried("neighbour-fchmod", call(91, &[reading, 0o777]));
    tried("neighbour-fchmod-by-path-fd", call(452, &[file, c(""), 0o777, 0x1000]));
    tried("neighbour-chmod-by-link", call(90, &[c(format!("{out}/to-neighbour/made")), 0o777]));
    tried("neighbour-chmod-by-fd-path", call(90, &[c(format!("/proc/self/fd/{file}")), 0o777]));
    tried("neighbour-fsetxattr", call(190, &[reading, c("user.x"), c("y"), 1, 0]));
    tried("own-setxattr", call(188, &[c(format!("{out}/own")), c("user.x"), c("y"), 1, 0]));
    tried("own-utimensat", call(280, &[AT_FDCWD, c(format!("{out}/own")), 0, 0]));
    tried("own-fchmod", call(91, &[File::open(format!("{out}/own")).unwrap().as_raw_fd() as usize, 0o600]));

    // Unchanged, as seen from inside.
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(&theirs).unwrap();
    tell("neighbour-after", format!("{} {:o} {}", read_all(&theirs).unwrap(), meta.mode() & 0o7777, meta.nlink()));
    let mut names: Vec<_> =
        fs::read_dir(&neighbour).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    tell("neighbour-folder-after", names.join(" "));

    // A pipe that nobody reads must not keep the supervisor waiting.
    call(133, &[c(format!("{out}/pipe")), 0o010_600, 0]).unwrap();
    tried("pipe-write-without-waiting", open(format!("{out}/pipe"), O_WRONLY | O_NONBLOCK, 0));
    let pipe = format!("{out}/pipe");
    let writer = std::thread::spawn(move || open(pipe, O_WRONLY, 0));
    std::thread::sleep(std::time::Duration::from_millis(50));
    let before = std::time::Instant::now();
    did("while-pipe-waits", File::create(format!("{out}/other")));
    tell("while-pipe-waits-quick", before.elapsed().as_millis() < 500);
    tried("pipe-read", open(format!("{out}/pipe"), O_NONBLOCK, 0));
    tried("pipe-write", writer.join().unwrap());
    let _ = home;
}
